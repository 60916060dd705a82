"""What earlier repetitions of a set say about this one: range lost, tempo uneven, torso risen.

Small: a few numbers per track, only of the running set.
"""

from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from services.errors.core.cues import CueMemory
from services.errors.core.curves import BOTH, Reading, Readings, Rep
from services.errors.core.measures import measure_all
from services.errors.core.registry import SET_MEASURES

FIRST: Final = 3
"""So many first repetitions of a set are its own standard."""
RECENT: Final = 5


def _lean(rep: Rep) -> float | None:
    reading = measure_all(rep, ["torso_lean_deg"])["torso_lean_deg"].get(BOTH)
    return None if reading is None else reading.value


@dataclass(slots=True)
class TrackMemory:
    """Of one track's running set: its first ranges and leans, its last durations, its cues."""

    exercise: str
    set_index: int
    seen_s: float = 0.0
    ranges: list[float] = field(default_factory=list)
    leans: list[float] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    cues: CueMemory = field(default_factory=CueMemory)

    def compare(self, rep: Rep) -> dict[str, Readings]:
        """The set's own measures for this repetition, which is taken into the memory after."""
        out: dict[str, Readings] = {name: {} for name in SET_MEASURES}
        known = [r for s, r in rep.ranges.items() if r is not None and s in rep.active]
        reach = sum(known) / len(known) if known and not rep.vague else None
        if reach is not None and len(self.ranges) >= FIRST:
            out["range_lost_ratio"] = self._reading(1 - reach / max(median(self.ranges), 1e-6), rep)
        duration = rep.body.bounds.duration_s
        if len(self.durations) >= FIRST:
            ratio = duration / max(median(self.durations), 1e-6)
            out["tempo_change_ratio"] = self._reading(max(ratio, 1 / max(ratio, 1e-6)), rep)
        lean = _lean(rep)
        if lean is not None and len(self.leans) >= FIRST:
            out["torso_risen_deg"] = self._reading(median(self.leans) - lean, rep, rep.sagittal_gain or 1.0)
        self._learn(reach, duration, lean)
        return out

    @staticmethod
    def _reading(value: float, rep: Rep, gain: float = 1.0) -> Readings:
        return {BOTH: Reading(value, rep.turn_s, gain)}

    def _learn(self, reach: float | None, duration: float, lean: float | None) -> None:
        if reach is not None and len(self.ranges) < FIRST:
            self.ranges.append(reach)
        if lean is not None and len(self.leans) < FIRST:
            self.leans.append(lean)
        self.durations = [*self.durations[-(RECENT - 1) :], duration]

    def dump(self) -> dict[str, Any]:
        return {
            "exercise": self.exercise,
            "set_index": self.set_index,
            "seen_s": self.seen_s,
            "ranges": self.ranges,
            "leans": self.leans,
            "durations": self.durations,
            "cues": self.cues.dump(),
        }

    @classmethod
    def load(cls, state: dict[str, Any]) -> "TrackMemory":
        return cls(
            exercise=str(state["exercise"]),
            set_index=int(state["set_index"]),
            seen_s=float(state["seen_s"]),
            ranges=[float(v) for v in state["ranges"]],
            leans=[float(v) for v in state["leans"]],
            durations=[float(v) for v in state["durations"]],
            cues=CueMemory.load(state["cues"]),
        )
