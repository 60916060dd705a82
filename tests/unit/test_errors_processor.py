"""The assessment stage as a stream processor: its laws, its memory, and what it says of drawn curls."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import ConfigError, InputError
from services.common.processor import Mark, MarkKind
from services.common.skeleton import mirror
from services.common.types import LOCAL_STREAM, Assessment, PoseWindow, Repetition, Status
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.processor import FORGET_S, AssessProcessor
from services.errors.core.sets import summarise_sets
from tests.unit.errors_scene import curl, hide, repetition, side_curl

CATALOGUE = load_catalogue()
GOOD = {"out_s": 1.2, "back_s": 1.6}
DRIFTED = {**GOOD, "drift_deg": 55.0}
LIMP = {**GOOD, "closed_deg": 100.0}
QUICK = {"out_s": 0.9, "back_s": 0.4}
SLOW = {"out_s": 3.0, "back_s": 3.0}
KINDS = (GOOD, DRIFTED, LIMP, QUICK, SLOW)


def said(assessments: list[Assessment]) -> list[tuple[object, ...]]:
    return [
        (a.repetition.id, a.score, a.errors, a.not_observable, a.cue, a.range_of_motion_deg, a.asymmetry, a.measures)
        for a in assessments
    ]


def codes(assessment: Assessment) -> set[str]:
    return {e.code for e in assessment.errors}


def assess(options: dict[str, float], **about: object) -> Assessment:
    return AssessProcessor(CATALOGUE).on_item(curl(options, **about))[0]


def stream(kinds: list[tuple[int, int, int]]) -> list[Repetition]:
    """(kind, track, set) of successive repetitions → events in time order."""
    out, clock = [], 0.0
    for count, (kind, track, set_index) in enumerate(kinds):
        window, onset, turn, offset = side_curl(**KINDS[kind], start_s=clock)
        out.append(repetition(window, onset, turn, offset, track_id=track, set_index=set_index, index=count + 1))
        clock = offset + 0.3
    return out


EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 2), st.integers(1, 2)), min_size=2, max_size=7)


@settings(max_examples=12, deadline=None)
@given(EVENTS, st.data())
def test_snapshot_and_restore_is_never_stopped(kinds: list[tuple[int, int, int]], data: st.DataObject) -> None:
    events = stream(kinds)
    cut = data.draw(st.integers(0, len(events)))
    whole = AssessProcessor(CATALOGUE)
    expected = said([a for e in events for a in whole.on_item(e)])
    first = AssessProcessor(CATALOGUE)
    got = [a for e in events[:cut] for a in first.on_item(e)]
    second = AssessProcessor(CATALOGUE)
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    got += [a for e in events[cut:] for a in second.on_item(e)]
    assert said(got) == expected
    assert second.snapshot() == whole.snapshot()
    assert len(whole.snapshot()) < 64 * 1024


@settings(max_examples=8, deadline=None)
@given(EVENTS, st.integers(1, 6))
def test_what_comes_later_changes_nothing_before(kinds: list[tuple[int, int, int]], cut: int) -> None:
    events = stream(kinds)
    whole, part = AssessProcessor(CATALOGUE), AssessProcessor(CATALOGUE)
    expected = said([a for e in events for a in whole.on_item(e)])
    assert said([a for e in events[:cut] for a in part.on_item(e)]) == expected[:cut]


@settings(max_examples=8, deadline=None)
@given(EVENTS)
def test_tracks_do_not_hear_each_other(kinds: list[tuple[int, int, int]]) -> None:
    events = stream(kinds)
    together = AssessProcessor(CATALOGUE)
    mixed = said([a for e in events for a in together.on_item(e)])
    alone: dict[str, tuple[object, ...]] = {}
    for track in (1, 2):
        processor = AssessProcessor(CATALOGUE)
        for event in events:
            if event.track_id == track:
                alone |= {row[0]: row for row in said(list(processor.on_item(event)))}  # type: ignore[misc]
    assert [alone[str(row[0])] for row in mixed] == mixed


@pytest.mark.parametrize("options", [GOOD, DRIFTED, LIMP, {**GOOD, "swing_deg": 30.0}])
def test_mirrored_poses_give_mirrored_assessments(options: dict[str, float]) -> None:
    event = curl(options)
    assert event.window is not None
    keypoints, scores = mirror(event.window.keypoints, event.window.scores, 640)
    other = replace(event, window=PoseWindow(event.window.times_s, keypoints, scores))
    a, b = (AssessProcessor(CATALOGUE).on_item(e)[0] for e in (event, other))
    swap = {"left": "right", "right": "left"}
    assert b.score == pytest.approx(a.score, abs=0.1)
    assert b.not_observable == a.not_observable
    assert [(e.code, swap.get(e.side or "", e.side)) for e in b.errors] == [(e.code, e.side) for e in a.errors]
    for side, value in a.range_of_motion_deg.items():
        assert b.range_of_motion_deg[swap[side]] == pytest.approx(value, abs=0.05)
    assert set(b.measures) == set(a.measures)
    for name, value in a.measures.items():
        twin = name.replace("_left_", "_L_").replace("_right_", "_left_").replace("_L_", "_right_")
        assert b.measures[twin] == (None if value is None else pytest.approx(value, abs=0.05)), name


@settings(max_examples=10, deadline=None)
@given(st.floats(0.3, 4.0), st.floats(-300, 300), st.floats(-300, 300), st.floats(0, 1000))
def test_size_place_and_time_do_not_matter(scale: float, dx: float, dy: float, later: float) -> None:
    event = curl(LIMP)
    window = event.window
    assert window is not None
    assert event.turn_s is not None
    assert event.offset_s is not None
    moved = PoseWindow(
        window.times_s + later, (window.keypoints * scale + np.array([dx, dy])).astype(np.float32), window.scores
    )
    other = repetition(moved, event.onset_s + later, event.turn_s + later, event.offset_s + later)
    a, b = (AssessProcessor(CATALOGUE).on_item(e)[0] for e in (event, other))
    assert codes(a) == codes(b)
    assert b.score == pytest.approx(a.score, abs=0.5)


def test_a_clean_curl_is_clean() -> None:
    assessment = assess(GOOD)
    assert assessment.errors == ()
    assert assessment.score == 100.0
    assert assessment.cue is None
    assert set(assessment.not_observable) == {"OUT_OF_SYNC", "ASYMMETRY", "WRIST_CURL"}


@pytest.mark.parametrize(("options", "code"), [
    (DRIFTED, "ELBOW_DRIFT"), (LIMP, "INCOMPLETE_CONTRACTION"),
    ({**GOOD, "straight_deg": 110.0}, "INCOMPLETE_EXTENSION"),
    ({**GOOD, "swing_deg": 28.0}, "TORSO_SWING"), (QUICK, "UNCONTROLLED_LOWERING"),
])  # fmt: skip
def test_a_drawn_mistake_is_named_with_its_numbers(options: dict[str, float], code: str) -> None:
    assessment = assess(options)
    assert code in codes(assessment)
    finding = next(e for e in assessment.errors if e.code == code)
    spec = next(e for e in CATALOGUE["bicep_curl"].errors if e.code == code)
    assert finding.probability >= spec.precision_floor
    assert 0 < finding.severity <= 1
    assert finding.limit == spec.limits[1]
    assert (finding.value > finding.limit) == (spec.direction == "above")
    onset, offset = assessment.repetition.onset_s, assessment.repetition.offset_s
    assert offset is not None
    assert onset - 0.4 <= finding.at_s <= offset + 0.1
    assert assessment.score < 90
    assert (
        assessment.cue
        == max(
            (e for e in CATALOGUE["bicep_curl"].errors if e.code in codes(assessment)), key=lambda e: e.code == code
        ).cue
        or len(codes(assessment)) > 1
    )


@pytest.mark.parametrize(("name", "values"), [
    ("drift_deg", range(5, 90, 5)), ("swing_deg", range(2, 50, 4)), ("closed_deg", range(40, 150, 10)),
    ("straight_deg", range(172, 100, -8)),
])  # fmt: skip
def test_the_score_falls_with_the_degree(name: str, values: range) -> None:
    scores = [assess({**GOOD, name: float(v)}).score for v in values]
    assert scores[0] == 100.0
    assert scores[-1] < 80
    assert all(b <= a + 1.0 for a, b in pairwise(scores)), scores


def test_strictness_decides_borderline_cases() -> None:
    event = curl({**GOOD, "drift_deg": 32.0})
    found = [codes(AssessProcessor(CATALOGUE, s).on_item(event)[0]) for s in (0.0, 0.5, 1.0)]
    assert [("ELBOW_DRIFT" in f) for f in found] == [False, False, True]


@pytest.mark.parametrize("strictness", [-0.1, 1.1, float("nan")])
def test_impossible_strictness_is_refused(strictness: float) -> None:
    with pytest.raises(ConfigError, match="strictness"):
        AssessProcessor(CATALOGUE, strictness)


def test_hidden_joints_are_not_observable_and_not_blamed() -> None:
    event = curl({**LIMP, "drift_deg": 55.0})
    assert event.window is not None
    dark = replace(event, window=hide(event.window, "left_wrist", "right_wrist", share=0.7))
    assessment = AssessProcessor(CATALOGUE).on_item(dark)[0]
    assert {"INCOMPLETE_CONTRACTION", "INCOMPLETE_EXTENSION"} <= set(assessment.not_observable)
    assert codes(assessment) == {"ELBOW_DRIFT"}


def test_the_unknown_is_measured_and_never_blamed() -> None:
    assessment = assess({**DRIFTED, "swing_deg": 40.0, "back_s": 0.3}, exercise="unknown")
    assert assessment.errors == ()
    assert assessment.score == 100.0
    assert assessment.measures["lowering_travel_s"] is not None
    assert assessment.measures["torso_swing_deg"] is not None


@pytest.mark.parametrize("status", [Status.PROVISIONAL, Status.RETRACTED, Status.ATTEMPT])
def test_only_confirmed_repetitions_are_assessed(status: Status) -> None:
    processor = AssessProcessor(CATALOGUE)
    before = processor.snapshot()
    assert processor.on_item(curl(DRIFTED, status=status)) == []
    assert processor.snapshot() == before


def test_a_fixed_error_is_praised_and_a_new_set_forgets() -> None:
    processor = AssessProcessor(CATALOGUE)
    events = stream([(1, 1, 1), (0, 1, 1), (0, 1, 1), (1, 1, 2), (0, 1, 3)])
    cues = [processor.on_item(e)[0].cue for e in events]
    drift = next(e for e in CATALOGUE["bicep_curl"].errors if e.code == "ELBOW_DRIFT")
    assert cues == [drift.cue, f"{drift.praise} Fixed.", None, drift.cue, None]


def test_range_lost_is_against_the_sets_own_first_repetitions() -> None:
    processor = AssessProcessor(CATALOGUE)
    out, clock = [], 0.0
    for closed in (45.0, 45.0, 45.0, 50.0, 95.0):
        window, onset, turn, offset = side_curl(**GOOD, closed_deg=closed, start_s=clock)
        out.append(processor.on_item(repetition(window, onset, turn, offset))[0])
        clock = offset + 0.3
    assert ["RANGE_LOST" in codes(a) for a in out] == [False, False, False, False, True]
    assert out[3].measures["range_lost_ratio"] == pytest.approx(0.04, abs=0.03)
    assert out[4].measures["range_lost_ratio"] == pytest.approx(0.4, abs=0.05)
    assert out[0].measures["range_lost_ratio"] is None
    summary = summarise_sets(out)
    assert len(summary) == 1
    assert summary[0].repetitions == 5
    assert summary[0].range_loss == pytest.approx(0.4, abs=0.06)
    assert summary[0].tempo_cv == pytest.approx(0.0, abs=0.02)


def test_marks_forget_tracks_but_say_nothing() -> None:
    processor = AssessProcessor(CATALOGUE)
    empty = processor.snapshot()
    event = curl(DRIFTED)
    processor.on_item(event)
    full = processor.snapshot()
    assert processor.on_mark(Mark(LOCAL_STREAM, MarkKind.HEARTBEAT, 30.0)) == []
    assert processor.snapshot() == full
    assert processor.on_mark(Mark(LOCAL_STREAM, MarkKind.HEARTBEAT, FORGET_S + 30.0)) == []
    assert processor.snapshot() == empty
    processor.on_item(event)
    assert processor.on_mark(Mark(LOCAL_STREAM, MarkKind.EOF, 3.0)) == []
    assert processor.snapshot() == empty


@pytest.mark.parametrize("state", [b"", b"nonsense", b"[]", b'{"version":99,"tracks":{}}', b'{"version":1}', b"\xff"])
def test_a_foreign_state_is_refused_in_one_sentence(state: bytes) -> None:
    with pytest.raises(InputError, match="start the stream afresh"):
        AssessProcessor(CATALOGUE).restore(state)


def test_a_whole_sequence_is_one_repetition() -> None:
    window, _, turn, _ = side_curl(**LIMP)
    assessment = AssessProcessor(CATALOGUE).assess_window("bicep", window)
    assert assessment.repetition.exercise == "bicep_curl"
    assert assessment.repetition.turn_s == pytest.approx(turn, abs=0.15)
    assert assessment.repetition.onset_s == window.times_s[0]
    assert assessment.repetition.offset_s == window.times_s[-1]
    assert codes(assessment) == {"INCOMPLETE_CONTRACTION"}
