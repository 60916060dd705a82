"""The ingest service in processes of its own, and what it has written, as tests see them."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata
from prometheus_client.parser import text_string_to_metric_families

from services.common import topics
from services.common.codec import EncodedFrame
from services.common.kafka.clients import KafkaConfig, make_consumer
from services.common.kafka.messages import decode
from services.common.processor import Mark, MarkKind
from services.ingest.core.streams import StreamEvent
from services.local.stack.streams import stream_history
from tests.support.kafka import PATIENCE, TopicReader, wait_for
from tests.support.service_process import get

ROOT = Path(__file__).resolve().parents[2]


class Replica:
    """``python -m services.ingest.main``; ``folder`` takes its log, and is where files may be read."""

    def __init__(self, kafka: KafkaConfig, folder: Path, instance: str = "one", **settings: str) -> None:
        self.log_path = folder / f"{instance}-{time.monotonic_ns()}.log"
        environment = os.environ | {
            "FORMCHECK_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "FORMCHECK_KAFKA_PREFIX": kafka.prefix,
            "FORMCHECK_KAFKA_INSTANCE": instance,
            "FORMCHECK_HTTP_PORT": "0",
            "FORMCHECK_GRPC_PORT": "0",
            "FORMCHECK_INGEST_FILE_FOLDERS": str(folder),
            "OMP_NUM_THREADS": "1",
            **settings,
        }
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.ingest.main"], cwd=ROOT, env=environment, stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._port: int | None = None

    def lines(self) -> list[dict[str, Any]]:
        """Of its log; what is no JSON is a bug of the service, and fails here."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines() if line.endswith("}")]

    @property
    def port(self) -> int:
        """Of HTTP."""
        if self._port is None:
            wait_for(lambda: self._started() or self.process.poll() is not None, 60, "the service starts")
            started = self._started()
            assert started, self.log_path.read_text()[-3000:]
            self._port = int(started["http_port"])
        return self._port

    def _started(self) -> dict[str, Any] | None:
        return next((line for line in self.lines() if line["event"] == "started"), None)

    def ready(self) -> "Replica":
        port = self.port
        wait_for(lambda: get(port, "/readyz")[0] == 200, 60, "the service is ready")
        return self

    def is_ready(self) -> bool:
        try:
            return get(self.port, "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def metrics(self) -> dict[str, float]:
        """``name{stream_id,reason}`` (labels that are there) → value, summed over the other labels."""
        found: dict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(get(self.port, "/metrics")[1]):
            for sample in family.samples:
                labels = [sample.labels[k] for k in ("stream_id", "reason", "state", "topic") if k in sample.labels]
                found["/".join([sample.name, *labels])] += sample.value
        return dict(found)

    def kill(self) -> None:
        """``kill -9``, the readers die with it."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> float:
        """SIGTERM; the seconds until it ended, which must be well."""
        began_s = time.monotonic()
        self.process.terminate()
        assert self.process.wait(15 * PATIENCE) == 0, self.log_path.read_text()[-3000:]
        return (time.monotonic() - began_s) / PATIENCE


@contextmanager
def replicas(folder: Path) -> Iterator[Callable[..., Replica]]:
    """Start replicas; those that still run at the end are killed."""
    started: list[Replica] = []

    def start(kafka: KafkaConfig, instance: str = "one", **settings: str) -> Replica:
        started.append(Replica(kafka, folder, instance, **settings))
        return started[-1]

    try:
        yield start
    finally:
        for replica in started:
            if replica.process.poll() is None:
                replica.kill()
            own = [line for line in replica.log_path.read_text().splitlines() if '"logger": "kafka.' not in line]
            print(f"--- {replica.log_path.name}", *(line[:400] for line in own[-40:]), sep="\n")  # shown if it failed


class Frames:
    """What read_committed readers have seen of the frames' topics so far, by stream_id."""

    def __init__(self, kafka: KafkaConfig, topic: str) -> None:
        self._reader = TopicReader(kafka, topic)
        self._taken = 0
        self.frames: dict[str, list[EncodedFrame]] = defaultdict(list)
        self.marks: dict[str, list[Mark]] = defaultdict(list)
        self.headers: dict[str, dict[str, bytes]] = {}

    def read(self, to_end: bool = False) -> "Frames":
        records = self._reader.read_to_end() if to_end else self._reader.read()
        for record in records[self._taken :]:
            item = decode(record)
            assert record.key == f"{item.stream.tenant}/{item.stream.stream_id}".encode()
            kept: list[Any] = (self.marks if isinstance(item, Mark) else self.frames)[item.stream.stream_id]
            kept.append(item)
            self.headers[item.stream.stream_id] = dict(record.headers)
        self._taken = len(records)
        return self

    def count(self, name: str) -> int:
        return len(self.read().frames[name])

    def ends(self, name: str) -> list[Mark]:
        return [mark for mark in self.read().marks[name] if mark.kind is MarkKind.EOF]

    def close(self) -> None:
        self._reader.close()


class FollowingPose:
    """As far as ingest can tell a pose service: it reads files' frames and commits them, no faster than told."""

    def __init__(self, kafka: KafkaConfig, fps: float = 1e9) -> None:
        self._stop = threading.Event()
        self._kafka, self._fps = kafka, fps
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        consumer = make_consumer(self._kafka, group="pose")
        topic = self._kafka.topic(topics.FRAMES_FILE)
        partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(partitions)
        for tp in partitions:
            consumer.seek(tp, consumer.committed(tp) or 0)
        while not self._stop.is_set():
            for tp, records in consumer.poll(timeout_ms=50, max_records=20).items():
                self._stop.wait(len(records) / self._fps)
                consumer.commit({tp: OffsetAndMetadata(records[-1].offset + 1, "", -1)})
        consumer.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)


def commit_as_pose(kafka: KafkaConfig, topic: str, offset: int) -> None:
    """For every partition of a topic."""
    with closing(make_consumer(kafka, group="pose")) as consumer:
        name = kafka.topic(topic)
        partitions = [TopicPartition(name, p) for p in consumer.partitions_for_topic(name)]
        consumer.assign(partitions)
        consumer.commit({tp: OffsetAndMetadata(offset, "", -1) for tp in partitions})


def history(kafka: KafkaConfig) -> dict[str, list[StreamEvent]]:
    """Events by stream_id."""
    found: dict[str, list[StreamEvent]] = defaultdict(list)
    for event in stream_history(kafka):
        found[event.stream.stream_id].append(event)
    return found


def states(kafka: KafkaConfig, name: str) -> list[str]:
    return [event.target.value for event in history(kafka)[name]]
