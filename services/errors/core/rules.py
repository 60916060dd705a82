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
from services.errors.core.body import SIDES, Body
from services.errors.core.catalogue import ABOVE, ErrorSpec, ExerciseSpec
from services.errors.core.curves import BOTH, Reading, Readings, Rep
from services.errors.core.registry import SET_MEASURES
from services.errors.core.view import View, ViewKind

VIEW_CONFIDENCE_MIN: Final = 0.35


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


def probability_beyond(value: float, limit: float, noise: float, direction: str) -> float:
    """Probability that the true value is beyond the limit, given the measured one."""
    over = value - limit if direction == ABOVE else limit - value
    z = over / (noise * math.sqrt(3) / math.pi)
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, z))))


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


def _judge(spec: ErrorSpec, readings: Readings, strictness: float) -> Judged:
    limit = spec.limit(strictness)
    odds = {
        side: probability_beyond(r.value, limit, spec.noise * r.gain, spec.direction) for side, r in readings.items()
    }
    worst = max(odds, key=lambda side: (odds[side], abs(readings[side].value - limit)))
    bad = [side for side, p in odds.items() if p >= spec.precision_floor]
    side = None if worst == BOTH else BOTH if len(bad) == 2 else worst
    return Judged(
        spec=spec,
        probability=odds[worst],
        severity=severity_of(spec, readings[worst].value, limit),
        reading=readings[worst],
        limit=limit,
        side=side,
        named=odds[worst] >= spec.precision_floor,
    )


def judge(exercise: ExerciseSpec, rep: Rep, readings: Mapping[str, Readings], strictness: float) -> Verdict:
    """Judge every error of an exercise on one repetition.

    Args:
        readings: measure name → side → reading (``measures.measure_all`` and the set's own).
        strictness: 0 lenient .. 0.5 published limits .. 1 strict.
    """
    judged: list[Judged] = []
    hidden: list[str] = []
    for spec in exercise.errors:
        if spec.both_arms and len(rep.active) == 1 and all(r is not None for r in rep.ranges.values()):
            continue
        if spec.measure in SET_MEASURES and not readings.get(spec.measure):
            continue  # nothing to compare with yet: no question of the view
        if spec.measure is None or not view_shows(rep.view, spec):
            hidden.append(spec.code)
            continue
        seen = {side: r for side, r in readings.get(spec.measure, {}).items() if _sees(rep.body, spec, side)}
        if not seen:
            hidden.append(spec.code)
            continue
        judged.append(_judge(spec, seen, strictness))
    return Verdict(_settle(judged), tuple(hidden))


def _settle(judged: list[Judged]) -> tuple[Judged, ...]:
    """Leave out what another named error explains."""
    named = {j.spec.code for j in judged if j.named}
    return tuple(j for j in judged if not named.intersection(j.spec.yields_to))
