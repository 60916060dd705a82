"""Repetitions of the real clips, on the streaming path, against what people read off them.

    python -m bench.score_clips [--pose movenet] [--network FILE] [--out PRED.json] [--json FILE]

Decodes, finds poses (kept in the temporary folder between runs; ``--fresh`` makes them anew), segments; then the
definitions of ``reference/score_reps.py`` beside the data. The person with most repetitions counts for a clip.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.score_sequences import DATA, reference, stream
from services.common.types import LOCAL_STREAM, PoseFrame, Repetition, Status, TrackedPose
from services.segment.adapters.onnx import SHIPPED, OnnxRecurrentNetwork

CACHE: Final = Path(tempfile.gettempdir()) / "formcheck-bench-poses"
ALIASES: Final = {
    "hammer": "hammer_curl", "curl": "bicep_curl", "lateral": "lateral_raise", "front raise": "front_raise",
    "shoulder press": "shoulder_press", "row": "bent_over_row", "deadlift": "romanian_deadlift", "lunge": "lunge",
    "squat": "squat",
}  # fmt: skip


def find_poses(path: Path, profile_name: str) -> list[PoseFrame]:
    """Every frame of a video through the pose stage."""
    from services.ingest.adapters.media import VideoReader
    from services.local.pipeline import ANALYSIS_SHORT_SIDE_PX, to_source
    from services.pose.adapters.local import LocalPose
    from services.pose.adapters.onnx import OnnxBackend
    from services.pose.core.processor import PoseProcessor
    from services.pose.core.profiles import Profile

    profile = Profile.get(profile_name)
    pose = LocalPose(PoseProcessor(profile, LOCAL_STREAM), OnnxBackend(profile, threads=1))
    out: list[PoseFrame] = []
    with VideoReader(str(path), max_short_side_px=ANALYSIS_SHORT_SIDE_PX, stream=LOCAL_STREAM) as reader:
        info = reader.info
        for frame in reader:
            out += [to_source(p, reader.scale, info.width_px, info.height_px) for p in pose.on_item(frame)]
    return out


def _save(path: Path, frames: list[PoseFrame]) -> None:
    """Poses as arrays: one row per person and frame."""
    rows = [(i, p) for i, f in enumerate(frames) for p in f.people]
    np.savez_compressed(
        path,
        times_s=np.array([f.time_s for f in frames]),
        size_px=np.array([[f.width_px, f.height_px] for f in frames]),
        flags=np.array([[f.cut, f.frozen] for f in frames]),
        ended=np.array([(i, t) for i, f in enumerate(frames) for t in f.ended], np.int64).reshape(-1, 2),
        frame=np.array([i for i, _ in rows], np.int64),
        track=np.array([p.track_id for _, p in rows], np.int64),
        keypoints=np.array([p.keypoints for _, p in rows], np.float32).reshape(-1, 17, 2),
        scores=np.array([p.scores for _, p in rows], np.float32).reshape(-1, 17),
        box=np.array([p.box for _, p in rows], np.float32).reshape(-1, 4),
    )


def _load(path: Path) -> list[PoseFrame]:
    z = dict(np.load(path).items())
    people: dict[int, list[TrackedPose]] = {}
    for i, track, k, s, b in zip(z["frame"], z["track"], z["keypoints"], z["scores"], z["box"], strict=True):
        people.setdefault(int(i), []).append(TrackedPose(int(track), k, s, b))
    return [
        PoseFrame(
            LOCAL_STREAM, i, float(t), int(size[0]), int(size[1]), tuple(people.get(i, ())),
            tuple(int(track) for f, track in z["ended"] if f == i), bool(flags[0]), bool(flags[1]),
        )
        for i, (t, size, flags) in enumerate(zip(z["times_s"], z["size_px"], z["flags"], strict=True))
    ]  # fmt: skip


def poses_of(path: Path, profile: str, fresh: bool = False) -> list[PoseFrame]:
    """Poses of a clip, from the cache if they are there."""
    CACHE.mkdir(exist_ok=True)
    kept = CACHE / f"{path.stem}.{profile}.npz"
    if fresh or not kept.exists():
        _save(kept, find_poses(path, profile))
    return _load(kept)


def main_person(events: list[Repetition]) -> list[Repetition]:
    """The confirmed repetitions of the track that has most of them."""
    confirmed = [e for e in events if e.status is Status.CONFIRMED]
    counts = Counter(e.track_id for e in confirmed)
    best = max(counts, key=lambda t: (counts[t], -t), default=None)
    return [e for e in confirmed if e.track_id == best]


def expected(exercise: str) -> str:
    """Our id for a label's exercise."""
    return next((v for k, v in ALIASES.items() if k in exercise), "unknown")


def main(arguments: list[str]) -> None:
    """Prints the scorer's table, exercise accuracy and the delay of decisions."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pose", default="movenet")
    p.add_argument("--network", type=Path, default=SHIPPED)
    p.add_argument("--fresh", action="store_true", help="find the poses anew")
    p.add_argument("--out", type=Path, help="write the predictions here")
    p.add_argument("--json", type=Path, help="write the scores here")
    args = p.parse_args(arguments)
    network, scorer = OnnxRecurrentNetwork(args.network), reference("score_reps")
    labels = json.loads((DATA / "clips" / "labels.json").read_text())
    labels = labels.get("clips", labels)
    predictions: dict[str, Any] = {}
    right, delays = [], []
    for name, label in labels.items():
        frames = poses_of(DATA / "clips" / name, args.pose, args.fresh)
        end_s = frames[-1].time_s if frames else 0.0
        events, _ = stream(frames, network, end_s)
        reps = main_person(events)
        predictions[name] = {
            "duration_s": end_s,
            "reps": [{"onset_s": r.onset_s, "turn_s": r.turn_s, "offset_s": r.offset_s} for r in reps],
        }
        names = Counter(r.exercise for r in reps)
        said = names.most_common(1)[0][0] if names else "none"
        right.append(said == expected(label["exercise"]))
        print(f"{name:36s} {expected(label['exercise']):18s} {said:18s} {dict(names)}")
        delays += [r.decided_s - r.offset_s for r in reps if r.offset_s is not None]
    result = scorer.score(predictions, labels)
    scorer.report(result)
    print(f"  exercise right in {np.mean(right):.2f} of {len(right)} clips")
    if delays:
        print(f"  decided after the found offset: p50 {np.median(delays):.2f} s, p95 {np.percentile(delays, 95):.2f} s")
    if args.out:
        args.out.write_text(json.dumps(predictions, indent=1))
    if args.json:
        args.json.write_text(json.dumps(result | {"exercise": float(np.mean(right))}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
