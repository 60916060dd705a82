"""What the page says of one person, in words: the view model of the template."""

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from markupsafe import Markup

from services.common.skeleton import BONES, VISIBLE_MIN
from services.common.types import Assessment, ErrorFinding, Phases, Repetition, Status
from services.local.report.plots import svg
from services.local.report.words import (
    SHORT_UNITS,
    clock,
    count,
    error_cue,
    error_words,
    exercise_words,
    faulty_joints,
    phases_in_order,
    quantity,
    reason_words,
)
from services.local.results import PersonResult, Thumbnail

_MANY_THUMBNAILS: Final = 60  # beyond this, thumbnails are compressed harder
_HEAD: Final = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """One mistake of one repetition. ``share``: how far the limit is exceeded, for the little bar, in [0, 1]."""

    title: str
    side: str
    value: str
    limit: str
    share: float
    at: str


@dataclass(frozen=True, slots=True)
class Tempo:
    """Durations in words and as shares of the whole, per phase: (CSS class, name, text, share in %)."""

    parts: tuple[tuple[str, str, str, float], ...]


@dataclass(frozen=True, slots=True)
class Card:
    """One final repetition."""

    anchor: str
    title: str
    span: tuple[str, ...]
    counted: bool
    verdict: str  # clean | wrong | attempt
    score: int | None
    reason: str
    thumbnail: Markup
    errors: tuple[ErrorLine, ...]
    cue: str
    tempo: Tempo | None
    facts: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One kind of mistake over all counted repetitions: severity per repetition, None where it was not made."""

    title: str
    cells: tuple[float | None, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Headline:
    """The few numbers and the sentence at the top. ``score``: mean over the counted repetitions."""

    exercise: str
    counted: int
    clean: int
    attempts: int
    score: int | None
    focus: str
    focus_detail: str
    cue: str


def headline(person: PersonResult) -> Headline:
    """What one person did, and the one thing to work on."""
    final = person.final_repetitions()
    counted = [r for r in final if r.status is Status.CONFIRMED]
    verdicts = [a for r in counted if (a := person.assessment_of(r.id)) is not None]
    kinds = Counter(r.exercise for r in counted)
    known = [k for k, _ in kinds.most_common() if k != "unknown"] or list(kinds)
    names = ", ".join(exercise_words(k) for k in known) or "No exercise"
    made: Counter[str] = Counter(code for a in verdicts for code in {e.code for e in a.errors})
    weight = Counter({code: sum(e.severity for a in verdicts for e in a.errors if e.code == code) for code in made})
    focus, detail, cue = "", "", ""
    if made:
        code = max(made, key=lambda c: (made[c], weight[c], c))
        exercise = next(a.repetition.exercise for a in verdicts if code in {e.code for e in a.errors})
        focus, cue = error_words(code, exercise), error_cue(code, exercise)
        detail = f"in {made[code]} of {count(len(counted), 'repetition')}"
    return Headline(
        exercise=names,
        counted=len(counted),
        clean=sum(not a.errors for a in verdicts),
        attempts=len(final) - len(counted),
        score=round(float(np.mean([a.score for a in verdicts]))) if verdicts else None,
        focus=focus,
        focus_detail=detail,
        cue=cue,
    )


def matrix(person: PersonResult) -> tuple[list[Repetition], list[MatrixRow]]:
    """Which mistake was made in which repetition, the most frequent first."""
    counted = [r for r in person.final_repetitions() if r.status is Status.CONFIRMED]
    found = [a.errors if (a := person.assessment_of(r.id)) else () for r in counted]
    rows = []
    for code in {e.code for errors in found for e in errors}:
        cells = tuple(max((e.severity for e in errors if e.code == code), default=None) for errors in found)
        exercise = next(r.exercise for r, cell in zip(counted, cells, strict=True) if cell is not None)
        rows.append(MatrixRow(error_words(code, exercise), cells, sum(c is not None for c in cells)))
    return counted, sorted(rows, key=lambda r: (-r.total, r.title))


def cards(person: PersonResult, thumbnails: dict[str, Thumbnail], anchors: dict[str, str]) -> list[Card]:
    """A card for each final repetition, by onset."""
    final = person.final_repetitions()
    sets = len({r.set_index for r in final if r.status is Status.CONFIRMED}) > 1
    exercises = len({r.exercise for r in final}) > 1
    return [_card(person, r, thumbnails, anchors[r.id], sets, exercises) for r in final]


def _title(repetition: Repetition) -> str:
    return f"Repetition {repetition.index}" if repetition.status is Status.CONFIRMED else "Not counted"


def _span(repetition: Repetition, several_sets: bool, several_exercises: bool) -> tuple[str, ...]:
    """When it was, how long it took; of which set and exercise where that is not plain."""
    parts = [f"Set {repetition.set_index}"] if several_sets and repetition.status is Status.CONFIRMED else []
    if several_exercises:
        parts.append(exercise_words(repetition.exercise))
    if repetition.offset_s is None:
        return (*parts, f"from {clock(repetition.onset_s)}")
    parts.append(f"{clock(repetition.onset_s)}–{clock(repetition.offset_s)}")
    return (*parts, quantity(repetition.offset_s - repetition.onset_s, "s"))


def _card(
    person: PersonResult,
    repetition: Repetition,
    thumbnails: dict[str, Thumbnail],
    anchor: str,
    several_sets: bool,
    several_exercises: bool,
) -> Card:
    counted = repetition.status is Status.CONFIRMED
    assessment = person.assessment_of(repetition.id) if counted else None
    errors = sorted(assessment.errors, key=lambda e: (-e.severity, e.code)) if assessment else []
    picture = thumbnails.get(repetition.id)
    return Card(
        anchor=anchor,
        title=_title(repetition),
        span=_span(repetition, several_sets, several_exercises),
        counted=counted,
        verdict="attempt" if not counted else "wrong" if errors else "clean",
        score=round(assessment.score) if assessment else None,
        reason="" if counted else reason_words(repetition.reason),
        thumbnail=draw_thumbnail(person, picture, errors, repetition, len(thumbnails)) if picture else Markup(""),
        errors=tuple(_error_line(e, repetition.exercise) for e in errors),
        cue=(assessment.cue or "") if assessment else "",
        tempo=_tempo(repetition.phases, repetition.exercise),
        facts=_facts(assessment) if assessment else (),
        hidden=tuple(error_words(c, repetition.exercise) for c in assessment.not_observable) if assessment else (),
    )  # fmt: skip


def _error_line(error: ErrorFinding, exercise: str) -> ErrorLine:
    side = error.side if error.side in ("left", "right") else ""
    return ErrorLine(
        title=error_words(error.code, exercise),
        side=side,
        value=quantity(error.value, error.unit if error.unit in SHORT_UNITS else ""),
        limit=quantity(error.limit, error.unit),
        share=min(1.0, max(0.0, error.severity)),
        at=clock(error.at_s) if error.at_s == error.at_s else "",
    )


def _tempo(phases: Phases | None, exercise: str) -> Tempo | None:
    if phases is None:
        return None
    durations = {"concentric": phases.concentric_s, "hold": phases.hold_s, "eccentric": phases.eccentric_s}
    values = [(f"phase-{key}", verb, durations[key]) for key, verb in phases_in_order(exercise)]
    total = sum(v for _, _, v in values)
    if not total > 0:
        return None
    return Tempo(tuple((css, name, f"{v:.1f}", 100 * v / total) for css, name, v in values))


def _facts(assessment: Assessment) -> tuple[tuple[str, str], ...]:
    ranges = assessment.range_of_motion_deg
    left, right = (quantity(ranges.get(side), "deg") for side in ("left", "right"))
    facts = []
    if (left, right) != ("–", "–"):
        text = f"{left} left, {right} right" if "–" not in (left, right) else left if right == "–" else right
        facts.append(("Range", text))
    return tuple(facts)


def draw_thumbnail(
    person: PersonResult, picture: Thumbnail, errors: Sequence[ErrorFinding], repetition: Repetition, among: int
) -> Markup:
    """The picture as data: JPEG, with the skeleton of its moment on top and rings at the joints of the worst error."""
    height, width = picture.image.shape[:2]
    options = [cv2.IMWRITE_JPEG_QUALITY, 78 if among <= _MANY_THUMBNAILS else 60, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(picture.image[..., ::-1]), options)
    data = base64.b64encode(jpeg.tobytes()).decode("ascii")
    body = [f'<image href="data:image/jpeg;base64,{data}" width="{width}" height="{height}"/>']
    worst = errors[0] if errors else None
    exercise, title = repetition.exercise, _title(repetition)
    if len(person.times_s):
        i = int(np.argmin(np.abs(person.times_s - picture.time_s)))
        places = (person.keypoints[i] - np.asarray(picture.offset_px)) * picture.scale
        body += _skeleton(places, person.scores[i], faulty_joints(worst) if worst else ())
    what = f", {error_words(worst.code, exercise).lower()}" if worst else ""
    return svg(width, height, body, label=f"{title} at {clock(picture.time_s)}{what}", css="thumb", testid="thumbnail")


def _skeleton(places: np.ndarray, scores: np.ndarray, faulty: Sequence[int]) -> list[str]:
    seen = (scores >= VISIBLE_MIN) & np.isfinite(places).all(axis=1)
    lines = "".join(
        f"M{places[a, 0]:.1f},{places[a, 1]:.1f}L{places[b, 0]:.1f},{places[b, 1]:.1f}"
        for a, b in BONES
        if seen[a] and seen[b]
    )
    body = [f'<path class="bone-case" d="{lines}"/>', f'<path class="bone" d="{lines}"/>']
    plain = (i for i in np.flatnonzero(seen) if i not in _HEAD and i not in faulty)
    body += [f'<circle class="joint" cx="{places[i, 0]:.1f}" cy="{places[i, 1]:.1f}" r="2.6"/>' for i in plain]
    for joint in faulty:
        if seen[joint]:
            at = f'cx="{places[joint, 0]:.1f}" cy="{places[joint, 1]:.1f}"'
            body.append(f'<circle class="fault-halo" {at} r="13"/><circle class="fault" {at} r="9"/>')
    return body
