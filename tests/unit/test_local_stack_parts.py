"""The parts of the local stack that need neither Kafka nor Triton."""

import importlib.util
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from services.common.errors import ConfigError, FormcheckError
from services.local.stack import prometheus
from services.local.stack.ports import REPLICAS_MAX, SERVICES, PortBook
from services.local.stack.processes import StackProcess, read_procfile
from services.local.stack.state import RUN_VARIABLE, StateFolder, marked, read_stack
from services.local.stack.up import Stack

PARTS = (
    *(f"kafka.{i}{end}" for i in (1, 2, 3) for end in ("", ".controller")),
    "triton.grpc", "triton.http", "triton.metrics", "prometheus", "cameras",
    *(f"{s}.{r + 1}.{kind}" for s in SERVICES for r in range(REPLICAS_MAX) for kind in ("http", "grpc")),
)  # fmt: skip


def until(done: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline_s, "did not come true in time"
        time.sleep(0.02)


@pytest.mark.parametrize("book", [PortBook.usual(), PortBook.counted_from(30_000), PortBook.free()])
def test_no_two_parts_share_a_port_and_each_keeps_its_own(book: PortBook) -> None:
    ports = {part: book.of(part) for part in PARTS}
    assert len(set(ports.values())) == len(PARTS)
    assert {part: book.of(part) for part in PARTS} == ports


def test_the_usual_ports_are_those_of_the_services_settings() -> None:
    from services.errors.settings import ErrorsSettings
    from services.ingest.settings import IngestSettings
    from services.pose.settings import PoseSettings
    from services.segment.settings import SegmentSettings

    book = PortBook.usual()
    for name, kind in zip(SERVICES, (IngestSettings, PoseSettings, SegmentSettings, ErrorsSettings), strict=True):
        fields = kind.model_fields
        assert book.of(f"{name}.1.http") == fields["http"].default.port
        assert book.of(f"{name}.1.grpc") == fields["grpc"].default.port
    assert PoseSettings.model_fields["kafka"].default.bootstrap.endswith(f":{book.of('kafka.1')}")
    assert PoseSettings.model_fields["triton"].default.url.endswith(f":{book.of('triton.grpc')}")


def test_a_port_that_is_taken_is_named_with_the_part_that_wants_it() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(1)
        book = PortBook(lambda part: int(holder.getsockname()[1]))
        with pytest.raises(
            ConfigError, match=rf"Port {book.of('pose.1.http')} .* wanted for pose.1.http.*--ports-from"
        ):
            book.check(["pose.1.http"])


@pytest.mark.parametrize("first", [80, 65_500])
def test_ports_cannot_be_counted_from_everywhere(first: int) -> None:
    with pytest.raises(ConfigError, match=f"from {first}"):
        PortBook.counted_from(first)


def test_the_procfile_names_the_services_and_their_programs_exist() -> None:
    lines = read_procfile()
    assert tuple(lines) == SERVICES
    for command in lines.values():
        assert command.startswith("exec python -m ")
        assert importlib.util.find_spec(command.removeprefix("exec python -m ")) is not None


def test_a_folder_is_for_one_stack_at_a_time(tmp_path: Path) -> None:
    first = StateFolder(tmp_path)
    with pytest.raises(ConfigError, match=rf"process {os.getpid()}\) uses the state folder.*--state"):
        StateFolder(tmp_path)
    first.write({"kafka": "127.0.0.1:9"})
    told = read_stack(tmp_path)
    assert told is not None
    assert told["kafka"] == "127.0.0.1:9"
    first.close()
    assert read_stack(tmp_path) is None
    StateFolder(tmp_path).close()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used.*--state"):
        StateFolder(tmp_path / "file" / "state")


def test_what_a_killed_stack_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    killed = StateFolder(tmp_path)
    killed.write({})
    left = subprocess.Popen(["sleep", "60"], env={**os.environ, RUN_VARIABLE: killed.run_id})
    other = subprocess.Popen(["sleep", "60"], env={**os.environ, RUN_VARIABLE: "another"})
    try:
        until(lambda: marked(killed.run_id) == [left.pid] and marked("another") == [other.pid])
        killed._lock.close()  # as the kernel does when its process dies
        following = StateFolder(tmp_path)
        assert following.end_leftovers() == 1
        assert left.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        following.close()
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., StackProcess]]:
    """Makes processes; what still runs at the end is stopped."""
    processes: list[StackProcess] = []

    def make(command: str, say: Callable[[str], None] = lambda _: None) -> StackProcess:
        processes.append(StackProcess("thing.1", command, env={"WORD": "good day"}, log=tmp_path / "a log", say=say))
        return processes[-1]

    yield make
    for process in processes:
        process.stop(5)


def test_a_process_has_its_environment_its_log_and_a_session_of_its_own(made: Callable[..., StackProcess]) -> None:
    process = made('echo "$WORD"; exec python -c "import time; time.sleep(60)"')
    process.start()
    until(lambda: process.log_tail() == "good day")
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    with pytest.raises(FormcheckError, match="runs already"):
        process.start()
    assert process.stop(10) == -signal.SIGTERM
    assert not process.running
    with pytest.raises(FormcheckError, match=r"does not run \(exit code -15"):
        _ = process.pid


def test_one_that_ends_unasked_is_started_again_only_when_told(made: Callable[..., StackProcess]) -> None:
    said: list[str] = []
    lasting = made("exec sleep 60", said.append)
    lasting.start(again=True)
    first = lasting.pid
    lasting.kill()
    until(lambda: lasting.running and lasting.pid != first)
    assert lasting.restarts == 1
    assert "exit code -9" in said[0]
    lasting.stop(10)
    lasting.start()
    lasting.kill()
    assert not lasting.running
    assert lasting.exit_code == -signal.SIGKILL


def test_one_that_does_not_heed_sigterm_is_killed_with_all_it_started(made: Callable[..., StackProcess]) -> None:
    said: list[str] = []
    stubborn = made("trap '' TERM; sleep 60 & echo $!; while true; do sleep 1; done", said.append)
    stubborn.start()
    until(lambda: stubborn.log_tail().strip().isdigit())
    child = int(stubborn.log_tail())
    assert stubborn.stop(0.3) == -signal.SIGKILL
    assert "it is killed" in said[0]
    until(lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes())


def test_prometheus_scrapes_every_process_by_name(tmp_path: Path) -> None:
    path = prometheus.write_config(tmp_path / "prometheus", {"pose.1": 8102, "pose.2": 8112}, 8002)
    config = yaml.safe_load(path.read_text())
    (files,) = (f for job in config["scrape_configs"] for sd in job["file_sd_configs"] for f in sd["files"])
    groups = yaml.safe_load(Path(files).read_text())
    assert [(g["labels"]["service"], g["labels"]["instance"], *g["targets"]) for g in groups] == [
        ("pose", "pose.1", "127.0.0.1:8102"),
        ("pose", "pose.2", "127.0.0.1:8112"),
        ("triton", "triton", "127.0.0.1:8002"),
    ]


def test_without_prometheus_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"needs the program prometheus.*apt-get install"):
        prometheus.program()


@pytest.mark.parametrize("replicas", [{"poses": 1}, {"pose": -1}, {"pose": 10}])
def test_replicas_that_cannot_be_are_refused(tmp_path: Path, replicas: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="replicas cannot be"):
        Stack(tmp_path, replicas=replicas)
