"""A member of a group that would otherwise forget that it is joining: on a real broker."""

import time
import uuid
from contextlib import closing

from kafka import ConsumerRebalanceListener, TopicPartition
from kafka.coordinator.base import MemberState

from services.common import topics
from services.common.kafka.clients import KafkaConfig, make_admin
from services.common.kafka.membership import Membership
from tests.support.kafka import PARTITIONS, wait_for


class _Quiet(ConsumerRebalanceListener):
    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None: ...

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None: ...


def test_a_leader_whose_poll_ends_while_it_joins_anew_completes_the_join(kafka_config: KafkaConfig) -> None:
    topic = kafka_config.topic(topics.POSES)
    membership = Membership(kafka_config, uuid.uuid4().hex[:8], [topic], _Quiet())
    with closing(membership.join()) as consumer:
        coordinator = consumer._coordinator

        def stable() -> bool:
            consumer.poll(timeout_ms=100)
            return coordinator.state is MemberState.STABLE and bool(consumer.assignment())

        wait_for(stable, 60, "the first join")
        first = coordinator._generation.generation_id
        with closing(make_admin(kafka_config.bootstrap)) as admin:
            admin.create_partitions({topic: PARTITIONS + 1})
        coordinator._cluster.request_update()
        wait_for(lambda: coordinator._metadata_snapshot != coordinator._assignment_snapshot, 60, "the new metadata")
        consumer.poll(timeout_ms=1)
        wait_for(lambda: coordinator._join_task is None or coordinator._join_task.is_done, 60, "the answer")
        membership.lost()
        wait_for(stable, 60, "the second join")
        assert coordinator._generation.generation_id > first
        beat = coordinator.heartbeat.last_receive
        wait_for(lambda: stable() and coordinator.heartbeat.last_receive > beat, 60, "a heartbeat")
        began_s = time.monotonic()
        consumer.poll(timeout_ms=100)
        assert time.monotonic() - began_s > 0.05, "polls wait again"
