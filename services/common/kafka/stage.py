"""What a service tells the runner of its stage."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from services.common.processor import Mark
from services.common.types import StreamKey

Outputs = Sequence[Any]


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
        shed: asked before an item is begun while ``newer`` items of its stream wait behind it; a reason (upper snake
            word) drops the item, None keeps it. For live streams.
        published: is told of every output once its transaction is committed (to count it; must be quick).
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
    shed: Callable[[Any, int], str | None] | None = None
    published: Callable[[Any], None] | None = None
    idle_s: float = 1800.0
