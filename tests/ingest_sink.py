"""A sink that keeps what streams give, for tests of the ingest service."""

import time
from collections import defaultdict

from services.common.codec import EncodedFrame
from services.common.processor import Mark, MarkKind
from services.ingest.core.lifecycle import TRANSITIONS, StreamState
from services.ingest.core.streams import StreamEvent, StreamSpec


class Recorder:
    """Keeps everything, by stream (``tenant/stream_id``), and checks the order of time as it comes."""

    def __init__(self, *, keep_jpeg: bool = False) -> None:
        self.frames: dict[str, list[EncodedFrame]] = defaultdict(list)
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        self.marks: dict[str, list[Mark]] = defaultdict(list)
        self.events: dict[str, list[StreamEvent]] = defaultdict(list)
        self.blocked: set[str] = set()
        self._promised: dict[tuple[str, str], float] = {}
        self._sequence: dict[tuple[str, str], int] = {}
        self._state: dict[str, StreamState] = {}
        self._keep_jpeg = keep_jpeg

    def ready(self, spec: StreamSpec) -> bool:
        return spec.name not in self.blocked

    def frame(self, spec: StreamSpec, frame: EncodedFrame) -> None:
        assert spec.name not in self.blocked
        session = spec.name, frame.stream.session_id
        assert frame.time_s > self._promised.get(session, -1.0), "a frame lies before what was promised"
        assert frame.sequence > self._sequence.get(session, -1)
        self._promised[session], self._sequence[session] = frame.time_s, frame.sequence
        assert frame.jpeg.startswith(b"\xff\xd8")
        self.arrivals[spec.name].append(time.monotonic())
        kept = frame if self._keep_jpeg else EncodedFrame(
            frame.stream, frame.sequence, frame.time_s, b"", frame.width_px, frame.height_px, frame.cut, frame.frozen,
            frame.captured_unix_s,
        )  # fmt: skip
        self.frames[spec.name].append(kept)

    def mark(self, spec: StreamSpec, mark: Mark) -> None:
        session = spec.name, mark.stream.session_id
        assert mark.time_s >= self._promised.get(session, -1.0), "time runs backwards"
        self._promised[session] = mark.time_s
        self.marks[spec.name].append(mark)

    def event(self, spec: StreamSpec, event: StreamEvent) -> None:
        assert event.source is self._state.get(spec.name, StreamState.ADDED)
        assert event.target in TRANSITIONS[event.source]
        self._state[spec.name] = event.target
        self.events[spec.name].append(event)

    def states(self, name: str) -> list[str]:
        return [event.target.value for event in self.events[name]]

    def kinds(self, name: str) -> list[MarkKind]:
        return [mark.kind for mark in self.marks[name]]
