"""Whatever happens to the runners on a real broker: what they publish is what one undisturbed process says."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache

import pytest

from services.common import codec, topics
from services.common.kafka.clients import KafkaConfig, make_producer
from services.common.kafka.messages import MESSAGE_HEADER, Record, decode, stream_key
from services.common.types import PoseFrame, StreamKey
from services.segment.core.processor import SegmentProcessor
from tests.support.kafka import PATIENCE, TopicReader, send, values_by_key, wait_for, workers, write
from tests.support.stage_streams import EXERCISES, expected, interleaved, poses
from tests.unit.segment_scene import network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240 * PATIENCE)]


@lru_cache(maxsize=1)
def answer() -> dict[bytes, list[bytes]]:
    """What one process says, as bytes."""
    return expected(poses(), lambda: SegmentProcessor(network()))


@contextmanager
def feeding(config: KafkaConfig, pause_s: float) -> Iterator[threading.Thread]:
    """The streams flow in while the test does its worst."""
    thread = threading.Thread(target=write, args=(config, topics.POSES, interleaved(poses()), pause_s))
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


def ended(records: Sequence[Record]) -> int:
    return sum(r.header(MESSAGE_HEADER) == b"formcheck.v1.Mark" for r in records)


def assert_same(reader: TopicReader, timeout_s: float = 60.0) -> None:
    """All streams end, and nothing is lost, doubled, changed or out of order."""
    wait_for(lambda: ended(reader.read()) >= len(EXERCISES), timeout_s, "all streams end")
    time.sleep(0.5)
    got = values_by_key(reader.read_to_end())
    assert {k: len(v) for k, v in got.items()} == {k: len(v) for k, v in answer().items()}
    assert got == answer()


def test_a_runner_that_is_killed_twice_in_mid_set(kafka_config: KafkaConfig) -> None:
    with workers() as start, closing(TopicReader(kafka_config, topics.REPETITIONS)) as reader:
        worker = start(kafka_config, "segment", "0").ready()
        with feeding(kafka_config, pause_s=0.008):
            for seen in (4, 12):
                wait_for(lambda seen=seen: len(reader.read()) >= seen, 60, f"{seen} events")
                worker.kill()
                worker = start(kafka_config, "segment", "0")
            worker.ready()
        assert_same(reader)
        assert worker.stop() < 10


def test_replicas_that_join_leave_and_die(kafka_config: KafkaConfig) -> None:
    with workers() as start, closing(TopicReader(kafka_config, topics.REPETITIONS)) as reader:
        first = start(kafka_config, "segment", "a").ready()
        with feeding(kafka_config, pause_s=0.03):
            wait_for(lambda: len(reader.read()) >= 2, 60, "first events")
            second = start(kafka_config, "segment", "b").ready()
            time.sleep(1.0)
            assert first.stop() < 10
            third = start(kafka_config, "segment", "c").ready()
            time.sleep(1.0)
            second.kill()
        assert_same(reader)
        assert third.stop() < 10


def test_a_zombie_is_fenced(kafka_config: KafkaConfig) -> None:
    with workers() as start, closing(TopicReader(kafka_config, topics.REPETITIONS)) as reader:
        zombie = start(kafka_config, "segment", "a").ready()
        with feeding(kafka_config, pause_s=0.01):
            wait_for(lambda: len(reader.read()) >= 6, 60, "some events")
            zombie.signal(signal.SIGSTOP)
            heir = start(kafka_config, "segment", "b").ready()
        wait_for(lambda: ended(reader.read()) >= len(EXERCISES), 60, "the heir ends all streams")
        zombie.signal(signal.SIGCONT)
        time.sleep(3.0)
        assert_same(reader)
        assert heir.stop() < 10
        assert zombie.stop() < 10


def test_poison_goes_to_the_dlq_and_the_run_goes_on(kafka_config: KafkaConfig) -> None:
    items = interleaved(poses())
    key = next(iter(poses()))
    backwards = PoseFrame(key, 0, 0.0, 640, 480, ())
    with workers() as start, closing(TopicReader(kafka_config, topics.REPETITIONS)) as reader:
        worker = start(kafka_config, "segment", "0").ready()
        with closing(make_producer(kafka_config)) as producer:
            topic = kafka_config.topic(topics.POSES)
            for i, item in enumerate(items):
                send(producer, kafka_config, topics.POSES, item)
                if i == 50:
                    header = [(MESSAGE_HEADER, b"formcheck.v1.PoseFrame")]
                    producer.send(topic, key=stream_key(key), value=b"\xff junk", headers=header)
                    producer.send(topic, key=b"gym/camera-9", value=b"", headers=[])
                    send(producer, kafka_config, topics.POSES, backwards)
            producer.flush()
        assert_same(reader)
        with closing(TopicReader(kafka_config, topics.dlq(topics.POSES))) as letters:
            got = sorted(dict(r.headers)["dlq.reason"].decode() for r in letters.read_to_end())
            assert len(got) == 3
            assert got[0].startswith("The record has no 'message' header")
            assert got[1] == "The record's 6 bytes are no formcheck.v1.PoseFrame."
            assert got[2].startswith("Time runs backwards in gym/camera-0/1")
        assert worker.stop() < 10


def test_work_done_elsewhere_is_published_once_though_the_runner_is_killed(kafka_config: KafkaConfig) -> None:
    keys = [StreamKey("gym", f"{mode}-{i}", "1") for mode in ("live", "file") for i in range(4)]
    frames = {key: [codec.EncodedFrame(key, n, n / 10, b"jpeg", 64, 48) for n in range(60)] for key in keys}
    with workers() as start, closing(TopicReader(kafka_config, topics.POSES)) as reader:
        worker = start(kafka_config, "elsewhere", "0").ready()
        for topic, chosen in ((topics.FRAMES_LIVE, keys[:4]), (topics.FRAMES_FILE, keys[4:])):
            write(kafka_config, topic, [frames[key][n] for n in range(60) for key in chosen])
        for seen in (100, 250):
            wait_for(lambda seen=seen: len(reader.read()) >= seen, 60, f"{seen} poses")
            worker.kill()
            worker = start(kafka_config, "elsewhere", "0")
        worker.ready()
        wait_for(lambda: len(reader.read()) >= 60 * len(keys), 60, "all poses")
        worker.stop()
        got: dict[StreamKey, list[tuple[int, int]]] = {}
        for record in sorted(reader.read_to_end(), key=lambda r: (r.partition, r.offset)):
            pose = decode(record)
            got.setdefault(pose.stream, []).append((pose.sequence, pose.width_px))
        assert got == {key: [(n, n + 1) for n in range(60)] for key in keys}
