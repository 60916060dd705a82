"""What is burnt into the annotated video: skeletons, counts, phases, errors where they happen, cues. Pure drawing."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import BONES, VISIBLE_MIN
from services.common.types import F32, Assessment, Repetition, Status
from services.local.report.sprites import INK, SOFT, Colour, Line, panel, wrap
from services.local.report.words import clock, error_words, exercise_words, faulty_joints, phases_in_order, quantity
from services.local.results import AnalysisResult, PersonResult

COLOURS: Final[tuple[Colour, ...]] = (
    (92, 200, 255), (255, 190, 92), (150, 230, 140), (232, 150, 255), (255, 140, 140), (120, 230, 220),
)  # fmt: skip
_BYSTANDER: Final[Colour] = (150, 155, 162)
_FAULT: Final[Colour] = (255, 77, 64)
_FAULT_TEXT: Final[Colour] = (255, 150, 140)
_GOOD_TEXT: Final[Colour] = (132, 226, 170)
_PHASE_COLOURS: Final[dict[str, Colour]] = {
    "concentric": (72, 200, 184), "hold": (236, 196, 84), "eccentric": (150, 166, 245), "rest": (140, 146, 156),
}  # fmt: skip
_PHASE_WORDS: Final = {"lift": "lifting", "hold": "holding", "lower": "lowering"}
_FLASH_S: Final = 0.45  # before and after the worst moment
_CUE_S: Final = 6.0
_MOST_CUES: Final = 2
_CLEAN_S: Final = 1.6
_STALE_S: Final = 0.2  # a pose older than this is not drawn
_HEAD: Final = (1, 2, 3, 4)


@dataclass(slots=True)
class _Actor:
    """One person, prepared. ``spans``: final repetitions by onset; ``verdicts``: assessments by offset."""

    person: PersonResult
    colour: Colour
    spans: list[Repetition]
    verdicts: list[Assessment] = field(default_factory=list)

    @property
    def trains(self) -> bool:
        return bool(self.spans)


class Overlay:
    """Draws on frames of one analysed video.

    Args:
        scale_x, scale_y: px of the frames to draw on per px of the source.
    """

    def __init__(self, result: AnalysisResult, scale_x: float, scale_y: float) -> None:
        self._scale = np.array([scale_x, scale_y])
        trained = [p for p in result.people if p.final_repetitions()]
        colours = {p.track_id: COLOURS[i % len(COLOURS)] for i, p in enumerate(trained)}
        self._actors = [
            _Actor(
                person,
                colours.get(person.track_id, _BYSTANDER),
                person.final_repetitions(),
                sorted(person.assessments, key=lambda a: _end(a.repetition)),
            )
            for person in result.people
        ]
        self._alone = len(trained) == 1
        self._left = _stands_right(trained[0], result.source.width_px) if self._alone else True

    def draw(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Burn in what is known at ``time_s`` (source time, s) into ``image`` (H, W, 3) RGB, in place."""
        unit = max(9, round(math.sqrt(image.shape[0] * image.shape[1]) * 0.031))  # px; the size of plain text
        placed: list[tuple[_Actor, F32, F32]] = []
        for actor in sorted(self._actors, key=lambda a: a.trains):
            pose = _pose_at(actor.person, time_s)
            if pose is not None:
                places = (pose[0] * self._scale).astype(np.float32)
                _draw_skeleton(image, places, pose[1], actor.colour, unit)
                placed.append((actor, places, pose[1]))
        for actor, places, scores in placed:
            self._draw_faults(image, actor, places, scores, time_s, unit)
        taken: list[tuple[int, int, int, int]] = []
        for actor, places, _ in sorted(placed, key=lambda p: float(p[1][0, 0])):
            if actor.trains and not self._alone:
                self._draw_tag(image, actor, places, time_s, unit, taken)
        for actor in self._actors:
            if actor.trains and self._alone:
                sprite = panel(_status_lines(actor, time_s, unit, large=True), unit * 2 // 3)
                sprite.draw(image, unit if self._left else image.shape[1] - unit - sprite.size[0], unit)
        self._draw_cues(image, time_s, unit)
        stamp = panel((Line(clock(time_s), round(unit * 0.8), SOFT),), unit // 2)
        stamp.draw(image, image.shape[1] - stamp.size[0] - unit, image.shape[0] - stamp.size[1] - unit)

    def _draw_faults(
        self, image: NDArray[np.uint8], actor: _Actor, places: F32, scores: F32, time_s: float, unit: int
    ) -> None:
        """Rings at the joints of errors whose worst moment is near, with the name of the worst error beside."""
        now = [(a, e) for a in actor.verdicts for e in a.errors if abs(e.at_s - time_s) <= _FLASH_S]
        labelled = False
        points = _points(places)
        for assessment, error in sorted(now, key=lambda pair: -pair[1].severity):
            glow = 1 - abs(error.at_s - time_s) / _FLASH_S
            for joint in faulty_joints(error):
                if scores[joint] < VISIBLE_MIN:
                    continue
                centre = points[joint]
                radius = round(unit * (0.75 + 0.35 * glow))
                cv2.circle(image, centre, radius + 2, INK, max(1, unit // 10), cv2.LINE_AA)
                cv2.circle(image, centre, radius, _FAULT, max(2, unit // 5), cv2.LINE_AA)
                if labelled:
                    continue
                text = f"{error_words(error.code, assessment.repetition.exercise)} {quantity(error.value, error.unit)}"
                label = panel((Line(text, round(unit * 0.85), INK, 600),), unit // 2)
                x = centre[0] + radius + unit // 2
                if x + label.size[0] > image.shape[1]:
                    x = max(0, centre[0] - radius - unit // 2 - label.size[0])
                label.draw(image, x, centre[1] - label.size[1] // 2)
                labelled = True

    def _draw_tag(
        self,
        image: NDArray[np.uint8],
        actor: _Actor,
        places: F32,
        time_s: float,
        unit: int,
        taken: list[tuple[int, int, int, int]],
    ) -> None:
        """Count, exercise and phase above the head of one of several people, clear of the tags in ``taken``."""
        sprite = panel(_status_lines(actor, time_s, unit, large=False), unit // 2)
        width, height = sprite.size
        top = _points(np.array([[np.median(places[:, 0]), places[:, 1].min()]]))[0]
        x = int(np.clip(top[0] - width // 2, 0, max(0, image.shape[1] - width)))
        above = max(0, top[1] - height - unit)
        step = height + unit // 3
        tries = [y for k in range(5) for y in (above - k * step, above + k * step) if 0 <= y <= image.shape[0] - height]
        free = (y for y in tries if not any(_overlap((x, y, width, height), other) for other in taken))
        y = next(free, above)
        taken.append((x, y, width, height))
        sprite.draw(image, x, y)

    def _draw_cues(self, image: NDArray[np.uint8], time_s: float, unit: int) -> None:
        """The last verdicts, at the bottom, the newest lowest; mistakes go before praise where there are many."""
        height, width = image.shape[:2]
        shown = [(a, v) for a in self._actors if (v := _verdict_at(a, time_s)) is not None]
        shown.sort(key=lambda pair: (not pair[1].errors, -_end(pair[1].repetition)))
        bottom = height - unit
        for actor, verdict in sorted(shown[:_MOST_CUES], key=lambda pair: -_end(pair[1].repetition)):
            lines = _verdict_lines(verdict, unit, width - 7 * unit, None if self._alone else actor.colour)
            sprite = panel(lines, unit * 2 // 3)
            if bottom - sprite.size[1] < height * 0.45:
                return
            sprite.draw(image, unit, bottom - sprite.size[1])
            bottom -= sprite.size[1] + unit // 2


def _stands_right(person: PersonResult, width_px: int) -> bool:
    """Whether a person is, on the whole, not in the left half: where the count hides less of them."""
    seen = person.keypoints[..., 0][person.scores >= VISIBLE_MIN]
    return not len(seen) or float(np.median(seen)) >= 0.5 * width_px


def _end(repetition: Repetition) -> float:
    return repetition.offset_s if repetition.offset_s is not None else repetition.decided_s


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    """Whether two rectangles (x, y, width, height) touch."""
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _points(places: NDArray[np.floating]) -> list[tuple[int, int]]:
    """(N, 2) px → whole px that OpenCV can draw at, wherever they are."""
    whole = np.rint(np.clip(np.nan_to_num(places), -10000, 30000)).astype(int)
    return [(int(x), int(y)) for x, y in whole.tolist()]


def _pose_at(person: PersonResult, time_s: float) -> tuple[F32, F32] | None:
    """Keypoints and scores at a time, between the two nearest samples; None where none is near."""
    times = person.times_s
    after = int(np.searchsorted(times, time_s))
    near = [i for i in (after - 1, after) if 0 <= i < len(times) and abs(times[i] - time_s) <= _STALE_S]
    if not near:
        return None
    if len(near) == 1 or times[near[1]] <= times[near[0]]:
        return person.keypoints[near[-1]], person.scores[near[-1]]
    a, b = near
    share = np.float32((time_s - times[a]) / (times[b] - times[a]))
    places = person.keypoints[a] * (1 - share) + person.keypoints[b] * share
    return places, np.minimum(person.scores[a], person.scores[b])


def _draw_skeleton(image: NDArray[np.uint8], places: F32, scores: F32, colour: Colour, unit: int) -> None:
    seen = (scores >= VISIBLE_MIN) & np.isfinite(places).all(axis=1)
    thick = max(1, round(unit * 0.16))
    points = _points(places)
    bones = [(points[a], points[b]) for a, b in BONES if seen[a] and seen[b]]
    for a, b in bones:
        cv2.line(image, a, b, (12, 16, 22), thick + max(2, thick), cv2.LINE_AA)
    for a, b in bones:
        cv2.line(image, a, b, colour, thick, cv2.LINE_AA)
    for i in np.flatnonzero(seen):
        if i not in _HEAD:
            cv2.circle(image, points[i], max(2, round(unit * 0.2)), INK, -1, cv2.LINE_AA)


def _status_lines(actor: _Actor, time_s: float, unit: int, *, large: bool) -> tuple[Line, ...]:
    """Exercise (the set's most frequent known one), count of the set, phase."""
    begun = [r for r in actor.spans if r.onset_s <= time_s and r.status is Status.CONFIRMED]
    named = begun[-1] if begun else next((r for r in actor.spans if r.status is Status.CONFIRMED), actor.spans[0])
    done = [r for r in begun if r.set_index == named.set_index and _end(r) <= time_s]
    count = str(len(done))
    sets = len({r.set_index for r in actor.spans if r.status is Status.CONFIRMED})
    kinds = Counter(r.exercise for r in actor.spans if r.set_index == named.set_index and r.exercise != "unknown")
    words = [exercise_words(kinds.most_common(1)[0][0])] if kinds else []
    words += [f"set {named.set_index}"] if sets > 1 and large else []
    exercise = " · ".join(words or ["repetitions"])
    key, phase = _phase_at(actor, time_s)
    if large:
        return (
            Line(exercise[0].upper() + exercise[1:], round(unit * 0.9), SOFT, 500),
            Line(count, unit * 3, INK, 700),
            Line(phase, unit, INK, 500, _PHASE_COLOURS[key]),
        )
    return (
        Line(f"{count}  {exercise}", round(unit * 0.95), INK, 650, actor.colour),
        Line(phase, round(unit * 0.8), SOFT, 400, _PHASE_COLOURS[key]),
    )


def _phase_at(actor: _Actor, time_s: float) -> tuple[str, str]:
    """Phase and its word, from the final repetitions' boundaries."""
    now = next((r for r in actor.spans if r.onset_s <= time_s < _end(r)), None)
    if now is None:
        return "rest", "rest"
    first, hold, last = phases_in_order(now.exercise)
    half = now.phases.hold_s / 2 if now.phases else 0.0
    if now.turn_s is None or time_s < now.turn_s - half:
        key, verb = first
    elif time_s < now.turn_s + half:
        key, verb = hold
    else:
        key, verb = last
    return key, _PHASE_WORDS[verb]


def _verdict_at(actor: _Actor, time_s: float) -> Assessment | None:
    """The verdict on the last finished repetition, for as long as it takes to read it."""
    past = [a for a in actor.verdicts if _end(a.repetition) <= time_s]
    if not past:
        return None
    last = past[-1]
    stays = _CUE_S if last.cue or last.errors else _CLEAN_S
    return last if time_s - _end(last.repetition) <= stays else None


def _verdict_lines(verdict: Assessment, unit: int, width_px: int, dot: Colour | None) -> tuple[Line, ...]:
    repetition = verdict.repetition
    head = f"Rep {repetition.index} · {verdict.score:.0f}"
    small = round(unit * 0.85)
    if not verdict.errors:
        lines = [Line(f"{head} · clean", small, _GOOD_TEXT, 600, dot)]
    else:
        worst = max(verdict.errors, key=lambda e: (e.severity, e.probability))
        limit = f"{quantity(worst.value, worst.unit)}, limit {quantity(worst.limit, worst.unit)}"
        text = f"{head} · {error_words(worst.code, repetition.exercise)} ({limit})"
        wrapped = wrap(text, small, width_px, 600, most=2)
        lines = [Line(t, small, _FAULT_TEXT, 600, dot if i == 0 else None) for i, t in enumerate(wrapped)]
    if verdict.cue:
        lines += [Line(t, unit) for t in wrap(verdict.cue, unit, width_px, most=3)]
    return tuple(lines)
