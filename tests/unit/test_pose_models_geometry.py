"""Regions and crops: where a place of the picture ends up, and back."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import ShapeError
from services.common.skeleton import K
from services.pose.core.geometry import Instances, Region, crop, keypoint_box

places = st.floats(-3000, 5000)
regions = st.builds(Region, places, places, st.floats(2, 6000), st.floats(-math.pi, math.pi))


@given(regions, st.lists(st.tuples(places, places), min_size=1, max_size=5))
def test_to_crop_and_back_is_where_it_was(region: Region, points: list[tuple[float, float]]) -> None:
    picture = np.array(points)
    back = region.to_picture(region.to_norm(picture))
    # Shares of the crop are float32: a place many regions away keeps seven digits of that distance.
    reach = np.abs(picture - (region.cx_px, region.cy_px)).max() + region.size_px
    assert np.abs(back - picture).max() < 1e-5 * reach + 1e-3


@given(regions)
def test_middle_and_corners(region: Region) -> None:
    assert np.allclose(region.to_picture(np.array([0.5, 0.5])), (region.cx_px, region.cy_px), atol=1e-2)
    corners = region.to_picture(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    assert np.allclose(sides, region.size_px, rtol=1e-3, atol=1e-2)


def _blob(width: int, height: int, x: float, y: float, radius: float) -> np.ndarray:
    yy, xx = np.mgrid[:height, :width] + 0.5
    value = 255 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * radius**2))
    return np.repeat(value[..., None], 3, axis=2).astype(np.uint8)


@settings(max_examples=40)
@given(
    st.floats(0.25, 7),
    st.floats(-0.2, 0.2),
    st.floats(-0.2, 0.2),
    st.floats(-math.pi, math.pi),
)
def test_what_is_drawn_at_a_place_is_seen_at_its_crop_place(scale: float, dx: float, dy: float, angle: float) -> None:
    size = 64
    region = Region(200 + 3.3, 150 - 2.7, size * scale, angle)
    place = region.to_picture(np.array([0.5 + dx, 0.5 + dy]))
    image = _blob(400, 300, place[0], place[1], radius=max(3 * scale, 1.2))
    seen = crop(image, region, size).astype(float)[..., 0]
    yy, xx = np.mgrid[:size, :size] + 0.5
    centre = np.array([(seen * xx).sum(), (seen * yy).sum()]) / seen.sum()
    inside = min(place[0], 400 - place[0], place[1], 300 - place[1]) > 9 * max(scale, 0.4)
    if inside:
        # Beyond the picture's edge part of the blob is cut; elsewhere it must sit where the region says.
        assert np.abs(centre - (0.5 + np.array([dx, dy])) * size).max() < 0.15


def test_the_whole_picture_unscaled_is_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    assert np.array_equal(crop(image, Region.whole(48, 48), 48), image)


def test_halving_averages_exactly() -> None:
    image = np.random.default_rng(1).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    want = image.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
    assert np.abs(crop(image, Region.whole(96, 96), 48).astype(float) - want).max() <= 1


@pytest.mark.parametrize(("border", "value"), [("black", 0), ("replicate", 200)])
def test_border(border: str, value: int) -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    seen = crop(image, Region(0, 10, 20), 20, border)  # type: ignore[arg-type]
    assert (seen[:, :8] == value).all()
    assert (seen[:, 12:] == 200).all()


@given(regions)
def test_any_region_gives_a_crop(region: Region) -> None:
    image = np.full((37, 53, 3), 9, np.uint8)
    for border in ("black", "replicate"):
        assert crop(image, region, 32, border).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("image", "region"),
    [
        (np.zeros((4, 4), np.uint8), Region(1, 1, 2)),
        (np.zeros((4, 4, 3), np.float32), Region(1, 1, 2)),
        (np.zeros((0, 4, 3), np.uint8), Region(1, 1, 2)),
        (np.zeros((4, 4, 3), np.uint8), Region(1, 1, 0)),
        (np.zeros((4, 4, 3), np.uint8), Region(math.nan, 1, 2)),
    ],
)
def test_impossible_crops_are_refused(image: np.ndarray, region: Region) -> None:
    with pytest.raises(ShapeError):
        crop(image, region, 8)


def test_turned_region_stands_a_lying_person_up() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[45:55, 80:90] = 255  # the head, to the right
    seen = crop(image, Region(50, 50, 100, math.pi / 2), 100)
    assert seen[10:20, 45:55].mean() > 200


def test_of_box_and_keypoint_box() -> None:
    assert Region.of_box([10, 20, 30, 80], margin=1.5) == Region(20, 50, 90)
    assert Region.of_box([10, 20, 30, 80], margin=1.0).box == (-10, 20, 50, 80)
    keypoints = np.zeros((K, 2), np.float32)
    keypoints[5], keypoints[6] = (3, 4), (7, 1)
    scores = np.zeros(K, np.float32)
    assert keypoint_box(keypoints, scores) is None
    scores[5:7] = 0.9
    box = keypoint_box(keypoints, scores)
    assert box is not None
    assert box.tolist() == [3, 1, 7, 4]


def test_nobody_has_no_length() -> None:
    assert len(Instances.none()) == 0
    assert Instances.none(rough=True).rough


@given(st.floats(40, 400), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(0, 3))
def test_what_lies_beyond_a_region_does_not_change_its_crop(size: float, across: float, down: float, more: int) -> None:
    """However much more picture there is: that decides how the crop is made, not its pixels."""
    height, width = 420, 440
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)
    larger = np.random.default_rng(2).integers(0, 256, (height + 90 * more + 3, width + 301 * more + 1, 3))
    larger = larger.astype(np.uint8)
    larger[:height, :width] = image
    free = 8 + size / 2  # px between the region and the edges
    region = Region(free + across * max(width - 2 * free, 0), free + down * max(height - 2 * free, 0), size)
    np.testing.assert_array_equal(crop(larger, region, 96), crop(image, region, 96))
