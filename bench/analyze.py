"""End-to-end speed: formcheck (decode → assessment) against mediapipe's Python Pose solution (decode → landmarks).

    python -m bench.analyze [CLIP...] [--runs 5] [--json FILE]

Both read the same file at its full size and put *every* source frame through the network, on this machine, one after
the other, interleaved run by run, each run a process of its own.

What is timed, in the same manner for both: from the moment the networks are loaded and the file is opened to the
last result of the last frame. Left out for both: the start of Python, imports, loading of the networks.
- formcheck: ``formcheck analyze CLIP --no-video --json FILE``, default options; ``timings.analysis_s`` of its report
  (nothing is warmed up; the network's first run counts).
- mediapipe 0.10.21, ``solutions.pose.Pose()`` with its defaults (complexity 1, tracking, smoothing) in an isolated
  environment, frames from ``cv2.VideoCapture`` turned to RGB, as its documentation shows; one blank frame is processed
  before the clock starts, because its networks load with the first one.

Prints frames/s of both (median over the runs) and their ratio per clip, and over all clips (total frames by total
time). The issue asks for ≥ 2.2 on each clip.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("FORMCHECK_DATA", ROOT.parent / "shared" / "data"))
MEDIAPIPE = "mediapipe==0.10.21"
TARGET = 2.2

_THEIRS = """
import json, sys, time
import cv2, mediapipe, numpy
pose = mediapipe.solutions.pose.Pose()
pose.process(numpy.zeros((256, 256, 3), numpy.uint8))
pose.reset()
capture = cv2.VideoCapture(sys.argv[1])
started, frames, found = time.perf_counter(), 0, 0
while True:
    ok, image = capture.read()
    if not ok:
        break
    found += pose.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).pose_landmarks is not None
    frames += 1
print(json.dumps({"frames": frames, "found": found, "seconds": time.perf_counter() - started}))
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run over one clip."""

    frames: int
    seconds: float

    @property
    def frames_per_s(self) -> float:
        return self.frames / self.seconds


@dataclass(slots=True)
class Clip:
    """All runs over one clip."""

    path: Path
    ours: list[Run] = field(default_factory=list)
    theirs: list[Run] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return median(self.ours) / median(self.theirs)


def median(runs: Sequence[Run]) -> float:
    """Frames/s."""
    return statistics.median(r.frames_per_s for r in runs)


def _check(done: "subprocess.CompletedProcess[str]", what: str) -> str:
    if done.returncode != 0:
        tail = " | ".join(done.stderr.strip().splitlines()[-3:])
        sys.exit(f"{what} failed with exit code {done.returncode}: {tail}")
    return done.stdout


def run_ours(path: Path, folder: Path) -> Run:
    """``formcheck analyze`` once; its own report says what it took."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "services.local.cli", "analyze", str(path), "--no-video"]
    command += ["--json", str(report), "--out", str(folder / "out")]
    _check(subprocess.run(command, capture_output=True, text=True, cwd=ROOT), "formcheck")
    timings = json.loads(report.read_text())["timings"]
    return Run(int(timings["frames"]), float(timings["analysis_s"]))


def run_theirs(path: Path, uv: str) -> Run:
    """mediapipe once, in its own environment (it pins an old numpy and protobuf)."""
    command = [uv, "run", "--isolated", "--no-project", "--python", "3.11", "--with", MEDIAPIPE]
    command += ["python", "-c", _THEIRS, str(path)]
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    out = _check(subprocess.run(command, capture_output=True, text=True, env=environment), "mediapipe")
    result = json.loads(out.strip().splitlines()[-1])
    return Run(int(result["frames"]), float(result["seconds"]))


def find_uv() -> str:
    """The project's own uv, else the machine's."""
    own = ROOT / ".tools" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        sys.exit("uv is missing: run `make setup` first")
    return found


def find_clips(names: Sequence[str]) -> list[Path]:
    """Files as named, or all real clips."""
    paths = [Path(n) for n in names] or sorted((DATA / "clips").glob("*.mp4"))
    missing = [str(p) for p in paths if not p.is_file()]
    if missing or not paths:
        sys.exit(f"no such clips: {', '.join(missing) or DATA / 'clips'} (name files, or set FORMCHECK_DATA)")
    return paths


def measure(clips: Sequence[Clip], runs: int, uv: str) -> None:
    """All runs, interleaved: formcheck and mediapipe take turns on each clip, and the order changes each round."""
    with tempfile.TemporaryDirectory(prefix="formcheck-bench-") as name:
        for i in range(runs):
            for clip in clips:
                for ours in (True, False) if i % 2 == 0 else (False, True):
                    if ours:
                        clip.ours.append(run_ours(clip.path, Path(name)))
                    else:
                        clip.theirs.append(run_theirs(clip.path, uv))
                print(
                    f"  run {i + 1}/{runs} {clip.path.name}: formcheck {clip.ours[-1].frames_per_s:.1f}, "
                    f"mediapipe {clip.theirs[-1].frames_per_s:.1f} frames/s",
                    file=sys.stderr,
                )


def overall(clips: Sequence[Clip]) -> tuple[float, float]:
    """Frames/s of both over all clips: all frames by the sum of the clips' median times."""
    frames = [c.ours[0].frames for c in clips], [c.theirs[0].frames for c in clips]
    ours = sum(frames[0]) / sum(n / median(c.ours) for n, c in zip(frames[0], clips, strict=True))
    theirs = sum(frames[1]) / sum(n / median(c.theirs) for n, c in zip(frames[1], clips, strict=True))
    return ours, theirs


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: every clip reaches the target; 1: some do not."""
    parser = argparse.ArgumentParser(prog="python -m bench.analyze", description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", metavar="CLIP", help="video files (default: the 20 real clips)")
    parser.add_argument("--runs", type=int, default=5, help="interleaved runs per clip (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    clips = [Clip(path) for path in find_clips(options.clips)]
    measure(clips, options.runs, find_uv())
    print(f"{'clip':<36} {'frames':>7} {'formcheck':>10} {'mediapipe':>10} {'ratio':>6}  (frames/s)")
    for clip in clips:
        mark = "" if clip.ratio >= TARGET else "  < target"
        print(
            f"{clip.path.name:<36} {clip.ours[0].frames:>7} {median(clip.ours):>10.1f} {median(clip.theirs):>10.1f} "
            f"{clip.ratio:>6.2f}{mark}"
        )
    ours, theirs = overall(clips)
    reached = sum(c.ratio >= TARGET for c in clips)
    print(f"{'all':<36} {sum(c.ours[0].frames for c in clips):>7} {ours:>10.1f} {theirs:>10.1f} {ours / theirs:>6.2f}")
    print(f"{reached} of {len(clips)} clips reach {TARGET}x")
    if options.json:
        rows = [
            {"clip": c.path.name, "frames": c.ours[0].frames, "formcheck_frames_per_s": median(c.ours),
             "mediapipe_frames_per_s": median(c.theirs), "ratio": c.ratio}
            for c in clips
        ]  # fmt: skip
        summary = {"formcheck_frames_per_s": ours, "mediapipe_frames_per_s": theirs, "ratio": ours / theirs}
        options.json.write_text(json.dumps({"runs": options.runs, "clips": rows, "all": summary}, indent=1) + "\n")
    return 0 if reached == len(clips) else 1


if __name__ == "__main__":
    sys.exit(main())
