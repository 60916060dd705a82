"""Packets in, decoded frames out: one video stream of one container, whatever state it is in."""

from collections.abc import Generator, Iterator

import av
from av.packet import Packet
from av.video.frame import VideoFrame

from services.common.errors import InputError
from services.ingest.adapters.opening import (
    MAX_PIXELS,
    SourceInfo,
    choose_stream,
    declared_duration_s,
    display_name,
    open_source,
)
from services.ingest.core.notices import Health

_MOST_EMPTY = 3000
"""Packets in a row that give no picture before the rest is given up."""
_MOST_READ_ERRORS = 50
_LARGE_PX = 4096 * 2304


class Decoder:
    """Decodes the best video stream of a source; survives what is broken in it.

    Raises:
        InputError: it cannot be opened, or holds no video.
    """

    def __init__(self, uri: str, threads: int) -> None:
        self._uri = uri
        self._name = display_name(uri)
        self._threads = threads
        self._health = Health()
        self._open()

    def _open(self) -> None:
        self._container = open_source(self._uri)
        try:
            self.stream = choose_stream(self._container, self._name)
            context = self.stream.codec_context
            threads = 1 if context.width * context.height > _LARGE_PX else self._threads
            context.thread_count = threads
            context.thread_type = "AUTO" if threads > 1 else "NONE"
            context.options = {"max_pixels": str(MAX_PIXELS)}
            self._time_base = float(self.stream.time_base or 0) or 1 / 90000
            # AVI stores decoding order only; what its PTS fields hold is made up
            self._decoding_order = self._container.format.name == "avi"
            self._origin_s = self._find_origin_s()
            self._duration_s, self._duration_is_own = declared_duration_s(self._container, self.stream)
        except BaseException:
            self._container.close()
            raise
        self._media_end_s = 0.0
        self._frames = self._decode()

    def _find_origin_s(self) -> float:
        """What the source calls time zero, s: its own zero, or where it starts if that is later (broadcasts).

        Sound that begins a little before zero (the encoder's priming) does not count, early pictures do.
        """
        container_s = (self._container.start_time or 0) / av.time_base
        if container_s > 0:
            return container_s
        start = self.stream.start_time
        return min(0.0, start * self._time_base) if start is not None else 0.0

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel over its height; 1 where unknown."""
        ratio = self.stream.sample_aspect_ratio or self.stream.codec_context.sample_aspect_ratio
        return float(ratio) if ratio else 1.0

    def describe(self) -> SourceInfo:
        """What the headers say; fps and sizes are for the caller to fill in."""
        return SourceInfo(
            uri=self._uri,
            duration_s=self._duration_s,
            fps=0.0,
            width_px=0,
            height_px=0,
            codec=self.stream.codec_context.name,
            container=self._container.format.name,
            has_audio=bool(self._container.streams.audio),
        )

    def time_s(self, frame: VideoFrame) -> float | None:
        """A frame's own time from the source's origin, s; None where the source gives none."""
        ticks = frame.dts if self._decoding_order else frame.pts if frame.pts is not None else frame.dts
        return None if ticks is None else ticks * self._time_base - self._origin_s

    def opening_frames(self) -> tuple[VideoFrame, VideoFrame]:
        """The first two frames; a source that has no two is no video."""
        first = next(self._frames, None)
        if first is None:
            raise InputError(f"{self._name}: no picture can be decoded from it; copy or record it again")
        second = next(self._frames, None)
        if second is None:
            raise InputError(f"{self._name}: holds a single picture, not a video; record at least a second")
        if self._decoding_order and first.dts is not None:
            self._origin_s = first.dts * self._time_base
        return first, second

    def frames(self) -> Iterator[VideoFrame]:
        """The frames that were not yet given."""
        return self._frames

    def seek(self, time_s: float) -> VideoFrame | None:
        """Go to the key frame at or before ``time_s`` and give the first frame that decodes well; None = failed."""
        ticks = round((time_s + self._origin_s) / self._time_base)
        self._frames.close()
        try:
            self._container.seek(ticks, stream=self.stream, backward=True)
        except av.FFmpegError:
            return None
        self._frames = self._decode()
        return next((frame for frame in self._frames if frame.key_frame), None)

    def reopen(self) -> None:
        """Start again at the first frame."""
        origin_s = self._origin_s
        self.close()
        self._health = Health()
        self._open()
        self._origin_s = origin_s

    def close(self) -> None:
        try:
            self._frames.close()
        except ValueError:  # another thread is inside; the container is closed all the same once it leaves
            return
        self._container.close()

    def health(self) -> Health:
        return self._health

    def _decode(self) -> Generator[VideoFrame, None, None]:
        """All frames from here on, in presentation order."""
        empty = 0
        for packet in self._packets():
            frames = self._decode_packet(packet)
            empty = 0 if frames else empty + 1
            if empty > _MOST_EMPTY:
                return
            while frames:
                yield frames.pop(0)
        self._health.ended = True
        if self._duration_s is not None:
            self._health.short_s = self._duration_s - self._media_end_s
            self._health.short_is_own = self._duration_is_own

    def _packets(self) -> Iterator[Packet | None]:
        """The packets of the stream, then None for what the decoder still holds."""
        # where only the whole file's length is known, the sound tells how far the file really goes
        wanted = [self.stream] if self._duration_is_own else [self.stream, *self._container.streams.audio]
        while True:
            try:
                for packet in self._container.demux(wanted):
                    self._note_end(packet)
                    if packet.stream is self.stream and packet.size:
                        self._health.damaged_packets += packet.is_corrupt
                        yield packet
                break
            except (av.error.ExitError, av.error.TimeoutError):
                self._health.stalled = True
                break
            except av.FFmpegError:
                self._health.read_errors += 1
                if self._health.read_errors > _MOST_READ_ERRORS:
                    break
        yield None

    def _note_end(self, packet: Packet) -> None:
        ticks = packet.pts if packet.pts is not None else packet.dts
        if ticks is not None and packet.time_base:
            end_s = float((ticks + (packet.duration or 0)) * packet.time_base)
            start = self.stream.start_time if self._duration_is_own else None
            origin_s = start * self._time_base if start is not None else self._origin_s
            self._media_end_s = max(self._media_end_s, end_s - origin_s)

    def _decode_packet(self, packet: Packet | None) -> list[VideoFrame]:
        try:
            frames = self.stream.codec_context.decode(packet)
        except (av.error.EOFError, av.error.InvalidDataError, av.FFmpegError):
            self._health.undecodable_packets += packet is not None
            return []
        self._health.frames += len(frames)
        self._health.corrupt_frames += sum(frame.is_corrupt for frame in frames)
        return frames
