"""Measures of the trunk, head and hips: lean, swing, twist, sway, drop."""

import numpy as np

from services.errors.core.body import F64, SIDES, percentile, smooth
from services.errors.core.curves import Reading, Readings, Rep
from services.errors.core.registry import measure


def trunk_sides(rep: Rep) -> tuple[str, ...]:
    """Sides on which what belongs to the trunk is read: the near one of a side view."""
    return SIDES if rep.body.near is None else (rep.body.near,)


def _spread(rep: Rep, curve: F64, gain: float = 1.0) -> Reading | None:
    """95th less 5th percentile over the repetition; the moment farthest from the start."""
    low, high = rep.extreme(curve, rep.body.whole, 5), rep.extreme(curve, rep.body.whole, 95)
    start = rep.level(curve, rep.start)
    if low is None or high is None:
        return None
    middle = start if start is not None else (low.value + high.value) / 2
    at = high if abs(high.value - middle) >= abs(low.value - middle) else low
    return Reading(high.value - low.value, at.at_s, gain)


@measure("torso_swing_deg")
def torso_swing(rep: Rep) -> Readings:
    """How far the torso swings to and fro within the repetition (side or three-quarter view)."""
    gain = rep.sagittal_gain
    return {} if gain is None else rep.single(_spread(rep, rep.lean, gain))


@measure("lean_back_deg")
def lean_back(rep: Rep) -> Readings:
    """Largest lean of the torso backwards from where it starts."""
    gain, start = rep.sagittal_gain, rep.level(rep.lean, rep.start)
    if gain is None or start is None or rep.view.facing == 0:
        return {}
    return rep.single(rep.extreme(start - rep.lean, rep.body.whole, 94, gain))


@measure("lean_back_upright_deg")
def lean_back_upright(rep: Rep) -> Readings:
    """Largest lean of the torso backwards from the vertical."""
    gain = rep.sagittal_gain
    if gain is None or rep.view.facing == 0:
        return {}
    return rep.single(rep.extreme(-rep.lean, rep.body.whole, 94, gain))


def _lean_gain(rep: Rep) -> float | None:
    """From the front, lean shows as a shortened torso: good enough for big leans, if it was once upright."""
    return rep.sagittal_gain or (2.0 if rep.view.confidence > 0 else None)


@measure("torso_lean_max_deg")
def torso_lean_max(rep: Rep) -> Readings:
    """Largest lean of the torso forwards from the vertical."""
    gain = _lean_gain(rep)
    return {} if gain is None else rep.single(rep.extreme(rep.lean, rep.body.whole, 95, gain))


@measure("torso_lean_deg")
def torso_lean(rep: Rep) -> Readings:
    """Lean of the torso from the vertical through the repetition (median)."""
    gain = rep.sagittal_gain
    return {} if gain is None else rep.single(rep.extreme(np.abs(rep.lean), rep.body.whole, 50, gain))


@measure("torso_rise_deg")
def torso_rise(rep: Rep) -> Readings:
    """How far a bent-over torso rises within the repetition from where it starts."""
    gain, start = rep.sagittal_gain, rep.level(rep.lean, rep.start)
    if gain is None or start is None:
        return {}
    return rep.single(rep.extreme(abs(start) - np.abs(rep.lean), rep.body.whole, 94, gain))


@measure("lean_over_shank_deg")
def lean_over_shank(rep: Rep) -> Readings:
    """How much more than the shanks the torso leans forward at its worst (a squat's torso stays parallel to them)."""
    gain = rep.sagittal_gain
    if gain is None or rep.view.facing == 0:
        return {}

    def read(side: str) -> Reading | None:
        shank = -rep.body.segment("shank", side)
        lean = np.degrees(np.arctan2(shank[:, 0] * gain * rep.view.facing, shank[:, 1]))
        return rep.extreme(rep.lean - lean, rep.body.whole, 94, gain)

    return rep.per_side(read, trunk_sides(rep))


@measure("tilt_swing_deg")
def tilt_swing(rep: Rep) -> Readings:
    """How far the torso sways sideways within the repetition (front or back view)."""
    return rep.single(_spread(rep, rep.tilt)) if rep.view.frontal >= 0.8 else {}


@measure("shoulder_twist_norm")
def shoulder_twist(rep: Rep) -> Readings:
    """How much the shoulder line turns within the repetition against the hip line, torso lengths."""
    shoulders = rep.body.joint("left_shoulder") - rep.body.joint("right_shoulder")
    hips = rep.body.joint("left_hip") - rep.body.joint("right_hip")
    return rep.single(_spread(rep, (shoulders - hips)[:, 1] / rep.body.torso_px))


@measure("shoulder_roll_norm")
def shoulder_roll(rep: Rep) -> Readings:
    """How far the shoulder goes to and fro over the hip (side view), torso lengths."""
    if rep.view.sagittal < 0.8:
        return {}

    def read(side: str) -> Reading | None:
        gap = (rep.body.joint(f"{side}_shoulder") - rep.body.joint(f"{side}_hip"))[:, 0] / rep.body.torso_px
        return _spread(rep, gap)

    return rep.per_side(read, trunk_sides(rep))


@measure("head_forward_norm")
def head_forward(rep: Rep) -> Readings:
    """How far the head comes forward over the shoulders from where it starts (side view), torso lengths."""
    gain = rep.sagittal_gain
    if gain is None or rep.view.facing == 0:
        return {}
    gap = (rep.body.joint("ears") - rep.body.joint("shoulders"))[:, 0] * rep.view.facing * gain / rep.body.torso_px
    start = rep.level(gap, rep.start)
    return {} if start is None else rep.single(rep.extreme(gap - start, rep.body.whole, 92, gain))


@measure("back_shortening_ratio")
def back_shortening(rep: Rep) -> Readings:
    """Share by which the way from hips to shoulders is shorter than at the start (a rounding back shortens it)."""
    gain = rep.sagittal_gain
    if gain is None or rep.view.sagittal < 0.8:
        return {}
    length = np.linalg.norm(rep.body.torso() * (gain, 1.0), axis=-1)
    start = rep.level(length, rep.start)
    if not start:
        return {}
    return rep.single(rep.extreme(1 - length / start, rep.top, 60, gain))


@measure("head_drop_deg")
def head_drop(rep: Rep) -> Readings:
    """How far the neck (shoulders to ears) bends forward of the torso's line about the turn."""
    gain = rep.sagittal_gain
    if gain is None or rep.view.facing == 0 or rep.view.sagittal < 0.8:
        return {}
    neck, torso = rep.body.joint("ears") - rep.body.joint("shoulders"), rep.body.torso()
    turn = np.degrees(
        np.arctan2(neck[:, 0] * rep.view.facing, neck[:, 1]) - np.arctan2(torso[:, 0] * rep.view.facing, torso[:, 1])
    )
    return rep.single(rep.extreme((turn + 180) % 360 - 180, rep.top, 60, gain))


@measure("hip_drop_norm")
def hip_drop(rep: Rep) -> Readings:
    """How far hips and head sink over the ankles on the way out from where they start, torso lengths.

    Arms and weights before the trunk draw the hips that a network sees about by a tenth of the torso; the head is
    free of that, and sinks as far when the knees bend.
    """
    ankles = rep.body.joint("ankles")[:, 1]
    # A dip before the drive is short, and may begin before the arms are seen to move.
    early = rep.body.mask(rep.body.bounds.onset_s - 0.25, rep.turn_s)
    drops: list[F64] = []
    for name in ("hips", "ears", "nose"):
        height = (rep.body.joint(name)[:, 1] - ankles) / rep.body.torso_px
        tall = rep.extreme(height, rep.start | rep.way_out, 70)
        if tall is not None:
            drops.append(tall.value - height)
        elif name == "hips":
            return {}
    return rep.single(rep.extreme(np.min(drops, axis=0), early, 95))


@measure("hip_shift_norm")
def hip_shift(rep: Rep) -> Readings:
    """How far the hips shift sideways over the feet from where they start (front or back view), torso lengths."""
    if rep.view.frontal < 0.8:
        return {}
    gap = (rep.body.joint("hips") - rep.body.joint("ankles"))[:, 0] / rep.body.torso_px
    start = rep.level(gap, rep.start)
    return {} if start is None else rep.single(rep.extreme(np.abs(gap - start), rep.body.whole, 92))


@measure("sway_norm")
def sway(rep: Rep) -> Readings:
    """Unrest of the torso beside its even path, torso lengths (spread of shoulder and hip centres, seen across)."""
    total: list[float] = []
    for name in ("shoulders", "hips"):
        path = rep.body.joint(name)[:, 0]
        calm = smooth(path[:, None], 0.18 * rep.body.bounds.duration_s / rep.body.step_s)[:, 0]
        rest = (path - calm)[rep.body.whole]
        low, high = percentile(rest, 8), percentile(rest, 92)
        if low is not None and high is not None:
            total.append((high - low) / rep.body.torso_px)
    return {"both": Reading(float(np.mean(total)), rep.turn_s)} if total else {}
