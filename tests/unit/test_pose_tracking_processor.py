"""The pose processor's laws, and who is who, on scenes whose people are known."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.codec import pose_frame_to_proto
from services.common.errors import ConfigError, InputError, ShapeError
from services.common.processor import Mark, MarkKind
from services.common.skeleton import MIRROR
from services.common.types import LOCAL_STREAM, Frame, PoseFrame
from services.pose.core.geometry import Instances
from services.pose.core.processor import SNAPSHOT_MAX, PoseProcessor, Role
from services.pose.core.profiles import Profile
from tests.unit.pose_scene import Actor, Scene

RED, BLUE, GREEN = (200, 40, 40), (30, 60, 200), (40, 180, 60)


def processor(people: str = "all") -> PoseProcessor:
    return PoseProcessor(Profile.get("movenet"), people=people)  # type: ignore[arg-type]


def feed(p: PoseProcessor, scene: Scene, frames: Iterable[Frame]) -> list[PoseFrame]:
    out: list[PoseFrame] = []
    for frame in frames:
        plan = p.plan(frame)
        out += p.apply(plan, scene.answer(plan))
    return out


def run(scene: Scene, count: int, people: str = "all") -> list[PoseFrame]:
    p = processor(people)
    return feed(p, scene, scene.frames(count)) + p.on_mark(Mark(LOCAL_STREAM, MarkKind.EOF, count / scene.fps))


def as_bytes(frames: Iterable[PoseFrame]) -> list[bytes]:
    return [pose_frame_to_proto(f).SerializeToString(deterministic=True) for f in frames]


def nearest(scene: Scene, frame: PoseFrame) -> dict[int, int]:
    """track id → index of the actor whose torso it stands on."""
    out = {}
    for person in frame.people:
        torso = person.keypoints[[5, 6, 11, 12]].mean(axis=0)
        places = [a.place(frame.time_s) or (math.inf, math.inf) for a in scene.actors]
        distance = [float(np.hypot(*(torso - np.array(at)))) for at in places]
        out[person.track_id] = int(np.argmin(distance))
    return out


def ids_of(scene: Scene, frames: Iterable[PoseFrame]) -> dict[int, set[int]]:
    """Index of the actor → all track ids it was given."""
    out: dict[int, set[int]] = {i: set() for i in range(len(scene.actors))}
    for frame in frames:
        for track_id, actor in nearest(scene, frame).items():
            out[actor].add(track_id)
    return out


def walk(x: float, speed: float, y: float = 200.0, start_s: float = 0.0, end_s: float = math.inf):  # type: ignore[no-untyped-def]
    return lambda t: (x + speed * t, y) if start_s <= t < end_s else None


# -- one person ----------------------------------------------------------------------------------------------------


def test_one_person_is_there_from_the_first_frame_under_one_id_at_little_cost() -> None:
    scene = Scene([Actor(walk(320, 0))])
    out = run(scene, 150)
    assert [len(f.people) for f in out[:150]] == [1] * 150
    assert {p.track_id for f in out for p in f.people} == {1}
    assert out[150].ended == (1,)
    assert out[150].people == ()
    assert sum(scene.crops) / 150 < 1.12


@pytest.mark.parametrize("fps", [10.0, 30.0, 60.0])
def test_looking_around_is_driven_by_time(fps: float) -> None:
    scene = Scene([Actor(walk(320, 0))], fps=fps)
    run(scene, int(6 * fps))
    looks = sum(scene.crops) - 6 * fps
    assert 10 <= looks <= 20


def test_somebody_who_comes_in_later_is_found_within_a_second_and_a_half() -> None:
    scene = Scene([Actor(walk(150, 0)), Actor(walk(480, 0, start_s=2.0), colour=BLUE)])
    out = run(scene, 150)
    first = min(f.time_s for f in out if len(f.people) == 2)
    assert 2.0 <= first < 3.5


def test_somebody_who_leaves_is_reported_gone_within_three_seconds() -> None:
    out = run(Scene([Actor(walk(150, 0)), Actor(walk(480, 0, end_s=1.0), colour=BLUE)]), 160)
    gone = [(f.time_s, f.ended) for f in out[:160] if f.ended]
    assert len(gone) == 1
    assert gone[0][0] < 4.0
    left = {p.track_id for p in out[159].people}
    assert not left & set(gone[0][1])
    assert out[160].ended == tuple(left)


def test_marks_end_tracks_without_frames() -> None:
    scene, p = Scene([Actor(walk(320, 0))]), processor()
    feed(p, scene, scene.frames(30))
    assert p.on_mark(Mark(LOCAL_STREAM, MarkKind.HEARTBEAT, 2.0)) == []
    (end,) = p.on_mark(Mark(LOCAL_STREAM, MarkKind.LOST, 5.0))
    assert end.ended == (1,)
    assert end.time_s == 5.0
    assert p.on_mark(Mark(LOCAL_STREAM, MarkKind.EOF, 6.0)) == []


def test_a_frame_that_was_had_already_gives_nothing() -> None:
    scene, p = Scene([Actor(walk(320, 0))]), processor()
    frames = list(scene.frames(3))
    feed(p, scene, frames)
    plan = p.plan(frames[1])
    assert plan.stale
    assert p.apply(plan, []) == []


def test_a_frozen_picture_is_looked_at_like_any_other() -> None:
    scene = Scene([Actor(walk(320, 0))], frozen=frozenset(range(40, 100)))
    out = run(scene, 150)
    assert min(scene.crops) >= 1
    assert {p.track_id for f in out for p in f.people} == {1}
    assert [f.frozen for f in out[:150]] == [40 <= n < 100 for n in range(150)]


# -- who is nobody -------------------------------------------------------------------------------------------------


def test_people_too_small_to_judge_are_left_out() -> None:
    out = run(Scene([Actor(walk(320, 0)), Actor(walk(560, 0), size_px=18, colour=BLUE)]), 90)
    assert {p.track_id for f in out for p in f.people} == {1}


@given(seed=st.integers(0, 1000))
@settings(max_examples=6, deadline=None)
def test_scattered_joints_of_racks_and_posters_make_no_track(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = processor()
    for n in range(60):
        plan = p.plan(Frame(LOCAL_STREAM, n, n / 30, np.full((480, 640, 3), 90, np.uint8)))
        results = []
        for request in plan.requests:
            scores = rng.uniform(0.0, 0.35, (1, 17)).astype(np.float32)
            scores[0, rng.integers(0, 17, 3)] = 0.6
            keypoints = rng.uniform(0, 480, (1, 17, 2)).astype(np.float32)
            results.append(Instances(keypoints, scores, np.array([0.4], np.float32), (request.region,)))
        assert all(not f.people for f in p.apply(plan, results))


def test_a_finding_must_be_confirmed_by_a_crop_of_its_own() -> None:
    """A detection that its own crop does not bear out is never shown (after the first picture)."""
    scene, p, out = Scene([Actor(walk(320, 0))]), processor(), []
    ghost = Scene([Actor(walk(120, 0))])
    for frame in scene.frames(90):
        plan = p.plan(frame)
        results = scene.answer(plan)
        if frame.sequence > 0:
            extra = ghost.answer(plan)
            results = [
                e if r.role is Role.DETECT and len(e) else x
                for r, x, e in zip(plan.requests, results, extra, strict=True)
            ]
        out += p.apply(plan, results)
    assert {q.track_id for f in out for q in f.people} == {1}


def test_two_tracks_never_stand_on_one_person() -> None:
    """Two people become one (one hides behind the other for good): one track remains, the other ends."""
    scene = Scene([Actor(walk(320, 0), depth=1), Actor(lambda t: (max(500 - 100 * t, 322), 200.0), colour=BLUE)])
    out = run(scene, 240)
    for frame in out:
        torsos = [p.keypoints[[5, 6, 11, 12]].mean(axis=0) for p in frame.people]
        if len(torsos) == 2:
            assert np.hypot(*(torsos[0] - torsos[1])) > 10
    assert len(out[239].people) == 1
    assert ids_of(scene, [out[239]])[0] == ids_of(scene, [out[0]])[0]


# -- several people ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speeds", [(80, -60), (120, -120), (60, 0), (30, -20)])
@pytest.mark.parametrize("noise", [0.01, 0.04])
def test_ids_survive_a_crossing(speeds: tuple[float, float], noise: float) -> None:
    left, right = Actor(walk(100, speeds[0]), depth=1), Actor(walk(400, speeds[1], 205.0), colour=BLUE)
    scene = Scene([left, right], noise=noise)
    meet_s = 300 / (speeds[0] - speeds[1])
    out = run(scene, int(30 * (meet_s + 1.5)))
    assert ids_of(scene, out[:5]) == ids_of(scene, out[-20:-1])
    assert len({p.track_id for f in out for p in f.people}) == 2


def test_ids_survive_a_crossing_in_the_same_clothes() -> None:
    scene = Scene([Actor(walk(100, 90), depth=1), Actor(walk(500, -90, 205.0), size_px=64)])
    out = run(scene, 120)
    assert ids_of(scene, out[:5]) == ids_of(scene, out[-20:-1])


def test_an_id_survives_a_short_occlusion() -> None:
    def behind(t: float) -> tuple[float, float] | None:
        return None if 1.0 <= t < 2.5 else (300 + 20 * t, 200)

    scene = Scene([Actor(behind), Actor(walk(520, 0), colour=BLUE)])
    out = run(scene, 150)
    assert len({p.track_id for f in out for p in f.people}) == 2
    again = min(f.time_s for f in out if f.time_s >= 2.5 and len(f.people) == 2)
    assert again < 2.9


def test_four_people_and_a_passer_by() -> None:
    still = [
        Actor(walk(90 + 150 * i, 0), size_px=48, colour=c) for i, c in enumerate([RED, BLUE, GREEN, (230, 200, 60)])
    ]
    scene = Scene([*still, Actor(walk(-400, 160, 205.0), size_px=52, colour=(240, 240, 240), depth=1)])
    out = run(scene, 210)
    ids = ids_of(scene, out)
    assert all(len(ids[i]) == 1 for i in range(4))
    assert len(set.union(*(ids[i] for i in range(4)))) == 4


# -- cuts ----------------------------------------------------------------------------------------------------------


def test_the_same_person_after_a_cut_keeps_the_id_and_is_there_at_once() -> None:
    scene = Scene([Actor(lambda t: (200, 180) if t < 2 else (430, 240))], cuts=frozenset({60}))
    out = run(scene, 120)
    assert {p.track_id for f in out for p in f.people} == {1}
    assert len(out[60].people) == 1
    jump = out[60].people[0].keypoints - scene.people(60)[0][0]
    assert np.abs(jump).max() < 1.0  # nothing of the old place is left in the filter


def test_somebody_else_after_a_cut_gets_another_id() -> None:
    first = Actor(walk(200, 0, end_s=2.0), colour=RED)
    scene = Scene([first, Actor(walk(430, 0, start_s=2.0), size_px=90, colour=BLUE)], cuts=frozenset({60}))
    out = run(scene, 150)
    assert ids_of(scene, out) == {0: {1}, 1: {2}}
    assert len(out[60].people) == 1


# -- the main person -----------------------------------------------------------------------------------------------


def test_main_is_the_large_one_in_the_middle_and_the_others_cost_nothing() -> None:
    scene = Scene([Actor(walk(320, 0), size_px=80), Actor(walk(560, 0), size_px=40, colour=BLUE)])
    out = run(scene, 240, people="main")
    assert all(len(f.people) == 1 for f in out[:240])
    assert {i for f in out for i in nearest(scene, f).values()} == {0}
    assert sum(scene.crops[60:240]) / 180 < 1.1


def test_people_is_checked() -> None:
    with pytest.raises(ConfigError, match="'all' or 'main'"):
        processor("some")


# -- the laws ------------------------------------------------------------------------------------------------------


def random_scene(seed: int) -> Scene:
    rng = np.random.default_rng(seed)

    def actor(i: int) -> Actor:
        start = float(rng.choice([0.0, 0.0, 0.7]))
        colour = tuple(int(c) for c in rng.integers(0, 255, 3))
        place = walk(float(rng.uniform(50, 590)), float(rng.uniform(-120, 120)), float(rng.uniform(150, 260)), start)
        return Actor(place, float(rng.uniform(40, 80)), colour, depth=i)  # type: ignore[arg-type]

    cuts = frozenset(int(c) for c in rng.integers(1, 90, rng.integers(0, 3)))
    frozen = frozenset(range(40, 40 + int(rng.integers(0, 6))))
    return Scene([actor(i) for i in range(rng.integers(1, 4))], noise=0.03, cuts=cuts, frozen=frozen)


@given(seed=st.integers(0, 10_000), at=st.integers(1, 59), people=st.sampled_from(["all", "main"]))
@settings(max_examples=8, deadline=None)
def test_restored_is_as_if_never_stopped(seed: int, at: int, people: str) -> None:
    scene = random_scene(seed)
    whole, first, second = processor(people), processor(people), processor(people)
    expected = feed(whole, scene, scene.frames(60))
    begun = feed(first, scene, scene.frames(at))
    state = first.snapshot()
    assert len(state) <= SNAPSHOT_MAX
    second.restore(state)
    assert second.snapshot() == state
    assert as_bytes(begun + feed(second, scene, scene.frames(60 - at, at))) == as_bytes(expected)
    assert second.snapshot() == whole.snapshot()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_time_runs_forward_and_hidden_is_hidden(seed: int) -> None:
    scene = random_scene(seed)
    out = run(scene, 60)
    assert [f.sequence for f in out[:60]] == list(range(60))
    times = [f.time_s for f in out]
    assert times == sorted(times)
    ended: set[int] = set()
    for frame in out:
        ids = [p.track_id for p in frame.people]
        assert len(ids) == len(set(ids))
        assert not set(ids) & ended
        ended |= set(frame.ended)
        assert all(np.isfinite(p.keypoints).all() and (p.scores >= 0).all() for p in frame.people)
    assert ended == {p.track_id for f in out for p in f.people}


@given(seed=st.integers(0, 10_000))
@settings(max_examples=4, deadline=None)
def test_planning_changes_nothing_and_later_frames_change_nothing_earlier(seed: int) -> None:
    scene = random_scene(seed)
    p, out = processor(), []
    for frame in scene.frames(40):
        p.plan(frame)  # thrown away
        before = p.snapshot()
        plan = p.plan(frame)
        assert p.snapshot() == before
        out += p.apply(plan, scene.answer(plan))
    other = processor()
    assert as_bytes(feed(other, scene, scene.frames(25))) == as_bytes(out[:25])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_mirrored_in_is_mirrored_out(seed: int) -> None:
    """One person, so that ids cannot differ by the order of tiles."""
    rng = np.random.default_rng(seed)
    actor = Actor(walk(float(rng.uniform(150, 490)), float(rng.uniform(-60, 60))), float(rng.uniform(50, 80)))
    scene = Scene([actor], noise=0.03)
    straight, mirrored = processor(), processor()
    for frame in scene.frames(45):
        plan = straight.plan(frame)
        (here,) = straight.apply(plan, scene.answer(plan))
        flipped = Frame(LOCAL_STREAM, frame.sequence, frame.time_s, frame.image[:, ::-1].copy())
        plan = mirrored.plan(flipped)
        # The scene answers for the mirrored regions; its answer is mirrored in turn.
        (there,) = mirrored.apply(plan, [_mirror(i, 640) for i in scene.answer(_mirror_plan(plan, 640))])
        assert len(here.people) == len(there.people)
        for a, b in zip(here.people, there.people, strict=True):
            assert np.allclose(a.keypoints[MIRROR] * [-1, 1] + [640, 0], b.keypoints, atol=0.02)
            assert np.allclose(a.scores[MIRROR], b.scores, atol=1e-5)


def _mirror_plan(plan, width: float):  # type: ignore[no-untyped-def]
    flipped = [replace(r, region=replace(r.region, cx_px=width - r.region.cx_px)) for r in plan.requests]
    return replace(plan, requests=tuple(flipped))


def _mirror(found: Instances, width: float) -> Instances:
    keypoints = found.keypoints[:, MIRROR] * np.float32([-1, 1]) + np.float32([width, 0])
    regions = tuple(replace(r, cx_px=width - r.cx_px) for r in found.regions)
    return Instances(keypoints, found.scores[:, MIRROR], found.centre, regions)


@pytest.mark.parametrize("spoil", [lambda b: b[:5], lambda b: b"XXXX" + b[4:], lambda b: b[:-8], lambda b: b[:10]])
def test_a_damaged_snapshot_is_refused(spoil) -> None:  # type: ignore[no-untyped-def]
    scene, p = Scene([Actor(walk(320, 0))]), processor()
    feed(p, scene, scene.frames(3))
    with pytest.raises(InputError, match="snapshot"):
        processor().restore(spoil(p.snapshot()))


def test_a_crowd_keeps_within_the_snapshot_limit() -> None:
    actors = [Actor(walk(40 + 78 * (i % 8), 0, 60 + 150 * (i // 8)), size_px=32) for i in range(24)]
    scene, p = Scene(actors, height_px=480), processor()
    feed(p, scene, scene.frames(40))
    assert len(p.snapshot()) <= SNAPSHOT_MAX


def test_results_must_fit_the_plan() -> None:
    scene, p = Scene([Actor(walk(320, 0))]), processor()
    plan = p.plan(next(scene.frames(1)))
    with pytest.raises(ShapeError, match="results"):
        p.apply(plan, [])
