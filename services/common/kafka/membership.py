"""A consumer group's membership that heals: kafka-python 3.0.12 can stop sending heartbeats without a word.

Seen on a starved machine: the member is thrown out after its session's time, is never told, so never joins again, and
all that it commits is refused. What is silent or refused for too long is therefore given up for a new member.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.coordinator.base import MemberState
from kafka.errors import CommitFailedError, KafkaError

from services.common.kafka.clients import KafkaConfig, make_consumer, subscribe

log = logging.getLogger(__name__)

_SILENT_SESSIONS: Final = 1.5
"""After one session's time without a heartbeat the group has surely thrown the member out."""
_PERSISTS_S: Final = 2.0
"""The silence must last so long while the coordinator is known: one that has just come back answers at once."""
_REFUSALS: Final = 4
_CLOSE_MS: Final = 1000


class Membership:
    """Owned by one thread. ``topics`` with prefix; ``listener`` gets the rebalances of each consumer in turn."""

    def __init__(
        self, config: KafkaConfig, group: str, topics: Sequence[str], listener: ConsumerRebalanceListener
    ) -> None:
        self._config, self._group, self._topics, self._listener = config, group, list(topics), listener
        self._consumer: KafkaConsumer | None = None
        self._refusals = 0
        self._joined_s = 0.0
        self._silent_since_s: float | None = None

    def join(self) -> KafkaConsumer:
        """A new consumer; the one before is closed after, and its group told, if that can be done quickly.

        Raises: kafka.errors.KafkaError: no broker answers. ConfigError: a topic is missing. The one before stays then.
        """
        self._silent_since_s, self._refusals, self._joined_s = None, 0, time.monotonic()
        consumer = make_consumer(self._config, group=self._group)
        try:
            subscribe(consumer, self._topics, self._listener)
        except BaseException:
            consumer.close(timeout_ms=_CLOSE_MS)
            raise
        before, self._consumer = self._consumer, consumer
        if before is not None:
            with suppress(KafkaError, OSError):
                before.close(timeout_ms=_CLOSE_MS)
        return consumer

    def committed(self) -> None:
        """The group took a commit of this member."""
        self._refusals = 0

    def refused(self, error: BaseException | None) -> None:
        """A commit failed for this reason; those of other kinds say nothing of the membership."""
        if isinstance(error, CommitFailedError):
            self._refusals += 1

    def lost(self) -> str | None:
        """Why this member must be taken for dead; None: it lives, or is joining."""
        if self._consumer is None:
            return None
        _remember_join(self._consumer)
        now_s, session_s = time.monotonic(), self._config.session_timeout_ms / 1000
        silent_s = _silent_s(self._consumer)
        if silent_s <= _SILENT_SESSIONS * session_s:
            self._silent_since_s = None
        elif self._silent_since_s is None:
            self._silent_since_s = now_s
        elif now_s - self._silent_since_s > _PERSISTS_S:
            return f"no heartbeat was answered for {silent_s:.0f} s"
        if self._refusals >= _REFUSALS and now_s - self._joined_s > session_s:
            return f"its commits were refused {self._refusals} times"
        return None


def _remember_join(consumer: KafkaConsumer) -> None:
    """Keep a join that is under way from being forgotten; between any two polls.

    The group's leader joins anew when the topics' metadata changed. If its poll's time ends while that is under way,
    and the assignment that it makes meanwhile takes the change into account, kafka-python sees no more reason to join
    and never takes the answer: no heartbeats from then on, every poll returns at once, nothing is told. A reason that
    it is given stays until the join is complete. Looks into kafka-python's insides.
    """
    coordinator = consumer._coordinator
    if coordinator.rejoining and not coordinator.rejoin_needed:
        coordinator.request_rejoin()


def _silent_s(consumer: KafkaConsumer) -> float:
    """Since a known coordinator last answered a member that believes to be one, s; 0 while there is none of either.

    Looks into kafka-python's insides.
    """
    coordinator = consumer._coordinator
    if coordinator.state is not MemberState.STABLE or coordinator.coordinator_unknown():
        return 0.0
    beat = coordinator.heartbeat
    return float(time.monotonic() - max(beat.last_receive, beat.last_reset))
