"""What the stack's commands say before anything runs, and what they print."""

import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.same_answer import Told, differences
from services.common.errors import ConfigError
from services.common.types import Assessment, PoseWindow, Repetition, Status, StreamKey
from services.local.cli import app
from services.local.cli_stack import config_of, full_name, read_replicas
from services.local.stack.following import line
from services.local.stack.ports import PortBook
from services.local.stack.state import StateFolder

runner = CliRunner()


def refusal(*arguments: str) -> str:
    """The one sentence that a command is refused with."""
    done = runner.invoke(app, list(arguments))
    assert done.exit_code == 1, done.output
    lines = [text for text in done.output.splitlines() if text.strip()]
    assert len(lines) == 1, done.output
    assert lines[0].startswith("formcheck: ")
    return lines[0]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORMCHECK_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("FORMCHECK_KAFKA_BOOTSTRAP", raising=False)
    return tmp_path / "state"


def test_up_without_java_names_the_command_that_installs_it(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(state))
    assert "apt-get install openjdk-17-jre-headless maven" in refusal("up", "--ports-from", "30000")


def test_up_without_maven_names_the_command_too(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = state.with_name("tools")
    tools.mkdir()
    (tools / "java").write_text("#!/bin/sh\necho 'openjdk version \"17.0.15\"' >&2\n")
    (tools / "java").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}")
    monkeypatch.setenv("FORMCHECK_CACHE", str(state.with_name("cache")))
    assert "needs mvn" in refusal("up", "--ports-from", "30000")


def test_up_with_an_old_java_says_so(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = state.with_name("tools")
    tools.mkdir()
    (tools / "java").write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    (tools / "java").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}")
    assert "needs Java 17 or later" in refusal("up", "--ports-from", "30000")


def test_up_names_a_port_that_is_taken(state: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", PortBook.free().of("cameras")))
        holder.listen(1)
        first = int(holder.getsockname()[1])
        assert f"Port {first} " in refusal("up", "--ports-from", str(first))
    assert not (state / "stack.json").exists()


def test_up_refuses_a_folder_in_use(state: Path) -> None:
    holder = StateFolder(state)
    assert "uses the state folder" in refusal("up")
    holder.close()


def test_up_refuses_what_cannot_be(state: Path) -> None:
    assert "1 broker or 3, not 2" in refusal("up", "--brokers", "2", "--ports-from", "30000")
    assert "--replicas pose: write" in refusal("up", "--replicas", "pose")
    assert "replicas cannot be" in refusal("up", "--replicas", "camera=2")


def test_replicas_are_read() -> None:
    assert read_replicas("") == {}
    assert read_replicas("pose=2, segment=3") == {"pose": 2, "segment": 3}


def test_commands_find_the_stack_that_runs(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config_of(None, None).bootstrap == "127.0.0.1:9092"
    monkeypatch.setenv("FORMCHECK_KAFKA_BOOTSTRAP", "kafka:9092")
    assert config_of(None, None).bootstrap == "kafka:9092"
    with pytest.raises(ConfigError, match="No stack runs in"):
        config_of(state, None)
    stack = StateFolder(state)
    stack.write({"kafka": "127.0.0.1:19092"})
    assert config_of(None, None).bootstrap == "127.0.0.1:19092"
    assert config_of(state, None).bootstrap == "127.0.0.1:19092"
    assert config_of(None, "other:9092").bootstrap == "other:9092"
    stack.close()


@pytest.mark.parametrize("command", [["streams", "list"], ["dlq", "list"], ["watch"]])
def test_without_kafka_a_command_says_so(state: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORMCHECK_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    assert "No Kafka answers at 127.0.0.1:9;" in refusal(*command)


def test_names_of_streams() -> None:
    assert full_name("door") == "local/door"
    assert full_name("gym/door") == "gym/door"


def repetition(**changes: float) -> Repetition:
    window = PoseWindow(np.zeros(1), np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.float32))
    return Repetition(
        "r", StreamKey("gym", "door", "s"), 1, Status.CONFIRMED, 10.0, 12.5, 11.0, changes.get("offset_s", 12.3), 2, 4,
        "bicep_curl", window=window,
    )  # fmt: skip


def test_a_line_of_watch() -> None:
    told = line(Assessment(repetition(), 81.4, (), (), "Keep your elbows still.", {}, None))
    assert told.split() == ["gym/door", "0:12.3", "bicep_curl", "2", "4", "81", *["Keep", "your", "elbows", "still."]]
    assert line(Assessment(repetition(offset_s=3723.0), 100, (), (), None, {}, None)).split()[1] == "1:02:03.0"
    assert line(Assessment(repetition(), 100, (), (), None, {}, None)).endswith("good")


TOLD = Told(1, 1.0, 2.0, 3.0, "confirmed", "squat", 1, 1, "", ("TOO_SHALLOW",), 80.0)
OTHER = Told(1, 4.0, 5.0, 6.0, "confirmed", "squat", 1, 2, "", (), 100.0)


def test_the_same_answer_has_no_differences() -> None:
    assert differences([TOLD, OTHER], [TOLD, OTHER], 0.04) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"onset_s": 1.03}, None),
        ({"onset_s": 1.05}, "only in"),
        ({"turn_s": 2.05}, "turn_s 2.05"),
        ({"offset_s": None}, "offset_s None"),
        ({"codes": ()}, "codes"),
        ({"status": "attempt"}, "status attempt"),
        ({"exercise": "lunge"}, "exercise lunge"),
        ({"index": 2}, "index 2"),
        ({"reason": "TOO_LONG"}, "reason TOO_LONG"),
        ({"score": 82.0}, "score 82.0"),
        ({"track_id": 2}, "only in"),
    ],
)
def test_every_difference_is_seen(change: dict[str, object], said: str | None) -> None:
    found = differences([replace(TOLD, **change), OTHER], [TOLD, OTHER], 0.04)  # type: ignore[arg-type]
    assert bool(found) == (said is not None)
    assert said is None or any(said in sentence for sentence in found)
    assert len(differences([OTHER], [TOLD, OTHER], 0.04)) == 2
