"""Inside a file's reader process: every sampled frame, as fast as it is taken."""

import threading
import time
from typing import Final

from services.common.errors import InputError
from services.common.jpeg import encode_jpeg
from services.common.types import Frame
from services.ingest.adapters.jobs import Job
from services.ingest.adapters.media import VideoReader
from services.ingest.adapters.wire import Header, Link
from services.ingest.core.lifecycle import End, Outcome
from services.ingest.core.streams import without_password

_REREAD_S: Final = 60.0
"""Up to here a file that is gone on with is read from its start: exact, whatever is in it."""
_WARM_UP_S: Final = 10.0
"""Beyond, it is read from so long before: what cuts and freezes depend on lies within."""
_SAME_S: Final = 1e-4


class FileReader:
    """Reads a file from where it was left. ``run`` returns how it ended."""

    def __init__(self, job: Job, link: Link) -> None:
        self._job = job
        self._link = link
        self._credits = threading.Semaphore(job.credits)
        self._stopped = threading.Event()
        self._last_s: float | None = job.after_s
        self._warnings: list[str] = []
        self._mark_s = time.thread_time()

    def command(self, message: Header) -> None:
        for _ in range(int(message.get("credit", 0))):
            self._credits.release()
        if message.get("stop"):
            self.stop()

    def stop(self) -> None:
        self._stopped.set()
        self._credits.release()

    def run(self) -> End:
        job = self._job
        try:
            if job.after_s is None or job.after_s <= _REREAD_S:
                complete = self._pass(None)
            else:
                complete = self._pass(max(0.0, job.after_s - _WARM_UP_S)) or self._stopped.is_set() or self._pass(None)
        except InputError as error:
            return End(Outcome.FATAL, "unreadable", str(error))
        except OSError:
            return End(Outcome.LOST, "stopped")  # the supervisor is gone
        if not complete or self._stopped.is_set():
            return End(Outcome.LOST, "stopped")
        remarks = " ".join(self._warnings)
        name = without_password(job.uri)
        return End(Outcome.EOF, "eof", f"{name}: read to its end at {self._last_s or 0:.2f} s. {remarks}".strip())

    def _pass(self, start_s: float | None) -> bool:
        """Read from ``start_s`` (None = the beginning) and send what follows the last frame taken.

        False: stopped; or, read from the middle, the last frame taken is not found again.
        """
        job = self._job
        with VideoReader(
            job.uri, start_s=start_s, rate_fps=job.rate_fps, max_short_side_px=job.short_side_px, stream=job.key,
            threads=1,
        ) as reader:  # fmt: skip
            info = reader.info
            self._link.send(
                {"kind": "opened", "codec": info.codec, "width_px": info.width_px, "height_px": info.height_px,
                 "fps": info.fps, "format": info.container}
            )  # fmt: skip
            sequence = job.next_sequence
            found = start_s is None
            for frame in reader:
                if self._stopped.is_set():
                    return False
                if job.after_s is not None:
                    if start_s is None and frame.sequence < job.next_sequence:
                        continue
                    if start_s is not None and frame.time_s <= job.after_s + _SAME_S:
                        found = found or abs(frame.time_s - job.after_s) <= _SAME_S
                        continue
                    if not found:
                        return False
                self._send(frame, sequence, (info.width_px, info.height_px))
                sequence += 1
            self._warnings = [w.text for w in reader.warnings]
            return found

    def _send(self, frame: Frame, sequence: int, size_px: tuple[int, int]) -> None:
        self._credits.acquire()
        if self._stopped.is_set():
            return
        started_s = time.thread_time()
        decode_s, data = started_s - self._mark_s, encode_jpeg(frame.image, self._job.jpeg_quality)
        self._mark_s = time.thread_time()
        self._last_s = frame.time_s
        self._link.send(
            {"kind": "frame", "sequence": sequence, "time_s": frame.time_s, "width_px": size_px[0],
             "height_px": size_px[1], "cut": frame.cut, "frozen": frame.frozen, "captured_unix_s": time.time(),
             "hangs": False, "decode_s": decode_s, "encode_s": self._mark_s - started_s}, data,
        )  # fmt: skip
