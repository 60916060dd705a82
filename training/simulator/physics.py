"""The physical quantity behind every mistake, measured on the true joints of one repetition.

Each grows with the mistake's degree (tests hold it to that). Angles in degrees, lengths in m, durations in s; a sign is
turned where the mistake makes the quantity smaller.

    python -m training.simulator.physics [ID ...]     prints clean, degree 0.3, 0.5 and 1 of every mistake
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.simulator.body import Body, J
from training.simulator.exercises import EXERCISES
from training.simulator.mistakes import MISTAKES
from training.simulator.perform import Style, perform
from training.simulator.plans import Pace, plan_set
from training.simulator.trajectory import RepetitionPlan

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """One repetition: joints (T, 27, 3) m from onset to offset, its plan, and ``middle`` (T,): share of the way out."""

    exercise: str
    joints: F64
    plan: RepetitionPlan
    middle: F64

    def at(self, name: str) -> F64:
        """(T, 3) of a joint."""
        return self.joints[:, J[name]]

    @property
    def side(self) -> str:
        """A side that works."""
        return "left" if self.plan.side == "both" else self.plan.side


def _between(a: F64, b: F64) -> F64:
    cosine = np.sum(a * b, axis=-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-9)
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _bend(t: Take, a: str, b: str, c: str) -> F64:
    """(T,) interior angle at joint b of the working side."""
    s = t.side
    first, middle, last = (t.at(f"{s}_{n}") for n in (a, b, c))
    return _between(first - middle, last - middle)


def elbow(t: Take) -> F64:
    """(T,) interior angle of the elbow."""
    return _bend(t, "shoulder", "elbow", "wrist")


def knee(t: Take) -> F64:
    """(T,) interior angle of the knee."""
    return _bend(t, "hip", "knee", "ankle")


def lean(t: Take) -> F64:
    """(T,) trunk against the vertical, forward positive (the person faces +z)."""
    trunk = t.at("neck") - t.at("pelvis")
    return np.degrees(np.arctan2(trunk[:, 2], trunk[:, 1]))


def raised(t: Take) -> F64:
    """(T,) upper arm against the trunk's downward direction."""
    return _between(t.at(f"{t.side}_elbow") - t.at(f"{t.side}_shoulder"), t.at("pelvis") - t.at("neck"))


def _upper_arm_way(t: Take) -> float:
    upper = t.at(f"{t.side}_elbow") - t.at(f"{t.side}_shoulder")
    return float(_between(upper, upper[:1]).max())


def _uneven(t: Take) -> float:
    if t.exercise == "lunge":
        return float(t.at("neck")[:, 1].min())
    hands = np.abs(t.at("left_wrist") - t.at("right_wrist"))[:, 1].max()
    return float(max(hands, 2.0 * np.abs(t.at("left_hip") - t.at("right_hip"))[:, 1].max()))


def _late(t: Take) -> float:
    heights = [t.at(f"{s}_wrist")[:, 1] for s in ("left", "right")]
    half = [int(np.argmax(h > 0.5 * (h[0] + h.max()))) for h in heights]
    return abs(half[0] - half[1]) / len(t.joints)


def _speed_dips(t: Take) -> float:
    return float(np.abs(np.diff(t.middle, 2)).mean() * len(t.joints) ** 2)


def _spring(t: Take) -> float:
    return float(np.abs(np.diff(t.middle)).sum() - 2.0 * t.middle.max())


def _forearm_tilt(t: Take) -> float:
    fore = t.at(f"{t.side}_wrist") - t.at(f"{t.side}_elbow")
    return float(_between(fore, np.array([0.0, 1.0, 0.0]))[[0, -1]].max())


def _knee_inward(t: Take) -> float:
    s = 1.0 if t.side == "left" else -1.0
    return float((s * (t.at(f"{t.side}_ankle") - t.at(f"{t.side}_knee"))[:, 0]).max())


def _twist(t: Take) -> float:
    line = t.at("left_shoulder") - t.at("right_shoulder")
    return float(_between(line, line[:1]).max())


def _span(values: F64) -> float:
    return float(values.max() - values.min())


def _reach(t: Take) -> float:
    if t.exercise == "lunge":
        return _span(t.at("neck")[:, 1])
    names = [J[n] for n in ("left_wrist", "right_wrist", "neck", "left_shoulder")]
    return float(np.linalg.norm(t.joints[:, names] - t.joints[:1, names], axis=2).mean(axis=1).max())


def _far(t: Take, values: F64) -> float:
    return float(values[int(np.argmax(t.middle))])


QUANTITIES: Final[dict[str, Callable[[Take], float]]] = {
    "ELBOW_DRIFT": _upper_arm_way,
    "INCOMPLETE_CONTRACTION": lambda t: float(elbow(t).min()),
    "INCOMPLETE_EXTENSION": lambda t: 180.0 - float(elbow(t).max()),
    "TORSO_SWING": lambda t: _span(lean(t)),
    "UNCONTROLLED_LOWERING": lambda t: -t.plan.back_s,
    "OUT_OF_SYNC": _late,
    "SHOULDER_SHRUG": lambda t: -float(np.linalg.norm(t.at("left_ear") - t.at(f"{t.side}_shoulder"), axis=1).min()),
    "LEAN_BACK": lambda t: -float(lean(t).min()),
    "NO_LOCKOUT": lambda t: 180.0 - float(elbow(t).max()),
    "START_TOO_HIGH": lambda t: float(elbow(t).min()),
    "UNEVEN_ARMS": _uneven,
    "ELBOWS_FLARED": lambda t: (
        _far(t, raised(t))
        if abs(lean(t)[0]) > 60
        else -float((t.at(f"{t.side}_elbow") - t.at(f"{t.side}_shoulder"))[0, 2])
    ),
    "FOREARM_NOT_VERTICAL": _forearm_tilt,
    "KNEE_DIP": lambda t: 180.0 - float(knee(t).min()),
    "ABOVE_SHOULDER": lambda t: float(raised(t).max()),
    "RANGE_TOO_SHORT": lambda t: -_reach(t),
    "ELBOWS_BENT": lambda t: 180.0 - float(elbow(t).min()),
    "DROPPED": lambda t: -t.plan.back_s,
    "HAND_ABOVE_ELBOW": lambda t: float((t.at(f"{t.side}_wrist") - t.at(f"{t.side}_elbow"))[:, 1].max()),
    "TOO_FAST": lambda t: -(t.plan.out_s + t.plan.back_s),
    "MOMENTUM": lambda t: -t.plan.out_s,
    "ROLLING_SHOULDERS": lambda t: _span(t.at("left_shoulder")[:, 2]),
    "HEAD_JUT": lambda t: float((t.at("left_ear") - t.at("neck"))[:, 2].max()),
    "BOUNCE": _spring,
    "TORSO_RISES": lambda t: -float(lean(t)[0]),
    "BACK_ROUNDED": lambda t: float(_between(t.at("spine") - t.at("pelvis"), t.at("neck") - t.at("spine")).max()),
    "SHORT_PULL": lambda t: -_span(t.at(f"{t.side}_elbow")[:, 1]),
    "TORSO_TWIST": _twist,
    "BODY_ENGLISH": lambda t: _span(lean(t)),
    "UPPER_ARM_SWINGS": _upper_arm_way,
    "TORSO_TOO_UPRIGHT": lambda t: -float(lean(t)[0]),
    "ELBOW_FLARE": lambda t: float(np.linalg.norm(t.at("left_elbow") - t.at("right_elbow"), axis=1)[0]),
    "BACK_ARCH": lambda t: -float(lean(t).min()),
    "KNEE_PAST_TOE": lambda t: float((t.at(f"{t.side}_knee") - t.at(f"{t.side}_toe"))[:, 2].max()),
    "KNEE_CAVES_IN": _knee_inward,
    "TOO_SHALLOW": lambda t: float(t.at("neck")[:, 1].min()),
    "TORSO_LEAN": lambda t: float(lean(t).max()),
    "SHORT_STEP": lambda t: -float(np.abs(t.at("left_ankle") - t.at("right_ankle"))[:, 2].max()),
    "WOBBLE": lambda t: _span(t.at("pelvis")[:, 0]),
    "KNEES_CAVE_IN": lambda t: -_far(t, (t.at("left_knee") - t.at("right_knee"))[:, 0]),
    "TORSO_COLLAPSES": lambda t: float(lean(t).max()),
    "HEELS_LIFT": lambda t: float(t.at("left_heel")[:, 1].max()),
    "WEIGHT_SHIFT": lambda t: float(np.abs(t.at("pelvis")[:, 0]).max()),
    "SQUATTING": lambda t: 180.0 - float(knee(t).min()),
    "WEIGHTS_FAR": lambda t: _far(t, (t.at("left_wrist") - t.at("left_ankle"))[:, 2]),
    "OVEREXTENDED": lambda t: -float(lean(t)[0]),
    "FLY_BECOMES_PRESS": lambda t: 180.0 - _far(t, elbow(t)),
    "ECCENTRIC_TOO_FAST": lambda t: -(t.plan.out_s if EXERCISES[t.exercise].eccentric_first else t.plan.back_s),
    "RANGE_LOST": lambda t: -_reach(t),
    "ASYMMETRY": _uneven,
    "JERKY": _speed_dips,
}
"""Code → quantity of one repetition. TEMPO_UNEVEN is a matter of the set: relative spread of the durations."""


def takes(exercise: str, mistakes: dict[str, float], *, fps: float = 60.0) -> list[Take]:
    """Four repetitions of an average person without sway, alike but for the mistakes."""
    form = EXERCISES[exercise]
    side = form.sides[0][0] if form.sides[0][0] in ("both", "alternate") else "left"
    rng = np.random.default_rng(5)
    pace = Pace(3.0, spread=0.0, drift=0.0, tiring=0.0, hold_s=0.0, rest_s=0.5, out=0.5)
    plans = plan_set(form, rng, 4, pace=pace, side=side, mistakes=mistakes, start_s=0.5)
    times = np.arange(round((plans[-1].end_s + 0.5) * fps)) / fps
    channels, progress = perform(form, plans, times, rng, style=Style(sway=0.0), side="left")
    joints, _ = Body.average().joints(channels)
    out = []
    for plan, onset, offset in zip(plans, progress.onset_s, progress.offset_s, strict=True):
        span = slice(round(onset * fps), round(offset * fps) + 1)
        out.append(Take(exercise, joints[span], plan, progress.middle[span]))
    return out


def quantity(exercise: str, code: str, degree: float) -> float:
    """The quantity of ``code`` in the repetition in which it is planted (the last such), at this degree (0: clean)."""
    made = takes(exercise, {code: degree} if degree else {})
    if code == "TEMPO_UNEVEN":
        durations = np.array([t.plan.end_s - t.plan.start_s for t in made])
        return float(durations.std() / durations.mean())
    planted = [t for t in made if code in t.plan.mistakes] or made
    return QUANTITIES[code](planted[-1])


def main(*exercises: str) -> None:
    """Print the table."""
    print(f"{'exercise':27s}{'mistake':24s}{'clean':>9s}{'0.3':>9s}{'0.5':>9s}{'1':>9s}  degree 1 means")
    for exercise in exercises or tuple(EXERCISES):
        for code, mistake in MISTAKES[exercise].items():
            values = "".join(f"{quantity(exercise, code, d):9.2f}" for d in (0.0, 0.3, 0.5, 1.0))
            print(f"{exercise:27s}{code:24s}{values}  {mistake.what}")


if __name__ == "__main__":
    main(*sys.argv[1:])
