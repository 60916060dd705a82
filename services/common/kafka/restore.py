"""What Kafka holds of newly assigned partitions, read without holding up the others."""

import logging
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from formcheck.v1 import state_pb2
from google.protobuf.message import DecodeError
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from services.common import codec
from services.common.errors import FormcheckError
from services.common.kafka.admin import begin_offsets, end_offsets
from services.common.kafka.clients import KafkaConfig, make_admin, make_consumer
from services.common.kafka.plan import Restored, replay_from, state_key

log = logging.getLogger(__name__)

_ASK_MS = 200
_READ_MS = 20
_PAUSE_S = 0.1
_TROUBLE_S = 60.0
"""For so long may Kafka refuse: a partition without a leader, a cluster that has lost sight of its only broker (which
the client calls by the name of an error that is not worth another try)."""


class Restorer:
    """Reads committed offsets and snapshots, in steps. Owned by the runner's thread, which owns ``consumer`` too.

    The committed offset is asked for with ``require_stable`` (a read_committed consumer does): Kafka answers only when
    no transaction of a predecessor is open on it. The state topic is then read to its very end, past such
    transactions, so the snapshots that belong to that offset are among what is read.
    """

    def __init__(self, config: KafkaConfig, consumer: KafkaConsumer, state_topic: str) -> None:
        self._config, self._consumer = config, consumer
        self._topic = config.topic(state_topic)
        self._waiting: deque[TopicPartition] = deque()
        self._reader: KafkaConsumer | None = None
        self._admin: KafkaAdminClient | None = None
        self._batch: dict[TopicPartition, Restored] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._found: dict[TopicPartition, dict[bytes, bytes]] = {}
        self._began_s = 0.0
        self._troubled_s: float | None = None  # since when Kafka refuses

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._batch)

    @property
    def took_s(self) -> float:
        """How long the batch under way, or the last one, takes."""
        return time.monotonic() - self._began_s

    def begin(self, partitions: Iterable[TopicPartition]) -> None:
        if not self.busy:
            self._began_s = time.monotonic()
        self._waiting.extend(tp for tp in partitions if tp not in self._waiting)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """They are another replica's now."""
        for tp in partitions:
            if tp in self._waiting:
                self._waiting.remove(tp)
            self._batch.pop(tp, None)

    def advance(self) -> dict[TopicPartition, Restored]:
        """Do a little; returns the partitions that are read completely (mostly none).

        Raises: kafka.errors.KafkaError: Kafka has refused for ``_TROUBLE_S``.
        """
        try:
            done = self._read() if self._batch else self._ask()
        except KafkaTimeoutError:
            return {}
        except KafkaError as error:
            now_s = time.monotonic()
            if self._troubled_s is None:
                log.warning("reading the state of partitions: %r", error)
                self._troubled_s = now_s
            elif now_s - self._troubled_s > _TROUBLE_S:
                raise
            time.sleep(_PAUSE_S)
            return {}
        self._troubled_s = None
        return done

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        if self._admin is not None:
            self._admin.close()

    def _ask(self) -> dict[TopicPartition, Restored]:
        """Where the waiting partitions stand, and how far the state topic reaches."""
        if self._admin is None:
            self._admin = make_admin(self._config.bootstrap)
        starts = begin_offsets(self._admin, self._waiting)
        offsets: dict[TopicPartition, Restored] = {}
        for tp in self._waiting:
            committed: Any = self._consumer.committed(tp, metadata=True, timeout_ms=_ASK_MS)
            if committed is None:
                offsets[tp] = Restored(None, starts[tp])
            else:  # what retention has deleted cannot be replayed
                start = max(replay_from(committed.offset, committed.metadata), starts[tp])
                offsets[tp] = Restored(committed.offset, start)
        wanted = {TopicPartition(self._topic, tp.partition) for tp in offsets}
        self._ends = end_offsets(self._admin, wanted)
        if self._reader is None:
            self._reader = make_consumer(self._config)
        self._reader.assign(sorted(wanted))
        self._reader.seek_to_beginning(*wanted)
        self._found = {tp: {} for tp in wanted}
        self._batch = offsets
        self._waiting.clear()
        return {}

    def _read(self) -> dict[TopicPartition, Restored]:
        assert self._reader is not None
        for tp, records in self._reader.poll(timeout_ms=_READ_MS, max_records=5000).items():
            for record in records:
                if record.value is None:
                    self._found[tp].pop(record.key, None)
                else:
                    self._found[tp][record.key] = record.value
        for tp, end in self._ends.items():
            if end and (self._reader.position(tp, timeout_ms=_ASK_MS) or 0) < end:
                return {}
        done = {tp: self._with_snapshots(tp, restored) for tp, restored in self._batch.items()}
        self._batch, self._found = {}, {}
        self._reader.unsubscribe()
        return done

    def _with_snapshots(self, tp: TopicPartition, restored: Restored) -> Restored:
        topic = tp.topic.removeprefix(self._config.prefix)
        prefix = state_key(topic, b"")
        snapshots: dict[bytes, codec.Snapshot] = {}
        for key, value in self._found[TopicPartition(self._topic, tp.partition)].items():
            if not key.startswith(prefix):
                continue
            try:
                snapshots[key.removeprefix(prefix)] = codec.snapshot_from_proto(state_pb2.Snapshot.FromString(value))
            except (DecodeError, FormcheckError) as error:
                log.error("the snapshot %r is unreadable, the stream starts afresh: %s", key, error)
        return Restored(restored.committed, restored.replay_from, snapshots)
