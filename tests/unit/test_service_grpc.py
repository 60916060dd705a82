"""The gRPC server against a real client: health, reflection, drain."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.common.errors import ConfigError
from services.common.grpc_server import GrpcServer
from services.common.loop import LoopThread

Status = health_pb2.HealthCheckResponse
NAME = "formcheck.test.EchoService"


def _add_echo(server: grpc.aio.Server, draining: asyncio.Event) -> Sequence[str]:
    """Three ways of a call: a slow one, a stream that ends with the drain, a stream that never ends."""

    async def slow(request: bytes, context: Any) -> bytes:
        await asyncio.sleep(0.6)
        return request

    async def polite(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await draining.wait()
        yield b"last"

    async def endless(request: bytes, context: Any) -> AsyncIterator[bytes]:
        while True:
            yield b"again"
            await asyncio.sleep(0.05)

    handlers = {
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "Polite": grpc.unary_stream_rpc_method_handler(polite),
        "Endless": grpc.unary_stream_rpc_method_handler(endless),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))
    return [NAME]


class Running:
    def __init__(self) -> None:
        self.ready = True
        self.loop = LoopThread("test-loop")
        self.server = GrpcServer(self.loop, "127.0.0.1", 0, lambda: self.ready, [_add_echo])
        self.server.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.server.port}")
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def check(self, service: str = "") -> int:
        return int(self.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status)

    def close(self) -> None:
        self.channel.close()
        self.server.drain(0.0)
        self.loop.close()


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running()
    yield running
    running.close()


def _until(what: Any, timeout_s: float = 5.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end_s, "did not come true in time"
        time.sleep(0.02)


def test_health_follows_readiness_for_every_name(running: Running) -> None:
    assert [running.check(n) for n in ("", NAME, "grpc.health.v1.Health")] == [Status.SERVING] * 3
    running.ready = False
    _until(lambda: running.check() == Status.NOT_SERVING)
    assert running.check(NAME) == Status.NOT_SERVING
    with pytest.raises(grpc.RpcError) as caught:
        running.check("formcheck.test.Unknown")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]


def test_watch_tells_changes_and_ends_with_the_drain(running: Running) -> None:
    seen: list[int] = []

    def watch() -> None:
        for answer in running.health.Watch(health_pb2.HealthCheckRequest(service=NAME), timeout=10):
            seen.append(answer.status)

    thread = threading.Thread(target=watch)
    thread.start()
    _until(lambda: seen == [Status.SERVING])
    running.ready = False
    _until(lambda: seen[1:] == [Status.NOT_SERVING])
    running.ready = True
    _until(lambda: seen[2:] == [Status.SERVING])
    start_s = time.monotonic()
    running.server.drain(5.0)
    thread.join(5)
    assert seen[3:] == [Status.NOT_SERVING]
    assert time.monotonic() - start_s < 2.0, "a watcher must not use up the grace time"


def test_reflection_lists_services_and_describes_them(running: Running) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(running.channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
    ]
    listed, described = stub.ServerReflectionInfo(iter(requests), timeout=5)
    names = {s.name for s in listed.list_services_response.service}
    assert names == {NAME, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert described.file_descriptor_response.file_descriptor_proto


def test_the_drain_lets_calls_end_refuses_new_ones_and_cuts_endless_ones(running: Running) -> None:
    slow = running.channel.unary_unary(f"/{NAME}/Slow").future(b"x", timeout=10)
    polite = running.channel.unary_stream(f"/{NAME}/Polite")(b"", timeout=10)
    endless = running.channel.unary_stream(f"/{NAME}/Endless")(b"", timeout=10)
    assert next(polite) == b"first"
    assert next(endless) == b"again"
    start_s = time.monotonic()
    drain = threading.Thread(target=running.server.drain, args=(1.5,))
    drain.start()
    assert slow.result() == b"x"
    assert list(polite) == [b"last"]
    time.sleep(0.1)
    with (
        grpc.insecure_channel(f"127.0.0.1:{running.server.port}") as fresh,
        pytest.raises(grpc.RpcError),
    ):
        fresh.unary_unary(f"/{NAME}/Slow")(b"y", timeout=1)
    with pytest.raises(grpc.RpcError):
        for _ in endless:
            pass
    drain.join(5)
    assert not drain.is_alive()
    assert 1.3 < time.monotonic() - start_s < 4.0, "the endless call had its grace time, no more"


def test_a_taken_port_is_an_error_not_a_shared_one(running: Running) -> None:
    second = GrpcServer(running.loop, "127.0.0.1", running.server.port, lambda: True)
    with pytest.raises(ConfigError, match="FORMCHECK_GRPC_PORT"):
        second.start()


def test_the_loop_runs_work_and_gives_up_in_time() -> None:
    loop = LoopThread("other")

    async def double(value: int) -> int:
        return 2 * value

    assert loop.run(double(4), 1.0) == 8
    with pytest.raises(TimeoutError):
        loop.run(asyncio.sleep(10), 0.05)
    never = loop.submit(asyncio.sleep(10))
    loop.close()
    assert never.cancelled()
    loop.close()
