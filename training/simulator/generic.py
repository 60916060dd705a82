"""Movements that are no named exercise but repeat: their label is ``unknown``, and they still count.

Some are gym movements (push-up, sit-up, pull-up, jumping jack …), the rest are swings between two random postures.
"""

from typing import Final

import numpy as np

from training.simulator.exercises import FORWARD, UP, Exercise, Sides, aim, arm

UNKNOWN: Final = "unknown"
_ONE: Final[Sides] = (("alternate", 0.5), ("one", 0.5))
_NO_HANDS: Final[frozenset[str]] = frozenset()
PRONE: Final = {
    "root_free": 1.0, "root_h": 0.45, "pitch": 73.0, "head_follow": 0.9, "arm_follow": 1.0, "foot_z": -0.94,
    "foot_yaw": 0.0, "heel": 76.0, "plant": 1.0, "hand_x": 0.29, "hand_y": 0.05, "hand_z": 0.47,
    **arm(62.0, 20.0, 80.0, 0.0, FORWARD),
}  # fmt: skip
"""The upper position of a push-up, and a high plank."""
SUPINE: Final = {
    "root_free": 1.0, "root_h": 0.11, "pitch": -88.0, "head_follow": 1.0, "arm_follow": 1.0, "foot_z": 0.46,
    "elev": 35.0, "plane": 80.0, "elbow": 135.0, "rot": 40.0, "neck_jut": 4.0,
}  # fmt: skip
_HANGING: Final = {
    "root_free": 1.0, "root_h": 1.05, "leg_free": 1.0, "hip_flex": 4.0, "knee": 12.0, "heel": 35.0, "arm_follow": 1.0,
    "plant": 1.0, "hand_x": 0.30, "hand_y": 2.12, "hand_z": 0.06, **arm(120.0, 15.0, 70.0, 0.0, UP),
}  # fmt: skip
_SIT: Final = {"root_free": 1.0, "root_h": 0.5, "foot_z": 0.40, "foot_x": 0.17, "pitch": -4.0, "arm_follow": 1.0}
_GUARD: Final = {"elev": 30.0, "plane": 70.0, "elbow": 130.0, "rot": 20.0}


def _move(rest: dict[str, float], far: dict[str, float], **more: object) -> Exercise:
    settings: dict[str, object] = {"held": _NO_HANDS, "tempo_s": (1.2, 3.5), **more}
    return Exercise(UNKNOWN, rest, far, **settings)  # type: ignore[arg-type]


GENERIC: Final[dict[str, Exercise]] = {
    "push_up": _move(
        {"root_h": 0.45, "pitch": 73.0}, {"root_h": 0.19, "pitch": 89.0}, stance=PRONE, eccentric_first=True
    ),
    "sit_up": _move({"pitch": -88.0, "flex": 0.0}, {"pitch": -28.0, "flex": 35.0}, stance=SUPINE),
    "crunch": _move({"flex": 0.0}, {"flex": 34.0}, stance=SUPINE),
    "pull_up": _move({"root_h": 1.03}, {"root_h": 1.43, "pitch": -8.0}, stance=_HANGING),
    "jumping_jack": _move(
        {"foot_x": 0.1, "elev": 8.0, "plane": 8.0}, {"foot_x": 0.44, "elev": 162.0, "plane": 14.0},
        tempo_s=(0.6, 1.4),
    ),
    "leg_raise": _move(
        {"hip_flex": 3.0}, {"hip_flex": 84.0},
        stance={**SUPINE, "leg_free": 1.0, "knee": 8.0, "heel": 40.0, "elev": 15.0, "plane": 5.0, "elbow": 10.0},
    ),
    "knee_raise": _move(
        {"lead_leg_free": 0.0}, {"lead_hip_flex": 92.0, "lead_knee": 95.0, "lead_leg_free": 1.0, "ref": 0.0},
        sides=_ONE, stance={"lead_heel": 0.0},
    ),
    "side_leg_raise": _move(
        {"lead_leg_free": 0.0}, {"lead_hip_abd": 48.0, "lead_leg_free": 1.0, "ref": 0.0, "roll": 6.0}, sides=_ONE
    ),
    "band_pull_apart": _move(
        {"elev": 84.0, "plane": 84.0, "elbow": 10.0}, {"elev": 84.0, "plane": -2.0, "elbow": 12.0}
    ),
    "upright_row": _move(
        {"elev": 8.0, "plane": 40.0, "elbow": 14.0, "rot": 25.0},
        {"elev": 82.0, "plane": 22.0, "elbow": 122.0, "rot": 88.0}
    ),
    "pulldown": _move(
        {"elev": 152.0, "plane": 22.0, "elbow": 14.0, "rot": aim(120.0, 22.0, 60.0, UP)},
        arm(44.0, 12.0, 118.0, 0.0, UP),
        stance=_SIT, support="seat",
    ),
    "pushdown": _move(
        {"elev": 14.0, "plane": 80.0, "elbow": 100.0}, {"elev": 10.0, "plane": 80.0, "elbow": 10.0},
        stance={"pitch": 12.0},
    ),
    "calf_raise": _move({"heel": 0.0}, {"heel": 38.0}),
    "side_bend": _move({"side": 0.0, "roll": 0.0}, {"side": 24.0, "roll": 10.0}, sides=_ONE),
    "trunk_turn": _move({"twist": 0.0}, {"twist": 55.0}, sides=_ONE, stance=_GUARD),
    "punch": _move(_GUARD, {"elev": 84.0, "plane": 86.0, "elbow": 10.0, "rot": 20.0}, sides=_ONE, tempo_s=(0.5, 1.2)),
    "hip_thrust": _move(
        {"root_h": 0.12, "pitch": -88.0}, {"root_h": 0.36, "pitch": -115.0},
        stance={**SUPINE, "elev": 12.0, "plane": 5.0, "elbow": 10.0},
    ),
    "good_morning": _move(
        {"pitch": 3.0, "thigh": 4.0}, {"pitch": 74.0, "thigh": 24.0}, 
        stance={"elev": 35.0, "plane": 10.0, "elbow": 140.0, "rot": -60.0, "arm_follow": 1.0},
    ),
}  # fmt: skip

_RANDOM: Final[dict[str, tuple[float, float]]] = {
    "elev": (5.0, 165.0), "plane": (-60.0, 110.0), "rot": (-70.0, 70.0), "elbow": (5.0, 140.0),
    "clav_up": (-5.0, 20.0),
}  # fmt: skip
_RANDOM_BODY: Final[dict[str, tuple[float, float]]] = {
    "pitch": (-15.0, 70.0), "flex": (-10.0, 35.0), "twist": (-40.0, 40.0), "side": (-20.0, 20.0),
    "thigh": (4.0, 95.0), "heel": (0.0, 35.0),
}  # fmt: skip


def random_swing(rng: np.random.Generator) -> Exercise:
    """A swing between two random postures: arms alike, or each its own; sometimes the trunk and legs with them."""

    def pose(share: float) -> dict[str, float]:
        """A posture, ``share`` of the way from hanging arms to anywhere."""
        out: dict[str, float] = {}
        for name, (low, high) in _RANDOM.items():
            start = {"elev": 8.0, "elbow": 12.0}.get(name, 5.0)
            for side in prefixes:
                out[side + name] = start + share * (float(rng.uniform(low, high)) - start)
        for name in body:
            low, high = _RANDOM_BODY[name]
            value = share * float(rng.uniform(low, high))
            out[name] = value
            if name == "thigh":
                out["shin"] = 0.3 * value
        return out

    prefixes = ("lead_", "trail_") if rng.random() < 0.25 else ("lead_",) if rng.random() < 0.2 else ("",)
    count = int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2]))
    body = [str(n) for n in rng.choice(list(_RANDOM_BODY), count, replace=False)]
    rest, far = pose(0.0 if rng.random() < 0.5 else float(rng.uniform(0.2, 0.8))), pose(1.0)
    return _move(rest, far, stance={"arm_follow": float(rng.uniform(0, 1))}, sides=(("both", 0.5), ("one", 0.5)))


def draw(rng: np.random.Generator) -> Exercise:
    """Any movement of this module."""
    if rng.random() < 0.45:
        return random_swing(rng)
    return GENERIC[str(rng.choice(list(GENERIC)))]
