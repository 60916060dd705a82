"""Reads the pipeline's topics while a run goes on: frames of cameras are kept for a minute only."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from services.common.errors import FormcheckError
from services.common.kafka.admin import end_offsets
from services.common.kafka.clients import KafkaConfig, make_admin, make_consumer
from services.common.kafka.messages import Record
from services.local.stack.invariants import TOPICS
from services.local.stack.seen import Seen, see

_POLL_MS = 100


class TopicWatch:
    """What read_committed readers have seen so far of ``topics``; a context manager with a thread of its own.

    Brokers may die meanwhile: it goes on where it was. ``unreadable`` are records that hold nothing known.

    Args:
        on_record: is told of each record as it lies there, by the reading thread; must be quick.
        keep: which are kept in the log.
    """

    def __init__(
        self,
        config: KafkaConfig,
        topics: Sequence[str] = TOPICS,
        *,
        on_record: Callable[[Record], None] = lambda _: None,
        keep: Callable[[Seen], bool] = lambda _: True,
    ) -> None:
        self._config, self._names = config, tuple(topics)
        self._on_record, self._keep = on_record, keep
        self._lock = threading.Lock()
        self._log: list[Seen] = []
        self._at: dict[TopicPartition, int] = {}
        self._stopping = threading.Event()
        self._failed: BaseException | None = None
        self.unreadable: list[str] = []
        self._consumer: KafkaConsumer = make_consumer(config)
        self._partitions = [
            TopicPartition(config.topic(name), p)
            for name in self._names
            for p in sorted(self._consumer.partitions_for_topic(config.topic(name)) or ())
        ]
        if len({tp.topic for tp in self._partitions}) < len(self._names):
            self._consumer.close()
            raise FormcheckError("A topic to watch is not there; create the topics first (services/common/topics.py).")
        self._consumer.assign(self._partitions)
        self._consumer.seek_to_beginning(*self._partitions)
        self._thread = threading.Thread(target=self._run, name="topic-watch", daemon=True)
        self._thread.start()

    def log(self, since: int = 0) -> list[Seen]:
        """All so far, but for the first ``since``."""
        with self._lock:
            return self._log[since:]

    def __len__(self) -> int:
        with self._lock:
            return len(self._log)

    def read_to_end(self, timeout_s: float = 60.0, since: int = 0) -> list[Seen]:
        """All that was written before this call, past whatever transactions were open (but for the first ``since``).

        Raises: FormcheckError: not within ``timeout_s``.
        """
        deadline_s = time.monotonic() + timeout_s
        ends = self._ends(deadline_s)
        while behind := [tp for tp, end in ends.items() if self._at.get(tp, 0) < end]:
            self._check(deadline_s, f"{len(behind)} partitions are not read to their end, among them {behind[0]}")
            time.sleep(0.05)
        return self.log(since)

    def wait(self, done: Callable[[list[Seen]], Any], timeout_s: float, what: str, since: int = 0) -> list[Seen]:
        """Until ``done`` says so of the log (but for the first ``since``).

        Raises: FormcheckError: not within ``timeout_s``.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            log = self.log(since)
            if done(log):
                return log
            self._check(deadline_s, f"waiting for {what}")
            time.sleep(0.1)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(10.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, deadline_s: float, text: str) -> None:
        if self._failed is not None:
            raise FormcheckError(f"The watch of the topics ended: {self._failed!r}") from self._failed
        if time.monotonic() > deadline_s:
            raise FormcheckError(f"Not in time: {text}; {self._summary()}.")

    def _summary(self) -> str:
        log = self.log()
        counts = {name: sum(s.topic == name for s in log) for name in self._names}
        return "read so far: " + ", ".join(f"{name} {count}" for name, count in counts.items())

    def _ends(self, deadline_s: float) -> dict[TopicPartition, int]:
        while True:
            try:
                with closing(make_admin(self._config.bootstrap)) as admin:
                    return end_offsets(admin, self._partitions)
            except KafkaError as error:
                self._check(deadline_s, f"asking for the ends of topics: {error!r}")
                time.sleep(0.5)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._read()
                except KafkaError:  # a broker died: the next poll goes on
                    time.sleep(_POLL_MS / 1000)
        except BaseException as error:
            self._failed = error
        finally:
            self._consumer.close()

    def _read(self) -> None:
        fresh: list[Seen] = []
        for tp, records in self._consumer.poll(timeout_ms=_POLL_MS).items():
            now_s = time.time()
            topic = tp.topic.removeprefix(self._config.prefix)
            for r in records:
                headers = tuple((k, bytes(v or b"")) for k, v in r.headers)
                record = Record(topic, tp.partition, r.offset, r.key, r.value, headers, r.timestamp)
                try:
                    seen = see(record, now_s)
                    self._on_record(record)
                    if self._keep(seen):
                        fresh.append(seen)
                except (FormcheckError, ValueError) as error:
                    self.unreadable.append(f"{topic}/{tp.partition}@{r.offset}: {error}")
        with self._lock:
            self._log += fresh
        for tp in self._partitions:
            position = self._consumer.position(tp, timeout_ms=_POLL_MS)
            if position is not None:
                self._at[tp] = position


def ended(log: Sequence[Seen], topic: str, names: Sequence[str]) -> bool:
    """Whether the streams' ends have come through to ``topic``."""
    ends = {s.name for s in log if s.topic == topic and s.mark == "eof"}
    return ends.issuperset(names)
