"""What the scoreboard's numbers mean: matching, counts of one sequence, and their sums over sequences.

Definitions are those of the two scorers that lie beside the data (``score_reps.py``: seconds; ``score_sequences.py``:
frames), here in seconds throughout:

- matches of repetitions: one to one, overlap / union (IoU) ≥ 0.5, best IoU first.
- matches of boundaries within t: onsets with onsets, offsets with offsets, one to one in time order; *relative*
  boundaries: within 0.2 × the length of the true repetition, nearest first.
- ghost: a found repetition whose middle lies in no true one; per minute of the time outside true repetitions and
  ignored spans.
- a found repetition whose middle lies in an ignored span is left out before anything else.
- polarity wrong (by name the main error of plain methods): the sequence is cut at the far ends instead of at rest; its
  spans from turn to turn match more than half of the true repetitions, its own match fewer.
- commit latency: from the true offset to the moment of the decision, of matched repetitions, in stream time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Span = tuple[float, float]
IOU_MIN: Final = 0.5
TOLERANCES_S: Final = (0.3, 0.5)
RELATIVE: Final = 0.2
EPS: Final = 1e-9


@dataclass(frozen=True, slots=True)
class TrueRep:
    """A repetition as labelled. ``wrong``: its form, None where it was not judged; ``mistakes``: code → degree."""

    onset_s: float
    offset_s: float
    turn_s: float | None = None
    wrong: bool | None = None
    mistakes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundRep:
    """A repetition as a method gave it. ``errors`` None: the method judges no form; ``decided_s`` None: it looks ahead.

    ``score``: 0..100, 100 = clean; ``hidden``: codes that the view does not show.
    """

    onset_s: float
    offset_s: float
    turn_s: float | None = None
    decided_s: float | None = None
    exercise: str | None = None
    errors: tuple[str, ...] | None = None
    score: float | None = None
    hidden: tuple[str, ...] = ()


def iou(a: Span, b: Span) -> float:
    """Overlap over union of two spans of time."""
    inside = min(a[1], b[1]) - max(a[0], b[0])
    around = (a[1] - a[0]) + (b[1] - b[0]) - max(inside, 0.0)
    return inside / around if inside > 0 and around > 0 else 0.0


def overlap_matches(true: Sequence[Span], found: Sequence[Span], least: float = IOU_MIN) -> list[tuple[int, int]]:
    """(index of true, index of found) with IoU ≥ ``least``, one to one, best first."""
    candidates = []
    for i, t in enumerate(true):
        for j, f in enumerate(found):
            value = iou(t, f)
            if value >= least - EPS and value > 0:
                candidates.append((-value, i, j))
    return _one_to_one(candidates)


def _one_to_one(candidates: Iterable[tuple[float, int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    rows, columns = set(), set()
    for _, i, j in sorted(candidates):
        if i not in rows and j not in columns:
            rows.add(i)
            columns.add(j)
            out.append((i, j))
    return out


def time_matches(found: Iterable[float], true: Iterable[float], within_s: float) -> int:
    """How many of two lists of times match one to one within ``within_s``, in time order."""
    left, right = sorted(found), sorted(true)
    i = j = hits = 0
    while i < len(left) and j < len(right):
        apart = left[i] - right[j]
        if abs(apart) <= within_s + EPS:
            hits, i, j = hits + 1, i + 1, j + 1
        elif apart < 0:
            i += 1
        else:
            j += 1
    return hits


def relative_matches(true: Sequence[Span], found: Sequence[Span], share: float = RELATIVE) -> int:
    """Onsets and offsets (at most 2 per repetition) within ``share`` of the true repetition's length."""
    hits = 0
    for k in (0, 1):
        candidates = []
        for i, t in enumerate(true):
            for j, f in enumerate(found):
                apart = abs(t[k] - f[k])
                if apart <= share * (t[1] - t[0]) + EPS:
                    candidates.append((apart, i, j))
        hits += len(_one_to_one(candidates))
    return hits


def covered_s(spans: Iterable[Span], duration_s: float) -> float:
    """Length of the union of spans within [0, duration]."""
    total, reach = 0.0, 0.0
    for start, end in sorted(spans):
        a, b = max(start, reach, 0.0), min(end, duration_s)
        if b > a:
            total, reach = total + b - a, b
    return total


def middle(rep: TrueRep | FoundRep) -> float:
    return 0.5 * (rep.onset_s + rep.offset_s)


def without_ignored(found: Sequence[FoundRep], ignore: Sequence[Span]) -> list[FoundRep]:
    """Without those whose middle lies in an ignored span."""
    return [f for f in found if not any(a <= middle(f) <= b for a, b in ignore)]


def sequence_counts(
    true: Sequence[TrueRep], found: Sequence[FoundRep], *, ignore: Sequence[Span] = (), duration_s: float,
    true_count: int | None = None, bounds_ok: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Raw counts of one sequence; every number of the table is a function of sums of these.

    Args:
        true_count: where the count is known apart from the boundaries; bounds_ok: False = only the count is usable.
    """
    found = without_ignored(found, ignore)
    count = len(true) if true_count is None else true_count
    row: dict[str, Any] = {"count": count, "found_count": len(found)}
    true = [t for t in true if t.offset_s > t.onset_s]
    found = [f for f in found if f.offset_s > f.onset_s]
    if not bounds_ok:
        true, found = [], []
    true_spans = [(t.onset_s, t.offset_s) for t in true]
    found_spans = [(f.onset_s, f.offset_s) for f in found]
    pairs = overlap_matches(true_spans, found_spans)
    row |= {"segmented": float(bounds_ok), "true": len(true), "found": len(found), "hits": len(pairs)}
    for within in TOLERANCES_S:
        row[f"bounds@{within}"] = sum(
            time_matches([f[k] for f in found_spans], [t[k] for t in true_spans], within) for k in (0, 1)
        )
    row["bounds_relative"] = relative_matches(true_spans, found_spans)
    turns = [
        abs(found[j].turn_s - true[i].turn_s)  # type: ignore[operator]
        for i, j in pairs
        if found[j].turn_s is not None and true[i].turn_s is not None
    ]
    row["turn_sum_s"], row["turns"] = float(sum(turns)), len(turns)
    row["ghosts"] = sum(not any(a <= middle(f) <= b for a, b in true_spans) for f in found)
    free_s = duration_s - covered_s([*true_spans, *ignore], duration_s)
    row["free_min"] = free_s / 60.0 if bounds_ok else 0.0
    row["latency_s"] = [
        found[j].decided_s - true[i].offset_s  # type: ignore[operator]
        for i, j in pairs
        if found[j].decided_s is not None
    ]
    row["polarity_wrong"] = float(half_cycle_off(true_spans, found, len(pairs)))
    row |= form_counts([(true[i], found[j]) for i, j in pairs])
    row["form_labelled"] = sum(t.wrong is not None for t in true)
    return row


def half_cycle_off(true: Sequence[Span], found: Sequence[FoundRep], hits: int) -> bool:
    """Whether a sequence of three repetitions or more is cut half a cycle off. ``hits``: matches as it is cut."""
    turns = sorted(f.turn_s for f in found if f.turn_s is not None)
    if len(true) < 3 or len(turns) < 2 or 2 * hits >= len(true):
        return False
    shifted = overlap_matches(true, list(pairwise(turns)))
    return len(shifted) > hits and 2 * len(shifted) > len(true) - 1


def form_counts(pairs: Iterable[tuple[TrueRep, FoundRep]]) -> dict[str, int]:
    """Right and wrong verdicts on the matched repetitions whose form is labelled; *wrong* is the positive class."""
    out = {"wrong_tp": 0, "wrong_fp": 0, "wrong_fn": 0, "wrong_tn": 0}
    for t, f in pairs:
        if t.wrong is None or f.errors is None:
            continue
        said = bool(f.errors)
        out[("wrong_tp" if said else "wrong_fn") if t.wrong else ("wrong_fp" if said else "wrong_tn")] += 1
    return out


def ratio(a: float, b: float) -> float:
    """a / b; NaN where there is nothing to divide by."""
    return float(a) / float(b) if b else float("nan")


def f1(hits: float, true: float, found: float) -> float:
    """2 hits / (true + found); NaN where there is nothing at all."""
    return ratio(2 * hits, true + found)


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The table's numbers of some sequences. ``*_mean``: every sequence weighs the same; the other F1 are pooled."""
    if not rows:
        return {}

    def total(key: str) -> float:
        return float(sum(r[key] for r in rows))

    apart = [abs(r["found_count"] - r["count"]) for r in rows]
    share = [a / r["count"] for a, r in zip(apart, rows, strict=True) if r["count"] > 0]
    segmented = [r for r in rows if r["segmented"]]
    tp, fp, fn, tn = (total(f"wrong_{k}") for k in ("tp", "fp", "fn", "tn"))
    late = [s for r in rows for s in r["latency_s"]]
    out = {
        "exact": float(np.mean([a == 0 for a in apart])),
        "obo": float(np.mean([a <= 1 for a in apart])),
        "nmae": float(np.mean(share)) if share else float("nan"),
        "rep_f1": f1(total("hits"), total("true"), total("found")),
        "rep_f1_mean": _mean([_perfect_if_nothing(r["hits"], r["true"], r["found"]) for r in segmented]),
        **{f"bound_f1@{t}": f1(total(f"bounds@{t}"), 2 * total("true"), 2 * total("found")) for t in TOLERANCES_S},
        "bound_f1_relative": f1(total("bounds_relative"), 2 * total("true"), 2 * total("found")),
        "bound_f1_relative_mean": _mean(
            [_perfect_if_nothing(r["bounds_relative"], 2 * r["true"], 2 * r["found"]) for r in segmented]
        ),
        "polarity_wrong": _mean([r["polarity_wrong"] for r in segmented if r["true"] >= 3]),
        "turn_error_s": ratio(total("turn_sum_s"), total("turns")),
        "ghosts_per_min": ratio(total("ghosts"), total("free_min")),
        "latency_p50_s": float(np.percentile(late, 50)) if late else float("nan"),
        "latency_p95_s": float(np.percentile(late, 95)) if late else float("nan"),
        "wrong_precision": ratio(tp, tp + fp),
        "wrong_recall": ratio(tp, tp + fn),
        "wrong_f1": ratio(2 * tp, 2 * tp + fp + fn),
        "wrong_macro_f1": 0.5 * (ratio(2 * tp, 2 * tp + fp + fn) + ratio(2 * tn, 2 * tn + fp + fn)),
    }
    told = [r for r in rows if r.get("exercise_right") is not None]
    out["exercise"] = _mean([float(r["exercise_right"]) for r in told])
    return out


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _perfect_if_nothing(hits: float, true: float, found: float) -> float:
    return f1(hits, true, found) if true + found else 1.0


def auc(bad: Sequence[bool], badness: Sequence[float]) -> float:
    """Area under the ROC curve: that a bad one has more ``badness`` than a good one; ties count half."""
    flags, values = np.asarray(bad, bool), np.asarray(badness, float)
    high, low = values[flags], values[~flags]
    if not len(high) or not len(low):
        return float("nan")
    above: NDArray[np.float64] = (high[:, None] > low[None]) + 0.5 * (high[:, None] == low[None])
    return float(above.mean())
