"""From joints to the matrices that carry a figure's parts."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.render.camera import unit
from training.simulator.motion import JOINTS_3D

F64 = NDArray[np.float64]

J: Final = {name: i for i, name in enumerate(JOINTS_3D)}

BONES: Final = (
    "root", "pelvis", "chest", "neck", "head", "left_collar", "right_collar", "left_upper", "right_upper",
    "left_fore", "right_fore", "left_hand", "right_hand", "left_thigh", "right_thigh", "left_shin",
    "right_shin", "left_foot", "right_foot", "left_bell", "right_bell",
)  # fmt: skip
B: Final = {name: i for i, name in enumerate(BONES)}

FACE: Final = {"eye_x": 0.032, "eye_y": 0.03, "nose_z": 0.106, "ear_x": 0.076}
"""Where the model head has its features, m from the middle between the ears (x left, y up, z forward)."""


@dataclass(frozen=True, slots=True)
class Measures:
    """A skeleton's rest lengths, m."""

    lower_spine: float
    upper_spine: float
    neck: float
    shoulder_half: float
    hip_half: float
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shin: float
    foot: float
    ankle_height: float

    @classmethod
    def of(cls, joints: F64) -> "Measures":
        """Medians over a motion's joints (T, 27, 3)."""

        def apart(a: str, b: str) -> float:
            return float(np.median(np.linalg.norm(joints[:, J[a]] - joints[:, J[b]], axis=-1)))

        def sides(a: str, b: str) -> float:
            return (apart(f"left_{a}", f"left_{b}") + apart(f"right_{a}", f"right_{b}")) / 2

        ears = (joints[:, J["left_ear"]] + joints[:, J["right_ear"]]) / 2
        return cls(
            lower_spine=apart("pelvis", "spine"),
            upper_spine=apart("spine", "neck"),
            neck=float(np.median(np.linalg.norm(joints[:, J["neck"]] - ears, axis=-1))),
            shoulder_half=apart("left_shoulder", "right_shoulder") / 2,
            hip_half=apart("left_hip", "right_hip") / 2,
            upper_arm=sides("shoulder", "elbow"),
            forearm=sides("elbow", "wrist"),
            hand=sides("wrist", "hand"),
            thigh=sides("hip", "knee"),
            shin=sides("knee", "ankle"),
            foot=sides("heel", "toe"),
            ankle_height=sides("ankle", "heel"),
        )


def frame(origin: F64, y_axis: F64, x_hint: F64, stretch: F64 | float = 1.0) -> F64:
    """(T, 4, 4) with y along ``y_axis`` (times ``stretch``), x as near to ``x_hint`` as is square to it."""
    y = unit(y_axis)
    x = unit(x_hint - np.sum(x_hint * y, -1, keepdims=True) * y)
    m = np.zeros((len(origin), 4, 4))
    m[:, :3, 0], m[:, :3, 2], m[:, :3, 3] = x, np.cross(x, y), origin
    m[:, :3, 1] = y * np.reshape(np.broadcast_to(stretch, len(origin)), (-1, 1))
    m[:, 3, 3] = 1
    return m


def head_frame(joints: F64) -> F64:
    """(T, 4, 4): the model head laid on the ears, eyes and nose, so that painted features are the true joints."""
    left, right = joints[:, J["left_ear"]], joints[:, J["right_ear"]]
    middle, x = (left + right) / 2, unit(left - right)
    nose, eyes = joints[:, J["nose"]], (joints[:, J["left_eye"]] + joints[:, J["right_eye"]]) / 2
    up = joints[:, J["head_top"]] - joints[:, J["neck"]]
    z = nose - middle
    z = unit(z - np.sum(z * x, -1, keepdims=True) * x)
    y = np.cross(z, x)
    y *= np.sign(np.sum(y * up, -1, keepdims=True))
    eye_gap = np.linalg.norm(joints[:, J["left_eye"]] - joints[:, J["right_eye"]], axis=-1)
    scale_x = (np.linalg.norm(left - right, axis=-1) / 2 / FACE["ear_x"] + eye_gap / 2 / FACE["eye_x"]) / 2
    scale_y = np.sum((eyes - nose) * y, -1) / (FACE["eye_y"] + 0.008)
    scale_y = np.clip(scale_y, 0.9 * scale_x, 1.2 * scale_x)
    scale_z = np.sum((nose - middle) * z, -1) / FACE["nose_z"]
    m = np.zeros((len(joints), 4, 4))
    m[:, :3, 0], m[:, :3, 1] = x * scale_x[:, None], y * scale_y[:, None]
    m[:, :3, 2], m[:, 3, 3] = z * scale_z[:, None], 1
    drop = np.sum((eyes - middle) * y, -1) - FACE["eye_y"] * scale_y
    m[:, :3, 3] = middle + y * drop[:, None]
    return m


def pose_bones(joints: F64, grip: F64, measures: Measures, both_hands: bool = False) -> F64:
    """(T, len(BONES), 4, 4) from joints (T, 27, 3) m and handle axes (T, 2, 3)."""
    p = np.asarray(joints, float)

    def at(name: str) -> F64:
        return p[:, J[name]]

    def limb(a: F64, b: F64, rest: float, hint: F64) -> F64:
        return frame(a, b - a, hint, np.linalg.norm(b - a, axis=-1) / rest)

    out = np.tile(np.eye(4), (len(p), len(BONES), 1, 1))
    hip_line, shoulder_line = at("left_hip") - at("right_hip"), at("left_shoulder") - at("right_shoulder")
    out[:, B["pelvis"]] = limb(at("pelvis"), at("spine"), measures.lower_spine, hip_line)
    # the chest's space is the trunk's, from the pelvis up, so that one mesh can hang on both bones
    from_pelvis = np.eye(4)
    from_pelvis[1, 3] = -measures.lower_spine
    out[:, B["chest"]] = limb(at("spine"), at("neck"), measures.upper_spine, shoulder_line) @ from_pelvis
    out[:, B["head"]] = head_frame(p)
    ears = (at("left_ear") + at("right_ear")) / 2
    out[:, B["neck"]] = limb(at("neck"), ears, measures.neck, shoulder_line)
    chest_z = out[:, B["chest"], :3, 2]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shoulder, elbow, wrist = at(f"{side}_shoulder"), at(f"{side}_elbow"), at(f"{side}_wrist")
        hand, handle = at(f"{side}_hand"), _handle(np.asarray(grip, float)[:, 0 if sign > 0 else 1])
        out[:, B[f"{side}_collar"]] = frame(at("neck"), shoulder - at("neck"), chest_z)
        oblique = unit(0.8 * chest_z + 0.5 * unit(shoulder_line) * sign + [0, 0.3, 0])
        out[:, B[f"{side}_upper"]] = limb(shoulder, elbow, measures.upper_arm, oblique)
        out[:, B[f"{side}_fore"]] = limb(elbow, wrist, measures.forearm, handle)
        out[:, B[f"{side}_hand"]] = frame(hand, hand - wrist, handle)
        out[:, B[f"{side}_bell"]] = _bell(hand, wrist, handle)
        hip, knee, ankle = at(f"{side}_hip"), at(f"{side}_knee"), at(f"{side}_ankle")
        toe, heel = at(f"{side}_toe"), at(f"{side}_heel")
        out[:, B[f"{side}_thigh"]] = limb(hip, knee, measures.thigh, hip_line)
        side_of_foot = np.cross(knee - ankle, toe - heel)
        out[:, B[f"{side}_shin"]] = limb(knee, ankle, measures.shin, side_of_foot)
        # the sign turns a foot's z upward
        out[:, B[f"{side}_foot"]] = limb(heel, toe, measures.foot, -side_of_foot)
    if both_hands:
        # held upright by its upper head, which lies on both palms
        middle = (at("left_hand") + at("right_hand")) / 2
        upright = np.broadcast_to([0.0, 1.0, 0.0], middle.shape)
        out[:, B["left_bell"]] = frame(middle - [0.0, 0.075, 0.0], shoulder_line, upright)
    return out


def _handle(axis: F64) -> F64:
    """The axis, or a sideways one where none is given."""
    missing = ~(np.linalg.norm(np.nan_to_num(axis), axis=-1, keepdims=True) > 1e-6)
    return unit(np.where(missing, [1.0, 0.0, 0.0], np.nan_to_num(axis)))


def _bell(hand: F64, wrist: F64, handle: F64) -> F64:
    """A dumbbell's frame: x along the handle, origin in the grip."""
    along = hand - wrist
    y = along - np.sum(along * handle, -1, keepdims=True) * handle
    degenerate = np.linalg.norm(y, axis=-1, keepdims=True) < 1e-3
    other = np.cross(handle, np.where(np.abs(handle[:, :1]) < 0.8, [1.0, 0, 0], [0, 0, 1.0]))
    return frame(hand, np.where(degenerate, other, y), handle)
