"""Pose sequences of other tools, brought into the canonical skeleton (COCO-17, pixels).

Sequences without a picture size get a pseudo picture in which a person is some hundred px tall: everything
downstream is relative to the body, so only proportions matter.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.errors import InputError
from services.common.skeleton import INDEX, K

F32 = NDArray[np.float32]

FPS_RANGE: Final = (1.0, 1000.0)

_MEDIAPIPE: Final = np.array([0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])
"""(17,) the MediaPipe landmark that is each COCO joint."""

_OPENPOSE: Final = np.array([0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10])
"""(17,) the OpenPose-18 point that is each COCO joint (OpenPose's neck has no counterpart)."""

_RMD_IDS: Final = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32)
"""MediaPipe ids of the sixteen joints of the move.rAIght layout, in its order."""

_PSEUDO_PX: Final = 640.0

_BONES_M: Final = {
    ("left_shoulder", "right_shoulder"): 0.36, ("left_hip", "right_hip"): 0.22,
    ("left_shoulder", "left_elbow"): 0.29, ("right_shoulder", "right_elbow"): 0.29,
    ("left_elbow", "left_wrist"): 0.25, ("right_elbow", "right_wrist"): 0.25,
    ("left_shoulder", "left_hip"): 0.50, ("right_shoulder", "right_hip"): 0.50,
    ("left_hip", "left_knee"): 0.42, ("right_hip", "right_knee"): 0.42,
    ("left_knee", "left_ankle"): 0.41, ("right_knee", "right_ankle"): 0.41,
}  # fmt: skip
"""Bone lengths of an average adult, m (Drillis & Contini's proportions at 1.74 m, between joint centres)."""


def _channels(array: F32, layout: str, joints: int, allowed: tuple[int, ...]) -> F32:
    if array.ndim != 3 or array.shape[1] != joints or array.shape[2] not in allowed:
        wanted = " or ".join(f"(T, {joints}, {c})" for c in allowed)
        raise InputError(f"A {layout} sequence has the shape {wanted}, this array has {array.shape}.")
    return array


def _fit_picture(keypoints: F32, seen: NDArray[np.bool_], scale: float) -> tuple[F32, int, int]:
    """Scales to pseudo px and shifts so that every seen joint lies in a picture whose size is returned."""
    points = keypoints * np.float32(scale)
    if not seen.any():
        return np.zeros_like(points), int(_PSEUDO_PX), int(_PSEUDO_PX)
    low = points[seen].min(axis=0)
    points = np.where(seen[..., None], points - low + 0.05 * _PSEUDO_PX, 0.0).astype(np.float32)
    high = points[seen].max(axis=0) + 0.05 * _PSEUDO_PX
    width, height = (int(np.clip(np.ceil(v), 2, 100_000)) for v in high)
    return points, width, height


def _picture_or_pseudo(keypoints: F32, scores: F32) -> tuple[F32, F32, int, int]:
    """Coordinates as they are where they look like px, scaled up where they are normalised or in metres."""
    seen = scores > 0
    reach = float(np.abs(keypoints[seen]).max()) if seen.any() else 1.0
    if reach > 8.0:
        high = keypoints[seen].max(axis=0)
        return keypoints, scores, max(2, int(np.ceil(high[0]) + 1)), max(2, int(np.ceil(high[1]) + 1))
    points, width, height = _fit_picture(keypoints, seen, _PSEUDO_PX)
    return points, scores, width, height


def _mediapipe33(array: F32) -> tuple[F32, F32, int, int]:
    """(T, 33, 2..5): x, y[, z[, visibility[, presence]]]; normalised, px or metres; y down."""
    picked = _channels(array, "mediapipe33", 33, (2, 3, 4, 5))[:, _MEDIAPIPE]
    found = np.any(array[..., :2] != 0, axis=(1, 2))
    scores = picked[..., 3] if array.shape[2] >= 4 else np.ones(picked.shape[:2], np.float32)
    return _picture_or_pseudo(picked[..., :2], np.where(found[:, None], scores, 0).astype(np.float32))


def _coco17(array: F32) -> tuple[F32, F32, int, int]:
    """(T, 17, 2..3): x, y[, score]; an exact (0, 0) is a missing joint."""
    picked = _channels(array, "coco17", K, (2, 3))
    found = np.any(picked[..., :2] != 0, axis=-1)
    scores = picked[..., 2] if array.shape[2] == 3 else np.ones(picked.shape[:2], np.float32)
    return _picture_or_pseudo(picked[..., :2], np.where(found, scores, 0).astype(np.float32))


def _openpose18(array: F32) -> tuple[F32, F32, int, int]:
    """(T, 18, 2..3): x, y[, confidence] px; (0, 0) = missing.

    OpenPose's confidences are peaks of heat maps and run lower than probabilities: a found joint has 0.05 and
    more, so they are raised by a square root.
    """
    picked = _channels(array, "openpose18", 18, (2, 3))[:, _OPENPOSE]
    found = np.any(picked[..., :2] != 0, axis=-1)
    raw = picked[..., 2] if array.shape[2] == 3 else np.ones(picked.shape[:2], np.float32)
    return _picture_or_pseudo(picked[..., :2], np.where(found, np.sqrt(np.clip(raw, 0, 1)), 0).astype(np.float32))


def _rmd16(array: F32) -> tuple[F32, F32, int, int]:
    """(T, 16, 4): x, y, z in m (y down), visibility; the head is not in this layout and stays hidden."""
    _channels(array, "rmd16", 16, (3, 4))
    keypoints = np.zeros((len(array), K, 2), np.float32)
    scores = np.zeros((len(array), K), np.float32)
    for coco, mediapipe in enumerate(_MEDIAPIPE):
        if mediapipe in _RMD_IDS:
            column = _RMD_IDS.index(int(mediapipe))
            keypoints[:, coco] = array[:, column, :2]
            scores[:, coco] = array[:, column, 3] if array.shape[2] == 4 else 1.0
    found = np.any(array[..., :2] != 0, axis=(1, 2))
    return _picture_or_pseudo(keypoints, np.where(found[:, None], scores, 0).astype(np.float32))


def _axis_scales(differences: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared scale (T, 2) of x and y that gives bones their lengths, from scaled 3-D differences (T, B, 3).

    dx² a + dy² b + dz² c = L² is linear in the squared scales; a ridge towards those of a standing body keeps the
    depth, which is little more than a guess, from taking everything.
    """
    squares = differences**2  # (T, B, 3)
    prior = np.array([0.8, 1.7, 0.8]) ** 2
    ridge = np.diag([0.02, 0.02, 0.05]) / prior
    normal = np.einsum("tbi,tbj->tij", squares, squares) + ridge * 0.02
    right = np.einsum("tbi,b->ti", squares, lengths**2) + ridge @ prior * 0.02
    solved = np.linalg.solve(normal, right[..., None])[..., 0]
    return np.asarray(np.clip(solved[:, :2], 0.04, 9.0))


def _repcount104(array: F32) -> tuple[F32, F32, int, int]:
    """(T, 104): 33 MediaPipe landmarks (x, y, z), each axis min-max scaled per frame, then five joint angles.

    The size of the picture's axes is lost in every frame. It is rebuilt from what a body keeps: bone lengths
    (see ``_axis_scales``), smoothed causally; the place of the body is lost too, so the feet are made to stand.
    """
    if array.ndim != 2 or array.shape[1] not in (99, 104):
        raise InputError(f"A repcount104 sequence has the shape (T, 104), this array has {array.shape}.")
    points = array[:, :99].reshape(-1, 33, 3)
    found = np.any(points != 0, axis=(1, 2))
    keypoints = unsqueeze(points[:, _MEDIAPIPE], found)
    return _picture_or_pseudo(keypoints, np.repeat(found[:, None], K, axis=1).astype(np.float32))


def unsqueeze(body: F32, found: NDArray[np.bool_]) -> F32:
    """Bodies (T, 17, 3) whose axes were scaled frame by frame → places (T, 17, 2) in m, feet standing at the origin.

    ``found`` (T,): frames with a body. Causal.
    """
    exact = body.astype(np.float64)
    pairs = np.array([(INDEX[a], INDEX[b]) for a, b in _BONES_M])
    lengths = np.array(list(_BONES_M.values()))
    logs = 0.5 * np.log(_axis_scales(exact[:, pairs[:, 0]] - exact[:, pairs[:, 1]], lengths))
    smooth = np.zeros_like(logs)
    state: NDArray[np.float64] | None = None
    for t in range(len(logs)):
        if found[t]:
            state = logs[t] if state is None else state + 0.35 * (logs[t] - state)
        smooth[t] = state if state is not None else 0.0
    keypoints = (exact[..., :2] * np.exp(smooth)[:, None, :]).astype(np.float32)
    feet = keypoints[:, [INDEX["left_ankle"], INDEX["right_ankle"]]].mean(axis=1, keepdims=True)
    return np.asarray(keypoints - feet)


_LAYOUTS: Final[dict[str, Callable[[F32], tuple[F32, F32, int, int]]]] = {
    "mediapipe33": _mediapipe33,
    "coco17": _coco17,
    "openpose18": _openpose18,
    "rmd16": _rmd16,
    "repcount104": _repcount104,
}

LAYOUTS: Final = tuple(_LAYOUTS)


def to_coco17(array: NDArray[np.generic], layout: str, fps: float) -> tuple[F32, F32, int, int]:
    """Keypoints (T, 17, 2) pseudo px, scores (T, 17) in [0, 1], width and height px of a pose sequence.

    Raises InputError for an unknown layout, a wrong shape, numbers that are not finite, or an impossible rate.
    """
    if layout not in _LAYOUTS:
        raise InputError(f"Unknown layout '{layout}'; known are {', '.join(LAYOUTS)}.")
    if not (np.isfinite(fps) and FPS_RANGE[0] <= fps <= FPS_RANGE[1]):
        raise InputError(f"A rate of {fps} frames/s is impossible; give one of 1 to 1000 with --fps.")
    if array.dtype.kind not in "fiu":
        raise InputError(f"Poses must be numbers, this array holds {array.dtype}.")
    values = array.astype(np.float32)
    if values.size == 0 or values.ndim < 2:
        raise InputError(f"The pose sequence is empty (shape {values.shape}).")
    if not np.isfinite(values).all():
        raise InputError("The pose sequence holds NaN or infinite numbers; mark a missing joint with score 0.")
    keypoints, scores, width, height = _LAYOUTS[layout](values)
    return (
        np.ascontiguousarray(keypoints, np.float32),
        np.clip(scores, 0, 1).astype(np.float32),
        width,
        height,
    )
