"""The recent places of a body's joints, kept as integers: small in a snapshot, and the same after it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.types import PoseWindow

F32 = NDArray[np.float32]

IDLE_TICKS: Final = 60
"""What is kept while nothing goes on: a repetition may be noticed only on its way back."""
FULL_TICKS: Final = 120
"""Beyond this the older half is thinned, so that a long repetition stays small."""


class WindowRecorder:
    """Ticks of one body: motion time, places (17, 2) in steps of ``step_px`` as int16, scores in 1/255."""

    def __init__(self, step_px: float) -> None:
        self.step_px = step_px
        self.times_s: list[float] = []
        self.places: list[NDArray[np.int16]] = []
        self.scores: list[NDArray[np.uint8]] = []

    def push(self, time_s: float, keypoints: F32, scores: F32, keep_from_s: float | None) -> None:
        """One tick. ``keep_from_s``: start of what is still needed, None when nothing is going on."""
        self.times_s.append(time_s)
        limits = np.iinfo(np.int16)
        steps = np.clip(np.round(keypoints / self.step_px), limits.min, limits.max)
        self.places.append(steps.astype(np.int16))
        self.scores.append(np.round(np.clip(scores, 0, 1) * 255).astype(np.uint8))
        drop = len(self.times_s) - IDLE_TICKS
        if keep_from_s is not None:
            drop = min(drop, int(np.searchsorted(self.times_s, keep_from_s)))
        if drop > 0:
            self._keep(slice(drop, None))
        if len(self.times_s) > FULL_TICKS:
            half = len(self.times_s) // 2
            picked = [*range(0, half, 2), *range(half, len(self.times_s))]
            self._keep(picked)

    def _keep(self, which: slice | list[int]) -> None:
        for name in ("times_s", "places", "scores"):
            values = getattr(self, name)
            setattr(self, name, values[which] if isinstance(which, slice) else [values[i] for i in which])

    def cut(self, start_s: float, end_s: float) -> PoseWindow | None:
        """What was recorded in a span of motion time (times still in motion time); None where nothing was."""
        picked = [i for i, t in enumerate(self.times_s) if start_s <= t <= end_s]
        if not picked:
            return None
        return PoseWindow(
            times_s=np.array([self.times_s[i] for i in picked]),
            keypoints=np.stack([self.places[i] for i in picked]).astype(np.float32) * np.float32(self.step_px),
            scores=np.stack([self.scores[i] for i in picked]).astype(np.float32) / np.float32(255),
        )

    def state(self) -> dict[str, object]:
        n = len(self.times_s)
        return {
            "step_px": self.step_px,
            "times_s": np.array(self.times_s, np.float64),
            "places": np.stack(self.places) if n else np.zeros((0, 17, 2), np.int16),
            "scores": np.stack(self.scores) if n else np.zeros((0, 17), np.uint8),
        }

    @classmethod
    def of(cls, state: dict[str, object]) -> "WindowRecorder":
        made = cls(float(state["step_px"]))  # type: ignore[arg-type]
        made.times_s = [float(t) for t in np.asarray(state["times_s"])]
        made.places = list(np.asarray(state["places"], np.int16))
        made.scores = list(np.asarray(state["scores"], np.uint8))
        return made
