"""What the Kafka runner tells of itself, as plain calls: the runner knows no Prometheus, tests pass a recorder.

``services.common.telemetry.metrics.ServiceMetrics`` implements it; ``NO_METRICS`` is for runs that nobody watches.
Calls come from the runner's thread, are cheap (no I/O) and never raise.
"""

from typing import Literal, Protocol

from services.common.types import StreamKey

Outcome = Literal["committed", "aborted"]


class RunnerMetrics(Protocol):
    """Hooks of one runner. Topics are named as ``topics.py`` names them, without the installation's prefix."""

    def consumed(self, topic: str, records: int) -> None:
        """``records`` were taken from ``topic`` (at every poll that brought some)."""

    def produced(self, topic: str, records: int) -> None:
        """``records`` were sent to ``topic`` in a transaction that was committed."""

    def transaction(self, duration_s: float, records: int, outcome: Outcome) -> None:
        """One transaction ended, ``duration_s`` after it began, with ``records`` outputs and snapshots in it."""

    def assigned(self, partitions: int) -> None:
        """A rebalance left this replica with ``partitions``."""

    def revoked(self, topic: str, partition: int) -> None:
        """A partition went to another replica; its lag is no longer ours to tell."""

    def paused(self, partitions: int) -> None:
        """``partitions`` are paused by back-pressure now."""

    def lag(self, topic: str, partition: int, records: int) -> None:
        """``records`` of the partition are not committed yet (end offset - committed offset)."""

    def in_flight(self, records: int) -> None:
        """``records`` are consumed and not committed yet."""

    def handled(self, stream: StreamKey, duration_s: float) -> None:
        """The processor took ``duration_s`` for one item of ``stream``."""

    def skipped(self, stream: StreamKey, reason: str, records: int = 1) -> None:
        """``records`` of ``stream`` were shed on purpose; ``reason`` is one of a few upper snake words."""

    def latency(self, topic: str, latency_s: float) -> None:
        """An output of ``topic`` was committed ``latency_s`` of wall time after the camera saw its newest frame."""

    def dead_letter(self, topic: str, reason: str) -> None:
        """A record of ``topic`` went to its DLQ; ``reason`` is a class of reasons (an exception's name), no text."""

    def restored(self, duration_s: float, replayed: int) -> None:
        """The streams of a newly assigned partition stand where they stood, ``replayed`` records later."""

    def snapshot(self, size_bytes: int) -> None:
        """One stream's snapshot was written."""

    def stream_ended(self, stream: StreamKey) -> None:
        """The stream's session ended or went to another replica: its series are removed."""


class _NoMetrics:
    def consumed(self, topic: str, records: int) -> None: ...
    def produced(self, topic: str, records: int) -> None: ...
    def transaction(self, duration_s: float, records: int, outcome: Outcome) -> None: ...
    def assigned(self, partitions: int) -> None: ...
    def revoked(self, topic: str, partition: int) -> None: ...
    def paused(self, partitions: int) -> None: ...
    def lag(self, topic: str, partition: int, records: int) -> None: ...
    def in_flight(self, records: int) -> None: ...
    def handled(self, stream: StreamKey, duration_s: float) -> None: ...
    def skipped(self, stream: StreamKey, reason: str, records: int = 1) -> None: ...
    def latency(self, topic: str, latency_s: float) -> None: ...
    def dead_letter(self, topic: str, reason: str) -> None: ...
    def restored(self, duration_s: float, replayed: int) -> None: ...
    def snapshot(self, size_bytes: int) -> None: ...
    def stream_ended(self, stream: StreamKey) -> None: ...


NO_METRICS: RunnerMetrics = _NoMetrics()
