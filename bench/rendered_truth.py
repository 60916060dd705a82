"""The later stages on the truth of a rendered video: what still goes wrong is not the earlier stages' fault."""

from typing import Any, Final

import numpy as np

from services.common.processor import Mark, MarkKind
from services.common.types import (
    LOCAL_STREAM,
    NetworkTrace,
    Phases,
    PoseFrame,
    PoseWindow,
    Repetition,
    Status,
    TrackedPose,
)
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.processor import AssessProcessor
from services.local.collect import Collector
from services.local.pipeline import AnalyzeOptions
from services.local.results import PersonResult
from services.segment.adapters.onnx import OnnxRecurrentNetwork
from services.segment.core.processor import SegmentProcessor

SEEN_SCORE: Final = 0.9
HIDDEN_SCORE: Final = 0.45
"""What the pose network gives, on the average, to joints that the body itself hides in rendered pictures."""

BEFORE_S: Final = 0.5


def true_pose_frames(truth: dict[str, Any]) -> list[PoseFrame]:
    """What a pose stage without error would say of a rendered video."""
    frames = []
    for i in range(truth["frames"]):
        people = []
        for person in truth["people"]:
            seen = np.array([c == "2" for c in person["visible"][i]])
            if not seen.any():
                continue
            keypoints = np.array(person["keypoints_px"][i], np.float32)
            scores = np.where(seen, SEEN_SCORE, HIDDEN_SCORE).astype(np.float32)
            box = np.concatenate([keypoints.min(0), keypoints.max(0)])
            people.append(TrackedPose(person["id"], keypoints, scores, box))
        size = (truth["width_px"], truth["height_px"])
        frames.append(PoseFrame(LOCAL_STREAM, i, i / truth["fps"], *size, tuple(people)))
    return frames


def judge_poses(truth: dict[str, Any], options: AnalyzeOptions) -> list[PersonResult]:
    """The true poses through segment and errors, as the pipeline does it."""
    segment = SegmentProcessor(OnnxRecurrentNetwork(), exercise=options.exercise, trace=False)
    errors = AssessProcessor(load_catalogue(), options.strictness)
    collector = Collector()
    outputs: list[Repetition | NetworkTrace] = []
    frames = true_pose_frames(truth)
    for frame in frames:
        collector.poses(frame)
        outputs += segment.on_item(frame)
    outputs += segment.on_mark(Mark(LOCAL_STREAM, MarkKind.EOF, frames[-1].time_s))
    for output in outputs:
        collector.output(output)
        if isinstance(output, Repetition):
            for assessment in errors.on_item(output):
                collector.output(assessment)
    return collector.people()


def judge_repetitions(truth: dict[str, Any], options: AnalyzeOptions) -> list[PersonResult]:
    """The true repetitions, exercise and poses through errors alone."""
    errors = AssessProcessor(load_catalogue(), options.strictness)
    collector = Collector()
    frames = true_pose_frames(truth)
    for frame in frames:
        collector.poses(frame)
    for person in truth["people"]:
        counted = [r for r in person["repetitions"] if r["counted"]]
        for k, r in enumerate(counted):
            event = _confirmed(r, k, person["id"], counted[k - 1]["offset_s"] if k else 0.0, frames)
            collector.output(event)
            for assessment in errors.on_item(event):
                collector.output(assessment)
    return collector.people()


def _confirmed(r: dict[str, Any], k: int, track_id: int, before_s: float, frames: list[PoseFrame]) -> Repetition:
    poses = [
        (f.time_s, p)
        for f in frames
        for p in f.people
        if p.track_id == track_id and r["onset_s"] - BEFORE_S <= f.time_s <= r["offset_s"]
    ]
    window = PoseWindow(
        np.array([t for t, _ in poses]),
        np.array([p.keypoints for _, p in poses], np.float32),
        np.array([p.scores for _, p in poses], np.float32),
    )
    out, back = r["turn_s"] - r["onset_s"], r["offset_s"] - r["turn_s"]
    return Repetition(
        id=f"{track_id}-{k}",
        stream=LOCAL_STREAM,
        track_id=track_id,
        status=Status.CONFIRMED,
        onset_s=r["onset_s"],
        decided_s=r["offset_s"],
        turn_s=r["turn_s"],
        offset_s=r["offset_s"],
        set_index=1,
        index=k + 1,
        exercise=r["exercise"],
        exercise_probability=1.0,
        confidence=1.0,
        phases=Phases(out, 0.0, back, max(r["onset_s"] - before_s, 0.0)),
        window=window,
    )
