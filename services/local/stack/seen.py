"""What a reader of the pipeline's topics has seen, small and comparable: the invariant checker judges lists of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from formcheck.v1 import streams_pb2

from services.common import codec
from services.common.errors import InputError
from services.common.kafka.messages import CAPTURED_HEADER, Record, decode, stream_of
from services.common.processor import Mark, MarkKind
from services.common.topics import STREAM_EVENTS
from services.common.types import Assessment, PoseFrame, Repetition, Status, StreamKey
from services.ingest.adapters.streams_codec import event_from_proto
from services.ingest.core.lifecycle import StreamState

UNKNOWN: Final = -1


class Kind(StrEnum):
    FRAME = "frame"
    POSE = "pose"
    REPETITION = "repetition"
    ASSESSMENT = "assessment"
    MARK = "mark"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one repetition, without its pictures. ``errors``: sorted codes (of an assessment)."""

    id: str
    status: Status
    track_id: int
    onset_s: float
    offset_s: float | None
    exercise: str
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transition:
    """Of a stream's state, with its counts: ``decoded`` = ``sent`` + ``skipped``, but for what is on its way."""

    source: StreamState
    target: StreamState
    decoded: int = 0
    sent: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """One record. ``topic`` without prefix; ``time_s``: event time, of repetitions that of the decision.

    ``read_unix_s``: when a reader got it, ``captured_unix_s``: when the camera saw the frame that it was made from (0 =
    not told); both wall clock.
    """

    topic: str
    partition: int
    offset: int
    stream: StreamKey
    kind: Kind
    time_s: float
    sequence: int = UNKNOWN
    people: int = 0
    gone: tuple[int, ...] = ()
    mark: MarkKind | None = None
    answer: Answer | None = None
    transition: Transition | None = None
    size_bytes: int = 0
    read_unix_s: float = 0.0
    captured_unix_s: float = 0.0

    @property
    def name(self) -> str:
        """``tenant/stream_id``."""
        return f"{self.stream.tenant}/{self.stream.stream_id}"


def see(record: Record, read_unix_s: float = 0.0) -> Seen:
    """What is in a record. Raises: FormcheckError, ValueError: nothing that belongs on its topic."""
    header = record.header(CAPTURED_HEADER)
    captured_s = float(header) if header else 0.0
    size = len(record.value or b"")
    if record.topic == STREAM_EVENTS:
        event = event_from_proto(streams_pb2.StreamEvent.FromString(record.value or b""))
        counts = event.counters
        transition = Transition(
            event.source, event.target, counts.decoded, counts.sent, sum(counts.skipped.values())
        )  # fmt: skip
        return Seen(
            record.topic, record.partition, record.offset, event.stream, Kind.EVENT, event.time_s,
            transition=transition, size_bytes=size, read_unix_s=read_unix_s, captured_unix_s=event.unix_s,
        )  # fmt: skip
    item = decode(record)
    told = _told(item)
    if isinstance(item, codec.EncodedFrame):
        captured_s = item.captured_unix_s
    return Seen(
        record.topic, record.partition, record.offset, stream_of(item),
        size_bytes=size, read_unix_s=read_unix_s, captured_unix_s=captured_s, **told,
    )  # fmt: skip


def _told(item: Any) -> dict[str, Any]:
    if isinstance(item, Mark):
        return {"kind": Kind.MARK, "time_s": item.time_s, "mark": item.kind}
    if isinstance(item, codec.EncodedFrame):
        return {"kind": Kind.FRAME, "time_s": item.time_s, "sequence": item.sequence}
    if isinstance(item, PoseFrame):
        told = {"kind": Kind.POSE, "time_s": item.time_s, "sequence": item.sequence}
        return told | {"people": len(item.people), "gone": item.ended}
    if isinstance(item, Repetition):
        return {"kind": Kind.REPETITION, "time_s": item.decided_s, "answer": answer_of(item)}
    if isinstance(item, Assessment):
        errors = tuple(sorted({e.code for e in item.errors}))
        answer = answer_of(item.repetition, errors)
        return {"kind": Kind.ASSESSMENT, "time_s": item.repetition.decided_s, "answer": answer}
    raise InputError(f"A {type(item).__name__} is judged by nobody.")


def answer_of(repetition: Repetition, errors: tuple[str, ...] = ()) -> Answer:
    return Answer(
        repetition.id,
        repetition.status,
        repetition.track_id,
        repetition.onset_s,
        repetition.offset_s,
        repetition.exercise,
        errors,
    )
