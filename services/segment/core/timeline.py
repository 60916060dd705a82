"""Motion time: event time without the spans in which the picture stood still.

An edited video freezes in the middle of a movement. The network's clock stops there too, after a little while, so
that a freeze neither makes a repetition longer nor a hold out of it.
"""

from typing import Final

FREEZE_PASS_S: Final = 0.6
"""The first part of a freeze passes as motion time (standing still), so that what is already decided comes out."""
_KEEP: Final = 64


class Timeline:
    """Maps between event time and motion time; both rise."""

    def __init__(self) -> None:
        self.shift_s = 0.0  # event time - motion time, now
        self.last_s: float | None = None  # event time of the newest frame
        self.frozen_s = 0.0  # how long this freeze has lasted
        self.breaks: list[tuple[float, float]] = []  # motion time from which on, shift

    def frame(self, event_s: float, frozen: bool) -> float:
        """Takes the time of the next frame and returns its motion time."""
        passed = 0.0 if self.last_s is None else event_s - self.last_s
        before = self.motion(self.last_s if self.last_s is not None else event_s)
        self.last_s = event_s
        if not frozen:
            self.frozen_s = 0.0
            return event_s - self.shift_s
        counted = min(passed, max(0.0, FREEZE_PASS_S - self.frozen_s))
        self.frozen_s += passed
        if passed > counted:
            self.shift_s += passed - counted
            start_s = before + counted
            if self.breaks and self.breaks[-1][0] >= start_s - 1e-6:
                self.breaks[-1] = (self.breaks[-1][0], self.shift_s)
            else:
                self.breaks.append((start_s, self.shift_s))
            del self.breaks[:-_KEEP]
        return event_s - self.shift_s

    def motion(self, event_s: float) -> float:
        """Motion time of a moment not before the newest frame."""
        return event_s - self.shift_s

    def event(self, motion_s: float, late: bool = False) -> float:
        """Event time of a motion time; of a moment where time stood still its end when ``late``, else its start."""
        shift_s = 0.0
        for start_s, shift in self.breaks:
            if motion_s > start_s + 1e-6 or (late and motion_s >= start_s - 1e-6):
                shift_s = shift
        return motion_s + shift_s

    def state(self) -> dict[str, object]:
        return {
            "shift_s": self.shift_s,
            "last_s": self.last_s,
            "frozen_s": self.frozen_s,
            "breaks": [list(b) for b in self.breaks],
        }

    def load(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self.breaks = [(float(a), float(b)) for a, b in self.breaks]
