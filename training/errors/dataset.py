"""Repetitions to learn from: simulated people with random mistakes, seen from anywhere, by good and poor pose networks,
cut as a segmenter cuts them; each with its numbers, the truth, and what the rules say.

Truth is a degree per error. Where it cannot be told (another planted mistake does the same to the body) it is NaN.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.common.types import Repetition
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.catalogue import Catalogue, ErrorSpec
from services.errors.core.features import F
from services.errors.core.learned import Evidence
from services.errors.core.processor import AssessProcessor
from training.errors.samples import events
from training.simulator.camera import Camera
from training.simulator.exercises import VARIANTS
from training.simulator.generate import make_motion
from training.simulator.mistakes import MISTAKES, Mistake
from training.simulator.motion import TrueRepetition
from training.simulator.plans import Pace
from training.simulator.trajectory import Family
from training.simulator.view import Estimator, observe

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

POSITIVE, NEGATIVE = 0.3, 0.1
"""A degree above the first is a mistake, one below the second is none; between them coaches differ."""
STANDS_FOR: Final = {"ASYMMETRY": "UNEVEN_ARMS"}
"""Where an exercise has no error of that code, this one of its own says the same."""
_LEGS: Final = frozenset({"thigh", "shin", "heel", "knee_in"})
_RATES: Final = ((30.0, 0.5), (25.0, 0.15), (20.0, 0.1), (15.0, 0.15), (10.0, 0.1))


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """N repetitions. Columns of the (N, C) arrays are ``codes``, ``exercise`` is the row's index into ``exercises``.

    ``degree`` NaN: not known, or not an error of the exercise; ``value``, ``gain``: what the error's measure reads, NaN
    where it does not; ``seen``: its joints are visible; ``group``: which set or video a row is from.
    """

    features: F32  # (N, F)
    exercise: NDArray[np.int64]  # (N,)
    degree: F32  # (N, C)
    value: F32  # (N, C)
    gain: F32  # (N, C)
    seen: NDArray[np.bool_]  # (N, C)
    view: NDArray[np.int64]  # (N,) index into ViewKind
    azimuth: F32  # (N,) true azimuth of the camera, degrees
    group: NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: NDArray[np.generic]) -> "Samples":
        return Samples(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def join(cls, parts: "list[Samples]") -> "Samples":
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


@cache
def exercises() -> tuple[str, ...]:
    return tuple(sorted(MISTAKES))


@cache
def codes(catalogue: Catalogue) -> tuple[str, ...]:
    """Every code that some exercise's file measures."""
    return tuple(sorted({e.code for spec in catalogue for e in spec.errors if e.measure is not None}))


# -- the truth ------------------------------------------------------------------------------------------------------


def _effects(mistake: Mistake) -> set[str]:
    """What a mistake does, coarsely: two that share one cannot be told apart for sure."""
    plan = {"high": mistake.high, "low": mistake.low, "weak": mistake.weak, "lag": mistake.lag, "jerk": mistake.jerk}
    out = {name for name, value in plan.items() if value}
    if mistake.back_s or mistake.lower_s or mistake.fall:
        out.add("lowering")
    if mistake.bounce:
        out |= {"jerk", "bounce"}
    if mistake.out_s:
        out.add("lifting")
    out |= {f"{e.name}{'+' if e.amount > 0 else '-'}{e.shape}" for e in mistake.edits}
    return out


@cache
def kin(exercise: str, code: str) -> frozenset[str]:
    """Codes of other mistakes of the exercise that do in part the same to the body."""
    own = MISTAKES[exercise]
    mine = _effects(own[code]) if code in own else set()
    return frozenset(c for c, m in own.items() if c != code and _effects(m) & mine)


def truth(exercise: str, errors: tuple[ErrorSpec, ...], planted: Mapping[str, float], order: tuple[str, ...]) -> F32:
    """(C,) degree of each error of an exercise; NaN where nothing is known of it."""
    out = np.full(len(order), np.nan, dtype=np.float32)
    known = {e.code for e in errors}
    told = {c if c in known else STANDS_FOR.get(c, c): d for c, d in planted.items()}
    for error in errors:
        if error.measure is None or not (error.code in MISTAKES[exercise] or error.code in told):
            continue
        degree = told.get(error.code, 0.0)
        alike = kin(exercise, error.code) | set(error.yields_to)
        if degree <= POSITIVE and any(d >= NEGATIVE and c in alike for c, d in planted.items() if c != error.code):
            continue
        out[order.index(error.code)] = degree
    return out


def target(degree: NDArray[np.floating]) -> NDArray[np.float32]:
    """1 from ``POSITIVE`` on, 0 up to ``NEGATIVE``, in between what lies between; NaN stays."""
    return np.clip((degree - NEGATIVE) / (POSITIVE - NEGATIVE), 0.0, 1.0).astype(np.float32)


# -- simulated sets -------------------------------------------------------------------------------------------------


def shows(exercise: str, code: str, support: str) -> bool:
    """Whether a body on that support can make the mistake at all: who sits cannot dip with the knees."""
    edits = MISTAKES[exercise][code].edits
    return not (support == "seat" and edits and all(e.name in _LEGS for e in edits))


def _some(exercise: str, rng: np.random.Generator, most: int, support: str) -> dict[str, float]:
    """Up to so many random mistakes; degrees mostly over the limit, some under it."""
    every = [code for code in MISTAKES[exercise] if shows(exercise, code, support)]
    general = {"ECCENTRIC_TOO_FAST", "TEMPO_UNEVEN", "RANGE_LOST", "ASYMMETRY", "JERKY"}
    weight = np.array([0.4 if c in general else 1.0 for c in every])
    count = int(rng.integers(1, most + 1))
    chosen = rng.choice(len(every), size=min(count, len(every)), replace=False, p=weight / weight.sum())
    low = rng.random(len(chosen)) < 0.25
    degrees = np.where(low, rng.uniform(0.04, 0.3, len(chosen)), rng.uniform(0.3, 1.0, len(chosen)))
    return {every[i]: float(d) for i, d in zip(chosen, degrees, strict=True)}


def camera_of(rng: np.random.Generator, lying: bool) -> Camera:
    """Where people put a phone to be judged: any side, knee to head high, nearly level."""
    azimuth = float(rng.choice([0.0, 45.0, -45.0, 90.0, -90.0, 180.0], p=[0.22, 0.13, 0.13, 0.2, 0.2, 0.12]))
    azimuth = azimuth + float(rng.normal(0, 10)) if rng.random() < 0.75 else float(rng.uniform(-180, 180))
    return Camera(
        azimuth_deg=azimuth, height_m=float(rng.uniform(0.6, 1.7)), distance_m=float(rng.uniform(2.5, 5.0)),
        roll_deg=float(rng.normal(0, 1.5)), fov_deg=float(rng.uniform(42, 60)),
        target=(0.0, 0.55 if lying else 0.95, 0.0),
    )  # fmt: skip


def random_set(
    seed: tuple[int, ...], family: Family | None = None, *, hard: bool = True
) -> tuple[str, float, list[tuple[TrueRepetition, Repetition]]]:
    """(exercise, azimuth, repetitions with their truth) of one random set.

    Args:
        family: law of motion; None: any of those that may be trained on.
        hard: up to three mistakes at once, any tempo, poor pose networks, few frames, ragged boundaries, to learn from;
            else one mistake at a time, done and seen as on an ordinary recording.
    """
    rng = np.random.default_rng(list(seed))
    family = family or ("varied" if rng.random() < 0.6 else "minimum_jerk")
    exercise = str(rng.choice(exercises()))
    variant = int(rng.integers(len(VARIANTS[exercise])))
    wide = rng.random() < 0.4
    repetitions = int(rng.integers(5, 8)) if wide else 3
    form, most = VARIANTS[exercise][variant], (2, 3) if hard else (1, 1)
    whole = _some(exercise, rng, most[0], form.support) if wide and rng.random() < 0.8 else {}
    single = {} if wide else {i: _some(exercise, rng, most[1], form.support) for i in range(3) if rng.random() < 0.75}
    pace = Pace.clean(form, rng) if rng.random() < 0.85 or not hard else Pace.wild(rng)
    rates, shares = zip(*_RATES, strict=True)
    fps = float(rng.choice(rates, p=shares)) if hard else 30.0
    motion = make_motion(
        exercise, rng, mistakes=whole, at=single, repetitions=repetitions, family=family, variant=variant, pace=pace,
        side=_side(form.sides, rng), lead_s=0.6, fps=fps,
    )  # fmt: skip
    camera = camera_of(rng, motion.support == "bench")
    estimator = Estimator.sample(rng) if rng.random() < 0.5 and hard else Estimator()
    keypoints, scores = observe(motion, camera, rng, estimator)
    spread = float(rng.choice([0.03, 0.06, 0.12])) if hard else 0.06
    found = list(events(motion, keypoints, scores, rng, boundary_s=spread))
    return exercise, camera.azimuth_deg, found


def _side(sides: tuple[tuple[str, float], ...], rng: np.random.Generator) -> str | None:
    names, shares = zip(*sides, strict=True)
    name = str(rng.choice(names, p=np.array(shares) / sum(shares)))
    return str(rng.choice(["left", "right"])) if name == "one" else name


class Collector:
    """Rows of ``Samples`` by and by."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.codes = codes(catalogue)
        self._rows: list[tuple[F32, int, F32, F32, F32, NDArray[np.bool_], int, float, int]] = []

    def add(self, found: Evidence, exercise: str, degree: F32, azimuth: float, group: int) -> None:
        value, gain = np.full((2, len(self.codes)), np.nan, dtype=np.float32)
        seen = np.zeros(len(self.codes), dtype=np.bool_)
        for code, measured in found.measured.items():
            value[self.codes.index(code)], gain[self.codes.index(code)] = measured
        for code in found.seen:
            seen[self.codes.index(code)] = True
        row, features = exercises().index(exercise), found.features.astype(np.float32)
        self._rows.append((features, row, degree, value, gain, seen, found.view, azimuth, group))

    def samples(self) -> Samples:
        columns = list(zip(*self._rows, strict=True)) if self._rows else [()] * 9
        wide = (len(self.codes),)
        shapes = ((F,), (), wide, wide, wide, wide, (), (), ())
        kinds = (np.float32, np.int64, np.float32, np.float32, np.float32, np.bool_, np.int64, np.float32, np.int64)
        arrays: Any = (np.array(c, dtype=k).reshape(-1, *s) for c, k, s in zip(columns, kinds, shapes, strict=True))
        return Samples(*arrays)


def collect(
    catalogue: Catalogue, sets: Iterator[tuple[str, float, list[tuple[TrueRepetition, Repetition]]]]
) -> Samples:
    """Samples of sets of repetitions whose truth is known."""
    out = Collector(catalogue)
    for group, (exercise, azimuth, found) in enumerate(sets):
        processor = AssessProcessor(catalogue)
        for true, event in found:
            evidence = processor.evidence(event)
            degree = truth(exercise, catalogue[exercise].errors, true.mistakes, out.codes)
            out.add(evidence, exercise, degree, azimuth, group)
    return out.samples()


def simulate(seed: int, sets: int, *, family: Family | None = None, catalogue: Catalogue | None = None) -> Samples:
    """``sets`` random sets; the same seed gives the same samples."""
    catalogue = catalogue or load_catalogue(weights=None)
    return collect(catalogue, (random_set((seed, index), family) for index in range(sets)))
