"""The numbers that describe one posture: (T, D) float64 "channels", degrees and metres.

Everything that a simulated person does is such an array: exercises, mistakes and pauses only add to channels, and one
activity goes over into the next by blending them. ``body.Body.joints`` turns them into joints.

Body channels
    thigh, shin        lean of a virtual thigh (back) and shin (forward) from the vertical: they carry the pelvis
    ref                which ankle carries the pelvis: 0 right, 0.5 between both, 1 left
    root_x/y/z         shift of the pelvis, m (x to the person's left, z forward)
    root_h, root_free  root_free 1: the pelvis is at height root_h, not carried by the feet (seat, bench, bar)
    heading, place_x/z turn and shift of the whole person, feet included
    pelvis_yaw, pitch, roll     of the pelvis; pitch > 0 leans forward
    flex, side, twist  of the upper spine against the pelvis; flex > 0 rounds the back
    neck_jut, head_pitch, head_yaw, head_roll, head_follow      head_follow 1: the head pitches with the trunk
    arm_follow         1: shoulder angles are against the trunk, 0: against the vertical
Channels of a side (prefix ``l_`` or ``r_``)
    clav_up, clav_fwd  collar bone (shrug, protraction)
    elev, plane, rot   upper arm: angle from hanging; its plane (0 outward, 90 forward, -90 backward); internal rotation
    elbow, pron, wrist flexion (0 straight); pronation (-90 palm up, 0 thumb up, 90 palm down with the forearm level)
    plant, hand_x/y/z  plant 1: the wrist is at this place (x outward), m
    foot_x/y/z, foot_yaw, heel  foot: outward, lift, forward (m), toe-out, heel raised about the toes
    knee_in            knee leaves the plane of the foot inward
    leg_free, hip_flex, hip_abd, knee   leg_free 1: the leg hangs from these angles instead of standing
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

_BODY: Final[dict[str, float]] = {
    "thigh": 4.0, "shin": 3.0, "ref": 0.5, "root_x": 0.0, "root_y": 0.0, "root_z": 0.0, "root_h": 0.5, "root_free": 0.0,
    "heading": 0.0, "place_x": 0.0, "place_z": 0.0,
    "pelvis_yaw": 0.0, "pitch": 2.0, "roll": 0.0, "flex": 0.0, "side": 0.0, "twist": 0.0,
    "neck_jut": 10.0, "head_pitch": 0.0, "head_yaw": 0.0, "head_roll": 0.0, "head_follow": 0.4, "arm_follow": 0.5,
}  # fmt: skip
_SIDE: Final[dict[str, float]] = {
    "clav_up": 0.0, "clav_fwd": 0.0, "elev": 8.0, "plane": 15.0, "rot": 8.0, "elbow": 12.0, "pron": 10.0, "wrist": 0.0,
    "plant": 0.0, "hand_x": 0.2, "hand_y": 0.0, "hand_z": 0.0,
    "foot_x": 0.11, "foot_y": 0.0, "foot_z": 0.0, "foot_yaw": 10.0, "heel": 0.0, "knee_in": 0.0,
    "leg_free": 0.0, "hip_flex": 0.0, "hip_abd": 0.0, "knee": 0.0,
}  # fmt: skip

NAMES: Final = (*_BODY, *(f"l_{n}" for n in _SIDE), *(f"r_{n}" for n in _SIDE))
C: Final = {name: i for i, name in enumerate(NAMES)}
_LENGTHS: Final = frozenset(f"{part}_{axis}" for part in ("root", "hand", "foot") for axis in "xyzh")
METRES: Final = np.array([n.removeprefix("l_").removeprefix("r_") in _LENGTHS for n in NAMES])
"""(D,) channels in metres of a 1.75 m person: they grow with the body."""
SIDE_NAMES: Final = frozenset(_SIDE)
SIGNED: Final = frozenset(
    {"root_x", "heading", "place_x", "pelvis_yaw", "roll", "side", "twist", "head_yaw", "head_roll"}
)  # fmt: skip
"""Body channels that change sign in a mirror (``ref`` becomes 1 - ref). Poses give them for a working left side."""
BODY_NAMES: Final = frozenset(_BODY)
NEUTRAL: Final[F64] = np.array([*_BODY.values(), *_SIDE.values(), *_SIDE.values()])
NEUTRAL.setflags(write=False)
"""(D,) standing at ease, arms hanging."""

Pose = Mapping[str, float]
"""Some channels by name. A side's channel without prefix speaks of both sides; with ``lead_`` or ``trail_`` of the side
that works and the other one. ``SIGNED`` channels and ``ref`` are given for a working left side."""


def targets(name: str, side: str) -> tuple[int, ...]:
    """Indices of the channels that a pose's ``name`` sets when ``side`` (left | right | both) works.

    Raises:
        KeyError: no such channel.
    """
    lead = "r_" if side == "right" else "l_"
    if name.startswith("lead_"):
        return (C[lead + name[5:]],)
    if name.startswith("trail_"):
        return (C[("l_" if lead == "r_" else "r_") + name[6:]],)
    if name in SIDE_NAMES:
        return C["l_" + name], C["r_" + name]
    return (C[name],)


def posture(pose: Pose, side: str = "both", base: F64 = NEUTRAL) -> F64:
    """(D,) channels of ``base`` with those of ``pose`` set."""
    out = base.copy()
    for name, value in pose.items():
        for i in targets(name, side):
            out[i] = sided(name, value, side)
    return out


def sided(name: str, value: float, side: str) -> float:
    """``value`` of a pose, mirrored where ``name`` has a side and the right one works."""
    if side != "right":
        return value
    return 1.0 - value if name == "ref" else -value if name in SIGNED else value


def mirrored(channels: F64) -> F64:
    """(..., D) the same posture with left and right exchanged."""
    out = channels.copy()
    for name in SIDE_NAMES:
        out[..., C["l_" + name]], out[..., C["r_" + name]] = (
            channels[..., C["r_" + name]],
            channels[..., C["l_" + name]],
        )
    for name in SIGNED:
        out[..., C[name]] = -channels[..., C[name]]
    out[..., C["ref"]] = 1.0 - channels[..., C["ref"]]
    return out
