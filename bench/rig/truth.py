"""When did a camera's clip really show the end of a repetition? From rendered truth and the poses that were found.

A camera loops its clip from an unknown moment of the stream's time on. That moment is found by laying the true
keypoints over the found ones, which knows nothing of repetitions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.common.types import PoseFrame

F64 = NDArray[np.float64]

_VISIBLE = "2"
_NEAR_S = 0.7
_LEAST_FRAMES = 8


@dataclass(frozen=True, slots=True, eq=False)
class LoopTruth:
    """Of one clip: ``keypoints`` (P, T, 17, 2) px, NaN where a joint cannot be seen; ``ends_s``: of all counted
    repetitions of all people, sorted."""

    fps: float
    length_s: float
    keypoints: F64
    ends_s: F64

    @classmethod
    def of(cls, document: dict[str, Any]) -> "LoopTruth":
        people = document["people"]
        keypoints = np.array([p["keypoints_px"] for p in people], float)
        seen = np.array([[[c == _VISIBLE for c in row] for row in p["visible"]] for p in people])
        keypoints[~seen] = np.nan
        ends = sorted(r["offset_s"] for p in people for r in p["repetitions"] if r["counted"])
        return cls(document["fps"], document["frames"] / document["fps"], keypoints, np.array(ends))

    def offset_s(self, frames: Sequence[PoseFrame]) -> float | None:
        """Clip time = (event time + offset) modulo its length; None: too few frames with somebody in them.

        To a fraction of a frame: a parabola through the best frame and its neighbours.
        """
        used = [f for f in frames if f.people]
        if len(used) < _LEAST_FRAMES:
            return None
        count = self.keypoints.shape[1]
        costs = np.array([self._cost(used, shift / self.fps) for shift in range(count)])
        best = int(np.argmin(costs))
        left, mid, right = costs[best - 1], costs[best], costs[(best + 1) % count]
        bend = left - 2 * mid + right
        part = 0.5 * (left - right) / bend if bend > 0 else 0.0
        return float((best + np.clip(part, -0.5, 0.5)) / self.fps)

    def _cost(self, frames: Sequence[PoseFrame], offset_s: float) -> float:
        """Mean over frames of the distance (px) of the best pair of a found and a true person."""
        count = self.keypoints.shape[1]
        total = 0.0
        for frame in frames:
            at = round((frame.time_s + offset_s) * self.fps) % count
            true = self.keypoints[:, at]
            best = 1e3
            for person in frame.people:
                apart = np.hypot(*np.moveaxis(true - person.keypoints, -1, 0))  # (P, 17)
                seen = ~np.isnan(apart)
                means = np.where(seen, apart, 0).sum(1) / np.maximum(seen.sum(1), 1)
                means[seen.sum(1) < 5] = 1e3
                best = min(best, float(means.min()))
            total += min(best, 1e3)
        return total / len(frames)

    def true_end_s(self, found_end_s: float, offset_s: float) -> float | None:
        """Event time of the true end nearest to a found one; None: there is none within 0.7 s."""
        at = (found_end_s + offset_s) % self.length_s
        apart = (self.ends_s - at + self.length_s / 2) % self.length_s - self.length_s / 2
        nearest = int(np.argmin(np.abs(apart)))
        return found_end_s + float(apart[nearest]) if abs(apart[nearest]) <= _NEAR_S else None
