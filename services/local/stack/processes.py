"""The services' processes: honcho's ``Process`` runs each line of the Procfile, in a session and with a log of its own.

honcho's own manager is not used: it ends everything as soon as one process ends, five seconds after asking. Here one
that ends unasked is started again, and each gets the time that its drain takes.
"""

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from services.common.errors import ConfigError, FormcheckError

ROOT: Final = Path(__file__).resolve().parents[3]
PROCFILE: Final = ROOT / "Procfile"
_STARTED_S: Final = 60.0
_STEADY_S: Final = 60.0
_LOG_BYTES: Final = 32 << 20
"""A longer log is put aside at the next start, in place of the one that was before."""
_PAUSE_FIRST_S: Final = 0.5
_PAUSE_MOST_S: Final = 15.0


def read_procfile(path: Path = PROCFILE) -> dict[str, str]:
    """Service → command.

    Raises:
        ConfigError: it is not there, or honcho is not installed.
    """
    try:
        from honcho.environ import parse_procfile  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigError("The local stack needs honcho; install formcheck with the extra 'stack'.") from None
    try:
        return dict(parse_procfile(path.read_text()).processes)
    except OSError:
        raise ConfigError(f"{path} is missing: the stack is started from a checkout of the repository.") from None


class StackProcess:
    """One process of the stack; it may end and be started again, under the same name, ports and log.

    Args:
        name: as in the Procfile with the replica's number, ``pose.1``.
        command: for the shell; begins with ``exec``, so that the process is the program itself.
        env: added to this process's environment.
        log: what it prints is appended there.
        http_port: of ``/readyz`` and ``/metrics``; 0: it has none.
        say: is told when it ends unasked.
    """

    def __init__(
        self, name: str, command: str, *, env: Mapping[str, str], log: Path, http_port: int = 0, grpc_port: int = 0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.name, self.log = name, log
        self.http_port, self.grpc_port = http_port, grpc_port
        self._command, self._env, self._say = command, dict(env), say
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._pid: int | None = None
        self._exit_code: int | None = None
        self._wanted = False
        self._thread: threading.Thread | None = None
        self._pause_s = _PAUSE_FIRST_S
        self.restarts = 0
        """How often it was started again because it had ended unasked."""

    @property
    def service(self) -> str:
        return self.name.partition(".")[0]

    @property
    def pid(self) -> int:
        """Raises FormcheckError: it does not run."""
        with self._lock:
            if self._pid is None:
                raise FormcheckError(f"{self.name} does not run (exit code {self._exit_code}; log: {self.log}).")
            return self._pid

    @property
    def running(self) -> bool:
        with self._lock:
            return self._pid is not None

    @property
    def exit_code(self) -> int | None:
        """Of its last end: negative = the signal; None: it has not ended yet."""
        return self._exit_code

    def start(self, *, again: bool = False) -> None:
        """Start it; ``again``: and whenever it ends unasked. Returns when it has a process id."""
        if self._thread is not None and not self.running:
            self._thread.join(1.0)  # its end has just been told
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise FormcheckError(f"{self.name} runs already.")
            self._wanted, self._exit_code = True, None
            self._thread = threading.Thread(target=self._run, args=(again,), name=f"run-{self.name}", daemon=True)
            self._thread.start()
            if not self._changed.wait_for(lambda: self._pid is not None or not self._wanted, _STARTED_S):
                raise FormcheckError(f"{self.name} could not be started within {_STARTED_S:.0f} s.")

    def signal(self, number: int) -> None:
        """Send it a signal (SIGSTOP, SIGCONT, SIGTERM, …)."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """``kill -9``, and wait for its end. It is started again only if ``start`` was told so."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        self._await_end(pid, 10.0)

    def ask_to_end(self) -> None:
        """SIGTERM, and no new start; does not wait."""
        with self._lock:
            self._wanted = False
            self._changed.notify_all()
            pid = self._pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)

    def stop(self, timeout_s: float = 15.0) -> int | None:
        """Ask it to end, wait, SIGKILL what is left of its session; the exit code."""
        self.ask_to_end()
        return self.await_stop(time.monotonic() + timeout_s)

    def await_stop(self, deadline_s: float) -> int | None:
        """The second half of ``stop``."""
        with self._lock:
            pid, thread = self._pid, self._thread
        if pid is not None:
            if not self._await_end(pid, deadline_s - time.monotonic()):
                self._say(f"{self.name} does not end; it is killed (log: {self.log})")
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # it and whatever it started
            self._await_end(pid, 10.0)
        if thread is not None:
            thread.join(10.0)
        return self._exit_code

    def log_tail(self, lines: int = 5) -> str:
        """The last lines that it printed."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    # -- its thread ------------------------------------------------------------------------------------------------

    def _run(self, again: bool) -> None:
        while True:
            began_s = time.monotonic()
            self._run_once()
            with self._lock:
                if not (self._wanted and again):
                    self._wanted = False
                    self._changed.notify_all()
                    return
                steady = time.monotonic() - began_s > _STEADY_S
                self._pause_s = _PAUSE_FIRST_S if steady else min(2 * self._pause_s, _PAUSE_MOST_S)
                pause_s = self._pause_s
            self._say(f"{self.name} ended (exit code {self._exit_code}); again in {pause_s:.0f} s (log: {self.log})")
            with self._lock:
                if self._changed.wait_for(lambda: not self._wanted, pause_s):
                    return
            self.restarts += 1

    def _run_once(self) -> None:
        from honcho.process import Process  # type: ignore[import-untyped]

        environment = {
            **os.environ,
            **self._env,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
        }
        # The log is the process's own: nothing is lost or blocked when this process stops reading or dies.
        command = f"exec >>{shlex.quote(str(self.log))} 2>&1 </dev/null; {self._command}"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.rename(self.log.with_suffix(".before.log"))
        Process(command, name=self.name, quiet=True, env=environment, cwd=str(ROOT)).run(_Events(self._told))

    def _told(self, kind: str, data: dict[str, int]) -> None:
        with self._lock:
            if kind == "start":
                self._pid = data["pid"]
                if not self._wanted:  # asked to end before it had begun
                    os.kill(self._pid, signal.SIGTERM)
            elif kind == "stop":
                self._pid, self._exit_code = None, data["returncode"]
            self._changed.notify_all()

    def _await_end(self, pid: int, timeout_s: float) -> bool:
        with self._lock:
            return self._changed.wait_for(lambda: self._pid != pid, max(timeout_s, 0.0))


class _Events:
    """What honcho takes for its queue."""

    def __init__(self, told: Callable[[str, dict[str, int]], None]) -> None:
        self._told = told

    def put(self, message: Any) -> None:
        if message.type != "line":
            self._told(message.type, message.data)
