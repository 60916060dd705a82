"""How streams are run, what is known of them, and what their frames cost."""

import signal
import time
from dataclasses import dataclass, field

from services.common.jpeg import JPEG_QUALITY
from services.common.types import StreamKey
from services.ingest.adapters.wire import Header
from services.ingest.core.lifecycle import End, Limits, Outcome, StreamState
from services.ingest.core.live import AGE_MOST_S
from services.ingest.core.session import FilePosition
from services.ingest.core.streams import Counters, StreamSpec


@dataclass(frozen=True, slots=True)
class Tuning:
    """All times in s. ``…_credits``: frames on their way from a reader at once."""

    open_timeout_s: float = 10.0
    read_timeout_s: float = 5.0
    mark_every_s: float = 1.0
    mark_lag_s: float = AGE_MOST_S + 0.5  # marks of a connected camera leave room for pictures on their way
    silent_s: float = 10.0  # a live reader says something each second
    backoff_first_s: float = 0.5
    backoff_most_s: float = 30.0
    live_credits: int = 2
    file_credits: int = 8
    jpeg_quality: int = JPEG_QUALITY
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class FrameCost:
    """What one frame took in its reader, CPU s. ``decode_s``: with those that were decoded only to get there."""

    decode_s: float
    encode_s: float
    jpeg_bytes: int


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A stream now, for lists and metrics."""

    spec: StreamSpec
    key: StreamKey
    state: StreamState
    reason: str
    detail: str
    counters: Counters
    camera_fps: float
    processed_fps: float
    last_frame_age_s: float | None
    decode_s: float  # CPU time of decoding
    load_factor: float
    clock_jumps: int
    received_bytes: int
    source: Header
    reader_pid: int | None
    retry_in_s: float | None
    position: FilePosition | None


class Rate:
    """Events a second, over the last two seconds or so."""

    def __init__(self) -> None:
        self._count, self._since_s, self.fps = 0, time.monotonic(), 0.0

    def update(self, count: int, now_s: float) -> None:
        if now_s - self._since_s >= 2.0 or count < self._count:
            self.fps = max(0, count - self._count) / max(now_s - self._since_s, 1e-3)
            self._count, self._since_s = count, now_s


def crash(exit_code: int | None) -> End:
    """Of a reader that ended without a word."""
    if exit_code is not None and exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        return End(Outcome.LOST, "crashed", f"The reader was ended by {name}.")
    return End(Outcome.LOST, "crashed", f"The reader ended without a word (status {exit_code}).")
