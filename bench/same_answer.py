"""The same answer: a file through the real stack (Kafka, Triton, four processes) and through ``formcheck analyze``.

    python -m bench.same_answer [--only NAME] [--no-rendered] [--no-triton] [--brokers 3] [--json FILE] [CLIP...]

For every clip of ``$FORMCHECK_DATA/clips`` (default ``../shared/data``), the demo clip and those that
``bench.rendered`` makes: ``file`` mode through the stack against ``analyze --frame-codec jpeg``. Each final repetition
(confirmed, or attempt) must be there in both, with the same person, status, reason, exercise, set, number and error
codes; onset, turn and offset within one frame; scores within ``SCORE_POINTS``. Every difference is printed, and any
makes the exit code 1.
How far the keypoints are apart is printed too. Both analyse every frame of a file, one after the other.

Then, of the same clips, how far ``analyze --frame-codec jpeg`` is from ``analyze``, which looks at pictures of up to
720 px, as decoded, two at once: confirmed repetitions of the person with most of them, matched by overlap.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from services.common.types import Assessment, PoseFrame, Repetition, Status
from services.local.pipeline import AnalyzeOptions, analyze
from services.local.results import AnalysisResult, PersonResult
from services.local.stack.cameras import DEMO
from services.local.stack.client import StackClient, StreamResult
from services.local.stack.up import Stack
from training.render.cache import rendered_folder
from training.render.clips import all_clips, ensure_clips

ROOT: Final = Path(__file__).resolve().parents[1]
DATA: Final = Path(os.environ.get("FORMCHECK_DATA", ROOT.parent / "shared" / "data"))
SCORE_POINTS: Final = 1e-6
AT_ONCE: Final = 2
PER_CLIP_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of one final repetition."""

    track_id: int
    onset_s: float
    turn_s: float | None
    offset_s: float | None
    status: str
    exercise: str
    set_index: int
    index: int
    reason: str
    codes: tuple[str, ...]
    score: float | None

    @property
    def name(self) -> str:
        return f"person {self.track_id}, {self.status} at {self.onset_s:.2f} s"


class Answer(Protocol):
    def final_repetitions(self) -> list[Repetition]: ...

    def assessment_of(self, repetition_id: str, /) -> Assessment | None: ...


def told(answers: Iterable[Answer]) -> list[Told]:
    """By person and onset."""
    out = []
    for answer in answers:
        for r in answer.final_repetitions():
            a = answer.assessment_of(r.id)
            codes = tuple(sorted(e.code for e in a.errors)) if a else ()
            out.append(
                Told(
                    r.track_id, r.onset_s, r.turn_s, r.offset_s, r.status.value, r.exercise, r.set_index, r.index,
                    r.reason.value if r.reason else "", codes, a.score if a else None,
                )
            )  # fmt: skip
    return sorted(out, key=lambda t: (t.track_id, t.onset_s))


def differences(stack: Sequence[Told], one_process: Sequence[Told], frame_s: float) -> list[str]:
    """Sentences; none = the same answer."""
    found = []
    for status in ("confirmed", "attempt"):
        counts = [sum(t.status == status for t in answer) for answer in (stack, one_process)]
        if counts[0] != counts[1]:
            found.append(f"{status} repetitions: {counts[0]} in the stack, {counts[1]} in one process")
    left = list(one_process)
    for ours in stack:
        near = [t for t in left if t.track_id == ours.track_id and abs(t.onset_s - ours.onset_s) <= frame_s]
        if not near:
            found.append(f"{ours.name} is only in the stack's answer")
            continue
        left.remove(near[0])
        found += _differ(ours, near[0], frame_s)
    return found + [f"{t.name} is only in one process's answer" for t in left]


def _differ(ours: Told, theirs: Told, frame_s: float) -> Iterator[str]:
    for what in ("status", "reason", "exercise", "set_index", "index", "codes"):
        if getattr(ours, what) != getattr(theirs, what):
            yield f"{ours.name}: {what} {getattr(ours, what)} in the stack, {getattr(theirs, what)} in one process"
    for what in ("onset_s", "turn_s", "offset_s"):
        a, b = getattr(ours, what), getattr(theirs, what)
        if (a is None) != (b is None) or (a is not None and abs(a - b) > frame_s):
            yield f"{ours.name}: {what} {a} in the stack, {b} in one process"
    a, b = ours.score, theirs.score
    if (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) > SCORE_POINTS):
        yield f"{ours.name}: score {a} in the stack, {b} in one process"


def pose_distance(stack: Sequence[PoseFrame], people: Sequence[PersonResult]) -> tuple[int, float]:
    """Poses (of one person in one frame) that are in one answer only, and the greatest distance of a joint, px."""
    ours = {(p.track_id, round(f.time_s * 1e6)): p.keypoints for f in stack for p in f.people}
    theirs: dict[tuple[int, int], NDArray[np.float32]] = {
        (person.track_id, round(float(t) * 1e6)): k
        for person in people
        for t, k in zip(person.times_s, person.keypoints, strict=True)
    }
    both = ours.keys() & theirs.keys()
    far = max((float(np.abs(ours[k] - theirs[k]).max()) for k in both), default=0.0)
    return len(ours.keys() ^ theirs.keys()), far


@dataclass(slots=True)
class Change:
    """How far one analysis of a clip is from another one."""

    counts: tuple[int, int]
    boundary_s: list[float] = field(default_factory=list)
    codes_kept: int = 0
    codes_of: int = 0
    exercises_kept: int = 0


def change(here: AnalysisResult, there: AnalysisResult) -> Change:
    """From ``there`` to ``here``: confirmed repetitions of the person with most, those that overlap most matched."""
    ours, theirs = _confirmed(here), _confirmed(there)
    out = Change((len(theirs), len(ours)))
    for t in theirs:
        best = max(ours, key=lambda o: _overlap(o, t), default=None)
        if best is None or _overlap(best, t) <= 0.5:
            continue
        ours.remove(best)
        out.codes_of += 1
        out.codes_kept += best.codes == t.codes
        out.exercises_kept += best.exercise == t.exercise
        out.boundary_s += [abs(best.onset_s - t.onset_s), abs((best.offset_s or 0) - (t.offset_s or 0))]
    return out


def _confirmed(result: AnalysisResult) -> list[Told]:
    all_of_them = [t for t in told(result.people) if t.status == Status.CONFIRMED.value]
    counts = Counter(t.track_id for t in all_of_them)
    best = max(counts, key=lambda track: (counts[track], -track), default=None)
    return [t for t in all_of_them if t.track_id == best]


def _overlap(a: Told, b: Told) -> float:
    """IoU."""
    ends = (a.offset_s or a.onset_s, b.offset_s or b.onset_s)
    both = min(ends) - max(a.onset_s, b.onset_s)
    return max(both, 0.0) / max(max(ends) - min(a.onset_s, b.onset_s), 1e-9)


def clips_of(args: argparse.Namespace) -> list[Path]:
    """The clips to compare; those named, or all."""
    if args.clips:
        return [clip.absolute() for clip in args.clips]
    found = sorted((DATA / "clips").glob("*.mp4"))
    if not found:
        print(f"no real clips: there is no {DATA / 'clips'} (set FORMCHECK_DATA)", file=sys.stderr)
    found.append(DEMO)
    if not args.no_rendered:
        found += ensure_clips(rendered_folder("clips-0"), all_clips(0))
    return [clip for clip in found if args.only in clip.name]


def through_stack(clips: Sequence[Path], stack: Stack) -> Iterator[tuple[Path, StreamResult]]:
    """Each clip's result, a few clips on their way at once."""
    with StackClient(stack.config("bench")) as client:
        names: dict[Path, str] = {}
        for i, clip in enumerate(clips):
            for ahead in clips[i : i + AT_ONCE]:
                if ahead not in names:
                    names[ahead] = client.submit(ahead, name=f"clip-{len(names)}")
            yield clip, client.result(names[clip], PER_CLIP_S)
            client.remove(names[clip])


def compare(clip: Path, result: StreamResult, threads: int) -> tuple[dict[str, Any], Change]:
    """One clip's row: differences of the answers, distance of the poses; and how far JPEG is from none."""
    jpeg = analyze(str(clip), AnalyzeOptions(frame_codec="jpeg", threads=threads, thumbnails=False))
    plain = analyze(str(clip), AnalyzeOptions(threads=threads, thumbnails=False))
    ours, theirs = told([result]), told(jpeg.people)
    only, far_px = pose_distance(result.poses, jpeg.people)
    row = {
        "clip": clip.stem,
        "frames": (len({p.sequence for p in result.poses}), int(jpeg.timings["frames"])),
        "confirmed": (sum(t.status == "confirmed" for t in ours), sum(t.status == "confirmed" for t in theirs)),
        "attempts": (sum(t.status == "attempt" for t in ours), sum(t.status == "attempt" for t in theirs)),
        "poses_only_in_one": only,
        "far_px": far_px,
        "differences": differences(ours, theirs, 1 / jpeg.source.fps + 1e-6),
    }
    return row, change(jpeg, plain)


def _print_row(row: dict[str, Any], moved: Change) -> None:
    verdict = "same" if not row["differences"] else f"{len(row['differences'])} DIFFERENCES"
    worst = f"{max(moved.boundary_s):.3f}" if moved.boundary_s else "-"
    print(
        f"{row['clip']:44s} {row['frames'][0]:6d} {row['confirmed'][0]:4d} {row['confirmed'][1]:4d} "
        f"{row['attempts'][0]:4d} {row['attempts'][1]:4d} {row['far_px']:8.3g}  {verdict:16s} | "
        f"{moved.counts[0]:3d} → {moved.counts[1]:<3d} {worst:>6s}  {moved.codes_kept}/{moved.codes_of}",
        flush=True,
    )
    for sentence in row["differences"]:
        print(f"    {sentence}")


def _print_totals(rows: list[dict[str, Any]], moved: list[Change], took_s: float) -> None:
    differing = sum(bool(r["differences"]) for r in rows)
    reps = sum(r["confirmed"][0] for r in rows)
    print(
        f"\nstack against analyze --frame-codec jpeg: {len(rows) - differing} of {len(rows)} clips the same "
        f"({reps} confirmed repetitions); greatest distance of a joint {max(r['far_px'] for r in rows):.3g} px, "
        f"{sum(r['poses_only_in_one'] for r in rows)} poses in one answer only; {took_s:.0f} s in all"
    )
    boundaries = [b for m in moved for b in m.boundary_s]
    equal = sum(m.counts[0] == m.counts[1] for m in moved)
    matched = sum(m.codes_of for m in moved)
    print(
        f"analyze --frame-codec jpeg against analyze: same count in {equal} of {len(moved)} clips "
        f"({sum(m.counts[0] for m in moved)} → {sum(m.counts[1] for m in moved)} repetitions), {matched} matched; "
        f"same exercise {sum(m.exercises_kept for m in moved)}, same error codes {sum(m.codes_kept for m in moved)}"
    )
    if boundaries:
        p50, p95 = np.percentile(boundaries, [50, 95])
        print(f"  their onsets and offsets moved by: p50 {p50:.3f} s, p95 {p95:.3f} s, most {max(boundaries):.3f} s")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP")
    parser.add_argument("--only", default="", help="clips whose file name contains this")
    parser.add_argument("--no-rendered", action="store_true")
    parser.add_argument("--no-triton", action="store_true")
    parser.add_argument("--brokers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="of the one process's pose network")
    parser.add_argument("--json", type=Path, help="write all rows here")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the stack ends with it
    clips = clips_of(args)
    if not clips:
        parser.error("no clip is left to compare")
    began_s = time.monotonic()
    rows, moved = [], []
    with tempfile.TemporaryDirectory(prefix="formcheck-same-") as folder:
        files = sorted({clip.parent for clip in clips})
        stack = Stack(Path(folder), brokers=args.brokers, triton=not args.no_triton, files=files, say=print)
        with stack:
            print(f"\n{'':51s} confirmed  attempts  furthest                  | jpeg ← none")
            print(f"{'clip':44s} frames stck  one stck  one joint px                  | count     worst s  codes kept")
            for clip, result in through_stack(clips, stack):
                row, change_ = compare(clip, result, args.threads)
                rows.append(row)
                moved.append(change_)
                _print_row(row, change_)
    _print_totals(rows, moved, time.monotonic() - began_s)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    return int(any(r["differences"] or r["frames"][0] != r["frames"][1] for r in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
