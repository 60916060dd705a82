"""What only travels on topics: marks, encoded frames and snapshots survive the way through bytes."""

import pytest
from formcheck.v1 import events_pb2, state_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.common import codec
from services.common.errors import ShapeError
from services.common.processor import Mark, MarkKind
from services.common.types import StreamKey

names = st.text(max_size=12)
keys = st.builds(StreamKey, names, names, names)
times = st.floats(-1e6, 1e6)
sizes = st.integers(1, 2**31 - 1)
longs = st.integers(0, 2**62)

marks = st.builds(Mark, keys, st.sampled_from(MarkKind), times)
frames = st.builds(
    codec.EncodedFrame, keys, longs, times, st.binary(min_size=1, max_size=64), sizes, sizes, st.booleans(),
    st.booleans(), times,
)  # fmt: skip
snapshots = st.builds(
    codec.Snapshot, keys, st.binary(max_size=64), names, st.integers(0, 2**31 - 1), longs, st.none() | times,
    st.lists(names, max_size=4).map(tuple),
)  # fmt: skip


@given(marks)
def test_mark_survives(mark: Mark) -> None:
    data = codec.mark_to_proto(mark).SerializeToString()
    assert codec.mark_from_proto(events_pb2.Mark.FromString(data)) == mark


@given(frames)
def test_frame_survives(frame: codec.EncodedFrame) -> None:
    data = codec.frame_to_proto(frame).SerializeToString()
    assert codec.frame_from_proto(events_pb2.Frame.FromString(data)) == frame


@given(snapshots)
def test_snapshot_survives(snapshot: codec.Snapshot) -> None:
    data = codec.snapshot_to_proto(snapshot).SerializeToString()
    assert codec.snapshot_from_proto(state_pb2.Snapshot.FromString(data)) == snapshot


@pytest.mark.parametrize("kind", [0, 77])
def test_a_mark_of_an_unknown_kind_is_refused(kind: int) -> None:
    with pytest.raises(ValueError):
        codec.mark_from_proto(events_pb2.Mark(kind=kind))  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"jpeg": b""}, {"width_px": 0}, {"height_px": -1}])
def test_a_frame_without_picture_or_size_is_refused(change: dict[str, object]) -> None:
    message = events_pb2.Frame(jpeg=b"x", width_px=4, height_px=3)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ShapeError, match="must be positive"):
        codec.frame_from_proto(message)


def test_a_snapshot_of_another_version_is_refused() -> None:
    with pytest.raises(ShapeError, match="version 9"):
        codec.snapshot_from_proto(state_pb2.Snapshot(version=9))
