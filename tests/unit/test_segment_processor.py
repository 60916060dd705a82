"""The segment stage as a stream processor: its laws, marks, edits and what it counts."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.common.errors import ConfigError, InputError
from services.common.processor import Mark, MarkKind
from services.common.types import LOCAL_STREAM, NetworkTrace, PoseFrame, Reason, Repetition, Status
from services.segment.core.processor import FIXED_LAG_S, SegmentProcessor
from tests.unit.segment_scene import (
    as_bytes,
    confirmed,
    end,
    feed,
    lifter,
    mirrored,
    network,
    pose_frames,
    segment,
)


def two_people(noise: int = 0) -> list[PoseFrame]:
    """Two lifters, the second one late, with a gap, a cut and a freeze somewhere; ``noise`` seeds jitter and edits."""
    rng = np.random.default_rng(noise)
    bodies = [lifter("bicep_curl")[1], lifter("squat", 1)[1]]
    frames = pose_frames([b + rng.normal(0, 1.5, b.shape).astype(np.float32) for b in bodies], offsets=(0, 20))
    gap, cut, freeze = (int(i) for i in rng.integers(30, len(frames) - 40, 3))
    for i in range(gap, gap + int(rng.integers(2, 30))):
        frames[i] = replace(frames[i], people=frames[i].people[1:])
    if noise % 2:
        frames[cut] = replace(frames[cut], cut=True)
    if noise % 3 == 0:
        for i in range(freeze, freeze + 20):
            frames[i] = replace(frames[i], people=frames[freeze - 1].people, frozen=True)
    return frames


@given(st.integers(0, 1000), st.lists(st.integers(1, 300), max_size=3))
@settings(max_examples=4, deadline=None)
def test_snapshot_and_restore_is_as_if_never_stopped(noise: int, stops: list[int]) -> None:
    frames = two_people(noise)
    want = segment(frames, trace=True)
    processor, got = SegmentProcessor(network(), trace=True), []
    for i, frame in enumerate(frames):
        if i in stops:
            state = processor.snapshot()
            assert len(state) <= 64 * 1024
            processor = SegmentProcessor(network(), trace=True)
            processor.restore(state)
            assert processor.snapshot() == state
        got += processor.on_item(frame)
    got += processor.on_mark(end(frames))
    assert [as_bytes(o) for o in got] == [as_bytes(o) for o in want]


@given(st.integers(0, 1000), st.floats(1.0, 8.0))
@example(6, 6.25)  # a freeze begins before all of what was said is out
@settings(max_examples=4, deadline=None)
def test_later_input_changes_nothing_that_was_said(noise: int, until_s: float) -> None:
    """Causality: all input after t + FIXED_LAG_S cut off, every output of before t is the same byte for byte."""
    frames = two_people(noise)
    whole = segment(frames, trace=True)
    part = segment([f for f in frames if f.time_s <= until_s + FIXED_LAG_S], trace=True)

    def before(outputs: list[Repetition | NetworkTrace]) -> list[bytes]:
        kept = []
        for o in outputs:
            if isinstance(o, NetworkTrace):
                said = o.time_s < until_s
            else:
                settled = o.status is Status.CONFIRMED and o.offset_s is not None and o.offset_s < until_s
                said = o.decided_s < until_s or settled
            if said:
                kept.append(as_bytes(o))
        return kept

    assert before(whole) == before(part)


@given(st.integers(0, 1000))
@example(17)  # a cut in the middle of a repetition
@settings(max_examples=3, deadline=None)
def test_time_never_runs_backwards_and_every_candidate_is_accounted_for(noise: int) -> None:
    outputs = segment(two_people(noise), trace=True)
    events = [o for o in outputs if isinstance(o, Repetition)]
    assert [e.decided_s for e in events] == sorted(e.decided_s for e in events)
    for track in (1, 2):
        times = [o.time_s for o in outputs if isinstance(o, NetworkTrace) and o.track_id == track]
        assert all(b > a for a, b in pairwise(times))
        finals = [e for e in events if e.track_id == track and e.status is not Status.PROVISIONAL]
        assert len({e.id for e in finals}) == len(finals)
        provisional = {e.id for e in events if e.track_id == track and e.status is Status.PROVISIONAL}
        assert provisional <= {e.id for e in finals}
    for e in events:
        assert e.onset_s <= e.decided_s + 1e-9
        if e.status is Status.CONFIRMED:
            assert e.turn_s is not None
            assert e.offset_s is not None
            assert e.onset_s <= e.turn_s <= e.offset_s <= e.decided_s + FIXED_LAG_S
            assert e.window is not None
            assert e.window.times_s[0] <= e.onset_s + 0.1
            assert e.reason is None
        elif e.status is not Status.PROVISIONAL:
            assert e.reason is not None


@pytest.mark.parametrize("exercise", ["bicep_curl", "lateral_raise"])
def test_mirrored_keypoints_give_mirrored_results(exercise: str) -> None:
    frames = pose_frames([lifter(exercise)[1]])
    plain, flipped = confirmed(segment(frames)), confirmed(segment([mirrored(f) for f in frames]))
    assert len(plain) == len(flipped) > 0
    for a, b in zip(plain, flipped, strict=True):
        assert (a.set_index, a.index, a.exercise) == (b.set_index, b.index, b.exercise)
        np.testing.assert_allclose([b.onset_s, b.turn_s, b.offset_s], [a.onset_s, a.turn_s, a.offset_s], atol=1e-3)
        assert a.window is not None
        assert b.window is not None
        np.testing.assert_allclose(b.window.keypoints[:, 9, 0], 640 - a.window.keypoints[:, 10, 0], atol=0.1)


@pytest.mark.parametrize("exercise", ["bicep_curl", "lateral_raise", "squat"])
def test_simulated_sets_are_counted(exercise: str) -> None:
    motion, body = lifter(exercise, 3, 4)
    found = confirmed(segment(pose_frames([body])))
    assert [r.index for r in found] == [1, 2, 3, 4]
    for r, true in zip(found, motion.repetitions, strict=True):
        assert r.onset_s == pytest.approx(true.onset_s, abs=0.35)
        assert r.offset_s == pytest.approx(true.offset_s, abs=0.35)
        assert r.decided_s - true.offset_s <= 0.5


def test_a_freeze_neither_loses_nor_makes_a_count() -> None:
    motion, body = lifter("bicep_curl")
    plain = confirmed(segment(pose_frames([body])))
    middle = round(0.5 * (motion.repetitions[1].onset_s + motion.repetitions[1].turn_s) * 25)
    stopped = np.concatenate([body[:middle], np.repeat(body[middle - 1 : middle], 75, axis=0), body[middle:]])
    frames = [replace(f, frozen=middle <= i < middle + 75) for i, f in enumerate(pose_frames([stopped]))]
    frozen = confirmed(segment(frames))
    assert len(frozen) == len(plain)
    assert frozen[1].offset_s == pytest.approx(plain[1].offset_s + 3.0, abs=0.25)
    assert frozen[2].onset_s == pytest.approx(plain[2].onset_s + 3.0, abs=0.25)


def test_a_cut_in_the_middle_is_an_attempt_and_the_set_goes_on() -> None:
    motion, body = lifter("bicep_curl", 0, 3)
    at = round(motion.repetitions[1].turn_s * 25)
    back = round((motion.repetitions[2].onset_s - 0.3) * 25)
    frames = pose_frames([np.concatenate([body[:at], body[back:] + 60])])
    frames[at] = replace(frames[at], cut=True)
    outputs = segment(frames)
    finals = [o for o in outputs if isinstance(o, Repetition) and o.status is not Status.PROVISIONAL]
    assert [o.status for o in finals] == [Status.CONFIRMED, Status.ATTEMPT, Status.CONFIRMED]
    assert finals[1].reason is Reason.INTERRUPTED
    assert [r.index for r in confirmed(outputs)] == [1, 2]


def test_heartbeats_close_what_frames_no_longer_do() -> None:
    motion, body = lifter("bicep_curl")
    stop = round((motion.repetitions[0].offset_s + 0.25) * 25)
    frames = pose_frames([body])[:stop]
    processor = SegmentProcessor(network())
    before = feed(processor, frames)
    assert not confirmed(before)
    beats = [Mark(LOCAL_STREAM, MarkKind.HEARTBEAT, frames[-1].time_s + s) for s in (1.0, 2.0, 3.0)]
    assert len(confirmed(feed(processor, beats))) == 1


def test_two_people_are_counted_apart() -> None:
    curl, squat = lifter("bicep_curl", 3, 4)[1], lifter("squat", 3, 4)[1]
    outputs = segment(pose_frames([curl, squat], offsets=(0, 13)))
    alone = [segment(pose_frames([b], offsets=(o,))) for b, o in ((curl, 0), (squat, 13))]
    for track, single in ((1, alone[0]), (2, alone[1])):
        together = [(r.onset_s, r.offset_s) for r in confirmed(outputs, track)]
        np.testing.assert_allclose(together, [(r.onset_s, r.offset_s) for r in confirmed(single)], atol=1e-3)


def test_a_named_exercise_is_taken_at_its_word() -> None:
    frames = pose_frames([lifter("bicep_curl")[1]])
    processor = SegmentProcessor(network(), exercise="hammer_curl")
    found = confirmed(feed(processor, [*frames, end(frames)]))
    assert {(r.exercise, r.exercise_probability) for r in found} == {("hammer_curl", 1.0)}


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="jumping"):
        SegmentProcessor(network(), exercise="jumping")
    frames = pose_frames([lifter("bicep_curl")[1]])
    processor = SegmentProcessor(network())
    processor.on_item(frames[5])
    with pytest.raises(InputError, match="backwards"):
        processor.on_item(frames[4])
    with pytest.raises(InputError, match="belongs"):
        processor.on_mark(Mark(replace(LOCAL_STREAM, session_id="1"), MarkKind.EOF, 9.0))
    with pytest.raises(InputError, match="snapshot"):
        processor.restore(b"nonsense")
