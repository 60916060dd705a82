"""What waits to be committed: files' frames and marks, events, states. Records leave it in batches, and are kept until
it is certain that their transaction went through.

With each batch goes the state of every stream that it speaks of, so a file's position is committed with its frames.
"""

import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from kafka import TopicPartition

from services.common import topics
from services.common.codec import EncodedFrame
from services.common.kafka.outgoing import Outgoing
from services.common.metrics_protocol import RunnerMetrics
from services.ingest.adapters.committer import Batch
from services.ingest.adapters.streams_codec import event_record, state_record
from services.ingest.core.session import FilePosition
from services.ingest.core.streams import Counters, StreamEvent

MOST_FRAMES: Final = 256
_LEAST_FRAMES: Final = 8
_MOST_BYTES: Final = 8 << 20
"""Of one transaction."""
_MOST_WAITING: Final = 50_000
"""Records, beside frames: what an hour without Kafka may bring."""


@dataclass(slots=True, eq=False)
class _Home:
    """A stream, from when this replica gets it until it is removed. ``event``: the last one, committed or not."""

    partition: int
    offset: int
    event: StreamEvent | None


@dataclass(slots=True, eq=False)
class _Entry:
    """``record`` None: only the state changes. ``forget``: the stream is removed."""

    name: str
    partition: int
    record: Outgoing | None
    frame: EncodedFrame | None = None
    event: StreamEvent | None = None
    forget: _Home | None = None


@dataclass(slots=True)
class _State:
    """Of a stream, as of the entries before. ``session_id``: whose ``position`` is."""

    event: StreamEvent | None = None
    session_id: str = ""
    position: FilePosition | None = None

    def told(self) -> StreamEvent | None:
        """The event, brought up to the position; None = the stream is removed."""
        event = self.event
        if event is None or event.stream.session_id.isdecimal():  # a camera's
            return event
        if self.position is None or self.session_id != event.stream.session_id:
            return replace(event, next_sequence=0)
        return replace(event, next_sequence=self.position.sequence + 1, time_s=self.position.time_s)


class Outbox:
    """Used by the service's loop. ``topic``: ``streams.v1`` with its prefix; ``most_frames``: of one batch."""

    def __init__(self, topic: str, metrics: RunnerMetrics, most_frames: int = MOST_FRAMES) -> None:
        self._topic, self._metrics = topic, metrics
        self._most_frames = self._frames_now = most_frames
        self._waiting: deque[_Entry] = deque()
        self._taken: list[_Entry] = []
        self._homes: dict[str, _Home] = {}
        self._states: dict[str, _State] = {}  # as they are committed
        self._next: dict[str, _State] = {}  # as they are with what is taken
        self._planned: dict[int, int] = {}
        self._frames: Counter[int] = Counter()
        self._bytes: Counter[int] = Counter()
        self.consumed: dict[int, int] = {}
        """Partition → offset of ``streams.v1`` up to which this replica has followed; set by its owner."""
        self.dirty: set[int] = set()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._taken)

    def home(self, name: str) -> int | None:
        """The partition of a stream of this replica."""
        home = self._homes.get(name)
        return None if home is None else home.partition

    def frames(self, partition: int) -> tuple[int, int]:
        """Number and bytes of the frames that are not committed yet."""
        return self._frames[partition], self._bytes[partition]

    def begin(
        self, name: str, partition: int, offset: int, last: StreamEvent | None, position: FilePosition | None
    ) -> None:
        """A stream is this replica's from here on."""
        self._homes[name] = _Home(partition, offset, last)
        if not any(entry.name == name for entry in (*self._taken, *self._waiting)):  # not of one just removed
            self._states[name] = _State(last, "" if last is None else last.stream.session_id, position)

    def frame(self, name: str, frame: EncodedFrame, record: Outgoing) -> None:
        partition = self._homes[name].partition
        self._frames[partition] += 1
        self._bytes[partition] += len(frame.jpeg)
        self._add(_Entry(name, partition, replace(record, partition=partition), frame=frame))

    def record(self, name: str, record: Outgoing) -> None:
        """A mark of a file."""
        partition = self._homes[name].partition
        self._add(_Entry(name, partition, replace(record, partition=partition)))

    def event(self, name: str, event: StreamEvent) -> None:
        partition = self._homes[name].partition
        self._homes[name].event = event
        self._add(_Entry(name, partition, event_record(event, partition), event=event))

    def refresh(self, name: str, counters: Counters, time_s: float) -> None:
        """Bring the counters, and a camera's time, of the state up to now."""
        home = self._homes.get(name)
        if home is None or home.event is None or home.event.counters == counters:
            return
        home.event = replace(home.event, counters=counters, time_s=time_s)
        self._add(_Entry(name, home.partition, None, event=home.event))

    def forget(self, name: str) -> None:
        """The stream is removed: with what comes before it is committed, its state goes."""
        home = self._homes.get(name)
        if home is not None:
            self._add(_Entry(name, home.partition, None, forget=home))

    def letter(self, partition: int, record: Outgoing) -> None:
        """Something for a DLQ; goes first, so that no offset behind it is committed before."""
        self._waiting.appendleft(_Entry("", partition, record))

    def drop(self, partitions: Iterable[int]) -> None:
        """They are another replica's now, and what of them is not committed is done again there."""
        gone = set(partitions)
        self._waiting = deque(e for e in self._waiting if e.partition not in gone)
        self._taken = [e for e in self._taken if e.partition not in gone]
        for name in [name for name, home in self._homes.items() if home.partition in gone]:
            del self._homes[name]
            self._states.pop(name, None)
            self._next.pop(name, None)
        for partition in gone:
            self.consumed.pop(partition, None)
            self.dirty.discard(partition)
            self._frames.pop(partition, None)
            self._bytes.pop(partition, None)

    def plan(self) -> Batch | None:
        """The next batch, of what waits longest; ``settle`` before the next. None = nothing is to be done."""
        assert not self._taken
        self._next = {}
        frames = size = 0
        while self._waiting:
            entry = self._waiting[0]
            if entry.frame is not None:  # what follows a frame goes with it: a file's end and its mark are one
                frames += 1
                size += len(entry.frame.jpeg)
                if frames > 1 and (frames > self._frames_now or size > _MOST_BYTES):
                    break
            self._taken.append(self._waiting.popleft())
            self._apply(entry)
        partitions = {e.partition for e in self._taken} | self.dirty
        if not partitions:
            return None
        records = [e.record for e in self._taken if e.record is not None]
        for name, state in self._next.items():
            home = self._homes[name]
            records.append(state_record(name, state.told(), home.partition, home.offset))
        self._planned = {p: self.consumed[p] for p in partitions if p in self.consumed}
        offsets = {TopicPartition(self._topic, p): offset for p, offset in self._planned.items()}
        return Batch(records, offsets)

    def settle(self, committed: bool) -> dict[int, int]:
        """The batch's fate is known; returns the records of each partition of ``frames.file.v1`` that came to be."""
        taken, self._taken = self._taken, []
        if not committed:
            self._waiting.extendleft(reversed(taken))
            # On a starved machine a large transaction may never end within its time: try a smaller one.
            self._frames_now = max(min(_LEAST_FRAMES, self._most_frames), self._frames_now // 2)
            return {}
        self._frames_now = min(self._most_frames, 2 * self._frames_now)
        written: Counter[int] = Counter()
        produced: Counter[str] = Counter()
        now_s = time.time()
        for entry in taken:
            if entry.record is not None:
                produced[entry.record.topic] += 1
                written[entry.partition] += entry.record.topic == topics.FRAMES_FILE
            if entry.frame is not None:
                self._frames[entry.partition] -= 1
                self._bytes[entry.partition] -= len(entry.frame.jpeg)
                self._metrics.latency(topics.FRAMES_FILE, now_s - entry.frame.captured_unix_s)
        for topic, count in produced.items():
            self._metrics.produced(topic, count)
            if entry.forget is not None and self._homes.get(entry.name) is entry.forget:  # and not added anew
                del self._homes[entry.name]
                self._states.pop(entry.name, None)
                self._next.pop(entry.name, None)
        self._states |= self._next
        self._next = {}
        self.dirty -= {p for p, offset in self._planned.items() if self.consumed.get(p) == offset}
        return {partition: count for partition, count in written.items() if count}

    def _add(self, entry: _Entry) -> None:
        if len(self._waiting) >= _MOST_WAITING and entry.frame is None and entry.event is not None:
            self.dropped += 1
            return
        self._waiting.append(entry)

    def _apply(self, entry: _Entry) -> None:
        """What the entry makes of its stream's state."""
        if entry.name not in self._homes:
            return
        state = self._next.get(entry.name)
        if state is None:
            state = self._next[entry.name] = replace(self._states.get(entry.name) or _State())
        if entry.forget is not None:
            state.event, state.session_id, state.position = None, "", None
        if entry.event is not None:
            state.event = entry.event
        if entry.frame is not None:
            state.session_id = entry.frame.stream.session_id
            state.position = FilePosition(entry.frame.sequence, entry.frame.time_s)
