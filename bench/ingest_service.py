"""What the ingest service costs beside its readers: ``python -m bench.ingest_service [--cameras 2] [--seconds 15]``.

Real Kafka, real RTSP cameras that loop the demo clip, a file read as fast as it can be. Prints CPU of the service when
idle and per frame, CPU of the readers (see ``bench.readers`` for these alone), and bytes per frame.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from services.common.kafka.clients import KafkaConfig
from services.ingest.core.streams import Mode, StreamSpec
from services.local.stack.cameras import DEMO, TestCameras
from services.local.stack.kafka import KafkaCluster, free_ports
from services.local.stack.streams import publish_spec, stream_states

_START_S = 120.0


class Service:
    """The service in a process of its own, as Prometheus and ``ps`` see it."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._port = free_ports(1)[0]
        environment = os.environ | {
            "FORMCHECK_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "FORMCHECK_HTTP_PORT": str(self._port),
            "FORMCHECK_GRPC_PORT": "0",
            "FORMCHECK_INGEST_FILE_FOLDERS": str(DEMO.parent),
            "FORMCHECK_INGEST_FILE_AHEAD_FRAMES": "10000",  # nobody takes the frames here
            "FORMCHECK_INGEST_FILE_AHEAD_MB": "1000",
            "FORMCHECK_LOG_LEVEL": "WARNING",
        }
        self._process = psutil.Popen([sys.executable, "-m", "services.ingest.main"], env=environment)
        deadline_s = time.monotonic() + _START_S
        while not self._answers():
            if time.monotonic() > deadline_s or self._process.poll() is not None:
                raise SystemExit("the ingest service does not become ready")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def cpu_s(self) -> tuple[float, float]:
        """Of the service itself, and of the readers that run."""
        own = self._process.cpu_times()
        readers = [c.cpu_times() for c in self._process.children(recursive=True)]
        return own.user + own.system, sum(t.user + t.system for t in readers)

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(s.value for f in text_string_to_metric_families(text) for s in f.samples if s.name == name)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            self._process.kill()


@contextmanager
def _running() -> Iterator[tuple[KafkaConfig, Service]]:
    with tempfile.TemporaryDirectory() as folder, KafkaCluster(Path(folder) / "kafka") as cluster:
        cluster.create_topics()
        kafka = KafkaConfig(cluster.bootstrap)
        with closing(Service(kafka)) as service:
            yield kafka, service


def _over(service: Service, seconds: float) -> tuple[float, float, float, float]:
    """CPU of service and readers, frames and bytes, each per second."""
    frames, sizes = "formcheck_ingest_frame_bytes_count", "formcheck_ingest_frame_bytes_sum"
    before_s, cpu, counts = time.monotonic(), service.cpu_s(), (service.metric(frames), service.metric(sizes))
    time.sleep(seconds)
    took_s, now, then = time.monotonic() - before_s, service.cpu_s(), (service.metric(frames), service.metric(sizes))
    return (
        (now[0] - cpu[0]) / took_s, (now[1] - cpu[1]) / took_s,
        (then[0] - counts[0]) / took_s, (then[1] - counts[1]) / took_s,
    )  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cameras", type=int, default=2)
    arguments.add_argument("--seconds", type=float, default=15.0)
    told = arguments.parse_args()
    with TestCameras(told.cameras, hours=0.2) as cameras, _running() as (kafka, service):
        idle, _, _, _ = _over(service, told.seconds)
        print(f"idle: {idle * 100:.1f} % of a core")
        for i, uri in enumerate(cameras.uris):
            publish_spec(kafka, StreamSpec("bench", f"camera{i}", uri, analysis_fps=10.0))
        time.sleep(5.0)
        own, readers, fps, size = _over(service, told.seconds)
        print(
            f"{told.cameras} cameras, {fps:.1f} frames/s of {size / max(fps, 1):.0f} bytes: service {own * 100:.1f} % "
            f"of a core ({(own - idle) / max(fps, 1) * 1e3:.2f} ms a frame above idle), readers {readers * 100:.1f} %"
        )
    with _running() as (kafka, service):
        before_s, cpu = time.monotonic(), service.cpu_s()
        publish_spec(kafka, StreamSpec("bench", "file", str(DEMO), Mode.FILE))
        while (event := stream_states(kafka).get("bench/file")) is None or event.target.value != "ended":
            time.sleep(0.5)
        took_s, frames = time.monotonic() - before_s, event.next_sequence
        own = service.cpu_s()[0] - cpu[0]
        print(f"a file: {frames} frames, {frames / took_s:.0f} frames/s, service {own / frames * 1e3:.2f} ms a frame")


if __name__ == "__main__":
    main()
