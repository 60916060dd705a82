"""One real broker for all tests of a run, topics of their own for each, and runners in processes that can be killed."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition

from services.common.kafka.admin import create_topics, end_offsets
from services.common.kafka.clients import KafkaConfig, make_admin, make_consumer, make_producer
from services.common.kafka.messages import Record, encode, stream_key, stream_of
from services.common.topics import TOPICS
from services.local.stack.kafka import KafkaCluster

ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = 4
PATIENCE = float(os.environ.get("FORMCHECK_TEST_PATIENCE", "1"))
"""How many times slower than a quiet machine this one is: stretches every time-out."""


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder / "running.json"


def _alive(pid: int) -> bool:
    """A process that has ended but that its parent, another worker, does not wait for is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a broker that the processes of this test run share: the first starts it, the last stops it.

    ``FORMCHECK_TEST_KAFKA=host:port`` uses one that runs already.
    """
    if given := os.environ.get("FORMCHECK_TEST_KAFKA"):
        yield given
        return
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "kafka"
    cluster: KafkaCluster | None = None
    with _locked(folder) as path:
        running = json.loads(path.read_text()) if path.exists() else None
        if running is None:
            cluster = KafkaCluster(folder / uuid.uuid4().hex, quick=True)
            cluster.start()
            running = {"bootstrap": cluster.bootstrap, "pid": cluster.pid(0), "users": 0}
        running["users"] += 1
        path.write_text(json.dumps(running))
    yield running["bootstrap"]
    with _locked(folder) as path:
        running = json.loads(path.read_text())
        running["users"] -= 1
        path.write_text(json.dumps(running))
        if running["users"]:
            if cluster is not None:
                cluster.leave_running()
            return
        path.unlink()
    if cluster is not None:
        cluster.stop()
        return
    os.kill(running["pid"], signal.SIGTERM)
    wait_for(lambda: not _alive(running["pid"]), 20)


@pytest.fixture
def kafka_config(kafka_broker: str) -> KafkaConfig:
    """All topics of the system, for this test alone."""
    prefix = f"{uuid.uuid4().hex[:8]}-"
    create_topics(kafka_broker, TOPICS, partitions=PARTITIONS, prefix=prefix)
    return config_of(kafka_broker, prefix)


def config_of(bootstrap: str, prefix: str, instance: str = "0") -> KafkaConfig:
    """The defaults of the services, with patience."""
    return KafkaConfig(
        bootstrap,
        prefix=prefix,
        instance=instance,
        session_timeout_ms=int(6000 * PATIENCE),
        transaction_timeout_ms=int(5000 * PATIENCE),
    )


def wait_for(done: Callable[[], Any], timeout_s: float, what: str = "") -> None:
    deadline_s = time.monotonic() + timeout_s * PATIENCE
    while not done():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what or done}"
        time.sleep(0.05)


def send(producer: Any, config: KafkaConfig, topic: str, item: Any) -> None:
    """As the stage before would."""
    value, headers = encode(item)
    producer.send(config.topic(topic), key=stream_key(stream_of(item)), value=value, headers=list(headers))


def write(config: KafkaConfig, topic: str, items: Iterable[Any], pause_s: float = 0.0) -> None:
    """All items, in order; ``pause_s`` between two."""
    with closing(make_producer(config)) as producer:
        for item in items:
            send(producer, config, topic, item)
            if pause_s:
                time.sleep(pause_s)
        producer.flush()


class TopicReader:
    """What read_committed readers have seen of a topic so far."""

    def __init__(self, config: KafkaConfig, topic: str) -> None:
        self._config, self._topic = config, topic
        self._consumer = make_consumer(config)
        partitions = self._consumer.partitions_for_topic(config.topic(topic))
        self._partitions = [TopicPartition(config.topic(topic), p) for p in partitions]
        self._consumer.assign(self._partitions)
        self._consumer.seek_to_beginning(*self._partitions)
        self.records: list[Record] = []

    def read(self, timeout_ms: int = 50) -> list[Record]:
        """All so far."""
        for tp, records in self._consumer.poll(timeout_ms=timeout_ms).items():
            self.records += [
                Record(self._topic, tp.partition, r.offset, r.key, r.value, tuple(r.headers)) for r in records
            ]
        return self.records

    def read_to_end(self) -> list[Record]:
        """All that is committed now, past whatever transactions are open."""
        with closing(make_admin(self._config.bootstrap)) as admin:
            ends = end_offsets(admin, self._partitions)
        deadline_s = time.monotonic() + 30 * PATIENCE
        while any((self._consumer.position(tp) or 0) < end for tp, end in ends.items()):
            assert time.monotonic() < deadline_s, "the topic's end cannot be read"
            self.read()
        return self.records

    def close(self) -> None:
        self._consumer.close()


class Worker:
    """A runner in a process of its own: ``tests.support.kafka_worker``."""

    def __init__(self, config: KafkaConfig, stage: str, instance: str) -> None:
        command = [sys.executable, "-m", "tests.support.kafka_worker", config.bootstrap, config.prefix, instance, stage]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []

    def ready(self) -> "Worker":
        """Wait until it is a member of the group with all it was assigned restored."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == "ready\n", f"the worker said {line!r}"
        return self

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def stop(self) -> float:
        """SIGTERM; returns the seconds until it ended, which must be well."""
        began_s = time.monotonic()
        self._process.terminate()
        assert self._process.wait(15 * PATIENCE) == 0
        return (time.monotonic() - began_s) / PATIENCE

    def tell_where(self) -> None:
        """Where its threads are, on stderr: for a test that has failed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(0.5)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def workers() -> Iterator[Callable[[KafkaConfig, str, str], Worker]]:
    """Start workers; whatever still runs at the end is killed."""
    started: list[Worker] = []

    def start(config: KafkaConfig, stage: str, instance: str) -> Worker:
        started.append(Worker(config, stage, instance))
        return started[-1]

    try:
        yield start
    except BaseException:
        for worker in started:
            worker.tell_where()
        raise
    finally:
        for worker in started:
            worker.close()


def values_by_key(records: Sequence[Record]) -> dict[bytes, list[bytes]]:
    """Values in the order of their stream."""
    found: dict[bytes, list[bytes]] = {}
    for record in sorted(records, key=lambda r: (r.partition, r.offset)):
        found.setdefault(record.key or b"", []).append(record.value or b"")
    return found
