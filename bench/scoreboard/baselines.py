"""Two plain methods, for comparison: what a common counter does, and what a look at the whole recording does."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from bench.scoreboard.metrics import FoundRep
from services.common.skeleton import INDEX, VISIBLE_MIN
from services.common.types import PoseFrame

F64 = NDArray[np.float64]

_JOINTS: Final = {
    "elbow": ("shoulder", "elbow", "wrist"), "knee": ("hip", "knee", "ankle"), "shoulder": ("hip", "shoulder", "elbow"),
}  # fmt: skip
THRESHOLDS_DEG: Final = {"elbow": (145.0, 90.0), "knee": (150.0, 110.0), "shoulder": (35.0, 65.0)}
"""(rest, far): a repetition leaves rest, passes far and comes back; elbow as in the counter that ships with a
well-known detector, the others what tutorials take."""
_RANGE_S: Final = 8.0
_SMOOTH: Final = 5  # frames


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One person over time. ``keypoints`` (T, 17, 2) px, NaN where hidden or absent."""

    times_s: F64
    keypoints: F64


def main_body(frames: Sequence[PoseFrame]) -> Body:
    """The person who is in most frames."""
    seen: dict[int, int] = {}
    for f in frames:
        for p in f.people:
            seen[p.track_id] = seen.get(p.track_id, 0) + 1
    main = max(seen, key=lambda t: (seen[t], -t), default=None)
    keypoints = np.full((len(frames), 17, 2), np.nan)
    for i, f in enumerate(frames):
        for p in f.people:
            if p.track_id == main:
                keypoints[i] = np.where(p.scores[:, None] >= VISIBLE_MIN, p.keypoints, np.nan)
    return Body(np.array([f.time_s for f in frames]), keypoints)


def joint_angles(keypoints: F64) -> dict[tuple[str, str], F64]:
    """(joint, side) → (T,) interior angle, deg; NaN where it cannot be seen."""
    out = {}
    for joint, names in _JOINTS.items():
        for side in ("left", "right"):
            a, b, c = (keypoints[:, INDEX[f"{side}_{n}"]] for n in names)
            u, v = a - b, c - b
            norm = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
            cosine = (u * v).sum(axis=1) / np.where(norm > 1e-9, norm, np.nan)
            out[joint, side] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return out


def _past_median(values: F64) -> F64:
    """Median of the last few frames, holding what was seen last."""
    held = values.copy()
    for i in range(1, len(held)):
        if np.isnan(held[i]):
            held[i] = held[i - 1]
    padded = np.concatenate([np.full(_SMOOTH - 1, held[0] if len(held) else np.nan), held])
    return np.asarray(np.median(sliding_window_view(padded, _SMOOTH), axis=1))


@dataclass(slots=True)
class _Counter:
    """One joint's state: at rest, on the way (left at), been far."""

    left_s: float | None = None
    far: bool = False
    turn_s: float = 0.0
    best: float = 0.0


def joint_thresholds(frames: Sequence[PoseFrame]) -> list[FoundRep]:
    """A causal counter: hysteresis on the joint angle that has moved most during the last 8 s."""
    body = main_body(frames)
    channels = {key: _past_median(a) for key, a in joint_angles(body.keypoints).items()}
    states = {key: _Counter() for key in channels}
    found: list[FoundRep] = []
    times = body.times_s
    keys, table, first = list(channels), np.stack(list(channels.values())), 0
    for i, now in enumerate(times):
        while times[first] < now - _RANGE_S:
            first += 1
        past = table[:, first : i + 1]
        ranges = np.fmax.reduce(past, axis=1) - np.fmin.reduce(past, axis=1)
        chosen = keys[int(np.argmax(np.where(np.isnan(ranges), -1.0, ranges)))]
        for key, a in channels.items():
            rep = _step(states[key], key[0], float(a[i]), float(now))
            if rep is not None and key == chosen and (not found or rep.onset_s >= found[-1].offset_s - 1e-9):
                found.append(rep)
    return found


def _step(state: _Counter, joint: str, angle: float, now: float) -> FoundRep | None:
    """Moves one joint's counter on; a repetition when it comes back to rest."""
    rest, far = THRESHOLDS_DEG[joint]
    sign = 1.0 if far > rest else -1.0
    out = sign * (angle - rest)  # beyond 0: away from rest
    if np.isnan(out):
        return None
    if out <= 0:
        done = state.left_s is not None and state.far
        rep = FoundRep(state.left_s, now, state.turn_s, now) if done and state.left_s is not None else None
        state.left_s, state.far, state.best = None, False, 0.0
        return rep
    if state.left_s is None:
        state.left_s = now
    if out > state.best:
        state.best, state.turn_s = out, now
    state.far = state.far or out >= abs(far - rest)
    return None


def pca_peaks(frames: Sequence[PoseFrame]) -> list[FoundRep]:
    """The first principal component of the whole recording; its peaks are the turns. Looks ahead: no commit time."""
    body = main_body(frames)
    signal = _first_component(body)
    if signal is None:
        return []
    step_s = float(np.median(np.diff(body.times_s)))
    signal = gaussian_filter1d(signal, 0.1 / step_s)
    low, high = np.percentile(signal, [5, 95])
    if high - low <= 1e-6:
        return []
    x = (signal - low) / (high - low)
    if np.mean(x > 0.5) > 0.5:  # rest is the end at which more time is spent
        x = 1.0 - x
    peaks, _ = find_peaks(x, prominence=0.4, distance=max(1, round(0.5 / step_s)))
    edges = [0, *(int(p + np.argmin(x[p:q])) for p, q in pairwise(peaks)), len(x) - 1]
    if not len(peaks):
        return []
    out = []
    for k, peak in enumerate(peaks):
        onset = _last_below(x, edges[k], int(peak))
        offset = _first_below(x, int(peak), edges[k + 1])
        out.append(FoundRep(float(body.times_s[onset]), float(body.times_s[offset]), float(body.times_s[peak])))
    return out


def _last_below(x: F64, edge: int, peak: int) -> int:
    level = x[edge : peak + 1].min() + 0.15 * (x[peak] - x[edge : peak + 1].min())
    below = np.flatnonzero(x[edge : peak + 1] <= level)
    return edge + int(below[-1])


def _first_below(x: F64, peak: int, edge: int) -> int:
    level = x[peak : edge + 1].min() + 0.15 * (x[peak] - x[peak : edge + 1].min())
    return peak + int(np.flatnonzero(x[peak : edge + 1] <= level)[0])


def _first_component(body: Body) -> F64 | None:
    """(T,) hip-centred places in torso lengths, gaps bridged, along the direction of largest variance."""
    k = body.keypoints
    if len(k) < 8 or not np.isfinite(k).any():
        return None
    columns, index = [], np.arange(len(k))
    hips = _bridged(_between(k[:, 11], k[:, 12]), index)
    shoulders = _bridged(_between(k[:, 5], k[:, 6]), index)
    if hips is None or shoulders is None:
        return None
    size = max(float(np.median(np.linalg.norm(shoulders - hips, axis=1))), 1e-6)
    for j in range(5, 17):
        bridged = _bridged(k[:, j], index)
        if bridged is not None and np.isfinite(k[:, j, 0]).mean() > 0.5:
            columns.append((bridged - hips) / size)
    if not columns:
        return None
    x = np.concatenate(columns, axis=1)
    x = x - x.mean(axis=0)
    _, _, v = np.linalg.svd(x, full_matrices=False)
    return np.asarray(x @ v[0])


def _between(a: F64, b: F64) -> F64:
    """Half way between two joints; where one is hidden, the other."""
    return np.where(np.isnan(a), b, np.where(np.isnan(b), a, 0.5 * (a + b)))


def _bridged(values: F64, index: NDArray[np.int_]) -> F64 | None:
    """(T, 2) with gaps filled in a straight line; None where nothing was ever seen."""
    known = np.isfinite(values[:, 0])
    if not known.any():
        return None
    return np.stack([np.interp(index, index[known], values[known, c]) for c in (0, 1)], axis=1)
