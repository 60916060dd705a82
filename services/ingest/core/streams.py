"""What is wanted of a stream (``StreamSpec``) and what happens to it (``StreamEvent``)."""

import math
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from services.common.errors import ConfigError
from services.common.types import StreamKey
from services.ingest.core.lifecycle import StreamState
from services.ingest.core.schedule import ALWAYS, Schedule, check_schedule

LIVE_FPS: Final = 10.0
SHORT_SIDE_PX: Final = 480
"""What the pose networks' crops need: a person who fills the picture has 480 px, twice a crop's 192 to 256."""
_SHORT_SIDES_PX: Final = (120, 2160)
_MOST_FPS: Final = 60.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
LIVE_SCHEMES: Final = frozenset(
    {"rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "rtp", "srt", "tcp"}
)  # fmt: skip


class Mode(StrEnum):
    LIVE = "live"
    FILE = "file"


class Transport(StrEnum):
    TCP = "tcp"
    UDP = "udp"


class Retention(StrEnum):
    """What may be kept of a stream. Blurred: see ``services.ingest.core.faces``."""

    KEYPOINTS_ONLY = "keypoints_only"
    BLURRED_PICTURES = "blurred_pictures"
    PICTURES = "pictures"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One entry of ``streams.v1``. ``analysis_fps`` None = the default of the mode, for a file every frame.

    ``retention`` None = the default of the mode (see ``kept``). ``revision`` counts up when a file is to be read anew.
    """

    tenant: str
    stream_id: str
    uri: str
    mode: Mode = Mode.LIVE
    analysis_fps: float | None = None
    short_side_px: int = SHORT_SIDE_PX
    transport: Transport = Transport.TCP
    paused: bool = False
    schedule: Schedule = ALWAYS
    exercise: str | None = None
    retention: Retention | None = None
    revision: int = 0

    @property
    def name(self) -> str:
        """``tenant/stream_id``, the key of the topics."""
        return f"{self.tenant}/{self.stream_id}"

    @property
    def live(self) -> bool:
        return self.mode is Mode.LIVE

    @property
    def rate_fps(self) -> float | None:
        """Analysed frames a second; None = every frame."""
        return LIVE_FPS if self.analysis_fps is None and self.live else self.analysis_fps

    @property
    def kept(self) -> Retention:
        if self.retention is not None:
            return self.retention
        return Retention.KEYPOINTS_ONLY if self.live else Retention.PICTURES

    def source(self) -> tuple[object, ...]:
        """What a reader is opened with: where this differs, a new one is needed."""
        return self.uri, self.mode, self.transport, self.short_side_px, self.revision


@dataclass(frozen=True, slots=True)
class SpecDefaults:
    """What an installation takes where a spec does not say. ``live_fps`` None = ``LIVE_FPS``."""

    live_fps: float | None = None
    short_side_px: int = SHORT_SIDE_PX
    transport: Transport = Transport.TCP


DEFAULTS: Final = SpecDefaults()


def check_spec(spec: StreamSpec) -> StreamSpec:
    """The same, if it can be served.

    Raises:
        ConfigError: one sentence that names the stream and what is wrong with it.
    """
    for what, name in (("tenant", spec.tenant), ("stream_id", spec.stream_id)):
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"stream {spec.name!r}: the {what} must be 1 to 128 letters, digits, '.', '_' or '-', not {name!r}"
            )
    scheme = uri_scheme(spec.uri)
    if spec.live and scheme not in LIVE_SCHEMES:
        raise ConfigError(
            f"stream {spec.name}: a camera's address begins with one of {', '.join(sorted(LIVE_SCHEMES))}; "
            f"this one begins with {scheme or 'none'}"
        )
    if not spec.uri.strip() or any(ord(c) < 32 for c in spec.uri):
        raise ConfigError(f"stream {spec.name}: the address is empty or holds control characters; write it anew")
    fps = spec.analysis_fps
    if fps is not None and not (math.isfinite(fps) and 0 < fps <= _MOST_FPS):
        raise ConfigError(f"stream {spec.name}: analysis_fps must lie above 0 and up to {_MOST_FPS:g}, not {fps:g}")
    low_px, high_px = _SHORT_SIDES_PX
    if not low_px <= spec.short_side_px <= high_px:
        raise ConfigError(
            f"stream {spec.name}: short_side_px must lie between {low_px} and {high_px}, not {spec.short_side_px}"
        )
    check_schedule(spec.schedule, spec.name)
    return spec


def uri_scheme(uri: str) -> str:
    """``rtsp`` of ``rtsp://…``; empty of a path."""
    scheme, separator, _ = uri.partition("://")
    return scheme.lower() if separator and scheme.isascii() and scheme.isalnum() else ""


def without_password(uri: str) -> str:
    """As it may be shown and logged."""
    parts = urlsplit(uri) if uri_scheme(uri) else None
    if parts is None or "@" not in parts.netloc:
        return uri
    return uri.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the session began. ``decoded == sent + sum(skipped.values())`` but for the few frames on their way."""

    decoded: int = 0
    sent: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    reconnects: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One transition. ``time_s`` is event time of the session; ``retry_unix_s`` None = no attempt is planned.

    ``session_started_unix_s`` (live) and ``next_sequence`` let another replica go on with the session.
    """

    stream: StreamKey
    source: StreamState
    target: StreamState
    reason: str
    detail: str
    unix_s: float
    time_s: float
    counters: Counters = Counters()
    retry_unix_s: float | None = None
    session_started_unix_s: float | None = None
    next_sequence: int = 0
