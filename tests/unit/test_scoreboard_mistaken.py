"""Planted mistakes against named errors: right, missed, false, and what is neither."""

import numpy as np
import pytest

from bench.scoreboard.evaluate import labelled_codes, parzen
from bench.scoreboard.metrics import FoundRep, TrueRep
from bench.scoreboard.mistaken import CodeCounts, brought_along, code_counts
from services.errors.adapters.catalogue import load_catalogue

CATALOGUE = load_catalogue()


def planted(code: str, *degrees: float) -> list[TrueRep]:
    return [TrueRep(3.0 * i, 3.0 * i + 2, 3.0 * i + 1, True, {code: d} if d else {}) for i, d in enumerate(degrees)]


def said(*errors: tuple[str, ...], hidden: tuple[str, ...] = ()) -> list[FoundRep]:
    return [FoundRep(3.0 * i, 3.0 * i + 2, errors=e, hidden=hidden) for i, e in enumerate(errors)]


def counts(true: list[TrueRep], found: list[FoundRep], code: str) -> CodeCounts:
    return code_counts(CATALOGUE, "squat", true, found, planted=code, code=code)


def test_all_named_and_nothing_else_is_perfect() -> None:
    found = said(("TOO_SHALLOW",), ("TOO_SHALLOW",))
    c = counts(planted("TOO_SHALLOW", 0.8, 0.9), found, "TOO_SHALLOW")
    assert (c.right["TOO_SHALLOW"], c.missed.total(), c.false.total()) == (2, 0, 0)
    assert c.macro_f1() == c.precision("TOO_SHALLOW") == c.recall("TOO_SHALLOW") == 1.0


def test_a_missed_one_a_false_one_and_one_that_is_hardly_there() -> None:
    true = planted("TOO_SHALLOW", 0.8, 0.2, 0.9, 0.9)
    c = counts(true, said((), ("TOO_SHALLOW",), ("TOO_SHALLOW", "KNEES_CAVE_IN")), "TOO_SHALLOW")
    assert dict(c.right) == {"TOO_SHALLOW": 1}
    assert dict(c.missed) == {"TOO_SHALLOW": 2}  # named nothing; not found at all
    assert dict(c.false) == {"KNEES_CAVE_IN": 1}  # at degree 0.2 it is neither right nor wrong to name it
    assert c.f1("TOO_SHALLOW") == pytest.approx(2 * 1 / (3 + 1))


def test_a_hidden_error_is_a_miss_that_is_told_apart() -> None:
    c = counts(planted("TOO_SHALLOW", 0.8), said((), hidden=("TOO_SHALLOW",)), "TOO_SHALLOW")
    assert (c.missed["TOO_SHALLOW"], c.hidden["TOO_SHALLOW"]) == (1, 1)


def test_an_error_of_the_set_counts_once() -> None:
    c = counts(planted("RANGE_LOST", 0.1, 0.4, 0.8, 0.9), said((), (), (), ("RANGE_LOST",)), "RANGE_LOST")
    assert (c.right["RANGE_LOST"], c.missed.total()) == (1, 0)
    clean = code_counts(CATALOGUE, "squat", planted("", 0, 0), said(("RANGE_LOST",), ("RANGE_LOST",)))
    assert dict(clean.false) == {"RANGE_LOST": 1}


def test_what_a_mistake_brings_along_is_no_false_blame() -> None:
    assert "INCOMPLETE_CONTRACTION" in brought_along("bicep_curl", "ASYMMETRY")
    assert "ECCENTRIC_TOO_FAST" in brought_along("bicep_curl", "UNCONTROLLED_LOWERING")
    assert "INCOMPLETE_EXTENSION" not in brought_along("bicep_curl", "INCOMPLETE_CONTRACTION")
    assert "TORSO_SWING" not in brought_along("bicep_curl", "ELBOW_DRIFT")
    assert brought_along("bicep_curl", "NO_SUCH_CODE") == frozenset()


def test_labels_of_every_repetition() -> None:
    true = [TrueRep(0, 2, mistakes={"TOO_SHALLOW": 1.0}), TrueRep(3, 5), TrueRep(6, 8, mistakes={"KNEES_CAVE_IN": 1.0})]
    found = [FoundRep(0, 2, errors=("TOO_SHALLOW", "JERKY")), FoundRep(3, 5, errors=("TOO_SHALLOW",))]
    c = labelled_codes(true, found, ("TOO_SHALLOW", "KNEES_CAVE_IN"))
    assert c.f1("TOO_SHALLOW") == pytest.approx(2 / 3)
    assert (c.missed["KNEES_CAVE_IN"], c.false["JERKY"]) == (1, 0)


def test_a_control_tells_two_heaps_apart_and_not_one() -> None:
    known = np.array([[0.0], [0.1], [5.0], [5.1]])
    bad = np.array([True, True, False, False])
    assert parzen(known, bad, np.array([0.05])) > 1
    assert parzen(known, bad, np.array([5.05])) < -1
    assert parzen(known, bad, np.array([2.55])) == pytest.approx(0.0, abs=1e-6)
