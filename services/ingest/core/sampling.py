"""Choosing frames by time, never by count: what is right for variable frame rates, gaps and dropped frames alike."""

import math

PHASE = 0.18
"""Where a slot begins, in slots before its tick. This one keeps the frames of sources whose rate is a multiple of
the wanted one (60, 90, 120 → 30) away from the borders of slots, so that jitter changes nothing."""


class RateSampler:
    """Keeps the first frame of each slot of ``1 / rate_fps`` seconds; ``None`` keeps every frame.

    A decision depends on the times up to it only, and is the same whatever came before ``reset``-free: slots lie on
    a fixed grid of event time, so a file read from the middle gives the frames that reading from its start gives.
    """

    def __init__(self, rate_fps: float | None) -> None:
        if rate_fps is not None and not (math.isfinite(rate_fps) and rate_fps > 0):
            raise ValueError(f"rate_fps must be positive, not {rate_fps}")
        self._rate_fps = rate_fps
        self._slot: int | None = None

    def keep(self, time_s: float) -> bool:
        if self._rate_fps is None:
            return True
        slot = math.floor(time_s * self._rate_fps + PHASE)
        if self._slot is not None and slot <= self._slot:
            return False
        self._slot = slot
        return True
