"""All services in a row on a real broker: what each shows of itself, and one trace through all of them."""

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import av
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from services.common import topics
from services.common.kafka.admin import create_topics
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.messages import (
    CAPTURED_HEADER,
    EXERCISE_HEADER,
    MESSAGE_HEADER,
    TRACE_HEADER,
    Record,
    decode,
)
from services.common.telemetry.definitions import definitions_of
from services.ingest.core.streams import Mode, StreamSpec
from services.local.stack.streams import publish_spec
from tests.support.collector import Collector, collecting
from tests.support.jpeg_frames import DEMO
from tests.support.kafka import PARTITIONS, PATIENCE, TopicReader, config_of, wait_for
from tests.support.metrics_doc import documented
from tests.support.service_process import Service, get

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240 * PATIENCE)]

SPEC = StreamSpec("gym", "demo", uri="", mode=Mode.FILE, analysis_fps=10.0, short_side_px=240, exercise="bicep_curl")
SECONDS = 14.0
STAGES = ("pose", "segment", "errors")
SERVICES = ("ingest", *STAGES)


STAGE_COUNTS = {"consumed_records_total", "produced_records_total", "handle_seconds_count", "latency_seconds_count"}
STAGE_COUNTS |= {"transaction_records_count", "snapshot_bytes_count"}


@dataclass(slots=True)
class Chain:
    """Services by name, their ports, and the frames' way through them: done once for the tests of this module."""

    config: KafkaConfig
    collector: Collector
    services: dict[str, Service]
    http: dict[str, int]
    grpc: dict[str, int]
    assessments: list[Record]


@pytest.fixture(scope="module")
def chain(kafka_broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("clips")
    config = config_of(kafka_broker, f"{uuid.uuid4().hex[:8]}-")
    create_topics(kafka_broker, topics.TOPICS, partitions=PARTITIONS, prefix=config.prefix)
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        services = {}
        for name in SERVICES:
            services[name] = start(name, config, collector, folder)
            stack.callback(services[name].kill)
        ports = {name: service.started() for name, service in services.items()}
        http = {name: line["http_port"] for name, line in ports.items()}
        chain = Chain(config, collector, services, http, {n: line["grpc_port"] for n, line in ports.items()}, [])
        for port in http.values():
            wait_for(lambda port=port: get(port, "/readyz")[0] == 200, 60, "ready")
        publish_spec(config, replace(SPEC, uri=str(beginning(DEMO, folder / "demo.mp4"))))
        with closing(TopicReader(config, topics.ASSESSMENTS)) as reader:
            wait_for(lambda: any(is_mark(r) for r in reader.read()), 90, "the stream's end arrives")
            chain.assessments = [r for r in reader.read_to_end() if not is_mark(r)]
        yield chain


def start(name: str, config: KafkaConfig, collector: Collector, folder: Path) -> Service:
    told = {
        "FORMCHECK_KAFKA_BOOTSTRAP": config.bootstrap,
        "FORMCHECK_KAFKA_PREFIX": config.prefix,
        "FORMCHECK_KAFKA_INSTANCE": "one",
        "FORMCHECK_TRACE_ENDPOINT": collector.endpoint,
        "FORMCHECK_TRACE_SHARE": "1",
        "FORMCHECK_POSE_BACKEND": "onnx",
        "FORMCHECK_INGEST_FILE_FOLDERS": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    return Service(f"services.{name}.main", **told)


def beginning(clip: Path, to: Path) -> Path:
    """Its first ``SECONDS``, copied."""
    with av.open(str(clip)) as source, av.open(str(to), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.dts * stream.time_base < SECONDS:
                packet.stream = copy
                target.mux(packet)
    return to


def is_mark(record: Record) -> bool:
    return record.header(MESSAGE_HEADER) == b"formcheck.v1.Mark"


@pytest.mark.parametrize("name", SERVICES)
def test_health_readiness_and_reflection(chain: Chain, name: str) -> None:
    status, body = get(chain.http[name], "/healthz")
    assert status == 200
    alive = json.loads(body)
    assert alive["alive"] is True
    assert {"kafka", "kafka-loop"} <= set(alive["checks"]), "its thread lives, its loop goes round"
    status, body = get(chain.http[name], "/readyz")
    assert status == 200
    wanted = {"kafka", "inference"} if name == "pose" else {"kafka"}
    assert json.loads(body) == {"ready": True, "checks": dict.fromkeys(wanted, "ok")}
    with grpc.insecure_channel(f"127.0.0.1:{chain.grpc[name]}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        assert check(health_pb2.HealthCheckRequest(), timeout=10).status == health_pb2.HealthCheckResponse.SERVING
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        (answer,) = ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10)
        assert "grpc.health.v1.Health" in {s.name for s in answer.list_services_response.service}


@pytest.mark.parametrize("name", SERVICES)
def test_the_exposition_is_what_the_documentation_says(chain: Chain, name: str) -> None:
    text = get(chain.http[name], "/metrics")[1]
    shown = dict(re.findall(r"^# TYPE (formcheck_\w+) (\w+)$", text, re.M))
    rows = {metric: row for (service, metric), row in documented().items() if service == name}
    assert shown == {metric: kind for metric, (kind, _) in rows.items()}
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            bare = re.sub(r"_(bucket|sum|count)$", "", sample.name) if family.type == "histogram" else sample.name
            labels.setdefault(bare, set()).update(set(sample.labels) - {"le"})
    for metric, (_, wanted) in rows.items():
        assert labels.get(metric, set(wanted)) == set(wanted), metric


def test_what_happened_is_counted(chain: Chain) -> None:
    assert len(chain.assessments) >= 2, "the clip has a set of curls"
    own = {"ingest": {"decode_seconds_count", "encode_seconds_count", "frame_bytes_count", "produced_records_total"}}
    for name in SERVICES:
        text = get(chain.http[name], "/metrics")[1]
        have = {s.name for family in text_string_to_metric_families(text) for s in family.samples if s.value}
        wanted = own.get(name, STAGE_COUNTS) | {"ready_ratio", "transaction_seconds_count"}
        wanted |= {d.what for d in definitions_of(name) if d.what in ("repetitions_total", "assessments_total")}
        assert {f"formcheck_{name}_{what}" for what in wanted} <= have, name
        assert "# TYPE process_cpu_seconds_total counter" in text
        assert f"formcheck_{name}_build_info{{" in text
        if name == "ingest":
            continue  # that of a file that is read stays until it is removed
        streams = [line for line in text.splitlines() if 'stream_id="' in line]
        assert streams == [], "a stream that has ended leaves no series"


def test_one_trace_leads_from_each_frame_to_its_assessment(chain: Chain) -> None:
    for record in chain.assessments:
        traceparent = (record.header(TRACE_HEADER) or b"").decode()
        _, trace_id, span_id, flags = traceparent.split("-")
        assert int(flags, 16) & 1, "sampled"
        wait_for(lambda s=span_id: chain.collector.way_to(s), 30, "spans of all services")
        way = chain.collector.way_to(span_id)
        assert {s.trace_id for s in way} == {trace_id}
        assert [(s.service, s.name) for s in way] == [
            ("formcheck-ingest", "frame"),
            *((f"formcheck-{name}", name) for name in STAGES),
        ]
        assert all(s.attributes["formcheck.stream_id"] == SPEC.stream_id for s in way)
        assert [s.start_ns for s in way] == sorted(s.start_ns for s in way)
        assert all(s.end_ns >= s.start_ns for s in way)
        assert abs(float(record.header(CAPTURED_HEADER) or 0) - time.time()) < 600
        assert record.header(EXERCISE_HEADER) == b"bicep_curl", "what the stream's owner said goes along"
        assert decode(record).repetition.exercise == "bicep_curl"


def test_logs_are_structured(chain: Chain) -> None:
    for name, service in chain.services.items():
        for line in list(service.lines):
            assert {"time", "level", "service", "logger", "event"} <= set(line), line
            assert line["service"] == name
            assert line["level"] in ("info", "warning") or line["logger"].startswith("kafka."), line
