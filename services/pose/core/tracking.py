"""Who is who: tracks of people, their motion, and the matching of this picture's findings to them.

A track is NEW (found, to be confirmed by a second look), LIVE (seen, or missed for a moment) or LOST (kept for a while,
looked for where it should be). Matching is by keypoint similarity with the predicted pose, and by clothes where
several people could be meant (linear assignment). Two tracks never share a body: findings of one body are merged
first, so the track that fits it worse goes without.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.pose.core import appearance, matching, proposals, similarity
from services.pose.core.geometry import Region
from services.pose.core.proposals import Candidate
from services.pose.core.similarity import F64
from services.pose.core.smoothing import JointFilter


class State(IntEnum):
    NEW = 0
    LIVE = 1
    LOST = 2


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """Times in s of the stream, places in body sizes (about torso lengths)."""

    confirm_looks: int = 2
    new_for_s: float = 0.3
    missed_for_s: float = 0.4
    lost_for_s: float = 2.5
    sure_after_cut_s: float = 0.5
    search_every_s: float = 0.2
    appearance_every_s: float = 0.2
    velocity_settle_s: float = 0.15
    size_settle_s: float = 0.5
    tracks_max: int = 24


COAST_S: Final = 0.6
"""How long motion is carried on for somebody who is hidden."""
SHRINK_S: Final = 0.15
"""How fast a region becomes smaller."""


@dataclass(slots=True, eq=False)
class Track:
    """One person. Keypoints are the last *matched* raw ones, ``box`` is around them (``similarity.pose_box``);
    ``velocity`` is the torso's, px/s."""

    track_id: int
    state: State
    first_s: float
    seen_s: float
    keypoints: F64
    scores: F64
    box: F64
    size_px: float
    region: Region
    velocity: F64 = field(default_factory=lambda: np.zeros(2))
    looks: int = 1
    public_id: int = 0  # 0: never shown to anyone
    quality: float = 0.0
    appearance: F64 | None = None
    appearance_s: float = -math.inf
    searched_s: float = -math.inf
    filter: JointFilter = field(default_factory=JointFilter)

    def shift(self, time_s: float) -> F64:
        """(2,) px that the body has moved since it was seen, at constant velocity for ``COAST_S`` at most."""
        return self.velocity * min(max(time_s - self.seen_s, 0.0), COAST_S)

    def predicted(self, time_s: float) -> F64:
        """(17, 2) px where the joints should be."""
        return self.keypoints + self.shift(time_s)

    def box_at(self, time_s: float) -> F64:
        """(4,) x0 y0 x1 y1 px around the seen joints, where they should be."""
        shift = self.shift(time_s)
        return self.box + np.concatenate([shift, shift])

    def region_at(self, time_s: float) -> Region:
        """Where to look for this person; grows while they are missed."""
        dx, dy = self.shift(time_s)
        if math.hypot(dx, dy) < 0.02 * self.region.size_px:
            dx = dy = 0.0
        missed = time_s - self.seen_s
        grow = 1.0 + min(max(missed - 0.1, 0.0), 0.5) if self.state is not State.NEW else 1.0
        r = self.region
        return Region(r.cx_px + float(dx), r.cy_px + float(dy), r.size_px * grow, r.angle_rad)


def steady_region(old: Region, new: Region, dt_s: float) -> Region:
    """The next region, kept where it was while the new one differs little: a crop that does not wander gives steadier
    keypoints. It grows at once and shrinks slowly."""
    if abs(new.angle_rad - old.angle_rad) > 1e-9:
        return new
    moved = math.hypot(new.cx_px - old.cx_px, new.cy_px - old.cy_px) / old.size_px
    ratio = new.size_px / old.size_px
    if moved < 0.04 and 0.88 < ratio < 1.06:
        return old
    size = new.size_px if ratio >= 1.0 else new.size_px + math.exp(-dt_s / SHRINK_S) * (old.size_px - new.size_px)
    return Region(new.cx_px, new.cy_px, size, new.angle_rad)


class Tracker:
    """The tracks of one stream. ``update`` is called once per picture, in time order."""

    def __init__(self, settings: TrackingSettings | None = None) -> None:
        self.settings = settings or TrackingSettings()
        self.tracks: list[Track] = []
        self.next_id = 1
        self.cut_s = -math.inf

    def cut(self, time_s: float) -> None:
        """Nothing is known of where people are from now on (the first picture, a hard cut): all are lost."""
        self.cut_s = time_s
        for t in self.tracks:
            if t.state is State.LIVE:
                t.state = State.LOST

    def of_state(self, *states: State) -> list[Track]:
        """Tracks in one of the states, oldest first."""
        return [t for t in self.tracks if t.state in states]

    def contested(self, time_s: float) -> set[int]:
        """Ids of tracks whose predicted boxes overlap another's: crops may show the other person as well."""
        boxes = [t.box_at(time_s) for t in self.tracks]
        out: set[int] = set()
        for i in range(len(boxes)):
            for j in range(i + 1, len(boxes)):
                if similarity.box_overlap(boxes[i], boxes[j])[1] > 0.15:
                    out |= {self.tracks[i].track_id, self.tracks[j].track_id}
        return out

    def update(
        self, candidates: Sequence[Candidate], image: NDArray[np.uint8], time_s: float
    ) -> list[tuple[Track, Candidate]]:
        """Match findings to tracks and start new tracks.

        Args:
            candidates: every finding of this picture, duplicates included.
            image: (H, W, 3), for clothes.
        Returns:
            the LIVE tracks seen in this picture with what was found of them.
        """
        height, width = image.shape[:2]
        by_id = {t.track_id: t for t in self.tracks}
        found = proposals.merge(c for c in candidates if self._believable(c, by_id, width, height))
        if len(self.tracks) != 1 or len(found) > 1 or self.tracks[0].state is State.LOST:
            for c in found:
                c.appearance = appearance.describe(image, c.keypoints, c.scores)
        # Right after a cut good findings are believed at once, so that no repetition loses its beginning.
        sure = time_s - self.cut_s < self.settings.sure_after_cut_s and not self.of_state(State.LIVE)
        pairs = self._match(found, time_s)
        contested = self.contested(time_s) if len(self.tracks) > 1 else set()
        for track, candidate in pairs:
            self._see(track, candidate, image, time_s, track.track_id in contested)
        claimed = [c for _, c in pairs]
        for c in proposals.unclaimed([c for c in found if c.track_id < 0], claimed):
            track_or_none = self._start(c, image, time_s, sure)
            if track_or_none is not None:
                pairs.append((track_or_none, c))
        self._age({t.track_id for t, _ in pairs}, time_s)
        return [(t, c) for t, c in pairs if t.state is State.LIVE and not c.rough]

    def searched(self, track_id: int, time_s: float) -> None:
        """A lost track was looked for."""
        for t in self.tracks:
            if t.track_id == track_id:
                t.searched_s = time_s

    def expire(self, time_s: float, quiet: bool = False) -> list[Track]:
        """Drop the tracks that were not seen for too long; returns those dropped. ``quiet``: no pictures came, so
        that even a track seen in the last one may be lost by now."""
        s = self.settings
        gone = []
        for t in self.tracks:
            missed = time_s - t.seen_s
            passing = t.state is State.NEW or t.looks <= s.confirm_looks
            patient = t.state is State.LOST or (t.state is State.LIVE and not passing)
            if missed > (s.lost_for_s if patient or quiet else s.new_for_s):
                gone.append(t)
        self.drop(gone)
        return gone

    def drop(self, gone: Sequence[Track]) -> None:
        """Forget these tracks."""
        names = {t.track_id for t in gone}
        self.tracks = [t for t in self.tracks if t.track_id not in names]

    def _believable(self, c: Candidate, by_id: dict[int, Track], width: int, height: int) -> bool:
        """Findings where somebody is expected need less than findings out of the blue."""
        track = by_id.get(c.track_id)
        if track is None or track.state is State.LOST:
            return proposals.plausible(c, width, height)
        if track.state is State.NEW:
            return proposals.plausible(c, width, height, proposals.QUALITY_SURE)
        return c.quality >= proposals.QUALITY_FOLLOWED

    def _match(self, found: list[Candidate], time_s: float) -> list[tuple[Track, Candidate]]:
        """Those who were just seen choose first, then those who are lost."""

        def pairs(
            tracks: list[Track], free: list[Candidate], cost: matching.Cost, limit: float
        ) -> list[tuple[Track, Candidate]]:
            return [(tracks[i], free[j]) for i, j in matching.assign(tracks, free, cost, limit, time_s)]

        near = pairs(self.of_state(State.NEW, State.LIVE), found, matching.near_cost, matching.NEAR_MAX)
        taken = {id(c) for _, c in near}
        lost = [t for t in self.of_state(State.LOST) if t.seen_s >= self.cut_s]
        rest = [c for c in found if id(c) not in taken]
        again = pairs(lost, rest, matching.lost_cost, matching.LOST_MAX)
        taken |= {id(c) for _, c in again}
        before = [t for t in self.of_state(State.LOST) if t.seen_s < self.cut_s]
        rest = [c for c in found if id(c) not in taken]
        return near + again + pairs(before, rest, matching.cut_cost, matching.CUT_MAX)

    def _see(self, t: Track, c: Candidate, image: NDArray[np.uint8], time_s: float, contested: bool) -> None:
        """The track was seen."""
        s = self.settings
        dt = time_s - t.seen_s
        anew = t.state is State.LOST or dt > 0.5 or dt <= 0
        if anew or c.rough:
            t.velocity = np.zeros(2)
        else:
            moved = similarity.common_shift(t.keypoints, t.scores, c.keypoints, c.scores)
            share = 1.0 - math.exp(-dt / s.velocity_settle_s)
            t.velocity = t.velocity + share * (moved / dt - t.velocity)
        settle = 1.0 if anew else 1.0 - math.exp(-dt / s.size_settle_s)
        t.size_px += settle * (c.size_px - t.size_px)
        if anew:
            t.filter.reset()
        t.region = c.region if anew or c.rough else steady_region(t.region, c.region, dt)
        t.keypoints, t.scores, t.box = c.keypoints, c.scores, c.box
        t.seen_s, t.quality = time_s, c.quality
        if t.state is not State.NEW:
            t.state = State.LIVE
            t.looks += 1
        elif c.track_id == t.track_id and not c.rough:
            t.looks += 1
            t.state = State.LIVE if t.looks >= s.confirm_looks else State.NEW
        if not contested and time_s - t.appearance_s >= s.appearance_every_s and not c.rough:
            now = c.appearance if c.appearance is not None else appearance.describe(image, c.keypoints, c.scores)
            t.appearance = now if t.appearance is None else appearance.blend(t.appearance, now, 0.2)
            t.appearance_s = time_s

    def _start(self, c: Candidate, image: NDArray[np.uint8], time_s: float, sure: bool) -> Track | None:
        if len(self.tracks) >= self.settings.tracks_max:
            return None
        at_once = sure and not c.rough and c.quality >= proposals.QUALITY_SURE
        track = Track(
            track_id=self.next_id,
            state=State.LIVE if at_once else State.NEW,
            first_s=time_s,
            seen_s=time_s,
            keypoints=c.keypoints,
            scores=c.scores,
            box=c.box,
            size_px=c.size_px,
            region=c.region,
            quality=c.quality,
        )
        if not c.rough:
            track.appearance = appearance.describe(image, c.keypoints, c.scores)
            track.appearance_s = time_s
        self.next_id += 1
        self.tracks.append(track)
        return track

    def _age(self, seen: set[int], time_s: float) -> None:
        for t in self.tracks:
            missed = t.state is State.LIVE and t.track_id not in seen
            if missed and time_s - t.seen_s > self.settings.missed_for_s:
                t.state = State.LOST
