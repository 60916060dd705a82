"""segment: poses in, repetition events out. ``python -m services.segment.main``."""

from services.common import topics
from services.common.kafka.messages import EXERCISE_HEADER, Headers, header
from services.common.kafka.stage import Stage
from services.common.service import Shell, run_service
from services.common.telemetry.logs import get_logger
from services.common.types import Repetition, StreamKey
from services.segment.adapters.onnx import SHIPPED, OnnxRecurrentNetwork
from services.segment.core.network import EXERCISES
from services.segment.core.processor import SegmentProcessor
from services.segment.settings import SegmentSettings

log = get_logger(__name__)


def wire(shell: Shell[SegmentSettings]) -> None:
    network = OnnxRecurrentNetwork(shell.settings.segment.model or SHIPPED)

    def make(stream: StreamKey) -> SegmentProcessor:
        return SegmentProcessor(network)

    def make_for(stream: StreamKey, headers: Headers) -> SegmentProcessor:
        return SegmentProcessor(network, exercise=_exercise(headers))

    stage = Stage(
        name="segment",
        inputs=(topics.POSES,),
        output=topics.REPETITIONS,
        state=topics.SEGMENT_STATE,
        make=make,
        make_for=make_for,
        publishes=(Repetition,),
        published=shell.metrics.repetition,
    )
    shell.add_stage(stage)


def _exercise(headers: Headers) -> str | None:
    """What the stream's owner said is trained; None: it is to be recognised."""
    told = (header(headers, EXERCISE_HEADER) or b"").decode(errors="replace")
    if told and told not in EXERCISES:
        log.warning("the exercise that the stream names is unknown and will be recognised", exercise=told)
        return None
    return told or None


if __name__ == "__main__":
    run_service("segment", SegmentSettings, wire)
