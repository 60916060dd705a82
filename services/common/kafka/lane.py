"""One stream of one partition: its processor, what waits for it, and what of it is safe."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

from services.common import codec
from services.common.errors import InputError
from services.common.kafka.messages import Record
from services.common.kafka.stage import StageSpan, StreamProcessor
from services.common.processor import Mark
from services.common.telemetry.logs import stream_context
from services.common.types import StreamKey

_ENDED_KEPT: Final = 4
Make = Callable[[StreamKey], StreamProcessor]


@dataclass(slots=True, eq=False)
class Input:
    """One decoded record on its way. ``made``: a mark that the runner itself inserted before the record. ``room``: it
    takes some of what there is for items at work elsewhere."""

    record: Record
    item: Any
    stream: StreamKey
    made: bool = False
    room: bool = False
    started_s: float = 0.0
    span: StageSpan | None = None

    @contextmanager
    def named(self) -> Iterator[None]:
        """Log lines inside name the stream, and the trace if there is one."""
        with stream_context(self.stream), self.span.active() if self.span is not None else nullcontext():
            yield


@dataclass(slots=True, eq=False)
class Lane:
    """The inputs of one record key, in order.

    ``next_offset``: of the first input that is not in the processor's state. ``base``: restoring from the last
    committed snapshot needs the inputs from here on; None: it needs none. ``finished``: offset of the last input of a
    session that is over. ``held``: the snapshot taken when the last input was completed (stages with futures: later the
    next input is at work and the state must not be read).
    """

    key: bytes
    stream: StreamKey | None = None
    processor: StreamProcessor | None = None
    waiting: deque[Input] = field(default_factory=deque)
    running: Input | None = None
    next_offset: int = 0
    base: int | None = None
    finished: int | None = None
    time_s: float | None = None
    ended: tuple[str, ...] = ()
    held: codec.Snapshot | None = None
    snapshot_at_s: float = 0.0
    touched_s: float = 0.0

    def open(self, make: Make, stream: StreamKey) -> StreamProcessor:
        """The processor of ``stream``, made if it is a new session.

        Raises:
            InputError: that session is over.
        """
        if stream.session_id in self.ended:
            raise InputError(f"The session {stream} is over; nothing can be added to it.")
        if self.processor is None or self.stream != stream:
            self.processor = make(stream)
            self.stream, self.time_s, self.finished = stream, None, None
        return self.processor

    def must_flush(self, stream: StreamKey) -> bool:
        """Whether another session is still open and has to be ended before ``stream`` begins."""
        return self.processor is not None and self.stream != stream and stream.session_id not in self.ended

    def passed(self, given: Input, accepted: bool) -> None:
        """An input was worked: the state holds it (a refused one may have touched the state as well)."""
        offset = given.record.offset
        if self.base is None:
            self.base = offset
        if not given.made:
            self.next_offset = offset + 1
        time_s = getattr(given.item, "time_s", getattr(given.item, "decided_s", None))
        if accepted and time_s is not None:
            self.time_s = time_s if self.time_s is None else max(self.time_s, time_s)

    def finish(self) -> None:
        """The session is over: only that is remembered of it."""
        if self.stream is not None:
            self.ended = (*self.ended, self.stream.session_id)[-_ENDED_KEPT:]
            self.processor, self.finished = None, self.next_offset - 1

    def snapshot(self, topic: str, partition: int) -> codec.Snapshot:
        """What has to be known to go on at ``next_offset``. Not while an input is at work."""
        assert self.stream is not None
        state = b"" if self.processor is None else self.processor.snapshot()
        return codec.Snapshot(
            self.stream, state, topic, partition, self.next_offset, time_s=self.time_s, ended_session_ids=self.ended
        )

    @classmethod
    def of(cls, key: bytes, snapshot: codec.Snapshot, make: Make, now_s: float) -> "Lane":
        """The lane as it was. Raises: what ``make`` and ``restore`` raise."""
        lane = cls(
            key,
            snapshot.stream,
            next_offset=snapshot.input_offset,
            time_s=snapshot.time_s,
            ended=snapshot.ended_session_ids,
            snapshot_at_s=now_s,
            touched_s=now_s,
        )
        if snapshot.stream.session_id in snapshot.ended_session_ids:
            lane.finished = snapshot.input_offset - 1
            return lane
        lane.processor = make(snapshot.stream)
        if snapshot.state:
            lane.processor.restore(snapshot.state)
        return lane


def over(mark: Mark) -> bool:
    """Whether a mark ends its session."""
    return mark.kind == "eof"
