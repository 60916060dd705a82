"""When a consumer is polled, what is done when that fails, and who hears of rebalances."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

log = logging.getLogger(__name__)

POLL_S: Final = 0.25
"""The longest wait of an idle loop; records end it. Each round costs about 1.5 ms of processor time."""
PULSE_S: Final = 0.02
"""Between two polls: what came meanwhile comes together. A poll costs as much as the work on a record or two."""
_TROUBLE_S: Final = 0.1
_TROUBLES: Final = 300


class Poller:
    """Owned by one thread."""

    def __init__(self) -> None:
        self._ended_s = 0.0
        self._troubles = 0

    def rest_s(self) -> float:
        """Until the next poll is worth while; 0 or less: now."""
        return self._ended_s + PULSE_S - time.monotonic()

    def poll(self, consumer: KafkaConsumer, wait_s: float) -> dict[TopicPartition, list[Any]]:
        """Records that are there, or that come within ``wait_s``.

        Raises: kafka.errors.KafkaError: the troubles do not end by polling again.
        """
        try:
            records: dict[TopicPartition, list[Any]] = consumer.poll(timeout_ms=int(max(wait_s, 0.0) * 1000))
        except KafkaError as error:
            self._troubles += 1
            if self._troubles >= _TROUBLES:
                raise
            log.warning("poll: %r", error)
            time.sleep(_TROUBLE_S)
            return {}
        finally:
            self._ended_s = time.monotonic()
        self._troubles = 0
        return records


class Rebalances(ConsumerRebalanceListener):
    """Hands the client's callbacks on; they must not raise."""

    def __init__(
        self,
        assigned: Callable[[Iterable[TopicPartition]], None],
        revoked: Callable[[Iterable[TopicPartition], bool], None],
    ) -> None:
        """``revoked`` also gets whether they are lost already."""
        self._assigned, self._revoked = assigned, revoked

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._assigned(assigned)

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._revoked(revoked, False)

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        self._revoked(lost, True)
