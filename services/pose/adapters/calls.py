"""What backends for many streams have in common: the protocol, its errors, what they tell of each request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.common.errors import FormcheckError, ModelError, ShapeError
from services.common.types import F32
from services.pose.core.profiles import Network


class UnavailableError(FormcheckError):
    """The server is not there, too slow or too busy: the same request may succeed later."""


class LateError(UnavailableError):
    """No answer within the deadline."""


class NotServedError(ModelError):
    """The server does not have the network: until somebody gives it to the server."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, for metrics. ``waited_s``: until it was begun, ``took_s``: from then on. ``error``: what it
    raised."""

    model: str
    crops: int
    waited_s: float
    took_s: float
    error: BaseException | None = None


class AsyncPoseBackend(Protocol):
    """``PoseBackend`` for an event loop: many requests at once, put together as the backend likes."""

    async def infer(self, model: str, crops: NDArray[np.uint8], *, deadline_s: float | None = None) -> tuple[F32, ...]:
        """As ``PoseBackend.infer``. Raises besides: UnavailableError: the same call may succeed later."""
        ...

    async def check(self, *, deadline_s: float = 1.0) -> None:
        """Returns if every network answers. Raises: UnavailableError, ModelError: one does not."""
        ...

    async def close(self) -> None: ...


def checked(networks: Mapping[str, Network], model: str, crops: NDArray[np.uint8]) -> None:
    """Raises:
    ModelError, ShapeError: as ``PoseBackend.infer``.
    """
    net = networks.get(model)
    if net is None:
        raise ModelError(f"no pose network {model!r} is served, only {', '.join(networks)}")
    size = net.size_px
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
        raise ShapeError(f"{model} takes crops (N, {size}, {size}, 3) uint8, got {crops.shape} {crops.dtype}")
