"""A real Triton for tests: one per test process, started when first asked for."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.common.loop import LoopThread
from services.common.types import F32
from services.local.stack.triton import TritonServer
from services.pose.adapters.calls import AsyncPoseBackend
from services.pose.core.profiles import Profile
from services.pose.model_repository import generate

PROFILES = ("movenet", "movenet-multi", "blazepose")
_SHARED = pytest.StashKey[TritonServer]()


def new_server(folder: Path, profiles: Sequence[str] = ("movenet",)) -> TritonServer:
    """A server of these profiles, not yet started; each network has one thread."""
    generate.write(folder / "models", [Profile.get(name) for name in profiles], threads=1)
    return TritonServer(folder / "models")


def shared_server(config: pytest.Config) -> TritonServer:
    """The one of this test process, ready; ends with it. Who hurts a server takes a new one."""
    if _SHARED not in config.stash:
        folder = Path(tempfile.mkdtemp(prefix="formcheck-triton-"))
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        server = new_server(folder, PROFILES)
        config.add_cleanup(server.stop)
        server.start()
        server.wait_ready()
        config.stash[_SHARED] = server
    return config.stash[_SHARED]


class InOtherThread:
    """An ``AsyncPoseBackend`` in an event loop of its own, as a ``PoseBackend``."""

    def __init__(self, backend: AsyncPoseBackend) -> None:
        self._loop = LoopThread("backend")
        self._backend = backend

    def infer(self, model: str, crops: NDArray[np.uint8]) -> tuple[F32, ...]:
        return self._loop.run(self._backend.infer(model, crops))

    def close(self) -> None:
        self._loop.run(self._backend.close())
        self._loop.close()
