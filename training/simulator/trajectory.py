"""When a repetition moves: from a plan of durations to progress 0 (rest) .. 1 (far end) at any time.

Families of laws of motion. ``minimum_jerk`` (Flash & Hogan, J. Neurosci. 5, 1985), skewed by a power of time, is the
plain one. ``varied``, what networks train on, lies anywhere between it and a constant speed with ramps at its ends: a
network that knows but one curve reads the curve, not the movement. ``held_out`` is a different law (beta-shaped
velocity with a second harmonic and a micro-pause) that no training data uses: tests and rendered clips take it, so that
a network is not measured on the curve it was trained on.
"""

from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from services.common.types import Phase

F64 = NDArray[np.float64]
Family = Literal["minimum_jerk", "varied", "held_out"]
EDGE: Final = 0.05
"""A repetition's true onset and offset are where it has left rest by, and returned to, this share of its range: where
people who mark footage by eye put them (the ends of slow movements, a few per cent of the range, take most of a second
and are not seen)."""
TURN_DWELL_S: Final = 0.25  # in a long hold the turn is at most this long after the far end was reached
PHASES: Final = tuple(Phase)


@dataclass(frozen=True, slots=True)
class RepetitionPlan:
    """One repetition to perform. ``start_s``: the movement's first instant (before the true onset, which is visible).

    ``lead``: to which side one-sided mistakes go where both work. ``low`` and ``high``: the share of the exercise's
    range where it rests and where it turns. ``lag``: left behind right, as a share of the way (negative: right behind
    left). ``weak_left``/``weak_right``: share of the range which that side lacks. ``skew``: > 1 starts late. ``jerk``:
    0..1 velocity falls to zero and back ``beats`` times on each way. ``bounce``: share of the range that the far end
    springs back. ``fall``: 0..1 lets go on the way back. ``mistakes``: code → degree in (0, 1]. ``reason``: set when it
    is not counted.
    """

    start_s: float
    out_s: float
    hold_s: float
    back_s: float
    side: str = "both"
    lead: str = "left"
    low: float = 0.0
    high: float = 1.0
    lag: float = 0.0
    weak_left: float = 0.0
    weak_right: float = 0.0
    skew_out: float = 1.0
    skew_back: float = 1.0
    shape: tuple[float, float, float] = (0.5, 0.5, 0.5)
    jerk: float = 0.0
    beats: int = 3
    bounce: float = 0.0
    fall: float = 0.0
    mistakes: dict[str, float] = field(default_factory=dict)
    reason: str | None = None

    @property
    def end_s(self) -> float:
        """The movement's last instant."""
        return self.start_s + self.out_s + self.hold_s + self.back_s

    @property
    def turn_s(self) -> float:
        """The far end; the middle of the hold if there is one, at most ``TURN_DWELL_S`` after reaching it."""
        return self.start_s + self.out_s + min(0.5 * self.hold_s, TURN_DWELL_S)

    def shifted(self, by_s: float) -> "RepetitionPlan":
        """The same a little later."""
        return replace(self, start_s=self.start_s + by_s)


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """What the plans say at each of T times. ``index``: (T,) of the running or last plan (0 before the first).

    ``left``, ``right``, ``middle``: (T,) share of the way out in [0, 1] of each side and of the trunk; ``extent``: (T,)
    ``middle`` as share of the exercise's range, between the plan's ``low`` and ``high``;
    ``cycle``: (T,) rad, 0 at rest, pi at the far end, 2 pi back at rest; ``phase``: (T,) index into ``Phase``;
    ``onset_s``, ``offset_s``: (R,) where the movement becomes and ceases to be visible.
    """

    index: NDArray[np.int64]
    left: F64
    right: F64
    middle: F64
    extent: F64
    cycle: F64
    phase: NDArray[np.int64]
    onset_s: F64
    offset_s: F64


def law(tau: F64, family: Family, skew: F64, shape: F64, jerk: F64, beats: F64) -> F64:
    """Share of the way after share ``tau`` of the time; 0 → 0, 1 → 1, monotone (unless ``jerk`` > 0.8).

    Args:
        tau: (N,) in [0, 1]; skew, jerk, beats: (N,) as in ``RepetitionPlan``; shape: (N, 3) in [0, 1]. ``held_out``:
            the velocity's lopsidedness, its second harmonic and the place of a micro-pause; ``varied``: how much of it
            is at constant speed, and the ramps' lengths.
    """
    tau = tau - 1.3 * jerk * np.sin(2 * np.pi * beats * tau) / (2 * np.pi * beats)
    tau = np.clip(tau, 0.0, 1.0)
    if family == "minimum_jerk":
        t = tau**skew
        return np.minimum(t**3 * (10 - 15 * t + 6 * t * t), 1.0)  # rounding goes beyond the end
    if family == "varied":
        t = tau**skew
        even = np.clip(1.6 * shape[:, 0] - 0.3, 0.0, 1.0)
        smooth, ramped = t**3 * (10 - 15 * t + 6 * t * t), _ramped(t, shape[:, 1], shape[:, 2])
        return np.clip((1 - even) * smooth + even * ramped, 0.0, 1.0)
    width, at = 0.09, 0.3 + 0.4 * shape[:, 2]
    pause = np.clip(tau / at, 0, 1) * at * (1 - width) + np.clip((tau - at - width) / (1 - at - width), 0, 1) * (
        1 - at * (1 - width)
    )
    t = pause + (shape[:, 1] - 0.5) * 0.8 * np.sin(4 * np.pi * pause) / (4 * np.pi)
    p = 1.7 + 0.5 * shape[:, 0] / skew
    return np.asarray(betainc(p * skew, 3.1 - 0.9 * shape[:, 0], np.clip(t, 0, 1)), dtype=np.float64)


def _ramped(tau: F64, first: F64, last: F64) -> F64:
    """Share of the way at constant speed after a ramp up and before a ramp down of 5–45 % of the time each."""
    a, b = 0.05 + 0.4 * first, 0.05 + 0.4 * last
    speed = 1.0 / (1.0 - 0.5 * a - 0.5 * b)
    up = 0.5 * speed * np.minimum(tau, a) ** 2 / a
    level = speed * np.clip(tau - a, 0.0, 1.0 - a - b)
    down = np.maximum(tau - (1.0 - b), 0.0)
    return np.asarray(up + level + speed * (down - 0.5 * down**2 / b))


def evaluate(plans: list[RepetitionPlan], times_s: F64, family: Family = "minimum_jerk") -> Progress:
    """Progress of ``plans`` (in time order, not overlapping) at ``times_s`` (T,)."""
    rows = _Columns(plans)
    index = np.clip(np.searchsorted(rows.start, times_s, side="right") - 1, 0, None)
    lag = rows.lag[index]
    middle, cycle = rows.progress(times_s, index, family, 0.0)
    left = middle if not rows.lag.any() else rows.progress(times_s, index, family, np.maximum(lag, 0))[0]
    right = middle if not rows.lag.any() else rows.progress(times_s, index, family, np.maximum(-lag, 0))[0]
    onset, offset = rows.edges(family)
    extent = rows.low[index] + (rows.high - rows.low)[index] * middle
    return Progress(
        index, left, right, middle, extent, cycle, _phase(rows, times_s, index, onset, offset), onset, offset
    )


def _phase(rows: "_Columns", times_s: F64, index: NDArray[np.int64], onset: F64, offset: F64) -> NDArray[np.int64]:
    far, leave = rows.start + rows.out, rows.start + rows.out + rows.hold
    phase = np.full(len(times_s), PHASES.index(Phase.REST))
    t = times_s
    phase[(t >= onset[index]) & (t < far[index])] = PHASES.index(Phase.CONCENTRIC)
    phase[(t >= far[index]) & (t < leave[index])] = PHASES.index(Phase.HOLD)
    phase[(t >= leave[index]) & (t < offset[index])] = PHASES.index(Phase.ECCENTRIC)
    return phase


class _Columns:
    """The plans' numbers as arrays, (R,)."""

    def __init__(self, plans: list[RepetitionPlan]) -> None:
        def column(name: str) -> F64:
            return np.array([getattr(p, name) for p in plans], dtype=np.float64)

        self.start, self.out, self.hold, self.back = (column(n) for n in ("start_s", "out_s", "hold_s", "back_s"))
        self.lag, self.jerk, self.beats = column("lag"), column("jerk"), column("beats")
        self.low, self.high = column("low"), column("high")
        self.bounce, self.fall = column("bounce"), column("fall")
        self.skew_out, self.skew_back, self.shape = column("skew_out"), column("skew_back"), column("shape")

    def _law(self, tau: F64, i: NDArray[np.int64], family: Family, back: bool) -> F64:
        skew = (self.skew_back if back else self.skew_out)[i]
        shape = 1.0 - self.shape[i] if back else self.shape[i]
        s = law(tau, family, skew, shape, self.jerk[i], self.beats[i])
        fall = self.fall[i] if back else 0.0
        return s + fall * (tau**2 - s) if back and self.fall.any() else s

    def progress(self, times_s: F64, i: NDArray[np.int64], family: Family, lag: F64 | float) -> tuple[F64, F64]:
        """Share of the way out and the cycle angle; ``lag`` delays both ways by that share of the way out."""
        local = times_s - self.start[i]
        out_s, hold_s, back_s = self.out[i], self.hold[i], self.back[i]
        late_s = np.minimum(lag * out_s, 0.6 * back_s)
        tau_out = np.clip((local - late_s) / out_s, 0.0, 1.0)
        tau_back = np.clip((local - out_s - hold_s - late_s) / (back_s - late_s), 0.0, 1.0)
        there, home = self._law(tau_out, i, family, back=False), self._law(tau_back, i, family, back=True)
        s = there * (1.0 - home)
        cycle = np.arccos(np.clip(1.0 - 2.0 * s, -1.0, 1.0))
        cycle = np.where(tau_back > 0, 2 * np.pi - cycle, cycle)
        if self.bounce.any():  # a spring at the far end: two damped half-waves at 3 Hz
            since = np.maximum(local - 0.97 * out_s, 0.0)
            s = s - self.bounce[i] * np.sin(2 * np.pi * 3.0 * since) ** 2 * np.exp(-since / 0.25) * np.clip(s, 0, 1)
        return s, cycle

    def edges(self, family: Family) -> tuple[F64, F64]:
        """True onset and offset of each plan."""
        grid = np.linspace(0.0, 1.0, 257)
        n = len(self.start)
        rows = np.repeat(np.arange(n), len(grid))
        tau = np.tile(grid, n)
        out = self._law(tau, rows, family, back=False).reshape(n, -1)
        back = self._law(tau, rows, family, back=True).reshape(n, -1)
        first = grid[np.argmax(out >= EDGE, axis=1)]
        last = grid[len(grid) - 1 - np.argmax(back[:, ::-1] <= 1.0 - EDGE, axis=1)]
        return self.start + first * self.out, self.start + self.out + self.hold + last * self.back
