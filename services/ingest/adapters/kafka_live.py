"""Live frames and marks on their way to Kafka: not transactional, as soon as they come, never more than a little.

A frame that cannot be delivered in a few seconds is dropped and counted: newer ones matter more.
"""

import logging
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
_SAY_S: Final = 5.0
_MOST_ENDS: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Done:
    item: EncodedFrame | Mark
    error: BaseException | None


class LiveOut:
    """Used by the service's loop; the client's thread only leaves results in a queue.

    Args:
        publisher: sends. undelivered: is told of frames that were given up.
    """

    def __init__(
        self, publisher: Publisher, metrics: RunnerMetrics, undelivered: Callable[[StreamKey, int], None]
    ) -> None:
        self._publisher, self._metrics, self._undelivered = publisher, metrics, undelivered
        self._done: SimpleQueue[_Done] = SimpleQueue()
        self._frames: Counter[str] = Counter()
        self._bytes = 0
        self._again: deque[Mark] = deque(maxlen=_MOST_ENDS)
        self._given_up = 0
        self._said_s = 0.0

    @property
    def in_flight(self) -> int:
        """Frames on their way."""
        return self._frames.total()

    def ready(self, name: str) -> bool:
        """Whether one more frame of a stream may be sent; False while Kafka does not take what was sent before."""
        return self._frames[name] < MOST_FRAMES and self._bytes < MOST_BYTES

    def frame(self, frame: EncodedFrame, headers: Headers) -> None:
        self._frames[_name(frame.stream)] += 1
        self._bytes += len(frame.jpeg)
        self._send(frame, headers)

    def mark(self, mark: Mark, headers: Headers) -> None:
        self._send(mark, headers)

    def settle(self) -> None:
        """Take what has been delivered, or given up; send again the ends of sessions that were."""
        delivered = 0
        now_s = time.time()
        while True:
            try:
                done = self._done.get_nowait()
            except Empty:
                break
            delivered += done.error is None
            if isinstance(done.item, EncodedFrame):
                self._settle_frame(done.item, done.error, now_s)
            elif done.error is not None and done.item.kind is MarkKind.EOF:
                self._again.append(done.item)  # else the stages keep the session for half an hour
        if delivered:
            self._metrics.produced(topics.FRAMES_LIVE, delivered)
        if self._given_up and time.monotonic() - self._said_s > _SAY_S:
            log.warning("%d live frames could not be delivered in time and were dropped", self._given_up)
            self._given_up, self._said_s = 0, time.monotonic()
        for _ in range(len(self._again)):
            self._send(self._again.popleft(), [])

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way, at most so long; the rest counts as undelivered."""
        with suppress(KafkaError):  # that the time was not enough
            self._publisher.close(timeout_s)
        self.settle()

    def _settle_frame(self, frame: EncodedFrame, error: BaseException | None, now_s: float) -> None:
        name = _name(frame.stream)
        self._frames[name] -= 1
        if self._frames[name] <= 0:
            del self._frames[name]
        self._bytes -= len(frame.jpeg)
        if error is None:
            self._metrics.latency(topics.FRAMES_LIVE, now_s - frame.captured_unix_s)
        else:
            self._given_up += 1
            self._undelivered(frame.stream, 1)

    def _send(self, item: EncodedFrame | Mark, headers: Headers) -> None:
        try:
            future = self._publisher.send(topics.FRAMES_LIVE, item, headers)
        except (KafkaError, AssertionError) as error:
            self._done.put(_Done(item, error))
            return
        future.add_callback(partial(self._settled, item, None))
        future.add_errback(partial(self._settled, item))

    def _settled(self, item: EncodedFrame | Mark, error: BaseException | None, _: object = None) -> None:
        self._done.put(_Done(item, error))


def _name(stream: StreamKey) -> str:
    return f"{stream.tenant}/{stream.stream_id}"
