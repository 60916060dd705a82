"""Pose layouts of other tools become COCO-17."""

import numpy as np
import pytest

from services.common.errors import InputError
from services.common.layouts import LAYOUTS, to_coco17
from services.common.skeleton import INDEX, K


def test_openpose_order_and_missing_joints() -> None:
    array = np.zeros((2, 18, 3))
    array[..., 2] = 0.8
    array[:, :, 0] = np.arange(18) * 10 + 5
    array[:, :, 1] = 100
    array[:, 4] = 0  # right wrist missing
    keypoints, scores, width, height = to_coco17(array, "openpose18", 30)
    assert keypoints[0, INDEX["left_shoulder"], 0] == 55
    assert keypoints[0, INDEX["right_ankle"], 0] == 105
    assert scores[0, INDEX["right_wrist"]] == 0
    assert scores[0, INDEX["left_wrist"]] > 0.8
    assert width >= 175
    assert height >= 100


def test_mediapipe_normalised_is_scaled_up_and_keeps_visibility() -> None:
    rng = np.random.default_rng(0)
    array = rng.uniform(0.2, 0.8, (5, 33, 4))
    keypoints, scores, width, _ = to_coco17(array, "mediapipe33", 25)
    assert keypoints.shape == (5, K, 2)
    assert width > 100
    np.testing.assert_allclose(scores[:, INDEX["left_hip"]], array[:, 23, 3], rtol=1e-6)
    got = keypoints[:, INDEX["left_hip"]] - keypoints[:, INDEX["nose"]]
    want = array[:, 23, :2] - array[:, 0, :2]
    np.testing.assert_allclose(got / got[0, 0] * want[0, 0], want, atol=1e-4)


def test_rmd_has_no_head() -> None:
    array = np.random.default_rng(1).normal(0, 0.3, (4, 16, 4))
    array[..., 3] = 0.9
    _, scores, _, _ = to_coco17(array, "rmd16", 30)
    assert (scores[:, :5] == 0).all()
    assert (scores[:, 5:] > 0.8).all()


def test_repcount_rebuilds_proportions_of_a_squeezed_body() -> None:
    """A standing and a squatting figure, each squeezed into the unit square, get their bones' lengths back."""
    rows = []
    for hips_y, knee_x in ((0.55, 0.05), (0.8, 0.35)):
        points = np.zeros((33, 3))
        for side, sign in (("l", 1), ("r", -1)):
            o = 0 if side == "l" else 1
            points[11 + o] = (sign * 0.18, hips_y - 0.5, 0)
            points[13 + o] = (sign * 0.2, hips_y - 0.22, 0)
            points[15 + o] = (sign * 0.2, hips_y + 0.03, 0)
            points[23 + o] = (sign * 0.11, hips_y, 0)
            points[25 + o] = (sign * (0.11 + knee_x), hips_y + np.sqrt(0.42**2 - knee_x**2), 0)
            points[27 + o] = (sign * 0.12, points[25 + o, 1] + 0.3, 0)
        points[0] = (0, hips_y - 0.75, 0)
        low, high = points.min(0), points.max(0)
        rows.append(np.concatenate([((points - low) / np.maximum(high - low, 1e-6)).ravel(), np.zeros(5)]))
    array = np.repeat(np.array(rows), 12, axis=0)
    keypoints, scores, _, _ = to_coco17(array, "repcount104", 30)
    assert scores.min() == 1

    def torso_per_upper_arm(t: int) -> float:
        torso = np.linalg.norm(keypoints[t, INDEX["left_shoulder"]] - keypoints[t, INDEX["left_hip"]])
        return float(torso / np.linalg.norm(keypoints[t, INDEX["left_shoulder"]] - keypoints[t, INDEX["left_elbow"]]))

    assert torso_per_upper_arm(5) == pytest.approx(0.5 / 0.28, rel=0.2)
    assert torso_per_upper_arm(-1) == pytest.approx(0.5 / 0.28, rel=0.2)


def test_repcount_missing_rows_are_hidden() -> None:
    array = np.random.default_rng(0).uniform(0, 1, (6, 104))
    array[2:4] = 0
    _, scores, _, _ = to_coco17(array, "repcount104", 30)
    assert (scores[2:4] == 0).all()
    assert (scores[[0, 1, 4, 5]] == 1).all()


@pytest.mark.parametrize(
    ("array", "layout", "fps", "says"),
    [
        (np.ones((3, 17, 2)), "coco18", 30, "Unknown layout"),
        (np.ones((3, 16, 2)), "coco17", 30, r"\(T, 17, 2\)"),
        (np.ones((3, 105)), "repcount104", 30, r"\(T, 104\)"),
        (np.full((3, 17, 2), np.nan), "coco17", 30, "NaN"),
        (np.ones((3, 17, 2)), "coco17", 0, "impossible"),
        (np.ones((3, 17, 2)), "coco17", float("nan"), "impossible"),
        (np.ones((0, 17, 2)), "coco17", 30, "empty"),
        (np.array([["a"]]), "coco17", 30, "numbers"),
    ],
)
def test_what_cannot_be_read_is_said(array: np.ndarray, layout: str, fps: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        to_coco17(array, layout, fps)


def test_every_layout_of_the_command_is_known() -> None:
    assert set(LAYOUTS) == {"mediapipe33", "coco17", "openpose18", "rmd16", "repcount104"}
