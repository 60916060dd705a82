"""What goes into a transaction of a partition, and what of a partition is read back from Kafka."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.common import codec
from services.common.kafka.lane import Lane
from services.common.kafka.outgoing import Outgoing


@dataclass(slots=True, eq=False)
class Plan:
    """One partition's part of a transaction. ``items``: what the outputs hold.

    ``replay_from`` is committed beside ``offset``, as its metadata.
    """

    offset: int
    replay_from: int
    outputs: list[Outgoing]
    items: list[Any]
    snapshots: list[Outgoing]
    saved: list[Lane]
    forgotten: list[Lane]

    @property
    def metadata(self) -> str:
        return f"replay_from={self.replay_from}"


def replay_from(offset: int, metadata: str | None) -> int:
    """Where to begin reading again after a commit of ``offset`` with this metadata."""
    text = (metadata or "").removeprefix("replay_from=")
    return min(int(text), offset) if text.isdecimal() else offset


@dataclass(frozen=True, slots=True)
class Restored:
    """What Kafka holds of a partition: committed offset (None: never), where to replay from, snapshots by key."""

    committed: int | None = None
    replay_from: int = 0
    snapshots: Mapping[bytes, codec.Snapshot] = field(default_factory=dict)


def state_key(topic: str, key: bytes) -> bytes:
    """Key of a stream's snapshot: a stage may read several topics into one state topic."""
    return topic.encode() + b":" + key
