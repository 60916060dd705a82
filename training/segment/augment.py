"""Motions and views beyond the simulator's exercises, so that the network learns what a repetition is in general.

Random oscillations between random postures (repetitions of no known exercise), and restlessness: moves that go
somewhere and stay, holds with slow shifts, small gestures. A view with harsh pose-estimator errors: limbs that jump
between two places, hidden limbs that drift, crops of the body.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import INDEX, MIRROR, K
from services.common.types import Phase
from training.simulator.body import Body
from training.simulator.channels import C, mirrored, posture
from training.simulator.motion import Motion, TrueRepetition
from training.simulator.trajectory import RepetitionPlan, evaluate

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_POSTURES: Final[tuple[dict[str, float], ...]] = (
    {},
    {},
    {"foot_x": 0.2, "foot_yaw": 14.0},
    {"thigh": 50.0, "shin": 15.0, "pitch": 25.0},
    {"thigh": 27.0, "shin": 8.0, "pitch": 55.0, "arm_follow": 0.0},
    {"root_free": 1.0, "root_h": 0.5, "foot_z": 0.42, "pitch": -3.0, "arm_follow": 1.0},
    {"root_free": 1.0, "root_h": 0.53, "foot_z": 0.38, "pitch": -88.0, "head_follow": 1.0, "arm_follow": 1.0},
    {"root_free": 1.0, "root_h": 0.25, "foot_z": 0.6, "pitch": -80.0, "head_follow": 1.0, "arm_follow": 1.0},
    {"root_free": 1.0, "root_h": 0.45, "foot_z": -0.75, "pitch": 78.0, "head_follow": 1.0, "arm_follow": 1.0},
)
_MOVES: Final[tuple[dict[str, tuple[float, float]], ...]] = (
    {"elbow": (-100, 130)},
    {"elev": (-80, 150), "plane": (-60, 60)},
    {"elev": (-60, 120), "elbow": (-90, 100), "plane": (-50, 50), "rot": (-60, 60)},
    {"thigh": (-20, 80), "shin": (-5, 30), "pitch": (-10, 40)},
    {"pitch": (-25, 80), "thigh": (-5, 30)},
    {"thigh": (10, 75), "shin": (5, 28), "pitch": (0, 30), "elev": (-30, 120), "elbow": (-60, 90)},
    {"clav_up": (8, 22)},
    {"foot_x": (0.1, 0.4), "elev": (30, 150)},
    {"pitch": (30, 85)},
    {"root_h": (0.1, 0.5), "elbow": (-80, 100)},
    {"twist": (-40, 40), "side": (-20, 20), "elev": (-30, 60)},
    {"hip_flex": (20, 90), "knee": (-30, 80)},
)
_LIMITS: Final = {"elbow": (4.0, 148.0), "elev": (0.0, 175.0), "plane": (-85.0, 110.0), "thigh": (0.0, 105.0)}


def _base(rng: np.random.Generator) -> dict[str, float]:
    pose = dict(_POSTURES[int(rng.integers(len(_POSTURES)))])
    if rng.random() < 0.6:
        pose |= {"elev": float(rng.uniform(0, 160)), "plane": float(rng.uniform(-60, 90))}
        pose |= {"elbow": float(rng.uniform(5, 140)), "rot": float(rng.uniform(-80, 80))}
    return pose


def _moved(pose: dict[str, float], rng: np.random.Generator, least: float) -> dict[str, float]:
    """Another posture, by one of the moves, at a share of its range between ``least`` and 1."""
    move = _MOVES[int(rng.integers(len(_MOVES)))]
    share, out = float(rng.uniform(least, 1.0)), dict(pose)
    for name, (low, high) in move.items():
        at = out.get(name, {"elev": 8.0, "elbow": 12.0, "plane": 15.0}.get(name, 0.0))
        step = low if rng.random() < 0.35 and low < 0 else high
        value = at + share * step * float(rng.uniform(0.6, 1.0))
        limits = _LIMITS.get(name, (-1e3, 1e3))
        out[name] = float(np.clip(value, *limits))
    return out


def moved_posture(rng: np.random.Generator) -> dict[str, float]:
    """A posture of someone who stands at ease and does something else."""
    stoop = {"pitch": 60.0, "thigh": 45.0, "shin": 20.0, "elev": 10.0}
    return stoop if rng.random() < 0.3 else _moved({}, rng, 0.3)


def make_plans(rng: np.random.Generator, seconds: float, side: str = "both") -> list[RepetitionPlan]:
    """Sets of repetitions over ``seconds``: 0.35–10 s each, tempo drifting, touching or with rests."""
    at = float(rng.uniform(0.0, 3.0))
    plans: list[RepetitionPlan] = []
    while at < seconds:
        length = float(np.exp(rng.uniform(np.log(0.4), np.log(8.0))))
        share, drift = float(rng.uniform(0.3, 0.65)), float(rng.normal(0, 0.02))
        touching, gap = rng.random() < 0.4, float(np.exp(rng.uniform(np.log(0.1), np.log(1.5))))
        hold = float(rng.uniform(0, 0.4)) if rng.random() < 0.4 else 0.0
        skew = float(rng.uniform(0.75, 1.35))
        for i in range(int(rng.integers(1, 14))):
            this = length * float(np.exp(drift * i + rng.normal(0, 0.08)))
            turned = this * hold * float(rng.uniform(0.5, 1.5))
            alternate = side if side != "alternate" else ("left", "right")[i % 2]
            partial = rng.random() < 0.03
            plan = RepetitionPlan(
                at, max(0.12, this * share), turned, max(0.12, this * (1 - share)), alternate, skew_out=skew,
                skew_back=1 / skew, high=float(rng.uniform(0.12, 0.35)) if partial else float(rng.uniform(0.88, 1.05)),
                shape=tuple(rng.random(3).tolist()),
                reason="PARTIAL_RANGE" if partial else None,
            )  # fmt: skip
            if plan.end_s > seconds - 0.05:
                return plans or [replace(plan, start_s=0.1, out_s=0.4 * seconds, hold_s=0, back_s=0.4 * seconds)]
            plans.append(plan)
            at = plan.end_s + (0.0 if touching else this * gap * float(rng.uniform(0.5, 1.5)))
        at += float(rng.uniform(2.0, 8.0))
    return plans


def random_oscillation(rng: np.random.Generator, seconds: float, fps: float = 30.0) -> Motion:
    """Repetitions between two random postures: exercise "generic"."""
    side = ("both", "both", "both", "left", "right", "alternate")[int(rng.integers(6))]
    pose = _base(rng)
    far = _moved(pose, rng, 0.35)
    if rng.random() < 0.4:
        far = _moved(far, rng, 0.2)
    times = np.arange(0, seconds, 1 / fps)
    plans = make_plans(rng, seconds, side)
    progress = evaluate(plans, times, "varied")
    low = posture(pose)
    both = posture(far) - low
    high = np.array([p.high for p in plans])[progress.index]
    share = progress.middle * high
    if side == "both":
        channels = low + share[:, None] * both
    else:
        one = {s: posture(far) - low for s in ("left", "right")}
        for s, other in (("left", "r_"), ("right", "l_")):
            for name, i in C.items():
                if name.startswith(other):
                    one[s][i] = 0.0
        which = np.array([p.side for p in plans])[progress.index]
        channels = low + share[:, None] * np.where((which == "left")[:, None], one["left"], one["right"])
    if rng.random() < 0.5:
        channels = mirrored(channels)
    channels = channels + _sway(rng, times, channels.shape[1], float(rng.uniform(0.2, 1.5)))
    joints, grip = Body.sample(rng).joints(channels)
    repetitions = tuple(
        TrueRepetition(float(a), p.turn_s, float(b), "generic", p.side, counted=p.reason is None, reason=p.reason)
        for p, a, b in zip(plans, progress.onset_s, progress.offset_s, strict=True)
    )
    return Motion(fps, joints.astype(np.float32), grip.astype(np.float32), progress.phase, "generic", repetitions)


def restlessness(rng: np.random.Generator, seconds: float, fps: float = 30.0) -> Motion:
    """No repetitions: postures that are taken up and held, gestures, slow shifts."""
    times = np.arange(0, seconds, 1 / fps)
    pose = _base(rng)
    calm = rng.random() < 0.35  # a hold: nothing but small, slow shifts
    keys, at = [(0.0, posture(pose))], 0.0
    while at < seconds:
        at += float(np.exp(rng.uniform(np.log(0.3), np.log(10.0 if calm else 5.0))))
        keys.append((at, keys[-1][1]))
        least, scale = (0.02, 0.12) if calm else (0.05, 1.0)
        step = posture(_moved(pose, rng, least)) - posture(pose)
        if rng.random() < 0.5:
            for i in range(len(step)):
                if rng.random() < 0.3:
                    step[i] = 0.0
        at += float(np.exp(rng.uniform(np.log(0.3), np.log(4.0))))
        base = keys[-1][1] if rng.random() < 0.5 or calm else posture(_base(rng))
        keys.append((at, base + scale * float(rng.uniform(-0.6, 1.0)) * step))
    knots, values = np.array([k[0] for k in keys]), np.stack([k[1] for k in keys])
    i = np.clip(np.searchsorted(knots, times, side="right") - 1, 0, len(knots) - 2)
    tau = np.clip((times - knots[i]) / np.maximum(knots[i + 1] - knots[i], 1e-6), 0, 1)
    tau = tau**3 * (10 - 15 * tau + 6 * tau * tau)
    channels = values[i] + tau[:, None] * (values[i + 1] - values[i])
    channels = channels + _sway(rng, times, channels.shape[1], float(rng.uniform(0.3, 2.0)))
    joints, grip = Body.sample(rng).joints(channels)
    rest = np.full(len(times), list(Phase).index(Phase.REST))
    return Motion(fps, joints.astype(np.float32), grip.astype(np.float32), rest, "none", ())


def _sway(rng: np.random.Generator, times: F64, channels: int, scale: float) -> F64:
    """Slow wandering of every channel: degrees of about ``scale``, metres of a hundredth of that."""
    knots = np.linspace(0, times[-1] + 1e-6, max(3, int(times[-1] / 1.2)))
    values = rng.normal(0, scale * 0.7, (len(knots), channels))
    for name, i in C.items():
        if name.rsplit("_", 1)[-1] in ("x", "y", "z", "h"):
            values[:, i] *= 0.008
        if name.endswith(("free", "plant", "follow", "ref")):
            values[:, i] = 0.0
    return np.stack([np.interp(times, knots, values[:, c]) for c in range(channels)], axis=1)


def harsh(keypoints: F32, scores: F32, rng: np.random.Generator) -> tuple[F32, F32]:
    """Rare but damaging errors of a pose network on top of a view: (T, 17, 2) px, (T, 17) → the same.

    Limbs that jump between two places, that stand still though they move, sides that swap for a while, whole
    poses that are missing, parts of the body out of the picture.
    """
    keypoints, scores = keypoints.copy(), scores.copy()
    n = len(keypoints)
    size = float(np.median(np.ptp(keypoints, axis=1).max(axis=1)))
    for _ in range(int(rng.poisson(0.8))):
        a, b = _span(rng, n, 0.3)
        limb = [(9,), (10,), (7, 9), (8, 10), (13, 15), (14, 16), (15,), (16,), (13, 14, 15, 16)][int(rng.integers(9))]
        kind = rng.random()
        for j in limb:
            if kind < 0.45:  # jumps between two places
                jump = rng.normal(0, 0.12 * size, 2)
                on = np.cumsum(rng.random(b - a) < rng.uniform(0.02, 0.2)) % 2
                keypoints[a:b, j] += (on[:, None] * jump).astype(np.float32)
            elif kind < 0.7:  # invented: drifts with low scores
                walk = np.cumsum(rng.normal(0, 0.012 * size, (b - a, 2)), axis=0)
                keypoints[a:b, j] = keypoints[a, j] + walk.astype(np.float32)
            else:  # hidden
                scores[a:b, j] *= float(rng.uniform(0.0, 0.6))
            if kind < 0.7:
                scores[a:b, j] *= float(rng.uniform(0.4, 1.0))
    if rng.random() < 0.1:
        a, b = _span(rng, n, 0.1)
        swap = np.cumsum(rng.random(b - a) < 0.1) % 2 == 1
        pairs = [np.arange(K), MIRROR][1]
        part = np.array([11, 12, 13, 14, 15, 16] if rng.random() < 0.6 else list(range(5, 17)))
        where = np.nonzero(swap)[0] + a
        keypoints[where[:, None], part] = keypoints[where[:, None], pairs[part]]
    for _ in range(int(rng.poisson(0.4))):
        a = int(rng.integers(n))
        scores[a : a + int(rng.integers(1, 12))] = 0.0
    if rng.random() < 0.12:  # a layout without a head
        scores[:, :5] = 0.0
    if rng.random() < 0.08:  # limbs that are never found
        never = [(7, 9), (8, 10), (9, 10), (15, 16), (11, 12), (7, 8, 9, 10), (13, 15), (14, 16)][int(rng.integers(8))]
        scores[:, never] = 0.0
    cropped = rng.random()
    if cropped < 0.22:  # the lower body is outside the picture
        lowest = [13, 14, 15, 16] if rng.random() < 0.5 else [11, 12, 13, 14, 15, 16]
        if rng.random() < 0.5:
            scores[:, lowest] *= float(rng.uniform(0, 0.25))
        else:  # and the network invents it, at random places below
            wander = np.cumsum(rng.normal(0, 0.004 * size, (n, len(lowest), 2)), axis=0)
            keypoints[:, lowest] = (keypoints[:1, lowest] + wander).astype(np.float32)
            scores[:, lowest] *= rng.uniform(0.3, 0.9)
    return keypoints, scores


def _span(rng: np.random.Generator, n: int, share: float) -> tuple[int, int]:
    length = max(2, int(n * share * rng.random()))
    a = int(rng.integers(max(1, n - length)))
    return a, min(n, a + length)


def squash(keypoints: F32, rng: np.random.Generator) -> F32:
    """Coordinates normalised by a picture whose shape is unknown: another aspect for the whole sequence."""
    out = keypoints.copy()
    out[..., 0] *= np.float32(np.exp(rng.normal(0, 0.18)))
    return out


def hip_centred(keypoints: F32) -> F32:
    """Places (T, 17, 2) relative to the hips of the same frame, as world coordinates of pose networks come."""
    hips = keypoints[:, [INDEX["left_hip"], INDEX["right_hip"]]].mean(axis=1, keepdims=True)
    return np.asarray(keypoints - hips)
