"""Triton dies, hangs, loses a network: callers are told in time, and all goes on by itself when it is back."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import ConfigError
from services.local.stack import triton as stack
from services.local.stack.triton import Ports, TritonError, TritonServer
from services.pose.adapters.triton import AsyncTritonBackend, TritonBackend, UnavailableError
from services.pose.core.profiles import Profile
from tests.triton_server import new_server

pytestmark = pytest.mark.slow

MOVENET = Profile.get("movenet")
FOLLOW = MOVENET.following.name
CROPS = np.zeros((2, 192, 192, 3), np.uint8)
SHARED = Path("/dev/shm")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with new_server(tmp_path_factory.mktemp("triton")) as server:
        yield server


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def vanish(pid: int, within_s: float = 20.0) -> bool:
    until = time.monotonic() + within_s
    while lives(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not lives(pid)


def test_after_kill_9_and_a_new_start_calls_succeed_again(server: TritonServer) -> None:
    async def run() -> None:
        backend = AsyncTritonBackend(server.grpc_target, MOVENET)
        before = await backend.infer(FOLLOW, CROPS, deadline_s=60)
        assert await backend.ready(deadline_s=60)
        waiting = [asyncio.create_task(backend.infer(FOLLOW, CROPS, deadline_s=60)) for _ in range(8)]
        await asyncio.sleep(0.01)
        os.kill(server.pid, signal.SIGKILL)
        for answer in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(answer, tuple | UnavailableError), answer
        for _ in range(20):  # while it is away every call fails soon, in words
            began = time.monotonic()
            with pytest.raises(UnavailableError, match=r"Triton at 127\.0\.0\.1:\d+ cannot run .*retry later") as e:
                await backend.infer(FOLLOW, CROPS, deadline_s=3)
            assert time.monotonic() - began < 2.5
            assert "\n" not in str(e.value)
        assert not await backend.ready()
        assert not server.healthy()
        server.kill()
        server.start()
        await asyncio.to_thread(server.wait_ready)
        began = time.monotonic()
        await backend.wait_ready(30)
        took_s = time.monotonic() - began
        assert took_s < 10, f"the connection came back only after {took_s:.1f} s"
        after = await backend.infer(FOLLOW, CROPS, deadline_s=60)
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
        assert await backend.ready(deadline_s=60)
        await backend.close()

    asyncio.run(run())


def test_the_threads_client_comes_back_too(server: TritonServer) -> None:
    backend = TritonBackend(server.grpc_target, MOVENET, deadline_s=60)
    backend.infer(FOLLOW, CROPS)
    server.kill()
    with pytest.raises(UnavailableError):
        backend.infer(FOLLOW, CROPS, deadline_s=1)
    server.start()
    server.wait_ready()
    until = time.monotonic() + 10
    while True:
        try:
            assert len(backend.infer(FOLLOW, CROPS, deadline_s=10)[0]) == 2
            break
        except UnavailableError:
            assert time.monotonic() < until, "no connection within 10 s"
            time.sleep(0.05)
    backend.close()


def test_a_server_that_hangs_costs_each_call_its_deadline_and_no_more(server: TritonServer) -> None:
    async def run() -> None:
        backend = AsyncTritonBackend(server.grpc_target, MOVENET)
        await backend.infer(FOLLOW, CROPS, deadline_s=60)
        for _ in range(4):
            os.kill(server.pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                many = (backend.infer(FOLLOW, CROPS, deadline_s=0.3) for _ in range(6))
                found = await asyncio.gather(*many, return_exceptions=True)
                took_s = time.monotonic() - began
            finally:
                os.kill(server.pid, signal.SIGCONT)
            assert all(isinstance(f, UnavailableError) and "in time" in str(f) for f in found), found
            assert 0.25 < took_s < 2
            await backend.wait_ready(30)
        await backend.close()
        assert server.healthy()  # requests that nobody waits for any more must not hurt it

    asyncio.run(run())


def test_a_killed_server_leaves_no_process_and_no_memory(tmp_path: Path) -> None:
    server = new_server(tmp_path)
    server.start()
    server.wait_ready()
    pids = [server.pid, *server.networks]
    assert len(pids) == 1 + len(MOVENET.networks)
    prefix = server._prefix
    assert list(SHARED.glob(f"{prefix}*"))
    server.kill()
    assert all(vanish(pid) for pid in pids)
    assert not list(SHARED.glob(f"{prefix}*"))
    server.stop()  # once more does nothing
    with pytest.raises(TritonError, match="not running"):
        _ = server.pid


def test_the_supervisor_brings_back_a_lost_network_and_stops_in_order(tmp_path: Path) -> None:
    """A dead network is an outage to callers: the server itself never mends it, nor says that it is not ready."""
    ports = Ports.free()
    command = [sys.executable, "-m", "services.local.stack.triton", "movenet", "--folder", str(tmp_path)]
    command += ["--grpc-port", str(ports.grpc), "--http-port", str(ports.http), "--metrics-port", str(ports.metrics)]
    root = Path(__file__).parents[2]
    run = subprocess.Popen([*command, "--threads", "1"], cwd=root, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    backend = TritonBackend(f"127.0.0.1:{ports.grpc}", MOVENET, deadline_s=30)
    try:
        assert f"gRPC 127.0.0.1:{ports.grpc}" in run.stdout.readline()
        backend.infer(FOLLOW, CROPS)
        (server,) = stack._children(run.pid)
        for pid in stack._children(server):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(UnavailableError, match="retry later"):
            backend.infer(FOLLOW, CROPS)
        assert "ready" in run.stdout.readline()
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                backend.infer(FOLLOW, CROPS)
                break
            except UnavailableError:
                time.sleep(0.1)
        backend.infer(FOLLOW, CROPS)
        (server,) = stack._children(run.pid)
        run.send_signal(signal.SIGTERM)
        assert run.wait(20) == 0
        assert not lives(server)
    finally:
        run.kill()
        run.wait()
        run.stdout.close()
        backend.close()


def test_a_broken_network_is_named_when_the_server_starts(tmp_path: Path) -> None:
    server = new_server(tmp_path)
    model = server.repository / FOLLOW / "1" / "model.onnx"
    model.unlink()
    model.write_bytes(b"not a network")
    with pytest.raises(TritonError, match=rf"did not start: .*{FOLLOW}.*log: .*triton\.log") as e, server:
        pass
    assert "\n" not in str(e.value)
    assert not server.healthy()


def test_a_taken_port_is_said(server: TritonServer, tmp_path: Path) -> None:
    other = TritonServer(server.repository, ports=server.ports, log=tmp_path / "other.log")
    other.start()
    deadline = time.monotonic() + 30
    while other._process is not None and other._process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert re.search(r"(?i)address already in use|failed to (bind|start)|port", other.log.read_text())
    other.kill()
    assert server.healthy()


def test_python_without_its_shared_library_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack.sysconfig, "get_config_var", lambda name: f"/nowhere/{name}")
    monkeypatch.setattr(stack, "USUAL", ())
    with pytest.raises(ConfigError, match=r"libpython3\.11\.so\.1\.0.*apt-get install libpython3\.11"):
        stack.libpython_folder()
