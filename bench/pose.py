"""Pose networks side by side: how well they see people, how steadily, how fast.

    python -m bench.pose [PROFILE...] [--only coco,clips,speed] [--json FILE]

- *boxes*: COCO people, crops from their true boxes: what the network can do once somebody is found.
- *first look*: the whole picture and overlapping tiles at once, merged, each finding looked at once more.
- *tracked*: the real pose stage on the still picture for three seconds: what the system would follow.
- *clips*: the real pose stage on real workouts: share of frames with a lifter, mean joint score, and the RMS of the
  second difference of elbow and knee angles (deg per frame²: tremble, as the motion itself is smooth).
- *speed*: crops/s of the networks alone; the best of several runs, as others may use the machine too.

"tall": over 35 % of the picture's height and at least 8 labelled joints. Nothing is tuned on these pictures.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.pose_coco import Found, Person, average_precision, best_oks, joint_similarity, load
from services.common.skeleton import INDEX, VISIBLE_MIN
from services.common.types import F32, LOCAL_STREAM, Frame
from services.ingest.adapters.media import VideoReader
from services.pose.adapters.local import LocalPose
from services.pose.adapters.onnx import OnnxBackend
from services.pose.core import proposals
from services.pose.core.geometry import Instances, Region
from services.pose.core.processor import PoseProcessor
from services.pose.core.profiles import PROFILES, Profile

Row = dict[str, float | str]
DATA = Path(os.environ.get("FORMCHECK_DATA", Path(__file__).parents[2] / "shared" / "data"))
CLIP_S = 5.0
STILL_S, STILL_STEP_S = 3.0, 0.1
ANGLES = tuple(
    (INDEX[f"{side}_{a}"], INDEX[f"{side}_{b}"], INDEX[f"{side}_{c}"])
    for side in ("left", "right")
    for a, b, c in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
)


def look(
    profile: Profile, backend: OnnxBackend, image: NDArray[np.uint8], regions: Sequence[Region], single: bool
) -> list[Instances]:
    """What the profile sees in each region of a picture."""
    if not regions:
        return []
    crops = np.stack([profile.crop(image, r, single) for r in regions])
    outputs = backend.infer(profile.network(single).name, crops)
    return profile.decode(outputs, regions, [single] * len(regions))


# --- COCO


def boxes(profile: Profile, backend: OnnxBackend, images: dict[int, NDArray[np.uint8]], people: list[Person]) -> Row:
    """Crops from true boxes."""
    real = [p for p in people if not p.ignored]
    found: dict[int, list[Found]] = {}
    values, seen_right, seen_wrong, hidden_right = [], 0, 0, 0
    for person in real:
        instances = look(profile, backend, images[person.image], [Region.of_box(person.box, 1.1)], True)[0]
        one = [
            Found(k.astype(float), float(s.mean())) for k, s in zip(instances.keypoints, instances.scores, strict=True)
        ]
        found.setdefault(person.image, []).extend(one)
        values.append(best_oks(person, one))
        if len(instances):
            right = (joint_similarity(one[0].keypoints, person) > 0.5)[person.visible]
            shown = (instances.scores[0] >= VISIBLE_MIN)[person.visible]
            seen_right += int((right & shown).sum())
            seen_wrong += int((~right & shown).sum())
            hidden_right += int((right & ~shown).sum())
    return {
        **_recall("boxes", values, real),
        "boxes mean OKS": float(np.mean(values)),
        "boxes mean OKS, tall": float(np.mean([v for v, p in zip(values, real, strict=True) if p.tall])),
        "boxes AP": average_precision(found, people)[0],
        "seen joints that are right": seen_right / max(seen_right + seen_wrong, 1),
        "right joints that are seen": seen_right / max(seen_right + hidden_right, 1),
    }


def first_look(
    profile: Profile, backend: OnnxBackend, images: dict[int, NDArray[np.uint8]], people: list[Person]
) -> Row:
    """Whole picture and tiles at once, merged, looked at again."""
    found, crops = {}, 0
    for i, image in images.items():
        height, width = image.shape[:2]
        regions = [
            *proposals.everywhere(width, height),
            *proposals.tiles(width, height, 0.6 * min(width, height)),
        ]
        seen = [c for one in look(profile, backend, image, regions, False) for c in proposals.candidates_of(one, -1)]
        good = proposals.merge(c for c in seen if proposals.plausible(c, width, height))
        again = look(profile, backend, image, [c.region for c in good], True)
        sure = proposals.merge(c for one in again for c in proposals.candidates_of(one, -1))
        found[i] = [Found(c.keypoints, c.quality) for c in sure]
        crops += len(regions) + len(good)
    return {**_detected("first look", found, people), "first look crops": crops / len(images)}


def tracked(profile: Profile, backend: OnnxBackend, images: dict[int, NDArray[np.uint8]], people: list[Person]) -> Row:
    """The pose stage on each picture, shown for ``STILL_S``."""
    found = {}
    for i, image in images.items():
        stage = LocalPose(PoseProcessor(profile), backend)
        last: list[Found] = []
        for n in range(int(STILL_S / STILL_STEP_S)):
            for frame in stage.on_item(Frame(LOCAL_STREAM, n, n * STILL_STEP_S, image)):
                last = [Found(p.keypoints.astype(float), float(p.scores.mean())) for p in frame.people]
        found[i] = last
    return _detected("tracked", found, people)


def _recall(name: str, values: Sequence[float], real: Sequence[Person]) -> Row:
    hit = np.array(values) >= 0.5
    tall = np.array([p.tall for p in real])
    return {f"{name} recall": float(hit.mean()), f"{name} recall, tall": float(hit[tall].mean())}


def _detected(name: str, found: dict[int, list[Found]], people: list[Person]) -> Row:
    real = [p for p in people if not p.ignored]
    ap, ap50 = average_precision(found, people)
    values = [best_oks(p, found[p.image]) for p in real]
    each = float(np.mean([len(f) for f in found.values()]))
    return {**_recall(name, values, real), f"{name} AP": ap, f"{name} AP50": ap50, f"{name} people": each}


# --- clips


def clips(profile: Profile, backend: OnnxBackend, folder: Path) -> Row:
    """The pose stage on the first seconds of each clip, the main person only."""
    present, frames, scores = 0, 0, []
    smooth: list[float] = []
    raw: list[float] = []
    for path in sorted(folder.glob("*.mp4")):
        stage = LocalPose(PoseProcessor(profile, people="main"), backend)
        published: list[tuple[F32, F32] | None] = []
        direct: list[tuple[F32, F32] | None] = []
        for frame in _frames(path):
            plan = stage.plan(frame)
            results = stage.infer(plan)
            direct.append(_best(results))
            (pose,) = stage.apply(plan, results) or (None,)
            person = pose.people[0] if pose is not None and pose.people else None
            published.append((person.keypoints, person.scores) if person else None)
        frames += len(published)
        present += sum(p is not None for p in published)
        scores += [float(p[1].mean()) for p in published if p]
        smooth += _tremble(published)
        raw += _tremble(direct)
    return {
        "clips frames with a person": present / frames,
        "clips joint score": float(np.mean(scores)),
        "clips tremble, network": float(np.sqrt(np.mean(np.square(raw)))),
        "clips tremble, published": float(np.sqrt(np.mean(np.square(smooth)))),
        "clips tremble, network, median": float(np.median(np.abs(raw))),
    }


def _frames(path: Path) -> Iterator[Frame]:
    with VideoReader(str(path), end_s=CLIP_S, max_short_side_px=480) as reader:
        yield from reader


def _best(results: Sequence[Instances]) -> tuple[F32, F32] | None:
    """The best seen skeleton of a frame, straight from the network."""
    every = [(k, s) for r in results if not r.rough for k, s in zip(r.keypoints, r.scores, strict=True)]
    return max(every, key=lambda p: float(p[1].mean()), default=None)


def _tremble(poses: Sequence[tuple[F32, F32] | None]) -> list[float]:
    """Second differences, deg, of the angles whose joints are seen in three frames running."""
    angles = np.full((len(poses), len(ANGLES)), np.nan)
    for t, pose in enumerate(poses):
        for i, (a, b, c) in enumerate(ANGLES):
            if pose is not None and pose[1][[a, b, c]].min() >= VISIBLE_MIN:
                u, v = pose[0][a] - pose[0][b], pose[0][c] - pose[0][b]
                angles[t, i] = np.degrees(np.arctan2(u[0] * v[1] - u[1] * v[0], u @ v))
    turn = (np.diff(angles, axis=0) + 180) % 360 - 180
    second = np.diff(turn, axis=0)
    return [float(v) for v in second.ravel() if np.isfinite(v)]


# --- speed


def speed(profile: Profile, seconds: float = 1.5) -> Row:
    """crops/s per role, threads and batch."""
    row: Row = {}
    rng = np.random.default_rng(0)
    for threads in (1, 2):
        backend = OnnxBackend(profile, threads=threads)
        for role, net in (("follow", profile.following), ("detect", profile.detecting)):
            if role == "detect" and net == profile.following:
                continue
            for batch in (1, 4):
                crops = rng.integers(0, 255, (batch, net.size_px, net.size_px, 3), dtype=np.uint8)
                best, until = float("inf"), time.perf_counter() + seconds
                while time.perf_counter() < until:
                    begin = time.perf_counter()
                    backend.infer(net.name, crops)
                    best = min(best, time.perf_counter() - begin)
                row[f"{role} crops/s, {threads} thread{'s' * (threads > 1)}, batch {batch}"] = batch / best
    return row


def main() -> None:
    """Measures what is asked for and prints one table, profiles as columns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profiles", nargs="*", default=list(PROFILES))
    parser.add_argument("--only", default="coco,clips,speed")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    wanted = args.only.split(",")
    if ("coco" in wanted or "clips" in wanted) and not DATA.is_dir():
        parser.error(f"no data in {DATA}: set FORMCHECK_DATA, or use --only speed")
    table: dict[str, Row] = {}
    for name in args.profiles:
        profile = Profile.get(name)
        backend = OnnxBackend(profile, threads=1)
        row: Row = {}
        if "coco" in wanted:
            images, people = load(DATA / "coco_keypoints")
            for measure in (boxes, first_look, tracked):
                row |= measure(profile, backend, images, people)
        if "clips" in wanted:
            row |= clips(profile, backend, DATA / "clips")
        if "speed" in wanted:
            row |= speed(profile)
        table[name] = row
        print(f"{name}: done", flush=True)
    _print(table)
    if args.json:
        args.json.write_text(json.dumps(table, indent=1))


def _print(table: dict[str, Row]) -> None:
    lines = list(dict.fromkeys(key for row in table.values() for key in row))
    width = max(map(len, lines))
    print(" " * width, *(f"{name:>16}" for name in table))
    for line in lines:
        cells = []
        for row in table.values():
            value = row.get(line)
            digits = 0 if "crops/s" in line else 1 if line.endswith(("people", "crops")) else 3
            cells.append(f"{value:>16.{digits}f}" if isinstance(value, float) else f"{'–':>16}")
        print(f"{line:<{width}}", *cells)


if __name__ == "__main__":
    main()
