"""Motions on demand: one exercise with chosen mistakes."""

from collections.abc import Mapping

import numpy as np

from training.simulator.body import Body
from training.simulator.exercises import EXERCISES, VARIANTS
from training.simulator.motion import Motion, TrueRepetition
from training.simulator.perform import Style, perform
from training.simulator.plans import Pace, plan_set
from training.simulator.trajectory import Family, Progress, RepetitionPlan


def make_motion(
    exercise: str,
    rng: np.random.Generator,
    *,
    mistakes: Mapping[str, float] | None = None,
    at: Mapping[int, Mapping[str, float]] | None = None,
    repetitions: int = 8,
    sets: int = 1,
    tempo_s: float | None = None,
    family: Family = "minimum_jerk",
    side: str | None = None,
    variant: int = 0,
    body: Body | None = None,
    pace: Pace | None = None,
    lead_s: float = 1.0,
    between_s: float = 6.0,
    fps: float = 30.0,
) -> Motion:
    """One person doing ``sets`` × ``repetitions`` of an exercise.

    Args:
        mistakes: code → degree in (0, 1], in every repetition. None: clean, within every coach's limit.
        at: repetition's index within its set → code → degree: mistakes of single repetitions.
        tempo_s: duration of a repetition without its rest; None: the exercise's usual one. Under about 2 s the lowering
            is too fast for a coach and carries ECCENTRIC_TOO_FAST.
        family: law of motion; ``held_out`` is for tests and rendered clips only.
        side: left | right | both | alternate; None: the exercise's usual one.
        variant: index into ``exercises.VARIANTS[exercise]`` (seated, reverse lunge, …).
        pace: finer control of the timing instead of ``tempo_s``.
        lead_s: stillness before the first and after the last repetition; between_s: pause at rest between sets.
    Raises:
        KeyError: unknown exercise; ValueError: unknown mistake.
    """
    form = VARIANTS[exercise][variant]
    side = side or usual_side(form.sides, None)
    style, body = Style.sample(form, rng), body or Body.sample(rng)
    pace = pace or Pace.clean(form, rng, tempo_s)
    plans: list[RepetitionPlan] = []
    clock = lead_s
    for _ in range(sets):
        plans += plan_set(form, rng, repetitions, pace=pace, side=side, mistakes=mistakes, start_s=clock, at=at)
        clock = plans[-1].end_s + between_s
    times = np.arange(round((plans[-1].end_s + lead_s) * fps)) / fps
    stance_side = side if side in ("left", "right") else "left"
    channels, progress = perform(form, plans, times, rng, family=family, style=style, side=stance_side)
    joints, grip = body.joints(channels)
    held = form.held if form.held != frozenset({"left"}) else frozenset({stance_side})
    return Motion(
        fps, joints.astype(np.float32), grip.astype(np.float32), progress.phase, exercise,
        true_repetitions(exercise, plans, progress), held, form.support,
    )  # fmt: skip


def usual_side(sides: tuple[tuple[str, float], ...], rng: np.random.Generator | None) -> str:
    """Draw a way of sharing the work between the sides; without ``rng`` the usual one."""
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


__all__ = ["EXERCISES", "make_motion", "true_repetitions", "usual_side"]
