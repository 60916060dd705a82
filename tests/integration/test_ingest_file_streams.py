"""Files as streams: every sampled frame, in order, held back when nobody takes them, gone on with where they were."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.codec import EncodedFrame
from services.common.errors import InputError
from services.common.jpeg import MOST_BYTES, decode_jpeg, encode_jpeg
from services.common.processor import MarkKind
from services.ingest.adapters import file_reader
from services.ingest.adapters.file_reader import FileReader
from services.ingest.adapters.jobs import Job
from services.ingest.adapters.media import VideoReader
from services.ingest.adapters.readers import ReaderFactory
from services.ingest.adapters.supervisor import FilePosition, Start, Supervisor, Tuning, run_until
from services.ingest.core.lifecycle import Outcome, StreamState
from services.ingest.core.streams import Mode, StreamSpec
from tests.ingest_sink import Recorder
from tests.media import H264, ffmpeg, make_video, source

QUICK = Tuning(backoff_first_s=0.05, backoff_most_s=0.2)
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds, with a hard cut in the middle."""
    folder = tmp_path_factory.mktemp("file")
    parts = [make_video(folder / "a.mp4", size="160x120", seconds=3.0), folder / "b.mp4"]
    ffmpeg(*source("160x120", seconds=3.0, pattern="testsrc"), *H264, parts[1])
    (folder / "list.txt").write_text("".join(f"file '{p}'\n" for p in parts))
    ffmpeg("-f", "concat", "-safe", "0", "-i", folder / "list.txt", "-c", "copy", folder / "clip.mp4")
    return folder / "clip.mp4"


@pytest.fixture(scope="module")
def whole(clip: Path) -> list[tuple[int, float, bool, bool, bytes]]:
    """What a reading in one go gives."""
    with VideoReader(str(clip), max_short_side_px=480, threads=1) as reader:
        return [(f.sequence, f.time_s, f.cut, f.frozen, encode_jpeg(f.image)) for f in reader]


def recording(clip: Path, **more: object) -> StreamSpec:
    return replace(StreamSpec("gym", "clip", str(clip), Mode.FILE), **more)  # type: ignore[arg-type]


def content(frames: list[EncodedFrame]) -> list[tuple[int, float, bool, bool, bytes]]:
    return [(f.sequence, f.time_s, f.cut, f.frozen, f.jpeg) for f in frames]


def ended(sink: Recorder) -> bool:
    return sink.states("gym/clip")[-1:] == ["ended"]


def test_a_file_gives_every_frame_and_then_its_end(
    supervisor: Supervisor, sink: Recorder, clip: Path, whole: list
) -> None:
    supervisor.apply(recording(clip))
    assert run_until(supervisor, lambda: ended(sink), PATIENCE_S), supervisor.status()
    assert content(sink.frames["gym/clip"]) == whole
    assert len(whole) == 150
    assert sum(cut for _, _, cut, _, _ in whole) == 1
    assert sink.kinds("gym/clip") == [MarkKind.EOF]
    assert sink.marks["gym/clip"][0].time_s == whole[-1][1]
    assert sink.states("gym/clip") == ["connecting", "live", "ended"]
    (status,) = supervisor.status()
    assert (status.counters.sent, status.counters.skipped) == (150, {})
    assert status.position == FilePosition(149, whole[-1][1])


def test_a_taker_that_is_full_holds_the_file_back_and_loses_nothing(
    supervisor: Supervisor, sink: Recorder, clip: Path, whole: list
) -> None:
    sink.blocked.add("gym/clip")
    supervisor.apply(recording(clip))
    assert run_until(supervisor, lambda: sink.states("gym/clip")[-1:] == ["live"], PATIENCE_S)
    run_until(supervisor, lambda: False, 0.5)
    assert sink.frames["gym/clip"] == []
    sink.blocked.clear()
    assert run_until(supervisor, lambda: len(sink.frames["gym/clip"]) >= 20, PATIENCE_S)
    sink.blocked.add("gym/clip")
    held = len(sink.frames["gym/clip"])
    run_until(supervisor, lambda: False, 0.5)
    assert len(sink.frames["gym/clip"]) == held
    assert sink.states("gym/clip") == ["connecting", "live"]
    sink.blocked.clear()
    assert run_until(supervisor, lambda: ended(sink), PATIENCE_S)
    assert content(sink.frames["gym/clip"]) == whole


def test_a_crash_of_the_reader_or_the_service_neither_loses_nor_doubles_a_frame(
    sink: Recorder, clip: Path, whole: list, factory: ReaderFactory
) -> None:
    def take(supervisor: Supervisor, up_to: int) -> None:
        assert run_until(supervisor, lambda: len(sink.frames["gym/clip"]) >= up_to, PATIENCE_S)
        sink.blocked.add("gym/clip")

    with Supervisor(sink, tuning=QUICK, factory=factory) as first:
        first.apply(recording(clip))
        take(first, 30)
        assert run_until(first, lambda: first.status()[0].reader_pid is not None, PATIENCE_S)
        os.kill(first.status()[0].reader_pid, signal.SIGKILL)  # type: ignore[arg-type]
        sink.blocked.clear()
        take(first, 60)
        assert "lost" in sink.states("gym/clip")
        position = first.status()[0].position
    sink.blocked.clear()
    sink._state.clear()
    with Supervisor(sink, tuning=QUICK, factory=factory) as second:
        second.apply(recording(clip), Start(position=position))
        assert run_until(second, lambda: ended(sink), PATIENCE_S)
    assert content(sink.frames["gym/clip"]) == whole


class Tape:
    """A link that keeps what a reader sends."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, float, bool, bool, bytes]] = []

    def send(self, header: dict, body: bytes = b"") -> None:
        if header["kind"] == "frame":
            self.frames.append((header["sequence"], header["time_s"], header["cut"], header["frozen"], body))


@pytest.mark.parametrize("rate_fps", [None, 10.0])
@pytest.mark.parametrize("taken", [0, 77])
def test_a_long_file_is_gone_on_with_from_the_middle(
    monkeypatch: pytest.MonkeyPatch, clip: Path, whole: list, taken: int, rate_fps: float | None
) -> None:
    def read(after: tuple[int, float] | None) -> list[tuple[int, float, bool, bool, bytes]]:
        tape = Tape()
        sequence, after_s = (after[0] + 1, after[1]) if after else (0, None)
        job = Job("t", "s", "f0", str(clip), False, "tcp", rate_fps, 480, 0.0, 0.0, sequence, 10_000, after_s=after_s)
        end = FileReader(job, tape).run()  # type: ignore[arg-type]
        assert (end.outcome, end.reason) == (Outcome.EOF, "eof")
        return tape.frames

    everything = read(None)
    taken = taken if rate_fps is None else taken // 2
    monkeypatch.setattr(file_reader, "_REREAD_S", 0.0)
    monkeypatch.setattr(file_reader, "_WARM_UP_S", 2.5)
    last = everything[taken]
    assert read((last[0], last[1])) == everything[taken + 1 :]
    assert read((last[0], last[1] + 0.013)) == everything[taken + 1 :]  # not a time of this file: read from its start


def test_what_cannot_be_read_fails_at_once_with_the_sentence_of_the_reader(
    supervisor: Supervisor, sink: Recorder, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("hello " * 100)
    supervisor.apply(recording(tmp_path / "text.mp4"))
    assert run_until(supervisor, lambda: sink.states("gym/clip")[-1:] == ["failed"], PATIENCE_S)
    failed = sink.events["gym/clip"][-1]
    assert failed.reason == "unreadable"
    assert "is a text file" in failed.detail
    assert failed.retry_unix_s is None
    assert supervisor.status()[0].state is StreamState.FAILED


def test_a_spec_that_cannot_be_served_fails_and_a_better_one_runs(
    supervisor: Supervisor, sink: Recorder, clip: Path
) -> None:
    supervisor.apply(recording(clip, analysis_fps=1e9))
    assert sink.states("gym/clip") == ["failed"]
    assert "analysis_fps" in sink.events["gym/clip"][0].detail
    supervisor.apply(recording(clip, analysis_fps=5.0))
    assert run_until(supervisor, lambda: ended(sink), PATIENCE_S)
    assert len(sink.frames["gym/clip"]) == 30


def test_jpeg_keeps_the_picture() -> None:
    import numpy as np

    y, x = np.mgrid[0:120, 0:160]
    image = np.stack([x * 1.5, y * 2.0, 255 - x], axis=-1).astype(np.uint8)
    back = decode_jpeg(encode_jpeg(image))
    assert back.shape == image.shape
    assert np.abs(back.astype(int) - image.astype(int)).mean() < 3


def test_a_jpeg_always_fits_a_record_of_kafka() -> None:
    import numpy as np

    noise = np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    assert 500_000 < len(encode_jpeg(noise)) <= MOST_BYTES
    assert decode_jpeg(encode_jpeg(noise)).shape == noise.shape
    with pytest.raises(InputError, match="short_side_px"):
        encode_jpeg(np.tile(noise, (4, 4, 1)))
