"""What people do when they do not exercise: stand, talk, drink, adjust, walk, pick weights up, hold still.

Every function gives channels (T, D) at a fixed rate and moves between postures by minimum jerk.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from training.simulator.channels import F64, NEUTRAL, C, posture
from training.simulator.generic import PRONE, SUPINE
from training.simulator.perform import sway

Rng = np.random.Generator
_HIPS: Final = {"elev": 38.0, "plane": -5.0, "elbow": 88.0, "rot": 62.0}
_CROSSED: Final = {"elev": 22.0, "plane": 70.0, "elbow": 105.0, "rot": 62.0}
_CLASPED: Final = {"elev": 16.0, "plane": 60.0, "elbow": 70.0, "rot": 45.0}
_MOUTH: Final = {"lead_elev": 42.0, "lead_plane": 62.0, "lead_elbow": 138.0, "lead_rot": 30.0}
_FACE: Final = {"lead_elev": 60.0, "lead_plane": 60.0, "lead_elbow": 140.0, "lead_rot": 40.0, "head_pitch": 8.0}
_PHONE: Final = {"lead_elev": 24.0, "lead_plane": 75.0, "lead_elbow": 105.0, "lead_rot": 25.0, "head_pitch": 30.0}
_STRETCH: Final = {"elev": 165.0, "plane": 40.0, "elbow": 40.0}
_IDLE: Final[tuple[dict[str, float], ...]] = ({}, {}, _HIPS, _CROSSED, _CLASPED, _MOUTH, _FACE, _PHONE, _STRETCH)
_FLOOR: Final = {
    "thigh": 80.0, "shin": 26.0, "pitch": 62.0, "flex": 12.0, "elev": 16.0, "plane": 80.0,
    "arm_follow": 0.0, "elbow": 14.0,
}  # fmt: skip
_HOLDS: Final[tuple[dict[str, float], ...]] = (
    PRONE,
    PRONE | {"root_h": 0.3, "pitch": 82.0, "hand_z": 0.62, "hand_x": 0.2},  # on the forearms
    SUPINE | {"pitch": -70.0, "leg_free": 1.0, "hip_flex": 60.0, "knee": 30.0},
    {"thigh": 88.0, "shin": 4.0, "pitch": 3.0},
    {"thigh": 60.0, "shin": 20.0, "pitch": 25.0},
    {"elev": 86.0, "plane": 12.0, "elbow": 12.0},
    {"elev": 84.0, "plane": 85.0, "elbow": 10.0},
    {"elbow": 90.0, "plane": 60.0},
    {"pitch": 50.0, "thigh": 26.0, "arm_follow": 0.0},
    _STRETCH,
)


def ease(tau: F64) -> F64:
    """Minimum-jerk way from 0 to 1."""
    t = np.clip(tau, 0.0, 1.0)
    return t**3 * (10 - 15 * t + 6 * t * t)


def go_over(start: F64, end: F64, ticks: int) -> F64:
    """(ticks, D) from one posture to another, both left out; feet that move are lifted, the left one first."""
    tau = np.arange(1, ticks + 1, dtype=np.float64) / (ticks + 1)
    out = start + ease(tau)[:, None] * (end - start)
    for side, begin in (("l_", 0.0), ("r_", 0.5)):
        place = [C[side + "foot_x"], C[side + "foot_z"]]
        way = float(np.hypot(*(end[place] - start[place])))
        if way > 0.03:
            step = ease((tau - begin) / 0.5)
            out[:, place] = start[place] + step[:, None] * (end[place] - start[place])
            out[:, C[side + "foot_y"]] += min(0.35 * way, 0.1) * np.sin(np.pi * step)
    return out


def through(poses: Sequence[F64], moves_s: Sequence[float], dwells_s: Sequence[float], fps: float) -> F64:
    """(T, D) from posture to posture: dwell, move, dwell, …; ``dwells_s`` has one entry more than ``moves_s``."""
    parts = [np.repeat(poses[0][None], max(round(dwells_s[0] * fps), 1), axis=0)]
    for i, move_s in enumerate(moves_s):
        parts.append(go_over(poses[i], poses[i + 1], max(round(move_s * fps), 1)))
        parts.append(np.repeat(poses[i + 1][None], max(round(dwells_s[i + 1] * fps), 1), axis=0))
    return np.concatenate(parts)


def _alive(channels: F64, rng: Rng, fps: float, amplitude: float = 1.5) -> F64:
    return channels + amplitude * sway(np.arange(len(channels)) / fps, rng)


def _near(pose: dict[str, float], rng: Rng, spread_deg: float, side: str, base: F64 = NEUTRAL) -> F64:
    """The posture with random differences in the arms and the weight on one leg or the other."""
    out = posture(pose, side, base)
    for s in ("l_", "r_"):
        for name, factor in (("elev", 1.0), ("plane", 2.0), ("rot", 1.5), ("elbow", 1.2)):
            out[C[s + name]] += spread_deg * factor * rng.normal()
        out[C[s + "elbow"]] = max(out[C[s + "elbow"]], 3.0)
    out[C["root_x"]] += rng.normal(0, 0.02)
    out[C["head_yaw"]] += rng.normal(0, 15)
    out[C["twist"]] += rng.normal(0, 4)
    return out


def stand(rng: Rng, duration_s: float, fps: float) -> F64:
    """Stand about: hang the arms, put them on the hips, cross them, drink, wipe the face, look at a phone, stretch."""
    poses, dwells = [_near({}, rng, 2, "left")], [float(rng.uniform(0.2, 1.5))]
    moves: list[float] = []
    while sum(moves) + sum(dwells) < duration_s:
        side = str(rng.choice(["left", "right"]))
        poses.append(_near(dict(_IDLE[int(rng.integers(len(_IDLE)))]), rng, 6, side))
        moves.append(float(rng.uniform(0.4, 1.6)))
        dwells.append(float(rng.exponential(1.5)))
    return _alive(through(poses, moves, dwells, fps), rng, fps)


def talk(rng: Rng, duration_s: float, fps: float) -> F64:
    """Talk with the hands: quick small irregular gestures."""
    poses, dwells = [_near(_CLASPED, rng, 6, "left")], [0.2]
    moves: list[float] = []
    while sum(moves) + sum(dwells) < duration_s:
        poses.append(_near(dict(_CLASPED), rng, float(rng.uniform(6, 20)), "left"))
        moves.append(float(rng.uniform(0.2, 0.6)))
        dwells.append(float(rng.exponential(0.3)))
    return _alive(through(poses, moves, dwells, fps), rng, fps)


def drink(rng: Rng, fps: float) -> F64:
    """Lift a bottle to the mouth, one to three times, tilt the head back."""
    side = str(rng.choice(["left", "right"]))
    hang, mouth = _near({}, rng, 3, side), _near(dict(_MOUTH), rng, 4, side)
    mouth[C["head_pitch"]] -= 20
    turns = int(rng.integers(1, 4))
    poses = [hang, *([mouth, hang] * turns)]
    dwells = [0.4, *[float(v) for _ in range(turns) for v in (rng.uniform(0.6, 2.5), rng.exponential(1.2))]]
    return _alive(through(poses, [float(rng.uniform(0.5, 1.2)) for _ in range(2 * turns)], dwells, fps), rng, fps)


def pick_up(rng: Rng, fps: float) -> F64:
    """Bend down to the floor or a rack, take or put down weights, and rise again: looks like one slow repetition."""
    deep = float(rng.uniform(0.35, 1.0))
    floor = NEUTRAL + deep * (posture(_FLOOR) - NEUTRAL)
    down = _near({}, rng, 3, "left", floor)
    moves = [float(rng.uniform(0.6, 1.5)), float(rng.uniform(0.6, 1.5))]
    dwells = [0.3, float(rng.uniform(0.2, 1.5)), 0.3]
    return _alive(through([_near({}, rng, 3, "left"), down, _near({}, rng, 3, "left")], moves, dwells, fps), rng, fps)


def hold(rng: Rng, duration_s: float, fps: float) -> F64:
    """Hold a posture (plank, wall sit, arms out …), with slow shifts and small corrections."""
    pose = posture(_HOLDS[int(rng.integers(len(_HOLDS)))])
    poses, dwells = [pose], [float(rng.uniform(1, 4))]
    moves: list[float] = []
    while sum(moves) + sum(dwells) < duration_s:
        shifted = pose.copy()
        for name, size in (("pitch", 4), ("root_y", 0.02), ("root_z", 0.03), ("flex", 5), ("head_pitch", 10)):
            shifted[C[name]] += size * rng.normal()
        poses.append(shifted)
        moves.append(float(rng.uniform(0.4, 3.0)))
        dwells.append(float(rng.exponential(3.0)))
    return _alive(through(poses, moves, dwells, fps), rng, fps, 0.8)


def drift_off(rng: Rng, fps: float) -> F64:
    """Move slowly into another posture and stay there: half of something that never comes back."""
    target = posture(_HOLDS[int(rng.integers(3, len(_HOLDS)))])
    way = NEUTRAL + float(rng.uniform(0.3, 1.0)) * (target - NEUTRAL)
    moves, dwells = [float(rng.uniform(0.8, 4.0))], [0.5, float(rng.uniform(1, 4))]
    return _alive(through([NEUTRAL, way], moves, dwells, fps), rng, fps)


def walk(rng: Rng, fps: float, distance_m: float) -> F64:
    """Walk ``distance_m`` straight on, feet planted between steps; starts at z = 0. Arms swing against the legs."""
    stride, step_s = float(rng.uniform(0.5, 0.75)), float(rng.uniform(0.45, 0.65))
    steps = max(int(np.ceil(distance_m / stride)), 2)
    n = round(steps * step_s * fps)
    t = np.arange(n) / (fps * step_s)  # in steps
    out = np.repeat(NEUTRAL[None], n, axis=0)
    feet = {"l_": np.zeros(n), "r_": np.zeros(n)}
    for k in range(steps):
        side = ("l_", "r_")[k % 2]
        to = min(k + 1, steps - 1) * stride  # the last step brings the feet together
        swing = ease(t - k)
        start = feet[side].copy()
        feet[side] = np.where(t >= k, start + swing * (to - start), start)
        out[:, C[side + "foot_y"]] += 0.09 * np.sin(np.pi * swing)
        out[:, C[side + "heel"]] += 25.0 * np.sin(np.pi * np.clip(t - k + 0.35, 0, 1)) ** 2
    for side, z in feet.items():
        out[:, C[side + "foot_z"]] = z
    gait = np.sin(np.pi * t) * np.clip(np.minimum(t, steps - t), 0, 1)
    arm = float(rng.uniform(8, 28))
    for side, sign in (("l_", 1.0), ("r_", -1.0)):
        out[:, C[side + "elev"]] = 6.0 + sign * arm * gait
        out[:, C[side + "plane"]] = 75.0
        out[:, C[side + "elbow"]] = 22.0 + 6.0 * sign * gait
    out[:, C["pitch"]] += 4.0
    out[:, C["root_y"]] -= 0.02
    return _alive(out, rng, fps, 0.7)


QUIET: Final[tuple[Callable[[Rng, float], F64], ...]] = (
    lambda rng, fps: stand(rng, float(rng.uniform(1, 8)), fps),
    lambda rng, fps: talk(rng, float(rng.uniform(2, 8)), fps),
    drink,
    pick_up,
    lambda rng, fps: hold(rng, float(rng.uniform(4, 15)), fps),
    drift_off,
)
"""Draw one to fill a pause."""
