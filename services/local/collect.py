"""Gathers what the processors say into an ``AnalysisResult``, in bounded memory per minute of video."""

from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import K
from services.common.types import Assessment, Frame, NetworkTrace, PoseFrame, Repetition
from services.local.results import PersonResult, Thumbnail

THUMBNAIL_PX = 260  # the longer side
_THUMBNAIL_EVERY_S = 0.12
_THUMBNAIL_KEEP_S = 20.0  # longer than the longest repetition and the fixed lag


@dataclass(slots=True)
class _Picture:
    jpeg: NDArray[np.uint8]
    time_s: float
    offset_px: tuple[float, float]
    scale: float


@dataclass(slots=True)
class _Person:
    times_s: list[float] = field(default_factory=list)
    keypoints: list[NDArray[np.float32]] = field(default_factory=list)
    scores: list[NDArray[np.float32]] = field(default_factory=list)
    traces: list[NetworkTrace] = field(default_factory=list)
    events: list[Repetition] = field(default_factory=list)
    assessments: list[Assessment] = field(default_factory=list)
    pictures: deque[_Picture] = field(default_factory=deque)


class Collector:
    """Feed it frames, poses and outputs; ask it for people and thumbnails."""

    def __init__(self) -> None:
        self._people: dict[int, _Person] = {}
        self.thumbnails: dict[str, Thumbnail] = {}

    def _person(self, track_id: int) -> _Person:
        return self._people.setdefault(track_id, _Person())

    def poses(self, frame: PoseFrame) -> None:
        """Remember everyone of one frame (source px)."""
        for pose in frame.people:
            person = self._person(pose.track_id)
            person.times_s.append(frame.time_s)
            person.keypoints.append(pose.keypoints)
            person.scores.append(pose.scores)

    def pictures(self, image: Frame, poses: PoseFrame, scale: float) -> None:
        """Keep a small picture of everyone now and then, for thumbnails. ``scale``: source px per image px."""
        for pose in poses.people:
            kept = self._person(pose.track_id).pictures
            if kept and image.time_s - kept[-1].time_s < _THUMBNAIL_EVERY_S:
                continue
            picture = _cut_out(image, pose.box, scale)
            if picture is not None:
                kept.append(picture)
            while kept and kept[0].time_s < image.time_s - _THUMBNAIL_KEEP_S:
                kept.popleft()

    def output(self, item: Repetition | NetworkTrace | Assessment) -> None:
        """Remember one output of segment or errors."""
        if isinstance(item, NetworkTrace):
            self._person(item.track_id).traces.append(item)
        elif isinstance(item, Repetition):
            self._person(item.track_id).events.append(item)
            if item.window is not None and item.turn_s is not None:
                self._thumbnail(item, item.turn_s)
        else:
            self._person(item.repetition.track_id).assessments.append(item)
            if item.errors:
                worst = max(item.errors, key=lambda e: (e.severity, e.probability))
                self._thumbnail(item.repetition, worst.at_s)

    def _thumbnail(self, repetition: Repetition, at_s: float) -> None:
        kept = self._people[repetition.track_id].pictures
        if not kept:
            return
        nearest = min(kept, key=lambda p: abs(p.time_s - at_s))
        if not repetition.onset_s - 1 <= nearest.time_s <= (repetition.offset_s or repetition.decided_s) + 1:
            return
        decoded = cv2.imdecode(nearest.jpeg, cv2.IMREAD_COLOR)
        if decoded is None:  # cannot be: it was encoded here
            return
        image = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
        self.thumbnails[repetition.id] = Thumbnail(
            np.asarray(image, np.uint8), nearest.time_s, nearest.offset_px, nearest.scale
        )

    def people(self) -> list[PersonResult]:
        """Everyone seen, in order of appearance; sets are not summarised here."""
        result = []
        for track_id, p in sorted(self._people.items(), key=lambda kv: (kv[1].times_s[:1] or [0.0], kv[0])):
            if not p.times_s:
                continue
            result.append(
                PersonResult(
                    track_id=track_id,
                    first_s=p.times_s[0],
                    last_s=p.times_s[-1],
                    times_s=np.array(p.times_s),
                    keypoints=np.stack(p.keypoints).reshape(-1, K, 2),
                    scores=np.stack(p.scores).reshape(-1, K),
                    traces=p.traces,
                    events=p.events,
                    assessments=p.assessments,
                )
            )
        return result


def _cut_out(frame: Frame, box: NDArray[np.float32], scale: float) -> _Picture | None:
    """The part of the picture around ``box`` (source px), small, as JPEG; None where nothing of it is in sight."""
    height, width = frame.image.shape[:2]
    x0, y0, x1, y1 = (float(v) / scale for v in box)
    margin = 0.12 * max(x1 - x0, y1 - y0)
    left, top = max(int(x0 - margin), 0), max(int(y0 - margin), 0)
    right, bottom = min(int(x1 + margin) + 1, width), min(int(y1 + margin) + 1, height)
    if right - left < 8 or bottom - top < 8:
        return None
    part = frame.image[top:bottom, left:right]
    small = _shrunk(part, min(1.0, THUMBNAIL_PX / max(part.shape[:2])))
    ok, jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not ok:
        return None
    return _Picture(
        np.asarray(jpeg, np.uint8), frame.time_s, (left * scale, top * scale), small.shape[1] / part.shape[1] / scale
    )


def _shrunk(part: NDArray[np.uint8], shrink: float) -> NDArray[np.uint8]:
    """``part`` times ``shrink`` (at most 1): halved as often as that goes, then interpolated; averaging areas at once
    looks the same and takes six times as long."""
    if shrink >= 1:
        return part
    size = (max(1, round(part.shape[1] * shrink)), max(1, round(part.shape[0] * shrink)))
    while part.shape[1] >= 2 * size[0] and part.shape[0] >= 2 * size[1]:
        half = (part.shape[1] // 2, part.shape[0] // 2)
        even = part[: 2 * half[1], : 2 * half[0]]
        part = np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.uint8)
