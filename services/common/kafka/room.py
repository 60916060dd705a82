"""How much may be at work elsewhere at once, and who is next."""

from collections.abc import Callable, Hashable


class Room:
    """Room for ``size`` items (0: endless). Who found none gets it in turn. Owned by the runner's thread."""

    def __init__(self, size: int = 0) -> None:
        self._size = size
        self._taken = 0
        self._queue: dict[Hashable, Callable[[], None]] = {}
        self._turn = False  # of the one who is called just now

    def take(self, who: Hashable, again: Callable[[], None]) -> bool:
        """True: begin, and ``leave`` in the end. False: ``again`` is called when it is the turn of ``who``."""
        free = not self._size or (self._taken < self._size and (self._turn or not self._queue))
        if free:
            self._turn = False
            self._taken += 1
        else:
            self._queue.setdefault(who, again)
        return free

    def leave(self) -> None:
        self._taken -= 1

    def admit(self) -> None:
        """Let those who wait begin, as far as there is room."""
        while self._queue and self._taken < self._size:
            again = self._queue.pop(next(iter(self._queue)))
            self._turn = True
            again()  # it may have nothing to begin any more
            self._turn = False
