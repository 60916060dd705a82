"""Where the streams' frames, marks and events go: the supervisor's ``Sink`` on Kafka."""

from dataclasses import dataclass

from services.common import topics
from services.common.codec import EncodedFrame
from services.common.kafka.messages import CAPTURED_HEADER, EXERCISE_HEADER
from services.common.kafka.outgoing import outgoing
from services.common.processor import Mark
from services.common.telemetry.logs import get_logger, stream_context
from services.common.telemetry.tracing import Tracing
from services.ingest.adapters.downstream import Downstream
from services.ingest.adapters.kafka_live import LiveOut
from services.ingest.adapters.outbox import Outbox
from services.ingest.core.lifecycle import StreamState
from services.ingest.core.streams import StreamEvent, StreamSpec

log = get_logger(__name__)

_TROUBLE = frozenset({StreamState.LOST, StreamState.STALLED, StreamState.FROZEN, StreamState.FAILED})


@dataclass(frozen=True, slots=True)
class Ahead:
    """How much of files may wait for pose in one partition, committed or not."""

    frames: int = 128
    bytes: int = 32 << 20


class KafkaSink:
    """Live frames and marks are sent at once (``LiveOut``); all else waits in the outbox for its transaction."""

    def __init__(self, live: LiveOut, outbox: Outbox, downstream: Downstream, tracing: Tracing, ahead: Ahead) -> None:
        self._live, self._outbox, self._downstream, self._tracing = live, outbox, downstream, tracing
        self._ahead = ahead
        self._mean_bytes = 0.0

    def ready(self, spec: StreamSpec) -> bool:
        if spec.live:
            return self._live.ready(spec.name)
        partition = self._outbox.home(spec.name)
        waiting = None if partition is None else self._downstream.waiting(partition)
        if partition is None or waiting is None:
            return False
        frames, size = self._outbox.frames(partition)
        return (
            waiting + frames < self._ahead.frames and waiting * self._mean_bytes + size < self._ahead.bytes
        )  # fmt: skip

    def frame(self, spec: StreamSpec, frame: EncodedFrame) -> None:
        with self._tracing.frame(frame.stream, frame.sequence, frame.time_s) as span:
            captured = CAPTURED_HEADER, repr(frame.captured_unix_s).encode()
            headers = [*span.headers(), captured, *_exercise(spec)]
            if spec.live:
                self._live.frame(frame, headers)
                return
            self._mean_bytes += 0.05 * (len(frame.jpeg) - self._mean_bytes)
            self._outbox.frame(spec.name, frame, outgoing(topics.FRAMES_FILE, frame, headers))

    def mark(self, spec: StreamSpec, mark: Mark) -> None:
        if spec.live:
            self._live.mark(mark, _exercise(spec))
        else:
            self._outbox.record(spec.name, outgoing(topics.FRAMES_FILE, mark, _exercise(spec)))

    def event(self, spec: StreamSpec, event: StreamEvent) -> None:
        self._outbox.event(spec.name, event)
        with stream_context(event.stream):
            say = log.warning if event.target in _TROUBLE else log.info
            say("stream", state=event.target.value, was=event.source.value, reason=event.reason, detail=event.detail)


def _exercise(spec: StreamSpec) -> list[tuple[str, bytes]]:
    """What the stages after are told of a stream whose exercise is known."""
    return [(EXERCISE_HEADER, spec.exercise.encode())] if spec.exercise else []
