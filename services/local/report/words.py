"""Codes in words, numbers as people write them, and the joints at which an error is seen."""

from dataclasses import dataclass
from typing import Final

from services.common.skeleton import INDEX
from services.common.types import ErrorFinding
from services.segment.core.network import ECCENTRIC_FIRST


@dataclass(frozen=True, slots=True)
class ErrorWords:
    """``title``: a short statement of what is wrong. ``joints``: names without a side, the place to look at first."""

    title: str
    joints: tuple[str, ...]


ERRORS: Final[dict[str, ErrorWords]] = {
    "ABOVE_SHOULDER": ErrorWords("Raised above shoulder height", ("wrist",)),
    "ASYMMETRY": ErrorWords("Left and right differ", ("wrist",)),
    "BACK_ARCH": ErrorWords("Back arches", ("hip", "shoulder")),
    "BACK_ROUNDED": ErrorWords("Back rounds", ("shoulder", "hip")),
    "BODY_ENGLISH": ErrorWords("Body helps the lift", ("shoulder", "hip")),
    "BOUNCE": ErrorWords("Bounces at the end", ("wrist",)),
    "DROPPED": ErrorWords("Weight dropped after the lift", ("wrist",)),
    "ECCENTRIC_TOO_FAST": ErrorWords("Lowered too fast", ("wrist",)),
    "ELBOWS_BENT": ErrorWords("Elbows bend", ("elbow",)),
    "ELBOWS_FLARED": ErrorWords("Elbows flare out", ("elbow",)),
    "ELBOW_DRIFT": ErrorWords("Elbow drifts", ("elbow",)),
    "ELBOW_FLARE": ErrorWords("Elbows flare out", ("elbow",)),
    "FLY_BECOMES_PRESS": ErrorWords("Fly becomes a press", ("elbow",)),
    "FOREARM_NOT_VERTICAL": ErrorWords("Forearm not vertical", ("elbow", "wrist")),
    "HAND_ABOVE_ELBOW": ErrorWords("Hand higher than the elbow", ("wrist", "elbow")),
    "HEAD_JUT": ErrorWords("Head juts forward", ("nose",)),
    "HEELS_LIFT": ErrorWords("Heels lift", ("ankle",)),
    "INCOMPLETE_CONTRACTION": ErrorWords("Not lifted all the way", ("elbow",)),
    "INCOMPLETE_EXTENSION": ErrorWords("Arm not fully straightened", ("elbow",)),
    "JERKY": ErrorWords("Jerky movement", ("wrist",)),
    "KNEES_CAVE_IN": ErrorWords("Knees cave in", ("knee",)),
    "KNEE_CAVES_IN": ErrorWords("Knee caves in", ("knee",)),
    "KNEE_DIP": ErrorWords("Knees dip to help", ("knee",)),
    "KNEE_PAST_TOE": ErrorWords("Knee far past the toes", ("knee",)),
    "LEAN_BACK": ErrorWords("Leans back", ("shoulder", "hip")),
    "MOMENTUM": ErrorWords("Swung up with momentum", ("wrist", "hip")),
    "NO_LOCKOUT": ErrorWords("No lock-out at the top", ("elbow",)),
    "OUT_OF_SYNC": ErrorWords("Arms out of time", ("wrist",)),
    "OVEREXTENDED": ErrorWords("Over-extends at the top", ("hip",)),
    "RANGE_LOST": ErrorWords("Range gets smaller during the set", ("wrist",)),
    "RANGE_TOO_SHORT": ErrorWords("Range too short", ("elbow", "wrist")),
    "ROLLING_SHOULDERS": ErrorWords("Shoulders roll", ("shoulder",)),
    "SHORT_PULL": ErrorWords("Pull too short", ("elbow",)),
    "SHORT_STEP": ErrorWords("Step too short", ("ankle",)),
    "SHOULDER_SHRUG": ErrorWords("Shoulders shrug up", ("shoulder",)),
    "SQUATTING": ErrorWords("Squats instead of hinging", ("knee", "hip")),
    "START_TOO_HIGH": ErrorWords("Starts too high", ("elbow",)),
    "TEMPO_UNEVEN": ErrorWords("Uneven tempo", ("wrist",)),
    "TOO_FAST": ErrorWords("Too fast", ("wrist",)),
    "TOO_SHALLOW": ErrorWords("Not deep enough", ("knee", "hip")),
    "TORSO_COLLAPSES": ErrorWords("Torso collapses forward", ("shoulder", "hip")),
    "TORSO_LEAN": ErrorWords("Torso leans", ("shoulder", "hip")),
    "TORSO_RISES": ErrorWords("Torso rises during the set", ("shoulder", "hip")),
    "TORSO_SWING": ErrorWords("Torso swings", ("shoulder", "hip")),
    "TORSO_TOO_UPRIGHT": ErrorWords("Torso too upright", ("shoulder", "hip")),
    "TORSO_TWIST": ErrorWords("Torso twists", ("shoulder",)),
    "UNCONTROLLED_LOWERING": ErrorWords("Lowered without control", ("wrist",)),
    "UNEVEN_ARMS": ErrorWords("Arms at uneven height", ("wrist",)),
    "UPPER_ARM_SWINGS": ErrorWords("Upper arm swings", ("elbow",)),
    "WEIGHTS_FAR": ErrorWords("Weights far from the legs", ("wrist",)),
    "WEIGHT_SHIFT": ErrorWords("Shifts to one side", ("hip",)),
    "WOBBLE": ErrorWords("Wobbles", ("knee",)),
}

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

_SPELT: Final = {
    "romanian_deadlift": "Romanian deadlift",
    "arnold_press": "Arnold press",
    "zottman_curl": "Zottman curl",
}


def exercise_words(exercise: str) -> str:
    """``bicep_curl`` → ``Bicep curl``."""
    if exercise == "unknown":
        return "Unknown exercise"
    return _SPELT.get(exercise, sentence_case(exercise))


def phases_in_order(exercise: str) -> tuple[tuple[str, str], tuple[str, str], tuple[str, str]]:
    """The parts of a repetition in time order: (name of the phase, verb)."""
    lift, lower = ("concentric", "lift"), ("eccentric", "lower")
    first, last = (lower, lift) if exercise in ECCENTRIC_FIRST else (lift, lower)
    return first, ("hold", "hold"), last


def error_words(code: str) -> ErrorWords:
    """What is wrong; a code without words of its own is spelt out and has no joints."""
    return ERRORS.get(code) or ErrorWords(sentence_case(code), ())


def reason_words(reason: str | None) -> str:
    """Why an attempt does not count."""
    return REASONS.get(reason or "", (reason or "no reason given").replace("_", " ").lower())


def sentence_case(code: str) -> str:
    """``KNEE_DIP`` → ``Knee dip``."""
    return code.replace("_", " ").strip().capitalize()


def faulty_joints(error: ErrorFinding) -> tuple[int, ...]:
    """COCO indices of the joints at which this error is seen, of the side that it names (else both)."""
    sides = (error.side,) if error.side in ("left", "right") else ("left", "right")
    names = error_words(error.code).joints
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
        case "s" | "ms" | "px":
            return f"{value:.{1 if unit == 's' else 0}f} {unit}"
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
    tenths = int(max(0.0, time_s) * 10 + 1e-6)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{rest // 10:02d}.{rest % 10}"


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 repetition``, ``2 repetitions``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
