"""From where the camera sees the body during one repetition."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from services.common.skeleton import INDEX
from services.errors.core.body import F64, LENGTHS, SIDES, Body

FRONT_MAX_DEG: Final = 18.0
"""Estimates lean to the front: rendered people who stand at 45° to the camera are seen at 20–37° by MoveNet, those who
face it within 13°."""
SIDE_MIN_DEG: Final = 58.0
_FACE_REACH: Final = 0.19
"""How far the nose stands before the ears, in torso lengths (about 10 cm)."""


class ViewKind(StrEnum):
    FRONT = "front"
    THREE_QUARTER = "three_quarter"
    SIDE = "side"
    BACK = "back"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class View:
    """``azimuth_deg``: 0 facing the camera, +90 facing the picture's right, ±180 facing away.

    ``facing``: +1 the body's front points to the picture's right (for one who lies or bends: the way that it would
    when stood up in the picture), -1 to the left, 0 not known. ``confidence`` in [0, 1] is that of ``kind``.
    """

    kind: ViewKind
    azimuth_deg: float
    facing: int
    confidence: float

    @property
    def sagittal(self) -> float:
        """Share of the sagittal plane (forward and up) that the picture shows, 0..1."""
        return float(abs(np.sin(np.radians(self.azimuth_deg)))) if self.kind != ViewKind.UNKNOWN else 0.0

    @property
    def frontal(self) -> float:
        """Share of the frontal plane (sideways and up) that the picture shows, 0..1."""
        return float(abs(np.cos(np.radians(self.azimuth_deg)))) if self.kind != ViewKind.UNKNOWN else 0.0


def near_side(view: View) -> str | None:
    """The side of the body towards the camera, where the view is one from the side."""
    if view.sagittal < 0.86 or view.facing == 0:
        return None
    return "right" if view.facing > 0 else "left"


def _median(values: F64) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) >= 2 else None


def _turned(vector: F64) -> F64:
    """The picture direction to the right of an upward vector: forward, for one who faces right. Unit length."""
    length = np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)
    return np.stack([vector[..., 1], -vector[..., 0]], axis=-1) / length


def _width(body: Body) -> float | None:
    """Signed width of shoulders and hips over their true width: 1 facing the camera, 0 side view, -1 away."""
    total, weight = 0.0, 0.0
    for pair, share in (("shoulder", 0.65), ("hip", 0.35)):
        left, right = body.joint(f"left_{pair}"), body.joint(f"right_{pair}")
        apart = _median((left - right)[:, 0])
        if apart is not None:
            total += share * apart / (LENGTHS[f"{pair}s"] * body.torso_px)
            weight += share
    return total / weight if weight else None


def _face(body: Body) -> float | None:
    """How far the nose stands to the picture's right of the ears (of the shoulders), torso lengths / reach."""
    up = np.where(np.isfinite(body.torso()), body.torso(), (0.0, 1.0))
    right = _turned(up)
    for base, reach in (("ears", _FACE_REACH), ("shoulders", 0.26)):
        out = _median(((body.joint("nose") - body.joint(base)) * right).sum(axis=-1))
        if out is not None:
            # One visible ear lies on the head's side, not in its middle; the sign is right all the same.
            return out / (reach * body.torso_px)
    return None


def _hinges(body: Body) -> float:
    """Knees bend forward and elbows backward: evidence for facing right (> 0) or left, torso lengths."""
    total = 0.0
    for side in SIDES:
        for upper, middle, lower, sign in (("hip", "knee", "ankle", 1.0), ("shoulder", "elbow", "wrist", -1.0)):
            a, b, c = (body.joint(f"{side}_{name}") for name in (upper, middle, lower))
            bend = ((b - (a + c) / 2) * _turned(a - c)).sum(axis=-1)
            finite = bend[np.isfinite(bend)]
            if len(finite):
                strong = finite[np.abs(finite) >= np.percentile(np.abs(finite), 60)]
                total += sign * float(np.median(strong)) / body.torso_px
    return total


def estimate_view(body: Body) -> View:
    """The view of one repetition from the widths of shoulders and hips, their left-right order, and the face."""
    width = _width(body)
    if width is None:
        return View(ViewKind.UNKNOWN, 0.0, 0, 0.0)
    face = _face(body)
    evidence = 1.5 * float(np.clip(face or 0.0, -1, 1)) + float(np.clip(4 * _hinges(body), -1, 1))
    facing = int(np.sign(evidence)) if abs(evidence) > 0.15 else 0
    # A broad or slim build makes the width alone poor near the front, the nose alone is poor when the head turns.
    by_width = float(np.sqrt(max(0.0, 1 - min(1.0, abs(width)) ** 2)))
    by_face = float(min(1.0, abs(face))) if face is not None else by_width
    sideways = by_width if abs(width) < 0.5 else 0.5 * by_width + 0.5 * min(by_face, by_width + 0.3)
    azimuth = float(np.degrees(np.arctan2(sideways * (facing or 1), np.clip(width, -1, 1))))
    off_axis = min(abs(azimuth), 180 - abs(azimuth))
    if off_axis >= SIDE_MIN_DEG:
        kind, margin = ViewKind.SIDE, off_axis - SIDE_MIN_DEG
    elif off_axis >= FRONT_MAX_DEG:
        kind, margin = ViewKind.THREE_QUARTER, min(off_axis - FRONT_MAX_DEG, SIDE_MIN_DEG - off_axis)
    else:
        kind = ViewKind.FRONT if width > 0 else ViewKind.BACK
        margin = FRONT_MAX_DEG - off_axis
    trunk = [INDEX[f"{s}_{j}"] for s in SIDES for j in ("shoulder", "hip")]
    visible = float(np.sort(body.seen[trunk])[1:].mean())
    confidence = visible * (0.6 + 0.4 * float(np.clip(margin / 12.0, 0, 1)))
    return View(kind, azimuth, facing, round(confidence, 4))
