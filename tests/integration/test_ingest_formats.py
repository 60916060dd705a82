"""Real files of the kinds that people have, against ffprobe's presentation times."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import InputError
from services.common.types import StreamKey
from services.ingest.adapters.media import VideoReader, probe
from tests import media

VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error")
B_FRAMES = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-b_strategy", "0", "-pix_fmt", "yuv420p")

FORMATS: dict[str, tuple[str, ...]] = {
    "h264.mp4": media.H264,
    "b_frames.mp4": B_FRAMES,
    "b_frames.mov": B_FRAMES,
    "b_frames.mkv": B_FRAMES,
    "b_frames.ts": B_FRAMES,
    "fragmented.mp4": (*B_FRAMES, "-movflags", "+frag_keyframe+empty_moov"),
    "hevc.mp4": HEVC,
    "hevc_10_bit.mkv": (*HEVC, "-pix_fmt", "yuv420p10le"),
    "vp9.webm": VP9,
    "vp9_alpha.webm": (*VP9, "-pix_fmt", "yuva420p"),
    "vp8.webm": ("-c:v", "libvpx", "-deadline", "realtime"),
    "mjpeg.avi": ("-c:v", "mjpeg"),
    "mpeg4.avi": ("-c:v", "mpeg4"),
    "mpeg2.ts": ("-c:v", "mpeg2video"),
    "mpeg2.mpg": ("-c:v", "mpeg2video"),
    "prores.mov": ("-c:v", "prores_ks"),
    "png.mov": ("-c:v", "png"),
    "flv.flv": ("-c:v", "flv"),
    "wmv.wmv": ("-c:v", "wmv2"),
    "lossless_444.mkv": ("-c:v", "ffv1", "-pix_fmt", "yuv444p"),
    "animation.gif": ("-f", "gif"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


def times_of(path: Path, **options: float) -> list[float]:
    with VideoReader(str(path), **options) as reader:  # type: ignore[arg-type]
        return [frame.time_s for frame in reader]


@pytest.mark.parametrize("name", FORMATS)
def test_every_frame_comes_at_the_time_that_ffprobe_gives(folder: Path, name: str) -> None:
    path = media.make_video(
        folder / name, *(FORMATS[name] or ("-f", "gif")), size="98x66", sound=name.startswith("b_frames")
    )
    with VideoReader(str(path)) as reader:
        info = reader.info
        frames = list(reader)
        assert reader.warnings == []
    expected = media.probe_times_s(path)
    assert [f.time_s for f in frames] == pytest.approx(expected, abs=1e-4)
    assert len(frames) == 25
    assert [f.sequence for f in frames] == list(range(25))
    assert (info.width_px, info.height_px) == (98, 66)
    assert info.fps == pytest.approx(25, rel=0.02)
    assert info.duration_s is None or info.duration_s == pytest.approx(1.0, abs=0.1)
    assert all(f.image.shape == (66, 98, 3) and f.image.dtype == np.uint8 for f in frames)
    assert all(f.image.flags.c_contiguous for f in frames)
    means = [float(np.abs(a.image.astype(int) - b.image).mean()) for a, b in pairwise(frames)]
    assert min(means) > 0.05, "the pictures differ: it is not one frame again and again"


def test_b_frames_in_avi_are_shown_in_order_from_zero(folder: Path) -> None:
    """AVI stores no presentation times; its frames are one period apart."""
    path = media.make_video(folder / "b_frames.avi", *B_FRAMES)
    assert times_of(path) == pytest.approx([i / 25 for i in range(25)], abs=1e-4)


def test_a_raw_stream_without_times_is_counted(folder: Path) -> None:
    path = media.make_video(folder / "raw.h264", *media.H264)
    assert times_of(path) == pytest.approx([i / 25 for i in range(25)], abs=1e-4)


def test_variable_frame_rate_keeps_each_frames_own_time(folder: Path) -> None:
    path = folder / "variable.mp4"
    pick = "select='eq(mod(n,7),0)+eq(mod(n,7),1)+eq(mod(n,7),4)'"
    media.ffmpeg(*media.source(fps="50", seconds=2), "-vf", pick, "-vsync", "vfr", *B_FRAMES, path)
    with VideoReader(str(path)) as reader:
        times = [f.time_s for f in reader]
        assert [w.code for w in reader.warnings] == ["VFR"]
    assert times == pytest.approx(media.probe_times_s(path), abs=1e-4)
    assert {round(b - a, 2) for a, b in pairwise(times)} == {0.02, 0.06}


def test_a_gap_in_time_stays_a_gap(folder: Path) -> None:
    path = folder / "gap.mkv"
    media.ffmpeg(*media.source(seconds=3), "-vf", "select='lt(t,1)+gte(t,2.5)'", "-vsync", "vfr", *media.H264, path)
    steps = [b - a for a, b in pairwise(times_of(path))]
    assert max(steps) == pytest.approx(1.54, abs=0.03)
    assert sorted(steps)[-2] == pytest.approx(0.04, abs=2e-3)


def test_an_absurd_jump_of_the_clock_is_closed(folder: Path) -> None:
    path = folder / "jump.mkv"
    media.ffmpeg(*media.source(), "-vf", "setpts='PTS+gte(N,12)*100000/TB'", "-vsync", "passthrough", *media.H264, path)
    with VideoReader(str(path)) as reader:
        times = [f.time_s for f in reader]
        assert "TIMESTAMPS" in [w.code for w in reader.warnings]
    assert len(times) == 25
    assert times[-1] == pytest.approx(24 / 25, abs=0.05)


def test_an_absurd_frame_rate_is_not_believed(folder: Path) -> None:
    path = media.make_video(folder / "rate.mp4", *media.H264, fps="1500", seconds=0.02)
    with VideoReader(str(path)) as reader:
        assert reader.info.fps <= 1000
        times = [f.time_s for f in reader]
    assert times == pytest.approx([i / 1500 for i in range(30)], abs=1e-4)


def test_untagged_hd_is_taken_for_709_as_players_do(folder: Path) -> None:
    picture = np.full((720, 1280, 3), (200, 30, 40), np.uint8)
    codec = ("-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-c:v", "mpeg4", "-q:v", "2")
    path = media.write_raw(folder / "hd.avi", [picture] * 2, 25, *codec)
    for short_side in (None, 360):
        with VideoReader(str(path), max_short_side_px=short_side) as reader:
            assert next(reader).image[100, 100] == pytest.approx(np.array((200, 30, 40)), abs=6)


def test_video_that_starts_after_the_sound_starts_late(folder: Path) -> None:
    path = folder / "late.mkv"
    tone = ("-f", "lavfi", "-i", "sine=duration=2")
    media.ffmpeg("-itsoffset", "0.5", *media.source(), *tone, *media.H264, path)
    assert times_of(path)[0] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("size", ["97x65", "33x17", "100x51", "16x16"])
def test_odd_sizes(folder: Path, size: str) -> None:
    width, height = map(int, size.split("x"))
    path = folder / f"odd_{size}.mkv"
    media.ffmpeg(*media.source("200x200", seconds=0.4), "-vf", f"scale={width}:{height},setsar=1", "-c:v", "ffv1", path)
    with VideoReader(str(path)) as reader:
        frame = next(reader)
    assert frame.image.shape == (height, width, 3)
    assert frame.image.flags.c_contiguous


def corners(red_at: str) -> np.ndarray:
    """A grey picture, 96 wide and 64 high, one corner of it red: tl, tr, bl, br."""
    out = np.full((64, 96, 3), 120, np.uint8)
    rows = slice(0, 20) if red_at[0] == "t" else slice(44, 64)
    columns = slice(0, 30) if red_at[1] == "l" else slice(66, 96)
    out[rows, columns] = (220, 20, 20)
    return out


def red_corner(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    redness = image[..., 0].astype(int) - image[..., 1]
    y, x = np.argwhere(redness > 100).mean(0)
    return ("t" if y < height / 2 else "b") + ("l" if x < width / 2 else "r")


@pytest.mark.parametrize(
    ("matrix", "turn_deg", "mirrored", "shape", "corner"),
    [
        ((1, 0, 0, 1), 0, False, (64, 96), "tl"),
        ((0, 1, -1, 0), 90, False, (96, 64), "tr"),
        ((-1, 0, 0, -1), 180, False, (64, 96), "br"),
        ((0, -1, 1, 0), 270, False, (96, 64), "bl"),
        ((-1, 0, 0, 1), 0, True, (64, 96), "tr"),
        ((1, 0, 0, -1), 180, True, (64, 96), "bl"),
    ],
)
def test_pictures_are_turned_upright_as_phones_say(
    folder: Path, matrix: tuple[int, int, int, int], turn_deg: int, mirrored: bool, shape: tuple[int, int], corner: str
) -> None:
    path = media.write_raw(folder / "turned.mov", [corners("tl")] * 5, 25)
    media.set_display_matrix(path, matrix)
    with VideoReader(str(path)) as reader:
        image = next(reader).image
        info = reader.info
    assert image.shape[:2] == shape
    assert red_corner(image) == corner
    assert (info.rotation_deg, info.mirrored) == (turn_deg, mirrored)
    assert (info.height_px, info.width_px) == shape


@pytest.mark.parametrize(
    "codec",
    [
        ("-vf", "scale=out_color_matrix=bt601:out_range=tv,format=yuv420p", "-c:v", "libx264"),
        ("-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-colorspace", "bt709", "-c:v", "libx264"),
        ("-vf", "scale=out_color_matrix=bt709:out_range=pc,format=yuv420p", "-colorspace", "bt709",
         "-color_range", "pc", "-c:v", "libx264"),
        ("-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p10le", "-colorspace", "bt709", *HEVC),
        ("-c:v", "mjpeg", "-q:v", "2"),
        ("-c:v", "png"),
    ],
    ids=["601", "709", "full range", "10 bit", "mjpeg", "rgb"],
)  # fmt: skip
@pytest.mark.parametrize("short_side", [None, 120])
def test_colours_and_their_range_are_right(folder: Path, codec: tuple[str, ...], short_side: int | None) -> None:
    picture = np.zeros((240, 320, 3), np.uint8)
    bars = [(16, 16, 16), (240, 240, 240), (200, 30, 40), (30, 160, 60), (40, 60, 200)]
    for i, colour in enumerate(bars):
        picture[:, i * 64 : (i + 1) * 64] = colour
    path = media.write_raw(folder / "colours.mkv", [picture] * 3, 25, *codec)
    with VideoReader(str(path), max_short_side_px=short_side) as reader:
        image = next(reader).image
    step = image.shape[1] // 5
    for i, colour in enumerate(bars):
        assert image[image.shape[0] // 2, i * step + step // 2] == pytest.approx(np.array(colour), abs=5)


def test_pixels_that_are_not_square_are_made_so(folder: Path) -> None:
    path = folder / "anamorphic.mkv"
    media.ffmpeg(*media.source("72x64"), "-vf", "setsar=16/9", *media.H264, path)
    with VideoReader(str(path)) as reader:
        assert (reader.info.width_px, reader.info.height_px) == (128, 64)
        assert next(reader).image.shape == (64, 128, 3)


def test_interlaced_video_loses_its_comb(folder: Path) -> None:
    """A bar that moves 10 px between fields would have a toothed edge."""
    path = folder / "interlaced.ts"
    bar = "geq=lum='255*between(X,10+mod(N*10,200),50+mod(N*10,200))':cb=128:cr=128"
    woven = f"color=black:size=320x240:rate=50:duration=1,{bar},tinterlace=interleave_top,fieldorder=tff"
    media.ffmpeg("-f", "lavfi", "-i", woven, "-flags", "+ildct+ilme", "-c:v", "mpeg2video", "-q:v", "2", path)
    with VideoReader(str(path)) as reader:
        frames = [f.image.astype(int) for f in reader]
        assert "INTERLACED" in [w.code for w in reader.warnings]
    teeth = [np.abs(f[100:140, :, 1] - f[101:141, :, 1]).max() for f in frames]
    assert max(teeth) < 100


@pytest.mark.parametrize(("limit", "expected"), [(32, (32, 48)), (64, (64, 96)), (500, (64, 96))])
def test_downscaling_to_a_short_side(folder: Path, limit: int, expected: tuple[int, int]) -> None:
    path = media.write_raw(folder / "scaled.mp4", [corners("br")] * 4, 25)
    with VideoReader(str(path), max_short_side_px=limit) as reader:
        image = next(reader).image
        assert image.shape[:2] == expected
        assert reader.scale == pytest.approx(64 / expected[0])
        assert (reader.info.width_px, reader.info.height_px) == (96, 64)
    assert red_corner(image) == "br"


def test_a_picture_that_changes_size_keeps_the_first_size(folder: Path) -> None:
    parts = [media.make_video(folder / f"part{i}.ts", *media.H264, size=s) for i, s in enumerate(["96x64", "64x96"])]
    joined = folder / "joined.ts"
    joined.write_bytes(b"".join(p.read_bytes() for p in parts))
    with VideoReader(str(joined)) as reader:
        frames = list(reader)
    assert len(frames) >= 48
    assert {f.image.shape for f in frames} == {(64, 96, 3)}
    assert np.all(frames[-1].image[:, :20] == 0), "fitted between black bars"
    assert all(b.time_s > a.time_s for a, b in pairwise(frames))


@pytest.mark.parametrize("name", ["b_frames.mp4", "b_frames.mkv", "b_frames.ts", "mpeg2.mpg", "animation.gif"])
@pytest.mark.parametrize("span", [(2.5, None), (0.0, 1.0), (3.3, 3.7), (2.04, 2.08)])
def test_start_and_end_are_exact(folder: Path, name: str, span: tuple[float, float | None]) -> None:
    path = folder / f"seek_{name}"
    if not path.exists():
        media.make_video(path, *FORMATS[name], "-g", "20", seconds=4)
    start_s, end_s = span
    whole = {}
    with VideoReader(str(path)) as reader:
        whole = {f.time_s: f.image for f in reader}
    with VideoReader(str(path), start_s=start_s, end_s=end_s) as reader:
        part = {f.time_s: f.image for f in reader}
    wanted = [t for t in whole if start_s - 1e-4 <= t and (end_s is None or t < end_s - 1e-4)]
    assert list(part) == pytest.approx(wanted)
    for given, time_s in zip(part.values(), wanted, strict=True):
        assert np.array_equal(given, whole[time_s])


@pytest.mark.parametrize(
    ("span", "said"), [((9.0, None), "beyond its end"), ((2.0, 1.0), "not after"), ((-1.0, None), "0 s or later")]
)
def test_an_impossible_span_is_refused(folder: Path, span: tuple[float, float | None], said: str) -> None:
    path = media.make_video(folder / "short.mp4")
    with pytest.raises(InputError, match=said):
        VideoReader(str(path), start_s=span[0], end_s=span[1])


def test_a_span_between_two_frames_says_so(folder: Path) -> None:
    path = media.make_video(folder / "short.mp4")
    with VideoReader(str(path), start_s=0.41, end_s=0.43) as reader, pytest.raises(InputError, match="no picture"):
        next(reader)


def test_sampling_to_a_rate(folder: Path) -> None:
    path = media.make_video(folder / "fast.mp4", fps="60", seconds=1)
    assert times_of(path, rate_fps=30) == pytest.approx([i / 30 for i in range(30)], abs=1e-4)
    assert times_of(path, rate_fps=100) == pytest.approx([i / 60 for i in range(60)], abs=1e-4)


def test_threads_change_nothing(folder: Path) -> None:
    path = media.make_video(folder / "b_frames.mp4", *B_FRAMES)
    one, many = ([(f.time_s, f.image) for f in VideoReader(str(path), threads=n)] for n in (1, 4))
    assert [t for t, _ in one] == [t for t, _ in many]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(one, many, strict=True))


def test_probe_and_the_frames_stream(folder: Path) -> None:
    path = media.make_video(folder / "sound.mp4", *media.H264, sound=True)
    info = probe(str(path))
    assert (info.codec, info.has_audio, info.width_px) == ("h264", True, 96)
    key = StreamKey("gym", "camera 1", "today")
    with VideoReader(f"file://{path}", stream=key) as reader:
        assert next(reader).stream == key


def test_a_hard_cut_and_a_freeze_survive_compression(folder: Path) -> None:
    path = folder / "edited.mp4"
    first, second = ("testsrc2=size=320x180:rate=30:duration=1.5", "testsrc=size=320x180:rate=30:duration=1.5,hflip")
    frozen = "[a]tpad=stop_mode=clone:stop_duration=1[f];[f][b]concat=n=2,format=yuv420p"
    media.ffmpeg("-filter_complex", f"{first}[a];{second}[b];{frozen}", "-c:v", "libx264", path)
    with VideoReader(str(path)) as reader:
        frames = list(reader)
        codes = {w.code: w.text for w in reader.warnings}
    assert [f.time_s for f in frames if f.cut] == pytest.approx([2.5], abs=0.02)
    still = [f.time_s for f in frames if f.frozen]
    assert still[0] == pytest.approx(44 / 30 + 0.25, abs=0.1)
    assert still[-1] == pytest.approx(2.47, abs=0.04)
    assert "2.5 s" in codes["HARD_CUT"]
    assert "-2.5 s" in codes["FREEZE"]
