"""What the learned part sees of one repetition: every measure, the body's course from rest to turn and back, the view.

The course is taken in the repetition's own time (``PHASES`` points from onset over turn to offset), in torso lengths
from where the hips are at the start, as seen by one who faces the picture's right (where the facing is known). A number
that cannot be seen is NaN.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import JOINTS, MIRROR
from services.errors.core.body import F64, SIDES
from services.errors.core.curves import Readings, Rep
from services.errors.core.registry import SET_MEASURES
from services.errors.core.view import ViewKind

MEASURES: Final = (
    "arm_flare_deg", "arm_level_deg", "arm_top_deg", "arm_top_difference_deg", "back_shortening_ratio", "bounce_ratio",
    "duration_s", "elbow_behind_norm", "elbow_change_deg", "elbow_forward_norm", "elbow_max_deg", "elbow_min_deg",
    "elbow_out_norm", "elbow_turn_deg", "forearm_over_arm_deg", "forearm_tilt_deg", "hand_from_leg_norm",
    "head_drop_deg", "head_forward_norm", "hip_drop_norm", "hip_shift_norm", "knee_flexion_deg", "knee_gap_ratio",
    "knee_min_deg", "knee_past_ankle_norm", "knee_valgus_norm", "lean_back_deg", "lean_back_upright_deg",
    "lean_over_shank_deg", "lifting_travel_s", "lowering_pace_s", "lowering_share_ratio", "lowering_travel_s",
    "range_asymmetry_ratio", "shoulder_rise_norm", "shoulder_roll_norm", "shoulder_twist_norm", "sides_offset_s",
    "stalls_ratio", "step_length_norm", "sway_norm", "thigh_depth_deg", "tilt_swing_deg", "torso_lean_deg",
    "torso_lean_max_deg", "torso_rise_deg", "torso_swing_deg", "upper_arm_swing_deg", "wrist_height_difference_norm",
    "wrist_path_tilt_deg", *SET_MEASURES,
)  # fmt: skip
"""The measures that the learned part reads; those of the set are absent for its first repetitions."""

_WAY: Final = 6
PHASES: Final = 2 * _WAY + 1
_BODY: Final = tuple(i for i, name in enumerate(JOINTS) if name == "nose" or name.split("_")[-1] not in ("nose", "eye"))
_ANGLES: Final = ("elbow", "arm", "knee", "thigh")
_NEAR_TURN_S: Final = np.arange(-0.6, 0.601, 0.08)
_LOAD_S: Final = np.arange(-0.6, 0.601, 0.05)
_PROGRESS: Final = 25
_VIEWS: Final = tuple(ViewKind)


def _names() -> tuple[str, ...]:
    names = [f"{m}.{which}" for m in MEASURES for which in ("high", "low")]
    names += [f"{JOINTS[j]}.{axis}.{k}" for j in _BODY for axis in "xy" for k in range(PHASES)]
    names += [f"{side}_{angle}.{k}" for angle in _ANGLES for side in SIDES for k in range(PHASES)]
    names += [f"{curve}.{k}" for curve in ("lean", "tilt") for k in range(PHASES)]
    names += [f"progress.{k}" for k in range(_PROGRESS)]
    names += [f"progress_at_turn.{k}" for k in range(len(_NEAR_TURN_S))]
    names += [f"load.{k}" for k in range(len(_LOAD_S))]
    names += [f"seen.{JOINTS[j]}" for j in _BODY]
    names += [f"view.{kind.value}" for kind in _VIEWS] + ["view.sagittal", "view.frontal", "view.confidence", "facing"]
    names += ["out_log_s", "back_log_s", *(f"length.{s}" for s in ("upper_arm", "forearm", "thigh", "shank"))]
    return tuple(names)


NAMES: Final = _names()
F: Final = len(NAMES)


def _mirror() -> tuple[NDArray[np.int64], F64]:
    """Where each number of the mirrored repetition comes from, and with which sign."""
    at = {name: i for i, name in enumerate(NAMES)}
    order, sign = np.arange(F), np.ones(F)
    twin = {JOINTS[i]: JOINTS[MIRROR[i]] for i in range(len(JOINTS))}
    for name, i in at.items():
        head, _, rest = name.partition(".")
        if head in twin:
            order[i] = at[f"{twin[head]}.{rest}"]
            sign[i] = -1.0 if rest.startswith("x") else 1.0
        elif head == "seen":
            order[i] = at[f"seen.{twin[rest]}"]
        elif head.split("_")[0] in SIDES:
            other = "right" if head.startswith("left") else "left"
            order[i] = at[f"{other}_{head.split('_', 1)[1]}.{rest}"]
        elif head == "tilt":
            sign[i] = -1.0
    return order, sign


MIRROR_ORDER, MIRROR_SIGN = _mirror()


def mirrored(features: F64) -> F64:
    """(..., F) what the same repetition gives in a mirror, but for its facing."""
    return np.asarray(features[..., MIRROR_ORDER] * MIRROR_SIGN, dtype=np.float64)


def _sampled(times_s: F64, curves: F64, at: F64) -> F64:
    """Curves (T, C) at times (P,) → (P, C); a curve of which less than half is seen is NaN throughout."""
    out = np.full((len(at), curves.shape[1]), np.nan)
    known = np.isfinite(curves)
    whole: NDArray[np.bool_] = np.logical_and.reduce(known, axis=0)
    for c in np.flatnonzero(known.mean(axis=0) >= 0.5):
        seen = slice(None) if whole[c] else known[:, c]
        out[:, c] = np.interp(at, times_s[seen], curves[seen, c])
    return out


def _course(rep: Rep) -> list[F64]:
    bounds = rep.body.bounds
    onset, offset = bounds.onset_s, bounds.offset_s
    turn = min(max(rep.turn_s, onset + 1e-3), offset - 1e-3) if offset - onset > 2e-3 else (onset + offset) / 2
    share = np.arange(_WAY) / _WAY
    at = np.concatenate([onset + share * (turn - onset), turn + share * (offset - turn), [offset]])
    inside = rep.body.mask(onset - 0.3, offset + 0.3)
    times, places = rep.times_s[inside], rep.body.xy[inside]
    hips = rep.body.joint("hips")
    base = np.array([rep.level(hips[:, axis], rep.start) or np.nan for axis in (0, 1)])
    if not np.isfinite(base).all():
        base = np.nanmedian(places, axis=(0, 1)) if np.isfinite(places).any() else np.zeros(2)
    places = (places[:, list(_BODY)] - base) / rep.body.torso_px
    if rep.view.facing < 0:
        order = [_BODY.index(int(MIRROR[j])) for j in _BODY]
        places = places[:, order] * (-1.0, 1.0)
    xy = _sampled(times, places.reshape(len(times), -1), at)
    sides = SIDES[::-1] if rep.view.facing < 0 else SIDES
    angles = np.stack([getattr(rep, angle)(side)[inside] for angle in _ANGLES for side in sides], axis=1)
    trunk = np.stack([rep.lean[inside], rep.tilt[inside] * (rep.view.facing or 1)], axis=1)
    even = np.linspace(onset, offset, _PROGRESS)
    progress = rep.progress[inside][:, None]
    return [
        xy.T.ravel(), _sampled(times, angles, at).T.ravel(), _sampled(times, trunk, at).T.ravel(),
        _sampled(times, progress, even).ravel(), _sampled(times, progress, turn + _NEAR_TURN_S).ravel(),
    ]  # fmt: skip


def _load(rep: Rep) -> F64:
    """Height of the load about the turn, frame by frame, against its mean there."""
    times, height = rep.load
    near = np.abs(times - rep.turn_s) <= 0.8
    if near.sum() < 3:
        return np.full(len(_LOAD_S), np.nan)
    curve = _sampled(times[near], height[near][:, None], rep.turn_s + _LOAD_S).ravel()
    return curve - float(curve.mean())


def extract(rep: Rep, readings: Mapping[str, Readings]) -> F64:
    """(F,) numbers of one repetition in the order of ``NAMES``; NaN where not seen.

    Args:
        readings: of ``MEASURES`` (others are not looked at).
    """
    values = [[r.value for r in readings.get(name, {}).values()] for name in MEASURES]
    measures = [(max(v), min(v)) if v else (np.nan, np.nan) for v in values]
    view, body = rep.view, rep.body
    joints = [MIRROR[j] for j in _BODY] if view.facing < 0 else list(_BODY)
    out = max(rep.turn_s - body.bounds.onset_s, 0.05)
    back = max(body.bounds.offset_s - rep.turn_s, 0.05)
    lengths = [
        max(body.length_px[f"{s}_{name}"] for s in SIDES) / body.torso_px
        for name in ("upper_arm", "forearm", "thigh", "shank")
    ]
    about = [*(float(view.kind == kind) for kind in _VIEWS), view.sagittal, view.frontal, view.confidence]
    parts = [np.array(measures).ravel(), *_course(rep), _load(rep), body.seen[joints]]
    parts += [np.array([*about, float(view.facing != 0), np.log(out), np.log(back), *lengths])]
    return np.concatenate(parts).astype(np.float64)


INDEX_OF: Final = {name: i for i, name in enumerate(NAMES)}
