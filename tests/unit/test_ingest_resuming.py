"""Going on with streams elsewhere, files within folders, who is behind, and the outbox: nothing lost, nothing twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from formcheck.v1 import events_pb2, state_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common import topics
from services.common.codec import EncodedFrame, mark_from_proto, snapshot_from_proto
from services.common.errors import ConfigError, InputError
from services.common.kafka.messages import Record
from services.common.kafka.outgoing import outgoing
from services.common.metrics_protocol import NO_METRICS
from services.common.processor import Mark, MarkKind
from services.common.types import StreamKey
from services.ingest.adapters.committer import Batch
from services.ingest.adapters.folders import checker
from services.ingest.adapters.outbox import Outbox
from services.ingest.adapters.streams_codec import (
    removal_record,
    snapshot_event,
    spec_from_record,
    spec_record,
    state_record,
)
from services.ingest.core.behind import BEHIND_S, BehindMeter
from services.ingest.core.lifecycle import StreamState
from services.ingest.core.resuming import FRESH, ending, goes_on, is_read, start_of
from services.ingest.core.session import FilePosition
from services.ingest.core.streams import Mode, SpecDefaults, StreamEvent, StreamSpec, Transport

CAMERA = StreamSpec("gym", "rack", "rtsp://10.0.0.7/1")
CLIP = StreamSpec("gym", "clip", "/videos/a.mp4", Mode.FILE, revision=3)


def event(session_id: str, state: StreamState, *, time_s: float = 7.5, next_sequence: int = 9) -> StreamEvent:
    name = "clip" if session_id.startswith("f") else "rack"
    started = None if name == "clip" else int(session_id) / 1000
    return StreamEvent(
        StreamKey("gym", name, session_id), StreamState.CONNECTING, state, "r", "d", 100.0, time_s,
        session_started_unix_s=started, next_sequence=next_sequence,
    )  # fmt: skip


class TestWhereAStreamBegins:
    @pytest.mark.parametrize("state", ["added", "connecting", "live", "frozen", "stalled", "lost", "failed"])
    def test_a_camera_goes_on_with_its_session(self, state: str) -> None:
        start = start_of(CAMERA, event("90000", StreamState(state)))
        assert (start.session_id, start.floor_s, start.position) == ("90000", 7.5, None)

    @pytest.mark.parametrize("state", [StreamState.PAUSED, StreamState.ENDED])
    def test_a_session_that_was_ended_is_not_gone_on_with(self, state: StreamState) -> None:
        assert start_of(CAMERA, event("90000", state)) is FRESH
        assert ending(event("90000", state), 200.0) is None

    def test_a_file_goes_on_behind_the_last_frame_that_was_committed(self) -> None:
        last = event("f3", StreamState.LIVE)
        assert start_of(CLIP, last).position == FilePosition(8, 7.5)
        assert not is_read(CLIP, last)
        assert start_of(CLIP, replace(last, next_sequence=0)) is FRESH

    def test_a_file_that_is_read_is_not_read_again_and_its_next_revision_is(self) -> None:
        last = event("f3", StreamState.ENDED)
        assert is_read(CLIP, last)
        newer = replace(CLIP, revision=4)
        assert not is_read(newer, last)
        assert not goes_on(newer, last)
        assert start_of(newer, last) is FRESH
        assert not is_read(CLIP, None)

    def test_a_session_that_nobody_runs_is_ended_behind_all_that_was_sent_of_it(self) -> None:
        ended = ending(event("90000", StreamState.LIVE), 120.0)
        assert ended is not None
        told, mark = ended
        assert (told.target, told.reason) == (StreamState.ENDED, "removed")
        assert mark == Mark(told.stream, MarkKind.EOF, 30.0)
        of_file = ending(event("f3", StreamState.PAUSED), 120.0)
        assert of_file is not None
        assert of_file[1].time_s == 7.5

    def test_a_camera_in_the_place_of_a_file_is_another_session(self) -> None:
        assert not goes_on(replace(CAMERA, stream_id="clip"), event("f3", StreamState.LIVE))
        assert not goes_on(CLIP, event("90000", StreamState.LIVE))


class TestRecords:
    def record(self, spec: StreamSpec, key: bytes | None = None, value: bytes | None = None) -> Record:
        out = spec_record(spec)
        return Record(topics.STREAMS, 0, 5, key or out.key, value or out.value, out.headers)

    def test_a_spec_comes_back_and_leaves_open_what_the_installation_decides(self) -> None:
        assert spec_from_record(self.record(CAMERA)) == CAMERA
        given_defaults = SpecDefaults(5.0, 360, Transport.UDP)
        found = spec_from_record(self.record(CAMERA), given_defaults)
        assert (found.analysis_fps, found.short_side_px, found.transport) == (5.0, 360, Transport.UDP)
        found = spec_from_record(self.record(CLIP), given_defaults)
        assert (found.analysis_fps, found.short_side_px) == (None, 360)
        fixed = replace(CAMERA, analysis_fps=7.0, short_side_px=720, transport=Transport.UDP)
        assert spec_from_record(self.record(fixed), SpecDefaults(5.0, 360)) == fixed

    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [(b"gym/other", None, "key is 'gym/other'"), (None, b"\xff\xff", "no StreamSpec"), (None, b"", "no mode")],
    )
    def test_what_is_no_spec_is_refused_in_a_sentence(self, key: bytes | None, value: bytes | None, said: str) -> None:
        record = Record(topics.STREAMS, 0, 5, key or b"/", spec_record(CAMERA).value if value is None else value)
        with pytest.raises((InputError, ConfigError), match=said):
            spec_from_record(record)

    def test_a_record_of_another_message_is_refused(self) -> None:
        out = spec_record(CAMERA)
        with pytest.raises(InputError, match=r"formcheck\.v1\.Frame"):
            spec_from_record(Record(topics.STREAMS, 0, 5, out.key, out.value, (("message", b"formcheck.v1.Frame"),)))

    def test_states_come_back(self) -> None:
        last = event("f3", StreamState.LIVE)
        out = state_record("gym/clip", last, 2, 11)
        assert (out.topic, out.key, out.partition) == (topics.INGEST_STATE, b"streams.v1:gym/clip", 2)
        assert out.value is not None
        assert snapshot_event(out.value) == last
        assert snapshot_event(snapshot_from_proto(state_pb2.Snapshot.FromString(out.value))) == last
        assert state_record("gym/clip", None, 2, 11).value is None
        assert removal_record("gym/clip").value is None
        with pytest.raises(InputError):
            snapshot_event(b"\xff\xff")


class TestFolders:
    @pytest.fixture
    def check(self, tmp_path: Path) -> Callable[[StreamSpec], None]:
        (tmp_path / "in" / "deep").mkdir(parents=True)
        (tmp_path / "out").mkdir()
        for name in ("in/a.mp4", "in/deep/b.mp4", "out/c.mp4"):
            (tmp_path / name).write_bytes(b"x")
        (tmp_path / "in" / "link.mp4").symlink_to(tmp_path / "out" / "c.mp4")
        return checker([tmp_path / "in"])

    @pytest.mark.parametrize("uri", ["in/a.mp4", "in/deep/b.mp4", "in/deep/../a.mp4", "in/not-there.mp4"])
    def test_files_within_may_be_read(self, check: Callable[[StreamSpec], None], tmp_path: Path, uri: str) -> None:
        for form in (str(tmp_path / uri), f"file://{tmp_path / uri}"):
            assert check(replace(CLIP, uri=form)) is None  # it raises where a file may not be read

    @pytest.mark.parametrize("uri", ["out/c.mp4", "in/../out/c.mp4", "in/link.mp4", "in2/a.mp4"])
    def test_files_without_may_not(self, check: Callable[[StreamSpec], None], tmp_path: Path, uri: str) -> None:
        with pytest.raises(ConfigError, match=r"outside the folders .*FORMCHECK_INGEST_FILE_FOLDERS"):
            check(replace(CLIP, uri=str(tmp_path / uri)))

    @pytest.mark.parametrize("uri", ["a.mp4", "/etc/passwd", "in\0/a"])
    def test_nor_paths_that_hang_on_where_the_service_runs(self, check: Callable[[StreamSpec], None], uri: str) -> None:
        with pytest.raises(ConfigError):
            check(replace(CLIP, uri=uri))

    def test_addresses_are_for_cameras(self, check: Callable[[StreamSpec], None]) -> None:
        with pytest.raises(ConfigError, match="mode live") as raised:
            check(replace(CLIP, uri="http://user:secret@10.0.0.1/a.mp4"))
        assert "secret" not in str(raised.value)
        check(CAMERA)
        with pytest.raises(ConfigError, match="analysis_fps"):
            check(replace(CAMERA, analysis_fps=1e9))


class TestBehind:
    def test_in_time_means_not_behind(self) -> None:
        meter = BehindMeter()
        for i in range(100):
            assert not meter.look(i * 0.25, end=i * 10, committed=max(0, i * 10 - 10))
        assert meter.seconds <= 0.25

    def test_seconds_are_those_since_the_oldest_record_that_waits_was_there(self) -> None:
        meter = BehindMeter()
        for i in range(41):
            meter.look(i * 0.25, end=i * 10, committed=100)
        assert meter.seconds == pytest.approx(10.0 - 11 * 0.25)
        assert meter.behind
        assert not meter.look(10.25, end=410, committed=410)
        assert meter.seconds == 0.0

    def test_it_takes_a_while_either_way_and_nobody_at_all_is_not_behind(self) -> None:
        meter = BehindMeter()
        meter.look(0.0, 10, 0)
        assert not meter.look(1.0, 20, 0)
        assert not meter.look(BEHIND_S, 20, 0)
        assert meter.look(1.6, 20, 0)
        assert meter.look(1.8, 20, 10), "still 0.8 s"
        assert not meter.look(1.8, 20, 20)
        assert not BehindMeter().look(9.0, 100, None)

    def test_a_quiet_topic_is_not_behind_and_memory_is_bounded(self) -> None:
        meter = BehindMeter()
        for i in range(10_000):
            meter.look(i * 0.25, end=5 + i, committed=5)
        assert len(meter._ends) < 1000
        quiet = BehindMeter()
        for i in range(100):
            assert not quiet.look(i * 10.0, end=5, committed=5)
        assert quiet.seconds == 0.0


def frame(name: str, sequence: int) -> EncodedFrame:
    return EncodedFrame(StreamKey("gym", name, "f0"), sequence, sequence / 25, b"x" * 10, 640, 480)


class Log:
    """Committed batches, as Kafka keeps them: frames in order, the last state of each stream."""

    def __init__(self) -> None:
        self.sequences: dict[str, list[int]] = {"a": [], "b": []}
        self.ends: dict[str, int] = {}
        self.states: dict[str, StreamEvent] = {}

    def take(self, batch: Batch) -> None:
        for record in batch.records:
            if record.topic == topics.FRAMES_FILE:
                headers = dict(record.headers)
                if headers["message"] == b"formcheck.v1.Frame":
                    message = events_pb2.Frame.FromString(record.value or b"")
                    self.sequences[message.stream.stream_id].append(message.sequence)
                else:
                    mark = mark_from_proto(events_pb2.Mark.FromString(record.value or b""))
                    self.ends[mark.stream.stream_id] = len(self.sequences[mark.stream.stream_id])
            elif record.topic == topics.INGEST_STATE:
                name = (record.key or b"").decode().rpartition("/")[2]
                if record.value is None:
                    self.states.pop(name)
                else:
                    self.states[name] = snapshot_event(record.value)
        for name, state in self.states.items():
            assert state.next_sequence == len(self.sequences[name]), "a position is that of the frames beside it"
            assert (state.target is StreamState.ENDED) == (name in self.ends), "an end and its mark are one"


def connecting(name: str, target: StreamState = StreamState.LIVE) -> StreamEvent:
    return StreamEvent(StreamKey("gym", name, "f0"), StreamState.ADDED, target, "r", "", 1.0, 99.0, next_sequence=77)


class TestOutbox:
    def outbox(self, most_frames: int = 256) -> Outbox:
        outbox = Outbox("streams.v1", NO_METRICS, most_frames)
        outbox.consumed.update({0: 3, 1: 4})
        return outbox

    @settings(deadline=None)
    @given(
        st.lists(st.sampled_from(["a", "b", "plan", "yes", "no", "end a"]), max_size=60), st.sampled_from([1, 3, 99])
    )
    def test_whatever_fails_each_frame_is_committed_once_with_its_position(self, steps: list[str], most: int) -> None:
        outbox, log = self.outbox(most), Log()
        planned: Batch | None = None
        made = {"a": 0, "b": 0}
        ended = False
        for partition, name in enumerate("ab"):
            outbox.begin(f"gym/{name}", partition, 1, None, None)
            outbox.event(f"gym/{name}", connecting(name))

        def settle(done: bool) -> None:
            nonlocal planned
            if planned is not None:
                if done:
                    log.take(planned)
                outbox.settle(done)
                planned = None

        for step in steps:
            if step in made and not (ended and step == "a"):
                one = frame(step, made[step])
                outbox.frame(f"gym/{step}", one, outgoing(topics.FRAMES_FILE, one))
                made[step] += 1
            elif step == "end a" and not ended:
                ended = True
                outbox.event("gym/a", connecting("a", StreamState.ENDED))
                mark = Mark(StreamKey("gym", "a", "f0"), MarkKind.EOF, 1.0)
                outbox.record("gym/a", outgoing(topics.FRAMES_FILE, mark))
            elif step == "plan" and planned is None:
                planned = outbox.plan()
            elif step in ("yes", "no"):
                settle(step == "yes")
        settle(True)
        while (planned := outbox.plan()) is not None:
            settle(True)
        assert {name: log.sequences[name] for name in made} == {name: list(range(n)) for name, n in made.items()}
        assert ("a" in log.ends) == ended
        assert outbox.frames(0) == outbox.frames(1) == (0, 0)
        assert len(outbox) == 0

    def test_what_belongs_to_others_now_is_not_written_and_the_rest_is(self) -> None:
        outbox, log = self.outbox(), Log()
        for partition, name in enumerate("ab"):
            outbox.begin(f"gym/{name}", partition, 1, None, None)
            outbox.event(f"gym/{name}", connecting(name))
            outbox.frame(f"gym/{name}", frame(name, 0), outgoing(topics.FRAMES_FILE, frame(name, 0)))
        first = outbox.plan()
        assert first is not None
        assert {tp.partition for tp in first.offsets} == {0, 1}
        outbox.drop([0])
        outbox.settle(False)
        again = outbox.plan()
        assert again is not None
        log.take(again)
        assert log.sequences == {"a": [], "b": [0]}
        assert {tp.partition: offset for tp, offset in again.offsets.items()} == {1: 4}

    def test_a_stream_that_is_removed_and_added_again_starts_afresh(self) -> None:
        outbox, log = self.outbox(), Log()
        outbox.begin("gym/a", 0, 1, None, FilePosition(41, 2.0))
        outbox.event("gym/a", replace(connecting("a"), stream=StreamKey("gym", "a", "f0")))
        outbox.forget("gym/a")
        outbox.begin("gym/a", 0, 2, None, None)
        outbox.event("gym/a", connecting("a", StreamState.CONNECTING))
        batch = outbox.plan()
        assert batch is not None
        log.take(batch)
        outbox.settle(True)
        assert log.states["a"].target is StreamState.CONNECTING
        outbox.frame("gym/a", frame("a", 0), outgoing(topics.FRAMES_FILE, frame("a", 0)))
        outbox.forget("gym/a")
        batch = outbox.plan()
        assert batch is not None
        log.take(batch)
        assert log.states == {}
        outbox.settle(True)
        assert outbox.home("gym/a") is None

    def test_a_taken_over_file_keeps_its_position_until_a_frame_comes(self) -> None:
        outbox = self.outbox()
        last = replace(connecting("a"), next_sequence=42)
        outbox.begin("gym/a", 0, 1, last, FilePosition(41, 2.0))
        outbox.event("gym/a", replace(connecting("a", StreamState.CONNECTING), next_sequence=50))
        batch = outbox.plan()
        assert batch is not None
        (state,) = [r for r in batch.records if r.topic == topics.INGEST_STATE]
        assert snapshot_event(state.value or b"").next_sequence == 42

    def test_offsets_alone_are_committed_too_and_only_once(self) -> None:
        outbox = self.outbox()
        assert outbox.plan() is None
        outbox.dirty.add(1)
        batch = outbox.plan()
        assert batch is not None
        assert (list(batch.records), [tp.partition for tp in batch.offsets]) == ([], [1])
        outbox.settle(True)
        assert outbox.plan() is None
