"""What runs in a reader process: one camera connection or one file, told by a ``Job``."""

import os
import socket
import threading
from typing import Any

import av
import cv2

from services.ingest.adapters.file_reader import FileReader
from services.ingest.adapters.jobs import Job
from services.ingest.adapters.live_reader import LiveReader
from services.ingest.adapters.wire import Link


def prepare() -> None:
    """Once, before the first fork: one thread everywhere, and FFmpeg keeps quiet (what matters comes as an error)."""
    cv2.setNumThreads(1)
    av.logging.set_level(av.logging.PANIC)


def run(job_json: dict[str, Any], connection: socket.socket) -> int:
    """Read until the end, tell how it ended; the exit status."""
    job = Job(**job_json)
    link = Link(connection)
    reader = LiveReader(job, link) if job.live else FileReader(job, link)

    def listen() -> None:
        for message in link.messages():
            reader.command(message)
        os._exit(0)  # the supervisor is gone: nobody is left to read for, even from within a call that hangs

    threading.Thread(target=listen, name="listen", daemon=True).start()
    try:
        end = reader.run()
        link.send({"kind": "end", "outcome": end.outcome.value, "reason": end.reason, "detail": end.detail})
        connection.shutdown(socket.SHUT_WR)
    except OSError:  # the supervisor does not listen any more
        return 0
    return 0
