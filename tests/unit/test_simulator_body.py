"""The simulated body: limbs keep their length, feet keep their place, poses are what their channels say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.simulator import generic
from training.simulator.body import Body, J, two_bones
from training.simulator.channels import NEUTRAL, C, mirrored, posture
from training.simulator.edit import MIRROR_3D
from training.simulator.exercises import VARIANTS
from training.simulator.generate import make_motion, sample_session
from training.simulator.mistakes import MISTAKES

LIMBS = [
    (f"{s}_{a}", f"{s}_{b}")
    for s in ("left", "right")
    for a, b in (
        ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "hand"), ("hip", "knee"), ("knee", "ankle"),
        ("ankle", "heel"), ("ankle", "toe"), ("heel", "toe"),
    )
]  # fmt: skip
LIMBS += [("pelvis", "spine"), ("spine", "neck"), ("neck", "left_shoulder"), ("left_hip", "right_hip")]
LIMBS += [("nose", "left_ear")]


def lengths(joints: np.ndarray) -> np.ndarray:
    pairs = np.array([(J[a], J[b]) for a, b in LIMBS])
    return np.linalg.norm(joints[:, pairs[:, 0]] - joints[:, pairs[:, 1]], axis=2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_limbs_keep_their_length_in_any_session(seed: int) -> None:
    motion = sample_session(np.random.default_rng(seed), duration_s=15.0, fps=10.0).motion
    limb = lengths(motion.joints.astype(np.float64))
    np.testing.assert_allclose(limb, np.broadcast_to(limb[:1], limb.shape), atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=len(NEUTRAL), max_size=len(NEUTRAL)), st.integers(0, 1000))
def test_limbs_keep_their_length_whatever_the_channels(values: list[float], seed: int) -> None:
    body = Body.sample(np.random.default_rng(seed))
    away = np.array(values) * np.where(np.abs(NEUTRAL) <= 1, 0.5, 40.0)
    joints, grip = body.joints(np.stack([NEUTRAL, NEUTRAL + away]))
    assert np.isfinite(joints).all()
    np.testing.assert_allclose(lengths(joints)[1], lengths(joints)[0], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(grip, axis=2), 1.0, atol=1e-6)


def test_average_body_has_the_tables_proportions() -> None:
    joints, _ = Body.average(1.75).joints(NEUTRAL[None])
    limb = dict(zip(LIMBS, lengths(joints)[0], strict=True))
    assert limb["left_shoulder", "left_elbow"] == pytest.approx(0.186 * 1.75)
    assert limb["left_hip", "left_knee"] == pytest.approx(0.245 * 1.75)
    assert 1.70 < joints[0, J["head_top"], 1] < 1.80
    assert joints[0, J["left_shoulder"], 1] == pytest.approx(0.818 * 1.75, abs=0.04)


@pytest.mark.parametrize(
    "exercise", ["squat", "goblet_squat", "romanian_deadlift", "shoulder_press", "bicep_curl", "bent_over_row"]
)
def test_feet_stay_planted(exercise: str) -> None:
    codes = [c for c in MISTAKES[exercise] if c != "HEELS_LIFT"]
    motion = make_motion(exercise, np.random.default_rng(3), repetitions=3, mistakes=dict.fromkeys(codes[:3], 0.8))
    for name in ("left_ankle", "right_ankle", "left_toe", "right_toe", "left_heel", "right_heel"):
        path = motion.joints[:, J[name]]
        assert np.ptp(path, axis=0).max() < 1e-3, name


def test_lunge_keeps_the_standing_foot_and_every_toe_above_the_floor() -> None:
    motion = make_motion("lunge", np.random.default_rng(1), side="left", repetitions=3)
    assert np.ptp(motion.joints[:, J["right_toe"]], axis=0).max() < 1e-3
    assert motion.joints[:, [J["left_toe"], J["right_toe"], J["left_heel"]], 1].min() > -1e-3
    assert np.ptp(motion.joints[:, J["left_ankle"], 2]) > 0.5


def test_knees_and_elbows_bend_the_right_way() -> None:
    joints, _ = Body.average().joints(posture({"thigh": 90.0, "shin": 30.0, "elbow": 90.0})[None])
    for side in ("left", "right"):
        assert joints[0, J[f"{side}_knee"], 2] > joints[0, J[f"{side}_hip"], 2] + 0.2
        assert joints[0, J[f"{side}_wrist"], 2] > joints[0, J[f"{side}_elbow"], 2] + 0.2
    assert joints[0, J["left_hip"], 0] > 0 > joints[0, J["right_hip"], 0]
    assert joints[0, J["nose"], 2] > joints[0, J["left_ear"], 2]


def test_supine_knees_point_up_and_hands_are_over_the_chest() -> None:
    motion = make_motion("chest_press", np.random.default_rng(0), repetitions=1)
    start = motion.joints[0]
    assert start[J["left_knee"], 1] > start[J["left_ankle"], 1] + 0.3
    assert start[J["left_wrist"], 1] > start[J["left_shoulder"], 1] + 0.4
    assert motion.support == "bench"


@pytest.mark.parametrize("exercise", list(VARIANTS))
def test_weights_never_pass_through_the_floor(exercise: str) -> None:
    for variant in range(len(VARIANTS[exercise])):
        motion = make_motion(exercise, np.random.default_rng(2), repetitions=2, variant=variant)
        hands = motion.joints[:, [J["left_hand"], J["right_hand"]], 1]
        assert hands.min() > 0.03


def test_push_up_lowers_the_chest_over_planted_hands() -> None:
    form = generic.GENERIC["push_up"]
    top, low = (Body.average().joints(posture({**form.stance, **p})[None])[0][0] for p in (form.rest, form.far))
    assert low[J["neck"], 1] < top[J["neck"], 1] - 0.2
    np.testing.assert_allclose(low[J["left_wrist"]], top[J["left_wrist"]], atol=0.02)
    assert low[J["left_knee"], 1] > 0.02


def test_mirrored_channels_give_mirrored_joints() -> None:
    rng = np.random.default_rng(4)
    channels = NEUTRAL + rng.normal(0, 8, (20, len(NEUTRAL))) * (np.abs(NEUTRAL) > 1)
    channels[:, C["ref"]] = rng.random(20)
    body = Body.average()
    joints, flipped = body.joints(channels)[0], body.joints(mirrored(channels))[0]
    np.testing.assert_allclose(flipped, joints[:, MIRROR_3D] * [-1, 1, 1], atol=1e-9)


def test_two_bones_reach_a_target_within_reach() -> None:
    start, target = np.zeros((1, 3)), np.array([[0.1, -0.5, 0.2]])
    middle, end = two_bones(start, target, np.array([[0.0, 0.0, 1.0]]), 0.4, 0.4)
    np.testing.assert_allclose(end, target, atol=1e-12)
    assert np.linalg.norm(middle) == pytest.approx(0.4)
    assert middle[0, 2] > 0.1
