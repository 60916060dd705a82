"""All of formcheck on one machine: a real Kafka, a real Triton, the four services, test cameras, Prometheus.

    with Stack(folder, replicas={"pose": 2}, cameras=4) as stack:      # everything answers; free ports of 127.0.0.1
        stack.kafka.bootstrap, stack.triton.grpc_target, stack.cameras.uris, stack.processes["pose.2"].pid

``formcheck up`` is a thin command on top. Kafka and Triton start side by side, then the services (Procfile, run by
honcho: see ``processes``); at the end the services drain first, while Kafka is still there.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.common.errors import ConfigError, FormcheckError
from services.common.kafka.clients import KafkaConfig
from services.common.topics import DEFAULT_PARTITIONS
from services.local.stack import prometheus, readiness
from services.local.stack.cameras import DEMO, TestCameras
from services.local.stack.kafka import KafkaCluster, earlier_ports
from services.local.stack.ports import HOST, REPLICAS_MAX, SERVICES, PortBook
from services.local.stack.processes import ROOT, StackProcess, read_procfile
from services.local.stack.state import RUN_VARIABLE, StateFolder, end_marked
from services.local.stack.triton import Ports, TritonServer
from services.pose.core.profiles import Profile
from services.pose.model_repository import generate

READY_S: Final = 240.0
"""A machine with other work takes many times the usual 5 s of a service."""
_DRAIN_S: Final = 13.0
"""A service's drain of 10 s, and a little for its end."""
_WATCH_S: Final = 1.0


class Stack:
    """Everything, as child processes of this one; a context manager. Enter = start and wait until all is ready.

    Args:
        folder: Kafka's data, logs, Triton's model repository, ``stack.json``; a stack that was stopped goes on from it.
        brokers: 1, or 3 with replication 3. Ignored with ``kafka``.
        triton: False: the pose service runs its networks itself (onnxruntime).
        cameras: so many test cameras, which loop ``clips``; 0: none (``stack.cameras`` is then None).
        replicas: service → how many; one of each by default, 0 leaves a service out.
        ports: who listens where; default: free ones (a Kafka that is in ``folder`` already keeps its own).
        env: added to the environment of every service (``FORMCHECK_…``).
        service_env: service → added to that service's environment besides.
        files: folders whose video files may be streams; default: the repository's ``assets`` and ``folder/uploads``.
        partitions: of each topic keyed by stream.
        profile: of the pose networks.
        kafka: a cluster that is not started yet and is used instead of one of its own; started and stopped here.
        with_prometheus: scrape all of it (Debian's ``prometheus``).
        again: start what ends unasked again: services, Triton, brokers. Off for tests, which kill on purpose.
        quick: a Kafka that starts faster and runs slower, for tests.
        say: is told of each part that is ready, and of what ends unasked.

    Attributes:
        kafka: the cluster (``kill``, ``restart``, ``pid``), once it is made.
        triton: the server (``kill``, ``start``, ``wait_ready``), or None. cameras: ``TestCameras``, or None.
        processes: "pose.1" → ``StackProcess``.

    Raises:
        ConfigError: (start) Java, Maven or another program is missing, a port is taken, the folder is in use.
        FormcheckError: (start) a part does not become ready; the sentence has the end of its log.
    """

    def __init__(
        self,
        folder: Path,
        *,
        brokers: int = 1,
        triton: bool = True,
        cameras: int = 0,
        clips: Sequence[Path] = (DEMO,),
        replicas: Mapping[str, int] | None = None,
        ports: PortBook | None = None,
        env: Mapping[str, str] | None = None,
        service_env: Mapping[str, Mapping[str, str]] | None = None,
        files: Sequence[Path] | None = None,
        partitions: int = DEFAULT_PARTITIONS,
        profile: str = "movenet",
        kafka: KafkaCluster | None = None,
        with_prometheus: bool = False,
        again: bool = False,
        quick: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        counts = dict.fromkeys(SERVICES, 1) | dict(replicas or {})
        for service, count in counts.items():
            if service not in SERVICES or not 0 <= count <= REPLICAS_MAX:
                raise ConfigError(
                    f"{service}={count} replicas cannot be: there are {', '.join(SERVICES)}, each 0 to {REPLICAS_MAX}."
                )
        self.folder = folder.absolute()
        self.triton: TritonServer | None = None
        self.cameras: TestCameras | None = None
        self.processes: dict[str, StackProcess] = {}
        self.ports = ports or PortBook.free()
        self.files = [f.absolute() for f in files] if files is not None else [ROOT / "assets", self.folder / "uploads"]
        self._brokers, self._with_triton, self._camera_count, self._clips = brokers, triton, cameras, tuple(clips)
        self._counts, self._partitions, self._profile = counts, partitions, Profile.get(profile)
        self._env, self._service_env = dict(env or {}), {k: dict(v) for k, v in (service_env or {}).items()}
        self._kafka, self._own_kafka, self._choosy = kafka, kafka is None, ports is not None
        self._with_prometheus, self._again, self._quick, self._say = with_prometheus, again, quick, say
        self.closing = False
        """It ends, or has ended."""
        self._state: StateFolder | None = None
        self._watching = threading.Event()
        self._watcher: threading.Thread | None = None

    # -- where things are ------------------------------------------------------------------------------------------

    @property
    def kafka(self) -> KafkaCluster:
        """Raises FormcheckError: ``start`` has not made it yet."""
        if self._kafka is None:
            raise FormcheckError("The stack has not been started.")
        return self._kafka

    @property
    def bootstrap(self) -> str:
        """What the services are given as Kafka's address."""
        return self.kafka.client_bootstrap

    def config(self, instance: str = "stack") -> KafkaConfig:
        """For clients of this stack's Kafka (past any proxy)."""
        return KafkaConfig(self.kafka.bootstrap, instance=instance)

    @property
    def logs(self) -> Path:
        """The folder of the processes' logs, ``pose.1.log`` …; Kafka's lie with its data."""
        return self.folder / "logs"

    # -- start and end ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything and wait until it is ready; what was started ends again if anything fails."""
        self._state = StateFolder(self.folder)
        self.closing = False
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        assert self._state is not None
        procfile = read_procfile()
        left = self._state.end_leftovers()
        if left:
            self._say(f"ended {left} processes that a killed stack had left behind")
        prometheus_program = prometheus.program() if self._with_prometheus else None
        self.logs.mkdir(exist_ok=True)
        (self.folder / "uploads").mkdir(exist_ok=True)
        self._make_kafka()
        names = [f"{service}.{i + 1}" for service in SERVICES for i in range(self._counts[service])]
        self.ports.check(self._parts(names))
        self._state.write({"starting": True})
        if self._with_triton:
            self._start_triton()
        with self._told("Kafka", lambda: self.kafka.bootstrap):
            self.kafka.start()
            self.kafka.create_topics(partitions=self._partitions)
        if self.triton is not None:
            with self._told("Triton", lambda: f"gRPC {self.triton.grpc_target if self.triton else ''}"):
                self.triton.wait_ready(READY_S)
        if self._camera_count:
            self._start_cameras()
        for name in names:
            self._make_process(name, procfile)
            self.processes[name].start(again=self._again)
        if prometheus_program is not None:
            self._start_prometheus(prometheus_program)
        for name in names:
            with self._told(name, lambda name=name: f"http://{HOST}:{self.processes[name].http_port}"):  # type: ignore[misc]
                readiness.await_ready(self.processes[name], READY_S)
        self._state.write(self.describe())
        if self._again:
            self._watcher = threading.Thread(target=self._watch, name="stack-watch", daemon=True)
            self._watcher.start()

    def _parts(self, names: Sequence[str]) -> list[str]:
        """Those whose ports must be free now."""
        parts = [f"{name}.{kind}" for name in names for kind in ("http", "grpc")]
        if self._own_kafka:
            parts += [f"kafka.{i + 1}{end}" for i in range(self._brokers) for end in ("", ".controller")]
        if self._with_triton:
            parts += ["triton.grpc", "triton.http", "triton.metrics"]
        parts += ["cameras"] * bool(self._camera_count) + ["prometheus"] * self._with_prometheus
        return parts

    def _make_kafka(self) -> None:
        if self._kafka is not None:
            self._kafka.env |= self._marked()
            return
        home = self.folder / "kafka"
        names = [f"kafka.{i + 1}{end}" for i in range(self._brokers) for end in ("", ".controller")]
        before = earlier_ports(home, self._brokers)
        if before and not self._choosy:
            self.ports.taken |= dict(zip(names, before, strict=True))
        wanted = [self.ports.of(name) for name in names]
        if before and before != wanted:
            raise ConfigError(
                f"{home} holds a Kafka that listens at {before[0]}, not at {wanted[0]}: start with the same ports as "
                "before, choose another folder with --state DIR, or remove this one with all that it holds."
            )
        self._kafka = KafkaCluster(home, brokers=self._brokers, ports=wanted, quick=self._quick, env=self._marked())

    def _start_triton(self) -> None:
        repository = self.folder / "triton" / "models"
        repository.parent.mkdir(exist_ok=True)
        generate.write(repository, [self._profile])
        ports = Ports(*(self.ports.of(f"triton.{kind}") for kind in ("grpc", "http", "metrics")))
        self.triton = TritonServer(repository, ports=ports, log=self.logs / "triton.log", env=self._marked())
        self.triton.start()

    def _start_cameras(self) -> None:
        with self._told("cameras", lambda: ", ".join(self.cameras.uris if self.cameras else ())):
            self.cameras = TestCameras(
                self._camera_count, self._clips, port=self.ports.of("cameras"), env=self._marked()
            )

    def _start_prometheus(self, program: Path) -> None:
        port = self.ports.of("prometheus")
        self._write_targets()
        command = prometheus.command(program, self.folder / "prometheus", port)
        made = StackProcess(
            "prometheus", command, env=self._marked(), log=self.logs / "prometheus.log", http_port=port, say=self._say
        )
        self.processes["prometheus"] = made
        made.start(again=self._again)
        with self._told("prometheus", lambda: f"http://{HOST}:{port}"):
            readiness.await_ready(made, READY_S, path="/-/ready")

    def _write_targets(self) -> None:
        targets = {name: p.http_port for name, p in self.processes.items() if name != "prometheus"}
        triton_port = self.ports.of("triton.metrics") if self.triton is not None else None
        prometheus.write_config(self.folder / "prometheus", targets, triton_port)

    def _marked(self) -> dict[str, str]:
        assert self._state is not None
        return {RUN_VARIABLE: self._state.run_id}

    def _make_process(self, name: str, procfile: Mapping[str, str]) -> None:
        service = name.partition(".")[0]
        if service not in procfile:
            raise ConfigError(f"The Procfile has no line for {service}.")
        http, grpc = self.ports.of(f"{name}.http"), self.ports.of(f"{name}.grpc")
        env = {
            **self._marked(),
            "FORMCHECK_STATE": str(self.folder),
            "FORMCHECK_KAFKA_BOOTSTRAP": self.bootstrap,
            "FORMCHECK_KAFKA_PREFIX": "",
            "FORMCHECK_KAFKA_INSTANCE": name,
            "FORMCHECK_HTTP_PORT": str(http),
            "FORMCHECK_GRPC_PORT": str(grpc),
            "FORMCHECK_INGEST_FILE_FOLDERS": ":".join(map(str, self.files)),
            "FORMCHECK_POSE_PROFILE": self._profile.name,
            "FORMCHECK_POSE_BACKEND": "onnx" if self.triton is None else "triton",
        }
        if self.triton is not None:
            env["FORMCHECK_TRITON_URL"] = self.triton.grpc_target
        env |= self._env | self._service_env.get(service, {})
        log = self.logs / f"{name}.log"
        self.processes[name] = StackProcess(
            name, procfile[service], env=env, log=log, http_port=http, grpc_port=grpc, say=self._say
        )

    def close(self) -> None:
        """End everything in order; leaves no process behind. May be called again."""
        self.closing = True
        self._watching.set()
        state = self._state
        if state is None:
            return
        try:
            if self._watcher is not None:
                self._watcher.join(_DRAIN_S)
            self._end_all()
        finally:
            end_marked(state.run_id)
            state.close()
            self._state = None

    def _end_all(self) -> None:
        """The services, which need Kafka for their drain; then everything else side by side."""
        deadline_s = time.monotonic() + _DRAIN_S
        for process in self.processes.values():
            process.ask_to_end()
        for process in self.processes.values():
            process.await_stop(deadline_s)
        enders: list[Callable[[], None]] = [part.stop for part in (self._kafka, self.triton) if part is not None]
        enders += [part.close for part in (self.cameras,) if part is not None]
        threads = [threading.Thread(target=end, name="stack-end") for end in enders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def kill(self) -> None:
        """SIGKILL to every process of the stack at once: for who will not wait for ``close``."""
        if self._state is not None:
            end_marked(self._state.run_id)
        if self.triton is not None:
            self.triton.unlink_shared()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- while it runs ---------------------------------------------------------------------------------------------

    def process(self, name: str) -> StackProcess:
        """By name; "pose" is "pose.1". Raises FormcheckError: there is none."""
        found = self.processes.get(name) or self.processes.get(f"{name}.1")
        if found is None:
            raise FormcheckError(f"The stack has no process {name}; there are {', '.join(self.processes)}.")
        return found

    def wait_ready(self, name: str, timeout_s: float = READY_S) -> float:
        """Returns when ``/readyz`` of the process says so; the seconds waited.

        Raises: FormcheckError: it ended, or is not ready in time.
        """
        return readiness.await_ready(self.process(name), timeout_s)

    def start_process(self, name: str, timeout_s: float = READY_S) -> float:
        """Start one that was stopped or killed, or a further replica ("pose.2"); seconds until it was ready."""
        if name not in self.processes:
            self._make_process(name, read_procfile())
            if "prometheus" in self.processes:
                self._write_targets()
        process = self.processes[name]
        process.start(again=self._again)
        return self.wait_ready(name, timeout_s)

    def stop_process(self, name: str) -> int | None:
        """SIGTERM, drain; the exit code."""
        return self.process(name).stop(_DRAIN_S)

    def kill_process(self, name: str) -> None:
        """``kill -9``."""
        self.process(name).kill()

    def restart(self, name: str, timeout_s: float = READY_S) -> float:
        """Stop it in order if it runs, start it; seconds from its start until it was ready."""
        self.stop_process(name)
        return self.start_process(self.process(name).name, timeout_s)

    def metrics(self, name: str) -> str:
        """What ``/metrics`` of the process says, as Prometheus text."""
        status, body = readiness.get(self.process(name).http_port, "/metrics")
        if status != 200:
            raise FormcheckError(f"{name} answers {status} to /metrics: {body[:200]}")
        return body

    def describe(self) -> dict[str, object]:
        """Where everything is, for ``stack.json``."""
        return {
            "kafka": self.kafka.bootstrap,
            "triton": None if self.triton is None else self.triton.grpc_target,
            "prometheus": f"http://{HOST}:{self.ports.of('prometheus')}" if "prometheus" in self.processes else None,
            "cameras": self.cameras.uris if self.cameras is not None else [],
            "files": [str(folder) for folder in self.files],
            "processes": {
                name: {"pid": p.pid if p.running else None, "http": p.http_port, "grpc": p.grpc_port, "log": str(p.log)}
                for name, p in self.processes.items()
            },
        }

    def _watch(self) -> None:
        """Start Triton and brokers again when they die; the services' threads do so for these."""
        while not self._watching.wait(_WATCH_S):
            try:
                if self.triton is not None and not self.triton.healthy():
                    self._say(f"Triton or one of its networks died; again (log: {self.triton.log})")
                    self.triton.kill()
                    self.triton.start()
                    self.triton.wait_ready(READY_S)
                for index in range(self.kafka.replication):
                    if not self.kafka.running(index):
                        self._say(f"Kafka's broker {index + 1} died; again (log: {self.kafka.logs[index]})")
                        self.kafka.restart(index)
            except FormcheckError as error:
                if not self._watching.is_set():
                    self._say(str(error))

    def _told(self, part: str, where: Callable[[], str]) -> readiness.Told:
        return readiness.Told(part, where, self._say)
