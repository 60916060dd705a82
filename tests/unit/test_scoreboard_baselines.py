"""The plain methods, on a stick figure that curls one arm."""

import numpy as np
import pytest

from bench.scoreboard.baselines import joint_angles, joint_thresholds, main_body, pca_peaks
from services.common.skeleton import INDEX
from services.common.types import LOCAL_STREAM, PoseFrame, TrackedPose

FPS = 30.0


def curls(elbow_deg: np.ndarray) -> list[PoseFrame]:
    """A person from the side whose right elbow has these interior angles; another one stands for a moment."""
    body = np.full((17, 2), 0.0)
    for name, at in {"shoulder": (100, 100), "hip": (100, 200), "knee": (100, 260), "ankle": (100, 320)}.items():
        for k, side in enumerate(("left", "right")):
            body[INDEX[f"{side}_{name}"]] = np.array(at) + 6 * k
    frames = []
    for i, angle in enumerate(np.radians(elbow_deg)):
        k = body.copy()
        for side, a in (("left", np.radians(170.0)), ("right", angle)):
            elbow = k[INDEX[f"{side}_shoulder"]] + (0, 55)
            k[INDEX[f"{side}_elbow"]] = elbow
            k[INDEX[f"{side}_wrist"]] = elbow + 50 * np.array([np.sin(a), -np.cos(a)])
        people = [TrackedPose(7, k.astype(np.float32), np.full(17, 0.9, np.float32), np.zeros(4, np.float32))]
        if i < 5:
            people.append(TrackedPose(2, np.zeros((17, 2), np.float32), np.ones(17, np.float32), people[0].box))
        frames.append(PoseFrame(LOCAL_STREAM, i, i / FPS, 200, 400, tuple(people)))
    return frames


@pytest.fixture(scope="module")
def three() -> list[PoseFrame]:
    """Three curls of 2 s (170° to 45°), a second of rest before, between and after."""
    one = 107.5 + 62.5 * np.cos(np.linspace(0, 2 * np.pi, 60, endpoint=False))
    rest = np.full(30, 170.0)
    return curls(np.concatenate([rest, one, rest, one, rest, one, rest]))


def test_the_angle_of_a_joint_of_the_one_who_stays(three: list[PoseFrame]) -> None:
    body = main_body(three)
    assert joint_angles(body.keypoints)["elbow", "right"][0] == pytest.approx(170.0, abs=0.1)
    assert joint_angles(body.keypoints)["elbow", "right"][60] == pytest.approx(45.0, abs=0.1)
    assert joint_angles(body.keypoints)["knee", "left"][0] == pytest.approx(180.0, abs=0.1)


def test_thresholds_count_curls_and_decide_at_once(three: list[PoseFrame]) -> None:
    found = joint_thresholds(three)
    assert len(found) == 3
    for k, rep in enumerate(found):
        start = 1.0 + 3.0 * k
        assert start < rep.onset_s < start + 0.7  # the joint has to leave the threshold first
        assert rep.turn_s == pytest.approx(start + 1.0, abs=0.2)
        assert rep.decided_s == rep.offset_s
        assert start + 1.3 < rep.offset_s < start + 2.2


def test_thresholds_know_nothing_of_what_comes(three: list[PoseFrame]) -> None:
    whole = joint_thresholds(three)
    for cut in (100, 200, 260):
        assert joint_thresholds(three[:cut]) == [r for r in whole if r.offset_s <= three[cut - 1].time_s]


def test_peaks_of_the_first_component_are_the_turns(three: list[PoseFrame]) -> None:
    found = pca_peaks(three)
    assert [r.turn_s for r in found] == pytest.approx([2.0, 5.0, 8.0], abs=0.15)
    assert all(r.onset_s < r.turn_s < r.offset_s for r in found if r.turn_s is not None)
    assert [r.onset_s for r in found] == pytest.approx([1.0, 4.0, 7.0], abs=0.5)


def test_nobody_and_a_still_person_have_no_repetitions() -> None:
    nobody = [PoseFrame(LOCAL_STREAM, i, i / FPS, 200, 400, ()) for i in range(60)]
    for frames in (nobody, curls(np.full(90, 170.0))):
        assert joint_thresholds(frames) == []
        assert pca_peaks(frames) == []
