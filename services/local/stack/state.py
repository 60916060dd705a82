"""The folder that a local stack keeps its state in: one stack at a time, and what a killed one left is ended.

``stack.json`` says where everything is, for the commands that talk to a running stack.
"""

import contextlib
import fcntl
import json
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from services.common.errors import ConfigError

RUN_VARIABLE: Final = "FORMCHECK_RUN"
"""In the environment of every process of a stack, whoever started it: so none can be left behind unseen."""
_GONE_S: Final = 10.0


def default_folder() -> Path:
    """``FORMCHECK_STATE``, else ``formcheck`` in the user's folder for such things."""
    given = os.environ.get("FORMCHECK_STATE")
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(given) if given else Path(base) / "formcheck"


class StateFolder:
    """Holds the folder for this process until ``close``.

    Raises:
        ConfigError: another process holds it, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.run_id = uuid.uuid4().hex
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] = (self.folder / "lock").open("a+")
        except OSError as error:
            raise ConfigError(
                f"The state folder {folder} cannot be used ({error.strerror}); choose another with --state DIR."
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise ConfigError(
                f"Another stack (process {holder}) uses the state folder {folder}; stop it with Ctrl-C in its terminal "
                f"or kill -INT {holder}, or choose another folder with --state DIR."
            ) from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def end_leftovers(self) -> int:
        """End what an earlier stack of this folder left behind when it was killed; how many processes that were."""
        run_id = (self._read() or {}).get("run_id")
        return end_marked(run_id) if isinstance(run_id, str) else 0

    def write(self, told: dict[str, Any]) -> None:
        """What ``read_stack`` gives to others; appears at once or not at all."""
        part = self.folder / f"stack.{os.getpid()}.part"
        part.write_text(json.dumps({"run_id": self.run_id, **told}, indent=1))
        part.rename(self.folder / "stack.json")

    def close(self) -> None:
        """Nothing runs any more; the folder is for the next one."""
        with contextlib.suppress(OSError):
            (self.folder / "stack.json").unlink(missing_ok=True)
        self._lock.close()

    def _read(self) -> dict[str, Any] | None:
        return read_stack(self.folder)


def read_stack(folder: Path) -> dict[str, Any] | None:
    """Where the parts of the stack in this folder are; None: none runs there (or it was killed, and is half gone)."""
    try:
        told = json.loads((folder / "stack.json").read_text())
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def marked(run_id: str) -> list[int]:
    """Processes of this user with ``RUN_VARIABLE=run_id`` in their environment, but for this one."""
    wanted = f"{RUN_VARIABLE}={run_id}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def end_marked(run_id: str) -> int:
    """SIGKILL to all of them, until none is left; how many there were."""
    seen: set[int] = set()
    _until(lambda: not _kill_all(run_id, seen), _GONE_S)
    return len(seen)


def _kill_all(run_id: str, seen: set[int]) -> bool:
    pids = marked(run_id)
    for pid in pids:
        seen.add(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids)


def _until(done: Callable[[], bool], timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True
