"""How many cameras this machine sustains, and what they cost: the whole stack under growing load.

    python -m bench.streams [--only 360p-1,720p-1,360p-4,720p-4] [--seconds 20] [--most 10] [--json FILE] [--keep DIR]

A real Kafka, Triton and the four services, as shipped; test cameras (rendered clips, looped) at 10 analysed frames/s.
Cameras are added one by one until the 95th percentile of camera frame → readable in poses.v1 passes 500 ms or frames
are left out. Definitions:

- CPU s per stream-second: of all processes of a part (children too, /proc/PID/stat), by cameras. The test cameras' own
  is told apart; that of this program (which reads the results) counts nowhere.
- efficiency: what decoding every picture of the cameras and running onnxruntime over the same number of crops takes by
  itself (one thread each, measured in this run), over all CPU time of the stack, Kafka and Triton included.
- marginal: CPU s per s that one more stream costs: least squares over the levels; *spread*: the largest deviation of a
  single step from it.
- confirmed: true end of a repetition (rendered truth; where the loop stands is found from keypoints) → its confirmation
  can be read from repetitions.v1, wall time.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.readers import raw_ms
from bench.rig.clips import CameraClip, camera_clip
from bench.rig.load import WANTED_FPS, Level, LoadWatch, measure, raw_inference_ms
from bench.rig.run import interruptible, say
from bench.rig.table import out_file, table
from bench.rig.truth import LoopTruth
from services.common import topics
from services.common.errors import FormcheckError
from services.local.stack.cameras import TestCameras
from services.local.stack.streams import new_spec, publish_spec, remove_stream
from services.local.stack.up import Stack

CASES: Final = {"360p-1": ("360p", 1), "720p-1": ("720p", 1), "360p-4": ("360p", 4), "720p-4": ("720p", 4)}
_TARGET: Final = {"360p-1": 6, "720p-1": 3}
_SETTLE_S: Final = 6.0
"""A level's first seconds: connections, the first look for people."""


@dataclass(slots=True)
class Case:
    """All levels of one kind of camera. ``raw``: CPU ms per decoded picture and per crop of each network."""

    name: str
    levels: list[Level] = field(default_factory=list)
    idle_cpu: float = 0.0
    stopped_by: str = ""
    raw: dict[str, float] = field(default_factory=dict)
    camera_fps: float = 0.0

    @property
    def sustained(self) -> int:
        return max((level.streams for level in self.levels if not level.trouble()), default=0)

    def best(self) -> Level | None:
        return next((level for level in reversed(self.levels) if level.streams == self.sustained), None)

    def efficiency(self, level: Level) -> float:
        decode_s = self.raw["decode"] * level.streams * level.seconds * self.camera_fps / 1e3
        infer_s = sum(self.raw.get(model, 0.0) * count for model, count in level.crops.items()) / 1e3
        return (decode_s + infer_s) / (level.cpu_total * level.seconds)

    def marginal(self) -> tuple[float, float, float]:
        """CPU s/s of the base and of each further stream, and the largest deviation of a step from that (a share).
        Without the level that was too much: there the work is not done."""
        good = [level for level in self.levels if not level.trouble()]
        if len(good) < 2:
            return self.idle_cpu, float("nan"), float("nan")
        counts = np.array([level.streams for level in good], float)
        used = np.array([level.cpu_total for level in good])
        slope, base = np.polyfit(counts, used, 1)
        steps = np.diff(used)
        return float(base), float(slope), float(np.max(np.abs(steps / slope - 1)))


def run_case(stack: Stack, load: LoadWatch, name: str, seconds: float, most: int) -> Case:
    size, people = CASES[name]
    clip = camera_clip(size, people)
    truth = LoopTruth.of(clip.truth)
    case = Case(name, camera_fps=truth.fps)
    names: list[str] = []
    with TestCameras(most, [clip.path], hours=1.0) as cameras:
        try:
            say(f"{name}: idle")
            case.idle_cpu = measure(stack, load, [], min(seconds, 10.0)).cpu_total
            for number, uri in enumerate(cameras.uris):
                _add(stack, load, names, f"{name}-{number}", uri)
                level = measure(stack, load, names, seconds, cameras.pid, truth)
                case.levels.append(level)
                trouble = level.trouble()
                p95_ms = level.latency_s.get("p95", float("nan")) * 1e3
                say(f"{name}: {level.streams} cameras, p95 {p95_ms:.0f} ms, {level.fps:.2f} poses/s each, "
                    f"CPU {level.cpu_total:.2f} + cameras {level.cameras_cpu:.2f} {trouble}")  # fmt: skip
                if trouble:
                    case.stopped_by = trouble
                    break
        finally:
            for stream in names:
                remove_stream(stack.config("load"), stream)
        load.watch.wait(
            lambda log: {s.name for s in log if s.topic == topics.ASSESSMENTS and s.mark == "eof"}.issuperset(names),
            120.0, "the cameras' end",
        )  # fmt: skip
    _raw(case, clip)
    return case


def _add(stack: Stack, load: LoadWatch, names: list[str], stream: str, uri: str) -> None:
    first = len(load.watch)
    publish_spec(stack.config("load"), new_spec(uri, name=stream, tenant="bench", analysis_fps=WANTED_FPS))
    names.append(f"bench/{stream}")
    load.watch.wait(
        lambda log: any(s.name == names[-1] and s.topic == topics.POSES and s.people for s in log),
        90.0, f"poses of {stream}", first,
    )  # fmt: skip
    time.sleep(_SETTLE_S)


def _raw(case: Case, clip: CameraClip) -> None:
    """What the same work takes alone, on the machine as it is now."""
    say(f"{case.name}: raw decoding and inference")
    case.raw = raw_inference_ms("movenet") | {"decode": raw_ms(clip.path, 300)}


def report(case: Case) -> str:
    best = case.best()
    base, slope, spread = case.marginal()
    lines = [f"== {case.name}: {case.sustained} cameras sustained"
             f" (the next: {case.stopped_by or 'not tried'}; target {_TARGET.get(case.name, '-')})"]  # fmt: skip
    heads = (
        "cameras",
        "poses/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "CPU s/s",
        "per stream",
        "cameras' own",
        "efficiency",
        "",
    )
    rows = [
        (str(v.streams), f"{v.fps:.2f}",
         *(f"{v.latency_s.get(q, float('nan')) * 1e3:.0f}" for q in ("p50", "p95", "p99")),
         f"{v.cpu_total:.3f}", f"{v.cpu_total / v.streams:.3f}", f"{v.cameras_cpu:.3f}", f"{case.efficiency(v):.2f}",
         v.trouble())
        for v in case.levels
    ]  # fmt: skip
    lines.append(table(heads, rows))
    lines.append(f"idle base {case.idle_cpu:.3f} CPU s/s; base by the line {base:.3f}; one more camera {slope:.3f}, "
                 f"single steps within {spread * 100:.0f} % of it")  # fmt: skip
    raw = ", ".join(f"{k} {v:.2f} ms" for k, v in case.raw.items())
    lines.append(f"alone: {raw}")
    if best is not None:
        lines += _of_best(best)
    return "\n".join(lines)


def _of_best(best: Level) -> list[str]:
    lines = ["CPU s per stream-second: "
             + ", ".join(f"{k} {v / best.streams:.4f}" for k, v in sorted(best.cpu.items()))]  # fmt: skip
    lines.append("bytes/s per stream: " + ", ".join(f"{k} {v:.0f}" for k, v in sorted(best.bytes_per_stream_s.items())))
    per_s = {k: v / best.seconds / best.streams for k, v in best.crops.items()}
    lines.append("crops/s per stream: " + ", ".join(f"{k} {v:.2f}" for k, v in per_s.items()))
    rows = [
        (name, *(f"{found[q] * 1e3:.0f}" if q in found else "-" for q in ("p50", "p95", "p99")), "")
        for name, found in best.stages.items()
    ]
    lines.append(table(("stage (histogram)", "p50 ms", "p95 ms", "p99 ms", ""), rows))
    if best.confirmed_s:
        q50, q95 = np.quantile(best.confirmed_s, [0.5, 0.95])
        lines.append(f"confirmed after the true end: p50 {q50:.2f} s, p95 {q95:.2f} s of {len(best.confirmed_s)}"
                     " (target 1.0)")  # fmt: skip
    return lines


def verdicts(cases: Sequence[Case]) -> dict[str, bool]:
    """Target → met."""
    out = {}
    for case in cases:
        best = case.best()
        if case.name in _TARGET:
            out[f"{case.name}: at least {_TARGET[case.name]} cameras"] = case.sustained >= _TARGET[case.name]
        if best is None:
            continue
        out[f"{case.name}: efficiency at least 0.5"] = case.efficiency(best) >= 0.5
        if best.confirmed_s:
            out[f"{case.name}: confirmed p95 within 1 s"] = float(np.quantile(best.confirmed_s, 0.95)) <= 1.0
        if len(case.levels) > 2:
            out[f"{case.name}: marginal cost flat (15 %)"] = case.marginal()[2] <= 0.15
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--seconds", type=float, default=20.0, help="of each level's measurement")
    parser.add_argument("--most", type=int, default=10, help="cameras")
    parser.add_argument("--json", type=Path, default=Path("out/streams.json"))
    parser.add_argument("--keep", type=Path, help="keep logs and data here")
    args = parser.parse_args()
    wanted = args.only.split(",")
    if unknown := [name for name in wanted if name not in CASES]:
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(CASES)}")
    for name in wanted:
        camera_clip(*CASES[name])
    cases: list[Case] = []
    with interruptible(), tempfile.TemporaryDirectory(prefix="formcheck-streams-") as scratch:
        try:
            with Stack(args.keep or Path(scratch), say=say) as stack:
                load = LoadWatch(stack)
                try:
                    for name in wanted:
                        cases.append(run_case(stack, load, name, args.seconds, args.most))
                        print(report(cases[-1]), flush=True)
                finally:
                    load.watch.close()
        except KeyboardInterrupt:
            say("interrupted")
        except (FormcheckError, TimeoutError) as error:
            say(f"stopped: {error}")
    told = verdicts(cases)
    for target, met in told.items():
        print(f"{target:45s} {'met' if met else 'MISSED'}")
    out_file(args.json).write_text(json.dumps([_plain(c) for c in cases], indent=1))
    return 0 if cases and len(cases) == len(wanted) and all(told.values()) else 1


def _plain(case: Case) -> dict[str, Any]:
    base, slope, spread = case.marginal()
    derived = {"sustained": case.sustained, "base": base, "marginal": slope, "spread": spread}
    return asdict(case) | derived | {"efficiency": [case.efficiency(level) for level in case.levels]}


if __name__ == "__main__":
    sys.exit(main())
