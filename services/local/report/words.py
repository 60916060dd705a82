"""Codes in words, numbers as people write them, and the joints at which an error is seen."""

from functools import lru_cache
from typing import Final

from services.common.skeleton import INDEX
from services.common.types import ErrorFinding
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.catalogue import Catalogue, ErrorSpec
from services.segment.core.network import ECCENTRIC_FIRST

_SEEN_AT: Final = (
    (
        "wrist",
        "ABOVE_SHOULDER ASYMMETRY BOUNCE DROPPED ECCENTRIC_TOO_FAST JERKY OUT_OF_SYNC RANGE_LOST TEMPO_UNEVEN "
        "TOO_FAST UNCONTROLLED_LOWERING UNEVEN_ARMS WEIGHTS_FAR",
    ),
    ("hip shoulder", "BACK_ARCH"),
    (
        "shoulder hip",
        "BACK_ROUNDED BODY_ENGLISH LEAN_BACK TORSO_COLLAPSES TORSO_LEAN TORSO_RISES TORSO_SWING TORSO_TOO_UPRIGHT",
    ),
    (
        "elbow",
        "ELBOWS_BENT ELBOWS_FLARED ELBOW_DRIFT ELBOW_FLARE FLY_BECOMES_PRESS INCOMPLETE_CONTRACTION "
        "INCOMPLETE_EXTENSION NO_LOCKOUT SHORT_PULL START_TOO_HIGH UPPER_ARM_SWINGS",
    ),
    ("elbow wrist", "FOREARM_NOT_VERTICAL RANGE_TOO_SHORT"),
    ("wrist elbow", "HAND_ABOVE_ELBOW"),
    ("nose", "HEAD_JUT"),
    ("ankle", "HEELS_LIFT SHORT_STEP STANCE_TOO_WIDE"),
    ("knee", "KNEES_CAVE_IN KNEE_CAVES_IN KNEE_DIP KNEE_PAST_TOE WOBBLE"),
    ("wrist hip", "MOMENTUM"),
    ("hip", "OVEREXTENDED WEIGHT_SHIFT"),
    ("shoulder", "ROLLING_SHOULDERS SHOULDER_SHRUG TORSO_TWIST"),
    ("knee hip", "SQUATTING TOO_SHALLOW"),
)
_JOINTS: Final = {code: tuple(joints.split()) for joints, codes in _SEEN_AT for code in codes.split()}
"""Error code → names of the joints, without a side, at which a coach would look first."""

SHORT_UNITS: Final = ("deg", "deg/s", "s", "ms", "px", "%")
"""Units that are a sign or two behind the number; the others are words."""

REASONS: Final = {
    "PARTIAL_RANGE": "only part of the range",
    "INTERRUPTED": "interrupted",
    "SET_UP": "getting into position",
    "OUT_OF_FRAME": "left the picture",
    "LOW_VISIBILITY": "could not be seen well enough",
    "TOO_SHORT": "too short to be a repetition",
    "TOO_LONG": "too long to be a repetition",
    "NOT_EXERCISE": "not an exercise",
}


@lru_cache(maxsize=1)
def _catalogue() -> Catalogue:
    return load_catalogue()


def exercise_words(exercise: str) -> str:
    """The exercise's name: ``bicep_curl`` → ``Biceps curl``."""
    if exercise == "unknown":
        return "Unknown exercise"
    spec = _catalogue().get(exercise)
    return spec.title if spec.id == exercise else sentence_case(exercise)


def phases_in_order(exercise: str) -> tuple[tuple[str, str], tuple[str, str], tuple[str, str]]:
    """The parts of a repetition in time order: (name of the phase, verb)."""
    lift, lower = ("concentric", "lift"), ("eccentric", "lower")
    first, last = (lower, lift) if exercise in ECCENTRIC_FIRST else (lift, lower)
    return first, ("hold", "hold"), last


def error_words(code: str, exercise: str) -> str:
    """What is wrong, as the exercise's file names it; a code that is not in it is spelt out."""
    spec = _error(code, exercise)
    return spec.title if spec else sentence_case(code)


def error_cue(code: str, exercise: str) -> str:
    """What to do about it; empty where the exercise's file has no such error."""
    spec = _error(code, exercise)
    return spec.cue if spec else ""


def _error(code: str, exercise: str) -> ErrorSpec | None:
    return next((e for e in _catalogue().get(exercise).errors if e.code == code), None)


def reason_words(reason: str | None) -> str:
    """Why an attempt does not count."""
    return REASONS.get(reason or "", (reason or "no reason given").replace("_", " ").lower())


def sentence_case(code: str) -> str:
    """``KNEE_DIP`` → ``Knee dip``."""
    return code.replace("_", " ").strip().capitalize()


def faulty_joints(error: ErrorFinding) -> tuple[int, ...]:
    """COCO indices of the joints at which this error is seen, of the side that it names (else both)."""
    sides = (error.side,) if error.side in ("left", "right") else ("left", "right")
    names = _JOINTS.get(error.code, ())
    found = [INDEX[n] if n in INDEX else INDEX[f"{side}_{n}"] for n in names for side in sides]
    return tuple(dict.fromkeys(found))


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit as people write it: ``47°``, ``0.8 s``, ``23 %``; ``–`` where it is not known."""
    if value is None or value != value:
        return "–"
    match unit:
        case "deg":
            return f"{value:.0f}°"
        case "deg/s":
            return f"{value:.0f}°/s"
        case "s":
            return f"{value:.{1 if abs(value) >= 1 else 2}f} s"
        case "ms" | "px":
            return f"{value:.0f} {unit}"
        case "%":
            return f"{value:.0f} %"
        case "1" | "" | "ratio" | "norm":
            return f"{value:.2f}"
        case _:
            return f"{value:.2f} {unit}"


def percent(value: float | None, *, signed: bool = False) -> str:
    """A fraction as per cent; ``–`` where it is not known."""
    if value is None or value != value:
        return "–"
    return f"{100 * value:+.0f} %".replace("-", "−") if signed and round(100 * value) else f"{abs(100 * value):.0f} %"


def clock(time_s: float) -> str:
    """``75.25`` → ``1:15.2``: minutes, seconds and tenths; hours where there are any."""
    tenths = round(max(0.0, time_s) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{rest // 10:02d}.{rest % 10}"


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 repetition``, ``2 repetitions``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
