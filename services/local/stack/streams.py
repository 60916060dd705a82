"""What ``formcheck streams`` does: say which streams are wanted, and tell what they are doing.

Wanted is what ``streams.v1`` holds; ingest follows it within a second, whichever replica has the stream.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from formcheck.v1 import streams_pb2 as pb
from google.protobuf.message import DecodeError

from services.common import topics
from services.common.errors import ConfigError, FormcheckError
from services.common.kafka.clients import KafkaConfig, make_producer
from services.common.kafka.outgoing import Outgoing
from services.common.kafka.reading import last_values, read_all
from services.ingest.adapters.streams_codec import (
    event_from_proto,
    removal_record,
    snapshot_event,
    spec_from_record,
    spec_record,
)
from services.ingest.core.streams import Mode, StreamEvent, StreamSpec, check_spec, uri_scheme, without_password

_DELIVERY_S: Final = 30.0


def publish_spec(kafka: KafkaConfig, spec: StreamSpec) -> None:
    """Add the stream, or change it; returns once Kafka has it.

    Raises:
        ConfigError: the spec cannot be served. kafka.errors.KafkaError: Kafka is not there, or has no such topic.
    """
    _write(kafka, spec_record(check_spec(spec)))


def remove_stream(kafka: KafkaConfig, name: str) -> None:
    """``name`` is ``tenant/stream_id``; a stream that is not there is no error. Raises: as ``publish_spec``."""
    _write(kafka, removal_record(name))


def pause_stream(kafka: KafkaConfig, name: str, paused: bool = True) -> None:
    """Pause a stream, or go on with it.

    Raises:
        ConfigError: there is no such stream. kafka.errors.KafkaError: as ``publish_spec``.
    """
    spec = wanted_streams(kafka).get(name)
    if spec is None:
        raise ConfigError(f"there is no stream '{name}'; `formcheck streams list` tells those that there are")
    publish_spec(kafka, replace(spec, paused=paused))


def wanted_streams(kafka: KafkaConfig) -> dict[str, StreamSpec]:
    """The streams of ``streams.v1`` by name; records that are no spec are left out, as ingest does.

    Raises: as ``services.common.kafka.reading.read_all``.
    """
    found: dict[str, StreamSpec] = {}
    for record in last_values(kafka, topics.STREAMS).values():
        try:
            spec = spec_from_record(record)
        except FormcheckError:
            continue
        found[spec.name] = spec
    return dict(sorted(found.items()))


def stream_states(kafka: KafkaConfig) -> dict[str, StreamEvent]:
    """The last event of each stream that is not removed, by name: what ingest keeps in its compacted state.

    That is much less to read than all of ``stream_events.v1``. Raises: as ``wanted_streams``.
    """
    found: dict[str, StreamEvent] = {}
    for record in last_values(kafka, topics.INGEST_STATE).values():
        try:
            event = snapshot_event(record.value or b"")
        except (FormcheckError, ValueError):
            continue
        found[f"{event.stream.tenant}/{event.stream.stream_id}"] = event
    return found


def stream_history(kafka: KafkaConfig) -> Iterator[StreamEvent]:
    """All of ``stream_events.v1``, the events of each stream in order. Raises: as ``wanted_streams``."""
    for record in read_all(kafka, topics.STREAM_EVENTS):
        try:
            yield event_from_proto(pb.StreamEvent.FromString(record.value or b""))
        except (DecodeError, FormcheckError, ValueError):
            continue


def new_spec(
    uri: str, *, name: str | None = None, tenant: str = "local", analysis_fps: float | None = None,
    exercise: str | None = None,
) -> StreamSpec:  # fmt: skip
    """The spec that a person means who gives an address or a path.

    A path is read once, as a session of its own each time it is added (``revision`` is the moment, ms since 1970).
    ``name`` None = the file's stem, or the end of the address.

    Raises:
        ConfigError: a path where no file is, or the spec cannot be served.
    """
    live = bool(uri_scheme(uri))
    if not live and not Path(uri).is_file():
        raise ConfigError(f"{uri}: no such file; give a camera's address (rtsp://…) or the path of a video")
    stem = Path(uri).stem if not live else without_password(uri).split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    spec = StreamSpec(
        tenant=tenant,
        stream_id=name or _plain(stem),
        uri=uri if live else str(Path(uri).resolve()),
        mode=Mode.LIVE if live else Mode.FILE,
        analysis_fps=analysis_fps,
        exercise=exercise,
        revision=0 if live else round(time.time() * 1000),
    )
    return check_spec(spec)


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One line of ``formcheck streams list``; ``event`` None: ingest has not touched the stream yet."""

    name: str
    spec: StreamSpec | None
    event: StreamEvent | None

    @property
    def state(self) -> str:
        return "waiting" if self.event is None else self.event.target.value


def list_streams(kafka: KafkaConfig) -> list[StreamRow]:
    """All that is wanted or still there, by name. Raises: as ``wanted_streams``."""
    wanted, states = wanted_streams(kafka), stream_states(kafka)
    return [StreamRow(name, wanted.get(name), states.get(name)) for name in sorted({*wanted, *states})]


def render_streams(rows: list[StreamRow]) -> str:
    """A table for people, without passwords."""
    if not rows:
        return "No streams. Add one: formcheck streams add rtsp://… (or a video file)."
    table = [("STREAM", "MODE", "STATE", "SENT", "SKIPPED", "RECONNECTS", "SOURCE", "")]
    for row in rows:
        counters = row.event.counters if row.event else None
        mode, uri = (row.spec.mode.value, without_password(row.spec.uri)) if row.spec else ("-", "(removed)")
        table.append(
            (row.name, mode, row.state, str(counters.sent if counters else 0),
             str(sum(counters.skipped.values()) if counters else 0), str(counters.reconnects if counters else 0), uri,
             row.event.detail if row.event else "")
        )  # fmt: skip
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]) - 1)] + [0]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in table)


def _plain(text: str) -> str:
    """A stream_id out of any text."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in text)[:128].strip("-._")
    return kept or "stream"


def _write(kafka: KafkaConfig, record: Outgoing) -> None:
    with closing(make_producer(kafka)) as producer:
        future = producer.send(
            kafka.topic(record.topic), key=record.key, value=record.value, headers=list(record.headers)
        )
        future.get(timeout=_DELIVERY_S)
