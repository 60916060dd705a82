"""What the repetitions of one body have in common: sets, the exercise they agree on, their usual size."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.segment.core.decoder import Decision
from services.segment.core.network import EXERCISES, LOG_PRIOR

F32 = NDArray[np.float32]

SET_GAP_S: Final = 6.0
"""A rest longer than this, and than two usual repetitions, ends a set."""
_MEMORY: Final = 12
_TEMPER: Final = 0.5
"""Repetitions of a set share view and mistakes: their votes are not independent, so each counts half."""
KNOWN_MIN: Final = 0.4
_LOOK_ALIKE: Final = tuple((EXERCISES.index(n), EXERCISES.index("bicep_curl")) for n in ("hammer_curl", "zottman_curl"))
"""(exercise, the one it is called): they differ in how the hand is turned, which 17 joints do not show."""


class SetTracker:
    """The current set of one body. Times are event times, s."""

    def __init__(self, exercise: str | None) -> None:
        self.forced = exercise
        self.set_index = 0
        self.index = 0
        self.last_offset_s: float | None = None
        self.durations_s: list[float] = []
        self.amplitudes: list[float] = []
        self.votes = np.zeros(len(EXERCISES), np.float32)

    def _starts_set(self, onset_s: float) -> bool:
        if self.last_offset_s is None:
            return True
        usual_s = float(np.median(self.durations_s)) if self.durations_s else 0.0
        return onset_s - self.last_offset_s > max(SET_GAP_S, 2.0 * usual_s)

    def rest_s(self, onset_s: float) -> float:
        """Pause before a repetition, 0 for the first of a set."""
        if self.last_offset_s is None or self._starts_set(onset_s):
            return 0.0
        return max(0.0, onset_s - self.last_offset_s)

    def place(self, onset_s: float) -> tuple[int, int]:
        """Set number and count so far that a repetition starting at ``onset_s`` falls under."""
        return (self.set_index + 1, 0) if self._starts_set(onset_s) else (self.set_index, self.index)

    def confirm(self, decision: Decision, onset_s: float, offset_s: float) -> tuple[int, int]:
        """Counts a repetition: its set number and index, both from 1."""
        if self._starts_set(onset_s):
            self.set_index += 1
            self.index = 0
            self.durations_s, self.amplitudes = [], []
            self.votes = np.zeros(len(EXERCISES), np.float32)
        self.index += 1
        self.last_offset_s = offset_s
        self.durations_s = [*self.durations_s, offset_s - onset_s][-_MEMORY:]
        self.amplitudes = [*self.amplitudes, decision.amplitude][-_MEMORY:]
        self.votes = (self.votes + decision.exercise).astype(np.float32)
        return self.set_index, self.index

    def usual_amplitude(self) -> float | None:
        """Median size of the set's repetitions once there are two, body sizes."""
        return float(np.median(self.amplitudes)) if len(self.amplitudes) >= 2 else None

    def exercise(self, decision: Decision, onset_s: float) -> tuple[str, float]:
        """The exercise that this repetition and those of its set before it agree on, and how surely.

        Call before ``confirm`` counts the repetition.
        """
        if self.forced is not None:
            return self.forced, 1.0
        votes = decision.exercise if self._starts_set(onset_s) else self.votes + decision.exercise
        logits = votes.astype(np.float64)
        logits = logits if not self.durations_s or self._starts_set(onset_s) else _TEMPER * logits
        logits = logits + LOG_PRIOR
        chances = np.exp(logits - logits.max())
        chances /= chances.sum()
        for other, shown in _LOOK_ALIKE:
            chances[shown] += chances[other]
            chances[other] = 0.0
        best = int(chances.argmax())
        if chances[best] < KNOWN_MIN:
            return "unknown", float(1.0 - chances[best])
        return EXERCISES[best], float(chances[best])

    def state(self) -> dict[str, object]:
        return {k: v for k, v in vars(self).items() if k != "forced"}

    def load(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self.votes = np.array(self.votes, np.float32)
