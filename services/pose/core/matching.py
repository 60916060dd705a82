"""What it costs to take a finding for a person known already: by pose and motion, after a loss, across a cut.

Each function gives (N tracks, M findings); lower is likelier, more than the ``MAX`` beside it is out of the question.
Clothes: measured on the real clips, one person in two pictures differs by 0.12 (95 %: under 0.33), two people by 0.47
(90 %: over 0.32).
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from services.pose.core import appearance, similarity
from services.pose.core.proposals import Candidate
from services.pose.core.similarity import F64

NEAR_MAX: Final = 0.97
LOST_MAX: Final = 0.90
CUT_MAX: Final = 0.70
_HOPELESS: Final = 1e6


class Known(Protocol):
    """What matching needs of a track."""

    @property
    def track_id(self) -> int: ...
    @property
    def seen_s(self) -> float: ...
    @property
    def keypoints(self) -> F64: ...
    @property
    def scores(self) -> F64: ...
    @property
    def size_px(self) -> float: ...
    @property
    def appearance(self) -> F64 | None: ...
    def predicted(self, time_s: float) -> F64: ...
    def box_at(self, time_s: float) -> F64: ...


Cost = Callable[[Sequence[Known], Sequence[Candidate], float], F64]


def assign(
    tracks: Sequence[Known], found: Sequence[Candidate], cost_of: Cost, limit: float, time_s: float
) -> list[tuple[int, int]]:
    """Pairs (index of track, index of finding) of least total cost, none of which costs more than ``limit``."""
    if not tracks or not found:
        return []
    cost = cost_of(tracks, found, time_s)
    if cost.size == 1:
        return [(0, 0)] if cost[0, 0] <= limit else []
    rows, columns = linear_sum_assignment(np.where(cost > limit, _HOPELESS, cost))
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if cost[r, c] <= limit]


def near_cost(tracks: Sequence[Known], found: Sequence[Candidate], time_s: float) -> F64:
    """Of tracks seen a moment ago: the pose should be where the motion leads, in the same clothes."""
    predicted = np.stack([t.predicted(time_s) for t in tracks])
    scores = np.stack([t.scores for t in tracks])
    # The longer ago, the further the joints may have gone.
    reach = np.array([t.size_px * (1.3 + 2.0 * min(time_s - t.seen_s, 0.5)) for t in tracks])
    keypoints = np.stack([c.keypoints for c in found])
    like = similarity.oks_either_way(predicted, scores, reach, keypoints, np.stack([c.scores for c in found]))
    cost = 1.0 - like
    for i, t in enumerate(tracks):
        box = t.box_at(time_s)
        for j, c in enumerate(found):
            cost[i, j] = min(cost[i, j], 1.0 - 0.6 * similarity.box_overlap(box, c.box)[0])
            cost[i, j] -= 0.05 if c.track_id == t.track_id else 0.0
            cost[i, j] += 0.6 * max(_clothes(t, c) - 0.15, 0.0) if len(tracks) > 1 or len(found) > 1 else 0.0
            if not 0.4 < c.size_px / t.size_px < 2.5:
                cost[i, j] += 1.0
    return cost


def lost_cost(tracks: Sequence[Known], found: Sequence[Candidate], time_s: float) -> F64:
    """Of tracks lost a while ago: not too far off for the time, about as large, in the same clothes."""
    cost = np.empty((len(tracks), len(found)))
    for i, t in enumerate(tracks):
        here = similarity.torso_centre(t.predicted(time_s), t.scores)
        reach = (1.5 + 2.0 * min(time_s - t.seen_s, 2.5)) * t.size_px
        for j, c in enumerate(found):
            off = math.dist(here, similarity.torso_centre(c.keypoints, c.scores)) / reach
            ratio = abs(math.log(c.size_px / t.size_px))
            cost[i, j] = 0.4 * off + 1.8 * _clothes(t, c, 0.25) + 0.3 * ratio
            if off > 1.0 or ratio > 0.7:
                cost[i, j] = _HOPELESS
    return cost


def cut_cost(tracks: Sequence[Known], found: Sequence[Candidate], time_s: float) -> F64:
    """Across a hard cut: motion says nothing; the same clothes, about the same place and size."""
    cost = np.empty((len(tracks), len(found)))
    for i, t in enumerate(tracks):
        here = similarity.torso_centre(t.keypoints, t.scores)
        for j, c in enumerate(found):
            off = math.dist(here, similarity.torso_centre(c.keypoints, c.scores)) / t.size_px
            ratio = abs(math.log(c.size_px / t.size_px))
            cost[i, j] = 1.6 * _clothes(t, c, 0.3) + 0.06 * min(off, 4.0) + 0.15 * min(ratio, 1.5)
    return cost


def _clothes(track: Known, candidate: Candidate, unknown: float = 0.15) -> float:
    if track.appearance is None or candidate.appearance is None:
        return unknown
    return appearance.difference(track.appearance, candidate.appearance)
