"""``StreamSpec`` and ``StreamEvent`` as messages of ``streams.v1`` and ``stream_events.v1``."""

from typing import Any

from formcheck.v1 import streams_pb2 as pb
from formcheck.v1 import types_pb2

from services.common.codec import stream_from_proto, stream_to_proto
from services.common.errors import ConfigError
from services.ingest.core.lifecycle import StreamState
from services.ingest.core.schedule import Schedule, Window
from services.ingest.core.streams import SHORT_SIDE_PX, Counters, Mode, Retention, StreamEvent, StreamSpec, Transport

__all__ = ["event_from_proto", "event_to_proto", "spec_from_proto", "spec_to_proto", "state_to_proto", "stream_name"]


def spec_to_proto(spec: StreamSpec) -> pb.StreamSpec:
    message = pb.StreamSpec(
        tenant=spec.tenant,
        stream_id=spec.stream_id,
        uri=spec.uri,
        mode=pb.StreamMode.Value(f"STREAM_MODE_{spec.mode.name}"),
        analysis_fps=spec.analysis_fps or 0.0,
        short_side_px=spec.short_side_px,
        transport=pb.StreamTransport.Value(f"STREAM_TRANSPORT_{spec.transport.name}"),
        paused=spec.paused,
        exercise=spec.exercise or "",
        revision=spec.revision,
    )
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


def spec_from_proto(message: pb.StreamSpec) -> StreamSpec:
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
        analysis_fps=message.analysis_fps or None,
        short_side_px=message.short_side_px or SHORT_SIDE_PX,
        transport=Transport(transport) if transport else Transport.TCP,
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
