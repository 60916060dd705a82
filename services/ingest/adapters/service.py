"""The ingest service: what is wanted → supervisor of readers → Kafka, in one loop that never waits for Kafka.

What must wait for it does so in threads of its own: the consumer of ``streams.v1`` (``wanted``), the transactions
(``committer``), the look at pose's offsets (``downstream``).
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from kafka.errors import KafkaError

from services.common import topics
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.outgoing import dead_letter
from services.common.kafka.publisher import Publisher
from services.common.telemetry.logs import get_logger, stream_context
from services.common.telemetry.metrics import ServiceMetrics
from services.common.telemetry.tracing import Tracing
from services.common.types import StreamKey
from services.ingest.adapters.committer import Committer
from services.ingest.adapters.downstream import Downstream
from services.ingest.adapters.kafka_live import LiveOut, connect
from services.ingest.adapters.kafka_sink import Ahead, KafkaSink
from services.ingest.adapters.outbox import Outbox
from services.ingest.adapters.stream_status import FrameCost, StreamStatus, Tuning
from services.ingest.adapters.streams_directory import Directory
from services.ingest.adapters.supervisor import Supervisor
from services.ingest.adapters.wanted import GROUP, Assigned, Change, Revoked, Wanted
from services.ingest.core.behind import BehindMeter
from services.ingest.core.lifecycle import StreamState
from services.ingest.core.live import SkipReason
from services.ingest.core.streams import SpecDefaults, StreamSpec

log = get_logger(__name__)

_POLL_S: Final = 0.05
_TRANSACTION_S: Final = 0.08
_REPORT_S: Final = 1.0
_REFRESH_S: Final = 10.0
_AGAIN_S: Final = 1.0
_LAST_COMMIT_S: Final = 2.5
_FLUSH_S: Final = 1.5


class Ingest:
    """Everything of one replica; ``services.common.service.Runs``.

    Args:
        kafka: how to reach it; ``instance`` must differ between replicas and survive a restart.
        check: raises ConfigError for a spec that is not to be served (``folders.checker``).
        ahead: of files, in one partition.
    """

    def __init__(
        self, kafka: KafkaConfig, metrics: ServiceMetrics, tracing: Tracing, *, tuning: Tuning, defaults: SpecDefaults,
        check: Callable[[StreamSpec], object], ahead: Ahead,
    ) -> None:  # fmt: skip
        self._kafka, self._metrics, self._tracing = kafka, metrics, tracing
        self._tuning, self._check, self._ahead = tuning, check, ahead
        self._wanted = Wanted(kafka, metrics, defaults)
        self._committer = Committer(kafka, GROUP, self._wanted.group, self._wanted.judged, metrics)
        self._downstream = Downstream(kafka)
        self._outbox = Outbox(kafka.topic(topics.STREAMS), metrics)
        self._meters: dict[int, BehindMeter] = {}
        self._keys: dict[str, StreamKey] = {}
        self._halts = {name: threading.Event() for name in ("wanted", "transactions", "downstream")}
        self._threads: dict[str, threading.Thread] = {}
        self._crashed: list[tuple[str, BaseException]] = []
        self._alive_s = time.monotonic()
        self._planned_s = self._reported_s = self._refreshed_s = self._looked_s = 0.0
        self._starting: str | None = f"Kafka at {kafka.bootstrap} has not answered yet"

    @property
    def alive_s(self) -> float:
        return time.monotonic() - self._alive_s

    def unready(self) -> str | None:
        """None: it is a member of its group, and follows all that is wanted of its partitions."""
        return self._starting or self._wanted.unready()

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``: then what was read is delivered, and the streams are left to others.

        Raises: ConfigError: a topic is missing. KafkaError: Kafka refuses for good.
        """
        publisher = self._connect(stop)
        if publisher is None:
            return
        live = LiveOut(
            publisher,
            lambda: connect(self._kafka),
            self._metrics,
            lambda key, frames: streams.undelivered(key, frames),
        )
        sink = KafkaSink(live, self._outbox, self._downstream, self._tracing, self._ahead)
        streams = Supervisor(sink, tuning=self._tuning, observe=self._observe, check=self._check)
        directory = Directory(streams, sink, self._outbox, self._metrics)
        try:
            streams.open()
            self._start("wanted", self._wanted.run)
            self._start("transactions", self._committer.run)
            self._start("downstream", self._downstream.run)
            while not stop.is_set():
                self._turn(streams, live, directory)
            self._drain(streams, live, directory)
        finally:
            self._starting = "it has ended"
            for halt in self._halts.values():
                halt.set()
            streams.close()
            live.close(0.0)
            for thread in self._threads.values():
                thread.join(3.0)

    # -- the start ------------------------------------------------------------------------------------------------

    def _connect(self, stop: threading.Event) -> Publisher | None:
        """Wait for Kafka, however long it takes; None = stopped."""
        while not stop.is_set():
            self._alive_s = time.monotonic()
            try:
                publisher = connect(self._kafka)
            except (KafkaError, AssertionError) as error:
                self._starting = f"Kafka at {self._kafka.bootstrap} is not there, or not set up ({error!r})"
                log.warning("waiting for Kafka", bootstrap=self._kafka.bootstrap, error=repr(error))
                stop.wait(_AGAIN_S)
                continue
            self._starting = None
            return publisher
        return None

    def _start(self, name: str, work: Callable[[threading.Event], None]) -> None:
        def guarded() -> None:
            try:
                work(self._halts[name])
            except BaseException as error:
                self._crashed.append((name, error))

        self._threads[name] = threading.Thread(target=guarded, name=f"ingest-{name}", daemon=True)
        self._threads[name].start()

    # -- one turn -------------------------------------------------------------------------------------------------

    def _turn(self, streams: Supervisor, live: LiveOut, directory: Directory) -> None:
        self._alive_s = now_s = time.monotonic()
        if self._crashed:
            raise self._crashed[0][1]
        self._hear(directory)
        streams.poll(_POLL_S)
        live.settle()
        self._commit()
        self._see(streams, directory)
        if now_s - self._reported_s >= _REPORT_S:
            self._reported_s = now_s
            self._report(streams, live, directory)

    def _hear(self, directory: Directory) -> None:
        while (news := self._wanted.take()) is not None:
            if isinstance(news, Assigned):
                directory.assigned(news)
            elif isinstance(news, Revoked):
                self._let_go(news, directory)
            else:
                directory.changed(news)
                self._letter(news)
                continue
            if isinstance(news, Assigned):
                for change in news.bad:
                    self._letter(change)
            self._downstream.partitions = frozenset(self._outbox.consumed)

    def _let_go(self, news: Revoked, directory: Directory) -> None:
        directory.revoked(news.partitions)
        if not self._committer.idle:  # what is under way is still ours to commit
            self._settle(self._committer.result(1.0))
        self._outbox.drop(news.partitions)
        for partition in news.partitions:
            self._meters.pop(partition, None)
        news.done.set()

    def _letter(self, change: Change) -> None:
        """A record of ``streams.v1`` that is no spec."""
        if change.error is None:
            return
        log.warning("a wanted stream is refused", stream=change.name, error=str(change.error))
        if change.record is not None:
            self._metrics.dead_letter(topics.STREAMS, type(change.error).__name__)
            self._outbox.letter(change.partition, dead_letter(change.record, change.error, GROUP))

    def _commit(self) -> None:
        if not self._committer.idle:
            self._settle(self._committer.result())
        if self._committer.idle and time.monotonic() - self._planned_s >= _TRANSACTION_S:
            batch = self._outbox.plan()
            if batch is not None:
                self._planned_s = time.monotonic()
                self._committer.submit(batch)

    def _settle(self, committed: bool | None) -> None:
        if committed is not None:
            for partition, records in self._outbox.settle(committed).items():
                self._downstream.sent(partition, records)

    def _see(self, streams: Supervisor, directory: Directory) -> None:
        """Lower the rates of cameras whose frames are analysed too late, raise them again when they are in time."""
        look = self._downstream.look
        if look.at_s == self._looked_s:
            return
        self._looked_s = look.at_s
        for partition, (end, committed) in look.live.items():
            meter = self._meters.setdefault(partition, BehindMeter())
            was = meter.behind
            behind = meter.look(look.at_s, end, committed)
            names = directory.live_in(partition)
            for name in names:
                streams.set_behind(name, behind)
            if behind != was and names:
                say = log.warning if behind else log.info
                say(
                    "pose lags, rates are lowered" if behind else "pose keeps up, rates rise again",
                    partition=partition, seconds=round(meter.seconds, 2), streams=len(names),
                )  # fmt: skip

    # -- what is told ---------------------------------------------------------------------------------------------

    def _observe(self, spec: StreamSpec, cost: FrameCost) -> None:
        self._metrics.decoded(cost.decode_s)
        self._metrics.encoded(cost.encode_s, cost.jpeg_bytes)

    def _report(self, streams: Supervisor, live: LiveOut, directory: Directory) -> None:
        now_s = time.monotonic()
        refresh = now_s - self._refreshed_s >= _REFRESH_S
        if refresh:
            self._refreshed_s = now_s
        seen = set()
        for status in streams.status():
            seen.add(status.spec.name)
            self._report_stream(status)
            if refresh:
                directory.refresh(status)
            if status.state is StreamState.ENDED:  # a file that is read; it stays known as such
                directory.finished(status)
                seen.discard(status.spec.name)
        for name in [name for name in self._keys if name not in seen]:
            self._metrics.stream_ended(self._keys.pop(name))
        self._metrics.in_flight(live.in_flight + len(self._outbox))
        self._metrics.paused(sum(self._is_full(partition) for partition in self._outbox.consumed))
        if self._outbox.dropped:
            log.error("events were dropped: Kafka has been away for too long", events=self._outbox.dropped)
            self._outbox.dropped = 0

    def _report_stream(self, status: StreamStatus) -> None:
        before = self._keys.get(status.spec.name)
        if before is not None and before != status.key:
            self._metrics.stream_ended(before)
        self._keys[status.spec.name] = status.key
        counters = status.counters
        handed_on = counters.sent + counters.skipped.get(SkipReason.UNDELIVERED.value, 0)
        self._metrics.streams.totals(
            status.key, delivered=counters.decoded, finished=handed_on, skipped=counters.skipped,
            reconnects=counters.reconnects,
        )  # fmt: skip
        self._metrics.stream_state(status.key, status.state.value)
        if status.load_factor < 1:
            with stream_context(status.key):
                log.debug("analysed at a lower rate", factor=round(status.load_factor, 2))

    def _is_full(self, partition: int) -> bool:
        waiting = self._downstream.waiting(partition)
        return waiting is not None and waiting + self._outbox.frames(partition)[0] >= self._ahead.frames

    # -- the end --------------------------------------------------------------------------------------------------

    def _drain(self, streams: Supervisor, live: LiveOut, directory: Directory) -> None:
        """Stop reading, deliver what was read, leave the group: in this order, as only a member may commit."""
        began_s = time.monotonic()
        self._starting = "it is stopping"
        for status in streams.status():
            directory.refresh(status)
        streams.close()
        while (len(self._outbox) or self._outbox.dirty) and time.monotonic() - began_s < _LAST_COMMIT_S:
            if self._committer.idle:
                self._planned_s = 0.0
                self._commit()
            self._settle(self._committer.result(0.1))
        live.close(_FLUSH_S)
        self._halts["transactions"].set()
        self._threads["transactions"].join(0.5)
        self._halts["wanted"].set()
        self._threads["wanted"].join(2.0)
        log.info("drained", seconds=round(time.monotonic() - began_s, 2), left=len(self._outbox))
