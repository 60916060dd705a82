"""Runs an iterator in a thread of its own, a few items ahead of the reader."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
_END = object()
_POLL_S = 0.1


class ReadAhead(Generic[T], AbstractContextManager["ReadAhead[T]"]):
    """Iterate over ``source`` while up to ``depth`` further items are being made.

    An exception of the source is raised at the reader, after the items before it. Leaving the context stops the
    thread. ``busy_s``: time spent inside the source.
    """

    def __init__(self, source: Iterator[T], depth: int = 4) -> None:
        self._source = source
        self._queue: queue.Queue[object] = queue.Queue(depth)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)
        self.busy_s = 0.0

    def _put(self, item: object) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
                return
            except queue.Full:
                continue

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                started = time.perf_counter()
                item = next(self._source, _END)
                self.busy_s += time.perf_counter() - started
                if item is _END:
                    break
                self._put(item)
        except BaseException as e:
            self._failure = e
        self._put(_END)

    def __enter__(self) -> "ReadAhead[T]":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while (item := self._queue.get()) is not _END:
            yield item  # type: ignore[misc]
        if self._failure is not None:
            raise self._failure
