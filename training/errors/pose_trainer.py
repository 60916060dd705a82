"""How the score tells good from bad on ``pose_trainer`` (real people, OpenPose): measured, never tuned on.

    python -m training.errors.pose_trainer DATA [--json FILE]

Camera placement alone tells good from bad there (AUC 0.97, leave one out: the clips were recorded in blocks), so these
numbers say that the rules work on real poses, not how well form is judged.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.common.layouts import to_coco17
from services.common.types import Assessment, PoseWindow
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.catalogue import Catalogue
from services.errors.core.processor import AssessProcessor

FPS = 25.0  # not said by the data set; only tempo depends on it


def assess_file(processor: AssessProcessor, path: Path, exercise: str) -> Assessment:
    """The whole sequence as one repetition."""
    keypoints, scores, _, _ = to_coco17(np.load(path), "openpose18", FPS)
    times = np.arange(len(keypoints)) / FPS
    return processor.assess_window(exercise, PoseWindow(times, keypoints, scores))


def auc(bad: Sequence[int], value: Sequence[float]) -> float:
    """Area under the ROC curve; ties count half. NaN where a class is absent."""
    high = [v for b, v in zip(bad, value, strict=True) if b]
    low = [v for b, v in zip(bad, value, strict=True) if not b]
    if not high or not low:
        return float("nan")
    return float(np.mean([(h > g) + 0.5 * (h == g) for h in high for g in low]))


def pooled_auc(folder: Path, catalogue: Catalogue) -> float:
    """AUC of 100 - score over all sequences of ``folder``."""
    processor = AssessProcessor(catalogue)
    labels = json.loads((folder / "labels.json").read_text())
    value = [
        100.0 - assess_file(processor, folder / f"{name}.npy", label["class"]).score for name, label in labels.items()
    ]
    return auc([label["bad"] for label in labels.values()], value)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds pose_trainer/")
    parser.add_argument("--json", type=Path, help="write {sequence: 100 - score} for score_sequences.py form")
    options = parser.parse_args(arguments)
    folder = options.data / "pose_trainer"
    labels = json.loads((folder / "labels.json").read_text())
    processor = AssessProcessor(load_catalogue())
    rows: dict[str, list[tuple[int, Assessment]]] = defaultdict(list)
    badness: dict[str, float] = {}
    for name, label in sorted(labels.items()):
        assessment = assess_file(processor, folder / f"{name}.npy", label["class"])
        rows[label["class"]].append((label["bad"], assessment))
        badness[name] = 100.0 - assessment.score
    pooled = [(b, 100.0 - a.score) for group in rows.values() for b, a in group]
    for name, group in [("all", []), *rows.items()]:
        pairs = pooled if name == "all" else [(b, 100.0 - a.score) for b, a in group]
        named = {
            what: Counter(e.code for b, a in group if b == flag for e in a.errors)
            for what, flag in (("bad", 1), ("good", 0))
        }
        blamed = sum(bool(a.errors) for b, a in group if not b)
        found = sum(bool(a.errors) for b, a in group if b)
        counts = f"named on {found} of {sum(b for b, _ in group)} bad, {blamed} of {sum(1 - b for b, _ in group)} good"
        print(f"{name:14s} AUC {auc([b for b, _ in pairs], [v for _, v in pairs]):.3f}  n={len(pairs)}  "
              f"{counts if group else ''}")  # fmt: skip
        for what, codes in named.items():
            if codes:
                print(f"    {what}: {dict(codes.most_common())}")
    if options.json:
        options.json.write_text(json.dumps(badness, indent=1))


if __name__ == "__main__":
    main()
