"""Planted mistakes: every code of the catalogue exists, does what it says, and more of it with a higher degree."""

import numpy as np
import pytest

from training.simulator.exercises import EXERCISES
from training.simulator.generate import make_motion
from training.simulator.mistakes import MISTAKES
from training.simulator.physics import QUANTITIES, quantity, takes

CASES = [(e, c) for e in EXERCISES for c in MISTAKES[e]]
EVERYWHERE = {"ECCENTRIC_TOO_FAST", "TEMPO_UNEVEN", "RANGE_LOST", "JERKY"}


def test_every_exercise_has_its_mistakes() -> None:
    assert len(EXERCISES) == 18
    assert set(MISTAKES) == set(EXERCISES)
    for name, known in MISTAKES.items():
        assert set(known) >= EVERYWHERE
        assert len(known) >= 7, name
    assert {c for _, c in CASES} == {*QUANTITIES, "TEMPO_UNEVEN"}


@pytest.mark.parametrize(("exercise", "code"), CASES)
def test_quantity_grows_with_the_degree(exercise: str, code: str) -> None:
    values = np.array([quantity(exercise, code, d) for d in (0.0, 0.25, 0.5, 0.75, 1.0)])
    steps = np.diff(values)
    assert (steps > 0).all(), values
    assert values[-1] - values[0] > 1.6 * (values[2] - values[0]) * 0.6


@pytest.mark.parametrize(("exercise", "code"), CASES)
def test_planted_mistake_is_noted_with_its_degree(exercise: str, code: str) -> None:
    planted = [t.plan.mistakes for t in takes(exercise, {code: 0.7}, fps=10.0)]
    assert planted[-1 if code != "ASYMMETRY" else 0].get(code) == pytest.approx(0.7) or any(
        m.get(code) == pytest.approx(0.7) for m in planted
    )
    assert {c for m in planted for c in m} <= {code, "ECCENTRIC_TOO_FAST"}


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_clean_motion_has_no_mistake_and_calm_timing(exercise: str) -> None:
    for seed in range(4):
        motion = make_motion(exercise, np.random.default_rng(seed), repetitions=5)
        assert all(not r.mistakes for r in motion.repetitions)
        lowering = [
            r.turn_s - r.onset_s if EXERCISES[exercise].eccentric_first else r.offset_s - r.turn_s
            for r in motion.repetitions
        ]
        assert min(lowering) > 0.9
        durations = np.array([r.offset_s - r.onset_s for r in motion.repetitions])
        assert durations.std() / durations.mean() < 0.15


def test_mistakes_that_build_up_are_worst_at_the_end_of_the_set() -> None:
    motion = make_motion("bent_over_row", np.random.default_rng(0), repetitions=6, mistakes={"TORSO_RISES": 0.9})
    degrees = [r.mistakes.get("TORSO_RISES", 0.0) for r in motion.repetitions]
    assert degrees[0] == 0.0
    assert degrees == sorted(degrees)
    assert degrees[-1] == pytest.approx(0.9)


def test_mistake_of_a_single_repetition_stays_there() -> None:
    motion = make_motion("bicep_curl", np.random.default_rng(0), repetitions=5, at={2: {"TORSO_SWING": 0.8}})
    assert [sorted(r.mistakes) for r in motion.repetitions] == [[], [], ["TORSO_SWING"], [], []]
    lean = motion.joints[:, 19] - motion.joints[:, 17]
    tilt = np.degrees(np.arctan2(lean[:, 2], lean[:, 1]))
    spans = [np.ptp(tilt[round(r.onset_s * motion.fps) : round(r.offset_s * motion.fps)]) for r in motion.repetitions]
    assert spans[2] > 20
    assert max(spans[:2] + spans[3:]) < 8


def test_mistakes_that_compare_the_sides_need_both() -> None:
    one = make_motion("bicep_curl", np.random.default_rng(0), side="left", repetitions=3, mistakes={"ASYMMETRY": 0.8})
    assert all(not r.mistakes for r in one.repetitions)
    each = make_motion(
        "bicep_curl", np.random.default_rng(0), side="alternate", repetitions=6, mistakes={"ASYMMETRY": 0.8}
    )
    assert len({r.side for r in each.repetitions if r.mistakes}) == 1
