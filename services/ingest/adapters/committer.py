"""Writes batches of records in transactions, in a thread of its own: one at a time, and each until its fate is known.

So a broker that is away holds up what is transactional (files, events, states) and nothing else.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from services.common.kafka.clients import KafkaConfig, make_admin
from services.common.kafka.outgoing import Outgoing
from services.common.kafka.transactions import TransactionAbortedError, Transactions
from services.common.metrics_protocol import RunnerMetrics
from services.ingest.adapters.within import within

log = logging.getLogger(__name__)

_PAUSE_S: Final = 0.3
_PATIENCE_S: Final = 10.0
_WAIT_S: Final = 0.1
_SAY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Batch:
    """``offsets``: of the partitions whose streams it speaks of; they are committed with it, which fences: a replica
    that has lost them is refused.
    """

    records: Sequence[Outgoing]
    offsets: Mapping[TopicPartition, int]


class Committer:
    """One batch is at work at a time: ``submit`` when ``idle``, then ``result`` until it says.

    Args:
        group: the membership to commit with, as it is now; None while there is none.
        judged: is told the error of a commit that was refused, or None of one that was taken.
    """

    def __init__(
        self, config: KafkaConfig, name: str, group: Callable[[], ConsumerGroupMetadata | None],
        judged: Callable[[BaseException | None], None], metrics: RunnerMetrics,
    ) -> None:  # fmt: skip
        self._judged = judged
        self._config, self._group_name, self._group, self._metrics = config, config.topic(name), group, metrics
        self._transactions = Transactions(config, f"{name}-{config.instance}")
        self._given: SimpleQueue[Batch] = SimpleQueue()
        self._results: SimpleQueue[bool] = SimpleQueue()
        self._run_id, self._count = uuid.uuid4().hex, 0
        self._admin: KafkaAdminClient | None = None
        self._said_s = 0.0
        self.idle = True
        self.opened = False

    def submit(self, batch: Batch) -> None:
        self.idle = False
        self._given.put(batch)

    def result(self, wait_s: float = 0.0) -> bool | None:
        """Whether the batch was committed (all of it, or nothing was); None = not known yet."""
        try:
            done = self._results.get(timeout=wait_s) if wait_s > 0 else self._results.get_nowait()
        except Empty:
            return None
        self.idle = True
        return done

    def run(self, stop: threading.Event) -> None:
        """The thread: until ``stop``, and what was submitted before is done or given up."""
        try:
            while not self.opened and not stop.is_set():
                self.opened = self._open()
                if not self.opened:
                    stop.wait(_PAUSE_S)
            while True:
                try:
                    batch = self._given.get(timeout=_WAIT_S)
                except Empty:
                    if stop.is_set():
                        return
                    continue
                done = self._commit(batch, stop)
                if done is not None:
                    self._results.put(done)
        finally:
            self._close()

    def _open(self) -> bool:
        """Fence predecessors, whose transactions are over then."""
        try:
            self._transactions.open()
        except (KafkaError, AssertionError) as error:
            self._say(error)
            return False
        return True

    def _commit(self, batch: Batch, stop: threading.Event) -> bool | None:
        """None: it is not known, and we are to end."""
        group = self._group()
        if group is None or group.generation_id <= 0:
            time.sleep(_WAIT_S)
            return False
        self._count += 1
        name = f"{self._run_id}:{self._count}"
        offsets = {tp: OffsetAndMetadata(offset, name, -1) for tp, offset in batch.offsets.items()}
        began_s = time.monotonic()
        try:
            self._transactions.commit(batch.records, offsets, group)
        except TransactionAbortedError as error:
            self._say(error)
            self._metrics.transaction(time.monotonic() - began_s, len(batch.records), "aborted")
            if error.__cause__ is not None:
                self._judged(error.__cause__)
            return self._fate(batch, name, stop)
        self._judged(None)
        self._metrics.transaction(time.monotonic() - began_s, len(batch.records), "committed")
        return True

    def _fate(self, batch: Batch, name: str, stop: threading.Event) -> bool | None:
        """Whether a transaction whose answer was lost went through: its name lies with the committed offsets.

        A producer that opens anew has ended the transaction of the one before, so what is read is final.
        """
        while True:
            if self._open():
                try:
                    return within(_PATIENCE_S, lambda: self._is_named(batch, name))
                except (KafkaError, KeyError) as error:
                    self._say(error)
                    self._drop_admin()
            if stop.wait(_PAUSE_S):
                return None

    def _is_named(self, batch: Batch, name: str) -> bool:
        if self._admin is None:
            self._admin = make_admin(self._config.bootstrap)
        wanted = list(batch.offsets)
        held = self._admin.list_group_offsets({self._group_name: wanted})[self._group_name]
        return any(held[tp].metadata == name for tp in wanted if tp in held)

    def _say(self, error: BaseException) -> None:
        if time.monotonic() - self._said_s > _SAY_S:
            self._said_s = time.monotonic()
            log.warning("what is transactional waits: %s", error)

    def _drop_admin(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            with suppress(KafkaError, OSError):
                within(1.0, admin.close)

    def _close(self) -> None:
        self._drop_admin()
        with suppress(KafkaError, OSError):
            self._transactions.close(1.0)
