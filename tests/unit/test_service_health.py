"""Health: what the three paths answer, over a real socket."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from services.common.errors import ConfigError
from services.common.health import Health, HealthServer
from services.common.telemetry.metrics import ServiceMetrics


@pytest.fixture
def health() -> Health:
    metrics = ServiceMetrics("pose")
    health = Health(metrics.registry)
    metrics.readiness_from(health.ready_share)
    return health


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    server = HealthServer(health, "127.0.0.1", 0)
    server.start()
    yield server
    server.close()


def _ask(server: HealthServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()
    finally:
        connection.close()


def test_ready_names_each_check_and_its_reason(health: Health, server: HealthServer) -> None:
    kafka: list[str | None] = ["no partitions are assigned yet"]
    health.add_ready("kafka", lambda: kafka[0])
    health.add_ready("triton", lambda: None)
    status, kind, body = _ask(server, "/readyz")
    assert (status, kind) == (503, "application/json")
    assert json.loads(body) == {
        "ready": False,
        "checks": {"kafka": "no partitions are assigned yet", "triton": "ok"},
    }
    kafka[0] = None
    assert _ask(server, "/readyz")[0] == 200
    assert json.loads(_ask(server, "/readyz")[2])["ready"] is True


def test_a_check_that_fails_itself_is_not_ready(health: Health, server: HealthServer) -> None:
    def broken() -> str | None:
        raise OSError("no route")

    health.add_ready("triton", broken)
    status, _, body = _ask(server, "/readyz")
    assert status == 503
    assert "no route" in json.loads(body)["checks"]["triton"]


def test_stopping_is_not_ready_but_alive(health: Health, server: HealthServer) -> None:
    health.add_ready("kafka", lambda: None)
    health.add_alive("runner", lambda: None)
    health.stop("SIGTERM came")
    status, _, body = _ask(server, "/readyz")
    assert status == 503
    assert json.loads(body)["checks"]["stopping"] == "SIGTERM came"
    assert _ask(server, "/healthz")[0] == 200


def test_a_dead_worker_is_not_alive(health: Health, server: HealthServer) -> None:
    health.add_alive("runner", lambda: "its thread has ended")
    assert _ask(server, "/healthz")[0] == 503


def test_metrics_come_in_the_format_asked_for(health: Health, server: HealthServer) -> None:
    health.add_ready("a", lambda: None)
    health.add_ready("b", lambda: "no")
    status, kind, body = _ask(server, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    assert "formcheck_pose_ready_ratio 0.5" in body
    assert "process_resident_memory_bytes" in body
    _, kind, body = _ask(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_other_paths_and_methods_are_refused(server: HealthServer) -> None:
    assert _ask(server, "/")[0] == 404
    assert _ask(server, "/metrics/../etc")[0] == 404
    assert _ask(server, "/readyz", "POST")[0] == 405
    status, _, body = _ask(server, "/readyz", "HEAD")
    assert (status, body) == (200, "")


def test_a_silent_client_does_not_block_the_others(health: Health, server: HealthServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        answers = []
        asking = [threading.Thread(target=lambda: answers.append(_ask(server, "/healthz")[0])) for _ in range(8)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(5)
        assert answers == [200] * 8


def test_a_taken_port_says_which_setting_to_change(health: Health, server: HealthServer) -> None:
    with pytest.raises(ConfigError, match="FORMCHECK_HTTP_PORT"):
        HealthServer(health, "127.0.0.1", server.port).start()


def test_it_listens_on_loopback_only(server: HealthServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 2):
        pass
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", server.port), 2)


def test_connections_that_linger_do_not_keep_a_successor_from_the_port(health: Health) -> None:
    server = HealthServer(health, "127.0.0.1", 0)
    server.start()
    port = server.port
    with socket.create_connection(("127.0.0.1", port), timeout=5) as caller:
        caller.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        while caller.recv(4096):  # the server closes first: its side stays in TIME_WAIT
            pass
    server.close()
    successor = HealthServer(health, "127.0.0.1", port)
    successor.start()
    assert _ask(successor, "/healthz")[0] == 200
    successor.close()
