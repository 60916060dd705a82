"""Event time of cameras: monotone, bounded drift, jumps give new anchors."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.ingest.core.cameratime import CameraClock
from services.ingest.core.live import SkipReason

FPS = 25.0


def run(
    pts_s: list[float | None], arrival_s: list[float], clock: CameraClock | None = None
) -> list[float | SkipReason]:
    """Each packet is one picture, placed as it arrives."""
    clock = clock or CameraClock()
    placed = []
    for pts, arrival in zip(pts_s, arrival_s, strict=True):
        clock.observe(pts, arrival)
        placed.append(clock.place(pts))
    return placed


def steady(
    n: int, *, rate: float = 1.0, base_s: float = 1000.0, start_s: float = 50.0, fps: float = FPS
) -> tuple[list[float | None], list[float]]:
    """A camera whose clock runs at ``rate``: timestamps and the moments at which it saw the pictures."""
    seen = [start_s + i / fps for i in range(n)]
    return [base_s + (t - start_s) * rate for t in seen], seen


def times(placed: list[float | SkipReason]) -> list[float]:
    return [p for p in placed if not isinstance(p, SkipReason)]


def test_a_steady_camera_keeps_its_intervals_and_lies_where_it_arrives() -> None:
    pts, seen = steady(250)
    placed = run(pts, seen)
    found = times(placed)
    assert len(found) >= 240
    assert np.diff(found) == pytest.approx(np.full(len(found) - 1, 1 / FPS), abs=1e-9)
    assert found[-1] == pytest.approx(seen[-1], abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(0.995, 1.005),
    jitter_s=st.lists(st.floats(0, 0.3), min_size=40, max_size=40),
    seed=st.integers(0, 2**16),
)
def test_drift_is_corrected_and_jitter_is_not_followed(rate: float, jitter_s: list[float], seed: int) -> None:
    """A minute of a clock half a per cent off (300 ms in all), behind a network that delays by up to 0.3 s."""
    pts, seen = steady(1500, rate=rate)
    rng = np.random.default_rng(seed)
    delays = rng.choice(np.array([0.0, 0.0, *jitter_s]), len(seen))
    arrival = np.maximum.accumulate(np.array(seen) + delays).tolist()
    placed = run(pts, arrival)
    assert all(b > a for a, b in zip(times(placed), times(placed)[1:], strict=False))
    late = [(p, t) for p, t in zip(placed[500:], seen[500:], strict=True) if not isinstance(p, SkipReason)]
    assert len(late) > 900
    error = np.array([p - t for p, t in late])
    assert np.abs(error).max() < 0.15
    steps = np.diff([p for p, _ in late])
    assert steps.max() < 3 / FPS  # no gaps where there are none


@settings(max_examples=40, deadline=None)
@given(rate=st.floats(0.8, 1.2))
@example(rate=0.8)
@example(rate=1.2)
def test_a_clock_that_is_badly_off_still_follows_arrival(rate: float) -> None:
    pts, seen = steady(1500, rate=rate)
    clock = CameraClock()
    placed = run(pts, seen, clock)
    error = [abs(p - t) for p, t in zip(placed, seen, strict=True) if not isinstance(p, SkipReason)]
    assert max(error) < 2.0
    assert clock.counts.jumps == 0


event = st.one_of(
    st.tuples(st.just("frames"), st.integers(1, 40)),
    st.tuples(st.just("jump"), st.floats(-1e5, 1e5)),
    st.tuples(st.just("stall"), st.floats(0.1, 20)),
    st.tuples(st.just("gap"), st.floats(0.1, 20)),
    st.tuples(st.just("none"), st.integers(1, 5)),
    st.tuples(st.just("repeat"), st.integers(1, 5)),
    st.tuples(st.just("nonsense"), st.sampled_from([math.nan, math.inf, -math.inf, 1e18, -1e18])),
    st.tuples(st.just("mark"), st.floats(0, 2)),
)


@settings(max_examples=300, deadline=None)
@example([("frames", 1)] * 17 + [("stall", 12.0), ("stall", 20.0), ("stall", 20.0), ("nonsense", 1e18)])
@given(st.lists(event, max_size=30))
def test_whatever_comes_time_strictly_increases_and_never_runs_ahead(events: list[tuple[str, float]]) -> None:
    clock = CameraClock(floor_s=5.0)
    now_s, pts_s, last_s = 10.0, 500.0, 5.0
    for kind, value in events:
        wanted: list[float | None] = []
        if kind == "frames":
            wanted = [pts_s + (i + 1) / FPS for i in range(int(value))]
        elif kind == "jump":
            pts_s += value
        elif kind == "stall":
            now_s += value  # the pictures come later, in a burst
            wanted = [pts_s + (i + 1) / FPS for i in range(int(value * FPS))]
        elif kind == "gap":
            now_s += value
            pts_s += value
        elif kind == "none":
            wanted = [None] * int(value)
        elif kind == "repeat":
            wanted = [pts_s] * int(value)
        elif kind == "nonsense":
            wanted = [value]
        else:
            last_s = max(last_s, now_s - value)
            clock.advance(now_s - value)
        for pts in wanted:
            now_s += 0.001 if kind == "stall" else 1 / FPS
            if pts is not None and kind != "nonsense":
                pts_s = pts
            clock.observe(pts, now_s)
            placed = clock.place(pts)
            if isinstance(placed, SkipReason):
                continue
            assert placed > last_s
            assert placed <= now_s + 2.0 + 1e-3
            last_s = placed
    assert clock.last_s == last_s


def test_a_jump_and_a_wrap_give_a_new_anchor_and_no_hole() -> None:
    for jump_s in (-(2**33) / 90000, 3600.0, -30.0):
        pts, seen = steady(200)
        pts = [p + (jump_s if i >= 100 and p is not None else 0) for i, p in enumerate(pts) if p is not None]
        clock = CameraClock()
        found = times(run(pts, seen, clock))
        assert clock.counts.jumps == 1
        assert max(np.diff(found)) < 1.6 / FPS
        assert found[-1] == pytest.approx(seen[-1], abs=0.02)


def test_pictures_still_in_the_decoder_at_a_jump_keep_their_own_anchor() -> None:
    clock = CameraClock()
    pts, seen = steady(100)
    run(pts[:97], seen[:97], clock)
    for i in range(97, 100):  # their packets are read, their pictures come after the next packet
        clock.observe(pts[i], seen[i])
    clock.observe(7.0, seen[99] + 1 / FPS)
    placed = [clock.place(p) for p in (*pts[97:], 7.0)]
    assert [p for p in placed if isinstance(p, SkipReason)] == []
    assert np.diff(times(placed)) == pytest.approx(np.full(3, 1 / FPS), abs=1e-3)


def test_b_frames_do_not_disturb() -> None:
    """Packets in decoding order (I P B B), pictures in presentation order, two pictures later."""
    n, clock = 300, CameraClock()
    order: list[int] = [0]
    for i in range(3, n, 3):
        order += [i, i - 2, i - 1]
    placed: list[float] = []
    shown = 0
    for k, i in enumerate(order):
        clock.observe(i / FPS, 20 + k / FPS)
        if k >= 3:
            time = clock.place(shown / FPS)
            placed += [] if isinstance(time, SkipReason) else [time]
            shown += 1
    assert clock.counts.jumps == 0
    assert len(placed) > n - 20
    assert np.diff(placed) == pytest.approx(np.full(len(placed) - 1, 1 / FPS), abs=2e-3)


def test_the_burst_of_a_connection_settles_on_its_newest_picture() -> None:
    """Many cameras first send the last seconds in a burst; their time is known when the burst is over."""
    burst = [(100 + i / FPS, 50 + i * 0.002) for i in range(50)]
    live = [(102 + i / FPS, 50.1 + i / FPS) for i in range(100)]
    pts, arrival = zip(*burst, *live, strict=True)
    placed = run(list(pts), list(arrival))
    assert set(placed[:50]) == {SkipReason.SETTLING}
    found = [(p, a) for p, a in zip(placed, arrival, strict=True) if not isinstance(p, SkipReason)]
    assert len(found) > 90
    assert all(abs(p - a) < 0.05 for p, a in found)


def test_a_network_stall_moves_nothing() -> None:
    """Pictures held up for a second keep the times at which they were taken."""
    pts, seen = steady(250)
    arrival = [max(t, 55.0) if 54 <= t < 55 else t for t in seen]
    found = dict(zip(seen, run(pts, arrival), strict=True))
    held = [p - t for t, p in found.items() if t >= 54 and not isinstance(p, SkipReason)]
    assert len(held) > 100
    assert max(abs(e) for e in held) < 1e-3


def test_nothing_is_placed_before_what_was_promised() -> None:
    clock = CameraClock(floor_s=60.0)
    pts, seen = steady(300)  # from 50 s on
    placed = run(pts, seen, clock)
    assert min(times(placed)) > 60.0
    assert SkipReason.LATE in placed
