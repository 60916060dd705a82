"""A transactional producer that is replaced when it breaks."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from services.common.errors import FormcheckError
from services.common.kafka.clients import KafkaConfig, producer_options
from services.common.kafka.outgoing import Outgoing

log = logging.getLogger(__name__)

_MORE_MS: Final = 1000  # than the broker waits before it aborts a transaction by itself


class TransactionAbortedError(FormcheckError):
    """The transaction did not go through, or nobody knows: go back to what Kafka says is committed."""


class _Producer(KafkaProducer):
    """Waits no longer than ``patience_ms`` for the end of a step.

    kafka-python 3.0.12 has no such limit, and it can lose a request that is under way when the coordinator's broker
    dies (``python -m bench.kafka_spike --brokers 3 --only none`` met it): the step then never ends.
    """

    patience_ms = 10_000

    def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group_metadata: ConsumerGroupMetadata
    ) -> None:
        self._await(self._transaction_manager.send_offsets_to_transaction(offsets, group_metadata))

    def commit_transaction(self) -> None:
        self._await(self._transaction_manager.begin_commit())

    def abort_transaction(self) -> None:
        self._await(self._transaction_manager.begin_abort())

    def discard(self) -> None:
        """Close at once, whatever is under way."""
        try:
            self.close(timeout=0)
        except KafkaError:
            self._sender.force_close()
            self._closed = True

    def _await(self, result: Any) -> None:
        self._sender.wakeup()
        if not result.wait(timeout_ms=self.patience_ms):
            raise KafkaTimeoutError(f"no end of a transaction's step within {self.patience_ms} ms")


class Transactions:
    """Writes records and consumed offsets in one transaction. Owned by one thread.

    A second one with the same ``transactional_id`` fences this one, and aborts what this one left open.
    """

    def __init__(self, config: KafkaConfig, transactional_id: str) -> None:
        self._config = config
        self._id = transactional_id
        self._producer: _Producer | None = None

    def open(self) -> None:
        """Connect, fence predecessors. Raises: kafka.errors.KafkaError: Kafka is not there."""
        if self._producer is None:
            producer = _Producer(**producer_options(self._config, transactional_id=self._id))
            producer.patience_ms = self._config.transaction_timeout_ms + _MORE_MS
            try:
                producer.init_transactions()
            except BaseException:
                producer.discard()
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
            self._recover(error)
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

    def _recover(self, why: Exception) -> None:
        """Abort; a producer that cannot even do that is thrown away, its successor aborts by fencing it."""
        if self._producer is None:
            return
        try:
            if isinstance(why, KafkaTimeoutError):
                raise why
            self._producer.abort_transaction()
        except (KafkaError, AssertionError) as error:
            log.warning("producer '%s' is replaced: %r", self._id, error)
            self._producer.discard()
            self._producer = None
