"""Reading MoveNet: a centre heatmap says where people are, a regression roughly where their joints are, a keypoint
heatmap where exactly, an offset where between two cells.

References: the published single-pose graph (its own decoding keeps one person: the one nearest the middle);
Zhou, Wang, Krähenbühl, Objects as Points, arXiv:1904.07850.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.errors import ShapeError
from services.common.skeleton import INDEX, VISIBLE_MIN, K
from services.common.types import F32
from services.pose.core.geometry import Instances, Region

LIGHTNING_PX: Final = 192
THUNDER_PX: Final = 256
MULTIPOSE_PX: Final = 256

STRIDE_PX: Final = 4
"""One cell of the heatmaps is 4 px of the crop."""

_SOFTEN: Final = 1.8
"""Cells: how sharply nearness to the middle (or to the regressed joint) is preferred. A constant of the graph."""

_SPREAD: Final = 0.3
"""The multi-pose graph's own: joints are looked for under exp(-distance² / (0.3 G)) around the regressed place."""

CENTRE_MIN: Final = 0.1
"""A peak of the centre heatmap below this is nobody."""

PEOPLE_MAX: Final = 10
"""People read from one crop at most."""

_MARGIN: Final = 1.25
"""A region's side, of the longer side of the box around the seen joints."""
_TORSO_MARGIN: Final = 2.2
"""And at least this much of the torso's reach, for people of whom little else is seen."""
_REACH_MIN: Final = 0.2

_TORSO: Final = [INDEX[f"{side}_{part}"] for part in ("shoulder", "hip") for side in ("left", "right")]


def decode(outputs: Sequence[F32], regions: Sequence[Region], single: Sequence[bool]) -> list[Instances]:
    """People in each crop, in px of the picture.

    Args:
        outputs: centre (N, 1, G, G), heatmap (N, 17, G, G), regression (N, 34, G, G), offset (N, 34, G, G) float32;
            the first two are probabilities, the others cells, (y, x) per joint. The multi-pose network has a fifth,
            box size (N, 2, G, G) cells, and reads its joints by another weighting.
        regions: N, what the crops show.
        single: N; True: only the person nearest the middle.
    Returns:
        N Instances; scores are the heatmap's values, ``centre`` the centre heatmap's.
    Raises:
        ShapeError: the outputs are not those of MoveNet.
    """
    _check(outputs)
    centre, heatmap, regression, offset = outputs[:4]
    n, _, g, _ = centre.shape
    crops, cells = _peaks(centre[:, 0], np.asarray(single, bool))
    norm, scores = _read(heatmap, regression, offset, crops, cells, multi=len(outputs) == 5)
    confidence = centre.reshape(n, g * g)[crops, cells]
    found = []
    for i, region in enumerate(regions):
        mine = np.flatnonzero(crops == i)
        keypoints = region.to_picture(norm[mine])
        found.append(
            Instances(
                keypoints=keypoints,
                scores=scores[mine],
                centre=confidence[mine],
                regions=tuple(_region_or(region, k, s) for k, s in zip(keypoints, scores[mine], strict=True)),
            )
        )
    return found


def decode_single(outputs: Sequence[F32], regions: Sequence[Region], single: Sequence[bool]) -> list[Instances]:
    """The person nearest the middle of each crop, where the network has done the decoding itself.

    Args:
        outputs: joints (N, 17, 3): x, y as shares of the crop, score; centre (N, 1).
        regions: N, what the crops show.
        single: ignored: the network reads one person.
    Raises:
        ShapeError: the outputs are not those of a single-person MoveNet.
    """
    shapes = [o.shape[1:] for o in outputs]
    if shapes != [(K, 3), (1,)]:
        raise ShapeError(f"single-person MoveNet's outputs must be (N, 17, 3) and (N, 1), got {shapes}")
    found = []
    for joints, centre, region in zip(*outputs, regions, strict=True):
        keypoints, scores = region.to_picture(joints[None, :, :2]), joints[None, :, 2]
        found.append(Instances(keypoints, scores, centre, (_region_or(region, keypoints[0], scores[0]),)))
    return found


def _check(outputs: Sequence[F32]) -> None:
    shapes = [o.shape for o in outputs]
    channels = (1, K, 2 * K, 2 * K, 2)[: max(len(shapes), 4)]
    good = len(shapes) in (4, 5) and all(
        len(s) == 4 and s[0] == shapes[0][0] and s[1] == c and s[2] == s[3] == shapes[0][3]
        for s, c in zip(shapes, channels, strict=True)
    )
    if not good:
        raise ShapeError(f"MoveNet's outputs must be (N, C, G, G) with C = {channels}, got {shapes}")


def _peaks(centre: F32, single: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The people of the centre heatmaps (N, G, G): index of the crop (P,) and flat cell (P,); per crop best first.

    single: always one, the highest after weighting by nearness to the middle. Otherwise every local maximum
    (3 × 3) of at least ``CENTRE_MIN``, ``PEOPLE_MAX`` at most.
    """
    crops, cells = [], []
    for i, here in enumerate(centre):
        if single[i]:
            best = (here * _nearness(len(here))).reshape(1, -1).argmax(axis=1)
        else:
            best = np.flatnonzero((here >= CENTRE_MIN) & (here >= _around(here)))
            best = best[np.argsort(-here.ravel()[best], kind="stable")][:PEOPLE_MAX]
        crops.append(np.full(len(best), i))
        cells.append(best)
    return np.concatenate(crops).astype(np.intp), np.concatenate(cells).astype(np.intp)


@cache
def _nearness(g: int) -> F32:
    """(G, G): how much a person at each cell is preferred for being near the middle."""
    row, column = np.mgrid[:g, :g].astype(np.float32)
    return np.asarray(1 / (np.hypot(row - g // 2, column - g // 2) + _SOFTEN), np.float32)


def _around(centre: F32) -> F32:
    """(G, G): the largest value among each cell and its eight neighbours."""
    wide = np.pad(centre, 1)
    rows = np.maximum(np.maximum(wide[:-2], wide[1:-1]), wide[2:])
    return np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])


def _read(
    heatmap: F32,
    regression: F32,
    offset: F32,
    crops: NDArray[np.intp],
    cells: NDArray[np.intp],
    *,
    multi: bool,
) -> tuple[F32, F32]:
    """Keypoints (P, 17, 2) as shares of the crop and scores (P, 17) of the people whose centres are given."""
    p, g = len(crops), heatmap.shape[-1]
    joint = np.arange(K)
    y, x = np.divmod(cells, g)
    coarse = regression[crops, :, y, x].reshape(p, K, 2) + np.stack([y, x], axis=1)[:, None]
    line = np.arange(g, dtype=np.float32)
    away = (line - coarse.astype(np.float32)[..., None]) ** 2  # (P, 17, 2, G)
    if multi:
        fade = np.exp(away / np.float32(-_SPREAD * g))
        near = heatmap[crops] * (fade[:, :, 0, :, None] * fade[:, :, 1, None, :])
    else:
        near = away[:, :, 0, :, None] + away[:, :, 1, None, :]  # in place from here: half a megabyte per person
        np.sqrt(near, out=near)
        near += np.float32(_SOFTEN)
        np.divide(heatmap[crops], near, out=near)
    near = near.reshape(p, K, g * g)
    best = near.argmax(axis=2)
    y, x = np.divmod(best, g)
    fine = offset.reshape(-1, K, 2, g, g)[crops[:, None], joint, :, y, x]  # (P, 17, 2) as y, x
    norm = np.stack([x + fine[..., 1], y + fine[..., 0]], axis=-1) / g
    scores = np.take_along_axis(near, best[..., None], 2)[..., 0] if multi else heatmap[crops[:, None], joint, y, x]
    return norm.astype(np.float32), scores


def _region_or(fallback: Region, keypoints: F32, scores: F32) -> Region:
    return follow_region(keypoints, scores) or fallback


def follow_region(keypoints: F32, scores: F32) -> Region | None:
    """Where to look next: a square around the middle of the seen joints that holds the body with room to move; None
    where neither shoulders nor hips are seen.

    Not the rule of the network's authors (hips in the middle, 1.9 × the torso's reach or 1.2 × the body's): measured
    on real clips and on COCO people, tighter crops around the body's own middle are read better (mean joint score
    0.68 against 0.65, mean OKS 0.58 against 0.53), above all where only the upper body is in the picture.
    """
    places, sure = keypoints.tolist(), scores.tolist()  # plain numbers: ten times faster than numpy on so few
    torso = [places[j] for j in _TORSO if sure[j] >= VISIBLE_MIN]
    if not torso:
        return None
    # A little under the threshold: a hand that is only half believed should not be cut off.
    x0, y0, x1, y1 = _extent([p for p, s in zip(places, sure, strict=True) if s >= _REACH_MIN])
    torso_x0, torso_y0, torso_x1, torso_y1 = _extent(torso)
    reach, torso_reach = max(x1 - x0, y1 - y0), max(torso_x1 - torso_x0, torso_y1 - torso_y0)
    side = max(_MARGIN * _single(reach), _TORSO_MARGIN * _single(torso_reach))
    if side <= 2:
        return None
    return Region(_single(x0 + x1) / 2, _single(y0 + y1) / 2, side)


def _extent(points: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """x0 y0 x1 y1 around points (x, y)."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _single(value: float) -> float:
    """In the precision of keypoints: regions are those of reckoning with arrays."""
    return float(np.float32(value))
