"""The segment stage: poses in, repetitions out. Sans I/O, in event time, several bodies at once."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from services.common.errors import ConfigError, InputError
from services.common.processor import Mark, MarkKind
from services.common.types import (
    NetworkTrace,
    Phases,
    PoseFrame,
    PoseWindow,
    Reason,
    Repetition,
    Status,
    StreamKey,
)
from services.segment.core.decoder import Decision
from services.segment.core.network import (
    ECCENTRIC_FIRST,
    EXERCISES,
    TARGET_DELAY_TICKS,
    RecurrentNetwork,
    read,
    step_both_ways,
)
from services.segment.core.resample import TICK_S
from services.segment.core.state import pack, unpack
from services.segment.core.timeline import Timeline
from services.segment.core.track import Track

FIXED_LAG_S: Final = 0.5
"""What is said of t never depends on input after t + FIXED_LAG_S (but for the end of the input itself)."""

ABSENT_S: Final = 1.5
"""A body not seen for this long sleeps: its repetition in progress is an attempt."""
_FORGET_S: Final = 60.0
_BEFORE_S: Final = 0.3
_VERSION: Final = 1

Output = Repetition | NetworkTrace


class SegmentProcessor:
    """``Processor[PoseFrame, Repetition | NetworkTrace]`` of one stream session.

    ``exercise``: id when the user said what it is, None to recognise it. ``trace``: also emit what the network says.
    Raises ConfigError for an unknown exercise, InputError for time that runs backwards or another stream's item.
    """

    def __init__(self, network: RecurrentNetwork, *, exercise: str | None = None, trace: bool = False) -> None:
        if exercise is not None and exercise not in EXERCISES:
            raise ConfigError(f"Unknown exercise '{exercise}'; known are {', '.join(EXERCISES)}.")
        self._network = network
        self._exercise = exercise
        self._trace = trace
        self._stream: StreamKey | None = None
        self._timeline = Timeline()
        self._now_s = -np.inf  # event time: the watermark
        self._tracks: dict[int, Track] = {}

    def on_item(self, item: PoseFrame) -> Sequence[Output]:
        self._check(item.stream, item.time_s)
        out: list[Output] = []
        if item.cut:
            for track in self._sorted():
                out += self._flush(track, Reason.INTERRUPTED)
        time_s = self._timeline.frame(item.time_s, item.frozen)
        self._now_s = item.time_s
        if not item.frozen:
            step_px = max(item.width_px, item.height_px, 1) / 30000.0
            for person in item.people:
                self._track(person.track_id, step_px).push(time_s, person.keypoints, person.scores)
        out += self._advance(time_s)
        for track_id in item.ended:
            gone = self._tracks.pop(track_id, None)
            if gone is not None:
                out += self._flush(gone, Reason.OUT_OF_FRAME)
        return out

    def on_mark(self, mark: Mark) -> Sequence[Output]:
        self._check(mark.stream, mark.time_s)
        self._now_s = mark.time_s
        if mark.kind is MarkKind.HEARTBEAT:
            return self._advance(self._timeline.motion(mark.time_s))
        out: list[Output] = []
        reason = Reason.INTERRUPTED if mark.kind is MarkKind.EOF else Reason.OUT_OF_FRAME
        for track in self._sorted():
            out += self._flush(track, reason)
        return out

    def snapshot(self) -> bytes:
        return pack(
            {
                "version": _VERSION,
                "stream": [self._stream.tenant, self._stream.stream_id, self._stream.session_id]
                if self._stream
                else None,
                "exercise": self._exercise,
                "now_s": None if self._now_s == -np.inf else self._now_s,
                "timeline": self._timeline.state(),
                "tracks": [t.state() for t in self._sorted()],
            }
        )

    def restore(self, state: bytes) -> None:
        tree = unpack(state)
        if tree.get("version") != _VERSION:
            raise InputError("The snapshot of the segment stage is of another version; start the stream anew.")
        self._stream = StreamKey(*tree["stream"]) if tree["stream"] else None
        self._exercise = tree["exercise"]
        self._now_s = -np.inf if tree["now_s"] is None else tree["now_s"]
        self._timeline = Timeline()
        self._timeline.load(tree["timeline"])
        size = self._network.state_size
        tracks = [Track.of(t, size, self._exercise) for t in tree["tracks"]]
        self._tracks = {t.track_id: t for t in tracks}

    def _check(self, stream: StreamKey, time_s: float) -> None:
        if self._stream is None:
            self._stream = stream
        if stream != self._stream:
            raise InputError(f"This processor works on {self._stream}, the item belongs to {stream}.")
        if not np.isfinite(time_s) or time_s < self._now_s:
            raise InputError(f"Time runs backwards in {stream}: {time_s:.3f} s after {self._now_s:.3f} s.")

    def _sorted(self) -> list[Track]:
        return [self._tracks[i] for i in sorted(self._tracks)]

    def _track(self, track_id: int, step_px: float) -> Track:
        if track_id not in self._tracks:
            self._tracks[track_id] = Track(track_id, self._network.state_size, step_px, self._exercise)
        return self._tracks[track_id]

    def _advance(self, time_s: float) -> list[Output]:
        """All ticks that are complete at motion time ``time_s``, the tracks of a tick together."""
        out: list[Output] = []
        while True:
            awake = [t for t in self._sorted() if t.awake and t.tick_time_s() + TICK_S <= time_s + 1e-9]
            if not awake:
                break
            first = min(t.next_tick for t in awake)
            out += self._tick([t for t in awake if t.next_tick == first])
        for track in self._sorted():
            if track.awake and time_s - track.last_seen_s > ABSENT_S:
                out += self._flush(track, Reason.OUT_OF_FRAME)
            elif not track.awake and time_s - track.last_seen_s > _FORGET_S and track.last_seen_s > -1e8:
                self._tracks.pop(track.track_id)
        return out

    def _tick(self, tracks: list[Track], still: bool = False, ending: bool = False) -> list[Output]:
        """One tick of some tracks through the network and their decoders. ``ending``: nothing later is to come."""
        features = np.concatenate([t.features(still) for t in tracks])
        state = np.stack([t.network_state for t in tracks])
        raw, following = step_both_ways(self._network, features, state)
        out: list[Output] = []
        for track, row, new in zip(tracks, raw, following, strict=True):
            track.network_state = new
            spoken_of = track.spoken_of()
            if spoken_of is None:
                continue
            time_s, seen, pose = spoken_of
            reading = read(row)
            if self._trace:
                assert self._stream is not None
                out.append(
                    NetworkTrace(
                        self._stream, track.track_id, self._timeline.event(time_s), reading.phase,
                        reading.events, reading.progress, reading.activity,
                    )
                )  # fmt: skip
            out += self._repetitions(track, track.decoder.step(time_s, reading, seen, pose), ending)
        return out

    def _flush(self, track: Track, reason: Reason) -> list[Output]:
        """Everything that is still in the pipe of a track whose motion ends here, then its candidate's fate."""
        out: list[Output] = []
        if track.awake:
            while track.tick_time_s() <= track.last_seen_s + 1e-9:
                out += self._tick([track], ending=True)
            for _ in range(min(TARGET_DELAY_TICKS, len(track.waiting))):
                out += self._tick([track], still=True, ending=True)
            out += self._repetitions(track, track.decoder.finish(reason), ending=True)
        last_seen_s = track.last_seen_s
        track.rest_start()
        track.last_seen_s = last_seen_s
        return out

    def _repetitions(self, track: Track, decisions: Iterable[Decision], ending: bool) -> list[Output]:
        return [self._repetition(track, d, ending) for d in decisions]

    def _repetition(self, track: Track, decision: Decision, ending: bool) -> Repetition:
        """The event of a decision, in event time; a confirmed one is counted in its set."""
        assert self._stream is not None
        onset_s = self._timeline.event(decision.onset_s, late=True)
        exercise, probability = track.sets.exercise(decision, onset_s)
        set_index, index = track.sets.place(onset_s)
        named_s = onset_s
        if decision.first_onset_s is not None:
            named_s = self._timeline.event(decision.first_onset_s, late=True)
        key = f"{self._stream}/{track.track_id}/{round(named_s * 1000)}"
        event = Repetition(
            id=hashlib.sha256(key.encode()).hexdigest()[:16],
            stream=self._stream,
            track_id=track.track_id,
            status=decision.status,
            onset_s=onset_s,
            decided_s=self._now_s,
            set_index=set_index,
            index=index,
            exercise=exercise,
            exercise_probability=probability,
            confidence=decision.confidence,
            reason=decision.reason,
        )
        if decision.status is Status.PROVISIONAL or decision.offset_s is None or decision.turn_s is None:
            return event
        back_s = decision.offset_s
        if not ending:  # at low frame rates a tick is complete late
            back_s = max(back_s, self._timeline.motion(self._now_s) - FIXED_LAG_S)
        offset_s = max(self._timeline.event(back_s), onset_s)
        turn_s = min(max(self._timeline.event(decision.turn_s), onset_s), offset_s)
        phases = _phases(decision, exercise, track.sets.rest_s(onset_s))
        event = replace(event, turn_s=turn_s, offset_s=offset_s, phases=phases)
        if decision.status is Status.RETRACTED:
            return event
        if decision.status is Status.CONFIRMED:
            set_index, index = track.sets.confirm(decision, onset_s, offset_s)
            track.decoder.usual_amplitude = track.sets.usual_amplitude()
            event = replace(event, set_index=set_index, index=index)
        return replace(event, window=self._window(track, decision))

    def _window(self, track: Track, decision: Decision) -> PoseWindow | None:
        assert decision.offset_s is not None
        cut = track.recorder.cut(decision.onset_s - _BEFORE_S, decision.offset_s + TICK_S)
        if cut is None:
            return None
        return replace(cut, times_s=np.array([self._timeline.event(float(t)) for t in cut.times_s]))


def _phases(decision: Decision, exercise: str, rest_s: float) -> Phases:
    """Durations of the parts in motion time; the hold is taken evenly from both sides of the turn."""
    assert decision.turn_s is not None
    assert decision.offset_s is not None
    out_s = max(0.0, decision.turn_s - decision.onset_s - 0.5 * decision.hold_s)
    back_s = max(0.0, decision.offset_s - decision.turn_s - 0.5 * decision.hold_s)
    if exercise in ECCENTRIC_FIRST:
        out_s, back_s = back_s, out_s
    return Phases(concentric_s=out_s, hold_s=decision.hold_s, eccentric_s=back_s, rest_s=rest_s)
