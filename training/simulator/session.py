"""Whole training sessions for learning: sets of anything with everything else between, seen by a camera."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from training.simulator import activities, generic
from training.simulator.body import Body
from training.simulator.camera import Camera
from training.simulator.channels import F64, C
from training.simulator.edit import crop, cut_out, freeze
from training.simulator.exercises import VARIANTS, Exercise
from training.simulator.labels import EXERCISE_IDS, SimulatedMotion
from training.simulator.mistakes import MISTAKES
from training.simulator.motion import TrueRepetition
from training.simulator.perform import Style, perform
from training.simulator.plans import Pace, partial, plan_set, true_repetitions, usual_side
from training.simulator.trajectory import Family, RepetitionPlan
from training.simulator.view import Estimator, normalised_per_frame, observe

Rng = np.random.Generator
_RATES_FPS = (8.0, 10.0, 12.0, 15.0, 20.0, 24.0, 25.0, 25.0, 30.0, 30.0, 30.0, 30.0, 50.0, 60.0)

_ARMS_ONLY = frozenset(
    ("bicep_curl", "hammer_curl", "zottman_curl", "shoulder_press", "arnold_press", "lateral_raise", "front_raise",
     "shrug", "overhead_triceps_extension")
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """A simulated recording: what a pose network saw, and the truth (``labels.labels(session.motion)``).

    ``keypoints`` (T, 17, 2) px and ``scores`` (T, 17) at ``motion.fps``; a frame without a pose is all zero.
    ``motion.cut`` and ``motion.frozen`` mark edits.
    """

    motion: SimulatedMotion
    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    width_px: int
    height_px: int


def sample_session(
    rng: Rng,
    *,
    exercises: Mapping[str, float] | None = None,
    duration_s: float | None = None,
    fps: float | None = None,
    family: Family = "minimum_jerk",
    mistaken: float = 0.5,
    edited: float = 0.25,
    normalised: float = 0.0,
) -> Session:
    """One random recording.

    Args:
        exercises: exercise id (or ``unknown``, or ``none`` for a recording without any set) → weight of drawing it.
            None: the named ones alike for 65 %, ``unknown`` 25 %, ``none`` 10 %.
        duration_s: length; None: 20–60 s. fps: frame rate; None: one of the usual ones, 8–60.
        family: law of motion (training takes ``varied``).
        mistaken: share of sets with planted mistakes; edited: share of recordings with cuts, freezes or a start in the
            middle of things; normalised: share with each frame's keypoints scaled to their own extent.
    """
    duration_s = duration_s or float(rng.uniform(20, 60))
    fps = fps or float(rng.choice(_RATES_FPS))
    script = _Script(rng, fps, family, mistaken)
    script.play(_draw_exercise(rng, exercises), duration_s)
    motion = script.motion()
    motion = _edit(motion, rng, duration_s) if rng.random() < edited else crop(motion, 0.0, duration_s)
    return view_session(motion, rng, normalised=rng.random() < normalised)


def view_session(motion: SimulatedMotion, rng: Rng, *, normalised: bool = False) -> Session:
    """Record a motion by a random camera and pose network; after a hard cut the camera may be another one."""
    near = motion.exercise in _ARMS_ONLY and rng.random() < 0.35
    camera = Camera.sample(rng, motion.joints, near=near)
    estimator = Estimator.sample(rng)
    keypoints, scores = observe(motion, camera, rng, estimator)
    for tick in np.flatnonzero(motion.cut):
        if rng.random() < 0.5:
            other = Camera.sample(rng, motion.joints, size=(camera.width_px, camera.height_px), near=near)
            keypoints[tick:], scores[tick:] = (a[tick:] for a in observe(motion, other, rng, estimator))
    for tick in np.flatnonzero(motion.frozen):
        keypoints[tick], scores[tick] = keypoints[tick - 1], scores[tick - 1]
    if normalised:
        keypoints = normalised_per_frame(keypoints, scores) * camera.height_px
    return Session(motion, keypoints, scores, camera.width_px, camera.height_px)


def _draw_exercise(rng: Rng, weights: Mapping[str, float] | None) -> str:
    if weights is None:
        kind = rng.random()
        return str(rng.choice(list(VARIANTS))) if kind < 0.65 else generic.UNKNOWN if kind < 0.9 else "none"
    names, values = list(weights), np.array(list(weights.values()), dtype=np.float64)
    return str(rng.choice(names, p=values / values.sum()))


def _edit(motion: SimulatedMotion, rng: Rng, duration_s: float) -> SimulatedMotion:
    start = (
        float(rng.uniform(0, max(len(motion.joints) / motion.fps - 0.6 * duration_s, 0.0))) if rng.random() < 0.5 else 0
    )
    motion = crop(motion, start, start + duration_s)
    for _ in range(int(rng.integers(0, 3))):
        length = len(motion.joints) / motion.fps
        at = float(rng.uniform(0.1, 0.9)) * length
        if rng.random() < 0.6:
            motion = cut_out(motion, at, min(at + float(rng.exponential(2.0)), length - 1.0))
        else:
            motion = freeze(motion, at, float(rng.uniform(0.2, 2.0)))
    return motion


@dataclass(slots=True)
class _Script:
    """Builds one recording segment by segment; a transition joins each to the one before."""

    rng: Rng
    fps: float
    family: Family
    mistaken: float
    parts: list[F64] = field(default_factory=list)
    progress: list[F64] = field(default_factory=list)
    repetitions: list[TrueRepetition] = field(default_factory=list)
    sets: list[tuple[int, int, int]] = field(default_factory=list)
    phase: list[NDArray[np.int64]] = field(default_factory=list)
    ticks: int = 0
    form: Exercise | None = None
    spot: F64 = field(default_factory=lambda: np.zeros(3))  # heading, x, z

    def play(self, exercise: str, duration_s: float) -> None:
        """Sets of one exercise with pauses, until ``duration_s`` is filled."""
        rng = self.rng
        until = round((duration_s + 1.0) * self.fps)
        self.spot[0] = rng.uniform(-25, 25)
        if exercise == "none":
            while self.ticks < until:
                self._pause()
            return
        if rng.random() < 0.35:
            self._walk(arrive=True)
        while rng.random() < 0.4:
            self._pause()
        form = generic.draw(rng) if exercise == generic.UNKNOWN else self._form(exercise)
        while self.ticks < until:
            self._set(form, until)
            for _ in range(int(rng.integers(0, 3))):
                self._pause()
            if rng.random() < 0.15:
                self._walk(arrive=False)
            if rng.random() < 0.2:  # the next exercise of the round
                form = self._form(str(rng.choice(list(VARIANTS)))) if rng.random() < 0.7 else generic.draw(rng)

    def motion(self) -> SimulatedMotion:
        """All segments as one motion."""
        channels = np.concatenate(self.parts)
        joints, grip = Body.sample(self.rng).joints(channels)
        n = len(channels)
        active, index = np.zeros(n, np.bool_), np.full(n, -1, np.int64)
        for first, last, which in self.sets:
            active[first:last], index[first:last] = True, which
        progress, extent = np.concatenate(self.progress, axis=1).astype(np.float32)
        none = np.zeros(n, np.bool_)
        form = self.form
        return SimulatedMotion(
            self.fps, joints.astype(np.float32), grip.astype(np.float32), np.concatenate(self.phase),
            form.id if form else "none", tuple(self.repetitions), form.held if form else frozenset(),
            form.support if form else "none", progress, extent, active, index, none, none,
        )  # fmt: skip

    def _form(self, exercise: str) -> Exercise:
        forms = VARIANTS[exercise]
        return forms[int(self.rng.integers(len(forms)))]

    def _append(self, channels: F64, progress: F64 | None = None, phase: NDArray[np.int64] | None = None) -> int:
        """Add a segment after a transition; its first tick."""
        channels[:, [C["heading"], C["place_x"], C["place_z"]]] += self.spot
        if self.parts:
            start, end = self.parts[-1][-1], channels[0]
            far = abs(end[C["root_free"]] - start[C["root_free"]]) + abs(end[C["pitch"]] - start[C["pitch"]]) / 60
            seconds = float(self.rng.uniform(0.3, 1.0)) * (1.0 + 2.0 * min(far, 1.0))
            way = activities.go_over(start, end, max(round(seconds * self.fps), 1))
            self._push(way, np.zeros((2, len(way))), np.zeros(len(way), np.int64))
        first = self.ticks
        n = len(channels)
        self._push(
            channels,
            np.zeros((2, n)) if progress is None else progress,
            np.zeros(n, np.int64) if phase is None else phase,
        )
        return first

    def _push(self, channels: F64, progress: F64, phase: NDArray[np.int64]) -> None:
        self.parts.append(channels)
        self.progress.append(progress)
        self.phase.append(phase)
        self.ticks += len(channels)

    def _pause(self) -> None:
        self._append(activities.QUIET[int(self.rng.integers(len(activities.QUIET)))](self.rng, self.fps))
        if self.rng.random() < 0.15:
            self.spot[0] += self.rng.normal(0, 35)

    def _walk(self, arrive: bool) -> None:
        rng = self.rng
        away = float(rng.uniform(1.2, 4.0))
        channels = activities.walk(rng, self.fps, away)
        done = float(channels[-1, C["l_foot_z"]])
        heading = float(rng.uniform(-180, 180))
        step = np.array([0.0, done * np.sin(np.radians(heading)), done * np.cos(np.radians(heading))])
        home, self.spot = self.spot, self.spot.copy()
        self.spot[0] = heading
        if arrive:
            self.spot -= step
        self._append(channels)
        self.spot = home if arrive else self.spot + step

    def _set(self, form: Exercise, until: int) -> None:
        rng = self.rng
        pace = Pace.wild(rng) if rng.random() < 0.7 else Pace.clean(form, rng)
        side = usual_side(form.sides, rng)
        room_s = max((until - self.ticks) / self.fps, 4.0)
        fits = int(np.clip(room_s / (pace.tempo_s + pace.rest_s + pace.hold_s), 1, 16))
        lead_s = float(rng.uniform(0.1, 1.5))
        plans = plan_set(
            form,
            rng,
            max(1, round(fits * float(rng.beta(2.0, 1.2)))),
            pace=pace,
            side=side,
            mistakes=self._mistakes(form),
            start_s=lead_s,
        )
        plans = self._attempts(plans)
        times = np.arange(round((plans[-1].end_s + float(rng.uniform(0.1, 1.0))) * self.fps)) / self.fps
        stance = side if side in ("left", "right") else "left"
        channels, way = perform(form, plans, times, rng, family=self.family, style=Style.loose(form, rng), side=stance)
        scale = np.array([p.high - p.low if p.reason else 1.0 for p in plans])[way.index]
        first = self._append(channels, np.stack([way.middle * scale, way.extent]), way.phase)
        made = true_repetitions(form.id, plans, way)
        shift = first / self.fps
        self.repetitions += [
            replace(r, onset_s=r.onset_s + shift, turn_s=r.turn_s + shift, offset_s=r.offset_s + shift) for r in made
        ]
        edge = np.searchsorted(times, [made[0].onset_s, made[-1].offset_s])  # as the phases are cut
        self.sets.append((first + int(edge[0]), first + int(edge[1]), EXERCISE_IDS.index(form.id)))
        self.form = self.form or form

    def _mistakes(self, form: Exercise) -> dict[str, float]:
        known = list(MISTAKES.get(form.id, {}))
        if not known or self.rng.random() > self.mistaken:
            return {}
        codes = self.rng.choice(known, int(self.rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])), replace=False)
        return {str(c): float(self.rng.uniform(0.15, 1.0)) for c in codes}

    def _attempts(self, plans: list[RepetitionPlan]) -> list[RepetitionPlan]:
        """Now and then a repetition is given up on the way."""
        if self.rng.random() > 0.25:
            return plans
        return [partial(p, self.rng) if self.rng.random() < 0.2 else p for p in plans]
