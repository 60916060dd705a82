"""A real Apache Kafka on this machine, without containers: jars from Maven, KRaft, one broker or three.

Everything listens on 127.0.0.1. Needs Java 17 and, the first time, Maven.
"""

import base64
import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.common.errors import ConfigError, FormcheckError
from services.common.kafka.admin import await_brokers, await_in_sync, create_topics
from services.common.topics import DEFAULT_PARTITIONS, TOPICS, Topic

KAFKA_VERSION: Final = "4.3.1"
POM: Final = Path(__file__).resolve().parents[3] / "deploy" / "local" / "kafka" / "pom.xml"
INSTALL: Final = "apt-get install openjdk-17-jre-headless maven"
JAVA_LEAST: Final = 17

_STOP_S: Final = 10.0


def cache_dir() -> Path:
    """Where downloads are kept: ``FORMCHECK_CACHE``, else ``~/.cache/formcheck``."""
    return Path(os.environ.get("FORMCHECK_CACHE") or Path.home() / ".cache" / "formcheck")


def _need(program: str, what: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise ConfigError(f"{what} needs {program}, which is not installed; on Debian: {INSTALL}")
    return found


def _need_java() -> str:
    java = _need("java", "Kafka")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', told)
    if found is not None and int(found.group(1)) < JAVA_LEAST:
        raise ConfigError(
            f"Kafka needs Java {JAVA_LEAST} or later, and {java} is {found.group(1)}; on Debian: {INSTALL}"
        )
    return java


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def ensure_jars() -> Path:
    """The folder of Kafka's jars, fetched by Maven the first time (about 100 MB, checksums verified).

    Raises:
        ConfigError: Maven is not installed. FormcheckError: it could not fetch them.
    """
    folder = cache_dir() / "kafka" / KAFKA_VERSION
    libs = folder / "libs"
    if libs.is_dir():
        return libs
    mvn = _need("mvn", "Fetching Kafka")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock"):
        if libs.is_dir():
            return libs
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            fresh = Path(scratch) / "libs"
            command = [
                mvn, "-B", "-q", "--strict-checksums", "-f", str(POM), "dependency:copy-dependencies",
                "-DincludeScope=runtime", f"-DoutputDirectory={fresh}",
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise FormcheckError(
                    f"Maven could not fetch Kafka {KAFKA_VERSION}: {(done.stdout + done.stderr)[-800:]}"
                )
            fresh.rename(libs)
    return libs


def free_ports(count: int) -> list[int]:
    """``count`` ports of 127.0.0.1 that nobody listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [int(s.getsockname()[1]) for s in sockets]


def _kafka_uuid() -> str:
    """As Kafka writes them: 16 bytes, URL-safe base64 without padding, no leading dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


@dataclass(slots=True)
class _Broker:
    node_id: int
    port: int
    controller_port: int
    folder: Path
    directory_id: str
    front: tuple[int, int] | None = None
    """A third listener's port, and the port at which clients of it are told to call."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"


def earlier_ports(folder: Path, brokers: int) -> list[int]:
    """The ports of the cluster that is already in ``folder`` (each broker's and its controller's); empty: none is.

    Raises:
        ConfigError: it has another number of brokers.
    """
    found = sorted(folder.glob("broker-*/data/meta.properties"))
    if not found:
        return []
    if len(found) != brokers:
        raise ConfigError(
            f"{folder} holds a Kafka with {len(found)} broker{'s' * (len(found) > 1)}, not {brokers}: "
            "keep to that, or remove the folder with all that it holds."
        )
    ports: list[int] = []
    for path in found:
        lines = (path.parents[1] / "server.properties").read_text().splitlines()
        listeners = next(line for line in lines if line.startswith("listeners="))
        ports += [int(part.rsplit(":", 1)[1]) for part in listeners.split(",")[:2]]
    return ports


class KafkaCluster:
    """One broker, or three with replication 3 and min ISR 2, from an empty folder or the one of an earlier run.

    Args:
        folder: properties, data and logs; a cluster that was stopped goes on from it (same ports).
        brokers: 1 or 3.
        ports: for each broker its own and its controller's; default: free ones.
        heap_mb: of each broker.
        quick: start faster, run slower (for tests).
        env: added to the brokers' environment.
        fronts: a port per broker, at which something else listens (a proxy) and hands on to ``behind_fronts``: what
            asks at ``client_bootstrap`` reaches the brokers that way only; they do not talk to each other through it.
    """

    def __init__(
        self, folder: Path, *, brokers: int = 1, ports: Sequence[int] = (), heap_mb: int = 256, quick: bool = False,
        env: Mapping[str, str] | None = None, fronts: Sequence[int] = (),
    ) -> None:  # fmt: skip
        if brokers not in (1, 3):
            raise ConfigError(f"A local Kafka has 1 broker or 3, not {brokers}.")
        self._heap_mb, self._quick = heap_mb, quick
        self.env = dict(env or {})
        ports = earlier_ports(folder, brokers) or ports or free_ports(2 * brokers)
        self._brokers = [
            _Broker(i + 1, ports[2 * i], ports[2 * i + 1], folder / f"broker-{i + 1}", _kafka_uuid())
            for i in range(brokers)
        ]
        if fronts:
            for broker, front, behind in zip(self._brokers, fronts, free_ports(brokers), strict=True):
                broker.front = behind, front
        self._java = _need_java()
        self._libs = ensure_jars()

    @property
    def bootstrap(self) -> str:
        """``host:port`` of every broker, with commas."""
        return ",".join(f"127.0.0.1:{b.port}" for b in self._brokers)

    @property
    def client_bootstrap(self) -> str:
        """Where services should ask: at the fronts, if there are any."""
        fronts = [b.front[1] for b in self._brokers if b.front is not None]
        return ",".join(f"127.0.0.1:{port}" for port in fronts) or self.bootstrap

    @property
    def behind_fronts(self) -> list[int]:
        """The brokers' own ports that the fronts hand on to."""
        return [b.front[0] for b in self._brokers if b.front is not None]

    @property
    def replication(self) -> int:
        return len(self._brokers)

    @property
    def logs(self) -> list[Path]:
        """What each broker prints."""
        return [b.log for b in self._brokers]

    def running(self, index: int) -> bool:
        """Whether the broker ``index`` (from 0) was started and has not ended."""
        process = self._brokers[index].process
        return process is not None and process.poll() is None

    def pid(self, index: int) -> int:
        """Process id of the broker ``index`` (from 0)."""
        process = self._brokers[index].process
        if process is None:
            raise ConfigError(f"Broker {index} does not run.")
        return process.pid

    def start(self, timeout_s: float = 240.0) -> None:
        """Format what is not formatted, start all brokers, wait until they answer.

        Raises:
            FormcheckError: a broker ended or did not answer in time (the end of its log is told).
        """
        self._format()
        for broker in self._brokers:
            self._launch(broker)
        self._await(timeout_s)

    def stop(self) -> None:
        """Shut down cleanly; what does not end within 10 s is killed."""
        running = [b for b in self._brokers if b.process is not None and b.process.poll() is None]
        for broker in running:
            assert broker.process is not None
            broker.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S
        for broker in running:
            assert broker.process is not None
            try:
                broker.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                broker.process.kill()
                broker.process.wait()
        for broker in self._brokers:
            broker.process = None

    def leave_running(self) -> None:
        """Forget the brokers; whoever knows their process ids stops them."""
        for broker in self._brokers:
            if broker.process is not None:
                broker.process.returncode = 0  # else its destructor warns that it still runs
            broker.process = None

    def kill(self, index: int) -> None:
        """``kill -9`` of one broker."""
        process = self._brokers[index].process
        if process is not None:
            process.kill()
            process.wait()
            self._brokers[index].process = None

    def restart(self, index: int, timeout_s: float = 240.0) -> None:
        """Start a killed broker again from its folder and wait until it has caught up."""
        self._launch(self._brokers[index])
        self._await(timeout_s)
        await_in_sync(self.bootstrap, timeout_s=timeout_s)

    def create_topics(
        self, topics: Sequence[Topic] = TOPICS, *, partitions: int = DEFAULT_PARTITIONS, prefix: str = ""
    ) -> None:
        """Create those that are not there yet."""
        create_topics(self.bootstrap, topics, partitions=partitions, replication=self.replication, prefix=prefix)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _java_command(self, *arguments: str, heap_mb: int) -> list[str]:
        options = [f"-Xms{heap_mb // 4}m", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-Xshare:auto", "-Dlog4j2.level=WARN"]
        if self._quick:
            options.append("-XX:TieredStopAtLevel=1")
        return [self._java, *options, "-cp", f"{self._libs}/*", *arguments]

    def _format(self) -> None:
        cluster_id = _kafka_uuid()
        voters = ",".join(f"{b.node_id}@127.0.0.1:{b.controller_port}:{b.directory_id}" for b in self._brokers)
        for broker in self._brokers:
            if (broker.folder / "data" / "meta.properties").exists():
                continue
            broker.folder.mkdir(parents=True, exist_ok=True)
            broker.properties.write_text(self._properties(broker))
            command = self._java_command(
                "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(broker.properties),
                "--initial-controllers", voters, heap_mb=64,
            )  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise FormcheckError(f"Kafka's storage could not be formatted: {(done.stdout + done.stderr)[-800:]}")

    def _properties(self, broker: _Broker) -> str:
        replication = len(self._brokers)
        isr = 2 if replication == 3 else 1
        quorum = ",".join(f"127.0.0.1:{b.controller_port}" for b in self._brokers)
        own = f"PLAINTEXT://127.0.0.1:{broker.port},CONTROLLER://127.0.0.1:{broker.controller_port}"
        listeners = own + (f",CLIENT://127.0.0.1:{broker.front[0]}" if broker.front else "")
        advertised = own + (f",CLIENT://127.0.0.1:{broker.front[1]}" if broker.front else "")
        lines = {
            "process.roles": "broker,controller",
            "node.id": broker.node_id,
            "controller.quorum.bootstrap.servers": quorum,
            "listeners": listeners,
            "advertised.listeners": advertised,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT",
            "log.dirs": broker.folder / "data",
            "default.replication.factor": replication,
            "min.insync.replicas": isr,
            "offsets.topic.replication.factor": replication,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": replication,
            "transaction.state.log.min.isr": isr,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": replication,
            "share.coordinator.state.topic.min.isr": isr,
        } | _COMMON
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def _launch(self, broker: _Broker) -> None:
        command = self._java_command("kafka.Kafka", str(broker.properties), heap_mb=self._heap_mb)
        with broker.log.open("ab") as log:
            broker.process = subprocess.Popen(
                command,
                env=os.environ | self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await(self, timeout_s: float) -> None:
        def dead() -> str | None:
            for broker in self._brokers:
                if broker.process is not None and broker.process.poll() is not None:
                    return f"Broker {broker.node_id} ended at once: {broker.log.read_text()[-800:]}"
            return None

        await_brokers(self.bootstrap, len(self._brokers), timeout_s=timeout_s, gone=dead)


_COMMON: Final[dict[str, object]] = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    # A transaction whose producer was killed blocks readers until it is aborted: look every second.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    # A killed broker is noticed after this. Below the transactions' time-out, so that they outlive it.
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    # Short retention acts only when it is looked for.
    "log.retention.check.interval.ms": 5000,
    "log.cleaner.backoff.ms": 5000,
    # Small: the defaults are for machines that do nothing else.
    "log.cleaner.dedupe.buffer.size": 8 << 20,
    "log.index.size.max.bytes": 1 << 20,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
}
