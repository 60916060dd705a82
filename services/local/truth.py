"""``--truth``: what a person marked in a clip, from a labels file."""

import json
from pathlib import Path
from typing import Any

from services.common.errors import InputError
from services.local.results import Truth, TruthRepetition


def _key(name: str) -> str:
    """Canonical clip name: folder separators and blanks folded, video suffix removed."""
    name = name.replace("/", "__").replace(" ", "_")
    return Path(name).stem if Path(name).suffix else name


def load_truth(path: Path, uri: str) -> Truth | None:
    """The truth of the clip ``uri`` in a labels file ``{"clips": {name: {"reps": [{"start", "peak", "end",
    "form"}], "ignore": [[a, b]]}}}``; None where the file does not speak of it or gives it no times.

    Raises:
        InputError: the file is missing, not JSON or of another form.
    """
    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise InputError(f"{path}: cannot read the labels ({e.strerror}); check --truth") from e
    except ValueError as e:
        raise InputError(f"{path}: is not JSON ({e}); --truth takes a labels file") from e
    clips = table.get("clips", table) if isinstance(table, dict) else None
    if not isinstance(clips, dict):
        raise InputError(f'{path}: has no "clips" table; --truth takes a labels file')
    names = {_key(name): entry for name, entry in clips.items()}
    entry = names.get(_key(Path(uri).name))
    if entry is None:
        return None
    try:
        repetitions = tuple(
            TruthRepetition(
                float(r["start"]),
                float(r["peak"]) if r.get("peak") is not None else None,
                float(r["end"]),
                r.get("form") or None,
            )
            for r in entry["reps"]
        )
        ignore = tuple((float(a), float(b)) for a, b in entry.get("ignore", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise InputError(f"{path}: the entry of {Path(uri).name} is malformed ({e!r})") from e
    return Truth(repetitions, ignore, entry.get("track_id"))
