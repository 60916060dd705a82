"""Poses of videos, kept between runs: another segmentation network needs no pose network again."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from services.common.types import LOCAL_STREAM, PoseFrame, TrackedPose

_ROOT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = _ROOT / ".cache" / "poses"
_SOURCES: Final = ("services/pose", "services/ingest")


@lru_cache(maxsize=1)
def version() -> str:
    """Eight hex digits that change with the source of the stages before: poses of older ones are not used."""
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((_ROOT / folder).rglob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


def find_poses(path: Path, profile_name: str) -> list[PoseFrame]:
    """Every frame of a video through the pose stage."""
    from services.ingest.adapters.media import VideoReader
    from services.local.pipeline import ANALYSIS_SHORT_SIDE_PX
    from services.pose.adapters.local import LocalPose
    from services.pose.adapters.onnx import OnnxBackend
    from services.pose.core.processor import PoseProcessor
    from services.pose.core.profiles import Profile
    from services.pose.core.scaling import to_source

    profile = Profile.get(profile_name)
    pose = LocalPose(PoseProcessor(profile, LOCAL_STREAM), OnnxBackend(profile, threads=1))
    out: list[PoseFrame] = []
    with VideoReader(str(path), max_short_side_px=ANALYSIS_SHORT_SIDE_PX, stream=LOCAL_STREAM) as reader:
        info = reader.info
        for _, found in pose.stream(reader):
            out += [to_source(p, reader.scale, info.width_px, info.height_px) for p in found]
    return out


def save(path: Path, frames: list[PoseFrame]) -> None:
    """Poses as arrays: one row per person and frame."""
    rows = [(i, p) for i, f in enumerate(frames) for p in f.people]
    part = path.with_suffix(".part.npz")
    np.savez_compressed(
        part,
        times_s=np.array([f.time_s for f in frames]),
        size_px=np.array([[f.width_px, f.height_px] for f in frames]),
        flags=np.array([[f.cut, f.frozen] for f in frames]),
        ended=np.array([(i, t) for i, f in enumerate(frames) for t in f.ended], np.int64).reshape(-1, 2),
        frame=np.array([i for i, _ in rows], np.int64),
        track=np.array([p.track_id for _, p in rows], np.int64),
        keypoints=np.array([p.keypoints for _, p in rows], np.float32).reshape(-1, 17, 2),
        scores=np.array([p.scores for _, p in rows], np.float32).reshape(-1, 17),
        box=np.array([p.box for _, p in rows], np.float32).reshape(-1, 4),
    )
    part.replace(path)


def load(path: Path) -> list[PoseFrame]:
    """What ``save`` wrote."""
    z = dict(np.load(path).items())
    people: dict[int, list[TrackedPose]] = {}
    for i, track, k, s, b in zip(z["frame"], z["track"], z["keypoints"], z["scores"], z["box"], strict=True):
        people.setdefault(int(i), []).append(TrackedPose(int(track), k, s, b))
    return [
        PoseFrame(
            LOCAL_STREAM, i, float(t), int(size[0]), int(size[1]), tuple(people.get(i, ())),
            tuple(int(track) for f, track in z["ended"] if f == i), bool(flags[0]), bool(flags[1]),
        )
        for i, (t, size, flags) in enumerate(zip(z["times_s"], z["size_px"], z["flags"], strict=True))
    ]  # fmt: skip


def kept_at(video: Path, profile: str) -> Path:
    """Where the poses of a video are kept; another video of the same name has another place."""
    stat = video.stat()
    key = hashlib.sha256(f"{video.name} {stat.st_size}".encode()).hexdigest()[:6]
    return CACHE / f"{video.stem}.{key}.{profile}.{version()}.npz"


@dataclass(frozen=True, slots=True)
class PoseSource:
    """Where poses of videos come from. ``fresh``: found anew; ``kept``: from the newest cache, even one of another
    version of the pose stage."""

    profile: str = "movenet"
    fresh: bool = False
    kept: bool = False

    def of(self, video: Path) -> list[PoseFrame]:
        """Poses of a video, from the cache if they are there."""
        CACHE.mkdir(parents=True, exist_ok=True)
        wanted = kept_at(video, self.profile)
        others = [p for p in CACHE.glob(f"{wanted.name.rsplit('.', 2)[0]}.*.npz") if p != wanted]
        if self.kept and not wanted.exists() and others:
            return load(max(others, key=lambda p: p.stat().st_mtime))
        if self.fresh or not wanted.exists():
            save(wanted, find_poses(video, self.profile))
            for other in others:
                other.unlink(missing_ok=True)
        return load(wanted)
