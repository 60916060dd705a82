"""Repetitions of the real clips, on the streaming path, against what people read off them.

    python -m bench.score_clips [--pose movenet] [--network FILE] [--out PRED.json] [--json FILE]

Decodes, finds poses (kept in ``.cache/poses`` between runs; ``--fresh`` makes them anew), segments; then the
definitions of ``reference/score_reps.py`` beside the data. The person with most repetitions counts for a clip.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bench.score_sequences import DATA, reference, stream
from bench.scoreboard.datasets import clip_exercise
from bench.scoreboard.poses import PoseSource
from services.common.types import Repetition, Status
from services.segment.adapters.onnx import SHIPPED, OnnxRecurrentNetwork


def main_person(events: list[Repetition]) -> list[Repetition]:
    """The confirmed repetitions of the track that has most of them."""
    confirmed = [e for e in events if e.status is Status.CONFIRMED]
    counts = Counter(e.track_id for e in confirmed)
    best = max(counts, key=lambda t: (counts[t], -t), default=None)
    return [e for e in confirmed if e.track_id == best]


def main(arguments: list[str]) -> None:
    """Prints the scorer's table, exercise accuracy and the delay of decisions."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pose", default="movenet")
    p.add_argument("--network", type=Path, default=SHIPPED)
    p.add_argument("--fresh", action="store_true", help="find the poses anew")
    p.add_argument("--kept", action="store_true", help="take kept poses even if the pose stage has changed since")
    p.add_argument("--out", type=Path, help="write the predictions here")
    p.add_argument("--json", type=Path, help="write the scores here")
    args = p.parse_args(arguments)
    network, scorer = OnnxRecurrentNetwork(args.network), reference("score_reps")
    labels = json.loads((DATA / "clips" / "labels.json").read_text())
    labels = labels.get("clips", labels)
    poses = PoseSource(args.pose, args.fresh, args.kept)
    predictions: dict[str, Any] = {}
    right, delays = [], []
    for name, label in labels.items():
        frames = poses.of(DATA / "clips" / name)
        end_s = frames[-1].time_s if frames else 0.0
        events, _ = stream(frames, network, end_s)
        reps = main_person(events)
        predictions[name] = {
            "duration_s": end_s,
            "reps": [{"onset_s": r.onset_s, "turn_s": r.turn_s, "offset_s": r.offset_s} for r in reps],
        }
        names = Counter(r.exercise for r in reps)
        said = names.most_common(1)[0][0] if names else "none"
        right.append(said == clip_exercise(label["exercise"]))
        print(f"{name:36s} {clip_exercise(label['exercise']):18s} {said:18s} {dict(names)}")
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
