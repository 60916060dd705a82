"""Faces made unrecognisable before a picture leaves the process that shows it to people."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import INDEX, VISIBLE_MIN

F32 = NDArray[np.float32]

_HEAD: Final = [INDEX[j] for j in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]
_EYES: Final = [INDEX["left_eye"], INDEX["right_eye"]]
_EARS: Final = [INDEX["left_ear"], INDEX["right_ear"]]
_SHOULDERS: Final = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
_HIPS: Final = [INDEX["left_hip"], INDEX["right_hip"]]
_CELLS: Final = 5
"""A head is shown as so many cells across: enough to see where it is, too few to see whose."""
_UNSURE: Final = 0.1
"""Head joints count from here: better a patch too many than a face."""
_SHOULDERS_PER_HEAD: Final = 0.5  # radius of a head over the distance between the shoulders seen from the front
_TORSOS_PER_HEAD: Final = 0.38  # ... over the distance from the shoulders to the hips


def head_circle(keypoints: F32, scores: F32) -> tuple[float, float, float] | None:
    """(x, y, radius) px of a circle that holds the head of a pose, (17, 2) px and (17,); None = no head can be placed.

    Where no joint of the head is seen, it is assumed above the shoulders, in the direction away from the hips.
    """
    size = _size(keypoints, scores)
    seen = [j for j in _HEAD if scores[j] >= _UNSURE]
    if seen:
        centre = keypoints[seen].astype(np.float64).mean(axis=0)
        spread = float(np.linalg.norm(keypoints[seen] - centre, axis=1).max())
        for pair, per_radius in ((_EARS, 0.85), (_EYES, 1.9)):
            if all(j in seen for j in pair):
                size = max(size, per_radius * float(np.linalg.norm(keypoints[pair[0]] - keypoints[pair[1]])))
        radius = max(size, 1.6 * spread)
    else:
        if size == 0 or not any(scores[j] >= VISIBLE_MIN for j in _SHOULDERS):
            return None
        shoulders = _middle(keypoints, scores, _SHOULDERS)
        hips = _middle(keypoints, scores, _HIPS)
        up = np.array([0.0, -1.0])
        if shoulders is not None and hips is not None and np.linalg.norm(shoulders - hips) > 1:
            up = (shoulders - hips) / np.linalg.norm(shoulders - hips)
        assert shoulders is not None
        centre, radius = shoulders + up * 1.4 * size, 1.4 * size
    if radius < 1 or not np.isfinite([*centre, radius]).all():
        return None
    return float(centre[0]), float(centre[1]), float(radius)


def _middle(keypoints: F32, scores: F32, joints: list[int]) -> NDArray[np.float64] | None:
    seen = [j for j in joints if scores[j] >= VISIBLE_MIN]
    return keypoints[seen].astype(np.float64).mean(axis=0) if seen else None


def _size(keypoints: F32, scores: F32) -> float:
    """A head's radius by the trunk, px; 0 = not to be told."""
    sizes = [0.0]
    if all(scores[j] >= VISIBLE_MIN for j in _SHOULDERS):
        sizes.append(_SHOULDERS_PER_HEAD * float(np.linalg.norm(keypoints[_SHOULDERS[0]] - keypoints[_SHOULDERS[1]])))
    shoulders, hips = _middle(keypoints, scores, _SHOULDERS), _middle(keypoints, scores, _HIPS)
    if shoulders is not None and hips is not None:
        sizes.append(_TORSOS_PER_HEAD * float(np.linalg.norm(shoulders - hips)))
    return max(sizes)


def blur_faces(
    image: NDArray[np.uint8], keypoints: F32, scores: F32, *, scale: float = 1.0, margin: float = 1.15
) -> NDArray[np.uint8]:
    """A copy of ``image`` (H, W, 3) in which every head is a mosaic.

    Args:
        keypoints, scores: (N, 17, 2) px and (N, 17), the poses last seen.
        scale: px of ``keypoints`` per px of ``image``.
        margin: by how much the circles are larger than the heads: people move on between pose and picture.
    """
    out = image.copy()
    for points, marks in zip(keypoints, scores, strict=True):
        circle = head_circle(points / np.float32(scale), marks)
        if circle is not None:
            _mosaic(out, circle[0], circle[1], circle[2] * margin)
    return out


def _mosaic(image: NDArray[np.uint8], x: float, y: float, radius: float) -> None:
    """In place: the circle becomes cells of one colour each."""
    height, width = image.shape[:2]
    x0, x1 = max(0, int(x - radius)), min(width, int(x + radius) + 1)
    y0, y1 = max(0, int(y - radius)), min(height, int(y + radius) + 1)
    if x0 >= x1 or y0 >= y1:
        return
    part = image[y0:y1, x0:x1]
    cell = max(2, int(np.ceil(2 * radius / _CELLS)))
    rows, columns = np.arange(0, part.shape[0], cell), np.arange(0, part.shape[1], cell)
    sums = np.add.reduceat(np.add.reduceat(part.astype(np.float32), rows, axis=0), columns, axis=1)
    tall = np.diff(np.append(rows, part.shape[0]))
    wide = np.diff(np.append(columns, part.shape[1]))
    means = sums / (tall[:, None] * wide[None, :])[..., None]
    flat = np.repeat(np.repeat(means, tall, axis=0), wide, axis=1)
    inside = np.hypot(np.arange(x0, x1)[None, :] - x, np.arange(y0, y1)[:, None] - y) <= radius
    part[inside] = np.rint(flat[inside]).astype(np.uint8)
