"""What could not be processed: listing it, and sending it once more."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from kafka import TopicPartition

from services.common.kafka.admin import begin_offsets, end_offsets
from services.common.kafka.clients import KafkaConfig, make_admin, make_consumer, make_producer
from services.common.kafka.messages import Record
from services.common.topics import dlq

_PREFIX = "dlq."


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """``record`` as it lies in the DLQ; ``topic``, ``partition``, ``offset``: where it lay before."""

    record: Record
    reason: str
    kind: str
    stage: str
    topic: str
    partition: int
    offset: int


def dead_letters(config: KafkaConfig, topic: str) -> list[DeadLetter]:
    """Everything in the DLQ of ``topic``, oldest first. Raises: kafka.errors.KafkaError: Kafka is not there."""
    name = config.topic(dlq(topic))
    found: list[DeadLetter] = []
    with closing(make_admin(config.bootstrap)) as admin, closing(make_consumer(config)) as consumer:
        partitions = [TopicPartition(name, p) for p in sorted(consumer.partitions_for_topic(name))]
        starts, ends = begin_offsets(admin, partitions), end_offsets(admin, partitions)
        left = [tp for tp in partitions if starts[tp] < ends[tp]]
        if not left:
            return []
        consumer.assign(left)
        consumer.seek_to_beginning(*left)
        while any((consumer.position(tp) or 0) < ends[tp] for tp in left):
            for tp, records in consumer.poll(timeout_ms=200).items():
                for r in records:
                    headers = tuple((k, bytes(v or b"")) for k, v in r.headers)
                    found.append(
                        _letter(Record(dlq(topic), tp.partition, r.offset, r.key, r.value, headers, r.timestamp))
                    )
    return sorted(found, key=lambda letter: letter.record.timestamp_ms)


def replay(config: KafkaConfig, letters: Iterable[DeadLetter]) -> int:
    """Send each to the topic that it came from, as it was; returns how many. They stay in the DLQ.

    A stream that has gone on refuses what lies before its time again: replay what a defect refused, soon.
    """
    count = 0
    with closing(make_producer(config)) as producer:
        sent = []
        for letter in letters:
            headers = [(k, v) for k, v in letter.record.headers if not k.startswith(_PREFIX)]
            topic = config.topic(letter.topic)
            sent.append(producer.send(topic, key=letter.record.key, value=letter.record.value, headers=headers))
        for future in sent:
            future.get(timeout=30)
            count += 1
    return count


def _letter(record: Record) -> DeadLetter:
    def told(name: str, default: str = "") -> str:
        value = record.header(_PREFIX + name)
        return default if value is None else value.decode(errors="replace")

    return DeadLetter(
        record,
        reason=told("reason"),
        kind=told("class"),
        stage=told("stage"),
        topic=told("topic", record.topic.removesuffix(dlq(""))),
        partition=int(told("partition", "-1")),
        offset=int(told("offset", "-1")),
    )
