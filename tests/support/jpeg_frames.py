"""Frames as ingest sends them, made of the demo clip, and what the one-process pipeline finds in them."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from services.common.codec import EncodedFrame
from services.common.jpeg import decode_jpeg, encode_jpeg
from services.common.kafka.messages import encode
from services.common.processor import Mark, MarkKind
from services.common.types import Frame, PoseFrame, StreamKey
from services.ingest.adapters.media import VideoReader
from services.pose.adapters.local import LocalPose
from services.pose.core.processor import PoseProcessor
from services.pose.core.profiles import Profile
from services.pose.core.scaling import scale_of, to_source
from tests.conftest import ROOT
from tests.pose_backends import backend

DEMO = ROOT / "assets" / "demo.mp4"
SHORT_SIDE_PX = 240


@lru_cache(maxsize=4)
def _pictures(start_s: float, count: int) -> tuple[list[tuple[float, bytes]], tuple[int, int]]:
    with VideoReader(str(DEMO), start_s=start_s, max_short_side_px=SHORT_SIDE_PX, threads=1) as reader:
        found = [(f.time_s - start_s, encode_jpeg(f.image)) for f, _ in zip(reader, range(count), strict=False)]
        assert len(found) == count
        return found, (reader.info.width_px, reader.info.height_px)


def jpeg_frames(stream: StreamKey, count: int, start_s: float = 0.0) -> list[EncodedFrame]:
    """The clip's frames from ``start_s`` on."""
    pictures, (width_px, height_px) = _pictures(start_s, count)
    return [
        EncodedFrame(stream, i, time_s, jpeg, width_px, height_px, captured_unix_s=1.7e9 + time_s)
        for i, (time_s, jpeg) in enumerate(pictures)
    ]


def file_stream(stream: StreamKey, count: int, start_s: float = 0.0) -> list[EncodedFrame | Mark]:
    """A whole file of so many frames: a mark in its middle, and its end."""
    frames = jpeg_frames(stream, count, start_s)
    middle = Mark(stream, MarkKind.HEARTBEAT, frames[count // 2].time_s - 1e-4)
    end = Mark(stream, MarkKind.EOF, frames[-1].time_s)
    return [*frames[: count // 2], middle, *frames[count // 2 :], end]


def one_process(items: Iterable[EncodedFrame | Mark]) -> list[PoseFrame | Mark]:
    """What one process says to one stream's frames: their poses, and the marks between them."""
    said: list[PoseFrame | Mark] = []
    pose: LocalPose | None = None
    scale, size_px = 1.0, (0, 0)
    for item in items:
        if pose is None:
            pose = LocalPose(PoseProcessor(Profile.get("movenet"), item.stream), backend("movenet"))
        found: Sequence[PoseFrame]
        if isinstance(item, Mark):
            found = pose.on_mark(item)
        else:
            image = decode_jpeg(item.jpeg)
            size_px = item.width_px, item.height_px
            scale = scale_of((image.shape[1], image.shape[0]), *size_px)
            found = pose.on_item(Frame(item.stream, item.sequence, item.time_s, image, item.cut, item.frozen))
        said += [to_source(poses, scale, *size_px) for poses in found]
        said += [item] if isinstance(item, Mark) else []
    return said


def as_values(items: Iterable[PoseFrame | Mark]) -> list[bytes]:
    """As they lie in the topic."""
    return [encode(item)[0] for item in items]
