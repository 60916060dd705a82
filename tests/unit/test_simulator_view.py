"""The camera and the simulated pose network."""

import numpy as np
import pytest

from services.common.skeleton import INDEX, VISIBLE_MIN
from training.simulator.camera import Camera
from training.simulator.generate import make_motion, sample_session
from training.simulator.labels import SimulatedMotion
from training.simulator.view import Estimator, coloured, normalised_per_frame, observe


@pytest.fixture(scope="module")
def curl() -> SimulatedMotion:
    return make_motion("bicep_curl", np.random.default_rng(1), repetitions=3)


def test_camera_sees_the_right_side_on_the_left(curl: SimulatedMotion) -> None:
    px = Camera(azimuth_deg=0).project(curl.joints[:1])[0]
    assert px[INDEX["left_shoulder"], 0] > px[INDEX["right_shoulder"], 0]
    assert px[INDEX["nose"], 1] < px[INDEX["left_hip"], 1] < px[INDEX["left_ankle"], 1]
    behind = Camera(azimuth_deg=180).project(curl.joints[:1])[0]
    assert behind[INDEX["left_shoulder"], 0] < behind[INDEX["right_shoulder"], 0]


def test_camera_projects_by_the_pinhole_law() -> None:
    camera = Camera(640, 480, azimuth_deg=0, height_m=1.0, distance_m=4.0, fov_deg=60.0, target=(0.0, 1.0, 0.0))
    px, depth = camera.view(np.array([[[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 2.0, 2.0]]]))
    focal = 240 / np.tan(np.radians(30))
    np.testing.assert_allclose(depth[0], [4, 4, 2])
    np.testing.assert_allclose(px[0], [[320, 240], [320 + focal / 4, 240], [320, 240 - focal / 2]], atol=1e-9)
    rolled = Camera(640, 480, 0, 1.0, 4.0, roll_deg=10.0, target=(0.0, 1.0, 0.0)).axes
    np.testing.assert_allclose(rolled @ rolled.T, np.eye(3), atol=1e-12)


def test_shake_and_pan_move_the_picture_and_are_repeatable(curl: SimulatedMotion) -> None:
    times = np.arange(len(curl.joints)) / curl.fps
    camera = Camera(pan_deg_s=1.0, shake_deg=0.4, shake_seed=3)
    moved = camera.project(curl.joints, times) - Camera().project(curl.joints)
    assert np.ptp(moved[:, 0, 0]) > 20
    np.testing.assert_array_equal(camera.project(curl.joints, times), camera.project(curl.joints, times))


def test_exact_estimator_gives_the_projection(curl: SimulatedMotion) -> None:
    camera = Camera(azimuth_deg=20)
    keypoints, scores = observe(curl, camera, np.random.default_rng(0), Estimator.exact())
    np.testing.assert_allclose(keypoints, camera.project(curl.joints)[:, :17], atol=1e-3)
    assert scores.min() >= 0
    assert scores.max() <= 1


@pytest.mark.parametrize(("azimuth", "seen", "covered"), [(90.0, "left", "right"), (-90.0, "right", "left")])
def test_far_arm_is_hidden_from_the_side(curl: SimulatedMotion, azimuth: float, seen: str, covered: str) -> None:
    _, scores = observe(curl, Camera(azimuth_deg=azimuth), np.random.default_rng(0), Estimator.exact())
    mean = scores.mean(axis=0)
    assert mean[INDEX[f"{seen}_elbow"]] > 0.6
    assert mean[INDEX[f"{covered}_elbow"]] < VISIBLE_MIN
    assert mean[INDEX[f"{covered}_ear"]] < VISIBLE_MIN < mean[INDEX[f"{seen}_ear"]]


def test_everything_is_seen_from_the_front_and_no_face_from_behind(curl: SimulatedMotion) -> None:
    _, front = observe(curl, Camera(azimuth_deg=0), np.random.default_rng(0), Estimator.exact())
    assert front.mean(axis=0).min() > 0.7
    _, back = observe(curl, Camera(azimuth_deg=180), np.random.default_rng(0), Estimator.exact())
    assert back[:, INDEX["nose"]].mean() < VISIBLE_MIN < back[:, INDEX["left_wrist"]].mean()


def test_joints_outside_the_picture_score_low(curl: SimulatedMotion) -> None:
    near = Camera(azimuth_deg=0, height_m=1.5, distance_m=1.6, fov_deg=40, target=(0.0, 1.4, 0.0))
    _, scores = observe(curl, near, np.random.default_rng(0), Estimator(losses=0, drops=0, jumps=0, swaps=0))
    assert scores[:, INDEX["left_ankle"]].max() < VISIBLE_MIN
    assert scores[:, INDEX["left_shoulder"]].mean() > 0.5


def test_noise_scales_with_the_body_and_is_coloured(curl: SimulatedMotion) -> None:
    calm = Estimator(jitter=0.02, white=0.0, colour_s=0.4, swaps=0, jumps=0, losses=0, drops=0)
    spread = []
    for distance in (2.5, 5.0):
        camera = Camera(azimuth_deg=0, distance_m=distance)
        keypoints, _ = observe(curl, camera, np.random.default_rng(0), calm)
        error = keypoints - camera.project(curl.joints)[:, :17]
        spread.append(float(error[:, 5:].std()))
        steps = np.diff(error[:, 5:], axis=0).std()
        assert steps < 0.6 * spread[-1]
    assert spread[0] == pytest.approx(2 * spread[1], rel=0.25)


def test_losses_drops_swaps_and_jumps_happen_as_often_as_asked(curl: SimulatedMotion) -> None:
    camera = Camera(azimuth_deg=90)
    base = Estimator.exact()
    plain, _ = observe(curl, camera, np.random.default_rng(0), base)
    for name, rate in (("drops", 0.2), ("losses", 0.3), ("swaps", 1.0), ("jumps", 1.0)):
        values = {f: getattr(base, f) for f in base.__dataclass_fields__} | {name: rate}
        keypoints, scores = observe(curl, camera, np.random.default_rng(0), Estimator(**values))
        assert np.abs(keypoints - plain).max() > 5, name
        if name in ("drops", "losses"):
            lost = scores.max(axis=1) == 0
            assert 0.02 < lost.mean() < 0.8
            assert not keypoints[lost].any()


def test_coloured_noise_has_unit_variance_and_the_asked_correlation() -> None:
    noise = coloured(np.random.default_rng(0), (6000, 4), 0.5, 30.0)
    assert noise.std() == pytest.approx(1.0, abs=0.1)
    lag = round(0.5 * 30)
    assert np.mean(noise[lag:] * noise[:-lag]) == pytest.approx(np.exp(-1), abs=0.12)


def test_per_frame_normalisation_fills_the_unit_square() -> None:
    session = sample_session(np.random.default_rng(2), normalised=0.0)
    scaled = normalised_per_frame(session.keypoints, session.scores)
    seen = session.scores.max(axis=1) > 0
    np.testing.assert_allclose(scaled[seen].min(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(scaled[seen].max(axis=1), 1, atol=1e-6)


def test_random_cameras_frame_the_person() -> None:
    shares = []
    for seed in range(25):
        session = sample_session(np.random.default_rng(seed), duration_s=12.0, fps=15.0)
        inside = (session.keypoints >= 0) & (session.keypoints <= [session.width_px, session.height_px])
        if session.motion.active.any():
            shares.append(float(inside.all(axis=2)[session.motion.active].mean()))
    assert np.mean(shares) > 0.75
    assert min(shares) < 0.98  # some bodies are cut off
