"""Consumers, producers and admin clients, configured alike everywhere."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from services.common.errors import ConfigError

MAX_MESSAGE_BYTES: Final = 1_000_000
_RECONNECT_MAX_MS: Final = 1000  # the default of 30 s would make a short outage a long one


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """How to reach Kafka.

    ``prefix`` stands before every topic, group and transactional id, so that installations can share a cluster.
    ``instance`` names this replica, the same after a restart: its successor at once fences it and aborts what it left
    open. The time-outs are those of docs/decisions/0004-kafka-transactions.md.
    """

    bootstrap: str
    prefix: str = ""
    instance: str = "0"
    session_timeout_ms: int = 6000
    heartbeat_interval_ms: int = 500
    max_poll_interval_ms: int = 60_000
    transaction_timeout_ms: int = 5000
    fetch_max_bytes: int = 16 << 20
    max_partition_fetch_bytes: int = 4 << 20

    def topic(self, name: str) -> str:
        """The topic's name in this installation."""
        return self.prefix + name

    def _common(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": self.bootstrap.split(","),
            "reconnect_backoff_max_ms": _RECONNECT_MAX_MS,
            "metrics_enabled": False,
        }


def make_consumer(config: KafkaConfig, *, group: str | None = None, read_committed: bool = True) -> KafkaConsumer:
    """Never commits by itself. With a group: partitions move one by one (cooperative), the others go on.

    Raises: kafka.errors.KafkaError: no broker answers.
    """
    grouped: dict[str, Any] = {}
    if group is not None:
        grouped = {
            "group_id": config.prefix + group,
            "session_timeout_ms": config.session_timeout_ms,
            "heartbeat_interval_ms": config.heartbeat_interval_ms,
            "max_poll_interval_ms": config.max_poll_interval_ms,
            "partition_assignment_strategy": [CooperativeStickyAssignor],
        }
    return KafkaConsumer(
        client_id=f"{config.prefix}{group or 'reader'}-{config.instance}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed" if read_committed else "read_uncommitted",
        allow_auto_create_topics=False,
        fetch_max_wait_ms=500,  # an answer comes at once when there is something; this is the pulse of an idle replica
        fetch_max_bytes=config.fetch_max_bytes,
        max_partition_fetch_bytes=config.max_partition_fetch_bytes,
        metadata_max_age_ms=30_000,
        **grouped,
        **config._common(),
    )


def subscribe(
    consumer: KafkaConsumer,
    topics: Sequence[str],
    listener: ConsumerRebalanceListener | None = None,
    wait_s: float = 30.0,
) -> None:
    """Join the group for ``topics`` (with prefix), once their partitions are known.

    kafka-python 3.0.12 may else lead a group before it knows of any partition, assign none, and stay so.

    Raises:
        ConfigError: a topic is not there within ``wait_s``.
    """
    deadline_s = time.monotonic() + wait_s
    for topic in topics:
        while not consumer.partitions_for_topic(topic):
            if time.monotonic() > deadline_s:
                raise ConfigError(f"Kafka has no topic '{topic}'; create the topics first (services/common/topics.py).")
            time.sleep(0.2)
    consumer.subscribe(topics, listener=listener)


def producer_options(config: KafkaConfig, *, transactional_id: str | None = None, **options: Any) -> dict[str, Any]:
    """Of an idempotent producer, or of a transactional one with an id; ``options`` go before the usual ones."""
    if transactional_id is not None:
        options |= {
            "transactional_id": config.prefix + transactional_id,
            "transaction_timeout_ms": config.transaction_timeout_ms,
        }
    usual = {
        "client_id": f"{config.prefix}{transactional_id or 'producer'}",
        "acks": "all",
        "max_request_size": 4 * MAX_MESSAGE_BYTES,
        "batch_size": 256 << 10,
        "retry_backoff_ms": 20,  # the first request of a transaction often finds the one before not quite over
        "request_timeout_ms": 10_000,
        "max_block_ms": 20_000,
        "allow_auto_create_topics": False,
    }
    return usual | config._common() | options


def make_producer(config: KafkaConfig, *, transactional_id: str | None = None, **options: Any) -> KafkaProducer:
    """A producer; ``init_transactions`` of a transactional one is the caller's.

    Raises: kafka.errors.KafkaError: no broker answers.
    """
    return KafkaProducer(**producer_options(config, transactional_id=transactional_id, **options))


def make_admin(bootstrap: str, timeout_ms: int = 10_000) -> KafkaAdminClient:
    """Raises: kafka.errors.KafkaError: no broker answers within ``timeout_ms``."""
    return KafkaAdminClient(
        bootstrap_servers=bootstrap.split(","),
        bootstrap_timeout_ms=timeout_ms,
        reconnect_backoff_max_ms=_RECONNECT_MAX_MS,
    )
