"""From what the network says, tick by tick, to repetitions: a few explicit steps, each of them causal.

1. ``Smoother``      a light exponential average of phase and progress
2. ``TrackDecoder``  phase order with hysteresis: rest → out (→ hold) → back → rest; closes on progress
3. ``boundaries``    boundaries to a fraction of a tick
4. ``judge``         duration, range and activity limits: what a closed candidate is

Times here are motion time: event time without frozen spans (see ``timeline``).
"""

import itertools
from collections import deque
from dataclasses import asdict
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.common.types import Reason, Status
from services.segment.core.boundaries import locate_offset, locate_onset, peak
from services.segment.core.candidate import Candidate, Decision, Sample, Settings, judge
from services.segment.core.network import Reading
from services.segment.core.resample import TICK_S

F32 = NDArray[np.float32]

RING: Final = 45
"""Ticks of the past that boundaries are looked for in."""

OFFSET_BACK_S: Final = 2 * TICK_S
"""An offset is never placed further back than this when it is decided: part of the fixed lag."""

_PAIR: Final = 2
"""Ticks that are averaged where the body's own motion is looked at."""


class Mode(StrEnum):
    REST = "rest"
    OUT = "out"
    BACK = "back"


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


def _rounded(values: F32) -> NDArray[np.float16]:
    """What is remembered for seconds, at half the size."""
    return np.clip(values, -6e4, 6e4).astype(np.float16)


class TrackDecoder:
    """The decoder of one body. ``usual_amplitude`` is set by the owner after each confirmed repetition."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.usual_amplitude: float | None = None
        self.last_counted_s = -1e9
        self.reset()

    def reset(self) -> None:
        """Forgets the motion (a cut, a new start); not the set."""
        self.smoother = Smoother(self.settings.smoothing)
        self.ring: deque[Sample] = deque(maxlen=RING)
        self.mode = Mode.REST
        self.candidate: Candidate | None = None
        self.rested = False  # rest was seen since the start
        self.started_s = 1e9  # time of the first tick since
        self.last_offset_s = -1e9

    def step(self, time_s: float, reading: Reading, seen: float, pose: F32) -> list[Decision]:
        """One tick: what the network says of ``time_s``, the share of joints seen, and the places (P,)."""
        sample = self._sample(time_s, reading, seen, pose)
        self.ring.append(sample)
        self.started_s = min(self.started_s, time_s)
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
            time_s, 1.0 - rest, out, back, hold, onset, turn, offset, progress, reading.activity, seen, _rounded(pose),
            _rounded(reading.exercise), reading.elapsed_s,
        )  # fmt: skip

    def _maybe_open(self, sample: Sample) -> None:
        if sample.out >= self.settings.out_on and sample.out > sample.back:
            self._open(*locate_onset(list(self.ring), self.last_offset_s), Mode.OUT)
        elif not self.rested and sample.back >= self.settings.late_back:
            self._open(self.ring[0].time_s, True, Mode.BACK)
            if self.candidate:
                self.candidate.half = True
        elif sample.back >= self.settings.late_back and sample.progress >= 0.5 * self.settings.range_min:
            self._open_late()

    def _open_late(self) -> None:
        """The way out was not noticed, or not believed; the way back is plain: looks for the way out in what is
        remembered since the last repetition that counts."""
        past = [s for s in self.ring if s.time_s > self.last_counted_s]
        if not past:
            return
        top = max(range(len(past)), key=lambda i: past[i].progress)
        low = [i for i in range(top) if past[i].progress < self.settings.close_share * past[top].progress]
        if past[top].progress < self.settings.range_min or not low:
            return
        start = max(low[-1] - 3, 0)
        height, time_s = peak(past[start : top + 1], "onset")
        self._open(time_s if height >= 0.1 else past[low[-1]].time_s, False, Mode.BACK)
        assert self.candidate is not None
        self.candidate.low, self.candidate.low_s = past[-1].progress, past[-1].time_s

    def _open(self, onset_s: float, sure: bool, mode: Mode) -> None:
        self.candidate, self.mode = Candidate(onset_s=onset_s, low_s=onset_s, sure=sure), mode
        since = [s for s in self.ring if s.time_s >= onset_s - 0.5 * TICK_S]
        first = since[0] if since else self.ring[-1]
        self.candidate.onset_pose, self.candidate.begun = first.pose, first.progress
        self.candidate.at_start = not self.rested and first.time_s <= self.ring[0].time_s + 2 * TICK_S
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
            return made
        candidate.quiet_ticks = candidate.quiet_ticks + 1 if sample.away < self.settings.away_off else 0
        if candidate.quiet_ticks >= self.settings.quiet_ticks:  # it never went far, or came back unnoticed
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
        if not again and candidate.nearing_ticks < settings.nearing_ticks and self._nearing(candidate):
            candidate.nearing_ticks += 1
            return made
        if sample.progress < settings.close_share * candidate.peak or candidate.closing_ticks:
            candidate.closing_ticks += 1
        ring = list(self.ring)
        passed = len(ring) > 1 and ring[-2].offset >= 0.3 and ring[-1].offset < ring[-2].offset
        nearly = candidate.closing_ticks > 0
        at_rest = sample.away < settings.away_off
        # A pause on the last stretch looks nearly back; while the way back is plain, its end is waited for.
        patience = settings.moving_ticks if sample.back >= settings.moving_back else settings.close_ticks
        if at_rest or (nearly and passed and sample.back < settings.moving_back) or candidate.closing_ticks > patience:
            made += self._close(locate_offset(ring, candidate.turn_s()))
        return made

    def _nearing(self, candidate: Candidate) -> bool:
        """Whether the body itself is still plainly on its way to where it began, whatever the network says: the foot
        of a lunge comes home after the knees are straight."""
        if len(self.ring) < 2 * _PAIR:
            return False
        recent = [candidate.remaining(s.pose) for s in itertools.islice(self.ring, len(self.ring) - 2 * _PAIR, None)]
        was, now = sum(recent[:_PAIR]) / _PAIR, sum(recent[_PAIR:]) / _PAIR
        return now > self.settings.nearing_min and was - now > self.settings.nearing_rate * _PAIR

    def _touch(self, candidate: Candidate) -> list[Decision]:
        """The next way out began without a rest: one repetition ends where the other begins."""
        ring = list(self.ring)
        recent = [s for s in ring if s.time_s >= candidate.low_s - 4 * TICK_S]
        height, time_s = peak(recent, "offset")
        offset_s = time_s if height >= 0.3 else candidate.low_s
        made = self._close(offset_s)
        self._open(*locate_onset(ring, self.last_offset_s), Mode.OUT)
        return made + self._maybe_announce(ring[-1])

    def _exercise(self, candidate: Candidate) -> F32:
        return np.asarray(candidate.exercise / max(candidate.ticks, 1), np.float32)

    def _close(self, offset_s: float) -> list[Decision]:
        candidate = self.candidate
        assert candidate is not None
        offset_s = max(offset_s, self.ring[-1].time_s - OFFSET_BACK_S)
        onset_s = candidate.settled_onset_s(max(self.last_counted_s, self.started_s))
        first = onset_s - self.last_counted_s > self.settings.first_gap_s
        status, reason = judge(candidate, onset_s, offset_s, self.settings, self.usual_amplitude, first)
        if status is Status.CONFIRMED:
            self.last_counted_s = offset_s
        return self._end(candidate, onset_s, offset_s, status, reason)

    def _drop(self, sample: Sample, status: Status, reason: Reason) -> list[Decision]:
        candidate = self.candidate
        assert candidate is not None
        onset_s = candidate.settled_onset_s(max(self.last_counted_s, self.started_s))
        return self._end(candidate, onset_s, sample.time_s, status, reason)

    def _end(
        self, candidate: Candidate, onset_s: float, offset_s: float, status: Status, reason: Reason | None
    ) -> list[Decision]:
        self.candidate, self.mode, self.last_offset_s = None, Mode.REST, offset_s
        self.rested = True
        if not candidate.announced and status is not Status.CONFIRMED:
            return []  # it never was a candidate to anyone
        turn_s = float(np.clip(candidate.turn_s(), onset_s, offset_s))
        return [
            Decision(
                status, onset_s, turn_s, offset_s, reason,
                first_onset_s=candidate.onset_s,
                confidence=candidate.confidence(),
                hold_s=candidate.hold_ticks * TICK_S,
                amplitude=candidate.amplitude(),
                exercise=self._exercise(candidate),
            )
        ]  # fmt: skip

    def state(self) -> dict[str, Any]:
        return {
            "usual_amplitude": self.usual_amplitude,
            "smooth": self.smoother.value,
            "ring": _pack_ring(self.ring),
            "mode": self.mode.value,
            "candidate": asdict(self.candidate) if self.candidate else None,
            "rested": self.rested,
            "last_counted_s": self.last_counted_s,
            "last_offset_s": self.last_offset_s,
            "started_s": self.started_s,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.reset()
        self.usual_amplitude = state["usual_amplitude"]
        self.smoother.value = state["smooth"]
        self.ring.extend(_unpack_ring(state["ring"]))
        self.mode = Mode(state["mode"])
        self.candidate = Candidate(**state["candidate"]) if state["candidate"] else None
        self.rested, self.last_offset_s = state["rested"], state["last_offset_s"]
        self.last_counted_s, self.started_s = state["last_counted_s"], state["started_s"]


_NUMBERS: Final = (
    "time_s", "away", "out", "back", "hold", "onset", "turn", "offset", "progress", "activity", "seen", "elapsed_s",
)  # fmt: skip


def _pack_ring(ring: deque[Sample]) -> dict[str, Any]:
    """The samples as three arrays: a snapshot stays small."""
    return {
        "numbers": np.array([[getattr(s, name) for name in _NUMBERS] for s in ring], np.float64),
        "poses": [s.pose for s in ring],
        "exercises": [s.exercise for s in ring],
    }


def _unpack_ring(state: dict[str, Any]) -> list[Sample]:
    rows = zip(state["numbers"], state["poses"], state["exercises"], strict=True)
    return [
        Sample(**{n: float(v) for n, v in zip(_NUMBERS, numbers, strict=True)}, pose=pose, exercise=exercise)
        for numbers, pose, exercise in rows
    ]
