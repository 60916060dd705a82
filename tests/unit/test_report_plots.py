"""The pieces of the page: curves, axes, angles, words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.common.skeleton import INDEX
from services.common.types import ErrorFinding
from services.errors.adapters.catalogue import load_catalogue
from services.local.report.angles import joint_angle
from services.local.report.plots import LEFT_PX, TimeAxis, path, simplify
from services.local.report.words import (
    clock,
    error_cue,
    error_words,
    exercise_words,
    faulty_joints,
    percent,
    phases_in_order,
    quantity,
)


@given(arrays(np.float64, st.integers(2, 120), elements=st.floats(0, 100)), st.floats(0.05, 5))
def test_a_simplified_curve_stays_within_its_tolerance(y: np.ndarray, tolerance: float) -> None:
    x = np.arange(len(y), dtype=np.float64)
    keep = simplify(x, y, tolerance)
    assert keep[0]
    assert keep[-1]
    assert np.abs(np.interp(x, x[keep], y[keep]) - y).max() <= tolerance + 1e-9


def test_a_straight_line_needs_two_points() -> None:
    x = np.arange(500.0)
    assert simplify(x, 3 * x + 1).sum() == 2


def test_a_gap_breaks_the_curve() -> None:
    y = np.array([1.0, 1.0, np.nan, 2.0, 2.0])
    assert path(np.arange(5.0), y).count("M") == 2
    assert path(np.arange(3.0), np.full(3, np.nan)) == ""


@given(st.floats(0.1, 20000))
def test_axis_stays_inside_its_width_and_ticks_do_not_crowd(duration_s: float) -> None:
    axis = TimeAxis(duration_s)
    assert axis.x(0) == LEFT_PX
    assert axis.x(duration_s) == axis.width_px
    places = [axis.x(t) for t in axis.ticks()]
    assert places[0] == LEFT_PX
    assert min(np.diff(places), default=99) >= 50


def _bent_arm(elbow_deg: float) -> tuple[np.ndarray, np.ndarray]:
    keypoints = np.zeros((1, 17, 2), np.float32)
    keypoints[0, INDEX["left_shoulder"]] = (100, 100)
    keypoints[0, INDEX["left_elbow"]] = (100, 200)
    turn = np.radians(elbow_deg)
    keypoints[0, INDEX["left_wrist"]] = (100 + 80 * np.sin(turn), 200 - 80 * np.cos(turn))
    return keypoints, np.ones((1, 17), np.float32)


@pytest.mark.parametrize("angle", [10.0, 90.0, 179.0])
def test_elbow_angle_is_that_of_the_picture(angle: float) -> None:
    keypoints, scores = _bent_arm(angle)
    assert joint_angle(keypoints, scores, "elbow", "left")[0] == pytest.approx(angle, abs=0.01)


def test_angle_is_unknown_where_a_joint_is_hidden_or_two_coincide() -> None:
    keypoints, scores = _bent_arm(60)
    assert np.isnan(joint_angle(keypoints, scores, "elbow", "right")[0])
    scores[0, INDEX["left_wrist"]] = 0.1
    assert np.isnan(joint_angle(keypoints, scores, "elbow", "left")[0])


def test_words_come_from_the_exercise_files_and_unknown_codes_are_spelt_out() -> None:
    assert exercise_words("romanian_deadlift") == "Romanian deadlift"
    assert exercise_words("moon_walk") == "Moon walk"
    assert error_words("ELBOW_DRIFT", "bicep_curl") == "Elbow drifts"
    assert error_words("NEW_KIND", "bicep_curl") == "New kind"
    assert error_cue("ELBOW_DRIFT", "bicep_curl")
    assert error_cue("NEW_KIND", "bicep_curl") == ""


def test_every_error_of_every_exercise_has_a_place_to_look_at() -> None:
    codes = {e.code for exercise in load_catalogue() for e in exercise.errors if e.measure}
    blank = [c for c in sorted(codes) if not faulty_joints(ErrorFinding(c, 1, 1, 1, 1, "deg", None, 0))]
    assert blank == []


def test_faulty_joints_are_those_of_the_side() -> None:
    finding = ErrorFinding("ELBOW_DRIFT", 0.5, 0.9, 47, 35, "deg", "left", 1.0)
    assert faulty_joints(finding) == (INDEX["left_elbow"],)
    both = ErrorFinding("ELBOW_DRIFT", 0.5, 0.9, 47, 35, "deg", None, 1.0)
    assert set(faulty_joints(both)) == {INDEX["left_elbow"], INDEX["right_elbow"]}


def test_a_squat_is_lowered_first() -> None:
    assert [verb for _, verb in phases_in_order("squat")] == ["lower", "hold", "lift"]
    assert [verb for _, verb in phases_in_order("bicep_curl")] == ["lift", "hold", "lower"]


def test_numbers_in_words() -> None:
    assert (clock(75.26), clock(3671.0), clock(0.0)) == ("1:15.3", "1:01:11.0", "0:00.0")
    assert (quantity(47.2, "deg"), quantity(0.36, "s"), quantity(None, "deg")) == ("47°", "0.36 s", "–")
    assert quantity(0.321, "torso lengths") == "0.32 torso lengths"
    assert (percent(0.123), percent(-0.04, signed=True), percent(0.0, signed=True)) == ("12 %", "−4 %", "0 %")
