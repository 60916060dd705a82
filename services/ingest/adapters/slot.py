"""Where one thread leaves what another takes: the newest wins."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """Holds one item at most."""

    def __init__(self) -> None:
        self._item: T | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Whether an item was replaced that nobody had taken."""
        with self._changed:
            replaced, self._item = self._item is not None, item
            self._changed.notify()
            return replaced

    def take(self) -> T | None:
        """Wait for an item; None = closed, and all is taken."""
        with self._changed:
            while self._item is None and not self._closed:
                self._changed.wait()
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
