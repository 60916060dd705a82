"""Repetitions of simulated motions: where they begin, turn and end, and that the same seed gives the same motion."""

import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.common.types import Phase
from training.simulator.body import J
from training.simulator.channels import posture
from training.simulator.edit import crop, cut_out, freeze, mirror
from training.simulator.exercises import EXERCISES, VARIANTS
from training.simulator.generate import EXERCISE_IDS, labels, make_motion, sample_session
from training.simulator.mistakes import LEAST_RANGE, MISTAKES
from training.simulator.perform import Style, perform
from training.simulator.plans import Pace, partial, plan_set
from training.simulator.trajectory import RepetitionPlan, evaluate, law

ARMS = [
    J[n] for n in ("left_wrist", "right_wrist", "left_shoulder", "right_shoulder", "neck", "left_ankle", "right_ankle")
]
FAMILIES = ("minimum_jerk", "held_out")


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_repetitions_start_and_end_at_rest_and_turn_at_the_far_end(exercise: str) -> None:
    for variant in range(len(VARIANTS[exercise])):
        motion = make_motion(exercise, np.random.default_rng(7), repetitions=4, variant=variant)
        where = motion.joints[:, ARMS]
        rest = where[: round(0.9 * motion.fps)].mean(axis=0)
        away = np.linalg.norm(where - rest, axis=2).max(axis=1)
        for r in motion.repetitions:
            onset, turn, offset = (round(t * motion.fps) for t in (r.onset_s, r.turn_s, r.offset_s))
            top = away[onset : offset + 1].max()
            assert away[turn] > 0.93 * top
            assert max(away[onset], away[offset]) < 0.35 * top  # sway and a first 2 % of the range
            assert r.onset_s < r.turn_s < r.offset_s
            assert r.counted
            assert not r.mistakes


@pytest.mark.parametrize("exercise", list(EXERCISES))
def test_key_poses_are_reached(exercise: str) -> None:
    form = EXERCISES[exercise]
    plan = RepetitionPlan(1.0, 1.0, 0.0, 1.0, side="left" if form.sides[0][0] != "both" else "both")
    channels, _ = perform(
        form, [plan], np.array([1.0, 2.0, 3.0]), np.random.default_rng(0), style=Style(sway=0.0), side="left"
    )
    rest = posture(form.rest, "left", posture(form.stance, "left"))
    np.testing.assert_allclose(channels[0], rest, atol=1e-9)
    np.testing.assert_allclose(channels[2], rest, atol=1e-9)
    for name, value in form.far.items():
        side = "l_" + name.removeprefix("lead_").removeprefix("trail_")
        index = posture({name: 1e6}, "left").argmax()
        assert channels[1, index] == pytest.approx(value), (name, side)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(FAMILIES),
    st.floats(0.5, 2.0),
    st.tuples(*[st.floats(0, 1)] * 3),
    st.floats(0, 0.7),
    st.integers(2, 4),
)
def test_laws_go_from_rest_to_far_end_without_turning_back(
    family: str, skew: float, shape: tuple[float, float, float], jerk: float, beats: int
) -> None:
    tau = np.linspace(0, 1, 400)
    ones = np.ones(400)
    s = law(tau, family, skew * ones, np.tile(shape, (400, 1)), jerk * ones, beats * ones)
    assert s[0] == pytest.approx(0, abs=1e-9)
    assert s[-1] == pytest.approx(1, abs=1e-9)
    assert np.diff(s).min() > -1e-9


def test_held_out_law_is_another_law() -> None:
    tau = np.linspace(0, 1, 200)
    ones = np.ones(200)
    rng = np.random.default_rng(0)
    jerks = [
        law(tau, "minimum_jerk", k * ones, 0.5 * np.ones((200, 3)), 0 * ones, 3 * ones)
        for k in np.linspace(0.6, 1.6, 60)
    ]
    for _ in range(20):
        shape = np.tile(rng.random(3), (200, 1))
        other = law(tau, "held_out", ones, shape, 0 * ones, 3 * ones)
        assert min(np.abs(other - j).max() for j in jerks) > 0.02
    motions = [make_motion("squat", np.random.default_rng(5), repetitions=2, family=f) for f in FAMILIES]
    n = min(len(m.joints) for m in motions)
    assert np.abs(motions[0].joints[:n] - motions[1].joints[:n]).max() > 0.05


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(FAMILIES))
@example(24057, "minimum_jerk")  # rounding took the way back beyond its end
def test_progress_and_phase_agree_with_the_plans(seed: int, family: str) -> None:
    rng = np.random.default_rng(seed)
    plans = plan_set(EXERCISES["bicep_curl"], rng, 5, pace=Pace.wild(rng), start_s=0.7)
    times = np.arange(0, plans[-1].end_s + 0.5, 1 / 120)
    p = evaluate(plans, times, family)
    assert p.middle.min() >= 0
    assert p.middle.max() <= 1 + 1e-9
    rest = p.phase == list(Phase).index(Phase.REST)
    assert p.middle[rest].max() < 0.06
    assert p.middle[p.phase == list(Phase).index(Phase.HOLD)].min(initial=1.0) > 0.97
    for i, plan in enumerate(plans):
        assert plan.start_s <= p.onset_s[i] < plan.turn_s < p.offset_s[i] <= plan.end_s
        assert np.interp(plan.turn_s, times, p.middle) > 0.9
        if i:
            assert p.onset_s[i] >= p.offset_s[i - 1]


def test_same_seed_same_motion() -> None:
    one, two, other = (
        make_motion("lunge", np.random.default_rng(s), mistakes={"WOBBLE": 0.6}, repetitions=3) for s in (9, 9, 10)
    )
    assert one.repetitions == two.repetitions
    np.testing.assert_array_equal(one.joints, two.joints)
    assert one.joints.shape != other.joints.shape or np.abs(one.joints - other.joints).max() > 1e-3
    a, b = (sample_session(np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(a.keypoints, b.keypoints)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_tempo_family_fps_and_sides_are_what_was_asked_for() -> None:
    motion = make_motion(
        "bicep_curl",
        np.random.default_rng(1),
        repetitions=4,
        sets=2,
        tempo_s=3.2,
        side="alternate",
        fps=25.0,
        between_s=7.0,
    )
    assert motion.fps == 25.0
    assert [r.side for r in motion.repetitions] == ["left", "right"] * 4
    durations = [r.offset_s - r.onset_s for r in motion.repetitions]
    assert np.mean(durations) == pytest.approx(3.2, rel=0.25)
    assert motion.repetitions[4].onset_s - motion.repetitions[3].offset_s > 6.5
    left, right = (
        np.ptp(motion.joints[: round(motion.repetitions[0].offset_s * 25), J[f"{s}_wrist"], 1])
        for s in ("left", "right")
    )
    assert left > 5 * right


@pytest.mark.parametrize("tempo_s", [0.4, 1.0, 9.0])
def test_any_tempo_from_a_third_of_a_second_to_ten(tempo_s: float) -> None:
    motion = make_motion("squat", np.random.default_rng(0), repetitions=5, tempo_s=tempo_s)
    assert np.mean([r.offset_s - r.onset_s for r in motion.repetitions]) == pytest.approx(tempo_s, rel=0.4)
    assert ("ECCENTRIC_TOO_FAST" in motion.repetitions[0].mistakes) == (tempo_s < 1.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_labels_are_consistent(seed: int) -> None:
    session = sample_session(np.random.default_rng(seed), duration_s=25.0)
    motion, truth = session.motion, labels(session.motion)
    n = len(motion.joints)
    assert session.keypoints.shape == (n, 17, 2)
    assert session.scores.shape == (n, 17)
    for array in (truth.phase, truth.exercise, truth.activity, truth.progress, truth.attempt, truth.repetition):
        assert array.shape == (n,)
    counted = [r for r in motion.repetitions if r.counted]
    assert np.all(truth.events.sum(axis=0) <= len(counted))
    assert np.all(truth.activity[truth.events.sum(axis=1) > 0][1:-1] >= 0)
    assert np.all((truth.exercise >= 0) == (truth.activity > 0))
    assert np.all(truth.exercise < len(EXERCISE_IDS))
    assert np.all(truth.phase[truth.activity == 0] == 0)
    assert np.all(truth.progress[truth.activity == 0] < 0.1)
    ends = [t for r in motion.repetitions for t in (r.onset_s, r.offset_s)]
    assert ends == sorted(ends)
    assert all(0 <= t <= n / motion.fps for t in ends)
    for i, r in enumerate(motion.repetitions):
        assert (r.reason is None) == r.counted
        inside = truth.repetition == i
        if inside.any() and r.counted:
            assert truth.progress[inside].max() > 0.8


def test_sessions_hold_every_kind_of_thing() -> None:
    sessions = [sample_session(np.random.default_rng(s), duration_s=22.0) for s in range(45)]
    repetitions = [r for s in sessions for r in s.motion.repetitions]
    assert {r.reason for r in repetitions} >= {None, "PARTIAL_RANGE", "INTERRUPTED"}
    assert "unknown" in {r.exercise for r in repetitions}
    assert {r.side for r in repetitions} == {"left", "right", "both"}
    assert len({c for r in repetitions for c in r.mistakes}) > 12
    assert any(s.motion.cut.any() for s in sessions)
    assert any(s.motion.frozen.any() for s in sessions)
    assert 0.2 < np.mean([labels(s.motion).activity.mean() for s in sessions]) < 0.8
    assert min(s.motion.fps for s in sessions) <= 10
    assert max(s.motion.fps for s in sessions) >= 50


def test_no_exercise_asked_for_means_no_repetition() -> None:
    session = sample_session(np.random.default_rng(1), exercises={"none": 1.0})
    assert session.motion.repetitions == ()
    assert not labels(session.motion).activity.any()


def test_cut_inside_a_repetition_makes_an_attempt_and_elsewhere_costs_nothing() -> None:
    motion = make_motion("bicep_curl", np.random.default_rng(0), repetitions=3, pace=Pace(3.0, rest_s=2.0))
    first, second, third = motion.repetitions
    pause = cut_out(motion, second.offset_s + 0.3, second.offset_s + 1.3)
    assert [r.counted for r in pause.repetitions] == [True] * 3
    assert pause.repetitions[2].onset_s == pytest.approx(third.onset_s - 1.0, abs=0.04)
    assert pause.cut.sum() == 1
    inside = cut_out(motion, second.onset_s + 0.5, second.onset_s + 1.2)
    assert [(r.counted, r.reason) for r in inside.repetitions] == [(True, None), (False, "INTERRUPTED"), (True, None)]
    gone = cut_out(motion, first.offset_s + 0.5, second.offset_s + 0.5)
    assert len(gone.repetitions) == 2
    ending = crop(motion, 0.0, third.turn_s)
    assert [r.counted for r in ending.repetitions] == [True, True, False]
    late = crop(motion, first.turn_s, 60.0)
    assert [r.counted for r in late.repetitions] == [False, True, True]


def test_freeze_stretches_time_and_keeps_the_count() -> None:
    motion = make_motion("squat", np.random.default_rng(0), repetitions=2)
    frozen = freeze(motion, motion.repetitions[0].turn_s, 1.5)
    assert [r.counted for r in frozen.repetitions] == [True, True]
    assert frozen.repetitions[1].onset_s == pytest.approx(motion.repetitions[1].onset_s + 1.5, abs=0.05)
    assert frozen.frozen.sum() == 45
    np.testing.assert_array_equal(np.ptp(frozen.joints[frozen.frozen], axis=0), 0)


def test_mirror_exchanges_the_sides() -> None:
    motion = make_motion("one_arm_row", np.random.default_rng(0), side="left", repetitions=2)
    flipped = mirror(motion)
    assert {r.side for r in flipped.repetitions} == {"right"}
    assert flipped.held == {"right"}
    np.testing.assert_array_equal(mirror(flipped).joints, motion.joints)
    assert np.ptp(flipped.joints[:, J["right_wrist"], 1]) > 3 * np.ptp(flipped.joints[:, J["left_wrist"], 1])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(KeyError):
        make_motion("handstand", np.random.default_rng(0))
    with pytest.raises(ValueError, match="squat has no mistake ELBOW_DRIFT"):
        make_motion("squat", np.random.default_rng(0), mistakes={"ELBOW_DRIFT": 0.5})
    with pytest.raises(ValueError, match=r"degree 1\.5"):
        make_motion("squat", np.random.default_rng(0), mistakes={"TOO_SHALLOW": 1.5})


def test_simulates_at_least_ten_hours_per_minute_and_core() -> None:
    sample_session(np.random.default_rng(0))
    start, simulated_s = time.process_time(), 0.0
    for seed in range(20):
        session = sample_session(np.random.default_rng(seed))
        simulated_s += len(session.keypoints) / session.motion.fps
    spent_s = time.process_time() - start
    assert simulated_s / 3600 / (spent_s / 60) > 10


def test_a_mistake_leaves_more_of_the_range_than_an_attempt() -> None:
    least = min(1.0 - m.high - m.low for known in MISTAKES.values() for m in known.values())
    assert least >= LEAST_RANGE - 1e-9
    plan = RepetitionPlan(0.0, 1.0, 0.0, 1.0)
    attempts = [partial(plan, np.random.default_rng(seed)).high for seed in range(200)]
    assert 0 < min(attempts) < max(attempts) < LEAST_RANGE
