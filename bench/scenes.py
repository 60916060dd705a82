"""Rendered gym scenes through the whole pipeline: identities, switches where people cross, each person's count.

    python -m bench.scenes [--seed 0] [--only NAME] [--folder DIR]

Definitions:

- A true person and a tracked pose are the same in a frame if their object keypoint similarity over the joints that can
  be seen is at least 0.5 (area: that of the box around the true joints).
- IDF1 = 2 IDTP / (true + tracked), with the assignment of tracks to people over the whole sequence that makes IDTP
  greatest (Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, ECCV workshops
  2016). A person of whom fewer than OCCLUDED_JOINTS joints can be seen is not asked for: neither missed nor, if tracked
  there all the same, counted as false.
- switches: as in CLEAR MOT, how often the track that follows a person changes.
- crossing: two true boxes overlap by IoU > 0.1 while somebody walks; kept if every person has the same track before
  and after.
- count: confirmed repetitions of the track assigned to a person = true repetitions.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bench.rendered import found_repetitions
from services.common.skeleton import COCO_SIGMAS
from services.local.pipeline import AnalyzeOptions, analyze
from services.local.results import PersonResult
from training.render.cache import rendered_folder
from training.render.scenes import SCENES, ensure_scenes

F64 = NDArray[np.float64]

SAME_MIN: Final = 0.5
OCCLUDED_JOINTS: Final = 6
CROSSING_IOU: Final = 0.1
VISIBLE: Final = "2"


@dataclass(frozen=True, slots=True, eq=False)
class Similarities:
    """``same`` (T, P, N): similarity of person p and track n in frame t, 0 where either is not there.

    ``present`` (T, P): the person is asked for; ``tracked`` (T, N): the track is there and not to be ignored.
    """

    same: F64
    present: NDArray[np.bool_]
    tracked: NDArray[np.bool_]


def similarities(truth: dict[str, Any], people: list[PersonResult]) -> Similarities:
    """Every true person against every track, frame by frame; frames by their time."""
    frames, persons = truth["frames"], truth["people"]
    same = np.zeros((frames, len(persons), len(people)))
    there = np.zeros((frames, len(people)), bool)
    visible = np.array([[[c == VISIBLE for c in v] for v in p["visible"]] for p in persons])  # (P, T, 17)
    keypoints = np.array([p["keypoints_px"] for p in persons], float)  # (P, T, 17, 2)
    size = keypoints.max(2) - keypoints.min(2)
    area = np.maximum(size[..., 0] * size[..., 1], 1.0)
    for n, track in enumerate(people):
        at = np.rint(track.times_s * truth["fps"]).astype(int)
        ok = (at >= 0) & (at < frames)
        there[at[ok], n] = True
        for p in range(len(persons)):
            d2 = ((track.keypoints[ok] - keypoints[p, at[ok]]) ** 2).sum(-1)
            each = np.exp(-d2 / (2 * area[p, at[ok], None] * (2 * COCO_SIGMAS) ** 2))
            seen = visible[p, at[ok]]
            same[at[ok], p, n] = (each * seen).sum(-1) / np.maximum(seen.sum(-1), 1)
    present = visible.sum(-1).T >= OCCLUDED_JOINTS
    # who follows somebody hidden is not to blame for it
    excused = ((same >= SAME_MIN) & ~present[:, :, None]).any(1) & ~((same >= SAME_MIN) & present[:, :, None]).any(1)
    return Similarities(same * present[:, :, None], present, there & ~excused)


def idf1(s: Similarities) -> tuple[float, dict[int, int]]:
    """IDF1 and the track (by index) assigned to each person (by index)."""
    hits = (s.same >= SAME_MIN).sum(0)  # (P, N)
    rows, columns = linear_sum_assignment(-hits)
    assigned = {int(p): int(n) for p, n in zip(rows, columns, strict=True) if hits[p, n] > 0}
    total = int(s.present.sum() + s.tracked.sum())
    true_positive = int(sum(hits[p, n] for p, n in assigned.items()))
    return (2 * true_positive / total if total else 1.0), assigned


def followed(s: Similarities) -> NDArray[np.int64]:
    """(T, P) index of the track that follows each person, -1 where none; who followed stays with it if it can."""
    frames, persons, _ = s.same.shape
    out = np.full((frames, persons), -1)
    last = np.full(persons, -1)
    for t in range(frames):
        value = np.where(s.same[t] >= SAME_MIN, s.same[t], 0.0)
        for person in range(persons):
            if last[person] >= 0 and value[person, last[person]] > 0:
                value[person, last[person]] += 10.0
        rows, columns = linear_sum_assignment(-value)
        for p, n in zip(rows, columns, strict=True):
            if value[p, n] > 0:
                out[t, p] = last[p] = n
    return out


def switches(follow: NDArray[np.int64]) -> int:
    """How often a person's track is another than the last one that followed."""
    count = 0
    for column in follow.T:
        seen = column[column >= 0]
        count += int((seen[1:] != seen[:-1]).sum())
    return count


def _true_boxes(truth: dict[str, Any]) -> F64:
    keypoints = np.array([p["keypoints_px"] for p in truth["people"]], float)
    return np.concatenate([keypoints.min(2), keypoints.max(2)], -1)  # (P, T, 4)


def crossings(truth: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    """(person, other, first frame, last frame) of each time two people's boxes overlap while one of them moves on."""
    boxes = _true_boxes(truth)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    out = []
    for a in range(len(boxes)):
        for b in range(a + 1, len(boxes)):
            low, high = np.maximum(boxes[a, :, :2], boxes[b, :, :2]), np.minimum(boxes[a, :, 2:], boxes[b, :, 2:])
            inter = np.prod(np.clip(high - low, 0, None), axis=1)
            areas = [np.prod(boxes[k, :, 2:] - boxes[k, :, :2], axis=1) for k in (a, b)]
            over = inter / (areas[0] + areas[1] - inter) > CROSSING_IOU
            edges = np.flatnonzero(np.diff(np.concatenate([[0], over.astype(int), [0]])))
            for first, last in zip(edges[::2], edges[1::2] - 1, strict=True):
                side = centre[a, :, 0] - centre[b, :, 0]
                if side[first] * side[last] < 0:
                    out.append((a, b, int(first), int(last)))
    return out


def kept(follow: NDArray[np.int64], person: int, first: int, last: int, span: int = 40) -> bool:
    """The person has one and the same track in most frames before and after."""
    before, after = follow[max(first - span, 0) : first, person], follow[last + 1 : last + 1 + span, person]
    before, after = before[before >= 0], after[after >= 0]
    if not len(before) or not len(after):
        return False
    return int(np.bincount(before).argmax()) == int(np.bincount(after).argmax())


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one scene."""

    name: str
    people: int
    tracks: int
    idf1: float
    switches: int
    crossings: int
    crossings_kept: int
    counts: list[tuple[str, int, int]] = field(default_factory=list)  # exercise, true, found

    @property
    def counts_right(self) -> bool:
        return all(true == found for _, true, found in self.counts)


def score(name: str, truth: dict[str, Any], people: list[PersonResult]) -> Row:
    s = similarities(truth, people)
    value, assigned = idf1(s)
    follow = followed(s)
    meets = crossings(truth)
    unbroken = sum(kept(follow, a, i, j) and kept(follow, b, i, j) for a, b, i, j in meets)
    counts = []
    for p, person in enumerate(truth["people"]):
        true = sum(r["counted"] for r in person["repetitions"])
        found = len(found_repetitions(people[assigned[p]])) if p in assigned else 0
        counts.append((person["exercise"], true, found))
    return Row(name, len(truth["people"]), len(people), value, switches(follow), len(meets), unbroken, counts)


def run_scene(video: Path, options: AnalyzeOptions) -> Row:
    truth = json.loads(video.with_suffix(".json").read_text())
    return score(video.stem, truth, analyze(str(video), options).people)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    names = tuple(n for n in SCENES if args.only in n)
    videos = ensure_scenes(args.folder or rendered_folder(f"scenes-{args.seed}"), names, args.seed)
    rows = []
    print(f"{'scene':12s} people tracks  IDF1  switches  crossings kept  counts (true/found)")
    for video in videos:
        row = run_scene(video, AnalyzeOptions(threads=args.threads, thumbnails=False))
        rows.append(row)
        counts = ", ".join(f"{e} {t}/{f}" for e, t, f in row.counts)
        print(
            f"{row.name:12s} {row.people:6d} {row.tracks:6d} {row.idf1:5.3f}  {row.switches:8d}  "
            f"{row.crossings_kept:6d} of {row.crossings:d}    {counts}{'' if row.counts_right else '  WRONG'}",
            flush=True,
        )
    values = [r.idf1 for r in rows]
    print(
        f"IDF1 mean {np.mean(values):.3f}, least {min(values):.3f} (target 0.95); "
        f"crossings kept {sum(r.crossings_kept for r in rows)} of {sum(r.crossings for r in rows)}; "
        f"counts right in {sum(r.counts_right for r in rows)} of {len(rows)} scenes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
