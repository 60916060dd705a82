"""Wherever a stage dies: every output is published once, in its stream's order, and says what it would have said.

The log here is a list, a transaction an assignment; the real ones are in tests/integration/test_kafka_*.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import pytest
from formcheck.v1 import state_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common import codec
from services.common.errors import ConfigError, InputError
from services.common.kafka.messages import MESSAGE_HEADER, Record, decode, encode, stream_key
from services.common.kafka.outgoing import Outgoing
from services.common.kafka.partition import PartitionWork
from services.common.kafka.plan import Restored, replay_from
from services.common.kafka.stage import Stage
from services.common.metrics_protocol import NO_METRICS
from services.common.processor import Mark, MarkKind
from services.common.types import PoseFrame, Repetition, Status, StreamKey

TOPIC = "poses.v1"
OUT = "repetitions.v1"


class Counter:
    """Gives one repetition per item, with the running sum and count of what it saw; refuses sequence 666."""

    def __init__(self, stream: StreamKey) -> None:
        self.stream, self.sum, self.count = stream, 0, 0

    def on_item(self, item: PoseFrame) -> Sequence[Repetition]:
        assert item.stream == self.stream
        if item.sequence == 666:
            raise InputError("666 is refused.")
        self.sum += item.sequence
        self.count += 1
        return [self._event(item.time_s)]

    def on_mark(self, mark: Mark) -> Sequence[Repetition]:
        return [self._event(mark.time_s)] if mark.kind is MarkKind.EOF else []

    def snapshot(self) -> bytes:
        return f"{self.sum} {self.count}".encode()

    def restore(self, state: bytes) -> None:
        self.sum, self.count = map(int, state.split())

    def _event(self, time_s: float) -> Repetition:
        return Repetition(
            id=f"{self.stream}:{self.count}", stream=self.stream, track_id=self.sum, status=Status.CONFIRMED,
            onset_s=time_s, decided_s=time_s, index=self.count,
        )  # fmt: skip


class Elsewhere(Counter):
    """The same, answered later by futures that the test completes in an order of its own."""

    def __init__(self, stream: StreamKey, open_: list[Future[Sequence[Repetition]]]) -> None:
        super().__init__(stream)
        self._open = open_

    def on_item(self, item: PoseFrame) -> Future[Sequence[Repetition]]:  # type: ignore[override]
        future: Future[Sequence[Repetition]] = Future()
        future.work = lambda: self._do(future, item)  # type: ignore[attr-defined]
        self._open.append(future)
        return future

    def _do(self, future: Future[Sequence[Repetition]], item: PoseFrame) -> None:
        try:
            future.set_result(Counter.on_item(self, item))
        except InputError as error:
            future.set_exception(error)


def a_stage(asynchronous: bool, open_: list[Future[Sequence[Repetition]]], snapshot_s: float = 1.0) -> Stage:
    return Stage(
        "test", (TOPIC,), OUT, "test-state.v1",
        make=(lambda stream: Elsewhere(stream, open_)) if asynchronous else Counter,
        publishes=(Repetition,), snapshot_s=0.0 if asynchronous else snapshot_s, idle_s=100.0,
    )  # fmt: skip


@dataclass
class World:
    """What survives a crash."""

    log: list[Record]
    stage: Stage
    open: list[Future[Sequence[Repetition]]]
    out: list[Outgoing] = field(default_factory=list)
    state: dict[bytes, bytes] = field(default_factory=dict)
    committed: int | None = None
    metadata: str = ""
    now_s: float = 0.0

    def begin(self) -> PartitionWork:
        """What a replica does that is assigned the partition."""
        snapshots = {
            key.removeprefix(b"poses.v1:"): codec.snapshot_from_proto(state_pb2.Snapshot.FromString(value))
            for key, value in self.state.items()
        }
        start = 0 if self.committed is None else replay_from(self.committed, self.metadata)
        self.open.clear()
        self.done: list[tuple] = []  # type: ignore[type-arg]
        self.next = start
        return PartitionWork(
            self.stage, TOPIC, 0, Restored(self.committed, start, snapshots),
            metrics=NO_METRICS, finished=lambda *done: self.done.append(done), clock=lambda: self.now_s,
        )  # fmt: skip

    def read(self, work: PartitionWork, count: int) -> None:
        for record in [r for r in self.log if r.offset >= self.next][:count]:
            work.accept(record)
            self.next = record.offset + 1

    def finish_one(self, work: PartitionWork, which: int) -> None:
        future = self.open.pop(which % len(self.open))
        future.work()  # type: ignore[attr-defined]
        for done in self.done:
            done[0].completed(*done[1:])
        self.done.clear()

    def commit(self, work: PartitionWork, everything: bool = False) -> None:
        plan = work.plan(everything)
        if plan is None:
            return
        assert plan.replay_from <= plan.offset
        assert self.committed is None or plan.offset >= self.committed
        self.out += plan.outputs
        for record in plan.snapshots:
            if record.value is None:
                del self.state[record.key or b""]  # a tombstone without a snapshot would be one too many
            else:
                self.state[record.key or b""] = record.value
        self.committed, self.metadata = plan.offset, plan.metadata
        work.committed_plan(plan)

    def run_out(self, work: PartitionWork) -> None:
        self.read(work, len(self.log))
        while work.step() or self.open:
            if self.open:
                self.finish_one(work, 0)
        self.now_s += 10
        self.commit(work)
        self.commit(work)


def frame(stream: StreamKey, sequence: int) -> PoseFrame:
    return PoseFrame(stream, sequence, sequence / 10, 640, 480, ())


def records(items: Sequence[PoseFrame | Mark | bytes], gaps: random.Random) -> list[Record]:
    """A partition's log; transactions leave gaps in the offsets."""
    out, offset = [], 0
    for item in items:
        offset += gaps.choice((1, 1, 1, 2))
        if isinstance(item, bytes):
            out.append(Record(TOPIC, 0, offset, b"t/broken", item, ((MESSAGE_HEADER, b"formcheck.v1.PoseFrame"),)))
        else:
            value, headers = encode(item)
            out.append(Record(TOPIC, 0, offset, stream_key(item.stream), value, headers))
    return out


def interleaved(seed: int, streams: int = 3, length: int = 30) -> list[PoseFrame | Mark | bytes]:
    """Streams with one session after another; some sessions end with a mark, some just stop; some poison."""
    rng = random.Random(seed)
    sessions, sequence, over = [0] * streams, [0] * streams, [False] * streams
    out: list[PoseFrame | Mark | bytes] = []
    for _ in range(length):
        i = rng.randrange(streams)
        draw = rng.random()
        if over[i] or draw < 0.05:
            sessions[i], sequence[i], over[i] = sessions[i] + 1, 0, False
        key = StreamKey("t", f"s{i}", str(sessions[i]))
        sequence[i] += 1
        if draw > 0.93:
            out.append(b"\xff\xff")
        elif draw > 0.86:
            out.append(Mark(key, MarkKind.EOF, sequence[i] / 10))
            over[i] = True
        elif draw > 0.8:
            out.append(Mark(key, MarkKind.HEARTBEAT, sequence[i] / 10))
        else:
            out.append(replace(frame(key, sequence[i]), sequence=666) if draw > 0.77 else frame(key, sequence[i]))
    return out


def by_key(out: Sequence[Outgoing]) -> dict[tuple[str, bytes | None], list[tuple[bytes | None, object]]]:
    found = defaultdict(list)
    for o in out:
        found[o.topic, o.key].append((o.value, o.headers))
    return dict(found)


def undisturbed(log: list[Record]) -> dict[tuple[str, bytes | None], list[tuple[bytes | None, object]]]:
    world = World(log, a_stage(False, []), [])
    world.run_out(world.begin())
    return by_key(world.out)


@pytest.mark.parametrize("asynchronous", [False, True])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_stage_that_dies_anywhere_publishes_each_output_once(asynchronous: bool, data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    log = records(interleaved(rng.randrange(2**32)), rng)
    open_: list[Future[Sequence[Repetition]]] = []
    world = World(log, a_stage(asynchronous, open_, snapshot_s=rng.choice((0.0, 0.5, 3.0))), open_)
    work = world.begin()
    for _ in range(data.draw(st.integers(5, 80))):
        what = rng.choice(("read", "read", "step", "step", "step", "finish", "finish", "commit", "crash", "wait"))
        if what == "read":
            world.read(work, rng.randint(1, 4))
        elif what == "step":
            work.step()
        elif what == "finish" and open_:
            world.finish_one(work, rng.randrange(8))
        elif what == "commit":
            world.commit(work)
        elif what == "wait":
            world.now_s += rng.random()
        elif what == "crash" and rng.random() < 0.4:
            if rng.random() < 0.5:  # a rebalance: the old owner still commits
                world.commit(work, everything=True)
            work.drop()
            work = world.begin()
    world.run_out(work)
    assert by_key(world.out) == undisturbed(log)


def test_the_state_of_an_ended_stream_is_forgotten_when_no_replay_needs_it() -> None:
    a, b = StreamKey("t", "a", "1"), StreamKey("t", "b", "1")
    items = [frame(b, 1), frame(a, 1), Mark(a, MarkKind.EOF, 1.0), frame(b, 2)]
    world = World(records(items, random.Random(0)), a_stage(False, []), [])
    work = world.begin()
    world.read(work, 4)
    while work.step():
        pass
    world.commit(work)
    assert set(world.state) == {b"poses.v1:t/a"}  # says that it is over; b's comes a second after its begin
    assert replay_from(world.committed or 0, world.metadata) == world.log[0].offset
    world.now_s += 2
    world.commit(work)
    assert set(world.state) == {b"poses.v1:t/b"}


def test_what_comes_of_a_session_that_is_over_goes_to_the_dlq() -> None:
    old, new = StreamKey("t", "a", "1"), StreamKey("t", "a", "2")
    items = [frame(old, 1), frame(new, 1), frame(old, 2), frame(new, 2)]
    world = World(records(items, random.Random(0)), a_stage(False, []), [])
    world.run_out(world.begin())
    letters = [o for o in world.out if o.topic == "poses.v1.dlq"]
    assert [dict(o.headers)["dlq.offset"] for o in letters] == [str(world.log[2].offset).encode()]
    assert b"is over" in dict(letters[0].headers)["dlq.reason"]
    said = [decode(Record(OUT, 0, 0, o.key, o.value, o.headers)) for o in world.out if o.topic == OUT]
    ends = [m for m in said if isinstance(m, Mark)]
    assert ends == [Mark(old, MarkKind.EOF, 0.1)]
    assert [(r.stream.session_id, r.index) for r in said if isinstance(r, Repetition)] == [
        ("1", 1), ("1", 1), ("2", 1), ("2", 2),
    ]  # fmt: skip


def test_a_dead_letter_is_the_record_as_it_was_with_reason_and_place() -> None:
    broken = Record(TOPIC, 0, 7, b"t/x", b"junk", (("message", b"formcheck.v1.Nonsense"), ("traceparent", b"00-1")))
    world = World([broken], a_stage(False, []), [])
    world.run_out(world.begin())
    [letter] = world.out
    assert (letter.topic, letter.key, letter.value) == ("poses.v1.dlq", b"t/x", b"junk")
    headers = dict(letter.headers)
    assert headers["traceparent"] == b"00-1"
    assert (headers["dlq.topic"], headers["dlq.offset"]) == (b"poses.v1", b"7")
    assert b"unknown 'formcheck.v1.Nonsense'" in headers["dlq.reason"]
    assert world.committed == 8


def test_trace_and_capture_time_go_on_with_what_comes_of_a_record() -> None:
    [record] = records([frame(StreamKey("t", "a", "1"), 1)], random.Random(0))
    marked = replace(record, headers=(*record.headers, ("traceparent", b"00-2"), ("captured_unix_s", b"12.5")))
    world = World([marked], a_stage(False, []), [])
    world.run_out(world.begin())
    assert dict(world.out[0].headers) == {
        "message": b"formcheck.v1.RepetitionEvent", "traceparent": b"00-2", "captured_unix_s": b"12.5",
    }  # fmt: skip


def test_a_stream_without_a_source_is_ended() -> None:
    key = StreamKey("t", "a", "1")
    world = World(records([frame(key, 3)], random.Random(0)), a_stage(False, []), [])
    work = world.begin()
    world.run_out(work)
    world.now_s += 200
    work.end_idle()
    world.commit(work)
    world.commit(work)
    said = [decode(Record(OUT, 0, 0, o.key, o.value, o.headers)) for o in world.out]
    assert said[-1] == Mark(key, MarkKind.EOF, 0.3)
    assert world.state == {}
    again = world.begin()
    world.run_out(again)
    assert len(world.out) == len(said)


def test_frames_of_a_live_stream_are_shed_while_newer_ones_wait() -> None:
    key = StreamKey("t", "a", "1")
    open_: list[Future[Sequence[Repetition]]] = []
    stage = replace(a_stage(True, open_), live=frozenset({TOPIC}))
    mark = Mark(key, MarkKind.HEARTBEAT, 0.25)
    world = World(
        records([frame(key, 1), frame(key, 2), mark, frame(key, 3), frame(key, 4)], random.Random(0)), stage, open_
    )
    work = world.begin()
    world.read(work, len(world.log))
    while work.step():  # the first is at work, the others wait behind it
        pass
    world.run_out(work)
    said = [decode(Record(OUT, 0, 0, o.key, o.value, o.headers)) for o in world.out]
    assert mark in said
    assert [r.track_id for r in said if isinstance(r, Repetition)] == [1, 1 + 4]
    assert world.committed == world.log[-1].offset + 1
    work = world.begin()
    world.run_out(work)
    assert len(world.out) == len(said)


def test_futures_need_a_snapshot_in_every_transaction() -> None:
    open_: list[Future[Sequence[Repetition]]] = []
    stage = replace(a_stage(True, open_), snapshot_s=1.0)
    world = World(records([frame(StreamKey("t", "a", "1"), 1)], random.Random(0)), stage, open_)
    work = world.begin()
    world.read(work, 1)
    with pytest.raises(ConfigError, match="snapshot_s must be 0"):
        work.step()
