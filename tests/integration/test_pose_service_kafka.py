"""The pose service on a real broker and a real Triton: nothing lost, nothing doubled, whatever dies."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from services.common import topics
from services.common.codec import EncodedFrame
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.dlq import dead_letters
from services.common.kafka.messages import CAPTURED_HEADER, Record, decode, encode
from services.common.kafka.publisher import Publisher
from services.common.processor import Mark, MarkKind
from services.common.telemetry.tracing import Tracing
from services.common.types import PoseFrame, StreamKey
from tests.support.jpeg_frames import as_values, file_stream, jpeg_frames, one_process
from tests.support.kafka import PATIENCE, TopicReader, values_by_key, wait_for, write
from tests.support.service_process import Service, get
from tests.triton_server import new_server, shared_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240 * PATIENCE)]

Start = Callable[..., Service]


@pytest.fixture
def start(kafka_config: KafkaConfig) -> Iterator[Start]:
    """A pose service of this test's topics."""
    services: list[Service] = []

    def start(**environment: str) -> Service:
        told = {
            "FORMCHECK_KAFKA_BOOTSTRAP": kafka_config.bootstrap,
            "FORMCHECK_KAFKA_PREFIX": kafka_config.prefix,
            "FORMCHECK_KAFKA_INSTANCE": "one",
            "OMP_NUM_THREADS": "1",
        }
        services.append(Service("services.pose.main", **told | environment))
        return services[-1]

    yield start
    for service in services:
        service.kill()


def samples(port: int, name: str) -> dict[tuple[str, ...], float]:
    """Values of one metric, by the values of its labels (in the order of the labels' names)."""
    found = {}
    for family in text_string_to_metric_families(get(port, "/metrics")[1]):
        for sample in family.samples:
            if sample.name == f"formcheck_pose_{name}":
                found[tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


def ready(port: int) -> bool:
    return get(port, "/readyz")[0] == 200


def marks(records: list[Record]) -> int:
    return sum(isinstance(decode(r), Mark) and decode(r).kind is MarkKind.EOF for r in records)


def in_turn(streams: list[list[EncodedFrame | Mark]]) -> list[EncodedFrame | Mark]:
    return [items[i] for i in range(max(map(len, streams))) for items in streams if i < len(items)]


def test_killed_in_mid_stream_it_goes_on_as_if_never_stopped(
    kafka_config: KafkaConfig, start: Start, request: pytest.FixtureRequest
) -> None:
    """kill -9 twice; among the frames one that is no picture, and some that come twice."""
    triton = {"FORMCHECK_TRITON_URL": shared_server(request.config).grpc_target}
    keys = [StreamKey("gym", f"file-{i}", "1") for i in range(3)]
    streams = [file_stream(key, 50, start_s=2.0 * i) for i, key in enumerate(keys)]
    want = {f"gym/file-{i}".encode(): as_values(one_process(items)) for i, items in enumerate(streams)}
    fed = [list(items) for items in streams]
    assert isinstance(fed[0][20], EncodedFrame)
    fed[0].insert(20, replace(fed[0][20], jpeg=b"no picture"))
    fed[1][30:30] = fed[1][26:30]
    with closing(TopicReader(kafka_config, topics.POSES)) as reader:
        service = start(**triton)
        writer = threading.Thread(target=write, args=(kafka_config, topics.FRAMES_FILE, in_turn(fed), 0.005))
        writer.start()
        for seen in (25, 80):
            wait_for(lambda seen=seen: len(reader.read()) >= seen, 60, f"{seen} poses")
            service.kill()
            service = start(**triton)
        wait_for(lambda: marks(reader.read()) == 3, 60, "all streams end")
        writer.join()
        assert values_by_key(reader.read_to_end()) == want
        captured = [r.header(CAPTURED_HEADER) for r in reader.records if isinstance(decode(r), PoseFrame)]
        assert captured.count(None) <= 3, "only what the marks at the end gave has no frame"
    (letter,) = dead_letters(kafka_config, topics.FRAMES_FILE)
    assert (letter.kind, letter.stage) == ("InputError", "pose")
    assert "cannot be decoded" in letter.reason
    assert letter.record.value == encode(fed[0][20])[0]
    drained(service)


def test_metrics_and_traces_with_onnxruntime_in_the_process(kafka_config: KafkaConfig, start: Start) -> None:
    service = start(FORMCHECK_POSE_BACKEND="onnx")
    port = service.started()["http_port"]
    wait_for(lambda: ready(port), 60, "ready")
    keys = [StreamKey("gym", f"camera-{i}", "1") for i in range(2)]
    streams = [file_stream(key, 12, start_s=2.0 * i) for i, key in enumerate(keys)]
    tracing = Tracing("ingest", share=1.0, exporter=InMemorySpanExporter(), batched=False)
    now_s, traces = time.time(), set()
    with closing(Publisher(kafka_config)) as publisher:
        for item in in_turn(streams):
            if isinstance(item, Mark):
                publisher.send(topics.FRAMES_FILE, item)
                continue
            span = tracing.frame(item.stream, item.sequence, item.time_s)
            traces.add(f"{span.span.get_span_context().trace_id:032x}")
            publisher.send(topics.FRAMES_FILE, replace(item, captured_unix_s=now_s), span.headers())
    with closing(TopicReader(kafka_config, topics.POSES)) as reader:
        wait_for(lambda: marks(reader.read()) == 2, 60, "both streams end")
        got = values_by_key(reader.read_to_end())
        assert got == {f"gym/camera-{i}".encode(): as_values(one_process(s)) for i, s in enumerate(streams)}
        parents = {
            value.decode().split("-")[1]
            for r in reader.records
            if isinstance(decode(r), PoseFrame) and (value := r.header("traceparent"))
        }
        assert parents == traces, "the poses of each frame go on with its trace"
    wait_for(lambda: samples(port, "lag_records") and not any(samples(port, "lag_records").values()), 20, "no lag")
    crops = samples(port, "batch_crops_sum")[()]
    assert crops >= 24
    assert samples(port, "batch_crops_count")[()] < crops, "crops of both streams go together"
    assert samples(port, "inference_seconds_count")[("ok",)] == samples(port, "queue_seconds_count")[()]
    assert samples(port, "in_flight_crops")[()] == 0
    assert samples(port, "backend_up_ratio")[()] == 1
    assert samples(port, "handle_seconds_count")[()] >= 24
    assert samples(port, "produced_records_total")[(topics.POSES,)] == sum(map(len, got.values()))
    assert 0 < samples(port, "latency_seconds_sum")[(topics.POSES,)] < 60 * 24 * PATIENCE
    drained(service)


def drained(service: Service) -> None:
    sent_s = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    assert service.end(30) == 0
    assert time.monotonic() - sent_s < 10
    assert service.lines[-1]["event"] == "stopped"
    assert service.lines[-1]["clean"] is True


class Camera:
    """Sends ten frames a second."""

    def __init__(self, config: KafkaConfig, stream: StreamKey) -> None:
        self._config, self._stop = config, threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._run)
        self._pictures = jpeg_frames(stream, 40)

    def _run(self) -> None:
        with closing(Publisher(self._config)) as publisher:
            while not self._stop.wait(0.1):
                like = self._pictures[self.sent % len(self._pictures)]
                frame = replace(like, sequence=self.sent, time_s=self.sent / 10, captured_unix_s=time.time())
                publisher.send(topics.FRAMES_LIVE, frame)
                self.sent += 1

    @contextmanager
    def running(self) -> Iterator["Camera"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()


def test_while_triton_hangs_or_is_gone_files_wait_and_cameras_skip(
    kafka_config: KafkaConfig, start: Start, tmp_path: Path
) -> None:
    files = [file_stream(StreamKey("gym", f"file-{i}", "1"), 100, start_s=2.0 * i) for i in range(2)]
    want = {f"gym/file-{i}".encode(): as_values(one_process(items)) for i, items in enumerate(files)}
    camera = Camera(kafka_config, StreamKey("gym", "camera", "1"))
    with new_server(tmp_path) as server, closing(TopicReader(kafka_config, topics.POSES)) as reader:
        service = start(FORMCHECK_TRITON_URL=server.grpc_target, FORMCHECK_TRITON_LIVE_DEADLINE_S="0.5")
        port = service.started()["http_port"]
        wait_for(lambda: ready(port), 60, "ready")

        def skipped() -> Counter[str]:
            found = samples(port, "skipped_frames_total").items()
            return Counter({reason: int(n) for (reason, _, _), n in found})

        with camera.running():
            wait_for(lambda: len(reader.read()) >= 5, 30, "the camera's poses")
            os.kill(server.pid, signal.SIGSTOP)
            try:
                wait_for(lambda: skipped()["TRITON_SLOW"] + skipped()["TRITON_UNAVAILABLE"] >= 1, 30, "it is noticed")
                wait_for(lambda: not ready(port), 30, "it is said")
            finally:
                os.kill(server.pid, signal.SIGCONT)
            wait_for(lambda: ready(port), 30, "ready again")

            write(kafka_config, topics.FRAMES_FILE, in_turn(files))
            wait_for(lambda: sum(r.key in want for r in reader.read()) >= 20, 30, "the files' poses")
            server.kill()
            before = skipped()["TRITON_UNAVAILABLE"]
            wait_for(lambda: skipped()["TRITON_UNAVAILABLE"] >= before + 5, 30, "the camera skips")
            checks = json.loads(get(port, "/readyz")[1])["checks"]
            assert checks["inference"] == f"Triton at {server.grpc_target} does not answer"
            assert checks["kafka"] == "ok"
            assert get(port, "/healthz")[0] == 200
            assert samples(port, "backend_up_ratio")[()] == 0
            assert marks(reader.read_to_end()) == 0, "the files wait"

            server.start()
            server.wait_ready()
            back_s = time.monotonic()
            wait_for(lambda: ready(port), 30, "ready once more")
            took_s = time.monotonic() - back_s
            assert took_s < 2 * PATIENCE, f"it went on only {took_s:.1f} s after Triton was back"
            wait_for(lambda: marks(reader.read()) == 2, 60, "the files end")
            shown = sum(r.key not in want for r in reader.read())
            wait_for(lambda: sum(r.key not in want for r in reader.read()) >= shown + 3, 30, "the camera's poses")

        def accounted() -> int:
            return sum(r.key not in want for r in reader.read()) + sum(skipped().values())

        wait_for(lambda: accounted() >= camera.sent, 30, "every frame is shown or counted")
        got = values_by_key(reader.read_to_end())
        assert {key: got[key] for key in want} == want, "nothing of the files is lost or doubled"
        sequences = [decode(r).sequence for r in reader.records if r.key == b"gym/camera"]
        assert sequences == sorted(set(sequences))
        counted = skipped()
        assert set(counted) <= {"STALE", "TRITON_SLOW", "TRITON_UNAVAILABLE"}
    drained(service)
    kafka = [line for line in service.lines if line["logger"].startswith("services.common.kafka.")]
    if all(line["level"] == "info" for line in kafka):  # else what had to be done twice is counted twice
        assert len(sequences) + sum(counted.values()) == camera.sent
    told = [event for event in service.events() if event.startswith("inference")]
    away, back = "inference is away: live frames are skipped, files wait", "inference answers"
    assert told.count(away) >= 2
    assert told == [back, *[away, back] * told.count(away)], "once for each outage"
