"""Decoding: from heads to people, without a network."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import ConfigError, ShapeError
from services.common.skeleton import INDEX, K
from services.pose.core import blazepose, movenet
from services.pose.core.geometry import Region
from services.pose.core.profiles import PROFILES, Profile

G = 48


def _heads(people: list[tuple[np.ndarray, float]], multi: bool = False) -> tuple[np.ndarray, ...]:
    """Heads as a perfect network gives them: per person joints (17, 2) in cells x, y, and a centre probability."""
    centre = np.zeros((1, 1, G, G), np.float32)
    heatmap = np.zeros((1, K, G, G), np.float32)
    regression = np.zeros((1, 2 * K, G, G), np.float32)
    offset = np.zeros((1, 2 * K, G, G), np.float32)
    for joints, probability in people:
        cx, cy = np.floor(joints.mean(axis=0)).astype(int)
        centre[0, 0, cy, cx] = probability
        regression[0, :, cy, cx] = (joints - (cx, cy))[:, ::-1].ravel()
        for j, (x, y) in enumerate(joints):
            heatmap[0, j, int(y), int(x)] = 0.9
            offset[0, 2 * j : 2 * j + 2, int(y), int(x)] = (y - int(y), x - int(x))
    heads = (centre, heatmap, regression, offset)
    return (*heads, np.ones((1, 2, G, G), np.float32)) if multi else heads


joints_around = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).uniform(-7, 7, (K, 2)).astype(np.float32)
)


@given(joints_around, st.booleans())
def test_one_person_is_read_exactly(shape: np.ndarray, multi: bool) -> None:
    joints = shape + 24
    region = Region(300, 200, 480)
    for single in (True, False):
        (found,) = movenet.decode(_heads([(joints, 0.8)], multi), [region], [single])
        assert len(found) == 1
        assert np.abs(found.keypoints[0] - region.to_picture(joints / G)).max() < 0.05
        assert found.centre[0] == pytest.approx(0.8)


@given(joints_around, joints_around)
def test_two_people_are_told_apart(a: np.ndarray, b: np.ndarray) -> None:
    left, right = a * 0.5 + (12, 24), b * 0.5 + (36, 24)
    region = Region.whole(G, G)
    (found,) = movenet.decode(_heads([(left, 0.6), (right, 0.9)]), [region], [False])
    assert len(found) == 2
    assert np.all(np.diff(found.centre) <= 0)
    assert np.abs(found.keypoints[0] - right).max() < 0.05
    assert np.abs(found.keypoints[1] - left).max() < 0.05


def test_single_takes_the_one_in_the_middle() -> None:
    middle = np.full((K, 2), 24.0) + np.random.default_rng(3).uniform(-4, 4, (K, 2))
    side = middle + np.array([18.0, 0.0])
    (found,) = movenet.decode(_heads([(middle, 0.5), (side, 0.9)]), [Region.whole(G, G)], [True])
    assert np.abs(found.keypoints[0] - middle).max() < 0.05


@given(joints_around, st.floats(-500, 500), st.floats(0.2, 9), st.floats(-math.pi, math.pi))
def test_people_move_with_their_region(shape: np.ndarray, shift: float, scale: float, angle: float) -> None:
    heads = _heads([(shape + 24, 0.8)])
    base = movenet.decode(heads, [Region(0, 0, 100)], [True])[0].keypoints[0]
    moved = movenet.decode(heads, [Region(shift, -shift, 100 * scale, angle)], [True])[0].keypoints[0]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    assert np.allclose(moved, base @ turn.T * scale + (shift, -shift), atol=0.02)


def test_empty_picture_has_nobody_but_a_followed_crop_always_answers() -> None:
    heads = _heads([])
    assert len(movenet.decode(heads, [Region.whole(G, G)], [False])[0]) == 0
    (one,) = movenet.decode(heads, [Region.whole(G, G)], [True])
    assert len(one) == 1
    assert one.centre[0] == 0


def test_batches_keep_their_order() -> None:
    rng = np.random.default_rng(5)
    people = [np.full((K, 2), 24.0) + rng.uniform(-6, 6, (K, 2)) for _ in range(5)]
    heads = [np.concatenate(h) for h in zip(*(_heads([(p, 0.7)]) for p in people), strict=True)]
    regions = [Region(100.0 * i, 0, G) for i in range(5)]
    for i, found in enumerate(movenet.decode(heads, regions, [i % 2 == 0 for i in range(5)])):
        assert np.abs(found.keypoints[0] - regions[i].to_picture(people[i] / G)).max() < 0.05


def test_wrong_outputs_are_refused() -> None:
    heads = _heads([])
    whole = [Region.whole(G, G)]
    with pytest.raises(ShapeError, match="MoveNet"):
        movenet.decode(heads[:3], whole, [True])
    with pytest.raises(ShapeError, match="single-person"):
        movenet.decode_single(heads, whole, [True])
    with pytest.raises(ShapeError, match="2254"):
        blazepose.decode_detector(heads[:2], whole, [False])
    with pytest.raises(ShapeError, match="195"):
        blazepose.decode_landmarks(heads[:3], whole, [True])
    with pytest.raises(ShapeError, match="as many"):
        Profile.get("movenet").decode(heads, whole * 2, [False, False])
    with pytest.raises(ShapeError, match="two networks"):
        two = [np.concatenate([h, h]) for h in heads]
        Profile.get("blazepose").decode(two, whole * 2, [True, False])
    assert Profile.get("movenet").decode([], [], []) == []


def test_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="movenet"):
        Profile.get("openpose")
    assert all(Profile.get(name).name == name for name in PROFILES)


def _body(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """A standing person turned by ``angle`` clockwise around the hips' middle at (500, 400)."""
    keypoints = np.zeros((K, 2), np.float32)
    for name, place in {
        "shoulder": (20, -100), "hip": (15, 0), "knee": (15, 80), "ankle": (15, 160), "elbow": (40, -60),
        "wrist": (45, -10), "ear": (8, -140), "eye": (5, -145),
    }.items():  # fmt: skip
        keypoints[INDEX[f"left_{name}"]] = place
        keypoints[INDEX[f"right_{name}"]] = (-place[0], place[1])
    keypoints[0] = (0, -140)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return (keypoints @ turn.T + (500, 400)).astype(np.float32), np.ones(K, np.float32)


def test_single_network_decoding_goes_by_the_region() -> None:
    joints = np.random.default_rng(7).uniform(0.2, 0.8, (2, K, 3)).astype(np.float32)
    regions = [Region(50, 60, 100), Region(0, 0, 10, 0.3)]
    found = movenet.decode_single((joints, np.array([[0.4], [0.7]], np.float32)), regions, [True, True])
    for i in range(2):
        assert np.allclose(found[i].keypoints[0], regions[i].to_picture(joints[i, :, :2]))
        assert np.array_equal(found[i].scores[0], joints[i, :, 2])
        assert len(found[i]) == len(found[i].regions) == 1
    assert [float(f.centre[0]) for f in found] == pytest.approx([0.4, 0.7])


@pytest.mark.parametrize("name", ["movenet", "blazepose"])
@given(angle=st.floats(-3, 3))
def test_follow_region_holds_the_body(name: str, angle: float) -> None:
    keypoints, scores = _body(angle)
    region = Profile.get(name).follow(keypoints, scores)
    assert region is not None
    norm = region.to_norm(keypoints)
    assert norm.min() > 0.02
    assert norm.max() < 0.98
    assert np.ptp(norm, axis=0).max() > 0.5  # and does not drown it
    if name == "blazepose":
        assert math.cos(region.angle_rad - angle) > 0.999


@pytest.mark.parametrize("name", ["movenet", "blazepose"])
def test_follow_needs_a_torso(name: str) -> None:
    keypoints, scores = _body(0.0)
    follow = Profile.get(name).follow
    assert follow(keypoints, np.zeros(K, np.float32)) is None
    scores[5:13:1] = 0
    assert follow(keypoints, scores) is None
    only_shoulders = np.zeros(K, np.float32)
    only_shoulders[5:7] = 1
    assert follow(keypoints, only_shoulders) is not None


def test_blazepose_refinement_moves_only_where_the_heatmap_is_sure() -> None:
    landmarks = np.zeros((1, 39, 5), np.float32)
    landmarks[..., :2] = 128
    landmarks[0, 34, :2] = (128, 40)
    landmarks[..., 3:] = 5
    heatmap = np.full((1, 39, 64, 64), -20, np.float32)
    heatmap[0, 0, 33, 34] = 6  # the nose is really here
    outputs = (landmarks.reshape(1, -1), np.array([[0.9]], np.float32), heatmap)
    region = Region(128, 128, 256)
    (found,) = blazepose.decode_landmarks(outputs, [region], [True])
    assert np.allclose(found.keypoints[0, 0], (34 * 4, 33 * 4), atol=0.1)
    assert np.allclose(found.keypoints[0, 1:], 128, atol=0.01)
    assert found.regions[0].size_px == pytest.approx(2 * 88 * 1.25, rel=1e-4)
    assert found.regions[0].angle_rad == pytest.approx(0, abs=1e-6)
    nobody = blazepose.decode_landmarks((outputs[0], np.zeros((1, 1), np.float32), heatmap), [region], [True])
    assert len(nobody[0]) == 0


def test_blazepose_visibility_half_is_the_limit_of_seen() -> None:
    landmarks = np.zeros((1, 39, 5), np.float32)
    landmarks[..., 4] = 9
    outputs = (landmarks.reshape(1, -1), np.ones((1, 1), np.float32), np.full((1, 39, 64, 64), -9, np.float32))
    (found,) = blazepose.decode_landmarks(outputs, [Region(128, 128, 256)], [True])
    assert np.allclose(found.scores, 0.3, atol=1e-3)
