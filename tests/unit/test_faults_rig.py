"""The parts of the stack's benchmarks that need no stack: histograms, the proxy, process trees, the loop's place."""

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from bench.rig.cpu import tree, usage
from bench.rig.load import Level
from bench.rig.proxy import CuttingProxy
from bench.rig.scraping import Scraper, grown, quantile, scrape, total
from bench.rig.truth import LoopTruth
from bench.streams import Case, report, verdicts
from services.common.types import LOCAL_STREAM, PoseFrame, TrackedPose


def buckets(
    name: str, *counts: tuple[str, float], **labels: str
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (f"{name}_bucket", tuple(sorted({**labels, "le": bound}.items()))): count for bound, count in counts
    }  # fmt: skip


def test_quantiles_of_histograms() -> None:
    found = buckets("x", ("0.1", 50.0), ("0.2", 90.0), ("+Inf", 100.0), topic="poses")
    assert quantile(found, "x", 0.5) == pytest.approx(0.1)
    assert quantile(found, "x", 0.7, topic="poses") == pytest.approx(0.15)
    assert quantile(found, "x", 0.99) == pytest.approx(0.2), "beyond the last bound nobody knows more"
    assert quantile(found, "x", 0.5, topic="other") is None
    assert quantile({}, "x", 0.5) is None


def test_growth_survives_a_new_start() -> None:
    key, other = ("c", ()), ("d", ())
    assert grown({key: 5.0}, {key: 8.0, other: 2.0}) == {key: 3.0, other: 2.0}
    assert grown({key: 5.0}, {key: 1.0}) == {key: 1.0}
    assert total({("c", (("a", "1"),)): 2.0, ("c", (("a", "2"),)): 3.0}, "c") == 5.0
    assert total({("c", (("a", "1"),)): 2.0, ("c", (("a", "2"),)): 3.0}, "c", a="2") == 3.0


class _Counting(http.server.BaseHTTPRequestHandler):
    value = 0.0

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"# TYPE frames counter\nframes_total {self.value}\n".encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def metrics_port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Counting)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_a_killed_process_had_counted_is_kept(metrics_port: int) -> None:
    _Counting.value = 7.0
    assert scrape(metrics_port) == {("frames_total", ()): 7.0}
    with Scraper(lambda: {"pose.1": metrics_port}, ("frames_total",), every_s=60.0) as scraper:
        assert scraper.sums() == {("frames_total", ()): 7.0}
        _Counting.value = 2.0  # it was killed and began anew
        assert scraper.sums() == {("frames_total", ()): 9.0}
        _Counting.value = 4.0
        assert scraper.sums() == {("frames_total", ()): 11.0}


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says back what it is told."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1024):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    yield int(listening.getsockname()[1])
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _call(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5.0)


def _said(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return connection.recv(1024)


def test_connections_are_cut_refused_stalled_and_healed(echo: int) -> None:
    front = _free_port()
    with CuttingProxy({front: echo}) as proxy:
        with closing(_call(front)) as one:
            assert _said(one, b"hello") == b"hello"
            proxy.cut(front)
            with pytest.raises(ConnectionResetError):
                one.recv(1024)
        with closing(_call(front)) as refused, pytest.raises((ConnectionError, AssertionError)):
            assert _said(refused, b"x") == b"x"
        proxy.heal(front)
        with closing(_call(front)) as again:
            assert _said(again, b"back") == b"back"
            proxy.stall(front)
            again.settimeout(0.3)
            with pytest.raises(TimeoutError):
                _said(again, b"nobody hears")
            proxy.heal(front)
            again.settimeout(5.0)
            assert again.recv(1024) == b"nobody hears"
        assert proxy.connections == 3


def test_a_process_tree_and_what_it_uses() -> None:
    program = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', "
    program += "'import time; [i * i for i in range(3_000_000)]; print(1, flush=True); time.sleep(60)'], "
    program += "stdout=subprocess.PIPE); print(p.stdout.read(1), flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        found = tree(process.pid)
        assert len(found) == 2
        both, root = usage([process.pid]), usage([process.pid], only_roots=True)
        assert both.processes == 2
        assert both.cpu_s > root.cpu_s
        assert both.rss_bytes > root.rss_bytes > 1_000_000
        assert both.threads >= 2
        assert both.files >= 6
        os.kill(found[1], 9)
    finally:
        process.kill()
        process.communicate()
    assert usage([process.pid]).processes == 0


def test_the_place_of_a_loop_is_found_from_keypoints() -> None:
    fps, count = 20.0, 200
    phase = np.arange(count)[:, None, None] / count * 2 * np.pi
    joints = np.arange(17)[None, :, None]
    keypoints = 300 + 80 * np.sin(2 * phase + joints) + 40 * np.sin(phase) + np.zeros((1, 1, 2))
    truth = LoopTruth(fps, count / fps, keypoints[None], np.array([3.0, 8.0]))
    rng = np.random.default_rng(0)
    true_offset_s = 4.32

    def frame(i: int) -> PoseFrame:
        time_s = i * 0.1
        at = (time_s + true_offset_s) * fps % count
        low = int(at)
        seen = keypoints[low] * (1 - at + low) + keypoints[(low + 1) % count] * (at - low)
        pose = TrackedPose(1, (seen + rng.normal(0, 2, (17, 2))).astype(np.float32), np.ones(17, np.float32),
                           np.zeros(4, np.float32))  # fmt: skip
        return PoseFrame(LOCAL_STREAM, i, time_s, 640, 360, (pose,))

    offset_s = truth.offset_s([frame(i) for i in range(25)])
    assert offset_s is not None
    assert offset_s == pytest.approx(true_offset_s, abs=0.03)
    end_s = 3.0 - offset_s + truth.length_s
    assert truth.true_end_s(end_s + 0.2, offset_s) == pytest.approx(end_s)
    assert truth.true_end_s(end_s + 1.5, offset_s) is None
    assert truth.offset_s([frame(0)]) is None


def test_a_level_and_what_it_says() -> None:
    def level(streams: int, cpu: float, p95_s: float = 0.2, poses: int = 0) -> Level:
        found = Level(streams, 10.0, poses=poses or streams * 100, cpu={"pose.1": cpu}, crops={"net": 100.0 * streams})
        found.latency_s = {"p95": p95_s}
        return found

    case = Case("360p-1", [level(1, 0.5), level(2, 0.9), level(3, 1.3), level(4, 1.6, p95_s=0.8)], camera_fps=20.0)
    case.raw = {"decode": 2.0, "net": 10.0}
    assert case.sustained == 3
    base, slope, spread = case.marginal()
    assert (base, slope, spread) == pytest.approx((0.1, 0.4, 0.0), abs=1e-6)
    assert case.efficiency(case.levels[0]) == pytest.approx((2e-3 * 200 + 10e-3 * 100) / (0.5 * 10.0))
    assert level(2, 1.0, poses=150).trouble() == "7.50 poses/s"
    case.levels[2].latency_s |= {"p50": 0.1, "p99": 0.3}
    case.levels[2].confirmed_s = [0.6, 0.7, 0.8]
    case.levels[2].stages = {"pose: inference": {"p50": 0.012, "p95": 0.03}}
    case.levels[2].bytes_per_stream_s = {"poses.v1": 2500.0}
    case.stopped_by = case.levels[3].trouble()
    told = report(case)
    assert "3 cameras sustained (the next: p95 800 ms; target 6)" in told
    assert "confirmed after the true end: p50 0.70 s, p95 0.79 s of 3" in told
    assert "one more camera 0.400, single steps within 0 % of it" in told
    met = verdicts([case])
    assert met["360p-1: marginal cost flat (15 %)"]
    assert met["360p-1: confirmed p95 within 1 s"]
    assert not met["360p-1: at least 6 cameras"]
    skipped = level(2, 1.0)
    skipped.skipped = {"STALE": 40}
    assert "STALE" in skipped.trouble()


def test_waiting_does_not_take_longer_than_said() -> None:
    from bench.rig.scraping import wait_until

    began_s = time.monotonic()
    with pytest.raises(TimeoutError, match=r"never"):
        wait_until(lambda: False, 0.2, "never")
    assert time.monotonic() - began_s < 2.0
