"""The shipped network on recorded poses of real people (they are not in the repository)."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from services.common.layouts import to_coco17
from services.common.types import LOCAL_STREAM, PoseFrame, TrackedPose
from tests.unit.segment_scene import confirmed, segment

DATA = Path(os.environ.get("FORMCHECK_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not (DATA / "rmd").is_dir(), reason=f"no recorded poses at {DATA / 'rmd'}"),
]


def frames(name: str) -> list[PoseFrame]:
    array = np.load(DATA / "rmd" / f"{name}.npz")["joints"]
    keypoints, scores, width, height = to_coco17(array, "rmd16", 30)
    box = np.array([0, 0, width, height], np.float32)
    return [
        PoseFrame(LOCAL_STREAM, i, i / 30, width, height, (TrackedPose(1, k, s, box),))
        for i, (k, s) in enumerate(zip(keypoints, scores, strict=True))
    ]


def test_real_squats_and_lunges_are_found() -> None:
    """Of seven videos, 85 in a hundred repetitions are found in their place."""
    truth = json.loads((DATA / "rmd" / "reps.json").read_text())
    names = [k for k, v in truth.items() if v["class"] != "plank"][::4]
    hits = total = found_total = 0
    for name in names:
        found = confirmed(segment(frames(name)))
        found_total += len(found)
        for start, stop in truth[name]["reps"]:
            total += 1
            middle = 0.5 * (start + stop) / 30
            hits += any(r.onset_s < middle < (r.offset_s or 0) for r in found)
    assert total >= 30
    assert hits >= 0.85 * total
    assert found_total <= 1.1 * total


def test_a_plank_is_no_repetition() -> None:
    truth = json.loads((DATA / "rmd" / "reps.json").read_text())
    plank = next(k for k, v in truth.items() if v["class"] == "plank")
    assert len(confirmed(segment(frames(plank)[:900]))) <= 1
