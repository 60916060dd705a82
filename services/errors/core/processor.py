"""Repetitions in, assessments out: a stream processor (``services.common.processor``)."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.common.errors import ConfigError, InputError
from services.common.processor import Mark, MarkKind
from services.common.types import (
    LOCAL_STREAM,
    Assessment,
    PoseWindow,
    Repetition,
    Status,
)
from services.errors.core.body import Bounds
from services.errors.core.catalogue import Catalogue, ExerciseSpec
from services.errors.core.cues import next_cue
from services.errors.core.curves import BOTH, Readings, Rep
from services.errors.core.features import MEASURES, extract
from services.errors.core.learned import Evidence
from services.errors.core.measures import GENERAL, flatten, look_at, measure_all
from services.errors.core.memory import TrackMemory
from services.errors.core.registry import SET_MEASURES
from services.errors.core.rules import Verdict, evidence, judge
from services.errors.core.scoring import score
from services.errors.core.whole import find_turn

FORGET_S: Final = 600.0
"""A track not seen for this long is forgotten."""
STATE_VERSION: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """One repetition, measured and judged: what an assessment is made of."""

    rep: Rep
    readings: dict[str, Readings]
    verdict: Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One repetition, measured: ``readings`` are told, ``every`` has those that only the learned part reads besides."""

    rep: Rep
    readings: dict[str, Readings]
    every: dict[str, Readings]


class AssessProcessor:
    """Assesses confirmed repetitions; provisional, retracted and attempts give nothing.

    Args:
        catalogue: exercises and errors.
        strictness: 0 lenient .. 0.5 the published limits .. 1 strict.
    Raises:
        ConfigError: strictness outside [0, 1].
    """

    def __init__(self, catalogue: Catalogue, strictness: float = 0.5) -> None:
        if not (math.isfinite(strictness) and 0.0 <= strictness <= 1.0):
            raise ConfigError(f"strictness is {strictness}; it must lie between 0 (lenient) and 1 (strict).")
        self._catalogue = catalogue
        self._strictness = strictness
        self._tracks: dict[str, TrackMemory] = {}

    # -- the stream -----------------------------------------------------------------------------------------------

    def on_item(self, item: Repetition) -> Sequence[Assessment]:
        if item.status != Status.CONFIRMED or item.window is None or len(item.window.times_s) == 0:
            return []
        return [self._assess(item)]

    def on_mark(self, mark: Mark) -> Sequence[Assessment]:
        """Forgets tracks: all at the end, long unseen ones else."""
        stream = str(mark.stream)
        self._tracks = {
            key: track
            for key, track in self._tracks.items()
            if not key.startswith(f"{stream}#")
            or (mark.kind != MarkKind.EOF and mark.time_s - track.seen_s <= FORGET_S)
        }
        return []

    def snapshot(self) -> bytes:
        tracks = {key: track.dump() for key, track in sorted(self._tracks.items())}
        return json.dumps({"version": STATE_VERSION, "tracks": tracks}, separators=(",", ":")).encode()

    def restore(self, state: bytes) -> None:
        """
        Raises:
            InputError: not a snapshot of this processor.
        """
        try:
            loaded = json.loads(state)
            if loaded["version"] != STATE_VERSION:
                raise ValueError(f"version {loaded['version']}")
            self._tracks = {key: TrackMemory.load(track) for key, track in loaded["tracks"].items()}
        except (ValueError, KeyError, TypeError, UnicodeDecodeError) as broken:
            raise InputError(f"The assessment state cannot be restored ({broken}); start the stream afresh.") from None

    def _memory(self, item: Repetition, exercise: ExerciseSpec) -> TrackMemory:
        key = f"{item.stream}#{item.track_id}"
        memory = self._tracks.get(key)
        if memory is None or memory.exercise != exercise.id or memory.set_index != item.set_index:
            memory = TrackMemory(exercise.id, item.set_index)
            self._tracks[key] = memory
        memory.seen_s = item.offset_s if item.offset_s is not None else item.onset_s
        return memory

    # -- one repetition -------------------------------------------------------------------------------------------

    def _assess(self, item: Repetition) -> Assessment:
        exercise = self._catalogue.get(item.exercise)
        examined = self.examine(item)
        return _assessment(item, examined, next_cue(self._memory(item, exercise).cues, exercise, examined.verdict))

    def examine(self, item: Repetition) -> Examined:
        """Measure and judge one repetition that has a window, beside its set, which remembers it; no cue."""
        exercise, learned = self._catalogue.get(item.exercise), self._catalogue.learned
        known = learned is not None and exercise.id in learned.exercises
        found = self._measure(item, exercise, every=known)
        opinions = learned.opinions(exercise.id, extract(found.rep, found.every)) if learned and known else None
        verdict = judge(exercise, found.rep, found.readings, self._strictness, opinions)
        return Examined(found.rep, found.readings, verdict)

    def _measure(self, item: Repetition, exercise: ExerciseSpec, *, every: bool) -> Measured:
        assert item.window is not None
        window, memory = item.window, self._memory(item, exercise)
        rep = look_at(window, _bounds(item, window), exercise.movement, item.phases)
        readings = measure_all(rep, (n for n in (*GENERAL, *exercise.measures()) if n not in _SET_NAMES))
        more = [n for n in MEASURES if n not in readings and n not in _SET_NAMES] if every else []
        readings |= memory.compare(rep)
        return Measured(rep, readings, readings | measure_all(rep, more))

    def evidence(self, item: Repetition) -> Evidence:
        """What a repetition with a window would be judged by: for training. Its set remembers it."""
        exercise = self._catalogue.get(item.exercise)
        found = self._measure(item, exercise, every=True)
        return evidence(exercise, found.rep, found.readings, extract(found.rep, found.every))

    def assess_window(
        self,
        exercise: str,
        window: PoseWindow,
        onset_s: float | None = None,
        turn_s: float | None = None,
        offset_s: float | None = None,
    ) -> Assessment:
        """Assess one repetition outside any set (no memory, no throttle).

        Without times the whole window is taken as one repetition: onset first, offset last, turn where the exercise's
        primary angle is nearest its far end.
        """
        spec = self._catalogue.get(exercise)
        first = float(window.times_s[0]) if onset_s is None else onset_s
        last = float(window.times_s[-1]) if offset_s is None else offset_s
        item = Repetition(
            id=f"{LOCAL_STREAM}/0/{round(first * 1000)}",
            stream=LOCAL_STREAM,
            track_id=0,
            status=Status.CONFIRMED,
            onset_s=first,
            turn_s=find_turn(window, spec.movement, first, last) if turn_s is None else turn_s,
            offset_s=last,
            decided_s=last,
            index=1,
            exercise=spec.id,
            exercise_probability=1.0,
            confidence=1.0,
            window=window,
        )
        return AssessProcessor(self._catalogue, self._strictness)._assess(item)


_SET_NAMES = frozenset(SET_MEASURES)


def _bounds(item: Repetition, window: PoseWindow) -> Bounds:
    """The repetition's times, with what the segmenter left open taken from the window."""
    offset = item.offset_s if item.offset_s is not None else float(window.times_s[-1])
    turn = item.turn_s if item.turn_s is not None else (item.onset_s + offset) / 2
    return Bounds(item.onset_s, min(max(turn, item.onset_s), offset), offset)


def _assessment(item: Repetition, examined: Examined, cue: str | None) -> Assessment:
    rep, verdict = examined.rep, examined.verdict
    in_degrees = rep.movement.primary_angle != "shoulder_height"
    ranges = {s: round(r, 3) if r is not None and in_degrees else None for s, r in rep.ranges.items()}
    asymmetry = examined.readings["range_asymmetry_ratio"].get(BOTH)
    measures = flatten(examined.readings)
    measures["view_azimuth_deg"] = round(abs(rep.view.azimuth_deg), 2) if rep.view.confidence else None
    measures["view_confidence_ratio"] = rep.view.confidence
    found = sorted(verdict.named, key=lambda j: (-j.severity * j.spec.weight, j.spec.code))
    return Assessment(
        repetition=item,
        score=score(verdict.judged),
        errors=tuple(j.finding() for j in found),
        not_observable=verdict.not_observable,
        cue=cue,
        range_of_motion_deg=ranges,
        asymmetry=None if asymmetry is None else round(asymmetry.value, 4),
        measures=measures,
    )
