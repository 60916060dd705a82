"""Small pictures of the worst moments: which moment, which part of the frame."""

from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import VISIBLE_MIN
from services.common.types import F32, Assessment, Frame, Repetition
from services.local.results import AnalysisResult, PersonResult, Thumbnail

HEIGHT_PX: Final = 240
_WIDEST: Final = 1.2  # width / height; a lying person is cropped no wider
_MARGIN: Final = 0.14  # of the body's height, on each side


def worst_moment(repetition: Repetition, assessment: Assessment | None) -> float:
    """Time of the picture that shows a repetition best: its worst error's, else the turn, else the middle, s."""
    if assessment and assessment.errors:
        return max(assessment.errors, key=lambda e: (e.severity, e.probability)).at_s
    if repetition.turn_s is not None:
        return repetition.turn_s
    return (repetition.onset_s + (repetition.offset_s or repetition.onset_s)) / 2


def crop_thumbnail(
    image: NDArray[np.uint8], keypoints: F32, scores: F32, time_s: float, frame_scale: float
) -> Thumbnail:
    """Cut one person out of a frame.

    Args:
        image: (H, W, 3) RGB; it may be smaller than the source.
        keypoints: (17, 2) px of the source; scores: (17,).
        frame_scale: px of ``image`` per px of the source.
    """
    height, width = image.shape[:2]
    seen = keypoints[scores >= VISIBLE_MIN] * frame_scale
    seen = seen[np.all(np.isfinite(seen), axis=1)] if len(seen) else seen
    if len(seen) < 2:
        seen = np.array([[0.0, 0.0], [width, height]])
    low, high = seen.min(axis=0), seen.max(axis=0)
    centre, size = (low + high) / 2, high - low
    crop_h = max(8.0, size[1] * (1 + 2 * _MARGIN), size[0] * (1 + 2 * _MARGIN) / _WIDEST)
    crop_w = float(np.clip(size[0] + 2 * _MARGIN * crop_h, 0.7 * crop_h, _WIDEST * crop_h))
    x0, y0 = (
        int(np.clip(v, 0, m - 1)) for v, m in zip(centre - (crop_w / 2, crop_h / 2), (width, height), strict=True)
    )
    x1 = int(np.clip(round(centre[0] + crop_w / 2), x0 + 1, width))
    y1 = int(np.clip(round(centre[1] + crop_h / 2), y0 + 1, height))
    scale = min(1.5, HEIGHT_PX / max(y1 - y0, (x1 - x0) / _WIDEST))
    out = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    small = cv2.resize(image[y0:y1, x0:x1], out, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return Thumbnail(
        image=np.asarray(small, dtype=np.uint8),
        time_s=time_s,
        offset_px=(x0 / frame_scale, y0 / frame_scale),
        scale=scale * frame_scale,
    )


def wanted_moments(result: AnalysisResult) -> list[tuple[float, str, PersonResult]]:
    """(time s, repetition id, person) of every final repetition, in time order."""
    wanted = [
        (worst_moment(repetition, person.assessment_of(repetition.id)), repetition.id, person)
        for person in result.people
        for repetition in person.final_repetitions()
        if len(person.times_s)
    ]
    return sorted(wanted, key=lambda w: (w[0], w[1]))


def collect_thumbnails(result: AnalysisResult, frames: Iterable[Frame]) -> None:
    """Fill ``result.thumbnails`` from a pass over the source's frames in time order; ends with the last one wanted."""
    wanted = wanted_moments(result)
    last: Frame | None = None
    done = 0
    for frame in frames:
        if done == len(wanted):
            return
        while done < len(wanted) and wanted[done][0] <= frame.time_s:
            nearer = last if last and wanted[done][0] - last.time_s < frame.time_s - wanted[done][0] else frame
            _take(result, wanted[done], nearer)
            done += 1
        last = frame
    for left in wanted[done:]:
        if last is not None:
            _take(result, left, last)


def _take(result: AnalysisResult, wanted: tuple[float, str, PersonResult], frame: Frame) -> None:
    _, repetition_id, person = wanted
    i = int(np.argmin(np.abs(person.times_s - frame.time_s)))
    scale = frame.image.shape[1] / result.source.width_px
    result.thumbnails[repetition_id] = crop_thumbnail(
        frame.image, person.keypoints[i], person.scores[i], frame.time_s, scale
    )
