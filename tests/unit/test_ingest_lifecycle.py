"""A stream's state machine: only legal transitions, whatever happens in whatever order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.core.backoff import Backoff
from services.ingest.core.lifecycle import READING, TRANSITIONS, End, Limits, Outcome, StreamMachine, StreamState
from services.ingest.core.lifecycle import StreamState as S

LOST = End(Outcome.LOST, "timeout")


def machine(*, live: bool = True) -> StreamMachine:
    return StreamMachine(Backoff("a/b"), live=live)


step = st.one_of(
    st.tuples(st.just("wanted"), st.sampled_from([None, "paused", "schedule"])),
    st.tuples(st.just("changed"), st.none()),
    st.tuples(st.just("removed"), st.none()),
    st.tuples(st.just("invalid"), st.none()),
    st.tuples(st.just("frame"), st.booleans()),
    st.tuples(st.just("tick"), st.none()),
    st.tuples(st.just("end"), st.sampled_from(list(Outcome))),
)


@settings(max_examples=400, deadline=None)
@given(st.booleans(), st.lists(st.tuples(st.floats(0, 40), step), max_size=60))
def test_every_transition_is_legal(live: bool, steps: list[tuple[float, tuple[str, object]]]) -> None:
    stream, now_s, state = machine(live=live), 0.0, StreamState.ADDED
    for pause_s, (kind, value) in steps:
        now_s += pause_s
        if kind == "wanted":
            found = stream.on_wanted(now_s, value)  # type: ignore[arg-type]
        elif kind == "changed":
            found = stream.on_changed(now_s)
        elif kind == "removed":
            found = stream.on_removed(now_s)
        elif kind == "invalid":
            found = stream.on_invalid(now_s, "wrong")
        elif kind == "frame":
            found = stream.on_frame(now_s, frozen=bool(value))
        elif kind == "tick":
            found = stream.on_tick(now_s)
        else:
            found = stream.on_end(now_s, End(value, "x"))  # type: ignore[arg-type]
        for transition in found:
            assert transition.source is state
            assert transition.target in TRANSITIONS[state]
            assert transition.reason
            state = transition.target
            assert transition.retry_s is not None or state is not S.LOST
            assert transition.retry_s is None or transition.retry_s > now_s
        assert stream.state is state
        assert stream.wants_reader == (state in READING)
        if state is S.LOST:
            assert stream.retry_s is not None


def test_a_camera_that_goes_and_comes_back() -> None:
    stream = machine()
    story = [
        *stream.on_wanted(0, None), *stream.on_frame(1), *stream.on_tick(2), *stream.on_tick(4),
        *stream.on_end(9, LOST), *stream.on_tick(9.1), *stream.on_tick(12), *stream.on_frame(13),
    ]  # fmt: skip
    assert [t.target for t in story] == [S.CONNECTING, S.LIVE, S.STALLED, S.LOST, S.CONNECTING, S.LIVE]
    assert [t.reason for t in story] == ["added", "frames", "no_frames", "timeout", "retry", "frames"]


def test_end_of_file_ends_a_file_and_loses_a_camera() -> None:
    eof = End(Outcome.EOF, "eof")
    for live, target in ((True, S.LOST), (False, S.ENDED)):
        stream = machine(live=live)
        stream.on_wanted(0, None)
        stream.on_frame(1)
        assert [t.target for t in stream.on_end(2, eof)] == [target]


def test_pauses_grow_until_the_camera_has_been_live_for_a_while() -> None:
    stream, now_s, pauses = machine(), 0.0, []
    stream.on_wanted(now_s, None)
    for _ in range(12):
        (lost,) = stream.on_end(now_s, LOST)
        assert lost.retry_s is not None
        pauses.append(lost.retry_s - now_s)
        now_s = lost.retry_s
        assert [t.target for t in stream.on_tick(now_s)] == [S.CONNECTING]
    assert pauses[0] < 0.5
    assert 15 <= pauses[-1] <= 30
    stream.on_frame(now_s)
    stream.on_end(now_s + 1, LOST)
    stream.on_tick(now_s + 100)
    assert stream._backoff.pause_s(12) >= 15  # a second of life does not count as recovery
    stream.on_frame(now_s + 100)
    for second in range(101, 115):
        stream.on_frame(now_s + second)
    (lost,) = stream.on_end(now_s + 115, LOST)
    assert lost.retry_s is not None
    assert lost.retry_s - now_s - 115 < 0.5


def test_a_file_that_kills_its_readers_is_given_up_and_one_that_gets_on_is_not() -> None:
    stream = machine(live=False)
    stream.on_wanted(0, None)
    ends = [stream.on_end(i, End(Outcome.LOST, "crashed"), progress=i < 2)[0] for i in range(0, 1)]
    stream.on_tick(100)
    for i in range(6):
        ends.append(stream.on_end(200 + i * 100, End(Outcome.LOST, "crashed"), progress=True)[0])
        stream.on_tick(290 + i * 100)
    assert {e.target for e in ends} == {S.LOST}
    last = []
    for i in range(3):
        last += stream.on_end(2000 + i * 100, End(Outcome.LOST, "crashed"))
        stream.on_tick(2090 + i * 100)
    assert last[-1].target is S.FAILED
    assert last[-1].retry_s is None


def test_a_wrong_password_fails_and_is_tried_again_much_later() -> None:
    stream = machine()
    stream.on_wanted(0, None)
    (failed,) = stream.on_end(1, End(Outcome.FATAL, "unauthorized"))
    assert failed.target is S.FAILED
    assert stream.on_tick(200) == []
    assert [t.target for t in stream.on_tick(302)] == [S.CONNECTING]
    stream.on_end(303, End(Outcome.FATAL, "unauthorized"))
    assert [t.target for t in stream.on_changed(304)] == [S.CONNECTING]


def test_slow_cameras_are_not_stalled() -> None:
    stream = StreamMachine(Backoff("x"), live=True, limits=Limits(stall_s=2))
    stream.on_wanted(0, None)
    stream.on_frame(0)
    assert stream.on_tick(6, step_s=3.0) == []
    assert [t.target for t in stream.on_tick(10, step_s=3.0)] == [S.STALLED]


def test_an_illegal_transition_is_an_error() -> None:
    stream = machine()
    stream.on_removed(0)
    with pytest.raises(RuntimeError, match="cannot go from ended to live"):
        stream._go(S.LIVE, 1, "x")


@given(st.text(max_size=20), st.integers(0, 200))
def test_pauses_are_bounded_and_deterministic(seed: str, attempt: int) -> None:
    backoff = Backoff(seed, first_s=0.5, most_s=30)
    whole_s = min(30.0, 0.5 * 2.0 ** min(attempt, 40))
    assert whole_s / 2 <= backoff.pause_s(attempt) <= whole_s
    assert backoff.pause_s(attempt) == Backoff(seed, 0.5, 30).pause_s(attempt)


def test_cameras_of_a_gym_do_not_come_back_together() -> None:
    pauses = sorted(Backoff(f"gym/camera{i}").pause_s(3) for i in range(100))
    assert pauses[0] < 2.2
    assert pauses[-1] > 3.8
    assert len(set(pauses)) == 100
