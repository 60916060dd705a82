"""The whole pipeline in one process: video → poses → repetitions → assessments → ``AnalysisResult``.

The processors are those that the services run; this module only carries items from one to the next. Beside the pose
network, which takes most of the time, two things go on: the next pictures are decoded, and what was found in the
picture before is carried through the stages behind. The results are those of doing one after the other.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal

import cv2

from services.common.codec import repetition_from_proto, repetition_to_proto
from services.common.jpeg import decode_jpeg, encode_jpeg
from services.common.processor import Mark, MarkKind
from services.common.types import LOCAL_STREAM, Frame, NetworkTrace, PoseFrame, Repetition
from services.errors.adapters.catalogue import load_catalogue
from services.errors.core.processor import AssessProcessor
from services.errors.core.sets import summarise_sets
from services.ingest.adapters.media import VideoReader
from services.ingest.core.streams import SHORT_SIDE_PX
from services.local.ahead import ReadAhead
from services.local.collect import Collector
from services.local.results import AnalysisResult, SourceResult, Truth, WarningResult
from services.pose.adapters.local import LocalPose
from services.pose.adapters.onnx import OnnxBackend
from services.pose.core.processor import PoseProcessor
from services.pose.core.profiles import Profile
from services.pose.core.scaling import to_source
from services.segment.adapters.onnx import OnnxRecurrentNetwork
from services.segment.core.processor import SegmentProcessor

DEFAULT_POSE = "movenet"
ANALYSIS_SHORT_SIDE_PX = 720


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """How to analyse. ``exercise`` None = recognise it; ``threads``: of the pose network.

    ``frame_codec`` jpeg: pictures take the way that they take between the services (short side, JPEG and back, one
    after the other), and so do repetitions (their windows are quantised), so that the answer is the services' answer;
    none: pictures as they come out of the decoder.
    """

    exercise: str | None = None
    pose: str = DEFAULT_POSE
    people: Literal["all", "main"] = "all"
    strictness: float = 0.5
    start_s: float | None = None
    end_s: float | None = None
    threads: int = 2
    thumbnails: bool = True
    frame_codec: Literal["none", "jpeg"] = "none"

    @property
    def travelled(self) -> bool:
        """What goes from stage to stage takes the services' way."""
        return self.frame_codec == "jpeg"

    @property
    def short_side_px(self) -> int:
        """To which larger pictures are scaled down."""
        return SHORT_SIDE_PX if self.travelled else ANALYSIS_SHORT_SIDE_PX


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an analysis is. ``total_s`` None where the length is unknown."""

    frames: int
    position_s: float
    total_s: float | None
    elapsed_s: float

    @property
    def speed(self) -> float:
        """Seconds of video per second of work."""
        return self.position_s / self.elapsed_s if self.elapsed_s > 0 else 0.0


class _Behind:
    """What follows pose: segment → errors, with a collector beside."""

    def __init__(self, options: AnalyzeOptions, reader: VideoReader) -> None:
        self._segment = SegmentProcessor(OnnxRecurrentNetwork(), exercise=options.exercise, trace=True)
        self._errors = AssessProcessor(load_catalogue(), options.strictness)
        self._thumbnails = options.thumbnails
        self._travelled = options.travelled
        self._scale = reader.scale
        self._size_px = reader.info.width_px, reader.info.height_px
        self.collector = Collector()
        self.segment_s = 0.0
        self.errors_s = 0.0

    def on_poses(self, frame: Frame, found: Iterable[PoseFrame]) -> None:
        """What was found in ``frame``."""
        for poses in found:
            whole = to_source(poses, self._scale, *self._size_px)
            self.collector.poses(whole)
            if self._thumbnails:
                self.collector.pictures(frame, whole, self._scale)
            self._on_whole(whole)

    def on_end(self, mark: Mark, found: Iterable[PoseFrame]) -> None:
        """The stream has ended; ``found``: what pose says to that."""
        for poses in found:
            self._on_whole(to_source(poses, self._scale, *self._size_px))
        self._pass_on(self._segment.on_mark(mark))
        for assessment in self._errors.on_mark(mark):
            self.collector.output(assessment)

    def _on_whole(self, poses: PoseFrame) -> None:
        started = time.perf_counter()
        outputs = self._segment.on_item(poses)
        self.segment_s += time.perf_counter() - started
        self._pass_on(outputs)

    def _pass_on(self, outputs: Iterable[Repetition | NetworkTrace]) -> None:
        for output in outputs:
            self.collector.output(output)
            if isinstance(output, Repetition):
                if self._travelled:
                    output = repetition_from_proto(repetition_to_proto(output))
                started = time.perf_counter()
                assessments = self._errors.on_item(output)
                self.errors_s += time.perf_counter() - started
                for assessment in assessments:
                    self.collector.output(assessment)


def analyze(
    uri: str,
    options: AnalyzeOptions = AnalyzeOptions(),
    truth: Truth | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> AnalysisResult:
    """Analyse one video.

    Raises:
        InputError: it cannot be used.
        ModelError: the pose network cannot be had.
    """
    started = time.perf_counter()
    cv2.setNumThreads(1)  # its threads wait busily for the next small picture, on the cores that the network needs
    reader = VideoReader(
        uri, start_s=options.start_s, end_s=options.end_s, max_short_side_px=options.short_side_px, stream=LOCAL_STREAM,
        threads=1 if options.travelled else None,  # of a damaged file, threads decide what a picture looks like
    )  # fmt: skip
    profile = Profile.get(options.pose)
    with reader:
        info = reader.info
        pose = LocalPose(
            PoseProcessor(profile, LOCAL_STREAM, people=options.people), OnnxBackend(profile, threads=options.threads)
        )
        behind = _Behind(options, reader)
        ready, cpu_before_s = time.perf_counter(), time.process_time()
        clock = _Clock(ready, options, info.duration_s)
        with ReadAhead(map(_travelled, reader) if options.travelled else iter(reader)) as frames:
            counted = clock.counted(frames)
            found = _one_by_one(pose, counted) if options.travelled else pose.stream(counted)
            last = _run(found, behind, clock, progress)
        end = Mark(LOCAL_STREAM, MarkKind.EOF, last.time_s if last else 0.0)
        behind.on_end(end, pose.on_mark(end))
        finished, cpu_s = time.perf_counter(), time.process_time() - cpu_before_s
        warnings = [WarningResult(w.code, w.text) for w in reader.warnings]
    people = behind.collector.people()
    for person in people:
        person.sets = summarise_sets(person.assessments)
    if not people:
        warnings.append(WarningResult("NO_PERSON", "No person was found in the video."))
    return AnalysisResult(
        source=SourceResult(uri, info.duration_s, info.fps, info.width_px, info.height_px),
        warnings=warnings,
        people=people,
        thumbnails=behind.collector.thumbnails,
        truth=truth,
        timings={
            "setup_s": ready - started,
            "first_frame_s": clock.first_s - started,
            "decode_s": frames.busy_s,
            "pose_s": pose.busy_s,
            "segment_s": behind.segment_s,
            "errors_s": behind.errors_s,
            "analysis_s": finished - ready,
            "cpu_s": cpu_s,
            "frames": float(clock.frames),
            "frames_per_s": clock.frames / max(finished - ready, 1e-9),
        },
    )


def _travelled(frame: Frame) -> Frame:
    """As the pose service gets it from ingest."""
    return replace(frame, image=decode_jpeg(encode_jpeg(frame.image)))


def _one_by_one(pose: LocalPose, frames: Iterable[Frame]) -> Generator[tuple[Frame, list[PoseFrame]]]:
    """Every frame with its people; none is planned before the one before is known (``LocalPose.stream`` does so)."""
    for frame in frames:
        yield frame, pose.on_item(frame)


def _run(
    found: Generator[tuple[Frame, list[PoseFrame]]],
    behind: _Behind,
    clock: "_Clock",
    progress: Callable[[Progress], None],
) -> Frame | None:
    """All frames, in order; the last one. What is behind pose goes on beside its network, a picture or two later."""
    last: Frame | None = None
    with closing(found):
        for last, people in found:
            behind.on_poses(last, people)
            progress(clock.progress(last))
    return last


class _Clock:
    """Counts frames and time of one run."""

    def __init__(self, started: float, options: AnalyzeOptions, duration_s: float | None) -> None:
        self._started = started
        self._begin_s = options.start_s or 0.0
        self._total_s = _span(duration_s, options)
        self.frames = 0
        self.first_s = started

    def counted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            if self.frames == 0:
                self.first_s = time.perf_counter()
            self.frames += 1
            yield frame

    def progress(self, frame: Frame) -> Progress:
        return Progress(self.frames, frame.time_s - self._begin_s, self._total_s, time.perf_counter() - self._started)


def _span(duration_s: float | None, options: AnalyzeOptions) -> float | None:
    """Length of what is to be analysed, s."""
    if duration_s is None and options.end_s is None:
        return None
    end = min(x for x in (duration_s, options.end_s) if x is not None)
    return max(end - (options.start_s or 0.0), 0.0)
