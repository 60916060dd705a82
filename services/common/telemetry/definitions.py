"""Every metric of every service, as data. docs/metrics.md is compared with this by a test.

Full name: ``formcheck_<service>_<what>``, ``what`` ending in its unit (``_seconds``, ``_records`` …) and counters in
``_total`` after it. Labels are few and bounded: never a track, a session or a text.
"""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
SERVICES: Final = ("ingest", "pose", "segment", "errors")
STREAM_LABELS: Final = ("tenant", "stream_id")


@dataclass(frozen=True, slots=True)
class Definition:
    """``of``: the services that have it. ``per_stream``: kept by ``StreamTable``, gone when the stream ends."""

    what: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    of: tuple[str, ...] = SERVICES
    per_stream: bool = False

    def name(self, service: str) -> str:
        return f"formcheck_{service}_{self.what}"


_LATENCY_S: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
_WORK_S: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_COUNT: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
_FRAME_BYTES: Final = (4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131072.0)
_BYTES: Final = (256.0, 1024.0, 4096.0, 16384.0, 65536.0)

_SHELL: Final = (
    Definition("ready_ratio", "gauge", "Share of readiness checks that pass; 1 = ready, 0 while stopping."),
    Definition("build_info", "gauge", "Always 1; the version is in the label.", ("version",)),
)
_RUNNER: Final = (
    Definition("consumed_records_total", "counter", "Records taken from a topic.", ("topic",)),
    Definition("produced_records_total", "counter", "Records sent to a topic in committed transactions.", ("topic",)),
    Definition("lag_records", "gauge", "Records of an assigned partition not committed yet.", ("topic", "partition")),
    Definition("in_flight_records", "gauge", "Records consumed and not committed yet."),
    Definition("assigned_partitions", "gauge", "Partitions that this replica has."),
    Definition("paused_partitions", "gauge", "Partitions paused by back-pressure."),
    Definition("rebalance_events_total", "counter", "Times that partitions were assigned anew."),
    Definition("handle_seconds", "histogram", "The processor's time for one item.", (), _WORK_S),
    Definition(
        "transaction_seconds", "histogram", "From the beginning of a transaction to its end.", ("outcome",), _WORK_S
    ),
    Definition("transaction_records", "histogram", "Outputs and snapshots in one transaction.", (), _COUNT),
    Definition(
        "latency_seconds",
        "histogram",
        "Wall time from the camera's newest frame to the commit of an output made from it.",
        ("topic",),
        _LATENCY_S,
    ),
    Definition("dead_letter_records_total", "counter", "Records sent to a DLQ, by reason.", ("topic", "reason")),
    Definition("restore_seconds", "histogram", "Time to bring an assigned partition's streams back.", (), _LATENCY_S),
    Definition("replayed_records_total", "counter", "Records read again to bring state back."),
    Definition("snapshot_bytes", "histogram", "Size of one stream's snapshot.", (), _BYTES),
)
_STREAMS: Final = (
    Definition("camera_fps", "gauge", "Frames/s that the source delivers.", STREAM_LABELS, (), ("ingest",), True),
    Definition("processed_fps", "gauge", "Items/s that this stage finished.", STREAM_LABELS, per_stream=True),
    Definition(
        "last_frame_age_seconds", "gauge", "Wall time since the stream's last item.", STREAM_LABELS, per_stream=True
    ),
    Definition(
        "skipped_frames_total",
        "counter",
        "Frames left out on purpose, by reason.",
        (*STREAM_LABELS, "reason"),
        per_stream=True,
    ),
    Definition("reconnects_total", "counter", "Times a source was opened anew.", STREAM_LABELS, (), ("ingest",), True),
)
_INGEST: Final = (
    Definition("streams", "gauge", "Streams of this replica in each state.", ("state",), (), ("ingest",)),
    Definition(
        "decode_seconds", "histogram", "Decoding and colour conversion of one sampled frame.", (), _WORK_S, ("ingest",)
    ),
    Definition("encode_seconds", "histogram", "Scaling and JPEG of one frame.", (), _WORK_S, ("ingest",)),
    Definition(
        "frame_bytes",
        "histogram",
        "Size of one JPEG frame.",
        (),
        _FRAME_BYTES,
        ("ingest",),
    ),
)
_POSE: Final = (
    Definition("batch_crops", "histogram", "Crops in one inference request.", (), _COUNT, ("pose",)),
    Definition("queue_seconds", "histogram", "Wait of a frame's crops for their inference.", (), _WORK_S, ("pose",)),
    Definition("inference_seconds", "histogram", "One inference request.", ("outcome",), _WORK_S, ("pose",)),
    Definition("in_flight_crops", "gauge", "Crops whose inference runs.", (), (), ("pose",)),
    Definition("backend_up_ratio", "gauge", "1 while the inference backend answers, else 0.", (), (), ("pose",)),
)
_RESULTS: Final = (
    Definition("repetitions_total", "counter", "Confirmed repetitions.", ("exercise",), (), ("segment",)),
    Definition(
        "attempts_total", "counter", "Candidates not counted, by reason.", ("exercise", "reason"), (), ("segment",)
    ),
    Definition(
        "retractions_total", "counter", "Provisional repetitions taken back.", ("exercise", "reason"), (), ("segment",)
    ),
    Definition("assessments_total", "counter", "Repetitions assessed.", ("exercise",), (), ("errors",)),
    Definition("mistakes_total", "counter", "Mistakes found, by code.", ("exercise", "code"), (), ("errors",)),
    Definition(
        "score_points",
        "histogram",
        "Scores of repetitions, 0 to 100.",
        ("exercise",),
        (20.0, 40.0, 60.0, 70.0, 80.0, 90.0, 95.0, 100.0),
        ("errors",),
    ),
)

DEFINITIONS: Final = (*_SHELL, *_RUNNER, *_STREAMS, *_INGEST, *_POSE, *_RESULTS)


def definitions_of(service: str) -> tuple[Definition, ...]:
    """Raises ValueError for a service that is none of ``SERVICES``."""
    if service not in SERVICES:
        raise ValueError(f"'{service}' is no service; known are {', '.join(SERVICES)}")
    return tuple(d for d in DEFINITIONS if service in d.of)
