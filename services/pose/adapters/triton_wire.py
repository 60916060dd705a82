"""What is said between the pose service and Triton: requests, answers, failures, for both clients of ``triton``."""

from collections.abc import Sequence
from dataclasses import dataclass

import grpc  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2  # type: ignore[import-untyped]
from tritonclient.grpc.model_config_pb2 import ModelConfig  # type: ignore[import-untyped]

from services.common.errors import FormcheckError, ModelError
from services.common.types import F32
from services.pose.adapters.calls import LateError, NotServedError, UnavailableError
from services.pose.core.profiles import Network

INPUT = "crops"
CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A server that is gone is looked for again soon, and often: it is on the same host or in the next rack.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2000),  # how long one attempt may take
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A connection whose other end vanished without a word is noticed while calls wait.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True, slots=True)
class Served:
    """A network as the server describes it. ``outputs``: name and shape without the batch, in order."""

    name: str
    batch_max: int
    outputs: tuple[tuple[str, tuple[int, ...]], ...]

    @staticmethod
    def of(config: ModelConfig) -> "Served":
        outputs = tuple((o.name, tuple(o.dims)) for o in config.output)
        return Served(config.name, max(config.max_batch_size, 1), outputs)

    def empty(self) -> tuple[F32, ...]:
        """The outputs of no crops."""
        return tuple(np.zeros((0, *dims), np.float32) for _, dims in self.outputs)


def blank(net: Network) -> NDArray[np.uint8]:
    """One black crop."""
    return np.zeros((1, net.size_px, net.size_px, 3), np.uint8)


def request(model: str, crops: NDArray[np.uint8]) -> service_pb2.ModelInferRequest:
    """One inference of crops (N, S, S, 3)."""
    message = service_pb2.ModelInferRequest(model_name=model)
    message.inputs.add(name=INPUT, datatype="UINT8", shape=crops.shape)
    message.raw_input_contents.append(crops.tobytes())
    return message


def outputs(served: Served, count: int, response: service_pb2.ModelInferResponse) -> tuple[F32, ...]:
    """The outputs (count, ...) in the network's order; read-only views of the answer.

    Raises:
        ModelError: the answer is not what the server announced.
    """
    found = dict(zip((o.name for o in response.outputs), response.raw_output_contents, strict=True))
    try:
        return tuple(np.frombuffer(found[name], np.float32).reshape(count, *dims) for name, dims in served.outputs)
    except (KeyError, ValueError) as e:
        raise ModelError(f"Triton's answer for {served.name} is not what it announced: {e}") from e


def joined(parts: Sequence[tuple[F32, ...]]) -> tuple[F32, ...]:
    """The outputs of several requests as those of one."""
    return parts[0] if len(parts) == 1 else tuple(np.concatenate(output) for output in zip(*parts, strict=True))


_LATER = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
}
_DEAD_NETWORK = "stub process"
"""In what the server says when a network's process died: until it is started again, that is an outage."""


def failure(target: str, model: str, code: grpc.StatusCode, details: str | None) -> FormcheckError:
    """What a failed call means to the caller."""
    said = (details or code.name).strip().replace("\n", " ")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return LateError(f"Triton at {target} did not answer for {model} in time; retry later")
    if code in _LATER or _DEAD_NETWORK in said.lower():
        return UnavailableError(f"Triton at {target} cannot run {model} now ({said}); retry later")
    if code is grpc.StatusCode.NOT_FOUND:
        return NotServedError(
            f"Triton at {target} has no network {model} ({said}): write its model repository for this profile"
        )
    return ModelError(f"Triton at {target} failed on {model}: {code.name}: {said}")
