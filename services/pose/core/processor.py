"""Frames in, poses of tracked people out; the networks run outside.

    plan = processor.plan(frame)                    # what to look at: crops, per network
    results = plan.decode(profile, outputs)         # outputs: what the networks said of each batch
    poses = processor.apply(plan, results)

``plan`` changes nothing, so a plan may be thrown away and made again. One frame of a stream is in flight at a time, or
two: in quiet times ``plan_next`` tells where to look in the next frame before the answer to this one is in, so that a
machine with two cores is not left waiting. Whether it does depends on what was seen, never on how fast anything ran.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from services.common.errors import ConfigError, InputError, ShapeError
from services.common.processor import Mark, MarkKind
from services.common.types import F32, LOCAL_STREAM, Frame, PoseFrame, StreamKey, TrackedPose
from services.pose.core import proposals, similarity, state
from services.pose.core.geometry import Instances, Region
from services.pose.core.profiles import Profile
from services.pose.core.proposals import Candidate, Lookout
from services.pose.core.selection import MainPerson
from services.pose.core.tracking import State, Track, Tracker, TrackingSettings

People = Literal["all", "main"]

SNAPSHOT_MAX: Final = 64 * 1024
"""Bytes; ``TrackingSettings.tracks_max`` keeps below it."""


NEXT_MAX_S: Final = 0.05
"""Between two frames of which the second is planned before the first is known: nobody moves far in it."""


class Role(StrEnum):
    FOLLOW = "follow"  # the crop of a track
    SEARCH = "search"  # where a lost track should be
    DETECT = "detect"  # a part of the scene


@dataclass(frozen=True, slots=True)
class Request:
    """One crop: ``single`` asks for the person in the middle, else for everyone in it."""

    role: Role
    region: Region
    single: bool
    track_id: int = -1


@dataclass(slots=True, eq=False)
class Batch:
    """Crops for one network; ``requests``: which of the plan's requests they are. They are cut when first asked for,
    which may be in another thread than the one that planned."""

    model: str
    requests: tuple[int, ...]
    _cut: Callable[[], NDArray[np.uint8]]
    _crops: NDArray[np.uint8] | None = None

    @property
    def crops(self) -> NDArray[np.uint8]:
        """(N, S, S, 3) uint8."""
        if self._crops is None:
            self._crops = self._cut()
        return self._crops


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is to be looked at in one frame. ``stale``: a frame that was had already, or an older one."""

    frame: Frame
    requests: tuple[Request, ...]
    batches: tuple[Batch, ...]
    stale: bool = False

    @property
    def regions(self) -> tuple[Region, ...]:
        return tuple(r.region for r in self.requests)

    @property
    def roles(self) -> tuple[Role, ...]:
        return tuple(r.role for r in self.requests)

    def decode(self, profile: Profile, outputs: Sequence[Sequence[F32]]) -> list[Instances]:
        """One ``Instances`` per request, from the networks' outputs per batch.

        Raises:
            ShapeError: the outputs are not those of this plan's batches.
        """
        if len(outputs) != len(self.batches):
            raise ShapeError(f"{len(self.batches)} batches need as many outputs, got {len(outputs)}")
        results = [Instances.none()] * len(self.requests)
        for batch, output in zip(self.batches, outputs, strict=True):
            mine = [self.requests[i] for i in batch.requests]
            found = profile.decode(output, [r.region for r in mine], [r.single for r in mine])
            for i, instances in zip(batch.requests, found, strict=True):
                results[i] = instances
        return results


class PoseProcessor:
    """The pose stage of one stream, without I/O.

    Args:
        profile: how crops are cut and answers are read.
        stream: goes into the results.
        people: "all", or "main" for only the one who fills the picture most (then nobody else costs a crop).

    Raises:
        ConfigError: ``people`` is neither.
    """

    def __init__(
        self,
        profile: Profile,
        stream: StreamKey = LOCAL_STREAM,
        people: People = "all",
        settings: TrackingSettings | None = None,
    ) -> None:
        if people not in ("all", "main"):
            raise ConfigError(f"people must be 'all' or 'main', got {people!r}")
        self.profile = profile
        self.stream = stream
        self._main = MainPerson() if people == "main" else None
        self._tracker = Tracker(settings)
        self._lookout = Lookout()
        self._next_public_id = 1
        self._sequence = -1
        self._time_s = -math.inf
        self._size = (0, 0)

    @property
    def sequence(self) -> int:
        """Of the last frame that was applied; -1: none."""
        return self._sequence

    @property
    def time_s(self) -> float:
        """Of the last frame or mark; what is not later is stale."""
        return self._time_s

    # -- one frame ---------------------------------------------------------------------------------------------

    def plan(self, frame: Frame) -> Plan:
        """What to look at in this frame."""
        if frame.time_s <= self._time_s:
            return Plan(frame, (), (), stale=True)
        requests = (*self._follow(frame), *self._detect(frame))
        return Plan(frame, requests, self._batches(frame, requests))

    def plan_next(self, before: Plan, frame: Frame) -> Plan | None:
        """What to look at in the frame after ``before``, which is not applied yet (it must be, before this one).

        None where that can only be said afterwards: a look around or a cut is due, somebody is new, missed or hidden
        by another, or more than ``NEXT_MAX_S`` lie between. A snapshot between the two does not know of this plan.
        """
        quiet = not (before.stale or self._looks_everywhere(before.frame) or frame.cut) and all(
            t.state is State.LIVE and t.seen_s == self._time_s for t in self._tracker.tracks
        )
        if not quiet or not 0 < frame.time_s - before.frame.time_s <= NEXT_MAX_S:
            return None
        if before.frame.time_s - self._time_s > NEXT_MAX_S or any(r.role is not Role.FOLLOW for r in before.requests):
            return None
        requests = tuple(self._follow(frame))
        if not requests or self._detect(frame) or not all(r.single for r in (*before.requests, *requests)):
            return None
        return Plan(frame, requests, self._batches(frame, requests))

    def apply(self, plan: Plan, results: Sequence[Instances]) -> list[PoseFrame]:
        """The people of the planned frame; ``results``: what was found in each of the plan's regions.

        Raises:
            ShapeError: not as many results as requests.
        """
        if len(results) != len(plan.requests):
            raise ShapeError(f"{len(plan.requests)} regions need as many results, got {len(results)}")
        frame = plan.frame
        if plan.stale or frame.time_s <= self._time_s:
            return []
        anew = self._looks_everywhere(frame)
        self._sequence, self._time_s = frame.sequence, frame.time_s
        self._size = (frame.image.shape[1], frame.image.shape[0])
        candidates = [
            c for r, found in zip(plan.requests, results, strict=True)
            for c in proposals.candidates_of(found, r.track_id)
        ]  # fmt: skip
        if anew:
            self._tracker.cut(frame.time_s)
        seen = self._tracker.update(candidates, frame.image, frame.time_s)
        for request in plan.requests:
            if request.role is Role.SEARCH:
                self._tracker.searched(request.track_id, frame.time_s)
        gone = self._tracker.expire(frame.time_s)
        seen, dropped = self._choose(seen, frame)
        people = tuple(self._publish(t, c, frame.time_s) for t, c in seen)
        looked = any(r.role is Role.DETECT for r in plan.requests)
        self._lookout.done(frame.time_s, self._pause_s(), looked, anew)
        return [self._output(frame, people, _public(gone + dropped))]

    def on_mark(self, mark: Mark) -> list[PoseFrame]:
        """Time goes on without frames: tracks end. EOF ends them all."""
        if mark.kind is not MarkKind.EOF and mark.time_s <= self._time_s:
            return []
        self._time_s = max(self._time_s, mark.time_s)
        if mark.kind is MarkKind.EOF:
            gone = list(self._tracker.tracks)
            self._tracker.drop(gone)
        else:
            gone = self._tracker.expire(self._time_s, quiet=True)
        ended = _public(gone)
        if not ended:
            return []
        width, height = self._size
        return [PoseFrame(self.stream, self._sequence, self._time_s, width, height, (), ended)]

    # -- where to look -----------------------------------------------------------------------------------------

    def _looks_everywhere(self, frame: Frame) -> bool:
        return self._sequence < 0 or frame.cut

    def _follow(self, frame: Frame) -> list[Request]:
        tracker, t = self._tracker, frame.time_s
        contested = tracker.contested(t) if len(tracker.tracks) > 1 else set()
        # Where two people overlap, a network that can tells of both; else one of them would hide the other.
        both = self.profile.detects_skeletons
        out = []
        for track in tracker.tracks:
            if track.state is not State.LOST:
                single = not (both and track.track_id in contested)
                out.append(Request(Role.FOLLOW, track.region_at(t), single, track.track_id))
            elif t - track.searched_s >= tracker.settings.search_every_s:
                out.append(Request(Role.SEARCH, track.region_at(t), True, track.track_id))
        return out

    def _detect(self, frame: Frame) -> list[Request]:
        height, width = frame.image.shape[:2]
        regions = self._lookout.due(frame.time_s, width, height, self._looks_everywhere(frame))
        return [Request(Role.DETECT, region, False) for region in regions]

    def _pause_s(self) -> float:
        tracks = self._tracker.tracks
        if not tracks:
            return proposals.NOBODY_S
        missed_s = [self._time_s - t.seen_s for t in tracks if t.state is not State.NEW and t.seen_s < self._time_s]
        if missed_s:
            return 0.0 if min(missed_s) < proposals.ALARMED_S else proposals.EAGER_S
        return proposals.CALM_S if self._main is not None and self._main.settled else proposals.STEADY_S

    def _batches(self, frame: Frame, requests: Sequence[Request]) -> tuple[Batch, ...]:
        """Crops of one network together, in the order of the requests."""
        groups: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(self.profile.network(request.single).name, []).append(i)

        def cut(members: Sequence[int]) -> NDArray[np.uint8]:
            return np.stack([self.profile.crop(frame.image, requests[i].region, requests[i].single) for i in members])

        return tuple(Batch(model, tuple(members), partial(cut, members)) for model, members in groups.items())

    # -- what comes out ----------------------------------------------------------------------------------------

    def _choose(
        self, seen: list[tuple[Track, Candidate]], frame: Frame
    ) -> tuple[list[tuple[Track, Candidate]], list[Track]]:
        """With people="main": only the main person, and whom to forget."""
        if self._main is None:
            return seen, []
        keep, forget = self._main.choose(self._tracker.tracks, [t for t, _ in seen], frame.time_s, *self._size)
        self._tracker.drop(forget)
        return [(t, c) for t, c in seen if t is keep], forget

    def _publish(self, track: Track, candidate: Candidate, time_s: float) -> TrackedPose:
        if track.public_id == 0:
            track.public_id = self._next_public_id
            self._next_public_id += 1
        keypoints, scores = track.filter.step(candidate.keypoints, candidate.scores, time_s, track.size_px)
        box = similarity.pose_box(keypoints, scores)
        return TrackedPose(
            track.public_id, keypoints.astype(np.float32), scores.astype(np.float32), box.astype(np.float32)
        )

    def _output(self, frame: Frame, people: tuple[TrackedPose, ...], ended: tuple[int, ...]) -> PoseFrame:
        width, height = self._size
        return PoseFrame(
            self.stream, frame.sequence, frame.time_s, width, height, people, ended, frame.cut, frame.frozen
        )

    # -- state -------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """All state between two frames, at most 64 KB."""
        tracks = self._tracker.tracks
        header = {
            "sequence": self._sequence,
            "size": self._size,
            "next_id": self._tracker.next_id,
            "next_public_id": self._next_public_id,
            "cursor": self._lookout.cursor,
            "main": None if self._main is None else self._main.state(),
            "tracks": [state.track_header(t) for t in tracks],
        }
        arrays = [a for t in tracks for a in state.track_arrays(t)]
        arrays.append(np.array([self._time_s, self._lookout.next_s, self._tracker.cut_s]))
        return state.pack(header, arrays)

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot as if never stopped.

        Raises:
            InputError: it is damaged or of another version.
        """
        header, numbers = state.unpack(snapshot)
        self._tracker.tracks, numbers = state.read_tracks(header["tracks"], numbers)
        if len(numbers) != 3:
            raise InputError("the pose snapshot is cut off: start the stream anew")
        self._tracker.next_id = header["next_id"]
        self._next_public_id = header["next_public_id"]
        self._sequence, self._size = header["sequence"], (header["size"][0], header["size"][1])
        self._time_s = float(numbers[0])
        self._lookout = Lookout(float(numbers[1]), header["cursor"])
        self._tracker.cut_s = float(numbers[2])
        if self._main is not None and header["main"] is not None:
            self._main.restore(header["main"])


def _public(tracks: Sequence[Track]) -> tuple[int, ...]:
    """The ids of those tracks that anybody was told of."""
    return tuple(t.public_id for t in tracks if t.public_id)
