"""The table of measures: name → unit and how it is read. The last word of a name is its unit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.errors.core.curves import Readings, Rep

SET_MEASURES: Final = {
    "range_lost_ratio": "Share of the range of the set's first three repetitions (their median) that is missing.",
    "tempo_change_ratio": "Duration over the median of the set's last five repetitions (or the inverse, if shorter).",
    "torso_risen_deg": "How far the torso has risen since the set's first three repetitions.",
}
"""Measures against the set's own earlier repetitions (``core.memory``): name → what they read."""

Reader = Callable[[Rep], Readings]
UNITS: Final = {"deg": "deg", "s": "s", "norm": "torso lengths", "ratio": "ratio"}


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    unit: str
    what: str
    read: Reader


REGISTRY: dict[str, Measure] = {}


def measure(name: str) -> Callable[[Reader], Reader]:
    """Enter a reader into the table; its docstring's first line says what it measures."""
    unit = name.rsplit("_", 1)[-1]
    if unit not in UNITS:
        raise ValueError(f"measure {name} has no unit at its end ({', '.join(UNITS)})")

    def enter(reader: Reader) -> Reader:
        if name in REGISTRY:
            raise ValueError(f"measure {name} is there twice")
        what = (reader.__doc__ or "").strip().splitlines()[0]
        REGISTRY[name] = Measure(name, unit, what, reader)
        return reader

    return enter
