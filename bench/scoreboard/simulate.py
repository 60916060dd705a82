"""Fresh simulated clips: every exercise, clean and with each mistake, from the views that show it.

Seeds: every generator is ``default_rng([9_100_000 + seed, crc32 of the clip's name, 3])``: three words. Training draws
from ``[seed, chunk]`` (two words, small seeds), the error models' validation from one word; so nothing here is ever
trained on, whichever seed is given.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.common.types import LOCAL_STREAM, PoseFrame, TrackedPose
from services.errors.core.catalogue import Catalogue
from training.errors.samples import camera_at
from training.simulator.exercises import VARIANTS
from training.simulator.generate import make_motion
from training.simulator.labels import SimulatedMotion
from training.simulator.mistakes import MISTAKES
from training.simulator.plans import usual_side
from training.simulator.trajectory import Family
from training.simulator.view import Estimator, observe

VIEWS: Final = {"front": 0.0, "three_quarter": 40.0, "side": 90.0, "back": 180.0}
"""Name as in the exercise files → azimuth, deg; three-quarter and side are taken from left and right."""
SEED_BASE: Final = 9_100_000
LYING: Final = frozenset({"bench"})
SET_WIDE: Final = frozenset({"RANGE_LOST", "TORSO_RISES", "TEMPO_UNEVEN"})
"""Errors of the whole set: only some of its repetitions show them."""
STANDS_FOR: Final = {"ASYMMETRY": "UNEVEN_ARMS"}
"""Where an exercise has no error of that code, this one of its own says the same."""


@dataclass(frozen=True, slots=True)
class SimClip:
    """One clip to make. ``mistake`` None: clean; ``code``: what naming it right means (an exercise's own error may
    stand for it)."""

    exercise: str
    view: str
    mistake: str | None
    code: str | None
    seed: int

    @property
    def name(self) -> str:
        return f"{self.exercise}/{self.view}/{self.mistake or 'clean'}/{self.seed}"

    @property
    def set_wide(self) -> bool:
        """Whether the mistake is one of the whole set, not of each repetition."""
        return self.mistake in SET_WIDE

    def rng(self) -> np.random.Generator:
        return np.random.default_rng([SEED_BASE + self.seed, zlib.crc32(self.name.encode()), 3])


def views_of(catalogue: Catalogue, exercise: str, code: str) -> list[str]:
    """Views from which an error of an exercise can be seen, by its file; none where no camera shows it."""
    spec = next((e for e in catalogue[exercise].errors if e.code == code), None)
    return [v for v in VIEWS if v in spec.views] if spec and spec.measure else []


def clips_of(catalogue: Catalogue, exercise: str, seed: int) -> list[SimClip]:
    """Two clean clips (two of the views, by turns) and one of each mistake (one of the views that show it)."""
    known = {e.code for e in catalogue[exercise].errors}
    own = [e for e in catalogue[exercise].errors if e.measure]
    seen = [v for v in VIEWS if any(v in e.views for e in own)]
    out = [SimClip(exercise, seen[(2 * seed + k) % len(seen)], None, None, seed) for k in (0, 1)]
    for i, mistake in enumerate(MISTAKES.get(exercise, {})):
        code = mistake if mistake in known else STANDS_FOR.get(mistake, "")
        views = views_of(catalogue, exercise, code)
        if views:
            out.append(SimClip(exercise, views[(seed + i) % len(views)], mistake, code, seed))
    return out


def clip_motion(
    clip: SimClip, rng: np.random.Generator, *, family: Family, degree: tuple[float, float], fps: float
) -> SimulatedMotion:
    """The motion of a clip: 4–6 repetitions (7 where the mistake builds up), any variant of the exercise."""
    variants = VARIANTS[clip.exercise]
    variant = int(rng.integers(len(variants)))
    repetitions, lead_s = int(rng.integers(4, 7)), float(rng.uniform(0.6, 2.0))
    effect = MISTAKES[clip.exercise][clip.mistake] if clip.mistake else None
    compares = effect is not None and bool(effect.weak or effect.lag or effect.one_leg)
    return make_motion(
        clip.exercise,
        rng,
        mistakes={clip.mistake: float(rng.uniform(*degree))} if clip.mistake else None,
        repetitions=7 if clip.set_wide else repetitions,
        family=family,
        side=None if compares else usual_side(variants[variant].sides, rng),
        variant=variant,
        lead_s=lead_s,
        fps=fps,
    )


def clip_frames(
    clip: SimClip,
    *,
    family: Family = "held_out",
    degree: tuple[float, float] = (0.6, 1.0),
    fps: float = 30.0,
    exact: bool = False,
) -> tuple[SimulatedMotion, list[PoseFrame]]:
    """A clip's motion, and its poses as the pose network would give them (``exact``: without its noise)."""
    rng = clip.rng()
    motion = clip_motion(clip, rng, family=family, degree=degree, fps=fps)
    sign = float(rng.choice([-1.0, 1.0]))
    camera = camera_at(sign * VIEWS[clip.view], rng, lying=motion.support in LYING)
    keypoints, scores = observe(motion, camera, rng, Estimator.exact() if exact else None)
    frames = []
    for i, (k, s) in enumerate(zip(keypoints, scores, strict=True)):
        people: tuple[TrackedPose, ...] = ()
        if (s > 0).any():
            people = (TrackedPose(1, k, s, np.concatenate([k.min(0), k.max(0)]).astype(np.float32)),)
        frames.append(PoseFrame(LOCAL_STREAM, i, i / fps, camera.width_px, camera.height_px, people))
    return motion, frames


def all_clips(catalogue: Catalogue, exercises: Sequence[str], seeds: Sequence[int]) -> Iterator[SimClip]:
    """The clips of some exercises and seeds."""
    for exercise in exercises:
        for seed in seeds:
            yield from clips_of(catalogue, exercise, seed)
