"""A stage behind the shell on a real broker: ready when assigned, counted, traced, drained."""

import signal
import time
from contextlib import closing
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from services.common import topics
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.publisher import Publisher
from services.common.telemetry.tracing import Tracing
from services.common.types import StreamKey
from tests.support.kafka import TopicReader
from tests.support.service_process import Service, get, until
from tests.unit.segment_scene import lifter, pose_frames

KEY = StreamKey("gym", "cam-1", "s1")


def _values(port: int) -> dict[str, float]:
    """Sum of each sample over its labels."""
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(get(port, "/metrics")[1]):
        for sample in family.samples:
            values[sample.name] = values.get(sample.name, 0.0) + sample.value
    return values


@pytest.mark.slow
def test_a_stage_is_ready_counts_traces_and_drains(kafka_config: KafkaConfig) -> None:
    service = Service(
        "services.segment.main",
        FORMCHECK_KAFKA_BOOTSTRAP=kafka_config.bootstrap,
        FORMCHECK_KAFKA_PREFIX=kafka_config.prefix,
        FORMCHECK_KAFKA_INSTANCE="one",
    )
    try:
        port = service.started()["http_port"]
        until(lambda: get(port, "/readyz")[0] == 200, 60)
        frames = [replace(f, stream=KEY) for f in pose_frames([lifter("bicep_curl")[1]])]
        tracing = Tracing("ingest", share=1.0, exporter=InMemorySpanExporter(), batched=False)
        traces = set()
        with closing(Publisher(kafka_config)) as publisher:
            for frame in frames:
                span = tracing.frame(KEY, frame.sequence, frame.time_s)
                traces.add(f"{span.span.get_span_context().trace_id:032x}")
                publisher.send(topics.POSES, frame, span.headers())
        until(lambda: _values(port).get("formcheck_segment_handle_seconds_count") == len(frames), 60)
        until(lambda: _values(port)["formcheck_segment_repetitions_total"] >= 2, 20)
        until(lambda: _values(port).get("formcheck_segment_lag_records") == 0, 20)
        got = _values(port)
        assert got["formcheck_segment_consumed_records_total"] == len(frames)
        assert got["formcheck_segment_assigned_partitions"] >= 1
        assert got["formcheck_segment_transaction_seconds_count"] >= 1
        assert got["formcheck_segment_last_frame_age_seconds"] < 60
        assert 'stream_id="cam-1"' in get(port, "/metrics")[1]
        with closing(TopicReader(kafka_config, topics.REPETITIONS)) as reader:
            written = reader.read_to_end()
        assert len(written) == got["formcheck_segment_produced_records_total"]
        parents = [dict(r.headers)["traceparent"].decode() for r in written]
        assert {p.split("-")[1] for p in parents} <= traces, "each output goes on with the trace of its frame"

        sent_s = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert service.end(30) == 0
        assert time.monotonic() - sent_s < 10
        assert service.lines[-1]["event"] == "stopped"
        assert service.lines[-1]["clean"] is True
        assert [line for line in service.lines if line["level"] in ("error", "critical")] == []
    finally:
        service.kill()
