"""``annotated.mp4`` made from real files: format, times, size, and that no half of it is ever left."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from services.common.errors import InputError
from services.local.report.annotate import annotate_video
from services.local.results import AnalysisResult
from tests.report_factory import HEIGHT, WIDTH, make_result, write_video

FRAMES = 60


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> AnalysisResult:
    made = make_result(repetitions=2, thumbnails=False, truth=False)
    path = tmp_path_factory.mktemp("report") / "source.mp4"
    write_video(made, path, frames=FRAMES)
    return dataclasses.replace(made, source=dataclasses.replace(made.source, uri=str(path)))


def _write(path: Path, times_ms: list[int], width: int, height: int) -> None:
    """A clip with frames at the given times; lossless for any size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj444p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, at in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 40 + i, np.uint8), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _source(result: AnalysisResult, path: Path, width: int, height: int) -> AnalysisResult:
    source = dataclasses.replace(result.source, uri=str(path), width_px=width, height_px=height)
    return dataclasses.replace(result, source=source)


def _times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time or 0.0) for frame in container.decode(video=0)]


def test_every_frame_is_there_as_browsers_want_it(result: AnalysisResult, tmp_path: Path) -> None:
    path = tmp_path / "annotated.mp4"
    seen: list[float] = []
    annotate_video(result, path, progress=seen.append)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (WIDTH, HEIGHT)
        pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(pictures) == FRAMES == len(seen)
    assert seen == sorted(seen)
    raw = path.read_bytes()
    assert raw.index(b"moov") < raw.index(b"mdat")
    panel = pictures[30][30:100, 30:60].astype(int)
    assert panel.max() > 235
    assert panel.min() < 90
    assert [p.name for p in tmp_path.iterdir()] == ["annotated.mp4"]


def test_frames_keep_their_own_times(result: AnalysisResult, tmp_path: Path) -> None:
    times_ms = [0, 33, 66, 200, 233, 500, 900, 933]
    source, path = tmp_path / "vfr.mkv", tmp_path / "annotated.mp4"
    _write(source, times_ms, 320, 240)
    annotate_video(_source(result, source, 320, 240), path)
    assert _times(path) == pytest.approx([t / 1000 for t in times_ms], abs=0.002)


def test_a_span_begins_with_its_first_frame(result: AnalysisResult, tmp_path: Path) -> None:
    path = tmp_path / "annotated.mp4"
    annotate_video(result, path, start_s=0.5, end_s=1.0)
    times = _times(path)
    assert len(times) == 15
    assert times[0] == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize(
    ("size", "expected"), [((321, 241), (480, 360)), ((90, 64), (360, 256)), ((2600, 1500), (1872, 1080))]
)
def test_sizes_become_even_legible_and_not_too_large(
    result: AnalysisResult, tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    source, path = tmp_path / "odd.mkv", tmp_path / "annotated.mp4"
    _write(source, [0, 33, 66], *size)
    annotate_video(_source(result, source, *size), path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == expected


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing(
    result: AnalysisResult, tmp_path: Path, interruption: type[BaseException]
) -> None:
    def stop(time_s: float) -> None:
        if time_s > 0.5:
            raise interruption

    with pytest.raises(interruption):
        annotate_video(result, tmp_path / "annotated.mp4", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_video_survives_a_failure(result: AnalysisResult, tmp_path: Path) -> None:
    path = tmp_path / "annotated.mp4"
    path.write_bytes(b"earlier")
    with pytest.raises(InputError, match=r"gone\.mp4"):
        annotate_video(_source(result, tmp_path / "gone.mp4", 640, 480), path)
    assert path.read_bytes() == b"earlier"


def test_a_place_that_cannot_be_written_is_named(result: AnalysisResult, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="annotated video cannot be written"):
        annotate_video(result, tmp_path / "missing" / "annotated.mp4")
