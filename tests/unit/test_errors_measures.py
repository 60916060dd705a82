"""Measures read what was drawn; views are told; nothing is measured that cannot be seen."""

from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import ShapeError
from services.common.types import PoseWindow
from services.errors.core.body import Bounds, percentile, prepare
from services.errors.core.curves import Movement, Rep
from services.errors.core.measures import REGISTRY, flatten, look_at, measure_all
from services.errors.core.registry import UNITS
from services.errors.core.view import ViewKind
from tests.unit.errors_scene import NEAR, hide, side_curl

CURL = Movement("elbow", "sagittal", turn_high=False)


def looked(options: dict[str, float] | None = None, window: PoseWindow | None = None) -> Rep:
    drawn, onset, turn, offset = side_curl(**(options or {}))
    return look_at(window or drawn, Bounds(onset, turn, offset), CURL)


def near(rep: Rep, name: str) -> float:
    readings = measure_all(rep, [name])[name]
    return readings[NEAR if NEAR in readings else "both"].value


def test_side_view_is_told_with_its_facing() -> None:
    view = looked().view
    assert view.kind == ViewKind.SIDE
    assert view.facing == 1
    assert view.azimuth_deg > 70
    assert view.confidence > 0.7


@pytest.mark.parametrize(("name", "drawn", "tolerance"), [
    ("elbow_min_deg", 45.0, 4.0), ("elbow_max_deg", 170.0, 3.0), ("upper_arm_swing_deg", 5.0, 2.0),
    ("torso_swing_deg", 2.0, 1.0), ("duration_s", 2.6, 0.01), ("concentric_s", 1.2, 0.01), ("eccentric_s", 1.4, 0.01),
])  # fmt: skip
def test_a_clean_curl_reads_as_drawn(name: str, drawn: float, tolerance: float) -> None:
    assert near(looked(), name) == pytest.approx(drawn, abs=tolerance)


def test_travel_times_are_half_of_a_minimum_jerk_way() -> None:
    rep = looked()
    assert near(rep, "lifting_travel_s") == pytest.approx(0.506 * 1.2, abs=0.08)
    assert near(rep, "lowering_travel_s") == pytest.approx(0.506 * 1.4, abs=0.08)


@pytest.mark.parametrize("degrees", [10.0, 25.0, 45.0, 60.0])
def test_upper_arm_swing_is_the_drift(degrees: float) -> None:
    assert near(looked({"drift_deg": degrees}), "upper_arm_swing_deg") == pytest.approx(degrees, rel=0.12, abs=2)


@pytest.mark.parametrize("degrees", [10.0, 20.0, 30.0])
def test_torso_swing_is_the_lean(degrees: float) -> None:
    rep = looked({"swing_deg": degrees})
    assert near(rep, "torso_swing_deg") == pytest.approx(degrees, rel=0.15)
    assert near(rep, "lean_back_deg") == pytest.approx(degrees, rel=0.15)


def test_range_of_motion_of_both_sides() -> None:
    ranges = looked().ranges
    assert ranges["left"] == pytest.approx(125.0, abs=5)
    assert ranges["right"] == pytest.approx(ranges["left"], abs=0.5)


def test_the_moment_of_the_worst_frame_is_the_turn() -> None:
    reading = measure_all(looked(), ["elbow_min_deg"])["elbow_min_deg"][NEAR]
    assert reading.at_s == pytest.approx(1.6, abs=0.12)


def test_a_wrong_turn_is_moved_to_the_extreme() -> None:
    window, onset, turn, offset = side_curl()
    rep = look_at(window, Bounds(onset, turn + 0.3, offset), CURL)
    assert abs(rep.turn_s - turn) < 0.2


def test_short_gaps_are_filled_long_ones_are_not() -> None:
    window, onset, turn, offset = side_curl()
    scores = window.scores.copy()
    scores[20:26, 10] = 0.0  # 0.2 s
    scores[40:60, 8] = 0.0  # 0.67 s
    body = prepare(PoseWindow(window.times_s, window.keypoints, scores), Bounds(onset, turn, offset))
    assert np.isfinite(body.joint("right_wrist")).all()
    hidden = ~np.isfinite(body.joint("right_elbow")[:, 0])
    assert 15 <= hidden.sum() <= 22


def test_single_wild_frames_change_nothing() -> None:
    window, *_ = side_curl()
    keypoints = window.keypoints.copy()
    keypoints[10::17, 10] += 150.0
    wild = looked(window=PoseWindow(window.times_s, keypoints, window.scores))
    for name in ("elbow_min_deg", "elbow_max_deg"):
        assert near(wild, name) == pytest.approx(near(looked(), name), abs=5)


def test_hidden_arms_are_not_measured() -> None:
    window, *_ = side_curl()
    rep = looked(window=hide(window, "right_wrist", "left_wrist"))
    measured = measure_all(rep, ["elbow_min_deg", "upper_arm_swing_deg"])
    assert measured["elbow_min_deg"] == {}
    assert rep.ranges == {"left": None, "right": None}
    assert flatten(measured)["elbow_min_deg"] is None


def test_nothing_visible_measures_nothing() -> None:
    window, onset, turn, offset = side_curl()
    dark = replace(window, scores=np.zeros_like(window.scores))
    rep = look_at(dark, Bounds(onset, turn, offset), CURL)
    assert rep.view.kind == ViewKind.UNKNOWN
    timeless = {"concentric_s", "eccentric_s", "hold_s", "rest_s", "duration_s"}
    assert {n for n, r in measure_all(rep, REGISTRY).items() if r} <= timeless


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_few_frames_do_not_break_any_measure(frames: int) -> None:
    window, *_ = side_curl()
    short = PoseWindow(window.times_s[:frames], window.keypoints[:frames], window.scores[:frames])
    rep = look_at(short, Bounds(0.0, 0.03, 0.07), CURL)
    for readings in measure_all(rep, REGISTRY).values():
        assert all(np.isfinite(r.value) for r in readings.values())


def test_wrong_shapes_are_refused() -> None:
    window, *_ = side_curl()
    with pytest.raises(ShapeError, match="17"):
        prepare(PoseWindow(window.times_s, window.keypoints[:, :16], window.scores), Bounds(0, 1, 2))
    with pytest.raises(ShapeError, match="no frames"):
        prepare(PoseWindow(window.times_s[:0], window.keypoints[:0], window.scores[:0]), Bounds(0, 1, 2))


def test_percentile_is_numpys() -> None:
    rng = np.random.default_rng(0)
    for size in (3, 4, 17, 90):
        values = rng.normal(size=size)
        for q in (0, 4, 50, 95, 100):
            assert percentile(values, q) == pytest.approx(float(np.percentile(values, q)))
    assert percentile(np.array([np.nan, 1.0, 2.0]), 50) is None


def test_every_measure_says_what_it_is_and_in_which_unit() -> None:
    assert len(REGISTRY) > 40
    for name, measure in REGISTRY.items():
        assert measure.unit in UNITS
        assert name.endswith(f"_{measure.unit}")
        assert measure.what.endswith((".", ")"))
