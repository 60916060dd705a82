"""One thing at a time: which error to speak of, when to stay silent, when to praise."""

from dataclasses import dataclass, field
from typing import Any, Final

from services.errors.core.catalogue import ExerciseSpec
from services.errors.core.rules import Verdict
from services.errors.core.scoring import penalty

REPEAT_AFTER: Final = 3
"""The same cue again only so many repetitions later …"""
WORSE_BY: Final = 0.25
"""… unless the error got worse by this much severity."""
PRAISE_WITHIN: Final = 4
"""An error that was named within so many repetitions and is gone has been fixed."""


@dataclass(slots=True)
class CueMemory:
    """What was said and seen within one track's set. Counts are of assessed repetitions.

    ``told``: code → (count, severity) of its last cue; ``faults``: code → count at which it was last named.
    """

    count: int = 0
    told: dict[str, tuple[int, float]] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        return {"count": self.count, "told": self.told, "faults": self.faults}

    @classmethod
    def load(cls, state: dict[str, Any]) -> "CueMemory":
        told = {code: (int(at), float(severity)) for code, (at, severity) in state["told"].items()}
        return cls(int(state["count"]), told, {code: int(at) for code, at in state["faults"].items()})


def next_cue(memory: CueMemory, exercise: ExerciseSpec, verdict: Verdict) -> str | None:
    """What to tell after this repetition, or None. Takes the repetition into the memory."""
    memory.count += 1
    named = sorted(verdict.named, key=lambda j: (-penalty(j), j.spec.code))
    text = _correction(memory, named[0].spec.code, named[0].spec.cue, named[0].severity) if named else None
    if not named:
        text = _praise(memory, exercise, verdict)
    for judged in named:
        memory.faults[judged.spec.code] = memory.count
    return text


def _correction(memory: CueMemory, code: str, text: str, severity: float) -> str | None:
    last = memory.told.get(code)
    if last is not None and memory.count - last[0] < REPEAT_AFTER and severity < last[1] + WORSE_BY:
        return None
    memory.told[code] = (memory.count, severity)
    return text


def _praise(memory: CueMemory, exercise: ExerciseSpec, verdict: Verdict) -> str | None:
    """Praise for the latest error that is gone for sure (seen, and unlikely now); each once."""
    clear = {j.spec.code for j in verdict.judged if j.probability < 0.5}
    for code, at in sorted(memory.faults.items(), key=lambda item: (-item[1], item[0])):
        if code in clear:
            del memory.faults[code]
            memory.told.pop(code, None)
            if memory.count - at <= PRAISE_WITHIN:
                return next((f"{e.praise} Fixed." for e in exercise.errors if e.code == code), None)
    return None
