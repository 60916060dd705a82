"""The file of the learned part: ``models/errors.npz`` (numbers) beside ``errors.json`` (what made it, its heads)."""

import json
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.common.errors import ModelError
from services.errors.core.features import NAMES
from services.errors.core.learned import Head, Learned
from services.errors.core.view import ViewKind

SHIPPED: Final = Path(__file__).resolve().parents[1] / "models" / "errors.npz"
VERSION: Final = 1


def load_learned(path: Path = SHIPPED) -> Learned:
    """Read weights and side file.

    Raises:
        ModelError: a file is missing, broken, or made for other features.
    """
    side = path.with_suffix(".json")
    try:
        document = json.loads(side.read_text(encoding="utf-8"))
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as broken:
        raise ModelError(f"{path}: the learned part of the errors cannot be read ({broken}).") from None
    if document.get("version") != VERSION or document.get("features") != fingerprint():
        raise ModelError(f"{path}: was made for other features; train it anew with python -m training.errors.train.")
    count = sum(name.startswith("weight") for name in arrays)
    layers = tuple(
        (arrays[f"weight{i}"].astype(np.float32), arrays[f"bias{i}"].astype(np.float32)) for i in range(count)
    )
    heads = {(h["exercise"], h["code"]): _head(h) for h in document["heads"]}
    return Learned(
        tuple(document["exercises"]), tuple(document["codes"]),
        arrays["mean"].astype(np.float64), arrays["scale"].astype(np.float64), layers, heads,
    )  # fmt: skip


def fingerprint() -> str:
    """Names of the features, in short: weights fit only those they were made for."""
    return f"{len(NAMES)}-{zlib.crc32(' '.join(NAMES).encode()):08x}"


def _head(stored: dict[str, Any]) -> Head:
    views = frozenset(ViewKind(v).value for v in stored["views"])
    return Head(stored["model"], stored["rule"], stored["bias"], stored["threshold"], views)


def save_learned(path: Path, learned: Learned, about: dict[str, Any]) -> None:
    """Write weights (half precision) and side file. ``about``: what made them, and their numbers."""
    arrays: dict[str, Any] = {"mean": learned.mean.astype(np.float32), "scale": learned.scale.astype(np.float32)}
    for i, (weight, bias) in enumerate(learned.layers):
        arrays |= {f"weight{i}": weight.astype(np.float16), f"bias{i}": bias.astype(np.float32)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    heads = [
        {
            "exercise": exercise, "code": code, "model": round(h.model, 4), "rule": round(h.rule, 4),
            "bias": round(h.bias, 4), "threshold": round(h.threshold, 3), "views": sorted(h.views),
        }
        for (exercise, code), h in sorted(learned.heads.items())
    ]  # fmt: skip
    document = {
        "version": VERSION, "features": fingerprint(), "exercises": learned.exercises, "codes": learned.codes,
        "made_by": about, "heads": heads,
    }  # fmt: skip
    text = json.dumps(document, indent=1)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
