"""The pipeline does several things at once; its results are those of doing one after the other."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from services.common.errors import ModelError
from services.common.processor import Mark, MarkKind
from services.common.types import F32, LOCAL_STREAM, Frame
from services.ingest.adapters.media import VideoReader
from services.local import pipeline
from services.local.collect import Collector
from services.local.pipeline import AnalyzeOptions, Progress, analyze
from services.pose.adapters.local import LocalPose
from services.pose.adapters.onnx import OnnxBackend
from services.pose.core.processor import Plan, PoseProcessor
from services.pose.core.profiles import Profile
from tests.conftest import ROOT

DEMO = str(ROOT / "assets" / "demo.mp4")
OPTIONS = AnalyzeOptions(end_s=2.4, threads=1)
MOVENET = Profile.get("movenet")


def one_after_the_other() -> Collector:
    with VideoReader(DEMO, end_s=OPTIONS.end_s, max_short_side_px=pipeline.ANALYSIS_SHORT_SIDE_PX) as reader:
        pose = LocalPose(PoseProcessor(MOVENET, LOCAL_STREAM), OnnxBackend(MOVENET, threads=1))
        behind = pipeline._Behind(OPTIONS, reader)
        frames, together = list(reader), 0
        under_way: list[Plan] = []
        while frames or under_way:
            while frames and len(under_way) < 2:
                plan = pose.plan_next(under_way[0], frames[0]) if under_way else pose.plan(frames[0])
                if plan is None:
                    break
                under_way.append(plan)
                del frames[0]
            together += len(under_way) == 2
            plan = under_way.pop(0)
            behind.on_poses(plan.frame, pose.apply(plan, pose.infer(plan)))
            last_s = plan.frame.time_s
        assert together > 20
        end = Mark(LOCAL_STREAM, MarkKind.EOF, last_s)
        behind.on_end(end, pose.on_mark(end))
    return behind.collector


def test_the_same_results_as_one_after_the_other() -> None:
    wanted, seen = one_after_the_other(), list[Progress]()
    found = analyze(DEMO, OPTIONS, progress=seen.append)
    assert found.timings["frames"] == len(seen) == 60
    assert [p.position_s for p in seen] == pytest.approx([n / 25 for n in range(60)])
    people = wanted.people()
    assert [p.track_id for p in found.people] == [p.track_id for p in people] == [1]
    for mine, other in zip(found.people, people, strict=True):
        for name in ("times_s", "keypoints", "scores"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(other, name))
        assert len(mine.times_s) == 60
        assert [repr(t) for t in mine.traces] == [repr(t) for t in other.traces]
        assert len(mine.traces) > 0
        assert [repr(e) for e in mine.events] == [repr(e) for e in other.events]
    assert found.thumbnails.keys() == wanted.thumbnails.keys()
    for name, thumbnail in wanted.thumbnails.items():
        np.testing.assert_array_equal(found.thumbnails[name].image, thumbnail.image)


def test_an_error_behind_the_network_ends_the_run_and_its_threads() -> None:
    def full(progress: Progress) -> None:
        if progress.position_s > 0.2:
            raise OSError("disk full")

    before = threading.active_count()
    with pytest.raises(OSError, match="disk full"):
        analyze(DEMO, OPTIONS, progress=full)
    assert threading.active_count() == before


class _Failing:
    """A backend that breaks down after some runs."""

    def __init__(self, runs: int) -> None:
        self._runs, self._real = runs, OnnxBackend(MOVENET, threads=1)

    def infer(self, model: str, crops: NDArray[np.uint8]) -> tuple[F32, ...]:
        self._runs -= 1
        if self._runs < 0:
            raise ModelError("the network is gone")
        return self._real.infer(model, crops)


def test_an_error_of_the_network_comes_to_the_caller() -> None:
    taken = list[int]()

    def frames(reader: VideoReader) -> Iterator[Frame]:
        for frame in reader:
            taken.append(frame.sequence)
            yield frame

    before = threading.active_count()
    with VideoReader(DEMO, end_s=1.0) as reader:
        pose = LocalPose(PoseProcessor(MOVENET, LOCAL_STREAM), _Failing(5))
        behind = pipeline._Behind(OPTIONS, reader)
        clock = pipeline._Clock(0.0, OPTIONS, None)
        with pytest.raises(ModelError, match="the network is gone"):
            pipeline._run(pose.stream(frames(reader)), behind, clock, lambda _: None)
    assert threading.active_count() == before
    assert taken[-1] < 12  # five runs of two frames, and those in hand
    assert len(behind.collector.people()[0].times_s) <= taken[-1]
