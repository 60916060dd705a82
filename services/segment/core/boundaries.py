"""Boundaries of a repetition to a fraction of a tick, from what the network said of the last seconds."""

import itertools
from typing import Final

import numpy as np

from services.segment.core.candidate import Sample
from services.segment.core.resample import TICK_S

EVENT_MIN: Final = 0.2
"""An event less probable than this does not place a boundary."""


def _crossing(before: Sample, after: Sample, name: str, level: float) -> float:
    a, b = getattr(before, name), getattr(after, name)
    share = 0.5 if a == b else (level - a) / (b - a)
    return before.time_s + float(np.clip(share, 0, 1)) * (after.time_s - before.time_s)


def peak(ring: list[Sample], name: str) -> tuple[float, float]:
    """Height of the greatest event probability and its time, refined by its neighbours' weights."""
    values = np.array([getattr(s, name) for s in ring])
    top = int(values.argmax())
    low, high = max(0, top - 1), min(len(ring), top + 2)
    weights = values[low:high]
    times = np.array([s.time_s for s in ring[low:high]])
    return float(values[top]), float((weights * times).sum() / max(weights.sum(), 1e-9))


def locate_onset(ring: list[Sample], after_s: float) -> tuple[float, bool]:
    """Where the body left rest: the onset event of the last second, else where it ceased to rest; whether by event."""
    recent = [s for s in ring[-15:] if s.time_s > after_s - 0.5 * TICK_S]
    if not recent:
        return ring[-1].time_s, False
    height, time_s = peak(recent, "onset")
    if height >= EVENT_MIN:
        return time_s, True
    for before, after in zip(reversed(recent[:-1]), reversed(recent[1:]), strict=True):
        if before.away < 0.5 <= after.away:
            return _crossing(before, after, "away", 0.5), False
    return recent[0].time_s, False


def locate_offset(ring: list[Sample], after_s: float) -> float:
    """Where the body was back at rest: the offset event, else where it began to rest, else now."""
    recent = [s for s in ring[-8:] if s.time_s > after_s]
    if not recent:
        return ring[-1].time_s
    height, time_s = peak(recent, "offset")
    if height >= EVENT_MIN:
        return time_s
    for before, after in itertools.pairwise(recent):
        if before.away >= 0.5 > after.away:
            return _crossing(before, after, "away", 0.5)
    return recent[-1].time_s
