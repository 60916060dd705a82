"""Crops for a Triton on the same machine, in memory that both see: they need not go through the connection."""

import contextlib
import mmap
import os
import secrets
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2  # type: ignore[import-untyped]

from services.common.errors import ConfigError
from services.pose.adapters.triton_wire import Place

FOLDER = Path("/dev/shm")


class SharedCrops:
    """``slots`` places of ``slot_bytes``. Only requests live here: an answer that comes after its deadline could
    otherwise overwrite that of the slot's next user; a late *reader* spoils only what nobody waits for.

    Raises:
        ConfigError: this machine has no such memory, or not enough.
    """

    def __init__(self, slots: int, slot_bytes: int) -> None:
        self.name = f"formcheck-crops-{os.getpid()}-{secrets.token_hex(4)}"
        self.size = slots * slot_bytes
        self._slot_bytes = slot_bytes
        self._path = FOLDER / self.name
        try:
            with self._path.open("x+b") as file:
                file.truncate(self.size)
                self._map = mmap.mmap(file.fileno(), self.size)
        except OSError as e:
            raise ConfigError(f"cannot share {self.size / 1e6:.0f} MB of memory with Triton: {e.strerror or e}") from e
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._remove = weakref.finalize(self, self._path.unlink, missing_ok=True)  # also at the process's end

    def registration(self) -> service_pb2.SystemSharedMemoryRegisterRequest:
        """What tells the server of it."""
        return service_pb2.SystemSharedMemoryRegisterRequest(name=self.name, key=f"/{self.name}", byte_size=self.size)

    def put(self, slot: int, crops: NDArray[np.uint8]) -> Place:
        """Copies crops (N, S, S, 3) into a slot."""
        begin = slot * self._slot_bytes
        self._bytes[begin : begin + crops.nbytes].reshape(crops.shape)[:] = crops
        return Place(self.name, begin)

    def close(self) -> None:
        """Gives the memory back; the server keeps what it has mapped until it is told, or ends."""
        self._remove()
        del self._bytes
        with contextlib.suppress(BufferError):
            self._map.close()
