"""What all streams of a pose service share: threads that decode and cut, an event loop that infers and tracks.

A frame's way: the runner's thread → a thread of the pool (JPEG, plan, crops) → the event loop (inference; what is found
is applied there) → its future is done, which the runner hears of. Nobody waits for anybody on it.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from services.common.codec import EncodedFrame
from services.common.jpeg import decode_jpeg
from services.common.kafka.stage import SkippedError
from services.common.loop import LoopThread
from services.common.types import F32, Frame, PoseFrame
from services.pose.adapters.availability import Availability
from services.pose.adapters.calls import AsyncPoseBackend, LateError, NotServedError, UnavailableError
from services.pose.core.geometry import Instances
from services.pose.core.processor import Batch, Plan
from services.pose.core.profiles import Profile

UNAVAILABLE: Final = "TRITON_UNAVAILABLE"
SLOW: Final = "TRITON_SLOW"
_PAUSE_S: Final = (0.1, 2.0)
"""Between two tries of a frame that must not be lost: at first, at most."""

Poses = Sequence[PoseFrame]


class Tracked(Protocol):
    """One stream, as the engine sees it. One frame of it is at work at a time."""

    @property
    def live(self) -> bool:
        """Rather leave a frame out than wait."""
        ...

    def plan(self, frame: Frame) -> Plan: ...

    def apply(self, plan: Plan, results: Sequence[Instances], given: EncodedFrame) -> Poses: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one inference may take, s: of a live frame, and of one that is tried again and again."""

    live_s: float = 1.0
    file_s: float = 5.0


class Engine:
    """See the module.

    Args:
        loop: where ``backend`` and ``availability`` live.
        threads: that decode.
        in_flight: is told how many crops are being inferred.
    """

    def __init__(
        self,
        profile: Profile,
        backend: AsyncPoseBackend,
        availability: Availability,
        loop: LoopThread,
        *,
        patience: Patience = Patience(),
        threads: int = 2,
        in_flight: Callable[[int], None] = lambda crops: None,
    ) -> None:
        self.profile, self.availability = profile, availability
        self._backend, self._loop, self._patience = backend, loop, patience
        self._in_flight, self._crops = in_flight, 0
        self._pool = ThreadPoolExecutor(threads, "pose-decode")
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch = loop.submit(availability.watch())

    def work(self, stream: Tracked, given: EncodedFrame) -> "Future[Poses]":
        """Begin a frame. The future fails with InputError (no picture), ModelError (the network refuses the crops), or
        SkippedError (a live frame that would have had to wait)."""
        answer: Future[Poses] = Future()
        self._pool.submit(self._look, stream, given, answer)
        return answer

    def close(self) -> None:
        self._watch.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._loop.run(self._backend.close(), 1.0)

    def _look(self, stream: Tracked, given: EncodedFrame, answer: "Future[Poses]") -> None:
        """In a thread of the pool."""
        try:
            image = decode_jpeg(given.jpeg)
            frame = Frame(given.stream, given.sequence, given.time_s, image, given.cut, given.frozen)
            plan = stream.plan(frame)
            if not plan.requests:
                answer.set_result(stream.apply(plan, [], given))
                return
            for batch in plan.batches:
                _ = batch.crops  # cut here, not in the loop
            self._loop.loop.call_soon_threadsafe(self._begin, stream, plan, given, answer)
        except Exception as error:
            answer.set_exception(error)

    def _begin(self, stream: Tracked, plan: Plan, given: EncodedFrame, answer: "Future[Poses]") -> None:
        task = self._loop.loop.create_task(self._finish(stream, plan, given, answer))
        self._tasks.add(task)  # the loop itself holds it only weakly
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, stream: Tracked, plan: Plan, given: EncodedFrame, answer: "Future[Poses]") -> None:
        try:
            outputs = await self._infer(plan, stream.live)
            answer.set_result(stream.apply(plan, plan.decode(self.profile, outputs), given))
        except Exception as error:
            answer.set_exception(error)
        except asyncio.CancelledError:
            answer.cancel()
            raise

    async def _infer(self, plan: Plan, live: bool) -> list[tuple[F32, ...]]:
        """Raises: SkippedError: it would take too long; ModelError: it cannot be done."""
        deadline_s = self._patience.live_s if live else self._patience.file_s
        pause_s, pause_most_s = _PAUSE_S
        while True:
            if not self.availability.up:
                if live:
                    raise SkippedError(UNAVAILABLE)
                await self.availability.wait()
            try:
                outputs = await self._ask(plan.batches, deadline_s)
            except (UnavailableError, NotServedError) as error:
                self.availability.failed(error)
                if live:
                    raise SkippedError(SLOW if isinstance(error, LateError) else UNAVAILABLE) from error
            else:
                self.availability.answered()
                return outputs
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, pause_most_s)

    async def _ask(self, batches: Sequence[Batch], deadline_s: float) -> list[tuple[F32, ...]]:
        count = sum(len(batch.requests) for batch in batches)
        self._tell(count)
        try:
            if len(batches) == 1:
                return [await self._backend.infer(batches[0].model, batches[0].crops, deadline_s=deadline_s)]
            asked = (self._backend.infer(b.model, b.crops, deadline_s=deadline_s) for b in batches)
            return await asyncio.gather(*asked)
        finally:
            self._tell(-count)

    def _tell(self, more: int) -> None:
        self._crops += more
        self._in_flight(self._crops)
