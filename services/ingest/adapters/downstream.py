"""How far pose is with the frames: what it has committed of the partitions whose streams this replica has."""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError

from services.common import topics
from services.common.kafka.admin import begin_offsets, end_offsets
from services.common.kafka.clients import KafkaConfig, make_admin
from services.ingest.adapters.within import within

log = logging.getLogger(__name__)

GROUP: Final = "pose"
_EVERY_S: Final = 0.25
_PATIENCE_S: Final = 10.0
_STALE_S: Final = 5.0
_SAY_S: Final = 10.0
_LONG: Final = 32


@dataclass(frozen=True, slots=True)
class Look:
    """At the moment ``at_s`` (monotonic): of each partition of a topic its end, and what pose has committed of it.

    ``committed`` None: pose has never committed anything there.
    """

    at_s: float = 0.0
    live: dict[int, tuple[int, int | None]] = field(default_factory=dict)
    files: dict[int, tuple[int, int | None]] = field(default_factory=dict)
    first: dict[int, int] = field(default_factory=dict)  # (files) offset of the first record that is there


class Downstream:
    """A thread looks four times a second; the service's loop asks ``waiting`` and reads ``look``."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._group = config.topic(GROUP)
        self.look = Look()
        self.partitions: frozenset[int] = frozenset()
        """Which matter; set by the loop."""
        self._sent: deque[tuple[float, int, int]] = deque()
        self._admin: KafkaAdminClient | None = None
        self._said_s = 0.0

    def sent(self, partition: int, records: int) -> None:
        """So many were committed to a partition of ``frames.file.v1`` just now."""
        self._sent.append((time.monotonic(), partition, records + 1))  # and the transaction's own

    def waiting(self, partition: int) -> int | None:
        """Records of ``frames.file.v1`` that pose has not committed, at most; None = nobody knows now."""
        look = self.look
        if partition not in look.files or time.monotonic() - look.at_s > _STALE_S:
            return None
        while self._sent and self._sent[0][0] < look.at_s:
            self._sent.popleft()
        end, committed = look.files[partition]
        committed = max(committed or 0, look.first.get(partition, 0))
        since = sum(records for at_s, p, records in self._sent if p == partition and at_s >= look.at_s)
        return max(0, end - committed) + since

    def run(self, stop: threading.Event) -> None:
        """The thread."""
        while not stop.wait(_EVERY_S):
            partitions = self.partitions
            if not partitions:
                continue
            try:
                self.look = within(_PATIENCE_S, partial(self._ask, partitions))
            except (KafkaError, KeyError) as error:
                if time.monotonic() - self._said_s > _SAY_S:
                    self._said_s = time.monotonic()
                    log.warning("how far pose is cannot be asked: %r", error)
                self._drop()
        self._drop()

    def _ask(self, partitions: Iterable[int]) -> Look:
        if self._admin is None:
            self._admin = make_admin(self._config.bootstrap)
        at_s = time.monotonic()
        live = [TopicPartition(self._config.topic(topics.FRAMES_LIVE), p) for p in partitions]
        files = [TopicPartition(self._config.topic(topics.FRAMES_FILE), p) for p in partitions]
        held = self._admin.list_group_offsets({self._group: [*live, *files]})[self._group]
        ends = end_offsets(self._admin, [*live, *files])

        def committed(tp: TopicPartition) -> int | None:
            found = held.get(tp)
            return None if found is None or found.offset < 0 else int(found.offset)

        # What retention has deleted waits no more.
        long = [tp for tp in files if ends[tp] - (committed(tp) or 0) > _LONG]
        first = begin_offsets(self._admin, long)
        return Look(
            at_s,
            {tp.partition: (ends[tp], committed(tp)) for tp in live},
            {tp.partition: (ends[tp], committed(tp)) for tp in files},
            {tp.partition: offset for tp, offset in first.items()},
        )

    def _drop(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            with suppress(KafkaError, OSError):
                within(1.0, admin.close)
