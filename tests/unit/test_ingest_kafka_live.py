"""Live frames while Kafka's client hangs, and questions that are never answered.

A client that hangs cannot be had from a real broker at will (a broker that is away can: ``test_ingest_service``).
"""

import threading
import time
from typing import Any

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.future import Future

from services.common.codec import EncodedFrame
from services.common.kafka.clients import KafkaConfig
from services.common.metrics_protocol import NO_METRICS
from services.common.processor import Mark, MarkKind
from services.common.types import StreamKey
from services.ingest.adapters import kafka_live
from services.ingest.adapters.downstream import Downstream, Look
from services.ingest.adapters.kafka_live import MOST_FRAMES, LiveOut
from services.ingest.adapters.within import within

KEY = StreamKey("gym", "rack", "90000")


class Client:
    """A publisher that answers all, or nothing, at once."""

    def __init__(self, answers: bool) -> None:
        self.answers, self.sent, self.discarded = answers, [], False
        self.futures: list[Future] = []

    def send(self, topic: str, item: Any, headers: Any = ()) -> Future:
        self.sent.append(item)
        future = Future()
        if self.answers:
            future.success(None)
        self.futures.append(future)
        return future

    def close(self, timeout_s: float) -> None:
        raise KafkaTimeoutError("not all could be sent")

    def discard(self) -> None:
        self.discarded = True


def frame(sequence: int) -> EncodedFrame:
    return EncodedFrame(KEY, sequence, sequence / 10, b"jpeg", 640, 480, captured_unix_s=time.time())


def until(live: LiveOut, done: Any) -> None:
    deadline_s = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline_s
        live.settle()
        time.sleep(0.01)


def test_what_is_on_its_way_is_bounded_and_makes_room_when_delivered() -> None:
    client = Client(answers=False)
    live = LiveOut(client, lambda: client, NO_METRICS, lambda key, frames: None)  # type: ignore[arg-type,return-value]
    for i in range(MOST_FRAMES):
        assert live.ready("gym/rack")
        live.frame(frame(i), [])
    assert not live.ready("gym/rack")
    assert live.ready("gym/other")
    client.futures[0].success(None)
    live.settle()
    assert live.ready("gym/rack")
    assert live.in_flight == MOST_FRAMES - 1


def test_a_frame_that_fails_is_counted_and_the_end_of_a_session_is_sent_again() -> None:
    lost: list[tuple[StreamKey, int]] = []
    client = Client(answers=False)
    live = LiveOut(client, lambda: client, NO_METRICS, lambda *told: lost.append(told))  # type: ignore[arg-type,return-value]
    end = Mark(KEY, MarkKind.EOF, 9.0)
    for item in (Mark(KEY, MarkKind.HEARTBEAT, 8.0), end):
        live.mark(item, [("exercise", b"squat")])
    live.frame(frame(1), [])
    for future in list(client.futures):
        future.failure(KafkaTimeoutError("too old"))
    live.settle()
    assert lost == [(KEY, 1)]
    assert client.sent[3:] == [end], "a heartbeat is not worth it"
    live.close(0.0)
    live.close(0.0)


def test_a_client_of_which_nothing_is_heard_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_live, "DEADLINE_S", 0.1)
    monkeypatch.setattr(kafka_live, "_STUCK_S", 0.1)
    monkeypatch.setattr(kafka_live, "_AGAIN_S", 0.05)
    stuck, fresh, lost, attempts = Client(answers=False), Client(answers=True), [], []

    def connect() -> Client:
        attempts.append(1)
        if len(attempts) < 3:
            raise KafkaError("nobody there")
        return fresh

    live = LiveOut(stuck, connect, NO_METRICS, lambda key, frames: lost.append(frames))  # type: ignore[arg-type]
    live.frame(frame(0), [])
    live.frame(frame(1), [])
    end = Mark(KEY, MarkKind.EOF, 0.2)
    live.mark(end, [])
    until(live, lambda: not live.ready("gym/rack"))
    assert sum(lost) == 2
    until(live, lambda: live.ready("gym/rack") and fresh.sent)
    assert stuck.discarded
    assert fresh.sent == [end]
    live.frame(frame(2), [])
    stuck.futures[0].success(None)  # it wakes up, and nobody cares
    live.settle()
    assert live.in_flight == 0
    assert sum(lost) == 2


def test_questions_are_answered_within_a_time() -> None:
    never = threading.Event()
    assert within(5.0, lambda: 42) == 42
    with pytest.raises(ValueError, match="no"):
        within(5.0, lambda: int("no"))
    with pytest.raises(KafkaTimeoutError):
        within(0.05, never.wait)
    never.set()


def test_how_much_of_files_waits_for_pose_counts_what_was_committed_since_the_look() -> None:
    downstream = Downstream(KafkaConfig("127.0.0.1:9"))
    assert downstream.waiting(0) is None, "nobody has looked"
    downstream.sent(0, 7)
    time.sleep(0.01)
    now_s = time.monotonic()
    downstream.look = Look(now_s, {}, {0: (100, 60), 1: (50, None), 2: (900, 100)}, {2: 890})
    assert downstream.waiting(0) == 40, "what was sent before the look is in it"
    assert downstream.waiting(1) == 50, "pose has never committed"
    assert downstream.waiting(2) == 10, "what retention has deleted waits no more"
    downstream.sent(0, 7)
    downstream.sent(1, 1)
    assert downstream.waiting(0) == 48
    downstream.look = Look(now_s - 60.0, {}, {0: (100, 60)})
    assert downstream.waiting(0) is None, "that was long ago"
