"""The pose stage in one process: plan, infer, apply, one frame after the other."""

import time
from collections.abc import Sequence

from services.common.processor import Mark
from services.common.types import Frame, PoseFrame
from services.pose.core.processor import Plan, PoseProcessor
from services.pose.core.profiles import Instances, PoseBackend


class LocalPose:
    """Drives a ``PoseProcessor`` with a backend at hand; a ``Processor[Frame, PoseFrame]``.

    The three steps are public, so that a pipeline may do other things while the network runs: ``on_item(frame)`` =
    ``apply(plan, infer(plan))`` of ``plan(frame)``, one after the other, in the order of the frames; ``infer`` may run
    in another thread.
    """

    def __init__(self, processor: PoseProcessor, backend: PoseBackend) -> None:
        self.processor = processor
        self.backend = backend
        self.crops = 0
        """How many crops the networks have seen."""
        self.busy_s = 0.0
        """Time spent in the three steps."""

    def plan(self, frame: Frame) -> Plan:
        """What to look at; changes nothing."""
        started = time.perf_counter()
        plan = self.processor.plan(frame)
        self.busy_s += time.perf_counter() - started
        return plan

    def infer(self, plan: Plan) -> list[Instances]:
        """The people found in each of the plan's regions."""
        started = time.perf_counter()
        outputs = [self.backend.infer(batch.model, batch.crops) for batch in plan.batches]
        self.crops += len(plan.requests)
        results = plan.decode(self.processor.profile, outputs)
        self.busy_s += time.perf_counter() - started
        return results

    def apply(self, plan: Plan, results: Sequence[Instances]) -> list[PoseFrame]:
        """The frame's people."""
        started = time.perf_counter()
        found = self.processor.apply(plan, results)
        self.busy_s += time.perf_counter() - started
        return found

    def on_item(self, item: Frame) -> list[PoseFrame]:
        plan = self.plan(item)
        return self.apply(plan, self.infer(plan))

    def on_mark(self, mark: Mark) -> list[PoseFrame]:
        return self.processor.on_mark(mark)

    def snapshot(self) -> bytes:
        return self.processor.snapshot()

    def restore(self, state: bytes) -> None:
        self.processor.restore(state)
