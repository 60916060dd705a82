"""Simulated people with planted mistakes: named, scored lower with every degree; clean ones left alone."""

from itertools import combinations

import pytest

from services.common.types import Assessment
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.processor import AssessProcessor
from training.errors.samples import simulated
from training.simulator.mistakes import MISTAKES

CATALOGUE = load_catalogue()
SIDE, FRONT = 90.0, 0.0
NAMED = [
    ("bicep_curl", "ELBOW_DRIFT", SIDE), ("bicep_curl", "INCOMPLETE_CONTRACTION", FRONT),
    ("bicep_curl", "TORSO_SWING", SIDE), ("hammer_curl", "INCOMPLETE_EXTENSION", SIDE),
    ("shoulder_press", "LEAN_BACK", SIDE), ("shoulder_press", "NO_LOCKOUT", FRONT),
    ("lateral_raise", "RANGE_TOO_SHORT", FRONT), ("lateral_raise", "ABOVE_SHOULDER", FRONT),
    ("front_raise", "ELBOWS_BENT", SIDE), ("bent_over_row", "SHORT_PULL", SIDE),
    ("lunge", "TOO_SHALLOW", SIDE), ("lunge", "TORSO_LEAN", SIDE), ("squat", "TOO_SHALLOW", SIDE),
    ("squat", "KNEES_CAVE_IN", FRONT), ("romanian_deadlift", "SQUATTING", SIDE),
    ("triceps_kickback", "INCOMPLETE_EXTENSION", SIDE), ("overhead_triceps_extension", "BACK_ARCH", SIDE),
    ("chest_press", "RANGE_TOO_SHORT", FRONT),
]  # fmt: skip


def assessed(exercise: str, azimuth: float, seed: int, mistakes: dict[str, float], **options: bool) -> list[Assessment]:
    processor = AssessProcessor(CATALOGUE)
    sets = simulated(exercise, azimuth, seed, mistakes=mistakes or None, repetitions=2, **options)  # type: ignore[arg-type]
    return [a for _, event in sets for a in processor.on_item(event)]


@pytest.mark.parametrize(("exercise", "code", "azimuth"), NAMED, ids=[f"{e}-{c}" for e, c, _ in NAMED])
def test_a_planted_mistake_is_named_through_a_networks_noise(exercise: str, code: str, azimuth: float) -> None:
    found = [
        code in {e.code for e in a.errors} for seed in (1, 2) for a in assessed(exercise, azimuth, seed, {code: 0.85})
    ]
    assert sum(found) >= 0.75 * len(found)


@pytest.mark.slow
def test_clean_repetitions_are_left_alone() -> None:
    blamed: list[tuple[str, float, list[str]]] = []
    total = 0
    for exercise in MISTAKES:
        for azimuth in (FRONT, 40.0, SIDE, -SIDE):
            for assessment in assessed(exercise, azimuth, 7, {}):
                total += 1
                if assessment.errors:
                    blamed.append((exercise, azimuth, [e.code for e in assessment.errors]))
    assert len(blamed) <= 0.07 * total, blamed


SET_WIDE = {"RANGE_LOST", "TORSO_RISES", "TEMPO_UNEVEN"}
GENERAL = {"ECCENTRIC_TOO_FAST", "ASYMMETRY", "JERKY"}


@pytest.mark.slow
@pytest.mark.parametrize("exercise", list(MISTAKES))
def test_the_score_falls_with_every_planted_degree(exercise: str) -> None:
    for code in MISTAKES[exercise]:
        if code in SET_WIDE or (code in GENERAL and exercise not in ("bicep_curl", "squat")):
            continue
        for azimuth in (SIDE, FRONT):
            worst = assessed(exercise, azimuth, 3, {code: 1.0}, noisy=False)[0]
            if code not in worst.not_observable:
                break
        else:
            continue
        mistakes: list[dict[str, float]] = [{}, {code: 0.35}, {code: 0.7}]
        scores = [assessed(exercise, azimuth, 3, m, noisy=False)[0].score for m in mistakes] + [worst.score]
        # Exact poses, but boundaries as a segmenter sets them: a point or two is theirs.
        assert all(b <= a + 4.0 for a, b in combinations(scores, 2)), (code, azimuth, scores)
