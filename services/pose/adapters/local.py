"""The pose stage in one process: plan, infer, apply."""

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from services.common.processor import Mark
from services.common.types import Frame, PoseFrame
from services.pose.core.processor import Plan, PoseProcessor
from services.pose.core.profiles import Instances, PoseBackend

IN_FLIGHT: Final = 2
"""Frames in the network at once: ``PoseProcessor.plan_next`` can tell of one beside the one that is not known yet."""


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
        """Time spent in the three steps, those that ran side by side each counted."""
        self._counting = threading.Lock()

    def plan(self, frame: Frame) -> Plan:
        """What to look at; changes nothing."""
        started = time.perf_counter()
        plan = self.processor.plan(frame)
        self.busy_s += time.perf_counter() - started
        return plan

    def plan_next(self, before: Plan, frame: Frame) -> Plan | None:
        """What to look at in the frame after ``before``, if that can be said already; changes nothing."""
        started = time.perf_counter()
        plan = self.processor.plan_next(before, frame)
        self.busy_s += time.perf_counter() - started
        return plan

    def infer(self, plan: Plan) -> list[Instances]:
        """The people found in each of the plan's regions."""
        started = time.perf_counter()
        outputs = [self.backend.infer(batch.model, batch.crops) for batch in plan.batches]
        results = plan.decode(self.processor.profile, outputs)
        with self._counting:
            self.crops += len(plan.requests)
            self.busy_s += time.perf_counter() - started
        return results

    def apply(self, plan: Plan, results: Sequence[Instances]) -> list[PoseFrame]:
        """The frame's people."""
        started = time.perf_counter()
        found = self.processor.apply(plan, results)
        self.busy_s += time.perf_counter() - started
        return found

    def stream(self, frames: Iterable[Frame]) -> Generator[tuple[Frame, list[PoseFrame]]]:
        """Every frame with its people, in order. Where the next frame can be planned early, two are in the network.

        While the network runs, in threads of its own (it lets go of Python's lock), the caller has the frame before in
        hand. What comes out does not depend on how fast anything runs: a frame is planned when those but one before it
        are applied, or all of them.
        """
        source = iter(frames)
        under_way: deque[tuple[Plan, Future[list[Instances]]]] = deque()
        done: list[tuple[Frame, list[PoseFrame]]] = []
        with ThreadPoolExecutor(IN_FLIGHT, "pose-network") as network:
            waiting = next(source, None)
            while waiting is not None or under_way:
                while waiting is not None and len(under_way) < IN_FLIGHT:
                    plan = self.plan_next(under_way[-1][0], waiting) if under_way else self.plan(waiting)
                    if plan is None:
                        break
                    under_way.append((plan, network.submit(self.infer, plan)))
                    waiting = next(source, None)
                yield from done
                plan, answer = under_way.popleft()
                done = [(plan.frame, self.apply(plan, answer.result()))]
        yield from done

    def on_item(self, item: Frame) -> list[PoseFrame]:
        plan = self.plan(item)
        return self.apply(plan, self.infer(plan))

    def on_mark(self, mark: Mark) -> list[PoseFrame]:
        return self.processor.on_mark(mark)

    def snapshot(self) -> bytes:
        return self.processor.snapshot()

    def restore(self, state: bytes) -> None:
        self.processor.restore(state)
