"""What one analysis found, in memory: the pipeline fills it, the report is made from it.

Times are event time in s of the source; places are px of the source picture after rotation, origin top-left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.common.types import F32, Assessment, NetworkTrace, Repetition, Status
from services.errors.core.sets import SetSummary

__all__ = [
    "AnalysisResult",
    "PersonResult",
    "SetSummary",
    "SourceResult",
    "Thumbnail",
    "Truth",
    "TruthRepetition",
    "WarningResult",
]

FINAL = (Status.CONFIRMED, Status.ATTEMPT)


@dataclass(frozen=True, slots=True)
class SourceResult:
    """The analysed video. Size is after rotation; ``duration_s`` is what was decoded, None where unknown."""

    uri: str
    duration_s: float | None
    fps: float
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class WarningResult:
    """Something the reader should know: ``code`` in upper snake, ``text`` one plain sentence."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """A small picture of a repetition's worst moment, without a skeleton (that is drawn by the report).

    Source px → thumbnail px: ``(p - offset_px) * scale``.
    """

    image: NDArray[np.uint8]  # (h, w, 3) RGB
    time_s: float
    offset_px: tuple[float, float]  # of the crop's top left corner, in the source
    scale: float  # thumbnail px per source px


@dataclass(slots=True, eq=False)
class PersonResult:
    """One track. ``events``: every event in the order it was made, provisional ones too; an id recurs."""

    track_id: int
    first_s: float
    last_s: float
    times_s: NDArray[np.float64]  # (T,) strictly increasing
    keypoints: F32  # (T, 17, 2) px
    scores: F32  # (T, 17)
    traces: list[NetworkTrace] = field(default_factory=list)
    events: list[Repetition] = field(default_factory=list)
    assessments: list[Assessment] = field(default_factory=list)
    sets: Sequence[SetSummary] = ()

    def final_repetitions(self) -> list[Repetition]:
        """Confirmed repetitions and attempts by onset: the last word on each id that was not retracted."""
        last = {event.id: event for event in self.events}
        return sorted((e for e in last.values() if e.status in FINAL), key=lambda e: (e.onset_s, e.id))

    def provisional_repetitions(self) -> list[Repetition]:
        """Each candidate as it was first announced, by onset."""
        first: dict[str, Repetition] = {}
        for event in self.events:
            if event.status is Status.PROVISIONAL:
                first.setdefault(event.id, event)
        return sorted(first.values(), key=lambda e: (e.onset_s, e.id))

    def retracted_repetitions(self) -> list[Repetition]:
        """Candidates that were taken back, by onset."""
        last = {event.id: event for event in self.events}
        gone = (e for e in last.values() if e.status is Status.RETRACTED)
        return sorted(gone, key=lambda e: (e.onset_s, e.id))

    def assessment_of(self, repetition_id: str) -> Assessment | None:
        """The verdict on one repetition; None for attempts."""
        return next((a for a in self.assessments if a.repetition.id == repetition_id), None)


@dataclass(frozen=True, slots=True)
class TruthRepetition:
    """A repetition as a person marked it. ``form``: wrong | correct | None where it was not judged."""

    start_s: float
    peak_s: float | None
    end_s: float
    form: str | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a clip (``--truth``). ``ignore``: spans (start_s, end_s) that count for nothing.

    ``track_id``: the person it speaks of; None = the one with most confirmed repetitions.
    """

    repetitions: tuple[TruthRepetition, ...]
    ignore: tuple[tuple[float, float], ...] = ()
    track_id: int | None = None


@dataclass(slots=True, eq=False)
class AnalysisResult:
    """All of one input. ``thumbnails`` by repetition id; ``timings``: name with unit suffix → value."""

    source: SourceResult
    warnings: list[WarningResult] = field(default_factory=list)
    people: list[PersonResult] = field(default_factory=list)
    thumbnails: dict[str, Thumbnail] = field(default_factory=dict)
    truth: Truth | None = None
    timings: dict[str, float] = field(default_factory=dict)
