"""From what an analysis found to the documents of ``schema``. No NaN gets through; numbers are rounded."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from services.common.types import Assessment, Repetition, Status
from services.local.report import schema
from services.local.results import AnalysisResult, PersonResult, SetSummary

_DIGITS_BY_SUFFIX = {"deg": 1, "s": 3, "ms": 1, "px": 1, "fps": 2, "mb": 1, "bytes": 0}


def build_report(result: AnalysisResult) -> schema.Report:
    """The report of one video."""
    source = result.source
    return schema.Report(
        source=schema.Source(
            uri=source.uri,
            duration_s=number(source.duration_s, 3),
            fps=number(source.fps, 3) or 0.0,
            width_px=source.width_px,
            height_px=source.height_px,
        ),
        warnings=[schema.Warning_(code=w.code, text=w.text) for w in result.warnings],
        people=[_person(person) for person in sorted(result.people, key=lambda p: p.track_id)],
        timings={k: v for k, v in _by_suffix(result.timings).items() if v is not None},
    )


def build_segment(fps: float, repetitions: Sequence[Repetition]) -> schema.SegmentDocument:
    """The repetitions of one pose sequence whose frame i is at i / fps; events that are not final are left out."""
    return schema.SegmentDocument(
        fps=fps, repetitions=[_sequence_repetition(r, None, fps) for r in _final(repetitions)]
    )


def build_assess(
    fps: float,
    repetitions: Sequence[Repetition],
    assessments: Sequence[Assessment],
    *,
    whole_sequence: bool = False,
) -> schema.AssessDocument:
    """The same with verdicts. ``whole_sequence``: the only repetition stands for all of the sequence."""
    verdicts = {assessment.repetition.id: assessment for assessment in assessments}
    return schema.AssessDocument(
        fps=fps,
        repetitions=[
            _sequence_repetition(r, verdicts.get(r.id), fps, whole_sequence=whole_sequence) for r in _final(repetitions)
        ],
    )


def number(value: float | None, digits: int) -> float | None:
    """``value`` rounded; None for None, NaN and infinities; never -0.0."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits) + 0.0


def _final(events: Sequence[Repetition]) -> list[Repetition]:
    last = {event.id: event for event in events}
    final = [e for e in last.values() if e.status in (Status.CONFIRMED, Status.ATTEMPT)]
    return sorted(final, key=lambda e: (e.onset_s, e.id))


def _person(person: PersonResult) -> schema.Person:
    return schema.Person(
        track_id=person.track_id,
        first_s=round(person.first_s, 3),
        last_s=round(person.last_s, 3),
        repetitions=[
            schema.Repetition(**_repetition(r, person.assessment_of(r.id))) for r in person.final_repetitions()
        ],
        sets=[set_report(summary) for summary in person.sets],
    )


def _sequence_repetition(
    repetition: Repetition, assessment: Assessment | None, fps: float, *, whole_sequence: bool = False
) -> schema.SequenceRepetition:
    return schema.SequenceRepetition(
        **_repetition(repetition, assessment),
        onset_frame=_frame(repetition.onset_s, fps) or 0,
        turn_frame=_frame(repetition.turn_s, fps),
        offset_frame=_frame(repetition.offset_s, fps),
        whole_sequence=whole_sequence,
    )


def _frame(time_s: float | None, fps: float) -> int | None:
    return None if time_s is None else max(0, round(time_s * fps))


def _repetition(repetition: Repetition, assessment: Assessment | None) -> dict[str, Any]:
    """The fields of ``schema.Repetition``. An attempt has no verdict, whatever is handed over."""
    counts = repetition.status is Status.CONFIRMED
    given = assessment if counts else None
    phases, ranges = repetition.phases, given.range_of_motion_deg if given else {}
    return {
        "id": repetition.id,
        "index": repetition.index if counts and repetition.index >= 1 else None,
        "set": max(0, repetition.set_index),
        "exercise": repetition.exercise,
        "exercise_probability": _probability(repetition.exercise_probability),
        "status": repetition.status.value,
        "reason": None if counts or repetition.reason is None else repetition.reason.value,
        "onset_s": round(repetition.onset_s, 3),
        "turn_s": number(repetition.turn_s, 3),
        "offset_s": number(repetition.offset_s, 3),
        "phases": schema.PhaseDurations(
            concentric_s=_duration(phases.concentric_s if phases else None),
            hold_s=_duration(phases.hold_s if phases else None),
            eccentric_s=_duration(phases.eccentric_s if phases else None),
            rest_s=_duration(phases.rest_s if phases else None),
        ),
        "range_of_motion_deg": schema.SidePair(
            left=number(ranges.get("left"), 1), right=number(ranges.get("right"), 1)
        ),
        "asymmetry": number(given.asymmetry, 3) if given else None,
        "measures": _by_suffix(given.measures) if given else {},
        "assessment": _verdict(given) if given else None,
    }


def _verdict(assessment: Assessment) -> schema.Verdict:
    worst_first = sorted(assessment.errors, key=lambda e: (-e.severity, e.code, e.side or ""))
    return schema.Verdict(
        score=min(100.0, max(0.0, number(assessment.score, 1) or 0.0)),
        errors=[
            schema.Error(
                code=error.code,
                severity=_probability(error.severity),
                probability=_probability(error.probability),
                value=number(error.value, 3),
                limit=number(error.limit, 3),
                unit=error.unit,
                side=error.side,  # type: ignore[arg-type]  # pydantic checks it
                at_s=number(error.at_s, 3),
            )
            for error in worst_first
        ],
        not_observable=list(assessment.not_observable),
        cue=assessment.cue,
    )


def set_report(summary: SetSummary) -> schema.SetReport:
    """One set as the report shows it."""
    return schema.SetReport(
        set=summary.set_index,
        exercise=summary.exercise,
        repetitions=summary.repetitions,
        onset_s=number(summary.onset_s, 3),
        offset_s=number(summary.offset_s, 3),
        tempo_s=_duration(summary.tempo_s),
        tempo_cv=number(summary.tempo_cv, 3),
        range_of_motion_deg=number(summary.range_of_motion_deg, 1),
        symmetry=number(summary.symmetry, 3),
        velocity_loss=number(summary.velocity_loss, 3),
        range_loss=number(summary.range_loss, 3),
        tempo_drift=number(summary.tempo_drift, 3),
    )


def _duration(value: float | None) -> float | None:
    rounded = number(value, 3)
    return None if rounded is None else max(0.0, rounded)


def _probability(value: float) -> float:
    return min(1.0, max(0.0, number(value, 3) or 0.0))


def _by_suffix(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Each value rounded to what its name's unit deserves; ratios to 4 digits."""
    return {name: number(v, _DIGITS_BY_SUFFIX.get(name.rsplit("_", 1)[-1], 4)) for name, v in values.items()}
