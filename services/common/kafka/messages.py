"""Items of the cores ↔ what lies in a record: bytes, and a header that names the message."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from formcheck.v1 import events_pb2
from google.protobuf.message import DecodeError, Message

from services.common import codec
from services.common.errors import InputError
from services.common.processor import Mark
from services.common.types import Assessment, PoseFrame, Repetition, StreamKey

MESSAGE_HEADER: Final = "message"
TRACE_HEADER: Final = "traceparent"
CAPTURED_HEADER: Final = "captured_unix_s"
EXERCISE_HEADER: Final = "exercise"
"""On every frame and mark of a stream whose owner said what is trained there; each stage passes it on."""

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read; ``topic`` without the installation's prefix."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = 0

    def header(self, name: str) -> bytes | None:
        return header(self.headers, name)


def header(headers: Headers, name: str) -> bytes | None:
    """The first value of that name; None: there is none."""
    return next((v for k, v in headers if k == name), None)


@dataclass(frozen=True, slots=True)
class _Kind:
    item: type
    message: type[Message]
    to_proto: Callable[[Any], Message]
    from_proto: Callable[[Any], Any]

    @property
    def name(self) -> str:
        return self.message.DESCRIPTOR.full_name


_KINDS: Final = (
    _Kind(Mark, events_pb2.Mark, codec.mark_to_proto, codec.mark_from_proto),
    _Kind(codec.EncodedFrame, events_pb2.Frame, codec.frame_to_proto, codec.frame_from_proto),
    _Kind(PoseFrame, events_pb2.PoseFrame, codec.pose_frame_to_proto, codec.pose_frame_from_proto),
    _Kind(Repetition, events_pb2.RepetitionEvent, codec.repetition_to_proto, codec.repetition_from_proto),
    _Kind(Assessment, events_pb2.AssessmentEvent, codec.assessment_to_proto, codec.assessment_from_proto),
)
_BY_ITEM: Final = {kind.item: kind for kind in _KINDS}
_BY_NAME: Final = {kind.name.encode(): kind for kind in _KINDS}


def stream_key(stream: StreamKey) -> bytes:
    """The record key of a stream, whichever its session."""
    return f"{stream.tenant}/{stream.stream_id}".encode()


def stream_of(item: Any) -> StreamKey:
    """The stream that an item or mark belongs to."""
    stream = item.repetition.stream if isinstance(item, Assessment) else item.stream
    assert isinstance(stream, StreamKey)
    return stream


def encode(item: Any) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """Value and headers of an item's record.

    Raises:
        InputError: items of this type do not travel.
    """
    kind = _BY_ITEM.get(type(item))
    if kind is None:
        raise InputError(f"A {type(item).__name__} cannot be published; only {', '.join(sorted(known()))} can.")
    return kind.to_proto(item).SerializeToString(), ((MESSAGE_HEADER, kind.name.encode()),)


def decode(record: Record) -> Any:
    """The item or mark that a record holds.

    Raises:
        InputError: no such message, or its bytes are not one. FormcheckError, ValueError: its content is wrong.
    """
    name = record.header(MESSAGE_HEADER)
    kind = _BY_NAME.get(name or b"")
    if kind is None:
        told = "no" if name is None else f"the unknown '{name.decode(errors='replace')}' as"
        raise InputError(f"The record has {told} '{MESSAGE_HEADER}' header; known are {', '.join(sorted(known()))}.")
    try:
        message = kind.message.FromString(record.value or b"")
    except DecodeError:
        raise InputError(f"The record's {len(record.value or b'')} bytes are no {kind.name}.") from None
    return kind.from_proto(message)


def known() -> set[str]:
    """Full names of the messages that travel."""
    return {kind.name for kind in _KINDS}
