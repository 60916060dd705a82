"""The fast resampling of training sees what the service's resampling sees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.segment.core.resample import TICK_S, resample
from training.segment.resample_fast import resample_fast

TICKS = 60


@settings(max_examples=60, deadline=None)
@given(
    fps=st.sampled_from([7.5, 8, 12, 15, 24, 29.97, 30, 60]),
    jitter=st.sampled_from([0.0, 0.3]),
    kept=st.floats(0.4, 1.0),
    seed=st.integers(0, 10_000),
)
def test_sparse_is_dense(fps: float, jitter: float, kept: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.arange(0, TICKS * TICK_S, 1 / fps)
    times = np.sort(times + rng.uniform(0, jitter / fps, len(times)))
    times = times[rng.random(len(times)) <= kept] if kept < 1 else times
    if len(times) == 0:
        return
    keypoints = rng.normal(300, 80, (len(times), 17, 2)).astype(np.float32)
    scores = rng.random((len(times), 17)).astype(np.float32)
    slow = resample(times, keypoints, scores, np.arange(TICKS) * TICK_S)
    fast = resample_fast(times, keypoints, scores, TICKS)
    for a, b in zip(slow, fast, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


@pytest.mark.parametrize("at", [0.0, 1.0, 2.0])
def test_a_frame_just_one_tick_away_does_not_make_a_joint_seen(at: float) -> None:
    times = np.array([at * TICK_S, (at + 9) * TICK_S])
    keypoints, scores = np.full((2, 17, 2), 100, np.float32), np.full((2, 17), 0.9, np.float32)
    places, level = resample(times, keypoints, scores, np.array([(at + 1) * TICK_S, (at + 8) * TICK_S]))
    assert level.max() < 0.3
    assert np.isfinite(places).all()
