"""Longer stories from motions: sets with a pause between them, walking in, walking past, changing places.

A walk is a plain gait (swing of thigh and shin, bob of the pelvis, arms against legs) on the lifter's own skeleton:
enough for tracking truth, not a study of gait.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.render.bones import J, Measures
from training.render.figure import Look
from training.render.props import turned
from training.render.scene import Actor
from training.simulator.motion import Motion, TrueRepetition

F64 = NDArray[np.float64]

SPEED_M_S: Final = 1.25
STRIDE_S: Final = 1.05  # two steps


@dataclass(frozen=True, slots=True)
class Spot:
    """Where somebody stands: (x, z) m and the direction faced, degrees."""

    x: float
    z: float
    yaw_deg: float = 0.0

    @property
    def place(self) -> F64:
        return np.array([self.x, 0.0, self.z])


def shifted(repetitions: Sequence[TrueRepetition], by_s: float) -> tuple[TrueRepetition, ...]:
    return tuple(
        replace(r, onset_s=r.onset_s + by_s, turn_s=r.turn_s + by_s, offset_s=r.offset_s + by_s) for r in repetitions
    )


def ease(n: int) -> F64:
    """(n,) from 0 to 1, slow at both ends."""
    t = (np.arange(n) + 1.0) / (n + 1)
    return t * t * (3 - 2 * t)


def bridge(a: NDArray[np.floating], b: NDArray[np.floating], frames: int) -> F64:
    """(frames, ...) poses between the last of ``a`` and the first of ``b``."""
    w = ease(frames).reshape((-1, *[1] * (a.ndim - 1)))
    return a[-1] * (1 - w) + b[0] * w


def join(first: Motion, second: Motion, gap_s: float) -> Motion:
    """Both motions of one person, the second ``gap_s`` after the first; the pose passes over smoothly."""
    frames = max(1, round(gap_s * first.fps))
    joints = np.concatenate([first.joints, bridge(first.joints, second.joints, frames), second.joints])
    grip = np.concatenate([first.grip, bridge(first.grip, second.grip, frames), second.grip])
    phase = np.concatenate([first.phase, np.zeros(frames, first.phase.dtype), second.phase])
    later = shifted(second.repetitions, (len(first.joints) + frames) / first.fps)
    return replace(
        first,
        joints=joints.astype(np.float32),
        grip=grip.astype(np.float32),
        phase=phase,
        repetitions=(*first.repetitions, *later),
    )


def _swing(direction_deg: F64, length: float) -> F64:
    """(T, 3) of a segment hanging from the origin, turned forward by the angle."""
    a = np.radians(direction_deg)
    return length * np.stack([np.zeros_like(a), -np.cos(a), np.sin(a)], 1)


def gait(stand: F64, seconds: float, fps: float, phase: float = 0.0) -> tuple[F64, F64]:
    """Walking on the spot, facing +z, by somebody whose standing joints (27, 3) are given.

    Returns:
        joints (T, 27, 3) and handle axes (T, 2, 3), weights carried at the sides.
    """
    m = Measures.of(stand[None])
    frames = max(2, round(seconds * fps))
    cycle = 2 * np.pi * (np.arange(frames) / fps / STRIDE_S + phase)
    joints = np.repeat(stand[None].astype(float), frames, axis=0)
    # legs first, hung from a pelvis at the origin; then everything is set on the lower foot
    legs: dict[str, F64] = {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        c = cycle if sign > 0 else cycle + np.pi
        thigh = 4.0 + 24.0 * np.sin(c)
        bend = 8.0 + 52.0 * np.clip(np.cos(c - 0.25), 0, 1) ** 1.6
        hip = np.array([sign * m.hip_half, 0.0, 0.0]) + np.zeros((frames, 3))
        knee = hip + _swing(thigh, m.thigh)
        ankle = knee + _swing(thigh - bend, m.shin)
        pitch = np.radians(np.clip(thigh - bend, -45, 20) * 0.7)
        forward = np.stack([0.08 * sign * np.ones_like(pitch), np.sin(pitch), np.cos(pitch)], 1)
        down = np.stack([np.zeros_like(pitch), -np.cos(pitch), np.sin(pitch)], 1)
        rise = float(stand[J[f"{side}_ankle"], 1] - stand[J[f"{side}_heel"], 1])
        heel = ankle + down * rise - forward * 0.26 * m.foot
        legs |= {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle}
        legs |= {f"{side}_heel": heel, f"{side}_toe": heel + forward * m.foot}
    lowest = np.min([legs[f"{s}_{p}"][:, 1] for s in ("left", "right") for p in ("heel", "toe")], axis=0)
    pelvis = np.stack([0.015 * np.sin(cycle), -lowest, np.zeros(frames)], 1)
    for name, place in legs.items():
        joints[:, J[name]] = place + pelvis
    above = [i for name, i in J.items() if name not in legs]
    joints[:, above] = _upright(stand)[None, above] + pelvis[:, None]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        c = cycle + np.pi if sign > 0 else cycle
        shoulder = joints[:, J[f"{side}_shoulder"]]
        out = np.array([0.07 * sign, 0.0, 0.0])
        elbow = shoulder + _swing(16.0 * np.sin(c) - 2.0, m.upper_arm) + out
        wrist = elbow + _swing(16.0 * np.sin(c) + 12.0, m.forearm)
        joints[:, J[f"{side}_elbow"]], joints[:, J[f"{side}_wrist"]] = elbow, wrist
        joints[:, J[f"{side}_hand"]] = wrist + _swing(16.0 * np.sin(c) + 12.0, m.hand)
    return joints, np.tile([0.0, 0.0, 1.0], (frames, 2, 1))


def _upright(stand: F64) -> F64:
    """The trunk and head of a standing pose (27, 3), pelvis at the origin, trunk turned to the vertical."""
    p = stand.astype(float) - stand[J["pelvis"]]
    up = p[J["neck"]] / np.linalg.norm(p[J["neck"]])
    pitch = np.degrees(np.arctan2(up[2], up[1]))
    return p @ turned(-float(pitch), "x")[:3, :3].T


def _facing(a: Spot, b: Spot) -> float:
    return float(np.degrees(np.arctan2(b.x - a.x, b.z - a.z)))


def _between(a: float, b: float, w: F64) -> F64:
    """Angles from ``a`` to ``b`` (degrees) by the shorter way."""
    return a + ((b - a + 180) % 360 - 180) * w


def placed(joints: F64, grip: F64, places: F64, yaws_deg: F64) -> tuple[F64, F64]:
    """Poses (T, 27, 3) about the origin turned by (T,) and set at (T, 3)."""
    a = np.radians(yaws_deg)
    turn = np.zeros((len(a), 3, 3))
    turn[:, 0, 0], turn[:, 0, 2], turn[:, 2, 0], turn[:, 2, 2] = np.cos(a), np.sin(a), -np.sin(a), np.cos(a)
    turn[:, 1, 1] = 1
    return joints @ turn.transpose(0, 2, 1) + places[:, None], grip @ turn.transpose(0, 2, 1)


class Story:
    """One person's way through a scene: stand, walk, train, one after the other.

    Args:
        motion: gives the skeleton (its first pose, feet about the origin).
    """

    def __init__(self, motion: Motion, start: Spot) -> None:
        self._stand = np.asarray(motion.joints[0], float)
        self._grip = np.asarray(motion.grip[0], float)
        self._motion = motion
        self._spot = start
        self._pieces: list[tuple[F64, F64]] = []
        self._repetitions: list[TrueRepetition] = []

    @property
    def frames(self) -> int:
        return sum(len(p[0]) for p in self._pieces)

    @property
    def time_s(self) -> float:
        return self.frames / self._motion.fps

    def _add(self, joints: F64, grip: F64, blend_s: float = 0.35) -> None:
        if self._pieces:
            frames = round(blend_s * self._motion.fps)
            last, before = self._pieces[-1]
            self._pieces.append((bridge(last, joints, frames), bridge(before, grip, frames)))
        self._pieces.append((joints, grip))

    def stand(self, seconds: float) -> "Story":
        """Stand as the motion starts."""
        frames = max(1, round(seconds * self._motion.fps))
        self._here(np.repeat(self._stand[None], frames, 0), np.repeat(self._grip[None], frames, 0))
        return self

    def _here(self, joints: F64, grip: F64) -> None:
        n = len(joints)
        self._add(*placed(joints, grip, np.repeat(self._spot.place[None], n, 0), np.full(n, self._spot.yaw_deg)))

    def walk(self, to: Spot, speed_m_s: float = SPEED_M_S) -> "Story":
        """Turn, walk straight to ``to``, turn to its direction."""
        start, heading = self._spot, _facing(self._spot, to)
        length = float(np.linalg.norm(to.place - start.place))
        fps = self._motion.fps
        turn, way = round(0.45 * fps), max(2, round(length / speed_m_s * fps))
        along = np.concatenate([np.zeros(turn), np.linspace(0, 1, way), np.ones(turn)])
        yaws = np.concatenate(
            [
                _between(start.yaw_deg, heading, ease(turn)),
                np.full(way, heading),
                _between(heading, to.yaw_deg, ease(turn)),
            ]
        )
        joints, grip = gait(self._stand, len(along) / fps, fps)
        n = min(len(joints), len(along))
        places = start.place + along[:n, None] * (to.place - start.place)
        self._add(*placed(joints[:n], grip[:n], places, yaws[:n]), blend_s=0.25)
        self._spot = to
        return self

    def train(self, motion: Motion | None = None) -> "Story":
        """Do the motion here."""
        motion = motion or self._motion
        joints, grip = np.asarray(motion.joints, float), np.asarray(motion.grip, float)
        lead = round(0.35 * motion.fps) if self._pieces else 0
        self._repetitions += shifted(motion.repetitions, (self.frames + lead) / motion.fps)
        self._here(joints, grip)
        return self

    def actor(self, name: str, look: Look) -> Actor:
        joints = np.concatenate([p[0] for p in self._pieces])
        grip = np.concatenate([p[1] for p in self._pieces])
        lengths = np.linalg.norm(grip, axis=-1, keepdims=True)
        m = self._motion
        return Actor(
            name,
            look,
            joints,
            grip / np.maximum(lengths, 1e-9),
            m.exercise,
            tuple(self._repetitions),
            m.held,
            m.support,
        )
