"""Cameras that hang while their stream goes on: the same picture again and again, at the usual bit-rate.

A room in which nothing moves can look the same for a while, too; but then a camera needs hardly any bits to say so.
"""

from collections import deque
from typing import Final

HANGS_S: Final = 5.0
"""Standing still so long at the usual bit-rate: the camera hangs."""
HANGS_ANYWAY_S: Final = 60.0
"""... at any bit-rate: no sensor is so free of noise."""
_USUAL_SHARE: Final = 0.5
_MEMORY_S: Final = 60.0
_BUCKET_S: Final = 1.0


class HangDetector:
    """Tells a hanging camera from a quiet room.

    ``add`` every analysed picture: whether it is the one before (``scene.Look.frozen``, or identical), and the bytes
    of all packets since the last call.
    """

    def __init__(self) -> None:
        self._still_since_s: float | None = None
        self._still_bytes = 0
        self._moving: deque[tuple[float, float, int]] = deque()  # start, length, bytes of times with movement
        self._last_s: float | None = None

    def add(self, time_s: float, *, same: bool, size_bytes: int) -> bool:
        """Whether the camera hangs."""
        last_s, self._last_s = self._last_s, time_s
        if last_s is None:
            return False
        if not same:
            self._still_since_s = None
            self._note(last_s, time_s, size_bytes)
            return False
        if self._still_since_s is None:
            self._still_since_s = last_s
            self._still_bytes = 0
        self._still_bytes += size_bytes
        still_s = time_s - self._still_since_s
        if still_s >= HANGS_ANYWAY_S:
            return True
        usual = self._usual_bytes_per_s()
        if still_s < HANGS_S or usual is None:
            return False
        return self._still_bytes / still_s >= _USUAL_SHARE * usual

    def _note(self, start_s: float, end_s: float, size_bytes: int) -> None:
        if self._moving and self._moving[-1][1] < _BUCKET_S:
            begin_s, length_s, held = self._moving[-1]
            self._moving[-1] = begin_s, length_s + end_s - start_s, held + size_bytes
        else:
            self._moving.append((start_s, end_s - start_s, size_bytes))
        while self._moving[0][0] < end_s - _MEMORY_S:
            self._moving.popleft()

    def _usual_bytes_per_s(self) -> float | None:
        """While something moved; None where that was not seen for a second yet."""
        length_s = sum(length for _, length, _ in self._moving)
        return sum(size for _, _, size in self._moving) / length_s if length_s >= _BUCKET_S else None
