"""How alike two poses are, how big a person is, and how much of a person is to be seen.

Arrays of several people: keypoints (N, 17, 2) px, scores (N, 17) in [0, 1].
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import COCO_SIGMAS, MIRROR, VISIBLE_MIN

F64 = NDArray[np.float64]

TORSO: Final = np.array([5, 6, 11, 12])
LIMBS: Final = np.arange(5, 17)
_KAPPA2: Final = (2.0 * COCO_SIGMAS) ** 2
_AREA_OF_TORSO2: Final = 2.1
"""A standing person's COCO area is about this many torso lengths squared."""

SEEN_MIN: Final = 0.2
"""A joint above this takes part in comparisons: a little under VISIBLE_MIN, so that joints do not flicker out."""


def oks_matrix(a: F64, a_scores: F64, a_size_px: F64, b: F64, b_scores: F64) -> F64:
    """Object keypoint similarity of each of N poses with each of M: (N, M) in [0, 1].

    Only joints that both see count; where they share fewer than three the similarity is 0.
    ``a_size_px`` (N,): torso lengths, which set how far apart is far.

    References: COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval.
    """
    if len(a) == 0 or len(b) == 0:
        return np.zeros((len(a), len(b)))
    both = (a_scores[:, None] >= SEEN_MIN) & (b_scores[None] >= SEEN_MIN)
    d2 = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
    area = _AREA_OF_TORSO2 * a_size_px[:, None, None] ** 2
    each = np.exp(-d2 / (2.0 * area * _KAPPA2)) * both
    count = both.sum(axis=-1)
    return np.where(count >= 3, each.sum(axis=-1) / np.maximum(count, 1), 0.0)


def oks_either_way(a: F64, a_scores: F64, a_size_px: F64, b: F64, b_scores: F64) -> F64:
    """As ``oks_matrix``, but a pose with left and right exchanged is the same body too: networks mix them up."""
    straight = oks_matrix(a, a_scores, a_size_px, b, b_scores)
    if straight.size == 0 or straight.min() > 0.5:
        return straight
    crossed = oks_matrix(a, a_scores, a_size_px, b[:, MIRROR], b_scores[:, MIRROR])
    return np.maximum(straight, crossed)


def pose_box(keypoints: F64, scores: F64) -> F64:
    """x0 y0 x1 y1 px around the seen joints (17, 2); around all of them where fewer than two are seen."""
    seen = keypoints[scores >= VISIBLE_MIN]
    if len(seen) < 2:
        seen = keypoints
    return np.concatenate([seen.min(axis=0), seen.max(axis=0)])


def _distance(a: F64, b: F64) -> float:
    return math.hypot(float(a[0] - b[0]), float(a[1] - b[1]))


def body_size_px(keypoints: F64, scores: F64) -> float:
    """About the length of the torso, from whichever of torso, shoulders, limbs and extent is seen. Always ≥ 1."""
    k, s = keypoints, scores
    sizes = [1.0]
    if s[5] >= SEEN_MIN and s[6] >= SEEN_MIN:
        sizes.append(1.2 * _distance(k[5], k[6]))
        if s[11] >= SEEN_MIN and s[12] >= SEEN_MIN:
            sizes.append(_distance((k[5] + k[6]) / 2, (k[11] + k[12]) / 2))
    for shoulder, hip in ((5, 11), (6, 12)):
        if s[shoulder] >= SEEN_MIN and s[hip] >= SEEN_MIN:
            sizes.append(0.95 * _distance(k[shoulder], k[hip]))
    if len(sizes) == 1:
        x0, y0, x1, y1 = pose_box(k, s)
        sizes.append(0.3 * float(max(x1 - x0, y1 - y0)))
    return max(sizes)


def torso_centre(keypoints: F64, scores: F64) -> F64:
    """(2,) px: the mean of the seen shoulders and hips, else of all seen joints, else of all joints."""
    seen = TORSO[scores[TORSO] >= SEEN_MIN]
    if len(seen) >= 2:
        return keypoints[seen].mean(axis=0)
    any_seen = scores >= SEEN_MIN
    return keypoints[any_seen].mean(axis=0) if any_seen.any() else keypoints.mean(axis=0)


def middle(values: F64) -> F64:
    """The median over the first axis; many times faster than numpy's on a handful of rows."""
    ordered = np.sort(values, axis=0)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def common_shift(a: F64, a_scores: F64, b: F64, b_scores: F64) -> F64:
    """(2,) px from pose a to pose b: of the shoulders and hips that both see (else of all joints they share)."""
    both = (a_scores >= SEEN_MIN) & (b_scores >= SEEN_MIN)
    joints = TORSO[both[TORSO]]
    if len(joints) == 0:
        joints = np.flatnonzero(both)
    return middle(b[joints] - a[joints]) if len(joints) else np.zeros(2)


def quality(scores: F64) -> float:
    """How well a person is seen, in [0, 1]: the mean score of the seen joints, less where few joints are seen."""
    seen = scores[scores >= VISIBLE_MIN]
    if len(seen) == 0:
        return 0.0
    return float(seen.mean()) * min(1.0, len(seen) / 9.0)


def box_overlap(a: F64, b: F64) -> tuple[float, float]:
    """Of two boxes x0 y0 x1 y1: intersection over union, and over the smaller one."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0, 0.0
    inter = float(w * h)
    area_a = float((a[2] - a[0]) * (a[3] - a[1]))
    area_b = float((b[2] - b[0]) * (b[3] - b[1]))
    return inter / max(area_a + area_b - inter, 1e-9), inter / max(min(area_a, area_b), 1e-9)
