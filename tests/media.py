"""Videos and broken files for tests, made when the test runs with the ``ffmpeg`` command line program."""

import gzip
import io
import json
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Broken = tuple[str, Path, str]
"""(name, path, kind) of an input."""

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg; its complaint becomes the test's error."""
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def source(size: str = "96x64", fps: str = "25", seconds: float = 1.0, pattern: str = "testsrc2") -> tuple[str, ...]:
    """ffmpeg's arguments for a moving test picture."""
    return ("-f", "lavfi", "-i", f"{pattern}=size={size}:rate={fps}:duration={seconds}")


def make_video(
    path: Path, *codec: str, size: str = "96x64", fps: str = "25", seconds: float = 1.0, sound: bool = False
) -> Path:
    """A short test video; ``codec``: ffmpeg's output arguments (H.264 by default)."""
    tone = ("-f", "lavfi", "-i", f"sine=duration={seconds}") if sound else ()
    ffmpeg(*source(size, fps, seconds), *tone, *(codec or H264), path)
    return path


def probe_times_s(path: Path) -> list[float]:
    """Each frame's time in presentation order by ffprobe, from the file's start, s."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-of", "json"]
    command += ["-show_entries", "frame=best_effort_timestamp_time:format=start_time", str(path)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    origin = max(0.0, float(found["format"].get("start_time", 0.0)))
    return [float(f["best_effort_timestamp_time"]) - origin for f in found["frames"]]


def set_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write the (a, b, c, d) of an MP4's track header, as phones do to say how they were held."""
    data = bytearray(path.read_bytes())
    box = data.find(b"tkhd")
    assert box > 0
    at = box + 8 + (32 if data[box + 4] else 20) + 16
    a, b, c, d = (v * 65536 for v in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))
    return path


def write_raw(path: Path, frames: Sequence[np.ndarray], fps: float, *codec: str) -> Path:
    """Encode (H, W, 3) uint8 RGB pictures."""
    height, width = frames[0].shape[:2]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", str(fps), "-i", "-", *(codec or H264), str(path)]
    data = b"".join(np.ascontiguousarray(f).tobytes() for f in frames)
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return path


class _Maker:
    """Collects the broken inputs of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[Broken] = []
        self.good = {
            "mp4": make_video(folder / "good.mp4", *H264, "-g", "25"),
            "fast": make_video(folder / "fast.mp4", *H264, "-movflags", "+faststart"),
            "mov": make_video(folder / "good.mov"),
            "mkv": make_video(folder / "good.mkv"),
            "avi": make_video(folder / "good.avi", "-c:v", "mpeg4"),
            "gif": make_video(folder / "good.gif", "-f", "gif", seconds=0.4),
            "ts": make_video(folder / "good.ts"),
        }

    def write(self, name: str, data: bytes, kind: str) -> None:
        path = self.folder / name
        path.write_bytes(data)
        self.made.append((name, path, kind))

    def encode(self, name: str, kind: str, *arguments: str | Path) -> None:
        ffmpeg(*arguments, self.folder / name)
        self.made.append((name, self.folder / name, kind))

    def bytes_of(self, key: str) -> bytes:
        return self.good[key].read_bytes()


def _nothing_there(m: _Maker) -> None:
    m.made.append(("missing.mp4", m.folder / "missing.mp4", "missing"))
    m.made.append(("missing/deep/clip.mov", m.folder / "missing/deep/clip.mov", "missing"))
    for name, content in (("empty_folder", None), ("folder.mp4", None), ("folder_of_notes", "notes.txt")):
        path = m.folder / name
        path.mkdir()
        if content:
            (path / content).write_text("no video here\n")
        m.made.append((name, path, "folder"))
    for suffix in ("mp4", "mov", "avi", "mkv", "webm", "gif", "ts"):
        m.write(f"zero_bytes.{suffix}", b"", "empty")


def _texts(m: _Maker) -> None:
    prose = ("Three sets of twelve, then rest. " * 60 + "\n").encode()
    for suffix in ("mp4", "mov", "avi", "mkv", "ts", "gif", "txt", "srt"):
        m.write(f"prose.{suffix}", prose, "text")
    m.write("short.mp4", b"hello\n", "text")
    m.write("data.json", json.dumps({"reps": list(range(200))}).encode(), "text")
    m.write("page.webm", b"<!DOCTYPE html><html><body>404 not found</body></html>" * 20, "text")
    m.write("table.csv", b"time,angle\n" + b"0.1,90\n" * 300, "text")
    m.write("umlauts.mp4", "Überzüge für Hanteln – schön schwer\n".encode() * 50, "text")
    m.write("wide.mp4", ("text of sixteen bits " * 100).encode("utf-16"), "text")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{m.folder}/good.ts\n#EXT-X-ENDLIST\n"
    m.write("playlist.m3u8", playlist.encode(), "text")
    m.write("list.ffconcat", f"ffconcat version 1.0\nfile '{m.folder}/good.ts'\n".encode(), "text")


def _pictures(m: _Maker) -> None:
    still = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=1", "-frames:v", "1")
    for suffix in ("png", "jpg", "bmp", "tiff", "ppm", "gif", "webp"):
        m.encode(f"picture.{suffix}", "image", *still)
    for suffix, named in (("png", "png.mp4"), ("jpg", "jpg.mov"), ("webp", "webp.webm"), ("ppm", "ppm.avi")):
        m.write(f"picture_{named}", (m.folder / f"picture.{suffix}").read_bytes(), "image")
    m.encode("one_frame.mp4", "image", *still, *H264)
    m.encode("one_frame.mkv", "image", *still, "-c:v", "ffv1")


def _archives(m: _Maker) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("clip.mp4", m.bytes_of("mp4"))
    m.write("clips.zip", packed.getvalue(), "archive")
    m.write("zip.mp4", packed.getvalue(), "archive")
    m.write("clip.mp4.gz", gzip.compress(m.bytes_of("mp4")), "archive")
    taken = io.BytesIO()
    with tarfile.open(fileobj=taken, mode="w") as tar:
        tar.add(m.folder / "prose.txt", "prose.txt")
    m.write("tar.mov", taken.getvalue(), "archive")
    m.write("paper.pdf", b"%PDF-1.7\n" + b"\0\xff" * 500, "archive")


def _sounds(m: _Maker) -> None:
    tone = ("-f", "lavfi", "-i", "sine=duration=0.5")
    for suffix in ("wav", "mp3", "m4a", "mp4", "ogg", "flac", "mka", "mov", "ts", "avi"):
        m.encode(f"sound.{suffix}", "audio", *tone)
    cover = ("-i", m.folder / "picture.png", "-map", "0", "-map", "1", "-c:v", "png", "-disposition:v", "attached_pic")
    m.encode("sound_with_cover.m4a", "audio", *tone, *cover)


def _tiny(m: _Maker) -> None:
    cases: list[tuple[str, str, tuple[str, ...]]] = [
        ("1x1_ffv1.mkv", "1x1", ("-c:v", "ffv1", "-pix_fmt", "bgr0")),
        ("1x1_png.mov", "1x1", ("-c:v", "png")),
        ("1x1_raw.avi", "1x1", ("-c:v", "rawvideo", "-pix_fmt", "bgr24")),
        ("1x1.gif", "1x1", ()),
        ("1x1_mjpeg.avi", "1x1", ("-c:v", "mjpeg", "-pix_fmt", "yuvj444p")),
        ("2x2_h264.mp4", "2x2", H264),
        ("8x8_vp9.webm", "8x8", ("-c:v", "libvpx-vp9", "-deadline", "realtime")),
        ("640x8_h264.mp4", "640x8", H264),
    ]
    for name, size, codec in cases:
        m.encode(name, "tiny", *source("64x64", "5", 1.0), "-vf", f"scale={size.replace('x', ':')}", *codec)


def _without_pictures(m: _Maker) -> None:
    m.encode("zero_seconds.mp4", "zero_length", *source(), "-t", "0", *H264)
    m.encode("zero_seconds.mkv", "zero_length", *source(), "-t", "0", *H264)
    m.write("header.mkv", m.bytes_of("mkv")[: m.bytes_of("mkv").find(b"\x1f\x43\xb6\x75")], "header_only")
    m.write("header.avi", m.bytes_of("avi")[: m.bytes_of("avi").find(b"movi") + 4], "header_only")
    m.write("header.gif", m.bytes_of("gif")[:13], "header_only")
    m.write("header.ts", m.bytes_of("ts")[: 188 * 3], "header_only")
    m.write("header.mp4", m.bytes_of("mp4")[:32], "header_only")
    for key in ("mp4", "mov"):
        data = m.bytes_of(key)
        m.write(f"no_moov.{key}", data[: data.find(b"moov") - 4], "no_index")
        m.write(f"half.{key}", data[: len(data) // 2], "no_index")
    fast = m.bytes_of("fast")
    m.write("moov_only.mp4", fast[: fast.find(b"mdat") + 4], "truncated")
    m.write("moov_cut.mp4", fast[: fast.find(b"moov") + 300], "truncated")
    mkv = m.bytes_of("mkv")
    m.write("first_frame_cut.mkv", mkv[: mkv.find(b"\x1f\x43\xb6\x75") + 40], "truncated")
    gif = m.bytes_of("gif")
    m.write("first_frame_cut.gif", gif[:60], "truncated")


def _nonsense(m: _Maker) -> None:
    rng = np.random.default_rng(7)
    for suffix in ("mp4", "avi", "mkv", "ts", "gif", "mov"):
        m.write(f"random.{suffix}", rng.bytes(20_000), "random")
    m.write("zeros.mp4", bytes(50_000), "random")
    mkv, gif = m.bytes_of("mkv"), m.bytes_of("gif")
    m.write("wrong_magic.mkv", b"\0\0\0\0" + mkv[4:], "wrong_magic")
    m.write("wrong_magic.gif", b"JIF89z" + gif[6:], "wrong_magic")
    m.write("wrong_magic.mp4", rng.bytes(len(m.bytes_of("mp4")) // 2) + m.bytes_of("mp4")[-200:], "wrong_magic")


def broken_inputs(folder: Path) -> list[Broken]:
    """More than sixty inputs that are no usable video, each to be refused with one sentence.

    Kinds: missing folder empty text image archive audio tiny zero_length header_only no_index truncated random
    wrong_magic.
    """
    folder.mkdir(parents=True, exist_ok=True)
    maker = _Maker(folder)
    steps: list[Callable[[_Maker], None]] = [
        _nothing_there, _texts, _pictures, _archives, _sounds, _tiny, _without_pictures, _nonsense,
    ]  # fmt: skip
    for step in steps:
        step(maker)
    return maker.made


def degraded_inputs(folder: Path) -> list[Broken]:
    """Inputs that are damaged or unusual and yet hold frames to analyse.

    Kinds: truncated corrupt large variable_rate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Broken] = []
    whole = make_video(folder / "whole.mp4", *H264, "-g", "20", "-bf", "2", "-movflags", "+faststart", seconds=3)
    data = whole.read_bytes()
    for name, share in (("mid_gop.mp4", 0.55), ("near_end.mp4", 0.8)):
        (folder / name).write_bytes(data[: int(len(data) * share)])
        made.append((name, folder / name, "truncated"))
    for suffix in ("mkv", "ts", "avi"):
        codec = ("-c:v", "mpeg4", "-g", "20") if suffix == "avi" else (*H264, "-g", "20")
        full = make_video(folder / f"full.{suffix}", *codec, seconds=3)
        path = folder / f"mid_gop.{suffix}"
        path.write_bytes(full.read_bytes()[: int(full.stat().st_size * 0.6)])
        made.append((path.name, path, "truncated"))
    rng = np.random.default_rng(3)
    for origin in (whole, folder / "full.mkv", folder / "full.ts", folder / "full.avi"):
        damaged = bytearray(origin.read_bytes())
        middle = len(damaged) // 2
        damaged[middle : middle + 400] = rng.bytes(400)
        path = folder / f"corrupt{origin.suffix}"
        path.write_bytes(bytes(damaged))
        made.append((path.name, path, "corrupt"))
    large = make_video(folder / "large.mp4", *H264, size="7680x4320", fps="4", seconds=0.5)
    made.append((large.name, large, "large"))
    variable = folder / "variable.mp4"
    ffmpeg(*source(seconds=2), "-vf", "select='not(mod(n,3))+gt(n,25)'", "-vsync", "vfr", *H264, variable)
    made.append((variable.name, variable, "variable_rate"))
    return made
