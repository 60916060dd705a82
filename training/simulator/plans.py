"""Plans of a set: how many repetitions, how fast, how evenly, with which mistakes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from services.common.types import Reason
from training.simulator.exercises import Exercise, Sides
from training.simulator.mistakes import MISTAKES
from training.simulator.motion import TrueRepetition
from training.simulator.trajectory import Progress, RepetitionPlan

LIMIT_ECCENTRIC_S = 1.0  # coaches' limit; a lowering below it carries ECCENTRIC_TOO_FAST


@dataclass(frozen=True, slots=True)
class Pace:
    """How a set is paced. ``tempo_s``: duration of the first repetition; ``out``: share of it on the way out;
    ``hold_s``, ``rest_s``: mean pause at the far end and at rest (0: repetitions touch); ``drift``: relative change of
    the tempo over the set (fatigue slows); ``spread``: relative random spread of each duration; ``tiring``: range lost
    by the last repetition, share."""

    tempo_s: float
    out: float = 0.45
    hold_s: float = 0.15
    rest_s: float = 0.4
    drift: float = 0.1
    spread: float = 0.05
    tiring: float = 0.03

    @classmethod
    def clean(cls, exercise: Exercise, rng: np.random.Generator, tempo_s: float | None = None) -> "Pace":
        """As a coach likes it. ``tempo_s`` None: the exercise's usual one."""
        tempo = float(rng.uniform(*exercise.tempo_s)) if tempo_s is None else tempo_s
        lowering = max(float(rng.uniform(0.5, 0.6)), min(1.3 / tempo, 0.65))
        return cls(
            tempo,
            out=lowering if exercise.eccentric_first else 1.0 - lowering,
            hold_s=float(rng.uniform(0.0, 0.1)) * min(tempo, 4.0) if rng.random() < 0.7 else 0.0,
            rest_s=float(rng.uniform(0.1, 0.9)),
            drift=float(rng.uniform(-0.02, 0.1)),
            spread=float(rng.uniform(0.01, 0.05)),
            tiring=float(rng.uniform(0.0, 0.04)),
        )

    @classmethod
    def wild(cls, rng: np.random.Generator) -> "Pace":
        """Anything people do: 0.35–10 s, touching or long rests, fast one way and slow the other."""
        return cls(
            float(np.exp(rng.uniform(np.log(0.38), np.log(9.0)) * 0.5 + 0.5 * rng.normal(0.9, 0.45))),
            out=float(np.clip(rng.normal(0.48, 0.1), 0.22, 0.75)),
            hold_s=float(rng.exponential(0.3)) if rng.random() < 0.5 else 0.0,
            rest_s=float(rng.exponential(0.6)) if rng.random() < 0.65 else 0.0,
            drift=float(rng.normal(0.05, 0.15)),
            spread=float(rng.uniform(0.02, 0.2)),
            tiring=float(rng.uniform(0.0, 0.15)),
        )


def plan_set(
    exercise: Exercise,
    rng: np.random.Generator,
    repetitions: int,
    *,
    pace: Pace,
    side: str = "both",
    mistakes: Mapping[str, float] | None = None,
    start_s: float = 0.0,
    at: Mapping[int, Mapping[str, float]] | None = None,
) -> list[RepetitionPlan]:
    """Plans of one set.

    Args:
        side: left | right | both, or alternate (every repetition the other arm or leg).
        mistakes: code → degree of every repetition (where only one side works, mistakes that compare the sides are
            left out); ``at``: index → code → degree of single ones besides.
    Raises:
        ValueError: a code that this exercise does not have, or a degree outside (0, 1].
    """
    plans: list[RepetitionPlan] = []
    weak_side = {"left": "right", "right": "left"}.get(side, str(rng.choice(["left", "right"])))
    clock = start_s
    for i in range(repetitions):
        share = i / max(repetitions - 1, 1)
        speed = pace.tempo_s * (1 + pace.drift * share)
        jitter = np.exp(rng.normal(0, pace.spread, 4))
        who = side if side != "alternate" else ("left", "right")[i % 2]
        plan = RepetitionPlan(
            clock,
            float(np.clip(speed * pace.out * jitter[0], 0.16, 7.0)),
            float(pace.hold_s * jitter[1]),
            float(np.clip(speed * (1 - pace.out) * jitter[2], 0.16, 7.0)),
            side=who,
            lead=weak_side,
            high=1.0 - pace.tiring * share - abs(float(np.clip(rng.normal(0, 0.012), -0.025, 0.025))),
            lag=float(np.clip(rng.normal(0, 0.015), -0.03, 0.03)),
            skew_out=float(np.exp(rng.normal(0, 0.12))),
            skew_back=float(np.exp(rng.normal(0, 0.12))),
            shape=tuple(rng.random(3).tolist()),
        )
        own = dict(mistakes or {}) | dict((at or {}).get(i, {}))
        plan = plant(plan, exercise, own, rng, share=share if repetitions > 1 else 1.0, weak_side=weak_side)
        plans.append(plan)
        clock = plan.end_s + float(pace.rest_s * jitter[3])
    return plans


def plant(
    plan: RepetitionPlan,
    exercise: Exercise,
    mistakes: Mapping[str, float],
    rng: np.random.Generator,
    *,
    share: float = 1.0,
    weak_side: str = "left",
) -> RepetitionPlan:
    """``plan`` with the mistakes' effects on range and timing, and with all degrees noted.

    Args:
        share: place in the set, 0 first .. 1 last: mistakes that build up grow with it.
    """
    known = MISTAKES.get(exercise.id, {})
    noted: dict[str, float] = {}
    for code, degree in mistakes.items():
        if code not in known or not 0.0 < degree <= 1.0:
            raise ValueError(f"{exercise.id} has no mistake {code} of degree {degree}; it has {sorted(known)}")
        m = known[code]
        if m.ramp:
            degree *= share
        if plan.side != "both" and (m.lag or ((m.weak or m.one_leg) and plan.side != weak_side)):
            continue  # what compares two sides needs both, or shows in an alternating set on the weak one
        if degree < 0.05:
            continue
        noted[code] = degree
        high = plan.high - m.high * degree**m.power
        plan = replace(
            plan,
            high=high,
            low=min(plan.low + m.low * degree**m.power, high - 0.15),
            jerk=max(plan.jerk, m.jerk * degree),
            bounce=max(plan.bounce, m.bounce * degree),
            fall=max(plan.fall, m.fall * degree),
        )
        if m.weak:
            plan = replace(plan, **{f"weak_{weak_side}": getattr(plan, f"weak_{weak_side}") + m.weak * degree})
        if m.lag:
            plan = replace(plan, lag=plan.lag + m.lag * degree * (1 if weak_side == "left" else -1))
        plan = _hurry(plan, exercise, m.out_s, m.back_s, m.lower_s, degree)
        if m.uneven:
            factor = float(np.exp(rng.choice([-1.0, 1.0]) * rng.uniform(0.7, 1.2) * m.uneven * degree))
            plan = replace(plan, out_s=plan.out_s * factor, back_s=plan.back_s * factor)
    lowering = plan.out_s if exercise.eccentric_first else plan.back_s
    if lowering < LIMIT_ECCENTRIC_S and "ECCENTRIC_TOO_FAST" in known:
        implied = min((1.2 - lowering) / 0.85, 1.0)
        noted["ECCENTRIC_TOO_FAST"] = max(noted.get("ECCENTRIC_TOO_FAST", 0.0), implied)
    return replace(plan, mistakes=noted)


def _hurry(
    plan: RepetitionPlan, exercise: Exercise, out_s: tuple[float, float] | None, back_s: tuple[float, float] | None,
    lower_s: tuple[float, float] | None, degree: float,
) -> RepetitionPlan:  # fmt: skip
    if lower_s:
        out_s, back_s = (lower_s, back_s) if exercise.eccentric_first else (out_s, lower_s)
    if out_s:
        plan = replace(plan, out_s=min(plan.out_s, out_s[0] + (out_s[1] - out_s[0]) * degree))
    if back_s:
        plan = replace(plan, back_s=min(plan.back_s, back_s[0] + (back_s[1] - back_s[0]) * degree))
    return plan


def partial(plan: RepetitionPlan, rng: np.random.Generator) -> RepetitionPlan:
    """The same movement given up on the way: it turns at 12–35 % of the range and is not counted.

    (A mistake leaves at least ``mistakes.LEAST_RANGE`` of it.)
    """
    high = float(rng.uniform(0.12, 0.35))
    return replace(
        plan, high=plan.low + high * (plan.high - plan.low), out_s=max(plan.out_s * 0.6, 0.2), mistakes={},
        back_s=max(plan.back_s * 0.6, 0.2), reason=str(Reason.PARTIAL_RANGE),
    )  # fmt: skip


def usual_side(sides: Sides, rng: np.random.Generator | None) -> str:
    """Draw left | right | both | alternate; without ``rng`` the usual one."""
    name = sides[0][0] if rng is None else str(rng.choice([s for s, _ in sides], p=[p for _, p in sides]))
    if name == "one":
        return "left" if rng is None else str(rng.choice(["left", "right"]))
    return name


def true_repetitions(exercise: str, plans: list[RepetitionPlan], progress: Progress) -> tuple[TrueRepetition, ...]:
    """The plans as the truth about them."""
    return tuple(
        TrueRepetition(float(on), p.turn_s, float(off), exercise, p.side, dict(p.mistakes), p.reason is None, p.reason)
        for p, on, off in zip(plans, progress.onset_s, progress.offset_s, strict=True)
    )
