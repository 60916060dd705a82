"""Waiting for brokers, creating topics, asking for ends."""

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError, TopicAlreadyExistsError

from services.common.errors import FormcheckError
from services.common.kafka.clients import make_admin
from services.common.topics import Topic


def await_brokers(
    bootstrap: str, count: int, *, timeout_s: float, gone: Callable[[], str | None] = lambda: None
) -> None:
    """Returns when ``count`` brokers are in the cluster and not fenced.

    ``gone`` says why waiting is useless, or None.

    Raises:
        FormcheckError: they are not there within ``timeout_s``, or ``gone`` had something to say.
    """
    deadline = time.monotonic() + timeout_s
    seen = "nobody answers"
    while time.monotonic() < deadline:
        why = gone()
        if why is not None:
            raise FormcheckError(why)
        if not all(_listens(address) for address in bootstrap.split(",")[:count]):
            time.sleep(0.25)
            continue
        try:
            with closing(make_admin(bootstrap, timeout_ms=10_000)) as admin:
                brokers = [b for b in admin.describe_cluster()["brokers"] if not b.get("is_fenced")]
            if len(brokers) >= count:
                return
            seen = f"{len(brokers)} answer"
        except KafkaError as error:
            seen = f"{type(error).__name__}: {error}"
        time.sleep(0.2)
    raise FormcheckError(f"Kafka at {bootstrap} is not ready after {timeout_s:.0f} s ({count} brokers wanted; {seen}).")


def await_in_sync(bootstrap: str, *, timeout_s: float) -> None:
    """Returns when every replica of every partition has caught up: now another broker may die.

    Raises: FormcheckError: not within ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    behind = 0
    while time.monotonic() < deadline:
        with suppress(KafkaError), closing(make_admin(bootstrap)) as admin:
            partitions = [p for topic in admin.describe_topics() for p in topic["partitions"]]
            behind = sum(len(p["isr_nodes"]) < len(p["replica_nodes"]) for p in partitions)
            if not behind:
                return
        time.sleep(0.3)
    raise FormcheckError(f"{behind} partitions of Kafka at {bootstrap} still lack replicas after {timeout_s:.0f} s.")


def _listens(address: str) -> bool:
    """A cheap look, before a client is made."""
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True


def create_topics(
    bootstrap: str, topics: Sequence[Topic], *, partitions: int, replication: int = -1, prefix: str = ""
) -> None:
    """Create those that are not there yet, and wait until each has a leader. ``replication`` -1: the cluster's default.

    Raises: kafka.errors.KafkaError: Kafka refuses, or is not there.
    """
    with closing(make_admin(bootstrap)) as admin:
        there = set(admin.list_topics())
        wanted = {
            prefix + t.name: {
                "num_partitions": t.partitions or partitions,
                "replication_factor": replication,
                "configs": t.config,
            }
            for t in topics
            if prefix + t.name not in there
        }
        if not wanted:
            return
        with suppress(TopicAlreadyExistsError):  # by another replica, in this moment
            admin.create_topics(wanted)
        admin.wait_for_topics(list(wanted), timeout_ms=30_000)


def begin_offsets(admin: KafkaAdminClient, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The offset of the first record that is still there."""
    return _offsets(admin, partitions, OffsetSpec.EARLIEST)


def end_offsets(admin: KafkaAdminClient, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The offset that the next record will get, whether or not a transaction is open before it.

    A read_committed consumer's own answer stops before the first open transaction.
    """
    return _offsets(admin, partitions, OffsetSpec.LATEST)


def _offsets(admin: KafkaAdminClient, partitions: Iterable[TopicPartition], spec: Any) -> dict[TopicPartition, int]:
    wanted = dict.fromkeys(partitions, spec)
    return {tp: found.offset for tp, found in admin.list_partition_offsets(wanted).items()} if wanted else {}
