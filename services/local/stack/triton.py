"""A real Triton on this machine, without containers.

The wheel of ``nvidia-pytriton`` carries the server and its python backend. It is not installed: what is needed of it
is unpacked into the cache, once, and started with this Python's environment.

    with TritonServer(repository) as server:        # free ports of 127.0.0.1; waits until it is ready
        AsyncTritonBackend(server.grpc_target, profile)

``python -m services.local.stack.triton [PROFILE...]`` runs one until it is told to stop, and starts it again if it
(or the process that runs a network) dies: this Triton does not start a dead network again, nor say that it is dead.
"""

import argparse
import atexit
import contextlib
import http.client
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from services.common.errors import ConfigError, FormcheckError
from services.local.stack.triton_files import ensure_server
from services.pose.core.profiles import Profile
from services.pose.model_repository import generate

HOST = "127.0.0.1"
READY_S = 120.0
"""A machine with other work takes much longer than the usual 2–4 s."""
STOP_S = 10.0
SHARED_BYTES = 64 * 1024 * 1024
"""Per network, between the server and its process; pages never touched cost nothing."""
USUAL = (f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}", "/usr/lib64")
"""Where the system's shared libraries are."""
SHARED_MEMORY = Path("/dev/shm")
_SHARED_PREFIX = "formcheck_triton_"


class TritonError(FormcheckError):
    """The server cannot be started, or died."""


@dataclass(frozen=True, slots=True)
class Ports:
    grpc: int
    http: int
    metrics: int

    @staticmethod
    def free() -> "Ports":
        """Three ports of 127.0.0.1 that nobody listens at; below those the kernel gives to outgoing connections."""
        found: list[int] = []
        with contextlib.ExitStack() as held:
            while len(found) < 3:
                port = random.randrange(20_000, 32_000)
                sock = held.enter_context(socket.socket())
                with contextlib.suppress(OSError):
                    sock.bind((HOST, port))
                    found.append(port)
        return Ports(*found)


class TritonServer:
    """A ``tritonserver`` process and the networks' processes below it.

    Args:
        repository: the model repository (``model_repository.generate.write``).
        ports: where to listen on 127.0.0.1; free ones by default. Kept when started again.
        log: where its output goes; default ``triton.log`` beside the repository.
        env: added to its environment.
    """

    def __init__(
        self, repository: Path, *, ports: Ports | None = None, log: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._env = dict(env or {})
        self.repository = repository
        self.ports = ports or Ports.free()
        self.log = log or repository.with_name("triton.log")
        self._process: subprocess.Popen[bytes] | None = None
        self._networks: set[int] = set()
        # The python backend's shared memory; its names tell whose leftovers to remove after a kill.
        self._prefix = f"{_SHARED_PREFIX}{os.getpid()}_{secrets.token_hex(4)}_"

    @property
    def grpc_target(self) -> str:
        return f"{HOST}:{self.ports.grpc}"

    @property
    def metrics_url(self) -> str:
        return f"http://{HOST}:{self.ports.metrics}/metrics"

    @property
    def pid(self) -> int:
        """Of the running server.

        Raises:
            TritonError: there is none.
        """
        if self._process is None:
            raise TritonError("Triton is not running: call start() first")
        return self._process.pid

    def start(self) -> None:
        """Starts it; ``wait_ready`` waits.

        Raises:
            TritonError, ConfigError: something is missing on this machine.
        """
        if self._process is not None:
            raise TritonError(f"Triton runs already, as process {self.pid}")
        home = ensure_server()
        _sweep()
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal is for whoever stops it in order.
            self._process = subprocess.Popen(
                self._command(home),
                env=environment() | self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        atexit.register(self.kill)

    def _command(self, home: Path) -> list[str]:
        return [
            str(home / "bin" / "tritonserver"),
            f"--model-repository={self.repository}",
            f"--backend-directory={home / 'backends'}",
            *(f"--{kind}-address={HOST}" for kind in ("grpc", "http", "metrics")),
            f"--grpc-port={self.ports.grpc}",
            f"--http-port={self.ports.http}",
            f"--metrics-port={self.ports.metrics}",
            "--allow-gpu-metrics=false",
            "--exit-on-error=true",
            f"--exit-timeout-secs={STOP_S - 2:.0f}",
            f"--backend-config=python,shm-region-prefix-name={self._prefix}",
            # Room for whole batches, so that it never has to grow; and networks are loaded one after the other: both
            # growing under load and loading side by side were seen to abort the server (boost's lock_exception).
            f"--backend-config=python,shm-default-byte-size={SHARED_BYTES}",
            "--model-load-thread-count=1",
            "--disable-auto-complete-config",  # else each network is started twice, the first time to be asked
            f"--backend-config=python,stub-timeout-seconds={READY_S:.0f}",
            # Clients ping a silent connection to learn that it is dead; by default that is answered by closing it.
            "--grpc-http2-min-recv-ping-interval-without-data=5000",
        ]

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Returns when every network is loaded.

        Raises:
            TritonError: it died, or is not ready in time; with the last lines of its log that say why.
        """
        until = time.monotonic() + timeout_s
        while not self.ready():
            if self._process is None or self._process.poll() is not None:
                self.kill()
                raise TritonError(f"Triton did not start: {self._trouble()}")
            if time.monotonic() > until:
                raise TritonError(f"Triton was not ready within {timeout_s:.0f} s: {self._trouble()}")
            time.sleep(0.05)
        self._networks = set(_children(self.pid))

    def ready(self) -> bool:
        """Whether it says that it is ready. It does not notice the death of a network's process: ``healthy`` does."""
        connection = http.client.HTTPConnection(HOST, self.ports.http, timeout=2)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def healthy(self) -> bool:
        """Whether the server and every process that was there when it became ready still live."""
        if self._process is None or self._process.poll() is not None:
            return False
        return all(_lives(pid) for pid in self._networks)

    @property
    def networks(self) -> tuple[int, ...]:
        """Process ids below the server, one per network."""
        return tuple(sorted(self._networks))

    def stop(self) -> None:
        """Ends it in order: what is being computed is answered. Does nothing if it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the server and all below it; removes what a killed server leaves in shared memory."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        self._networks = set()
        atexit.unregister(self.kill)
        self.unlink_shared()

    def unlink_shared(self) -> None:
        """Removes what a server that somebody else has killed leaves in shared memory."""
        for left in SHARED_MEMORY.glob(f"{self._prefix}*"):
            left.unlink(missing_ok=True)

    def _trouble(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith(("E", "error", "Error"))] or lines
        return f"{' | '.join(errors[-3:]) or 'it said nothing'} (log: {self.log})"

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def environment() -> dict[str, str]:
    """The server's environment: its networks run in this Python's.

    The backend finds the environment by ``python3`` on PATH, whatever PYTHONPATH says, and needs the same Python's
    shared library.

    Raises:
        ConfigError: this is not Python 3.11, or its shared library is not here.
    """
    if sys.version_info[:2] != (3, 11):
        raise ConfigError(f"Triton's python backend needs Python 3.11, this is {sys.version.split()[0]}")
    library = libpython_folder()
    keep = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    paths = [str(library), os.environ.get("LD_LIBRARY_PATH", "")]
    return keep | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def libpython_folder() -> Path:
    """Where ``libpython3.11.so.1.0`` lies.

    Raises:
        ConfigError: nowhere.
    """
    name = "libpython3.11.so.1.0"
    for folder in (str(sysconfig.get_config_var("LIBDIR")), *USUAL):
        if (Path(folder) / name).is_file():
            return Path(folder)
    raise ConfigError(f"Triton's python backend needs {name}: on Debian, apt-get install libpython3.11")


def _children(pid: int) -> list[int]:
    """Processes started by any thread of ``pid``."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread may end meanwhile
            found += map(int, (task / "children").read_text().split())
    return found


def _sweep() -> None:
    """Remove the shared memory of servers whose owner is no more: killed with them, it could not do so."""
    for left in SHARED_MEMORY.glob(f"{_SHARED_PREFIX}*"):
        owner = left.name.removeprefix(_SHARED_PREFIX).split("_")[0]
        if owner.isdigit() and not _lives(int(owner)):
            left.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def supervise(server: TritonServer, stopped: threading.Event, *, every_s: float = 0.5) -> None:
    """Keeps it running until ``stopped``; starts it again when it or one of its networks dies.

    Raises:
        TritonError: it cannot be started.
    """
    pause_s = 0.5
    while not stopped.is_set():
        server.start()
        server.wait_ready()
        print(f"formcheck: Triton is ready: gRPC {server.grpc_target}, metrics {server.metrics_url}", flush=True)
        began = time.monotonic()
        while server.healthy() and not stopped.wait(every_s):
            pass
        if stopped.is_set():
            break
        server.kill()
        pause_s = 0.5 if time.monotonic() - began > 60 else min(2 * pause_s, 15)
        print(f"formcheck: Triton or one of its networks died; again in {pause_s:.0f} s", file=sys.stderr, flush=True)
        stopped.wait(pause_s)
    server.stop()


def main(arguments: Sequence[str]) -> int:
    """Runs a server until SIGTERM or Ctrl-C; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profiles", nargs="*", default=["movenet"])
    parser.add_argument("--folder", type=Path, help="for the model repository and the log; default: a temporary one")
    parser.add_argument("--grpc-port", type=int, default=8001)
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--metrics-port", type=int, default=8002)
    parser.add_argument("--threads", type=int, default=0, help="per network; 0: one per core")
    parser.add_argument("--fetch-only", action="store_true", help="fetch the server and the networks, start nothing")
    args = parser.parse_args(arguments)
    stopped = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stopped.set())
    folder = args.folder or Path(tempfile.mkdtemp(prefix="formcheck-triton-"))
    try:
        ensure_server()
        folder.mkdir(parents=True, exist_ok=True)
        generate.write(folder / "models", [Profile.get(name) for name in args.profiles], threads=args.threads)
        if not args.fetch_only:
            ports = Ports(args.grpc_port, args.http_port, args.metrics_port)
            supervise(TritonServer(folder / "models", ports=ports), stopped)
    except FormcheckError as e:
        print(f"formcheck: {e}", file=sys.stderr)
        return 1
    finally:
        if args.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
