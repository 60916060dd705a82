"""What is true of a rendered video: repetitions, joints in px and whether they can be seen, boxes, identities."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import K
from training.render.camera import ViewCamera
from training.render.scene import Actor, Scene
from training.simulator.motion import TrueRepetition

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

SCHEMA: Final = "formcheck.rendered/1"

OUTSIDE: Final = 0
HIDDEN: Final = 1
VISIBLE: Final = 2

# m from a joint's centre to the skin on the camera's side, with room for hair, cloth and held weights
_COVER_M: Final = np.array(
    [0.06] + [0.05] * 2 + [0.06] * 2 + [0.13] * 2 + [0.10] * 2 + [0.09] * 2 + [0.19] * 2 + [0.13] * 2 + [0.11] * 2
)


@dataclass(frozen=True, slots=True, eq=False)
class FrameTruth:
    """One actor in one frame: keypoints (17, 2) px, visible (17,) OUTSIDE | HIDDEN | VISIBLE, box (4,) x0 y0 x1 y1 px
    around the seen ``pixels`` (NaN where none is seen)."""

    keypoints: F64
    visible: NDArray[np.int64]
    box: F64
    pixels: int


def frame_truth(
    actors: tuple[Actor, ...], i: int, camera: ViewCamera, owners: NDArray[np.uint8], depth: F32
) -> list[FrameTruth]:
    """The truth of frame ``i`` from the owners and depths of its pixels."""
    out = []
    for k, actor in enumerate(actors):
        px, z = camera.project(actor.joints[i, :K])
        mine = owners == k + 1
        columns, rows = np.flatnonzero(mine.any(0)), np.flatnonzero(mine.any(1))
        box = np.full(4, np.nan)
        if len(rows):
            box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
        out.append(FrameTruth(px, _visible(px, z, k + 1, owners, depth), box, int(mine.sum())))
    return out


def _visible(px: F64, z: F64, owner: int, owners: NDArray[np.uint8], depth: F32) -> NDArray[np.int64]:
    height, width = owners.shape
    column, row = np.floor(px[:, 0]).astype(int), np.floor(px[:, 1]).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (z > 0)
    c, r = np.clip(column, 0, width - 1), np.clip(row, 0, height - 1)
    own = owners[r, c] == owner
    near = depth[r, c] >= z - _COVER_M
    return np.where(inside, np.where(own & near, VISIBLE, HIDDEN), OUTSIDE)


def _repetition(r: TrueRepetition) -> dict[str, Any]:
    return {
        "onset_s": round(r.onset_s, 3),
        "turn_s": round(r.turn_s, 3),
        "offset_s": round(r.offset_s, 3),
        "exercise": r.exercise,
        "side": r.side,
        "counted": r.counted,
        "reason": r.reason,
        "mistakes": {code: round(float(v), 3) for code, v in r.mistakes.items()},
    }


def label(actor: Actor, view: str, frames: int, fps: float) -> dict[str, Any]:
    """One clip's entry of a labels file, in the form that the scorer of repetitions reads."""
    counted = [r for r in actor.repetitions if r.counted]
    reps = [
        {
            "start": round(r.onset_s, 3),
            "peak": round(r.turn_s, 3),
            "end": round(r.offset_s, 3),
            "form": "wrong" if r.mistakes else "correct",
            "side": r.side,
            "mistakes": sorted(r.mistakes),
        }
        for r in counted
    ]
    spans = [[round(r.onset_s, 3), round(r.offset_s, 3)] for r in actor.repetitions if not r.counted]
    out: dict[str, Any] = {"exercise": actor.exercise, "complete_reps": len(reps), "reps": reps, "ignore": spans}
    return out | {"no_reps": not reps, "view": view, "duration_s": round(frames / fps, 3), "rendered": True}


def document(scene: Scene, truths: list[list[FrameTruth]], name: str, view: str) -> dict[str, Any]:
    """The JSON beside a video. ``clips`` speaks of the first person, as a labels file does."""
    camera = scene.camera
    people = []
    for k, actor in enumerate(scene.actors):
        mine = [t[k] for t in truths]
        boxes = [None if np.isnan(t.box).any() else [int(x) for x in t.box] for t in mine]
        people.append(
            {
                "id": k + 1,
                "name": actor.name,
                "exercise": actor.exercise,
                "repetitions": [_repetition(r) for r in actor.repetitions],
                "keypoints_px": [[[round(float(x), 1) for x in p] for p in t.keypoints] for t in mine],
                "visible": ["".join(str(int(v)) for v in t.visible) for t in mine],
                "box_px": boxes,
                "pixels": [t.pixels for t in mine],
            }
        )
    return {
        "schema": SCHEMA,
        "fps": scene.fps,
        "frames": scene.frames,
        "width_px": camera.width_px,
        "height_px": camera.height_px,
        "camera": {
            "eye_m": list(camera.eye),
            "target_m": list(camera.target),
            "fov_deg": camera.fov_deg,
            "roll_deg": camera.roll_deg,
        },
        "seed": scene.seed,
        "clips": {name: label(scene.actors[0], view, scene.frames, scene.fps)},
        "people": people,
    }
