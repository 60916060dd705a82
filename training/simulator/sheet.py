"""Contact sheets of stick figures, to look at what the simulator does.

    python -m training.simulator.sheet exercises out.png [ID ...]
    python -m training.simulator.sheet mistakes out.png ID ...
    python -m training.simulator.sheet generic out.png
    python -m training.simulator.sheet sessions out.png [SEED ...]

Left is blue, right is red, dumbbell handles are green.
"""

import sys
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import BONES, VISIBLE_MIN
from training.simulator.body import Body, J
from training.simulator.camera import Camera
from training.simulator.exercises import VARIANTS, Exercise
from training.simulator.generate import labels, sample_session
from training.simulator.generic import GENERIC
from training.simulator.mistakes import MISTAKES
from training.simulator.perform import Style, perform
from training.simulator.plans import plant
from training.simulator.trajectory import RepetitionPlan

Image = NDArray[np.uint8]
_SIZE: Final = 190
_LINES: Final = [
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("pelvis", "spine"), ("spine", "neck"),
    ("neck", "head_top"), ("neck", "nose"),
    *[
        (f"{s}_{a}", f"{s}_{b}") for s in ("left", "right")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "hand"), ("hip", "knee"), ("knee", "ankle"),
                     ("ankle", "heel"), ("heel", "toe"), ("ankle", "toe"))
    ],
]  # fmt: skip
_AZIMUTHS: Final = (0.0, 80.0)


def _colour(a: str, b: str) -> tuple[int, int, int]:
    left, right = a.startswith("left") and b.startswith("left"), a.startswith("right") and b.startswith("right")
    return (200, 60, 0) if left else (0, 0, 200) if right else (60, 60, 60)


def figure(joints: NDArray[np.floating], grip: NDArray[np.floating], azimuth_deg: float) -> Image:
    """One posture, joints (27, 3) and grip (2, 3), as a square picture."""
    camera = Camera(_SIZE, _SIZE, azimuth_deg, 1.0, 4.8, fov_deg=30.0, target=(0.0, 1.0, 0.0))
    image = np.full((_SIZE, _SIZE, 3), 250, np.uint8)

    def at(points: NDArray[np.floating]) -> list[tuple[int, int]]:
        return [(round(x), round(y)) for x, y in camera.project(points[None])[0].tolist()]

    cross = at(np.array([[-1.0, 0, 0], [1, 0, 0], [0, 0, -1], [0, 0, 1]]))
    cv2.line(image, cross[0], cross[1], (205, 205, 205))
    cv2.line(image, cross[2], cross[3], (205, 205, 205))
    px = at(joints)
    for a, b in _LINES:
        cv2.line(image, px[J[a]], px[J[b]], _colour(a, b), 2, cv2.LINE_AA)
    for k, hand in enumerate(("left_hand", "right_hand")):
        ends = at(joints[J[hand]] + np.array([[-0.12], [0.12]]) * grip[k])
        cv2.line(image, ends[0], ends[1], (0, 150, 0), 3, cv2.LINE_AA)
    return image


def _strip(form: Exercise, text: str, mistakes: dict[str, float], shares: tuple[float, ...]) -> Image:
    """One repetition at these shares of its way (0 rest, 1 far end, 1.5 half way back), front and side."""
    side = form.sides[0][0] if form.sides[0][0] == "both" else "left"
    plan = plant(
        RepetitionPlan(0.5, 1.4, 0.0, 1.4, side), form, mistakes, np.random.default_rng(0), share=1.0, weak_side="right"
    )
    times = 0.5 + np.array([s * plan.out_s if s <= 1 else plan.out_s + (s - 1) * plan.back_s for s in shares])
    channels, _ = perform(form, [plan], times, np.random.default_rng(0), style=Style(sway=0.0), side=side)
    joints, grip = Body.average().joints(channels)
    image = np.concatenate([figure(j, g, a) for a in _AZIMUTHS for j, g in zip(joints, grip, strict=True)], axis=1)
    cv2.putText(image, text, (4, 13), 0, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return image


def session_strip(seed: int, columns: int = 14) -> Image:
    """Evenly spaced frames of a random session as the pose network saw it; black marks a set, red a hidden joint."""
    session = sample_session(np.random.default_rng(seed), duration_s=28.0)
    truth = labels(session.motion)
    ticks = np.linspace(0, len(session.keypoints) - 1, columns).astype(int)
    tiles = []
    for t in ticks:
        scale = _SIZE / max(session.width_px, session.height_px)
        tile = np.full((_SIZE, _SIZE, 3), 250 if truth.activity[t] else 225, np.uint8)
        px = [(round(x), round(y)) for x, y in (session.keypoints[t] * scale).tolist()]
        for a, b in BONES:
            seen = min(session.scores[t, a], session.scores[t, b]) >= VISIBLE_MIN
            colour = (200, 60, 0) if a % 2 and b % 2 else (0, 0, 200) if not (a % 2 or b % 2) else (60, 60, 60)
            cv2.line(tile, px[a], px[b], colour if seen else (200, 200, 200), 2 if seen else 1, cv2.LINE_AA)
        cv2.putText(tile, f"{t / session.motion.fps:.1f}s {truth.progress[t]:.2f}", (4, 184), 0, 0.38, (0, 0, 0), 1)
        tiles.append(tile)
    image = np.concatenate(tiles, axis=1)
    name = f"seed {seed} {session.motion.exercise} {len(session.motion.repetitions)} rep {session.motion.fps:.0f} fps"
    cv2.putText(image, name, (4, 13), 0, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return image


def main(kind: str, path: str, *names: str) -> None:
    """Write one sheet."""
    whole, way = (0.0, 0.5, 1.0), (0.0, 0.35, 0.5, 1.0, 1.5)
    if kind == "exercises":
        rows = [_strip(f, e, {}, whole) for e in names or VARIANTS for f in VARIANTS[e]]
    elif kind == "generic":
        rows = [_strip(f, e, {}, whole) for e, f in GENERIC.items()]
    elif kind == "sessions":
        rows = [session_strip(int(seed)) for seed in names or range(8)]
    else:
        rows = [
            _strip(VARIANTS[e][0], f"{e} {code or 'clean'}", {code: 1.0} if code else {}, way)
            for e in names
            for code in (None, *MISTAKES[e])
        ]
    cv2.imwrite(path, np.concatenate(rows))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
