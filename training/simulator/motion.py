"""What the simulator makes and the renderer draws: a 3-D motion with its exact truth.

World: right-handed, metres, y up, floor at y = 0. At yaw 0 a person faces +z and their left side is +x.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import JOINTS

JOINTS_3D: Final = (
    *JOINTS, "pelvis", "spine", "neck", "head_top", "left_hand", "right_hand",
    "left_heel", "right_heel", "left_toe", "right_toe",
)  # fmt: skip
"""(27,) the 17 COCO joints first, so that a camera's view of the first 17 is a COCO pose."""


@dataclass(frozen=True, slots=True)
class TrueRepetition:
    """One repetition as it was made. ``counted`` False: an attempt (partial, interrupted), with its ``reason``.

    ``mistakes``: error code → degree in (0, 1]. ``side``: left | right | both.
    """

    onset_s: float
    turn_s: float
    offset_s: float
    exercise: str
    side: str = "both"
    mistakes: dict[str, float] = field(default_factory=dict)
    counted: bool = True
    reason: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """One person's motion. ``phase`` indexes ``services.common.types.Phase`` in its order.

    ``grip``: unit axis of the dumbbell handle in the left and right hand. ``held``: hands that hold one
    ("left", "right"), or {"both"} for one dumbbell in both hands. ``support``: none | seat | bench.
    """

    fps: float
    joints: NDArray[np.float32]  # (T, 27, 3) m
    grip: NDArray[np.float32]  # (T, 2, 3)
    phase: NDArray[np.int64]  # (T,)
    exercise: str
    repetitions: tuple[TrueRepetition, ...]
    held: frozenset[str] = frozenset({"left", "right"})
    support: str = "none"
