"""``StreamSpec`` and ``StreamEvent`` as messages and records of ``streams.v1``, ``stream_events.v1`` and the state."""

from typing import Any, Final

from formcheck.v1 import state_pb2, types_pb2
from formcheck.v1 import streams_pb2 as pb
from google.protobuf.message import DecodeError

from services.common import topics
from services.common.codec import Snapshot, snapshot_from_proto, snapshot_to_proto, stream_from_proto, stream_to_proto
from services.common.errors import ConfigError, InputError
from services.common.kafka.messages import MESSAGE_HEADER, Record
from services.common.kafka.outgoing import Outgoing
from services.common.kafka.plan import state_key
from services.ingest.core.lifecycle import StreamState
from services.ingest.core.schedule import Schedule, Window
from services.ingest.core.streams import (
    DEFAULTS,
    Counters,
    Mode,
    Retention,
    SpecDefaults,
    StreamEvent,
    StreamSpec,
    Transport,
)

__all__ = [
    "event_from_proto",
    "event_record",
    "event_to_proto",
    "removal_record",
    "snapshot_event",
    "spec_from_proto",
    "spec_from_record",
    "spec_record",
    "spec_to_proto",
    "state_record",
    "state_to_proto",
    "stream_name",
]

_SPEC_HEADERS: Final = ((MESSAGE_HEADER, pb.StreamSpec.DESCRIPTOR.full_name.encode()),)
_EVENT_HEADERS: Final = ((MESSAGE_HEADER, pb.StreamEvent.DESCRIPTOR.full_name.encode()),)


def spec_to_proto(spec: StreamSpec) -> pb.StreamSpec:
    """What is as by default stays unsaid, so that an installation's settings decide."""
    message = pb.StreamSpec(
        tenant=spec.tenant,
        stream_id=spec.stream_id,
        uri=spec.uri,
        mode=pb.StreamMode.Value(f"STREAM_MODE_{spec.mode.name}"),
        analysis_fps=spec.analysis_fps or 0.0,
        short_side_px=0 if spec.short_side_px == DEFAULTS.short_side_px else spec.short_side_px,
        paused=spec.paused,
        exercise=spec.exercise or "",
        revision=spec.revision,
    )
    if spec.transport is not DEFAULTS.transport:
        message.transport = pb.StreamTransport.Value(f"STREAM_TRANSPORT_{spec.transport.name}")
    if spec.retention is not None:
        message.retention = pb.StreamRetention.Value(f"STREAM_RETENTION_{spec.retention.name}")
    if spec.schedule.windows or spec.schedule.time_zone:
        message.schedule.time_zone = spec.schedule.time_zone
        for window in spec.schedule.windows:
            message.schedule.windows.add(
                days=[pb.Weekday.ValueType(day) for day in sorted(window.days)],
                start_minute=window.start_minute,
                end_minute=window.end_minute,
            )
    return message


def spec_from_proto(message: pb.StreamSpec, defaults: SpecDefaults = DEFAULTS) -> StreamSpec:
    """What is unspecified gets its default. The spec is not checked: see ``services.ingest.core.streams.check_spec``.

    Raises:
        ConfigError: the mode is unspecified, or a value is of a newer version.
    """
    mode = _name(pb.StreamMode, message.mode, "STREAM_MODE_")
    if mode is None:
        raise ConfigError(f"stream {message.tenant}/{message.stream_id}: no mode is given; choose live or file")
    transport = _name(pb.StreamTransport, message.transport, "STREAM_TRANSPORT_")
    retention = _name(pb.StreamRetention, message.retention, "STREAM_RETENTION_")
    windows = tuple(
        Window(w.start_minute, w.end_minute, frozenset(int(day) for day in w.days)) for w in message.schedule.windows
    )
    return StreamSpec(
        tenant=message.tenant,
        stream_id=message.stream_id,
        uri=message.uri,
        mode=Mode(mode),
        analysis_fps=message.analysis_fps or (defaults.live_fps if mode == Mode.LIVE else None),
        short_side_px=message.short_side_px or defaults.short_side_px,
        transport=Transport(transport) if transport else defaults.transport,
        paused=message.paused,
        schedule=Schedule(windows, message.schedule.time_zone),
        exercise=message.exercise or None,
        retention=Retention(retention) if retention else None,
        revision=message.revision,
    )


def _name(enum: Any, value: int, prefix: str) -> str | None:
    """The value's name without its prefix, lower case; None = unspecified."""
    if value == 0:
        return None
    try:
        return str(enum.Name(value)).removeprefix(prefix).lower()
    except ValueError as error:
        raise ConfigError(
            f"a stream has the value {value} for {prefix.rstrip('_').lower()}, which this version does not know; "
            "upgrade it"
        ) from error


def state_to_proto(state: StreamState) -> pb.StreamState.ValueType:
    return pb.StreamState.Value(f"STREAM_STATE_{state.name}")


def _state_from_proto(value: int) -> StreamState:
    return StreamState(_name(pb.StreamState, value, "STREAM_STATE_") or "")


def event_to_proto(event: StreamEvent) -> pb.StreamEvent:
    message = pb.StreamEvent(
        stream=stream_to_proto(event.stream),
        to=state_to_proto(event.target),
        reason=event.reason,
        detail=event.detail,
        unix_s=event.unix_s,
        time_s=event.time_s,
        counters=pb.StreamCounters(
            decoded=event.counters.decoded,
            sent=event.counters.sent,
            skipped=event.counters.skipped,
            reconnects=event.counters.reconnects,
            bytes=event.counters.bytes,
        ),
        retry_unix_s=event.retry_unix_s or 0.0,
        session_started_unix_s=event.session_started_unix_s or 0.0,
        next_sequence=event.next_sequence,
    )
    setattr(message, "from", state_to_proto(event.source))  # a keyword of Python
    return message


def event_from_proto(message: pb.StreamEvent) -> StreamEvent:
    """Raises: ConfigError, ValueError: a state is unspecified or of a newer version."""
    counters = message.counters
    return StreamEvent(
        stream=stream_from_proto(message.stream),
        source=_state_from_proto(getattr(message, "from")),
        target=_state_from_proto(message.to),
        reason=message.reason,
        detail=message.detail,
        unix_s=message.unix_s,
        time_s=message.time_s,
        counters=Counters(counters.decoded, counters.sent, dict(counters.skipped), counters.reconnects, counters.bytes),
        retry_unix_s=message.retry_unix_s or None,
        session_started_unix_s=message.session_started_unix_s or None,
        next_sequence=message.next_sequence,
    )


def stream_name(key: types_pb2.StreamKey) -> str:
    """The key of the topics."""
    return f"{key.tenant}/{key.stream_id}"


def spec_record(spec: StreamSpec) -> Outgoing:
    return Outgoing(topics.STREAMS, spec.name.encode(), spec_to_proto(spec).SerializeToString(), _SPEC_HEADERS)


def removal_record(name: str) -> Outgoing:
    """The tombstone that removes the stream ``tenant/stream_id``."""
    return Outgoing(topics.STREAMS, name.encode(), None, _SPEC_HEADERS)


def spec_from_record(record: Record, defaults: SpecDefaults = DEFAULTS) -> StreamSpec:
    """The (unchecked) spec that a record of ``streams.v1`` holds; not for tombstones.

    Raises:
        InputError: it is no StreamSpec, or another stream's than its key says. ConfigError: as ``spec_from_proto``.
    """
    header = record.header(MESSAGE_HEADER)
    if header is not None and header != _SPEC_HEADERS[0][1]:
        raise InputError(f"The record is a {header.decode(errors='replace')}; streams.v1 holds StreamSpecs only.")
    try:
        message = pb.StreamSpec.FromString(record.value or b"")
    except DecodeError:
        raise InputError(f"The record's {len(record.value or b'')} bytes are no StreamSpec.") from None
    spec = spec_from_proto(message, defaults)
    if record.key != spec.name.encode():
        key = (record.key or b"").decode(errors="replace")
        raise InputError(f"The record's key is '{key}', but it describes the stream '{spec.name}'.")
    return spec


def event_record(event: StreamEvent, partition: int | None = None) -> Outgoing:
    name = f"{event.stream.tenant}/{event.stream.stream_id}"
    value = event_to_proto(event).SerializeToString()
    return Outgoing(topics.STREAM_EVENTS, name.encode(), value, _EVENT_HEADERS, partition)


def state_record(name: str, last: StreamEvent | None, partition: int, offset: int) -> Outgoing:
    """What the next owner of the stream has to know: its last event, brought up to now.

    Of a file ``next_sequence`` and ``time_s`` tell the last frame that was published with this record. ``last`` None:
    the stream is removed. ``partition`` and ``offset`` are those of its spec in ``streams.v1``.
    """
    value = None
    if last is not None:
        state = event_to_proto(last).SerializeToString()
        snapshot = Snapshot(last.stream, state, topics.STREAMS, partition, offset, last.time_s)
        value = snapshot_to_proto(snapshot).SerializeToString()
    return Outgoing(topics.INGEST_STATE, state_key(topics.STREAMS, name.encode()), value, (), partition)


def snapshot_event(snapshot: Snapshot | bytes) -> StreamEvent:
    """The event in a record of ``state_record``.

    Raises:
        InputError: it is none. ShapeError, ConfigError, ValueError: of another version.
    """
    try:
        if isinstance(snapshot, bytes):
            snapshot = snapshot_from_proto(state_pb2.Snapshot.FromString(snapshot))
        return event_from_proto(pb.StreamEvent.FromString(snapshot.state))
    except DecodeError:
        raise InputError("The record is no state of a stream.") from None
