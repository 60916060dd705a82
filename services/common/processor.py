"""The one protocol of every stream processor. A runner (one process, or Kafka) drives it; it cannot tell which."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from services.common.types import StreamKey

In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)


class MarkKind(StrEnum):
    HEARTBEAT = "heartbeat"
    LOST = "lost"
    RESUMED = "resumed"
    EOF = "eof"


@dataclass(frozen=True, slots=True)
class Mark:
    """Keeps a stream's event time moving where there are no items. ``time_s``: nothing earlier will follow."""

    stream: StreamKey
    kind: MarkKind
    time_s: float


class Processor(Protocol[In_contra, Out_co]):
    """Turns one stream's items into outputs, in event time, without I/O, clock or randomness.

    Laws, property-tested for each processor: fed in chunks = fed whole; snapshot → restore = never stopped;
    output time never runs backwards; cutting the input after t changes no output before t - fixed lag.
    """

    def on_item(self, item: In_contra) -> Sequence[Out_co]: ...

    def on_mark(self, mark: Mark) -> Sequence[Out_co]: ...

    def snapshot(self) -> bytes: ...

    def restore(self, state: bytes) -> None: ...
