"""Waiting until a part of the stack answers, and telling so."""

import http.client
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from services.common.errors import FormcheckError
from services.local.stack.ports import HOST
from services.local.stack.processes import StackProcess

_POLL_S = 0.1


def get(port: int, path: str, timeout_s: float = 5.0) -> tuple[int, str]:
    """Status and body of an answer; status 0: nobody answers, and why."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error) or type(error).__name__
    finally:
        connection.close()


def await_ready(process: StackProcess, timeout_s: float, path: str = "/readyz") -> float:
    """Returns when the process says that it is ready; the seconds waited.

    Raises: FormcheckError: it has ended, or is not ready in time; with the reason, or the end of its log.
    """
    began_s = time.monotonic()
    while True:
        status, body = get(process.http_port, path)
        waited_s = time.monotonic() - began_s
        if status == 200:
            return waited_s
        if not process.running and process.exit_code is not None:
            raise FormcheckError(
                f"{process.name} ended with exit code {process.exit_code} instead of becoming ready: "
                f"{process.log_tail(2) or 'it said nothing'} (log: {process.log})"
            )
        if waited_s > timeout_s:
            raise FormcheckError(
                f"{process.name} was not ready within {timeout_s:.0f} s: {' '.join(body.split())[:300]} "
                f"(log: {process.log})"
            )
        time.sleep(_POLL_S)


class Told:
    """A context that says ``part … ready in 3.2 s  where`` when it is left well."""

    def __init__(self, part: str, where: Callable[[], str], say: Callable[[str], None]) -> None:
        self._part, self._where, self._say = part, where, say

    def __enter__(self) -> Self:
        self._began_s = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._say(f"{self._part:12s} ready in {time.monotonic() - self._began_s:5.1f} s  {self._where()}")
