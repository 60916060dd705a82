"""Faces are made unrecognisable, and nothing else is."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.skeleton import INDEX
from services.ingest.adapters.media import VideoReader
from services.ingest.core.faces import blur_faces, head_circle
from tests.conftest import ROOT

HEAD = [INDEX[j] for j in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]


@pytest.fixture(scope="module")
def demo() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(picture, keypoints (17, 2), scores (17,)) of every hundredth frame of the demo clip."""
    truth = json.loads((ROOT / "assets" / "demo.json").read_text())["people"][0]
    found = []
    with VideoReader(str(ROOT / "assets" / "demo.mp4")) as reader:
        for frame in reader:
            if frame.sequence % 100 == 0 and frame.sequence < 500:
                keypoints = np.array(truth["keypoints_px"][frame.sequence], np.float32)
                found.append((frame.image, keypoints, np.ones(17, np.float32)))
    assert len(found) == 5
    return found


def colours(image: np.ndarray, x: float, y: float, radius: float) -> int:
    """How many different ones lie in the middle of a head."""
    part = image[int(y - radius) : int(y + radius), int(x - radius) : int(x + radius)]
    return len(np.unique(part.reshape(-1, 3), axis=0))


def test_the_head_of_the_demo_clip_loses_its_face_and_the_rest_stays(demo: list) -> None:
    for image, keypoints, scores in demo:
        before = image.copy()
        out = blur_faces(image, keypoints[None], scores[None])
        assert (image == before).all()
        circle = head_circle(keypoints, scores)
        assert circle is not None
        x, y, radius = circle
        head = keypoints[HEAD]
        assert (np.hypot(*(head - [x, y]).T) < radius).all()
        shoulders_px = float(np.linalg.norm(keypoints[5] - keypoints[6]))
        torso_px = float(np.linalg.norm(keypoints[[5, 6]].mean(0) - keypoints[[11, 12]].mean(0)))
        assert radius < 0.6 * max(torso_px, shoulders_px)
        assert colours(image, x, y, 0.6 * radius) > 500
        assert colours(out, x, y, 0.6 * radius) <= 16
        distance = np.hypot(np.arange(image.shape[1]) - x, np.arange(image.shape[0])[:, None] - y)
        assert (out[distance > 1.16 * radius] == image[distance > 1.16 * radius]).all()


def test_a_head_that_is_not_seen_is_covered_where_it_must_be(demo: list) -> None:
    """Turned away, or too blurred for the network: the shoulders tell."""
    for _, keypoints, scores in demo:
        hidden = scores.copy()
        hidden[HEAD] = 0.0
        circle = head_circle(keypoints, hidden)
        assert circle is not None
        centre = keypoints[HEAD].mean(axis=0)
        assert np.hypot(*(centre - circle[:2])) < circle[2]


def test_poses_of_the_source_fit_a_smaller_picture(demo: list) -> None:
    image, keypoints, scores = demo[0]
    small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    a = blur_faces(small, keypoints[None], scores[None], scale=2.0)
    b = blur_faces(small, keypoints[None] / 2, scores[None])
    assert (a == b).all()
    assert (a != small).any()


def test_nobody_seen_nothing_done() -> None:
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    none = blur_faces(image, np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32))
    hidden = blur_faces(image, np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.float32))
    assert (none == image).all()
    assert (hidden == image).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-200, 400), st.floats(0.1, 300))
def test_no_pose_breaks_it(seed: int, place_px: float, spread_px: float) -> None:
    rng = np.random.default_rng(seed)
    keypoints = rng.normal(place_px, spread_px, (3, 17, 2)).astype(np.float32)
    keypoints[0, 3] = np.nan
    scores = rng.random((3, 17)).astype(np.float32)
    image = rng.integers(0, 255, (90, 120, 3), np.uint8)
    out = blur_faces(image, keypoints, scores)
    assert out.shape == image.shape
    assert out.dtype == np.uint8
