"""A runner in a process that tests kill: ``python -m tests.support.kafka_worker BOOTSTRAP PREFIX INSTANCE STAGE``."""

import faulthandler
import logging
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from services.common import codec, topics
from services.common.kafka.runner import Runner
from services.common.kafka.stage import Stage
from services.common.processor import Mark
from services.common.types import PoseFrame, Repetition, StreamKey
from tests.support.kafka import config_of


def segment_stage() -> Stage:
    """The real one."""
    from services.segment.adapters.onnx import OnnxRecurrentNetwork
    from services.segment.core.processor import SegmentProcessor

    network = OnnxRecurrentNetwork()
    return Stage(
        "segment", (topics.POSES,), topics.REPETITIONS, topics.SEGMENT_STATE,
        make=lambda stream: SegmentProcessor(network), publishes=(Repetition,),
    )  # fmt: skip


class Elsewhere:
    """Frames in, an empty pose frame out for each, whose width is the number of frames seen: by other threads."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool, self._seen = pool, 0

    def on_item(self, item: codec.EncodedFrame) -> Future[Sequence[PoseFrame]]:
        return self._pool.submit(self._work, item)

    def _work(self, item: codec.EncodedFrame) -> Sequence[PoseFrame]:
        time.sleep(random.random() * 0.02)
        self._seen += 1
        return [PoseFrame(item.stream, item.sequence, item.time_s, self._seen, 1, ())]

    def on_mark(self, mark: Mark) -> Sequence[PoseFrame]:
        return []

    def snapshot(self) -> bytes:
        return str(self._seen).encode()

    def restore(self, state: bytes) -> None:
        self._seen = int(state)


def elsewhere_stage() -> Stage:
    """One that answers with futures, as pose does."""
    pool = ThreadPoolExecutor(4)

    def make(stream: StreamKey) -> Elsewhere:
        return Elsewhere(pool)

    return Stage(
        "pose", (topics.FRAMES_LIVE, topics.FRAMES_FILE), topics.POSES, topics.POSE_STATE,
        make=make, publishes=(PoseFrame,), snapshot_s=0.0, waiting=16,
    )  # fmt: skip


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    faulthandler.register(signal.SIGUSR1)
    logging.getLogger("kafka").setLevel(logging.ERROR)
    bootstrap, prefix, instance, name = sys.argv[1:]
    stage = {"segment": segment_stage, "elsewhere": elsewhere_stage}[name]()
    runner = Runner(stage, config_of(bootstrap, prefix, instance))
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())

    def say_ready() -> None:
        while runner.unready():
            time.sleep(0.02)
        print("ready", flush=True)

    threading.Thread(target=say_ready, daemon=True).start()
    runner.run()


if __name__ == "__main__":
    main()
