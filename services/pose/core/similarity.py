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


def oks(a: F64, a_scores: F64, a_size_px: float, b: F64, b_scores: F64) -> float:
    """As ``oks_matrix``, of one pose (17, 2) with one other."""
    both = (a_scores >= SEEN_MIN) & (b_scores >= SEEN_MIN)
    count = np.count_nonzero(both)
    if count < 3:
        return 0.0
    apart = a - b
    apart *= apart
    d2 = apart[:, 0] + apart[:, 1]
    each = np.exp(-d2 / (2.0 * (_AREA_OF_TORSO2 * a_size_px**2) * _KAPPA2)) * both
    return float(np.add.reduce(each)) / count


def oks_either_way(a: F64, a_scores: F64, a_size_px: F64, b: F64, b_scores: F64) -> F64:
    """As ``oks_matrix``, but a pose with left and right exchanged is the same body too: networks mix them up."""
    if len(a) == len(b) == 1:
        size_px = float(a_size_px[0])
        best = oks(a[0], a_scores[0], size_px, b[0], b_scores[0])
        if best <= 0.5:
            best = max(best, oks(a[0], a_scores[0], size_px, b[0, MIRROR], b_scores[0, MIRROR]))
        return np.array([[best]])
    straight = oks_matrix(a, a_scores, a_size_px, b, b_scores)
    if straight.size == 0 or straight.min() > 0.5:
        return straight
    crossed = oks_matrix(a, a_scores, a_size_px, b[:, MIRROR], b_scores[:, MIRROR])
    return np.maximum(straight, crossed)


def pose_box(keypoints: F64, scores: F64) -> F64:
    """x0 y0 x1 y1 px around the seen joints (17, 2); around all of them where fewer than two are seen."""
    places = keypoints.tolist()  # plain numbers: faster than numpy on so few
    seen = [p for p, s in zip(places, scores.tolist(), strict=True) if s >= VISIBLE_MIN]
    xs, ys = zip(*(seen if len(seen) >= 2 else places), strict=True)
    return np.array((min(xs), min(ys), max(xs), max(ys)))


def body_size_px(keypoints: F64, scores: F64) -> float:
    """About the length of the torso, from whichever of torso, shoulders, limbs and extent is seen. Always ≥ 1."""
    k, s = keypoints.tolist(), scores.tolist()  # plain numbers: many times faster one by one than numpy's
    sizes = [1.0]
    if s[5] >= SEEN_MIN and s[6] >= SEEN_MIN:
        sizes.append(1.2 * math.dist(k[5], k[6]))
        if s[11] >= SEEN_MIN and s[12] >= SEEN_MIN:
            shoulders = (k[5][0] + k[6][0]) / 2, (k[5][1] + k[6][1]) / 2
            hips = (k[11][0] + k[12][0]) / 2, (k[11][1] + k[12][1]) / 2
            sizes.append(math.dist(shoulders, hips))
    for shoulder, hip in ((5, 11), (6, 12)):
        if s[shoulder] >= SEEN_MIN and s[hip] >= SEEN_MIN:
            sizes.append(0.95 * math.dist(k[shoulder], k[hip]))
    if len(sizes) == 1:
        x0, y0, x1, y1 = pose_box(keypoints, scores)
        sizes.append(0.3 * float(max(x1 - x0, y1 - y0)))
    return max(sizes)


def torso_centre(keypoints: F64, scores: F64) -> F64:
    """(2,) px: the mean of the seen shoulders and hips, else of all seen joints, else of all joints."""
    seen = TORSO[scores[TORSO] >= SEEN_MIN]
    if len(seen) >= 2:
        return np.asarray(np.add.reduce(keypoints[seen]) / len(seen))
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
    return float(np.add.reduce(seen)) / len(seen) * min(1.0, len(seen) / 9.0)


def box_overlap(a: F64, b: F64) -> tuple[float, float]:
    """Of two boxes x0 y0 x1 y1: intersection over union, and over the smaller one."""
    ax0, ay0, ax1, ay1 = a.tolist()
    bx0, by0, bx1, by1 = b.tolist()
    w = min(ax1, bx1) - max(ax0, bx0)
    h = min(ay1, by1) - max(ay0, by0)
    if w <= 0 or h <= 0:
        return 0.0, 0.0
    inter = w * h
    area_a = (ax1 - ax0) * (ay1 - ay0)
    area_b = (bx1 - bx0) * (by1 - by0)
    return inter / max(area_a + area_b - inter, 1e-9), inter / max(min(area_a, area_b), 1e-9)
