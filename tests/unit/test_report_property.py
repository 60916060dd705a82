"""Whatever an analysis may find, the documents and the page can be made of it."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.types import (
    LOCAL_STREAM,
    Assessment,
    ErrorFinding,
    NetworkTrace,
    Phases,
    Reason,
    Repetition,
    Status,
)
from services.errors.core.sets import summarise_sets
from services.local.report.build import build_report
from services.local.report.html import render_html
from services.local.report.overlay import Overlay
from services.local.report.schema import Report
from services.local.results import AnalysisResult, PersonResult, SourceResult, Thumbnail, Truth, TruthRepetition

unit = st.floats(0, 1)
seconds = st.floats(0, 30).map(lambda v: round(v, 3))
maybe = st.none() | st.floats(-1e4, 1e4)
texts = st.text(max_size=12)
exercises = st.sampled_from(["bicep_curl", "squat", "unknown", "not_in_the_files"])
codes = st.sampled_from(["ELBOW_DRIFT", "TOO_SHALLOW", "SOMETHING_NEW"])
sides = st.sampled_from(["left", "right", "both", None])
units = st.sampled_from(["deg", "s", "ratio", "torso lengths"])
values = st.floats(-1e4, 1e4)
findings = st.builds(ErrorFinding, codes, unit, unit, values, values, units, sides, seconds | st.just(math.nan))
measures = st.dictionaries(st.sampled_from(["sway_deg", "concentric_mean_velocity_norm"]), maybe | st.just(math.nan))
marked = st.builds(TruthRepetition, seconds, st.none() | seconds, seconds, st.sampled_from([None, "wrong"]))


@st.composite
def repetitions(draw: st.DrawFn) -> Repetition:
    onset, turn, offset = sorted((draw(seconds), draw(seconds), draw(seconds)))
    status = draw(st.sampled_from(list(Status)))
    open_end = draw(st.booleans()) and status is not Status.CONFIRMED
    return Repetition(
        id=draw(st.sampled_from("abcdef")), stream=LOCAL_STREAM, track_id=1, status=status, onset_s=onset,
        decided_s=offset + 0.4, turn_s=None if open_end else turn, offset_s=None if open_end else offset,
        set_index=draw(st.integers(0, 3)), index=draw(st.integers(0, 4)), exercise=draw(exercises),
        exercise_probability=draw(unit), confidence=draw(unit),
        reason=draw(st.none() | st.sampled_from(list(Reason))),
        phases=draw(st.none() | st.builds(Phases, seconds, seconds, seconds, seconds)),
    )  # fmt: skip


@st.composite
def assessments(draw: st.DrawFn, repetition: Repetition) -> Assessment:
    return Assessment(
        repetition, draw(st.floats(0, 100)), tuple(draw(st.lists(findings, max_size=3))),
        tuple(draw(st.lists(codes, max_size=2))), draw(st.none() | texts),
        {"left": draw(maybe), "right": draw(maybe)}, draw(st.none() | unit),
        draw(measures),
    )  # fmt: skip


@st.composite
def people(draw: st.DrawFn, track_id: int) -> PersonResult:
    n = draw(st.integers(1, 12))
    times = np.cumsum(np.array(draw(st.lists(st.floats(0.01, 2), min_size=n, max_size=n))))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    keypoints = rng.uniform(-50, 700, (n, 17, 2)).astype(np.float32)
    if draw(st.booleans()):
        keypoints[0] = np.nan
    scores = rng.uniform(0, 1, (n, 17)).astype(np.float32)
    traces = [
        NetworkTrace(
            LOCAL_STREAM, track_id, float(t), rng.dirichlet(np.ones(4)).astype(np.float32),
            rng.uniform(0, 1, 3).astype(np.float32), float(rng.uniform()), float(rng.uniform()),
        )
        for t in times
    ][: draw(st.integers(0, n))]  # fmt: skip
    events = draw(st.lists(repetitions(), max_size=6))
    last = {event.id: event for event in events}
    verdicts = [draw(assessments(e)) for e in last.values() if e.status is Status.CONFIRMED and draw(st.booleans())]
    person = PersonResult(
        track_id, float(times[0]), float(times[-1]), times, keypoints, scores, traces, events, verdicts
    )
    person.sets = summarise_sets(verdicts)
    return person


@st.composite
def results(draw: st.DrawFn) -> AnalysisResult:
    found = [draw(people(i)) for i in range(draw(st.integers(0, 2)))]
    image = np.zeros((draw(st.integers(1, 40)), draw(st.integers(1, 40)), 3), np.uint8)
    thumbnails = {i: Thumbnail(image, draw(seconds), (0.0, 5.0), 0.4) for i in draw(st.sets(st.sampled_from("abcdef")))}
    marks = st.lists(marked, max_size=3).map(tuple)
    truth = draw(st.none() | st.builds(Truth, marks, st.just(((0.0, 1.0),)), st.none() | st.integers(0, 2)))
    source = SourceResult(draw(texts), draw(st.none() | seconds), draw(st.floats(0, 240)), 640, 480)
    return AnalysisResult(source, [], found, thumbnails, truth, {"total_s": draw(unit), "frames": 12.0})


@settings(max_examples=40, deadline=None)
@given(results())
def test_any_result_becomes_a_report_and_a_page(result: AnalysisResult) -> None:
    report = build_report(result)
    text = report.model_dump_json()
    assert Report.model_validate_json(text) == report
    assert "NaN" not in text
    page = render_html(result)
    assert page.count('data-testid="person"') == len(result.people)
    assert "NaN" not in page
    assert ">nan" not in page


@settings(max_examples=40, deadline=None)
@given(results(), st.floats(-1, 40), st.sampled_from([(2, 2), (48, 64), (360, 202)]))
def test_any_result_can_be_drawn_at_any_time(result: AnalysisResult, time_s: float, size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    Overlay(result, size[1] / 640, size[0] / 480).draw(image, time_s)
    assert image.shape == (*size, 3)
