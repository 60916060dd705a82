"""The demo clip that the repository carries."""

import json
from itertools import pairwise

import av
import numpy as np

from tests.conftest import ROOT

VIDEO = ROOT / "assets" / "demo.mp4"
TRUTH = ROOT / "assets" / "demo.json"


def test_the_demo_is_small_and_plays_as_its_truth_says() -> None:
    assert VIDEO.stat().st_size <= 1_000_000
    truth = json.loads(TRUTH.read_text())
    with av.open(str(VIDEO)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (truth["width_px"], truth["height_px"])
        assert float(stream.average_rate) == truth["fps"]
        assert sum(1 for _ in container.demux(stream)) - 1 == truth["frames"]


def test_the_demo_has_two_sets_of_which_the_second_has_one_mistake() -> None:
    truth = json.loads(TRUTH.read_text())
    (person,) = truth["people"]
    repetitions = person["repetitions"]
    assert [sorted(r["mistakes"]) for r in repetitions] == [[]] * 5 + [["TORSO_SWING"]] * 4
    gaps = [b["onset_s"] - a["offset_s"] for a, b in pairwise(repetitions)]
    assert gaps[4] > 5
    assert max(gaps[:4] + gaps[5:]) < 2
    reps = truth["clips"]["demo.mp4"]["reps"]
    assert [r["form"] for r in reps] == ["correct"] * 5 + ["wrong"] * 4
    keypoints = np.array(person["keypoints_px"])
    assert keypoints.shape == (truth["frames"], 17, 2)
    assert (keypoints > 0).all()
    assert (keypoints < [truth["width_px"], truth["height_px"]]).all()
    # the wrists go up and down as often as there are repetitions
    wrist = keypoints[:, 9, 1] - keypoints[:, 7, 1]
    high = (wrist < 0).astype(int)
    assert int((np.diff(high) == 1).sum()) == len(repetitions)
