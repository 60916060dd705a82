"""Drives one processor per stream between Kafka topics, with exactly-once effect (docs/decisions/0004).

One thread, the one that calls ``run``, owns consumer and producer. It polls at least every 250 ms. The consumer's
rebalance callbacks come on the client's own thread, but only while ``run``'s thread waits inside ``poll`` or ``close``.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from services.common.errors import FormcheckError
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.lane import Input, Lane
from services.common.kafka.membership import Membership
from services.common.kafka.messages import Record
from services.common.kafka.outgoing import tell_committed
from services.common.kafka.partition import PartitionWork
from services.common.kafka.plan import Restored
from services.common.kafka.polling import POLL_S, PULSE_S, Poller, Rebalances
from services.common.kafka.restore import Restorer
from services.common.kafka.room import Room
from services.common.kafka.stage import Outputs, Spans, Stage
from services.common.kafka.transactions import TransactionAbortedError, Transactions
from services.common.metrics_protocol import NO_METRICS, RunnerMetrics

log = logging.getLogger(__name__)

_WORK_S: Final = 0.02  # between two polls
_QUIET_S: Final = 0.5
"""Between transactions that publish nothing, only say how far the stage is: nobody waits for them."""
_LAG_S: Final = 1.0
_HOUSEKEEPING_S: Final = 10.0
_ABORTS: Final = 10
"""So many transactions in a row fail, and for ``_ABORTS_S``, before the run gives up. A member that its group has
thrown out, as a starved one is, learns of it with a heartbeat and joins again with a poll; till then its commits are
refused."""
_ABORTS_S: Final = 30.0
_ABORT_PAUSE_S: Final = 0.1
_DRAIN_S: Final = 5.0

_Done = tuple[PartitionWork, Lane, Input, Future[Outputs]]


class Runner:
    """The Kafka side of one stage in one replica.

    Args:
        stage: what to drive. config: how to reach Kafka; ``config.instance`` must differ between replicas.
        metrics: is told what happens. spans: begins the trace of an input (``Tracing.stage``).

    ``run`` returns after ``stop`` (from any thread or a signal handler), or the event it was given: what is at work is
    completed and committed, the partitions are handed back.
    """

    def __init__(
        self,
        stage: Stage,
        config: KafkaConfig,
        metrics: RunnerMetrics = NO_METRICS,
        spans: Spans | None = None,
    ) -> None:
        self._stage, self._config, self._metrics, self._spans = stage, config, metrics, spans
        self._consumer: KafkaConsumer | None = None
        self._transactions = Transactions(config, f"{stage.name}-{config.instance}")
        topics = [config.topic(t) for t in stage.inputs]
        self._member = Membership(config, stage.name, topics, Rebalances(self._assigned, self._revoked))
        self._restorer: Restorer | None = None
        self._parts: dict[TopicPartition, PartitionWork] = {}
        self._replaying: dict[TopicPartition, float] = {}
        self._completions: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        self._rooms = {live: Room(stage.in_flight_max) for live in (True, False)}
        self._paused: set[TopicPartition] = set()
        self._stopping = threading.Event()
        self._poller = Poller()
        self._planned_s = self._told_s = self._kept_house_s = 0.0
        self._aborts = 0
        self._aborting_s = 0.0  # since when they fail
        self._unready: str | None = "it has not begun"
        self._alive_s = time.monotonic()

    def unready(self) -> str | None:
        """Why this replica does not work yet; None: it is in the group, and all it was assigned is restored."""
        return self._unready

    @property
    def alive_s(self) -> float:
        """Seconds since the loop last went round: liveness."""
        return time.monotonic() - self._alive_s

    def stop(self) -> None:
        """Ask ``run`` to drain and return; it does within 10 s while Kafka is there."""
        self._stopping.set()

    def run(self, stop: threading.Event | None = None) -> None:
        """Until ``stop`` is set, or called.

        Raises:
            kafka.errors.KafkaError: Kafka is not there at the start, or refuses for good.
            ConfigError: a topic is missing.
            FormcheckError: transactions fail again and again (as when two replicas bear one instance name).
        """
        self._stopping = stop or self._stopping
        self._transactions.open()
        try:
            self._join()
            while not self._stopping.is_set():
                self._turn_once()
            self._drain()
        finally:
            self._unready = "it has ended"
            self._close()

    def _join(self) -> None:
        """As a new member of the group, with nothing at work."""
        self._unready = "it joins its Kafka group"
        before = self._restorer
        if before is not None:
            self._forget(list(self._parts))
        self._consumer = self._member.join()
        self._restorer = Restorer(self._config, self._consumer, self._stage.state)
        if before is not None:
            before.close()

    def _renew(self, why: str) -> None:
        """The group, or the client, has forgotten this member."""
        log.warning("this member of the group '%s' is taken for dead (%s) and replaced", self._stage.name, why)
        try:
            self._join()
        except (KafkaError, FormcheckError) as error:  # the old one goes on, and has its next chance
            log.warning("joining again: %r", error)
            assert self._consumer is not None
            self._hold(self._consumer.assignment())

    # -- one turn -------------------------------------------------------------------------------------------------

    def _turn_once(self) -> None:
        self._alive_s = time.monotonic()
        if why := self._member.lost():
            self._renew(why)
        self._poll()
        self._work(_WORK_S)
        self._restore()
        self._settle()
        now_s = time.monotonic()
        if now_s >= self._due_s():
            self._commit(self._parts)
            self._planned_s = time.monotonic()
        self._press_back()
        if now_s - self._told_s >= _LAG_S:
            self._told_s = now_s
            self._tell()
        if now_s - self._kept_house_s >= _HOUSEKEEPING_S:
            self._kept_house_s = now_s
            for part in self._parts.values():
                part.end_idle()

    def _due_s(self) -> float:
        """When the next transaction is (monotonic time)."""
        urgent = any(p.urgent for p in self._parts.values())
        return self._planned_s + (self._stage.transaction_s if urgent else max(self._stage.transaction_s, _QUIET_S))

    def _poll(self) -> None:
        assert self._consumer is not None
        assert self._restorer is not None
        busy = any(not p.idle for p in self._parts.values())
        working = any(p.in_flight for p in self._parts.values())
        rest_s, wait_s = self._poller.rest_s(), 0.0
        if rest_s > 0 and not self._restorer.busy:
            if busy or working:
                return
            time.sleep(rest_s)
        if not (busy or working or self._restorer.busy):
            unsaved = any(p.unsaved for p in self._parts.values())
            wait_s = min(POLL_S, self._due_s() - time.monotonic()) if unsaved else POLL_S
        for tp, records in self._poller.poll(self._consumer, wait_s).items():
            part = self._parts.get(tp)
            if part is None:
                continue
            topic = tp.topic.removeprefix(self._config.prefix)
            for r in records:
                headers = tuple((k, bytes(v or b"")) for k, v in r.headers)
                part.accept(Record(topic, r.partition, r.offset, r.key, r.value, headers, r.timestamp))
            self._metrics.consumed(topic, len(records))

    def _work(self, budget_s: float) -> None:
        """Begin what arrived, the partitions in turn; take what is done elsewhere."""
        self._take_completions(wait=not any(not p.idle for p in self._parts.values()))
        deadline_s = time.monotonic() + budget_s
        while time.monotonic() < deadline_s:
            begun = [part.step() for part in self._parts.values()]
            if not any(begun):
                return
            self._take_completions(wait=False)

    def _take_completions(self, wait: bool) -> None:
        wait = wait and any(p.in_flight for p in self._parts.values())
        with suppress(queue.Empty):
            part, lane, given, future = self._completions.get(block=wait, timeout=PULSE_S if wait else None)
            while True:
                part.completed(lane, given, future)
                part, lane, given, future = self._completions.get_nowait()
        for room in self._rooms.values():
            room.admit()

    def _restore(self) -> None:
        assert self._restorer is not None
        assert self._consumer is not None
        if not self._restorer.busy:
            return
        for tp, restored in self._restorer.advance().items():
            if tp not in self._consumer.assignment():
                continue
            self._parts[tp] = self._new_part(tp, restored)
            self._replaying[tp] = time.monotonic() - self._restorer.took_s
            self._consumer.seek(tp, restored.replay_from)
            self._consumer.resume(tp)
            self._paused.discard(tp)
            log.info(
                "%s: %d streams, committed %s, replay from %d",
                tp, len(restored.snapshots), restored.committed, restored.replay_from,
            )  # fmt: skip

    def _new_part(self, tp: TopicPartition, restored: Restored) -> PartitionWork:
        topic = tp.topic.removeprefix(self._config.prefix)
        return PartitionWork(
            self._stage, topic, tp.partition, restored,
            metrics=self._metrics, finished=self._finished, spans=self._spans,
            room=self._rooms[topic in self._stage.live],
        )  # fmt: skip

    def _finished(self, part: PartitionWork, lane: Lane, given: Input, future: Future[Outputs]) -> None:
        self._completions.put((part, lane, given, future))

    def _settle(self) -> None:
        """Note the partitions whose replay is over, and whether all are."""
        assert self._restorer is not None
        for tp in [tp for tp in self._replaying if tp in self._parts and not self._parts[tp].replaying]:
            self._metrics.restored(time.monotonic() - self._replaying.pop(tp), self._parts[tp].replayed)
        assert self._consumer is not None
        if self._consumer.group_metadata().generation_id <= 0:
            self._unready = "it is not a member of its Kafka group"
        elif self._restorer.busy:
            self._unready = "the state of its partitions is being read"
        elif self._replaying:
            self._unready = f"{len(self._replaying)} partitions are being replayed"
        else:
            self._unready = None

    def _press_back(self) -> None:
        """Pause the partitions with too much waiting, resume them when half of it is done."""
        assert self._consumer is not None
        before = len(self._paused)
        for tp, part in self._parts.items():
            if part.load >= self._stage.waiting and tp not in self._paused:
                self._consumer.pause(tp)
                self._paused.add(tp)
            elif tp in self._paused and part.load <= self._stage.waiting // 2:
                self._consumer.resume(tp)
                self._paused.discard(tp)
        if len(self._paused) != before:
            self._metrics.paused(len(self._paused))

    def _tell(self) -> None:
        assert self._consumer is not None
        self._metrics.in_flight(sum(p.load for p in self._parts.values()))
        for tp, part in self._parts.items():
            end = self._consumer.highwater(tp) if tp in self._consumer.assignment() else None
            if end is not None:
                self._metrics.lag(part.topic, tp.partition, max(0, end - part.position + part.load))

    # -- transactions ---------------------------------------------------------------------------------------------

    def _commit(self, parts: dict[TopicPartition, PartitionWork], everything: bool = False) -> None:
        """One transaction with all that is completed; when it fails, everything goes back to what Kafka holds."""
        assert self._consumer is not None
        plans = {tp: plan for tp, p in parts.items() if (plan := p.plan(everything)) is not None}
        if not plans:
            return
        outputs = [o for plan in plans.values() for o in plan.outputs]
        snapshots = [o for plan in plans.values() for o in plan.snapshots]
        offsets = {tp: OffsetAndMetadata(plan.offset, plan.metadata, -1) for tp, plan in plans.items()}
        began_s = time.monotonic()
        count = len(outputs) + len(snapshots)
        try:
            self._transactions.commit(outputs + snapshots, offsets, self._consumer.group_metadata())
        except TransactionAbortedError as error:
            self._metrics.transaction(time.monotonic() - began_s, count, "aborted")
            self._aborted(error)
            return
        self._aborts = 0
        self._member.committed()
        self._metrics.transaction(time.monotonic() - began_s, count, "committed")
        for tp, plan in plans.items():
            parts[tp].committed_plan(plan)
        tell_committed(self._metrics, outputs, self._stage.output)
        if self._stage.published is not None:
            for item in [item for plan in plans.values() for item in plan.items]:
                self._stage.published(item)

    def _aborted(self, error: TransactionAbortedError) -> None:
        self._aborts += 1
        self._member.refused(error.__cause__)
        if self._aborts == 1:
            self._aborting_s = time.monotonic()
        log.warning("%s; %d partitions go back to what is committed", error, len(self._parts))
        if self._aborts >= _ABORTS and time.monotonic() - self._aborting_s > _ABORTS_S:
            raise FormcheckError(
                f"{self._aborts} transactions in a row failed, the last so: {error} "
                f"Does another replica of '{self._stage.name}' bear the instance name '{self._config.instance}'?"
            )
        self._hold(self._parts)
        if self._aborts > 1:
            time.sleep(_ABORT_PAUSE_S)

    def _hold(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop what is known of partitions that are still ours, and read it from Kafka again."""
        assert self._consumer is not None
        assert self._restorer is not None
        ours = [tp for tp in partitions if tp in self._consumer.assignment()]
        self._forget(ours, ours=True)
        self._forget([tp for tp in partitions if tp not in ours])
        for tp in ours:
            self._consumer.pause(tp)
        self._restorer.begin(ours)

    def _forget(self, partitions: Iterable[TopicPartition], ours: bool = False) -> None:
        """``ours``: they come back at once."""
        assert self._restorer is not None
        gone = list(partitions)
        self._restorer.forget(gone)
        for tp in gone:
            self._paused.discard(tp)
            self._replaying.pop(tp, None)
            part = self._parts.pop(tp, None)
            if part is not None:
                part.drop(ours)

    # -- rebalances (on the client's thread, while ours waits for it) -----------------------------------------------

    def _assigned(self, partitions: Iterable[TopicPartition]) -> None:
        assert self._consumer is not None
        assert self._restorer is not None
        new = [tp for tp in partitions if tp not in self._parts]
        for tp in new:
            self._consumer.pause(tp)
        self._restorer.begin(new)
        self._unready = "it was assigned partitions"
        self._metrics.assigned(len(self._consumer.assignment()))

    def _revoked(self, partitions: Iterable[TopicPartition], lost: bool) -> None:
        gone = {tp: self._parts[tp] for tp in partitions if tp in self._parts}
        if gone and not lost:
            try:
                self._commit(gone, everything=True)
            except FormcheckError as error:  # the next owner goes on from what is committed
                log.warning("revoked: %s", error)
        self._forget(list(partitions))
        for tp in partitions:
            self._metrics.revoked(tp.topic.removeprefix(self._config.prefix), tp.partition)

    # -- the end --------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Complete what is at work; what only waits is left to whoever comes next."""
        assert self._consumer is not None
        deadline_s = time.monotonic() + _DRAIN_S
        self._consumer.pause(*self._consumer.assignment())
        for part in self._parts.values():
            part.rest()
        while any(p.in_flight for p in self._parts.values()) and time.monotonic() < deadline_s:
            self._take_completions(wait=True)
        self._commit(self._parts, everything=True)

    def _close(self) -> None:
        consumer, restorer = self._consumer, self._restorer
        closers: list[Callable[[], Any]] = [lambda: self._transactions.close(2.0)]
        if consumer is not None:
            closers.insert(0, lambda: consumer.close(timeout_ms=2000))
        if restorer is not None:
            closers.append(restorer.close)
        for close in closers:
            try:
                close()
            except (KafkaError, OSError) as error:
                log.warning("closing: %r", error)
