"""What a service tells the runner of its stage."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from services.common.errors import FormcheckError
from services.common.kafka.messages import Headers
from services.common.processor import Mark
from services.common.types import StreamKey

Outputs = Sequence[Any]
STALE: Final = "STALE"
"""Why a live item is left out when newer ones wait behind it."""


class SkippedError(FormcheckError):
    """A processor raises it, or its future fails with it: the item is left out on purpose, counted by ``reason`` (upper
    snake word), and does not go to the DLQ. The processor's state must be what it was."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The item is left out: {reason}.")
        self.reason = reason


class StreamProcessor(Protocol):
    """``services.common.processor.Processor``, or one that works elsewhere and answers with a future.

    With futures, one item of a stream is in flight at a time, and ``snapshot`` is asked between two of them only, so
    the work may be done by any thread. A future that fails sends its item to the DLQ.
    """

    def on_item(self, item: Any) -> Outputs | Future[Outputs]: ...

    def on_mark(self, mark: Mark) -> Outputs | Future[Outputs]: ...

    def snapshot(self) -> bytes: ...

    def restore(self, state: bytes) -> None: ...


class StageSpan(Protocol):
    """The trace of one input's way through the stage (``services.common.telemetry.tracing``)."""

    def headers(self) -> list[tuple[str, bytes]]: ...

    def active(self) -> AbstractContextManager[object]: ...

    def end(self, error: BaseException | None = None) -> None: ...


Spans = Callable[[str, Sequence[tuple[str, bytes]], StreamKey], StageSpan]
"""``Tracing.stage``: name of the stage, headers of the record, stream."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the pipeline, as the runner drives it.

    Args:
        name: consumer group, and the first part of the transactional id.
        inputs: topics, without prefix.
        output: topic of everything that the processors give and that ``publishes`` lets pass; marks follow them.
        state: the compacted topic of snapshots, with one partition per partition of the inputs.
        make: a fresh processor for one session of one stream.
        publishes: types of outputs to publish; others (traces) are dropped.
        snapshot_s: how often a stream's snapshot is written. 0: in every transaction, which a stage must choose
            whose processors answer with futures, or which does not want to work an input twice after a restart.
        transaction_s: the least time between two transactions.
        waiting: records of one partition that may wait or be at work before it is paused.
        in_flight_max: items at work elsewhere at once, of live topics and of others apart, so that neither starves the
            other; 0: no limit. Streams that wait for room get it in turn.
        live: topics of which the newest item wins: one that newer ones of its stream wait behind, when its turn comes,
            is skipped as ``STALE``.
        make_live: ``make`` for their streams; None: the same.
        make_for: ``make`` for a session whose first record has these headers, which carry what the stream's owner
            asked for (``messages.EXERCISE_HEADER``); None: nothing is taken from them. A restored session is made by
            ``make``: its snapshot holds what was asked.
        published: is told of every output (no marks) once its transaction is committed (to count it; must be quick).
        idle_s: a stream that brought nothing, not even a mark, for this long is ended.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    state: str
    make: Callable[[StreamKey], StreamProcessor]
    publishes: tuple[type, ...]
    snapshot_s: float = 1.0
    transaction_s: float = 0.08
    waiting: int = 256
    in_flight_max: int = 0
    live: frozenset[str] = frozenset()
    make_live: Callable[[StreamKey], StreamProcessor] | None = None
    make_for: Callable[[StreamKey, Headers], StreamProcessor] | None = None
    published: Callable[[Any], None] | None = None
    idle_s: float = 1800.0

    def maker(self, topic: str) -> Callable[[StreamKey], StreamProcessor]:
        """What makes the processors of a topic's streams."""
        return self.make_live if self.make_live is not None and topic in self.live else self.make
