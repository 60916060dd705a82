"""Where a stream begins for a replica that takes it over, from what the one before has left in the state topic."""

from dataclasses import dataclass
from typing import Final

from services.common.processor import Mark, MarkKind
from services.ingest.core.lifecycle import StreamState
from services.ingest.core.session import FilePosition
from services.ingest.core.streams import Counters, StreamEvent, StreamSpec

_OVER: Final = frozenset({StreamState.PAUSED, StreamState.ENDED})
"""A camera's session is over in these: its EOF mark was sent on the way into them."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin a stream: ``session_id`` to go on with (live), ``position`` (file)."""

    session_id: str | None = None
    floor_s: float | None = None
    position: FilePosition | None = None


FRESH: Final = Start()


def session_name(spec: StreamSpec) -> str | None:
    """Of a file, known beforehand; None of a camera."""
    return None if spec.live else f"f{spec.revision}"


def goes_on(spec: StreamSpec, last: StreamEvent) -> bool:
    """Whether ``spec`` goes on with the session that ``last`` tells of. Otherwise that one is over."""
    if spec.live:
        return last.stream.session_id.isdecimal() and last.target not in _OVER
    return last.stream.session_id == session_name(spec)


def is_read(spec: StreamSpec, last: StreamEvent | None) -> bool:
    """Whether the file that is wanted has been read to its end already."""
    return last is not None and not spec.live and goes_on(spec, last) and last.target is StreamState.ENDED


def start_of(spec: StreamSpec, last: StreamEvent | None) -> Start:
    """``last``: the stream's last event, its position that of the last frame published; None = never seen."""
    if last is None or not goes_on(spec, last):
        return FRESH
    if spec.live:
        return Start(session_id=last.stream.session_id, floor_s=max(0.0, last.time_s))
    if last.next_sequence == 0:
        return FRESH
    return Start(position=FilePosition(last.next_sequence - 1, last.time_s))


def ending(last: StreamEvent, unix_s: float) -> tuple[StreamEvent, Mark] | None:
    """What ends a session that nobody runs any more: its last event and its EOF mark. None: it is over already.

    A camera's time goes on with the wall clock (``unix_s``), so its end lies behind all that was sent of it.
    """
    live = last.stream.session_id.isdecimal()
    if last.target is StreamState.ENDED or (live and last.target is StreamState.PAUSED):
        return None
    time_s = max(0.0, last.time_s)
    if live and last.session_started_unix_s is not None:
        time_s = max(time_s, unix_s - last.session_started_unix_s)
    event = StreamEvent(
        stream=last.stream,
        source=last.target,
        target=StreamState.ENDED,
        reason="removed",
        detail="",
        unix_s=unix_s,
        time_s=time_s,
        counters=last.counters or Counters(),
        session_started_unix_s=last.session_started_unix_s,
        next_sequence=last.next_sequence,
    )
    return event, Mark(last.stream, MarkKind.EOF, time_s)
