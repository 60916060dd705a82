"""What a person wears, as a few numbers: tells two people apart who crossed, or one person after a cut."""

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
    out = np.zeros((3, BINS))
    if inside.sum() < 8:
        return out.reshape(-1)
    colour = image[y[inside], x[inside]].astype(np.float64) @ _TO_YCC
    at = np.clip((colour - _LOW) / _WIDTH, 0, BINS - 1 - 1e-6)
    low = at.astype(np.int64)
    share = at - low
    for channel in range(3):
        out[channel] = np.bincount(low[:, channel], 1 - share[:, channel], BINS) + np.bincount(
            low[:, channel] + 1, share[:, channel], BINS
        )
    return (out / len(colour)).reshape(-1)


def difference(a: F64, b: F64) -> float:
    """Mean Hellinger distance over the parts that both see, in [0, 1]; 0.5 (no idea) where they share none."""
    pa, pb = a.reshape(PARTS, 3, BINS), b.reshape(PARTS, 3, BINS)
    both = (pa.sum(axis=(1, 2)) > 0) & (pb.sum(axis=(1, 2)) > 0)
    if not both.any():
        return 0.5
    overlap = np.sqrt(pa[both] * pb[both]).sum(axis=-1)
    return float(np.sqrt(np.maximum(1.0 - overlap, 0.0)).mean())


def blend(old: F64, new: F64, share: float) -> F64:
    """``old`` moved towards ``new``; a part that only one of them sees is taken from that one."""
    po, pn = old.reshape(PARTS, -1), new.reshape(PARTS, -1)
    has_old, has_new = po.sum(axis=1) > 0, pn.sum(axis=1) > 0
    weight = np.where(has_old & has_new, share, has_new.astype(np.float64))[:, None]
    return (po + weight * (pn - po)).reshape(-1)
