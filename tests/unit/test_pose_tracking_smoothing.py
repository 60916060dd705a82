"""Smoothing: steadier, hardly later, never believing a joint that jumps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.skeleton import INDEX, MIRROR, VISIBLE_MIN
from services.pose.core.smoothing import HIDDEN_MAX, JointFilter
from tests.unit.pose_scene import STANDING

SIZE_PX = 100.0
WRIST = INDEX["left_wrist"]


def curl(time_s: np.ndarray, period_s: float) -> np.ndarray:
    """(T, 17, 2) px: the left forearm curls, the rest stands still; turns at odd multiples of half a period."""
    poses = np.repeat(STANDING[None], len(time_s), axis=0)
    angle = np.pi * 0.38 * (1 - np.cos(2 * np.pi * time_s / period_s))
    poses[:, WRIST] = poses[:, INDEX["left_elbow"]] + 0.46 * np.stack([0.3 * np.sin(angle), np.cos(angle)], axis=1)
    return poses * SIZE_PX + 300.0


def smooth(poses: np.ndarray, scores: np.ndarray, time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    f = JointFilter()
    out = [f.step(k, s, t, SIZE_PX) for k, s, t in zip(poses, scores, time_s, strict=True)]
    return np.stack([k for k, _ in out]), np.stack([s for _, s in out])


def good(count: int) -> np.ndarray:
    return np.full((count, 17), 0.8)


@pytest.mark.parametrize("fps", [15.0, 30.0, 60.0])
@pytest.mark.parametrize("period_s", [0.9, 1.5, 3.0])
def test_turns_are_less_than_50_ms_late(fps: float, period_s: float) -> None:
    time_s = np.arange(0, 6 * period_s, 1 / fps)
    poses = curl(time_s, period_s)
    out, scores = smooth(poses, good(len(time_s)), time_s)
    fine = np.arange(period_s, 5 * period_s, 0.001)

    def turns(height: np.ndarray) -> np.ndarray:
        curve = np.interp(fine, time_s, height)
        # The middle of the time spent near the top: a maximum itself is flat and falls between samples.
        high = curve < curve.min() + 0.3 * np.ptp(curve)
        edges = np.flatnonzero(np.diff(high.astype(int)))
        return fine[edges[: len(edges) // 2 * 2]].reshape(-1, 2).mean(axis=1)

    late = turns(out[:, WRIST, 1]) - turns(poses[:, WRIST, 1])
    assert len(late) >= 3
    assert np.abs(late).max() < 0.05
    assert (scores >= VISIBLE_MIN).all()


def test_the_range_of_a_fast_curl_is_kept() -> None:
    time_s = np.arange(0, 6, 1 / 30)
    poses = curl(time_s, 1.0)
    out, _ = smooth(poses, good(len(time_s)), time_s)
    assert np.ptp(out[30:, WRIST, 1]) > 0.95 * np.ptp(poses[30:, WRIST, 1])


def test_jitter_of_a_resting_joint_is_at_least_halved() -> None:
    rng = np.random.default_rng(5)
    time_s = np.arange(0, 10, 1 / 30)
    poses = curl(np.zeros_like(time_s), 1.0)
    noisy = poses + rng.normal(0, 0.01 * SIZE_PX, poses.shape)
    out, _ = smooth(noisy, good(len(time_s)), time_s)
    jitter = np.abs(np.diff(out[30:], axis=0)).mean() / np.abs(np.diff(noisy[30:], axis=0)).mean()
    assert jitter < 0.5


def test_a_wrist_that_snaps_to_the_other_one_and_back_is_hidden_meanwhile() -> None:
    time_s = np.arange(0, 2, 1 / 30)
    poses = curl(np.zeros_like(time_s), 1.0)
    other = poses[0, INDEX["right_wrist"]]
    poses[30, WRIST] = other
    out, scores = smooth(poses, good(len(time_s)), time_s)
    assert scores[30, WRIST] <= HIDDEN_MAX
    assert (np.delete(scores[:, WRIST], 30) >= VISIBLE_MIN).all()
    assert np.hypot(*(out[30, WRIST] - out[29, WRIST])) < 0.02 * SIZE_PX


def test_a_wrist_that_stays_where_it_jumped_to_is_believed_soon() -> None:
    time_s = np.arange(0, 2, 1 / 30)
    poses = curl(np.zeros_like(time_s), 1.0)
    poses[30:, WRIST] += [0.8 * SIZE_PX, 0.0]
    out, scores = smooth(poses, good(len(time_s)), time_s)
    assert scores[30, WRIST] <= HIDDEN_MAX
    assert (scores[34:, WRIST] >= VISIBLE_MIN).all()
    assert np.allclose(out[36, WRIST], poses[36, WRIST], atol=0.02 * SIZE_PX)


def test_a_shaking_camera_hides_nothing() -> None:
    time_s = np.arange(0, 2, 1 / 30)
    poses = curl(np.zeros_like(time_s), 1.0)
    poses[30:33] += [0.9 * SIZE_PX, 0.3 * SIZE_PX]
    _, scores = smooth(poses, good(len(time_s)), time_s)
    assert (scores >= VISIBLE_MIN).all()


def test_a_hidden_joint_stays_hidden_and_moves_little() -> None:
    rng = np.random.default_rng(2)
    time_s = np.arange(0, 2, 1 / 30)
    poses = curl(np.zeros_like(time_s), 1.0)
    scores = good(len(time_s))
    scores[20:40, WRIST] = 0.1
    poses[20:40, WRIST] += rng.normal(0, 0.2 * SIZE_PX, (20, 2))
    out, after = smooth(poses, scores, time_s)
    assert (after[20:40, WRIST] < VISIBLE_MIN).all()
    assert np.abs(np.diff(out[20:40, WRIST], axis=0)).mean() < 0.3 * np.abs(np.diff(poses[20:40, WRIST], axis=0)).mean()


@given(seed=st.integers(0, 10_000), scale=st.floats(0.2, 5.0), gap=st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_mirrored_and_scaled_in_is_mirrored_and_scaled_out(seed: int, scale: float, gap: int) -> None:
    rng = np.random.default_rng(seed)
    time_s = np.cumsum(rng.choice([1 / 60, 1 / 30, 1 / 15], 40))
    time_s[20:] += gap / 30
    poses = curl(time_s, 1.3) + rng.normal(0, 3, (40, 17, 2))
    poses[rng.integers(5, 40), WRIST] += 90
    scores = rng.uniform(0.0, 1.0, (40, 17))
    straight, seen = smooth(poses, scores, time_s)
    f = JointFilter()
    for i, t in enumerate(time_s):
        k, s = f.step((poses[i][MIRROR] * [-1, 1] + [640, 0]) * scale, scores[i][MIRROR], t, SIZE_PX * scale)
        assert np.allclose(k / scale, straight[i][MIRROR] * [-1, 1] + [640, 0], atol=1e-6)
        assert np.array_equal(s, seen[i][MIRROR])


def test_state_survives_saving() -> None:
    rng = np.random.default_rng(9)
    time_s = np.arange(0, 2, 1 / 30)
    poses, scores = curl(time_s, 1.0) + rng.normal(0, 8, (60, 17, 2)), rng.uniform(0, 1, (60, 17))
    a, b = JointFilter(), JointFilter()
    for i in range(60):
        if i == 30:
            b.load([x.copy() for x in a.arrays()])
        here = a.step(poses[i], scores[i], time_s[i], SIZE_PX)
        if i >= 30:
            there = b.step(poses[i], scores[i], time_s[i], SIZE_PX)
            assert all(np.array_equal(x, y) for x, y in zip(here, there, strict=True))
