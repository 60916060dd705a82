"""A process that starts reader processes: it has the libraries loaded already and forks in milliseconds.

Each camera and file is read by a process of its own, so that nothing a camera sends can touch another: not a crash of
a decoder, not memory that it loses, not a call that never returns. A connection that ends takes its process with it.

``python -m services.ingest.adapters.zygote FD``: a Unix socket (SOCK_SEQPACKET) on which JSON messages come, each
with the reader's socket attached: ``{"id": 1, "job": {…}}``, or ``{"kill": 1}``; answers are ``{"id": 1, "pid": 77}``
and ``{"id": 1, "exit": -11}``. It ends, and its readers with it, when the socket is closed.
"""

import contextlib
import ctypes
import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1
_MEMORY_BYTES: Final = 4 << 30
_MOST_BYTES: Final = 128 << 10
_OOM_SCORE: Final = "500"  # when memory is short, a reader goes first, not the service


def main(descriptor: int) -> None:
    control = socket.socket(fileno=descriptor)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads do not survive a fork
    from services.ingest.adapters import reader_process

    reader_process.prepare()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then stops its readers
    woken, wake = socket.socketpair()
    woken.setblocking(False)
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, int] = {}  # pid → id
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    woken.recv(4096)
                _reap(control, children)
            if control in ready and not _serve(control, children, (woken, wake)):
                break
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _serve(control: socket.socket, children: dict[int, int], others: tuple[socket.socket, ...]) -> bool:
    """One request; False = the service is gone."""
    try:
        data, descriptors, _, _ = socket.recv_fds(control, _MOST_BYTES, 1)
    except ConnectionResetError:  # it was killed with something unread
        return False
    if not data:
        return False
    request = json.loads(data)
    if "kill" in request:
        for pid, number in children.items():
            if number == request["kill"]:
                os.kill(pid, signal.SIGKILL)
        return True
    pid = os.fork()
    if pid == 0:
        _child(request["job"], descriptors[0], (control, *others))
    os.close(descriptors[0])
    children[pid] = request["id"]
    _tell(control, {"id": request["id"], "pid": pid})
    return True


def _reap(control: socket.socket, children: dict[int, int]) -> None:
    for pid in list(children):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            _tell(control, {"id": children.pop(pid), "exit": os.waitstatus_to_exitcode(status)})


def _tell(control: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the service is gone; the next read says so
        control.send(json.dumps(message).encode())


def _child(job: dict[str, Any], descriptor: int, inherited: tuple[socket.socket, ...]) -> None:
    """Never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for one in inherited:
            one.close()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
            file.write(_OOM_SCORE)
        from services.ingest.adapters import reader_process

        code = reader_process.run(job, socket.socket(fileno=descriptor))
    except BaseException as error:
        print(f"reader: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]))
