"""The gRPC server of one service: its servicers, the standard health service, reflection, and a graceful end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

from services.common.errors import ConfigError
from services.common.loop import LoopThread
from services.common.telemetry.logs import get_logger

AddServicers = Callable[["grpc.aio.Server", asyncio.Event], Sequence[str]]
"""Adds servicers to the server and returns their full names (``formcheck.v1.PoseService``). The event is set when the
drain begins: a streaming call that would go on for ever ends then. Runs in the loop's thread."""

_MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_POLL_S: Final = 0.25
_OPTIONS: Final = [
    ("grpc.so_reuseport", 0),  # else a second service on the same port would share its calls unnoticed
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]
_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
log = get_logger(__name__)


class _HealthServicer(health_pb2_grpc.HealthServicer):
    """grpc.health.v1: all names are as ready as the service is. A ``Watch`` ends when the drain begins; that of
    grpcio-health-checking never does, and would use up the whole grace time.
    """

    def __init__(self) -> None:
        self.names: set[str] = {""}
        self._ready = False
        self._draining = False
        self._changed = asyncio.Condition()

    async def publish(self, ready: bool, draining: bool = False) -> None:
        async with self._changed:
            self._draining = self._draining or draining
            self._ready = ready and not self._draining
            self._changed.notify_all()

    def _status(self, name: str) -> int:
        if name not in self.names:
            return _UNKNOWN
        return _SERVING if self._ready else _NOT_SERVING

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        if request.service not in self.names:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service is called '{request.service}'")
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        told: int | None = None
        while True:
            now = self._status(request.service)
            if now != told:
                yield health_pb2.HealthCheckResponse(status=now)
                told = now
            async with self._changed:
                while self._status(request.service) == told:
                    if self._draining:
                        return
                    await self._changed.wait()


class GrpcServer:
    """Runs in the event loop of ``loop``; its methods are called from other threads.

    ``ready`` (asked four times a second) decides between SERVING and NOT_SERVING.
    """

    def __init__(
        self, loop: LoopThread, host: str, port: int, ready: Callable[[], bool], add: Sequence[AddServicers] = ()
    ) -> None:
        self._loop, self._host, self._ready, self._add = loop, host, ready, add
        self.port = port
        self._server: grpc.aio.Server | None = None
        self._health = _HealthServicer()
        self._draining = asyncio.Event()
        self._poll: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Raises ConfigError when the port is taken."""
        self._loop.run(self._start(), 10.0)

    async def _start(self) -> None:
        server = grpc.aio.server(options=_OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
        for add in self._add:
            names.extend(add(server, self._draining))
        self._health.names.update(names)
        await self._health.publish(self._ready())
        reflection.enable_server_reflection(names, server)
        address = f"[{self._host}]" if ":" in self._host else self._host
        try:
            self.port = server.add_insecure_port(f"{address}:{self.port}")
            if self.port == 0:  # how older releases say it
                raise RuntimeError("no port")
        except RuntimeError:
            raise ConfigError(
                f"gRPC cannot listen on {self._host}:{self.port}; choose another with FORMCHECK_GRPC_HOST "
                "and FORMCHECK_GRPC_PORT."
            ) from None
        await server.start()
        self._server = server
        self._poll = asyncio.ensure_future(self._follow())

    async def _follow(self) -> None:
        while True:
            await self._health.publish(self._ready())
            await asyncio.sleep(_POLL_S)

    def drain(self, grace_s: float) -> None:
        """NOT_SERVING at once, no new calls; calls under way get ``grace_s`` and are cancelled then."""
        try:
            self._loop.run(self._drain(grace_s), grace_s + 2.0)
        except TimeoutError:
            log.error("gRPC did not end in time", grace_s=grace_s)

    async def _drain(self, grace_s: float) -> None:
        if self._server is None or self._poll is None:
            return
        self._poll.cancel()
        await self._health.publish(False, draining=True)
        self._draining.set()
        await self._server.stop(grace_s)
        self._server = None
