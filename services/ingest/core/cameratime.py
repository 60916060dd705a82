"""Event time of a camera: its own timestamps, anchored to our clock.

A camera's timestamps tell the distance between pictures well and their place badly: they start anywhere, run a little
fast or slow, jump and wrap. Arrival tells the place well and the distance badly: the network delays each packet by
another amount, never by less than nothing. So: event time = timestamp + anchor, where the anchor follows the *earliest*
arrivals of the last seconds, slowly.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from services.ingest.core.live import SkipReason

WINDOW_S: Final = 4.0
"""The anchor follows the earliest arrival of so long a time."""
_BUCKET_S: Final = 0.25
_SLEW_TIME_S: Final = 3.0
_SLEW_MOST: Final = 0.5
"""Per second of the camera's time the anchor moves by at most this, so that time never turns round."""
JUMP_S: Final = 2.0
"""A timestamp so far ahead of our clock, or seconds of arrivals so late, are another clock: a new anchor."""
BACK_S: Final = 1.0
"""B-frames go back by less."""
_LATE_FOR_S: Final = 3.0
_SETTLED_AFTER_S: Final = 0.25
_SETTLED_AT_MOST_S: Final = 2.0
_BETTER_S: Final = 0.03
_EPSILON_S: Final = 1e-6
_PTS_MOST_S: Final = 1e10
"""Beyond three hundred years a timestamp is garbage, and too coarse a number to tell pictures apart."""


def _usable(pts_s: float) -> bool:
    return math.isfinite(pts_s) and abs(pts_s) < _PTS_MOST_S


@dataclass(slots=True)
class ClockCounts:
    missing: int = 0  # pictures without a timestamp
    jumps: int = 0  # new anchors
    slewed_s: float = 0.0  # by how much the anchor has been moved, in all


@dataclass(slots=True)
class _Piece:
    """Timestamps without a jump among them."""

    offset_s: float
    low_s: float
    high_s: float

    def holds(self, pts_s: float) -> bool:
        return self.low_s - BACK_S <= pts_s <= self.high_s + BACK_S


class _Earliest:
    """The least ``arrival - timestamp`` of the last ``WINDOW_S``, in bounded memory."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[float, float]] = deque()  # start of the bucket, least value in it

    def add(self, arrival_s: float, value_s: float) -> None:
        if self._buckets and arrival_s < self._buckets[-1][0] + _BUCKET_S:
            start_s, least_s = self._buckets[-1]
            self._buckets[-1] = start_s, min(least_s, value_s)
        else:
            self._buckets.append((arrival_s, value_s))
        while self._buckets[0][0] < arrival_s - WINDOW_S:
            self._buckets.popleft()

    def least_s(self) -> float:
        return min(value for _, value in self._buckets)

    def least_since_s(self, start_s: float) -> float | None:
        """None where the window does not reach back so far."""
        if self._buckets[0][0] > start_s:
            return None
        return min(value for begin_s, value in self._buckets if begin_s >= start_s - _BUCKET_S)


class CameraClock:
    """Event time of one connection to a camera.

    Every packet is shown to ``observe`` as it arrives (decoding order); every picture asks ``place`` (presentation
    order). Arrivals are s on the session's clock, as event times are. Laws: placed times strictly increase and lie
    after ``floor_s``; a steady clock keeps its intervals exactly once settled; however fast or slow the camera's clock
    runs (within 20 %), event time stays within 2 s of arrival, and within 0.15 s for a clock within 0.5 %.

    Args:
        floor_s: what has been placed or promised before this connection.
    """

    def __init__(self, floor_s: float = -math.inf) -> None:
        self.counts = ClockCounts()
        self._last_s = floor_s
        self._piece: _Piece | None = None
        self._old: _Piece | None = None
        self._earliest = _Earliest()
        self._first_s = 0.0
        self._improved_s = 0.0
        self._settled = False
        self._period_s = 0.04
        self._placed_pts_s: float | None = None
        self._arrival_s = 0.0

    @property
    def settled(self) -> bool:
        """Whether the anchor is good enough: cameras begin with a burst of old pictures."""
        return self._settled

    @property
    def last_s(self) -> float:
        """The last time placed or promised."""
        return self._last_s

    def advance(self, time_s: float) -> None:
        """A mark has promised that nothing earlier will follow."""
        self._last_s = max(self._last_s, time_s)

    def observe(self, pts_s: float | None, arrival_s: float) -> None:
        """A packet has arrived; arrivals must not decrease."""
        self._arrival_s = arrival_s
        if pts_s is None or not _usable(pts_s):
            return
        value_s = arrival_s - pts_s
        piece = self._piece
        if piece is None:
            self._anchor(pts_s, arrival_s)
            return
        if pts_s < piece.high_s - BACK_S or value_s < piece.offset_s - self._jump_s():
            self.counts.jumps += 1
            self._anchor(pts_s, arrival_s)
            return
        advanced_s = max(0.0, pts_s - piece.high_s)
        piece.high_s = max(piece.high_s, pts_s)
        piece.low_s = max(min(piece.low_s, pts_s), piece.high_s - 30.0)
        self._earliest.add(arrival_s, value_s)
        if not self._settled:
            self._settle(piece, value_s, arrival_s)
            return
        late = self._earliest.least_since_s(arrival_s - _LATE_FOR_S)
        if late is not None and late > piece.offset_s + JUMP_S:
            self.counts.jumps += 1
            self._anchor(pts_s, arrival_s)
            return
        error_s = self._earliest.least_s() - piece.offset_s
        most_s = _SLEW_MOST * advanced_s
        step_s = max(-most_s, min(most_s, error_s * min(1.0, advanced_s / _SLEW_TIME_S)))
        piece.offset_s += step_s
        self.counts.slewed_s += abs(step_s)

    def place(self, pts_s: float | None) -> float | SkipReason:
        """The event time of a picture, or why it has none."""
        if pts_s is not None and not _usable(pts_s):
            pts_s = None
        if self._piece is None or not self._settled:
            return SkipReason.SETTLING
        if pts_s is None:
            self.counts.missing += 1
            if not math.isfinite(self._last_s):
                return SkipReason.TIMESTAMP
            return self._accept(min(self._last_s + self._period_s, max(self._arrival_s, self._last_s + _EPSILON_S)))
        piece = self._piece
        if not piece.holds(pts_s):
            if self._old is None or not self._old.holds(pts_s):
                return SkipReason.TIMESTAMP
            piece = self._old
        time_s = pts_s + piece.offset_s
        if time_s <= self._last_s + _EPSILON_S:
            repeated = self._placed_pts_s is not None and pts_s <= self._placed_pts_s
            return SkipReason.TIMESTAMP if repeated else SkipReason.LATE
        if self._placed_pts_s is not None and 0.001 < pts_s - self._placed_pts_s < 1.0:
            self._period_s += 0.1 * (pts_s - self._placed_pts_s - self._period_s)
        self._placed_pts_s = pts_s
        return self._accept(time_s)

    def _accept(self, time_s: float) -> float:
        self._last_s = time_s
        return time_s

    def _jump_s(self) -> float:
        """While a first burst is read, timestamps come in faster than time passes: that is no jump."""
        return JUMP_S if self._settled else math.inf

    def _anchor(self, pts_s: float, arrival_s: float) -> None:
        again = self._piece is not None
        self._old, self._piece = self._piece, _Piece(arrival_s - pts_s, pts_s, pts_s)
        self._earliest = _Earliest()
        self._earliest.add(arrival_s, arrival_s - pts_s)
        self._placed_pts_s = None
        self._first_s = self._improved_s = arrival_s
        # after a jump the next pictures count at once: they follow the ones before, which have set the pace
        self._settled = again and self._settled

    def _settle(self, piece: _Piece, value_s: float, arrival_s: float) -> None:
        if value_s < piece.offset_s:
            if value_s < piece.offset_s - _BETTER_S:
                self._improved_s = arrival_s
            piece.offset_s = value_s
        calm = arrival_s - self._improved_s >= _SETTLED_AFTER_S
        self._settled = calm or arrival_s - self._first_s >= _SETTLED_AT_MOST_S
