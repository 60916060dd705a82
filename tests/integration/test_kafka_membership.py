"""A member whose heartbeats have stopped without a word (as kafka-python's can) joins its group again by itself."""

import threading
from contextlib import closing

import pytest

from services.common import topics
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.messages import MESSAGE_HEADER, decode
from services.common.kafka.runner import Runner
from services.common.kafka.stage import Stage
from services.common.processor import Mark, MarkKind
from services.common.types import PoseFrame, StreamKey
from tests.support.kafka import PATIENCE, TopicReader, wait_for, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 * PATIENCE)]

KEY = StreamKey("gym", "camera", "1")


class Same:
    """Gives what it gets."""

    def on_item(self, item: PoseFrame) -> list[PoseFrame]:
        return [item]

    def on_mark(self, mark: Mark) -> list[PoseFrame]:
        return []

    def snapshot(self) -> bytes:
        return b"x"

    def restore(self, state: bytes) -> None: ...


def frame(sequence: int) -> PoseFrame:
    return PoseFrame(KEY, sequence, sequence / 10, 64, 48, ())


def test_a_member_that_has_gone_silent_is_replaced(kafka_config: KafkaConfig, caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(
        "segment", (topics.POSES,), topics.REPETITIONS, topics.SEGMENT_STATE,
        make=lambda stream: Same(), publishes=(PoseFrame,),
    )  # fmt: skip
    runner = Runner(stage, kafka_config)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        wait_for(lambda: runner.unready() is None, 60, "ready")
        write(kafka_config, topics.POSES, [frame(i) for i in range(10)])
        with closing(TopicReader(kafka_config, topics.REPETITIONS)) as reader:
            wait_for(lambda: len(reader.read()) == 10, 30, "the first frames")
            consumer = runner._consumer
            assert consumer is not None
            consumer._coordinator._disable_heartbeat()  # the state stays: it believes to be a member
            wait_for(lambda: runner._consumer is not consumer, 40, "a new member")
            wait_for(lambda: runner.unready() is None, 40, "ready again")
            items = [frame(i) for i in range(10, 20)]
            write(kafka_config, topics.POSES, [*items, Mark(KEY, MarkKind.EOF, 3.0)])
            wait_for(lambda: len(reader.read()) == 21, 40, "the rest and the end")
            records = reader.read_to_end()
    finally:
        runner.stop()
        thread.join(30 * PATIENCE)
    frames = [decode(r) for r in records if r.header(MESSAGE_HEADER) != b"formcheck.v1.Mark"]
    assert [f.sequence for f in frames] == list(range(20)), "each once and in order"
    assert any("taken for dead (no heartbeat was answered" in r.getMessage() for r in caplog.records)
    assert not thread.is_alive()
