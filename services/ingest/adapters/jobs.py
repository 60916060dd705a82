"""What a reader process is told when it starts."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from services.common.jpeg import JPEG_QUALITY
from services.common.types import StreamKey


@dataclass(frozen=True, slots=True)
class Job:
    """One connection to a camera, or one reading of a file.

    ``origin_s``: the monotonic clock at the session's time 0. ``floor_s``: (live) nothing earlier may be sent.
    ``next_sequence``: of the next frame. ``after_s``: (file) event time of the last frame that was taken; None = none.
    ``credits``: frames that may be on their way at once.
    """

    tenant: str
    stream_id: str
    session_id: str
    uri: str
    live: bool
    transport: str
    rate_fps: float | None
    short_side_px: int
    origin_s: float
    floor_s: float
    next_sequence: int
    credits: int
    after_s: float | None = None
    jpeg_quality: int = JPEG_QUALITY
    open_timeout_s: float = 10.0
    read_timeout_s: float = 5.0

    @property
    def key(self) -> StreamKey:
        return StreamKey(self.tenant, self.stream_id, self.session_id)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(text: bytes | str) -> "Job":
        return Job(**json.loads(text))
