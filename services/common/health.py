"""``/healthz`` (alive), ``/readyz`` (ready, or why not) and ``/metrics`` of one service.

``Health.respond`` is the whole of it, without a server: ``HealthServer`` serves it from the standard library, and an
ASGI or WSGI application can hand the three paths on to it.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from services.common.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Check = Callable[[], str | None]
"""Says why not, or None when all is well. It only looks at what is known (it is asked at every probe and scrape):
no I/O, no waiting. One that raises counts as not well."""

PATHS: Final = ("/healthz", "/readyz", "/metrics")
_REASONS: Final = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    content_type: str
    body: bytes


class Health:
    """The named checks of one service. Any thread may call it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._alive: dict[str, Check] = {}
        self._ready: dict[str, Check] = {}
        self._stopping: str | None = None

    def add_ready(self, name: str, check: Check) -> None:
        """``/readyz`` fails while ``check`` gives a reason: no traffic should come now."""
        self._ready = {**self._ready, name: check}

    def add_alive(self, name: str, check: Check) -> None:
        """``/healthz`` fails while ``check`` gives a reason: only a restart can help."""
        self._alive = {**self._alive, name: check}

    def stop(self, reason: str) -> None:
        """Not ready from now on, for good."""
        self._stopping = reason

    def unready(self) -> dict[str, str]:
        """Check → reason, of all that are not ready; empty = ready."""
        reasons = _ask(self._ready)
        if self._stopping is not None:
            reasons["stopping"] = self._stopping
        return reasons

    def ready_share(self) -> float:
        """Share of checks that pass, 0 while stopping and 1 only when ready."""
        if self._stopping is not None:
            return 0.0
        return 1.0 - len(_ask(self._ready)) / max(len(self._ready), 1)

    def respond(self, method: str, path: str, accept: str = "") -> Response:
        """The answer to one request; ``accept`` is its Accept header (Prometheus asks for OpenMetrics so)."""
        if path not in PATHS:
            return _text(404, f"Nothing is here; there are {', '.join(PATHS)}.")
        if method not in ("GET", "HEAD"):
            return _text(405, "Only GET and HEAD are answered.")
        if path == "/metrics":
            encode, content_type = choose_encoder(accept)
            return Response(200, content_type, encode(self._registry))
        if path == "/healthz":
            return _report("alive", self._alive, _ask(self._alive))
        return _report("ready", self._ready, self.unready())

    def wsgi(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        answer = self.respond(method, environ.get("PATH_INFO", ""), environ.get("HTTP_ACCEPT", ""))
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        if answer.status == 405:
            headers.append(("Allow", "GET, HEAD"))
        start_response(f"{answer.status} {_REASONS[answer.status]}", headers)
        return [b"" if method == "HEAD" else answer.body]


def _ask(checks: dict[str, Check]) -> dict[str, str]:
    reasons = {}
    for name, check in checks.items():
        try:
            reason = check()
        except Exception as error:
            reason = f"the check itself failed: {type(error).__name__}: {error}"
        if reason is not None:
            reasons[name] = reason
    return reasons


def _report(word: str, checks: dict[str, Check], reasons: dict[str, str]) -> Response:
    names = [*checks, *(n for n in reasons if n not in checks)]
    report = {word: not reasons, "checks": {n: reasons.get(n, "ok") for n in names}}
    return Response(503 if reasons else 200, "application/json", json.dumps(report).encode() + b"\n")


def _text(status: int, text: str) -> Response:
    return Response(status, "text/plain; charset=utf-8", text.encode() + b"\n")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 32

    def server_bind(self) -> None:
        # WSGIServer's own looks up the host's name in DNS, which can take seconds.
        # Connections of a predecessor that was killed linger; they must not keep its successor from the port.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = 5.0  # a client that says nothing does not keep its thread

    def log_message(self, format: str, *args: object) -> None:
        """Probes and scrapes come every second and are not worth a line."""

    def address_string(self) -> str:
        return str(self.client_address[0])


class HealthServer:
    """Serves ``Health`` in threads of its own."""

    def __init__(self, health: Health, host: str, port: int) -> None:
        self._health, self._host, self._wanted_port = health, host, port
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port in use (the one that was found, if 0 was asked for)."""
        return self._server.server_port if self._server is not None else self._wanted_port

    def start(self) -> None:
        """Raises ConfigError when the port is taken."""
        try:
            self._server = make_server(self._host, self._wanted_port, self._health.wsgi, _Server, _Handler)
        except OSError as error:
            raise ConfigError(
                f"Health and metrics cannot listen on {self._host}:{self._wanted_port} ({error.strerror}); "
                "choose another with FORMCHECK_HTTP_HOST and FORMCHECK_HTTP_PORT."
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(2.0)
