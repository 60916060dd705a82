"""Inside a camera's reader process: one connection, from opening to its end.

The decoding thread takes packets as fast as they come and leaves the sampled pictures in a slot where the newest wins;
the sending thread scales, looks, encodes and sends, as fast as its credits allow. So a slow taker costs pictures,
which are counted, and never delay.
"""

import threading
import time
from dataclasses import dataclass
from typing import Final

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from services.common.errors import InputError
from services.common.jpeg import encode_jpeg
from services.ingest.adapters.connecting import ReaderEnd, explain, no_video, open_camera
from services.ingest.adapters.jobs import Job
from services.ingest.adapters.opening import MAX_PIXELS, check_size, choose_stream, sane_fps
from services.ingest.adapters.picture import PictureMaker
from services.ingest.adapters.slot import Newest
from services.ingest.adapters.wire import Header, Link
from services.ingest.core.cameratime import CameraClock
from services.ingest.core.lifecycle import End, Outcome
from services.ingest.core.live import AGE_MOST_S, LiveSampler, LoadControl, SkipReason, Tally
from services.ingest.core.scene import SceneDetector
from services.ingest.core.still import HangDetector
from services.ingest.core.streams import Transport, without_password

_STATS_S: Final = 1.0
_MOST_UNDECODABLE: Final = 500
_PACED: Final = ("hls", "dash")
"""Formats that are fetched in pieces of seconds; they are read at the pace of their timestamps."""


@dataclass(frozen=True, slots=True)
class _Picture:
    frame: VideoFrame
    time_s: float
    bytes_since: int


class LiveReader:
    """Reads one camera until the connection ends. ``run`` returns how."""

    def __init__(self, job: Job, link: Link) -> None:
        self._job = job
        self._link = link
        self._tally = Tally()
        self._clock = CameraClock(job.floor_s)
        self._sampler = LiveSampler(job.rate_fps)
        self._load = LoadControl()
        self._slot: Newest[_Picture] = Newest()
        self._credits = threading.Semaphore(job.credits)
        self._stopped = threading.Event()
        self._rate_fps = job.rate_fps
        self._behind = False
        self._fps = 25.0
        self._bytes = 0
        self._sent_bytes_mark = 0
        self._decode_s = self._decoded_mark_s = 0.0
        self._undecodables = 0
        self._last_frame_s: float | None = None
        self._hangs = False
        self._trouble: Exception | None = None
        self._maker: PictureMaker | None = None
        self._aspect = 1.0
        self._next_sequence = job.next_sequence

    def now_s(self) -> float:
        """The session's time."""
        return time.monotonic() - self._job.origin_s

    def command(self, message: Header) -> None:
        """From the supervisor: credits, another rate, whether those behind lag, or to stop."""
        for _ in range(int(message.get("credit", 0))):
            self._credits.release()
        if "rate_fps" in message:
            self._rate_fps = message["rate_fps"]
            self._sampler.change(self._rate_fps, self._load.factor, self._fps)
        self._behind = bool(message.get("behind", self._behind))
        if message.get("stop"):
            self.stop()

    def stop(self) -> None:
        self._stopped.set()
        self._slot.close()
        self._credits.release()

    def run(self) -> End:
        sender = threading.Thread(target=self._send_all, name="send", daemon=True)
        ticker = threading.Thread(target=self._tick, name="tick", daemon=True)
        ticker.start()
        try:
            job = self._job
            container = open_camera(job.uri, Transport(job.transport), job.open_timeout_s, job.read_timeout_s)
            stream = self._prepare(container)
            sender.start()
            end = self._read(container, stream)
            if self._stopped.is_set():
                container.close()  # says goodbye; to a camera that is lost this could take for ever
        except ReaderEnd as over:
            end = over.end
        except InputError as error:
            end = no_video(error)
        self.stop()
        if sender.ident is not None:
            sender.join(2.0)
        if self._trouble is not None:
            end = End(Outcome.LOST, "broken", f"{without_password(self._job.uri)}: {self._trouble}")
        unsent = self._tally.decoded - self._tally.sent - self._tally.skipped.total()
        self._tally.skipped[SkipReason.UNSENT.value] += unsent
        self._send_stats()
        return end

    def _prepare(self, container: InputContainer) -> VideoStream:
        name = without_password(self._job.uri)
        stream = choose_stream(container, name)
        context = stream.codec_context
        context.thread_count = 1  # threads would hold pictures back; cameras are read side by side anyway
        context.thread_type = "NONE"
        context.options = {"max_pixels": str(MAX_PIXELS)}
        ratio = stream.sample_aspect_ratio or context.sample_aspect_ratio
        self._aspect = float(ratio) if ratio else 1.0
        self._fps = sane_fps(stream, None)
        self._link.send(
            {"kind": "opened", "codec": context.name, "width_px": context.width, "height_px": context.height,
             "fps": self._fps, "format": container.format.name}
        )  # fmt: skip
        return stream

    def _read(self, container: InputContainer, stream: VideoStream) -> End:
        job = self._job
        base = float(stream.time_base or 0) or 1 / 90000
        pace = _Pace() if container.format.name in _PACED else None
        problem: av.FFmpegError | None = None
        heard_s = time.monotonic()
        try:
            for packet in container.demux(stream):
                if self._stopped.is_set():
                    return End(Outcome.LOST, "stopped")
                if not packet.size:
                    continue
                pts_s = packet.pts * base if packet.pts is not None else None
                if pace is not None:
                    pace.wait(pts_s, self._stopped)
                self._clock.observe(pts_s, self.now_s())
                self._bytes += packet.size
                self._decode(packet, stream, base)
                heard_s = time.monotonic()
        except av.FFmpegError as error:
            problem = error
        waited_s = time.monotonic() - heard_s
        return explain(problem, job.uri, opening=False, waited_s=waited_s, timeout_s=job.read_timeout_s)

    def _decode(self, packet: Packet, stream: VideoStream, base: float) -> None:
        started_s = time.thread_time()
        try:
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:
            self._undecodable()
            return
        finally:
            self._decode_s += time.thread_time() - started_s
        for frame in frames:
            self._tally.decoded += 1
            reason = self._offer(frame, base)
            if reason is not None:
                self._tally.skip(reason)

    def _undecodable(self) -> None:
        """A damaged packet is nothing; hundreds before the first picture are no video."""
        self._undecodables += 1
        if self._tally.decoded == 0 and self._undecodables > _MOST_UNDECODABLE:
            name = without_password(self._job.uri)
            raise ReaderEnd(End(Outcome.LOST, "garbage", f"{name}: what it sends cannot be decoded"))

    def _offer(self, frame: VideoFrame, base: float) -> SkipReason | None:
        """Leave the picture to the sending thread, or say why not."""
        placed = self._clock.place(frame.pts * base if frame.pts is not None else None)
        self._last_frame_s = self.now_s()
        if isinstance(placed, SkipReason):
            return placed
        if frame.is_corrupt:
            return SkipReason.CORRUPT
        if self.now_s() - placed > AGE_MOST_S:
            return SkipReason.LATE
        reason = self._sampler.offer(placed)
        if reason is not None:
            return reason
        size, self._sent_bytes_mark = self._bytes - self._sent_bytes_mark, self._bytes
        if self._slot.put(_Picture(frame, placed, size)):
            self._tally.skip(SkipReason.REPLACED)
        return None

    def _send_all(self) -> None:
        """The sending thread."""
        scene, hang = SceneDetector(), HangDetector()
        try:
            while not self._stopped.is_set():
                self._credits.acquire()
                picture = self._slot.take()
                if picture is None or self._stopped.is_set():
                    return
                self._send(picture, scene, hang)
        except OSError:
            self.stop()  # the supervisor is gone
        except (InputError, ValueError, RuntimeError) as error:
            self._trouble = error
            self.stop()

    def _send(self, picture: _Picture, scene: SceneDetector, hang: HangDetector) -> None:
        frame, started_s = picture.frame, time.thread_time()
        if self._maker is None:
            check_size(frame.width, frame.height, without_password(self._job.uri))
            self._maker = PictureMaker(frame, self._aspect, self._job.short_side_px)
        image = self._maker.make(frame)
        made_s = time.thread_time()
        look = scene.look(image, picture.time_s)
        self._hangs = hang.add(picture.time_s, same=look.frozen, size_bytes=picture.bytes_since)
        data = encode_jpeg(image, self._job.jpeg_quality)
        decode_s, self._decoded_mark_s = self._decode_s - self._decoded_mark_s, self._decode_s
        width_px, height_px = self._maker.source_size
        header = {
            "kind": "frame", "sequence": self._next_sequence, "time_s": picture.time_s,
            "width_px": width_px, "height_px": height_px, "cut": look.cut, "frozen": look.frozen,
            "captured_unix_s": time.time() - (self.now_s() - picture.time_s), "hangs": self._hangs,
            "decode_s": decode_s + made_s - started_s, "encode_s": time.thread_time() - made_s,
        }  # fmt: skip
        self._link.send(header, data)
        self._next_sequence += 1
        self._tally.sent += 1
        self._tally.bytes += len(data)

    def _tick(self) -> None:
        """Once a second: adapt to the load, tell the counts."""
        sent = replaced = 0
        while not self._stopped.wait(_STATS_S):
            now_sent, now_replaced = self._tally.sent, self._tally.skipped[SkipReason.REPLACED.value]
            before = self._load.factor
            factor = self._load.update(sent=now_sent - sent, replaced=now_replaced - replaced, behind=self._behind)
            sent, replaced = now_sent, now_replaced
            if factor != before:
                self._sampler.change(self._rate_fps, factor, self._fps)
            try:
                self._send_stats()
            except OSError:
                self.stop()

    def _send_stats(self) -> None:
        last_s = self._last_frame_s
        self._link.send(
            {"kind": "stats", "decoded": self._tally.decoded, "sent": self._tally.sent, "bytes": self._tally.bytes,
             "skipped": dict(self._tally.skipped), "decode_s": self._decode_s, "received_bytes": self._bytes,
             "factor": self._load.factor, "jumps": self._clock.counts.jumps, "hangs": self._hangs,
             "frame_age_s": None if last_s is None else self.now_s() - last_s}
        )  # fmt: skip


class _Pace:
    """Holds packets back until they are due by their timestamps."""

    def __init__(self) -> None:
        self._offset_s: float | None = None

    def wait(self, pts_s: float | None, stopped: threading.Event) -> None:
        if pts_s is None:
            return
        now_s = time.monotonic()
        if self._offset_s is None or abs(pts_s + self._offset_s - now_s) > 15.0:
            self._offset_s = now_s - pts_s
        early_s = pts_s + self._offset_s - now_s
        if early_s > 0:
            stopped.wait(early_s)
        elif early_s < -1.0:
            self._offset_s += 0.1  # fetching takes longer than playing: play later
