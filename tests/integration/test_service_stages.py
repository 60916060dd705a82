"""The services behind pose as processes on a real broker: poison, repair, and the drain in the midst of work."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.common import topics
from services.common.codec import EncodedFrame
from services.common.kafka.clients import KafkaConfig, make_producer
from services.common.kafka.messages import EXERCISE_HEADER, MESSAGE_HEADER, Record, decode, encode, stream_key
from services.common.kafka.publisher import Publisher
from services.common.processor import Mark, MarkKind
from services.common.types import Repetition, Status, StreamKey
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.processor import AssessProcessor
from services.local.stack.dlq import letters, replay_all
from services.segment.core.processor import SegmentProcessor
from tests.support.jpeg_frames import jpeg_frames, one_process
from tests.support.kafka import PATIENCE, TopicReader, values_by_key, wait_for, write
from tests.support.service_defective import UNLUCKY
from tests.support.service_process import Service, get
from tests.support.stage_streams import answers, expected, interleaved, lifting, poses, repetitions
from tests.unit.segment_scene import network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240 * PATIENCE)]

FINE, UNLUCKY_KEY = StreamKey("gym", "fine", "1"), StreamKey("gym", UNLUCKY, "1")
Start = Callable[..., Service]


@pytest.fixture
def start(kafka_config: KafkaConfig) -> Iterator[Start]:
    """A service of this test's topics."""
    services: list[Service] = []

    def start(module: str, *arguments: str, **environment: str) -> Service:
        told = {
            "FORMCHECK_KAFKA_BOOTSTRAP": kafka_config.bootstrap,
            "FORMCHECK_KAFKA_PREFIX": kafka_config.prefix,
            "FORMCHECK_KAFKA_INSTANCE": "one",
            "FORMCHECK_POSE_BACKEND": "onnx",
            "OMP_NUM_THREADS": "1",
        }
        services.append(Service(module, *arguments, **told | environment))
        return services[-1]

    yield start
    for service in services:
        service.kill()


def drained(service: Service) -> None:
    """SIGTERM: it ends cleanly within 10 s."""
    sent_s = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    assert service.end(30 * PATIENCE) == 0
    assert time.monotonic() - sent_s < 10
    assert service.lines[-1]["event"] == "stopped"
    assert service.lines[-1]["clean"] is True
    ours = [line for line in service.lines if not line["logger"].startswith("kafka.")]
    assert [line for line in ours if line["level"] in ("error", "critical")] == []


def values(port: int, name: str) -> dict[tuple[str, ...], float]:
    """Values of one metric, by the values of its labels."""
    families = text_string_to_metric_families(get(port, "/metrics")[1])
    return {tuple(s.labels.values()): s.value for family in families for s in family.samples if s.name == name}


def ends(records: Sequence[Record]) -> int:
    return sum(r.header(MESSAGE_HEADER) == b"formcheck.v1.Mark" for r in records)


# -- the drain ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One stage: what it reads, what it writes, what one process says to its streams, how fast they come."""

    service: str
    reads: str
    writes: str
    streams: Callable[[], dict[StreamKey, list[Any]]]
    make: Callable[[], Any]
    pause_s: float


CASES = [
    Case("segment", topics.POSES, topics.REPETITIONS, poses, lambda: SegmentProcessor(network()), 0.004),
    Case("errors", topics.REPETITIONS, topics.ASSESSMENTS, repetitions, lambda: AssessProcessor(load_catalogue()), 0.1),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.service)
def test_sigterm_and_kill_in_the_midst_of_work_lose_and_double_nothing(
    kafka_config: KafkaConfig, start: Start, case: Case
) -> None:
    streams = case.streams()
    want = expected(streams, case.make)
    module = f"services.{case.service}.main"
    service = start(module)
    port = service.started()["http_port"]
    wait_for(lambda: get(port, "/readyz")[0] == 200, 60, "ready")
    flow = threading.Thread(target=write, args=(kafka_config, case.reads, interleaved(streams), case.pause_s))
    with closing(TopicReader(kafka_config, case.writes)) as reader:
        flow.start()
        try:
            wait_for(lambda: len(reader.read()) >= 2, 60, "first outputs")
            drained(service)
            service = start(module)
            wait_for(lambda: len(reader.read()) >= sum(map(len, want.values())) // 2, 60, "half of the outputs")
            service.kill()
            service = start(module)
        finally:
            flow.join()
        wait_for(lambda: ends(reader.read()) == len(streams), 60, "all streams end")
        assert values_by_key(reader.read_to_end()) == want
    port = service.started()["http_port"]
    lag = f"formcheck_{case.service}_lag_records"
    wait_for(lambda: values(port, lag) and not any(values(port, lag).values()), 20, "no lag")
    drained(service)


# -- poison and repair ----------------------------------------------------------------------------------------------


def _frames(key: StreamKey) -> list[EncodedFrame]:
    return jpeg_frames(key, 12)


def _repetitions(key: StreamKey) -> list[Repetition]:
    said = answers(SegmentProcessor(network()), lifting(key, "bicep_curl"), (Repetition,))
    assert sum(r.status is Status.CONFIRMED for r in said) >= 2
    return said


@dataclass(frozen=True)
class Poison:
    """One stage: what a stream of it is, and what one process says to that."""

    service: str
    reads: str
    writes: str
    items: Callable[[StreamKey], list[Any]]
    says: Callable[[list[Any]], list[Any]]


POISONS = [
    Poison("pose", topics.FRAMES_FILE, topics.POSES, _frames, one_process),
    Poison(
        "segment", topics.POSES, topics.REPETITIONS,
        lambda key: lifting(key, "bicep_curl"), lambda items: answers(SegmentProcessor(network()), items),
    ),
    Poison(
        "errors", topics.REPETITIONS, topics.ASSESSMENTS,
        _repetitions, lambda items: answers(AssessProcessor(load_catalogue()), items),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", POISONS, ids=lambda c: c.service)
def test_what_a_defect_refuses_is_replayed_after_the_repair(
    kafka_config: KafkaConfig, start: Start, case: Poison
) -> None:
    """A defect refuses all items of one stream, and a record is junk; the other stream does not notice."""
    fine, unlucky = case.items(FINE), case.items(UNLUCKY_KEY)
    end = Mark(FINE, MarkKind.EOF, 1e4)
    want = {
        stream_key(FINE): [encode(o)[0] for o in case.says([*fine, end])],
        stream_key(UNLUCKY_KEY): [encode(o)[0] for o in case.says(unlucky)],
    }
    service = start("tests.support.service_defective", case.service)
    with closing(Publisher(kafka_config)) as publisher:
        for i, pair in enumerate(zip(fine, unlucky, strict=True)):
            for item in pair:
                publisher.send(case.reads, item)
            if i == 5:
                plant_junk(kafka_config, case.reads)
        publisher.send(case.reads, end)
    assert publisher.lost == 0
    with closing(TopicReader(kafka_config, case.writes)) as reader:
        wait_for(lambda: ends(reader.read()) == 1, 60, "the other stream ends")
        wait_for(lambda: len(letters(kafka_config)) == len(unlucky) + 1, 30, "all refused")
        assert values_by_key(reader.read_to_end()) == {stream_key(FINE): want[stream_key(FINE)]}
        check_letters(kafka_config, case, len(unlucky))
        drained(service)
        check_log(service, len(unlucky))

        service = start(f"services.{case.service}.main")
        assert len(replay_all(kafka_config, [case.reads])) == len(unlucky) + 1
        count = sum(map(len, want.values()))
        wait_for(lambda: len(reader.read()) >= count, 60, "the unlucky stream's outputs")
        wait_for(lambda: len(letters(kafka_config)) == 1, 30, "junk stays junk")
        assert values_by_key(reader.read_to_end()) == want, "as if nothing had been refused"
        assert len(letters(kafka_config, everything=True)) == len(unlucky) + 2
    drained(service)


def plant_junk(config: KafkaConfig, topic: str) -> None:
    with closing(make_producer(config)) as producer:
        header = [(MESSAGE_HEADER, b"formcheck.v1.PoseFrame")]
        producer.send(config.topic(topic), key=stream_key(FINE), value=b"\xff junk", headers=header)
        producer.flush()


def check_letters(config: KafkaConfig, case: Poison, refused: int) -> None:
    found = letters(config)
    assert {letter.topic for letter in found} == {case.reads}
    assert {letter.stage for letter in found} == {case.service}
    by_key = {key: [x for x in found if x.key == key] for key in ("gym/fine", f"gym/{UNLUCKY}")}
    (junk,) = by_key["gym/fine"]
    assert (junk.kind, junk.reason) == ("InputError", "The record's 6 bytes are no formcheck.v1.PoseFrame.")
    assert {x.reason for x in by_key[f"gym/{UNLUCKY}"]} == {"division by zero"}
    assert len(by_key[f"gym/{UNLUCKY}"]) == refused
    assert all(abs(x.unix_s - time.time()) < 600 for x in found)


def check_log(service: Service, refused: int) -> None:
    lines = [line for line in service.lines if line["event"].startswith("a record goes to the DLQ")]
    named = [line for line in lines if line.get("stream_id") == UNLUCKY]
    assert len(named) == refused
    assert all((line["tenant"], line["session_id"]) == ("gym", "1") for line in named)
    assert len(lines) == refused + 1


# -- what a stream's owner asked for --------------------------------------------------------------------------------


def test_the_exercise_that_a_stream_names_reaches_its_repetitions(kafka_config: KafkaConfig, start: Start) -> None:
    named, told = StreamKey("gym", "named", "1"), {"named": b"hammer_curl", "odd": b"underwater_ballet", "": b""}
    streams = {replace(named, stream_id=f"s{name}"): exercise for name, exercise in told.items()}
    service = start("services.segment.main")
    with (
        closing(Publisher(kafka_config)) as publisher,
        closing(TopicReader(kafka_config, topics.REPETITIONS)) as reader,
    ):
        for key, exercise in streams.items():
            headers = [(EXERCISE_HEADER, exercise)] if exercise else []
            frames = lifting(key, "bicep_curl")
            for item in (*frames, Mark(key, MarkKind.EOF, frames[-1].time_s)):
                publisher.send(topics.POSES, item, headers)
        wait_for(lambda: ends(reader.read()) == 3, 60, "all streams end")
        found: dict[str, set[str]] = {}
        for record in reader.read_to_end():
            event = decode(record)
            if isinstance(event, Repetition) and event.status is Status.CONFIRMED:
                found.setdefault(event.stream.stream_id, set()).add(event.exercise)
            exercise = streams[event.stream]
            assert record.header(EXERCISE_HEADER) == (exercise or None), "it goes on to the next stage"
    assert found["snamed"] == {"hammer_curl"}
    assert found["sodd"] == found["s"] == {"bicep_curl"}
    service.process.send_signal(signal.SIGTERM)
    assert service.end(30 * PATIENCE) == 0
    (line,) = [line for line in service.lines if "will be recognised" in line["event"]]
    assert (line["exercise"], line["stream_id"]) == ("underwater_ballet", "sodd")
