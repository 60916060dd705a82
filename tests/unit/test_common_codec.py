"""Dataclass → protobuf bytes → dataclass loses nothing (poses) or no more than the stated step (windows)."""

import numpy as np
import pytest
from formcheck.v1 import events_pb2, types_pb2
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from services.common import codec
from services.common.errors import ShapeError
from services.common.types import (
    Assessment,
    ErrorFinding,
    Phases,
    PoseFrame,
    PoseWindow,
    Reason,
    Repetition,
    Status,
    StreamKey,
    TrackedPose,
)  # fmt: skip

names = st.text(max_size=12)
keys = st.builds(StreamKey, names, names, names)
times = st.floats(-1e6, 1e6)
small = st.integers(0, 2**31 - 1)
unit = st.floats(0, 1)


def f32(shape: tuple[int, ...], low: float, high: float) -> st.SearchStrategy:
    return hnp.arrays(np.float32, shape, elements=st.floats(low, high, width=32))


people = st.builds(TrackedPose, small, f32((17, 2), -1000, 5000), f32((17,), 0, 1), f32((4,), -1000, 5000))
pose_frames = st.builds(
    PoseFrame, keys, st.integers(0, 2**62), times, small, small, st.lists(people, max_size=3).map(tuple),
    st.lists(small, max_size=3).map(tuple), st.booleans(), st.booleans(),
)  # fmt: skip


@st.composite
def windows(draw: st.DrawFn) -> PoseWindow:
    t = draw(st.integers(0, 4))
    start = draw(st.floats(0, 1e5))
    return PoseWindow(start + np.arange(t) / 30, draw(f32((t, 17, 2), -4000, 8000)), draw(f32((t, 17), 0, 1)))


repetitions = st.builds(
    Repetition, names, keys, small, st.sampled_from(Status), times, times, st.none() | times, st.none() | times,
    small, small, names, unit, unit, st.none() | st.sampled_from(Reason),
    st.none() | st.builds(Phases, times, times, times, times), st.none() | windows(),
)  # fmt: skip
findings = st.builds(
    ErrorFinding,
    names,
    unit,
    unit,
    times,
    times,
    names,
    st.sampled_from([None, "left", "right", "both"]),
    times,
)
optional_numbers = st.none() | times
assessments = st.builds(
    Assessment, repetitions, st.floats(0, 100), st.lists(findings, max_size=2).map(tuple),
    st.lists(names, max_size=2).map(tuple), st.none() | st.text(min_size=1, max_size=9),
    st.fixed_dictionaries({"left": optional_numbers, "right": optional_numbers}), optional_numbers,
    st.dictionaries(names, optional_numbers, max_size=3),
)  # fmt: skip


def assert_same_window(a: PoseWindow | None, b: PoseWindow | None) -> None:
    assert (a is None) == (b is None)
    if a is None or b is None:
        return
    extent = float(np.ptp(a.keypoints, axis=(0, 1)).max()) if len(a.times_s) else 0.0
    np.testing.assert_allclose(b.times_s, a.times_s, atol=1e-6)
    np.testing.assert_allclose(b.keypoints, a.keypoints, atol=extent / 65_000 + 2e-3)
    np.testing.assert_allclose(b.scores, a.scores, atol=0.5 / 255 + 1e-6)


def assert_same_repetition(a: Repetition, b: Repetition) -> None:
    for name in Repetition.__slots__:
        if name == "window":
            assert_same_window(a.window, b.window)
        else:
            assert getattr(a, name) == getattr(b, name), name


@given(pose_frames)
def test_pose_frame_survives_exactly(frame: PoseFrame) -> None:
    wire = codec.pose_frame_to_proto(frame).SerializeToString()
    back = codec.pose_frame_from_proto(events_pb2.PoseFrame.FromString(wire))
    assert codec.pose_frame_to_proto(back).SerializeToString() == wire
    for a, b in zip(frame.people, back.people, strict=True):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        np.testing.assert_array_equal(a.scores, b.scores)
    assert (back.stream, back.sequence, back.time_s, back.ended, back.cut, back.frozen) == (
        frame.stream, frame.sequence, frame.time_s, frame.ended, frame.cut, frame.frozen,
    )  # fmt: skip


@given(repetitions)
def test_repetition_survives(rep: Repetition) -> None:
    wire = codec.repetition_to_proto(rep).SerializeToString()
    assert_same_repetition(rep, codec.repetition_from_proto(events_pb2.RepetitionEvent.FromString(wire)))


@given(assessments)
def test_assessment_survives(a: Assessment) -> None:
    wire = codec.assessment_to_proto(a).SerializeToString()
    back = codec.assessment_from_proto(events_pb2.AssessmentEvent.FromString(wire))
    assert_same_repetition(a.repetition, back.repetition)
    for name in ("score", "errors", "not_observable", "cue", "range_of_motion_deg", "asymmetry", "measures"):
        assert getattr(a, name) == getattr(back, name), name


def test_ten_second_window_stays_small() -> None:
    window = PoseWindow(np.arange(300) / 30, np.random.default_rng(0).random((300, 17, 2), np.float32) * 1080,
                        np.ones((300, 17), np.float32))  # fmt: skip
    assert len(codec.window_to_proto(window).SerializeToString()) <= 32 * 1024


def test_malformed_messages_are_refused() -> None:
    with pytest.raises(ShapeError, match="34, 17 and 4"):
        codec.pose_frame_from_proto(events_pb2.PoseFrame(people=[types_pb2.TrackedPose(keypoints_px=[1.0])]))
    with pytest.raises(ShapeError, match="expected 68"):
        codec.window_from_proto(types_pb2.PoseWindow(times_us=[1], keypoints_i16=b"x"))
    with pytest.raises(ShapeError, match="expected"):
        codec.window_to_proto(PoseWindow(np.zeros(2), np.zeros((3, 17, 2), np.float32), np.zeros((2, 17), np.float32)))
    with pytest.raises(ValueError, match="unspecified"):
        codec.repetition_from_proto(events_pb2.RepetitionEvent())
