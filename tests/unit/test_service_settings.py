"""Settings: read from the environment, refused with one sentence that names the variable and the fix."""

import os
import subprocess
import sys

import pytest

from services.common.errors import ConfigError
from services.common.settings import ServiceSettings, load
from services.errors.settings import ErrorsSettings
from services.ingest.settings import IngestSettings
from services.pose.settings import PoseSettings
from services.segment.settings import SegmentSettings

ALL = [IngestSettings, PoseSettings, SegmentSettings, ErrorsSettings]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("FORMCHECK_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("kind", ALL)
def test_defaults_listen_on_loopback_only(kind: type[ServiceSettings]) -> None:
    settings = load(kind)
    assert settings.http.host == settings.grpc.host == "127.0.0.1"
    assert settings.kafka.bootstrap == "127.0.0.1:9092"
    assert settings.drain_s == 10


def test_services_of_one_machine_have_ports_of_their_own() -> None:
    ports = [p for kind in ALL for p in (load(kind).http.port, load(kind).grpc.port)]
    assert len(set(ports)) == 8


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FORMCHECK_KAFKA_BOOTSTRAP": "a:1,b.example:22",
        "FORMCHECK_KAFKA_PREFIX": "test.",
        "FORMCHECK_HTTP_HOST": "0.0.0.0",
        "FORMCHECK_LOG_LEVEL": "DEBUG",
        "FORMCHECK_TRACE_ENDPOINT": "http://collector:4317",
        "FORMCHECK_TRACE_SHARE": "0.5",
        "FORMCHECK_DRAIN_S": "3",
        "FORMCHECK_POSE_IN_FLIGHT_FRAMES": "7",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load(PoseSettings)
    assert settings.kafka.bootstrap == "a:1,b.example:22"
    assert settings.kafka.prefix == "test."
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 8102), "the port keeps this service's default"
    assert (settings.log.level, settings.log.format) == ("DEBUG", "json")
    assert (settings.trace.endpoint, settings.trace.share) == ("http://collector:4317", 0.5)
    assert settings.drain_s == 3
    assert settings.pose.in_flight_frames == 7


def test_other_variables_of_the_prefix_do_not_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORMCHECK_DATA", "FORMCHECK_CACHE", "FORMCHECK_REQUIRE_ALL", "FORMCHECK_POSE_PROFILE"):
        monkeypatch.setenv(name, "something")
    assert load(SegmentSettings) == SegmentSettings()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("FORMCHECK_HTTP_PORT", "eighty", ["a port from 0 to 65535", "'eighty'", "default 8102"]),
        ("FORMCHECK_GRPC_PORT", "70000", ["a port from 0 to 65535", "'70000'"]),
        ("FORMCHECK_KAFKA_BOOTSTRAP", "broker", ["host:port", "'broker'"]),
        ("FORMCHECK_KAFKA_INSTANCE", "a b", ["no other replica"]),
        ("FORMCHECK_DRAIN_S", "nan", ["seconds", "up to 60"]),
        ("FORMCHECK_DRAIN_S", "-1", ["seconds", "up to 60"]),
        ("FORMCHECK_TRACE_SHARE", "2", ["0 to 1"]),
        ("FORMCHECK_TRACE_ENDPOINT", "collector:4317", ["http://host:4317"]),
        ("FORMCHECK_LOG_LEVEL", "LOUD", ["DEBUG, INFO, WARNING, ERROR"]),
        ("FORMCHECK_POSE_BACKEND", "gpu", ["triton, onnx"]),
        ("FORMCHECK_KAFKA_BOTSTRAP", "a:1", ["no setting", "FORMCHECK_KAFKA_BOOTSTRAP"]),
        ("FORMCHECK_KAFKA", "a:1", ["no JSON object", "FORMCHECK_KAFKA_<NAME>"]),
    ],
)
def test_a_bad_value_names_variable_and_fix(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: list[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        load(PoseSettings)
    message = str(caught.value)
    assert message.startswith(f"{variable} ")
    assert all(part in message for part in says), message
    assert "\n" not in message


def test_secrets_in_a_bad_value_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORMCHECK_TRACE_ENDPOINT", "grpc://user:hunter2@collector")
    with pytest.raises(ConfigError) as caught:
        load(PoseSettings)
    assert "hunter2" not in str(caught.value)


def test_all_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORMCHECK_HTTP_PORT", "x")
    monkeypatch.setenv("FORMCHECK_DRAIN_S", "y")
    with pytest.raises(ConfigError) as caught:
        load(PoseSettings)
    assert "FORMCHECK_HTTP_PORT is 'x'" in str(caught.value)
    assert "FORMCHECK_DRAIN_S is 'y'" in str(caught.value)


def test_a_program_ends_with_code_2_and_one_line() -> None:
    code = (
        "from services.common.settings import load_or_exit; from services.segment.settings import SegmentSettings;"
        "load_or_exit(SegmentSettings)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "FORMCHECK_HTTP_PORT": "x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("formcheck: FORMCHECK_HTTP_PORT is 'x'")
    assert run.stderr.count("\n") == 1
