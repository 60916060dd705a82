"""Sending without transactions: live frames, marks, events. For what must not be lost or doubled: ``transactions``."""

import logging
import threading
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from services.common.kafka.clients import KafkaConfig, make_producer
from services.common.kafka.messages import Headers
from services.common.kafka.outgoing import Outgoing, outgoing

log = logging.getLogger(__name__)


class Publisher:
    """An idempotent producer; order per stream holds, and a retry doubles nothing. Any thread may send.

    ``send`` does not wait for Kafka. What cannot be delivered within ``deadline_s`` is dropped and counted in ``lost``:
    while Kafka is away live frames must not pile up.
    """

    def __init__(self, config: KafkaConfig, deadline_s: float = 5.0) -> None:
        """Raises: kafka.errors.KafkaError: no broker answers."""
        self._config = config
        timeout_ms = int(deadline_s * 1000)
        self._producer: KafkaProducer = make_producer(
            config,
            request_timeout_ms=timeout_ms,
            delivery_timeout_ms=timeout_ms,
            max_block_ms=timeout_ms,
            bootstrap_timeout_ms=timeout_ms,
        )
        self._lock = threading.Lock()
        self._lost = 0

    @property
    def lost(self) -> int:
        """Records that were given up so far."""
        return self._lost

    def send(self, topic: str, item: Any, headers: Headers = ()) -> Any:
        """Send an item or a mark to ``topic`` (without prefix), keyed by its stream; returns the client's future.

        Raises: InputError: items of this type do not travel. kafka.errors.KafkaError: the topic is not there.
        """
        return self.send_record(outgoing(topic, item, headers))

    def send_record(self, record: Outgoing) -> Any:
        """Send any record; returns the client's future. Raises: kafka.errors.KafkaError: the topic is not there."""
        future = self._producer.send(
            self._config.topic(record.topic),
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            partition=record.partition,
        )
        future.add_errback(self._failed)
        return future

    def know(self, *topics: str) -> None:
        """Ask for the partitions of ``topics`` now, so that ``send`` never waits for that.

        Raises: kafka.errors.KafkaError: a topic is not there, or no broker answers.
        """
        for topic in topics:
            self._producer.partitions_for(self._config.topic(topic))

    def close(self, timeout_s: float = 5.0) -> None:
        """Wait for what is under way, at most ``timeout_s``."""
        self._producer.close(timeout=timeout_s)

    def discard(self) -> None:
        """Close at once; what is under way is given up."""
        try:
            self._producer.close(timeout=0)
        except KafkaError:
            self._producer._sender.force_close()
            self._producer._closed = True

    def _failed(self, error: BaseException) -> None:
        with self._lock:
            self._lost += 1
            lost = self._lost
        if lost & (lost - 1) == 0:  # the 1st, 2nd, 4th, 8th …: an outage is not to fill the logs
            log.warning("a record could not be delivered (%d so far): %r", lost, error)
