"""Clips for cameras and files of the stack's benchmarks: rendered once, kept, with their truth beside them."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.common.errors import FormcheckError
from training.render.cache import rendered_folder
from training.render.clips import Clip, clip_scene, write_clip
from training.render.scene import Scene
from training.render.scenes import gym_scene
from training.render.video import write_scene

SIZES_PX: Final = {"360p": (640, 360), "720p": (1280, 720)}
_SEED: Final = 5
_REPETITIONS: Final = 5


@dataclass(frozen=True, slots=True)
class CameraClip:
    """A clip and what is true of it."""

    path: Path
    people: int

    @property
    def truth(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.path.with_suffix(".json").read_text())
        return read

    @property
    def duration_s(self) -> float:
        truth = self.truth
        return float(truth["frames"]) / float(truth["fps"])


def camera_clip(size: str, people: int) -> CameraClip:
    """One lifter who fills the picture, or four in a gym; ``size``: 360p or 720p. Rendered on first use."""
    folder = rendered_folder("cameras")
    path = folder / f"{'one' if people == 1 else 'four'}-{size}.mp4"
    if not (path.exists() and path.with_suffix(".json").exists()):
        print(f"rendering {path.name} …", file=sys.stderr, flush=True)
        write_scene(_scene(size, people), folder, path.stem, view="front_side", crf=24)
    return CameraClip(path, people)


def _scene(size: str, people: int) -> Scene:
    if people == 1:
        clip = Clip("bicep_curl", "front_side", None, _SEED)
        return clip_scene(clip, repetitions=_REPETITIONS, size_px=SIZES_PX[size])
    return gym_scene("four", _SEED, size_px=SIZES_PX[size], repetitions=_REPETITIONS)


def file_clips(count: int = 2) -> list[Path]:
    """Short clips of different exercises, 640 × 360, for uploads."""
    folder = rendered_folder("uploads")
    wanted = [
        Clip("squat", "front_side", None, 3),
        Clip("lateral_raise", "front", "ABOVE_SHOULDER", 4),
        Clip("bicep_curl", "front_side", "TORSO_SWING", 6),
    ][:count]
    out = []
    for clip in wanted:
        path = folder / f"{clip.name}.mp4"
        if not (path.exists() and path.with_suffix(".json").exists()):
            print(f"rendering {path.name} …", file=sys.stderr, flush=True)
            write_clip(clip, folder, clip_scene(clip, size_px=SIZES_PX["360p"], repetitions=_REPETITIONS))
        out.append(path)
    return out


def lasting(clip: Path, seconds: float, out: Path) -> Path:
    """The clip again and again up to ``seconds``, not encoded anew. Raises FormcheckError: ffmpeg fails."""
    _ffmpeg("-stream_loop", "-1", "-i", str(clip), "-an", "-c", "copy", "-t", f"{seconds:g}", str(out))
    return out


def small(clip: Path, height_px: int, fps: float, out: Path, *, start_s: float = 0.0, seconds: float = 1e6) -> Path:
    """A part of the clip at another size and rate, one key frame a second. Raises FormcheckError: ffmpeg fails."""
    _ffmpeg(
        "-ss", f"{start_s:g}", "-i", str(clip), "-t", f"{seconds:g}", "-an",
        "-vf", f"scale=-2:{height_px},fps={fps:g}", "-c:v", "libx264", "-preset", "veryfast", "-crf", "24",
        "-g", f"{fps:g}", "-pix_fmt", "yuv420p", "-threads", "1", str(out),
    )  # fmt: skip
    return out


def _ffmpeg(*arguments: str) -> None:
    if shutil.which("ffmpeg") is None:
        raise FormcheckError("Clips are cut with ffmpeg, which is not installed: apt-get install -y ffmpeg")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FormcheckError(f"ffmpeg failed: {' '.join(done.stderr.split())[-300:]}")
