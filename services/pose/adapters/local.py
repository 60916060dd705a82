"""The pose stage in one process: plan, infer, apply, one frame after the other."""

from collections.abc import Sequence

from services.common.processor import Mark
from services.common.types import Frame, PoseFrame
from services.pose.core.processor import Plan, PoseProcessor
from services.pose.core.profiles import Instances, PoseBackend


class LocalPose:
    """Drives a ``PoseProcessor`` with a backend at hand; a ``Processor[Frame, PoseFrame]``.

    The three steps are public, so that a pipeline may decode the next picture in another thread meanwhile:
    ``on_item(frame)`` = ``apply(plan, infer(plan))`` of ``plan(frame)``, in one thread, in the order of the frames.
    """

    def __init__(self, processor: PoseProcessor, backend: PoseBackend) -> None:
        self.processor = processor
        self.backend = backend
        self.crops = 0
        """How many crops the networks have seen."""

    def plan(self, frame: Frame) -> Plan:
        """What to look at; changes nothing."""
        return self.processor.plan(frame)

    def infer(self, plan: Plan) -> list[Instances]:
        """The people found in each of the plan's regions."""
        outputs = [self.backend.infer(batch.model, batch.crops) for batch in plan.batches]
        self.crops += len(plan.requests)
        return plan.decode(self.processor.profile, outputs)

    def apply(self, plan: Plan, results: Sequence[Instances]) -> list[PoseFrame]:
        """The frame's people."""
        return self.processor.apply(plan, results)

    def on_item(self, item: Frame) -> list[PoseFrame]:
        plan = self.plan(item)
        return self.apply(plan, self.infer(plan))

    def on_mark(self, mark: Mark) -> list[PoseFrame]:
        return self.processor.on_mark(mark)

    def snapshot(self) -> bytes:
        return self.processor.snapshot()

    def restore(self, state: bytes) -> None:
        self.processor.restore(state)
