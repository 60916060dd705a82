"""The canonical skeleton: COCO-17, and what every stage needs to know of it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

JOINTS: Final = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
K: Final = len(JOINTS)
INDEX: Final = {name: i for i, name in enumerate(JOINTS)}

MIRROR: Final = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15])
"""(17,) the joint that stands on the other side of the body; MIRROR[MIRROR] is the identity."""

BONES: Final = (
    (5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (5, 11), (6, 12), (11, 12),
    (11, 13), (13, 15), (12, 14), (14, 16), (0, 5), (0, 6),
)  # fmt: skip

COCO_SIGMAS: Final = np.array(
    [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062,
     0.107, 0.107, 0.087, 0.087, 0.089, 0.089],
)  # fmt: skip
"""(17,) per-joint fall-off of the object keypoint similarity (COCO keypoint evaluation)."""

VISIBLE_MIN: Final = 0.3
"""A joint whose score is below this is hidden: its place is not to be used. Pose profiles calibrate to it."""


def mirror(
    keypoints: NDArray[np.float32], scores: NDArray[np.float32], width_px: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The same poses seen in a mirror: keypoints (..., 17, 2) px and scores (..., 17) in [0, 1]."""
    flipped = keypoints[..., MIRROR, :].copy()
    flipped[..., 0] = width_px - flipped[..., 0]
    return flipped, scores[..., MIRROR].copy()
