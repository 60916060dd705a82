"""The segment stage behind the shell, wired as a service's ``main`` is: ``python -m tests.support.service_segment``."""

from services.common import topics
from services.common.kafka.clients import KafkaConfig
from services.common.kafka.runner import Runner
from services.common.kafka.stage import Stage
from services.common.service import Shell, run_service
from services.common.types import Repetition, StreamKey
from services.segment.adapters.onnx import SHIPPED, OnnxRecurrentNetwork
from services.segment.core.processor import SegmentProcessor
from services.segment.settings import SegmentSettings


def wire(shell: Shell[SegmentSettings]) -> None:
    settings = shell.settings
    network = OnnxRecurrentNetwork(settings.segment.model or SHIPPED)

    def make(stream: StreamKey) -> SegmentProcessor:
        return SegmentProcessor(network)

    stage = Stage(
        name="segment",
        inputs=(topics.POSES,),
        output=topics.REPETITIONS,
        state=topics.SEGMENT_STATE,
        make=make,
        publishes=(Repetition,),
        published=shell.metrics.repetition,
    )
    kafka = KafkaConfig(settings.kafka.bootstrap, settings.kafka.prefix, settings.kafka.instance)
    shell.add_runner("kafka", Runner(stage, kafka, shell.metrics, shell.tracing.stage))


if __name__ == "__main__":
    run_service("segment", SegmentSettings, wire)
