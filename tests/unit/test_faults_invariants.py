"""The judge of fault runs: silent on good logs; it names loss, doubling and reordering wherever they are planted."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common import topics
from services.common.processor import MarkKind
from services.common.types import Status, StreamKey
from services.ingest.core.lifecycle import StreamState
from services.local.stack.invariants import Expected, Law, Outage, Reference, Violation, check
from services.local.stack.seen import Kind, Seen, Transition
from tests.unit.faults_log import (
    FPS,
    START_UNIX_MS,
    LogMaker,
    Plant,
    answers,
    changed,
    doubled,
    good_logs,
    lost,
    reordered,
    write_stream,
)


def laws(found: list[Violation]) -> set[Law]:
    return {violation.law for violation in found}


def _later(seen: Seen) -> Seen:
    assert seen.answer is not None
    return replace(seen, answer=replace(seen.answer, onset_s=seen.answer.onset_s + 0.5))


def _other_id(seen: Seen) -> Seen:
    assert seen.answer is not None
    return replace(seen, answer=replace(seen.answer, id="never seen"))


PLANTS: dict[str, Plant] = {
    "a file's frame is lost": lost(topics.FRAMES_FILE, Kind.FRAME, Law.FRAME_LOST, Law.POSE_INVENTED),
    "a file's frames change places": reordered(topics.FRAMES_FILE, Kind.FRAME, Law.FRAME_ORDER),
    "a camera's frame is doubled": doubled(topics.FRAMES_LIVE, Kind.FRAME, Law.FRAME_DOUBLED),
    "a camera's frame is lost before pose saw it": lost(topics.FRAMES_LIVE, Kind.FRAME, Law.POSE_INVENTED),
    "poses are lost": lost(topics.POSES, Kind.POSE, Law.POSE_LOST, Law.LIVE_UNCOUNTED, gone=()),
    "poses are doubled": doubled(topics.POSES, Kind.POSE, Law.POSE_DOUBLED),
    "a farewell is doubled": doubled(topics.POSES, Kind.POSE, Law.POSE_DOUBLED, gone=(1,)),
    "poses change places": reordered(topics.POSES, Kind.POSE, Law.POSE_ORDER, Law.POSE_DOUBLED, Law.TIME_BACKWARDS),
    "poses lie before what was promised": changed(
        topics.POSES, Kind.POSE, lambda s: replace(s, time_s=s.time_s - 3.0), Law.TIME_BACKWARDS, sequence=5
    ),
    "a confirmed repetition is lost": lost(topics.REPETITIONS, Kind.REPETITION, Law.ASSESSMENT_INVENTED, Law.UNDECIDED),
    "a repetition is doubled": doubled(topics.REPETITIONS, Kind.REPETITION, Law.DECIDED_TWICE, Law.ANNOUNCED_TWICE),
    "repetitions change places": reordered(
        topics.REPETITIONS, Kind.REPETITION, Law.TIME_BACKWARDS, Law.ANNOUNCED_TWICE
    ),
    "an assessment is lost": lost(topics.ASSESSMENTS, Kind.ASSESSMENT, Law.ASSESSMENT_LOST),
    "an assessment is doubled": doubled(topics.ASSESSMENTS, Kind.ASSESSMENT, Law.ASSESSMENT_DOUBLED),
    "assessments change places": reordered(topics.ASSESSMENTS, Kind.ASSESSMENT, Law.ASSESSMENT_ORDER),
    "an assessment of nothing": changed(topics.ASSESSMENTS, Kind.ASSESSMENT, _other_id, Law.ASSESSMENT_INVENTED),
    "the end is lost": lost(topics.ASSESSMENTS, Kind.MARK, Law.END_MISSING, mark=MarkKind.EOF),
    "the end is doubled": doubled(topics.POSES, Kind.MARK, Law.END_DOUBLED, mark=MarkKind.EOF),
    "something follows the end": changed(
        topics.REPETITIONS, Kind.MARK, lambda s: replace(s, offset=-1), Law.AFTER_END, mark=MarkKind.EOF
    ),
    "a stream is in two partitions": changed(
        topics.POSES, Kind.POSE, lambda s: replace(s, partition=s.partition + 9), Law.PARTITION_MOVED
    ),
    "a transition is lost": lost(topics.STREAM_EVENTS, Kind.EVENT, Law.EVENT_CHAIN, time_s=0.0),
}


@given(good_logs())
@settings(max_examples=50, deadline=None)
def test_a_good_log_breaks_no_law(log: list[Seen]) -> None:
    assert check(log, answers(log)) == []
    assert check(reversed(log), answers(log)) == [], "topics are read in any order"


@pytest.mark.parametrize("name", PLANTS)
@given(log=good_logs(), data=st.data())
@settings(max_examples=25, deadline=None)
def test_what_is_planted_is_named(name: str, log: list[Seen], data: st.DataObject) -> None:
    if name == "a transition is lost":
        log = [s for s in log if s.topic != topics.STREAM_EVENTS or s.name.startswith("gym/camera")]
    if name == "a confirmed repetition is lost":
        log = [s for s in log if s.answer is None or s.answer.status in (Status.CONFIRMED, Status.PROVISIONAL)]
        unannounced = {s.answer.id for s in log if s.answer and s.answer.status is Status.CONFIRMED}
        log = [s for s in log if s.answer is None or s.answer.id in unannounced]
    expected = answers(log)
    bad, wanted = PLANTS[name](data, log)
    found = check(bad, expected)
    if name == "a confirmed repetition is lost" and not found:
        return  # an announcement that nobody has to make
    if name == "a transition is lost" and not found:
        return  # the first one: the replica may have begun before
    assert laws(found) & wanted, f"{name}: {found}"


@given(good_logs(), st.data())
@settings(max_examples=25, deadline=None)
def test_the_reference_answer_is_asked_for(log: list[Seen], data: st.DataObject) -> None:
    expected = answers(log)
    name = data.draw(st.sampled_from(sorted(expected.references)))
    right = expected.references[name].answers
    for wrong in (right[1:], (*right, right[-1]), (replace(right[0], onset_s=right[0].onset_s + 0.2), *right[1:])):
        assert laws(check(log, Expected(references={name: Reference(wrong, within_s=0.05)}))) == {Law.ANSWER_DIFFERS}
    near = (replace(right[0], onset_s=right[0].onset_s + 0.04), *right[1:])
    assert check(log, Expected(references={name: Reference(near, within_s=0.05)})) == []
    assert laws(check([], expected)) == {Law.ANSWER_DIFFERS}


def test_repeats_of_a_files_frames_are_no_fault_but_a_repeat_in_other_words_is() -> None:
    maker = LogMaker()
    key = StreamKey("gym", "file", "f0")
    for i in (0, 1, 2, 1, 2, 3):
        maker.add(topics.FRAMES_FILE, 0, key, Kind.FRAME, i / FPS, sequence=i)
    for i in range(4):
        maker.add(topics.POSES, 0, key, Kind.POSE, i / FPS, sequence=i)
    assert check(maker.log, Expected(ended=False)) == []
    maker.add(topics.POSES, 0, key, Kind.POSE, 4 / FPS, sequence=4)
    assert laws(check(maker.log, Expected(ended=False))) == {Law.POSE_INVENTED}


def test_a_run_that_goes_on_need_not_have_ended() -> None:
    maker = LogMaker()
    write_stream(maker, 0, StreamKey("gym", "file", "f0"), live=False, frames=30, repetitions=[Status.CONFIRMED] * 3)
    cut = [s for s in maker.log if s.mark is not MarkKind.EOF and (s.topic != topics.POSES or s.sequence < 25)]
    assert check(cut, Expected(ended=False)) == []
    assert laws(check(cut)) == {Law.END_MISSING, Law.POSE_LOST}


def _camera(skip: range, counted: int = 0) -> list[Seen]:
    """Ten seconds of a camera; ``skip``: sequences that pose left out, of which ingest's counts know."""
    maker = LogMaker()
    key = StreamKey("gym", "camera", str(START_UNIX_MS))
    write_stream(maker, 0, key, live=True, frames=100, repetitions=[Status.CONFIRMED])
    return [s for s in maker.log if s.topic != topics.POSES or s.sequence not in skip]


def test_frames_of_cameras_may_be_missing_in_an_outage_only() -> None:
    begin_s = START_UNIX_MS / 1000
    log = _camera(range(30, 60))
    outage = Outage(begin_s + 2.9, begin_s + 6.1)
    assert check(log, Expected(outages=[outage], skipped={"gym/camera": 30})) == []
    assert laws(check(log, Expected(skipped={"gym/camera": 30}))) == {Law.LIVE_GAP}
    assert laws(check(log, Expected(outages=[outage], skipped={"gym/camera": 29}))) == {Law.LIVE_UNCOUNTED}
    assert check(log, Expected(outages=[replace(outage, counted=False)])) == []
    elsewhere = Outage(begin_s + 7.0, begin_s + 9.0, counted=False)
    assert laws(check(log, Expected(outages=[elsewhere]))) == {Law.LIVE_GAP, Law.LIVE_UNCOUNTED}
    short = replace(outage, end_unix_s=begin_s + 4.0)
    assert laws(check(log, Expected(outages=[short], skipped={"gym/camera": 30}))) == {Law.LIVE_GAP}


def test_a_camera_that_never_comes_back_is_a_gap() -> None:
    log = _camera(range(50, 100))
    assert Law.LIVE_GAP in laws(check(log, Expected(skipped={"gym/camera": 50})))


def test_what_a_camera_sent_is_all_accounted_for() -> None:
    log = _camera(range(0))
    wrong = Transition(StreamState.LIVE, StreamState.ENDED, decoded=300, sent=100, skipped=150)
    bad = [replace(s, transition=wrong) if s.transition and s.transition.decoded else s for s in log]
    (found,) = check(bad)
    assert found.law is Law.LIVE_UNCOUNTED
    assert "300 decoded, 100 sent, 150 skipped" in str(found)
