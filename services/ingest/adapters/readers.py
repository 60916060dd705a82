"""Reader processes as the service sees them."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from services.ingest.adapters.jobs import Job
from services.ingest.adapters.wire import Header, Inbox, WireError, pack

_READ_BYTES: Final = 256 << 10
_MOST_UNSENT_BYTES: Final = 64 << 10


class Reader:
    """One reader process: what it says, and what it is told. Never blocks."""

    def __init__(self, number: int, connection: socket.socket, started_s: float) -> None:
        self.number = number
        self.socket = connection
        self.pid: int | None = None
        self.exit_code: int | None = None  # negative = killed by a signal
        self.closed = False
        self.started_s = started_s
        self.heard_s = started_s  # when it last said something, or was seen to run
        self._inbox = Inbox()
        self._outbox = bytearray()
        connection.setblocking(False)

    def receive(self) -> Iterator[tuple[Header, bytes]]:
        """The messages that are there. Raises: WireError: it does not keep to the protocol."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        self.heard_s = time.monotonic()
        yield from self._inbox.feed(data)

    def tell(self, header: Header) -> None:
        """Raises: WireError: it has not listened for long."""
        if self.closed:
            return
        self._outbox += pack(header)
        self.flush()
        if len(self._outbox) > _MOST_UNSENT_BYTES:
            raise WireError("it does not listen")

    def flush(self) -> None:
        if self._outbox and not self.closed:
            with contextlib.suppress(OSError):
                del self._outbox[: self.socket.send(self._outbox)]

    def dismiss(self) -> None:
        """Ask it to end, and hear nothing of it any more. Raises: WireError: as ``tell``."""
        self.tell({"stop": True})
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        self.closed = True
        self.socket.close()


class ReaderFactory:
    """Starts reader processes through a zygote (see there), and starts that anew should it die."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._readers: dict[int, Reader] = {}
        self._last = 0

    @property
    def pid(self) -> int | None:
        """Of the zygote."""
        return self._process.pid if self._process else None

    def fileno(self) -> int | None:
        """Readable when ``poll`` has something to do."""
        return self._control.fileno() if self._control else None

    def open(self) -> None:
        """Start the zygote, if there is none."""
        if self._process is not None and self._process.poll() is None:
            return
        self._drop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "services.ingest.adapters.zygote", str(theirs.fileno())]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        theirs.close()
        ours.setblocking(False)
        self._control = ours

    def start(self, job: Job) -> Reader:
        """Raises: OSError: no process can be started now."""
        self.open()
        assert self._control is not None
        ours, theirs = socket.socketpair()
        self._last += 1
        request = json.dumps({"id": self._last, "job": job.to_json()}).encode()
        try:
            socket.send_fds(self._control, [request], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        reader = Reader(self._last, ours, time.monotonic())
        self._readers[reader.number] = reader
        return reader

    def kill(self, reader: Reader) -> None:
        """At once; its exit is told by ``poll`` as any other."""
        if self._control is not None and reader.number in self._readers:
            with contextlib.suppress(OSError):
                self._control.send(json.dumps({"kill": reader.number}).encode())

    def poll(self) -> None:
        """Note which readers run and which have ended."""
        while self._control is not None:
            try:
                data = self._control.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._drop()
                return
            message: dict[str, Any] = json.loads(data)
            reader = self._readers.get(message["id"])
            if reader is None:
                continue
            if "pid" in message:
                reader.pid = message["pid"]
                reader.heard_s = time.monotonic()
            else:
                reader.exit_code = message["exit"]
                del self._readers[reader.number]

    def _drop(self) -> None:
        """The zygote is gone, and its readers with it."""
        for reader in self._readers.values():
            reader.exit_code = -9
        self._readers.clear()
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5.0)
            self._process = None

    def close(self) -> None:
        """Ends all readers."""
        self._drop()
