"""Fresh simulated clips on the streaming path: counts, boundaries, exercise, planted mistakes, clean clips left alone.

    python -m bench.simulated [--seeds N] [--first-seed K] [--family held_out|minimum_jerk] [--exercise ID ...]
                              [--mistake CODE ...] [--degree LO HI] [--fps F] [--true] [--given] [--network FILE]
                              [--worst N] [--json FILE]

Per seed and exercise: two clean clips and one of every mistake that some view shows, each from one such view (the views
take turns over the seeds), 4–7 repetitions, poses with the noise of the real pose network (``--true``: without it).
Nothing is told of the exercise (``--given``: it is). One seed is 218 clips and takes 90 s of one core. The same
arguments give the same clips; no training uses these seeds (``bench.scoreboard.simulate``), nor, by default, this law
of motion.

- exact: confirmed = true repetitions; F1: repetitions matched at IoU ≥ 0.5, and boundaries within 0.3 and 0.5 s.
- onset, offset: share of true ones found within 0.2 s, and mean signed error (found - true) of matched ones.
- right: clips whose repetitions are mostly taken for the true exercise; *kin*: or for one that differs in nothing that
  17 joints show (a hammer curl is a curl with the hands turned).
- named: clips with a mistake, in which it is named on at least half of the matched repetitions that have it plainly
  (degree ≥ 0.5); mistakes of the whole set: on any repetition.
- clean: clean clips in which anything is named on any repetition are *blamed*.
- macro-F1 and per code: ``bench.scoreboard.mistaken``.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.scoreboard.metrics import FoundRep, TrueRep, overlap_matches, sequence_counts, summarise
from bench.scoreboard.mistaken import PLAIN, CodeCounts, code_counts
from bench.scoreboard.run import Outcome, run_stream
from bench.scoreboard.simulate import SimClip, all_clips, clip_frames
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.catalogue import Catalogue
from services.segment.adapters.onnx import SHIPPED, OnnxRecurrentNetwork
from services.segment.core.network import RecurrentNetwork
from training.simulator.labels import SimulatedMotion
from training.simulator.mistakes import MISTAKES

WITHIN_S: Final = 0.2
KIN: Final = (
    frozenset({"bicep_curl", "hammer_curl", "zottman_curl"}), frozenset({"shoulder_press", "arnold_press"}),
    frozenset({"squat", "goblet_squat"}), frozenset({"bent_over_row", "one_arm_row"}),
)  # fmt: skip


@dataclass(slots=True)
class SimRow:
    """What came of one clip. ``counts``: as ``metrics.sequence_counts``."""

    clip: SimClip
    counts: dict[str, Any]
    said: Counter[str]
    named: bool | None
    blamed: Counter[str]
    codes: CodeCounts
    onset_errors_s: list[float] = field(default_factory=list)
    offset_errors_s: list[float] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    shaky: int = 0

    @property
    def taken_for(self) -> str:
        return self.said.most_common(1)[0][0] if self.said else "none"

    @property
    def right(self) -> bool:
        return self.taken_for == self.clip.exercise

    @property
    def kin(self) -> bool:
        return self.right or any({self.taken_for, self.clip.exercise} <= group for group in KIN)

    @property
    def badness(self) -> float:
        """How bad a clip went, to put the worst first."""
        c = self.counts
        lost = 1.0 - 2 * c["hits"] / max(c["true"] + c["found"], 1)
        return (
            2.0 * lost + 0.5 * abs(c["found_count"] - c["count"]) + (not self.kin) + 0.8 * (self.named is False)
            + min(0.15 * sum(self.blamed.values()), 0.9) + 0.1 * self.shaky
        )  # fmt: skip


def truth_of(motion: SimulatedMotion) -> list[TrueRep]:
    """The counted repetitions of a motion."""
    return [TrueRep(r.onset_s, r.offset_s, r.turn_s, None, dict(r.mistakes)) for r in motion.repetitions if r.counted]


def _named(clip: SimClip, true: Sequence[TrueRep], found: Sequence[FoundRep], pairs: list[tuple[int, int]]) -> bool:
    if clip.set_wide:
        return any(clip.code in (f.errors or ()) for f in found)
    plain = [j for i, j in pairs if true[i].mistakes.get(clip.mistake or "", 0.0) >= PLAIN]
    return bool(plain) and 2 * sum(clip.code in (found[j].errors or ()) for j in plain) >= len(plain)


def judge(clip: SimClip, motion: SimulatedMotion, outcome: Outcome, catalogue: Catalogue) -> SimRow:
    """One clip's row."""
    true, found = truth_of(motion), outcome.found
    counts = sequence_counts(true, found, duration_s=len(motion.joints) / motion.fps)
    pairs = overlap_matches([(t.onset_s, t.offset_s) for t in true], [(f.onset_s, f.offset_s) for f in found])
    codes = code_counts(catalogue, clip.exercise, true, found, planted=clip.mistake, code=clip.code)
    row = SimRow(
        clip,
        counts,
        Counter(f.exercise or "unknown" for f in found),
        _named(clip, true, found, pairs) if any(clip.mistake in t.mistakes for t in true) else None,
        codes.false,
        codes,
        [found[j].onset_s - true[i].onset_s for i, j in pairs],
        [found[j].offset_s - true[i].offset_s for i, j in pairs],
        Counter(str(a.reason) for a in outcome.attempts),
    )
    row.shaky = sum(abs(e) > WITHIN_S for e in (*row.onset_errors_s, *row.offset_errors_s))
    row.counts["exercise_right"] = row.right
    return row


@dataclass(frozen=True, slots=True)
class SimOptions:
    """How clips are made and run."""

    family: Any = "held_out"
    degree: tuple[float, float] = (0.6, 1.0)
    fps: float = 30.0
    exact: bool = False
    given: bool = False


def run_clips(
    clips: Iterable[SimClip], network: RecurrentNetwork, catalogue: Catalogue, options: SimOptions = SimOptions()
) -> list[SimRow]:
    """Every clip through the streaming path."""
    rows = []
    for clip in clips:
        motion, frames = clip_frames(
            clip, family=options.family, degree=options.degree, fps=options.fps, exact=options.exact
        )
        given = clip.exercise if options.given else None
        outcome = run_stream(frames, network, catalogue, frames[-1].time_s, exercise=given)
        rows.append(judge(clip, motion, outcome, catalogue))
    return rows


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else float("nan")


def _boundary(rows: Sequence[SimRow], which: str) -> tuple[float, float]:
    """Share of true onsets (offsets) found within 0.2 s, and the mean signed error of matched ones, s."""
    errors = [e for r in rows for e in getattr(r, f"{which}_errors_s")]
    true = sum(r.counts["true"] for r in rows)
    near = sum(abs(e) <= WITHIN_S for e in errors)
    return near / max(true, 1), float(np.mean(errors)) if errors else float("nan")


def totals(rows: Sequence[SimRow]) -> dict[str, float]:
    """All numbers of the last table."""
    codes = CodeCounts()
    for r in rows:
        codes.add(r.codes)
    clean = [r for r in rows if r.clip.mistake is None]
    onset, offset = _boundary(rows, "onset"), _boundary(rows, "offset")
    return summarise([r.counts for r in rows]) | {
        "onset_within": onset[0],
        "onset_error_s": onset[1],
        "offset_within": offset[0],
        "offset_error_s": offset[1],
        "exercise_kin": _share(r.kin for r in rows),
        "named": _share(bool(r.named) for r in rows if r.named is not None),
        "clean_blamed": _share(bool(r.blamed) for r in clean),
        "errors_macro_f1": codes.macro_f1(),
    }


def print_exercises(rows: Sequence[SimRow]) -> None:
    """A line per exercise."""
    head = "clips exact  repF1   onset ≤.2 (mean)  offset ≤.2 (mean)  right  kin  named blamed  taken for"
    print(f"{'exercise':27s} {head}")
    for exercise in dict.fromkeys(r.clip.exercise for r in rows):
        own = [r for r in rows if r.clip.exercise == exercise]
        t = totals(own)
        said = Counter(r.taken_for for r in own if not r.right)
        blame: Counter[str] = Counter()
        for r in own:
            if r.clip.mistake is None:
                blame.update(set(r.blamed))
        print(
            f"{exercise:27s} {len(own):4d}  {t['exact']:5.2f}  {t['rep_f1']:5.2f}   {t['onset_within']:5.2f} "
            f"({t['onset_error_s']:+5.2f})      {t['offset_within']:5.2f} ({t['offset_error_s']:+5.2f})      "
            f"{t['exercise']:4.2f} {t['exercise_kin']:4.2f}  {t['named']:5.2f}  {t['clean_blamed']:4.2f}   "
            + ", ".join(f"{k} {n}" for k, n in said.most_common(3))
            + (f"; clean blamed {', '.join(f'{k} {n}' for k, n in blame.most_common(2))}" if blame else "")
        )


def print_codes(rows: Sequence[SimRow]) -> None:
    """A line per error code, and where it was missed."""
    codes = CodeCounts()
    for r in rows:
        codes.add(r.codes)
    print(f"\n{'error':26s} planted precision recall    F1   hidden  missed in")
    for code in codes.codes():
        missed: Counter[str] = Counter()
        for r in rows:
            missed[r.clip.exercise] += r.codes.missed[code]
        planted = codes.right[code] + codes.missed[code]
        where = ", ".join(f"{e} {n}" for e, n in missed.most_common(4) if n)
        print(
            f"{code:26s} {planted:6d}   {codes.precision(code):6.2f}  {codes.recall(code):6.2f}  {codes.f1(code):5.2f}"
            f"   {codes.hidden[code]:4d}   {where}"
        )
    never = Counter({c: n for c, n in codes.false.items() if c not in codes.codes()})
    if never:
        print("named, never planted: " + ", ".join(f"{c} {n}" for c, n in never.most_common()))


def describe(row: SimRow) -> str:
    """What went wrong in a clip, in a few words."""
    c, parts = row.counts, []
    if c["found_count"] != c["count"]:
        parts.append(f"{c['found_count']} for {c['count']}")
    elif c["hits"] < c["true"]:
        parts.append(f"{c['hits']} of {c['true']} overlap")
    if not row.right:
        parts.append(
            "taken for " + ", ".join(f"{k} {n}" for k, n in row.said.most_common(2)) if row.said else "nothing"
        )
    if row.named is False:
        hidden = row.codes.hidden[row.clip.code or ""]
        parts.append("not named" + (f" (hidden in {hidden})" if hidden else ""))
    if row.blamed:
        parts.append("blamed " + ", ".join(f"{k} {n}" for k, n in row.blamed.most_common(3)))
    if row.shaky:
        worst = max((*row.onset_errors_s, *row.offset_errors_s), key=abs)
        parts.append(f"{row.shaky} boundaries off, worst {worst:+.2f} s")
    if row.attempts:
        parts.append("attempts " + ", ".join(f"{k} {n}" for k, n in row.attempts.items()))
    return "; ".join(parts) or "all right"


def print_totals(numbers: dict[str, float]) -> None:
    """The last table, with the targets."""
    targets = {"rep_f1": 0.98, "errors_macro_f1": 0.90}
    print()
    for name in (
        "exact", "rep_f1", "bound_f1@0.3", "bound_f1@0.5", "onset_within", "offset_within", "onset_error_s",
        "offset_error_s", "turn_error_s", "ghosts_per_min", "latency_p50_s", "latency_p95_s", "exercise",
        "exercise_kin", "errors_macro_f1", "named", "clean_blamed",
    ):  # fmt: skip
        aim = targets.get(name)
        told = "" if aim is None else f"   target {aim:.2f}  {'met' if numbers[name] >= aim else 'MISSED'}"
        print(f"{name:16s} {numbers[name]:7.3f}{told}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--family", choices=["held_out", "minimum_jerk"], default="held_out")
    parser.add_argument("--exercise", nargs="*", default=list(MISTAKES), choices=list(MISTAKES), metavar="ID")
    parser.add_argument("--mistake", nargs="*", default=[], metavar="CODE", help="only clean clips and these")
    parser.add_argument("--degree", nargs=2, type=float, default=(0.6, 1.0), metavar=("LO", "HI"))
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--true", action="store_true", help="keypoints without noise")
    parser.add_argument("--given", action="store_true", help="say which exercise it is")
    parser.add_argument("--network", type=Path, default=SHIPPED)
    parser.add_argument("--worst", type=int, default=15)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    catalogue, network = load_catalogue(), OnnxRecurrentNetwork(args.network)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    clips = [
        c
        for c in all_clips(catalogue, args.exercise, seeds)
        if not args.mistake or c.mistake is None or c.mistake in args.mistake
    ]
    options = SimOptions(args.family, (args.degree[0], args.degree[1]), args.fps, args.true, args.given)
    rows = run_clips(clips, network, catalogue, options)
    print_exercises(rows)
    print_codes(rows)
    numbers = totals(rows)
    print_totals(numbers)
    print(f"\nthe worst {args.worst} of {len(rows)} clips")
    for row in sorted(rows, key=lambda r: -r.badness)[: args.worst]:
        print(f"  {row.clip.name:58s} {describe(row)}")
    if args.json:
        document = [
            {"clip": r.clip.name, "what": describe(r), "badness": r.badness, "named": r.named, "said": dict(r.said),
             "blamed": dict(r.blamed), "onset_errors_s": r.onset_errors_s, "offset_errors_s": r.offset_errors_s,
             "counts": r.counts}
            for r in rows
        ]  # fmt: skip
        args.json.write_text(json.dumps({"totals": numbers, "clips": document}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
