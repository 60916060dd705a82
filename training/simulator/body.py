"""An articulated body: segment lengths from anthropometry and forward kinematics from channels to joints.

References: segment lengths as fractions of stature: Drillis & Contini, Body Segment Parameters, 1966 (as tabulated by
Winter, Biomechanics and Motor Control of Human Movement, 4th ed., fig. 4.1). Their shoulder and hip breadths are those
of the body; here they are narrowed to the joint centres, which is what a pose network marks. Shoulder angles: Wu et
al., ISB recommendation, J. Biomech. 38, 2005 (elevation and plane of elevation), with the axial rotation as swing and
twist so that a hanging arm is not singular.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from training.simulator.channels import F64, METRES, C
from training.simulator.motion import JOINTS_3D

_RATIOS: Final[dict[str, float]] = {
    "upper_arm": 0.186, "forearm": 0.146, "hand": 0.050, "shoulder_half": 0.106, "shoulder_drop": 0.022,
    "hip_half": 0.052, "lower_trunk": 0.142, "upper_trunk": 0.168, "thigh": 0.245, "shank": 0.246,
    "ankle_height": 0.039, "foot": 0.152, "neck": 0.055, "head": 0.130,
}  # fmt: skip
J: Final = {name: i for i, name in enumerate(JOINTS_3D)}
_REACH: Final = 0.9995  # of a limb's length: a joint never locks quite straight


@dataclass(frozen=True, slots=True)
class Body:
    """Segment lengths, m. ``hand``: wrist to the middle of the grip; ``neck``: shoulder line to the skull's base."""

    stature: float
    upper_arm: float
    forearm: float
    hand: float
    shoulder_half: float
    shoulder_drop: float
    hip_half: float
    lower_trunk: float
    upper_trunk: float
    thigh: float
    shank: float
    ankle_height: float
    foot: float
    neck: float
    head: float

    @classmethod
    def average(cls, stature_m: float = 1.75) -> "Body":
        """The tables' body."""
        return cls(stature_m, **{k: v * stature_m for k, v in _RATIOS.items()})

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Body":
        """A random adult: stature 1.50–2.00 m, each segment within about ±10 % of the tables."""
        stature = float(np.clip(rng.normal(1.72, 0.095), 1.5, 2.0))
        scale = np.clip(rng.normal(1.0, 0.04, len(_RATIOS)), 0.9, 1.1)
        return cls(stature, **{k: float(v * stature * s) for (k, v), s in zip(_RATIOS.items(), scale, strict=True)})

    def joints(self, channels: F64) -> tuple[F64, F64]:
        """Forward kinematics.

        Args:
            channels: (T, D), see ``channels``.
        Returns:
            joints (T, 27, 3) m in the world of ``motion``; grip axes (T, 2, 3) of the left and right hand.
        """
        channels = np.where(METRES, channels * (self.stature / 1.75), channels)
        out = np.zeros((len(channels), len(JOINTS_3D), 3))
        grip = np.zeros((len(channels), 2, 3))
        pelvis = _rotation(channels, "pelvis_yaw", "pitch", "roll")
        hip_offset = pelvis[:, :, 0] * self.hip_half
        feet = [_Foot(self, channels, side) for side in (1, -1)]
        out[:, J["pelvis"]] = self._root(channels, hip_offset, feet)
        for foot in feet:
            self._leg(channels, foot, pelvis, hip_offset, out)
        self._trunk(channels, pelvis, out)
        for i, side in enumerate((1, -1)):
            self._arm(channels, side, out, grip[:, i])
        return _place(channels, out), _turn(channels[:, C["heading"]], grip)

    def _root(self, channels: F64, hip_offset: F64, feet: "list[_Foot]") -> F64:
        """(T, 3) mid-hip over the feet, lowered where a standing leg would not reach, or free."""
        thigh, shin = (np.radians(channels[:, C[n]]) for n in ("thigh", "shin"))
        ref = channels[:, C["ref"]]
        left, right = (f.planted_ankle for f in feet)
        height = self.shank * np.cos(shin) + self.thigh * np.cos(thigh)
        apart = 0.5 * np.abs(left[:, 0] - right[:, 0]) - self.hip_half
        height = np.sqrt(np.maximum(height**2 - apart**2, 0.01))
        root = np.stack(
            [
                channels[:, C["root_x"]],
                ref * left[:, 1] + (1 - ref) * right[:, 1] + height + channels[:, C["root_y"]],
                ref * left[:, 2] + (1 - ref) * right[:, 2] + self.shank * np.sin(shin) - self.thigh * np.sin(thigh)
                + channels[:, C["root_z"]],
            ],
            axis=1,
        )  # fmt: skip
        free = channels[:, C["root_free"]]
        root[:, 1] += free * (channels[:, C["root_h"]] + channels[:, C["root_y"]] - root[:, 1])
        root[:, 2] += free * (channels[:, C["root_z"]] - root[:, 2])
        for foot, sign in zip(feet, (1.0, -1.0), strict=True):
            gap = foot.planted_ankle - (root + sign * hip_offset)
            reach = ((self.thigh + self.shank) * _REACH) ** 2 - gap[:, 0] ** 2 - gap[:, 2] ** 2
            top = foot.planted_ankle[:, 1] + np.sqrt(np.maximum(reach, 0.0)) - sign * hip_offset[:, 1]
            standing = (channels[:, C[foot.prefix + "leg_free"]] < 0.5) & (free < 0.5)
            root[:, 1] = np.where(standing, np.minimum(root[:, 1], top), root[:, 1])
        return root

    def _leg(self, channels: F64, foot: "_Foot", pelvis: F64, hip_offset: F64, out: F64) -> None:
        name, p = foot.name, foot.prefix
        hip = out[:, J["pelvis"]] + foot.sign * hip_offset
        free = channels[:, C[p + "leg_free"], None]
        target, pole, forward, up = foot.planted_ankle, foot.pole, foot.forward, foot.up
        if free.any():
            ankle, knee_pole, toe, sole = self._hanging_leg(channels, foot, pelvis, hip)
            target = target + free * (ankle - target)
            pole = _unit(pole + free * (knee_pole - pole))
            forward = _unit(forward + free * (toe - forward))
            up = up + free * (sole - up)
            up = _unit(up - np.sum(up * forward, axis=1, keepdims=True) * forward)
        knee, ankle = two_bones(hip, target, pole, self.thigh, self.shank)
        sole = ankle - self.ankle_height * up
        out[:, J[f"{name}_hip"]], out[:, J[f"{name}_knee"]], out[:, J[f"{name}_ankle"]] = hip, knee, ankle
        out[:, J[f"{name}_heel"]] = sole - 0.25 * self.foot * forward
        out[:, J[f"{name}_toe"]] = sole + _TOE * self.foot * forward

    def _hanging_leg(self, channels: F64, foot: "_Foot", pelvis: F64, hip: F64) -> tuple[F64, F64, F64, F64]:
        """Ankle, knee pole, toe direction and upward normal of the sole of a leg given by its joint angles."""
        p, s = foot.prefix, foot.sign
        flex, abd, knee = (np.radians(channels[:, C[p + n]]) for n in ("hip_flex", "hip_abd", "knee"))
        ca = np.cos(abd)
        thigh = np.stack([s * np.sin(abd), -ca * np.cos(flex), ca * np.sin(flex)], axis=1)
        front = np.stack([np.zeros_like(flex), np.sin(flex), np.cos(flex)], axis=1)
        shank = np.cos(knee)[:, None] * thigh - np.sin(knee)[:, None] * front
        toe = np.sin(knee)[:, None] * thigh + np.cos(knee)[:, None] * front
        point = np.radians(channels[:, C[p + "heel"]])[:, None]  # the foot points down along the shank
        toe, sole = np.cos(point) * toe + np.sin(point) * shank, np.sin(point) * toe - np.cos(point) * shank
        thigh, front, shank, toe, sole = ((pelvis @ v[:, :, None])[:, :, 0] for v in (thigh, front, shank, toe, sole))
        return hip + self.thigh * thigh + self.shank * shank, front, toe, sole

    def _trunk(self, channels: F64, pelvis: F64, out: F64) -> None:
        """Spine, neck, shoulders and head."""
        upper = _rotation(channels, "pelvis_yaw", "pitch", "roll", flex="flex", side="side", twist="twist")
        spine = out[:, J["pelvis"]] + pelvis[:, :, 1] * self.lower_trunk
        neck = spine + upper[:, :, 1] * self.upper_trunk
        out[:, J["spine"]], out[:, J["neck"]] = spine, neck
        for name, p, s in (("left", "l_", 1.0), ("right", "r_", -1.0)):
            elev = np.radians(channels[:, C[p + "elev"]])
            # The collar bone rises with the arm (scapulo-humeral rhythm), about 20 degrees overhead.
            lift = np.radians(channels[:, C[p + "clav_up"]] + 10.0 * (1.0 - np.cos(elev)))
            fwd = np.radians(channels[:, C[p + "clav_fwd"]])
            lateral = self.shoulder_half * np.cos(lift) + self.shoulder_drop * np.sin(lift)
            rise = self.shoulder_half * np.sin(lift) - self.shoulder_drop * np.cos(lift)
            local = np.stack([s * lateral * np.cos(fwd), rise, lateral * np.sin(fwd)], axis=1)
            out[:, J[f"{name}_shoulder"]] = neck + (upper @ local[:, :, None])[:, :, 0]
        follow = channels[:, C["head_follow"]]
        lean = follow * (channels[:, C["pitch"]] + channels[:, C["flex"]])
        roll = follow * (channels[:, C["roll"]] + channels[:, C["side"]]) + channels[:, C["head_roll"]]
        yaw = channels[:, C["pelvis_yaw"]] + 0.4 * channels[:, C["twist"]]
        throat = _ryxz(yaw, lean + channels[:, C["neck_jut"]], roll)
        skull = _ryxz(yaw + channels[:, C["head_yaw"]], lean + channels[:, C["head_pitch"]], roll)
        base = neck + throat[:, :, 1] * self.neck
        h = self.head
        places = np.array(
            [[0, 0.38 * h, 0.46 * h], [0.15 * h, 0.55 * h, 0.37 * h], [-0.15 * h, 0.55 * h, 0.37 * h],
             [0.33 * h, 0.46 * h, -0.02 * h], [-0.33 * h, 0.46 * h, -0.02 * h], [0, h, 0]],
        )  # fmt: skip
        marks = base[:, None] + places @ np.swapaxes(skull, 1, 2)
        out[:, :5] = marks[:, :5]
        out[:, J["head_top"]] = marks[:, 5]

    def _arm(self, channels: F64, s: int, out: F64, grip: F64) -> None:
        name, p = ("left", "l_") if s > 0 else ("right", "r_")
        follow = channels[:, C["arm_follow"]]
        frame = _ryxz(
            channels[:, C["pelvis_yaw"]],
            follow * (channels[:, C["pitch"]] + channels[:, C["flex"]]),
            follow * (channels[:, C["roll"]] + channels[:, C["side"]]),
            channels[:, C["twist"]],
        )
        elev, plane, rot, elbow, pron, wrist = (
            np.radians(channels[:, C[p + n]]) for n in ("elev", "plane", "rot", "elbow", "pron", "wrist")
        )
        upper, bend = arm_axes(elev, plane, rot)
        upper[:, 0] *= s
        bend[:, 0] *= s
        upper, bend = (frame @ upper[:, :, None])[:, :, 0], (frame @ bend[:, :, None])[:, :, 0]
        ce, se = np.cos(elbow)[:, None], np.sin(elbow)[:, None]
        shoulder = out[:, J[f"{name}_shoulder"]]
        elbow_at, fore = shoulder + self.upper_arm * upper, ce * upper + se * bend
        wrist_at = elbow_at + self.forearm * fore
        plant = channels[:, C[p + "plant"], None]
        if plant.any():
            place = np.stack([s * channels[:, C[p + "hand_x"]], *channels[:, [C[p + "hand_y"], C[p + "hand_z"]]].T], 1)
            elbow_at, wrist_at = two_bones(
                shoulder, wrist_at + plant * (place - wrist_at), upper - 0.05 * bend, self.upper_arm, self.forearm
            )
            upper, fore = (elbow_at - shoulder) / self.upper_arm, (wrist_at - elbow_at) / self.forearm
            bend = _unit(fore - np.sum(fore * upper, axis=1, keepdims=True) * upper + 1e-6 * bend)
            ce, se = np.sum(fore * upper, axis=1, keepdims=True), np.sum(fore * bend, axis=1, keepdims=True)
        across, hinge = -se * upper + ce * bend, np.cross(upper, bend)
        cp, sp = np.cos(pron)[:, None], np.sin(pron)[:, None]
        grip[:] = cp * across + s * sp * hinge
        palm = -sp * across + s * cp * hinge
        hand = np.cos(wrist)[:, None] * fore + np.sin(wrist)[:, None] * palm
        out[:, J[f"{name}_elbow"]], out[:, J[f"{name}_wrist"]] = elbow_at, wrist_at
        out[:, J[f"{name}_hand"]] = wrist_at + self.hand * hand


_TOE: Final = 0.65  # of the foot's length, ankle to the joint about which the heel rises


class _Foot:
    """A foot where the channels plant it: ankle, direction of the toes, normal of the sole, knee pole, each (T, 3)."""

    def __init__(self, body: Body, channels: F64, side: int) -> None:
        self.sign = float(side)
        self.name, self.prefix = ("left", "l_") if side > 0 else ("right", "r_")
        x, y, z, yaw, heel, knee_in = (
            channels[:, C[self.prefix + n]] for n in ("foot_x", "foot_y", "foot_z", "foot_yaw", "heel", "knee_in")
        )
        yaw, heel, knee_in = np.radians(side * yaw), np.radians(heel), np.radians(side * knee_in)
        level = np.stack([np.sin(yaw), np.zeros_like(yaw), np.cos(yaw)], axis=1)
        ch, sh = np.cos(heel)[:, None], np.sin(heel)[:, None]
        vertical = np.array([0.0, 1.0, 0.0])
        self.forward = ch * level - sh * vertical
        self.up = sh * level + ch * vertical
        toe = np.stack([side * x, y, z], axis=1) + _TOE * body.foot * level
        self.planted_ankle = toe - _TOE * body.foot * self.forward + body.ankle_height * self.up
        turned = yaw - knee_in
        # On the back the knees point up; standing, sitting or face down they follow the feet.
        rise = 0.5 * np.clip(-np.sin(np.radians(channels[:, C["pitch"]])), 0.0, 1.0)
        self.pole = np.stack([np.sin(turned), rise, np.cos(turned)], axis=1)


def arm_axes(elev: F64, plane: F64, rot: F64) -> tuple[F64, F64]:
    """Direction of the upper arm and the direction into which the elbow bends, (..., 3) as (outward, up, forward).

    The upper arm swings out of the hanging position by the shortest way; ``rot`` turns it about its own axis before.
    Angles in radians.
    """
    ce, se, cp, sp = np.cos(elev), np.sin(elev), np.cos(plane), np.sin(plane)
    upper = np.stack([se * cp, -ce, se * sp], axis=-1)
    along = -np.sin(rot) * cp + np.cos(rot) * sp
    across = np.sin(rot) * sp + np.cos(rot) * cp
    bend = np.stack([along * ce * cp - across * sp, along * se, along * ce * sp + across * cp], axis=-1)
    return upper, bend


def two_bones(start: F64, target: F64, pole: F64, first: float, second: float) -> tuple[F64, F64]:
    """Middle and end joint (T, 3) of a two-segment limb that reaches for ``target`` and bends toward ``pole``."""
    line = target - start
    length = np.sqrt(np.sum(line**2, axis=1, keepdims=True))
    axis = line / np.maximum(length, 1e-9)
    reach = np.clip(length, abs(first - second) + 0.15 * min(first, second), (first + second) * _REACH)
    along = (first**2 - second**2 + reach**2) / (2 * reach)
    out = np.sqrt(np.maximum(first**2 - along**2, 0.0))
    side = _unit(pole - np.sum(pole * axis, axis=1, keepdims=True) * axis)
    return start + along * axis + out * side, start + reach * axis


def _unit(v: F64) -> F64:
    return v / np.maximum(np.sqrt(np.sum(v**2, axis=1, keepdims=True)), 1e-9)


def _ryxz(yaw_deg: F64, pitch_deg: F64, roll_deg: F64, twist_deg: F64 | None = None) -> F64:
    """(T, 3, 3) Ry(yaw) Rx(pitch) Rz(roll) [Ry(twist)]; pitch > 0 takes up to forward, roll > 0 up to the right."""
    y, x, z = np.radians(yaw_deg), np.radians(pitch_deg), np.radians(roll_deg)
    cy, sy, cx, sx, cz, sz = np.cos(y), np.sin(y), np.cos(x), np.sin(x), np.cos(z), np.sin(z)
    m = np.empty((len(y), 3, 3))
    m[:, 0, 0], m[:, 0, 1], m[:, 0, 2] = cy * cz + sy * sx * sz, -cy * sz + sy * sx * cz, sy * cx
    m[:, 1, 0], m[:, 1, 1], m[:, 1, 2] = cx * sz, cx * cz, -sx
    m[:, 2, 0], m[:, 2, 1], m[:, 2, 2] = -sy * cz + cy * sx * sz, sy * sz + cy * sx * cz, cy * cx
    if twist_deg is None:
        return m
    ct, st = np.cos(np.radians(twist_deg))[:, None], np.sin(np.radians(twist_deg))[:, None]
    return np.stack([ct * m[:, :, 0] - st * m[:, :, 2], m[:, :, 1], st * m[:, :, 0] + ct * m[:, :, 2]], axis=2)


def _rotation(channels: F64, yaw: str, pitch: str, roll: str, **more: str) -> F64:
    extra = {k: channels[:, C[v]] for k, v in more.items()}
    zero = 0.0
    return _ryxz(
        channels[:, C[yaw]],
        channels[:, C[pitch]] + extra.get("flex", zero),
        channels[:, C[roll]] + extra.get("side", zero),
        extra.get("twist"),
    )


def _turn(heading_deg: F64, points: F64) -> F64:
    """(T, N, 3) turned about the vertical."""
    c, s = np.cos(np.radians(heading_deg))[:, None], np.sin(np.radians(heading_deg))[:, None]
    return np.stack(
        [c * points[..., 0] + s * points[..., 2], points[..., 1], c * points[..., 2] - s * points[..., 0]], axis=2
    )


def _place(channels: F64, joints: F64) -> F64:
    out = _turn(channels[:, C["heading"]], joints)
    out[..., 0] += channels[:, C["place_x"], None]
    out[..., 2] += channels[:, C["place_z"], None]
    return out
