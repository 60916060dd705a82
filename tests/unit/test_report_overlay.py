"""What is burnt into the video."""

import numpy as np
import pytest

from services.common.skeleton import INDEX
from services.local.report.overlay import COLOURS, Overlay, _Actor, _pose_at, _status_lines, _verdict_at
from services.local.report.sprites import Line, panel, text_width, wrap
from services.local.results import AnalysisResult
from tests.report_factory import HEIGHT, WIDTH, make_result


@pytest.fixture(scope="module")
def result() -> AnalysisResult:
    return make_result(thumbnails=False)


def _drawn(result: AnalysisResult, time_s: float, scale: float = 1.0) -> np.ndarray:
    image = np.zeros((round(HEIGHT * scale), round(WIDTH * scale), 3), np.uint8)
    Overlay(result, scale, scale).draw(image, time_s)
    return image


def _actor(result: AnalysisResult) -> _Actor:
    person = result.people[0]
    return _Actor(
        person, COLOURS[0], person.final_repetitions(), sorted(person.assessments, key=lambda a: a.repetition.onset_s)
    )


def test_skeleton_lies_on_the_joints_and_scales_with_the_frame(result: AnalysisResult) -> None:
    for scale in (1.0, 2.0):
        image = _drawn(result, 0.5, scale)
        for joint in ("left_knee", "right_shoulder", "left_wrist"):
            x, y = (result.people[0].keypoints[15, INDEX[joint]] * scale).round().astype(int)
            assert image[y, x].min() > 200


def test_hidden_joints_are_not_drawn(result: AnalysisResult) -> None:
    person = result.people[0]
    hidden = int(np.flatnonzero(person.scores[:, INDEX["right_wrist"]] < 0.3)[5])
    x, y = person.keypoints[hidden, INDEX["right_wrist"]].round().astype(int)
    image = _drawn(result, float(person.times_s[hidden]))
    assert image[y - 2 : y + 3, x - 2 : x + 3].max() == 0
    x, y = person.keypoints[hidden, INDEX["left_wrist"]].round().astype(int)
    assert image[y, x].min() > 200


def test_nothing_is_drawn_on_a_person_who_is_not_in_sight(result: AnalysisResult) -> None:
    person = result.people[0]
    assert _pose_at(person, person.last_s + 1.0) is None
    between = _pose_at(person, float(person.times_s[3:5].mean()))
    assert between is not None
    assert np.allclose(between[0], person.keypoints[3:5].mean(axis=0), atol=1e-3)


def test_count_rises_at_each_end_and_starts_again_with_the_set(result: AnalysisResult) -> None:
    actor = _actor(result)
    for repetition in result.people[0].final_repetitions():
        if repetition.index == 0:
            continue
        assert repetition.offset_s is not None
        before = _status_lines(actor, repetition.offset_s - 0.01, 20, large=True)[1].text
        after = _status_lines(actor, repetition.offset_s + 0.01, 20, large=True)[1].text
        assert (before, after) == (str(repetition.index - 1), str(repetition.index))


def test_phase_follows_the_repetition(result: AnalysisResult) -> None:
    actor, first = _actor(result), result.people[0].final_repetitions()[0]
    assert first.turn_s is not None
    times = (first.onset_s - 0.2, first.onset_s + 0.1, first.turn_s, first.turn_s + 0.4)
    words = [_status_lines(actor, t, 20, large=True)[2].text for t in times]
    assert words == ["rest", "lifting", "holding", "lowering"]


def test_the_faulty_joint_flashes_at_its_worst_moment(result: AnalysisResult) -> None:
    verdict = next(a for a in result.people[0].assessments if a.errors and a.errors[0].code == "ELBOW_DRIFT")
    at_s = verdict.errors[0].at_s
    person = result.people[0]

    def red_near_elbow(time_s: float) -> int:
        image = _drawn(result, time_s).astype(int)
        x, y = person.keypoints[round(time_s * 30), INDEX["left_elbow"]].round().astype(int)
        near = image[y - 24 : y + 25, x - 24 : x + 25]
        return int(((near[..., 0] > 180) & (near[..., 1] < 110) & (near[..., 2] < 110)).sum())

    assert red_near_elbow(at_s) > 60
    assert red_near_elbow(at_s - 1.0) == 0


def test_the_last_verdict_stays_to_be_read_and_goes(result: AnalysisResult) -> None:
    actor = _actor(result)
    verdict = actor.verdicts[-1]
    end_s = verdict.repetition.offset_s
    assert end_s is not None
    assert _verdict_at(actor, end_s + 0.5) is verdict
    assert _verdict_at(actor, end_s + 30) is None


@pytest.mark.parametrize("width_px", [60, 200, 500])
def test_wrapped_text_fits_and_keeps_its_words(width_px: int) -> None:
    text = "Keep your upper arm still: pin the elbow to your side. Donaudampfschifffahrtsgesellschaft"
    lines = wrap(text, 20, width_px, most=99)
    assert max(text_width(line, 20) for line in lines) <= width_px
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_panel_that_sticks_out_is_cut_off() -> None:
    image = np.full((40, 60, 3), 200, np.uint8)
    sprite = panel((Line("wider than the picture", 30),), 10)
    for x, y in ((-20, -10), (50, 30), (500, 500), (-5000, 0)):
        sprite.draw(image, x, y)
    assert image[0, 0].max() < 150
