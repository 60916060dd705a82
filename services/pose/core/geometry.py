"""Where a network looks in a picture, and the way between its crops and the picture.

Three frames of reference: *picture* (px, origin top-left, pixel centres at half-integers), *crop* (px of the
network's input) and *norm* (a share of the crop, [0, 1]).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.errors import ShapeError
from services.common.skeleton import VISIBLE_MIN, K
from services.common.types import F32

Border = Literal["black", "replicate"]


@dataclass(frozen=True, slots=True)
class Region:
    """A square of the picture, px; may reach beyond its edges. ``angle_rad``: turned clockwise as one sees it, so
    that a person lying with the head to the right stands upright in a crop of ``angle_rad = π/2``."""

    cx_px: float
    cy_px: float
    size_px: float
    angle_rad: float = 0.0

    @classmethod
    def whole(cls, width_px: float, height_px: float) -> "Region":
        """The smallest square that holds the whole picture."""
        return cls(width_px / 2, height_px / 2, float(max(width_px, height_px)))

    @classmethod
    def of_box(cls, box: Sequence[float] | NDArray[np.floating], margin: float = 1.25) -> "Region":
        """Around a box x0 y0 x1 y1 px: its longer side times ``margin``."""
        x0, y0, x1, y1 = (float(v) for v in box)
        return cls((x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0, 1.0) * margin)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0 y0 x1 y1 px of the unturned square."""
        half = self.size_px / 2
        return self.cx_px - half, self.cy_px - half, self.cx_px + half, self.cy_px + half

    def to_picture(self, norm: NDArray[np.floating]) -> F32:
        """Places (..., 2) of the crop, as shares of it, to px of the picture."""
        local = (np.asarray(norm, np.float64) - 0.5) * self.size_px
        if self.angle_rad:
            local = local @ self._turn().T
        return (local + np.array((self.cx_px, self.cy_px))).astype(np.float32)

    def to_norm(self, picture: NDArray[np.floating]) -> F32:
        """Places (..., 2) px of the picture to shares of the crop."""
        local = (np.asarray(picture, np.float64) - (self.cx_px, self.cy_px)) @ self._turn()
        return (local / self.size_px + 0.5).astype(np.float32)

    def _turn(self) -> NDArray[np.float64]:
        c, s = math.cos(self.angle_rad), math.sin(self.angle_rad)
        return np.array([[c, -s], [s, c]])


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """People found in one crop, M of them, in px of the picture.

    ``rough``: the network found places, not skeletons (BlazePose's detector): ``keypoints`` are only good enough to
    tell people apart, and nothing may be published before a crop of ``regions[i]`` has been seen by the follow
    network.
    """

    keypoints: F32  # (M, 17, 2) px of the picture
    scores: F32  # (M, 17) in [0, 1]; VISIBLE_MIN separates seen from hidden
    centre: F32  # (M,) confidence that there is a person, in [0, 1]
    regions: tuple[Region, ...]  # M, where to look for the same person in the next picture
    rough: bool = False

    def __len__(self) -> int:
        return len(self.centre)

    @classmethod
    def none(cls, rough: bool = False) -> "Instances":
        """No people."""
        empty = np.zeros
        return cls(empty((0, K, 2), np.float32), empty((0, K), np.float32), empty(0, np.float32), (), rough)


def crop(image: NDArray[np.uint8], region: Region, size_px: int, border: Border = "black") -> NDArray[np.uint8]:
    """What the network sees of ``region``: (size_px, size_px, 3) uint8.

    A region larger than twice the crop is first averaged down by 2, 4, 8 …, so that small people do not flicker with
    sub-pixel moves of the region (plain bilinear sampling would skip pixels).

    Raises:
        ShapeError: the image is not (H, W, 3) uint8, or the region has no size.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ShapeError(f"an image must be (H, W, 3) uint8 with H, W ≥ 1, got {image.shape} {image.dtype}")
    if not (region.size_px > 0 and math.isfinite(region.size_px + region.cx_px + region.cy_px)):
        raise ShapeError(f"a region must have a size and a finite place, got {region}")
    factor = 2 ** max(int(math.log2(region.size_px / size_px)), 0)
    part, x_off, y_off = _reduce(image, region, factor) if factor > 1 else (image, 0, 0)
    step = region.size_px / size_px / factor
    c, s = step * math.cos(region.angle_rad), step * math.sin(region.angle_rad)
    # Pixel i of an image covers [i, i + 1): its centre lies at i + 0.5 in both frames.
    x, y = (region.cx_px - x_off) / factor, (region.cy_px - y_off) / factor
    middle = size_px / 2 - 0.5
    matrix = np.array([[c, -s, x - (c * middle - s * middle) - 0.5], [s, c, y - (s * middle + c * middle) - 0.5]])
    # Measured: with a fourth channel OpenCV takes a path twice as fast, for the same pixels.
    wide = part.shape[0] * part.shape[1] <= 4 * size_px**2
    warped = cv2.warpAffine(
        cv2.cvtColor(part, cv2.COLOR_RGB2RGBA) if wide else part,
        matrix,
        (size_px, size_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE if border == "replicate" else cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0),
    )
    return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB) if wide else warped  # type: ignore[return-value]


def _reduce(image: NDArray[np.uint8], region: Region, factor: int) -> tuple[NDArray[np.uint8], int, int]:
    """The part of the image that the region touches, averaged down by a power of two; where its corner lies, px.

    Halving again and again is several times faster than one step (measured: OpenCV 5, 2 × 2 has its own code).
    """
    height, width = image.shape[:2]
    reach = region.size_px / 2 * (abs(math.cos(region.angle_rad)) + abs(math.sin(region.angle_rad))) + factor

    def span(middle: float, length: int) -> tuple[int, int]:
        low = min(max(math.floor(middle - reach), 0), length - 1)
        high = max(min(math.ceil(middle + reach), length), low + 1)
        if high < length:  # a broken block would lie beyond what is sampled
            high = max(high - (high - low) % factor, low + 1)
        return low, high

    x0, x1 = span(region.cx_px, width)
    y0, y1 = span(region.cy_px, height)
    part = image[y0:y1, x0:x1]
    # Whole blocks only, else the scale would not be exact: the last block is completed with its edge pixels.
    down, right = -(y1 - y0) % factor, -(x1 - x0) % factor
    if down or right:
        part = cv2.copyMakeBorder(part, 0, down, 0, right, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    while factor > 1:
        half = (part.shape[1] // 2, part.shape[0] // 2)
        part = cv2.resize(part, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        factor //= 2
    return part, x0, y0


def keypoint_box(keypoints: F32, scores: F32, seen_min: float = VISIBLE_MIN) -> F32 | None:
    """x0 y0 x1 y1 px around the seen joints of one person (17, 2); None where none is seen."""
    seen = keypoints[scores >= seen_min]
    if len(seen) == 0:
        return None
    return np.concatenate([seen.min(axis=0), seen.max(axis=0)]).astype(np.float32)
