"""Reading BlazePose: a detector that finds near people by torso and full-body circle, and a landmark network that
reads 33 points of one upright person; here the 17 of COCO are kept.

References: Bazarevsky et al., BlazePose, arXiv:2006.10204; MediaPipe's pose graph (anchors, weighted non-maximum
suppression, heatmap refinement, region of interest from two auxiliary landmarks).
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.errors import ShapeError
from services.common.skeleton import INDEX, VISIBLE_MIN, K
from services.common.types import F32
from services.pose.core.geometry import Instances, Region

DETECTOR_PX: Final = 224
LANDMARK_PX: Final = 256

TO_COCO: Final = np.array([0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])
"""(17,) which of the 33 landmarks each COCO joint is."""

PERSON_MIN: Final = 0.5
"""The detector's and the landmark network's own threshold for "there is a person"."""

_LANDMARKS: Final = 39  # 33 of the body and 6 auxiliary; 33: the hips' middle, 34: on the full-body circle
_HIP, _CIRCLE = 33, 34
_ROOM: Final = 1.25
_REFINE_CELLS: Final = 4  # to each side
_REFINE_MIN: Final = 0.5
_OVERLAP_MIN: Final = 0.3
_VISIBLE_POWER: Final = math.log(VISIBLE_MIN) / math.log(0.5)
"""Visibility 0.5, below which MediaPipe's own applications hide a joint, becomes VISIBLE_MIN."""


def _anchors() -> F32:
    """(2254, 2) centres x, y as shares of the detector's input: 2 per cell of 28² and 14², 6 per cell of 7²."""
    rows = []
    for cells, each in ((28, 2), (14, 2), (7, 6)):
        line = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(line, line, indexing="ij")
        rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), each, axis=0))
    return np.concatenate(rows).astype(np.float32)


ANCHORS: Final = _anchors()


def decode_detector(outputs: Sequence[F32], regions: Sequence[Region], single: Sequence[bool]) -> list[Instances]:
    """Places of people in each crop, best first; ``rough``: see ``Instances``.

    Args:
        outputs: boxes (N, 2254, 12): centre x, y, width, height, then x, y of the hips' middle, of a point on the
            full-body circle, of the shoulders' middle and of a point on the upper-body circle, in px of the crop
            from the anchor; scores (N, 2254, 1) logits.
        regions: N, what the crops show.
        single: ignored: a detector finds everyone.
    Raises:
        ShapeError: the outputs are not the detector's.
    """
    shapes = [o.shape[1:] for o in outputs]
    if shapes != [(len(ANCHORS), 12), (len(ANCHORS), 1)]:
        raise ShapeError(f"the detector's outputs must be (N, 2254, 12) and (N, 2254, 1), got {shapes}")
    probability = _sigmoid(outputs[1][..., 0])
    return [_places(outputs[0][i], probability[i], region) for i, region in enumerate(regions)]


def _places(raw: F32, probability: F32, region: Region) -> Instances:
    keep = np.flatnonzero(probability >= PERSON_MIN)
    if len(keep) == 0:
        return Instances.none(rough=True)
    points = raw[keep].reshape(-1, 6, 2) / DETECTOR_PX
    size = points[:, 1].copy()
    points = points + ANCHORS[keep][:, None]
    points[:, 1] = size
    merged, centre = _weighted_suppression(points, probability[keep])
    places = region.to_picture(merged[:, 2:])  # (M, 4, 2)
    keypoints = np.repeat(places[:, :1], K, axis=1)
    keypoints[:, : INDEX["left_hip"]] = places[:, 2:3]
    scores = np.zeros((len(places), K), np.float32)
    torso = [INDEX[f"{s}_{p}"] for s in ("left", "right") for p in ("shoulder", "hip")]
    scores[:, torso] = centre[:, None]
    around = tuple(_circle(p[0], p[1], region) for p in places)
    return Instances(keypoints, scores, centre, around, rough=True)


def _weighted_suppression(points: NDArray[np.floating], probability: F32) -> tuple[F32, F32]:
    """Merges what overlaps: each group becomes its mean, weighted by probability. points (P, 6, 2): centre, size,
    four keypoints → (M, 6, 2), (M,) the best probability of each group."""
    low, high = points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2
    area = np.prod(np.maximum(points[:, 1], 0), axis=1)
    left = np.argsort(-probability, kind="stable")
    merged, best = [], []
    while len(left):
        first = left[0]
        shared = np.maximum(np.minimum(high[left], high[first]) - np.maximum(low[left], low[first]), 0)
        inter = np.prod(shared, axis=1)
        overlap = inter / np.maximum(area[left] + area[first] - inter, 1e-9)
        group = overlap > _OVERLAP_MIN
        group[0] = True
        members = left[group]
        merged.append(np.average(points[members], axis=0, weights=probability[members]))
        best.append(probability[first])
        left = left[~group]
    return np.array(merged, np.float32), np.array(best, np.float32)


def decode_landmarks(outputs: Sequence[F32], regions: Sequence[Region], single: Sequence[bool]) -> list[Instances]:
    """The person in the middle of each crop, or nobody where the network sees none.

    Args:
        outputs: landmarks (N, 195): 39 × x, y, z px of the crop, visibility and presence logits; person (N, 1)
            probability; heatmap (N, 39, 64, 64) logits.
        regions: N, what the crops show.
        single: ignored: the network reads one person.
    Raises:
        ShapeError: the outputs are not the landmark network's.
    """
    shapes = [o.shape[1:] for o in outputs]
    if shapes != [(_LANDMARKS * 5,), (1,), (_LANDMARKS, 64, 64)]:
        raise ShapeError(f"outputs must be (N, 195), (N, 1) and (N, 39, 64, 64), got {shapes}")
    raw = outputs[0].reshape(-1, _LANDMARKS, 5)
    places = _refine(raw[..., :2] / LANDMARK_PX, outputs[2])
    scores = np.minimum(_sigmoid(raw[..., 3]), _sigmoid(raw[..., 4]))[:, TO_COCO] ** _VISIBLE_POWER
    found = []
    for i, region in enumerate(regions):
        if outputs[1][i, 0] < PERSON_MIN:
            found.append(Instances.none())
            continue
        picture = region.to_picture(places[i])
        around = _circle(picture[_HIP], picture[_CIRCLE], region)
        centre = outputs[1][i].astype(np.float32)
        found.append(Instances(picture[None, TO_COCO], scores[i : i + 1].astype(np.float32), centre, (around,)))
    return found


def _refine(places: NDArray[np.floating], heatmap: F32) -> F32:
    """Moves each landmark (N, 39, 2), shares of the crop, to the heatmap's centre of mass around it where the
    heatmap is sure of it."""
    n, k, height, width = heatmap.shape
    reach = np.arange(-_REFINE_CELLS, _REFINE_CELLS + 1)
    column = (places[..., 0] * width).astype(int)
    row = (places[..., 1] * height).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    rows, columns = row[..., None] + reach, column[..., None] + reach  # (N, 39, 9)
    valid = ((rows >= 0) & (rows < height))[..., :, None] & ((columns >= 0) & (columns < width))[..., None, :]
    picked = heatmap[
        np.arange(n)[:, None, None, None],
        np.arange(k)[None, :, None, None],
        np.clip(rows, 0, height - 1)[..., :, None],
        np.clip(columns, 0, width - 1)[..., None, :],
    ]
    weight = np.where(valid, _sigmoid(picked), 0)  # (N, 39, 9, 9)
    total = weight.sum(axis=(2, 3))
    x = (weight * columns[..., None, :]).sum(axis=(2, 3)) / np.maximum(total, 1e-9) / width
    y = (weight * rows[..., :, None]).sum(axis=(2, 3)) / np.maximum(total, 1e-9) / height
    sure = inside & (weight.max(axis=(2, 3)) >= _REFINE_MIN)
    return np.where(sure[..., None], np.stack([x, y], axis=-1), places).astype(np.float32)


def _circle(hip: F32, edge: F32, fallback: Region) -> Region:
    """The square around the full-body circle, turned so that the body stands upright in the crop."""
    dx, dy = (float(v) for v in edge - hip)
    radius = math.hypot(dx, dy)
    if not (math.isfinite(radius) and radius > 1):
        return fallback
    return Region(float(hip[0]), float(hip[1]), 2 * radius * _ROOM, math.atan2(dx, -dy))


def follow_region(keypoints: F32, scores: F32) -> Region | None:
    """Where to look next from the 17 joints alone: around the hips, as wide as the seen body reaches, upright along
    the trunk. ``Instances.regions``, from the network's own auxiliary landmarks, is the better answer."""
    seen = scores >= VISIBLE_MIN
    hips, shoulders = ([INDEX[f"{s}_{p}"] for s in ("left", "right")] for p in ("hip", "shoulder"))
    if not seen[hips + shoulders].any():
        return None
    if not (seen[hips].any() and seen[shoulders].any()):
        joints = hips if seen[hips].any() else shoulders
        middle = keypoints[[j for j in joints if seen[j]]].mean(axis=0)
        angle = 0.0
    else:
        middle = keypoints[[j for j in hips if seen[j]]].mean(axis=0)
        trunk = keypoints[[j for j in shoulders if seen[j]]].mean(axis=0) - middle
        angle = math.atan2(float(trunk[0]), -float(trunk[1]))
    radius = float(np.linalg.norm(keypoints[seen] - middle, axis=1).max())
    if radius <= 1:
        return None
    return Region(float(middle[0]), float(middle[1]), 2 * radius * _ROOM, angle)


def _sigmoid(x: NDArray[np.floating]) -> F32:
    return (1 / (1 + np.exp(-np.clip(x, -80, 80).astype(np.float32)))).astype(np.float32)
