"""The renderer itself: what it draws is what its truth says."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from services.common.errors import ConfigError
from services.common.skeleton import INDEX, K
from training.render import gl
from training.render.camera import ViewCamera
from training.render.clips import Clip, all_clips, clip_scene
from training.render.looks import framed, sample_look
from training.render.props import RoomLook
from training.render.scene import Actor, Scene, SceneRenderer
from training.render.truth import HIDDEN, OUTSIDE, VISIBLE, frame_truth
from training.render.video import write_scene
from training.simulator.generate import make_motion

pytestmark = pytest.mark.gl

SIZE_PX = (240, 240)


def actor(
    exercise: str, seed: int, name: str = "a", place: tuple[float, float] = (0.0, 0.0), yaw: float = 0.0
) -> Actor:
    rng = np.random.default_rng(seed)
    motion = make_motion(exercise, rng, repetitions=1, family="held_out", fps=10, lead_s=0.3)
    return Actor.of(motion, sample_look(rng), name, place, yaw)


def scene(actors: tuple[Actor, ...], azimuth: float = 20.0, **more: object) -> Scene:
    frames = min(len(a.joints) for a in actors)
    actors = tuple(replace(a, joints=a.joints[:frames], grip=a.grip[:frames]) for a in actors)
    points = np.concatenate([a.joints.reshape(-1, 3) for a in actors])
    camera = framed(points, azimuth, size_px=SIZE_PX)
    return Scene(actors, camera, room=RoomLook(yaw_deg=azimuth), fps=10, samples=0, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("exercise", "azimuth"),
    [("bicep_curl", 0.0), ("shoulder_press", 40.0), ("squat", 85.0), ("bent_over_row", -60.0), ("chest_press", 70.0)],
)
def test_a_visible_joint_lies_on_its_owners_pixels(exercise: str, azimuth: float) -> None:
    shown = scene((actor(exercise, 3),), azimuth)
    on_body, joints = 0, 0
    with SceneRenderer(shown) as renderer:
        for i in range(0, shown.frames, 6):
            owners, depth = renderer.owners(i)
            truth = frame_truth(shown.actors, i, shown.camera, owners, depth)[0]
            expected, z = shown.camera.project(shown.actors[0].joints[i, :K])
            np.testing.assert_allclose(truth.keypoints, expected)
            inside = truth.visible != OUTSIDE
            column, row = np.floor(expected[inside]).astype(int).T
            # the nose's tip is the silhouette's edge: within a pixel of it counts
            near = cv2.dilate((owners == 1).astype(np.uint8), np.ones((3, 3), np.uint8))
            on_body += int(near[row, column].sum())
            joints += int(inside.sum())
            at = depth[row, column]
            seen = truth.visible[inside] == VISIBLE
            assert (owners[row, column][seen] == 1).all()
            assert (at[seen] <= z[inside][seen] + 0.06).all(), "the skin is before the joint, or hardly behind it"
            assert seen.sum() >= 7
    # hidden joints, too, lie within the silhouette: the figure is as thick as its skeleton says
    assert on_body >= 0.98 * joints


def test_far_joints_of_a_side_view_are_hidden_and_near_ones_seen() -> None:
    shown = scene((actor("squat", 8),), 90.0)  # seen from the left
    with SceneRenderer(shown) as renderer:
        truth = frame_truth(shown.actors, 0, shown.camera, *renderer.owners(0))[0]
    seen = {name: truth.visible[i] for name, i in INDEX.items()}
    assert seen["left_shoulder"] == seen["left_elbow"] == seen["left_hip"] == seen["left_ear"] == VISIBLE
    assert seen["right_shoulder"] == seen["right_ear"] == HIDDEN


def test_one_person_hides_another() -> None:
    front, back = actor("bicep_curl", 1, "front", (0.0, 0.0)), actor("bicep_curl", 2, "back", (0.1, -1.2))
    camera = ViewCamera((0.0, 1.2, 4.0), (0.0, 1.0, 0.0), 40.0, *SIZE_PX)
    frames = min(len(front.joints), len(back.joints))
    both = tuple(replace(a, joints=a.joints[:frames], grip=a.grip[:frames]) for a in (front, back))
    with SceneRenderer(Scene(both, camera, fps=10, samples=0)) as renderer:
        owners, depth = renderer.owners(0)
        ahead, behind = frame_truth(both, 0, camera, owners, depth)
    assert (ahead.visible == VISIBLE).sum() >= 14
    assert (behind.visible == VISIBLE).sum() <= 6
    assert ahead.pixels > 3 * behind.pixels
    assert depth[owners == 1].mean() < depth[owners == 2].mean() < depth[owners == 0].max()


def test_the_same_seed_draws_the_same_picture_and_another_seed_another_person() -> None:
    def picture(seed: int) -> np.ndarray:
        clip = Clip("lateral_raise", "front", None, seed)
        shown = clip_scene(clip, fps=10, repetitions=1, size_px=SIZE_PX)
        with SceneRenderer(shown) as renderer:
            return renderer.frame(5)

    first, again, other = picture(1), picture(1), picture(2)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 10


def test_the_figure_stands_out_from_the_room_and_moves() -> None:
    shown = scene((actor("bicep_curl", 4),), noise=0.0)
    with SceneRenderer(shown) as renderer:
        first, middle = renderer.frame(0).astype(int), renderer.frame(shown.frames // 2).astype(int)
        owners, _ = renderer.owners(0)
    figure, room = first[owners == 1], first[owners == 0]
    assert 0.04 < (owners == 1).mean() < 0.4
    assert np.abs(figure.mean(0) - room.mean(0)).sum() > 30
    moved = np.abs(first - middle).sum(-1) > 60
    assert moved[owners == 1].mean() > 0.02
    far = np.roll(owners == 1, 60, axis=1) | (owners == 1)
    assert moved[~far].mean() < 0.15, "only the figure and its shadow change"


def test_blur_mixes_neighbouring_poses() -> None:
    sharp = scene((actor("shoulder_press", 5),), noise=0.0)
    with SceneRenderer(sharp) as a, SceneRenderer(replace(sharp, blur=3)) as b:
        i = sharp.frames // 3
        difference = np.abs(a.frame(i).astype(int) - b.frame(i)).max()
    assert difference > 10


def test_video_and_truth_agree(tmp_path: Path) -> None:
    clip = Clip("bicep_curl", "front_side", "TORSO_SWING", 3)
    shown = clip_scene(clip, fps=10, repetitions=1, size_px=(160, 120))
    written = write_scene(shown, tmp_path, "clip", view="front_side", notes={"planted": "TORSO_SWING"})
    with av.open(str(written.video)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
    truth = json.loads(written.truth.read_text())
    assert len(frames) == truth["frames"] == shown.frames
    assert frames[0].shape == (120, 160, 3)
    person = truth["people"][0]
    assert len(person["keypoints_px"]) == len(person["visible"]) == len(person["box_px"]) == shown.frames
    px, _ = shown.camera.project(shown.actors[0].joints[7, :K])
    np.testing.assert_allclose(person["keypoints_px"][7], px, atol=0.051)
    x0, y0, x1, y1 = person["box_px"][7]
    visible = np.array([c == "2" for c in person["visible"][7]])
    assert (px[visible] >= [x0, y0]).all()
    assert (px[visible] <= [x1, y1]).all()
    label = truth["clips"]["clip.mp4"]
    assert [r["mistakes"] for r in label["reps"]] == [["TORSO_SWING"]]
    assert label["reps"][0]["form"] == "wrong"
    assert label["reps"][0]["start"] < label["reps"][0]["peak"] < label["reps"][0]["end"] <= label["duration_s"]
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_the_plan_is_two_views_with_and_without_a_mistake_of_six_exercises() -> None:
    clips = all_clips(0)
    assert len({c.name for c in clips}) == 24
    assert len({c.exercise for c in clips}) == 6
    assert sum(c.mistake is None for c in clips) == 12
    assert {c.seed for c in clips}.isdisjoint({c.seed for c in all_clips(1)})


def test_without_opengl_the_error_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**_: object) -> None:
        raise Exception("libEGL.so not loaded")

    monkeypatch.setattr(gl.moderngl, "create_context", missing)
    with pytest.raises(
        ConfigError, match=r"libEGL\.so not loaded.*install the Debian packages.*libegl1.*libgl1-mesa-dri"
    ):
        gl.open_context()


def test_twenty_frames_of_640_by_480_are_all_drawn(record_property: Callable[[str, object], None]) -> None:
    """Prints the speed of 640 × 480 (asserted nowhere: it is the machine's)."""
    shown = scene((actor("bicep_curl", 6),)).resized(640, 480)
    with SceneRenderer(shown) as renderer:
        renderer.frame(0)
        started = time.perf_counter()
        shapes = {renderer.frame(i).shape for i in range(20)}
        speed = 20 / (time.perf_counter() - started)
    print(f"{speed:.1f} frames/s of 640×480")
    record_property("frames_per_s", speed)
    assert shapes == {(480, 640, 3)}
