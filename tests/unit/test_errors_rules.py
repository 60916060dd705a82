"""Limits, probabilities, severity, score, cues."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.catalogue import ABOVE, BELOW, ErrorSpec
from services.errors.core.cues import REPEAT_AFTER, CueMemory, next_cue
from services.errors.core.curves import Reading
from services.errors.core.rules import Judged, Verdict, probability_beyond, severity_of
from services.errors.core.scoring import penalty, score

CATALOGUE = load_catalogue()
SPECS = [(e.id, s) for e in CATALOGUE for s in e.errors if s.measure]


def judged(spec: ErrorSpec, value: float, strictness: float = 0.5) -> Judged:
    limit = spec.limit(strictness)
    p = probability_beyond(value, limit, spec.noise, spec.direction)
    return Judged(spec, p, severity_of(spec, value, limit), Reading(value, 1.0), limit, None, p >= spec.precision_floor)


@given(st.floats(-200, 200), st.floats(-200, 200), st.floats(0.01, 20))
def test_probability_is_half_at_the_limit_and_the_two_directions_add_up(v: float, limit: float, noise: float) -> None:
    above, below = probability_beyond(v, limit, noise, ABOVE), probability_beyond(v, limit, noise, BELOW)
    assert above + below == pytest.approx(1.0)
    assert probability_beyond(limit, limit, noise, ABOVE) == 0.5
    assert (above > 0.5) == (v > limit) or abs(v - limit) < 1e-9 * noise + 1e-9


@pytest.mark.parametrize(("exercise", "spec"), SPECS, ids=[f"{e}-{s.code}" for e, s in SPECS])
def test_each_error_costs_more_the_worse_it_is(exercise: str, spec: ErrorSpec) -> None:
    start, end = spec.limits[0] * 2 - spec.limits[2], spec.severe * 1.2
    if spec.direction == ABOVE:
        start = min(start, spec.limits[2] - 6 * spec.noise)
        end = max(end, spec.severe + 2 * spec.noise)
    else:
        start, end = max(start, spec.limits[2] + 6 * spec.noise), min(spec.severe * 0.8, spec.severe - 2 * spec.noise)
    values = [start + (end - start) * k / 60 for k in range(61)]
    costs = [penalty(judged(spec, v)) for v in values]
    assert costs == sorted(costs)
    assert costs[0] == 0.0
    assert costs[-1] == pytest.approx(spec.weight, rel=0.1)
    assert judged(spec, values[-1]).named
    assert not judged(spec, values[0]).named


@pytest.mark.parametrize(("exercise", "spec"), SPECS, ids=[f"{e}-{s.code}" for e, s in SPECS])
def test_stricter_never_names_less(exercise: str, spec: ErrorSpec) -> None:
    for value in (spec.limits[0], spec.limits[1], spec.limits[2], spec.severe):
        odds = [judged(spec, value, s / 10).probability for s in range(11)]
        assert odds == sorted(odds)


@given(st.lists(st.tuples(st.integers(0, len(SPECS) - 1), st.floats(0, 1), st.floats(0, 1)), max_size=8))
def test_score_lies_in_0_to_100_and_one_more_error_never_helps(errors: list[tuple[int, float, float]]) -> None:
    made = [Judged(SPECS[i][1], p, s, Reading(0.0, 0.0), 0.0, None, True) for i, p, s in errors]
    scores = [score(made[:k]) for k in range(len(made) + 1)]
    assert scores[0] == 100.0
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] <= 100


CURL = CATALOGUE["bicep_curl"]
DRIFT = next(e for e in CURL.errors if e.code == "ELBOW_DRIFT")
SWING = next(e for e in CURL.errors if e.code == "TORSO_SWING")


def verdict(*values: tuple[ErrorSpec, float]) -> Verdict:
    return Verdict(tuple(judged(spec, value) for spec, value in values), ())


def test_the_costliest_error_is_spoken_of() -> None:
    assert next_cue(CueMemory(), CURL, verdict((SWING, 15.5), (DRIFT, 70.0))) == DRIFT.cue


def test_the_same_cue_waits_some_repetitions() -> None:
    memory = CueMemory()
    said = [next_cue(memory, CURL, verdict((DRIFT, 50.0))) for _ in range(2 * REPEAT_AFTER + 1)]
    assert [s is not None for s in said] == [k % REPEAT_AFTER == 0 for k in range(len(said))]


def test_it_does_not_wait_when_the_error_gets_worse() -> None:
    memory = CueMemory()
    assert next_cue(memory, CURL, verdict((DRIFT, 42.0))) == DRIFT.cue
    assert next_cue(memory, CURL, verdict((DRIFT, 64.0))) == DRIFT.cue


def test_an_error_that_is_gone_is_praised_once() -> None:
    memory = CueMemory()
    next_cue(memory, CURL, verdict((DRIFT, 50.0)))
    assert next_cue(memory, CURL, verdict((DRIFT, 5.0))) == f"{DRIFT.praise} Fixed."
    assert next_cue(memory, CURL, verdict((DRIFT, 5.0))) is None


def test_an_error_that_cannot_be_seen_any_more_is_not_praised() -> None:
    memory = CueMemory()
    next_cue(memory, CURL, verdict((DRIFT, 50.0)))
    assert next_cue(memory, CURL, Verdict((), ("ELBOW_DRIFT",))) is None


def test_memory_survives_a_dump() -> None:
    memory = CueMemory()
    next_cue(memory, CURL, verdict((DRIFT, 50.0), (SWING, 25.0)))
    assert CueMemory.load(memory.dump()) == memory
