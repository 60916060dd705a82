"""``PoseBackend`` on a Triton server: crops go as raw bytes, the server batches them across streams and services.

    backend = AsyncTritonBackend("triton:8001", profile)
    outputs = await backend.infer(network.name, crops, deadline_s=0.5)

Every call has a deadline. A server that is gone, slow or overloaded gives ``UnavailableError``; the connection comes
back by itself. Errors that a retry does not mend are ``ModelError`` and ``ShapeError``, as of every backend.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2  # type: ignore[import-untyped]
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub  # type: ignore[import-untyped]

from services.common.errors import FormcheckError
from services.common.types import F32
from services.pose.adapters import triton_wire as wire
from services.pose.adapters.calls import Call, LateError, UnavailableError, checked
from services.pose.adapters.triton_wire import Served
from services.pose.core.profiles import Profile

__all__ = ["AsyncTritonBackend", "TritonBackend", "UnavailableError"]

FRESH_S = 5.0
"""An answer as old as this still proves that a network runs."""


@dataclass(slots=True)
class _Request:
    """One on its way. ``left_s``: that it may take, asked when it is sent."""

    left_s: Callable[[], float]
    sent_s: float | None = None

    def send(self) -> float:
        """It is sent now; returns the seconds it may take."""
        self.sent_s = time.monotonic()
        return self.left_s()


class _Backend:
    """What both clients have in common.

    Args:
        target: host:port of the server's gRPC.
        profile: whose networks to use; the server must have them.
        deadline_s: of a call, where none is given with it.
        in_flight_max: requests on their way at once; more wait their turn, within their deadlines.
        observe: told of every request when it is over.
    """

    def __init__(
        self,
        target: str,
        profile: Profile,
        *,
        deadline_s: float = 2.0,
        in_flight_max: int = 16,
        observe: Callable[[Call], None] | None = None,
    ) -> None:
        self.target = target
        self._networks = {net.name: net for net in profile.networks}
        self._deadline_s = deadline_s
        self._in_flight_max = in_flight_max
        self._observe = observe
        self._served: dict[str, Served] = {}
        self._answered: dict[str, float] = {}
        self._sending: list[None] = []  # one entry per request: a list counts safely among threads

    @property
    def in_flight(self) -> int:
        """Requests on their way to the server and back."""
        return len(self._sending)

    def _until(self, deadline_s: float | None) -> float:
        return time.monotonic() + (self._deadline_s if deadline_s is None else deadline_s)

    def _left_s(self, model: str, until: float) -> float:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise self._unsent(model)
        return left_s

    def _unsent(self, model: str) -> LateError:
        return LateError(
            f"no request for {model} could be sent to Triton at {self.target} in time "
            f"({self.in_flight} of at most {self._in_flight_max} are on their way); retry later"
        )

    def _failed(self, model: str, e: grpc.RpcError) -> FormcheckError:
        error = wire.failure(self.target, model, e.code(), e.details())
        if isinstance(error, UnavailableError):
            self._served.pop(model, None)  # who comes back may be another
            self._answered.pop(model, None)
        return error

    @contextmanager
    def _asked(self, model: str, crops: int, until: float) -> Generator[_Request]:
        """Around one request: says in our words how it failed, and tells of it when it is over."""
        entered = time.monotonic()
        error: BaseException | None = None
        request = _Request(partial(self._left_s, model, until))
        try:
            yield request
            self._answered[model] = time.monotonic()
        except grpc.RpcError as e:
            error = failed = self._failed(model, e)
            raise failed from None
        except BaseException as e:
            error = e
            raise
        finally:
            now = time.monotonic()
            sent = now if request.sent_s is None else request.sent_s
            if self._observe:
                self._observe(Call(model, crops, sent - entered, now - sent, error))


class AsyncTritonBackend(_Backend):
    """For the pose service: used from one event loop. See ``_Backend`` for what it takes."""

    def __init__(
        self,
        target: str,
        profile: Profile,
        *,
        deadline_s: float = 2.0,
        in_flight_max: int = 16,
        observe: Callable[[Call], None] | None = None,
    ) -> None:
        super().__init__(target, profile, deadline_s=deadline_s, in_flight_max=in_flight_max, observe=observe)
        self._free = asyncio.Semaphore(in_flight_max)
        self._channel: grpc.aio.Channel | None = None

    async def infer(self, model: str, crops: NDArray[np.uint8], *, deadline_s: float | None = None) -> tuple[F32, ...]:
        """crops (N, S, S, 3) uint8 RGB, any N → the network's outputs, each (N, ...), read-only.

        Raises:
            UnavailableError: no answer within ``deadline_s``; the same call may succeed later.
            ModelError, ShapeError: as ``PoseBackend.infer``.
        """
        checked(self._networks, model, crops)
        until = self._until(deadline_s)
        served = self._served.get(model) or await self._ask(model, until)
        if len(crops) == 0:
            return served.empty()
        size = served.batch_max
        if len(crops) <= size:
            return await self._call(served, crops, until)
        calls = (self._call(served, crops[i : i + size], until) for i in range(0, len(crops), size))
        parts = await asyncio.gather(*calls, return_exceptions=True)
        good: list[tuple[F32, ...]] = []
        for part in parts:
            if isinstance(part, BaseException):
                raise part
            good.append(part)
        return wire.joined(good)

    async def check(self, *, deadline_s: float = 1.0) -> None:
        """Returns if every network answers: a live server may have lost one. Asks those that have been silent.

        Raises:
            UnavailableError, ModelError: one does not.
        """
        old = time.monotonic() - FRESH_S
        for name, net in self._networks.items():
            if self._answered.get(name, old) <= old:
                await self.infer(name, wire.blank(net), deadline_s=deadline_s)

    async def ready(self, *, deadline_s: float = 1.0) -> bool:
        """Whether ``check`` is content."""
        try:
            await self.check(deadline_s=deadline_s)
        except FormcheckError:
            return False
        return True

    async def wait_ready(self, timeout_s: float) -> None:
        """Returns when every network answers.

        Raises:
            UnavailableError: not within ``timeout_s``.
            ModelError: the server does not have what the profile needs.
        """
        until = time.monotonic() + timeout_s
        for name, net in self._networks.items():
            while True:
                try:
                    await self.infer(name, wire.blank(net), deadline_s=max(until - time.monotonic(), 0.0))
                    break
                except UnavailableError:
                    if time.monotonic() + 0.1 > until:
                        raise
                    await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Ends the connection; calls on their way fail."""
        if self._channel:
            await self._channel.close()
            self._channel = None

    def _stub(self) -> GRPCInferenceServiceStub:
        if self._channel is None:  # not before: it belongs to the running loop
            self._channel = grpc.aio.insecure_channel(self.target, options=wire.CHANNEL_OPTIONS)
            self._calls = GRPCInferenceServiceStub(self._channel)
        return self._calls

    async def _ask(self, model: str, until: float) -> Served:
        """What the server says of a network."""
        wanted = service_pb2.ModelConfigRequest(name=model)
        try:
            answer = await self._stub().ModelConfig(wanted, timeout=self._left_s(model, until))
        except grpc.RpcError as e:
            raise self._failed(model, e) from None
        self._served[model] = Served.of(answer.config)
        return self._served[model]

    async def _call(self, served: Served, crops: NDArray[np.uint8], until: float) -> tuple[F32, ...]:
        """One request, within the in-flight limit."""
        with self._asked(served.name, len(crops), until) as request:
            async with self._slot(served.name, until):
                message = wire.request(served.name, crops)
                answer = await self._stub().ModelInfer(message, timeout=request.send())
                return wire.outputs(served, len(crops), answer)

    @asynccontextmanager
    async def _slot(self, model: str, until: float) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(until - time.monotonic()):
                await self._free.acquire()
        except TimeoutError:
            raise self._unsent(model) from None
        self._sending.append(None)
        try:
            yield
        finally:
            self._sending.pop()
            self._free.release()


class TritonBackend(_Backend):
    """``PoseBackend`` for threads; may be called from several at once. See ``_Backend`` for what it takes."""

    def __init__(
        self,
        target: str,
        profile: Profile,
        *,
        deadline_s: float = 2.0,
        in_flight_max: int = 16,
        observe: Callable[[Call], None] | None = None,
    ) -> None:
        super().__init__(target, profile, deadline_s=deadline_s, in_flight_max=in_flight_max, observe=observe)
        self._channel = grpc.insecure_channel(target, options=wire.CHANNEL_OPTIONS)
        self._stub = GRPCInferenceServiceStub(self._channel)
        self._free = threading.BoundedSemaphore(in_flight_max)

    def infer(self, model: str, crops: NDArray[np.uint8], *, deadline_s: float | None = None) -> tuple[F32, ...]:
        """As ``AsyncTritonBackend.infer``."""
        checked(self._networks, model, crops)
        until = self._until(deadline_s)
        served = self._served.get(model) or self._ask(model, until)
        size = served.batch_max
        parts = [self._call(served, crops[i : i + size], until) for i in range(0, len(crops), size)]
        return wire.joined(parts) if parts else served.empty()

    def close(self) -> None:
        """Ends the connection; calls on their way fail."""
        self._channel.close()

    def _ask(self, model: str, until: float) -> Served:
        wanted = service_pb2.ModelConfigRequest(name=model)
        try:
            answer = self._stub.ModelConfig(wanted, timeout=self._left_s(model, until))
        except grpc.RpcError as e:
            raise self._failed(model, e) from None
        self._served[model] = Served.of(answer.config)
        return self._served[model]

    def _call(self, served: Served, crops: NDArray[np.uint8], until: float) -> tuple[F32, ...]:
        with self._asked(served.name, len(crops), until) as request, self._slot(served.name, until):
            message = wire.request(served.name, crops)
            return wire.outputs(served, len(crops), self._stub.ModelInfer(message, timeout=request.send()))

    @contextmanager
    def _slot(self, model: str, until: float) -> Generator[None]:
        while not self._free.acquire(timeout=self._left_s(model, until)):
            pass
        self._sending.append(None)
        try:
            yield
        finally:
            self._sending.pop()
            self._free.release()
