"""Made streams of poses for the tests of the segment stage: simulated lifters, edits, gaps."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache

import numpy as np

from services.common.processor import Mark, MarkKind
from services.common.skeleton import mirror
from services.common.types import LOCAL_STREAM, NetworkTrace, PoseFrame, Repetition, Status, TrackedPose
from services.segment.adapters.onnx import OnnxRecurrentNetwork
from services.segment.core.processor import SegmentProcessor
from training.simulator.camera import Camera
from training.simulator.generate import make_motion
from training.simulator.motion import Motion

Output = Repetition | NetworkTrace


@lru_cache(maxsize=1)
def network() -> OnnxRecurrentNetwork:
    return OnnxRecurrentNetwork()


@lru_cache(maxsize=8)
def lifter(exercise: str, seed: int = 0, repetitions: int = 3, fps: float = 25.0) -> tuple[Motion, np.ndarray]:
    """A motion and its keypoints (T, 17, 2) px through a fixed camera."""
    rng = np.random.default_rng(seed)
    motion = make_motion(exercise, rng, repetitions=repetitions, tempo_s=2.4, fps=fps)
    px = Camera(azimuth_deg=25.0).project(motion.joints[:, :17])
    return motion, px.astype(np.float32)


def pose_frames(tracks: Sequence[np.ndarray], fps: float = 25.0, offsets: Sequence[int] = (0, 0)) -> list[PoseFrame]:
    """Frames of several people; person i appears ``offsets[i]`` frames late."""
    n = max(len(k) + o for k, o in zip(tracks, offsets, strict=False))
    scores = np.full(17, 0.9, np.float32)
    out = []
    for t in range(n):
        people = tuple(
            TrackedPose(i + 1, k[t - o], scores, np.array([0, 0, 640, 480], np.float32))
            for i, (k, o) in enumerate(zip(tracks, offsets, strict=False))
            if 0 <= t - o < len(k)
        )
        out.append(PoseFrame(LOCAL_STREAM, t, t / fps, 640, 480, people))
    return out


def end(frames: Sequence[PoseFrame]) -> Mark:
    return Mark(LOCAL_STREAM, MarkKind.EOF, frames[-1].time_s)


def feed(processor: SegmentProcessor, items: Iterable[PoseFrame | Mark]) -> list[Output]:
    out: list[Output] = []
    for item in items:
        out += processor.on_mark(item) if isinstance(item, Mark) else processor.on_item(item)
    return out


def segment(frames: Sequence[PoseFrame], trace: bool = False) -> list[Output]:
    return feed(SegmentProcessor(network(), trace=trace), [*frames, end(frames)])


def confirmed(outputs: Iterable[Output], track_id: int | None = None) -> list[Repetition]:
    return [
        o
        for o in outputs
        if isinstance(o, Repetition) and o.status is Status.CONFIRMED and track_id in (None, o.track_id)
    ]


def as_bytes(value: object) -> bytes:
    """Everything an output holds, bit for bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str.encode() + value.tobytes()
    if is_dataclass(value) and not isinstance(value, type):
        return b"|".join(as_bytes(getattr(value, f.name)) for f in fields(value))
    return repr(value).encode()


def mirrored(frame: PoseFrame) -> PoseFrame:
    people = []
    for p in frame.people:
        keypoints, scores = mirror(p.keypoints, p.scores, float(frame.width_px))
        people.append(replace(p, keypoints=keypoints, scores=scores))
    return replace(frame, people=tuple(people))
