"""Logs of undisturbed runs, made up, and what can go wrong with them: the invariant checker is tested with both."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from services.common import topics
from services.common.processor import MarkKind
from services.common.types import Status, StreamKey
from services.ingest.core.lifecycle import StreamState
from services.local.stack.invariants import Expected, Law, Reference
from services.local.stack.seen import Answer, Kind, Seen, Transition

START_UNIX_MS = 1_700_000_000_000
FPS = 10.0


class LogMaker:
    """Writes records as the services would: per topic one partition per stream."""

    def __init__(self) -> None:
        self.log: list[Seen] = []
        self._offsets: dict[tuple[str, int], int] = {}

    def add(self, topic: str, partition: int, stream: StreamKey, kind: Kind, time_s: float, **more: object) -> None:
        offset = self._offsets.get((topic, partition), 0)
        self._offsets[topic, partition] = offset + 1
        self.log.append(Seen(topic, partition, offset, stream, kind, time_s, **more))  # type: ignore[arg-type]


def write_stream(
    maker: LogMaker, partition: int, key: StreamKey, *, live: bool, frames: int, repetitions: Sequence[Status]
) -> None:
    """One session from its first frame to its end; the repetitions are spread over it."""
    source = topics.FRAMES_LIVE if live else topics.FRAMES_FILE
    events = [(StreamState.ADDED, StreamState.CONNECTING)]
    events += [(StreamState.CONNECTING, StreamState.LIVE)] if live else []
    for source_state, target in events:
        told = Transition(source_state, target)
        maker.add(topics.STREAM_EVENTS, partition, key, Kind.EVENT, 0.0, transition=told)
    every = max(1, frames // (len(repetitions) + 1))
    for i in range(frames):
        time_s = i / FPS
        maker.add(source, partition, key, Kind.FRAME, time_s, sequence=i)
        if live and i % 7 == 3:
            for topic in (source, topics.POSES, topics.REPETITIONS, topics.ASSESSMENTS):
                maker.add(topic, partition, key, Kind.MARK, time_s, mark=MarkKind.HEARTBEAT)
        maker.add(topics.POSES, partition, key, Kind.POSE, time_s, sequence=i)
        done, rest = divmod(i + 1, every)
        if rest == 0 and done <= len(repetitions):
            _repetition(maker, partition, key, done, time_s + 0.01, repetitions[done - 1])
    end_s = frames / FPS
    maker.add(topics.POSES, partition, key, Kind.POSE, end_s, sequence=frames - 1, gone=(1,))  # a farewell
    for topic in (source, topics.POSES, topics.REPETITIONS, topics.ASSESSMENTS):
        maker.add(topic, partition, key, Kind.MARK, end_s, mark=MarkKind.EOF)
    last = events[-1][1]
    told = Transition(last, StreamState.ENDED, decoded=3 * frames, sent=frames, skipped=2 * frames)
    maker.add(topics.STREAM_EVENTS, partition, key, Kind.EVENT, end_s, transition=told)


def _repetition(maker: LogMaker, partition: int, key: StreamKey, number: int, time_s: float, final: Status) -> None:
    told = Answer(f"{key}#{number}", Status.PROVISIONAL, 1, time_s - 0.09, None, "squat")
    if number % 2:  # some are announced before they are decided, some are not
        maker.add(topics.REPETITIONS, partition, key, Kind.REPETITION, time_s, answer=told)
    elif final is Status.RETRACTED:
        return
    told = replace(told, status=final, offset_s=time_s)
    maker.add(topics.REPETITIONS, partition, key, Kind.REPETITION, time_s, answer=told)
    if final is Status.CONFIRMED:
        assessed = replace(told, errors=("TOO_SHALLOW",) if number % 3 == 0 else ())
        maker.add(topics.ASSESSMENTS, partition, key, Kind.ASSESSMENT, time_s, answer=assessed)


FINALS = st.sampled_from([Status.CONFIRMED, Status.CONFIRMED, Status.RETRACTED, Status.ATTEMPT])


@st.composite
def good_logs(draw: st.DrawFn) -> list[Seen]:
    """One file and one camera at least; each has confirmed repetitions."""
    maker = LogMaker()
    for i, live in enumerate([False, True, *draw(st.lists(st.booleans(), max_size=2))]):
        key = StreamKey("gym", f"{'camera' if live else 'file'}-{i}", str(START_UNIX_MS + i) if live else "f0")
        repetitions = [Status.CONFIRMED, *draw(st.lists(FINALS, max_size=4)), Status.CONFIRMED, Status.CONFIRMED]
        frames = draw(st.integers(len(repetitions) * 3, 60))
        write_stream(maker, i, key, live=live, frames=frames, repetitions=repetitions)
    return maker.log


def answers(log: Sequence[Seen]) -> Expected:
    """The log's own files as the reference."""
    files = sorted({s.name for s in log if s.topic == topics.FRAMES_FILE})
    return Expected(
        references={
            name: Reference(tuple(s.answer for s in log if s.kind is Kind.ASSESSMENT and s.name == name and s.answer))
            for name in files
        }
    )


Plant = Callable[[st.DataObject, list[Seen]], tuple[list[Seen], set[Law]]]
"""Does one wrong thing to a good log; the laws of which at least one must be named."""


def _one(data: st.DataObject, log: list[Seen], topic: str, kind: Kind, **like: object) -> Seen:
    fitting = [
        s for s in log if s.topic == topic and s.kind is kind and all(getattr(s, k) == v for k, v in like.items())
    ]
    return data.draw(st.sampled_from(fitting))


def _without(log: list[Seen], gone: Seen) -> list[Seen]:
    return [s for s in log if s is not gone]


def _again(log: list[Seen], seen: Seen) -> list[Seen]:
    """The same record once more, at its partition's end of items (before the end mark)."""
    shifted = [
        replace(s, offset=s.offset + 1)
        if s.topic == seen.topic and s.partition == seen.partition and s.offset > seen.offset
        else s
        for s in log
    ]
    return [*shifted, replace(seen, offset=seen.offset + 1)]


def _exchanged(log: list[Seen], one: Seen, other: Seen) -> list[Seen]:
    places = {id(one): other.offset, id(other): one.offset}
    return [replace(s, offset=places[id(s)]) if id(s) in places else s for s in log]


def lost(topic: str, kind: Kind, *laws: Law, **like: object) -> Plant:
    return lambda data, log: (_without(log, _one(data, log, topic, kind, **like)), set(laws))


def doubled(topic: str, kind: Kind, *laws: Law, **like: object) -> Plant:
    return lambda data, log: (_again(log, _one(data, log, topic, kind, **like)), set(laws))


def reordered(topic: str, kind: Kind, *laws: Law) -> Plant:
    """Two neighbours of one stream change places."""

    def plant(data: st.DataObject, log: list[Seen]) -> tuple[list[Seen], set[Law]]:
        one = _one(data, log, topic, kind)
        of_stream = [s for s in log if s.topic == topic and s.kind is kind and s.stream == one.stream]
        i = min(of_stream.index(one), len(of_stream) - 2)
        return _exchanged(log, of_stream[i], of_stream[i + 1]), set(laws)

    return plant


def changed(topic: str, kind: Kind, change: Callable[[Seen], Seen], *laws: Law, **like: object) -> Plant:
    def plant(data: st.DataObject, log: list[Seen]) -> tuple[list[Seen], set[Law]]:
        one = _one(data, log, topic, kind, **like)
        return [change(s) if s is one else s for s in log], set(laws)

    return plant
