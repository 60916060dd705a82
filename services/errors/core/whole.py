"""Where a sequence taken as one repetition turns."""

import numpy as np

from services.common.types import PoseWindow
from services.errors.core.body import Bounds, prepare, smooth
from services.errors.core.curves import Movement, Rep
from services.errors.core.view import estimate_view


def find_turn(window: PoseWindow, movement: Movement, first: float, last: float) -> float:
    """When the primary angle is nearest its far end (s, between first and last); the middle where it is hidden."""
    middle = (first + last) / 2
    body = prepare(window, Bounds(first, middle, last))
    progress = smooth(Rep(body, estimate_view(body), movement).progress, 2.0)
    edge = 0.08 * (last - first)
    inside = np.where(body.mask(first + edge, last - edge), progress, np.nan)
    return float(body.times_s[np.nanargmax(inside)]) if np.isfinite(inside).any() else middle
