"""How far those who analyse the frames are behind, from the offsets that they have committed."""

from collections import deque
from typing import Final

BEHIND_S: Final = 1.5
CAUGHT_UP_S: Final = 0.75
"""Ordinary work is up to half a second behind what is looked at: transactions every 80 ms, a look every 250 ms."""
_KEPT_S: Final = 120.0


class BehindMeter:
    """Of one partition: looks at its end and at what is committed of it, a few times a second.

    ``seconds``: how long the oldest record that is not committed has been there, at least (the look before last may
    have missed it). ``behind`` says whether that is too long, and changes its mind slowly.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.behind = False
        self._ends: deque[tuple[float, int]] = deque()  # when the end was first seen there

    def look(self, now_s: float, end: int, committed: int | None) -> bool:
        """``committed`` None: nobody has ever committed anything; that is not called behind. Returns ``behind``."""
        if not self._ends or end > self._ends[-1][1]:
            self._ends.append((now_s, end))
        while self._ends and self._ends[0][1] <= (end if committed is None else committed):
            self._ends.popleft()
        while len(self._ends) > 1 and now_s - self._ends[0][0] > _KEPT_S:
            self._ends.popleft()
        self.seconds = now_s - self._ends[0][0] if self._ends else 0.0
        self.behind = self.seconds > (CAUGHT_UP_S if self.behind else BEHIND_S)
        return self.behind
