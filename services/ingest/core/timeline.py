"""From presentation timestamps to event time: strictly increasing seconds, whatever the file says."""

import math
from collections import deque
from dataclasses import dataclass

MAX_GAP_S = 300.0
"""A larger step forward is taken for a broken clock, not for a pause (screen recordings do pause for minutes)."""
STALLED = 3
"""As many frames in a row without a later timestamp: the timestamps are no use, frames are counted instead."""


@dataclass(slots=True)
class TimelineCounts:
    """What had to be repaired."""

    missing: int = 0  # frames without a timestamp
    dropped: int = 0  # frames that repeat or go back in time
    jumps: int = 0  # discontinuities that were closed


class Timeline:
    """Places frames on event time.

    ``place`` takes the frame's own time (s, from the stream's origin; None = unknown) and gives its event time, or
    None for a frame that is to be left out (a repeated timestamp). Laws: results strictly increase; a sane clock
    comes out unchanged; one bad timestamp never shifts the good ones after it.
    """

    def __init__(self, period_s: float, near_s: float = 0.0, max_gap_s: float = MAX_GAP_S) -> None:
        """``period_s``: usual time between frames; ``near_s``: about where the first one should be."""
        if not (math.isfinite(period_s) and period_s > 0):
            raise ValueError(f"period_s must be positive, not {period_s}")
        self._period_s = period_s
        self._near_s = near_s
        self._max_gap_s = max_gap_s
        self._shift_s = 0.0
        self._last_s: float | None = None
        self._stalled = 0
        self.counts = TimelineCounts()

    def place(self, source_s: float | None) -> float | None:
        if source_s is not None and not math.isfinite(source_s):
            source_s = None
        if source_s is None:
            self.counts.missing += 1
        if self._last_s is None:
            return self._first(source_s)
        expected_s = self._last_s + self._period_s
        if source_s is None:
            return self._accept(expected_s)
        time_s = source_s + self._shift_s
        step_s = time_s - self._last_s
        if step_s > self._max_gap_s or step_s < -self._max_gap_s / 10:
            # a wrap, a splice or nonsense: the clock goes on from here as if one period had passed
            self.counts.jumps += 1
            self._shift_s = expected_s - source_s
            return self._accept(expected_s)
        if step_s <= 0 or math.isclose(step_s, 0, abs_tol=1e-6):
            return self._stall(source_s, expected_s)
        return self._accept(time_s)

    def _first(self, source_s: float | None) -> float:
        time_s = self._near_s if source_s is None else source_s
        if time_s < 0 or abs(time_s - self._near_s) > self._max_gap_s:
            self.counts.jumps += 1
            self._shift_s = self._near_s - time_s
            time_s = self._near_s
        return self._accept(time_s)

    def _stall(self, source_s: float, expected_s: float) -> float | None:
        self._stalled += 1
        if self._stalled < STALLED:
            self.counts.dropped += 1
            return None
        self._shift_s = expected_s - source_s
        stalled = self._stalled
        self._accept(expected_s)
        self._stalled = stalled  # still no use: the next repeat is counted on at once
        return expected_s

    def _accept(self, time_s: float) -> float:
        self._stalled = 0
        self._last_s = time_s
        return time_s


class Cadence:
    """Tells variable from constant frame rate, from the last ``length`` intervals and running counts."""

    def __init__(self, length: int = 64) -> None:
        self._recent: deque[float] = deque(maxlen=length)
        self._usual_s = 0.0
        self._last_s: float | None = None
        self.intervals = 0
        self.odd = 0

    def add(self, time_s: float) -> None:
        last_s, self._last_s = self._last_s, time_s
        if last_s is None:
            return
        step_s = time_s - last_s
        self._recent.append(step_s)
        if self.intervals % 16 == 0:
            self._usual_s = sorted(self._recent)[len(self._recent) // 2]
        self.odd += abs(step_s - self._usual_s) > 0.3 * self._usual_s
        self.intervals += 1

    @property
    def variable(self) -> bool:
        """More than one interval in ten is 30 % off the usual one."""
        return self.intervals >= 10 and self.odd > 0.1 * self.intervals
