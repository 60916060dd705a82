"""Every topic of the system with its configuration, as data: the local stack and Kubernetes create them from here.

The key is ``tenant/stream_id``, so a stream keeps its order. All topics that are keyed by stream have the same number
of partitions; a stage's state topic has one partition per partition of its input.
"""

from dataclasses import dataclass, field
from typing import Final

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_MB: Final = 1 << 20

DLQ_SUFFIX: Final = ".dlq"
DEFAULT_PARTITIONS: Final = 6

STREAMS: Final = "streams.v1"
STREAM_EVENTS: Final = "stream_events.v1"
FRAMES_LIVE: Final = "frames.live.v1"
FRAMES_FILE: Final = "frames.file.v1"
POSES: Final = "poses.v1"
REPETITIONS: Final = "repetitions.v1"
ASSESSMENTS: Final = "assessments.v1"
INGEST_STATE: Final = "ingest-state.v1"
POSE_STATE: Final = "pose-state.v1"
SEGMENT_STATE: Final = "segment-state.v1"
ERRORS_STATE: Final = "errors-state.v1"


@dataclass(frozen=True, slots=True)
class Topic:
    """``partitions`` None: as many as the installation has for topics keyed by stream."""

    name: str
    config: dict[str, str] = field(default_factory=dict)
    partitions: int | None = None


def _kept(ms: int, segment_ms: int, segment_mb: int) -> dict[str, str]:
    """Deleted after ``ms``. Only closed segments are deleted, so these must be short beside it."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(ms),
        "segment.ms": str(segment_ms),
        "segment.bytes": str(segment_mb * _MB),
    }


def _compacted(segment_ms: int = _MINUTE_MS, segment_mb: int = 8) -> dict[str, str]:
    """The last value of each key. Whoever restores reads all that is not compacted yet: keep that short."""
    return {
        "cleanup.policy": "compact",
        "segment.ms": str(segment_ms),
        "segment.bytes": str(segment_mb * _MB),
        "min.cleanable.dirty.ratio": "0.1",
        "max.compaction.lag.ms": str(2 * segment_ms),
        "delete.retention.ms": str(_HOUR_MS),
    }


def dlq(topic: str) -> str:
    """Where what could not be processed of ``topic`` goes."""
    return topic + DLQ_SUFFIX


_PIPELINE: Final = (
    Topic(STREAMS, _compacted(_HOUR_MS)),
    Topic(STREAM_EVENTS, _kept(7 * _DAY_MS, _DAY_MS, 64)),
    Topic(FRAMES_LIVE, _kept(_MINUTE_MS, 10_000, 64)),
    Topic(FRAMES_FILE, _kept(6 * _HOUR_MS, 10 * _MINUTE_MS, 64)),
    Topic(POSES, _kept(7 * _DAY_MS, _DAY_MS, 256)),
    Topic(REPETITIONS, _kept(30 * _DAY_MS, _DAY_MS, 256)),
    Topic(ASSESSMENTS, _kept(30 * _DAY_MS, _DAY_MS, 256)),
)
_STATE: Final = tuple(Topic(name, _compacted()) for name in (INGEST_STATE, POSE_STATE, SEGMENT_STATE, ERRORS_STATE))
_DLQ: Final = tuple(
    Topic(dlq(name), _kept(30 * _DAY_MS, _DAY_MS, 64), partitions=1)
    for name in (STREAMS, FRAMES_LIVE, FRAMES_FILE, POSES, REPETITIONS)
)

TOPICS: Final[tuple[Topic, ...]] = _PIPELINE + _STATE + _DLQ
