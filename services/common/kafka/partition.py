"""What the runner knows of one partition. No Kafka here: records go in, plans of transactions come out.

Invariants. Every output of an input is in exactly one committed transaction, which also holds either a committed offset
behind that input or a snapshot of its stream behind it. Restoring gives each stream's snapshot, replays from the
committed ``replay_from``, skips what a stream's snapshot holds, and keeps quiet below the committed offset.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Final

from services.common import codec
from services.common.errors import ConfigError, FormcheckError, InputError
from services.common.kafka.lane import Input, Lane, Make, over
from services.common.kafka.messages import (
    CAPTURED_HEADER,
    EXERCISE_HEADER,
    TRACE_HEADER,
    Record,
    decode,
    stream_key,
    stream_of,
)
from services.common.kafka.outgoing import Outgoing, dead_letter, outgoing
from services.common.kafka.plan import Plan, Restored, state_key
from services.common.kafka.room import Room
from services.common.kafka.stage import STALE, Outputs, SkippedError, Spans, Stage
from services.common.metrics_protocol import RunnerMetrics
from services.common.processor import Mark, MarkKind

log = logging.getLogger(__name__)

_PASSED_ON: Final = (TRACE_HEADER, CAPTURED_HEADER, EXERCISE_HEADER)


class PartitionWork:
    """The streams of one partition. Used by one thread; ``finished`` may be called by any.

    Args:
        finished: takes this object, a lane, its input and the future that is done: call ``completed`` with them.
        spans: begins the trace of an input.
        room: for items at work elsewhere, shared with other partitions.
        clock: seconds, monotonic; only for the spacing of snapshots and for what is measured.
    """

    def __init__(
        self,
        stage: Stage,
        topic: str,
        partition: int,
        restored: Restored,
        *,
        metrics: RunnerMetrics,
        finished: Callable[["PartitionWork", Lane, Input, Future[Outputs]], None],
        spans: Spans | None = None,
        room: Room | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic, self.partition, self.alive = topic, partition, True
        self.committed = restored.committed
        self.quiet_until = restored.committed or 0
        self.position = restored.replay_from
        self.replayed = 0
        self._stage, self._metrics, self._finished, self._clock = stage, metrics, finished, clock
        self._spans, self._room = spans, room or Room()
        self._make, self._live = stage.maker(topic), topic in stage.live
        self._arrived: deque[Record] = deque()
        self._running = 0
        self._resting = False
        self._outstanding: dict[int, None] = {}
        self._outputs: list[Outgoing] = []
        self._items: list[Any] = []
        # Of no stream, so no snapshot would say that they are dealt with: they wait for the committed offset.
        self._unreadable: dict[int, Outgoing] = {}
        self._lanes: dict[bytes, Lane] = {}
        self._dirty: dict[bytes, Lane] = {}
        self._ended: dict[bytes, Lane] = {}
        for key, snapshot in restored.snapshots.items():
            self._restore(key, snapshot)

    def _restore(self, key: bytes, snapshot: codec.Snapshot) -> None:
        try:
            lane = Lane.of(key, snapshot, self._make, self._clock())
        except Exception as error:  # a stream that starts afresh is better than a stage that cannot start
            log.error("the snapshot of %s cannot be restored, the stream starts afresh: %r", snapshot.stream, error)
            lane = Lane(key, next_offset=snapshot.input_offset, touched_s=self._clock())
        self._lanes[key] = lane
        if lane.finished is not None:
            self._ended[key] = lane

    # -- inputs ---------------------------------------------------------------------------------------------------

    @property
    def load(self) -> int:
        """Records that wait or are at work."""
        return len(self._outstanding)

    @property
    def in_flight(self) -> int:
        """Inputs that are at work elsewhere."""
        return self._running

    @property
    def idle(self) -> bool:
        """Nothing arrived that is not begun."""
        return not self._arrived

    @property
    def unsaved(self) -> bool:
        """Something is completed and not committed."""
        return bool(self._outputs or self._dirty) or self._prefix() != self.quiet_until

    @property
    def urgent(self) -> bool:
        """Something is to be published."""
        return bool(self._outputs or self._unreadable)

    def accept(self, record: Record) -> None:
        """Take a record from the topic, in the order of offsets."""
        if record.offset < self.position:
            return
        self.position = record.offset + 1
        self._outstanding[record.offset] = None
        self._arrived.append(record)

    def step(self) -> bool:
        """Begin one record. Returns False if there was none."""
        if not self._arrived:
            return False
        record = self._arrived.popleft()
        if record.offset < self.quiet_until:
            self.replayed += 1
        try:
            item = decode(record)
            stream = stream_of(item)
            if stream_key(stream) != record.key:
                raise InputError(f"The record's key is {record.key!r}, its content belongs to {stream}.")
        except (FormcheckError, ValueError, AttributeError) as error:
            if record.offset >= self.quiet_until:
                self._unreadable[record.offset] = self._dead(record, error)
            self._done(record)
            return True
        lane = self._lanes.get(record.key)
        if lane is None:
            now_s = self._clock()
            lane = self._lanes[record.key] = Lane(record.key, snapshot_at_s=now_s, touched_s=now_s)
        if record.offset < lane.next_offset:
            self._done(record)
            return True
        lane.touched_s = self._clock()
        lane.waiting.append(Input(record, item, stream))
        self._advance(lane)
        return True

    def completed(self, lane: Lane, given: Input, future: Future[Outputs]) -> None:
        """A future that a processor gave is done."""
        self._leave(given)
        if not self.alive or lane.running is not given:
            return
        error = future.exception() if not future.cancelled() else InputError("The work was cancelled.")
        if error is not None and not isinstance(error, Exception):
            raise error
        self._running -= 1
        with given.named():
            self._complete(lane, given, () if error else future.result(), error)
        self._advance(lane)

    def rest(self) -> None:
        """Begin nothing more: what waits is left to whoever comes next."""
        self._resting = True
        self._arrived.clear()

    def end_idle(self) -> None:
        """End the streams that brought nothing for a long time: their source is gone for good."""
        if self.replaying:
            return
        before_s = self._clock() - self._stage.idle_s
        for lane in list(self._lanes.values()):
            if lane.touched_s < before_s and lane.running is None and lane.processor is not None and lane.stream:
                log.warning("%s brought nothing for %.0f s and is ended", lane.stream, self._stage.idle_s)
                record = Record(self.topic, self.partition, max(self.position, self.quiet_until), lane.key, None)
                self._start(lane, self._end_of(lane, record))

    def drop(self, ours: bool = False) -> None:
        """What comes of work in flight is ignored: the partition is another replica's now, or (``ours``) read anew."""
        self.alive = False
        self.rest()
        for lane in self._lanes.values() if not ours else ():
            if lane.processor is not None and lane.stream is not None:
                self._metrics.stream_ended(lane.stream)

    # -- working --------------------------------------------------------------------------------------------------

    def _advance(self, lane: Lane) -> None:
        while lane.waiting and lane.running is None and not self._resting:
            given = lane.waiting[0]
            if lane.must_flush(given.stream):
                self._start(lane, self._end_of(lane, given.record))
                continue
            if not isinstance(given.item, Mark):
                if self._live and any(not isinstance(w.item, Mark) for w in islice(lane.waiting, 1, None)):
                    self._skip(lane, lane.waiting.popleft())
                    continue
                if not self._room.take(lane, partial(self._advance, lane)):
                    return
                given.room = True
            self._start(lane, lane.waiting.popleft())

    def _skip(self, lane: Lane, given: Input) -> None:
        """Newer ones wait behind it."""
        self._metrics.skipped(given.stream, STALE)
        lane.passed(given, accepted=False)
        self._touch(lane)
        if lane.held is not None:
            lane.held = replace(lane.held, input_offset=lane.next_offset)
        self._done(given.record)

    def _leave(self, given: Input) -> None:
        if given.room:
            given.room = False
            self._room.leave()

    def _end_of(self, lane: Lane, record: Record) -> Input:
        assert lane.stream is not None
        return Input(record, Mark(lane.stream, MarkKind.EOF, lane.time_s or 0.0), lane.stream, made=True)

    def _start(self, lane: Lane, given: Input) -> None:
        given.started_s = self._clock()
        if self._spans is not None and given.record.offset >= self.quiet_until:
            given.span = self._spans(self._stage.name, given.record.headers, given.stream)
        with given.named():
            self._work(lane, given)

    def _work(self, lane: Lane, given: Input) -> None:
        try:
            processor = lane.open(self._maker(given.record), given.stream)
            if self._stage.snapshot_s == 0 and lane.held is None:
                lane.held = lane.snapshot(self.topic, self.partition)
            work = processor.on_mark if isinstance(given.item, Mark) else processor.on_item
            result = work(given.item)
        except MemoryError:
            raise
        except Exception as error:  # whatever a record does to a processor, the run goes on without it
            self._complete(lane, given, (), error)
            return
        if isinstance(result, Future):
            if self._stage.snapshot_s > 0:
                raise ConfigError(f"The stage '{self._stage.name}' answers with futures: its snapshot_s must be 0.")
            lane.running = given
            self._running += 1
            result.add_done_callback(lambda future: self._finished(self, lane, given, future))
        else:
            self._complete(lane, given, result, None)

    def _maker(self, record: Record) -> Make:
        make_for = self._stage.make_for
        return self._make if make_for is None else lambda stream: make_for(stream, record.headers)

    def _complete(self, lane: Lane, given: Input, outputs: Outputs, error: Exception | None) -> None:
        lane.running = None
        self._leave(given)
        lane.passed(given, accepted=error is None)
        self._touch(lane)
        if isinstance(error, SkippedError):
            self._metrics.skipped(given.stream, error.reason)
        elif error is not None:
            self._refuse(given, error)
        else:
            self._metrics.handled(given.stream, self._clock() - given.started_s)
            self._publish(given, [o for o in outputs if isinstance(o, self._stage.publishes)])
        if isinstance(given.item, Mark):
            if error is None:
                self._publish(given, [given.item])
            if over(given.item) and given.stream == lane.stream and lane.processor is not None:
                lane.finish()
                self._ended[lane.key] = lane
                self._metrics.stream_ended(given.stream)
        if self._stage.snapshot_s == 0 and lane.stream is not None:
            lane.held = lane.snapshot(self.topic, self.partition)
        if given.span is not None:
            given.span.end(error)
        if not given.made:
            self._done(given.record)

    def _touch(self, lane: Lane) -> None:
        self._dirty[lane.key] = lane
        if lane.finished is None:
            self._ended.pop(lane.key, None)

    def _publish(self, given: Input, items: list[Any]) -> None:
        record = given.record
        if record.offset < self.quiet_until:
            return
        passed_on = tuple((k, v) for k, v in record.headers if k in _PASSED_ON)
        if given.span is not None:
            passed_on = tuple((k, v) for k, v in passed_on if k != TRACE_HEADER) + tuple(given.span.headers())
        captured = getattr(given.item, "captured_unix_s", 0.0)
        if captured:
            passed_on = (*passed_on, (CAPTURED_HEADER, repr(captured).encode()))
        self._items += [item for item in items if isinstance(item, self._stage.publishes)]
        self._outputs += [outgoing(self._stage.output, item, passed_on) for item in items]

    def _refuse(self, given: Input, error: Exception) -> None:
        if given.record.offset < self.quiet_until:
            return
        if given.made:  # the record is innocent
            log.error("the end of %s went wrong: %r", given.stream, error)
            return
        self._outputs.append(self._dead(given.record, error))

    def _dead(self, record: Record, error: Exception) -> Outgoing:
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "key": record.key}
        log.warning("a record goes to the DLQ: %s", error, extra=place)
        self._metrics.dead_letter(record.topic, type(error).__name__)
        return dead_letter(record, error, self._stage.name)

    def _done(self, record: Record) -> None:
        self._outstanding.pop(record.offset, None)

    # -- transactions ---------------------------------------------------------------------------------------------

    @property
    def replaying(self) -> bool:
        """Still below what was committed before."""
        return self._prefix() < self.quiet_until

    def _prefix(self) -> int:
        return next(iter(self._outstanding), self.position)

    def plan(self, everything: bool = False) -> Plan | None:
        """What the next transaction should hold of this partition; None: nothing.

        ``everything``: snapshots of all streams that changed, due or not (the partition is about to be given up).
        """
        prefix = self._prefix()
        if prefix < self.quiet_until:
            return None
        now_s = self._clock()
        for lane in [lane for lane in self._dirty.values() if lane.stream is None and not lane.waiting]:
            del self._dirty[lane.key], self._lanes[lane.key]  # nothing of it was ever accepted
        saved = [lane for lane in self._dirty.values() if lane.stream and self._due(lane, prefix, now_s, everything)]
        kept = {id(lane) for lane in saved}
        bases = [lane.base for lane in self._dirty.values() if id(lane) not in kept and lane.base is not None]
        start = min([prefix, *bases])
        forgotten = [lane for lane in self._ended.values() if self._forgettable(lane, start)]
        outputs = self._outputs + [letter for offset, letter in self._unreadable.items() if offset < prefix]
        if not outputs and not saved and not forgotten and prefix == self.quiet_until:
            return None
        snapshots = [self._snapshot(lane) for lane in saved]
        snapshots += [self._state(lane.key, None) for lane in forgotten]
        return Plan(prefix, start, outputs, self._items, snapshots, saved, forgotten)

    def _due(self, lane: Lane, prefix: int, now_s: float, everything: bool) -> bool:
        """A stream that is ahead of what is committed of its partition must tell so, or its inputs are worked twice."""
        if everything or lane.next_offset > prefix or lane.finished is not None:
            return True
        return now_s - lane.snapshot_at_s >= self._stage.snapshot_s

    @staticmethod
    def _forgettable(lane: Lane, start: int) -> bool:
        """The end is committed, and no replay will come across its inputs again."""
        if lane.finished is None or lane.waiting or lane.running is not None:
            return False
        return lane.base is None and lane.finished < start

    def _snapshot(self, lane: Lane) -> Outgoing:
        held = lane.held if lane.held is not None else lane.snapshot(self.topic, self.partition)
        message = codec.snapshot_to_proto(held)
        value = message.SerializeToString()
        self._metrics.snapshot(len(value))
        return self._state(lane.key, value)

    def _state(self, key: bytes, value: bytes | None) -> Outgoing:
        return Outgoing(self._stage.state, state_key(self.topic, key), value, (), self.partition)

    def committed_plan(self, plan: Plan) -> None:
        """The transaction with ``plan`` went through; nothing was completed meanwhile."""
        self.committed = plan.offset
        self.quiet_until = max(self.quiet_until, plan.offset)
        self._outputs, self._items = [], []
        self._unreadable = {offset: letter for offset, letter in self._unreadable.items() if offset >= plan.offset}
        now_s = self._clock()
        for lane in plan.saved:
            lane.base, lane.snapshot_at_s = None, now_s
            self._dirty.pop(lane.key, None)
        for lane in plan.forgotten:
            self._ended.pop(lane.key, None)
            self._lanes.pop(lane.key, None)
