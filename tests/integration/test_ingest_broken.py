"""Inputs that are broken: refused in one sentence, or read as far as they go."""

import gc
import threading
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from services.common.errors import InputError
from services.ingest.adapters.media import VideoReader, probe
from tests import media


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> list[media.Broken]:
    return media.broken_inputs(tmp_path_factory.mktemp("broken"))


@pytest.fixture(scope="module")
def degraded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    return {name: (path, kind) for name, path, kind in media.degraded_inputs(tmp_path_factory.mktemp("degraded"))}


def test_every_broken_input_is_refused_in_one_sentence_that_names_it(broken: list[media.Broken]) -> None:
    assert len(broken) >= 60
    for name, path, kind in broken:
        for open_it in (VideoReader, probe):
            with pytest.raises(InputError) as caught:
                open_it(str(path))
            text = str(caught.value)
            assert text.startswith(f"{path}: "), (name, kind)
            assert "\n" not in text
            assert "; " in text, f"{name}: says what to do: {text}"
            assert "Errno" not in text


def test_the_broken_inputs_are_of_every_kind(broken: list[media.Broken]) -> None:
    kinds = Counter(kind for _, _, kind in broken)
    assert set(kinds) == {
        "missing", "folder", "empty", "text", "image", "archive", "audio", "tiny", "zero_length",
        "header_only", "no_index", "truncated", "random", "wrong_magic",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "no such file"), ("folder", "folder"), ("empty", "0 bytes"), ("text", "text file|playlist"),
        ("image", "picture"), ("archive", "archive|document"), ("audio", "only sound"),
        ("tiny", "only [0-9]+x[0-9]+ px"),
        ("no_index", "incomplete"),
    ],
)  # fmt: skip
def test_the_sentence_says_what_is_wrong(broken: list[media.Broken], kind: str, said: str) -> None:
    for _, path, its_kind in broken:
        if its_kind == kind:
            with pytest.raises(InputError, match=said):
                probe(str(path))


def test_refusing_leaves_nothing_open(broken: list[media.Broken]) -> None:
    process = psutil.Process()
    gc.collect()
    before = process.num_fds()
    for _, path, _ in broken:
        with pytest.raises(InputError):
            VideoReader(str(path))
    gc.collect()
    assert process.num_fds() <= before


@pytest.mark.parametrize(
    ("name", "least", "code"),
    [
        ("mid_gop.mp4", 30, "TRUNCATED"),
        ("near_end.mp4", 50, "TRUNCATED"),
        ("mid_gop.mkv", 35, "TRUNCATED"),
        ("mid_gop.ts", 35, "CORRUPT"),
        ("mid_gop.avi", 35, "CORRUPT"),
        ("corrupt.mp4", 60, "CORRUPT"),
        ("corrupt.mkv", 60, "CORRUPT"),
        ("corrupt.ts", 60, "CORRUPT"),
        ("corrupt.avi", 60, "CORRUPT"),
        ("variable.mp4", 30, "VFR"),
    ],
)
def test_what_decodes_is_delivered_with_a_warning(
    degraded: dict[str, tuple[Path, str]], name: str, least: int, code: str
) -> None:
    with VideoReader(str(degraded[name][0])) as reader:
        times = [frame.time_s for frame in reader]
        warnings = {w.code: w.text for w in reader.warnings}
    assert len(times) >= least
    assert all(b > a for a, b in pairwise(times))
    assert code in warnings
    assert "\n" not in warnings[code]


def test_8k_is_read_scaled_down(degraded: dict[str, tuple[Path, str]]) -> None:
    with VideoReader(str(degraded["large.mp4"][0]), max_short_side_px=480) as reader:
        shapes = [f.image.shape for f in reader]
        assert (reader.info.width_px, reader.info.height_px) == (7680, 4320)
        assert reader.scale == pytest.approx(9)
    assert shapes == [(480, 853, 3)] * 2


def test_closing_early_and_twice_is_fine(tmp_path: Path) -> None:
    path = media.make_video(tmp_path / "clip.mp4")
    process = psutil.Process()
    before = process.num_fds()
    reader = VideoReader(str(path))
    next(reader)
    reader.close()
    reader.close()
    assert list(reader) == []
    with pytest.raises(KeyboardInterrupt), VideoReader(str(path)) as interrupted:
        for _ in interrupted:
            raise KeyboardInterrupt
    assert process.num_fds() <= before


def test_names_with_odd_characters(tmp_path: Path) -> None:
    path = media.make_video(tmp_path / "a b%20:ü'\"#?.mp4")
    assert probe(str(path)).width_px == 96
    missing = tmp_path / "two\nlines.mp4"
    with pytest.raises(InputError) as caught:
        probe(str(missing))
    assert "\n" not in str(caught.value)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


def test_a_url_is_read_and_a_wrong_one_refused(tmp_path: Path) -> None:
    media.make_video(tmp_path / "clip.ts", *media.H264)
    with ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: _Quiet(*a, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        with VideoReader(f"{base}/clip.ts") as reader:
            assert sum(1 for _ in reader) == 25
        with pytest.raises(InputError, match="check the address"):
            probe(f"{base}/other.ts")
        server.shutdown()
    with pytest.raises(InputError, match="cannot be opened"):
        probe("http://user:secret@127.0.0.1:9/clip.mp4")
    with pytest.raises(InputError, match="unknown kind of URL 'gopher'"):
        probe("gopher://example.org/clip.mp4")


def test_a_password_is_never_said(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        probe("http://user:secret@127.0.0.1:9/clip.mp4")
    assert "secret" not in str(caught.value)
