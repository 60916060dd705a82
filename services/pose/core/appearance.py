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
_TORSO: Final = [5, 6, 11, 12]
_ALONG: Final = np.linspace(0.15, 0.8, 14)[:, None]

_TO_YCC: Final = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]]).T
_LOW: Final = np.array([0.0, -64.0, -64.0])
_FIRST_BIN: Final = BINS * np.arange(3)
_WIDTH: Final = np.array([256.0, 128.0, 128.0]) / (BINS - 1)


def describe(image: NDArray[np.uint8], keypoints: F64, scores: F64) -> F64:
    """(48,) non-negative: per part and per channel (light, blue, red difference) a soft histogram that sums to 1.

    A part that is not seen is all zeros. image (H, W, 3) RGB, keypoints (17, 2) px of it, scores (17,).
    """
    seen = (scores >= SEEN_MIN).tolist()
    places = []
    # Hips that are out of the picture are still placed about right, and only pixels inside are looked at.
    if seen[5] or seen[6]:
        places.append(_TORSO_WEIGHTS @ keypoints[_TORSO])
    torso = len(places[0]) if places else 0
    places += [
        keypoints[hip] + _ALONG * (keypoints[knee] - keypoints[hip])
        for hip, knee in ((11, 13), (12, 14))
        if seen[hip] and seen[knee]
    ]
    if not places:
        return np.zeros(LENGTH)
    return _histograms(image, np.concatenate(places), torso)


def _histograms(image: NDArray[np.uint8], places: F64, torso: int) -> F64:
    """(48,): of the places (N, 2) px, the first ``torso`` of which are the torso's, the others the thighs'."""
    height, width = image.shape[:2]
    whole = places.astype(np.int64)
    inside = np.logical_and.reduce((whole >= 0) & (whole < np.array((width, height))), axis=1)
    x, y = whole[inside].T
    first = np.count_nonzero(inside[:torso])
    colour = image[y, x].astype(np.float64) @ _TO_YCC
    at = (colour - _LOW) / _WIDTH
    np.maximum(at, 0.0, out=at)
    np.minimum(at, BINS - 1 - 1e-6, out=at)
    low = at.astype(np.int64)
    share = (at - low).reshape(-1)
    low += _FIRST_BIN
    low[first:] += 3 * BINS
    bins = low.reshape(-1)
    out = np.bincount(bins, 1 - share, LENGTH) + np.bincount(bins + 1, share, LENGTH)
    counts = np.repeat([first, len(colour) - first], 3 * BINS)
    return np.where(counts >= 8, out / np.maximum(counts, 1), 0.0)


def difference(a: F64, b: F64) -> float:
    """Mean Hellinger distance over the parts that both see, in [0, 1]; 0.5 (no idea) where they share none."""
    overlap = np.add.reduce(np.sqrt(a * b).reshape(-1, BINS), axis=1).tolist()
    known, other = a.tolist(), b.tolist()
    away = []
    for part in range(PARTS):
        own = slice(3 * BINS * part, 3 * BINS * (part + 1))
        if any(known[own]) and any(other[own]):
            away += [math.sqrt(max(1.0 - o, 0.0)) for o in overlap[3 * part : 3 * part + 3]]
    return sum(away) / len(away) if away else 0.5


def blend(old: F64, new: F64, share: float) -> F64:
    """``old`` moved towards ``new``; a part that only one of them sees is taken from that one."""
    po, pn = old.reshape(PARTS, -1), new.reshape(PARTS, -1)
    has_old, has_new = po.sum(axis=1) > 0, pn.sum(axis=1) > 0
    weight = np.where(has_old & has_new, share, has_new.astype(np.float64))[:, None]
    return (po + weight * (pn - po)).reshape(-1)
