"""``formcheck segment`` and ``formcheck assess``: a pose sequence through the same streaming path as a video."""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.common.errors import InputError
from services.common.layouts import to_coco17
from services.common.processor import Mark, MarkKind
from services.common.skeleton import VISIBLE_MIN
from services.common.types import (
    F32,
    LOCAL_STREAM,
    Assessment,
    NetworkTrace,
    PoseFrame,
    PoseWindow,
    Repetition,
    Status,
    TrackedPose,
)
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.processor import AssessProcessor
from services.segment.adapters.onnx import OnnxRecurrentNetwork
from services.segment.core.processor import SegmentProcessor

_KEYS = ("keypoints", "poses", "joints")
TRACK_ID = 1


@dataclass(frozen=True, slots=True, eq=False)
class PoseSequence:
    """One person's poses at a fixed rate: keypoints (T, 17, 2) px, scores (T, 17) in [0, 1]."""

    keypoints: F32
    scores: F32
    width_px: int
    height_px: int
    fps: float

    def __len__(self) -> int:
        return len(self.keypoints)

    def frames(self) -> list[PoseFrame]:
        """As poses of a video; a frame in which no joint is seen shows nobody."""
        frames = []
        for i, (places, scores) in enumerate(zip(self.keypoints, self.scores, strict=True)):
            seen = scores >= VISIBLE_MIN
            people: tuple[TrackedPose, ...] = ()
            if seen.any():
                box = np.concatenate([places[seen].min(0), places[seen].max(0)]).astype(np.float32)
                people = (TrackedPose(TRACK_ID, places, scores, box),)
            frames.append(PoseFrame(LOCAL_STREAM, i, i / self.fps, self.width_px, self.height_px, people))
        return frames


@dataclass(slots=True, eq=False)
class SequenceResult:
    """What was found; ``whole``: no complete repetition was, and all of it was assessed as one."""

    repetitions: list[Repetition] = field(default_factory=list)
    traces: list[NetworkTrace] = field(default_factory=list)
    assessments: list[Assessment] = field(default_factory=list)
    whole: bool = False


def load_sequence(path: Path, layout: str, fps: float) -> PoseSequence:
    """Read POSES: ``.npy``, or ``.npz`` with key keypoints, else poses, else joints.

    Raises:
        InputError: no such file, not an array of numbers, unknown layout, wrong shape, NaN, impossible fps.
    """
    array = _read_array(path)
    try:
        keypoints, scores, width, height = to_coco17(array, layout, fps)
    except InputError as e:
        raise InputError(f"{path}: {e}") from e
    return PoseSequence(keypoints, scores, width, height, fps)


def _read_array(path: Path) -> NDArray[np.generic]:
    if path.is_dir() or not path.exists():
        raise InputError(f"{path}: no such file; give poses as .npy or .npz")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                return np.asarray(loaded)
            key = next((k for k in _KEYS if k in loaded.files), None)
            if key is None:
                found = ", ".join(loaded.files) or "nothing"
                raise InputError(f"{path}: holds {found}; name the poses keypoints, poses or joints")
            return np.asarray(loaded[key])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as e:
        raise InputError(f"{path}: is not a NumPy array file; save poses with numpy.save or numpy.savez") from e


def run_sequence(
    sequence: PoseSequence, exercise: str | None = None, strictness: float | None = None, trace: bool = False
) -> SequenceResult:
    """Stream a sequence through segment, and through errors where ``strictness`` is given."""
    segment = SegmentProcessor(OnnxRecurrentNetwork(), exercise=exercise, trace=trace)
    errors = AssessProcessor(load_catalogue(), strictness) if strictness is not None else None
    result = SequenceResult()

    def take(outputs: Sequence[Repetition | NetworkTrace]) -> None:
        for output in outputs:
            if isinstance(output, NetworkTrace):
                result.traces.append(output)
                continue
            result.repetitions.append(output)
            if errors is not None:
                result.assessments += errors.on_item(output)

    for frame in sequence.frames():
        take(segment.on_item(frame))
    end = Mark(LOCAL_STREAM, MarkKind.EOF, len(sequence) / sequence.fps)
    take(segment.on_mark(end))
    if errors is not None:
        result.assessments += errors.on_mark(end)
        if not any(r.status is Status.CONFIRMED for r in result.repetitions):
            _assess_whole(sequence, exercise or "unknown", errors, result)
    return result


def _assess_whole(sequence: PoseSequence, exercise: str, errors: AssessProcessor, result: SequenceResult) -> None:
    """Assess all of the sequence as one repetition; what was found in it (attempts) gives way."""
    seen = (sequence.scores >= VISIBLE_MIN).any(axis=1)
    if seen.sum() < 2:
        return
    times = np.arange(len(sequence)) / sequence.fps
    window = PoseWindow(times[seen], sequence.keypoints[seen], sequence.scores[seen])
    assessment = errors.assess_window(exercise, window)
    result.repetitions = [assessment.repetition]
    result.assessments = [assessment]
    result.whole = True
