"""What the decoder works on: a tick's sample, a movement that may become a repetition, and what became of it."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.types import Reason, Status
from services.segment.core.network import EXERCISES

F32 = NDArray[np.float32]

HINDSIGHT_MIN_S: Final = 0.3
"""Less long ago than this, an onset is better told by its event."""
HINDSIGHT_BACK_S: Final = 1.5
"""No onset is moved further back than this."""
_HINDSIGHT_TICKS: Final = 60


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits of the decoder; probabilities unless a unit says otherwise."""

    smoothing: float = 0.6
    out_on: float = 0.5
    back_on: float = 0.4
    away_off: float = 0.45
    close_share: float = 0.2  # of the peak progress: nearly back
    touch_share: float = 0.5  # below this a new way out begins a new repetition
    close_ticks: int = 2
    moving_back: float = 0.6  # so surely still on its way back
    moving_ticks: int = 12  # that its end is waited for so long
    nearing_rate: float = 0.02  # of the way per tick that the body itself still nears where it began
    nearing_min: float = 0.1  # of the way that it must be away for this
    nearing_ticks: int = 40  # that its end is waited for at most
    quiet_ticks: int = 4  # of rest that end a way out which went nowhere
    late_back: float = 0.6  # so surely on its way back that a way out must have been
    begun_share: float = 0.35  # of the peak: an input that begins here begins in the middle
    flush_share: float = 0.35  # at the end of the input: near enough to rest to count
    sure_progress: float = 0.3
    range_min: float = 0.45
    range_sure: float = 0.7  # beyond this the movement's size does not matter
    activity_min: float = 0.3
    first_confidence_min: float = 0.4
    first_slow_min: float = 0.75  # the same where it is slow and no known exercise: a shift of posture, most likely
    slow_s: float = 3.0
    first_gap_s: float = 6.0  # without a counted repetition
    seen_min: float = 0.25
    duration_min_s: float = 0.3
    duration_max_s: float = 12.0
    amplitude_share_min: float = 0.4  # of the set's median


@dataclass(slots=True)
class Sample:
    """One tick as the decoder sees it; ``pose`` are the body-relative places at that tick."""

    time_s: float
    away: float
    out: float
    back: float
    hold: float
    onset: float
    turn: float
    offset: float
    progress: float
    activity: float
    seen: float
    pose: NDArray[np.float16]
    exercise: NDArray[np.float16]
    elapsed_s: float = 0.0


@dataclass(slots=True)
class Candidate:
    """A movement that may become a repetition."""

    onset_s: float
    sure: bool = True  # of its onset: there was an event
    half: bool = False  # its way out was not seen
    at_start: bool = False  # the input begins with it
    begun: float = 0.0  # progress at its onset
    announced: bool = False
    peak: float = 0.0
    peak_s: float = 0.0
    turn_mass: float = 0.0
    turn_sum: float = 0.0
    low: float = 1.0  # least progress on the way back
    low_s: float = 0.0
    closing_ticks: int = 0
    again_ticks: int = 0
    nearing_ticks: int = 0
    quiet_ticks: int = 0
    ticks: int = 0
    activity: float = 0.0
    seen: float = 0.0
    hold_ticks: int = 0
    hindsight_s: list[float] = field(default_factory=list)  # onsets that later ticks told
    onset_pose: NDArray[np.float16] = field(default_factory=lambda: np.zeros(0, np.float16))
    peak_pose: NDArray[np.float16] = field(default_factory=lambda: np.zeros(0, np.float16))
    exercise: F32 = field(default_factory=lambda: np.zeros(len(EXERCISES), np.float32))

    def take(self, sample: Sample) -> None:
        """One more tick of it."""
        self.ticks += 1
        self.activity += sample.activity
        self.seen += sample.seen
        self.exercise = (self.exercise + sample.exercise).astype(np.float32)
        self.hold_ticks += sample.hold > max(sample.out, sample.back)
        mass = sample.turn**3
        if sample.elapsed_s >= HINDSIGHT_MIN_S and len(self.hindsight_s) < _HINDSIGHT_TICKS:
            self.hindsight_s.append(sample.time_s - sample.elapsed_s)
        self.turn_mass += mass
        self.turn_sum += mass * (sample.time_s - self.onset_s)
        if sample.progress > self.peak:
            self.peak, self.peak_s, self.peak_pose = sample.progress, sample.time_s, sample.pose

    def settled_onset_s(self, after_s: float) -> float:
        """The onset with hindsight: a step forward is a lunge's beginning only once the body sinks.

        Where no event told it: the median of what the ticks since have told, not before ``after_s`` and not far from
        the first estimate.
        """
        if self.sure or len(self.hindsight_s) < 3:
            return self.onset_s
        told = float(np.median(self.hindsight_s))
        told = float(np.clip(told, self.onset_s - HINDSIGHT_BACK_S, self.turn_s() - 0.1))
        return max(told, min(after_s, self.onset_s))

    def turn_s(self) -> float:
        """The far end: where the network's turn events gather, else where progress was greatest."""
        if self.turn_mass > 0.02:
            return self.onset_s + self.turn_sum / self.turn_mass
        return self.peak_s

    def remaining(self, pose: NDArray[np.float16]) -> float:
        """How far the body is from where the repetition began, as a share of its way; 0 where that is not known."""
        amplitude = self.amplitude()
        if amplitude < 1e-3:
            return 0.0
        return float(np.sqrt(((pose.astype(np.float64) - self.onset_pose) ** 2).sum())) / amplitude

    def named(self) -> bool:
        """Whether the network takes it for an exercise that is known rather than for none of them; by itself, however
        rare the others are: this is about what is seen, not about what to call it."""
        return int(self.exercise.argmax()) != EXERCISES.index("unknown")

    def confidence(self) -> float:
        """How sure it is that this is a repetition: activity times how full the movement is."""
        return float(np.clip(self.activity / max(self.ticks, 1) * min(1.0, self.peak / 0.8), 0, 1))

    def amplitude(self) -> float:
        """How far the body moved between onset and far end, body sizes (root of summed squares)."""
        if not self.peak_pose.size or not self.onset_pose.size:
            return 0.0
        way = self.peak_pose.astype(np.float64) - self.onset_pose
        return float(np.sqrt((way**2).sum()))


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What became of a candidate. Times in s of motion time; ``exercise`` are mean log probabilities (19,).

    ``first_onset_s``: the onset when it was first spoken of, by which it is known; the final one may differ.
    """

    status: Status
    onset_s: float
    turn_s: float | None = None
    offset_s: float | None = None
    reason: Reason | None = None
    confidence: float = 0.0
    hold_s: float = 0.0
    first_onset_s: float | None = None
    amplitude: float = 0.0
    exercise: F32 = field(default_factory=lambda: np.zeros(len(EXERCISES), np.float32))


def judge(
    candidate: Candidate,
    onset_s: float,
    offset_s: float,
    settings: Settings,
    usual_amplitude: float | None,
    first: bool,
) -> tuple[Status, Reason | None]:
    """What a closed candidate is.

    ``usual_amplitude``: the median of the set so far, if there is one. ``first``: nothing was counted for a while, so
    that it may as well be the setting up; it must be surer than one among others.
    """
    duration_s, ticks = offset_s - onset_s, max(candidate.ticks, 1)
    if duration_s < settings.duration_min_s:
        return Status.RETRACTED, Reason.TOO_SHORT
    if duration_s > settings.duration_max_s:
        return Status.ATTEMPT, Reason.TOO_LONG
    if candidate.activity / ticks < settings.activity_min:
        return Status.RETRACTED, Reason.NOT_EXERCISE
    begun_midway = candidate.at_start and candidate.begun > settings.begun_share * candidate.peak
    if candidate.half or begun_midway:
        return Status.ATTEMPT, Reason.INTERRUPTED
    if candidate.seen / ticks < settings.seen_min:
        return Status.ATTEMPT, Reason.LOW_VISIBILITY
    if candidate.peak < settings.range_min:
        return Status.ATTEMPT, Reason.PARTIAL_RANGE
    drifting = duration_s > settings.slow_s and not candidate.named()
    wanted = settings.first_slow_min if drifting else settings.first_confidence_min
    if first and candidate.confidence() < wanted:
        return Status.RETRACTED, Reason.NOT_EXERCISE
    small = usual_amplitude is not None and candidate.amplitude() < settings.amplitude_share_min * usual_amplitude
    if small and candidate.peak < settings.range_sure:
        return Status.ATTEMPT, Reason.PARTIAL_RANGE
    return Status.CONFIRMED, None
