"""From px of the picture that was looked at to px of its source."""

from dataclasses import replace

import numpy as np

from services.common.types import PoseFrame


def scale_of(size_px: tuple[int, int], width_px: int, height_px: int) -> float:
    """px of the source (``width_px`` × ``height_px``) per px of a picture of it of ``size_px`` (width, height).

    Of the shorter side: that is the one that pictures are scaled down by, the other is rounded.
    """
    short = min(range(2), key=lambda i: size_px[i])
    return (width_px, height_px)[short] / size_px[short]


def to_source(frame: PoseFrame, scale: float, width_px: int, height_px: int) -> PoseFrame:
    """Poses found in a picture scaled down by ``scale``, in px of the source."""
    people = tuple(
        replace(p, keypoints=p.keypoints * np.float32(scale), box=p.box * np.float32(scale)) for p in frame.people
    )
    return replace(frame, people=people, width_px=width_px, height_px=height_px)
