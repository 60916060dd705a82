"""End-to-end test clips with exact truth: 6 exercises × 2 views × with and without a mistake.

``python -m training.render.clips --out DIR [--seed N] [--only NAME]``. Motions are of the family that no training data
uses. Another seed gives other people, rooms, cameras, tempos and numbers of repetitions.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.common.errors import FormcheckError
from training.render.looks import framed, sample_lighting, sample_look, sample_room
from training.render.scene import Actor, Scene
from training.render.video import Written, write_scene
from training.simulator.generate import make_motion

AZIMUTHS_DEG: Final = {"front": 0.0, "front_side": 45.0, "side": 84.0}

PLAN: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "bicep_curl": (("front_side", "TORSO_SWING"), ("side", "ELBOW_DRIFT")),
    "shoulder_press": (("front", "NO_LOCKOUT"), ("front_side", "START_TOO_HIGH")),
    "lateral_raise": (("front", "ABOVE_SHOULDER"), ("front_side", "RANGE_TOO_SHORT")),
    "squat": (("front_side", "TOO_SHALLOW"), ("side", "TORSO_COLLAPSES")),
    "bent_over_row": (("front_side", "SHORT_PULL"), ("side", "BODY_ENGLISH")),
    "lunge": (("front_side", "TORSO_LEAN"), ("side", "TOO_SHALLOW")),
}
"""Exercise → (view, the mistake planted in the clip of that view that has one): one which that view can show."""

FPS: Final = 20.0
SIZES_PX: Final = ((480, 360), (360, 480), (640, 360), (400, 400))


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip to make. ``mistake`` None: clean."""

    exercise: str
    view: str
    mistake: str | None
    seed: int

    @property
    def name(self) -> str:
        return f"{self.exercise}__{self.view}__{(self.mistake or 'clean').lower()}"


def all_clips(seed: int = 0) -> list[Clip]:
    """The 24, each with a seed of its own."""
    out = []
    for e, (exercise, views) in enumerate(PLAN.items()):
        for v, (view, mistake) in enumerate(views):
            for m, planted in enumerate((None, mistake)):
                out.append(Clip(exercise, view, planted, seed * 1000 + e * 10 + v * 2 + m))
    return out


def clip_scene(
    clip: Clip, *, fps: float = FPS, repetitions: int | None = None, size_px: tuple[int, int] | None = None
) -> Scene:
    """The scene of a clip; what is not given is drawn from its seed."""
    rng = np.random.default_rng([clip.seed, 7])
    count = int(rng.integers(4, 9))
    motion = make_motion(
        clip.exercise,
        rng,
        repetitions=repetitions or count,
        mistakes={clip.mistake: float(rng.uniform(0.75, 1.0))} if clip.mistake else None,
        family="held_out",
        fps=fps,
        lead_s=float(rng.uniform(0.8, 2.0)),
    )
    side = float(rng.choice([-1.0, 1.0]))
    azimuth = side * (AZIMUTHS_DEG[clip.view] + float(rng.uniform(-7, 7)))
    look = sample_look(rng)
    actor = Actor.of(motion, look, "lifter")
    camera = framed(
        actor.joints,
        azimuth,
        height_m=float(rng.uniform(0.9, 1.6)),
        fov_deg=float(rng.uniform(36, 50)),
        size_px=size_px or SIZES_PX[int(rng.integers(len(SIZES_PX)))],
        fill=float(rng.uniform(0.68, 0.86)),
        roll_deg=float(rng.normal(0, 0.8)),
    )
    return Scene(
        (actor,),
        camera,
        sample_lighting(rng, azimuth),
        sample_room(rng, azimuth, (look.shirt,)),
        fps=fps,
        seed=clip.seed,
        noise=float(rng.uniform(1.0, 3.5)),
        samples=0,
    )


def write_clip(clip: Clip, folder: Path, scene: Scene | None = None) -> Written:
    """The clip's files, made anew."""
    notes: dict[str, Any] = {"planted": clip.mistake}
    return write_scene(scene or clip_scene(clip), folder, clip.name, view=clip.view, crf=25, notes=notes)


def ensure_clips(folder: Path, clips: Sequence[Clip]) -> list[Path]:
    """Videos of all clips, made where they are missing, and ``labels.json`` of the folder."""
    paths = []
    for clip in clips:
        video = folder / f"{clip.name}.mp4"
        if not (video.exists() and video.with_suffix(".json").exists()):
            written = write_clip(clip, folder)
            print(f"{written.video.name}: {written.frames_per_s:.0f} frames/s", file=sys.stderr)
        paths.append(video)
    write_labels(folder, paths)
    return paths


def write_labels(folder: Path, videos: Sequence[Path]) -> Path:
    """``labels.json``: {"clips": {file name: …}} of the given videos, as the scorer of repetitions reads it."""
    clips: dict[str, Any] = {}
    for video in videos:
        clips |= json.loads(video.with_suffix(".json").read_text())["clips"]
    path = folder / "labels.json"
    path.write_text(json.dumps({"clips": clips}, indent=1))
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="make only the clips whose name contains this")
    args = parser.parse_args()
    try:
        paths = ensure_clips(args.out, [c for c in all_clips(args.seed) if args.only in c.name])
    except FormcheckError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(paths)} clips and labels.json in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
