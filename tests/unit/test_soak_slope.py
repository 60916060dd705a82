"""Slopes with errors, and what a soak says to them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.rig.slope import slope
from bench.soak import Samples, bounds, judge


@given(st.floats(-5, 5), st.floats(0, 1000), st.integers(8, 60))
@settings(max_examples=50, deadline=None)
def test_a_straight_line_is_found_exactly(per_min: float, start: float, count: int) -> None:
    times_s = np.arange(count) * 2.0
    found = slope(list(times_s), list(start + per_min * times_s / 60))
    assert found.per_min == pytest.approx(per_min, abs=1e-6)
    assert found.error == pytest.approx(0.0, abs=1e-6)
    assert found.grows_beyond(per_min - 0.1)
    assert not found.grows_beyond(per_min + 0.1)


def test_the_error_is_honest_for_noise_with_a_memory() -> None:
    """Of 300 flat series whose noise remembers, few have a slope of more than two errors."""
    rng = np.random.default_rng(0)
    times_s = np.arange(120) * 2.0
    beyond = 0
    for _ in range(300):
        noise = rng.normal(size=120)
        for i in range(1, 120):
            noise[i] += 0.7 * noise[i - 1]
        found = slope(list(times_s), list(noise))
        beyond += abs(found.per_min) > 2 * found.error
    assert beyond < 0.12 * 300


def test_too_few_samples_have_no_slope() -> None:
    with pytest.raises(ValueError, match="4 samples"):
        slope([0.0, 1.0, 2.0], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="different times"):
        slope([1.0] * 5, [1.0] * 5)


def test_a_leak_is_named_and_a_busy_but_flat_process_is_not() -> None:
    rng = np.random.default_rng(1)
    samples = Samples()
    for i in range(900):
        at_s = 2.0 * i
        samples.add(at_s, "leaky", rss_mb=200 + 3.0 * at_s / 60 + rng.normal(0, 2), threads=9 + at_s // 300)
        samples.add(at_s, "flat", rss_mb=300 + rng.normal(0, 15), threads=12 + rng.integers(0, 3))
    grown = {(v.process, v.what) for v in judge(samples, 30) if not v.good}
    assert ("leaky", "rss_mb") in grown
    assert not [g for g in grown if g[0] == "flat"]


def test_short_runs_may_grow_faster() -> None:
    assert bounds(2)["rss_mb"] > bounds(30)["rss_mb"] > 0
    assert bounds(2, "kafka")["files"] > bounds(2, "pose.1")["files"]
    assert bounds(30, "kafka")["rss_mb"] <= 6
