"""Peak memory of an analysis of an hour of 1080p. ``python -m bench.memory [--minutes 60]``.

The hour is made by joining a short clip to itself without encoding it again; the analysis runs in a process of its
own, whose resident set (with its children's) is looked at ten times a second.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "assets" / "demo.mp4"
LIMIT_MB = 700
_EVERY_S = 0.1

_READ_ONLY = """
import sys
from services.ingest.adapters.media import VideoReader
short_side_px = int(sys.argv[2]) or None
with VideoReader(sys.argv[1], max_short_side_px=short_side_px) as reader:
    frames = sum(1 for _ in reader)
    print(f"{frames} frames, {reader.position_s:.1f} s, {[w.code for w in reader.warnings]}")
"""


@dataclass(frozen=True, slots=True)
class Peak:
    """``rss_mb``: largest resident set of the process and its children together; ``code``: exit code."""

    rss_mb: float
    seconds: float
    code: int


def make_long(path: Path, minutes: float, source: Path | None = None) -> Path:
    """An mp4 of 1080p H.264 with ``minutes`` of ``source`` (default: the demo clip, whose lifter is there all the
    time, enlarged) over and over."""
    ffmpeg = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
    clip = source
    if clip is None:
        clip = path.with_name("short.mp4")
        shape = "scale=-2:1080,pad=1920:1080:-1:-1"
        codec = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "26", "-bf", "2", "-pix_fmt", "yuv420p"]
        subprocess.run([*ffmpeg, "-i", str(DEMO), "-vf", shape, *codec, str(clip)], check=True)
    span = ["-t", str(minutes * 60)]
    subprocess.run(
        [*ffmpeg, "-stream_loop", "-1", "-i", str(clip), "-map", "0:v", "-c", "copy", *span, str(path)], check=True
    )
    return path


def peak_of(command: list[str]) -> Peak:
    """Run ``command`` to its end and watch its memory."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        watched, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            peak = max(peak, _resident(watched))
            time.sleep(_EVERY_S)
    except BaseException:
        process.kill()
        raise
    return Peak(peak / 1e6, time.perf_counter() - started, process.returncode)


def _resident(process: psutil.Process) -> int:
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def command_for(video: Path, folder: Path, reader_only: bool, short_side_px: int) -> list[str]:
    """The analysis as a user runs it, or the reader alone."""
    if reader_only:
        return [sys.executable, "-c", _READ_ONLY, str(video), str(short_side_px)]
    out = str(folder / "out")
    return [sys.executable, "-m", "services.local.cli", "analyze", str(video), "--out", out, "--no-video"]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=60.0, help="length of the video")
    arguments.add_argument("--source", type=Path, help="a short 1080p H.264 clip to repeat (default: the demo clip)")
    arguments.add_argument("--reader-only", action="store_true", help="read the frames, analyse nothing")
    arguments.add_argument("--short-side", type=int, default=0, help="with --reader-only: px to scale down to")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="formcheck-memory-") as name:
        folder = Path(name)
        video = make_long(folder / "long.mp4", options.minutes, options.source)
        print(f"{options.minutes:g} minutes of 1080p, {video.stat().st_size / 1e6:.0f} MB", flush=True)
        peak = peak_of(command_for(video, folder, options.reader_only, options.short_side))
    speed = options.minutes * 60 / peak.seconds
    print(f"peak RSS {peak.rss_mb:.0f} MB (limit {LIMIT_MB}), {peak.seconds:.0f} s ({speed:.1f} x real time)")
    if peak.code:
        print(f"the analysis failed with exit code {peak.code}", file=sys.stderr)
        return 1
    return 0 if peak.rss_mb < LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
