"""What a video editor does to a motion: crop, cut out, freeze, mirror; the truth follows."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.types import Reason
from training.simulator.labels import SimulatedMotion
from training.simulator.motion import JOINTS_3D, TrueRepetition

_SIDES: Final = {"left": "right", "right": "left"}


def _twin(name: str) -> str:
    side, _, rest = name.partition("_")
    return f"{_SIDES[side]}_{rest}" if side in _SIDES else name


MIRROR_3D: Final = np.array([JOINTS_3D.index(_twin(name)) for name in JOINTS_3D])
"""(27,) the joint on the other side."""


def take(motion: SimulatedMotion, ticks: NDArray[np.int64]) -> SimulatedMotion:
    """The motion made of these ticks (not decreasing): a gap is a hard cut, a repeated tick a freeze frame.

    A repetition that a cut or an end interrupts becomes an attempt (INTERRUPTED); one that is quite gone is left out.
    """
    step = np.diff(ticks, prepend=ticks[0] - 1)
    cut, frozen = (step > 1) | motion.cut[ticks] & (step == 1), step == 0
    cut[0] = False
    repetitions = tuple(
        moved
        for r in motion.repetitions
        if (moved := _moved(r, ticks, motion.fps, np.flatnonzero(step > 1))) is not None
    )
    return replace(
        motion, joints=motion.joints[ticks], grip=motion.grip[ticks], phase=motion.phase[ticks],
        repetitions=repetitions, progress=motion.progress[ticks], extent=motion.extent[ticks],
        active=motion.active[ticks], exercise_index=motion.exercise_index[ticks], cut=cut,
        frozen=frozen | motion.frozen[ticks],
    )  # fmt: skip


def _moved(r: TrueRepetition, ticks: NDArray[np.int64], fps: float, cuts: NDArray[np.int64]) -> TrueRepetition | None:
    """The repetition in the time of the new ticks."""

    def at(time_s: float) -> tuple[float, bool]:
        old = time_s * fps
        k = int(np.searchsorted(ticks, old, side="left"))
        if k >= len(ticks) or (k == 0 and old < ticks[0] - 1):
            return float(np.clip(k, 0, len(ticks) - 1)) / fps, False
        ahead = ticks[k] - old
        return max(k - min(ahead, 1.0), 0.0) / fps, ahead <= 1.0

    (onset, on_there), (turn, _), (offset, off_there) = at(r.onset_s), at(r.turn_s), at(r.offset_s)
    first, last = np.searchsorted(ticks, np.array([r.onset_s, r.offset_s]) * fps)
    if last - first < 2:
        return None
    whole = on_there and off_there and not np.any((cuts > first) & (cuts <= last))
    moved = replace(r, onset_s=onset, turn_s=turn, offset_s=offset)
    return moved if whole else replace(moved, counted=False, reason=str(Reason.INTERRUPTED), mistakes={})


def crop(motion: SimulatedMotion, start_s: float, end_s: float) -> SimulatedMotion:
    """The part from ``start_s`` to ``end_s``."""
    first, last = max(round(start_s * motion.fps), 0), min(round(end_s * motion.fps), len(motion.joints))
    return take(motion, np.arange(first, last))


def cut_out(motion: SimulatedMotion, start_s: float, end_s: float) -> SimulatedMotion:
    """Without the part from ``start_s`` to ``end_s``: a jump cut."""
    ticks = np.arange(len(motion.joints))
    return take(motion, ticks[(ticks < round(start_s * motion.fps)) | (ticks >= round(end_s * motion.fps))])


def freeze(motion: SimulatedMotion, at_s: float, duration_s: float) -> SimulatedMotion:
    """With a freeze frame of ``duration_s`` at ``at_s``."""
    k = min(round(at_s * motion.fps), len(motion.joints) - 1)
    counts = np.ones(len(motion.joints), np.int64)
    counts[k] += round(duration_s * motion.fps)
    return take(motion, np.repeat(np.arange(len(motion.joints)), counts))


def mirror(motion: SimulatedMotion) -> SimulatedMotion:
    """The motion seen in a mirror: left and right exchanged."""
    flip = np.array([-1.0, 1.0, 1.0], np.float32)
    return replace(
        motion,
        joints=motion.joints[:, MIRROR_3D] * flip,
        grip=motion.grip[:, ::-1] * flip,
        repetitions=tuple(replace(r, side=_SIDES.get(r.side, r.side)) for r in motion.repetitions),
        held=frozenset(_SIDES.get(h, h) for h in motion.held),
    )
