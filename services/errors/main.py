"""errors: confirmed repetitions in, assessments out. ``python -m services.errors.main``."""

from services.common import topics
from services.common.kafka.stage import Stage
from services.common.service import Shell, run_service
from services.common.types import Assessment, StreamKey
from services.errors.adapters.catalogue import SHIPPED, load_catalogue
from services.errors.core.processor import AssessProcessor
from services.errors.settings import ErrorsSettings


def wire(shell: Shell[ErrorsSettings]) -> None:
    told = shell.settings.errors
    catalogue = load_catalogue(told.exercises or SHIPPED)

    def make(stream: StreamKey) -> AssessProcessor:
        return AssessProcessor(catalogue, told.strictness)

    stage = Stage(
        name="errors",
        inputs=(topics.REPETITIONS,),
        output=topics.ASSESSMENTS,
        state=topics.ERRORS_STATE,
        make=make,
        publishes=(Assessment,),
        published=shell.metrics.assessment,
    )
    shell.add_stage(stage)


if __name__ == "__main__":
    run_service("errors", ErrorsSettings, wire)
