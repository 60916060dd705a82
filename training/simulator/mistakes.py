"""The mistakes as data: what degree 1 of each does to the body, to the range or to the timing.

Degree about 0.3 lies just over a coach's limit, 0.5 and more is plain to see; every quantity grows with the degree.
Where a mistake builds up over a set (``ramp``) the degree is that of the last repetition.
A repetition that is only too short keeps ``LEAST_RANGE`` of its range at degree 1: with less it would be an attempt
that is not counted, no mistake (``plans.partial``).
"""

from dataclasses import dataclass
from typing import Final, Literal

LEAST_RANGE: Final = 0.4
Shape = Literal["const", "far", "rest", "swing", "out", "back", "early", "wobble"]


@dataclass(frozen=True, slots=True)
class Edit:
    """``amount`` (degrees or m, at degree 1) added to channel ``name`` (as in a pose).

    ``shape`` over the repetition: const; far 0 → 1 → 0 with progress; rest the reverse; swing + on the way out, - on
    the way back; out, back: a bump in the middle of that way; early: a bump in the first quarter; wobble: 1.3 Hz at the
    far end.
    """

    name: str
    amount: float
    shape: Shape = "far"


@dataclass(frozen=True, slots=True)
class Mistake:
    """``what``: the physical meaning of degree 1. Plan effects at degree 1: ``high``/``low``: share of the range cut
    off at the far end / at rest; ``weak``: share that one side lacks; ``lag``: how far one side is late, share of the
    way out; ``out_s``/``back_s``/``lower_s``: (duration at degree 0, at degree 1) of the way out, back, or of the
    lowering; ``fall``, ``jerk``, ``bounce`` as in ``RepetitionPlan``; ``power``: ``high`` and ``low`` grow with the
    degree to this power; ``one_leg``: only on the weak side; ``uneven``: relative spread of durations over the
    set."""

    what: str
    edits: tuple[Edit, ...] = ()
    high: float = 0.0
    low: float = 0.0
    weak: float = 0.0
    lag: float = 0.0
    out_s: tuple[float, float] | None = None
    back_s: tuple[float, float] | None = None
    lower_s: tuple[float, float] | None = None
    fall: float = 0.0
    jerk: float = 0.0
    bounce: float = 0.0
    uneven: float = 0.0
    power: float = 1.0
    one_leg: bool = False
    ramp: bool = False


def _swing(amount: float) -> tuple[Edit, ...]:
    return (Edit("pitch", -amount, "out"), Edit("pitch", 0.7 * amount, "early"), Edit("pitch", 0.35 * amount, "back"))


_SHRUG: Final = Mistake("shoulders 34 degrees (about 10 cm) up at the far end", (Edit("clav_up", 34.0),))
_UNEVEN: Final = Mistake("one side lacks 55 % of the range", weak=0.55)
_SWING: Final = Mistake("trunk leans back 28 degrees on the way out, after a dip of 20 forward", _swing(28.0))
_ROUNDED: Final = Mistake(
    "upper back rounded by 50 degrees, pelvis 25 degrees more upright, head 20 down",
    (Edit("flex", 50.0, "const"), Edit("pitch", -25.0, "const"), Edit("head_pitch", 20.0, "const")),
)
_BENT: Final = Mistake("elbows bent by 75 degrees more", (Edit("elbow", 75.0, "const"),))

_ALL: Final[dict[str, Mistake]] = {
    "ECCENTRIC_TOO_FAST": Mistake("lowering takes 0.35 s (limit 1 s)", lower_s=(1.2, 0.35)),
    "TEMPO_UNEVEN": Mistake("durations vary by 60 % over the set", uneven=0.6),
    "RANGE_LOST": Mistake("the last repetition lacks 55 % of the range at the far end", high=0.55, ramp=True),
    "ASYMMETRY": Mistake("one side lacks 55 % of the range", weak=0.55),
    "JERKY": Mistake("speed falls to zero and back three times on each way", jerk=0.95),
}
_CURLS: Final[dict[str, Mistake]] = {
    "ELBOW_DRIFT": Mistake(
        "upper arm 100 degrees forward of its start at the top (limit 35-40)", (Edit("elev", 93.0), Edit("plane", 15.0))
    ),
    "INCOMPLETE_CONTRACTION": Mistake("elbow closes only to 117 degrees (interior) instead of 41", high=0.60),
    "INCOMPLETE_EXTENSION": Mistake("elbow opens only to 92 degrees instead of 167", low=0.60),
    "TORSO_SWING": _SWING,
    "UNCONTROLLED_LOWERING": Mistake("weight falls in 0.3 s", back_s=(1.15, 0.3), fall=0.9),
    "OUT_OF_SYNC": Mistake("one arm is late by half of the way", lag=0.5),
    "SHOULDER_SHRUG": _SHRUG,
}
_PRESSES: Final[dict[str, Mistake]] = {
    "LEAN_BACK": Mistake(
        "trunk 33 degrees back overhead",
        (Edit("pitch", -28.0), Edit("flex", -16.0), Edit("root_z", 0.1), Edit("arm_follow", -0.8)),
    ),
    "NO_LOCKOUT": Mistake("elbows open only to about 102 degrees overhead", high=0.60),
    "START_TOO_HIGH": Mistake("elbows never close below about 125 degrees (limit 90)", low=0.60, power=0.45),
    "UNEVEN_ARMS": _UNEVEN,
    "ELBOWS_FLARED": Mistake(
        "upper arms 15 degrees behind the frontal plane", (Edit("plane", -52.0, "const"), Edit("rot", -45.0, "const"))
    ),
    "FOREARM_NOT_VERTICAL": Mistake("forearms lean 60 degrees at rest", (Edit("rot", 72.0, "rest"),)),
    "KNEE_DIP": Mistake(
        "knees bend by 65 degrees before the drive", (Edit("thigh", 37.0, "early"), Edit("shin", 28.0, "early"))
    ),
}
_RAISES: Final[dict[str, Mistake]] = {
    "TORSO_SWING": _SWING,
    "ABOVE_SHOULDER": Mistake("upper arm 130 degrees from hanging at the top", (Edit("elev", 45.0),)),
    "RANGE_TOO_SHORT": Mistake("arm rises only to about 40 degrees", high=0.60),
    "ELBOWS_BENT": _BENT,
    "DROPPED": Mistake("arms fall in 0.3 s", back_s=(1.15, 0.3), fall=0.9),
    "UNEVEN_ARMS": _UNEVEN,
}
_ROWS: Final[dict[str, Mistake]] = {
    "TORSO_RISES": Mistake(
        "trunk 42 degrees more upright by the end of the set", (Edit("pitch", -42.0, "const"),), ramp=True
    ),
    "BACK_ROUNDED": _ROUNDED,
    "SHORT_PULL": Mistake("only 40 % of the pull", high=0.60),
    "SHOULDER_SHRUG": _SHRUG,
    "TORSO_TWIST": Mistake("shoulders turn by 38 degrees", (Edit("twist", 38.0), Edit("roll", 4.0))),
    "BODY_ENGLISH": Mistake(
        "trunk jerks up by 35 degrees with the pull", (Edit("pitch", -35.0, "out"), Edit("thigh", -12.0, "out"))
    ),
}
_OBLIQUE: Final = Mistake(
    "hips 12 cm to one side and 14 degrees oblique, shoulders 12", (Edit("root_x", 0.12), Edit("roll", 13.0))
)
_SQUATS: Final[dict[str, Mistake]] = {
    "TOO_SHALLOW": Mistake("thighs come down only 40 % of the way", high=0.60),
    "KNEES_CAVE_IN": Mistake("knees turn in by 28 degrees at the bottom: they touch", (Edit("knee_in", 28.0),)),
    "TORSO_COLLAPSES": Mistake(
        "trunk leans 40 degrees more at the bottom",
        (Edit("pitch", 30.0), Edit("flex", 16.0), Edit("root_z", -0.04), Edit("elbow", 45.0)),
    ),
    "HEELS_LIFT": Mistake("heels rise by 38 degrees", (Edit("heel", 38.0), Edit("root_z", 0.04))),
    "WEIGHT_SHIFT": Mistake(
        "hips 15 cm to one side and 10 degrees oblique", (Edit("root_x", 0.15), Edit("roll", -10.0), Edit("side", 6.0))
    ),
}
_CHEST: Final[dict[str, Mistake]] = {
    "ELBOWS_FLARED": Mistake("upper arms 95 degrees from the trunk", (Edit("elev", 36.0),)),
    "RANGE_TOO_SHORT": Mistake("only 40 % of the way down", high=0.60),
    "BOUNCE": Mistake("springs back by 35 % of the range at the bottom", bounce=0.5, lower_s=(1.3, 0.6)),
    "UNEVEN_ARMS": _UNEVEN,
}
_SHALLOW: Final = (Edit("thigh", -50.0), Edit("trail_heel", -22.0))
_LUNGES: Final[dict[str, Mistake]] = {
    "KNEE_PAST_TOE": Mistake(
        "front shin leans 58 degrees: the knee is well past the toes", (Edit("shin", 52.0), Edit("lead_heel", 12.0))
    ),
    "KNEE_CAVES_IN": Mistake("front knee 40 degrees (about 20 cm) inward of the foot", (Edit("lead_knee_in", 40.0),)),
    "TOO_SHALLOW": Mistake("front thigh stops 50 degrees short of level", _SHALLOW),
    "TORSO_LEAN": Mistake("trunk leans 50 degrees forward", (Edit("pitch", 46.0),)),
    "SHORT_STEP": Mistake("step shorter by 45 cm", (Edit("lead_foot_z", -0.45), Edit("trail_heel", 10.0))),
    "WOBBLE": Mistake(
        "hips sway 9 cm and the trunk 14 degrees to both sides",
        (Edit("root_x", 0.09, "wobble"), Edit("roll", 14.0, "wobble"), Edit("lead_knee_in", 22.0, "wobble")),
    ),
}

MISTAKES: Final[dict[str, dict[str, Mistake]]] = {
    **{name: {**_CURLS, **_ALL} for name in ("bicep_curl", "hammer_curl", "zottman_curl")},
    **{name: {**_PRESSES, **_ALL} for name in ("shoulder_press", "arnold_press")},
    "lateral_raise": {
        **_RAISES,
        "HAND_ABOVE_ELBOW": Mistake(
            "hands rise about 40 degrees above the elbows", (Edit("rot", -70.0), Edit("elbow", 35.0))
        ),
        "SHOULDER_SHRUG": _SHRUG,
        "TOO_FAST": Mistake("up in 0.35 s, down in 0.4 s", out_s=(1.0, 0.35), back_s=(1.15, 0.4)),
        **_ALL,
    },
    "front_raise": {
        **_RAISES,
        "MOMENTUM": Mistake("thrown up in 0.4 s with a heave of the hips", _swing(14.0), out_s=(0.95, 0.4)),
        **_ALL,
    },
    "shrug": {
        "ELBOWS_BENT": Mistake("elbows bend by 60 degrees", (Edit("elbow", 60.0),)),
        "RANGE_TOO_SHORT": Mistake("only 40 % of the lift", high=0.60),
        "ROLLING_SHOULDERS": Mistake("shoulders circle by 35 degrees to and fro", (Edit("clav_fwd", 35.0, "swing"),)),
        "HEAD_JUT": Mistake("neck 45 degrees forward at the top", (Edit("neck_jut", 50.0), Edit("head_pitch", -8.0))),
        "BOUNCE": Mistake("springs by half of the lift at the top", bounce=0.7),
        **_ALL,
    },
    "bent_over_row": {**_ROWS, **_ALL},
    "one_arm_row": {**_ROWS, **{k: v for k, v in _ALL.items() if k != "ASYMMETRY"}},
    "triceps_kickback": {
        "UPPER_ARM_SWINGS": Mistake("upper arm drops by 50 degrees at rest", (Edit("elev", -50.0, "rest"),)),
        "INCOMPLETE_EXTENSION": Mistake("elbow opens only to about 120 degrees", high=0.60),
        "TORSO_TOO_UPRIGHT": Mistake("trunk 45 degrees more upright", (Edit("pitch", -45.0, "const"),)),
        **_ALL,
    },
    "overhead_triceps_extension": {
        "UPPER_ARM_SWINGS": Mistake("upper arms tip 70 degrees forward at rest", (Edit("elev", -70.0, "rest"),)),
        "INCOMPLETE_EXTENSION": Mistake("elbow opens only to about 100 degrees", high=0.60),
        "ELBOW_FLARE": Mistake(
            "elbows 35 cm wider apart",
            (Edit("plane", -45.0, "rest"), Edit("rot", -88.0, "rest"), Edit("elev", -20.0, "rest")),
        ),
        "BACK_ARCH": Mistake(
            "trunk 33 degrees back",
            (Edit("pitch", -27.0, "const"), Edit("flex", -16.0, "const"), Edit("root_z", 0.09, "const")),
        ),
        **_ALL,
    },
    "lunge": {
        **_LUNGES,
        **_ALL,
        "RANGE_LOST": Mistake("the last front thigh stops 45 degrees short", _SHALLOW, ramp=True),
        "ASYMMETRY": Mistake("one leg's lunge stops 50 degrees short", _SHALLOW, one_leg=True),
    },
    **{name: {**_SQUATS, **_ALL, "ASYMMETRY": _OBLIQUE} for name in ("squat", "goblet_squat")},
    "romanian_deadlift": {
        "SQUATTING": Mistake(
            "knees bend by 75 degrees more, trunk 20 degrees more upright",
            (Edit("thigh", 45.0), Edit("shin", 28.0), Edit("pitch", -20.0)),
        ),
        "TOO_SHALLOW": Mistake("only 40 % of the hinge", high=0.6),
        "BACK_ROUNDED": Mistake(
            "upper back rounded by 50 degrees, pelvis 25 degrees less tilted",
            (Edit("flex", 50.0), Edit("pitch", -25.0), Edit("head_pitch", 25.0)),
        ),
        "WEIGHTS_FAR": Mistake("arms 45 degrees forward of where they should hang", (Edit("elev", 45.0),)),
        "OVEREXTENDED": Mistake(
            "trunk 26 degrees behind the vertical at lock-out",
            (Edit("pitch", -20.0, "rest"), Edit("flex", -6.0, "rest"), Edit("root_z", 0.05, "rest")),
        ),
        **_ALL,
        "ASYMMETRY": _OBLIQUE,
    },
    "chest_press": {**_CHEST, **_ALL},
    "chest_fly": {
        **{k: v for k, v in _CHEST.items() if k != "ELBOWS_FLARED"},
        "FLY_BECOMES_PRESS": Mistake("elbows bend by 75 degrees more at the bottom", (Edit("elbow", 75.0),)),
        **_ALL,
    },
}
"""Exercise id → error code → mistake."""


def edits(exercise: str) -> list[tuple[str, Edit]]:
    """All (code, edit) of an exercise's mistakes."""
    return [(code, edit) for code, m in MISTAKES.get(exercise, {}).items() for edit in m.edits]
