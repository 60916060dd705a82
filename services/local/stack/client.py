"""Asks a running stack as any client does: submits files, and reads what comes of them from Kafka.

    with StackClient(stack.config()) as client:
        name = client.submit(Path("clip.mp4"))          # a file stream; ingest starts at once
        result = client.result(name, timeout_s=300)     # after the EOF mark has come through every stage
        result.poses, result.repetitions, result.assessments

Only committed records are read.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from formcheck.v1 import streams_pb2
from google.protobuf.message import DecodeError
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from services.common import topics
from services.common.errors import FormcheckError, InputError
from services.common.kafka.admin import end_offsets
from services.common.kafka.clients import KafkaConfig, make_admin, make_consumer
from services.common.kafka.messages import Record, decode, stream_of
from services.common.processor import Mark, MarkKind
from services.common.types import Assessment, PoseFrame, Repetition, Status, StreamKey
from services.ingest.adapters.streams_codec import event_from_proto
from services.ingest.core.lifecycle import StreamState
from services.ingest.core.streams import StreamEvent, StreamSpec
from services.local.stack.streams import new_spec, publish_spec, remove_stream

READ: Final = (topics.POSES, topics.REPETITIONS, topics.ASSESSMENTS, topics.STREAM_EVENTS)
_POLL_MS: Final = 100


@dataclass(slots=True)
class StreamResult:
    """Everything that was read of one session of a stream, each list in the order of its topic.

    ``repetitions``: every event (an id comes again with another status). ``ended``: topics whose EOF mark was read.
    """

    stream: StreamKey
    poses: list[PoseFrame] = field(default_factory=list)
    repetitions: list[Repetition] = field(default_factory=list)
    assessments: list[Assessment] = field(default_factory=list)
    events: list[StreamEvent] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)

    def final_repetitions(self) -> list[Repetition]:
        """The last word on each repetition, without those that were retracted; by onset."""
        last = {r.id: r for r in self.repetitions}
        kept = (r for r in last.values() if r.status in (Status.CONFIRMED, Status.ATTEMPT))
        return sorted(kept, key=lambda r: (r.onset_s, r.id))

    def confirmed(self) -> list[Repetition]:
        return [r for r in self.final_repetitions() if r.status is Status.CONFIRMED]

    def assessment_of(self, repetition_id: str) -> Assessment | None:
        return next((a for a in self.assessments if a.repetition.id == repetition_id), None)


class StackClient:
    """Submits streams and reads results; a context manager. Of one thread.

    Args:
        kafka: how to reach Kafka.
        read: topics to keep records of; ``assessments.v1`` must be among them to await the end of a file.
        from_beginning: read what is there already; else only what comes from now on.

    Raises: FormcheckError: a topic is missing. kafka.errors.KafkaError: Kafka is not there.
    """

    def __init__(self, kafka: KafkaConfig, *, read: Sequence[str] = READ, from_beginning: bool = False) -> None:
        self._kafka, self._read = kafka, tuple(read)
        self._results: dict[str, dict[str, StreamResult]] = {}
        self._sessions: dict[str, str] = {}
        self._consumer: KafkaConsumer = make_consumer(kafka)
        try:
            partitions = list(self._partitions())
            self._consumer.assign(partitions)
            if from_beginning:
                self._consumer.seek_to_beginning(*partitions)
            else:
                with closing(make_admin(kafka.bootstrap)) as admin:
                    for tp, offset in end_offsets(admin, partitions).items():
                        self._consumer.seek(tp, offset)
        except BaseException:
            self._consumer.close()
            raise

    def _partitions(self) -> Iterator[TopicPartition]:
        for name in self._read:
            found = self._consumer.partitions_for_topic(self._kafka.topic(name))
            if not found:
                raise FormcheckError(f"Kafka has no topic '{self._kafka.topic(name)}'; is the stack up?")
            yield from (TopicPartition(self._kafka.topic(name), p) for p in sorted(found))

    # -- streams ---------------------------------------------------------------------------------------------------

    def submit(
        self, path: Path, *, name: str | None = None, tenant: str = "local", analysis_fps: float | None = None,
        exercise: str | None = None, short_side_px: int | None = None,
    ) -> str:  # fmt: skip
        """Have a video file analysed; the stream's name (``tenant/stream_id``). Every frame unless ``analysis_fps``.

        Raises: ConfigError: it is not there, or cannot be served. kafka.errors.KafkaError: as ``publish_spec``.
        """
        spec = new_spec(str(path), name=name, tenant=tenant, analysis_fps=analysis_fps, exercise=exercise)
        return self.add(spec if short_side_px is None else replace(spec, short_side_px=short_side_px))

    def add(self, spec: StreamSpec) -> str:
        """Have any stream served; its name. Of a file, only the session that this begins is looked at from now on."""
        if not spec.live:
            self._sessions[spec.name] = f"f{spec.revision}"
        publish_spec(self._kafka, spec)
        return spec.name

    def remove(self, name: str) -> None:
        """Take the stream away, and forget what was read of it."""
        remove_stream(self._kafka, name)
        self.forget(name)

    def forget(self, name: str) -> None:
        """Drop what was read of the stream, to save memory."""
        self._results.pop(name, None)
        self._sessions.pop(name, None)

    # -- reading ---------------------------------------------------------------------------------------------------

    def pump(self, timeout_ms: int = _POLL_MS) -> list[tuple[str, Any]]:
        """Read what has come; topic (without prefix) and item, assigned to their streams' results besides.

        A broker that is away is no error: the next call goes on where this one was.
        """
        seen: list[tuple[str, Any]] = []
        try:
            polled = self._consumer.poll(timeout_ms=timeout_ms)
        except KafkaError:
            return seen
        for tp, records in polled.items():
            topic = tp.topic.removeprefix(self._kafka.prefix)
            for r in records:
                item = _item(topic, Record(topic, tp.partition, r.offset, r.key, r.value, tuple(r.headers)))
                if item is not None:
                    self._keep(topic, item)
                    seen.append((topic, item))
        return seen

    def follow(self) -> Iterator[tuple[str, Any]]:
        """All that comes, for ever; keeps nothing."""
        while True:
            yield from self.pump()
            self._results.clear()

    def await_end(self, names: Iterable[str], timeout_s: float) -> None:
        """Returns when every one of these file streams has come through the last stage.

        Raises:
            InputError: a stream failed (with ingest's reason). FormcheckError: not within ``timeout_s``.
        """
        waiting = list(names)
        self.await_that(lambda: all(map(self._over, waiting)), timeout_s, lambda: self._missing(waiting))

    def await_that(self, done: Callable[[], bool], timeout_s: float, what: Callable[[], str]) -> None:
        """Reads until ``done``. Raises FormcheckError with what ``what`` says: not within ``timeout_s``."""
        deadline_s = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline_s:
                raise FormcheckError(f"Not within {timeout_s:.0f} s: {what()}.")
            self.pump()

    def _over(self, name: str) -> bool:
        found = self.so_far(name)
        if found is None:
            return False
        failed = next((e for e in found.events if e.target is StreamState.FAILED), None)
        if failed is not None and failed.retry_unix_s is None:
            raise InputError(f"{name}: {failed.detail or failed.reason}")
        return topics.ASSESSMENTS in found.ended

    def _missing(self, names: Sequence[str]) -> str:
        told = []
        for name in names:
            found = self.so_far(name)
            if found is None:
                told.append(f"{name} has not begun")
            elif topics.ASSESSMENTS not in found.ended:
                told.append(f"{name} is at {len(found.poses)} frames, ended on {', '.join(found.ended) or 'no topic'}")
        return "; ".join(told)

    def result(self, name: str, timeout_s: float) -> StreamResult:
        """What came of a file stream, when it has come through the last stage. Raises: as ``await_end``."""
        self.await_end([name], timeout_s)
        found = self.so_far(name)
        assert found is not None
        return found

    def so_far(self, name: str) -> StreamResult | None:
        """What was read of a stream's session (the one that ``add`` began, else the newest)."""
        sessions = self._results.get(name, {})
        wanted = self._sessions.get(name)
        if wanted is not None:
            return sessions.get(wanted)
        return sessions[next(reversed(sessions))] if sessions else None

    def _keep(self, topic: str, item: Any) -> None:
        key = item.stream if isinstance(item, StreamEvent) else stream_of(item)
        sessions = self._results.setdefault(f"{key.tenant}/{key.stream_id}", {})
        result = sessions.setdefault(key.session_id, StreamResult(key))
        if isinstance(item, Mark):
            if item.kind is MarkKind.EOF:
                result.ended.add(topic)
        elif isinstance(item, PoseFrame):
            result.poses.append(item)
        elif isinstance(item, Repetition):
            result.repetitions.append(item)
        elif isinstance(item, Assessment):
            result.assessments.append(item)
        elif isinstance(item, StreamEvent):
            result.events.append(item)

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _item(topic: str, record: Record) -> Any:
    """What a record holds; None: nothing that is known."""
    try:
        if topic == topics.STREAM_EVENTS:
            return event_from_proto(streams_pb2.StreamEvent.FromString(record.value or b""))
        return decode(record)
    except (FormcheckError, ValueError, DecodeError):
        return None
