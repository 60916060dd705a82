"""Dead letters on a real broker: listed, replayed once whatever dies, and told by the command."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing

import pytest
from typer.testing import CliRunner, Result

from services.common import topics
from services.common.errors import ConfigError
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.dlq import DeadLetter
from services.common.kafka.messages import Record
from services.common.kafka.outgoing import dead_letter
from services.common.kafka.publisher import Publisher
from services.local.stack.dlq import app, letters, replay_all, replay_some
from tests.support.kafka import ROOT, TopicReader

pytestmark = pytest.mark.slow

HEADERS = (("message", b"formcheck.v1.Mark"), ("exercise", b"squat"))


def plant(config: KafkaConfig, topic: str, count: int = 1) -> None:
    with closing(Publisher(config)) as publisher:
        for i in range(count):
            record = Record(topic, 2, i, b"gym/camera", b"junk %d" % i, HEADERS)
            publisher.send_record(dead_letter(record, ValueError(f"no mark: {i}"), "segment"))
    assert publisher.lost == 0


def committed(config: KafkaConfig, topic: str) -> list[Record]:
    with closing(TopicReader(config, topic)) as reader:
        return reader.read_to_end()


def ids(found: Sequence[DeadLetter]) -> list[str]:
    return [letter.id for letter in found]


def test_letters_are_listed_and_each_is_sent_once(kafka_config: KafkaConfig) -> None:
    assert letters(kafka_config) == []
    plant(kafka_config, topics.POSES, 3)
    plant(kafka_config, topics.REPETITIONS)
    found = letters(kafka_config)
    assert ids(found) == [*(f"poses.v1/0/{i}" for i in range(3)), "repetitions.v1/0/0"]
    first = found[0]
    assert (first.reason, first.kind, first.stage, first.key) == ("no mark: 0", "ValueError", "segment", "gym/camera")
    assert (first.topic, first.partition, first.offset) == (topics.POSES, 2, 0)

    assert ids(replay_some(kafka_config, ["poses.v1/0/1"])) == ["poses.v1/0/1"]
    [again] = committed(kafka_config, topics.POSES)
    assert (again.key, again.value, again.headers) == (b"gym/camera", b"junk 1", HEADERS)
    with pytest.raises(ConfigError, match="was replayed already"):
        replay_some(kafka_config, ["poses.v1/0/0", "poses.v1/0/1"])
    with pytest.raises(ConfigError, match="There is no dead letter 'poses.v1/0/9'"):
        replay_some(kafka_config, ["poses.v1/0/9"])
    assert len(committed(kafka_config, topics.POSES)) == 1, "a wrong id sends nothing"

    assert ids(replay_all(kafka_config, [topics.POSES])) == ["poses.v1/0/0", "poses.v1/0/2"]
    assert ids(replay_all(kafka_config)) == ["repetitions.v1/0/0"]
    assert replay_all(kafka_config) == letters(kafka_config) == []
    assert [r.value for r in committed(kafka_config, topics.POSES)] == [b"junk 1", b"junk 0", b"junk 2"]
    assert [letter.replayed for letter in letters(kafka_config, everything=True)] == [True] * 4


_DIES_AFTER_SENDING = """
import os, signal, sys
from kafka import KafkaProducer
from services.common.kafka.clients import KafkaConfig
from services.local.stack.dlq import replay_all

def die(self):
    self.flush()
    print("sent", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

from services.common.kafka import transactions
transactions._Producer.commit_transaction = die
replay_all(KafkaConfig(sys.argv[1], prefix=sys.argv[2]))
"""


def test_a_replay_that_dies_before_its_end_doubles_nothing(kafka_config: KafkaConfig) -> None:
    plant(kafka_config, topics.POSES, 2)
    command = [sys.executable, "-c", _DIES_AFTER_SENDING, kafka_config.bootstrap, kafka_config.prefix]
    died = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert died.stdout == "sent\n", died.stderr
    assert died.returncode == -9
    assert len(replay_all(kafka_config)) == 2, "what had been sent was never committed: all is open"
    assert [r.value for r in committed(kafka_config, topics.POSES)] == [b"junk 0", b"junk 1"]


def test_the_command(kafka_config: KafkaConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORMCHECK_KAFKA_PREFIX", kafka_config.prefix)

    def formcheck_dlq(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--kafka", kafka_config.bootstrap])

    assert formcheck_dlq("list").stdout == "Nothing is open in the dead-letter queues.\n"
    plant(kafka_config, topics.POSES, 2)
    lines = formcheck_dlq("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["poses.v1/0/0", "poses.v1/0/1"]
    assert lines[0].endswith("gym/camera  segment  ValueError: no mark: 0")
    told = json.loads(formcheck_dlq("list", "--json").stdout.splitlines()[0])
    assert (told["topic"], told["key"], told["reason"]) == ("poses.v1", "gym/camera", "no mark: 0")
    assert told["time"].startswith("20")

    assert formcheck_dlq("replay").exit_code == 2
    assert "has no dead-letter queue" in formcheck_dlq("list", "--topic", "nonsense").stderr
    done = formcheck_dlq("replay", "poses.v1/0/1")
    assert done.stdout == "poses.v1/0/1 -> poses.v1\n1 sent once more.\n"
    assert formcheck_dlq("replay", "poses.v1/0/1").exit_code == 1
    assert formcheck_dlq("replay", "--all").stdout.endswith("1 sent once more.\n")
    assert "(replayed)" in formcheck_dlq("list", "--all").stdout
    assert [r.value for r in committed(kafka_config, topics.POSES)] == [b"junk 1", b"junk 0"]


def test_nobody_there() -> None:
    """In a process of its own: the client leaves a socket behind when nobody answers."""
    command = [sys.executable, "-m", "services.local.cli", "dlq", "list", "--kafka", "127.0.0.1:9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("formcheck: Kafka cannot be reached"), done.stderr
    assert done.stderr.count("\n") == 1
