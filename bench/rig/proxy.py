"""A TCP proxy whose connections can be cut, refused and stalled, for faults between services and brokers."""

import asyncio
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16


class CuttingProxy:
    """Listens at each port of ``routes`` (port → port behind it, both of 127.0.0.1), in a thread of its own.

    ``cut``: what is connected is reset, what comes is refused with a reset. ``stall``: connections stand, and not a
    byte passes; new ones are taken and get no answer. ``heal`` ends both.
    """

    def __init__(self, routes: Mapping[int, int]) -> None:
        self._routes = dict(routes)
        self._loop = asyncio.new_event_loop()
        self._cut: set[int] = set()
        self._open: dict[int, set[asyncio.StreamWriter]] = {port: set() for port in routes}
        self._flows: dict[int, asyncio.Event] = {}
        self._servers: list[asyncio.Server] = []
        self.connections = 0
        """Taken so far."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="cutting-proxy", daemon=True)
        self._thread.start()
        self._run(self._listen())

    def cut(self, port: int) -> None:
        self._run(self._set_cut(port))

    def stall(self, port: int) -> None:
        self._run(self._set_flow(port, False))

    def heal(self, port: int) -> None:
        self._cut.discard(port)
        self._run(self._set_flow(port, True))

    def close(self) -> None:
        if self._thread.is_alive():
            self._run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5.0)
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        for port, behind in self._routes.items():
            self._flows[port] = asyncio.Event()
            self._flows[port].set()

            async def taken(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = port, behind: int = behind
            ) -> None:
                with suppress(asyncio.CancelledError):  # the loop ends
                    await self._serve(reader, writer, port, behind)

            self._servers.append(await asyncio.start_server(taken, "127.0.0.1", port))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, behind: int) -> None:
        self.connections += 1
        ours = self._open[port]
        ours.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self._flows[port].wait()
            if port in self._cut:
                return
            back, there = await asyncio.open_connection("127.0.0.1", behind)
            ours.add(there)
            await asyncio.gather(self._pump(reader, there, port), self._pump(back, writer, port))
        except OSError:
            return
        finally:
            for end in filter(None, (writer, there)):
                ours.discard(end)
                _reset(end)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await self._flows[port].wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def _set_cut(self, port: int) -> None:
        self._cut.add(port)
        for writer in list(self._open[port]):
            _reset(writer)

    async def _set_flow(self, port: int, flows: bool) -> None:
        if flows:
            self._flows[port].set()
        else:
            self._flows[port].clear()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for port, writers in self._open.items():
            self._flows[port].set()
            for writer in list(writers):
                _reset(writer)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once, so that the other side gets a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
