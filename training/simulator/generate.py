"""The simulator's front door: ``make_motion`` for one exercise with chosen mistakes, ``sample_session`` for random
recordings, ``labels`` for the truth of every tick. Everything is drawn from the generator that is given: the same seed
gives the same motion."""

from collections.abc import Mapping

import numpy as np

from training.simulator.body import Body
from training.simulator.exercises import VARIANTS
from training.simulator.labels import EXERCISE_IDS, Labels, SimulatedMotion, labels, within_sets
from training.simulator.perform import Style, perform
from training.simulator.plans import Pace, plan_set, true_repetitions, usual_side
from training.simulator.session import Session, sample_session
from training.simulator.trajectory import Family, RepetitionPlan


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
) -> SimulatedMotion:
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
    repetitions_made = true_repetitions(exercise, plans, progress)
    active, index = within_sets(repetitions_made, times)
    none = np.zeros(len(times), np.bool_)
    return SimulatedMotion(
        fps, joints.astype(np.float32), grip.astype(np.float32), progress.phase, exercise, repetitions_made, held,
        form.support, progress.middle.astype(np.float32), progress.extent.astype(np.float32), active, index, none, none,
    )  # fmt: skip


__all__ = ["EXERCISE_IDS", "Labels", "Session", "SimulatedMotion", "labels", "make_motion", "sample_session"]
