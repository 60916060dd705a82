"""Repetitions drawn by hand, exact and simple, for the tests of the errors stage: no simulator, no noise."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import INDEX
from services.common.types import LOCAL_STREAM, PoseWindow, Repetition, Status

FPS = 30.0
TORSO_PX = 160.0
NEAR, FAR = "right", "left"  # facing the picture's right, the right side is towards the camera


def smooth_step(share: NDArray[np.float64]) -> NDArray[np.float64]:
    t = np.clip(share, 0, 1)
    return t**3 * (10 - 15 * t + 6 * t * t)


def there_and_back(times: NDArray[np.float64], onset: float, turn: float, offset: float) -> NDArray[np.float64]:
    """0 at rest, 1 at the turn, minimum jerk both ways."""
    return smooth_step((times - onset) / (turn - onset)) * (1 - smooth_step((times - turn) / (offset - turn)))


def side_curl(
    *,
    out_s: float = 1.2,
    back_s: float = 1.4,
    straight_deg: float = 170.0,
    closed_deg: float = 45.0,
    drift_deg: float = 5.0,
    swing_deg: float = 2.0,
    start_s: float = 0.0,
) -> tuple[PoseWindow, float, float, float]:
    """A curl seen exactly from the side, facing the picture's right: (window, onset, turn, offset).

    ``drift_deg``: how far the upper arm comes forward; ``swing_deg``: how far the torso leans back on the way up.
    """
    onset = start_s + 0.4
    turn, offset = onset + out_s, onset + out_s + back_s
    times = np.arange(start_s, offset + 1e-9, 1 / FPS)
    way = there_and_back(times, onset, turn, offset)
    upper = np.radians(drift_deg * way)
    elbow = np.radians(straight_deg + (closed_deg - straight_deg) * way)
    lean = np.radians(-swing_deg * np.sin(np.pi * np.clip((times - onset) / (turn - onset), 0, 1)))
    place = np.zeros((len(times), 17, 2))
    for side, shift in ((NEAR, 6.0), (FAR, -6.0)):
        hip = np.tile([320.0 + shift, 300.0], (len(times), 1))
        shoulder = hip + TORSO_PX * np.stack([np.sin(lean), -np.cos(lean)], axis=-1)
        elbow_at = shoulder + 0.63 * TORSO_PX * np.stack([np.sin(upper), np.cos(upper)], axis=-1)
        fore = upper + np.pi - elbow
        wrist = elbow_at + 0.52 * TORSO_PX * np.stack([np.sin(fore), np.cos(fore)], axis=-1)
        places = {
            "hip": hip, "shoulder": shoulder, "elbow": elbow_at, "wrist": wrist,
            "knee": hip + np.array([4.0, 0.85 * TORSO_PX]), "ankle": hip + np.array([0.0, 1.7 * TORSO_PX]),
            "ear": shoulder + np.array([4.0, -0.4 * TORSO_PX]), "eye": shoulder + np.array([22.0, -0.44 * TORSO_PX]),
        }  # fmt: skip
        for name, value in places.items():
            place[:, INDEX[f"{side}_{name}"]] = value
    place[:, INDEX["nose"]] = (place[:, INDEX["left_ear"]] + place[:, INDEX["right_ear"]]) / 2 + [30.0, 2.0]
    scores = np.full((len(times), 17), 0.9, dtype=np.float32)
    return PoseWindow(times, place.astype(np.float32), scores), onset, turn, offset


def repetition(
    window: PoseWindow,
    onset: float,
    turn: float | None,
    offset: float,
    *,
    exercise: str = "bicep_curl",
    track_id: int = 1,
    set_index: int = 1,
    index: int = 1,
    status: Status = Status.CONFIRMED,
) -> Repetition:
    return Repetition(
        id=f"{LOCAL_STREAM}/{track_id}/{round(onset * 1000)}",
        stream=LOCAL_STREAM,
        track_id=track_id,
        status=status,
        onset_s=onset,
        turn_s=turn,
        offset_s=offset,
        decided_s=offset,
        set_index=set_index,
        index=index,
        exercise=exercise,
        exercise_probability=1.0,
        confidence=1.0,
        window=window,
    )


def curl(options: Mapping[str, float] | None = None, **about: object) -> Repetition:
    return repetition(*side_curl(**(options or {})), **about)  # type: ignore[arg-type]


def hide(window: PoseWindow, *joints: str, share: float = 1.0) -> PoseWindow:
    """The same window with joints hidden in the first share of its frames."""
    scores = window.scores.copy()
    for joint in joints:
        scores[: round(share * len(scores)), INDEX[joint]] = 0.1
    return PoseWindow(window.times_s, window.keypoints, scores)
