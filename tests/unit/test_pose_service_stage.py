"""The pose stage without Kafka: frames of several streams through real networks, and through ones that go away."""

import asyncio
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from services.common import topics
from services.common.codec import EncodedFrame
from services.common.errors import FormcheckError, InputError, ModelError, ShapeError
from services.common.kafka.messages import Record, decode, encode, stream_key
from services.common.kafka.partition import PartitionWork, Restored
from services.common.kafka.room import Room
from services.common.kafka.stage import SkippedError, Stage
from services.common.loop import LoopThread
from services.common.metrics_protocol import _NoMetrics
from services.common.processor import Mark
from services.common.telemetry.metrics import ServiceMetrics
from services.common.types import F32, PoseFrame, StreamKey
from services.pose.adapters.availability import Availability
from services.pose.adapters.calls import Call, LateError, NotServedError, UnavailableError
from services.pose.adapters.engine import SLOW, UNAVAILABLE, Engine
from services.pose.adapters.onnx_batches import BatchingOnnxBackend
from services.pose.adapters.stage import PoseStream, pose_stage
from services.pose.core.profiles import Profile
from tests.pose_backends import backend
from tests.support.jpeg_frames import as_values, file_stream, jpeg_frames, one_process
from tests.support.kafka import PATIENCE

MOVENET = Profile.get("movenet")
KEYS = [StreamKey("gym", f"camera-{i}", "1") for i in range(3)]


@dataclass
class Told(_NoMetrics):
    """What the runner is told."""

    skips: list[tuple[str, str]] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)

    def skipped(self, stream: StreamKey, reason: str, records: int = 1) -> None:
        self.skips += [(stream.stream_id, reason)] * records

    def dead_letter(self, topic: str, reason: str) -> None:
        self.letters.append(reason)


@dataclass
class Moody:
    """Real networks behind a connection that the test cuts. ``mood``: what is raised instead of an answer."""

    real: BatchingOnnxBackend
    mood: Callable[[], FormcheckError] | None = None
    asked: int = 0
    checks: int = 0
    at_once: int = 0
    most: int = 0

    async def infer(self, model: str, crops: NDArray[np.uint8], *, deadline_s: float | None = None) -> tuple[F32, ...]:
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(0.002)
            if self.mood is not None:
                raise self.mood()
            return await self.real.infer(model, crops)
        finally:
            self.at_once -= 1

    async def check(self, *, deadline_s: float = 1.0) -> None:
        self.checks += 1
        if self.mood is not None:
            raise self.mood()

    async def close(self) -> None:
        await self.real.close()


@dataclass
class World:
    """The runner's part: one partition of one topic, records in, what would be committed out."""

    stage: Stage
    topic: str
    told: Told = field(default_factory=Told)
    out: list[bytes] = field(default_factory=list)
    state: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.done: queue.SimpleQueue[tuple] = queue.SimpleQueue()  # type: ignore[type-arg]
        self.room = Room(self.stage.in_flight_max)
        self.offset = 0
        self.work = PartitionWork(
            self.stage, self.topic, 0, Restored(), metrics=self.told, room=self.room,
            finished=lambda *done: self.done.put(done),
        )  # fmt: skip

    def feed(self, *items: EncodedFrame | Mark) -> None:
        for item in items:
            value, headers = encode(item)
            self.work.accept(Record(self.topic, 0, self.offset, stream_key(item.stream), value, headers))
            self.offset += 1
        while self.work.step():
            pass

    def turn(self) -> None:
        """Take one thing that is done, or pass a moment."""
        try:
            work, *done = self.done.get(timeout=0.01)
            work.completed(*done)
        except queue.Empty:
            pass
        self.room.admit()

    def until(self, what: Callable[[], bool], timeout_s: float = 30.0) -> None:
        end_s = time.monotonic() + timeout_s * PATIENCE
        while not what():
            assert time.monotonic() < end_s, "did not come true in time"
            self.turn()

    def run(self) -> None:
        self.until(lambda: not self.work.load)
        plan = self.work.plan()
        if plan is not None:
            assert plan.offset == self.offset
            self.records = [Record(o.topic, 0, i, o.key, o.value, o.headers) for i, o in enumerate(plan.outputs)]
            self.state |= {o.key or b"": o.value or b"" for o in plan.snapshots}
            self.work.committed_plan(plan)

    def said(self, key: StreamKey) -> list[bytes]:
        return [r.value or b"" for r in self.records if r.key == stream_key(key) and r.topic == topics.POSES]


@contextmanager
def a_world(topic: str = topics.FRAMES_FILE, in_flight: int = 8) -> Iterator[tuple[World, Moody]]:
    loop = LoopThread("test-loop")
    moody = Moody(BatchingOnnxBackend(MOVENET, backend=backend("movenet")))
    availability = Availability(moody, "Triton at nowhere:1")
    engine = Engine(MOVENET, moody, availability, loop)
    world = World(pose_stage(engine, in_flight_frames=in_flight), topic)
    try:
        world.until(lambda: availability.up)
        yield world, moody
    finally:
        moody.mood = None
        engine.close()
        loop.close()


def engine_of(world: World) -> Engine:
    made = world.stage.make(KEYS[0])
    assert isinstance(made, PoseStream)
    return made._engine


def in_turn(streams: Sequence[Sequence[EncodedFrame | Mark]]) -> list[EncodedFrame | Mark]:
    return [items[i] for i in range(max(map(len, streams))) for items in streams if i < len(items)]


def test_poses_of_streams_at_once_are_those_of_one_process_each() -> None:
    streams = [file_stream(key, 16, start_s=2.0 * i) for i, key in enumerate(KEYS)]
    with a_world(in_flight=2) as (world, moody):
        world.feed(*in_turn(streams))
        world.run()
        for key, items in zip(KEYS, streams, strict=True):
            want = one_process(items)
            assert world.said(key) == as_values(want)
            assert sum(len(p.people) for p in want if isinstance(p, PoseFrame)) >= 10
            assert all(p.width_px > 426 for p in want if isinstance(p, PoseFrame)), "in px of the source"
        assert 2 <= moody.most <= 2 * len(MOVENET.networks), "two streams at once, never more"
        assert (world.told.skips, world.told.letters) == ([], [])


def test_what_is_no_picture_goes_to_the_dlq_and_what_was_had_is_left_out() -> None:
    items = file_stream(KEYS[0], 8)
    broken = [replace(items[3], jpeg=b"\xff\xd8 no picture"), replace(items[3], jpeg=items[3].jpeg[:20])]  # type: ignore[union-attr, type-var]
    early = replace(items[7], sequence=100, time_s=0.01)  # type: ignore[type-var]
    with a_world() as (world, _):
        world.feed(*items[:3], *items[1:3], *broken, *items[3:8], early, *items[8:])
        world.run()
        assert world.said(KEYS[0]) == as_values(one_process(items))
        assert world.told.letters == ["InputError"] * 2
        letters = [r for r in world.records if r.topic == topics.dlq(topics.FRAMES_FILE)]
        assert [r.value for r in letters] == [encode(b)[0] for b in broken]
        assert b"cannot be decoded" in (letters[0].header("dlq.reason") or b"")
        assert [reason for _, reason in world.told.skips] == ["DUPLICATE", "DUPLICATE", "LATE"]


def test_a_stream_goes_on_from_its_snapshot_as_if_never_stopped() -> None:
    items = file_stream(KEYS[0], 14)
    want = as_values(one_process(items))
    with a_world() as (world, _):
        world.feed(*items[:9])
        world.run()
        said, snapshot = world.said(KEYS[0]), world.state[topics.FRAMES_FILE.encode() + b":" + stream_key(KEYS[0])]
        assert len(snapshot) < 64 << 10
        fresh = PoseStream(engine_of(world), KEYS[0], live=False)
        from formcheck.v1 import state_pb2  # the runner's business, so only here

        fresh.restore(state_pb2.Snapshot.FromString(snapshot).state)
        for item in items[9:]:
            done = fresh.on_mark(item) if isinstance(item, Mark) else fresh.on_item(item).result(30 * PATIENCE)
            said += as_values([*done, item] if isinstance(item, Mark) else done)
        assert said == want
        for bad in (b"", b"FCPS", b"FCPO" + fresh.snapshot()[4:], fresh.snapshot()[:60]):
            with pytest.raises(InputError):
                PoseStream(engine_of(world), KEYS[0], live=False).restore(bad)


def test_a_file_waits_for_inference_to_come_back_and_loses_nothing() -> None:
    streams = [file_stream(key, 8, start_s=2.0 * i) for i, key in enumerate(KEYS)]
    with a_world(in_flight=2) as (world, moody):
        world.feed(*in_turn([items[:4] for items in streams]))
        moody.mood = lambda: UnavailableError("Triton at nowhere:1 cannot run it now; retry later")
        world.feed(*in_turn([items[4:] for items in streams]))
        engine = engine_of(world)
        world.until(lambda: not engine.availability.up)
        assert engine.availability.unready() == "Triton at nowhere:1 does not answer"
        asked = moody.asked
        for _ in range(50):
            world.turn()
        assert moody.asked - asked <= 4, "one looks whether it is back, the frames wait"
        assert world.work.load > 0
        moody.mood = None
        world.run()
        for key, items in zip(KEYS, streams, strict=True):
            assert world.said(key) == as_values(one_process(items))
        assert (world.told.skips, world.told.letters) == ([], [])


def test_a_camera_skips_with_a_reason_while_inference_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    frames = jpeg_frames(KEYS[0], 12)
    with a_world(topics.FRAMES_LIVE) as (world, moody):
        engine = engine_of(world)
        for frame in frames[:3]:
            world.feed(frame)
            world.run()
        moody.mood = lambda: UnavailableError("Triton at nowhere:1 cannot run it now; retry later")
        for frame in frames[3:7]:
            world.feed(frame)
            world.run()
        assert world.told.skips == [("camera-0", UNAVAILABLE)] * 4
        assert not engine.availability.up
        moody.mood = None
        began_s = time.monotonic()
        world.until(lambda: engine.availability.up)
        assert time.monotonic() - began_s < 2 * PATIENCE
        for frame in frames[7:]:
            world.feed(frame)
            world.run()
            assert len(world.records) == 1
            assert len(decode(world.records[0]).people) == 1, "who was there before is still there"
        assert len(world.told.skips) == 4
        assert world.told.letters == []


def test_of_a_camera_the_newest_frame_wins() -> None:
    frames = jpeg_frames(KEYS[0], 9)
    with a_world(topics.FRAMES_LIVE) as (world, _):
        world.feed(*frames)  # the first is at work at once, the others wait behind it
        world.run()
        said = [decode(r) for r in world.records]
        assert [p.sequence for p in said] == [0, 8]
        assert world.told.skips == [("camera-0", "STALE")] * 7
        assert world.work.committed == 9


def test_a_camera_skips_what_takes_too_long_and_a_busy_backend_is_not_taken_for_gone() -> None:
    frames = jpeg_frames(KEYS[0], 4)
    with a_world(topics.FRAMES_LIVE) as (world, moody):
        engine = engine_of(world)
        checks = moody.checks
        moody.mood = lambda: (engine.availability.answered(), LateError("late"))[1]  # others are answered meanwhile
        world.feed(frames[0])
        world.run()
        assert world.told.skips == [("camera-0", SLOW)]
        world.until(lambda: moody.checks >= checks + 2)
        assert engine.availability.up
        moody.mood = lambda: LateError("late")
        world.until(lambda: not engine.availability.up)
        assert engine.availability.unready() == "Triton at nowhere:1 does not answer"
        world.feed(frames[1])
        world.run()
        assert world.told.skips[1:] == [("camera-0", UNAVAILABLE)]


@pytest.mark.parametrize(
    ("error", "letters", "up"),
    [
        (ModelError("the pose network failed"), ["ModelError"], True),
        (NotServedError("no network, write it"), [], False),
    ],
)
def test_what_the_network_refuses_is_set_aside_but_a_missing_network_is_waited_for(
    error: FormcheckError, letters: list[str], up: bool
) -> None:
    items = file_stream(KEYS[0], 5)
    with a_world() as (world, moody):
        engine = engine_of(world)

        def mood() -> FormcheckError:
            moody.mood = None if letters else mood
            return error

        moody.mood = mood
        world.feed(*items)
        world.until(lambda: bool(world.told.letters) or not engine.availability.up)
        assert engine.availability.up is up
        if not up:
            assert engine.availability.unready() == str(error)
        moody.mood = None
        world.run()
        assert world.told.letters == letters
        assert len(world.said(KEYS[0])) == len(one_process(items)) - len(letters)


def test_metrics_say_how_many_crops_are_in_inference() -> None:
    metrics, most = ServiceMetrics("pose"), [0]

    def in_flight(crops: int) -> None:
        metrics.in_flight_crops(crops)
        most[0] = max(most[0], crops)

    loop = LoopThread("test-loop")
    moody = Moody(BatchingOnnxBackend(MOVENET, backend=backend("movenet")))
    engine = Engine(MOVENET, moody, Availability(moody, "it", metrics.backend_up), loop, in_flight=in_flight)
    stream = PoseStream(engine, KEYS[0], live=False)
    for frame in jpeg_frames(KEYS[0], 3):
        stream.on_item(frame).result(30 * PATIENCE)
    engine.close()
    loop.close()
    assert most[0] >= 1
    assert metrics.registry.get_sample_value("formcheck_pose_in_flight_crops") == 0
    assert metrics.registry.get_sample_value("formcheck_pose_backend_up_ratio") == 1
    with pytest.raises(InputError, match="PoseFrame is no frame"):
        stream.on_item(PoseFrame(KEYS[0], 9, 9.0, 1, 1, ()))  # type: ignore[arg-type]


# -- many askers, one worker ---------------------------------------------------------------------------------------


class Echo:
    """A network that gives back each crop's first value, slowly."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def infer(self, model: str, crops: NDArray[np.uint8]) -> tuple[F32, ...]:
        self.sizes.append(len(crops))
        time.sleep(0.02)
        if (crops == 255).all(axis=(1, 2, 3)).any():
            raise ModelError("white")
        return (crops[:, 0, 0, :1].astype(np.float32),)


def crop(value: int, count: int = 1) -> NDArray[np.uint8]:
    size_px = MOVENET.following.size_px
    return np.full((count, size_px, size_px, 3), value, np.uint8)


def test_what_is_asked_during_a_run_goes_into_the_next_together_and_everyone_gets_his_own() -> None:
    echo, calls = Echo(), list[Call]()
    batching = BatchingOnnxBackend(MOVENET, backend=echo, observe=calls.append)
    name = MOVENET.following.name

    async def ask() -> list[tuple[F32, ...]]:
        found = await asyncio.gather(*(batching.infer(name, crop(i, 1 + i % 3)) for i in range(9)))
        with pytest.raises(ModelError, match="white"):
            await batching.infer(name, crop(255))
        with pytest.raises(ShapeError):
            await batching.infer(name, crop(1)[:, 1:])
        await batching.check()
        await batching.close()
        with pytest.raises(ModelError, match="ended"):
            await batching.check()
        return found

    found = asyncio.run(ask())
    assert [o[0].ravel().tolist() for o in found] == [[float(i)] * (1 + i % 3) for i in range(9)]
    assert sum(echo.sizes) == 18 + 1
    assert len(echo.sizes) <= 4
    assert sum(c.crops for c in calls) == 19
    assert [type(c.error) for c in calls if c.error] == [ModelError]


def test_room_is_given_in_turn_and_never_more_than_there_is() -> None:
    room, begun = Room(2), list[str]()

    def begin(who: str) -> None:
        if room.take(who, lambda: begin(who)):
            begun.append(who)

    for who in ("a", "b", "c", "d", "c"):
        begin(who)
    assert begun == ["a", "b"]
    room.leave()
    begin("a")  # the one who had it comes after those who wait
    assert begun == ["a", "b"]
    room.admit()
    assert begun == ["a", "b", "c"]
    room.leave()
    room.leave()
    room.admit()
    assert begun == ["a", "b", "c", "d", "a"]


def test_an_item_that_is_left_out_is_no_dead_letter() -> None:
    class Picky:
        def on_item(self, item: EncodedFrame) -> "Future[Sequence[PoseFrame]]":
            if item.sequence % 2:
                raise SkippedError("ODD")
            future: Future[Sequence[PoseFrame]] = Future()
            future.set_exception(SkippedError("EVEN"))
            return future

        def on_mark(self, mark: Mark) -> Sequence[PoseFrame]:
            return []

        def snapshot(self) -> bytes:
            return b""

        def restore(self, state: bytes) -> None: ...

    stage = Stage(
        "pose", (topics.FRAMES_FILE,), topics.POSES, topics.POSE_STATE,
        make=lambda stream: Picky(), publishes=(PoseFrame,), snapshot_s=0.0, in_flight_max=1,
    )  # fmt: skip
    world = World(stage, topics.FRAMES_FILE)
    world.feed(*(EncodedFrame(KEYS[0], i, float(i), b"x", 1, 1) for i in range(4)))
    world.run()
    assert world.told.skips == [("camera-0", r) for r in ("EVEN", "ODD", "EVEN", "ODD")]
    assert (world.records, world.told.letters, world.work.committed) == ([], [], 4)
