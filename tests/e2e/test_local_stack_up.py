"""``formcheck up`` as people use it: real Kafka, real Triton, the four services; and nothing is left of it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from bench.same_answer import differences, pose_distance, told
from services.common.kafka.clients import KafkaConfig
from services.local.pipeline import AnalyzeOptions, analyze
from services.local.stack.client import StackClient
from services.local.stack.ports import PortBook
from services.local.stack.readiness import get
from services.local.stack.state import marked, read_stack
from tests.conftest import ROOT

PATIENCE = float(os.environ.get("FORMCHECK_TEST_PATIENCE", "1"))
DEMO = ROOT / "assets" / "demo.mp4"
SHORT_S = 9.0
"""The demo clip's first two repetitions."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def until(done: Callable[[], bool], timeout_s: float, what: Callable[[], str]) -> None:
    deadline_s = time.monotonic() + timeout_s * PATIENCE
    while not done():
        assert time.monotonic() < deadline_s, what()
        time.sleep(0.1)


class Up:
    """``formcheck up`` in a process, in a session of its own as in a terminal of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.state, self._output = folder / "state", folder / "output"
        self.ports = PortBook.free().of("kafka.1")
        command = [sys.executable, "-m", "services.local.cli", "up", "--state", str(self.state), *arguments]
        with self._output.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--ports-from", str(self.ports)],
                stdout=out, stderr=out, cwd=ROOT, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        self.run_id = ""

    @property
    def output(self) -> str:
        return self._output.read_text()

    def says(self, text: str, timeout_s: float = 180) -> None:
        """Wait until it has printed this; and remember the mark of its processes."""
        until(lambda: text in self.output or self.process.poll() is not None, timeout_s, lambda: self.output)
        assert text in self.output, self.output
        self.run_id = str((read_stack(self.state) or {}).get("run_id", self.run_id))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, code: int) -> None:
        """It ends, and nothing that it started is left."""
        assert self.process.wait(60 * PATIENCE) == code, self.output
        assert self.run_id
        assert marked(self.run_id) == []

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.run_id = str((read_stack(self.state) or {}).get("run_id", self.run_id))
        for pid in marked(self.run_id) if self.run_id else ():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def make(*arguments: str) -> Up:
        started.append(Up(tmp_path, *arguments))
        return started[-1]

    yield make
    for up in started:
        up.close()


def formcheck(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services.local.cli", *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=120 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def beginning(clip: Path, out: Path, seconds: float) -> Path:
    """The clip's first seconds, not encoded anew."""
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        video = source.streams.video[0]
        copy = target.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is None or float(packet.dts * packet.time_base) > seconds:  # what it refers to was before
                break
            packet.stream = copy
            target.mux(packet)
    return out


def test_the_stack_gives_the_answer_of_one_process_and_leaves_nothing(start: Callable[..., Up], tmp_path: Path) -> None:
    up = start("--files", str(tmp_path))
    clip = beginning(DEMO, tmp_path / "short.mp4", SHORT_S)
    up.says("Ctrl-C stops everything")
    stack = read_stack(up.state)
    assert stack is not None
    assert list(stack["processes"]) == ["ingest.1", "pose.1", "segment.1", "errors.1"]
    for name, process in stack["processes"].items():
        assert name in up.output
        assert str(process["log"]) in up.output
        assert get(process["http"], "/readyz")[0] == 200
        assert get(process["http"], "/metrics")[0] == 200

    name = "local/short"
    with StackClient(KafkaConfig(stack["kafka"])) as client:
        assert formcheck("streams", "add", str(clip), "--state", str(up.state)).startswith(f"{name} added (file)")
        result = client.result(name, 120 * PATIENCE)
    expected = analyze(str(clip), AnalyzeOptions(frame_codec="jpeg", thumbnails=False))
    assert len(result.confirmed()) == 2
    assert differences(told([result]), told(expected.people), 1 / expected.source.fps) == []
    only_in_one, far_px = pose_distance(result.poses, expected.people)
    assert only_in_one == 0
    assert far_px == 0.0
    assert len({p.sequence for p in result.poses}) == expected.timings["frames"]

    assert re.search(rf"{name} +file +ended", formcheck("streams", "list", "--state", str(up.state)))
    formcheck("streams", "remove", name, "--state", str(up.state))

    killed = stack["processes"]["errors.1"]
    os.kill(killed["pid"], signal.SIGKILL)
    up.says("errors.1 ended (exit code -9)")
    until(lambda: get(killed["http"], "/readyz")[0] == 200, 120, lambda: up.output)

    up.signal(signal.SIGINT)
    up.ends(0)
    assert "nothing runs any more" in up.output
    assert read_stack(up.state) is None


def test_ctrl_c_twice_while_it_starts_kills_all_of_it(start: Callable[..., Up]) -> None:
    up = start("--no-triton")
    up.says("Kafka        ready")
    up.signal(signal.SIGINT)
    up.says("Ctrl-C again kills")
    if up.process.poll() is None:
        up.signal(signal.SIGINT)
    assert up.process.wait(30 * PATIENCE) in (0, 130)
    until(lambda: not marked(up.run_id), 10, lambda: up.output)
