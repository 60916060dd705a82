"""What the network should have said at each tick of a simulated motion."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.types import Phase
from services.segment.core.network import EXERCISES
from training.simulator.motion import Motion, TrueRepetition

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

REST, OUT, BACK, HOLD = range(4)
NO_CLASS: Final = -100
_HOLD_INDEX: Final = list(Phase).index(Phase.HOLD)
_GAP_S: Final = 2.5
"""Rests shorter than this between repetitions belong to the activity."""


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Arrays over T ticks: phase, exercise (class or NO_CLASS) int64; events (T, 3), progress, activity, log period,
    elapsed time."""

    phase: NDArray[np.int64]
    events: F32
    progress: F32
    activity: F32
    exercise: NDArray[np.int64]
    period: F32  # log of the duration of the repetition under way, s; nan outside
    elapsed: F32  # since its onset, s; nan outside


def make_targets(motion: Motion, ticks_s: F64, tick_s: float) -> Targets:
    """Targets of a motion at ticks (T,) s of its time."""
    n = len(ticks_s)
    phase, exercise = np.zeros(n, np.int64), np.full(n, NO_CLASS, np.int64)
    events, progress = np.zeros((n, 3), np.float32), np.zeros(n, np.float32)
    activity, period = np.zeros(n, np.float32), np.full(n, np.nan, np.float32)
    elapsed = np.full(n, np.nan, np.float32)
    frame = np.clip(np.round(ticks_s * motion.fps).astype(int), 0, len(motion.joints) - 1)
    usual = _usual_size(motion)
    for r in motion.repetitions:
        inside = (ticks_s >= r.onset_s) & (ticks_s < r.offset_s)
        if not inside.any():
            continue
        held = motion.phase[frame] == _HOLD_INDEX
        way = np.where(ticks_s < r.turn_s, OUT, BACK)
        phase[inside] = np.where(held, HOLD, way)[inside]
        period[inside] = np.log(max(r.offset_s - r.onset_s, 0.1))
        elapsed[inside] = ticks_s[inside] - r.onset_s
        exercise[inside] = _class(r.exercise)
        for column, time_s in enumerate((r.onset_s, r.turn_s, r.offset_s)):
            near = 1.0 - np.abs(ticks_s - time_s) / (1.5 * tick_s)
            events[:, column] = np.maximum(events[:, column], np.maximum(near, 0)).astype(np.float32)
        share, size = _progress(motion, r, ticks_s[inside])
        scale = 1.0 if r.counted or usual <= 0 else float(np.clip(size / usual, 0.05, 1.0))
        progress[inside] = np.maximum(progress[inside], share * scale)
    _mark_activity(motion.repetitions, ticks_s, activity, exercise)
    return Targets(phase, events, progress, activity, exercise, period, elapsed)


def _class(exercise: str) -> int:
    return EXERCISES.index(exercise) if exercise in EXERCISES else EXERCISES.index("unknown")


def _mark_activity(
    repetitions: tuple[TrueRepetition, ...], ticks_s: F64, activity: F32, exercise: NDArray[np.int64]
) -> None:
    """Activity lasts from onset to offset and over short rests between."""
    before: TrueRepetition | None = None
    for r in sorted(repetitions, key=lambda r: r.onset_s):
        joined = before is not None and r.onset_s - before.offset_s < _GAP_S
        start_s = before.offset_s if before is not None and joined else r.onset_s
        activity[(ticks_s >= start_s) & (ticks_s < r.offset_s)] = 1.0
        if joined:
            gap = (ticks_s >= start_s) & (ticks_s < r.onset_s)
            exercise[gap] = _class(r.exercise)
        before = r


def _pose(motion: Motion, time_s: F64) -> F64:
    """(N, 81) joints at times, m, linearly between frames."""
    at = np.clip(np.atleast_1d(time_s) * motion.fps, 0, len(motion.joints) - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(motion.joints) - 1)
    share = (at - low)[:, None, None]
    return np.asarray((motion.joints[low] * (1 - share) + motion.joints[high] * share).reshape(len(at), -1))


def _size(motion: Motion, r: TrueRepetition) -> float:
    edge = _pose(motion, np.array([r.onset_s, r.turn_s]))
    return float(np.linalg.norm(edge[1] - edge[0]))


def _usual_size(motion: Motion) -> float:
    sizes = [_size(motion, r) for r in motion.repetitions if r.counted]
    return float(np.median(sizes)) if sizes else 0.0


def _progress(motion: Motion, r: TrueRepetition, times_s: F64) -> tuple[F64, float]:
    """Share of the way from rest to the far end at times within the repetition, and the way's length, m.

    Measured along the straight line between the two postures, from the onset's on the way out and to the
    offset's on the way back (a walking lunge ends elsewhere than it began).
    """
    start, turn, end = _pose(motion, np.array([r.onset_s, r.turn_s, r.offset_s]))
    now = _pose(motion, times_s)
    shares = []
    for rest in (start, end):
        way = turn - rest
        shares.append((now - rest) @ way / max(float(way @ way), 1e-9))
    share = np.where(times_s < r.turn_s, shares[0], shares[1])
    return np.clip(share, 0, 1), float(np.linalg.norm(turn - start))
