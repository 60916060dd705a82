"""Two frames at once: the next one planned before this one is known, where that changes nothing."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from services.common.types import Frame, PoseFrame
from services.pose.core.processor import Plan, PoseProcessor, Role
from tests.unit.pose_scene import Actor, Scene
from tests.unit.test_pose_tracking_processor import BLUE, feed, processor, walk


def rolling(p: PoseProcessor, scene: Scene, frames: Iterable[Frame]) -> tuple[list[PoseFrame], int]:
    """As a pipeline does: the next frame is planned early where that is possible; how often it was."""
    out: list[PoseFrame] = []
    waiting, under_way, early = list(frames), list[Plan](), 0
    while waiting or under_way:
        if not under_way:
            under_way.append(p.plan(waiting.pop(0)))
        state = p.snapshot()
        beside = p.plan_next(under_way[0], waiting[0]) if waiting else None
        assert p.snapshot() == state
        if beside is not None:
            assert beside.frame is waiting.pop(0)
            under_way.append(beside)
            early += 1
        plan = under_way.pop(0)
        out += p.apply(plan, scene.answer(plan))
    return out, early


def test_two_frames_at_once_see_what_one_at_a_time_sees() -> None:
    for scene in (
        Scene([Actor(walk(320, 0))]),
        Scene([Actor(walk(100, 150))]),
        Scene([Actor(walk(160, 0)), Actor(walk(480, 0), colour=BLUE)]),
    ):
        singly = feed(processor(), scene, scene.frames(90))
        out, early = rolling(processor(), scene, scene.frames(90))
        assert early > 70
        assert [[q.track_id for q in f.people] for f in out] == [[q.track_id for q in f.people] for f in singly]
        for a, b in zip(out, singly, strict=True):
            for mine, other in zip(a.people, b.people, strict=True):
                assert np.abs(mine.keypoints - other.keypoints).max() < 1


def test_the_next_frame_is_not_planned_early_where_the_answer_could_change_the_plan() -> None:
    walkers = Scene([Actor(walk(120, 100)), Actor(walk(520, -100), colour=BLUE, depth=1.0)])
    gone = Scene([Actor(walk(320, 0, end_s=0.5))])
    cut, slow = Scene([Actor(walk(320, 0))], cuts=frozenset({10})), Scene([Actor(walk(320, 0))], fps=15)
    nobody = Scene([])

    def early(scene: Scene, count: int) -> set[int]:
        p, out = processor(), set()
        frames = list(scene.frames(count))
        for frame, after in pairwise(frames):
            plan = p.plan(frame)
            if (beside := p.plan_next(plan, after)) is not None:
                assert set(beside.roles) == {Role.FOLLOW}
                out.add(after.sequence)
            p.apply(plan, scene.answer(plan))
        return out

    assert not early(slow, 30)
    assert not early(nobody, 30)
    around_a_cut, until_gone = early(cut, 30), early(gone, 40)
    assert around_a_cut & set(range(10, 12)) == set()
    assert {8, 9, 20} <= around_a_cut
    assert until_gone & set(range(17, 40)) == set()
    assert until_gone & set(range(10, 16))
    hidden = {n for n in range(120) if abs(120 + 100 * n / 30 - (520 - 100 * n / 30)) < 20}
    assert len(hidden) > 2
    assert early(walkers, 120) & hidden == set()


def test_a_plan_after_a_stale_one_is_refused() -> None:
    scene, p = Scene([Actor(walk(320, 0))]), processor()
    feed(p, scene, scene.frames(5))
    old, new = list(scene.frames(2, first=4))
    assert p.plan(old).stale
    assert p.plan_next(p.plan(old), new) is None
