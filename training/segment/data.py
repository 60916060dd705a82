"""Training sequences streamed from the simulator: nothing is stored, everything follows from the seed.

``Sequence``s are made in chunks by one worker process, chunk i from (seed, i) alone, and sit in a pool that is
renewed as training goes on: the same seed and number of steps give the same batches.
"""

import multiprocessing as mp
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.segment.core.features import F, FeatureExtractor
from services.segment.core.network import EXERCISES, TARGET_DELAY_TICKS
from services.segment.core.resample import TICK_HZ, TICK_S
from training.segment.augment import harsh, hip_centred, random_oscillation, restlessness, squash
from training.segment.labels import NO_CLASS, Targets, make_targets
from training.segment.quick_view import quick_view
from training.segment.resample_fast import resample_fast
from training.segment.sources import SHARES, exercise_motion
from training.simulator.motion import Motion
from training.simulator.session import Session, sample_session, view_session

F32 = NDArray[np.float32]

SECONDS: Final = 30.0
TICKS: Final = int(SECONDS * TICK_HZ)
CHUNK: Final = 96
VIEWS: Final = 2
"""Sequences from one motion."""
_SESSIONS: Final = {name: 0.65 * share for name, share in SHARES.items()} | {"unknown": 0.25, "none": 0.1}
"""What whole recordings show, and how often."""
_RATES: Final = (8.0, 10.0, 12.0, 15.0, 24.0, 25.0, 30.0, 30.0, 30.0, 50.0)


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """CHUNK sequences: features (N, T, F) float16 and targets, already delayed; mask (N, T) 1 where they count."""

    features: NDArray[np.float16]
    phase: NDArray[np.int8]
    events: NDArray[np.float16]
    progress: NDArray[np.float16]
    activity: NDArray[np.float16]
    exercise: NDArray[np.int8]
    period: NDArray[np.float16]
    elapsed: NDArray[np.float16]
    mask: NDArray[np.int8]


def make_motion_mix(rng: np.random.Generator) -> Motion:
    """One motion: mostly exercises of the catalogue, some of no name, some that are no exercise."""
    kind, seconds = rng.random(), SECONDS + 6.0
    if kind < 0.62:
        return exercise_motion(rng, seconds)
    return random_oscillation(rng, seconds) if kind < 0.87 else restlessness(rng, seconds)


def see(motion: Motion, start_s: float, rng: np.random.Generator) -> tuple[F32, F32]:
    """A view of the motion as a pose network would give it, at the ticks from ``start_s``: (T, 17, 2) px, (T, 17)."""
    first = round(start_s * motion.fps)
    joints = motion.joints[first : first + round((SECONDS + 0.2) * motion.fps)]
    keypoints, scores = quick_view(joints, rng, motion.fps, squeezed=rng.random() < 0.15)
    return at_ticks(keypoints, scores, motion.fps, rng)


def at_ticks(keypoints: F32, scores: F32, fps: float, rng: np.random.Generator) -> tuple[F32, F32]:
    """A view (T, 17, 2) px, (T, 17) made worse, seen at some frame rate, and resampled."""
    keypoints, scores = harsh(keypoints, scores, rng)
    if rng.random() < 0.25:
        keypoints = squash(keypoints, rng)
    if rng.random() < 0.12:
        keypoints = hip_centred(keypoints)
    times = np.arange(len(keypoints)) / fps
    rate = _RATES[int(rng.integers(len(_RATES)))]
    if rate < fps:  # the frames that a camera of this rate would have had, none evenly spaced
        wanted = np.arange(0, times[-1], 1 / rate)
        picked = np.unique(np.clip(np.round(wanted * fps).astype(int), 0, len(times) - 1))
        times, keypoints, scores = times[picked], keypoints[picked], scores[picked]
    if rng.random() < 0.15:
        keep = rng.random(len(times)) > rng.uniform(0, 0.3)
        keep[0] = True
        times, keypoints, scores = times[keep], keypoints[keep], scores[keep]
    return resample_fast(times, keypoints, scores, TICKS)


Example = tuple[F32, F32, Targets, int]
"""Keypoints (T, 17, 2) px and scores (T, 17) at the ticks, targets, and how many ticks count."""


def views_of_one(rng: np.random.Generator) -> list[Example]:
    """``VIEWS`` sequences from one motion: other cameras, pose networks, frame rates and beginnings.

    Making a motion costs as much as looking at it. Random swings often look like an exercise done badly, which is far
    commoner where people train: many of them are left without a class, so that the network does not learn to call
    every mistake ``unknown``.
    """
    if rng.random() < 0.5:  # a whole simulated recording
        session = sample_session(
            rng, exercises=_SESSIONS, duration_s=SECONDS + 6.0, family="varied", mistaken=0.6, edited=0.0
        )
        recorded = [session, *(view_session(session.motion, rng) for _ in range(VIEWS - 1))]
        return [_recorded(one, rng) for one in recorded]
    motion = make_motion_mix(rng)
    return [_imagined(motion, rng) for _ in range(VIEWS)]


def _beginning_s(rng: np.random.Generator) -> float:
    """Where in a motion a sequence begins, s."""
    return float(rng.uniform(0, 6.0)) if rng.random() < 0.6 else 0.0


def _recorded(session: Session, rng: np.random.Generator) -> Example:
    motion = session.motion
    first = round(_beginning_s(rng) * motion.fps)
    last = first + round((SECONDS + 0.2) * motion.fps)
    k, s = at_ticks(session.keypoints[first:last], session.scores[first:last], motion.fps, rng)
    return _told(motion, first / motion.fps, k, s, 0.3, rng)


def _imagined(motion: Motion, rng: np.random.Generator) -> Example:
    start_s = _beginning_s(rng)
    return _told(motion, start_s, *see(motion, start_s, rng), 0.7, rng)


def _told(motion: Motion, start_s: float, k: F32, s: F32, unsure: float, rng: np.random.Generator) -> Example:
    """With what the network is to say of it; ``unsure``: how often ``unknown`` is left without a class."""
    length = min(TICKS, int((len(motion.joints) / motion.fps - start_s) * TICK_HZ))
    targets = make_targets(motion, start_s + np.arange(TICKS) * TICK_S, TICK_S)
    if rng.random() < unsure:
        targets.exercise[targets.exercise == EXERCISES.index("unknown")] = NO_CLASS
    return k, s, targets, length


def make_chunk(seed: int, index: int, size: int = CHUNK) -> Chunk:
    """Chunk number ``index`` of a seed."""
    rng = np.random.default_rng([seed, index])
    examples = [example for _ in range(-(-size // VIEWS)) for example in views_of_one(rng)][:size]
    bodies, scores, targets, lengths = ([example[i] for example in examples] for i in range(4))
    extractor = FeatureExtractor(size)
    features = np.zeros((size, TICKS, F), np.float16)
    all_bodies, all_scores = np.stack(bodies), np.stack(scores)
    for t in range(TICKS):
        features[:, t] = extractor.step(all_bodies[:, t], all_scores[:, t])
    return _delayed(features, targets, lengths)


def _delayed(features: NDArray[np.float16], targets: list[Targets], lengths: list[int]) -> Chunk:
    """Targets of tick t at t + TARGET_DELAY_TICKS."""
    d, n = TARGET_DELAY_TICKS, len(targets)

    def shifted(name: str, dtype: type) -> NDArray[np.generic]:
        values = np.stack([getattr(t, name) for t in targets])
        out = np.zeros_like(values)
        out[:, d:] = values[:, :-d]
        return out.astype(dtype)

    mask = np.zeros((n, TICKS), np.int8)
    for i, length in enumerate(lengths):
        mask[i, d:length] = 1
    return Chunk(
        features, shifted("phase", np.int8), shifted("events", np.float16), shifted("progress", np.float16),
        shifted("activity", np.float16), shifted("exercise", np.int8), shifted("period", np.float16),
        shifted("elapsed", np.float16), mask,
    )  # fmt: skip


def _work(seed: int, queue: "mp.Queue[Chunk]") -> None:
    index = 0
    while True:
        queue.put(make_chunk(seed, index))
        index += 1


class ChunkStream:
    """Chunks 0, 1, 2, … of a seed, made ahead by a worker process. Close it."""

    def __init__(self, seed: int, ahead: int = 4) -> None:
        context = mp.get_context("spawn")
        self._queue: mp.Queue[Chunk] = context.Queue(maxsize=ahead)
        self._process = context.Process(target=_work, args=(seed, self._queue), daemon=True)
        self._process.start()

    def next(self) -> Chunk:
        return self._queue.get()

    def close(self) -> None:
        self._process.terminate()
        self._process.join()
