"""Irregular frames onto a fixed grid of ticks, causally.

A tick at t is the average of the frames within one tick of it, weighted by a triangle: for frames as dense as the
ticks this is linear interpolation, for denser ones it also smooths. It can be taken as soon as one frame at
t + TICK_S or later has been seen.
"""

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import VISIBLE_MIN, K

F32 = NDArray[np.float32]

TICK_HZ: Final = 15.0
TICK_S: Final = 1.0 / TICK_HZ
GAP_MAX_S: Final = 0.3
"""Longest gap between two sightings of a joint that is bridged by a straight line."""


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
    seen = scores >= VISIBLE_MIN
    mass = weight @ seen  # (N, 17)
    total = weight.sum(axis=1, keepdims=True)
    places = np.einsum("nt,tk,tkc->nkc", weight, seen, keypoints, optimize=True)
    places = places / np.maximum(mass, 1e-9)[..., None]
    level = (weight @ scores) / np.maximum(total, 1e-9)
    level = np.where(mass > 0, np.maximum(level, VISIBLE_MIN), np.minimum(level, VISIBLE_MIN * 0.9))
    for n, k in zip(*np.nonzero(mass <= 0), strict=True):
        bridged = _bridge(times_s, seen[:, k], float(ticks_s[n]))
        if bridged is not None:
            before, after, share = bridged
            places[n, k] = (1 - share) * keypoints[before, k] + share * keypoints[after, k]
            level[n, k] = min(scores[before, k], scores[after, k])
    return places.astype(np.float32), level.astype(np.float32)


def _bridge(times_s: NDArray[np.float64], seen: NDArray[np.bool_], tick_s: float) -> tuple[int, int, float] | None:
    """Indices of the sightings around a tick and the share of the second, if they are near enough."""
    after = int(np.searchsorted(times_s, tick_s))
    later = np.nonzero(seen[after:])[0]
    earlier = np.nonzero(seen[:after])[0]
    if not len(later) or not len(earlier):
        return None
    a, b = int(earlier[-1]), int(later[0]) + after
    gap = times_s[b] - times_s[a]
    if gap > GAP_MAX_S or gap <= 0:
        return None
    return a, b, float((tick_s - times_s[a]) / gap)
