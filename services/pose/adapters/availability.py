"""Whether the networks answer: found out once for all streams."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from services.common.errors import FormcheckError
from services.common.telemetry.logs import get_logger
from services.pose.adapters.calls import AsyncPoseBackend, LateError, UnavailableError

AGAIN_S: Final = 0.2
"""Between two looks at a backend that does not answer."""
LOOK_S: Final = 2.0
"""And at one that does: it may go while nobody asks it."""
PROBE_S: Final = 2.0

log = get_logger(__name__)


class Availability:
    """Lives in the event loop; ``unready`` and ``up`` may be asked by any thread.

    Args:
        name: of the backend, for people.
        told: is told when it comes and goes.
    """

    def __init__(self, backend: AsyncPoseBackend, name: str, told: Callable[[bool], None] = lambda up: None) -> None:
        self._backend, self._name, self._told = backend, name, told
        self._reason: str | None = f"{name} has not been asked yet"
        self._since_s: float | None = None  # it is known to be gone
        self._answered_s = 0.0
        self._up = asyncio.Event()
        self._doubt = asyncio.Event()

    @property
    def up(self) -> bool:
        return self._reason is None

    def unready(self) -> str | None:
        """Why nothing can be inferred now; None: it can."""
        return self._reason

    async def wait(self) -> None:
        """Returns when it answers."""
        await self._up.wait()

    def answered(self) -> None:
        self._answered_s = time.monotonic()

    def failed(self, error: FormcheckError) -> None:
        """A request was in vain. Of one that was only late nothing is concluded, but a look is taken."""
        if not isinstance(error, LateError):
            self._gone(error)
        self._doubt.set()

    async def watch(self) -> None:
        """For ever: look whether it is there."""
        while True:
            asked_s = time.monotonic()
            try:
                await self._backend.check(deadline_s=PROBE_S)
            except Exception as error:  # whatever it is, the next look may go better
                busy = isinstance(error, LateError) and self._answered_s > asked_s  # others are answered meanwhile
                if not (self.up and busy):
                    self._gone(error)
            else:
                self._there()
            if self.up:
                self._doubt.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._doubt.wait(), LOOK_S)
            await asyncio.sleep(AGAIN_S)

    def _gone(self, error: Exception) -> None:
        said = isinstance(error, FormcheckError) and not isinstance(error, UnavailableError)
        reason = str(error) if said else f"{self._name} does not answer"
        self._reason = reason
        self._up.clear()
        if self._since_s is None:
            self._since_s = time.monotonic()
            self._told(False)
            log.warning("inference is away: live frames are skipped, files wait", reason=reason, error=str(error))

    def _there(self) -> None:
        if self.up:
            return
        away_s = 0.0 if self._since_s is None else time.monotonic() - self._since_s
        self._reason = self._since_s = None
        self._up.set()
        self._told(True)
        log.info("inference answers", backend=self._name, away_s=round(away_s, 2))
