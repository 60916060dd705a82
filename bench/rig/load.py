"""One level of load, measured: what N cameras cost, how late their poses and repetitions are, what was left out."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort

from bench.rig.cpu import usage
from bench.rig.scraping import Samples, grown, quantile, scrape, total
from bench.rig.truth import LoopTruth
from services.common import topics
from services.common.kafka.messages import Record, decode
from services.common.types import PoseFrame, Status
from services.local.stack.seen import Kind, Seen
from services.local.stack.up import Stack
from services.local.stack.watch import TopicWatch
from services.pose.adapters.models import ensure_models, model_path
from services.pose.core.profiles import Profile

WANTED_FPS: Final = 10.0
QUANTILES: Final = (0.5, 0.95, 0.99)
USUAL_SKIPS: Final = ("rate", "settling")
"""Why pictures are left out of any camera: more come than are asked for, and the first ones."""
_POSES_KEPT: Final = 30

STAGES: Final[dict[str, tuple[str, str, dict[str, str]]]] = {
    "ingest: frame → frames.live": ("ingest", "latency_seconds", {"topic": topics.FRAMES_LIVE}),
    "pose: frame → poses": ("pose", "latency_seconds", {"topic": topics.POSES}),
    "segment: frame → repetitions": ("segment", "latency_seconds", {"topic": topics.REPETITIONS}),
    "errors: frame → assessments": ("errors", "latency_seconds", {"topic": topics.ASSESSMENTS}),
    "pose: wait for inference": ("pose", "queue_seconds", {}),
    "pose: inference": ("pose", "inference_seconds", {"outcome": "ok"}),
    "pose: transaction": ("pose", "transaction_seconds", {"outcome": "committed"}),
    "segment: transaction": ("segment", "transaction_seconds", {"outcome": "committed"}),
    "errors: transaction": ("errors", "transaction_seconds", {"outcome": "committed"}),
}


@dataclass(slots=True)
class Level:
    """``streams`` cameras over ``seconds``. ``latency_s``: camera frame → readable in poses.v1 at p50, p95, p99;
    ``confirmed_s``: true end of a repetition → its confirmation readable; ``cpu``: process → CPU s per s; ``skipped``:
    reason → frames, but for the usual reasons; ``crops``: network → inferences."""

    streams: int
    seconds: float
    poses: int = 0
    latency_s: dict[str, float] = field(default_factory=dict)
    confirmed_s: list[float] = field(default_factory=list)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    cameras_cpu: float = 0.0
    skipped: dict[str, int] = field(default_factory=dict)
    crops: dict[str, float] = field(default_factory=dict)
    bytes_per_stream_s: dict[str, float] = field(default_factory=dict)

    @property
    def cpu_total(self) -> float:
        return sum(self.cpu.values())

    @property
    def fps(self) -> float:
        return self.poses / self.seconds / self.streams if self.streams else 0.0

    def trouble(self, limit_s: float = 0.5, skipped_most: float = 0.01) -> str:
        """Why this level is not sustained; empty: it is."""
        wanted = WANTED_FPS * self.seconds * self.streams
        left_out = sum(self.skipped.values())
        if self.latency_s.get("p95", 0.0) > limit_s:
            return f"p95 {self.latency_s['p95'] * 1e3:.0f} ms"
        if left_out > skipped_most * wanted:
            return f"skipped {self.skipped}"
        if self.poses < (1 - 3 * skipped_most) * wanted:
            return f"{self.fps:.2f} poses/s"
        return ""


class LoadWatch:
    """Reads what comes out, and keeps a few poses of each session to find out where its loop begins."""

    def __init__(self, stack: Stack) -> None:
        self._poses: dict[str, list[PoseFrame]] = defaultdict(list)
        names = (topics.POSES, topics.REPETITIONS, topics.ASSESSMENTS)
        self.watch = TopicWatch(stack.config("load"), names, on_record=self._record)

    def _record(self, record: Record) -> None:
        if record.topic != topics.POSES:
            return
        name = (record.key or b"").decode()
        if len(self._poses[name]) < _POSES_KEPT:
            item = decode(record)
            if isinstance(item, PoseFrame) and item.people and item.sequence % 3 == 0:
                self._poses[name].append(item)

    def poses(self, name: str) -> list[PoseFrame]:
        return list(self._poses[name])


def trees(stack: Stack) -> dict[str, list[int]]:
    """Part of the stack → its processes' roots."""
    found = {name: [p.pid] for name, p in stack.processes.items() if p.running}
    found["kafka"] = [stack.kafka.pid(i) for i in range(stack.kafka.replication)]
    if stack.triton is not None:
        found["triton"] = [stack.triton.pid]
    return found


def _all_metrics(stack: Stack) -> dict[str, Samples]:
    found = {p.service: scrape(p.http_port) for p in stack.processes.values() if p.running}
    if stack.triton is not None:
        found["triton"] = scrape(stack.triton.ports.metrics)
    return found


def measure(
    stack: Stack,
    load: LoadWatch,
    names: Sequence[str],
    seconds: float,
    cameras_pid: int | None = None,
    truth: LoopTruth | None = None,
) -> Level:
    """Watch these streams for so long."""
    roots = trees(stack)
    before = _all_metrics(stack)
    first = len(load.watch)
    begun_s, cpu_before = time.monotonic(), {name: usage(pids).cpu_s for name, pids in roots.items()}
    cameras_before = usage([cameras_pid]).cpu_s if cameras_pid else 0.0
    time.sleep(seconds)  # the measurement itself
    spent_s = time.monotonic() - begun_s
    cpu = {name: (usage(pids).cpu_s - cpu_before[name]) / spent_s for name, pids in roots.items()}
    level = Level(len(names), spent_s, cpu=cpu)
    if cameras_pid:
        level.cameras_cpu = (usage([cameras_pid]).cpu_s - cameras_before) / spent_s
    after = _all_metrics(stack)
    rise = {service: grown(before[service], samples) for service, samples in after.items()}
    _from_log(level, load.watch.log(first), set(names))
    _from_metrics(level, rise)
    if truth is not None:
        level.confirmed_s = confirmed_latencies(load, first, names, truth)
    return level


def _from_log(level: Level, log: Sequence[Seen], names: set[str]) -> None:
    ages = [
        s.read_unix_s - s.captured_unix_s for s in log if s.kind is Kind.POSE and s.name in names and s.captured_unix_s
    ]
    level.poses = sum(s.kind is Kind.POSE and s.name in names for s in log)
    if ages:
        level.latency_s = {f"p{q * 100:.0f}": float(np.quantile(ages, q)) for q in QUANTILES}
    sizes: Counter[str] = Counter()
    for s in log:
        sizes[s.topic] += s.size_bytes
    if level.streams:
        level.bytes_per_stream_s |= {t: size / level.seconds / level.streams for t, size in sizes.items()}


def _from_metrics(level: Level, rise: Mapping[str, Samples]) -> None:
    for name, (service, what, wanted) in STAGES.items():
        found = {
            f"p{q * 100:.0f}": value
            for q in QUANTILES
            if (value := quantile(rise[service], f"formcheck_{service}_{what}", q, **wanted)) is not None
        }
        if found:
            level.stages[name] = found
    for service in ("ingest", "pose"):
        for (name, labels), value in rise[service].items():
            reason = dict(labels).get("reason", "")
            if name == f"formcheck_{service}_skipped_frames_total" and reason not in USUAL_SKIPS and value:
                level.skipped[reason] = level.skipped.get(reason, 0) + round(value)
    if level.streams:
        sent = total(rise["ingest"], "formcheck_ingest_frame_bytes_sum")
        level.bytes_per_stream_s[topics.FRAMES_LIVE] = sent / level.seconds / level.streams
    if "triton" in rise:
        for (name, labels), value in rise["triton"].items():
            if name == "nv_inference_count" and value:
                model = dict(labels)["model"]
                level.crops[model] = level.crops.get(model, 0.0) + value


def confirmed_latencies(load: LoadWatch, first: int, names: Sequence[str], truth: LoopTruth) -> list[float]:
    """From the true end of each confirmed repetition until its confirmation could be read, wall time."""
    offsets = {name: truth.offset_s(load.poses(name)) for name in names}
    out = []
    for s in load.watch.log(first):
        offset = offsets.get(s.name)
        if s.kind is not Kind.REPETITION or s.answer is None or s.answer.status is not Status.CONFIRMED:
            continue
        if offset is None or s.answer.offset_s is None:
            continue
        end_s = truth.true_end_s(s.answer.offset_s, offset)
        if end_s is not None:
            out.append(s.read_unix_s - (int(s.stream.session_id) / 1000 + end_s))
    return out


def raw_inference_ms(profile_name: str, runs: int = 40) -> dict[str, float]:
    """CPU ms of one crop through each network: onnxruntime alone, one thread."""
    profile = Profile.get(profile_name)
    folder: Path = ensure_models(profile)
    out = {}
    for net in profile.networks:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = ort.InferenceSession(str(model_path(folder, net.name)), options, providers=["CPUExecutionProvider"])
        crop = np.random.default_rng(0).integers(0, 256, (1, net.size_px, net.size_px, 3), np.uint8)
        for _ in range(3):
            session.run(None, {"crops": crop})
        started_s = time.process_time()
        for _ in range(runs):
            session.run(None, {"crops": crop})
        out[net.name] = (time.process_time() - started_s) / runs * 1e3
    return out
