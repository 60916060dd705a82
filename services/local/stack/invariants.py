"""What must hold of everything that a run left in Kafka's topics, whatever died meanwhile. Pure: lists in, faults out.

A *log* is what a reader of read_committed records saw (``seen.Seen``), in any order of topics; within a topic the
partition's offsets say what came first. ``check`` returns each law that is broken, with the stream and a sentence.

- Files: sequences without a hole once repeats are dropped; exactly one set of poses a frame, in order; the confirmed
  repetitions are those of the reference answer.
- Cameras: frames are missing only during an outage, and each one that was not analysed is counted by reason.
- All: event time never runs backwards; a repetition is announced at most once, before it is decided; decided exactly
  once; each confirmed one has exactly one assessment; an end is final; transitions are legal and in a chain.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from services.common.processor import MarkKind
from services.common.topics import ASSESSMENTS, FRAMES_FILE, FRAMES_LIVE, POSES, REPETITIONS, STREAM_EVENTS
from services.common.types import Status, StreamKey
from services.ingest.core.lifecycle import TRANSITIONS, StreamState
from services.local.stack.seen import Answer, Kind, Seen

TOPICS: Final = (FRAMES_FILE, FRAMES_LIVE, POSES, REPETITIONS, ASSESSMENTS, STREAM_EVENTS)
"""Those whose records are judged."""

_ON_THEIR_WAY: Final = 35
"""A camera's reader tells its counts once a second: so many frames may come between two of them."""
_SAME_S: Final = 1e-6
_FINAL: Final = (Status.CONFIRMED, Status.RETRACTED, Status.ATTEMPT)


class Law(StrEnum):
    """What is broken."""

    PARTITION_MOVED = "a stream's records lie in two partitions of a topic"
    TIME_BACKWARDS = "event time runs backwards"
    FRAME_LOST = "a file's frame is missing"
    FRAME_DOUBLED = "a camera's frame is there twice"
    FRAME_ORDER = "frames are out of order"
    POSE_LOST = "a file's frame has no poses"
    POSE_DOUBLED = "a frame has poses twice"
    POSE_ORDER = "poses are out of order"
    POSE_INVENTED = "poses of a frame that was never there"
    ANNOUNCED_TWICE = "a repetition is announced twice, or after it was decided"
    DECIDED_TWICE = "a repetition is decided twice"
    UNDECIDED = "an announced repetition is never decided"
    ASSESSMENT_LOST = "a confirmed repetition has no assessment"
    ASSESSMENT_DOUBLED = "a repetition is assessed twice"
    ASSESSMENT_ORDER = "assessments are not in the order of their repetitions"
    ASSESSMENT_INVENTED = "an assessment of what was not confirmed"
    END_MISSING = "the end of a session did not come through"
    END_DOUBLED = "a session ends twice"
    AFTER_END = "something follows the end of its session"
    EVENT_CHAIN = "transitions of a stream are not in a chain"
    LIVE_GAP = "a camera's frames are missing outside any outage"
    LIVE_UNCOUNTED = "a camera's frames are missing and not counted"
    ANSWER_DIFFERS = "the repetitions are not those of the reference"


@dataclass(frozen=True, slots=True)
class Violation:
    law: Law
    stream: str
    text: str

    def __str__(self) -> str:
        return f"{self.stream}: {self.law.value}: {self.text}"


@dataclass(frozen=True, slots=True)
class Outage:
    """Frames of cameras may be missing in this time (wall clock). ``counted`` False: who counts them was killed too.

    ``names``: of the streams that it is about; empty: all.
    """

    begin_unix_s: float
    end_unix_s: float
    counted: bool = True
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """The right answer of a file: assessed repetitions in order, times to be met within ``within_s``."""

    answers: tuple[Answer, ...]
    within_s: float = 1e-6


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a run beside its log.

    Args:
        references: right answers by stream name (``tenant/stream_id``).
        outages: when cameras' frames may be missing.
        skipped: of cameras, by stream name: frames that pose says it has left out.
        gap_s: frames of a camera may be so far apart without an outage.
        ended: sessions must have ended in every topic (what is read while a run goes on has not).
    """

    references: Mapping[str, Reference] = field(default_factory=dict)
    outages: Sequence[Outage] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    gap_s: float = 1.5
    ended: bool = True


NOTHING: Final = Expected()


def check(log: Iterable[Seen], expected: Expected = NOTHING) -> list[Violation]:
    """All violations, stream by stream; none = the run was right."""
    sessions: dict[StreamKey, dict[str, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    streams: dict[str, dict[str, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    for seen in sorted(log, key=lambda s: (s.topic, s.partition, s.offset)):
        sessions[seen.stream][seen.topic].append(seen)
        streams[seen.name][seen.topic].append(seen)
    found: list[Violation] = []
    for name in sorted(streams):
        found += _partitions(name, streams[name])
        found += _chain(name, streams[name][STREAM_EVENTS])
    for key in sorted(sessions, key=str):
        found += _Session(key, sessions[key], expected).check()
    for name, reference in sorted(expected.references.items()):
        found += _answer(name, streams[name][ASSESSMENTS] if name in streams else [], reference)
    return found


class _Session:
    """The laws of one session; ``by_topic``: its records in order."""

    def __init__(self, key: StreamKey, by_topic: Mapping[str, list[Seen]], expected: Expected) -> None:
        self._name, self._key, self._expected = f"{key.tenant}/{key.stream_id}", key, expected
        self._topics = {topic: by_topic.get(topic, []) for topic in TOPICS}
        self._live = bool(self._topics[FRAMES_LIVE]) and not self._topics[FRAMES_FILE]
        self._found: list[Violation] = []

    def check(self) -> list[Violation]:
        frames = self._frames()
        self._poses(frames)
        self._repetitions()
        self._assessments()
        self._ends()
        if self._live:
            self._missing(frames)
        return self._found

    def _say(self, law: Law, text: str) -> None:
        self._found.append(Violation(law, str(self._key), text))

    def _of(self, topic: str, kind: Kind) -> list[Seen]:
        return [s for s in self._topics[topic] if s.kind is kind]

    def _forwards(self, items: Iterable[Seen], *, strictly: bool) -> None:
        """Time of items (``strictly``: no two at once) and of the marks between them."""
        latest, latest_item = -math.inf, -math.inf
        for seen in items:
            late = seen.time_s < latest or (strictly and seen.kind is not Kind.MARK and seen.time_s <= latest_item)
            if late:
                self._say(Law.TIME_BACKWARDS, f"{seen.topic}@{seen.offset}: {seen.time_s:.3f} s after {latest:.3f} s")
            latest = max(latest, seen.time_s)
            if seen.kind is not Kind.MARK:
                latest_item = max(latest_item, seen.time_s)

    def _frames(self) -> list[Seen]:
        """Frames without repeats (a file's source may send some again after a fall; a camera's never)."""
        topic = FRAMES_LIVE if self._live else FRAMES_FILE
        seen_sequences: set[int] = set()
        fresh: list[Seen] = []
        marks_and_fresh: list[Seen] = []
        for seen in self._topics[topic]:
            if seen.kind is Kind.MARK:
                marks_and_fresh.append(seen)
                continue
            if seen.sequence in seen_sequences:
                if self._live:
                    self._say(Law.FRAME_DOUBLED, f"sequence {seen.sequence}")
                continue
            seen_sequences.add(seen.sequence)
            fresh.append(seen)
            marks_and_fresh.append(seen)
        numbers = [s.sequence for s in fresh]
        for before, after in pairwise(numbers):
            if after < before:
                self._say(Law.FRAME_ORDER, f"sequence {after} after {before}")
        if not self._live and numbers:
            holes = sorted(set(range(max(numbers) + 1)) - seen_sequences)
            if holes:
                self._say(Law.FRAME_LOST, f"{len(holes)} of {max(numbers) + 1} sequences, the first {holes[0]}")
        self._forwards(marks_and_fresh, strictly=True)
        return fresh

    def _analysed(self, frames: list[Seen]) -> list[Seen]:
        """Poses of frames. What pose says to a mark is none: nobody, and tracks that are gone, under the number of the
        last frame but with the mark's time; a track goes once."""
        times_s = {s.sequence: s.time_s for s in frames}
        analysed: list[Seen] = []
        gone: set[int] = set()
        for seen in self._of(POSES, Kind.POSE):
            again = bool(analysed) and seen.sequence == analysed[-1].sequence
            elsewhere = abs(seen.time_s - times_s.get(seen.sequence, seen.time_s)) > _SAME_S
            farewell = bool(seen.gone) and not seen.people and (again or elsewhere)
            if not farewell or gone.intersection(seen.gone):
                analysed.append(seen)
            gone.update(seen.gone)
        return analysed

    def _poses(self, frames: list[Seen]) -> None:
        poses = self._analysed(frames)
        counts = Counter(s.sequence for s in poses)
        for sequence, count in counts.items():
            if count > 1:
                self._say(Law.POSE_DOUBLED, f"sequence {sequence}, {count} times")
        for before, after in pairwise(poses):
            if after.sequence < before.sequence:
                self._say(Law.POSE_ORDER, f"sequence {after.sequence} after {before.sequence}")
        known = {s.sequence for s in frames}
        if known:  # the frames of cameras are kept for a minute only: who did not watch has none
            strangers = sorted(set(counts) - known)
            if strangers:
                self._say(Law.POSE_INVENTED, f"{len(strangers)} sequences, the first {strangers[0]}")
        if not self._live:
            lost = sorted(known - set(counts))
            if lost and (self._expected.ended or lost[0] < max(counts, default=-1)):
                self._say(Law.POSE_LOST, f"{len(lost)} of {len(known)} frames, the first {lost[0]}")
        farewells = {id(s) for s in self._of(POSES, Kind.POSE)} - {id(s) for s in poses}
        self._forwards([s for s in self._topics[POSES] if id(s) not in farewells], strictly=True)
        self._forwards(self._topics[POSES], strictly=False)

    def _repetitions(self) -> None:
        announced: set[str] = set()
        decided: set[str] = set()
        for answer in _answers(self._of(REPETITIONS, Kind.REPETITION)):
            if answer.status is Status.PROVISIONAL:
                if answer.id in announced or answer.id in decided:
                    self._say(Law.ANNOUNCED_TWICE, answer.id)
                announced.add(answer.id)
            elif answer.status in _FINAL:
                if answer.id in decided:
                    self._say(Law.DECIDED_TWICE, f"{answer.id}, now {answer.status}")
                decided.add(answer.id)
        if self._expected.ended or self._ended(REPETITIONS):
            for lost in sorted(announced - decided):
                self._say(Law.UNDECIDED, lost)
        self._forwards(self._topics[REPETITIONS], strictly=False)

    def _assessments(self) -> None:
        made = _answers(self._of(REPETITIONS, Kind.REPETITION))
        confirmed = [a.id for a in made if a.status is Status.CONFIRMED]
        assessed = [a.id for a in _answers(self._of(ASSESSMENTS, Kind.ASSESSMENT))]
        for repetition, count in Counter(assessed).items():
            if count > 1:
                self._say(Law.ASSESSMENT_DOUBLED, f"{repetition}, {count} times")
        for stranger in sorted(set(assessed) - set(confirmed)):
            self._say(Law.ASSESSMENT_INVENTED, stranger)
        if self._expected.ended or self._ended(ASSESSMENTS):
            for lost in sorted(set(confirmed) - set(assessed)):
                self._say(Law.ASSESSMENT_LOST, lost)
        there = set(assessed)
        if list(dict.fromkeys(a for a in assessed if a in set(confirmed))) != [
            c for c in dict.fromkeys(confirmed) if c in there
        ]:
            self._say(Law.ASSESSMENT_ORDER, f"{len(assessed)} assessments")
        self._forwards(self._topics[ASSESSMENTS], strictly=False)

    def _ended(self, topic: str) -> bool:
        return any(s.mark is MarkKind.EOF for s in self._topics[topic])

    def _ends(self) -> None:
        """The end is told once in each topic of results, and is the last word."""
        source = FRAMES_LIVE if self._live else FRAMES_FILE
        results = (POSES, REPETITIONS, ASSESSMENTS)
        if not any(self._topics[t] for t in (source, *results)):
            return  # a session that never saw a frame
        for topic in (source, *results):
            records = self._topics[topic]
            ends = [i for i, s in enumerate(records) if s.mark is MarkKind.EOF]
            if not ends:
                if self._expected.ended:
                    self._say(Law.END_MISSING, topic)
                continue
            if topic is source:
                last = max((s.sequence for s in records[: ends[0]]), default=-1)
                after = [s for s in records[ends[0] :] if s.kind is Kind.FRAME and s.sequence > last]
            else:
                after = [s for s in records[ends[0] + 1 :] if s.mark is not MarkKind.EOF]
                if len(ends) > 1:
                    self._say(Law.END_DOUBLED, f"{topic}, {len(ends)} times")
            if after:
                self._say(Law.AFTER_END, f"{topic}: {len(after)} records, the first @{after[0].offset}")

    def _missing(self, frames: list[Seen]) -> None:
        """Of a camera: when nothing was analysed, and how much of what was sent was not."""
        poses = self._analysed(frames)
        outages = [o for o in self._expected.outages if not o.names or self._name in o.names]
        started_unix_s = _started_unix_s(self._key)
        ends = [s for s in self._topics[POSES] if s.mark is MarkKind.EOF][:1]
        for before, after in pairwise([*poses, *ends]):
            span = started_unix_s + before.time_s, started_unix_s + after.time_s
            uncovered_s = _uncovered_s(*span, outages)
            if uncovered_s > self._expected.gap_s:
                text = f"{uncovered_s:.1f} s of {after.time_s - before.time_s:.1f} s after {before.time_s:.2f} s"
                self._say(Law.LIVE_GAP, text)
        analysed = {s.sequence for s in poses}
        countable = [
            s for s in frames
            if s.sequence not in analysed and not _excused(started_unix_s + s.time_s, outages)
        ]  # fmt: skip
        counted = self._expected.skipped.get(self._name, 0)
        if len(countable) > counted:
            self._say(Law.LIVE_UNCOUNTED, f"{len(countable)} frames have no poses, {counted} are counted as skipped")
        for seen in self._of(STREAM_EVENTS, Kind.EVENT):
            told = seen.transition
            assert told is not None
            if told.target is StreamState.ENDED and abs(told.decoded - told.sent - told.skipped) > _ON_THEIR_WAY:
                text = f"{told.decoded} decoded, {told.sent} sent, {told.skipped} skipped by reason"
                self._say(Law.LIVE_UNCOUNTED, text)


def _answers(items: Iterable[Seen]) -> list[Answer]:
    return [s.answer for s in items if s.answer is not None]


def _started_unix_s(key: StreamKey) -> float:
    """A camera's session is named after the wall clock at its event time 0, in ms."""
    return int(key.session_id) / 1000 if key.session_id.isdecimal() else 0.0


def _uncovered_s(begin_s: float, end_s: float, outages: Iterable[Outage]) -> float:
    """How much of a span lies in no outage."""
    left_s, at_s = 0.0, begin_s
    for outage in sorted(outages, key=lambda o: o.begin_unix_s):
        left_s += max(0.0, min(end_s, outage.begin_unix_s) - at_s)
        at_s = max(at_s, min(end_s, outage.end_unix_s))
    return left_s + max(0.0, end_s - at_s)


def _excused(unix_s: float, outages: Iterable[Outage]) -> bool:
    return any(not o.counted and o.begin_unix_s <= unix_s <= o.end_unix_s for o in outages)


def _partitions(name: str, by_topic: Mapping[str, list[Seen]]) -> list[Violation]:
    found = []
    for topic, records in by_topic.items():
        partitions = sorted({s.partition for s in records})
        if len(partitions) > 1:
            found.append(Violation(Law.PARTITION_MOVED, name, f"{topic}: {partitions}"))
    return found


def _chain(name: str, events: Sequence[Seen]) -> list[Violation]:
    """Each transition is legal and starts where the last ended; a replica that takes over starts afresh."""
    found = []
    state = StreamState.ADDED
    for seen in events:
        told = seen.transition
        assert told is not None
        begun = told.source is StreamState.ADDED
        if (told.source is not state and not begun) or told.target not in TRANSITIONS[told.source]:
            text = f"{told.source} → {told.target} when it was {state}"
            found.append(Violation(Law.EVENT_CHAIN, name, text))
        state = told.target
    return found


def _answer(name: str, assessments: Sequence[Seen], reference: Reference) -> list[Violation]:
    got, right = _answers(assessments), reference.answers
    if len(got) != len(right):
        return [Violation(Law.ANSWER_DIFFERS, name, f"{len(got)} repetitions instead of {len(right)}")]
    found = []
    for i, (one, other) in enumerate(zip(got, right, strict=True)):
        ends = (one.onset_s, other.onset_s), (one.offset_s or 0.0, other.offset_s or 0.0)
        apart_s = max(abs(a - b) for a, b in ends)
        same = (one.exercise, one.errors, one.status) == (other.exercise, other.errors, other.status)
        if apart_s > reference.within_s + 1e-9 or not same:
            text = f"repetition {i + 1}: {one.exercise} {one.onset_s:.3f} {one.errors} instead of {other}"
            found.append(Violation(Law.ANSWER_DIFFERS, name, text))
    return found
