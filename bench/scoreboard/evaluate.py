"""Every sequence of a data set through every method: rows of raw counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bench.scoreboard.baselines import joint_thresholds, pca_peaks
from bench.scoreboard.datasets import DataSet, Item, Loaded
from bench.scoreboard.metrics import FoundRep, TrueRep, overlap_matches, sequence_counts
from bench.scoreboard.mistaken import CodeCounts, code_counts
from bench.scoreboard.run import Outcome, run_stream
from services.common.types import PoseFrame, PoseWindow
from services.errors.core.catalogue import Catalogue
from services.errors.core.processor import AssessProcessor
from services.segment.core.network import RecurrentNetwork

Row = dict[str, Any]

OURS: Final = "ours"
GIVEN: Final = "ours, repetition and class given"
THRESHOLDS: Final = "joint-angle thresholds"
PCA: Final = "PCA + peaks (looks ahead)"
PLACEMENT: Final = "control: placement only"
DURATION: Final = "control: duration only"
BASELINES: Final[dict[str, Callable[[Sequence[PoseFrame]], list[FoundRep]]]] = {
    THRESHOLDS: joint_thresholds,
    PCA: pca_peaks,
}
POSE_TRAINER_CLASS: Final = {
    "bicep": "bicep_curl", "frontraise": "front_raise", "shoulderpress": "shoulder_press", "shouldershrug": "shrug",
}  # fmt: skip
SQUAT_CODES: Final = ("TOO_SHALLOW", "KNEES_CAVE_IN", "TORSO_COLLAPSES", "STANCE_TOO_WIDE")
NEUTRAL_BADNESS: Final = 50.0
"""Of a sequence in which nothing was found: neither good nor bad."""


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What our method is made of."""

    network: RecurrentNetwork
    catalogue: Catalogue


@dataclass(slots=True, eq=False)
class Result:
    """A data set's rows by method."""

    data: DataSet
    rows: dict[str, list[Row]]


def evaluate(data: DataSet, bench: Bench, baselines: bool = True) -> Result:
    """All methods on all sequences of a data set."""
    rows: dict[str, list[Row]] = {name: [] for name in (OURS, *(BASELINES if baselines else ()))}
    places: list[tuple[Item, list[float], float]] = []
    for item in data.items:
        loaded = item.load()
        outcome = run_stream(loaded.frames, bench.network, bench.catalogue, loaded.end_s)
        rows[OURS].append(our_row(data, item, loaded, outcome, bench.catalogue))
        if baselines and item.timed:
            for name, method in BASELINES.items():
                rows[name].append(counts_row(item, loaded, method(loaded.frames)))
        if item.bad is not None:
            rows.setdefault(GIVEN, []).append(_given_row(item, loaded, bench.catalogue))
            places.append((item, _placement(loaded.frames), loaded.end_s))
    if places:
        rows[PLACEMENT] = _control(places, [p for _, p, _ in places])
        rows[DURATION] = _control(places, [[d] for _, _, d in places])
    return Result(data, rows)


def counts_row(item: Item, loaded: Loaded, found: list[FoundRep]) -> Row:
    """Counts and boundaries of one sequence."""
    row = sequence_counts(
        loaded.truth,
        found,
        ignore=item.ignore,
        duration_s=loaded.end_s,
        true_count=item.count,
        bounds_ok=item.bounds_ok,
    )
    return row | {"name": item.name, "kind": item.kind, "timed": item.timed, "mixed": item.mixed, "bad": item.bad}


def our_row(data: DataSet, item: Item, loaded: Loaded, outcome: Outcome, catalogue: Catalogue) -> Row:
    """Counts, boundaries, exercise and form of one sequence."""
    row = counts_row(item, loaded, outcome.found)
    row["said"] = outcome.exercise
    row["exercise_right"] = None if item.accepted is None else outcome.exercise in item.accepted
    row["accepted"] = sorted(item.accepted or ())
    row["attempts"] = [str(a.reason) for a in outcome.attempts]
    pairs = overlap_matches(
        [(t.onset_s, t.offset_s) for t in loaded.truth], [(f.onset_s, f.offset_s) for f in outcome.found]
    )
    matched = [(loaded.truth[i], outcome.found[j]) for i, j in pairs]
    row["errors"] = sorted({c for f in outcome.found for c in f.errors or ()})
    shown = data.shows.get(item.kind)
    flagged = [f for t, f in matched if t.wrong and f.errors]
    row["shown"] = sum(bool(shown & set(f.errors or ())) for f in flagged) if shown else 0
    row["flagged_wrong"] = len(flagged) if shown else 0
    if data.key in ("simulator", "rendered"):
        row["codes"] = code_counts(
            catalogue, item.kind, loaded.truth, outcome.found, planted=item.planted, code=item.code
        )
        row["planted"] = item.planted
    if item.kind == "squats":
        row["codes"] = labelled_codes(loaded.truth, outcome.found, SQUAT_CODES)
    if item.bad is not None:
        scores = [f.score for f in outcome.found if f.score is not None]
        row["badness"] = 100.0 - float(np.mean(scores)) if scores else NEUTRAL_BADNESS
        row["flagged"] = any(f.errors for f in outcome.found)
    return row


def labelled_codes(true: Sequence[TrueRep], found: Sequence[FoundRep], codes: Sequence[str]) -> CodeCounts:
    """Some codes where every repetition is labelled with all of its mistakes. A repetition not found misses its own."""
    out = CodeCounts()
    pairs = overlap_matches([(t.onset_s, t.offset_s) for t in true], [(f.onset_s, f.offset_s) for f in found])
    of = dict(pairs)
    for i, t in enumerate(true):
        named = set(found[of[i]].errors or ()) if i in of else set()
        hidden = set(found[of[i]].hidden) if i in of else set()
        for code in codes:
            if code in t.mistakes:
                (out.right if code in named else out.missed)[code] += 1
                out.hidden[code] += code not in named and code in hidden
            elif code in named:
                out.false[code] += 1
    taken = {j for _, j in pairs}
    for j, f in enumerate(found):
        if j not in taken:
            out.false.update(c for c in f.errors or () if c in codes)
    return out


def _given_row(item: Item, loaded: Loaded, catalogue: Catalogue) -> Row:
    """The whole sequence as one repetition of the known class: what the errors stage alone makes of it."""
    poses = [(f.time_s, p) for f in loaded.frames for p in f.people]
    window = PoseWindow(
        np.array([t for t, _ in poses]),
        np.array([p.keypoints for _, p in poses], np.float32),
        np.array([p.scores for _, p in poses], np.float32),
    )
    verdict = AssessProcessor(catalogue).assess_window(POSE_TRAINER_CLASS[item.kind], window)
    return {
        "name": item.name, "kind": item.kind, "bad": item.bad, "badness": 100.0 - verdict.score,
        "flagged": bool(verdict.errors), "errors": sorted(e.code for e in verdict.errors),
    }  # fmt: skip


def _placement(frames: Sequence[PoseFrame]) -> list[float]:
    """Where the hips are in the picture and how large the trunk is, px: nothing of the movement."""
    hips, sizes = [], []
    for f in frames:
        for p in f.people:
            if (p.scores[[5, 6, 11, 12]] > 0).all():
                hip, shoulder = p.keypoints[[11, 12]].mean(axis=0), p.keypoints[[5, 6]].mean(axis=0)
                hips.append(hip)
                sizes.append(float(np.linalg.norm(shoulder - hip)))
    if not hips:
        return [0.0, 0.0, 0.0]
    x, y = np.median(np.array(hips), axis=0)
    return [float(x), float(y), float(np.median(sizes))]


def _control(places: Sequence[tuple[Item, list[float], float]], features: Sequence[Sequence[float]]) -> list[Row]:
    """Good or bad from ``features`` alone, leaving the sequence itself out, among those of its class."""
    rows: list[Row] = []
    for i, (item, _, _) in enumerate(places):
        others = [k for k, (o, _, _) in enumerate(places) if k != i and o.kind == item.kind]
        badness = parzen(
            np.array([features[k] for k in others], float),
            np.array([bool(places[k][0].bad) for k in others]),
            np.array(features[i], float),
        )
        rows.append({"name": item.name, "kind": item.kind, "bad": item.bad, "badness": badness, "flagged": badness > 0})
    return rows


def parzen(known: np.ndarray, bad: np.ndarray, at: np.ndarray) -> float:
    """log p(bad) - log p(good) at a place, by Gaussian kernels of half a standard deviation on both classes."""
    scale = np.maximum(known.std(axis=0), 1e-9) * 0.5
    distance = (((known - at) / scale) ** 2).sum(axis=1)

    def density(these: np.ndarray) -> float:
        return float(np.mean(np.exp(-0.5 * these))) if len(these) else 0.0

    return float(np.log(density(distance[bad]) + 1e-12) - np.log(density(distance[~bad]) + 1e-12))
