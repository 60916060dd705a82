"""Rendered clips through the whole pipeline: counts, boundaries, planted mistakes, clean clips left alone.

    python -m bench.rendered [--seed 0] [--only NAME] [--folder DIR] [--json FILE] [--exercise]
                             [--true nothing|poses|repetitions]

The clips (``training.render.clips``) are made on first use and kept in ``.cache``. To see which stage is to blame,
``--exercise`` tells which exercise it is, ``--true poses`` gives the true keypoints to the later stages, and
``--true repetitions`` the true boundaries and exercise besides. Definitions:

- exact: confirmed repetitions of the lifter = true repetitions.
- boundaries: true and found repetitions are matched one to one in time order by largest overlap (IoU ≥ 0.5); of all
  onsets and offsets of true repetitions, the share whose match lies within 0.2 s. A repetition not found has none.
- named: the planted mistake is among the errors of at least half of the found repetitions of a clip that has one.
- clean: share of the clips without a mistake in which no repetition is given any error.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.rendered_truth import judge_poses, judge_repetitions
from services.common.types import Status
from services.local.pipeline import AnalyzeOptions, analyze
from services.local.results import PersonResult
from training.render.cache import rendered_folder
from training.render.clips import Clip, all_clips, ensure_clips

WITHIN_S = 0.2
IOU_MIN = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """One repetition that the pipeline confirmed."""

    onset_s: float
    turn_s: float
    offset_s: float
    exercise: str
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one clip."""

    name: str
    planted: str | None
    true_count: int
    found_count: int
    onset_errors_s: list[float] = field(default_factory=list)
    offset_errors_s: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    exercises: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    people: int = 0

    @property
    def exact(self) -> bool:
        return self.true_count == self.found_count

    @property
    def boundaries_hit(self) -> int:
        return sum(abs(e) <= WITHIN_S + 1e-9 for e in (*self.onset_errors_s, *self.offset_errors_s))

    @property
    def named(self) -> bool:
        return self.planted is not None and 2 * self.errors.get(self.planted, 0) >= max(self.found_count, 1)


def found_repetitions(person: PersonResult) -> list[Found]:
    """The confirmed repetitions of one track, by onset."""
    out = []
    for event in person.final_repetitions():
        if event.status is not Status.CONFIRMED:
            continue
        assessment = person.assessment_of(event.id)
        errors = tuple(e.code for e in assessment.errors) if assessment else ()
        if event.turn_s is None or event.offset_s is None:
            raise AssertionError(f"the confirmed repetition {event.id} has no turn or no offset")
        out.append(Found(event.onset_s, event.turn_s, event.offset_s, event.exercise, errors))
    return out


def match(true: list[tuple[float, float]], found: list[Found]) -> list[tuple[int, int]]:
    """Pairs (index of true, index of found), best IoU first, one to one."""
    pairs = []
    for i, (a, b) in enumerate(true):
        for j, f in enumerate(found):
            inter = min(b, f.offset_s) - max(a, f.onset_s)
            union = max(b, f.offset_s) - min(a, f.onset_s)
            if inter > 0 and inter / union >= IOU_MIN:
                pairs.append((inter / union, i, j))
    out: list[tuple[int, int]] = []
    for _, i, j in sorted(pairs, reverse=True):
        if all(i != a and j != b for a, b in out):
            out.append((i, j))
    return sorted(out)


def score(name: str, truth: dict[str, Any], people: list[PersonResult]) -> Row:
    """One clip's row from its truth document and the people found; the one with most repetitions counts."""
    true = [r for r in truth["people"][0]["repetitions"] if r["counted"]]
    best = max(people, key=lambda p: (len(found_repetitions(p)), len(p.times_s)), default=None)
    found = found_repetitions(best) if best else []
    row = Row(name, truth.get("planted"), len(true), len(found), people=len(people))
    for i, j in match([(r["onset_s"], r["offset_s"]) for r in true], found):
        row.onset_errors_s.append(found[j].onset_s - true[i]["onset_s"])
        row.offset_errors_s.append(found[j].offset_s - true[i]["offset_s"])
    for f in found:
        row.exercises[f.exercise] = row.exercises.get(f.exercise, 0) + 1
        for code in f.errors:
            row.errors[code] = row.errors.get(code, 0) + 1
    for event in best.final_repetitions() if best else ():
        if event.status is Status.ATTEMPT:
            reason = str(event.reason)
            row.attempts[reason] = row.attempts.get(reason, 0) + 1
    return row


def run_clip(video: Path, options: AnalyzeOptions, true: str = "nothing") -> Row:
    """The row of one video. ``true``: what is given, not found: nothing | poses | repetitions (and poses)."""
    truth = json.loads(video.with_suffix(".json").read_text())
    if true == "poses":
        people = judge_poses(truth, options)
    elif true == "repetitions":
        people = judge_repetitions(truth, options)
    else:
        people = analyze(str(video), options).people
    return score(video.stem, truth, people)


def summarise(rows: list[Row]) -> dict[str, float]:
    """The four shares of the head of this file."""
    planted, clean = [r for r in rows if r.planted], [r for r in rows if not r.planted]
    boundaries = 2 * sum(r.true_count for r in rows)
    return {
        "counts_exact": sum(r.exact for r in rows) / max(len(rows), 1),
        "boundaries_within_0.2s": sum(r.boundaries_hit for r in rows) / max(boundaries, 1),
        "mistake_named": sum(r.named for r in planted) / max(len(planted), 1),
        "clean_without_error": sum(not r.errors for r in clean) / max(len(clean), 1),
    }


def _line(row: Row) -> str:
    def worst(errors: list[float]) -> str:
        return f"{max(errors, key=abs):+.2f}" if errors else "  -  "

    verdict = "" if row.exact else "COUNT "
    if row.planted:
        verdict += "named" if row.named else "NOT NAMED"
    else:
        verdict += "BLAMED" if row.errors else "clean"
    said = ", ".join(f"{c} {n}" for c, n in sorted({**row.errors}.items()))
    seen = ", ".join(f"{c} {n}" for c, n in row.exercises.items())
    tries = ", ".join(f"{c} {n}" for c, n in row.attempts.items())
    return (
        f"{row.name:44s} {row.true_count:3d} {row.found_count:3d}  {row.boundaries_hit:2d}/{2 * row.true_count:2d} "
        f"{worst(row.onset_errors_s)} {worst(row.offset_errors_s)}  {verdict:16s} [{said}] as {seen}"
        + (f"; attempts {tries}" if tries else "")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="clips whose name contains this")
    parser.add_argument("--folder", type=Path, help="where the clips lie (default: the cache)")
    parser.add_argument("--exercise", action="store_true", help="tell the pipeline which exercise it is")
    parser.add_argument(
        "--true", choices=("nothing", "poses", "repetitions"), default="nothing", help="given, not found"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write all rows here")
    args = parser.parse_args()
    clips: list[Clip] = [c for c in all_clips(args.seed) if args.only in c.name]
    folder = args.folder or rendered_folder(f"clips-{args.seed}")
    videos = ensure_clips(folder, clips)
    print(f"{'clip':44s} true found  boundaries, worst onset and offset error (s)")
    rows = []
    for clip, video in zip(clips, videos, strict=True):
        exercise = clip.exercise if args.exercise else None
        options = AnalyzeOptions(exercise=exercise, threads=args.threads, thumbnails=False)
        rows.append(run_clip(video, options, args.true))
        print(_line(rows[-1]), flush=True)
    totals = summarise(rows)
    targets = {"counts_exact": 0.9, "boundaries_within_0.2s": 0.9, "mistake_named": 0.8, "clean_without_error": 0.9}
    for name, value in totals.items():
        print(f"{name:26s} {value:5.2f}   target {targets[name]:.2f}   {'met' if value >= targets[name] else 'MISSED'}")
    if args.json:
        args.json.write_text(json.dumps({"totals": totals, "clips": [asdict(r) for r in rows]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
