"""Rendered lifters through the whole pipeline: the real pose network, the shipped segmentation, the shipped rules."""

import json
from pathlib import Path

import pytest

from bench import rendered, scenes
from services.local.pipeline import AnalyzeOptions, analyze
from training.render.cache import rendered_folder
from training.render.clips import Clip, clip_scene, write_clip
from training.render.scenes import gym_scene
from training.render.video import write_scene

pytestmark = [pytest.mark.gl, pytest.mark.slow]

CLIPS = (
    Clip("bicep_curl", "front_side", "TORSO_SWING", 110),
    Clip("squat", "side", None, 105),
)
FPS = 20.0
REPETITIONS = 3


def clip_video(clip: Clip) -> Path:
    """The short, small version of a clip, rendered once per version of the renderer."""
    folder = rendered_folder("tests")
    video = folder / f"{clip.name}.mp4"
    if not (video.exists() and video.with_suffix(".json").exists()):
        write_clip(clip, folder, clip_scene(clip, fps=FPS, repetitions=REPETITIONS, size_px=(360, 360)))
    return video


@pytest.mark.parametrize("clip", CLIPS, ids=lambda c: c.name)
def test_a_rendered_clip_is_counted_timed_and_judged(clip: Clip) -> None:
    row = rendered.run_clip(clip_video(clip), AnalyzeOptions(thumbnails=False))
    assert row.found_count == row.true_count == REPETITIONS
    assert row.boundaries_hit >= 2 * REPETITIONS - 1, (row.onset_errors_s, row.offset_errors_s)
    if clip.mistake:
        assert row.named, f"{clip.mistake} is not among {row.errors}"
    else:
        assert row.errors == {}


def test_two_people_who_cross_keep_their_identities_and_counts() -> None:
    folder = rendered_folder("tests")
    video = folder / "swap.mp4"
    if not (video.exists() and video.with_suffix(".json").exists()):
        write_scene(gym_scene("swap", 7, fps=15, size_px=(640, 360), repetitions=2), folder, "swap", view="front")
    truth = json.loads(video.with_suffix(".json").read_text())
    assert len(truth["people"]) == 2
    row = scenes.score("swap", truth, analyze(str(video), AnalyzeOptions(thumbnails=False)).people)
    assert row.crossings == row.crossings_kept == 1
    assert row.switches == 0
    assert row.idf1 >= 0.95
    assert row.counts_right, row.counts
