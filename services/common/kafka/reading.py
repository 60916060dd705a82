"""Reading whole topics, or the last value of each key of a compacted one."""

from collections.abc import Iterator
from contextlib import closing

from kafka import KafkaConsumer, TopicPartition

from services.common.errors import ConfigError
from services.common.kafka.admin import begin_offsets, end_offsets
from services.common.kafka.clients import KafkaConfig, make_admin, make_consumer
from services.common.kafka.messages import Record


def read_all(config: KafkaConfig, *topics: str) -> Iterator[Record]:
    """Every committed record that ``topics`` (without prefix) hold now, each partition in its order.

    Waits for transactions that are open at its end.

    Raises:
        ConfigError: there is no such topic. kafka.errors.KafkaError: Kafka is not there.
    """
    with closing(make_admin(config.bootstrap)) as admin, closing(make_consumer(config)) as consumer:
        partitions = [tp for topic in topics for tp in _partitions(config, consumer, topic)]
        starts, ends = begin_offsets(admin, partitions), end_offsets(admin, partitions)
        left = [tp for tp in partitions if starts[tp] < ends[tp]]
        if not left:
            return
        consumer.assign(left)
        consumer.seek_to_beginning(*left)
        while any((consumer.position(tp) or 0) < ends[tp] for tp in left):
            for tp, records in consumer.poll(timeout_ms=200).items():
                topic = tp.topic.removeprefix(config.prefix)
                for r in records:
                    headers = tuple((k, bytes(v or b"")) for k, v in r.headers)
                    yield Record(topic, tp.partition, r.offset, r.key, r.value, headers, r.timestamp)


def _partitions(config: KafkaConfig, consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    name = config.topic(topic)
    found = [TopicPartition(name, p) for p in sorted(consumer.partitions_for_topic(name) or ())]
    if not found:
        raise ConfigError(f"Kafka at {config.bootstrap} has no topic '{name}'; start the stack, it creates them.")
    return found


def last_values(config: KafkaConfig, topic: str) -> dict[bytes, Record]:
    """The last record of each key that is no tombstone. Raises: as ``read_all``."""
    found: dict[bytes, Record] = {}
    for record in read_all(config, topic):
        found.pop(record.key or b"", None)
        if record.value is not None:
            found[record.key or b""] = record
    return found
