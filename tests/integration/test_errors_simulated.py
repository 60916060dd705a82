"""Simulated people with planted mistakes: named, scored lower with every degree; clean ones left alone."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from services.common.skeleton import INDEX
from services.common.types import Assessment
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.processor import AssessProcessor
from training.errors.samples import camera_at, events, simulated
from training.simulator.generate import make_motion
from training.simulator.mistakes import MISTAKES
from training.simulator.view import observe

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
    ("chest_press", "RANGE_TOO_SHORT", FRONT), ("lunge", "KNEE_PAST_TOE", SIDE), ("shoulder_press", "KNEE_DIP", FRONT),
    ("bent_over_row", "SHORT_PULL", 40.0),
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


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_legs_exchanged_for_a_moment_put_no_knee_past_the_toes(seed: int) -> None:
    """As networks do where one leg hides the other; the frames between draw both legs through the middle."""
    for _, event in simulated("lunge", SIDE, seed, repetitions=2, noisy=False):
        window = event.window
        assert window is not None
        assert event.turn_s is not None
        keypoints, share = window.keypoints.copy(), np.zeros(len(window.times_s))
        share[(window.times_s > event.turn_s - 0.5) & (window.times_s < event.turn_s - 0.1)] = 1.0
        share = np.convolve(share, np.ones(5) / 5, mode="same")[:, None]
        for joint in ("knee", "ankle"):
            left, right = INDEX[f"left_{joint}"], INDEX[f"right_{joint}"]
            a, b = window.keypoints[:, left], window.keypoints[:, right]
            keypoints[:, left], keypoints[:, right] = a + share * (b - a), b + share * (a - b)
        read = []
        for places in (window.keypoints, keypoints):
            shown = replace(event, window=replace(window, keypoints=places))
            examined = AssessProcessor(CATALOGUE).examine(shown)
            assert "KNEE_PAST_TOE" not in {j.spec.code for j in examined.verdict.named}
            read += [r.value for r in examined.readings["knee_past_ankle_norm"].values()]
        assert len(read) == 2
        assert read[1] == pytest.approx(read[0], abs=0.06)


@pytest.mark.parametrize(
    ("exercise", "azimuth"), [("front_raise", 0.0), ("front_raise", 180.0), ("shoulder_press", 0.0)]
)
def test_the_arm_that_waits_its_turn_is_not_judged(exercise: str, azimuth: float) -> None:
    rng = np.random.default_rng(4)
    motion = make_motion(exercise, rng, repetitions=4, family="held_out", side="alternate", lead_s=0.6)
    keypoints, scores = observe(motion, camera_at(azimuth, rng), rng)
    processor = AssessProcessor(CATALOGUE)
    for true, event in events(motion, keypoints, scores, rng):
        examined = processor.examine(event)
        assert examined.rep.active == (true.side,)
        assert not {j.spec.code for j in examined.verdict.named} & {"UNEVEN_ARMS", "RANGE_TOO_SHORT", "NO_LOCKOUT"}


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
