"""What the terminal shows of one result."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.common.types import Repetition, Status
from services.local.results import AnalysisResult, PersonResult

LISTED: Final = 60
"""So many repetitions of one person are told one by one; of more only how often each mistake was made."""


def of_result(result: AnalysisResult, folder: Path) -> str:
    """Some lines of plain text: who did what how often, what was wrong, and where the report is."""
    source, t = result.source, result.timings
    length = f"{source.duration_s:.1f} s, " if source.duration_s is not None else ""
    lines = [
        f"{source.uri}: {length}{source.width_px}×{source.height_px}, {source.fps:.4g} frames/s; "
        f"analysed in {t['analysis_s']:.1f} s ({t['frames_per_s']:.0f} frames/s)"
    ]
    lines += [f"  warning: {w.text}" for w in result.warnings]
    lines += [line for person in result.people for line in _person(person)]
    lines.append(f"  report: {folder / 'report.html'}")
    return "\n".join(lines)


def _person(person: PersonResult) -> list[str]:
    final = person.final_repetitions()
    confirmed = [r for r in final if r.status is Status.CONFIRMED]
    attempts = Counter(r.reason.value if r.reason else "?" for r in final if r.status is Status.ATTEMPT)
    head = f"  person {person.track_id} ({person.first_s:.1f}–{person.last_s:.1f} s): {len(confirmed)} repetitions"
    if attempts:
        head += f", {sum(attempts.values())} attempts ({', '.join(f'{k} {v}' for k, v in attempts.items())})"
    lines = [head]
    for summary in person.sets:
        tempo = f", {summary.tempo_s:.1f} s each" if summary.tempo_s is not None else ""
        lines.append(f"    set {summary.set_index}: {summary.repetitions} × {summary.exercise}{tempo}")
    if len(confirmed) > LISTED:
        return [*lines, *_mistakes(person, confirmed)]
    for r in confirmed:
        a = person.assessment_of(r.id)
        if a is None:
            continue
        wrong = ", ".join(e.code for e in a.errors) or "clean"
        cue = f" → {a.cue}" if a.cue else ""
        lines.append(
            f"    {r.set_index}.{r.index:<2} {r.onset_s:6.1f}–{r.offset_s or r.onset_s:.1f} s  {r.exercise}  "
            f"{a.score:3.0f}  {wrong}{cue}"
        )
    return lines


def _mistakes(person: PersonResult, confirmed: Sequence[Repetition]) -> list[str]:
    """How often each mistake was made, the commonest first."""
    assessed = [a for r in confirmed if (a := person.assessment_of(r.id)) is not None]
    codes = Counter(e.code for a in assessed for e in a.errors)
    clean = sum(not a.errors for a in assessed)
    return [f"    clean {clean}×", *(f"    {code} {n}×" for code, n in codes.most_common())]
