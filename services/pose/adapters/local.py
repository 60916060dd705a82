"""The pose stage in one process: plan, infer, apply."""

import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from services.common.processor import Mark
from services.common.types import F32, Frame, PoseFrame
from services.pose.core.processor import Batch, Plan, PoseProcessor
from services.pose.core.profiles import Instances, PoseBackend


class LocalPose:
    """Drives a ``PoseProcessor`` with a backend at hand; a ``Processor[Frame, PoseFrame]``.

    The three steps are public, so that a pipeline may do other things while the network runs: ``on_item(frame)`` =
    ``apply(plan, *infer(plan))`` of ``plan(frame)``, one after the other, in the order of the frames; ``infer`` may run
    in another thread.
    """

    def __init__(self, processor: PoseProcessor, backend: PoseBackend) -> None:
        self.processor = processor
        self.backend = backend
        self.crops = 0
        """How many crops the networks have seen."""
        self.busy_s = 0.0
        """Time spent in the three steps."""
        self._beside: ThreadPoolExecutor | None = None

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

    def infer(self, *plans: Plan) -> list[list[Instances]]:
        """The people found in each of the regions, per plan. Crops of several plans go to the network together."""
        started = time.perf_counter()
        batches = [batch for plan in plans for batch in plan.batches]
        outputs: list[Sequence[F32]] = [()] * len(batches)
        for model in dict.fromkeys(batch.model for batch in batches):
            mine = [i for i, batch in enumerate(batches) if batch.model == model]
            cut = self._cut([batches[i] for i in mine])
            ends = np.cumsum([len(crops) for crops in cut])
            crops = cut[0] if len(mine) == 1 else np.concatenate(cut)
            for i, *parts in zip(
                mine, *(np.split(o, ends[:-1]) for o in self.backend.infer(model, crops)), strict=True
            ):
                outputs[i] = parts
        self.crops += sum(len(plan.requests) for plan in plans)
        results, first = [], 0
        for plan in plans:
            results.append(plan.decode(self.processor.profile, outputs[first : first + len(plan.batches)]))
            first += len(plan.batches)
        self.busy_s += time.perf_counter() - started
        return results

    def _cut(self, batches: Sequence[Batch]) -> list[NDArray[np.uint8]]:
        """Their crops; while a stream runs, those of two frames at the same time (OpenCV lets go of Python's lock)."""
        if self._beside is None:
            return [batch.crops for batch in batches]
        others = [self._beside.submit(lambda b: b.crops, batch) for batch in batches[1:]]
        return [batches[0].crops, *(other.result() for other in others)]

    def apply(self, plan: Plan, results: Sequence[Instances]) -> list[PoseFrame]:
        """The frame's people."""
        started = time.perf_counter()
        found = self.processor.apply(plan, results)
        self.busy_s += time.perf_counter() - started
        return found

    def stream(self, frames: Iterable[Frame]) -> Generator[tuple[Frame, list[PoseFrame]]]:
        """Every frame with its people, in order. Where the next frame can be planned early, the network gets two.

        While the network runs, in a thread of its own (it lets go of Python's lock), the caller has the frames
        before in hand. Not while an answer is read: that is Python, and two threads that both want the lock only hold
        each other up. What comes out does not depend on how fast anything runs.
        """
        source = iter(frames)
        done: list[tuple[Frame, list[PoseFrame]]] = []
        with ThreadPoolExecutor(2, "pose-network") as network, self._in_two(network):
            waiting = next(source, None)
            while waiting is not None:
                plans, following = [self.plan(waiting)], next(source, None)
                beside = self.plan_next(plans[0], following) if following is not None else None
                if beside is not None:
                    plans.append(beside)
                    following = next(source, None)
                answer = network.submit(self.infer, *plans)
                yield from done
                done = [(p.frame, self.apply(p, found)) for p, found in zip(plans, answer.result(), strict=True)]
                waiting = following
        yield from done

    @contextmanager
    def _in_two(self, threads: ThreadPoolExecutor) -> Generator[None]:
        self._beside = threads
        try:
            yield
        finally:
            self._beside = None

    def on_item(self, item: Frame) -> list[PoseFrame]:
        plan = self.plan(item)
        return self.apply(plan, *self.infer(plan))

    def on_mark(self, mark: Mark) -> list[PoseFrame]:
        return self.processor.on_mark(mark)

    def snapshot(self) -> bytes:
        return self.processor.snapshot()

    def restore(self, state: bytes) -> None:
        self.processor.restore(state)
