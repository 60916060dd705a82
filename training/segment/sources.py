"""Motions of the catalogue's exercises as the network trains on them: any tempo, with what people do between sets."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.segment.augment import make_plans, moved_posture
from training.simulator.body import Body
from training.simulator.channels import mirrored, posture
from training.simulator.exercises import VARIANTS, Exercise
from training.simulator.mistakes import MISTAKES
from training.simulator.motion import Motion, TrueRepetition
from training.simulator.perform import Style, perform
from training.simulator.trajectory import RepetitionPlan

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_WEIGHTS = {name: 2.5 if name == "lunge" else 1.0 for name in VARIANTS}
SHARES = {name: weight / sum(_WEIGHTS.values()) for name, weight in _WEIGHTS.items()}
"""How often each exercise is drawn: the lunge, which begins and ends like a walk, more often than the others."""
_QUIET_S = 2.2
"""Gaps longer than this may hold something else than rest."""


def exercise_motion(rng: np.random.Generator, seconds: float, fps: float = 30.0) -> Motion:
    """Sets of one exercise over ``seconds``: variants, mistakes, alternation, partial repetitions, business between."""
    variants = VARIANTS[str(rng.choice(list(SHARES), p=list(SHARES.values())))]
    exercise = variants[int(rng.integers(len(variants)))]
    side = _side(exercise, rng)
    plans = _with_mistakes(make_plans(rng, seconds, side), exercise, rng)
    times = np.arange(0, seconds, 1 / fps)
    stance_side = side if side in ("left", "right") else "left"
    channels, progress = perform(
        exercise, plans, times, rng, family="varied", style=Style.sample(exercise, rng), side=stance_side
    )
    if rng.random() < 0.55:
        channels = _between(channels, plans, times, rng)
    if rng.random() < 0.5:
        channels, plans = mirrored(channels), [_swapped(p) for p in plans]
    joints, grip = Body.sample(rng).joints(channels)
    repetitions = tuple(
        TrueRepetition(float(a), p.turn_s, float(b), exercise.id, p.side, dict(p.mistakes), p.reason is None, p.reason)
        for p, a, b in zip(plans, progress.onset_s, progress.offset_s, strict=True)
    )
    return Motion(fps, joints.astype(np.float32), grip.astype(np.float32), progress.phase, exercise.id, repetitions)


def _side(exercise: Exercise, rng: np.random.Generator) -> str:
    kinds, weights = zip(*exercise.sides, strict=True)
    kind = str(rng.choice(kinds, p=np.array(weights) / sum(weights)))
    return ("left", "right")[int(rng.integers(2))] if kind == "one" else kind


def _swapped(plan: RepetitionPlan) -> RepetitionPlan:
    return replace(plan, side={"left": "right", "right": "left"}.get(plan.side, plan.side))


def _with_mistakes(plans: list[RepetitionPlan], exercise: Exercise, rng: np.random.Generator) -> list[RepetitionPlan]:
    """About half of the motions have one or two mistakes, in all of their repetitions or in some."""
    known = list(MISTAKES.get(exercise.id, {}))
    if not known or rng.random() < 0.5:
        return plans
    codes = rng.choice(known, size=min(len(known), int(rng.integers(1, 3))), replace=False)
    share = 1.0 if rng.random() < 0.5 else 0.5
    out = []
    for plan in plans:
        chosen = {str(c): float(rng.uniform(0.2, 1.0)) for c in codes if rng.random() < share}
        effect = plan
        for code, degree in chosen.items():
            m = MISTAKES[exercise.id][code]
            effect = replace(
                effect, high=effect.high - degree * m.high * 0.8, low=effect.low + degree * m.low,
                jerk=min(0.75, effect.jerk + degree * m.jerk), bounce=effect.bounce + degree * m.bounce,
                fall=min(1.0, effect.fall + degree * m.fall), weak_left=effect.weak_left + degree * m.weak * 0.8,
                lag=effect.lag + degree * m.lag,
            )  # fmt: skip
        out.append(replace(effect, mistakes=chosen, high=max(effect.high, effect.low + 0.2)))
    return out


def _between(channels: F64, plans: list[RepetitionPlan], times: F64, rng: np.random.Generator) -> F64:
    """Fills long gaps with other moves (stooping for the weight, a drink, gestures), blended in and out."""
    edges = [0.0, *(t for p in plans for t in (p.start_s, p.end_s)), float(times[-1]) + 3.0]
    for start, end in zip(edges[0::2], edges[1::2], strict=True):
        at = start + float(rng.uniform(0, 0.6)) if start > 0 else -1.0
        while end - at > _QUIET_S:
            length = min(float(rng.uniform(0.8, 4.0)), end - at - 0.4)
            ramp = min(0.45 * length, float(rng.uniform(0.3, 1.2)))
            rise = _smooth((times - at) / ramp) * _smooth((at + length - times) / ramp)
            here = channels[min(len(times) - 1, max(0, int(at / (times[1] - times[0]))))]
            pose = moved_posture(rng)
            goal = here + (posture(pose) - posture({})) * float(rng.uniform(0.4, 1.0))
            channels = channels + rise[:, None] * (goal - here)
            at += length + float(rng.uniform(0.0, 2.5))
    return channels


def _smooth(tau: F64) -> F64:
    t = np.clip(tau, 0, 1)
    return np.asarray(t**3 * (10 - 15 * t + 6 * t * t))
