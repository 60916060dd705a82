"""Streams for the stages, and what one undisturbed process says to them, as bytes."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from services.common.kafka.messages import Record, decode, encode, stream_key
from services.common.processor import Mark, MarkKind
from services.common.types import PoseFrame, Repetition, Status, StreamKey
from services.segment.core.processor import SegmentProcessor
from tests.unit.segment_scene import lifter, network, pose_frames

EXERCISES = ("bicep_curl", "lateral_raise", "squat", "shoulder_press")
FPS = 12.5

Items = Mapping[StreamKey, Sequence[Any]]


def lifting(key: StreamKey, exercise: str, seed: int = 0) -> list[PoseFrame]:
    """Poses of three repetitions."""
    frames = pose_frames([lifter(exercise, seed=seed, fps=FPS)[1]], fps=FPS)
    return [PoseFrame(key, f.sequence, f.time_s, f.width_px, f.height_px, f.people) for f in frames]


@lru_cache(maxsize=1)
def poses() -> dict[StreamKey, list[PoseFrame | Mark]]:
    """A lifter per stream, each closed by a mark."""
    out: dict[StreamKey, list[PoseFrame | Mark]] = {}
    for i, exercise in enumerate(EXERCISES):
        key = StreamKey("gym", f"camera-{i}", "1")
        frames = lifting(key, exercise, seed=i)
        out[key] = [*frames, Mark(key, MarkKind.EOF, frames[-1].time_s)]
    return out


@lru_cache(maxsize=1)
def repetitions() -> dict[StreamKey, list[Repetition | Mark]]:
    """What segment says to ``poses``."""
    said = {key: answers(SegmentProcessor(network()), items) for key, items in poses().items()}
    for key, events in said.items():
        confirmed = [r for r in events if isinstance(r, Repetition) and r.status is Status.CONFIRMED]
        assert len(confirmed) >= 2, f"{key} is too dull to test with"
    return said


def answers(processor: Any, items: Sequence[Any], publishes: tuple[type, ...] = (object,)) -> list[Any]:
    """What a processor says to items that travelled as bytes; marks follow it."""
    said: list[Any] = []
    for item in items:
        if isinstance(item, Mark):
            said += [*processor.on_mark(item), item]
        else:
            said += [o for o in processor.on_item(through_bytes(item)) if isinstance(o, publishes)]
    return said


def expected(streams: Items, make: Callable[[], Any]) -> dict[bytes, list[bytes]]:
    """Values by record key."""
    return {stream_key(key): [encode(o)[0] for o in answers(make(), items)] for key, items in streams.items()}


def interleaved(streams: Items) -> list[Any]:
    """All streams' items as they come from cameras: in turn."""
    lists = list(streams.values())
    return [items[i] for i in range(max(map(len, lists))) for items in lists if i < len(items)]


def through_bytes(item: Any) -> Any:
    value, headers = encode(item)
    return decode(Record("", 0, 0, b"", value, headers))
