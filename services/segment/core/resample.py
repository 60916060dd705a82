"""Irregular frames onto a fixed grid of ticks, causally.

A tick at t is the average of the frames within one tick of it, weighted by a triangle: for frames as dense as the
ticks this is linear interpolation, for denser ones it also smooths. It can be taken as soon as one frame at
t + TICK_S or later has been seen.
"""

from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import VISIBLE_MIN, K

F32 = NDArray[np.float32]

TICK_HZ: Final = 15.0
TICK_S: Final = 1.0 / TICK_HZ
GAP_MAX_S: Final = 0.3
"""Longest gap between two sightings of a joint that is bridged by a straight line."""

LEAST: Final = 1e-6
"""A frame just one tick away has no weight; what rounding leaves of it must not make a joint seen."""


class TrackResampler:
    """The recent frames of one track, and their value at a tick."""

    def __init__(self) -> None:
        self.frames: deque[tuple[float, F32, F32]] = deque()

    def push(self, time_s: float, keypoints: F32, scores: F32) -> None:
        """A frame: keypoints (17, 2) px and scores (17,). Times must rise."""
        self.frames.append((time_s, keypoints, scores))

    def forget(self, before_s: float) -> None:
        """Drops what no tick at or after ``before_s`` can need."""
        while len(self.frames) > 1 and self.frames[1][0] < before_s - GAP_MAX_S:
            self.frames.popleft()
        if self.frames and self.frames[-1][0] < before_s - GAP_MAX_S:
            self.frames.clear()

    def at(self, time_s: float) -> tuple[F32, F32]:
        """Keypoints (17, 2) and scores (17,) at a tick; scores 0 where nothing was seen near it."""
        times = np.array([f[0] for f in self.frames])
        near = np.abs(times - time_s) < GAP_MAX_S + TICK_S
        if not near.any():
            return np.zeros((K, 2), np.float32), np.zeros(K, np.float32)
        picked = [f for f, keep in zip(self.frames, near, strict=True) if keep]
        keypoints, scores = resample(
            times[near], np.stack([f[1] for f in picked]), np.stack([f[2] for f in picked]), np.array([time_s])
        )
        return keypoints[0], scores[0]


def resample(
    times_s: NDArray[np.float64], keypoints: F32, scores: F32, ticks_s: NDArray[np.float64]
) -> tuple[F32, F32]:
    """Whole sequences: times (T,), keypoints (T, 17, 2), scores (T, 17), ticks (N,) → (N, 17, 2), (N, 17).

    A joint that no frame within a tick shows is bridged over at most GAP_MAX_S, else its score is 0.
    """
    weight = np.maximum(0.0, 1.0 - np.abs(ticks_s[:, None] - times_s[None, :]) * TICK_HZ)  # (N, T)
    weight[weight < LEAST] = 0.0
    late = (times_s[None, :] - ticks_s[:, None]) * TICK_HZ
    before, after = ((weight > 0) & (sign * late > -0.01) for sign in (-1.0, 1.0))
    return average(times_s, keypoints, scores, ticks_s, weight, before, after)


def average(
    times_s: NDArray[np.float64], keypoints: F32, scores: F32, ticks_s: NDArray[np.float64], weight: Any, before: Any,
    after: Any,
) -> tuple[F32, F32]:  # fmt: skip
    """``resample`` with the weights (N, T) given, and which of them are of frames before and after the tick; matrices
    of any kind, sparse ones too."""
    seen = scores >= VISIBLE_MIN
    mass = weight @ seen  # (N, 17)
    total = np.asarray(weight.sum(axis=1)).reshape(-1, 1)
    shown = (keypoints * seen[..., None]).reshape(len(keypoints), -1)
    places = (weight @ shown).reshape(len(ticks_s), *keypoints.shape[1:]) / np.maximum(mass, 1e-9)[..., None]
    level = (weight @ scores) / np.maximum(total, 1e-9)
    level = np.where(mass > 0, np.maximum(level, VISIBLE_MIN), np.minimum(level, VISIBLE_MIN * 0.9))
    lopsided = ((before @ seen) == 0) | ((after @ seen) == 0)  # few frames: a line is truer than an average to one side
    if len(ticks_s) == 1:
        if lopsided.any():
            _bridge_tick(times_s, keypoints, scores, seen, float(ticks_s[0]), lopsided[0], places, level)
        return places.astype(np.float32), level.astype(np.float32)
    for k in np.nonzero(lopsided.any(axis=0))[0]:
        _bridge(int(k), times_s, keypoints, scores, seen[:, k], ticks_s, lopsided[:, k], places, level)
    return places.astype(np.float32), level.astype(np.float32)


def _bridge(
    k: int, times_s: NDArray[np.float64], keypoints: F32, scores: F32, seen: NDArray[np.bool_],
    ticks_s: NDArray[np.float64], missing: NDArray[np.bool_], places: NDArray[np.float64], level: NDArray[np.float64],
) -> None:  # fmt: skip
    """Joint ``k`` at its missing ticks, on a straight line between the sightings around them; writes into
    ``places`` and ``level``."""
    sighted = np.nonzero(seen)[0]
    if len(sighted) < 2:
        return
    wanted = np.nonzero(missing)[0]
    after = np.searchsorted(times_s[sighted], ticks_s[wanted])
    between = (after > 0) & (after < len(sighted))
    wanted, after = wanted[between], after[between]
    a, b = sighted[after - 1], sighted[after]
    gap = times_s[b] - times_s[a]
    known = np.searchsorted(times_s, ticks_s[wanted] + TICK_S - 1e-9)  # the frame that lets the tick be taken
    near = (gap <= GAP_MAX_S) & (b <= known)
    wanted, a, b, gap = wanted[near], a[near], b[near], gap[near]
    share = ((ticks_s[wanted] - times_s[a]) / np.maximum(gap, 1e-9))[:, None]
    places[wanted, k] = (1 - share) * keypoints[a, k] + share * keypoints[b, k]
    level[wanted, k] = np.minimum(scores[a, k], scores[b, k])


def _bridge_tick(
    times_s: NDArray[np.float64], keypoints: F32, scores: F32, seen: NDArray[np.bool_], tick_s: float,
    missing: NDArray[np.bool_], places: NDArray[np.float64], level: NDArray[np.float64],
) -> None:  # fmt: skip
    """``_bridge`` of all joints at one tick, as a running stream needs it: the same numbers in a tenth of the time."""
    late = times_s >= tick_s
    earlier, later = seen & ~late[:, None], seen & late[:, None]
    before, after = len(times_s) - 1 - earlier[::-1].argmax(axis=0), later.argmax(axis=0)
    gap = times_s[after] - times_s[before]
    known = np.searchsorted(times_s, tick_s + TICK_S - 1e-9)
    good = missing & earlier.any(axis=0) & later.any(axis=0) & (gap <= GAP_MAX_S) & (after <= known)
    k = np.nonzero(good)[0]
    a, b = before[k], after[k]
    share = ((tick_s - times_s[a]) / np.maximum(gap[k], 1e-9))[:, None]
    places[0, k] = (1 - share) * keypoints[a, k] + share * keypoints[b, k]
    level[0, k] = np.minimum(scores[a, k], scores[b, k])
