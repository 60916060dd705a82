"""The keypoints of one repetition, cleaned: an even time grid, short gaps filled, spikes and jitter removed, hidden
joints NaN, and the lengths that turn px into torso lengths and picture angles into body angles."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from services.common.errors import ShapeError
from services.common.skeleton import INDEX, VISIBLE_MIN, K
from services.common.types import PoseWindow

F64 = NDArray[np.float64]

GRID_HZ: Final = 30.0
GAP_S: Final = 0.3
"""A joint hidden for longer than this is not filled in."""
SMOOTH_S: Final = 0.05
"""Standard deviation of the smoothing; at most 3 % of the repetition, so that quick ones keep their range."""

LENGTHS: Final = {"upper_arm": 0.63, "forearm": 0.52, "thigh": 0.85, "shank": 0.85, "shoulders": 0.72, "hips": 0.38}
"""Segment lengths in torso lengths (shoulder centre to hip centre): Drillis & Contini's share of body height
(upper arm 0.186, forearm 0.146, thigh 0.245, shank 0.246, torso 0.288), widths as pose networks place the joints."""

SEGMENTS: Final = {
    "upper_arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
    "thigh": ("hip", "knee"),
    "shank": ("knee", "ankle"),
}
SIDES: Final = ("left", "right")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times of one repetition, s, in the window's time."""

    onset_s: float
    turn_s: float
    offset_s: float

    @property
    def duration_s(self) -> float:
        return max(self.offset_s - self.onset_s, 1e-6)


@dataclass(frozen=True, eq=False)
class Body:
    """One repetition's body over an even grid of ``T`` times.

    ``xy`` (T, 17, 2) px, x to the right, y *up* (so that pictures read as drawings do); NaN where hidden.
    ``seen`` (17,) share of the repetition's source frames in which the joint is visible.
    ``torso_px`` the unforeshortened torso; ``length_px`` ``left_thigh`` … → its unforeshortened length. ``near``: the
    side that a side view shows; it stands for the middle of pairs then, because the far one is guessed by the network.
    ``source``: times (N,) and places (N, 17, 2) as they came, y up, NaN where hidden: what smoothing would take away.
    """

    times_s: F64
    xy: F64
    seen: F64
    torso_px: float
    length_px: dict[str, float]
    bounds: Bounds
    near: str | None = None
    source: tuple[F64, F64] | None = None

    def joint(self, name: str) -> F64:
        """(T, 2) of one joint (``left_knee``) or the middle of a pair (``shoulders``, ``hips``, ``ears`` …)."""
        if name in INDEX:
            return self.xy[:, INDEX[name]]
        return self._middle(*(self.xy[:, INDEX[f"{side}_{name[:-1]}"]] for side in SIDES))

    def _middle(self, left: F64, right: F64) -> F64:
        first = {"left": left, "right": right}.get(self.near or "", (left + right) / 2)
        return np.where(np.isfinite(first), first, np.where(np.isfinite(left), left, right))

    def segment(self, name: str, side: str) -> F64:
        """(T, 2) vector of a segment from its upper to its lower end."""
        upper, lower = SEGMENTS[name]
        return self.joint(f"{side}_{lower}") - self.joint(f"{side}_{upper}")

    def torso(self) -> F64:
        """(T, 2) vector from the middle of the hips to the middle of the shoulders, paired by side when one hides."""
        return self._middle(*(self.joint(f"{s}_shoulder") - self.joint(f"{s}_hip") for s in SIDES))

    def mask(self, start_s: float, end_s: float) -> NDArray[np.bool_]:
        """(T,) which grid times lie in [start, end]; at least the nearest one."""
        chosen = (self.times_s >= start_s - 1e-9) & (self.times_s <= end_s + 1e-9)
        if not chosen.any():
            chosen[np.argmin(np.abs(self.times_s - (start_s + end_s) / 2))] = True
        return chosen

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        return self.mask(self.bounds.onset_s, self.bounds.offset_s)

    @property
    def step_s(self) -> float:
        return float(self.times_s[1] - self.times_s[0]) if len(self.times_s) > 1 else 1.0 / GRID_HZ


def _check(window: PoseWindow) -> None:
    count = len(window.times_s)
    if count == 0:
        raise ShapeError("A repetition's window has no frames; it needs at least one.")
    if window.keypoints.shape != (count, K, 2) or window.scores.shape != (count, K):
        raise ShapeError(
            f"A window of {count} times needs keypoints ({count}, {K}, 2) and scores ({count}, {K}), "
            f"not {window.keypoints.shape} and {window.scores.shape}."
        )


def _clean_joint(times: F64, xy: F64, seen: NDArray[np.bool_], grid: F64) -> F64:
    """One joint (T, 2) on the grid (G, 2): spikes out, gaps up to GAP_S filled, the rest NaN."""
    out = np.full((len(grid), 2), np.nan)
    at, places = times[seen], xy[seen]
    if len(at) == 0:
        return out
    if len(at) >= 5:
        step = (at[-1] - at[0]) / (len(at) - 1)
        places = median_filter(places, size=(5 if step < 0.05 else 3, 1), mode="nearest")
    for axis in (0, 1):
        out[:, axis] = np.interp(grid, at, places[:, axis])
    after = np.searchsorted(at, grid, side="left")
    before = np.searchsorted(at, grid, side="right") - 1
    gap = at[np.minimum(after, len(at) - 1)] - at[np.maximum(before, 0)]
    outside = np.minimum(np.abs(grid - at[0]), np.abs(grid - at[-1]))
    outside[(grid >= at[0]) & (grid <= at[-1])] = 0.0
    out[(gap > GAP_S) | (outside > GAP_S / 2)] = np.nan
    return out


def _clean(times: F64, xy: F64, seen: NDArray[np.bool_], grid: F64) -> F64:
    """All joints (T, 17, 2) on the grid (G, 17, 2). Those that are seen throughout are done together."""
    out = np.empty((len(grid), K, 2))
    whole = seen.all(axis=0)
    steady = len(times) < 2 or float(np.diff(times).max()) <= GAP_S
    if whole.any() and steady and grid[-1] <= times[-1] + GAP_S / 2:
        places = xy[:, whole].reshape(len(times), -1)
        if len(times) >= 5:
            step = (times[-1] - times[0]) / (len(times) - 1)
            places = median_filter(places, size=(5 if step < 0.05 else 3, 1), mode="nearest")
        on_grid = np.stack([np.interp(grid, times, column) for column in places.T], axis=1)
        out[:, whole] = on_grid.reshape(len(grid), -1, 2)
    else:
        whole = np.zeros(K, dtype=np.bool_)
    for j in np.flatnonzero(~whole):
        out[:, j] = _clean_joint(times, xy[:, j], seen[:, j], grid)
    return out


def smooth(values: F64, sigma: float) -> F64:
    """Gaussian smoothing along axis 0 that leaves NaN where it was and does not spread it."""
    known = np.isfinite(values)
    if sigma <= 0.05 or not known.any():
        return values
    weight = gaussian_filter1d(known.astype(float), sigma, axis=0, mode="nearest")
    total = gaussian_filter1d(np.where(known, values, 0.0), sigma, axis=0, mode="nearest")
    return np.where(known, total / np.maximum(weight, 1e-9), np.nan)


def percentile(values: F64, q: float) -> float | None:
    """Percentile of the finite values; None where there are fewer than three."""
    finite = np.sort(values[np.isfinite(values)], axis=None)
    if len(finite) < 3:
        return None
    # As np.percentile, which is many times slower on short arrays.
    at = q / 100 * (len(finite) - 1)
    low = int(at)
    high = min(low + 1, len(finite) - 1)
    return float(finite[low] + (at - low) * (finite[high] - finite[low]))


def _lengths(xy: F64) -> tuple[float, dict[str, float]]:
    """Torso and segment lengths, px. A segment seen from its end is short, so high percentiles are taken, and the
    proportions of bodies bound each."""

    def long(a: F64, b: F64) -> float:
        return percentile(np.linalg.norm(a - b, axis=-1), 92) or 0.0

    at = {name: xy[:, i] for name, i in INDEX.items()}
    raw = {
        f"{side}_{name}": long(at[f"{side}_{upper}"], at[f"{side}_{lower}"])
        for name, (upper, lower) in SEGMENTS.items()
        for side in SIDES
    }

    def longest(name: str) -> float:
        return max(raw[f"{side}_{name}"] for side in SIDES) / LENGTHS[name]

    torso = max(long(at[f"{s}_shoulder"], at[f"{s}_hip"]) for s in SIDES)
    middle = long((at["left_shoulder"] + at["right_shoulder"]) / 2, (at["left_hip"] + at["right_hip"]) / 2)
    torso = middle or torso
    legs = max(longest("thigh"), longest("shank"))
    torso_px = max(torso, 0.85 * legs)
    if torso == 0.0:
        # Hips out of the picture: arms and shoulders are all there is.
        width = long(at["left_shoulder"], at["right_shoulder"]) / LENGTHS["shoulders"]
        torso_px = max(torso_px, longest("upper_arm"), 0.9 * width)
    torso_px = max(torso_px, 1e-6)
    # Each side has its own: the far one of a side view is a tenth smaller.
    bounded = {
        f"{side}_{name}": float(np.clip(raw[f"{side}_{name}"], 0.8 * usual * torso_px, 1.2 * usual * torso_px))
        for name in SEGMENTS
        for side in SIDES
        for usual in (LENGTHS[name],)
    }
    return torso_px, bounded


def prepare(window: PoseWindow, bounds: Bounds) -> Body:
    """Clean a window's poses.

    Args:
        window: T frames of one person; joints with a score under ``VISIBLE_MIN`` or without a finite place are hidden.
        bounds: the repetition's times within it.
    Raises:
        ShapeError: arrays do not fit together, or the window is empty.
    """
    _check(window)
    times, order = np.unique(np.asarray(window.times_s, dtype=np.float64), return_index=True)
    xy = np.asarray(window.keypoints, dtype=np.float64)[order] * (1.0, -1.0)
    seen = (np.asarray(window.scores)[order] >= VISIBLE_MIN) & np.isfinite(xy).all(axis=-1)
    count = max(round(float(times[-1] - times[0]) * GRID_HZ) + 1, 2)
    grid = times[0] + np.arange(count) / GRID_HZ
    places = _clean(times, xy, seen, grid)
    places = smooth(places, min(SMOOTH_S, 0.03 * bounds.duration_s) * GRID_HZ)
    inside = (times >= bounds.onset_s - 1e-9) & (times <= bounds.offset_s + 1e-9)
    share = seen[inside].mean(axis=0) if inside.any() else seen.mean(axis=0)
    near = (grid >= bounds.onset_s - 0.3) & (grid <= bounds.offset_s + 0.3)
    torso_px, lengths = _lengths(places[near] if near.sum() >= 3 else places)
    source = times, np.where(seen[..., None], xy, np.nan)
    return Body(grid, places, share, torso_px, lengths, bounds, source=source)
