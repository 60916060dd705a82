"""The scoreboard's numbers, on cases reckoned by hand, and against the scorers that lie beside the data."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.score_sequences import DATA, reference
from bench.scoreboard.metrics import (
    FoundRep,
    TrueRep,
    auc,
    covered_s,
    overlap_matches,
    relative_matches,
    sequence_counts,
    summarise,
    time_matches,
)

needs_scorers = pytest.mark.skipif(
    not (DATA.parent / "reference" / "score_reps.py").is_file(),
    reason="the reference scorers are absent (set FORMCHECK_DATA)",
)


def true(*spans: tuple[float, float]) -> list[TrueRep]:
    return [TrueRep(a, b, 0.5 * (a + b)) for a, b in spans]


def found(*spans: tuple[float, float], late_s: float = 0.3) -> list[FoundRep]:
    return [FoundRep(a, b, 0.5 * (a + b), b + late_s) for a, b in spans]


def test_a_perfect_prediction_scores_one_everywhere() -> None:
    spans = [(1.0, 3.0), (3.5, 6.0), (7.0, 9.0)]
    s = summarise([sequence_counts(true(*spans), found(*spans), duration_s=10.0)])
    for name in ("exact", "obo", "rep_f1", "rep_f1_mean", "bound_f1@0.3", "bound_f1@0.5", "bound_f1_relative"):
        assert s[name] == 1.0, name
    assert s["nmae"] == s["turn_error_s"] == s["ghosts_per_min"] == 0.0
    assert s["latency_p50_s"] == pytest.approx(0.3)
    assert s["latency_p95_s"] == pytest.approx(0.3)


def test_two_sequences_by_hand() -> None:
    # a: the first of two found 0.2 s and 0.4 s off (IoU 1.8 / 2.4), the second missed, a ghost at 7-8 s; b: exact
    a = sequence_counts(true((1, 3), (4, 6)), found((1.2, 3.4), (7, 8)), duration_s=10.0)
    b = sequence_counts(true((0, 2)), found((0, 2)), duration_s=2.0)
    s = summarise([a, b])
    assert s["exact"] == 1.0
    assert s["rep_f1"] == pytest.approx(2 * 2 / 6)
    assert s["rep_f1_mean"] == pytest.approx((0.5 + 1.0) / 2)
    assert s["bound_f1@0.3"] == pytest.approx(3 / 6)
    assert s["bound_f1@0.5"] == pytest.approx(4 / 6)
    assert s["bound_f1_relative"] == pytest.approx((2 + 2) / 6)  # 0.4 s = 0.2 × 2 s is still within
    assert s["ghosts_per_min"] == pytest.approx(1 / (6.0 / 60.0))
    assert s["turn_error_s"] == pytest.approx((0.3 + 0.0) / 2)
    assert sorted(a["latency_s"]) == pytest.approx([3.4 + 0.3 - 3.0])


def test_a_ghost_lowers_precision_only() -> None:
    spans = [(1.0, 3.0), (4.0, 6.0)]
    clean = sequence_counts(true(*spans), found(*spans), duration_s=10.0)
    ghost = sequence_counts(true(*spans), found(*spans, (8.0, 9.0)), duration_s=10.0)
    assert (ghost["hits"], ghost["true"]) == (clean["hits"], clean["true"])  # recall stays
    assert ghost["hits"] / ghost["found"] == pytest.approx(2 / 3)
    assert summarise([ghost])["rep_f1"] == pytest.approx(4 / 5)
    assert summarise([ghost])["ghosts_per_min"] == pytest.approx(1 / (6.0 / 60.0))
    assert summarise([ghost])["turn_error_s"] == summarise([clean])["turn_error_s"]


def test_a_sequence_cut_at_the_far_ends_has_the_wrong_polarity() -> None:
    spans = [(2.0 * k, 2.0 * k + 2) for k in range(5)]
    shifted = [(a + 1.0, b + 1.0) for a, b in spans]
    off = sequence_counts(true(*spans), found(*shifted), duration_s=12.0)
    assert (off["polarity_wrong"], sequence_counts(true(*spans), found(*spans), duration_s=12.0)["polarity_wrong"]) == (
        1,
        0,
    )
    assert sequence_counts(true(*spans), [], duration_s=12.0)["polarity_wrong"] == 0  # nothing found is another error
    assert summarise([off])["polarity_wrong"] == 1.0


def test_ignored_spans_count_for_nothing() -> None:
    row = sequence_counts(true((1, 3)), found((1, 3), (5, 7)), ignore=[(5.5, 6.5)], duration_s=10.0)
    assert row["found_count"] == 1
    assert row["ghosts"] == 0
    assert row["free_min"] == pytest.approx((10 - 2 - 1) / 60)


def test_one_long_repetition_over_two_matches_one() -> None:
    assert len(overlap_matches([(0, 2), (2, 4)], [(0, 4)])) == 1  # IoU is exactly 0.5 with each
    assert overlap_matches([(0, 10)], [(6, 16)]) == []
    assert relative_matches([(0, 10)], [(2, 12)]) == 2
    assert time_matches([1.0, 1.25], [1.3], 0.3) == 1
    assert time_matches([1.0], [1.3], 0.3) == 1  # 0.3 s apart is within 0.3 s
    assert covered_s([(0, 2), (1, 3), (9, 12)], 10.0) == pytest.approx(4.0)


def test_where_only_the_count_is_known_the_segments_do_not_enter() -> None:
    counted = sequence_counts(true((0, 1)), found((0, 1), (2, 3)), duration_s=9.0, true_count=2, bounds_ok=False)
    whole = sequence_counts(true((0, 2)), found((0, 2)), duration_s=9.0)
    s = summarise([counted, whole])
    assert s["exact"] == 1.0
    assert s["rep_f1"] == s["rep_f1_mean"] == 1.0
    assert math.isnan(summarise([counted])["ghosts_per_min"])


def test_nothing_to_find_and_nothing_found_is_right() -> None:
    hold = sequence_counts([], [], duration_s=60.0, true_count=0)
    assert summarise([hold])["rep_f1_mean"] == 1.0
    assert summarise([hold])["ghosts_per_min"] == 0.0
    assert math.isnan(summarise([hold])["nmae"])  # no share of nothing
    ghost = sequence_counts([], found((1, 2)), duration_s=60.0, true_count=0)
    assert summarise([ghost])["ghosts_per_min"] == 1.0


def test_verdicts_on_form_by_hand() -> None:
    truth = [TrueRep(0, 2, 1, True), TrueRep(3, 5, 4, False), TrueRep(6, 8, 7, True), TrueRep(9, 11, 10, None)]
    said = [
        FoundRep(0, 2, errors=("TOO_SHALLOW",)), FoundRep(3, 5, errors=("JERKY",)), FoundRep(6, 8, errors=()),
        FoundRep(9, 11, errors=("JERKY",)),
    ]  # fmt: skip
    s = summarise([sequence_counts(truth, said, duration_s=12.0)])
    assert (s["wrong_precision"], s["wrong_recall"], s["wrong_f1"]) == (0.5, 0.5, 0.5)
    assert s["wrong_macro_f1"] == pytest.approx(0.5 * (0.5 + 0.0))


def test_area_under_the_curve_by_hand() -> None:
    assert auc([True, True, True, False, False], [0.9, 0.6, 0.2, 0.6, 0.1]) == pytest.approx(4.5 / 6)
    assert math.isnan(auc([True, True], [0.1, 0.2]))


SPANS = st.lists(
    st.tuples(st.floats(0, 40), st.floats(0.2, 6)).map(lambda p: (round(p[0], 2), round(p[0] + p[1], 2))), max_size=7
)


@needs_scorers
@pytest.mark.data
@settings(max_examples=60, deadline=None)
@given(cases=st.lists(st.tuples(SPANS, SPANS, SPANS), min_size=1, max_size=4))
def test_the_same_numbers_as_the_scorer_of_clips(cases: list[Any]) -> None:
    cases = [c for c in cases if c[0]]
    if not cases:
        return
    labels, predictions, rows = {}, {}, []
    for i, (t, p, ignore) in enumerate(cases):
        labels[f"{i}"] = {"reps": [{"start": a, "peak": 0.5 * (a + b), "end": b} for a, b in t], "ignore": ignore[:1]}
        reps = [{"onset_s": a, "turn_s": 0.5 * (a + b), "offset_s": b} for a, b in p]
        predictions[f"{i}"] = {"duration_s": 50.0, "reps": reps}
        rows.append(sequence_counts(true(*t), found(*p), ignore=ignore[:1], duration_s=50.0))
    theirs = reference("score_reps").score(predictions, labels, n_boot=0)["overall"]
    ours = summarise(rows)
    names = {
        "exact": "exact", "obo": "obo", "nmae": "nmae", "bF1@0.3": "bound_f1@0.3", "bF1@0.5": "bound_f1@0.5",
        "repF1": "rep_f1", "turn_mae": "turn_error_s", "ghost/min": "ghosts_per_min",
    }  # fmt: skip
    for a, b in names.items():
        assert ours[b] == pytest.approx(theirs[a], abs=1e-6, nan_ok=True), a


@needs_scorers
@pytest.mark.data
@settings(max_examples=60, deadline=None)
@given(cases=st.lists(st.tuples(SPANS, SPANS, st.booleans()), min_size=1, max_size=4))
def test_the_same_numbers_as_the_scorer_of_sequences(cases: list[Any]) -> None:
    annotated, predictions, rows = {}, {}, []
    for i, (t, p, ok) in enumerate(cases):
        annotated[f"{i}"] = {"count": len(t), "reps": [list(s) for s in t], "bounds_ok": ok}
        predictions[f"{i}"] = [list(s) for s in p]
        rows.append(sequence_counts(true(*t), found(*p), duration_s=60.0, true_count=len(t), bounds_ok=ok))
    theirs = reference("score_sequences").score_reps(predictions, annotated, boot=0)["overall"]
    ours = summarise(rows)
    names = {"obo": "obo", "exact": "exact", "nmae": "nmae", "rep_f1_seq": "rep_f1_mean",
             "bnd_f1_seq": "bound_f1_relative_mean"}  # fmt: skip
    for a, b in names.items():
        value = theirs[a]["value"]
        assert ours[b] == pytest.approx(np.nan if value is None else value, abs=6e-4, nan_ok=True), a
