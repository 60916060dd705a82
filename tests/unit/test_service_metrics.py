"""Metrics: docs/metrics.md and the registries agree; series of a stream come and go with it."""

import numpy as np
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.common.metrics_protocol import NO_METRICS, RunnerMetrics
from services.common.telemetry.definitions import DEFINITIONS, SERVICES, definitions_of
from services.common.telemetry.metrics import ServiceMetrics
from services.common.telemetry.streams import RateMeter
from services.common.types import Assessment, ErrorFinding, Reason, Repetition, Status, StreamKey
from tests.support.metrics_doc import documented

KEY = StreamKey("gym", "cam-1", "s1")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _samples(metrics: ServiceMetrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for s in family.samples:
            found.setdefault(s.name, {})[tuple(sorted(s.labels.items()))] = s.value
    return found


def _stream(reason: str | None = None) -> tuple[tuple[str, str], ...]:
    labels = {"tenant": "gym", "stream_id": "cam-1"} | ({"reason": reason} if reason else {})
    return tuple(sorted(labels.items()))


def test_docs_and_registries_agree() -> None:
    rows = documented()
    registered: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
    for service in SERVICES:
        metrics = ServiceMetrics(service)
        described = [getattr(c, "describe", list)() for c in metrics.registry._collector_to_names]
        names = {m.name: m.type for families in described for m in families}
        for d in definitions_of(service):
            bare = d.name(service).removesuffix("_total") if d.kind == "counter" else d.name(service)
            assert names.pop(bare) == d.kind, f"{bare} is registered as another type"
            registered[service, d.name(service)] = (d.kind, d.labels)
        left = [n for n in names if n.startswith("formcheck_")]
        assert not left, f"registered but in no definition: {left}"
    assert rows == registered


def test_names_carry_units_and_labels_are_bounded() -> None:
    units = ("seconds", "records", "bytes", "fps", "ratio", "info", "partitions", "crops", "points", "streams")
    for d in DEFINITIONS:
        assert d.kind == "counter" or d.what.endswith(units), d.what
        assert (d.kind == "counter") == d.what.endswith("_total"), d.what
        assert not {"track_id", "session_id", "session"} & set(d.labels)
        assert (d.kind == "histogram") == bool(d.buckets), d.what


def test_runner_calls_arrive_under_their_names() -> None:
    metrics = ServiceMetrics("pose")
    runner: RunnerMetrics = metrics
    runner.consumed("frames.live.v1", 3)
    runner.produced("poses.v1", 2)
    runner.transaction(0.03, 5, "committed")
    runner.transaction(0.5, 5, "aborted")
    runner.assigned(4)
    runner.paused(1)
    runner.lag("frames.live.v1", 0, 17)
    runner.lag("frames.live.v1", 1, 18)
    runner.revoked("frames.live.v1", 1)
    runner.in_flight(9)
    runner.latency("poses.v1", 0.12)
    runner.dead_letter("frames.live.v1", "DecodeError")
    runner.restored(1.5, 40)
    runner.snapshot(2000)
    got = _samples(metrics)
    live = (("topic", "frames.live.v1"),)
    assert got["formcheck_pose_consumed_records_total"] == {live: 3}
    assert got["formcheck_pose_produced_records_total"] == {(("topic", "poses.v1"),): 2}
    assert got["formcheck_pose_transaction_seconds_count"] == {
        (("outcome", "committed"),): 1,
        (("outcome", "aborted"),): 1,
    }
    assert got["formcheck_pose_transaction_records_sum"] == {(): 5}
    assert got["formcheck_pose_assigned_partitions"] == {(): 4}
    assert got["formcheck_pose_rebalance_events_total"] == {(): 1}
    assert got["formcheck_pose_paused_partitions"] == {(): 1}
    assert got["formcheck_pose_lag_records"] == {(("partition", "0"), *live): 17}
    assert got["formcheck_pose_in_flight_records"] == {(): 9}
    assert got["formcheck_pose_latency_seconds_sum"] == {(("topic", "poses.v1"),): 0.12}
    assert got["formcheck_pose_dead_letter_records_total"] == {(("reason", "DecodeError"), *live): 1}
    assert got["formcheck_pose_restore_seconds_sum"] == {(): 1.5}
    assert got["formcheck_pose_replayed_records_total"] == {(): 40}
    assert got["formcheck_pose_snapshot_bytes_sum"] == {(): 2000}
    assert not any(name.endswith("_created") for name in got)


def test_the_silent_metrics_take_every_call_of_the_protocol() -> None:
    calls = [n for n in vars(RunnerMetrics) if not n.startswith("_")]
    assert len(calls) >= 15
    for name in calls:
        assert callable(getattr(NO_METRICS, name))
        assert callable(getattr(ServiceMetrics("pose"), name))


def test_a_streams_series_show_rates_and_go_with_it() -> None:
    clock = Clock()
    metrics = ServiceMetrics("ingest", clock)
    for _ in range(100):  # 10 s of a camera with 10 frames/s, every second one processed
        metrics.streams.camera_frame(KEY)
        clock.now_s += 0.05
        metrics.handled(KEY, 0.001)
        metrics.streams.camera_frame(KEY)
        clock.now_s += 0.05
    metrics.skipped(KEY, "STALE", 3)
    metrics.streams.reconnected(KEY)
    metrics.stream_state(KEY, "RUNNING")
    clock.now_s += 0.25
    got = _samples(metrics)
    assert got["formcheck_ingest_camera_fps"][_stream()] == pytest.approx(20, abs=0.5)
    assert got["formcheck_ingest_processed_fps"][_stream()] == pytest.approx(10, abs=0.5)
    assert got["formcheck_ingest_last_frame_age_seconds"][_stream()] == pytest.approx(0.3, abs=0.01)
    assert got["formcheck_ingest_skipped_frames_total"][_stream("STALE")] == 3
    assert got["formcheck_ingest_reconnects_total"][_stream()] == 1
    assert got["formcheck_ingest_streams"] == {(("state", "RUNNING"),): 1}
    clock.now_s += 60
    assert _samples(metrics)["formcheck_ingest_camera_fps"][_stream()] == 0
    metrics.stream_ended(KEY)
    assert "cam-1" not in generate_latest(metrics.registry).decode()
    assert _samples(metrics)["formcheck_ingest_streams"] == {(("state", "RUNNING"),): 0}


def test_totals_told_once_a_second_become_rates_and_counters() -> None:
    clock = Clock()
    metrics = ServiceMetrics("ingest", clock)

    def tell(stream: StreamKey, seconds: int) -> None:
        metrics.streams.totals(
            stream, delivered=25 * seconds, finished=10 * seconds, skipped={"RATE": 15 * seconds}, reconnects=1
        )

    for second in range(1, 13):
        clock.now_s += 1
        tell(KEY, second)
    got = _samples(metrics)
    assert got["formcheck_ingest_camera_fps"][_stream()] == pytest.approx(25)
    assert got["formcheck_ingest_processed_fps"][_stream()] == pytest.approx(10)
    assert got["formcheck_ingest_skipped_frames_total"][_stream("RATE")] == 180
    assert got["formcheck_ingest_reconnects_total"][_stream()] == 1
    tell(KEY, 2)  # its reader was started again
    tell(StreamKey("gym", "cam-1", "s2"), 3)
    got = _samples(metrics)
    assert got["formcheck_ingest_skipped_frames_total"][_stream("RATE")] == 180 + 30 + 45
    assert got["formcheck_ingest_reconnects_total"][_stream()] == 2  # equal totals of one session are no growth


def test_the_end_of_an_old_session_leaves_the_new_ones_series() -> None:
    metrics = ServiceMetrics("pose")
    metrics.handled(KEY, 0.001)
    newer = StreamKey("gym", "cam-1", "s2")
    metrics.handled(newer, 0.001)
    metrics.stream_ended(KEY)
    assert _stream() in _samples(metrics)["formcheck_pose_processed_fps"]
    metrics.stream_ended(newer)
    assert "formcheck_pose_processed_fps" not in _samples(metrics)


@pytest.mark.parametrize(("fps", "seconds"), [(10, 3), (10, 30), (1, 20), (120, 8)])
def test_rates_are_right_while_young_and_later(fps: int, seconds: int) -> None:
    meter, start_s = RateMeter(), 77.3
    for i in range(fps * seconds):
        meter.add(start_s + i / fps)
    assert meter.rate(start_s + seconds) == pytest.approx(fps, rel=0.05, abs=0.21)


def test_repetitions_and_mistakes_are_counted_by_exercise() -> None:
    def event(status: Status, reason: Reason | None = None) -> Repetition:
        return Repetition("id", KEY, 1, status, 0.0, 1.0, exercise="squat", reason=reason)

    segment = ServiceMetrics("segment")
    for repetition in (
        event(Status.PROVISIONAL),
        event(Status.CONFIRMED),
        event(Status.ATTEMPT, Reason.PARTIAL_RANGE),
        event(Status.RETRACTED, Reason.INTERRUPTED),
    ):
        segment.repetition(repetition)
    got = _samples(segment)
    assert got["formcheck_segment_repetitions_total"] == {(("exercise", "squat"),): 1}
    assert got["formcheck_segment_attempts_total"] == {(("exercise", "squat"), ("reason", "PARTIAL_RANGE")): 1}
    assert got["formcheck_segment_retractions_total"] == {(("exercise", "squat"), ("reason", "INTERRUPTED")): 1}

    finding = ErrorFinding("TOO_SHALLOW", 0.5, 0.9, 80.0, 90.0, "deg", None, 0.5)
    errors = ServiceMetrics("errors")
    errors.assessment(Assessment(event(Status.CONFIRMED), 72.0, (finding,), (), None, {}, None))
    got = _samples(errors)
    assert got["formcheck_errors_mistakes_total"] == {(("code", "TOO_SHALLOW"), ("exercise", "squat")): 1}
    assert got["formcheck_errors_assessments_total"] == {(("exercise", "squat"),): 1}
    assert got["formcheck_errors_score_points_sum"] == {(("exercise", "squat"),): 72.0}


def test_calls_of_pose_arrive() -> None:
    metrics = ServiceMetrics("pose")
    for crops in np.arange(1, 5):
        metrics.inference(int(crops), 0.01)
    metrics.inference(1, 2.0, "timeout")
    metrics.queued(0.004)
    metrics.in_flight_crops(3)
    metrics.backend_up(False)
    got = _samples(metrics)
    assert got["formcheck_pose_batch_crops_sum"] == {(): 11}
    assert got["formcheck_pose_inference_seconds_count"] == {(("outcome", "ok"),): 4, (("outcome", "timeout"),): 1}
    assert got["formcheck_pose_queue_seconds_count"] == {(): 1}
    assert got["formcheck_pose_in_flight_crops"] == {(): 3}
    assert got["formcheck_pose_backend_up_ratio"] == {(): 0}
