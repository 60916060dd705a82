"""``services.segment.core.resample`` for whole sequences: sparse, as a frame touches few ticks."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from services.segment.core.resample import LEAST, TICK_HZ, TICK_S, average

F32 = NDArray[np.float32]
_NEAR: Final = np.array([-1, 0, 1])


def resample_fast(times_s: NDArray[np.float64], keypoints: F32, scores: F32, ticks: int) -> tuple[F32, F32]:
    """Times (T,), keypoints (T, 17, 2) px, scores (T, 17) → the same at ticks 0, 1, … (ticks, 17, 2), (ticks, 17)."""
    frame = np.repeat(np.arange(len(times_s)), len(_NEAR))
    tick = (np.round(times_s * TICK_HZ).astype(int)[:, None] + _NEAR).ravel()
    late = times_s[frame] * TICK_HZ - tick
    weight = np.maximum(0.0, 1.0 - np.abs(late))
    weight[weight < LEAST] = 0.0
    inside = (tick >= 0) & (tick < ticks)

    def matrix(values: NDArray[np.float64]) -> csr_array:
        return csr_array((values[inside], (tick[inside], frame[inside])), shape=(ticks, len(times_s)))

    before, after = (matrix(((weight > 0) & (sign * late > -0.01)).astype(np.float64)) for sign in (-1.0, 1.0))
    return average(times_s, keypoints, scores, np.arange(ticks) * TICK_S, matrix(weight), before, after)
