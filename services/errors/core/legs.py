"""Measures of legs: depth, knees in and forward, step, heels, and how far weights hang from the legs."""

from typing import Final

import numpy as np

from services.errors.core.body import F64, SIDES
from services.errors.core.curves import Reading, Readings, Rep
from services.errors.core.registry import measure

STEP_MIN: Final = 0.25
"""Feet so far apart, forward, in torso lengths, stand one before the other."""


def front_leg(rep: Rep) -> tuple[str, ...]:
    """The leg in front at the turn (lunge); both where the legs stand side by side or it cannot be told."""
    gain = rep.sagittal_gain
    if gain is not None and rep.view.facing:
        ahead = {
            s: rep.level(rep.body.joint(f"{s}_ankle")[:, 0] * rep.view.facing * gain / rep.body.torso_px, rep.top)
            for s in SIDES
        }
        left, right = ahead["left"], ahead["right"]
        if left is not None and right is not None and abs(left - right) > STEP_MIN:
            return ("left",) if left > right else ("right",)
        return SIDES
    # Towards the camera is lower in the picture; its shank stays upright while the other one lies down.
    spans = {s: rep.level(-rep.body.segment("shank", s)[:, 1] / rep.body.torso_px, rep.top) for s in SIDES}
    left, right = spans["left"], spans["right"]
    if left is not None and right is not None and abs(left - right) > 0.15:
        return ("left",) if left > right else ("right",)
    return SIDES


@measure("knee_min_deg")
def knee_min(rep: Rep) -> Readings:
    """Smallest knee angle of the repetition (the front knee of a lunge)."""
    gain = rep.sagittal_gain or 1.5
    return rep.per_side(lambda s: rep.extreme(rep.knee(s), rep.body.whole, 5, gain), front_leg(rep))


@measure("thigh_depth_deg")
def thigh_depth(rep: Rep) -> Readings:
    """Largest angle of the thigh from the vertical (90°: level), by the height it spans: true in every view."""
    return rep.per_side(lambda s: rep.extreme(rep.thigh(s), rep.body.whole, 95), front_leg(rep))


@measure("knee_flexion_deg")
def knee_flexion(rep: Rep) -> Readings:
    """Bend of the knee about the turn (0°: straight)."""
    gain = rep.sagittal_gain or 1.5
    return rep.per_side(lambda s: rep.extreme(180 - rep.knee(s), rep.top, 60, gain), SIDES)


@measure("knee_past_ankle_norm")
def knee_past_ankle(rep: Rep) -> Readings:
    """How far the front knee comes before its ankle about the turn, torso lengths; the toes lie about 0.35 before it.

    Networks exchange the legs for a moment, mostly where one hides the other, and smoothing draws both through the
    middle then. So the front foot is told anew at every moment, whatever it is called; moments at which the feet are
    not apart or the shank has no shank's length are left out; and the reading is the shank's lean times its length.
    """
    gain = rep.sagittal_gain
    if gain is None or rep.view.facing == 0:
        return {}
    body, forward = rep.body, rep.view.facing * gain
    left, right = (body.joint(f"{s}_ankle")[:, 0] * forward / body.torso_px for s in SIDES)
    ahead = {"left": left - right > STEP_MIN, "right": right - left > STEP_MIN}
    curve = np.full(len(rep.times_s), np.nan)
    for side in SIDES:
        shank, usual = -body.segment("shank", side) * (forward, 1.0), body.length_px[f"{side}_shank"]
        length = np.linalg.norm(shank, axis=-1)
        sound = ahead[side] & (length > 0.7 * usual) & (length < 1.3 * usual)
        share = shank[:, 0] / np.maximum(length, 1e-9)
        curve = np.where(sound, share * usual / body.torso_px, curve)
    side = max(SIDES, key=lambda s: np.count_nonzero(ahead[s] & rep.top))
    reading = rep.extreme(curve, rep.top, 60, gain)
    return rep.per_side(lambda _: reading, (side,))


@measure("knee_valgus_norm")
def knee_valgus(rep: Rep) -> Readings:
    """How far the knee comes inside the line from hip to ankle, against the start (front or back), torso lengths."""
    if rep.view.frontal < 0.8:
        return {}
    body = rep.body
    outward = np.sign((body.joint("left_hip") - body.joint("right_hip"))[:, 0])

    def inside(side: str) -> F64:
        hip, knee, ankle = (body.joint(f"{side}_{j}") for j in ("hip", "knee", "ankle"))
        span = np.where(np.abs(ankle - hip)[:, 1] > 1e-6, (ankle - hip)[:, 1], np.nan)
        share = np.clip((knee - hip)[:, 1] / span, 0.0, 1.0)
        on_line = hip[:, 0] + share * (ankle - hip)[:, 0]
        return (on_line - knee[:, 0]) * (outward if side == "left" else -outward) / body.torso_px

    def read(side: str) -> Reading | None:
        curve = inside(side)
        return rep.extreme(curve, body.whole, 92)

    return rep.per_side(read, front_leg(rep))


@measure("knee_gap_ratio")
def knee_gap(rep: Rep) -> Readings:
    """Distance of the knees over that of the ankles about the turn.

    What both do forward cancels out, so that a three-quarter view shows it too (Noyes et al. 2005, normalised knee
    separation distance).
    """
    gain = rep.frontal_gain
    if gain is None:
        return {}
    knees, ankles = ((rep.body.joint(f"left_{j}") - rep.body.joint(f"right_{j}"))[:, 0] for j in ("knee", "ankle"))
    apart = np.where(np.abs(ankles) > 0.15 * rep.body.torso_px, ankles, np.nan)
    return rep.single(rep.extreme(knees / apart, rep.top, 35, gain))


@measure("stance_width_ratio")
def stance_width(rep: Rep) -> Readings:
    """Distance of the ankles over that of the shoulders (a three-quarter view narrows both alike)."""
    if rep.frontal_gain is None:
        return {}
    ankles, shoulders = (
        np.abs((rep.body.joint(f"left_{j}") - rep.body.joint(f"right_{j}"))[:, 0]) for j in ("ankle", "shoulder")
    )
    apart = np.where(shoulders > 0.2 * rep.body.torso_px, shoulders, np.nan)
    return rep.single(rep.extreme(ankles / apart, rep.body.whole, 50, rep.frontal_gain))


@measure("step_length_norm")
def step_length(rep: Rep) -> Readings:
    """Distance between the feet, forward, about the turn, torso lengths (side or three-quarter view)."""
    gain = rep.sagittal_gain
    if gain is None:
        return {}
    apart = np.abs((rep.body.joint("left_ankle") - rep.body.joint("right_ankle"))[:, 0]) * gain
    return rep.single(rep.extreme(apart / rep.body.torso_px, rep.top, 50, gain))


@measure("hand_from_leg_norm")
def hand_from_leg(rep: Rep) -> Readings:
    """How far before the leg, at its own height, the hand hangs at its worst, torso lengths."""
    gain = rep.sagittal_gain
    if gain is None or rep.view.facing == 0:
        return {}
    body = rep.body

    def read(side: str) -> Reading | None:
        hip, knee, ankle, wrist = (body.joint(f"{side}_{j}") for j in ("hip", "knee", "ankle", "wrist"))
        above = wrist[:, 1] >= knee[:, 1]
        top, low = np.where(above[:, None], hip, knee), np.where(above[:, None], knee, ankle)
        share = np.clip((top - wrist)[:, 1] / np.maximum((top - low)[:, 1], 1e-6), 0, 1)
        leg = top[:, 0] + share * (low - top)[:, 0]
        ahead = (wrist[:, 0] - leg) * rep.view.facing * gain / body.torso_px
        return rep.extreme(ahead, body.whole, 85, gain)

    return rep.per_side(read, SIDES)
