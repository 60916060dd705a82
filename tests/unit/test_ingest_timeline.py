"""Timestamps to event time, and choosing frames by time."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core.sampling import RateSampler
from services.ingest.core.timeline import STALLED, Cadence, Timeline

PERIOD_S = 0.04
any_time = st.none() | st.floats(-1e9, 1e9) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e300])


def place_all(times: list[float | None], period_s: float = PERIOD_S) -> list[float | None]:
    timeline = Timeline(period_s)
    return [timeline.place(t) for t in times]


@given(st.lists(any_time, max_size=200))
def test_event_time_strictly_increases_whatever_the_timestamps(times: list[float | None]) -> None:
    placed = [t for t in place_all(times) if t is not None]
    assert all(math.isfinite(t) and t >= 0 for t in placed)
    assert all(a < b for a, b in pairwise(placed))


@given(st.lists(st.floats(1e-3, 200.0), min_size=1, max_size=100), st.floats(0, 100))
def test_a_sane_clock_comes_out_unchanged(steps_s: list[float], first_s: float) -> None:
    times = [first_s]
    for step_s in steps_s:
        times.append(times[-1] + step_s)
    assert place_all(list(times)) == times


@given(st.integers(5, 60), st.data())
def test_one_bad_timestamp_shifts_none_of_the_good_ones(count: int, data: st.DataObject) -> None:
    times: list[float | None] = [i * PERIOD_S for i in range(count)]
    at = data.draw(st.integers(1, count - 3))
    times[at] = data.draw(st.sampled_from([None, times[at - 1], times[0]]))
    placed = place_all(times)
    assert [t for i, t in enumerate(placed) if i != at] == [t for i, t in enumerate(times) if i != at]


def test_frames_without_timestamps_are_counted() -> None:
    assert place_all([None] * 4) == pytest.approx([0, 0.04, 0.08, 0.12])


def test_a_clock_that_stands_still_is_replaced_by_counting() -> None:
    placed = [t for t in place_all([0.0] * 50) if t is not None]
    assert len(placed) == 50 - (STALLED - 1)
    assert placed[-1] == pytest.approx(PERIOD_S * (len(placed) - 1))


@pytest.mark.parametrize("jump_s", [95443.7, -20.0, -5000.0, 1e7])
def test_a_wrap_or_splice_goes_on_without_a_gap(jump_s: float) -> None:
    """33-bit clocks wrap after 26.5 hours; files are joined end to end."""
    first = [i * PERIOD_S + 30 for i in range(50)]
    second = [first[-1] + jump_s + i * PERIOD_S for i in range(50)]
    placed = [t for t in place_all([*first, *second]) if t is not None]
    assert len(placed) >= 98
    assert max(b - a for a, b in pairwise(placed)) < 0.1


def test_a_pause_of_minutes_is_kept() -> None:
    assert place_all([0.0, 0.04, 240.0, 240.04]) == [0.0, 0.04, 240.0, 240.04]


def test_the_first_frame_may_be_late_but_not_absurdly_so() -> None:
    assert Timeline(PERIOD_S).place(1.5) == 1.5
    assert Timeline(PERIOD_S).place(1e6) == 0.0
    assert Timeline(PERIOD_S, near_s=5000.0).place(4999.0) == 4999.0


@pytest.mark.parametrize("period_s", [0.0, -1.0, math.nan, math.inf])
def test_an_absurd_period_is_refused(period_s: float) -> None:
    with pytest.raises(ValueError, match="period_s"):
        Timeline(period_s)


def kept(times: list[float], rate_fps: float | None) -> list[float]:
    sampler = RateSampler(rate_fps)
    return [t for t in times if sampler.keep(t)]


@pytest.mark.parametrize(("source_fps", "rate_fps", "every"), [(60, 30, 2), (30, 30, 1), (30, 10, 3), (120, 30, 4)])
def test_whole_ratios_keep_every_nth_frame_despite_jitter(source_fps: int, rate_fps: int, every: int) -> None:
    jitter = [0.0, 0.15, -0.15, 0.1, -0.1]
    times = [max(0.0, i + jitter[i % 5]) / source_fps for i in range(400)]
    assert kept(times, rate_fps) == times[::every]


@given(st.lists(st.floats(1e-3, 0.5), min_size=1, max_size=300), st.floats(1, 60))
def test_never_more_than_the_wanted_rate(steps_s: list[float], rate_fps: float) -> None:
    times = [0.0]
    for step_s in steps_s:
        times.append(times[-1] + step_s)
    chosen = kept(times, rate_fps)
    assert chosen[0] == times[0]
    assert len(chosen) <= times[-1] * rate_fps + 2
    slow = [b for a, b in pairwise(times) if b - a > 1 / rate_fps]
    assert set(slow) <= set(chosen), "a source slower than the rate loses nothing"


@given(st.lists(st.floats(1e-3, 0.2), min_size=2, max_size=200), st.floats(2, 40), st.data())
def test_reading_from_the_middle_finds_the_same_slots(steps_s: list[float], rate: float, data: st.DataObject) -> None:
    times = [0.0]
    for step_s in steps_s:
        times.append(times[-1] + step_s)
    start = data.draw(st.integers(0, len(times) - 1))
    whole, part = kept(times, rate), kept(times[start:], rate)
    assert [t for t in whole if t > part[0]] == part[1:]


def test_without_a_rate_every_frame_is_kept() -> None:
    assert kept([0.0, 0.001, 0.0011], None) == [0.0, 0.001, 0.0011]


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="rate_fps"):
        RateSampler(0)


@pytest.mark.parametrize(
    ("steps_s", "variable"), [([0.04], False), ([0.033, 0.034, 0.033], False), ([0.04, 0.08], True)]
)
def test_cadence_tells_variable_from_constant(steps_s: list[float], variable: bool) -> None:
    cadence, time_s = Cadence(), 0.0
    for i in range(100):
        cadence.add(time_s)
        time_s += steps_s[i % len(steps_s)]
    assert cadence.variable is variable
