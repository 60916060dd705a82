"""Joint angles in the picture plane, for the report's curves."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import INDEX, VISIBLE_MIN
from services.common.types import F32

ANGLES: Final = {
    "elbow": ("shoulder", "elbow", "wrist"),
    "shoulder": ("hip", "shoulder", "elbow"),
    "hip": ("shoulder", "hip", "knee"),
    "knee": ("hip", "knee", "ankle"),
}
"""Name → the three joints whose angle it is, at the one in the middle."""


def joint_angle(keypoints: F32, scores: F32, name: str, side: str) -> NDArray[np.float64]:
    """The angle of one joint over time.

    Args:
        keypoints: (T, 17, 2) px.
        scores: (T, 17).
        name: a key of ``ANGLES``. side: left | right.
    Returns:
        (T,) deg in [0, 180]; NaN where one of the three joints is hidden or two of them coincide.
    """
    a, b, c = (INDEX[f"{side}_{joint}"] for joint in ANGLES[name])
    points = np.asarray(keypoints, dtype=np.float64)
    u, v = points[:, a] - points[:, b], points[:, c] - points[:, b]
    cross = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    angle = np.degrees(np.abs(np.arctan2(cross, np.sum(u * v, axis=1))))
    seen = np.min(np.asarray(scores)[:, [a, b, c]], axis=1) >= VISIBLE_MIN
    lengths = np.minimum(np.hypot(u[:, 0], u[:, 1]), np.hypot(v[:, 0], v[:, 1]))
    return np.where(seen & (lengths > 1e-6), angle, np.nan)
