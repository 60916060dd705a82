"""The reader on real training footage: what was cut and frozen there was looked at by eye, frame by frame."""

from itertools import pairwise
from pathlib import Path

import pytest

from services.common.types import Frame
from services.ingest.adapters.media import VideoReader
from tests import media

pytestmark = pytest.mark.data

CUTS_S = {"randysamuel__hammer": [(4.15, 4.35)], "randysamuel__lunges": [(5.9, 6.3)]}
FREEZES_S = {
    "randysamuel__singlerow": [(2.2, 4.4), (9.2, 11.47)],
    "randysamuel__lateralraise": [(3.5, 5.93)],
    "randysamuel__shoulderpress": [(0.97, 1.23), (2.77, 3.1), (5.97, 6.47)],
}
FADES = "diya__squat2"


def read(data_dir: Path, stem: str) -> list[Frame]:
    with VideoReader(str(data_dir / "clips" / f"{stem}.mp4"), rate_fps=None, max_short_side_px=240) as reader:
        return list(reader)


def inside(time_s: float, spans_s: list[tuple[float, float]]) -> bool:
    return any(a <= time_s <= b for a, b in spans_s)


@pytest.mark.parametrize("stem", sorted({*CUTS_S, *FREEZES_S, FADES, "bajpai__bicep_curl", "kshitij__front_raise"}))
def test_cuts_and_freezes_are_where_they_are_and_nowhere_else(data_dir: Path, stem: str) -> None:
    frames = read(data_dir, stem)
    cuts = [f.time_s for f in frames if f.cut]
    frozen = [f.time_s for f in frames if f.frozen]
    assert all(inside(t, CUTS_S.get(stem, [])) for t in cuts)
    assert all(inside(t, FREEZES_S.get(stem, [])) for t in frozen)
    assert bool(cuts) == (stem in CUTS_S)
    assert bool(frozen) == (stem in FREEZES_S)


def test_most_of_a_long_freeze_is_marked(data_dir: Path) -> None:
    frozen = [f.time_s for f in read(data_dir, "randysamuel__singlerow") if f.frozen]
    for start_s, end_s in FREEZES_S["randysamuel__singlerow"]:
        marked = sum(start_s <= t <= end_s for t in frozen) / 30
        assert marked > 0.6 * (end_s - start_s)


@pytest.mark.parametrize("stem", ["rdlifts__rdl", "dspro2__squat", "wissem__bicep_curls"])
def test_every_frame_of_a_phones_recording_at_its_own_time(data_dir: Path, stem: str) -> None:
    times = [f.time_s for f in read(data_dir, stem)]
    assert times == pytest.approx(media.probe_times_s(data_dir / "clips" / f"{stem}.mp4"), abs=1e-4)
    assert all(b > a for a, b in pairwise(times))


@pytest.mark.parametrize(("stem", "size"), [("wurminator__dumbbell_curl", (405, 720)), ("kamran__biceps", (720, 1280))])
def test_pictures_have_the_shape_in_which_they_are_shown(data_dir: Path, stem: str, size: tuple[int, int]) -> None:
    """wurminator is stored as 1080x720 with narrow pixels; shown so, the lifter would be as wide as tall."""
    with VideoReader(str(data_dir / "clips" / f"{stem}.mp4")) as reader:
        assert (reader.info.width_px, reader.info.height_px) == size
        assert next(reader).image.shape[:2] == size[::-1]
