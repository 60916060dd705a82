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
from services.segment.core.resample import TICK_HZ, TICK_S, resample
from training.segment.augment import harsh, hip_centred, random_oscillation, restlessness, squash
from training.segment.labels import NO_CLASS, Targets, make_targets
from training.segment.quick_view import quick_view
from training.segment.sources import SHARES, exercise_motion
from training.simulator.motion import Motion
from training.simulator.session import sample_session

F32 = NDArray[np.float32]

SECONDS: Final = 30.0
TICKS: Final = int(SECONDS * TICK_HZ)
CHUNK: Final = 48
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


def make_motion_mix(rng: np.random.Generator) -> tuple[Motion, float]:
    """One motion: mostly exercises of the catalogue, some of no name, some that are no exercise; and where in it the
    sequence begins, s."""
    kind, seconds = rng.random(), SECONDS + 6.0
    if kind < 0.62:
        motion = exercise_motion(rng, seconds)
    elif kind < 0.87:
        motion = random_oscillation(rng, seconds)
    else:
        motion = restlessness(rng, seconds)
    return motion, float(rng.uniform(0, 6.0)) if rng.random() < 0.6 else 0.0


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
    return resample(times, keypoints, scores, np.arange(TICKS) * TICK_S)


def one_sequence(rng: np.random.Generator) -> tuple[F32, F32, Targets, int]:
    """Keypoints (T, 17, 2) px and scores (T, 17) at the ticks, targets, and how many ticks count.

    Random swings often look like an exercise done badly, which is far commoner where people train: many of them are
    left without a class, so that the network does not learn to call every mistake ``unknown``.
    """
    ticks = np.arange(TICKS) * TICK_S
    if rng.random() < 0.5:  # a whole simulated recording
        session = sample_session(
            rng, exercises=_SESSIONS, duration_s=SECONDS + 6.0, family="varied", mistaken=0.6, edited=0.0
        )
        motion, start_s = session.motion, float(rng.uniform(0, 6.0)) if rng.random() < 0.6 else 0.0
        first = round(start_s * motion.fps)
        last = first + round((SECONDS + 0.2) * motion.fps)
        k, s = at_ticks(session.keypoints[first:last], session.scores[first:last], motion.fps, rng)
        start_s, unsure = first / motion.fps, 0.3
    else:
        motion, start_s = make_motion_mix(rng)
        k, s = see(motion, start_s, rng)
        unsure = 0.7
    length = min(TICKS, int((len(motion.joints) / motion.fps - start_s) * TICK_HZ))
    targets = make_targets(motion, start_s + ticks, TICK_S)
    if rng.random() < unsure:
        targets.exercise[targets.exercise == EXERCISES.index("unknown")] = NO_CLASS
    return k, s, targets, length


def make_chunk(seed: int, index: int, size: int = CHUNK) -> Chunk:
    """Chunk number ``index`` of a seed."""
    rng = np.random.default_rng([seed, index])
    bodies, scores, targets, lengths = [], [], [], []
    for _ in range(size):
        k, s, target, length = one_sequence(rng)
        bodies.append(k)
        scores.append(s)
        targets.append(target)
        lengths.append(length)
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
