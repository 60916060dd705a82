"""What the local Kafka says before it starts anything; that it runs, tests/integration/test_kafka_* show."""

from pathlib import Path

import pytest

from services.common.errors import ConfigError
from services.common.topics import TOPICS, dlq
from services.local.stack.kafka import KafkaCluster, ensure_jars, free_ports


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Java and Maven, with an empty cache."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FORMCHECK_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_without_maven_the_command_that_installs_it_is_named(bare: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs mvn.*apt-get install openjdk-17-jre-headless maven"):
        ensure_jars()


def test_without_java_the_command_that_installs_it_is_named(bare: Path) -> None:
    with pytest.raises(ConfigError, match=r"Kafka needs java.*apt-get install openjdk-17-jre-headless maven"):
        KafkaCluster(bare / "kafka")


def test_two_brokers_are_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1 broker or 3, not 2"):
        KafkaCluster(tmp_path, brokers=2)


def test_a_folder_with_another_number_of_brokers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broker-1" / "data").mkdir(parents=True)
    (tmp_path / "broker-1" / "data" / "meta.properties").touch()
    with pytest.raises(ConfigError, match="with 1 broker, not 3"):
        KafkaCluster(tmp_path, brokers=3)


def test_free_ports_differ() -> None:
    assert len(set(free_ports(6))) == 6


def test_every_topic_of_inputs_has_a_dlq_and_short_retention_has_shorter_segments() -> None:
    by_name = {t.name: t for t in TOPICS}
    assert len(by_name) == len(TOPICS)
    for name in ("streams.v1", "frames.live.v1", "frames.file.v1", "poses.v1", "repetitions.v1"):
        assert dlq(name) in by_name
    for topic in TOPICS:
        if topic.config["cleanup.policy"] == "delete":
            assert int(topic.config["segment.ms"]) < int(topic.config["retention.ms"])
        else:
            assert topic.name.startswith("streams") or topic.name.endswith("-state.v1")
