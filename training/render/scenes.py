"""Gym scenes with one, two and four people who train at once, and two in which people cross.

``python -m training.render.scenes --out DIR [--seed N] [--only NAME]`` writes videos with the truth of everybody:
repetitions, keypoints, boxes and identities per frame.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from services.common.errors import FormcheckError
from training.render.choreography import Spot, Story
from training.render.figure import Look
from training.render.looks import framed, sample_lighting, sample_look, sample_room
from training.render.mesh import Colour
from training.render.scene import Actor, Scene, longest
from training.render.video import Written, write_scene
from training.simulator.generate import make_motion
from training.simulator.motion import Motion

FPS: Final = 20.0
TRAINED: Final = ("bicep_curl", "shoulder_press", "lateral_raise", "squat", "front_raise", "hammer_curl")


class _Cast:
    """Draws people who can be told from one another by their shirts."""

    def __init__(self, rng: np.random.Generator, fps: float, repetitions: int | None = None) -> None:
        self.rng, self.fps, self.repetitions = rng, fps, repetitions
        self.shirts: tuple[Colour, ...] = ()
        self.exercises = list(rng.permutation(TRAINED))

    def look(self) -> Look:
        look = sample_look(self.rng, self.shirts)
        self.shirts = (*self.shirts, look.shirt)
        return look

    def motion(self, repetitions: int | None = None, exercise: str | None = None, seed: int | None = None) -> Motion:
        """A clean set; the same ``seed`` gives the same body and manner."""
        exercise = exercise or str(self.exercises.pop())
        count = int(self.rng.integers(4, 8))
        count = self.repetitions or repetitions or count
        rng = np.random.default_rng(int(self.rng.integers(1 << 30)) if seed is None else seed)
        return make_motion(
            exercise, rng, repetitions=count, side="both", family="held_out", fps=self.fps,
            tempo_s=float(np.random.default_rng(rng.integers(1 << 30)).uniform(2.6, 4.0)), lead_s=0.8,
        )  # fmt: skip


def _solo(cast: _Cast) -> list[Actor]:
    """Somebody walks in, does a set, walks out."""
    story = Story(cast.motion(), Spot(-2.6, 0.3, 90.0))
    story.walk(Spot(0.0, 0.0, 20.0)).stand(0.8).train().stand(0.5).walk(Spot(2.6, 0.3, 90.0))
    return [story.actor("solo", cast.look())]


def _pair(cast: _Cast) -> list[Actor]:
    """Two side by side, each at their own exercise and pace."""
    out = []
    for name, spot, wait in (("left", Spot(-0.85, 0.0, 12.0), 0.2), ("right", Spot(0.85, -0.3, -25.0), 1.7)):
        out.append(Story(cast.motion(), spot).stand(wait).train().stand(0.5).actor(name, cast.look()))
    return out


def _four(cast: _Cast) -> list[Actor]:
    """Four in two rows."""
    spots = (Spot(-1.7, 0.4, 25.0), Spot(1.55, 0.5, -15.0), Spot(-0.6, -1.3, 5.0), Spot(0.75, -1.5, -35.0))
    return [
        Story(cast.motion(), spot)
        .stand(float(cast.rng.uniform(0.2, 2.0)))
        .train()
        .stand(0.5)
        .actor(f"lifter {k + 1}", cast.look())
        for k, spot in enumerate(spots)
    ]


def _walk_past(cast: _Cast) -> list[Actor]:
    """One trains all the while; the other trains, walks past before the first, and trains on the other side."""
    seeds = cast.rng.integers(1 << 30, size=2)
    stays = Story(cast.motion(8, seed=int(seeds[0])), Spot(0.0, -0.7, 10.0)).stand(0.3).train()
    exercise = str(cast.exercises.pop())
    first, second = (cast.motion(n, exercise, seed=int(seeds[1])) for n in (3, 4))
    walks = Story(first, Spot(-1.6, 0.4, 20.0)).stand(0.3).train().walk(Spot(1.6, 0.5, -20.0)).train(second)
    return [stays.actor("stays", cast.look()), walks.stand(0.5).actor("walks", cast.look())]


def _swap(cast: _Cast) -> list[Actor]:
    """Both train, walk across each other's way, and train on in each other's place."""
    seeds, out = cast.rng.integers(1 << 30, size=2), []
    places = ((Spot(-1.1, 0.25, 15.0), Spot(1.1, 0.3, -15.0)), (Spot(1.1, -0.35, -15.0), Spot(-1.1, -0.3, 15.0)))
    stories = []
    for k, (start, _) in enumerate(places):
        exercise = str(cast.exercises.pop())
        first, second = (cast.motion(n, exercise, seed=int(seeds[k])) for n in (3, 4 - k))
        stories.append((Story(first, start).stand(0.3).train(), second))
    # who is done first waits, so that both are on their way at once
    end = max(story.time_s for story, _ in stories)
    for k, (story, second) in enumerate(stories):
        story.stand(end - story.time_s + 0.3).walk(places[k][1]).stand(0.3).train(second).stand(0.5)
        out.append(story.actor(("front", "back")[k], cast.look()))
    return out


SCENES: Final[dict[str, tuple[Callable[[_Cast], list[Actor]], tuple[int, int]]]] = {
    "solo": (_solo, (640, 480)),
    "pair": (_pair, (640, 480)),
    "four": (_four, (960, 540)),
    "walk_past": (_walk_past, (854, 480)),
    "swap": (_swap, (854, 480)),
}
"""Name → who does what, and the picture's size in px."""


def gym_scene(
    name: str,
    seed: int = 0,
    *,
    fps: float = FPS,
    size_px: tuple[int, int] | None = None,
    repetitions: int | None = None,
) -> Scene:
    """One of SCENES with people, room and light drawn from the seed. ``repetitions``: of every set, if not drawn."""
    build, size = SCENES[name]
    rng = np.random.default_rng([seed, list(SCENES).index(name)])
    cast = _Cast(rng, fps, repetitions)
    actors = longest(build(cast))
    azimuth = float(rng.uniform(-8, 8))
    room = sample_room(rng, azimuth, cast.shirts)
    everyone = np.concatenate([a.joints[:: round(fps)].reshape(-1, 3) for a in actors])
    if name == "solo":  # who comes and goes does so through the picture's edge
        everyone = everyone[np.abs(everyone[:, 0]) < 1.3]
    camera = framed(
        everyone, azimuth, height_m=float(rng.uniform(1.3, 1.7)), fov_deg=44.0, size_px=size_px or size, fill=0.88
    )
    return Scene(actors, camera, sample_lighting(rng, azimuth), room, fps=fps, seed=seed, noise=2.0, samples=0)


def write_gym_scene(name: str, folder: Path, seed: int = 0) -> Written:
    return write_scene(gym_scene(name, seed), folder, name, view="front", crf=24, notes={"scene": name})


def ensure_scenes(folder: Path, names: tuple[str, ...] = tuple(SCENES), seed: int = 0) -> list[Path]:
    """Videos of the scenes, made where they are missing."""
    paths = []
    for name in names:
        video = folder / f"{name}.mp4"
        if not (video.exists() and video.with_suffix(".json").exists()):
            written = write_gym_scene(name, folder, seed)
            print(f"{written.video.name}: {written.frames_per_s:.0f} frames/s", file=sys.stderr)
        paths.append(video)
    return paths


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="make only the scenes whose name contains this")
    args = parser.parse_args()
    try:
        paths = ensure_scenes(args.out, tuple(n for n in SCENES if args.only in n), args.seed)
    except FormcheckError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(paths)} scenes in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
