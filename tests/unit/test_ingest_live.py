"""Which pictures of a camera are analysed, and how a hanging camera is told."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.adapters.slot import Newest
from services.ingest.core.live import LiveSampler, LoadControl, SkipReason
from services.ingest.core.still import HangDetector


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(st.floats(0.005, 0.3), min_size=50, max_size=200),
    rate=st.floats(1, 30),
    factor=st.sampled_from([1.0, 0.8, 0.5, 0.2]),
)
def test_never_more_than_the_rate_and_every_picture_has_a_verdict(
    steps: list[float], rate: float, factor: float
) -> None:
    sampler = LiveSampler(rate)
    sampler.change(rate, factor)
    times = np.cumsum(steps)
    verdicts = Counter(sampler.offer(float(t)) for t in times)
    span_s = float(times[-1] - times[0])
    assert verdicts[None] <= span_s * rate * factor + 2
    assert verdicts.total() == len(steps)
    assert set(verdicts) <= {None, SkipReason.RATE, SkipReason.LOAD}
    assert (verdicts[SkipReason.LOAD] == 0) or factor < 1


def test_a_rate_is_kept_evenly() -> None:
    sampler = LiveSampler(10.0)
    kept = [i / 30 for i in range(900) if sampler.offer(i / 30) is None]
    assert len(kept) == 300
    assert np.diff(kept) == pytest.approx(np.full(299, 0.1), abs=1e-9)


def test_a_rate_may_be_changed_while_running() -> None:
    sampler = LiveSampler(None)
    assert all(sampler.offer(i / 25) is None for i in range(25))
    sampler.change(None, 0.5, camera_fps=25.0)
    verdicts = Counter(sampler.offer(1 + i / 25) for i in range(50))
    assert verdicts[None] == pytest.approx(25, abs=1)
    sampler.change(5.0, 1.0)
    assert Counter(sampler.offer(3 + i / 25) for i in range(50))[None] == pytest.approx(10, abs=1)
    with pytest.raises(ValueError, match="factor"):
        sampler.change(5.0, 0.0)


def test_under_load_the_rate_falls_until_all_that_is_sampled_is_sent_and_rises_again() -> None:
    """A taker that manages 4 pictures a second, of 10 wanted; then one that manages all."""
    control = LoadControl()
    for _ in range(20):
        offered = round(10 * control.factor)
        control.update(sent=min(4, offered), replaced=max(0, offered - 4))
    assert 0.3 <= control.factor <= 0.55
    for _ in range(40):
        control.update(sent=round(10 * control.factor), replaced=0)
    assert control.factor == 1.0


def test_those_behind_can_ask_for_less_but_never_for_nothing() -> None:
    control = LoadControl(least=0.2)
    for _ in range(50):
        control.update(sent=5, replaced=0, behind=True)
    assert control.factor == 0.2


def test_idle_seconds_change_nothing() -> None:
    control = LoadControl()
    control.update(sent=0, replaced=9)
    low = control.factor
    for _ in range(20):
        control.update(sent=0, replaced=0)
    assert control.factor == low < 1


def test_the_newest_wins_in_the_slot() -> None:
    slot: Newest[int] = Newest()
    assert not slot.put(1)
    assert slot.put(2)
    assert slot.take() == 2
    assert not slot.put(3)
    slot.close()
    assert slot.take() == 3
    assert slot.take() is None


def watch(detector: HangDetector, seconds: float, start_s: float, *, same: bool, bytes_per_s: float) -> list[bool]:
    n = round(seconds * 10)
    return [detector.add(start_s + i / 10, same=same, size_bytes=round(bytes_per_s / 10)) for i in range(n)]


def test_a_hanging_camera_is_told_from_a_quiet_room() -> None:
    for bytes_per_s, hangs in ((100_000, True), (8_000, False)):
        detector = HangDetector()
        assert not any(watch(detector, 20, 0, same=False, bytes_per_s=100_000))
        found = watch(detector, 30, 20, same=True, bytes_per_s=bytes_per_s)
        assert found[-1] is hangs
        if hangs:
            assert 45 <= found.index(True) <= 55  # after five seconds
        assert not any(watch(detector, 5, 50, same=False, bytes_per_s=100_000))


def test_no_room_is_still_for_a_minute_to_the_last_bit() -> None:
    detector = HangDetector()
    watch(detector, 10, 0, same=False, bytes_per_s=100_000)
    found = watch(detector, 70, 10, same=True, bytes_per_s=1_000)
    assert not found[550]
    assert found[-1]


def test_a_camera_that_hangs_from_the_start_is_found() -> None:
    found = watch(HangDetector(), 70, 0, same=True, bytes_per_s=50_000)
    assert not found[100]
    assert found[-1]
