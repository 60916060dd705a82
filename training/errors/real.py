"""How well squats and lunges of ``rmd`` are judged: errors by name, and right from wrong where one video holds both.

    python -m training.errors.real RMD_FOLDER [--leave-out] [--rules]

The network is never trained on them, but which heads are kept depends on them: with ``--leave-out`` they are chosen
anew for each group of videos without it (simulated samples are taken from where the training keeps them).
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.errors.adapters.catalogue import load_catalogue
from services.errors.adapters.weights import SHIPPED as WEIGHTS
from services.errors.core.catalogue import Catalogue
from services.errors.core.processor import AssessProcessor
from training.errors.metrics import Counts, two_class_macro
from training.errors.rmd import SAYS, mixed_videos, repetitions

SQUAT_MISTAKES: Final = ("not_low_enough", "knees_inward", "front_bent", "feet_too_wide")


def verdicts(folder: Path, catalogue: Catalogue, videos: set[str] | None = None) -> list[dict[str, Any]]:
    """Video, exercise, label and the codes named of every labelled repetition."""
    processor = AssessProcessor(catalogue)
    out = []
    for video, label, event in repetitions(folder):
        if videos is None or video in videos:
            named = {e.code for a in processor.on_item(event) for e in a.errors}
            out.append({"video": video, "exercise": event.exercise, "label": label, "named": named})
    return out


def score(rows: Sequence[Mapping[str, Any]], mixed: set[str]) -> dict[str, Any]:
    """The numbers of the rows."""

    def wrong(row: Mapping[str, Any]) -> bool:
        return bool(row["label"] != "correct")

    def binary(chosen: Sequence[Mapping[str, Any]]) -> Counts:
        return Counts.of(
            np.array([bool(r["named"]) for r in chosen]), np.array([wrong(r) for r in chosen], dtype=np.bool_)
        )

    inside = binary([r for r in rows if r["video"] in mixed])
    every = binary(rows)
    named: dict[str, Counts] = {}
    for exercise, labels in (("squat", SQUAT_MISTAKES), ("lunge", ("not_low_enough", "knee_passes_toe"))):
        own = [r for r in rows if r["exercise"] == exercise]
        for label in labels:
            said = np.array([SAYS[label] in r["named"] for r in own], dtype=np.bool_)
            so = np.array([label in r["label"].split("+") for r in own], dtype=np.bool_)
            named[f"{exercise} {label}"] = Counts.of(said, so)
    squats = [named[f"squat {label}"].f1 for label in SQUAT_MISTAKES]
    return {
        "mixed_macro_f1": round(two_class_macro(inside), 4), "mixed": inside.row(),
        "all_macro_f1": round(two_class_macro(every), 4), "all": every.row(),
        "squat_mistakes_mean_f1": round(float(np.mean(squats)), 4),
        "named": {name: c.row() for name, c in named.items()},
    }  # fmt: skip


def show(title: str, result: Mapping[str, Any]) -> None:
    every = result["all"]
    print(f"rmd, {title}: right/wrong macro-F1 {result['mixed_macro_f1']:.3f} on the mixed videos, "
          f"{result['all_macro_f1']:.3f} on all; wrong: precision {every['precision']} recall {every['recall']}; "
          f"mean F1 of the squat mistakes {result['squat_mistakes_mean_f1']:.3f}")  # fmt: skip
    for name, row in result["named"].items():
        print(f"    {name:24s} P {row['precision']}  R {row['recall']}  F1 {row['f1']}  n={row['wrong']}")


def measure(folder: Path, catalogue: Catalogue) -> dict[str, Any]:
    """The numbers of a catalogue as it is."""
    result = score(verdicts(folder, catalogue), mixed_videos(folder))
    show("as shipped", result)
    return result


def leave_out(folder: Path, seed: int, sets: int, fresh: int, samples: Path | None) -> dict[str, Any]:
    """The numbers where every video is judged by heads that were chosen without it and its group."""
    from training.errors.leave import judged_without

    mixed = mixed_videos(folder)
    rows: list[dict[str, Any]] = []
    for videos, catalogue in judged_without(folder, mixed, seed, sets, fresh, samples):
        rows += verdicts(folder, catalogue, videos)
    result = score(rows, mixed)
    show("leaving videos out", result)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--leave-out", action="store_true")
    parser.add_argument("--rules", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", type=int, default=3000)
    parser.add_argument("--fresh", type=int, default=1000)
    parser.add_argument("--samples", type=Path)
    options = parser.parse_args(arguments)
    if options.leave_out:
        leave_out(options.folder, options.seed, options.sets, options.fresh, options.samples)
    elif options.rules:
        measure(options.folder, load_catalogue(weights=None))
    else:
        measure(options.folder, load_catalogue(weights=WEIGHTS))


if __name__ == "__main__":
    main()
