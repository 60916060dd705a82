"""Meshes, bones and cameras of the renderer: geometry that needs no OpenGL."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.render.bones import BONES, B, J, Measures, head_frame, pose_bones
from training.render.camera import FAR_M, NEAR_M, ViewCamera
from training.render.choreography import Spot, Story, gait, join
from training.render.figure import CUTS, LEGWEAR, Look, figure_mesh
from training.render.head import HeadLook, hair_mesh, head_mesh
from training.render.looks import framed, sample_look
from training.render.mesh import Mesh, box, capsule, disc_prism, ellipsoid, tube
from training.render.props import dumbbell
from training.simulator.body import Body
from training.simulator.generate import make_motion
from training.simulator.motion import Motion


def motion_of(exercise: str = "bicep_curl", seed: int = 1, **more: object) -> Motion:
    return make_motion(exercise, np.random.default_rng(seed), repetitions=2, family="held_out", fps=15, **more)  # type: ignore[arg-type]


def outward(mesh: Mesh, centre: np.ndarray) -> tuple[float, float]:
    """Shares of normals and of triangles (by their winding) that point away from the centre."""
    p, n, t = mesh.vertices["position"], mesh.vertices["normal"], mesh.triangles
    face = np.cross(p[t[:, 1]] - p[t[:, 0]], p[t[:, 2]] - p[t[:, 0]])
    real = np.linalg.norm(face, axis=1) > 1e-9
    middle = p[t].mean(1)
    normals = (np.einsum("ij,ij->i", n, p - centre) > 0).mean()
    return float(normals), float((np.einsum("ij,ij->i", face, middle - centre)[real] > 0).mean())


@pytest.mark.parametrize(
    "mesh",
    [
        tube([0, 1], [0.3, 0.2]),
        tube([0, 0.5, 1], [0.2, 0.3, 0.1], [0.1, 0.2, 0.1], power=2.5, caps=(0.2, 0.3)),
        capsule((0.1, 0.2, 0.3), (0.4, -0.5, 0.6), 0.1, 0.2),
        ellipsoid((1, 2, 3), (0.1, 0.2, 0.3)),
        box((1, 2, 3), (0.1, 0.2, 0.3)),
        disc_prism(6, 0.1, 0.05, 0.01),
        tube([0, 1], [0.3, 0.2]).moved(np.diag([-1.0, 1.0, 1.0, 1.0])),
    ],
    ids=["tube", "squarish tube", "capsule", "ellipsoid", "box", "hexagon", "mirrored tube"],
)
def test_normals_and_windings_point_outward(mesh: Mesh) -> None:
    low, high = mesh.vertices["position"].min(0), mesh.vertices["position"].max(0)
    normals, windings = outward(mesh, (low + high) / 2)
    assert normals > 0.98
    assert windings > 0.98


def test_a_head_and_its_hair_point_outward() -> None:
    look = HeadLook((0.8, 0.6, 0.5), hair_style="swept")
    hair = hair_mesh(look)
    assert hair is not None
    for mesh in (head_mesh(look, 0), hair):
        normals, windings = outward(mesh, np.array([0, 0.01, 0.0]))
        assert normals > 0.9
        assert windings > 0.9
    assert hair_mesh(HeadLook((0.8, 0.6, 0.5), hair_style="bald")) is None


@given(
    eye=st.tuples(st.floats(-4, 4), st.floats(0.3, 3), st.floats(2, 6)),
    point=st.tuples(st.floats(-1, 1), st.floats(0, 2), st.floats(-1, 1)),
    fov=st.floats(20, 70),
    roll=st.floats(-20, 20),
)
def test_the_matrix_and_project_agree(
    eye: tuple[float, float, float], point: tuple[float, float, float], fov: float, roll: float
) -> None:
    camera = ViewCamera(eye, (0.0, 1.0, 0.0), fov, 640, 360, roll)
    px, depth = camera.project(np.array(point))
    clip = camera.matrix() @ [*point, 1.0]
    ndc = clip[:3] / clip[3]
    assert clip[3] == pytest.approx(depth)
    assert (ndc[0] + 1) / 2 * 640 == pytest.approx(px[0], abs=1e-6)
    assert (ndc[1] + 1) / 2 * 360 == pytest.approx(px[1], abs=1e-6)
    if NEAR_M < depth < FAR_M:
        assert -1 <= ndc[2] <= 1


@given(azimuth=st.floats(-180, 180), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_a_framed_camera_holds_every_point(azimuth: float, seed: int) -> None:
    points = np.random.default_rng(seed).uniform([-0.8, 0, -0.8], [0.8, 2.1, 0.8], (40, 3))
    camera = framed(points, azimuth, size_px=(480, 640), fill=0.9)
    px, depth = camera.project(points)
    assert (depth > 0).all()
    assert (np.abs(px - [240, 320]) <= 0.9 * np.array([240, 320]) + 0.01).all()


@pytest.mark.parametrize("exercise", ["bicep_curl", "shoulder_press", "lunge", "bent_over_row", "chest_press"])
def test_bones_end_at_the_joints(exercise: str) -> None:
    motion = motion_of(exercise)
    joints = motion.joints.astype(float)
    m = Measures.of(joints)
    bones = pose_bones(joints, motion.grip, m)
    assert bones.shape == (len(joints), len(BONES), 4, 4)
    assert np.isfinite(bones).all()
    limbs = {
        "upper": ("shoulder", "elbow", m.upper_arm), "fore": ("elbow", "wrist", m.forearm),
        "thigh": ("hip", "knee", m.thigh), "shin": ("knee", "ankle", m.shin), "foot": ("heel", "toe", m.foot),
    }  # fmt: skip
    for side in ("left", "right"):
        for bone, (start, end, length) in limbs.items():
            matrix = bones[:, B[f"{side}_{bone}"]]
            np.testing.assert_allclose(matrix[:, :3, 3], joints[:, J[f"{side}_{start}"]], atol=1e-6)
            tip = matrix @ [0.0, length, 0.0, 1.0]
            np.testing.assert_allclose(tip[:, :3], joints[:, J[f"{side}_{end}"]], atol=1e-5)
    assert (np.linalg.det(bones[..., :3, :3]) > 0).all(), "no part is turned inside out"


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_painted_face_lies_on_the_true_face(seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion = make_motion("bicep_curl", rng, repetitions=1, body=Body.sample(rng), fps=5)
    joints = motion.joints.astype(float)
    matrix = head_frame(joints)
    for name, place in {
        "left_eye": (0.032, 0.03, 0.085), "right_eye": (-0.032, 0.03, 0.085), "nose": (0, -0.008, 0.106),
        "left_ear": (0.076, 0.0, 0.0), "right_ear": (-0.076, 0.0, 0.0),
    }.items():  # fmt: skip
        there = (matrix @ [*place, 1.0])[:, :3]
        gap = np.linalg.norm(there - joints[:, J[name]], axis=1)
        assert gap.max() < 0.018, name


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("legwear", LEGWEAR)
def test_every_cut_and_legwear_makes_a_figure_of_finite_size(cut: str, legwear: str) -> None:
    measures = Measures.of(motion_of().joints.astype(float))
    look = Look(HeadLook((0.8, 0.6, 0.5)), cut=cut, legwear=legwear, bust=0.5)
    mesh = figure_mesh(look, measures, 0)
    assert np.isfinite(mesh.vertices["position"]).all()
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices["normal"], axis=1), 1, atol=1e-3)
    assert mesh.triangles.max() < len(mesh.vertices)
    assert set(np.unique(mesh.vertices["skin"][:, :2])) <= set(range(len(BONES)))
    assert len(mesh.triangles) < 40_000


def test_looks_follow_their_seed_and_avoid_worn_shirts() -> None:
    assert sample_look(np.random.default_rng(5)) == sample_look(np.random.default_rng(5))
    worn = (sample_look(np.random.default_rng(5)).shirt,)
    for seed in range(20):
        other = sample_look(np.random.default_rng(seed), worn)
        assert np.abs(np.subtract(other.shirt, worn[0])).sum() > 0.25


def test_a_dumbbell_lies_along_x() -> None:
    p = dumbbell(0.05, "round", (0.1, 0.1, 0.1)).vertices["position"]
    extent = p.max(0) - p.min(0)
    assert 0.2 < extent[0] < 0.4
    assert extent[1] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_walking_keeps_the_legs_lengths_and_a_foot_on_the_floor(seed: int) -> None:
    stand = motion_of(seed=seed).joints[0].astype(float)
    joints, grip = gait(stand, 3.0, 25.0)
    before, after = Measures.of(stand[None]), Measures.of(joints)
    assert after.thigh == pytest.approx(before.thigh, rel=1e-6)
    assert after.shin == pytest.approx(before.shin, rel=1e-6)
    feet = joints[:, [J[f"{s}_{p}"] for s in ("left", "right") for p in ("heel", "toe")], 1]
    np.testing.assert_allclose(feet.min(1), 0, atol=1e-9)
    assert np.abs(np.diff(joints, axis=0)).max() * 25 < 6.0, "nothing moves faster than 6 m/s"
    np.testing.assert_allclose(np.linalg.norm(grip, axis=-1), 1)


def test_a_joined_motion_shifts_the_second_truth_and_does_not_jump() -> None:
    first, second = motion_of(seed=4), motion_of(seed=4)
    both = join(first, second, 2.0)
    later = (len(first.joints) + 30) / first.fps
    assert len(both.repetitions) == 4
    assert both.repetitions[2].onset_s == pytest.approx(second.repetitions[0].onset_s + later)
    assert len(both.joints) == len(both.phase) == len(both.grip) == 2 * len(first.joints) + 30
    assert np.abs(np.diff(both.joints, axis=0)).max() < 0.3


def test_a_story_trains_where_it_walked_to() -> None:
    motion = motion_of()
    story = Story(motion, Spot(-1.5, 0.0, 0.0)).stand(0.5).walk(Spot(1.0, 0.5, 30.0)).train()
    actor = story.actor("walker", sample_look(np.random.default_rng(0)))
    assert len(actor.joints) == story.frames
    onset = actor.repetitions[0].onset_s
    pelvis = actor.joints[round(onset * motion.fps), J["pelvis"]]
    assert pelvis[[0, 2]] == pytest.approx([1.0, 0.5], abs=0.15)
    elbow = {
        t: np.linalg.norm(
            actor.joints[round(t * motion.fps), J["left_wrist"]]
            - actor.joints[round(t * motion.fps), J["left_shoulder"]]
        )
        for t in (onset, actor.repetitions[0].turn_s)
    }
    assert elbow[actor.repetitions[0].turn_s] < 0.75 * elbow[onset], "the arm is bent at the true turn"
