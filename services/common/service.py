"""Runs one service: logs → telemetry → wiring → health → gRPC → workers, until a signal or a crash; then the drain.

    def wire(shell: Shell[PoseSettings]) -> None:
        ...                       # adapters → processor, from shell.settings
        shell.add_stage(Stage(...))

    if __name__ == "__main__":
        run_service("pose", PoseSettings, wire)

SIGTERM or SIGINT: not ready at once; workers see their ``stop`` event and finish what they have in hand, calls under
way end; after ``FORMCHECK_DRAIN_S`` the process ends in any case. A second signal ends it at once.

Exit codes: 0 drained; 1 a worker crashed, or the drain took too long; 2 settings that cannot be used; 130 forced.
"""

import faulthandler
import importlib.metadata
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from types import FrameType
from typing import Final, Generic, NoReturn, Protocol

from services.common.errors import ConfigError, FormcheckError
from services.common.grpc_server import AddServicers, GrpcServer
from services.common.health import Check, Health, HealthServer
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.runner import Runner
from services.common.kafka.stage import Stage
from services.common.loop import LoopThread
from services.common.settings import EXIT_BAD_SETTINGS, Settings, load_or_exit
from services.common.telemetry.logs import configure_logging, get_logger
from services.common.telemetry.metrics import ServiceMetrics
from services.common.telemetry.tracing import make_tracing

EXIT_CRASH: Final = 1
EXIT_FORCED: Final = 130
STALLED_S: Final = 60.0  # of a runner's loop, whose longest wait is for a broker
_END_S: Final = 1.5  # of the drain's time, for what comes after the workers

Work = Callable[[threading.Event], None]
"""A worker's whole life, in a thread of its own: returns soon after the event is set, with its work handed over. To
return earlier, or to raise, is a crash."""
log = get_logger(__name__)


class Runs(Protocol):
    """What ``services.common.kafka.runner.Runner`` is to the shell."""

    @property
    def alive_s(self) -> float: ...

    def unready(self) -> str | None: ...

    def run(self, stop: threading.Event, /) -> None: ...


@dataclass(frozen=True, slots=True)
class _Ended:
    worker: str
    error: BaseException | None


class Shell(Generic[Settings]):
    """What a service's ``wire`` gets: settings, metrics, tracing, an event loop; and where it puts its parts."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name, self.settings = name, settings
        configure_logging(name, level=settings.log.level, format=settings.log.format)
        self.metrics = ServiceMetrics(name, version=_version())
        self.tracing = make_tracing(name, otlp_endpoint=settings.trace.endpoint, share=settings.trace.share)
        self.health = Health(self.metrics.registry)
        self.metrics.readiness_from(self.health.ready_share)
        self.loop = LoopThread(f"{name}-loop")
        self.stopping = threading.Event()
        self._happened: SimpleQueue[signal.Signals | _Ended] = SimpleQueue()
        self._works: dict[str, Work] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._servicers: list[AddServicers] = []
        self._closers: list[tuple[str, Callable[[], None]]] = []
        self._signals = 0

    def add_ready(self, name: str, check: Check) -> None:
        """The service is ready only while ``check`` gives no reason (see ``health.Check``)."""
        self.health.add_ready(name, check)

    def add_alive(self, name: str, check: Check) -> None:
        """The service should be restarted while ``check`` gives a reason."""
        self.health.add_alive(name, check)

    @property
    def kafka(self) -> KafkaConfig:
        """How the settings say that Kafka is reached."""
        told = self.settings.kafka
        return KafkaConfig(told.bootstrap, told.prefix, told.instance)

    def add_stage(self, stage: Stage) -> None:
        """Drive a stage between its topics."""
        self.add_runner("kafka", Runner(stage, self.kafka, self.metrics, self.tracing.stage))

    def add_runner(self, name: str, runner: Runs) -> None:
        """A worker that says itself whether it is ready, and whose loop must go round."""
        self.add_ready(name, runner.unready)
        self.add_alive(
            f"{name}-loop",
            lambda: f"it has not gone round for {runner.alive_s:.0f} s" if runner.alive_s > STALLED_S else None,
        )
        self.add_worker(name, runner.run)

    def add_worker(self, name: str, work: Work) -> None:
        self._works[name] = work

    def add_grpc(self, add: AddServicers) -> None:
        self._servicers.append(add)

    def add_close(self, name: str, close: Callable[[], None]) -> None:
        """Called after the workers ended, last added first; an error in it is logged."""
        self._closers.append((name, close))

    def run(self) -> int:
        """Blocks until the service has ended; returns the exit code. Only the main thread can call it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        http = HealthServer(self.health, self.settings.http.host, self.settings.http.port)
        grpc = GrpcServer(
            self.loop,
            self.settings.grpc.host,
            self.settings.grpc.port,
            lambda: not self.health.unready(),
            self._servicers,
        )
        http.start()
        grpc.start()
        for name, work in self._works.items():
            self.health.add_alive(name, self._alive_check(name))
            self._threads[name] = threading.Thread(target=self._guard, args=(name, work), name=name, daemon=True)
            self._threads[name].start()
        log.info("started", version=_version(), http_port=http.port, grpc_port=grpc.port, workers=list(self._works))
        code = self._await_end()
        drained = self._drain(grpc)
        http.close()
        return code if drained else EXIT_CRASH

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Runs between two instructions of the main thread: nothing here may take a lock or write through a buffer.
        self._signals += 1
        if self._signals > 1:
            os.write(2, b"formcheck: ended by force, work in hand is lost\n")
            os._exit(EXIT_FORCED)
        self._happened.put(signal.Signals(number))

    def _guard(self, name: str, work: Work) -> None:
        error: BaseException | None = None
        try:
            work(self.stopping)
        except BaseException as caught:
            error = caught
        self._happened.put(_Ended(name, error))

    def _alive_check(self, name: str) -> Check:
        return lambda: None if self._threads[name].is_alive() or self.stopping.is_set() else "its thread has ended"

    def _await_end(self) -> int:
        happened = self._happened.get()
        if isinstance(happened, _Ended):
            self._log_end(happened)
            self.health.stop(f"{happened.worker} crashed")
            return EXIT_CRASH
        self.health.stop(f"{happened.name} came")
        log.info("stopping", signal=happened.name, drain_s=self.settings.drain_s)
        return 0

    def _log_end(self, ended: _Ended) -> None:
        if ended.error is None:
            log.critical("worker ended by itself", worker=ended.worker)
        elif isinstance(ended.error, FormcheckError):
            log.critical("worker crashed", worker=ended.worker, error=str(ended.error))
        else:
            log.critical("worker crashed", worker=ended.worker, exc_info=ended.error)

    def _drain(self, grpc: GrpcServer) -> bool:
        """True when everything ended cleanly within the time."""
        start_s = time.monotonic()
        deadline_s = start_s + max(self.settings.drain_s - _END_S, 0.1)
        last = threading.Timer(max(self.settings.drain_s, _END_S), _give_up)
        last.daemon = True
        last.start()
        self.stopping.set()
        calls = threading.Thread(target=grpc.drain, args=(deadline_s - start_s,), name="grpc-drain", daemon=True)
        calls.start()
        for thread in (*self._threads.values(), calls):
            thread.join(max(deadline_s - time.monotonic(), 0.0))
        late = [name for name, thread in self._threads.items() if thread.is_alive()]
        clean = not late
        while not self._happened.empty():
            happened = self._happened.get()
            if isinstance(happened, _Ended) and happened.error is not None:
                self._log_end(happened)
                clean = False
        if late:
            log.error("workers did not end in time", workers=late, drain_s=self.settings.drain_s)
        self._close(late)
        last.cancel()
        log.info("stopped", clean=clean, took_s=round(time.monotonic() - start_s, 3))
        return clean

    def _close(self, late: list[str]) -> None:
        for name, close in reversed(self._closers if not late else []):  # a late worker may still use them
            try:
                close()
            except Exception:
                log.exception("closing failed", part=name)
        self.loop.close(0.5)
        self.tracing.close(0.7)


def run_service(name: str, kind: type[Settings], wire: Callable[[Shell[Settings]], None]) -> NoReturn:
    """The whole of a service's ``main``: settings from the environment, ``wire``, run, exit."""
    faulthandler.enable()
    settings = load_or_exit(kind)
    shell = Shell(name, settings)
    try:
        wire(shell)
        code = shell.run()
    except FormcheckError as error:
        log.critical("cannot start", error=str(error))
        code = EXIT_BAD_SETTINGS if isinstance(error, ConfigError) else EXIT_CRASH
    except KeyboardInterrupt:
        code = EXIT_FORCED
    except Exception:
        log.critical("cannot start", exc_info=True)
        code = EXIT_CRASH
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a thread that is stuck in native code (a decoder, a socket) must not hold up the end.
    os._exit(code)


def _give_up() -> None:
    log.error("the drain's time is over, ended by force")
    os._exit(EXIT_CRASH)


def _version() -> str:
    try:
        return importlib.metadata.version("formcheck")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
