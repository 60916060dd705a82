"""Hard cuts and freezes on pictures that are made here: gyms of random boxes, moved, lit and cut."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.ingest.core.scene import COLUMNS, ROWS, Look, SceneDetector, match, match_min, sample

Picture = NDArray[np.uint8]
FPS = 30.0


def room(seed: int, height: int = 180, width: int = 320) -> NDArray[np.float32]:
    """A still scene: overlapping boxes of random greys."""
    rng = np.random.default_rng(seed)
    out = np.full((height, width), rng.uniform(60, 180), np.float32)
    for _ in range(40):
        y, x = rng.integers(0, height), rng.integers(0, width)
        out[y : y + rng.integers(10, 70), x : x + rng.integers(10, 90)] = rng.uniform(20, 235)
    return out


def picture(grey: NDArray[np.float32], rng: np.random.Generator | None = None, noise: float = 1.5) -> Picture:
    if rng is not None:
        grey = grey + rng.normal(0, noise, grey.shape).astype(np.float32)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def looks(pictures: Iterable[Picture], fps: float = FPS) -> list[Look]:
    scene = SceneDetector()
    return [scene.look(p, i / fps) for i, p in enumerate(pictures)]


def cuts(pictures: Iterable[Picture], fps: float = FPS) -> list[int]:
    return [i for i, look in enumerate(looks(pictures, fps)) if look.cut]


def frozen(pictures: Iterable[Picture], fps: float = FPS) -> list[int]:
    return [i for i, look in enumerate(looks(pictures, fps)) if look.frozen]


def with_person(base: NDArray[np.float32], t: float) -> NDArray[np.float32]:
    """A person-sized figure whose arm swings once a second."""
    out = base.copy()
    out[40:170, 130:180] = 90
    y = int(60 + 45 * np.sin(2 * np.pi * t))
    out[y : y + 18, 175:240] = 200
    return out


@pytest.mark.parametrize("seed", range(12))
def test_a_change_of_shot_is_a_cut(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shots = [picture(with_person(room(seed if i < 20 else seed + 500), i / FPS), rng) for i in range(40)]
    assert cuts(shots) == [20]


@pytest.mark.parametrize("fps", [30.0, 15.0, 10.0])
def test_someone_exercising_is_no_cut_and_no_freeze(fps: float) -> None:
    rng = np.random.default_rng(1)
    base = room(3)
    seen = looks([picture(with_person(base, i / fps), rng) for i in range(90)], fps)
    assert not any(look.cut or look.frozen for look in seen)


def test_a_pan_is_no_cut() -> None:
    """Half a picture's width a second, in pictures full of edges."""
    wide = room(5, 180, 1400)
    assert cuts([picture(wide[:, 6 * i : 6 * i + 320]) for i in range(120)]) == []


def test_a_shaking_camera_is_no_cut() -> None:
    big, rng = room(6, 260, 420), np.random.default_rng(2)
    at = rng.integers(0, 16, (60, 2))
    assert cuts([picture(big[y : y + 180, x : x + 320], rng) for y, x in at]) == []


def test_flashes_and_switched_lights_are_no_cuts() -> None:
    base, rng = room(7), np.random.default_rng(3)
    gains = [1.0] * 10 + [1.8] + [1.0] * 10 + [0.5] * 10 + [1.2] * 10 + [4.0, 8.0] + [1.0] * 10
    assert cuts([picture(base * g, rng) for g in gains]) == []


def test_a_fade_to_black_and_back_is_no_cut() -> None:
    base, rng = room(8), np.random.default_rng(4)
    gains = np.concatenate([np.ones(15), np.linspace(1, 0, 8), np.zeros(6), np.linspace(0, 1, 8), np.ones(10)])
    assert cuts([picture(with_person(base, i / FPS) * g, rng) for i, g in enumerate(gains)]) == []


def test_a_change_of_shot_behind_black_is_one_cut() -> None:
    rng = np.random.default_rng(5)
    gains = np.concatenate([np.ones(15), np.linspace(1, 0, 8), np.zeros(6), np.linspace(0, 1, 8), np.ones(10)])
    found = cuts([picture(room(9 if i < 26 else 609) * g, rng) for i, g in enumerate(gains)])
    assert len(found) == 1
    assert 26 <= found[0] <= 37


def test_a_video_with_black_bars_still_shows_its_cuts() -> None:
    """A phone's portrait video in a wide frame is two thirds black."""
    rng = np.random.default_rng(15)

    def shot(i: int) -> Picture:
        out = np.zeros((180, 320), np.float32)
        out[:, 110:210] = with_person(room(31 if i < 20 else 32), i / FPS)[:, 110:210]
        return picture(out, rng)

    assert cuts([shot(i) for i in range(40)]) == [20]


def test_a_fade_in_from_black_at_the_start_is_no_cut() -> None:
    rng, base = np.random.default_rng(16), room(33)
    assert cuts([picture(base * min(1.0, i / 12), rng) for i in range(30)]) == []


def test_a_cut_to_a_dark_scene_is_found_though_late() -> None:
    rng = np.random.default_rng(17)
    dark = room(34) * 0.25
    dark[:, 40:] *= 0.3
    dark[40:70, 60:280] = 90
    found = cuts([picture(room(35) if i < 20 else dark, rng) for i in range(80)])
    assert len(found) == 1
    assert 20 <= found[0] <= 20 + 31


def test_a_freeze_is_marked_after_a_quarter_second_and_until_it_ends() -> None:
    rng, base = np.random.default_rng(6), room(10)
    moving = [picture(with_person(base, i / FPS), rng) for i in range(30)]
    after = [picture(with_person(base, (30 + i) / FPS), rng) for i in range(30)]
    marked = frozen([*moving, *([moving[-1]] * 30), *after])
    assert marked == list(range(37, 60)), "frame 29 is shown from 29/30 s; 0.25 s later is frame 36.5"


def test_a_freeze_survives_the_encoder_renewing_it() -> None:
    rng, base = np.random.default_rng(7), room(11)
    still = picture(with_person(base, 0.3)).astype(np.int16)
    shots = [picture(with_person(base, i / FPS), rng) for i in range(20)]
    for i in range(60):
        if i % 8 == 0:
            still = still + rng.integers(-3, 4, still.shape, dtype=np.int16)
        shots.append(np.clip(still, 0, 255).astype(np.uint8))
    marked = frozen(shots)
    assert set(range(36, 80)) <= set(marked), "half a second after frame 20 at the latest"


def test_someone_standing_still_before_a_sensor_is_not_frozen() -> None:
    rng, base = np.random.default_rng(8), with_person(room(12), 0)
    assert frozen([picture(base, rng, 0.8) for _ in range(60)]) == []


@pytest.mark.parametrize("repeats", [2, 3, 5, 8])
def test_footage_of_few_pictures_a_second_is_not_frozen(repeats: int) -> None:
    rng, base = np.random.default_rng(9), room(13)
    few = [picture(with_person(base, i * repeats / FPS), rng) for i in range(40)]
    assert frozen([p for p in few for _ in range(repeats)]) == []


def test_one_moving_hand_in_a_noiseless_picture_is_not_frozen() -> None:
    base = room(14)

    def shot(i: int) -> Picture:
        out = base.copy()
        out[60 + i % 12 : 72 + i % 12, 150:164] = 250
        return picture(out)

    assert frozen([shot(i) for i in range(60)]) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 45))
def test_what_comes_later_changes_nothing(seed: int, upto: int) -> None:
    rng = np.random.default_rng(seed)
    shots = [picture(with_person(room(seed + i // 17), i / FPS), rng, 1.0) for i in range(50)]
    shots[20:32] = [shots[20]] * 12
    assert looks(shots)[:upto] == looks(shots[:upto])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 1.4), st.floats(-20, 20))
def test_matching_does_not_see_light(seed: int, gain: float, offset: float) -> None:
    small = room(seed, 18, 32) * 0.5 + 40
    assert match(small, small * np.float32(gain) + np.float32(offset)) == pytest.approx(1, abs=1e-3)


def test_a_featureless_picture_is_never_a_mismatch() -> None:
    flat = np.full((18, 32), 128, np.float32)
    assert match(room(1, 18, 32), flat) == 1


def test_pictures_further_apart_in_time_need_to_match_less() -> None:
    limits = [match_min(s) for s in (0.01, 1 / 30, 1 / 15, 0.1, 1.0)]
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] >= 0.5


@given(st.integers(16, 300), st.integers(16, 300))
@settings(max_examples=30, deadline=None)
def test_any_picture_size_can_be_sampled(height: int, width: int) -> None:
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 1] = np.linspace(0, 255, width).astype(np.uint8)
    points = sample(ramp)
    assert points.shape == (ROWS, COLUMNS)
    assert np.all(np.diff(points[0].astype(int)) >= 0)
