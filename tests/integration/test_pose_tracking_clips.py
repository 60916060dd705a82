"""The pose stage with its real network on real workouts."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from services.common.processor import Mark, MarkKind
from services.common.types import LOCAL_STREAM, PoseFrame
from services.ingest.adapters.media import VideoReader
from services.pose.adapters.local import LocalPose
from services.pose.adapters.onnx import OnnxBackend
from services.pose.core.processor import People, PoseProcessor, Role
from services.pose.core.profiles import Profile
from tests import pose_backends

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def backend() -> OnnxBackend:
    return pose_backends.backend("movenet")


def follow(path: Path, backend: OnnxBackend, frames: int, people: People = "all") -> tuple[list[PoseFrame], int]:
    """Poses of the first frames of a clip, and how many crops they took."""
    pose, out = LocalPose(PoseProcessor(Profile.get("movenet"), people=people), backend), []
    with VideoReader(str(path), max_short_side_px=480, threads=1) as reader:
        for frame in islice(reader, frames):
            out += pose.on_item(frame)
    return out, pose.crops


@pytest.mark.parametrize("name", ["kshitij__front_raise", "pose-trainer__sample_bicep_curl", "wissem__bicep_curls"])
def test_a_lifter_is_one_track_from_the_first_frame_to_the_last(
    name: str, backend: OnnxBackend, data_dir: Path
) -> None:
    out, crops = follow(data_dir / "clips" / f"{name}.mp4", backend, 60)
    assert [len(f.people) for f in out] == [1] * 60
    assert {p.track_id for f in out for p in f.people} == {1}
    assert crops / 60 < 1.2
    # The body's middle does not jump: nobody else was taken for the lifter.
    middle = np.stack([f.people[0].keypoints[[5, 6]].mean(axis=0) for f in out])
    tall = np.median([f.people[0].box[3] - f.people[0].box[1] for f in out])
    assert np.hypot(*np.diff(middle, axis=0).T).max() < 0.15 * tall


def test_two_people_side_by_side_are_two_tracks(backend: OnnxBackend, data_dir: Path) -> None:
    out, _ = follow(data_dir / "clips" / "randysamuel__lunges.mp4", backend, 40)
    assert [len(f.people) for f in out] == [2] * 40
    assert {p.track_id for f in out for p in f.people} == {1, 2}
    for track_id in (1, 2):
        xs = [p.box[[0, 2]].mean() / f.width_px for f in out for p in f.people if p.track_id == track_id]
        assert max(xs) < 0.5 or min(xs) > 0.5


def test_the_three_steps_are_on_item_and_go_on_after_a_restart(backend: OnnxBackend, data_dir: Path) -> None:
    profile = Profile.get("movenet")
    one, two = LocalPose(PoseProcessor(profile), backend), LocalPose(PoseProcessor(profile), backend)
    with VideoReader(str(data_dir / "clips" / "kshitij__front_raise.mp4"), threads=1) as reader:
        for n, frame in enumerate(islice(reader, 24)):
            (here,) = one.on_item(frame)
            plan = two.plan(frame)
            assert (Role.FOLLOW in plan.roles) == (n > 0)
            (there,) = two.apply(plan, two.infer(plan))
            assert np.array_equal(here.people[0].keypoints, there.people[0].keypoints)
            if n == 12:
                state = two.snapshot()
                two = LocalPose(PoseProcessor(profile), backend)
                two.restore(state)
    assert one.on_mark(Mark(LOCAL_STREAM, MarkKind.EOF, 1.0))[0].ended == (1,)


def test_blazepose_shows_nobody_before_its_second_network_has_looked(data_dir: Path) -> None:
    profile = Profile.get("blazepose")
    pose = LocalPose(PoseProcessor(profile), pose_backends.backend("blazepose"))
    with VideoReader(str(data_dir / "clips" / "kshitij__front_raise.mp4"), threads=1) as reader:
        out = [f for frame in islice(reader, 20) for f in pose.on_item(frame)]
    assert out[0].people == ()
    assert all(len(f.people) == 1 for f in out[3:])
    assert {p.track_id for f in out for p in f.people} == {1}
