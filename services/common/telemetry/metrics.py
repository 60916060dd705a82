"""The Prometheus metrics of one service (names in ``definitions``), behind plain calls."""

import threading
import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from services.common.metrics_protocol import Outcome
from services.common.telemetry.definitions import Definition, definitions_of
from services.common.telemetry.streams import StreamTable
from services.common.types import Assessment, Repetition, Status, StreamKey

disable_created_metrics()  # a second series beside each counter and histogram, that nobody reads
NO_EXERCISE: Final = "unknown"


class ServiceMetrics:
    """Implements ``RunnerMetrics``; the calls of one service (``inference``, ``repetition`` …) are for that service.

    ``registry`` is the service's own (nothing global), so that several services fit one process.
    """

    def __init__(self, service: str, clock: Callable[[], float] = time.monotonic, version: str = "0") -> None:
        self.service = service
        self.registry = CollectorRegistry()
        self.streams = StreamTable(service, clock)
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._states: dict[StreamKey, str] = {}
        self._states_lock = threading.Lock()
        for definition in definitions_of(service):
            if not definition.per_stream:
                self._create(definition)
        self.registry.register(self.streams)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._gauges["build_info"].labels(version).set(1)

    def _create(self, d: Definition) -> None:
        name = d.name(self.service)
        if d.kind == "counter":
            self._counters[d.what] = Counter(name, d.help, d.labels, registry=self.registry)
        elif d.kind == "gauge":
            self._gauges[d.what] = Gauge(name, d.help, d.labels, registry=self.registry)
        else:
            self._histograms[d.what] = Histogram(name, d.help, d.labels, buckets=d.buckets, registry=self.registry)

    # of the shell
    def readiness_from(self, share: Callable[[], float]) -> None:
        """``share`` of readiness checks that pass, asked at every scrape."""
        self._gauges["ready_ratio"].set_function(share)

    # of the Kafka runner: services.common.metrics_protocol.RunnerMetrics
    def consumed(self, topic: str, records: int) -> None:
        self._counters["consumed_records_total"].labels(topic).inc(records)

    def produced(self, topic: str, records: int) -> None:
        self._counters["produced_records_total"].labels(topic).inc(records)

    def transaction(self, duration_s: float, records: int, outcome: Outcome) -> None:
        self._histograms["transaction_seconds"].labels(outcome).observe(duration_s)
        if outcome == "committed":
            self._histograms["transaction_records"].observe(records)

    def assigned(self, partitions: int) -> None:
        self._gauges["assigned_partitions"].set(partitions)
        self._counters["rebalance_events_total"].inc()

    def revoked(self, topic: str, partition: int) -> None:
        self._gauges["lag_records"].remove(topic, str(partition))

    def paused(self, partitions: int) -> None:
        self._gauges["paused_partitions"].set(partitions)

    def lag(self, topic: str, partition: int, records: int) -> None:
        self._gauges["lag_records"].labels(topic, str(partition)).set(records)

    def in_flight(self, records: int) -> None:
        self._gauges["in_flight_records"].set(records)

    def handled(self, stream: StreamKey, duration_s: float) -> None:
        self._histograms["handle_seconds"].observe(duration_s)
        self.streams.processed(stream)

    def skipped(self, stream: StreamKey, reason: str, records: int = 1) -> None:
        self.streams.skipped(stream, reason, records)

    def latency(self, topic: str, latency_s: float) -> None:
        self._histograms["latency_seconds"].labels(topic).observe(latency_s)

    def dead_letter(self, topic: str, reason: str) -> None:
        self._counters["dead_letter_records_total"].labels(topic, reason).inc()

    def restored(self, duration_s: float, replayed: int) -> None:
        self._histograms["restore_seconds"].observe(duration_s)
        self._counters["replayed_records_total"].inc(replayed)

    def snapshot(self, size_bytes: int) -> None:
        self._histograms["snapshot_bytes"].observe(size_bytes)

    def stream_ended(self, stream: StreamKey) -> None:
        self.streams.ended(stream)
        self.stream_state(stream, None)

    # of ingest
    def stream_state(self, stream: StreamKey, state: str | None) -> None:
        """``stream`` is in ``state`` now; None = it is no longer of this replica."""
        with self._states_lock:
            before = self._states.pop(stream, None)
            if before is not None:
                self._gauges["streams"].labels(before).dec()
            if state is not None:
                self._states[stream] = state
                self._gauges["streams"].labels(state).inc()

    def decoded(self, duration_s: float) -> None:
        self._histograms["decode_seconds"].observe(duration_s)

    def encoded(self, duration_s: float, size_bytes: int) -> None:
        self._histograms["encode_seconds"].observe(duration_s)
        self._histograms["frame_bytes"].observe(size_bytes)

    # of pose
    def queued(self, wait_s: float) -> None:
        """A frame's crops waited ``wait_s`` for their inference to begin."""
        self._histograms["queue_seconds"].observe(wait_s)

    def inference(self, crops: int, duration_s: float, outcome: str = "ok") -> None:
        """One request with ``crops`` ended; ``outcome`` is ok, timeout or error."""
        self._histograms["batch_crops"].observe(crops)
        self._histograms["inference_seconds"].labels(outcome).observe(duration_s)

    def in_flight_crops(self, crops: int) -> None:
        self._gauges["in_flight_crops"].set(crops)

    def backend_up(self, up: bool) -> None:
        self._gauges["backend_up_ratio"].set(1.0 if up else 0.0)

    # of segment
    def repetition(self, event: Repetition) -> None:
        """An event was committed. Provisional ones count nothing: what becomes of them does."""
        exercise, reason = event.exercise or NO_EXERCISE, event.reason.value if event.reason else "NONE"
        if event.status is Status.CONFIRMED:
            self._counters["repetitions_total"].labels(exercise).inc()
        elif event.status is Status.ATTEMPT:
            self._counters["attempts_total"].labels(exercise, reason).inc()
        elif event.status is Status.RETRACTED:
            self._counters["retractions_total"].labels(exercise, reason).inc()

    # of errors
    def assessment(self, assessment: Assessment) -> None:
        exercise = assessment.repetition.exercise or NO_EXERCISE
        self._counters["assessments_total"].labels(exercise).inc()
        self._histograms["score_points"].labels(exercise).observe(assessment.score)
        for finding in assessment.errors:
            self._counters["mistakes_total"].labels(exercise, finding.code).inc()
