"""A service in a process of its own, as tests see it: its log lines, its HTTP answers, its end."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = float(os.environ.get("FORMCHECK_TEST_PATIENCE", "1"))
START_TIMEOUT_S = 120  # importing gRPC takes seconds on a busy machine


class Service:
    """``python -m module arguments``; ``lines`` are its log so far. Ports are free ones."""

    def __init__(self, module: str, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "FORMCHECK_HTTP_PORT": "0", "FORMCHECK_GRPC_PORT": "0", **environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self.stderr = ""
        # Somebody must read, or a service that logs much stands still.
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_log, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read_log(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.stderr = self.process.stderr.read()

    def started(self) -> dict[str, Any]:
        """The log line that says so."""
        found: list[dict[str, Any]] = []

        def said() -> bool:
            found.extend(line for line in list(self.lines) if line["event"] == "started")
            assert found or self.process.poll() is None or self._readers[0].is_alive(), f"never started: {self.lines}"
            return bool(found)

        until(said, START_TIMEOUT_S)
        return found[0]

    def end(self, timeout_s: float = START_TIMEOUT_S) -> int:
        """Waits for it; returns the exit code."""
        self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join(timeout_s)
        return self.process.returncode

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def until(what: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end_s = time.monotonic() + timeout_s * PATIENCE
    while not what():
        assert time.monotonic() < end_s, "did not come true in time"
        time.sleep(0.02)
