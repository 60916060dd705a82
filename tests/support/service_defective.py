"""A service whose stage refuses every item of streams called ``unlucky``, until it is repaired:
``python -m tests.support.service_defective segment``. All else is the service itself.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services.common.kafka.messages import Headers
from services.common.kafka.stage import Stage, StreamProcessor
from services.common.processor import Mark
from services.common.service import Shell, run_service
from services.common.types import StreamKey

UNLUCKY = "unlucky"


class Defective:
    """Divides by zero before the real processor has seen anything of the item."""

    def __init__(self, real: StreamProcessor) -> None:
        self._real = real

    def on_item(self, item: Any) -> Any:
        return 1 / 0

    def on_mark(self, mark: Mark) -> Any:
        return self._real.on_mark(mark)

    def snapshot(self) -> bytes:
        return self._real.snapshot()

    def restore(self, state: bytes) -> None:
        self._real.restore(state)


def defective(make: Callable[..., StreamProcessor] | None) -> Any:
    if make is None:
        return None

    def made(stream: StreamKey, headers: Headers | None = None) -> StreamProcessor:
        real = make(stream) if headers is None else make(stream, headers)
        return Defective(real) if stream.stream_id == UNLUCKY else real

    return made


class DefectiveShell(Shell[Any]):
    """What a service's ``wire`` gets here."""

    def __init__(self, real: Shell[Any]) -> None:
        self.__dict__ = real.__dict__

    def add_stage(self, stage: Stage) -> None:
        super().add_stage(
            replace(
                stage,
                make=defective(stage.make),
                make_live=defective(stage.make_live),
                make_for=defective(stage.make_for),
            )
        )


if __name__ == "__main__":
    name = sys.argv[1]
    settings = getattr(importlib.import_module(f"services.{name}.settings"), f"{name.title()}Settings")
    wire = importlib.import_module(f"services.{name}.main").wire
    run_service(name, settings, lambda shell: wire(DefectiveShell(shell)))
