"""The pose stage: JPEG frames of many streams in, the poses of tracked people out, in px of the source."""

import struct
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from services.common import topics
from services.common.codec import EncodedFrame
from services.common.errors import InputError
from services.common.kafka.stage import SkippedError, Stage
from services.common.processor import Mark
from services.common.types import Frame, PoseFrame, StreamKey
from services.pose.adapters.engine import UNAVAILABLE, Engine
from services.pose.core.geometry import Instances
from services.pose.core.processor import People, Plan, PoseProcessor
from services.pose.core.scaling import scale_of, to_source

_HEAD: Final = struct.Struct("<4sHiid")
_MAGIC: Final = b"FCPS"
_VERSION: Final = 1
_WAITING: Final = 128
"""Frames of one partition in memory, some 40 kB each."""


class PoseStream:
    """One session of one stream, as the Kafka runner drives it.

    ``live``: a frame that would have to wait for inference is left out. What was had already is left out as well: a
    frame's number and time only grow.
    """

    def __init__(self, engine: Engine, stream: StreamKey, *, live: bool, people: People = "all") -> None:
        self.live = live
        self._engine = engine
        self._processor = PoseProcessor(engine.profile, stream, people)
        self._source = (0, 0, 1.0)  # size of the source, and its px per px of the picture

    def on_item(self, item: EncodedFrame) -> "Future[Sequence[PoseFrame]]":
        """Raises: InputError: it is no frame. SkippedError: it is not looked at."""
        if not isinstance(item, EncodedFrame):
            raise InputError(f"A {type(item).__name__} is no frame; only frames and marks belong into these topics.")
        if item.sequence <= self._processor.sequence:
            raise SkippedError("DUPLICATE")
        if item.time_s <= self._processor.time_s:
            raise SkippedError("LATE")
        if self.live and not self._engine.availability.up:
            raise SkippedError(UNAVAILABLE)
        return self._engine.work(self, item)

    def on_mark(self, mark: Mark) -> list[PoseFrame]:
        return self._in_source(self._processor.on_mark(mark))

    def snapshot(self) -> bytes:
        width_px, height_px, scale = self._source
        return _HEAD.pack(_MAGIC, _VERSION, width_px, height_px, scale) + self._processor.snapshot()

    def restore(self, state: bytes) -> None:
        """Raises: InputError: it is damaged, or of another version."""
        if len(state) < _HEAD.size:
            raise InputError("the pose stream's snapshot is cut off: start the stream anew")
        magic, version, width_px, height_px, scale = _HEAD.unpack_from(state)
        if (magic, version) != (_MAGIC, _VERSION):
            raise InputError(
                f"the pose stream's snapshot is of version {version}, not {_VERSION}: start the stream anew"
            )
        self._processor.restore(state[_HEAD.size :])
        self._source = (width_px, height_px, scale)

    # -- for the engine ------------------------------------------------------------------------------------------

    def plan(self, frame: Frame) -> Plan:
        return self._processor.plan(frame)

    def apply(self, plan: Plan, results: Sequence[Instances], given: EncodedFrame) -> list[PoseFrame]:
        height_px, width_px = plan.frame.image.shape[:2]
        scale = scale_of((width_px, height_px), given.width_px, given.height_px)
        self._source = (given.width_px, given.height_px, scale)
        return self._in_source(self._processor.apply(plan, results))

    def _in_source(self, found: Sequence[PoseFrame]) -> list[PoseFrame]:
        width_px, height_px, scale = self._source
        return [to_source(poses, scale, width_px, height_px) for poses in found]


def pose_stage(engine: Engine, *, people: People = "all", in_flight_frames: int = 8) -> Stage:
    """For the runner. ``in_flight_frames``: of live streams, and as many of files, at once."""

    def make(live: bool, stream: StreamKey) -> PoseStream:
        return PoseStream(engine, stream, live=live, people=people)

    return Stage(
        name="pose",
        inputs=(topics.FRAMES_LIVE, topics.FRAMES_FILE),
        output=topics.POSES,
        state=topics.POSE_STATE,
        make=lambda stream: make(False, stream),
        make_live=lambda stream: make(True, stream),
        live=frozenset({topics.FRAMES_LIVE}),
        publishes=(PoseFrame,),
        snapshot_s=0.0,
        waiting=_WAITING,
        in_flight_max=in_flight_frames,
    )
