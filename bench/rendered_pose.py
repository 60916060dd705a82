"""Does the pose network find the rendered figure as it finds a person? Keypoints against truth, by exercise and view.

    python -m bench.rendered_pose [--pose movenet] [--frames 4]

Each figure is another person in another room. Crops are cut around the true box, as a tracker would; a joint counts
where the picture shows it. Printed: OKS over those joints (area: the figure's pixels), PCK (within a fifth of the
torso's length), and the mean score of joints that can and that cannot be seen.
"""

import argparse
import sys
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import COCO_SIGMAS, JOINTS, K
from services.pose.adapters.onnx import OnnxBackend
from services.pose.core.geometry import Region
from services.pose.core.profiles import Profile
from training.render.looks import framed, sample_lighting, sample_look, sample_room
from training.render.scene import Actor, Scene, SceneRenderer
from training.render.truth import VISIBLE, FrameTruth, frame_truth
from training.simulator.generate import make_motion

EXERCISES: Final = (
    "bicep_curl", "shoulder_press", "lateral_raise", "front_raise", "squat", "bent_over_row", "lunge",
    "romanian_deadlift", "goblet_squat", "overhead_triceps_extension", "one_arm_row", "chest_press",
)  # fmt: skip
VIEWS_DEG: Final = {"front": 0.0, "three_quarter": 42.0, "side": 88.0}
SIZE_PX: Final = (480, 480)
TORSO: Final = (5, 6, 11, 12)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One frame of one figure: per joint similarity, hit, score and whether it can be seen, (17,) each."""

    exercise: str
    view: str
    similarity: NDArray[np.float64]
    hit: NDArray[np.bool_]
    score: NDArray[np.float32]
    seen: NDArray[np.bool_]


def scene_of(exercise: str, view: str, seed: int) -> Scene:
    """A figure of its own for each exercise, view and seed."""
    rng = np.random.default_rng([seed, EXERCISES.index(exercise), list(VIEWS_DEG).index(view)])
    motion = make_motion(exercise, rng, repetitions=1, family="held_out", fps=10, lead_s=0.3)
    azimuth = float(VIEWS_DEG[view] * rng.choice([-1, 1]) + rng.uniform(-6, 6))
    look = sample_look(rng)
    actor = Actor.of(motion, look, "lifter")
    camera = framed(actor.joints, azimuth, height_m=float(rng.uniform(0.9, 1.6)), size_px=SIZE_PX, fill=0.85)
    room, light = sample_room(rng, azimuth, (look.shirt,)), sample_lighting(rng, azimuth)
    return Scene((actor,), camera, light, room, fps=10, seed=seed, samples=0)


def compare(keypoints: NDArray[np.float32], truth: FrameTruth) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Of each joint (17,): COCO's similarity in [0, 1] (area: the pixels); whether within a fifth of the torso."""
    d2 = ((keypoints - truth.keypoints) ** 2).sum(1)
    a, b, c, d = (truth.keypoints[i] for i in TORSO)
    torso = float(np.linalg.norm((a + b - c - d) / 2))
    size = max(torso, 0.35 * float(np.sqrt(truth.pixels)))  # who bends towards the camera has a short torso
    similarity = np.exp(-d2 / (2 * max(truth.pixels, 1) * (2 * COCO_SIGMAS) ** 2))
    return similarity, np.sqrt(d2) <= 0.2 * size


def measure(
    scene: Scene, exercise: str, view: str, frames: int, profile: Profile, backend: OnnxBackend
) -> list[Sample]:
    out = []
    with SceneRenderer(scene) as renderer:
        for i in np.linspace(0, scene.frames - 1, frames).astype(int):
            truth = frame_truth(scene.actors, int(i), scene.camera, *renderer.owners(int(i)))[0]
            x0, y0, x1, y1 = truth.box
            region = Region((x0 + x1) / 2, (y0 + y1) / 2, 1.25 * max(x1 - x0, y1 - y0))
            crop = profile.crop(renderer.frame(int(i)), region)
            found = profile.decode(backend.infer(profile.following.name, crop[None]), [region], [True])[0]
            seen = truth.visible == VISIBLE
            if len(found.keypoints):
                out.append(Sample(exercise, view, *compare(found.keypoints[0], truth), found.scores[0], seen))
            else:
                out.append(Sample(exercise, view, np.zeros(K), np.zeros(K, bool), np.zeros(K, np.float32), seen))
    return out


def report(samples: list[Sample]) -> None:
    def mean(rows: list[Sample], name: str) -> float:
        values = np.concatenate([getattr(r, name)[r.seen] for r in rows]) if rows else np.zeros(0)
        return float(values.mean()) if len(values) else float("nan")

    print(f"{'exercise':28s}" + "".join(f"{v:>16s}" for v in VIEWS_DEG) + "      (OKS of joints that can be seen)")
    for exercise in EXERCISES:
        cells = [mean([s for s in samples if (s.exercise, s.view) == (exercise, v)], "similarity") for v in VIEWS_DEG]
        print(f"{exercise:28s}" + "".join(f"{c:16.3f}" for c in cells))
    views = [[s for s in samples if s.view == v] for v in VIEWS_DEG]
    print(f"{'all':28s}" + "".join(f"{mean(v, 'similarity'):16.3f}" for v in views))
    print(f"{'PCK, a fifth of the torso':28s}" + "".join(f"{mean(v, 'hit'):16.3f}" for v in views))
    similarity, hit = (np.array([getattr(s, n) for s in samples]) for n in ("similarity", "hit"))
    score, seen = (np.array([getattr(s, n) for s in samples]) for n in ("score", "seen"))
    print(f"{'joint':16s} seen   OKS   PCK  score seen  score hidden")
    for j, name in enumerate(JOINTS):
        v = seen[:, j]
        hidden = score[~v, j].mean() if (~v).any() else np.nan
        print(
            f"{name:16s} {v.mean():4.2f} {similarity[v, j].mean():5.3f} {hit[v, j].mean():5.3f} "
            f"{score[v, j].mean():11.2f} {hidden:13.2f}"
        )
    print(f"mean OKS {similarity[seen].mean():.3f}, PCK {hit[seen].mean():.3f}, {len(samples)} pictures")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pose", default="movenet")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    profile = Profile.get(args.pose)
    backend = OnnxBackend(profile, threads=1)
    samples = []
    for exercise in EXERCISES:
        for view in VIEWS_DEG:
            scene = scene_of(exercise, view, args.seed)
            samples += measure(scene, exercise, view, args.frames, profile, backend)
    report(samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
