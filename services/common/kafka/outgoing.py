"""Records on their way out."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.common.kafka.messages import CAPTURED_HEADER, Headers, Record, encode, header, stream_key, stream_of
from services.common.metrics_protocol import RunnerMetrics
from services.common.topics import dlq

_REASON_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to write; ``topic`` without prefix, ``value`` None a tombstone, ``partition`` None: by its key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


def outgoing(topic: str, item: Any, headers: Headers = ()) -> Outgoing:
    """The record of an item or mark, keyed by its stream. Raises InputError: items of this type do not travel."""
    value, own = encode(item)
    return Outgoing(topic, stream_key(stream_of(item)), value, (*own, *headers))


def dead_letter(record: Record, error: Exception, stage: str) -> Outgoing:
    """``record`` as it was, for its DLQ, with what is wrong and where it lay in headers ``dlq.*``."""
    told = {
        "reason": str(error)[:_REASON_CHARS] or type(error).__name__,
        "class": type(error).__name__,
        "stage": stage,
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
    }
    headers = tuple((f"dlq.{name}", text.encode()) for name, text in told.items())
    return Outgoing(dlq(record.topic), record.key, record.value, record.headers + headers)


def tell_committed(metrics: RunnerMetrics, records: Sequence[Outgoing], output: str) -> None:
    """Count the records of a transaction that went through; those of ``output`` also by how old they are."""
    now_s = time.time()
    for topic, count in Counter(record.topic for record in records).items():
        metrics.produced(topic, count)
    for record in records:
        captured = header(record.headers, CAPTURED_HEADER)
        if captured is not None and record.topic == output:
            metrics.latency(record.topic, now_s - float(captured))
