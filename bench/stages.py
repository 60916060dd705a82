"""What segment and errors cost behind Kafka, and what an idle service costs. ``python -m bench.stages --streams 8``.

A real broker; poses recorded from the demo clip (its frames at ten a second through the pose network, once) come in
real time on many streams. Printed for each service: CPU ms per message, the share of threads, transactions; before that
the same services with nothing to do. ``--profile segment`` runs that stage in this process instead and prints where its
time goes.
"""

import argparse
import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from services.common import topics
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.publisher import Publisher
from services.common.processor import Mark, MarkKind
from services.common.types import Frame, PoseFrame, StreamKey
from services.ingest.adapters.media import VideoReader
from services.local.stack.kafka import KafkaCluster, free_ports
from services.pose.adapters.local import LocalPose
from services.pose.adapters.onnx import OnnxBackend
from services.pose.core.processor import PoseProcessor
from services.pose.core.profiles import Profile

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "assets" / "demo.mp4"
FPS = 10.0
READS = {"segment": topics.POSES, "errors": topics.REPETITIONS}


def recorded() -> list[PoseFrame]:
    """The demo clip's poses."""
    key = StreamKey("bench", "demo", "1")
    profile = Profile.get("movenet")
    pose = LocalPose(PoseProcessor(profile, key), OnnxBackend(profile, threads=1))
    with VideoReader(str(DEMO), rate_fps=FPS, max_short_side_px=480, threads=1, stream=key) as reader:
        return [p for frame in reader for p in pose.on_item(_own(frame, key))]


def _own(frame: Frame, key: StreamKey) -> Frame:
    return replace(frame, stream=key)


def feed(config: KafkaConfig, poses: list[PoseFrame], streams: int, seconds: float) -> int:
    """All streams in real time, each begun somewhere else in its second; returns how many messages were sent."""
    keys = [StreamKey("bench", f"camera-{i}", f"{time.time():.0f}") for i in range(streams)]
    sent, turns = 0, int(min(seconds * FPS, len(poses)))
    with closing(Publisher(config)) as publisher:
        began_s = time.monotonic()
        for n in range(turns):
            for i, key in enumerate(keys):
                time.sleep(max(0.0, began_s + (n + i / streams) / FPS - time.monotonic()))
                publisher.send(topics.POSES, replace(poses[n], stream=key))
                sent += 1
        for key in keys:
            publisher.send(topics.POSES, Mark(key, MarkKind.EOF, poses[turns - 1].time_s))
    return sent + streams


class Service:
    """One service as a process."""

    def __init__(self, name: str, config: KafkaConfig) -> None:
        self.name = name
        (self.port,) = free_ports(1)
        told = {
            "FORMCHECK_KAFKA_BOOTSTRAP": config.bootstrap, "FORMCHECK_KAFKA_PREFIX": config.prefix,
            "FORMCHECK_KAFKA_INSTANCE": "bench", "FORMCHECK_HTTP_PORT": str(self.port), "FORMCHECK_GRPC_PORT": "0",
            "FORMCHECK_LOG_LEVEL": "WARNING", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = [sys.executable, "-m", f"services.{name}.main"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=os.environ | told)
        self._seen = psutil.Process(self.process.pid)

    def ready(self) -> bool:
        try:
            return bool(self._get("/readyz"))
        except OSError:
            return False

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def value(self, what: str) -> float:
        """A metric, summed over its labels."""
        families = text_string_to_metric_families(self._get("/metrics"))
        name = f"formcheck_{self.name}_{what}"
        return sum(s.value for family in families for s in family.samples if s.name == name)

    def cpu_s(self) -> float:
        used = self._seen.cpu_times()
        return float(used.user + used.system)

    def threads_s(self) -> dict[str, float]:
        """CPU of each thread by its kernel name."""
        found: dict[str, float] = {}
        for thread in self._seen.threads():
            name = Path(f"/proc/{self.process.pid}/task/{thread.id}/comm").read_text().strip()
            found[f"{name}/{thread.id}"] = thread.user_time + thread.system_time
        return found


@contextmanager
def running(config: KafkaConfig) -> Iterator[list[Service]]:
    services = [Service(name, config) for name in READS]
    try:
        while not all(s.ready() for s in services):
            time.sleep(0.2)
        yield services
    finally:
        for service in services:
            service.process.terminate()
        for service in services:
            service.process.wait(20)


def measure(config: KafkaConfig, poses: list[PoseFrame], streams: int, seconds: float) -> None:
    with running(config) as services:
        time.sleep(3.0)
        idle(services, 20.0)
        before = {s.name: (s.cpu_s(), s.threads_s()) for s in services}
        began_s = time.monotonic()
        sent = feed(config, poses, streams, seconds)
        while any(s.value("lag_records") for s in services):
            time.sleep(0.5)
            if time.monotonic() - began_s > 3 * seconds + 60:
                raise SystemExit(f"Not done: lag {[(s.name, s.value('lag_records')) for s in services]}")
        took_s = time.monotonic() - began_s
        print(f"\n{streams} streams, {sent} messages in {took_s:.0f} s")
        for s in services:
            cpu_s, threads = s.cpu_s() - before[s.name][0], s.threads_s()
            count = s.value("consumed_records_total")
            print(
                f"{s.name}: {cpu_s / took_s:.1%} of a core, {1000 * cpu_s / max(count, 1):.2f} CPU ms per message "
                f"({count:.0f}), processor {1000 * s.value('handle_seconds_sum') / max(count, 1):.2f} ms, "
                f"{s.value('transaction_seconds_count') / took_s:.1f} transactions/s of "
                f"{1000 * s.value('transaction_seconds_sum') / max(s.value('transaction_seconds_count'), 1):.0f} ms, "
                f"snapshots {s.value('snapshot_bytes_sum') / took_s / streams / 1e3:.1f} kB/s a stream "
                f"({s.value('snapshot_bytes_sum') / max(s.value('snapshot_bytes_count'), 1) / 1e3:.1f} kB each)"
            )
            grown = {n: t - before[s.name][1].get(n, 0.0) for n, t in threads.items()}
            busiest = sorted(grown.items(), key=lambda x: -x[1])[:5]
            print("   threads: " + ", ".join(f"{n} {t / took_s:.1%}" for n, t in busiest))


def idle(services: list[Service], seconds: float) -> None:
    before = {s.name: (s.cpu_s(), s.threads_s()) for s in services}
    time.sleep(seconds)
    for s in services:
        grown = {n: t - before[s.name][1].get(n, 0.0) for n, t in s.threads_s().items()}
        busiest = sorted(grown.items(), key=lambda x: -x[1])[:4]
        told = ", ".join(f"{n} {t / seconds:.2%}" for n, t in busiest)
        print(f"{s.name} idle: {(s.cpu_s() - before[s.name][0]) / seconds:.2%} of a core ({told})")


def profile(name: str, config: KafkaConfig, poses: list[PoseFrame], streams: int, seconds: float) -> None:
    """Runs the stage's runner here, in a thread whose time is looked at."""
    import importlib

    from services.common.service import Shell

    os.environ |= {"FORMCHECK_KAFKA_BOOTSTRAP": config.bootstrap, "FORMCHECK_KAFKA_PREFIX": config.prefix}
    settings = getattr(importlib.import_module(f"services.{name}.settings"), f"{name.title()}Settings")()
    shell: Shell[Any] = Shell(name, settings)
    importlib.import_module(f"services.{name}.main").wire(shell)
    looked = cProfile.Profile(time.thread_time)
    stop = threading.Event()

    def work() -> None:
        looked.enable()
        shell._works["kafka"](stop)
        looked.disable()

    thread = threading.Thread(target=work)
    thread.start()
    while shell.health.unready():
        time.sleep(0.1)
    if name == "errors":
        with running_one("segment", config):
            feed(config, poses, streams, seconds)
            time.sleep(3.0)
    else:
        feed(config, poses, streams, seconds)
    stop.set()
    thread.join()
    pstats.Stats(looked).sort_stats("tottime").print_stats(45)


@contextmanager
def running_one(name: str, config: KafkaConfig) -> Iterator[Service]:
    service = Service(name, config)
    try:
        while not service.ready():
            time.sleep(0.2)
        yield service
    finally:
        service.process.terminate()
        service.process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--profile", choices=sorted(READS))
    told = parser.parse_args()
    poses = recorded()
    with tempfile.TemporaryDirectory() as folder, KafkaCluster(Path(folder)) as kafka:
        kafka.create_topics()
        config = KafkaConfig(kafka.bootstrap)
        if told.profile:
            profile(told.profile, config, poses, told.streams, told.seconds)
        else:
            measure(config, poses, told.streams, told.seconds)


if __name__ == "__main__":
    main()
