"""The exercises as data: key poses at rest and at the far end, what is held, what one sits or lies on.

A repetition starts and ends at ``rest`` and turns at ``far``. Poses are given for a working left side.
"""

from dataclasses import dataclass, field, replace
from math import atan2, degrees
from typing import Final

import numpy as np

from training.simulator.body import arm_axes
from training.simulator.channels import Pose

UP: Final = (0.0, 1.0, 0.0)
DOWN: Final = (0.0, -1.0, 0.0)
FORWARD: Final = (0.0, 0.0, 1.0)
INWARD: Final = (-1.0, 0.0, 0.0)
HANDS: Final = frozenset({"left", "right"})
Sides = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Exercise:
    """One exercise, or one variant of it (same id).

    ``stance``: channels that hold throughout; ``rest``, ``far``: key poses; ``mid``: the pose half way, where a
    straight line between them (in angles) would leave the natural path; ``back``: added in the middle of the way back
    only (the Zottman curl turns the hands). ``sides``: both | alternate | one with weights. ``spread``: standard
    deviation of a person's own key poses by channel (degrees, m). ``eccentric_first``: the way out is the lowering
    (squat, bench press). ``tempo_s``: usual duration of a clean repetition.
    """

    id: str
    rest: Pose
    far: Pose
    mid: Pose = field(default_factory=dict)
    back: Pose = field(default_factory=dict)
    stance: Pose = field(default_factory=dict)
    sides: Sides = (("both", 1.0),)
    held: frozenset[str] = HANDS
    support: str = "none"
    spread: Pose = field(default_factory=dict)
    eccentric_first: bool = False
    tempo_s: tuple[float, float] = (2.7, 4.4)

    def on(self, support: str, stance: Pose, **changes: object) -> "Exercise":
        """A variant with more stance channels and another support."""
        return replace(self, support=support, stance={**self.stance, **stance}, **changes)  # type: ignore[arg-type]


def aim(elev: float, plane: float, elbow: float, to: tuple[float, float, float]) -> float:
    """The upper arm's rotation (deg) that lets the forearm point as near as it can to ``to`` (outward, up, forward)."""
    e, p = np.radians(elev), np.radians(plane)
    _, straight = arm_axes(np.array(e), np.array(p), np.array(0.0))
    _, turned = arm_axes(np.array(e), np.array(p), np.array(np.pi / 2))
    return degrees(atan2(float(turned @ np.array(to)), float(straight @ np.array(to))))


def arm(elev: float, plane: float, elbow: float, pron: float, to: tuple[float, float, float]) -> dict[str, float]:
    """Arm channels with the forearm aimed at ``to``."""
    return {"elev": elev, "plane": plane, "elbow": elbow, "pron": pron, "rot": aim(elev, plane, elbow, to)}


_HANG: Final = {"elev": 9.0, "plane": 12.0, "rot": 5.0, "elbow": 12.0, "pron": 5.0}
_ARMS: Final[Sides] = (("both", 0.55), ("alternate", 0.3), ("one", 0.15))
_SEAT: Final = {
    "root_free": 1.0, "root_h": 0.5, "foot_z": 0.40, "foot_x": 0.17, "pitch": -2.0,
}  # fmt: skip
_BENCH: Final = {
    "root_free": 1.0, "root_h": 0.53, "foot_z": 0.38, "foot_x": 0.26, "foot_yaw": 18.0, "pitch": -89.0,
    "head_follow": 1.0, "arm_follow": 1.0, "neck_jut": 4.0,
}  # fmt: skip
_HINGE: Final = {
    "thigh": 27.0, "shin": 8.0, "pitch": 50.0, "arm_follow": 0.0, "head_follow": 0.75, "head_pitch": -8.0,
}  # fmt: skip
_SPLIT: Final = {"lead_foot_z": -0.28, "trail_foot_z": 0.22, "lead_heel": 8.0, "ref": 0.25}
_TOP: Final = {"elev": 166.0, "plane": 32.0, "elbow": 10.0, "pron": 12.0, "rot": aim(140.0, 30.0, 50.0, UP)}

_CURL: Final = Exercise(
    "bicep_curl",
    rest={"elev": 7.0, "plane": 30.0, "rot": -4.0, "elbow": 13.0, "pron": -80.0},
    far={"elev": 13.0, "plane": 70.0, "rot": -4.0, "elbow": 139.0, "pron": -80.0},
    sides=_ARMS, spread={"elbow": 4.0, "elev": 2.0, "rot": 6.0},
)  # fmt: skip
_PRESS: Final = Exercise(
    "shoulder_press",
    rest=arm(48.0, 38.0, 120.0, 12.0, UP), mid=arm(98.0, 30.0, 90.0, 12.0, UP), far=_TOP,
    stance={"arm_follow": 1.0}, sides=(("both", 0.85), ("alternate", 0.08), ("one", 0.07)),
    spread={"elev": 3.0, "plane": 6.0, "elbow": 3.0},
)  # fmt: skip
_LUNGE: Final = Exercise(
    "lunge",
    rest={"thigh": 4.0, "shin": 3.0, "ref": 0.5, "pitch": 2.0},
    mid={"thigh": 26.0, "lead_foot_z": 0.48, "lead_foot_y": 0.06, "trail_heel": 20.0},
    far={"thigh": 86.0, "shin": 6.0, "ref": 1.0, "pitch": 5.0, "lead_foot_z": 0.78, "trail_heel": 58.0},
    stance={"foot_yaw": 4.0, "foot_x": 0.1, "arm_follow": 0.1}, sides=(("alternate", 0.6), ("one", 0.4)),
    spread={"thigh": 3.0, "shin": 2.0}, eccentric_first=True, tempo_s=(2.5, 4.2),
)  # fmt: skip
_SQUAT: Final = Exercise(
    "squat",
    rest={"thigh": 4.0, "shin": 3.0, "pitch": 3.0}, far={"thigh": 96.0, "shin": 29.0, "pitch": 34.0},
    stance={"foot_x": 0.17, "foot_yaw": 16.0, "arm_follow": 0.1, "elev": 9.0, "plane": 25.0},
    spread={"thigh": 4.0, "shin": 3.0, "pitch": 3.0}, eccentric_first=True,
)  # fmt: skip
_ROW: Final = Exercise(
    "bent_over_row",
    rest={"elev": 5.0, "plane": -80.0, "rot": 0.0, "elbow": 8.0, "pron": 20.0},
    far={"elev": 66.0, "plane": -70.0, "rot": 0.0, "elbow": 80.0, "pron": 15.0},
    stance=_HINGE, spread={"elbow": 4.0, "plane": 5.0, "elev": 3.0},
)  # fmt: skip
_CHEST: Final = Exercise(
    "chest_press",
    rest=arm(90.0, 86.0, 9.0, 8.0, FORWARD) | {"rot": aim(86.0, 60.0, 40.0, FORWARD)},
    mid=arm(74.0, 40.0, 62.0, 8.0, FORWARD), far=arm(60.0, -14.0, 92.0, 8.0, FORWARD),
    stance=_BENCH, support="bench", spread={"elev": 4.0, "plane": 3.0}, eccentric_first=True,
)  # fmt: skip
_OVERHEAD: Final = Exercise(
    "overhead_triceps_extension",
    rest={"elev": 160.0, "plane": 84.0, "rot": 46.0, "elbow": 122.0, "pron": 0.0},
    far={"elev": 158.0, "plane": 116.0, "rot": 10.0, "elbow": 12.0, "pron": 0.0},
    stance={"arm_follow": 1.0}, held=frozenset({"both"}), spread={"elev": 3.0, "elbow": 3.0},
)  # fmt: skip

_VARIANTS: Final[dict[str, tuple[Exercise, ...]]] = {
    "bicep_curl": (_CURL, _CURL.on("seat", _SEAT)),
    "hammer_curl": tuple(
        e.on(e.support, {}, id="hammer_curl", rest={**e.rest, "pron": 0.0}, far={**e.far, "pron": 0.0})
        for e in (_CURL, _CURL.on("seat", _SEAT))
    ),
    "zottman_curl": (
        _CURL.on("none", {}, id="zottman_curl", back={"pron": 160.0}, sides=(("both", 0.8), ("one", 0.2))),
    ),
    "shoulder_press": (_PRESS, _PRESS.on("seat", _SEAT)),
    "arnold_press": tuple(
        e.on(
            e.support, {}, id="arnold_press", sides=(("both", 0.9), ("one", 0.1)),
            rest=arm(50.0, 84.0, 132.0, -80.0, UP), mid=arm(96.0, 40.0, 96.0, -20.0, UP),
        )
        for e in (_PRESS, _PRESS.on("seat", _SEAT))
    ),
    "lateral_raise": (
        Exercise(
            "lateral_raise",
            rest=_HANG, far={"elev": 85.0, "plane": 14.0, "rot": 5.0, "elbow": 15.0, "pron": 5.0},
            sides=(("both", 0.9), ("one", 0.1)), spread={"elev": 2.0, "plane": 6.0, "elbow": 3.0},
        ),
    ),
    "front_raise": (
        Exercise(
            "front_raise",
            rest={"elev": 9.0, "plane": 60.0, "rot": 5.0, "elbow": 11.0, "pron": 75.0},
            far={"elev": 85.0, "plane": 84.0, "rot": 5.0, "elbow": 11.0, "pron": 75.0},
            sides=_ARMS, spread={"elev": 2.0, "plane": 3.0, "elbow": 3.0},
        ),
    ),
    "shrug": (
        Exercise(
            "shrug",
            rest={"clav_up": -4.0}, far={"clav_up": 25.0}, stance={**_HANG, "arm_follow": 0.2},
            spread={"clav_up": 2.0}, tempo_s=(2.2, 3.6),
        ),
    ),
    "bent_over_row": (_ROW,),
    "one_arm_row": (
        _ROW.on(
            "none",
            {
                **_SPLIT, "pitch": 62.0, "trail_plant": 1.0, "trail_hand_x": 0.16, "trail_hand_y": 0.52,
                "trail_hand_z": 0.34, "trail_elev": 20.0, "trail_plane": 60.0, "thigh": 30.0, "shin": 14.0,
            },
            id="one_arm_row", held=frozenset({"left"}), sides=(("one", 1.0),),
        ),
    ),
    "triceps_kickback": (
        _ROW.on(
            "none", {"pitch": 56.0}, id="triceps_kickback",
            rest={"elev": 56.0, "plane": -82.0, "rot": 0.0, "elbow": 92.0, "pron": 5.0},
            far={"elev": 58.0, "plane": -82.0, "rot": 0.0, "elbow": 10.0, "pron": 5.0},
            sides=(("both", 0.6), ("one", 0.4)),
        ),
    ),
    "overhead_triceps_extension": (_OVERHEAD, _OVERHEAD.on("seat", _SEAT)),
    "lunge": (
        _LUNGE,
        # Reverse lunge: the other foot steps back; the front leg works in place.
        replace(
            _LUNGE,
            mid={"thigh": 30.0, "trail_foot_z": -0.48, "trail_foot_y": 0.06, "trail_heel": 35.0},
            far={"thigh": 86.0, "shin": 6.0, "ref": 1.0, "pitch": 8.0, "trail_foot_z": -0.80, "trail_heel": 60.0},
        ),
        # Split squat: the feet stay.
        _LUNGE.on(
            "none", {"lead_foot_z": 0.42, "trail_foot_z": -0.36, "trail_heel": 34.0}, sides=(("one", 1.0),), mid={},
            rest={"thigh": 24.0, "shin": -10.0, "ref": 1.0, "pitch": 2.0, "trail_heel": 34.0},
            far={"thigh": 86.0, "shin": 6.0, "ref": 1.0, "pitch": 5.0, "trail_heel": 58.0},
        ),
    ),
    "squat": (_SQUAT,),
    "goblet_squat": (
        _SQUAT.on(
            "none", arm(24.0, 70.0, 140.0, 0.0, UP) | {"rot": 32.0, "arm_follow": 0.9}, id="goblet_squat",
            held=frozenset({"both"}), far={"thigh": 100.0, "shin": 31.0, "pitch": 26.0},
        ),
    ),
    "romanian_deadlift": (
        Exercise(
            "romanian_deadlift",
            rest={"thigh": 5.0, "shin": 2.0, "pitch": 2.0, "elev": 7.0, "plane": 80.0, "head_follow": 0.4},
            mid={"thigh": 18.0, "shin": 3.0, "pitch": 36.0, "elev": 0.0},
            far={"thigh": 30.0, "shin": 4.0, "pitch": 72.0, "elev": -14.0, "plane": 80.0, "head_follow": 0.8},
            stance={"foot_x": 0.12, "arm_follow": 0.0, "rot": 5.0, "pron": 60.0, "elbow": 8.0},
            spread={"thigh": 3.0, "pitch": 4.0}, eccentric_first=True, tempo_s=(2.8, 5.0),
        ),
    ),
    "chest_press": (_CHEST,),
    "chest_fly": (
        _CHEST.on(
            "bench", {}, id="chest_fly",
            rest={"elev": 88.0, "plane": 78.0, "elbow": 24.0, "pron": 85.0, "rot": aim(88.0, 78.0, 24.0, INWARD)},
            mid={"rot": aim(85.0, 40.0, 28.0, (-0.6, 0.0, 0.8))},
            far={"elev": 82.0, "plane": 2.0, "elbow": 30.0, "pron": 85.0, "rot": aim(82.0, 2.0, 30.0, FORWARD)},
        ),
    ),
}  # fmt: skip

EXERCISES: Final[dict[str, Exercise]] = {name: variants[0] for name, variants in _VARIANTS.items()}
"""The usual form of each of the 18 named exercises, in the order of their label index."""
VARIANTS: Final = _VARIANTS
"""All forms of each (seated, reverse lunge, split squat …), the usual one first."""
