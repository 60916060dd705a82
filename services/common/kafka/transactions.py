"""A transactional producer that is replaced when it breaks."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from services.common.errors import FormcheckError
from services.common.kafka.clients import KafkaConfig, make_producer
from services.common.kafka.outgoing import Outgoing

log = logging.getLogger(__name__)


class TransactionAbortedError(FormcheckError):
    """The transaction did not go through, or nobody knows: go back to what Kafka says is committed."""


class Transactions:
    """Writes records and consumed offsets in one transaction. Owned by one thread.

    A second one with the same ``transactional_id`` fences this one, and aborts what this one left open.
    """

    def __init__(self, config: KafkaConfig, transactional_id: str) -> None:
        self._config = config
        self._id = transactional_id
        self._producer: KafkaProducer | None = None

    def open(self) -> None:
        """Connect, fence predecessors. Raises: kafka.errors.KafkaError: Kafka is not there."""
        if self._producer is None:
            producer = make_producer(self._config, transactional_id=self._id)
            try:
                producer.init_transactions()
            except BaseException:
                producer.close(timeout=0)
                raise
            self._producer = producer

    def commit(
        self,
        records: Iterable[Outgoing],
        offsets: Mapping[TopicPartition, OffsetAndMetadata] | None = None,
        group: ConsumerGroupMetadata | None = None,
    ) -> None:
        """All of it, or nothing. ``offsets`` need ``group``: a member that lost its partitions is refused.

        Raises:
            TransactionAbortedError: nothing was written, or the answer was lost.
        """
        try:
            self.open()
            assert self._producer is not None
            self._producer.begin_transaction()
            sent = [self._send(record) for record in records]
            if offsets:
                self._producer.send_offsets_to_transaction(dict(offsets), group)
            self._producer.commit_transaction()
            for future in sent:
                future.get(timeout=0)
        except (KafkaError, AssertionError) as error:
            self._recover()
            raise TransactionAbortedError(f"A transaction of '{self._id}' was aborted: {error!r}") from error

    def close(self, timeout_s: float = 5.0) -> None:
        if self._producer is not None:
            self._producer.close(timeout=timeout_s)
            self._producer = None

    def _send(self, record: Outgoing) -> Any:
        assert self._producer is not None
        return self._producer.send(
            self._config.topic(record.topic),
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            partition=record.partition,
        )

    def _recover(self) -> None:
        """Abort; a producer that cannot even do that is thrown away, its successor aborts by fencing it."""
        if self._producer is None:
            return
        try:
            self._producer.abort_transaction()
        except (KafkaError, AssertionError) as error:
            log.warning("producer '%s' is replaced: %r", self._id, error)
            self._producer.close(timeout=0)
            self._producer = None
