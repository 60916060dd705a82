"""Measures of arms: elbow and upper-arm angles, drift, evenness, flare."""

from typing import Final

import numpy as np

from services.errors.core.body import F64, SIDES, percentile
from services.errors.core.curves import Reading, Readings, Rep, angle_deg
from services.errors.core.registry import measure
from services.errors.core.trunk import trunk_sides

HEIGHT_GAIN: Final = 1.4
"""How much less sure forward distances are that come from heights."""


def _gain(rep: Rep) -> float:
    """Noise gain of arm angles: seen along their plane they come from lengths, which is less sure."""
    return rep.plane_gain or 1.5


@measure("elbow_min_deg")
def elbow_min(rep: Rep) -> Readings:
    """Smallest elbow angle of the repetition."""
    return rep.per_side(lambda s: rep.extreme(rep.elbow(s), rep.body.whole, 4, _gain(rep)))


@measure("elbow_max_deg")
def elbow_max(rep: Rep) -> Readings:
    """Largest elbow angle of the repetition (180° is straight)."""
    reach = rep.body.whole | rep.rests
    return rep.per_side(lambda s: rep.extreme(rep.elbow(s), reach, 95, _gain(rep)))


@measure("elbow_turn_deg")
def elbow_turn(rep: Rep) -> Readings:
    """Elbow angle about the turn."""
    return rep.per_side(lambda s: rep.extreme(rep.elbow(s), rep.top, 50, _gain(rep)))


@measure("elbow_change_deg")
def elbow_change(rep: Rep) -> Readings:
    """How much the elbow angle changes within the repetition."""

    def read(side: str) -> Reading | None:
        low = rep.extreme(rep.elbow(side), rep.body.whole, 5, _gain(rep))
        high = rep.extreme(rep.elbow(side), rep.body.whole, 95)
        return None if low is None or high is None else Reading(high.value - low.value, low.at_s, low.gain)

    return rep.per_side(read)


@measure("upper_arm_swing_deg")
def upper_arm_swing(rep: Rep) -> Readings:
    """Largest turn of the upper arm, against the torso, away from where it starts."""
    in_plane = rep.plane_gain is not None and rep.plane_gain <= 1.3

    def read(side: str) -> Reading | None:
        curve = rep.arm(side)
        start = rep.level(curve, rep.start)
        if start is None:
            return None
        if in_plane:
            return rep.extreme(np.abs(curve - start), rep.body.whole, 95, rep.plane_gain or 1.0)
        # An angle from a length is too large near zero by what the length lacks: take that out in squares.
        rest = start if start < 60 else 180 - start
        moved = np.sqrt(np.maximum(np.where(start < 60, curve, 180 - curve) ** 2 - rest**2, 0.0))
        return rep.extreme(moved, rep.body.whole, 95, 1.5)

    return rep.per_side(read)


@measure("arm_top_deg")
def arm_top(rep: Rep) -> Readings:
    """Height of the upper arm about the turn: 90° is shoulder height."""
    return rep.per_side(lambda s: rep.extreme(rep.arm(s), rep.top, 75, _gain(rep)))


@measure("arm_top_difference_deg")
def arm_top_difference(rep: Rep) -> Readings:
    """Difference between the heights of the two upper arms about the turn."""
    if len(rep.active) < 2 or rep.view.frontal < 0.6:
        return {}
    return rep.single(rep.extreme(np.abs(rep.arm("left") - rep.arm("right")), rep.top, 60, _gain(rep)))


@measure("forearm_over_arm_deg")
def forearm_over_arm(rep: Rep) -> Readings:
    """How much steeper than the upper arm the forearm rises, about the turn (hand higher than elbow)."""

    def rise(vector: F64) -> F64:
        return np.degrees(np.arctan2(vector[:, 1], np.abs(vector[:, 0])))

    def read(side: str) -> Reading | None:
        gap = rise(rep.body.segment("forearm", side)) - rise(rep.body.segment("upper_arm", side))
        return rep.extreme(gap, rep.top, 60)

    return rep.per_side(read) if rep.view.frontal >= 0.7 else {}


@measure("forearm_tilt_deg")
def forearm_tilt(rep: Rep) -> Readings:
    """Lasting tilt of the forearm from the vertical in the lower half of a press, seen from front or back."""
    if rep.view.frontal < 0.7:
        return {}
    low = rep.body.whole & (rep.progress < 0.6)
    return rep.per_side(lambda s: rep.extreme(rep.wrist_drop(s), low, 60))


@measure("wrist_height_difference_norm")
def wrist_height_difference(rep: Rep) -> Readings:
    """Largest lasting difference between the heights of the hands over their shoulders, torso lengths."""
    if len(rep.active) < 2 or rep.view.frontal < 0.6:
        return {}
    left, right = (rep.body.joint(f"{s}_wrist") - rep.body.joint(f"{s}_shoulder") for s in SIDES)
    return rep.single(rep.extreme(np.abs(left - right)[:, 1] / rep.body.torso_px, rep.body.whole, 85))


@measure("elbow_forward_norm")
def elbow_forward(rep: Rep) -> Readings:
    """How far before the shoulder the elbow stands at rest, torso lengths (0: straight out to the side)."""
    gain = rep.sagittal_gain
    if gain is None or rep.view.facing == 0 or rep.view.sagittal < 0.8:
        return {}

    def read(side: str) -> Reading | None:
        ahead = rep.body.segment("upper_arm", side)[:, 0] * rep.view.facing * gain / rep.body.torso_px
        return rep.extreme(ahead, rep.rests, 50, gain)

    return rep.per_side(read)


@measure("elbow_out_norm")
def elbow_out(rep: Rep) -> Readings:
    """How far outside its shoulder the elbow stands (front or back view), torso lengths."""
    if rep.view.frontal < 0.7:
        return {}
    shoulders = (rep.body.joint("left_shoulder") - rep.body.joint("right_shoulder"))[:, 0]
    outward = np.sign(shoulders)

    def read(side: str) -> Reading | None:
        sign = outward if side == "left" else -outward
        return rep.extreme(rep.body.segment("upper_arm", side)[:, 0] * sign / rep.body.torso_px, rep.body.whole, 80)

    return rep.per_side(read)


@measure("elbow_behind_norm")
def elbow_behind(rep: Rep) -> Readings:
    """How far behind the line of the torso the elbow is drawn at the turn, torso lengths (rows)."""
    sides = tuple(s for s in rep.active if s in trunk_sides(rep))
    gain = rep.sagittal_gain
    if gain is None:
        return rep.per_side(lambda s: _behind_by_height(rep, s), sides)
    if rep.view.facing == 0:
        return {}
    torso = rep.body.torso() * (gain, 1.0)
    length = np.maximum(np.linalg.norm(torso, axis=-1, keepdims=True), 1e-9)
    back = np.stack([-torso[:, 1], torso[:, 0]], axis=-1) / length * rep.view.facing

    def read(side: str) -> Reading | None:
        offset = (rep.body.segment("upper_arm", side) * (gain, 1.0) * back).sum(axis=-1)
        return rep.extreme(offset / rep.body.torso_px, rep.top, 70, gain)

    return rep.per_side(read, sides)


def _behind_by_height(rep: Rep, side: str) -> Reading | None:
    """Seen along its plane, an upper arm rises over the line of a bent torso by what its height says. A torso that is
    never seen upright looks longer in its foreshortening, that is less bent, than it is: the error is to the elbow's
    credit."""
    behind = np.radians(rep.arm_level(side) + 90.0 - rep.lean)
    reach = rep.body.length_px[f"{side}_upper_arm"] / rep.body.torso_px
    return rep.extreme(reach * np.sin(np.clip(behind, -np.pi / 2, np.pi / 2)), rep.top, 70, HEIGHT_GAIN)


@measure("arm_flare_deg")
def arm_flare(rep: Rep) -> Readings:
    """Angle between upper arm and torso at the bottom of a press (90°: straight out), by the part along the torso."""
    torso = rep.body.torso()
    length = np.linalg.norm(torso, axis=-1)
    if (percentile(length, 50) or 0.0) < 0.75 * rep.body.torso_px:
        return {}

    def read(side: str) -> Reading | None:
        along = -(rep.body.segment("upper_arm", side) * torso).sum(axis=-1) / np.maximum(length, 1e-9)
        angle = np.degrees(np.arccos(np.clip(along / rep.body.length_px[f"{side}_upper_arm"], -1, 1)))
        return rep.extreme(angle, rep.top, 50)

    return rep.per_side(read)


@measure("arm_level_deg")
def arm_level(rep: Rep) -> Readings:
    """Rise of the upper arm over the level at the bottom of a press or fly (0°: level, below: deeper)."""

    return rep.per_side(lambda s: rep.extreme(rep.arm_level(s), rep.top, 35))


@measure("shoulder_rise_norm")
def shoulder_rise(rep: Rep) -> Readings:
    """How far the shoulders rise towards the ears and away from the hips, torso lengths."""
    torso = rep.body.torso()
    along = torso / np.maximum(np.linalg.norm(torso, axis=-1, keepdims=True), 1e-9)
    along = np.where(np.isfinite(along), along, (0.0, 1.0))
    head = rep.body.joint("ears")
    if np.isfinite(head[rep.body.whole]).mean() < 0.5:
        head = rep.body.joint("nose")

    def read(side: str) -> Reading | None:
        shoulder = rep.body.joint(f"{side}_shoulder")
        parts = [
            ((shoulder - base) * along).sum(axis=-1) / rep.body.torso_px for base in (head, rep.body.joint("hips"))
        ]
        usable = [p - s for p in parts if (s := rep.level(p, rep.start)) is not None]
        if not usable:
            return None
        return rep.extreme(np.mean(usable, axis=0), rep.body.whole, 92, 1.0 if len(usable) == 2 else 1.5)

    sides = trunk_sides(rep)
    if rep.movement.load_point != "shoulder":
        sides = tuple(side for side in sides if side in rep.active)  # the arm at rest has nothing to hitch up for
    return rep.per_side(read, sides)


@measure("range_asymmetry_ratio")
def asymmetry(rep: Rep) -> Readings:
    """Difference of the two sides' ranges of motion over the larger one, 0..1 (1 - the smaller over the larger)."""
    ranges = [r for r in rep.ranges.values() if r is not None]
    if len(rep.active) < 2 or len(ranges) < 2 or rep.view.frontal < 0.6:
        return {}
    return {"both": Reading(1 - min(ranges) / max(max(ranges), 1e-6), rep.turn_s)}


@measure("wrist_path_tilt_deg")
def wrist_path_tilt(rep: Rep) -> Readings:
    """Angle of the hand's way up from the vertical, seen from front or back."""
    if rep.view.frontal < 0.7:
        return {}

    def read(side: str) -> Reading | None:
        wrist = rep.body.joint(f"{side}_wrist")
        known = np.isfinite(wrist).all(axis=1)
        bottom, top = wrist[known & rep.rests], wrist[known & rep.top]
        if not (len(bottom) and len(top)):
            return None
        way = np.median(top, axis=0) - np.median(bottom, axis=0)
        return Reading(float(angle_deg(way, np.array([0.0, 1.0]))), rep.turn_s)

    return rep.per_side(read)
