"""From what the network says, tick by tick, to repetitions: a few explicit steps, each of them causal.

1. ``Smoother``      a light exponential average of phase and progress
2. ``TrackDecoder``  phase order with hysteresis: rest → out (→ hold) → back → rest; closes on progress
3. ``locate_*``      boundaries to a fraction of a tick
4. ``judge``         duration, range and activity limits: what a closed candidate is

Times here are motion time: event time without frozen spans (see ``timeline``).
"""

import itertools
from collections import deque
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.common.types import Reason, Status
from services.segment.core.network import EXERCISES, Reading
from services.segment.core.resample import TICK_S

F32 = NDArray[np.float32]

RING: Final = 20
"""Ticks of the past that boundaries are looked for in."""

OFFSET_BACK_S: Final = 2 * TICK_S
"""An offset is never placed further back than this when it is decided: part of the fixed lag."""


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
    flush_share: float = 0.35  # at the end of the input: near enough to rest to count
    sure_progress: float = 0.3
    range_min: float = 0.45
    activity_min: float = 0.3
    seen_min: float = 0.25
    duration_min_s: float = 0.3
    duration_max_s: float = 12.0
    amplitude_share_min: float = 0.4  # of the set's median


class Mode(StrEnum):
    REST = "rest"
    OUT = "out"
    BACK = "back"


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
    pose: F32
    exercise: F32


class Smoother:
    """Exponential average of phase probabilities and progress."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.value: list[float] | None = None

    def step(self, reading: Reading) -> tuple[float, float, float, float, float]:
        """rest, out, back, hold, progress."""
        now = [*(float(p) for p in reading.phase), reading.progress]
        if self.value is not None:
            now = [old + self.share * (new - old) for old, new in zip(self.value, now, strict=True)]
        self.value = now
        return now[0], now[1], now[2], now[3], now[4]


@dataclass(slots=True)
class Candidate:
    """A movement that may become a repetition."""

    onset_s: float
    half: bool = False  # its way out was not seen
    announced: bool = False
    peak: float = 0.0
    peak_s: float = 0.0
    turn_mass: float = 0.0
    turn_sum: float = 0.0
    low: float = 1.0  # least progress on the way back
    low_s: float = 0.0
    closing_ticks: int = 0
    again_ticks: int = 0
    ticks: int = 0
    activity: float = 0.0
    seen: float = 0.0
    hold_ticks: int = 0
    onset_pose: F32 = field(default_factory=lambda: np.zeros(0, np.float32))
    peak_pose: F32 = field(default_factory=lambda: np.zeros(0, np.float32))
    exercise: F32 = field(default_factory=lambda: np.zeros(len(EXERCISES), np.float32))

    def take(self, sample: Sample) -> None:
        """One more tick of it."""
        self.ticks += 1
        self.activity += sample.activity
        self.seen += sample.seen
        self.exercise = (self.exercise + sample.exercise).astype(np.float32)
        self.hold_ticks += sample.hold > max(sample.out, sample.back)
        mass = sample.turn**3
        self.turn_mass += mass
        self.turn_sum += mass * (sample.time_s - self.onset_s)
        if sample.progress > self.peak:
            self.peak, self.peak_s, self.peak_pose = sample.progress, sample.time_s, sample.pose

    def turn_s(self) -> float:
        """The far end: where the network's turn events gather, else where progress was greatest."""
        if self.turn_mass > 0.02:
            return self.onset_s + self.turn_sum / self.turn_mass
        return self.peak_s

    def amplitude(self) -> float:
        """How far the body moved between onset and far end, body sizes (root of summed squares)."""
        if not self.peak_pose.size or not self.onset_pose.size:
            return 0.0
        return float(np.sqrt(((self.peak_pose - self.onset_pose) ** 2).sum()))


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What became of a candidate. Times in s of motion time; ``exercise`` are mean log probabilities (19,)."""

    status: Status
    onset_s: float
    turn_s: float | None = None
    offset_s: float | None = None
    reason: Reason | None = None
    confidence: float = 0.0
    hold_s: float = 0.0
    amplitude: float = 0.0
    exercise: F32 = field(default_factory=lambda: np.zeros(len(EXERCISES), np.float32))


def _crossing(before: Sample, after: Sample, name: str, level: float) -> float:
    a, b = getattr(before, name), getattr(after, name)
    share = 0.5 if a == b else (level - a) / (b - a)
    return before.time_s + float(np.clip(share, 0, 1)) * (after.time_s - before.time_s)


def _peak(ring: list[Sample], name: str) -> tuple[float, float]:
    """Height of the greatest event probability and its time, refined by its neighbours' weights."""
    values = np.array([getattr(s, name) for s in ring])
    top = int(values.argmax())
    low, high = max(0, top - 1), min(len(ring), top + 2)
    weights = values[low:high]
    times = np.array([s.time_s for s in ring[low:high]])
    return float(values[top]), float((weights * times).sum() / max(weights.sum(), 1e-9))


def locate_onset(ring: list[Sample], after_s: float) -> float:
    """Where the body left rest: the onset event of the last second, else where it ceased to rest."""
    recent = [s for s in ring[-15:] if s.time_s > after_s - 0.5 * TICK_S]
    if not recent:
        return ring[-1].time_s
    height, time_s = _peak(recent, "onset")
    if height >= 0.2:
        return time_s
    for before, after in zip(reversed(recent[:-1]), reversed(recent[1:]), strict=True):
        if before.away < 0.5 <= after.away:
            return _crossing(before, after, "away", 0.5)
    return recent[0].time_s


def locate_offset(ring: list[Sample], after_s: float) -> float:
    """Where the body was back at rest: the offset event, else where it began to rest, else now."""
    recent = [s for s in ring[-8:] if s.time_s > after_s]
    if not recent:
        return ring[-1].time_s
    height, time_s = _peak(recent, "offset")
    if height >= 0.2:
        return time_s
    for before, after in itertools.pairwise(recent):
        if before.away >= 0.5 > after.away:
            return _crossing(before, after, "away", 0.5)
    return recent[-1].time_s


def judge(
    candidate: Candidate, offset_s: float, settings: Settings, usual_amplitude: float | None
) -> tuple[Status, Reason | None]:
    """What a closed candidate is. ``usual_amplitude``: the median of the set so far, if there is one."""
    duration_s, ticks = offset_s - candidate.onset_s, max(candidate.ticks, 1)
    if duration_s < settings.duration_min_s:
        return Status.RETRACTED, Reason.TOO_SHORT
    if duration_s > settings.duration_max_s:
        return Status.ATTEMPT, Reason.TOO_LONG
    if candidate.activity / ticks < settings.activity_min:
        return Status.RETRACTED, Reason.NOT_EXERCISE
    if candidate.half:
        return Status.ATTEMPT, Reason.INTERRUPTED
    if candidate.seen / ticks < settings.seen_min:
        return Status.ATTEMPT, Reason.LOW_VISIBILITY
    if candidate.peak < settings.range_min:
        return Status.ATTEMPT, Reason.PARTIAL_RANGE
    if usual_amplitude and candidate.amplitude() < settings.amplitude_share_min * usual_amplitude:
        return Status.ATTEMPT, Reason.PARTIAL_RANGE
    return Status.CONFIRMED, None


class TrackDecoder:
    """The decoder of one body. ``usual_amplitude`` is set by the owner after each confirmed repetition."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.usual_amplitude: float | None = None
        self.reset()

    def reset(self) -> None:
        """Forgets the motion (a cut, a new start); not the set."""
        self.smoother = Smoother(self.settings.smoothing)
        self.ring: deque[Sample] = deque(maxlen=RING)
        self.mode = Mode.REST
        self.candidate: Candidate | None = None
        self.rested = False  # rest was seen since the start
        self.last_offset_s = -1e9

    def step(self, time_s: float, reading: Reading, seen: float, pose: F32) -> list[Decision]:
        """One tick: what the network says of ``time_s``, the share of joints seen, and the places (P,)."""
        sample = self._sample(time_s, reading, seen, pose)
        self.ring.append(sample)
        if self.candidate is None:
            self._maybe_open(sample)
            return self._maybe_announce(sample)
        candidate = self.candidate
        candidate.take(sample)
        if sample.time_s - candidate.onset_s > self.settings.duration_max_s:
            return self._drop(sample, Status.ATTEMPT, Reason.TOO_LONG)
        if self.mode is Mode.OUT:
            return self._going_out(sample, candidate)
        return self._coming_back(sample, candidate)

    def finish(self, reason: Reason) -> list[Decision]:
        """The input ends here, or is cut: a candidate that is nearly back counts, another is an attempt."""
        candidate = self.candidate
        if candidate is None or not self.ring:
            return []
        sample = self.ring[-1]
        share = sample.progress / max(candidate.peak, 1e-6)
        if self.mode is Mode.BACK and share < self.settings.flush_share:
            return self._close(max(locate_offset(list(self.ring), candidate.turn_s()), candidate.onset_s))
        return self._drop(sample, Status.ATTEMPT, reason)

    def _sample(self, time_s: float, reading: Reading, seen: float, pose: F32) -> Sample:
        rest, out, back, hold, progress = self.smoother.step(reading)
        onset, turn, offset = (float(e) for e in reading.events)
        self.rested = self.rested or rest > 0.5
        return Sample(
            time_s, 1.0 - rest, out, back, hold, onset, turn, offset, progress, reading.activity, seen, pose,
            reading.exercise,
        )  # fmt: skip

    def _maybe_open(self, sample: Sample) -> None:
        if sample.out >= self.settings.out_on and sample.out > sample.back:
            self._open(locate_onset(list(self.ring), self.last_offset_s), Mode.OUT)
        elif not self.rested and sample.back >= 0.6:
            self._open(self.ring[0].time_s, Mode.BACK)
            if self.candidate:
                self.candidate.half = True

    def _open(self, onset_s: float, mode: Mode) -> None:
        self.candidate, self.mode = Candidate(onset_s=onset_s, low_s=onset_s), mode
        since = [s for s in self.ring if s.time_s >= onset_s - 0.5 * TICK_S]
        self.candidate.onset_pose = (since[0] if since else self.ring[-1]).pose
        for sample in since:
            self.candidate.take(sample)

    def _maybe_announce(self, sample: Sample) -> list[Decision]:
        candidate, settings = self.candidate, self.settings
        if candidate is None or candidate.announced:
            return []
        active = candidate.activity / max(candidate.ticks, 1) >= settings.activity_min
        if not active or (candidate.peak < settings.sure_progress and not candidate.half):
            return []
        candidate.announced = True
        return [Decision(Status.PROVISIONAL, candidate.onset_s, exercise=self._exercise(candidate))]

    def _going_out(self, sample: Sample, candidate: Candidate) -> list[Decision]:
        made = self._maybe_announce(sample)
        falls = sample.progress < candidate.peak - 0.05 or sample.back >= 0.6
        if sample.back >= self.settings.back_on and sample.back > sample.out and falls:
            self.mode = Mode.BACK
            candidate.low, candidate.low_s = sample.progress, sample.time_s
        elif sample.away < self.settings.away_off and candidate.peak < self.settings.range_min:
            made += self._close(sample.time_s)  # it never went far
        elif sample.away < self.settings.away_off and sample.progress < 0.5 * candidate.peak:
            made += self._close(locate_offset(list(self.ring), candidate.onset_s))
        return made

    def _coming_back(self, sample: Sample, candidate: Candidate) -> list[Decision]:
        made = self._maybe_announce(sample)
        settings = self.settings
        if sample.progress < candidate.low:
            candidate.low, candidate.low_s = sample.progress, sample.time_s
        again = sample.out > sample.back and sample.out >= settings.out_on
        candidate.again_ticks = candidate.again_ticks + 1 if again else 0
        if candidate.again_ticks >= 2:
            if candidate.half or candidate.low < settings.touch_share * candidate.peak:
                return made + self._touch(candidate)
            self.mode = Mode.OUT
            return made
        if sample.progress < settings.close_share * candidate.peak or candidate.closing_ticks:
            candidate.closing_ticks += 1
        ring = list(self.ring)
        passed = len(ring) > 1 and ring[-2].offset >= 0.3 and ring[-1].offset < ring[-2].offset
        nearly = candidate.closing_ticks > 0
        at_rest = sample.away < settings.away_off
        if at_rest or (nearly and passed) or candidate.closing_ticks > settings.close_ticks:
            made += self._close(locate_offset(ring, candidate.turn_s()))
        return made

    def _touch(self, candidate: Candidate) -> list[Decision]:
        """The next way out began without a rest: one repetition ends where the other begins."""
        ring = list(self.ring)
        recent = [s for s in ring if s.time_s >= candidate.low_s - 4 * TICK_S]
        height, time_s = _peak(recent, "offset")
        offset_s = time_s if height >= 0.3 else candidate.low_s
        made = self._close(offset_s)
        self._open(locate_onset(ring, self.last_offset_s), Mode.OUT)
        return made + self._maybe_announce(ring[-1])

    def _exercise(self, candidate: Candidate) -> F32:
        return np.asarray(candidate.exercise / max(candidate.ticks, 1), np.float32)

    def _close(self, offset_s: float) -> list[Decision]:
        candidate = self.candidate
        assert candidate is not None
        offset_s = max(offset_s, self.ring[-1].time_s - OFFSET_BACK_S)
        status, reason = judge(candidate, offset_s, self.settings, self.usual_amplitude)
        return self._end(candidate, offset_s, status, reason)

    def _drop(self, sample: Sample, status: Status, reason: Reason) -> list[Decision]:
        candidate = self.candidate
        assert candidate is not None
        self.rested = True
        return self._end(candidate, sample.time_s, status, reason)

    def _end(self, candidate: Candidate, offset_s: float, status: Status, reason: Reason | None) -> list[Decision]:
        self.candidate, self.mode, self.last_offset_s = None, Mode.REST, offset_s
        if not candidate.announced and status is not Status.CONFIRMED:
            return []  # it never was a candidate to anyone
        turn_s = float(np.clip(candidate.turn_s(), candidate.onset_s, offset_s))
        activity = candidate.activity / max(candidate.ticks, 1)
        return [
            Decision(
                status, candidate.onset_s, turn_s, offset_s, reason,
                confidence=float(np.clip(activity * min(1.0, candidate.peak / 0.8), 0, 1)),
                hold_s=candidate.hold_ticks * TICK_S,
                amplitude=candidate.amplitude(),
                exercise=self._exercise(candidate),
            )
        ]  # fmt: skip

    def state(self) -> dict[str, Any]:
        return {
            "usual_amplitude": self.usual_amplitude,
            "smooth": self.smoother.value,
            "ring": [asdict(s) for s in self.ring],
            "mode": self.mode.value,
            "candidate": asdict(self.candidate) if self.candidate else None,
            "rested": self.rested,
            "last_offset_s": self.last_offset_s,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.reset()
        self.usual_amplitude = state["usual_amplitude"]
        self.smoother.value = state["smooth"]
        self.ring.extend(Sample(**s) for s in state["ring"])
        self.mode = Mode(state["mode"])
        self.candidate = Candidate(**state["candidate"]) if state["candidate"] else None
        self.rested, self.last_offset_s = state["rested"], state["last_offset_s"]
