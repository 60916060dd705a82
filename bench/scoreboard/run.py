"""Our method on a stream of poses: segment and errors as the pipeline chains them, no class given."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from bench.scoreboard.metrics import FoundRep
from services.common.processor import Mark, MarkKind
from services.common.types import LOCAL_STREAM, Assessment, NetworkTrace, PoseFrame, Repetition, Status
from services.errors.core.catalogue import Catalogue
from services.errors.core.processor import AssessProcessor
from services.segment.core.network import RecurrentNetwork
from services.segment.core.processor import SegmentProcessor


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one stream: of the person with most confirmed repetitions."""

    found: list[FoundRep]
    attempts: list[Repetition]
    traces: list[NetworkTrace]
    tracks: int

    @property
    def exercise(self) -> str:
        """What most of the repetitions were taken for; ``none`` without any."""
        names = Counter(f.exercise or "unknown" for f in self.found)
        return names.most_common(1)[0][0] if names else "none"


def run_stream(
    frames: Iterable[PoseFrame],
    network: RecurrentNetwork,
    catalogue: Catalogue,
    end_s: float,
    *,
    exercise: str | None = None,
    strictness: float = 0.5,
    trace: bool = False,
) -> Outcome:
    """Poses through both stages, item by item, then the end of the input at ``end_s``."""
    segment = SegmentProcessor(network, exercise=exercise, trace=trace)
    errors = AssessProcessor(catalogue, strictness)
    events: list[Repetition] = []
    traces: list[NetworkTrace] = []
    verdicts: dict[str, Assessment] = {}

    def take(outputs: Iterable[Repetition | NetworkTrace]) -> None:
        for output in outputs:
            if isinstance(output, NetworkTrace):
                traces.append(output)
                continue
            events.append(output)
            for assessment in errors.on_item(output):
                verdicts[output.id] = assessment

    for frame in frames:
        take(segment.on_item(frame))
    take(segment.on_mark(Mark(LOCAL_STREAM, MarkKind.EOF, end_s)))
    confirmed = [e for e in events if e.status is Status.CONFIRMED]
    counts = Counter(e.track_id for e in confirmed)
    main = max(counts, key=lambda t: (counts[t], -t), default=None)
    return Outcome(
        [found_rep(e, verdicts.get(e.id)) for e in confirmed if e.track_id == main],
        [e for e in events if e.status is Status.ATTEMPT and (main is None or e.track_id == main)],
        [t for t in traces if main is None or t.track_id == main],
        len({e.track_id for e in events}),
    )


def found_rep(event: Repetition, verdict: Assessment | None) -> FoundRep:
    """A confirmed repetition and its verdict, as the metrics take it."""
    assert event.offset_s is not None
    return FoundRep(
        event.onset_s,
        event.offset_s,
        event.turn_s,
        event.decided_s,
        event.exercise,
        tuple(e.code for e in verdict.errors) if verdict else (),
        verdict.score if verdict else None,
        verdict.not_observable if verdict else (),
    )
