"""From a decoded frame to the RGB picture that is delivered: turned upright, square pixels, right colours."""

import contextlib
import ctypes
import math
from functools import cache
from typing import Any, Final

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

_UNSPECIFIED: Final = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT_PX: Final = 720
_M_TRIM_THRESHOLD: Final = -1  # <malloc.h>
_M_MMAP_THRESHOLD: Final = -3
_ROTATIONS: Final = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """(clockwise turn in {0, 90, 180, 270} deg, mirrored left-right before it) that shows the frame upright.

    From the display matrix, nine int32 in row order that map (x, y) to (a x + c y, b x + d y); y points down.
    A matrix that does not turn by about a multiple of 90 deg is taken for none.
    """
    side: Any = frame.side_data.get("DISPLAYMATRIX")
    if side is None or side.buffer_size < 36:
        return 0, False
    a, b, _, c, d, *_ = np.frombuffer(side, np.int32)[:9].astype(np.float64) / 65536.0
    mirrored = bool(a * d - b * c < 0)
    if mirrored:
        a, b = -a, -b
    scale = math.hypot(a, b)
    if scale == 0:
        return 0, False
    turn_deg = math.degrees(math.atan2(b, a))
    nearest_deg = round(turn_deg / 90) * 90
    if abs(turn_deg - nearest_deg) > 20:
        return 0, False
    return nearest_deg % 360, mirrored


@cache
def keep_freed_memory() -> None:
    """Let the C library keep what pictures free instead of giving it back to the kernel, which then clears it anew.

    That clearing costs more than making a picture: 2.7 against 0.9 ms at 1080p. At most 64 MB are kept. Where the
    C library is another one than glibc, nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)


class PictureMaker:
    """Turns decoded frames of one stream into ``(H, W, 3)`` uint8 RGB of one fixed size.

    The cheapest way that was measured (``bench/decode.py``): at source size straight to RGB; when scaling, first in
    planar YUV, then the few pixels left to RGB.

    Args:
        first: the stream's first frame; it fixes size and orientation.
        max_short_side_px: scale down so that the short side is at most this; None = source size.
    """

    def __init__(self, first: VideoFrame, pixel_aspect: float, max_short_side_px: int | None) -> None:
        # asking a frame for its side data ties it into a cycle: ask a thumbnail, lest 100 MB of 8K linger
        thumbnail = VideoReformatter().reformat(first, width=16, height=16, threads=1)
        self.rotation_deg, self.mirrored = orientation(thumbnail)
        aspect = pixel_aspect if 0.2 < pixel_aspect < 5 and abs(pixel_aspect - 1) > 0.02 else 1.0
        width_px, height_px = round(first.width * aspect), first.height
        self._aspect = aspect
        self._coded = (first.width, first.height)
        factor = 1.0
        if max_short_side_px is not None:
            factor = min(1.0, max_short_side_px / min(width_px, height_px))
        if factor < 1.0 or aspect != 1.0:
            self._size = max(1, round(width_px * factor)), max(1, round(height_px * factor))
        else:
            self._size = width_px, height_px
        turned = self.rotation_deg in (90, 270)
        self.source_size = (height_px, width_px) if turned else (width_px, height_px)
        self.size = self._size[::-1] if turned else self._size
        keep_freed_memory()
        self._colour = VideoReformatter()
        self._resize = VideoReformatter()

    @property
    def scale(self) -> float:
        """Factor from px of the delivered picture to px of the source picture (upright, square pixels)."""
        short = min(range(2), key=lambda i: self.size[i])
        return self.source_size[short] / self.size[short]

    def make(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, C-contiguous; it owns its memory or keeps the frame that does alive."""
        width_px, height_px = self._size
        if (frame.width, frame.height) != self._coded:
            return self._finish(self._changed_size(frame), frame.interlaced_frame)
        return self._finish(self._to_rgb(frame, width_px, height_px), frame.interlaced_frame)

    def _to_rgb(self, frame: VideoFrame, width_px: int, height_px: int) -> NDArray[np.uint8]:
        space = None
        if frame.colorspace == _UNSPECIFIED and frame.height >= _HD_HEIGHT_PX:
            space = Colorspace.ITU709  # what players take untagged HD for
        if (frame.width, frame.height) != (width_px, height_px) and frame.format.name.startswith("yuv"):
            # the quickest scaler skips pixels when it shrinks by more than two; then average them instead
            much = frame.width > 2 * width_px
            kind = Interpolation.AREA if much else Interpolation.FAST_BILINEAR
            frame = self._resize.reformat(frame, width=width_px, height=height_px, interpolation=kind, threads=1)
        rgb = self._colour.reformat(
            frame, width=width_px, height=height_px, format="rgb24", src_colorspace=space,
            dst_color_range=ColorRange.JPEG, interpolation=Interpolation.FAST_BILINEAR, threads=1,
        )  # fmt: skip
        plane: Any = rgb.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height_px, : width_px * 3]
        return np.ascontiguousarray(rows).reshape(height_px, width_px, 3)  # a copy only where rows are padded

    def _changed_size(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """A stream may change its picture size; it is fitted into the first one's, with black bars."""
        width_px, height_px = self._size
        shape_px = frame.width * self._aspect, float(frame.height)
        factor = min(width_px / shape_px[0], height_px / shape_px[1])
        fitted = max(1, min(width_px, round(shape_px[0] * factor))), max(1, min(height_px, round(shape_px[1] * factor)))
        out = np.zeros((height_px, width_px, 3), np.uint8)
        x, y = (width_px - fitted[0]) // 2, (height_px - fitted[1]) // 2
        out[y : y + fitted[1], x : x + fitted[0]] = self._to_rgb(frame, *fitted)
        return out

    def _finish(self, image: NDArray[np.uint8], interlaced: bool) -> NDArray[np.uint8]:
        out: Any = image
        if interlaced and self._size[1] == self._coded[1]:
            # one field, stretched: moving arms keep one outline instead of a comb
            out = cv2.resize(out[::2], self._size, interpolation=cv2.INTER_LINEAR)
        if self.mirrored:
            out = cv2.flip(out, 1)
        if self.rotation_deg:
            out = cv2.rotate(out, _ROTATIONS[self.rotation_deg])
        return out
