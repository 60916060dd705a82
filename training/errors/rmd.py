"""What is named on the repetitions of ``rmd`` (MIT; squats and lunges of one person with a mistake per repetition).

    python -m training.errors.rmd DATA [--measures NAME ...]

Prints per label how often it is named as what, the precision of "wrong" and, with --measures, what those read.
"""

import argparse
import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from services.common.layouts import to_coco17
from services.common.types import LOCAL_STREAM, Assessment, PoseWindow, Repetition, Status
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.processor import AssessProcessor

FPS = 30.0
EXERCISE = {"squats": "squat", "lunge": "lunge"}
SAYS = {
    "not_low_enough": "TOO_SHALLOW",
    "knees_inward": "KNEES_CAVE_IN",
    "front_bent": "TORSO_COLLAPSES",
    "knee_passes_toe": "KNEE_PAST_TOE",
    "feet_too_wide": "STANCE_TOO_WIDE",
}


def labels(row: dict[str, str], count: int) -> list[str]:
    """Label of each repetition of a video."""
    if row["mistake_label"] != "all":
        return [row["mistake_label"]] * count
    named = [part for part in row["info"].split("/") if part not in ("LEFT", "RIGHT")]
    return named[:count]


def mixed_videos(folder: Path) -> set[str]:
    """Videos that hold repetitions of several labels: only they tell form from video."""
    with (folder / "metadata_label.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        row["video"].removesuffix(".mp4")
        for row in rows
        if row["exercise"] in EXERCISE and row["mistake_label"] == "all"
    }


def repetitions(folder: Path) -> Iterator[tuple[str, str, Repetition]]:
    """(video, label, event) of every labelled repetition; the turn is where the hips are lowest."""
    annotated = json.loads((folder / "reps.json").read_text())
    with (folder / "metadata_label.csv").open() as file:
        rows = {row["video"].removesuffix(".mp4"): row for row in csv.DictReader(file)}
    for video, row in rows.items():
        if row["exercise"] not in EXERCISE:
            continue
        joints = np.load(folder / f"{video}.npz")
        array = joints[next(k for k in ("keypoints", "poses", "joints") if k in joints)]
        keypoints, scores, _, _ = to_coco17(array, "rmd16", FPS)
        times = np.arange(len(keypoints)) / FPS
        spans = annotated[video]["reps"]
        for index, (label, (onset, offset)) in enumerate(zip(labels(row, len(spans)), spans, strict=False)):
            hips = keypoints[onset:offset, 11:13, 1].mean(axis=1)
            turn = onset + int(np.argmax(hips))
            inside = slice(max(0, onset - 12), offset + 1)
            yield (
                video,
                label,
                Repetition(
                    id=f"{LOCAL_STREAM}/{video}/{onset}",
                    stream=LOCAL_STREAM,
                    track_id=int(video.removeprefix("vid_")),
                    status=Status.CONFIRMED,
                    onset_s=onset / FPS,
                    turn_s=turn / FPS,
                    offset_s=offset / FPS,
                    decided_s=offset / FPS,
                    set_index=1,
                    index=index + 1,
                    exercise=EXERCISE[row["exercise"]],
                    exercise_probability=1.0,
                    confidence=1.0,
                    window=PoseWindow(times[inside], keypoints[inside], scores[inside]),
                ),
            )


def show_measures(group: Sequence[Assessment], names: Sequence[str]) -> None:
    for name in names:
        values = [v for a in group for k, v in a.measures.items() if k == name and v is not None]
        if values:
            low, middle, high = np.percentile(values, [10, 50, 90])
            print(f"      {name}: {low:.3g} / {middle:.3g} / {high:.3g} (n={len(values)})")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds rmd/")
    parser.add_argument("--measures", nargs="*", default=[])
    options = parser.parse_args(arguments)
    processor = AssessProcessor(load_catalogue())
    groups: dict[tuple[str, str], list[Assessment]] = defaultdict(list)
    for _, label, event in repetitions(options.data / "rmd"):
        groups[(event.exercise, label)] += processor.on_item(event)
    right = wrong = missed = passed = 0
    for (exercise, label), group in sorted(groups.items()):
        named = Counter(e.code for a in group for e in a.errors)
        target = SAYS.get(label, "")
        hidden = sum(target in a.not_observable for a in group)
        flagged = sum(bool(a.errors) for a in group)
        if label == "correct":
            wrong, passed = wrong + flagged, passed + len(group) - flagged
        else:
            right, missed = right + flagged, missed + len(group) - flagged
        print(f"{exercise:6s} {label:32s} n={len(group):3d}  flagged {flagged:3d}  {target} hidden {hidden}  "
              f"score {np.mean([a.score for a in group]):5.1f}  {dict(named.most_common())}")  # fmt: skip
        show_measures(group, options.measures)
    print(f"wrong: precision {right / max(right + wrong, 1):.2f} recall {right / max(right + missed, 1):.2f}; "
          f"{wrong} of {wrong + passed} correct repetitions blamed")  # fmt: skip


if __name__ == "__main__":
    main()
