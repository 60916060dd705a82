"""``annotated.mp4``: the source video with what was found burnt in; plays in every browser."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.errors import InputError
from services.ingest.adapters.media import VideoReader
from services.local.report.overlay import Overlay
from services.local.results import AnalysisResult

_LARGEST_PX: Final = 1080  # short side
_SMALLEST_PX: Final = 360  # short side; smaller sources are enlarged so that the text can be read
_TIME_BASE: Final = Fraction(1, 90000)
_OPTIONS: Final = {"preset": "veryfast", "crf": "22", "rc-lookahead": "20", "g": "60"}


def annotate_video(
    result: AnalysisResult,
    path: Path,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Read the source again, frame by frame, draw on it and encode: H.264, yuv420p, moov first, the source's own times.

    Args:
        path: written whole or not at all (by rename), also on Ctrl-C.
        start_s, end_s: the span that was analysed; the video begins with its first frame.
        progress: called with the source time of each frame, s.
    Raises:
        InputError: the source cannot be read any more, or the place cannot be written.
    """
    with (
        _whole_file(path) as scratch,
        VideoReader(result.source.uri, start_s=start_s, end_s=end_s, max_short_side_px=_LARGEST_PX) as reader,
        _Encoder(scratch, reader.info.fps) as encoder,
    ):
        overlay: Overlay | None = None
        for frame in reader:
            image = _fitted(frame.image)
            if overlay is None:
                shape = (image.shape[1] / result.source.width_px, image.shape[0] / result.source.height_px)
                overlay = Overlay(result, *shape)
            overlay.draw(image, frame.time_s)
            encoder.write(image, frame.time_s)
            progress(frame.time_s)


def _fitted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of its own, of even size, no smaller than can be read and no larger than ``_LARGEST_PX``."""
    height, width = image.shape[:2]
    short = min(height, width)
    scale = min(max(1.0, _SMALLEST_PX / short), 4.0, 4 * _LARGEST_PX / max(height, width))
    if short > _LARGEST_PX:
        scale = _LARGEST_PX / short
    size = (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))
    if size == (width, height):
        return image.copy()
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=smooth), dtype=np.uint8)


class _Encoder:
    """Writes frames with their own times; a context manager."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._rate = Fraction(fps).limit_denominator(1001) if fps > 0 else Fraction(30)
        self._container: Any = None
        self._stream: Any = None
        self._first_s = 0.0
        self._last_pts = -1

    def __enter__(self) -> "_Encoder":
        self._container = av.open(str(self._path), "w", format="mp4", options={"movflags": "+faststart"})
        return self

    def write(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Encode one frame (H, W, 3) RGB of the same size as all others."""
        if self._stream is None:
            self._open(image.shape[1], image.shape[0])
            self._first_s = time_s
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        self._last_pts = max(self._last_pts + 1, round((time_s - self._first_s) / _TIME_BASE))
        frame.pts, frame.time_base = self._last_pts, _TIME_BASE
        self._container.mux(self._stream.encode(frame))

    def _open(self, width: int, height: int) -> None:
        self._stream = self._container.add_stream("libx264", rate=self._rate, options=dict(_OPTIONS))
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.codec_context.time_base = _TIME_BASE

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._stream is not None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; renamed to it on success, removed on any error."""
    scratch = path.with_name(f".{path.stem}-{os.getpid()}.partial")
    try:
        yield scratch
        scratch.replace(path)
    except (OSError, av.FFmpegError) as e:
        raise InputError(
            f"{path}: the annotated video cannot be written ({e}); check the place or use --no-video"
        ) from e
    finally:
        scratch.unlink(missing_ok=True)
