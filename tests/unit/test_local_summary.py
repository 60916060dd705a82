"""What the terminal shows of a result."""

from pathlib import Path

from services.local import summary
from tests.report_factory import make_result

TIMINGS = {"analysis_s": 2.0, "frames_per_s": 100.0}


def test_a_short_workout_is_told_repetition_by_repetition() -> None:
    result = make_result(repetitions=7)
    result.timings |= TIMINGS
    text = summary.of_result(result, Path("out"))
    assert "7 repetitions" in text
    assert text.count(" s  bicep_curl ") == 7


def test_of_a_long_one_each_mistake_is_counted() -> None:
    result = make_result(repetitions=summary.LISTED + 4)
    result.timings |= TIMINGS
    text = summary.of_result(result, Path("out"))
    (person,) = result.people
    wrong = [a for a in person.assessments if a.errors]
    code = wrong[0].errors[0].code
    times = sum(e.code == code for a in wrong for e in a.errors)
    assert f"{code} {times}×" in text
    assert f"clean {len(person.assessments) - len(wrong)}×" in text
    assert len(text.splitlines()) < 20
