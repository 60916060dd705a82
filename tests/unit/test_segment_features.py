"""Resampling and features: causal, mirrorable, blind to place and scale, calm about hidden joints."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import ShapeError
from services.common.skeleton import INDEX, mirror
from services.segment.core.features import FEATURES, F, FeatureExtractor, mirror_features
from services.segment.core.resample import TICK_S, TrackResampler, resample

_STANDING = np.array(
    [[320, 80], [330, 70], [310, 70], [340, 78], [300, 78], [370, 140], [270, 140], [385, 230], [255, 230],
     [390, 310], [250, 310], [350, 300], [290, 300], [352, 420], [288, 420], [354, 540], [286, 540]],
    np.float32,
)  # fmt: skip


def curling(ticks: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(T, 17, 2) px of someone who curls one arm with a little noise, and full scores."""
    rng = np.random.default_rng(seed)
    body = np.repeat(_STANDING[None], ticks, axis=0) + rng.normal(0, 1, (ticks, 17, 2))
    angle = np.pi * 0.7 * (0.5 - 0.5 * np.cos(np.arange(ticks) * 2 * np.pi / 30))
    body[:, INDEX["left_wrist"], 0] = body[:, INDEX["left_elbow"], 0] + 80 * np.sin(angle)
    body[:, INDEX["left_wrist"], 1] = body[:, INDEX["left_elbow"], 1] + 80 * np.cos(angle)
    return body.astype(np.float32), np.full((ticks, 17), 0.9, np.float32)


def run(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    extractor = FeatureExtractor()
    return np.concatenate([extractor.step(k[None], s[None]) for k, s in zip(keypoints, scores, strict=True)])


def test_mirrored_body_gives_mirrored_features() -> None:
    keypoints, scores = curling(60)
    scores[20:30, INDEX["left_wrist"]] = 0.1
    scores[40:45, 5:7] = 0.1
    flipped = run(*mirror(keypoints, scores, 640.0))
    np.testing.assert_allclose(mirror_features(run(keypoints, scores)), flipped, atol=2e-4)


def test_mirror_is_its_own_inverse() -> None:
    x = np.random.default_rng(0).normal(size=(5, F)).astype(np.float32)
    np.testing.assert_array_equal(mirror_features(mirror_features(x)), x)


def test_place_and_size_do_not_matter() -> None:
    keypoints, scores = curling(60)
    np.testing.assert_allclose(run(keypoints * 2.5 + 300, scores), run(keypoints, scores), atol=2e-3)


def test_hidden_joint_stays_where_it_was() -> None:
    keypoints, scores = curling(40)
    wrist = INDEX["left_wrist"]
    scores[20:, wrist] = 0.0
    keypoints[20:, wrist] = 1e4  # what is hidden must not matter
    features = run(keypoints, scores)
    column = FEATURES.index("shoulder-wrist.left.y")
    assert np.abs(np.diff(features[21:, column])).max() < 0.05
    assert features[30, FEATURES.index("seen-wrist.left.even")] == 0


def test_nobody_at_all_is_finite_and_said() -> None:
    features = run(np.zeros((5, 17, 2), np.float32), np.zeros((5, 17), np.float32))
    assert np.isfinite(features).all()
    assert (features[:, FEATURES.index("present.mid.even")] == 0).all()


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(ShapeError):
        FeatureExtractor(2).step(np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.float32))


def test_state_round_trip_is_exact() -> None:
    keypoints, scores = curling(40)
    a = FeatureExtractor()
    for t in range(20):
        a.step(keypoints[t : t + 1], scores[t : t + 1])
    b = FeatureExtractor()
    b.load({k: v.copy() for k, v in a.state().items()})
    for t in range(20, 40):
        want = a.step(keypoints[t : t + 1], scores[t : t + 1])
        np.testing.assert_array_equal(b.step(keypoints[t : t + 1], scores[t : t + 1]), want)


@given(st.integers(0, 10_000), st.floats(8, 60))
@settings(max_examples=25, deadline=None)
def test_streaming_resampling_equals_whole(seed: int, fps: float) -> None:
    """Tick by tick, with only the frames up to a tick later, gives what the whole sequence gives."""
    rng = np.random.default_rng(seed)
    n = int(2 * fps) + 2
    times = np.cumsum(rng.uniform(0.5, 1.5, n) / fps)
    keypoints = rng.uniform(0, 600, (n, 17, 2)).astype(np.float32)
    scores = rng.uniform(0, 1, (n, 17)).astype(np.float32)
    ticks = np.arange(np.ceil(times[0] / TICK_S), np.floor(times[-1] / TICK_S)) * TICK_S
    want, want_scores = resample(times, keypoints, scores, ticks)
    stream = TrackResampler()
    fed = 0
    for i, tick in enumerate(ticks):
        while fed < n and (fed == 0 or times[fed - 1] < tick + TICK_S - 1e-9):
            stream.push(float(times[fed]), keypoints[fed], scores[fed])
            fed += 1
        got, got_scores = stream.at(float(tick))
        stream.forget(float(tick) + TICK_S)
        seen = got_scores >= 0.3
        np.testing.assert_allclose(got_scores[seen], want_scores[i][seen], atol=1e-4)
        np.testing.assert_allclose(got[seen], want[i][seen], atol=0.05)


@given(st.integers(0, 10_000), st.sampled_from([5.0, 10.0, 12.5, 25.0]))
@settings(max_examples=60, deadline=None)
def test_one_tick_alone_is_bridged_as_among_others(seed: int, fps: float) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    times = np.arange(n) / fps if seed % 2 else np.sort(rng.uniform(0, n / fps, n))
    keypoints = rng.uniform(0, 600, (n, 17, 2)).astype(np.float32)
    scores = rng.choice(np.array([0.1, 0.5, 0.9], np.float32), (n, 17))
    tick = int(rng.integers(0, 12)) * TICK_S
    alone, among = (resample(times, keypoints, scores, np.full(count, tick)) for count in (1, 2))
    np.testing.assert_allclose(alone[1][0], among[1][0], atol=1e-5)
    np.testing.assert_allclose(alone[0][0], among[0][0], atol=1e-2)


def test_moving_joint_is_interpolated_linearly() -> None:
    times = np.arange(30) / 10.0
    keypoints = np.repeat((times * 100)[:, None, None], 17, axis=1).repeat(2, axis=2).astype(np.float32)
    got, _ = resample(times, keypoints, np.ones((30, 17), np.float32), np.arange(3, 40) * TICK_S)
    np.testing.assert_allclose(got[:, 0, 0], np.arange(3, 40) * TICK_S * 100, atol=0.01)
