"""From measured values to named errors: limits, probability, severity, and what this view cannot say.

A measured value is the true one plus noise (the pose network's jitter and bias, builds, lenses), about logistic with
the error's ``noise`` as standard deviation, times the view's gain. So the probability that the true value lies beyond
the limit is the logistic function of the distance in units of noise * sqrt(3) / pi. An error is named only from its
precision floor on: false blame costs more than a miss.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.common.skeleton import INDEX
from services.common.types import ErrorFinding
from services.errors.core.body import F64, SIDES, Body
from services.errors.core.catalogue import ABOVE, ErrorSpec, ExerciseSpec
from services.errors.core.curves import BOTH, Reading, Readings, Rep
from services.errors.core.learned import VIEWS, Evidence, Opinion
from services.errors.core.registry import SET_MEASURES
from services.errors.core.view import View, ViewKind

VIEW_CONFIDENCE_MIN: Final = 0.35
UNSURE: Final = 0.49
"""Most that the learned part may say of an error whose measure is within even the strict limit."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One error, judged. ``named``: probable enough to be told."""

    spec: ErrorSpec
    probability: float
    severity: float
    reading: Reading
    limit: float
    side: str | None
    named: bool

    def finding(self) -> ErrorFinding:
        return ErrorFinding(
            code=self.spec.code,
            severity=round(self.severity, 4),
            probability=round(self.probability, 4),
            value=round(self.reading.value, 4),
            limit=round(self.limit, 4),
            unit=self.spec.unit,
            side=self.side,
            at_s=round(self.reading.at_s, 4),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    judged: tuple[Judged, ...]
    not_observable: tuple[str, ...]

    @property
    def named(self) -> tuple[Judged, ...]:
        return tuple(j for j in self.judged if j.named)


def logit_beyond(value: float, limit: float, noise: float, direction: str) -> float:
    """Logit of the probability that the true value is beyond the limit, given the measured one."""
    over = value - limit if direction == ABOVE else limit - value
    return over / (noise * math.sqrt(3) / math.pi)


def probability_beyond(value: float, limit: float, noise: float, direction: str) -> float:
    """Probability that the true value is beyond the limit, given the measured one."""
    return _sigmoid(logit_beyond(value, limit, noise, direction))


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, logit))))


def worst_logit(spec: ErrorSpec, readings: Readings, limit: float) -> float:
    """The rule's logit of the side that is worse."""
    return max(logit_beyond(r.value, limit, spec.noise * r.gain, spec.direction) for r in readings.values())


def severity_of(spec: ErrorSpec, value: float, limit: float) -> float:
    """0 at the limit, 1 at ``severe`` or beyond; the same span at every strictness."""
    span = abs(spec.severe - spec.limits[1])
    over = value - limit if spec.direction == ABOVE else limit - value
    return max(0.0, min(1.0, over / span))


def _sees(body: Body, spec: ErrorSpec, side: str) -> bool:
    for joint in spec.joints:
        if joint in INDEX:
            share = float(body.seen[INDEX[joint]])
        elif side in SIDES and f"{side}_{joint}" in INDEX:
            share = float(body.seen[INDEX[f"{side}_{joint}"]])
        else:
            stem = joint if f"left_{joint}" in INDEX else joint[:-1]
            share = max(float(body.seen[INDEX[f"{s}_{stem}"]]) for s in SIDES)
        if share < spec.min_visible:
            return False
    return True


def view_shows(view: View, spec: ErrorSpec) -> bool:
    """Whether this view can show the error at all."""
    return view.kind != ViewKind.UNKNOWN and view.kind in spec.views and view.confidence >= VIEW_CONFIDENCE_MIN


def _judge(spec: ErrorSpec, readings: Readings, strictness: float, opinion: Opinion | None) -> Judged:
    limit, floor = spec.limit(strictness), spec.precision_floor
    logits = {side: logit_beyond(r.value, limit, spec.noise * r.gain, spec.direction) for side, r in readings.items()}
    worst = max(logits, key=lambda side: (logits[side], abs(readings[side].value - limit)))
    value, bad = readings[worst].value, math.log(floor / (1 - floor))
    severity = severity_of(spec, value, limit)
    probability = _sigmoid(logits[worst])
    if opinion is not None:
        published = worst_logit(spec, readings, spec.limits[1])
        probability, floor, bad = opinion.probability(published, logits[worst] - published), opinion.head.threshold, 0.0
        if not spec.beyond(value, limit):
            # What is told must show in the number that is told with it: it breaks the strict limit at the least.
            limit = spec.limit(min(1.0, strictness + 0.5))
            probability = probability if spec.beyond(value, limit) else min(probability, UNSURE)
    twice = sum(logit >= bad for logit in logits.values()) == 2
    return Judged(
        spec=spec,
        probability=probability,
        severity=severity,
        reading=readings[worst],
        limit=limit,
        side=None if worst == BOTH else BOTH if twice else worst,
        named=probability >= floor,
    )


def _visible(rep: Rep, spec: ErrorSpec, readings: Mapping[str, Readings]) -> Readings:
    """The readings of the error's measure on those sides whose joints are seen; none where the view forbids it."""
    if spec.measure is None or not view_shows(rep.view, spec):
        return {}
    return {side: r for side, r in readings.get(spec.measure, {}).items() if _sees(rep.body, spec, side)}


def _skipped(spec: ErrorSpec, rep: Rep, readings: Mapping[str, Readings]) -> bool:
    """Whether the error is no question of this repetition at all, so that it is not even hidden."""
    if spec.both_arms and len(rep.active) == 1 and all(r is not None for r in rep.ranges.values()):
        return True
    return spec.measure in SET_MEASURES and not readings.get(spec.measure)  # nothing to compare with yet


def judge(
    exercise: ExerciseSpec,
    rep: Rep,
    readings: Mapping[str, Readings],
    strictness: float,
    opinions: Mapping[str, Opinion] | None = None,
) -> Verdict:
    """Judge every error of an exercise on one repetition.

    Args:
        readings: measure name → side → reading (``measures.measure_all`` and the set's own).
        strictness: 0 lenient .. 0.5 published limits .. 1 strict.
        opinions: code → what the learned part says; errors without one are judged by their rule alone.
    """
    judged: list[Judged] = []
    hidden: list[str] = []
    for spec in exercise.errors:
        if _skipped(spec, rep, readings):
            continue
        seen = _visible(rep, spec, readings)
        opinion = (opinions or {}).get(spec.code)
        if not seen or (opinion is not None and rep.view.kind not in opinion.head.views):
            hidden.append(spec.code)
        else:
            judged.append(_judge(spec, seen, strictness, opinion))
    return Verdict(_settle(judged), tuple(hidden))


def evidence(exercise: ExerciseSpec, rep: Rep, readings: Mapping[str, Readings], features: F64) -> Evidence:
    """What training needs to know of one repetition: its numbers, and what the errors' own measures read."""
    measured: dict[str, tuple[float, float]] = {}
    seen: set[str] = set()
    for spec in exercise.errors:
        if spec.measure is None or _skipped(spec, rep, readings):
            continue
        every = readings.get(spec.measure, {})
        visible = {side: r for side, r in every.items() if _sees(rep.body, spec, side)}
        if visible:
            seen.add(spec.code)
        if every:
            worst = max((visible or every).values(), key=lambda r: worst_logit(spec, {BOTH: r}, spec.limits[1]))
            measured[spec.code] = worst.value, worst.gain
    return Evidence(features, measured, frozenset(seen), VIEWS.index(rep.view.kind))


def _settle(judged: list[Judged]) -> tuple[Judged, ...]:
    """Leave out what another named error explains."""
    named = {j.spec.code for j in judged if j.named}
    return tuple(j for j in judged if not named.intersection(j.spec.yields_to))
