"""Curves over one repetition that the measures are read from: joint angles of the body, not of the picture, as far
as the view gives them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import INDEX
from services.common.types import Phases
from services.errors.core.body import F64, SIDES, Body, percentile, smooth
from services.errors.core.view import View

PLANE_MIN: Final = 0.5
"""A plane of the body of which the picture shows less than this share (30°) is not measured in."""
GAIN_MAX: Final = 1.7
FAR_GAIN: Final = 1.8
ACTIVE_MIN: Final = 0.3
"""A side that moves less than this share of the other's range takes no part (alternating arms): a hanging arm whose
angle comes from its length reads up to a quarter of the raised one's range."""

WORKING_MIN_DEG: Final = 15.0
ALONE_MIN_DEG: Final = 40.0
"""An arm that is the only one seen works where it moves that much; a supporting one gives way by half of it."""
END_ON: Final = 0.5
"""A segment seen shorter than this share of its length points at the camera, within 30°."""

BOTH: Final = "both"


@dataclass(frozen=True, slots=True)
class Movement:
    """What a repetition of an exercise is, for measuring.

    ``primary_angle``: elbow | arm | arm_level | knee | hip | lean | shoulder_height.
    ``plane``: sagittal | frontal | any, in which the limbs move.
    ``load_point``: joint whose speed is the weight's. ``lowering_first``: the way out is the eccentric one.
    ``legs``: the legs do the work (both sides count as active); ``one_side``: one arm works, the other one supports;
    ``both_sides``: never done with one arm at a time.
    ``turn_high``: the primary angle is largest at the turn.
    """

    primary_angle: str
    plane: str = "any"
    load_point: str = "wrist"
    lowering_first: bool = False
    legs: bool = False
    one_side: bool = False
    both_sides: bool = False
    turn_high: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured value. ``at_s`` the moment of its worst frame; ``gain`` how much the view magnifies noise."""

    value: float
    at_s: float
    gain: float = 1.0


Readings = dict[str, Reading]
"""side (left, right, both) → reading; a side that cannot be seen is absent."""


def angle_deg(a: F64, b: F64) -> F64:
    """Angle between vectors (..., 2), 0..180°."""
    cross = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return np.degrees(np.abs(np.arctan2(cross, (a * b).sum(axis=-1))))


def _arc(cosine: F64) -> F64:
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


@dataclass(eq=False)
class Rep:
    """One repetition ready to be measured. All curves are (T,) over ``body.times_s``, NaN where hidden."""

    body: Body
    view: View
    movement: Movement
    phases: Phases | None = None
    _curves: dict[tuple[str, str], F64] = field(default_factory=dict)

    @property
    def times_s(self) -> F64:
        return self.body.times_s

    @property
    def sagittal_gain(self) -> float | None:
        """How much picture widths must grow to be forward distances; None where the view hides the plane."""
        return min(1 / self.view.sagittal, GAIN_MAX) if self.view.sagittal >= PLANE_MIN else None

    @property
    def frontal_gain(self) -> float | None:
        if self.view.frontal < PLANE_MIN:
            return None
        # A build broader or slimmer than the mean reads as a small azimuth: nothing to correct there.
        return min(max(1.0, 0.93 / self.view.frontal), GAIN_MAX)

    @property
    def plane_gain(self) -> float | None:
        if self.movement.plane == "sagittal":
            return self.sagittal_gain
        return self.frontal_gain if self.movement.plane == "frontal" else 1.0

    def _once(self, name: str, side: str, make: Callable[[str], F64]) -> F64:
        """A side's curve, worked out once: many measures read the same ones."""
        if (name, side) not in self._curves:
            self._curves[name, side] = make(side)
        return self._curves[name, side]

    def _flat(self, vector: F64, gain: float) -> F64:
        return vector * (gain, 1.0)

    # -- arms -----------------------------------------------------------------------------------------------------

    def elbow(self, side: str) -> F64:
        """Interior angle of the elbow, 180° straight."""
        return self._once("elbow", side, self._elbow_of)

    def _elbow_of(self, side: str) -> F64:
        up, down = -self.body.segment("upper_arm", side), self.body.segment("forearm", side)
        gain, sideways = self.plane_gain, self.movement.plane == "frontal" and self.view.frontal >= 0.9
        if gain is not None and not sideways:
            return angle_deg(self._flat(up, gain), self._flat(down, gain))
        # Where one of the segments may point at the camera: the product over the true lengths is right as long as the
        # other one does not (the upper arm of a curl hangs, the forearm of a press stands, a raised arm spreads).
        # With both in full view (a straight arm) the picture's own angle is the better.
        lengths = self.body.length_px[f"{side}_upper_arm"] * self.body.length_px[f"{side}_forearm"]
        seen_up, seen_down = np.linalg.norm(up, axis=-1), np.linalg.norm(down, axis=-1)
        flat = np.clip((seen_up * seen_down / lengths - 0.75) / 0.2, 0.0, 1.0)
        angle = flat * angle_deg(up, down) + (1 - flat) * _arc((up * down).sum(axis=-1) / lengths)
        # With neither in view the product says 90°, whatever is so.
        end_on = (seen_up < END_ON * self.body.length_px[f"{side}_upper_arm"]) & (
            seen_down < END_ON * self.body.length_px[f"{side}_forearm"]
        )
        return np.where(end_on, np.nan, angle)

    def arm(self, side: str) -> F64:
        """Angle of the upper arm from hanging along the torso: 0° beside it, 90° at shoulder height, 180° overhead."""
        return self._once("arm", side, self._arm_of)

    def _arm_of(self, side: str) -> F64:
        upper = self.body.segment("upper_arm", side)
        gain = self.plane_gain
        if gain is not None and gain <= 1.3:
            return angle_deg(self._flat(upper, gain), self._flat(-self.body.torso(), gain))
        # Heights are true in every view.
        return _arc(-upper[:, 1] / self.body.length_px[f"{side}_upper_arm"])

    def arm_level(self, side: str) -> F64:
        """Rise of the upper arm over the level, -90..90°, by its height: true in every view."""
        rise = self.body.segment("upper_arm", side)[:, 1] / self.body.length_px[f"{side}_upper_arm"]
        return np.degrees(np.arcsin(np.clip(rise, -1, 1)))

    def wrist_drop(self, side: str) -> F64:
        """Angle of the forearm from the vertical in the picture, 0° upright."""
        forearm = self.body.segment("forearm", side)
        return np.degrees(np.arctan2(np.abs(forearm[:, 0]), forearm[:, 1]))

    # -- legs -----------------------------------------------------------------------------------------------------

    def knee(self, side: str) -> F64:
        """Interior angle of the knee, 180° straight."""
        return self._once("knee", side, self._knee_of)

    def _knee_of(self, side: str) -> F64:
        up, down = -self.body.segment("thigh", side), self.body.segment("shank", side)
        gain = self.sagittal_gain
        if gain is not None:
            return angle_deg(self._flat(up, gain), self._flat(down, gain))
        # From the front both hip and ankle lie behind the knee: what the segments lack in length is depth.
        long_up, long_down = self.body.length_px[f"{side}_thigh"], self.body.length_px[f"{side}_shank"]
        deep = self._depth(up, long_up) * self._depth(down, long_down)
        return _arc(((up * down).sum(axis=-1) + deep) / (long_up * long_down))

    @staticmethod
    def _depth(vector: F64, length: float) -> F64:
        return np.sqrt(np.maximum(length**2 - (vector**2).sum(axis=-1), 0.0))

    def thigh(self, side: str) -> F64:
        """Angle of the thigh from the vertical by the height it spans, 0° standing, 90° level. True in every view."""
        return self._once("thigh", side, self._thigh_of)

    def _thigh_of(self, side: str) -> F64:
        spanned = -self.body.segment("thigh", side)[:, 1]
        return _arc(spanned / self.body.length_px[f"{side}_thigh"])

    # -- trunk ----------------------------------------------------------------------------------------------------

    @cached_property
    def lean(self) -> F64:
        """Lean of the torso from the vertical, ° (forward positive where the facing is known)."""
        torso, gain = self.body.torso(), self.sagittal_gain
        if gain is not None:
            return np.degrees(np.arctan2(torso[:, 0] * gain * (self.view.facing or 1), torso[:, 1]))
        return _arc(torso[:, 1] / self.body.torso_px)

    @cached_property
    def tilt(self) -> F64:
        """Sideways lean of the torso in the picture, ° (right of the picture positive)."""
        torso = self.body.torso()
        return np.degrees(np.arctan2(torso[:, 0], torso[:, 1]))

    def shoulder_height(self, side: str) -> F64:
        """Height of the shoulder over the hips, torso lengths."""
        return (self.body.joint(f"{side}_shoulder") - self.body.joint("hips"))[:, 1] / self.body.torso_px

    def hip(self, side: str) -> F64:
        """Interior angle between torso and thigh, 180° upright."""
        torso, thigh, gain = self.body.torso(), self.body.segment("thigh", side), self.sagittal_gain
        if gain is not None:
            return angle_deg(self._flat(torso, gain), self._flat(thigh, gain))
        return 180.0 - self.lean - self.thigh(side)

    # -- the repetition's own course --------------------------------------------------------------------------------

    def primary(self, side: str) -> F64:
        return self._once("primary", side, self._primary_of)

    def _primary_of(self, side: str) -> F64:
        curve: dict[str, Callable[[str], F64]] = {
            "elbow": self.elbow,
            "arm": self.arm,
            "arm_level": self.arm_level,
            "knee": self.knee,
            "hip": self.hip,
            "lean": lambda _: self.lean,
            "shoulder_height": self.shoulder_height,
        }
        return curve[self.movement.primary_angle](side)

    @cached_property
    def ranges(self) -> dict[str, float | None]:
        """Range of the primary angle per side (° or torso lengths), robust to single frames."""
        whole = self.body.whole
        out: dict[str, float | None] = {}
        for side in SIDES:
            curve = self.primary(side)[whole]
            low, high = percentile(curve, 3), percentile(curve, 97)
            enough = np.isfinite(curve).mean() >= 0.6
            out[side] = high - low if enough and low is not None and high is not None else None
        return out

    @cached_property
    def active(self) -> tuple[str, ...]:
        """Sides that take part: both, or the one arm that moves. Where the movement itself is hidden, both may."""
        seen = {s: r for s, r in self.ranges.items() if r is not None}
        if self.movement.one_side and seen:
            # The arm that supports does not move; where it is the only one seen, nothing is known of the other.
            best = max(seen, key=lambda s: seen[s])
            return (best,) if seen[best] >= (ALONE_MIN_DEG if len(seen) < 2 else WORKING_MIN_DEG) else ()
        if self.movement.legs or self.movement.both_sides or len(seen) < 2:
            still = not self.movement.legs and self.movement.primary_angle in ("elbow", "arm")
            if still and len(seen) == 1 and max(seen.values()) < WORKING_MIN_DEG:
                return ()  # the only arm seen does nothing: the hidden one works
            return tuple(seen) or SIDES
        most = max(seen.values())
        return tuple(s for s in SIDES if seen[s] >= ACTIVE_MIN * most)

    @cached_property
    def vague(self) -> bool:
        """Whether too little of the movement shows to tell its course: elbows seen along their plane that hardly
        seem to bend."""
        known = [r for s in self.active if (r := self.ranges[s]) is not None]
        along = self.movement.primary_angle == "elbow" and self.plane_gain is None
        return along and bool(known) and max(known) < ALONE_MIN_DEG

    @cached_property
    def progress(self) -> F64:
        """0 at rest, 1 at the turn: the mean of the active sides' primary angles, scaled robustly; for legs the height
        of the weight over the feet, which every view shows."""
        if self.movement.legs:
            height = (self.body.joint(f"{self.movement.load_point}s") - self.body.joint("ankles"))[:, 1]
            scaled = self._unit(height)
            if np.isfinite(scaled).any():
                return 1.0 - scaled
        if not self.active:
            return np.full(len(self.times_s), np.nan)
        scaled = self._unit(np.mean([self.primary(s) for s in self.active], axis=0))
        return scaled if self.movement.turn_high else 1.0 - scaled

    def _unit(self, curve: F64) -> F64:
        """A curve scaled to 0..1 over the repetition; NaN where too little of it is seen."""
        inside = curve[self.body.whole]
        low, high = percentile(inside, 4), percentile(inside, 96)
        if low is None or high is None or high - low < 1e-6 or np.isfinite(inside).mean() < 0.5:
            return np.full(len(self.times_s), np.nan)
        return (curve - low) / (high - low)

    @cached_property
    def turn_s(self) -> float:
        """The segmenter's turn, moved to the nearest extreme of the primary angle (at most a quarter away)."""
        bounds = self.body.bounds
        near = self.body.mask(
            max(bounds.onset_s, bounds.turn_s - 0.25 * bounds.duration_s),
            min(bounds.offset_s, bounds.turn_s + 0.25 * bounds.duration_s),
        )
        steady = smooth(self.progress, 2.0)
        values = np.where(near, steady, np.nan)
        if not np.isfinite(values).any():
            return bounds.turn_s
        at_top = np.flatnonzero(values >= np.nanmax(values) - 0.02)
        return float(self.times_s[at_top[np.argmin(np.abs(self.times_s[at_top] - bounds.turn_s))]])

    @cached_property
    def load(self) -> tuple[F64, F64]:
        """Times (N,) and height (N,) of the load over the hips in the frames as they came, torso lengths: springs of a
        tenth of a second are in it, and all jitter. The mean of the sides that take part; NaN where hidden."""
        assert self.body.source is not None
        times, places = self.body.source
        sides = (self.body.near,) if self.body.near in self.active else self.active or SIDES
        height = np.mean([places[:, INDEX[f"{s}_{self.movement.load_point}"], 1] for s in sides], axis=0)
        hips = self.level(self.body.joint("hips")[:, 1], self.body.whole)
        return times, (height - (0.0 if hips is None else hips)) / self.body.torso_px

    @cached_property
    def start(self) -> NDArray[np.bool_]:
        """(T,) grid times at rest before the movement."""
        b = self.body.bounds
        return self.body.mask(b.onset_s - 0.25, b.onset_s + min(0.12, 0.06 * b.duration_s))

    @cached_property
    def top(self) -> NDArray[np.bool_]:
        """(T,) grid times about the turn."""
        half = 0.12 * self.body.bounds.duration_s
        return self.body.mask(self.turn_s - half, self.turn_s + half)

    @cached_property
    def rests(self) -> NDArray[np.bool_]:
        """(T,) grid times at both ends of the repetition."""
        b = self.body.bounds
        tail = 0.1 * b.duration_s
        return self.body.mask(b.onset_s - 0.25, b.onset_s + tail) | self.body.mask(b.offset_s - tail, b.offset_s + 0.25)

    @cached_property
    def way_out(self) -> NDArray[np.bool_]:
        return self.body.mask(self.body.bounds.onset_s, self.turn_s)

    @cached_property
    def way_back(self) -> NDArray[np.bool_]:
        return self.body.mask(self.turn_s, self.body.bounds.offset_s)

    @property
    def lifting(self) -> NDArray[np.bool_]:
        return self.way_back if self.movement.lowering_first else self.way_out

    # -- reading a curve ------------------------------------------------------------------------------------------

    def extreme(self, curve: F64, where: NDArray[np.bool_], q: float, gain: float = 1.0) -> Reading | None:
        """The q-th percentile of a curve over some of the grid times and the moment nearest to it."""
        known = where & np.isfinite(curve)
        inside = curve[known]
        if not len(inside) or 2 * len(inside) < np.count_nonzero(where):
            return None
        value = percentile(inside, q)
        if value is None:
            return None
        edge = inside.max() if q > 50 else inside.min() if q < 50 else value
        at = int(np.abs(inside - edge).argmin())
        return Reading(value, float(self.times_s[known][at]), gain)

    def level(self, curve: F64, where: NDArray[np.bool_]) -> float | None:
        """Median of a curve over some of the grid times."""
        return percentile(curve[where], 50)

    def per_side(self, read: Callable[[str], Reading | None], sides: tuple[str, ...] | None = None) -> Readings:
        """Read each side (those that take part). In a side view the network guesses much of the far side: it counts
        only where the near one has nothing to say, and as less sure."""
        out: Readings = {}
        for side in self.active if sides is None else sides:
            reading = read(side)
            if reading is not None:
                far = self.body.near is not None and side != self.body.near
                out[side] = replace(reading, gain=FAR_GAIN * reading.gain) if far else reading
        near = self.body.near
        return {near: out[near]} if near is not None and near in out else out

    def single(self, reading: Reading | None) -> Readings:
        return {} if reading is None else {BOTH: reading}
