"""The shell of a service as a real process: start, signals, drain, crash."""

import json
import signal
import time
from collections.abc import Callable, Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.service_process import Service, get, until

pytestmark = pytest.mark.slow


@pytest.fixture
def start() -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def start(behaviour: str, **environment: str) -> Service:
        services.append(Service("tests.support.service_program", behaviour, **environment))
        return services[-1]

    yield start
    for service in services:
        service.kill()


def test_sigterm_while_busy_is_not_ready_at_once_and_drained(start: Callable[..., Service]) -> None:
    service = start("busy")
    started = service.started()
    port = started["http_port"]
    until(lambda: get(port, "/readyz")[0] == 200)
    assert "formcheck_pose_ready_ratio 1.0" in get(port, "/metrics")[1]
    with grpc.insecure_channel(f"127.0.0.1:{started['grpc_port']}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        until(lambda: check(health_pb2.HealthCheckRequest(), timeout=5).status == 1)

    sent_s = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    until(lambda: get(port, "/readyz")[0] == 503)
    assert json.loads(get(port, "/readyz")[1])["checks"]["stopping"] == "SIGTERM came"
    assert get(port, "/healthz")[0] == 200, "alive while it drains"
    assert service.end(15) == 0
    assert time.monotonic() - sent_s < 10
    assert service.events()[-4:] == ["stopping", "handed over", "sink closed", "stopped"]
    assert service.lines[-1]["clean"] is True
    assert service.lines[-3]["pieces"] >= 22, "what was in hand was finished"
    assert all(line["service"] == "pose" for line in service.lines)


def test_a_second_interrupt_forces_the_end(start: Callable[..., Service]) -> None:
    service = start("stuck")
    service.started()
    service.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert service.process.poll() is None
    sent_s = time.monotonic()
    service.process.send_signal(signal.SIGINT)
    assert service.end(10) == 130
    assert time.monotonic() - sent_s < 5
    assert "ended by force" in service.stderr


def test_work_that_does_not_end_is_named_and_the_process_ends(start: Callable[..., Service]) -> None:
    service = start("stuck", FORMCHECK_DRAIN_S="2.5")
    service.started()
    sent_s = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    assert service.end(20) == 1
    assert time.monotonic() - sent_s < 6
    (late,) = [line for line in service.lines if line["event"] == "workers did not end in time"]
    assert late["workers"] == ["busy"]


@pytest.mark.parametrize(("behaviour", "event"), [("crash", "worker crashed"), ("return", "worker ended by itself")])
def test_a_crash_of_a_worker_ends_the_process(start: Callable[..., Service], behaviour: str, event: str) -> None:
    service = start(behaviour)
    assert service.end() == 1
    (line,) = [line for line in service.lines if line["level"] == "critical"]
    assert (line["event"], line["worker"]) == (event, "busy")
    if behaviour == "crash":
        assert "ValueError: a frame of rtsp://***@h has no size" in line["exception"]
    assert "hunter2" not in json.dumps(service.lines) + service.stderr


def test_what_cannot_start_says_why_in_one_line(start: Callable[..., Service]) -> None:
    service = start("no-model")
    assert service.end() == 1
    assert service.lines[-1]["event"] == "cannot start"
    assert service.lines[-1]["error"] == "The model file x.onnx is missing; run make setup."
    assert "Traceback" not in service.stderr + json.dumps(service.lines)


def test_a_taken_port_is_exit_code_2(start: Callable[..., Service]) -> None:
    port = str(start("busy").started()["http_port"])
    service = start("busy", FORMCHECK_HTTP_PORT=port)
    assert service.end() == 2
    assert "FORMCHECK_HTTP_PORT" in service.lines[-1]["error"]


def test_an_absent_collector_does_not_hold_up_the_end(start: Callable[..., Service]) -> None:
    service = start("busy", FORMCHECK_TRACE_ENDPOINT="http://127.0.0.1:9", FORMCHECK_TRACE_SHARE="1")
    service.started()
    sent_s = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    assert service.end(20) == 0
    assert time.monotonic() - sent_s < 10
