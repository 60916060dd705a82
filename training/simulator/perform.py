"""From an exercise and a plan of repetitions to channels: key poses mixed by progress, mistakes and natural sway
added."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from training.simulator.channels import BODY_NAMES, NEUTRAL, SIGNED, C, Pose, posture, targets
from training.simulator.exercises import Exercise
from training.simulator.mistakes import MISTAKES
from training.simulator.trajectory import Family, Progress, RepetitionPlan, evaluate

F64 = NDArray[np.float64]
_LUT: Final = np.linspace(-0.1, 1.15, 126)
_ZERO: Final = 10  # index of progress 0 in _LUT
_LEFT: Final = frozenset(i for n, i in C.items() if n.startswith("l_"))
_LANES: Final = ("left", "right")


@dataclass(frozen=True, slots=True)
class Style:
    """How this person does this exercise: added to the stance, the rest and the far pose; ``sway``: amplitude, about
    1."""

    stance: Pose = field(default_factory=dict)
    rest: Pose = field(default_factory=dict)
    far: Pose = field(default_factory=dict)
    sway: float = 1.0

    @classmethod
    def sample(cls, exercise: Exercise, rng: np.random.Generator) -> "Style":
        """A random person's way, well inside what a coach accepts."""

        def draw() -> dict[str, float]:
            return {n: float(np.clip(rng.normal(), -1.5, 1.5)) * s for n, s in exercise.spread.items()}

        stance = {"foot_x": float(np.clip(rng.normal(0, 0.015), -0.03, 0.04)), "foot_yaw": float(rng.normal(0, 3))}
        return cls(stance, draw(), draw(), float(rng.uniform(0.5, 1.3)))

    @classmethod
    def loose(cls, exercise: Exercise, rng: np.random.Generator) -> "Style":
        """Anyone's way, for learning: key poses, stance and head well off the book, without being wrong in kind."""
        usual = cls.sample(exercise, rng)
        size = float(rng.choice([0.0, 0.5, 1.0, 1.6], p=[0.2, 0.3, 0.3, 0.2]))

        def off(pose: Pose, scale: float) -> dict[str, float]:
            out = dict(pose)
            for side in ("lead_", "trail_"):
                for name, deg in _LOOSE.items():
                    out[side + name] = float(np.clip(rng.normal(), -2, 2)) * scale * deg
            return out

        stance = off(usual.stance, 0.6 * size)
        for name, spread in _LOOSE_BODY.items():
            stance[name] = stance.get(name, 0.0) + size * spread * float(np.clip(rng.normal(), -2, 2))
        far = {
            n: v + size * float(np.clip(rng.normal(), -2, 2)) * exercise.spread.get(n, 3.0)
            for n, v in usual.far.items()
        }
        return cls(stance, usual.rest, far, float(rng.uniform(0.4, 2.5)))


_LOOSE: Final[dict[str, float]] = {
    "elev": 4.0,
    "plane": 12.0,
    "rot": 10.0,
    "elbow": 7.0,
    "foot_yaw": 8.0,
    "foot_z": 0.02,
}
_LOOSE_BODY: Final[dict[str, float]] = {
    "pitch": 4.0, "flex": 5.0, "side": 2.0, "twist": 5.0, "head_pitch": 12.0, "head_yaw": 18.0, "neck_jut": 8.0,
    "foot_x": 0.04, "thigh": 3.0, "shin": 2.0,
}  # fmt: skip


class _Set:
    """Per-tick arrays of one set: who works, how far each side is, what degree each mistake has."""

    def __init__(self, plans: list[RepetitionPlan], times_s: F64, family: Family) -> None:
        self.plans, self.times_s = plans, times_s
        self.progress = evaluate(plans, times_s, family)
        self.working = np.array([p.side for p in plans])[self.progress.index]
        low, high = self.held([p.low for p in plans]), self.held([p.high for p in plans])
        self.middle = low + (high - low) * self.progress.middle
        self.lane: dict[str, F64] = {}
        for name in _LANES:
            s = getattr(self.progress, name) * (1.0 - self.held([getattr(p, f"weak_{name}") for p in plans]))
            self.lane[name] = low + (high - low) * np.where(self.works(name), s, 0.0)

    def works(self, lane: str) -> NDArray[np.bool_]:
        """(T,) whether that arm takes part."""
        return (self.working == lane) | (self.working == "both")

    def leads(self, lane: str, mistake: bool = False) -> NDArray[np.bool_]:
        """(T,) whether that side leads. Where both work: the left one, for a mistake the plan's ``lead``."""
        lead = np.array([p.lead for p in self.plans])[self.progress.index] if mistake else np.array("left")
        return (self.working == lane) | ((self.working == "both") & (lead == lane))

    def held(self, values: list[float]) -> F64:
        """(T,) one value per plan, constant over most of it, going over into the next one's around rest."""
        if len(set(values)) == 1:
            return np.full(len(self.times_s), values[0])
        knots = [(p.start_s + 0.2 * p.out_s, p.end_s - 0.2 * p.back_s) for p in self.plans]
        return np.interp(self.times_s, np.ravel(knots), np.repeat(values, 2))


def perform(
    exercise: Exercise,
    plans: list[RepetitionPlan],
    times_s: F64,
    rng: np.random.Generator,
    *,
    family: Family = "minimum_jerk",
    style: Style | None = None,
    side: str = "both",
) -> tuple[F64, Progress]:
    """Channels (T, D) of a set at ``times_s`` (T,), and its progress.

    Args:
        plans: in time order; a plan's side says which arm or leg works (an alternating set changes it).
        side: the working side of a one-sided stance (one-arm row, split squat).
    """
    style = style or Style()
    work = _Set(plans, times_s, family)
    base = posture(exercise.rest, side, posture(exercise.stance, side))
    for name, value in style.stance.items():
        for i in targets(name, side):
            base[i] += value
    channels = np.repeat(base[None], len(times_s), axis=0)
    _move(channels, exercise, style, work)
    for name, value in exercise.back.items():
        _add(channels, name, work, value, "back")
    for code, mistake in MISTAKES.get(exercise.id, {}).items():
        degrees = [p.mistakes.get(code, 0.0) for p in plans]
        if mistake.edits and any(degrees):
            held = work.held(degrees)
            for edit in mistake.edits:
                _add(channels, edit.name, work, edit.amount * held, edit.shape)
    channels += style.sway * sway(times_s, rng)
    return channels, work.progress


def _move(channels: F64, exercise: Exercise, style: Style, work: _Set) -> None:
    """Replace rest by the way from rest through mid to the far pose."""
    stance = posture(exercise.stance, "left")
    for name in dict.fromkeys((*exercise.rest, *exercise.mid, *exercise.far)):
        default = stance[targets(name, "left")[0]]
        rest = exercise.rest.get(name, default)
        ends = (rest + style.rest.get(name, 0.0), exercise.far.get(name, rest) + style.far.get(name, 0.0))
        mid = exercise.mid.get(name)
        if mid is not None:
            mid += 0.5 * (style.rest.get(name, 0.0) + style.far.get(name, 0.0))
        curve = _curve(ends[0], mid, ends[1])
        if name.startswith(("lead_", "trail_")) or name in SIGNED or name == "ref":
            way = curve - curve[_ZERO]
            for lane in _LANES:
                u = np.where(work.leads(lane), work.middle, 0.0)
                sign = -1.0 if lane == "right" and (name in SIGNED or name == "ref") else 1.0
                channels[:, targets(name, lane)[0]] += sign * np.interp(u, _LUT, way)
        elif name in BODY_NAMES:
            channels[:, C[name]] += np.interp(work.middle, _LUT, curve) - rest
        else:
            for lane, i in zip(_LANES, targets(name, "both"), strict=True):
                channels[:, i] += np.interp(work.lane[lane], _LUT, curve) - rest


def _curve(rest: float, mid: float | None, far: float) -> F64:
    """(126,) value over progress ``_LUT``, going straight on outside 0..1."""
    if mid is None:
        return rest + (far - rest) * _LUT
    inside = PchipInterpolator([0.0, 0.5, 1.0], [rest, mid, far])(np.clip(_LUT, 0.0, 1.0))
    return inside + (far - mid) * 2.0 * np.maximum(_LUT - 1.0, 0.0) + (mid - rest) * 2.0 * np.minimum(_LUT, 0.0)


def _shape(shape: str, u: F64, work: _Set) -> F64:
    cycle = work.progress.cycle
    if shape == "const":
        return np.ones_like(u)
    if shape == "far":
        return np.clip(u, 0.0, 1.2)
    if shape == "rest":
        return 1.0 - np.clip(u, 0.0, 1.0)
    if shape == "swing":
        return np.sin(cycle)
    if shape == "out":
        return np.where(cycle < np.pi, np.sin(cycle) ** 2, 0.0)
    if shape == "back":
        return np.where(cycle > np.pi, np.sin(cycle) ** 2, 0.0)
    if shape == "early":
        return np.where(cycle < np.pi / 2, np.sin(2 * cycle) ** 2, 0.0)
    return np.sin(2 * np.pi * 1.3 * work.times_s) * np.clip(u, 0.0, 1.0)


def _add(channels: F64, name: str, work: _Set, amount: F64 | float, shape: str) -> None:
    """Add ``amount`` × shape to the channels that ``name`` means: of the working arms, the leading leg, or the
    trunk."""
    if name.startswith(("lead_", "trail_")) or name in SIGNED:
        for lane in _LANES:
            leads = work.leads(lane, mistake=True)
            u = np.where(leads, work.middle, 0.0)
            gate = leads if shape != "far" else 1.0
            sign = -1.0 if lane == "right" and name in SIGNED else 1.0
            channels[:, targets(name, lane)[0]] += sign * amount * gate * _shape(shape, u, work)
    elif name in BODY_NAMES:
        channels[:, C[name]] += amount * _shape(shape, work.middle, work)
    else:
        for lane, i in zip(_LANES, targets(name, "both"), strict=True):
            gate = 1.0 if shape in ("far", "const", "rest") else work.works(lane)
            channels[:, i] += amount * gate * _shape(shape, work.lane[lane], work)


_SWAY: Final[dict[str, float]] = {
    "root_x": 0.005, "root_z": 0.005, "pitch": 0.8, "roll": 0.5, "flex": 0.6, "side": 0.5, "twist": 1.0,
    "head_pitch": 2.5, "head_yaw": 3.0, "head_roll": 1.2, "elev": 0.8, "plane": 2.0, "rot": 1.5, "elbow": 1.0,
    "pron": 3.0, "wrist": 3.0, "clav_up": 0.5,
}  # fmt: skip


def sway(times_s: F64, rng: np.random.Generator) -> F64:
    """(T, D) small slow natural movement of everything but the feet: three sines of 0.1–0.7 Hz per channel, amplitude
    1."""
    index = [i for n in _SWAY for i in targets(n, "both")]
    scale = np.array([v for n, v in _SWAY.items() for _ in targets(n, "both")])
    out = np.zeros((len(times_s), len(NEUTRAL)))
    freq = rng.uniform(0.1, 0.7, 3)
    waves = np.stack([f(2 * np.pi * q * times_s) for q in freq for f in (np.sin, np.cos)], axis=1)
    out[:, index] = waves @ (rng.normal(size=(6, len(index))) / np.sqrt(3.0)) * scale
    return out
