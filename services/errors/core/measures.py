"""All measures of one repetition, by name; a measure is absent where the view or hidden joints forbid it."""

from collections.abc import Iterable
from dataclasses import replace

from services.common.types import Phases, PoseWindow
from services.errors.core import arms, legs, tempo, trunk
from services.errors.core.body import SIDES, Bounds, prepare
from services.errors.core.curves import BOTH, Movement, Readings, Rep
from services.errors.core.registry import REGISTRY, Measure
from services.errors.core.view import estimate_view, near_side

__all__ = ["GENERAL", "REGISTRY", "Measure", "flatten", "look_at", "measure_all"]
_FILLED_BY = (arms, legs, tempo, trunk)  # importing them fills the table

GENERAL = (
    "concentric_s", "hold_s", "eccentric_s", "rest_s", "lifting_travel_s", "lowering_travel_s",
    "concentric_peak_velocity_norm", "concentric_mean_velocity_norm", "range_asymmetry_ratio", "sides_offset_s",
    "stalls_ratio", "sway_norm", "torso_swing_deg",
)  # fmt: skip
"""Noted for every repetition, whatever the exercise."""


def look_at(window: PoseWindow, bounds: Bounds, movement: Movement, phases: Phases | None = None) -> Rep:
    """Clean a repetition's window and see from where it is looked at."""
    body = prepare(window, bounds)
    view = estimate_view(body)
    return Rep(replace(body, near=near_side(view)), view, movement, phases)


def measure_all(rep: Rep, names: Iterable[str]) -> dict[str, Readings]:
    """name → side → reading for the named measures (each once, in order)."""
    return {name: REGISTRY[name].read(rep) for name in dict.fromkeys(names)}


def flatten(readings: dict[str, Readings]) -> dict[str, float | None]:
    """As a report shows them: ``elbow_min_left_deg`` for measures per side, else the plain name; None: not seen."""
    out: dict[str, float | None] = {}
    for name, sides in readings.items():
        if not sides or BOTH in sides:
            out[name] = round(sides[BOTH].value, 4) if sides else None
            continue
        stem, unit = name.rsplit("_", 1)
        for side in SIDES:
            out[f"{stem}_{side}_{unit}"] = round(sides[side].value, 4) if side in sides else None
    return out
