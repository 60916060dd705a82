"""Transactions, dead letters and plain sending on a real broker."""

from contextlib import closing

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from services.common import topics
from services.common.kafka.clients import KafkaConfig, make_consumer, subscribe
from services.common.kafka.messages import decode
from services.common.kafka.outgoing import Outgoing, outgoing
from services.common.kafka.transactions import TransactionAbortedError, Transactions
from services.common.processor import Mark, MarkKind
from services.common.types import StreamKey
from tests.support.kafka import PATIENCE, TopicReader, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 * PATIENCE)]

STREAM = StreamKey("gym", "camera", "1")


def mark(time_s: float) -> Outgoing:
    return outgoing(topics.POSES, Mark(STREAM, MarkKind.HEARTBEAT, time_s))


def test_a_successor_with_the_same_name_fences_and_the_fenced_writes_nothing(kafka_config: KafkaConfig) -> None:
    with closing(Transactions(kafka_config, "x")) as old, closing(Transactions(kafka_config, "x")) as new:
        old.commit([mark(1.0)])
        new.open()
        with pytest.raises(TransactionAbortedError):
            old.commit([mark(2.0)])
        new.commit([mark(3.0)])  # it alone goes on: the fenced one does not take the name back by itself
        with closing(TopicReader(kafka_config, topics.POSES)) as reader:
            assert [decode(r).time_s for r in reader.read_to_end()] == [1.0, 3.0]


def test_offsets_of_a_member_that_lost_its_partitions_are_refused_with_all_that_goes_with_them(
    kafka_config: KafkaConfig,
) -> None:
    with closing(make_consumer(kafka_config, group="g")) as consumer, closing(
        Transactions(kafka_config, "y")
    ) as transactions:  # fmt: skip
        subscribe(consumer, [kafka_config.topic(topics.POSES)])
        wait_for(lambda: consumer.poll(timeout_ms=100) or consumer.assignment(), 60, "an assignment")
        now = consumer.group_metadata()
        tp = TopicPartition(kafka_config.topic(topics.POSES), 0)
        offsets = {tp: OffsetAndMetadata(0, "replay_from=0", -1)}
        transactions.commit([mark(1.0)], offsets, now)
        with pytest.raises(TransactionAbortedError):
            transactions.commit([mark(2.0)], offsets, now._replace(generation_id=now.generation_id - 1))
        transactions.commit([mark(3.0)], offsets, now)
        assert consumer.committed(tp, metadata=True).metadata == "replay_from=0"
    with closing(TopicReader(kafka_config, topics.POSES)) as reader:
        assert [decode(r).time_s for r in reader.read_to_end()] == [1.0, 3.0]
