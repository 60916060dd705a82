"""How good the verdicts are, on people and a law of motion that nothing was trained on.

    python -m training.errors.validate [--sets N] [--seed S] [--rules] [--data FOLDER] [--json FILE] [--plot FILE]

Random simulated sets (held-out law of motion, fresh seeds, one mistake at a time) through the streaming processor: per
error precision, recall and F1 where it is observable, their mean, how well the probabilities mean what they say, and
from where what is not observable. ``--hard``: sets as hard as those that are trained on. With ``--data`` (the folder
that holds ``rmd`` and ``pose_trainer``) real people besides. ``--rules`` leaves the learned part out.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.errors.adapters.catalogue import load_catalogue
from services.errors.adapters.weights import SHIPPED
from services.errors.core.catalogue import Catalogue
from services.errors.core.processor import AssessProcessor
from training.errors import pose_trainer, real
from training.errors.dataset import NEGATIVE, POSITIVE, codes, random_set, truth
from training.errors.metrics import Counts, by_code, calibration_error, macro
from training.errors.planted import LATE, STANDS_FOR

__all__ = ["LATE", "STANDS_FOR", "Findings", "look", "show", "summary"]

PART: Final = 9
"""Seeds of validation differ from those of training by this and by the law of motion."""
PLAIN: Final = 0.5
"""From this degree on a mistake is plain to see."""
FACES: Final = ("front", "three-quarter", "side", "back")
Key = tuple[str, str]


def face(azimuth_deg: float) -> str:
    """The true view of a camera."""
    off = abs((azimuth_deg + 180) % 360 - 180)
    return "front" if off < 22 else "back" if off > 158 else "side" if 58 <= off <= 122 else "three-quarter"


@dataclass(slots=True)
class Findings:
    """One row per error of each repetition whose truth is known: what was said, and what is so."""

    keys: list[Key] = field(default_factory=list)
    degree: list[float] = field(default_factory=list)
    probability: list[float] = field(default_factory=list)  # NaN: not observable
    named: list[bool] = field(default_factory=list)
    faces: list[str] = field(default_factory=list)

    def add(self, key: Key, degree: float, probability: float, named: bool, seen_from: str) -> None:
        self.keys.append(key)
        self.degree.append(degree)
        self.probability.append(probability)
        self.named.append(named)
        self.faces.append(seen_from)

    def counts(self, positive: float) -> dict[Key, Counts]:
        """Counts per exercise and error where it is observable; degrees between none and ``positive`` left out."""
        out: dict[Key, Counts] = defaultdict(Counts)
        for key, degree, p, named in zip(self.keys, self.degree, self.probability, self.named, strict=True):
            if np.isfinite(p) and (degree >= positive or degree <= NEGATIVE):
                wrong = degree >= positive
                out[key] += Counts(named and wrong, named and not wrong, not named and wrong, not (named or wrong))
        return dict(out)

    def calibration(self, code: str | None = None) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """(probability, wrong) of an error, or of all, where the truth is sure."""
        rows = [
            (p, d >= POSITIVE)
            for (_, c), d, p in zip(self.keys, self.degree, self.probability, strict=True)
            if np.isfinite(p) and (d >= POSITIVE or d <= NEGATIVE) and code in (None, c)
        ]
        values = np.array(rows, dtype=np.float64).reshape(-1, 2)
        return values[:, 0], values[:, 1] > 0.5

    def hidden(self) -> dict[str, dict[str, float]]:
        """code → view → share of its mistakes that are not observable."""
        total: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for (_, code), degree, p, seen in zip(self.keys, self.degree, self.probability, self.faces, strict=True):
            if degree >= POSITIVE:
                total[code, seen][0] += not np.isfinite(p)
                total[code, seen][1] += 1
        return {
            code: {f: total[code, f][0] / total[code, f][1] for f in FACES if total[code, f][1] >= 3}
            for code in sorted({c for c, _ in total})
        }


def look(catalogue: Catalogue, seed: int, sets: Iterator[int], hard: bool = False) -> tuple[Findings, int, int]:
    """Findings, clean repetitions, and those of them without any error."""
    found, clean, spotless = Findings(), 0, 0
    order = codes(catalogue)
    for index in sets:
        exercise, azimuth, events = random_set((seed, PART, index), "held_out", hard=hard)
        errors = catalogue[exercise].errors
        processor = AssessProcessor(catalogue)
        for true, event in events:
            verdict = processor.examine(event).verdict
            said = {j.spec.code: j for j in verdict.judged}
            degrees = truth(exercise, errors, true.mistakes, order)
            for error in errors:
                degree = float(degrees[order.index(error.code)]) if error.measure else float("nan")
                if not np.isfinite(degree) or not (error.code in said or error.code in verdict.not_observable):
                    continue
                one = said.get(error.code)
                probability = one.probability if one else float("nan")
                found.add((exercise, error.code), degree, probability, bool(one and one.named), face(azimuth))
            if not any(d >= NEGATIVE for d in true.mistakes.values()):
                clean += 1
                spotless += not verdict.named
    return found, clean, spotless


def summary(found: Findings, clean: int, spotless: int) -> dict[str, Any]:
    """Everything as one document."""
    hidden = found.hidden()
    out: dict[str, Any] = {"clean": clean, "clean_without_error": round(spotless / max(clean, 1), 4), "errors": {}}
    for name, positive in (("over_limit", POSITIVE), ("plain", PLAIN)):
        counts = found.counts(positive)
        total = sum(counts.values(), Counts())
        out[name] = {
            "degree_from": positive,
            "macro_f1_by_exercise_and_error": round(macro(counts.values()), 4),
            "macro_f1_by_error": round(macro(by_code(counts).values()), 4),
            **total.row(),
        }
    limit, plain = by_code(found.counts(POSITIVE)), by_code(found.counts(PLAIN))
    for code in sorted(limit):
        p, wrong = found.calibration(code)
        out["errors"][code] = {
            **limit[code].row(), "plain": plain[code].row(), "calibration_error": round(calibration_error(p, wrong), 4),
            "not_observable": {k: round(v, 3) for k, v in hidden.get(code, {}).items()},
        }  # fmt: skip
    p, wrong = found.calibration()
    out["calibration_error"] = round(calibration_error(p, wrong), 4)
    out["mean_calibration_error"] = round(float(np.mean([e["calibration_error"] for e in out["errors"].values()])), 4)
    return out


def brief(document: dict[str, Any]) -> dict[str, Any]:
    """The few numbers that a side file carries."""
    kept = ("clean", "clean_without_error", "over_limit", "plain", "calibration_error")
    return {"simulated, held-out law of motion": {k: document[k] for k in kept}}


def show(document: dict[str, Any]) -> None:
    """Print it as a table."""
    print(f"{'error':26s} {'over the limit (degree >= 0.3)':34s} {'plain (>= 0.5)':24s} ECE   not observable by view")
    for code, row in document["errors"].items():
        cells = [
            "  ".join("  - " if v is None else f"{v:4.2f}" for v in (r["precision"], r["recall"], r["f1"]))
            + f"  n={r['wrong']:<4d}/{r['right']:<5d}"
            for r in (row, row["plain"])
        ]
        hidden = "  ".join(f"{k} {v:.2f}" for k, v in row["not_observable"].items())
        print(f"{code:26s} {cells[0]}  {cells[1]}  {row['calibration_error']:.3f}  {hidden}")
    for name in ("over_limit", "plain"):
        row = document[name]
        print(f"degree >= {row['degree_from']}: macro-F1 {row['macro_f1_by_error']:.3f} over errors, "
              f"{row['macro_f1_by_exercise_and_error']:.3f} over exercises and errors; all together precision "
              f"{row['precision']:.3f} recall {row['recall']:.3f}")  # fmt: skip
    print(f"clean repetitions without error: {100 * document['clean_without_error']:.1f} % of {document['clean']}; "
          f"calibration error {document['calibration_error']:.3f} (mean of the errors "
          f"{document['mean_calibration_error']:.3f})")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--hard", action="store_true", help="several mistakes at once, any tempo, poor pose networks")
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--rules", action="store_true", help="without the learned part")
    parser.add_argument("--data", type=Path, help="folder that holds rmd/ and pose_trainer/")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="calibration sheet (needs matplotlib)")
    options = parser.parse_args(arguments)
    catalogue = load_catalogue(weights=None if options.rules else options.weights)
    found, clean, spotless = look(catalogue, options.seed, iter(range(options.sets)), options.hard)
    document = summary(found, clean, spotless)
    show(document)
    if options.plot:
        from training.errors.plot import calibration_sheet

        calibration_sheet(found, options.plot)
    if options.data:
        document["rmd"] = real.measure(options.data / "rmd", catalogue)
        document["pose_trainer_auc"] = pose_trainer.pooled_auc(options.data / "pose_trainer", catalogue)
        print(f"pose_trainer (never trained on): pooled AUC of the score {document['pose_trainer_auc']:.3f}")
    if options.json:
        options.json.write_text(json.dumps(document, indent=1))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
