"""A small service for the tests of the shell: ``python -m tests.support.service_program <behaviour>``.

It works in pieces of 50 ms; when asked to stop it finishes twenty more, as a runner finishes what it has in hand.
"""

import sys
import threading
import time

from services.common.errors import ModelError
from services.common.service import Shell, run_service
from services.common.settings import ServiceSettings
from services.common.telemetry.logs import get_logger
from services.common.types import LOCAL_STREAM

log = get_logger("tests.support.service_program")


def wire(shell: Shell[ServiceSettings]) -> None:
    behaviour = sys.argv[1]
    done = [0]
    if behaviour == "no-model":
        raise ModelError("The model file x.onnx is missing; run make setup.")

    def busy(stop: threading.Event) -> None:
        while not stop.is_set():
            with shell.tracing.frame(LOCAL_STREAM, done[0], time_s=done[0] / 20):
                time.sleep(0.05)
            done[0] += 1
            if behaviour == "crash" and done[0] == 5:
                raise ValueError("a frame of rtsp://a:hunter2@h has no size")
            if behaviour == "return" and done[0] == 5:
                return
        for _ in range(20):
            time.sleep(0.05)
            done[0] += 1
        if behaviour == "stuck":
            time.sleep(60)
        log.info("handed over", pieces=done[0])

    shell.add_ready("work", lambda: None if done[0] >= 2 else "nothing is done yet")
    shell.add_worker("busy", busy)
    shell.add_close("sink", lambda: log.info("sink closed"))


if __name__ == "__main__":
    run_service("pose", ServiceSettings, wire)
