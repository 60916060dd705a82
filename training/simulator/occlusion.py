"""Which joints the camera cannot see because the body itself is in the way: simple geometry of thick limbs."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import INDEX
from training.simulator.body import J

F64 = NDArray[np.float64]

_TRUNK_DEPTH_M: Final = 0.10  # half thickness of a trunk seen from the side
# (occluder from, to, radius m, depth margin m, joints that it may hide)
_LIMBS: Final = tuple(
    (f"{a}_{f}", f"{a}_{t}", radius, margin, tuple(f"{b}_{n}" for n in hides))
    for a, b in (("left", "right"), ("right", "left"))
    for f, t, radius, margin, hides in (
        ("hip", "knee", 0.075, 0.07, ("hip", "knee", "ankle", "wrist", "elbow")),
        ("knee", "ankle", 0.05, 0.06, ("knee", "ankle", "wrist")),
        ("shoulder", "elbow", 0.05, 0.06, ("shoulder", "elbow", "wrist")),
        ("elbow", "wrist", 0.045, 0.06, ("elbow", "wrist")),
    )
)
_BEHIND_TRUNK: Final = (
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_shoulder", "right_shoulder",
)  # fmt: skip


def hidden(px: F64, depth: F64, joints: NDArray[np.floating], eye: F64, focal_px: float) -> F64:
    """(T, 17) how far each COCO joint is covered, 0 seen .. 1 covered.

    Args:
        px: (T, 27, 2) places in the picture; depth: (T, 27) m; joints: (T, 27, 3) m; eye: (3,) m.
    """
    out = np.zeros((len(px), 17))
    _behind_trunk(px, depth, focal_px, out)
    for start, end, radius, margin, names in _LIMBS:
        index = [INDEX[n] for n in names]
        cover = _cover(px, depth, J[start], J[end], radius, margin, index, focal_px)
        out[:, index] = np.maximum(out[:, index], cover)
    _face(joints, eye, out)
    return out


def _cover(
    px: F64, depth: F64, a: int, b: int, radius_m: F64 | float, margin_m: float, index: list[int], focal_px: float
) -> F64:
    """(T, N) soft cover of joints by the capsule a–b (its radius (T,) or a number)."""
    start, line = px[:, a, None], (px[:, b] - px[:, a])[:, None]
    points = px[:, index] - start
    along = np.sum(points * line, axis=2) / np.maximum(np.sum(line**2, axis=2), 1.0)
    along = np.clip(along, 0.0, 1.0)
    away = np.sqrt(np.sum((points - along[..., None] * line) ** 2, axis=2))
    here = depth[:, a, None] + along * (depth[:, b] - depth[:, a])[:, None]
    radius_px = np.reshape(radius_m, (-1, 1)) * focal_px / here
    behind = np.clip((depth[:, index] - here - margin_m) / 0.05, 0.0, 1.0)
    return behind * np.clip((1.15 - away / radius_px) / 0.3, 0.0, 1.0)


def _behind_trunk(px: F64, depth: F64, focal_px: float, out: F64) -> None:
    index = [INDEX[n] for n in _BEHIND_TRUNK]
    shoulders = np.abs(px[:, INDEX["left_shoulder"]] - px[:, INDEX["right_shoulder"]])
    axis = px[:, J["neck"]] - px[:, J["pelvis"]]
    axis /= np.maximum(np.sqrt(np.sum(axis**2, axis=1, keepdims=True)), 1.0)
    wide = np.abs(shoulders[:, 0] * axis[:, 1]) + np.abs(shoulders[:, 1] * axis[:, 0])
    half_m = np.maximum(_TRUNK_DEPTH_M, 0.42 * wide * depth[:, J["pelvis"]] / focal_px)
    cover = _cover(px, depth, J["neck"], J["pelvis"], half_m, 0.09, index, focal_px)
    out[:, index] = np.maximum(out[:, index], cover)


def _face(joints: NDArray[np.floating], eye: F64, out: F64) -> None:
    """Nose and eyes from behind, the far ear from the side."""
    ears = joints[:, [INDEX["left_ear"], INDEX["right_ear"]]]
    middle = ears.mean(axis=1)
    front, to_eye = joints[:, INDEX["nose"]] - middle, eye - middle
    out_left = ears[:, 0] - ears[:, 1]
    distance = np.sqrt(np.sum(to_eye**2, axis=1))
    facing = np.sum(front * to_eye, axis=1) / (np.sqrt(np.sum(front**2, axis=1)) * distance)
    leftness = np.sum(out_left * to_eye, axis=1) / (np.sqrt(np.sum(out_left**2, axis=1)) * distance)
    for name, cover in (
        ("nose", -facing - 0.15),
        ("left_eye", -facing - 0.9 * leftness - 0.2), ("right_eye", -facing + 0.9 * leftness - 0.2),
        ("left_ear", -leftness - 0.2), ("right_ear", leftness - 0.2),
    ):  # fmt: skip
        out[:, INDEX[name]] = np.clip(cover / 0.2, 0.0, 1.0)
