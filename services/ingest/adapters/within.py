"""Answers within a time, whatever the one who is asked does."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from kafka.errors import KafkaTimeoutError

T = TypeVar("T")


def within(timeout_s: float, ask: Callable[[], T]) -> T:
    """What ``ask`` returns, or raises.

    kafka-python 3.0.12 can lose a request when a broker dies, and then never answers; the thread that waits is left.

    Raises: KafkaTimeoutError: no answer within ``timeout_s``.
    """
    answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        try:
            answers.put((ask(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=work, name="ask", daemon=True).start()
    try:
        answer, error = answers.get(timeout=timeout_s)
    except Empty:
        raise KafkaTimeoutError(f"no answer within {timeout_s:.0f} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]
