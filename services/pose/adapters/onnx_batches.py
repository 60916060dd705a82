"""``AsyncPoseBackend`` on onnxruntime in this process: one worker runs what many streams ask for, together."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.errors import ModelError
from services.common.types import F32
from services.pose.adapters.calls import Call, checked
from services.pose.adapters.onnx import OnnxBackend
from services.pose.core.profiles import PoseBackend, Profile

_TOGETHER: Final = 32
"""Requests in one run at most: those in it wait for each other."""
_ENDED: Final = "the pose network's worker has ended; nothing more can be inferred"


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    model: str
    crops: NDArray[np.uint8]
    answer: "asyncio.Future[tuple[F32, ...]]"
    loop: asyncio.AbstractEventLoop
    at_s: float

    def give(self, outputs: tuple[F32, ...]) -> None:
        self._tell(partial(self.answer.set_result, outputs))

    def fail(self, error: Exception) -> None:
        self._tell(partial(self.answer.set_exception, error))

    def _tell(self, tell: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens
            self.loop.call_soon_threadsafe(lambda: None if self.answer.done() else tell())


class BatchingOnnxBackend:
    """May be asked from several event loops. While one run goes on, what is asked gathers for the next.

    Args:
        threads: as of ``OnnxBackend``, which raises what it raises here.
        observe: told of every run.
        backend: what runs the networks; None: an ``OnnxBackend``.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        threads: int = 1,
        observe: Callable[[Call], None] | None = None,
        backend: PoseBackend | None = None,
    ) -> None:
        self._networks = {net.name: net for net in profile.networks}
        self._backend = backend or OnnxBackend(profile, threads=threads)
        self._observe = observe
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="pose-onnx", daemon=True)
        self._thread.start()

    async def infer(self, model: str, crops: NDArray[np.uint8], *, deadline_s: float | None = None) -> tuple[F32, ...]:
        """As ``PoseBackend.infer``; never late, so ``deadline_s`` means nothing."""
        checked(self._networks, model, crops)
        if self._closed:
            raise ModelError(_ENDED)
        loop = asyncio.get_running_loop()
        asked = _Asked(model, crops, loop.create_future(), loop, time.monotonic())
        self._queue.put(asked)
        return await asked.answer

    async def check(self, *, deadline_s: float = 1.0) -> None:
        """Raises: ModelError: it is closed."""
        if self._closed:
            raise ModelError(_ENDED)

    async def close(self) -> None:
        """What is asked already is still answered."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)

    def _work(self) -> None:
        going_on = True
        while going_on:
            batch = [self._queue.get()]
            with suppress(Empty):
                while len(batch) < _TOGETHER:
                    batch.append(self._queue.get_nowait())
            asked = [a for a in batch if a is not None and not a.answer.cancelled()]
            going_on = None not in batch
            for model in dict.fromkeys(a.model for a in asked):
                self._run(model, [a for a in asked if a.model == model])

    def _run(self, model: str, asked: list[_Asked]) -> None:
        began_s, error = time.monotonic(), None
        crops = asked[0].crops if len(asked) == 1 else np.concatenate([a.crops for a in asked])
        outputs: tuple[F32, ...] = ()
        try:
            outputs = self._backend.infer(model, crops)
        except Exception as caught:
            error = caught
        if self._observe:
            waited_s = began_s - min(a.at_s for a in asked)
            self._observe(Call(model, len(crops), waited_s, time.monotonic() - began_s, error))
        first = 0
        for a in asked:
            if error is None:
                a.give(tuple(o[first : first + len(a.crops)] for o in outputs))
            else:
                a.fail(error)
            first += len(a.crops)
