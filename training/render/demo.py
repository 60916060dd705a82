"""The demo clip of the repository: two sets of curls, the second with one mistake.

``python -m training.render.demo`` makes ``assets/demo.mp4`` and its truth, ``assets/demo.json``.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from services.common.errors import FormcheckError
from training.render.choreography import join
from training.render.figure import Look
from training.render.head import HeadLook
from training.render.looks import framed
from training.render.props import RoomLook
from training.render.renderer import Lighting
from training.render.scene import Actor, Scene
from training.render.video import write_scene
from training.simulator.body import Body
from training.simulator.generate import make_motion
from training.simulator.motion import Motion

FPS = 25.0
SEED = 11
AZIMUTH_DEG = 62.0


def demo_scene(seed: int = SEED, fps: float = FPS) -> Scene:
    """Five clean curls, a rest, four curls of which each swings the trunk; seen from the front and side."""
    body = Body.average(1.78)

    def sets(count: int, mistakes: dict[str, float], lead_s: float) -> Motion:
        # the same seed gives both sets the same manner
        return make_motion(
            "bicep_curl", np.random.default_rng(seed), repetitions=count, mistakes=mistakes, tempo_s=2.9,
            family="held_out", side="both", body=body, fps=fps, lead_s=lead_s,
        )  # fmt: skip

    motion = join(sets(5, {}, 1.0), sets(4, {"TORSO_SWING": 0.9}, 1.0), 4.0)
    look = Look(
        head=HeadLook(skin=(0.82, 0.62, 0.49), hair=(0.16, 0.1, 0.07), hair_style="short", lips=(0.7, 0.42, 0.38)),
        shirt=(0.13, 0.42, 0.66),
        legs=(0.13, 0.14, 0.17),
        shoes=(0.88, 0.88, 0.88),
        socks=(0.9, 0.9, 0.9),
        arm=1.08,
    )
    actor = Actor.of(motion, look, "lifter")
    camera = framed(actor.joints, AZIMUTH_DEG, height_m=1.2, fov_deg=36.0, size_px=(480, 600), fill=0.84)
    room = RoomLook(
        yaw_deg=AZIMUTH_DEG - 8, behind_m=2.1, floor=(0.66, 0.5, 0.36), wall=(0.82, 0.81, 0.78), floor_kind="wood",
        wall_kind="plaster", stripe=None, clutter=3, mat=(0.22, 0.26, 0.3), half_width_m=3.8,
    )  # fmt: skip
    sun = np.radians(AZIMUTH_DEG - 48)
    light = Lighting(sun=(float(np.sin(sun)), 1.15, float(np.cos(sun))))
    return Scene((actor,), camera, light, room, fps=fps, seed=seed, noise=1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("assets"))
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    try:
        written = write_scene(
            replace(demo_scene(args.seed), samples=4), args.out, "demo", view="front_side", crf=27, preset="slow"
        )
    except FormcheckError as error:
        print(error, file=sys.stderr)
        return 1
    size = written.video.stat().st_size / 1e6
    print(f"{written.video} ({size:.2f} MB) and {written.truth}, drawn at {written.frames_per_s:.0f} frames/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
