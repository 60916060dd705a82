"""A motion with everything that the simulator knows of each tick, and the targets that a network learns from it."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.simulator.exercises import EXERCISES
from training.simulator.generic import UNKNOWN
from training.simulator.motion import Motion, TrueRepetition

EXERCISE_IDS: Final = (*EXERCISES, UNKNOWN)
"""(19,) the order of ``Labels.exercise``; -1 there means that nothing is exercised."""
EVENTS: Final = ("onset", "turn", "offset")


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedMotion(Motion):
    """A ``Motion`` with per-tick truth.

    ``progress``: (T,) 0 at rest .. 1 at this repetition's own far end. ``extent``: (T,) the same as share of the
    exercise's full range: a half squat turns at extent 0.5, a curl without extension rests at 0.3.
    ``active``: (T,) within a set, rests between its repetitions included. ``exercise_index``: (T,) into
    ``EXERCISE_IDS`` while active, else -1. ``cut``: (T,) a hard cut lies before this tick. ``frozen``: (T,) the tick
    repeats the one before (freeze frame).
    """

    progress: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    extent: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    active: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    exercise_index: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    cut: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    frozen: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Targets per tick, T = len(motion.joints).

    ``phase``: (T,) index into ``services.common.types.Phase``. CONCENTRIC is the way out from rest, ECCENTRIC the way
    back, in every exercise: which of them lifts the weight is ``Exercise.eccentric_first``. It is 0 (rest) during
    movements that are no counted repetition. ``events``: (T, 3) 1 at the tick nearest to the onset, turn and offset of
    a counted repetition. ``exercise``: (T,) into ``EXERCISE_IDS``, -1 none. ``activity``: (T,) 1.0 within a set.
    ``progress``: (T,) as in ``SimulatedMotion``; attempts appear in it with their true extent. ``attempt``: (T,) inside
    a movement that is not counted. ``repetition``: (T,) index into ``motion.repetitions`` or -1.
    """

    phase: NDArray[np.int64]
    events: NDArray[np.float32]
    exercise: NDArray[np.int64]
    activity: NDArray[np.float32]
    progress: NDArray[np.float32]
    attempt: NDArray[np.bool_]
    repetition: NDArray[np.int64]


def labels(motion: SimulatedMotion) -> Labels:
    """Targets of every tick."""
    n = len(motion.joints)
    events = np.zeros((n, len(EVENTS)), np.float32)
    inside = np.full(n, -1, np.int64)
    attempt = np.zeros(n, np.bool_)
    for i, r in enumerate(motion.repetitions):
        span = slice(*np.ceil(np.array([r.onset_s, r.offset_s]) * motion.fps).astype(int).tolist())
        inside[span] = i
        if r.counted:
            for k, at in enumerate((r.onset_s, r.turn_s, r.offset_s)):
                events[_tick(at, motion.fps, n), k] = 1.0
        else:
            attempt[span] = True
    return Labels(
        np.where(attempt, 0, motion.phase), events, motion.exercise_index, motion.active.astype(np.float32),
        motion.progress, attempt, inside,
    )  # fmt: skip


def within_sets(
    repetitions: tuple[TrueRepetition, ...], times_s: NDArray[np.float64], pause_s: float = 4.0
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(T,) whether a set is going on (repetitions less than ``pause_s`` apart are one set), and which exercise (or
    -1)."""
    active = np.zeros(len(times_s), np.bool_)
    index = np.full(len(times_s), -1, np.int64)
    for before, r in zip((None, *repetitions), repetitions, strict=False):
        joined = before is not None and before.exercise == r.exercise and r.onset_s - before.offset_s < pause_s
        start = before.offset_s if before is not None and joined else r.onset_s
        span = (times_s >= start) & (times_s < r.offset_s)
        active |= span
        index[span] = EXERCISE_IDS.index(r.exercise)
    return active, index


def _tick(time_s: float, fps: float, n: int) -> int:
    return min(max(round(time_s * fps), 0), n - 1)
