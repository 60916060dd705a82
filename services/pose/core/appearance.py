"""What a person wears, as a few numbers: tells two people apart who crossed, or one person after a cut."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.pose.core.similarity import F64, SEEN_MIN

BINS: Final = 8
PARTS: Final = 2
"""Torso and thighs."""
LENGTH: Final = PARTS * 3 * BINS

_U, _V = np.meshgrid(np.linspace(0.15, 0.85, 7), np.linspace(0.08, 0.85, 10))
_TORSO_WEIGHTS: Final = np.stack([(1 - _U) * (1 - _V), _U * (1 - _V), (1 - _U) * _V, _U * _V], axis=-1).reshape(-1, 4)
"""(70, 4) bilinear weights of left shoulder, right shoulder, left hip, right hip."""
_ALONG: Final = np.linspace(0.15, 0.8, 14)[:, None]

_TO_YCC: Final = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]]).T
_LOW: Final = np.array([0.0, -64.0, -64.0])
_FIRST_BIN: Final = BINS * np.arange(3)
_WIDTH: Final = np.array([256.0, 128.0, 128.0]) / (BINS - 1)


def describe(image: NDArray[np.uint8], keypoints: F64, scores: F64) -> F64:
    """(48,) non-negative: per part and per channel (light, blue, red difference) a soft histogram that sums to 1.

    A part that is not seen is all zeros. image (H, W, 3) RGB, keypoints (17, 2) px of it, scores (17,).
    """
    out = np.zeros(LENGTH)
    # Hips that are out of the picture are still placed about right, and only pixels inside are looked at.
    if scores[5] >= SEEN_MIN or scores[6] >= SEEN_MIN:
        out[: 3 * BINS] = _histogram(image, _TORSO_WEIGHTS @ keypoints[[5, 6, 11, 12]])
    thighs = [
        keypoints[hip] + _ALONG * (keypoints[knee] - keypoints[hip])
        for hip, knee in ((11, 13), (12, 14))
        if scores[hip] >= SEEN_MIN and scores[knee] >= SEEN_MIN
    ]
    if thighs:
        out[3 * BINS :] = _histogram(image, np.concatenate(thighs))
    return out


def _histogram(image: NDArray[np.uint8], places: F64) -> F64:
    height, width = image.shape[:2]
    x, y = places[:, 0].astype(np.int64), places[:, 1].astype(np.int64)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    if np.count_nonzero(inside) < 8:
        return np.zeros(3 * BINS)
    colour = image[y[inside], x[inside]].astype(np.float64) @ _TO_YCC
    at = (colour - _LOW) / _WIDTH
    np.maximum(at, 0.0, out=at)
    np.minimum(at, BINS - 1 - 1e-6, out=at)
    low = at.astype(np.int64)
    share = (at - low).reshape(-1)
    bins = (low + _FIRST_BIN).reshape(-1)
    out = np.bincount(bins, 1 - share, 3 * BINS) + np.bincount(bins + 1, share, 3 * BINS)
    return np.asarray(out / len(colour))


def difference(a: F64, b: F64) -> float:
    """Mean Hellinger distance over the parts that both see, in [0, 1]; 0.5 (no idea) where they share none."""
    parts = [p for p in (slice(0, 3 * BINS), slice(3 * BINS, LENGTH)) if a[p].any() and b[p].any()]
    if not parts:
        return 0.5
    overlap = np.add.reduce(np.sqrt(a * b).reshape(-1, BINS), axis=1).tolist()
    away = [math.sqrt(max(1.0 - o, 0.0)) for p in parts for o in overlap[p.start // BINS : p.stop // BINS]]
    return sum(away) / len(away)


def blend(old: F64, new: F64, share: float) -> F64:
    """``old`` moved towards ``new``; a part that only one of them sees is taken from that one."""
    po, pn = old.reshape(PARTS, -1), new.reshape(PARTS, -1)
    has_old, has_new = po.sum(axis=1) > 0, pn.sum(axis=1) > 0
    weight = np.where(has_old & has_new, share, has_new.astype(np.float64))[:, None]
    return (po + weight * (pn - po)).reshape(-1)
