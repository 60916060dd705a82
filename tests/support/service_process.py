"""A service in a process of its own, as tests see it: its log lines, its HTTP answers, its end."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
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

    def started(self) -> dict[str, Any]:
        """The log line that says so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == "started":
                return self.lines[-1]
        raise AssertionError(f"never started: {self.lines}")

    def end(self, timeout_s: float = START_TIMEOUT_S) -> int:
        """Waits for it; returns the exit code."""
        out, self.stderr = self.process.communicate(timeout=timeout_s)
        self.lines += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


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
    end_s = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end_s, "did not come true in time"
        time.sleep(0.02)
