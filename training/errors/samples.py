"""Simulated repetitions as the errors stage receives them: poses with a network's noise, boundaries as a segmenter sets
them, windows from a little before the onset."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from services.common.types import LOCAL_STREAM, Phases, PoseWindow, Repetition, Status
from training.simulator.camera import Camera
from training.simulator.generate import make_motion
from training.simulator.motion import Motion, TrueRepetition
from training.simulator.trajectory import Family
from training.simulator.view import observe

BEFORE_S = 0.4
BOUNDARY_S = 0.06
"""Standard deviation of a segmenter's onsets, turns and offsets."""


def camera_at(azimuth_deg: float, rng: np.random.Generator, lying: bool = False) -> Camera:
    """A camera about there, as people set one up: 2.6–4 m away, hip to head high, nearly level."""
    return Camera(
        azimuth_deg=float(azimuth_deg + rng.uniform(-8, 8)),
        height_m=float(rng.uniform(0.9, 1.5)),
        distance_m=float(rng.uniform(2.9, 4.2)),
        roll_deg=float(rng.normal(0, 0.8)),
        target=(0.0, 0.55 if lying else 0.95, 0.0),
    )


def events(
    motion: Motion, keypoints: NDArray[np.float32], scores: NDArray[np.float32], rng: np.random.Generator,
    track_id: int = 1, boundary_s: float = BOUNDARY_S,
) -> Iterator[tuple[TrueRepetition, Repetition]]:  # fmt: skip
    """Each counted repetition of a motion as a confirmed event with its window."""
    times = np.arange(len(keypoints)) / motion.fps
    for index, true in enumerate(r for r in motion.repetitions if r.counted):
        onset, turn, offset = (t + rng.normal(0, boundary_s) for t in (true.onset_s, true.turn_s, true.offset_s))
        inside = (times >= onset - BEFORE_S) & (times <= offset)
        window = PoseWindow(times[inside], keypoints[inside], scores[inside])
        yield (
            true,
            Repetition(
                id=f"{LOCAL_STREAM}/{track_id}/{round(onset * 1000)}",
                stream=LOCAL_STREAM,
                track_id=track_id,
                status=Status.CONFIRMED,
                onset_s=float(onset),
                turn_s=float(turn),
                offset_s=float(offset),
                decided_s=float(offset) + 0.3,
                set_index=1,
                index=index + 1,
                exercise=true.exercise,
                exercise_probability=1.0,
                confidence=1.0,
                phases=Phases(float(turn - onset), 0.0, float(offset - turn), 0.0),
                window=window,
            ),
        )


def simulated(
    exercise: str,
    azimuth_deg: float,
    seed: int,
    *,
    mistakes: Mapping[str, float] | None = None,
    family: Family = "held_out",
    repetitions: int = 4,
    variant: int = 0,
    noisy: bool = True,
) -> list[tuple[TrueRepetition, Repetition]]:
    """One set of one exercise from one camera, with its truth."""
    rng = np.random.default_rng(seed)
    motion = make_motion(
        exercise, rng, mistakes=mistakes, repetitions=repetitions, family=family, variant=variant, lead_s=0.6
    )
    camera = camera_at(azimuth_deg, rng, lying=motion.support == "bench")
    if noisy:
        keypoints, scores = observe(motion, camera, rng)
    else:
        px, _ = camera.view(motion.joints[:, :17])
        keypoints, scores = px.astype(np.float32), np.ones(px.shape[:2], dtype=np.float32)
    return list(events(motion, keypoints, scores, rng))
