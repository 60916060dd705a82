"""Tracing: one trace from a frame through four stages, by Kafka headers; by share; malformed headers do nothing."""

import json
import logging
from io import StringIO

import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.common.telemetry.logs import configure_logging, get_logger
from services.common.telemetry.tracing import Headers, Tracing, extract, inject, make_tracing
from services.common.types import StreamKey

KEY = StreamKey("gym", "cam-1", "s1")
STAGES = ("pose", "segment", "errors")


def test_one_trace_goes_from_the_frame_through_four_stages() -> None:
    exporter = InMemorySpanExporter()
    tracings = {name: Tracing(name, share=1.0, exporter=exporter, batched=False) for name in ("ingest", *STAGES)}
    with tracings["ingest"].frame(KEY, 17, 1.7) as span:
        headers: Headers = [("message", b"formcheck.v1.Frame"), *span.headers()]
    for stage in STAGES:
        with tracings[stage].stage(stage, headers, KEY) as span:
            for part in tracings[stage].part("inference", [span] if stage == "pose" else []):
                part.end()
            headers = [("message", b"other"), *span.headers()]
    spans = {s.name: s for s in exporter.get_finished_spans()}
    assert set(spans) == {"frame", *STAGES, "inference"}
    assert len({s.context.trace_id for s in spans.values()}) == 1
    parents = {"pose": "frame", "segment": "pose", "errors": "segment", "inference": "pose"}
    for child, parent in parents.items():
        assert spans[child].parent is not None
        assert spans[child].parent.span_id == spans[parent].context.span_id
    assert spans["frame"].parent is None
    assert dict(spans["frame"].attributes or {}) == {
        "formcheck.tenant": "gym",
        "formcheck.stream_id": "cam-1",
        "formcheck.session_id": "s1",
        "formcheck.sequence": 17,
        "formcheck.time_s": 1.7,
    }
    assert [spans[s].resource.attributes["service.name"] for s in ("frame", "errors")] == [
        "formcheck-ingest",
        "formcheck-errors",
    ]


def test_a_share_of_frames_is_traced_and_the_rest_carries_no_header() -> None:
    tracing = Tracing("ingest", share=0.25, exporter=InMemorySpanExporter(), batched=False)
    frames = [tracing.frame(KEY, i, i / 10) for i in range(2000)]
    traced = sum(f.traced for f in frames)
    assert 380 <= traced <= 620  # 500 ± 6 standard deviations
    assert sum(bool(f.headers()) for f in frames) == traced


def test_nothing_begins_without_a_header_or_an_exporter() -> None:
    exporter = InMemorySpanExporter()
    later = Tracing("pose", share=1.0, exporter=exporter, batched=False)
    with later.stage("pose", [("message", b"x")], KEY) as span:
        assert not span.traced
        assert span.headers() == []
    assert make_tracing("ingest", otlp_endpoint=None, share=1.0).frame(KEY, 0, 0.0).headers() == []
    assert exporter.get_finished_spans() == ()


def test_a_service_without_an_exporter_passes_the_trace_on() -> None:
    exporter = InMemorySpanExporter()
    headers = Tracing("ingest", share=1.0, exporter=exporter, batched=False).frame(KEY, 0, 0.0).headers()
    passed = Tracing("pose").stage("pose", headers, KEY).headers()
    assert passed == headers


def test_inject_replaces_and_extract_reads_back() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("ingest", share=1.0, exporter=exporter, batched=False)
    headers: Headers = [("traceparent", b"old"), ("message", b"m")]
    inject(headers, tracing.frame(KEY, 0, 0.0).span)
    assert [k for k, _ in headers] == ["message", "traceparent"]
    assert extract(headers) is not None
    unsampled = [(k, v[:-1] + b"0" if k == "traceparent" else v) for k, v in headers]
    assert extract(unsampled) is None


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_malformed_trace_headers_are_no_trace(value: bytes) -> None:
    assert extract([("traceparent", value)]) is None


def test_an_error_marks_the_span_and_shows_no_secret() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("ingest", share=1.0, exporter=exporter, batched=False)
    try:
        with tracing.frame(KEY, 0, 0.0) as span:
            span.note("source", "rtsp://a:hunter2@h")
            raise OSError("rtsp://a:hunter2@h is away")
    except OSError:
        pass
    (done,) = exporter.get_finished_spans()
    assert not done.status.is_ok
    assert "hunter2" not in done.to_json()


def test_log_lines_inside_a_span_name_the_trace() -> None:
    root, out = logging.getLogger(), StringIO()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging("pose", out=out)
        tracing = Tracing("ingest", share=1.0, exporter=InMemorySpanExporter(), batched=False)
        with tracing.frame(KEY, 0, 0.0) as span:
            get_logger("x").info("inside")
        get_logger("x").info("outside")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    inside, outside = (json.loads(line) for line in out.getvalue().splitlines())
    assert inside["trace_id"] == f"{span.span.get_span_context().trace_id:032x}"
    assert "trace_id" not in outside
