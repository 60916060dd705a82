"""Finding people nobody follows yet: where to look and when, and which findings to believe.

Looking everywhere in every picture would cost a dozen crops a frame. So the whole picture and its tiles are looked
at in turn, by the stream's time; all at once only where nothing is known (the first picture, and after a cut).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.common.skeleton import MIRROR
from services.pose.core import similarity
from services.pose.core.geometry import Instances, Region
from services.pose.core.similarity import F64

STEADY_S: Final = 0.45
"""Between two looks while everyone known is followed."""
EAGER_S: Final = 0.15
"""Between two looks while somebody is lost."""
ALARMED_S: Final = 0.5
"""For so long after somebody was last seen every picture is looked at: a blurred or black one may lie between."""
NOBODY_S: Final = 0.1
"""Between two looks while there is nobody."""
CALM_S: Final = 1.5
"""Between two looks where only the main person matters and is followed."""


def _squares(length: float, side: float, stride: float) -> list[float]:
    """Centres of the squares of ``side`` that cover ``length``, at most ``stride`` apart."""
    if length <= side:
        return [length / 2]
    n = math.ceil((length - side) / stride) + 1
    return [side / 2 + i * (length - side) / (n - 1) for i in range(n)]


def tiles(width_px: float, height_px: float, side_px: float, stride: float = 0.75) -> list[Region]:
    """Squares that cover the picture, overlapping by a quarter so that somebody is whole in one of them."""
    return [
        Region(x, y, side_px)
        for y in _squares(height_px, side_px, stride * side_px)
        for x in _squares(width_px, side_px, stride * side_px)
    ]


def everywhere(width_px: int, height_px: int) -> list[Region]:
    """The first look: the whole picture, and squares along its longer side."""
    short, long = min(width_px, height_px), max(width_px, height_px)
    regions = [Region.whole(width_px, height_px)]
    if short < 0.85 * long:
        regions += tiles(width_px, height_px, short, 0.6)
    return regions


def round_trip(width_px: int, height_px: int) -> list[Region]:
    """The order of the looks while the stream runs: whole, square, whole, small tile, and so on."""
    whole, *squares = everywhere(width_px, height_px)
    small = tiles(width_px, height_px, 0.6 * min(width_px, height_px))
    squares = squares or [whole]
    out: list[Region] = []
    for i in range(max(len(small), len(squares))):
        out += [whole, squares[i % len(squares)], squares[(i + 1) % len(squares)], small[i % len(small)]]
    return out


@dataclass(slots=True)
class Lookout:
    """When to look next, and where: event time only."""

    next_s: float = -math.inf
    cursor: int = 0

    def due(self, time_s: float, width_px: int, height_px: int, all_at_once: bool) -> list[Region]:
        """The regions to look at in the picture of ``time_s``; changes nothing."""
        if all_at_once:
            return everywhere(width_px, height_px)
        if time_s < self.next_s:
            return []
        order = round_trip(width_px, height_px)
        return [order[self.cursor % len(order)]]

    def done(self, time_s: float, pause_s: float, looked: bool, all_at_once: bool) -> None:
        """After the picture: set the time of the next look."""
        if looked:
            self.cursor = 1 if all_at_once else self.cursor + 1
            self.next_s = time_s + pause_s
        else:
            self.next_s = min(self.next_s, time_s + pause_s)


@dataclass(slots=True, eq=False)
class Candidate:
    """One person found in one crop of this picture. ``track_id``: the crop followed that track (-1: none)."""

    keypoints: F64  # (17, 2) px
    scores: F64  # (17,)
    size_px: float
    quality: float
    box: F64  # (4,)
    region: Region  # where the profile would look next
    track_id: int = -1
    rough: bool = False
    appearance: F64 | None = None


def candidates_of(found: Instances, track_id: int) -> list[Candidate]:
    """The people of one crop's answer."""
    out = []
    for i in range(len(found)):
        keypoints = found.keypoints[i].astype(np.float64)
        scores = found.scores[i].astype(np.float64)
        if not np.isfinite(keypoints).all():
            continue
        out.append(
            Candidate(
                keypoints,
                scores,
                similarity.body_size_px(keypoints, scores),
                similarity.quality(scores) if not found.rough else float(found.centre[i]),
                similarity.pose_box(keypoints, scores),
                found.regions[i],
                track_id,
                found.rough,
            )
        )
    return out


QUALITY_FOLLOWED: Final = 0.25
"""Of a person who is known to be there: less than this is not them."""
QUALITY_PROPOSED: Final = 0.35
"""Of a new finding that is worth a second look."""
QUALITY_SURE: Final = 0.45
"""Of a person seen in a crop of their own, or at once where nothing is known yet. (Real lifters: 99 % of frames have
more.)"""
TORSO_SURE: Final = 0.4
"""Of the second best seen shoulder or hip of a new person."""
SEEN_PROPOSED: Final = 7
SHORT_SIDE_SHARE: Final = 0.2
"""A new person's longer box side, of the picture's shorter side: smaller ones cannot be judged."""


def plausible(candidate: Candidate, width_px: int, height_px: int, quality_min: float = QUALITY_PROPOSED) -> bool:
    """Whether a finding that no track expects looks like somebody who could train here.

    Posters' faces, racks and machines give few joints, scattered or crowded into a spot.
    """
    if candidate.quality < quality_min:
        return False
    x0, y0, x1, y1 = (float(v) for v in candidate.box)
    if max(x1 - x0, y1 - y0) < SHORT_SIDE_SHARE * min(width_px, height_px):
        return False
    if candidate.rough:
        return True
    seen = candidate.scores >= similarity.VISIBLE_MIN
    torso = np.sort(candidate.scores[similarity.TORSO])[-2]
    if seen.sum() < SEEN_PROPOSED or torso < TORSO_SURE or seen[similarity.LIMBS].sum() < 5:
        return False
    middle = similarity.torso_centre(candidate.keypoints, candidate.scores)
    return -0.05 * width_px <= middle[0] <= 1.05 * width_px and -0.05 * height_px <= middle[1] <= 1.05 * height_px


SAME: Final = 0.5
"""OKS above which two findings of one picture are one person."""


def same_person(a: Candidate, b: Candidate) -> bool:
    """Whether two findings of one picture are one body (found twice, perhaps once with left and right exchanged)."""
    size = max(a.size_px, b.size_px)
    if similarity.oks(a.keypoints, a.scores, size, b.keypoints, b.scores) > SAME:
        return True
    if similarity.oks(a.keypoints, a.scores, size, b.keypoints[MIRROR], b.scores[MIRROR]) > SAME:
        return True
    iou, inside = similarity.box_overlap(a.box, b.box)
    if iou < 0.5 and inside < 0.85:
        return False
    # Half a person (cut off by a tile) lies inside the whole one and shares the torso.
    centres = similarity.torso_centre(a.keypoints, a.scores) - similarity.torso_centre(b.keypoints, b.scores)
    if math.hypot(*centres) < 0.35 * size:
        return True
    # A much smaller one inside is an arm taken for a person, unless it is somebody known who stands further back.
    smaller = min(a, b, key=lambda c: c.size_px)
    return smaller.track_id < 0 and inside > 0.85 and iou < 0.3 and smaller.size_px < 0.6 * size


def rank(candidate: Candidate) -> float:
    """Which of two findings of one person to keep: well seen, large, and from a crop of their own."""
    seen = np.count_nonzero(candidate.scores >= similarity.VISIBLE_MIN) / len(candidate.scores)
    return (
        candidate.quality + 0.3 * seen + (0.5 if candidate.track_id >= 0 else 0.0) - (1.0 if candidate.rough else 0.0)
    )


def merge(candidates: Iterable[Candidate]) -> list[Candidate]:
    """One finding per person, the best first (non-maximum suppression by keypoint similarity)."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=rank, reverse=True):
        if not any(same_person(candidate, other) for other in kept):
            kept.append(candidate)
    return kept


def unclaimed(candidates: Sequence[Candidate], claimed: Sequence[Candidate]) -> list[Candidate]:
    """Those findings that are none of the people already claimed by tracks."""
    return [c for c in candidates if not any(c is other or same_person(c, other) for other in claimed)]
