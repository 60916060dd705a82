"""What a set says that no single repetition does: fatigue, consistency, symmetry."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.common.types import Assessment


@dataclass(frozen=True, slots=True)
class SetSummary:
    """One set of one track. Losses compare the last third of the repetitions with the best of the first three:
    0 none, 0.2 a fifth lost. ``tempo_drift``: share by which the last third is slower (> 0) than the first.
    ``symmetry``: 1 both sides alike, 0 one side does not move. None where it cannot be said.
    """

    track_id: int
    set_index: int
    exercise: str
    repetitions: int
    onset_s: float
    offset_s: float
    tempo_s: float
    tempo_cv: float | None
    concentric_s: float | None
    eccentric_s: float | None
    range_of_motion_deg: float | None
    symmetry: float | None
    velocity_loss: float | None
    range_loss: float | None
    tempo_drift: float | None
    score: float


def summarise_sets(assessments: Iterable[Assessment]) -> list[SetSummary]:
    """Group assessments by track and set, in time order, and sum each set up."""
    groups: dict[tuple[int, int], list[Assessment]] = {}
    for assessment in assessments:
        rep = assessment.repetition
        groups.setdefault((rep.track_id, rep.set_index), []).append(assessment)
    out = [_summary(sorted(group, key=lambda a: a.repetition.onset_s)) for group in groups.values()]
    return sorted(out, key=lambda s: (s.onset_s, s.track_id))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _thirds(values: Sequence[float | None]) -> tuple[list[float], list[float]] | None:
    known = [v for v in values if v is not None]
    if len(known) < 3:
        return None
    third = max(1, len(known) // 3)
    return known[:third], known[-third:]


def _loss(values: Sequence[float | None]) -> float | None:
    """Share lost from the best of the first three to the mean of the last third; 0 where nothing is lost."""
    split = _thirds(values)
    if split is None:
        return None
    best = max([v for v in values if v is not None][:3])
    last = sum(split[1]) / len(split[1])
    return round(max(0.0, 1.0 - last / best), 4) if best > 1e-9 else None


def _summary(group: Sequence[Assessment]) -> SetSummary:
    reps = [a.repetition for a in group]
    exercises = [r.exercise for r in reps]
    durations = [r.offset_s - r.onset_s for r in reps if r.offset_s is not None]
    tempo = sum(durations) / len(durations) if durations else 0.0
    spread = math.sqrt(sum((d - tempo) ** 2 for d in durations) / len(durations)) if durations else 0.0
    split = _thirds(durations)
    ranges = [_mean(list(a.range_of_motion_deg.values())) for a in group]
    asymmetry = _mean([a.asymmetry for a in group])
    drift = None
    if split is not None:
        first, last = (sum(part) / len(part) for part in split)
        drift = round(last / max(first, 1e-9) - 1.0, 4)
    return SetSummary(
        track_id=reps[0].track_id,
        set_index=reps[0].set_index,
        exercise=max(sorted(set(exercises)), key=exercises.count),
        repetitions=len(group),
        onset_s=reps[0].onset_s,
        offset_s=max(r.offset_s if r.offset_s is not None else r.onset_s for r in reps),
        tempo_s=round(tempo, 4),
        tempo_cv=round(spread / tempo, 4) if len(durations) >= 2 and tempo > 0 else None,
        concentric_s=_mean([a.measures.get("concentric_s") for a in group]),
        eccentric_s=_mean([a.measures.get("eccentric_s") for a in group]),
        range_of_motion_deg=_mean(ranges),
        symmetry=None if asymmetry is None else round(1.0 - asymmetry, 4),
        velocity_loss=_loss([a.measures.get("concentric_mean_velocity_norm") for a in group]),
        range_loss=_loss(ranges),
        tempo_drift=drift,
        score=round(sum(a.score for a in group) / len(group), 2),
    )
