"""Video files and URLs as a stream of frames in event time."""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Self

from av.video.frame import VideoFrame

from services.common.errors import InputError
from services.common.types import LOCAL_STREAM, Frame, StreamKey
from services.ingest.adapters.decoding import Decoder
from services.ingest.adapters.opening import SourceInfo, check_size, display_name, sane_fps
from services.ingest.adapters.picture import PictureMaker
from services.ingest.core.notices import Notices, Warning_
from services.ingest.core.sampling import RateSampler
from services.ingest.core.scene import SceneDetector
from services.ingest.core.timeline import Cadence, Timeline

__all__ = ["SourceInfo", "VideoReader", "Warning_", "probe"]

_EPSILON_S = 1e-4
_SEEK_MIN_S = 2.0
_SEEK_BACK_S = (0.0, 10.0)
"""How much before the wanted time to look for a key frame; the second try is for containers without an index."""


def probe(uri: str) -> SourceInfo:
    """What a source is, found by opening it and decoding its first frames.

    Raises:
        InputError: it cannot be used; one sentence that names it and the fix.
    """
    with VideoReader(uri, threads=1) as reader:
        return reader.info


class VideoReader:
    """Iterates over the frames of a file or URL; a context manager.

    Times are exact: those of the presentation timestamps, from the start of the file, strictly increasing. What
    cannot be decoded is left out; ``warnings`` says so. It holds a handful of frames, whatever the file's length.

    Args:
        start_s, end_s: event times; frames with ``start_s <= time_s < end_s`` are given. Times stay those of the
            whole file.
        rate_fps: at most so many frames a second, chosen by time; None = every frame.
        max_short_side_px: larger pictures are scaled down to this; None = source size. Up to 1080p the full
            picture is cheaper to make than a smaller one; 4K and 8K gain from it, in time and memory.
        threads: of the decoder; None = by the machine, at most 4, and 1 for pictures beyond 4K, where each thread
            holds pictures of its own.
    Raises:
        InputError: (constructor, and iteration where the span holds no frame) one sentence with the fix.
    """

    def __init__(
        self,
        uri: str,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        rate_fps: float | None = None,
        max_short_side_px: int | None = None,
        stream: StreamKey = LOCAL_STREAM,
        threads: int | None = None,
    ) -> None:
        self._name = display_name(uri)
        self._key = stream
        self._start_s, self._end_s = _span(start_s, end_s, self._name)
        self._sampler = RateSampler(rate_fps)
        self._scene = SceneDetector()
        self._cadence = Cadence()
        self._notices = Notices()
        self._pending: deque[VideoFrame] = deque()
        self._sequence = 0
        self.position_s = 0.0
        self._decoder = Decoder(uri, threads if threads is not None else min(os.cpu_count() or 1, 4))
        try:
            self._open(uri, max_short_side_px)
        except BaseException:
            self._decoder.close()
            raise
        self._frames = self._generate()

    def _open(self, uri: str, max_short_side_px: int | None) -> None:
        opening = self._decoder.opening_frames()
        check_size(opening[0].width, opening[0].height, self._name)
        self._picture = PictureMaker(opening[0], self._decoder.pixel_aspect, max_short_side_px)
        first_s, second_s = (self._decoder.time_s(f) for f in opening)
        step_s = second_s - first_s if first_s is not None and second_s is not None else None
        fps = sane_fps(self._decoder.stream, step_s)
        self._period_s = 1 / fps
        width_px, height_px = self._picture.source_size
        self.info = replace(
            self._decoder.describe(),
            fps=fps,
            width_px=width_px,
            height_px=height_px,
            rotation_deg=self._picture.rotation_deg,
            mirrored=self._picture.mirrored,
            pixel_format=opening[0].format.name,
        )
        duration_s = self.info.duration_s
        if duration_s is not None and self._start_s >= duration_s:
            raise InputError(
                f"{self._name}: the start of {self._start_s:g} s lies beyond its end at {duration_s:.1f} s; "
                "choose an earlier start"
            )
        self._pending = deque(opening)
        near_s = 0.0
        if self._start_s >= _SEEK_MIN_S and first_s is not None and self._start_s > first_s + _SEEK_MIN_S:
            near_s = self._seek()
        self._timeline = Timeline(self._period_s, near_s)

    def _seek(self) -> float:
        """Go to the last key frame at or before the start; where that fails, to the beginning. Gives the time, s."""
        for back_s in _SEEK_BACK_S:
            frame = self._decoder.seek(max(0.0, self._start_s - back_s - self._period_s))
            time_s = self._decoder.time_s(frame) if frame is not None else None
            if frame is not None and time_s is not None and time_s <= self._start_s + _EPSILON_S:
                self._pending = deque([frame])
                return time_s
        self._decoder.reopen()
        self._pending.clear()
        return 0.0

    @property
    def scale(self) -> float:
        """Factor from px of ``Frame.image`` to px of the source (``info.width_px`` by ``info.height_px``)."""
        return self._picture.scale

    @property
    def warnings(self) -> list[Warning_]:
        """What is known so far; complete once iteration has ended. At most one of each code."""
        return self._notices.of(self._decoder.health(), self._timeline.counts, self._cadence, self.info.fps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._pending.clear()
        self._decoder.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def _generate(self) -> Iterator[Frame]:
        for decoded, time_s in self._timed():
            if not self._sampler.keep(time_s):
                continue
            image, interlaced = self._picture.make(decoded), decoded.interlaced_frame
            del decoded  # an 8K picture must not outlive its use while the next one is decoded
            look = self._scene.look(image, time_s)
            self._notices.add(time_s, cut=look.cut, frozen=look.frozen, interlaced=interlaced)
            yield Frame(self._key, self._sequence, time_s, image, cut=look.cut, frozen=look.frozen)
            self._sequence += 1
        if self._sequence == 0:
            raise InputError(
                f"{self._name}: holds no picture between {self._start_s:g} s and "
                f"{'its end' if self._end_s is None else f'{self._end_s:g} s'}; choose another span"
            )

    def _timed(self) -> Iterator[tuple[VideoFrame, float]]:
        """The frames of the wanted span with their event times."""
        for decoded in self._all():
            time_s = self._timeline.place(self._decoder.time_s(decoded))
            if time_s is None:
                continue
            if self._end_s is not None and time_s >= self._end_s - _EPSILON_S:
                return
            self._cadence.add(time_s)
            if time_s < self._start_s - _EPSILON_S:
                continue
            self.position_s = time_s
            yield decoded, time_s
            del decoded

    def _all(self) -> Iterator[VideoFrame]:
        while self._pending:
            yield self._pending.popleft()
        yield from self._decoder.frames()


def _span(start_s: float | None, end_s: float | None, name: str) -> tuple[float, float | None]:
    begin_s = 0.0 if start_s is None else start_s
    if not 0 <= begin_s < float("inf"):
        raise InputError(f"{name}: the start must be 0 s or later, not {begin_s:g}; choose another start")
    if end_s is not None and not begin_s < end_s:
        raise InputError(f"{name}: the end of {end_s:g} s is not after the start of {begin_s:g} s; choose a later end")
    return begin_s, end_s
