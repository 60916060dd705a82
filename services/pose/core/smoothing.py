"""Steady keypoints without delay: a One-Euro filter per joint, and the rejection of joints that jump.

References: Casiez, Roussel, Vogel, 1€ Filter, CHI 2012.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.skeleton import VISIBLE_MIN, K
from services.pose.core.similarity import F64, middle

HIDDEN_MAX: Final = 0.29
"""The score of a joint that is hidden because it jumped; below VISIBLE_MIN."""


@dataclass(frozen=True, slots=True)
class SmoothingSettings:
    """Speeds are in body sizes (about torso lengths) per second, so that near and far people are treated alike.

    ``cutoff_hz``: of a joint at rest; ``cutoff_per_speed_hz``: what each body size per second adds.
    A joint *jumps* when it lands further from where it was heading than ``jump_size`` + ``jump_speed`` × Δt;
    it is hidden until it has stayed at the new place for ``jump_confirm_s``.
    """

    cutoff_hz: float = 2.5
    cutoff_per_speed_hz: float = 8.0
    speed_cutoff_hz: float = 4.0
    jump_size: float = 0.30
    jump_speed: float = 5.0
    jump_confirm_s: float = 0.06
    snap_apart: float = 0.40
    snap_together: float = 0.10
    hidden_share: float = 0.3
    reset_after_s: float = 0.5
    relock_after_s: float = 0.2


_SIDES: Final = ((7, 8), (9, 10), (13, 14), (15, 16))
"""Elbows, wrists, knees, ankles: pairs of which a network takes the one for the other in a side view."""


def _share(cutoff_hz: F64 | float, dt_s: float) -> F64 | float:
    """The weight of the new sample in an exponential low pass."""
    return 1.0 - 1.0 / (1.0 + 2.0 * math.pi * cutoff_hz * dt_s)


@dataclass(slots=True, eq=False)
class JointFilter:
    """State of one person's 17 joints, px and s. ``step`` takes raw keypoints in and gives smooth ones out."""

    settings: SmoothingSettings = field(default_factory=SmoothingSettings)
    time_s: float = -math.inf
    smooth: F64 = field(default_factory=lambda: np.zeros((K, 2)))
    trusted: F64 = field(default_factory=lambda: np.zeros((K, 2)))  # last raw place that was no jump
    trusted_s: F64 = field(default_factory=lambda: np.full(K, -np.inf))  # when; -inf: never seen
    velocity: F64 = field(default_factory=lambda: np.zeros((K, 2)))
    suspect: F64 = field(default_factory=lambda: np.zeros((K, 2)))  # where it jumped to
    suspect_s: F64 = field(default_factory=lambda: np.full(K, np.inf))  # since when; inf: it did not jump

    def reset(self) -> None:
        """Forget everything: the next pose is taken as it is (after a cut, after a gap)."""
        self.time_s = -math.inf

    def step(self, keypoints: F64, scores: F64, time_s: float, size_px: float) -> tuple[F64, F64]:
        """One pose: keypoints (17, 2) px, scores (17,), the body's size → smoothed keypoints and scores.

        A score is never raised; that of a joint that jumped is lowered to ``HIDDEN_MAX``.
        """
        dt = time_s - self.time_s
        if not 0.0 < dt <= self.settings.reset_after_s:
            return self._start(keypoints, scores, time_s)
        seen = scores >= VISIBLE_MIN
        known = np.isfinite(self.trusted_s)
        unseen_s = time_s - self.trusted_s
        ahead = self.trusted + self.velocity * np.minimum(unseen_s, 0.1)[:, None]
        if not known.all():
            ahead = np.where(known[:, None], ahead, keypoints)
        jumped = self._jumped(keypoints, ahead, seen & known, time_s, dt, size_px)
        usable = seen & ~jumped
        fresh = usable & (time_s - self.trusted_s > self.settings.relock_after_s)  # not unseen_s: a jump may end
        self._advance(keypoints, usable, fresh, jumped, dt, size_px)
        self.trusted[usable] = keypoints[usable]
        self.trusted_s[usable] = time_s
        self.time_s = time_s
        if jumped.any():
            scores = np.where(jumped, np.minimum(scores, HIDDEN_MAX), scores)
        return self.smooth.copy(), scores.copy()

    def _start(self, keypoints: F64, scores: F64, time_s: float) -> tuple[F64, F64]:
        self.time_s = time_s
        self.smooth = keypoints.copy()
        self.trusted = keypoints.copy()
        self.trusted_s = np.where(scores >= VISIBLE_MIN, time_s, -np.inf)
        self.velocity = np.zeros((K, 2))
        self.suspect = np.zeros((K, 2))
        self.suspect_s = np.full(K, np.inf)
        return keypoints.copy(), scores.copy()

    def _jumped(
        self, keypoints: F64, ahead: F64, comparable: NDArray[np.bool_], time_s: float, dt: float, size_px: float
    ) -> NDArray[np.bool_]:
        """(17,): joints whose place is not to be believed yet."""
        s = self.settings
        miss = keypoints - ahead
        if np.count_nonzero(comparable) >= 5:  # the camera shook, or the whole body moved: no single joint's jump
            miss = miss - middle(miss[comparable])
        far = np.hypot(miss[:, 0], miss[:, 1]) / size_px
        limit = s.jump_size + s.jump_speed * dt
        out = comparable & (far > limit)
        if far.max() > 0.6 * s.snap_apart and (far[comparable] > 0.6 * s.snap_apart).any():
            for pair in _SIDES:
                self._snapped(pair, keypoints, ahead, far, comparable, size_px, out)
        self.suspect_s[comparable & ~out] = np.inf
        for j in np.flatnonzero(out):
            there = self.suspect_s[j] < np.inf and np.hypot(*(keypoints[j] - self.suspect[j])) < limit * size_px
            if not there:
                self.suspect_s[j] = time_s
            elif time_s - self.suspect_s[j] >= s.jump_confirm_s:
                out[j] = False  # it stayed: the earlier place was the wrong one, or the move was real
                self.suspect_s[j] = np.inf
                self.trusted_s[j] = -np.inf
            self.suspect[j] = keypoints[j]
        return out

    def _snapped(
        self,
        pair: tuple[int, int],
        keypoints: F64,
        ahead: F64,
        far: F64,
        comparable: NDArray[np.bool_],
        size_px: float,
        out: NDArray[np.bool_],
    ) -> None:
        """One joint of a pair lands on its counterpart at once, though they were apart: it was taken for it."""
        s = self.settings
        left, right = pair
        if comparable[left] and comparable[right]:
            now = np.hypot(*(keypoints[left] - keypoints[right])) / size_px
            before = np.hypot(*(ahead[left] - ahead[right])) / size_px
            worse = left if far[left] > far[right] else right
            if now < s.snap_together and before > s.snap_apart and far[worse] > 0.6 * s.snap_apart:
                out[worse] = True

    def _advance(
        self,
        keypoints: F64,
        usable: NDArray[np.bool_],
        fresh: NDArray[np.bool_],
        jumped: NDArray[np.bool_],
        dt: float,
        size_px: float,
    ) -> None:
        s = self.settings
        raw_velocity = (keypoints - self.trusted) / dt
        steady = usable & ~fresh
        share = _share(s.speed_cutoff_hz, dt)
        self.velocity += np.where(steady[:, None], share * (raw_velocity - self.velocity), -share * self.velocity)
        self.velocity[fresh] = 0.0
        speed = np.hypot(self.velocity[:, 0], self.velocity[:, 1]) / size_px
        weight = np.asarray(_share(s.cutoff_hz + s.cutoff_per_speed_hz * speed, dt))
        weight = np.where(usable, weight, s.hidden_share * weight)
        weight = np.where(jumped, 0.0, np.where(fresh, 1.0, weight))
        self.smooth += weight[:, None] * (keypoints - self.smooth)

    def arrays(self) -> tuple[F64, ...]:
        """The state, for a snapshot: six arrays; ``load`` takes them back."""
        return (
            np.array([self.time_s]), self.smooth, self.trusted, self.trusted_s, self.velocity,
            self.suspect, self.suspect_s,
        )  # fmt: skip

    def load(self, arrays: Sequence[F64]) -> None:
        """Take back what ``arrays`` gave."""
        clock, self.smooth, self.trusted, self.trusted_s, self.velocity, self.suspect, self.suspect_s = (
            np.array(a, np.float64) for a in arrays
        )
        self.time_s = float(clock[0])
