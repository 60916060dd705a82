"""Reading the state of partitions while Kafka has troubles of its own."""

from collections.abc import Iterable
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import UnknownBrokerIdError

from services.common.kafka import restore
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.restore import Restorer

TP = TopicPartition("poses.v1", 0)


class _Nobody:
    """A consumer whose group has committed nothing, and a reader of an empty topic."""

    def committed(self, *_: Any, **__: Any) -> None:
        return None

    def assign(self, _: Any) -> None: ...

    def seek_to_beginning(self, *_: Any) -> None: ...

    def poll(self, **_: Any) -> dict[Any, Any]:
        return {}

    def unsubscribe(self) -> None: ...


@pytest.fixture
def leaderless(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The cluster has no leader for as many questions as the list says."""
    left = [3]

    def begin(_: Any, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        left[0] -= 1
        if left[0] >= 0:
            raise UnknownBrokerIdError(-1)
        return dict.fromkeys(partitions, 7)

    def end(_: Any, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    monkeypatch.setattr(restore, "begin_offsets", begin)
    monkeypatch.setattr(restore, "end_offsets", end)
    monkeypatch.setattr(restore, "make_admin", lambda _: object())
    monkeypatch.setattr(restore, "make_consumer", lambda _: _Nobody())
    monkeypatch.setattr(restore, "_PAUSE_S", 0.0)
    return left


def test_a_partition_without_a_leader_is_asked_for_again(leaderless: list[int]) -> None:
    r = Restorer(KafkaConfig("127.0.0.1:9", "", "one"), _Nobody(), "segment-state.v1")
    r.begin([TP])
    for _ in range(3):
        assert r.advance() == {}
        assert r.busy
    assert r.advance() == {}
    done = r.advance()
    assert {tp: (found.committed, found.replay_from) for tp, found in done.items()} == {TP: (None, 7)}
    assert not r.busy


def test_but_not_for_ever(leaderless: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    leaderless[0] = 10**9
    monkeypatch.setattr(restore, "_TROUBLE_S", 0.0)
    r = Restorer(KafkaConfig("127.0.0.1:9", "", "one"), _Nobody(), "segment-state.v1")
    r.begin([TP])
    r.advance()
    with pytest.raises(UnknownBrokerIdError):
        for _ in range(3):
            r.advance()
