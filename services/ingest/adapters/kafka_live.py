"""Live frames and marks on their way to Kafka: not transactional, as soon as they come, never more than a little.

A frame that cannot be delivered in a few seconds is dropped and counted: newer ones matter more.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

from kafka.errors import KafkaError

from services.common import topics
from services.common.codec import EncodedFrame
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.messages import Headers
from services.common.kafka.publisher import Publisher
from services.common.metrics_protocol import RunnerMetrics
from services.common.processor import Mark, MarkKind
from services.common.types import StreamKey

log = logging.getLogger(__name__)

DEADLINE_S: Final = 5.0
MOST_FRAMES: Final = 16
"""Of one stream, on their way at once: more than a second's."""
MOST_BYTES: Final = 64 << 20
"""Of all streams."""
_STUCK_S: Final = 2.0
"""So long after the deadline a record's fate is known, unless the client is stuck."""
_AGAIN_S: Final = 0.5
_SAY_S: Final = 5.0
_MOST_ENDS: Final = 10_000


def connect(kafka: KafkaConfig) -> Publisher:
    """Raises: kafka.errors.KafkaError: no broker answers, or there is no topic for live frames."""
    publisher = Publisher(kafka, DEADLINE_S)
    try:
        publisher.know(topics.FRAMES_LIVE)
    except BaseException:
        publisher.discard()
        raise
    return publisher


@dataclass(frozen=True, slots=True)
class _Sent:
    item: EncodedFrame | Mark
    headers: Headers
    at_s: float


class LiveOut:
    """Used by the service's loop; the client's thread only leaves results in a queue.

    kafka-python 3.0.12 can lose a request when its broker dies; then it delivers nothing any more, nor gives it up:
    a client from which nothing is heard is replaced.

    Args:
        publisher: sends. connect: makes another; may take its time. undelivered: is told of frames that were given up.
    """

    def __init__(
        self, publisher: Publisher, connect: Callable[[], Publisher], metrics: RunnerMetrics,
        undelivered: Callable[[StreamKey, int], None],
    ) -> None:  # fmt: skip
        self._connect, self._metrics, self._undelivered = connect, metrics, undelivered
        self._publisher: Publisher | None = publisher
        self._fresh: SimpleQueue[Publisher] = SimpleQueue()
        self._done: SimpleQueue[tuple[int, BaseException | None]] = SimpleQueue()
        self._sent: dict[int, _Sent] = {}
        self._last = 0
        self._frames: Counter[str] = Counter()
        self._bytes = 0
        self._again: deque[_Sent] = deque(maxlen=_MOST_ENDS)
        self._given_up = 0
        self._said_s = 0.0
        self._closed = threading.Event()

    @property
    def in_flight(self) -> int:
        """Frames on their way."""
        return self._frames.total()

    def ready(self, name: str) -> bool:
        """Whether one more frame of a stream may be sent; False while Kafka does not take what was sent before."""
        return self._publisher is not None and self._frames[name] < MOST_FRAMES and self._bytes < MOST_BYTES

    def frame(self, frame: EncodedFrame, headers: Headers) -> None:
        self._frames[_name(frame.stream)] += 1
        self._bytes += len(frame.jpeg)
        self._send(frame, headers)

    def mark(self, mark: Mark, headers: Headers) -> None:
        self._send(mark, headers)

    def settle(self) -> None:
        """Take what has been delivered, or given up; send again the ends of sessions that were."""
        while True:
            try:
                number, error = self._done.get_nowait()
            except Empty:
                break
            self._settle(number, error)
        self._watch()
        if self._given_up and time.monotonic() - self._said_s > _SAY_S:
            log.warning("%d live frames could not be delivered in time and were dropped", self._given_up)
            self._given_up, self._said_s = 0, time.monotonic()
        for _ in range(len(self._again) if self._publisher is not None else 0):
            again = self._again.popleft()
            self._send(again.item, again.headers)

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way, at most so long; the rest counts as undelivered."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._publisher is not None:
            with suppress(KafkaError):  # that the time was not enough
                self._publisher.close(timeout_s)
        self.settle()

    def _watch(self) -> None:
        """Replace a client that is stuck; take the new one when it is there."""
        if self._publisher is None:
            with suppress(Empty):
                self._publisher = self._fresh.get_nowait()
                log.info("live frames are sent again")
            return
        oldest = next(iter(self._sent.values()), None)
        if oldest is None or time.monotonic() - oldest.at_s < DEADLINE_S + _STUCK_S or self._closed.is_set():
            return
        log.warning("nothing is heard of %d live frames and marks: Kafka's client is replaced", len(self._sent))
        stuck, self._publisher = self._publisher, None
        lost = KafkaError("the client was stuck")
        for number in list(self._sent):
            self._settle(number, lost)
        threading.Thread(target=self._reconnect, args=(stuck,), name="ingest-live", daemon=True).start()

    def _reconnect(self, stuck: Publisher) -> None:
        stuck.discard()
        while not self._closed.is_set():
            try:
                self._fresh.put(self._connect())
                return
            except (KafkaError, AssertionError) as error:
                log.debug("live frames still have no way: %r", error)
                self._closed.wait(_AGAIN_S)

    def _settle(self, number: int, error: BaseException | None) -> None:
        """A record's fate is known."""
        sent = self._sent.pop(number, None)
        if sent is None:
            return
        item = sent.item
        if error is None:
            self._metrics.produced(topics.FRAMES_LIVE, 1)
        elif isinstance(item, Mark) and item.kind is MarkKind.EOF:
            self._again.append(sent)  # else the stages keep the session for half an hour
        if not isinstance(item, EncodedFrame):
            return
        name = _name(item.stream)
        self._frames[name] -= 1
        if self._frames[name] <= 0:
            del self._frames[name]
        self._bytes -= len(item.jpeg)
        if error is None:
            self._metrics.latency(topics.FRAMES_LIVE, time.time() - item.captured_unix_s)
        else:
            self._given_up += 1
            self._undelivered(item.stream, 1)

    def _send(self, item: EncodedFrame | Mark, headers: Headers) -> None:
        self._last += 1
        number = self._last
        self._sent[number] = _Sent(item, headers, time.monotonic())
        if self._publisher is None:
            self._done.put((number, KafkaError("there is no client now")))
            return
        try:
            future = self._publisher.send(topics.FRAMES_LIVE, item, headers)
        except (KafkaError, AssertionError) as error:
            self._done.put((number, error))
            return
        future.add_callback(partial(self._settled, number, None))
        future.add_errback(partial(self._settled, number))

    def _settled(self, number: int, error: BaseException | None, _: object = None) -> None:
        self._done.put((number, error))


def _name(stream: StreamKey) -> str:
    return f"{stream.tenant}/{stream.stream_id}"
