"""Measures of time and of steadiness: phases, travel times, speed in torso lengths per second, jerk, evenness."""

from typing import Final

import numpy as np
from scipy.ndimage import median_filter

from services.errors.core.body import F64, SIDES, percentile, smooth
from services.errors.core.curves import Reading, Readings, Rep
from services.errors.core.registry import measure

STRETCH: Final = 1.8
"""10-90 % of a minimum-jerk way take so much longer than 25-75 % of it."""
BOUNCE_S: Final = 0.6
"""A spring at the far end is looked for so near the turn."""
LET_GO: Final = 0.6
"""At most this far the time of lowering is scaled for being quicker than the lifting."""


def travel(rep: Rep, back: bool) -> tuple[float, float] | None:
    """When the way out (or back) crosses 10 % and 90 % of the range, (from, to) in s; independent of the exact
    onset and offset, which nobody agrees on to a tenth of a second. Where they cut the ends off, the middle half of
    the way is taken, and stretched as a smooth movement would be."""
    if rep.vague:
        return None
    progress, where = rep.progress, rep.way_back if back else rep.way_out
    known = where & np.isfinite(progress)
    if known.sum() < 3:
        return None
    times, values = rep.times_s[known], progress[known]
    if back:
        times, values = times[::-1], values[::-1]
    crossed = _crossings(times, values, 0.1, 0.9)
    if crossed is None:
        half = _crossings(times, values, 0.25, 0.75)
        if half is None:
            return None
        grow = (half[1] - half[0]) * (STRETCH - 1) / 2
        crossed = half[0] - grow, half[1] + grow
    return (crossed[1], crossed[0]) if back else crossed


def _crossings(times: F64, values: F64, low: float, high: float) -> tuple[float, float] | None:
    """Times of the last value under ``low`` before the first over ``high`` after it."""
    below, above = np.flatnonzero(values <= low), np.flatnonzero(values >= high)
    if not len(below) or not len(above) or above[-1] < below[0]:
        return None
    first_high = above[above > below[0]][0]
    last_low = below[below < first_high][-1]
    return _cross(times, values, last_low, low), _cross(times, values, first_high - 1, high)


def _cross(times: F64, values: F64, index: int, level: float) -> float:
    """Time at which the values pass a level between ``index`` and the next."""
    after = min(index + 1, len(values) - 1)
    rise = values[after] - values[index]
    share = 0.0 if abs(rise) < 1e-9 else float(np.clip((level - values[index]) / rise, 0.0, 1.0))
    return float(times[index] + share * (times[after] - times[index]))


def _travel_reading(rep: Rep, back: bool) -> Readings:
    crossed = travel(rep, back)
    return {} if crossed is None else {"both": Reading(crossed[1] - crossed[0], sum(crossed) / 2)}


@measure("lifting_travel_s")
def lifting_travel(rep: Rep) -> Readings:
    """Time from 10 % to 90 % of the range while the weight goes up."""
    return _travel_reading(rep, rep.movement.lowering_first)


@measure("lowering_travel_s")
def lowering_travel(rep: Rep) -> Readings:
    """Time from 90 % to 10 % of the range while the weight comes down."""
    return _travel_reading(rep, not rep.movement.lowering_first)


@measure("lowering_pace_s")
def lowering_pace(rep: Rep) -> Readings:
    """Time from 90 % to 10 % of the range while the weight comes down, less where that is quicker than the lifting."""
    up, down = travel(rep, rep.movement.lowering_first), travel(rep, not rep.movement.lowering_first)
    if down is None:
        return {}
    took = down[1] - down[0]
    # A weight that comes down in much less time than it went up has been let go, even if it took a while.
    share = 1.0 if up is None else float(np.clip(took / max(0.8 * (up[1] - up[0]), 1e-3), LET_GO, 1.0))
    return {"both": Reading(took * share, sum(down) / 2)}


@measure("lowering_share_ratio")
def lowering_share(rep: Rep) -> Readings:
    """Time of lowering over time of lifting (each from 10 % to 90 % of the range)."""
    up, down = travel(rep, rep.movement.lowering_first), travel(rep, not rep.movement.lowering_first)
    if up is None or down is None:
        return {}
    return {"both": Reading((down[1] - down[0]) / max(up[1] - up[0], 1e-3), sum(down) / 2)}


def _phase(rep: Rep, name: str) -> Readings:
    bounds = rep.body.bounds
    if rep.phases is not None:
        value = float(getattr(rep.phases, name))
    else:
        out, back = max(0.0, bounds.turn_s - bounds.onset_s), max(0.0, bounds.offset_s - bounds.turn_s)
        lifting, lowering = (back, out) if rep.movement.lowering_first else (out, back)
        value = {"concentric_s": lifting, "eccentric_s": lowering}.get(name, 0.0)
    return {"both": Reading(value, bounds.turn_s)}


@measure("concentric_s")
def concentric(rep: Rep) -> Readings:
    """Duration of the phase in which the weight goes up, as segmented."""
    return _phase(rep, "concentric_s")


@measure("hold_s")
def hold(rep: Rep) -> Readings:
    """Pause at the turn, as segmented."""
    return _phase(rep, "hold_s")


@measure("eccentric_s")
def eccentric(rep: Rep) -> Readings:
    """Duration of the phase in which the weight comes down, as segmented."""
    return _phase(rep, "eccentric_s")


@measure("rest_s")
def rest(rep: Rep) -> Readings:
    """Pause at rest before the repetition, as segmented."""
    return _phase(rep, "rest_s")


@measure("duration_s")
def duration(rep: Rep) -> Readings:
    """From onset to offset."""
    return {"both": Reading(rep.body.bounds.duration_s, rep.turn_s)}


def _speed(rep: Rep) -> F64:
    """(T,) speed of the load point in the picture, torso lengths per second; the faster of the two sides counts."""
    best = np.full(len(rep.times_s), np.nan)
    for side in rep.active or SIDES:
        place = rep.body.joint(f"{side}_{rep.movement.load_point}")
        velocity = np.gradient(place, rep.body.step_s, axis=0)
        speed = np.linalg.norm(velocity, axis=-1) / rep.body.torso_px
        best = np.fmax(best, speed)
    return best


@measure("concentric_peak_velocity_norm")
def peak_velocity(rep: Rep) -> Readings:
    """Peak speed of the weight while it goes up, torso lengths per second."""
    return rep.single(rep.extreme(_speed(rep), rep.lifting, 95))


@measure("concentric_mean_velocity_norm")
def mean_velocity(rep: Rep) -> Readings:
    """Mean speed of the weight over the middle of its way up, torso lengths per second."""
    crossed = travel(rep, rep.movement.lowering_first)
    if crossed is None:
        return {}
    speed = _speed(rep)[rep.body.mask(*crossed)]
    finite = speed[np.isfinite(speed)]
    return {"both": Reading(float(finite.mean()), sum(crossed) / 2)} if len(finite) else {}


@measure("sides_offset_s")
def sides_offset(rep: Rep) -> Readings:
    """By how much one side is behind the other: the shift at which their curves agree best."""
    if len(rep.active) < 2:
        return {}
    left, right = (_unit(rep, rep.primary(s)) for s in SIDES)
    if left is None or right is None:
        return {}
    step = rep.body.step_s
    most = int(min(0.8, 0.4 * rep.body.bounds.duration_s) / step)
    shifts = np.arange(-most, most + 1)
    costs = [_cost(left, right, int(k)) for k in shifts]
    best = int(np.argmin(costs))
    return {"both": Reading(float(abs(shifts[best]) * step), rep.turn_s)}


def _unit(rep: Rep, curve: F64) -> F64 | None:
    whole = rep.body.mask(rep.body.bounds.onset_s - 0.2, rep.body.bounds.offset_s + 0.2)
    inside = curve[whole]
    low, high = percentile(inside, 4), percentile(inside, 96)
    if low is None or high is None or high - low < 1e-6 or np.isfinite(inside).mean() < 0.8:
        return None
    return (inside - low) / (high - low)


def _cost(left: F64, right: F64, shift: int) -> float:
    size = len(left) - abs(shift)
    a, b = (left[shift:], right[:size]) if shift >= 0 else (left[:size], right[-shift:])
    gap = a - b
    known = np.isfinite(gap)
    return float(gap[known] @ gap[known]) / max(int(np.count_nonzero(known)), 1)


@measure("stalls_ratio")
def stalls(rep: Rep) -> Readings:
    """Share of the speed that is missing where it drops between two faster moments, mean of both ways (0: one pull)."""
    calm = smooth(rep.progress, max(0.022 * rep.body.bounds.duration_s, 0.05) / rep.body.step_s)
    speed = np.gradient(calm, rep.body.step_s)
    missing: list[float] = []
    worst = (0.0, rep.turn_s)
    for back in (False, True):
        crossed = travel(rep, back)
        if crossed is None:
            return {}
        edge = 0.15 * (crossed[1] - crossed[0])
        inside = rep.body.mask(crossed[0] - edge, crossed[1] + edge) & (rep.way_back if back else rep.way_out)
        values = np.maximum((-speed if back else speed)[inside], 0.0)
        if len(values) < 5 or not np.isfinite(values).all():
            return {}
        gap = np.minimum(np.maximum.accumulate(values), np.maximum.accumulate(values[::-1])[::-1]) - values
        missing.append(float(gap.sum() / max(float((values + gap).sum()), 1e-9)))
        worst = max(worst, (float(gap.max()), float(rep.times_s[inside][int(gap.argmax())])))
    return {"both": Reading(sum(missing) / 2, worst[1])}


@measure("bounce_ratio")
def bounce(rep: Rep) -> Readings:
    """Largest spring of the weight near the far end, back and out again, share of its way."""
    times, height = rep.load
    known = np.isfinite(height)
    half = min(0.3 * rep.body.bounds.duration_s, BOUNCE_S)
    near = known & (np.abs(times - rep.turn_s) <= half)
    if near.sum() < 5:
        return {}
    calm = median_filter(height[near], size=3, mode="nearest")
    start = height[known & (np.abs(times - rep.body.bounds.onset_s) <= 0.2)]
    if not len(start):
        return {}
    way = float(np.median(calm) - np.median(start))
    out = calm * np.sign(way)
    reach = abs(float(np.percentile(out, 90)) - float(np.median(start)) * np.sign(way))
    if reach < 0.02:
        return {}
    before = np.maximum.accumulate(out)
    after = np.maximum.accumulate(out[::-1])[::-1]
    dips = (np.minimum(before, after) - out) / reach
    worst = int(np.argmax(dips))
    return {"both": Reading(float(dips[worst]), float(times[near][worst]))}
