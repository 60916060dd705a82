"""What is wanted: the partitions of ``streams.v1`` that this replica has, and every spec in them.

A thread owns the consumer and waits for Kafka as long as it must; the service's loop takes news from a queue.
A new partition is told of as a whole, once its states (``ingest-state.v1``) and specs are read to their end.
"""

import logging
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import ConsumerGroupMetadata

from services.common import topics
from services.common.errors import FormcheckError
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.membership import Membership
from services.common.kafka.messages import Record
from services.common.kafka.plan import Restored
from services.common.kafka.restore import Restorer
from services.common.metrics_protocol import RunnerMetrics
from services.ingest.adapters.streams_codec import snapshot_event, spec_from_record
from services.ingest.core.streams import SpecDefaults, StreamEvent, StreamSpec

log = logging.getLogger(__name__)

GROUP: Final = "ingest"
_POLL_S: Final = 0.1
_AGAIN_S: Final = 1.0
_LET_GO_S: Final = 3.0
_TELL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """One record of ``streams.v1``: ``spec`` None = removed; ``error``: it is no spec, and this is why.

    ``record`` is the record of a bad one that has not been seen before: for the DLQ.
    """

    partition: int
    offset: int
    name: str
    spec: StreamSpec | None = None
    error: Exception | None = None
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Assigned:
    """A partition with all that is wanted in it, and the last event of each of its streams."""

    partition: int
    next_offset: int
    specs: dict[str, StreamSpec]
    states: dict[str, StreamEvent]
    bad: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Revoked:
    """``done`` is to be set once their streams are let go."""

    partitions: tuple[int, ...]
    done: threading.Event


News = Assigned | Change | Revoked


@dataclass(slots=True)
class _Part:
    """A partition whose specs are read from the beginning; ``end``: that of the topic when it was assigned."""

    restored: Restored
    end: int
    told: bool = False
    position: int = 0
    specs: dict[str, StreamSpec] = field(default_factory=dict)
    bad: list[Change] = field(default_factory=list)


class Wanted:
    """See the module. ``take`` and ``group`` are for other threads.

    Args:
        defaults: for what a spec leaves open.
    """

    def __init__(self, config: KafkaConfig, metrics: RunnerMetrics, defaults: SpecDefaults) -> None:
        self._config, self._metrics, self._defaults = config, metrics, defaults
        self._topic = config.topic(topics.STREAMS)
        self._news: SimpleQueue[News] = SimpleQueue()
        self._parts: dict[TopicPartition, _Part] = {}
        self._member = Membership(config, GROUP, [self._topic], _Listener(self))
        self._consumer: KafkaConsumer | None = None
        self._restorer: Restorer | None = None
        self._group: ConsumerGroupMetadata | None = None
        self._told_s = 0.0
        self._leaving = False
        self._unready: str | None = "it has not begun"

    def unready(self) -> str | None:
        return self._unready

    def group(self) -> ConsumerGroupMetadata | None:
        """The membership, as of the last poll."""
        return self._group

    def judged(self, refused: BaseException | None) -> None:
        """What became of a commit with ``group``: a member whose commits are refused is none any more."""
        if refused is None:
            self._member.committed()
        else:
            self._member.refused(refused)

    def take(self) -> News | None:
        try:
            return self._news.get_nowait()
        except Empty:
            return None

    def run(self, stop: threading.Event) -> None:
        """The thread. Raises: ConfigError: a topic is missing. KafkaError: Kafka refuses for good."""
        while not stop.is_set() and self._consumer is None:
            try:
                self._join()
            except KafkaError as error:
                self._unready = f"Kafka at {self._config.bootstrap} does not answer ({type(error).__name__})"
                stop.wait(_AGAIN_S)
        if self._consumer is None or self._restorer is None:
            return
        try:
            while not stop.is_set():
                if why := self._member.lost():
                    self._renew(why)
                self._turn()
        finally:
            self._unready, self._leaving = "it has ended", True
            with suppress(KafkaError, OSError):
                self._consumer.close(timeout_ms=2000)  # leaves the group: others take the streams at once
            with suppress(KafkaError, OSError):
                self._restorer.close()

    def _join(self) -> None:
        """Raises: KafkaError: nobody answers. ConfigError: a topic is missing."""
        before = self._restorer
        self._consumer = self._member.join()
        self._restorer = Restorer(self._config, self._consumer, topics.INGEST_STATE)
        if before is not None:
            before.close()

    def _renew(self, why: str) -> None:
        """The group, or the client, has forgotten this member: others may have its streams already."""
        log.warning("this member of the group '%s' is taken for dead (%s) and replaced", GROUP, why)
        self._revoked(list(self._parts))
        try:
            self._join()
        except (KafkaError, FormcheckError) as error:
            log.warning("joining again: %r", error)
            assert self._consumer is not None
            assert self._restorer is not None
            self._restorer.begin(self._consumer.assignment())

    def _turn(self) -> None:
        assert self._consumer is not None
        assert self._restorer is not None
        try:
            polled: dict[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=int(_POLL_S * 1000))
        except KafkaError as error:
            log.warning("poll: %r", error)
            time.sleep(_POLL_S)
            polled = {}
        for tp, records in polled.items():
            part = self._parts.get(tp)
            if part is None:
                continue
            for r in records:
                headers = tuple((k, bytes(v or b"")) for k, v in r.headers)
                self._hear(part, Record(topics.STREAMS, r.partition, r.offset, r.key, r.value, headers, r.timestamp))
            self._metrics.consumed(topics.STREAMS, len(records))
        self._restore()
        self._tell_new()
        self._group = self._consumer.group_metadata()
        self._judge()

    def _judge(self) -> None:
        assert self._restorer is not None
        reading = sum(not part.told for part in self._parts.values())
        if self._group is None or self._group.generation_id <= 0:
            self._unready = "it is not a member of its Kafka group"
        elif self._restorer.busy or reading:
            self._unready = "what is wanted of its partitions is being read"
        else:
            self._unready = None
        if time.monotonic() - self._told_s >= _TELL_S:
            self._told_s = time.monotonic()
            for tp, part in self._parts.items():
                self._metrics.lag(topics.STREAMS, tp.partition, max(0, part.end - part.position))

    def _hear(self, part: _Part, record: Record) -> None:
        part.position = record.offset + 1
        part.end = max(part.end, part.position)
        name = (record.key or b"").decode(errors="replace")
        change = Change(record.partition, record.offset, name)
        if record.value is not None:
            try:
                spec = spec_from_record(record, self._defaults)
                change = Change(record.partition, record.offset, spec.name, spec)
            except (FormcheckError, ValueError) as error:
                seen = part.restored.committed is not None and record.offset < part.restored.committed
                change = Change(record.partition, record.offset, name, None, error, None if seen else record)
        if part.told:
            self._news.put(change)
        elif change.error is not None:
            part.bad.append(change)  # what was wanted before stays so
        elif change.spec is not None:
            part.specs[change.name] = change.spec
        else:
            part.specs.pop(change.name, None)

    def _restore(self) -> None:
        """Partitions whose states are read: now their specs, from the first on."""
        assert self._consumer is not None
        assert self._restorer is not None
        if not self._restorer.busy:
            return
        try:
            done = self._restorer.advance()
        except KafkaError as error:
            log.warning("the states of new partitions cannot be read: %r", error)
            time.sleep(_POLL_S)
            return
        for tp, restored in done.items():
            if tp not in self._consumer.assignment():
                continue
            try:
                end = self._consumer.end_offsets([tp])[tp]
            except KafkaError as error:
                log.warning("the end of %s is not known: %r", tp, error)
                self._restorer.begin([tp])
                continue
            self._parts[tp] = _Part(restored, end)
            self._consumer.seek_to_beginning(tp)
            self._consumer.resume(tp)

    def _tell_new(self) -> None:
        """Partitions whose specs are read."""
        assert self._consumer is not None
        for tp, part in self._parts.items():
            if part.told:
                continue
            if part.end > part.position:
                with suppress(KafkaError):  # records at the end may have been compacted away
                    part.position = max(part.position, self._consumer.position(tp, timeout_ms=50) or 0)
            if part.end > part.position:
                continue
            part.told = True
            states = _states(part.restored)
            self._news.put(Assigned(tp.partition, part.end, part.specs, states, tuple(part.bad)))
            log.info("partition %d: %d streams wanted, %d known", tp.partition, len(part.specs), len(states))

    # -- rebalances (on the client's thread, while ours waits inside poll or close) ---------------------------------

    def _assigned(self, partitions: Iterable[TopicPartition]) -> None:
        assert self._consumer is not None
        assert self._restorer is not None
        new = [tp for tp in partitions if tp not in self._parts]
        for tp in new:
            self._consumer.pause(tp)
        self._restorer.begin(new)
        self._unready = "it was assigned partitions"
        self._metrics.assigned(len(self._consumer.assignment()))

    def _revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Wait until their streams are let go: whoever gets them next reads the same cameras."""
        assert self._restorer is not None
        gone = list(partitions)
        self._restorer.forget(gone)
        told = tuple(tp.partition for tp in gone if tp in self._parts)
        for tp in gone:
            if self._parts.pop(tp, None) is not None:
                self._metrics.revoked(topics.STREAMS, tp.partition)
        if told and not self._leaving:
            done = threading.Event()
            self._news.put(Revoked(told, done))
            done.wait(_LET_GO_S)


def _states(restored: Restored) -> dict[str, StreamEvent]:
    found: dict[str, StreamEvent] = {}
    for key, snapshot in restored.snapshots.items():
        try:
            found[key.decode()] = snapshot_event(snapshot)
        except (FormcheckError, ValueError) as error:
            log.error("the state of %r is unreadable, the stream starts afresh: %s", key, error)
    return found


class _Listener(ConsumerRebalanceListener):
    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._wanted._assigned(assigned)

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._wanted._revoked(revoked)

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        self._wanted._revoked(lost)
