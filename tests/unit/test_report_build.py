"""From results to documents: exactly the published keys, nothing invented, no NaN."""

import dataclasses
import json
import math

import pytest

from services.common.types import LOCAL_STREAM, Assessment, Reason, Repetition, Status
from services.local.report import schema
from services.local.report.build import build_assess, build_report, build_segment, number
from services.local.results import AnalysisResult
from tests.report_factory import make_result

REPETITION_KEYS = {
    "id", "index", "set", "exercise", "exercise_probability", "status", "reason", "onset_s", "turn_s", "offset_s",
    "phases", "range_of_motion_deg", "asymmetry", "measures", "assessment",
}  # fmt: skip
ERROR_KEYS = {"code", "severity", "probability", "value", "limit", "unit", "side", "at_s"}


@pytest.fixture(scope="module")
def result() -> AnalysisResult:
    return make_result(people=2, repetitions=6, thumbnails=False)


def _repetition(rid: str, status: Status, onset_s: float, offset_s: float | None, **more: object) -> Repetition:
    return Repetition(
        id=rid, stream=LOCAL_STREAM, track_id=1, status=status, onset_s=onset_s, decided_s=(offset_s or onset_s) + 0.4,
        offset_s=offset_s, **more,
    )  # type: ignore[arg-type]  # fmt: skip


def test_keys_are_exactly_those_published(result: AnalysisResult) -> None:
    report = json.loads(build_report(result).model_dump_json())
    assert set(report) == {"schema", "source", "warnings", "people", "timings"}
    assert report["schema"] == "formcheck.report/1"
    assert set(report["source"]) == {"uri", "duration_s", "fps", "width_px", "height_px"}
    assert set(report["warnings"][0]) == {"code", "text"}
    person = report["people"][0]
    assert set(person) == {"track_id", "first_s", "last_s", "repetitions", "sets"}
    for repetition in person["repetitions"]:
        assert set(repetition) == REPETITION_KEYS
        assert set(repetition["phases"]) == {"concentric_s", "hold_s", "eccentric_s", "rest_s"}
        assert set(repetition["range_of_motion_deg"]) == {"left", "right"}
    verdicts = [r["assessment"] for r in person["repetitions"] if r["assessment"]]
    assert all(set(v) == {"score", "errors", "not_observable", "cue"} for v in verdicts)
    errors = [e for v in verdicts for e in v["errors"]]
    assert errors
    assert all(set(e) == ERROR_KEYS for e in errors)


def test_only_final_repetitions_are_reported_in_time_order(result: AnalysisResult) -> None:
    for person in build_report(result).people:
        statuses = [r.status for r in person.repetitions]
        assert statuses.count("confirmed") == 6
        assert statuses.count("attempt") == 1
        assert [r.onset_s for r in person.repetitions] == sorted(r.onset_s for r in person.repetitions)


def test_an_attempt_has_a_reason_no_index_and_no_assessment(result: AnalysisResult) -> None:
    attempt = next(r for r in build_report(result).people[0].repetitions if r.status == "attempt")
    assert (attempt.reason, attempt.index, attempt.assessment) == ("PARTIAL_RANGE", None, None)
    assert attempt.measures == {}


def test_the_last_word_on_an_id_counts() -> None:
    events = [
        _repetition("a", Status.PROVISIONAL, 1.0, None),
        _repetition("b", Status.PROVISIONAL, 3.0, None),
        _repetition("b", Status.RETRACTED, 3.0, 3.2),
        _repetition("a", Status.CONFIRMED, 1.1, 2.5, index=1, set_index=1),
        _repetition("c", Status.PROVISIONAL, 5.0, None),
    ]
    document = build_segment(30.0, events)
    assert [(r.id, r.onset_s) for r in document.repetitions] == [("a", 1.1)]


def test_not_a_number_becomes_null(result: AnalysisResult) -> None:
    person = result.people[0]
    first = person.assessments[0]
    broken = dataclasses.replace(
        first, measures={"sway_deg": float("nan"), "good_deg": 1.26}, asymmetry=float("inf"),
        range_of_motion_deg={"left": float("nan"), "right": None},
    )  # fmt: skip
    changed = dataclasses.replace(person, assessments=[broken])
    report = build_report(dataclasses.replace(result, people=[changed]))
    repetition = next(r for r in report.people[0].repetitions if r.id == first.repetition.id)
    assert repetition.measures == {"sway_deg": None, "good_deg": 1.3}
    assert (repetition.asymmetry, repetition.range_of_motion_deg.left) == (None, None)
    assert "NaN" not in report.model_dump_json()


def test_number_rounds_and_never_says_minus_zero() -> None:
    assert number(1.23456, 2) == 1.23
    assert math.copysign(1, number(-0.0001, 2) or 0.0) == 1
    assert number(None, 2) is None


def test_frames_of_a_sequence_are_its_times_by_the_rate() -> None:
    repetition = _repetition("a", Status.CONFIRMED, 1.0, 2.5, turn_s=1.6, index=1, set_index=1)
    found = build_segment(25.0, [repetition]).repetitions[0]
    assert (found.onset_frame, found.turn_frame, found.offset_frame) == (25, 40, 62)
    assert "whole_sequence" not in json.loads(build_segment(25.0, [repetition]).model_dump_json())["repetitions"][0]


def test_a_whole_sequence_is_marked() -> None:
    repetition = _repetition("a", Status.CONFIRMED, 0.0, 2.0, index=1, set_index=1)
    verdict = Assessment(repetition, 80.0, (), (), None, {"left": 100.0, "right": None}, None)
    document = json.loads(build_assess(25.0, [repetition], [verdict], whole_sequence=True).model_dump_json())
    assert document["schema"] == "formcheck.assess/1"
    assert document["repetitions"][0]["whole_sequence"] is True
    assert document["repetitions"][0]["assessment"]["score"] == 80.0


def test_an_attempt_keeps_its_nulls() -> None:
    attempt = _repetition("a", Status.ATTEMPT, 4.0, None, reason=Reason.INTERRUPTED)
    found = build_segment(30.0, [attempt]).repetitions[0]
    assert (found.turn_frame, found.offset_frame, found.offset_s) == (None, None, None)
    assert found.phases == schema.PhaseDurations(concentric_s=None, hold_s=None, eccentric_s=None, rest_s=None)


def test_the_report_reads_back(result: AnalysisResult) -> None:
    report = build_report(result)
    assert schema.Report.model_validate_json(report.model_dump_json()) == report
