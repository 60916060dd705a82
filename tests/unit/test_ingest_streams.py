"""Specs, schedules, sessions and their messages."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from formcheck.v1 import streams_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import ConfigError
from services.common.types import StreamKey
from services.ingest.adapters.jobs import Job
from services.ingest.adapters.streams_codec import event_from_proto, event_to_proto, spec_from_proto, spec_to_proto
from services.ingest.adapters.wire import Inbox, WireError, pack
from services.ingest.core.lifecycle import StreamState
from services.ingest.core.schedule import Schedule, Window, is_open
from services.ingest.core.session import FilePosition, Session
from services.ingest.core.streams import (
    Counters,
    Mode,
    Retention,
    StreamEvent,
    StreamSpec,
    Transport,
    check_spec,
    without_password,
)

CAMERA = StreamSpec("gym", "rack-1", "rtsp://user:secret@10.0.0.7/stream1")
names = st.text("abcXYZ019._-", min_size=1, max_size=10).map(lambda s: "a" + s)
schedules = st.builds(
    Schedule,
    st.lists(
        st.builds(Window, st.integers(0, 1439), st.integers(0, 1440), st.frozensets(st.integers(1, 7), max_size=7)),
        max_size=3,
    ).map(tuple),
    st.sampled_from(["", "Europe/Berlin", "Asia/Kathmandu", "America/New_York"]),
)
specs = st.builds(
    StreamSpec, names, names, st.just("rtsp://10.0.0.1/x"), st.sampled_from(Mode),
    st.one_of(st.none(), st.floats(0.1, 60)), st.integers(120, 2160), st.sampled_from(Transport), st.booleans(),
    schedules, st.one_of(st.none(), st.just("squat")), st.one_of(st.none(), st.sampled_from(Retention)),
    st.integers(0, 2**40),
)  # fmt: skip


@given(specs)
def test_specs_survive_the_message(spec: StreamSpec) -> None:
    message = pb.StreamSpec.FromString(spec_to_proto(spec).SerializeToString())
    assert spec_from_proto(message) == spec
    assert check_spec(spec) is spec


@given(
    st.sampled_from(StreamState), st.sampled_from(StreamState), st.text(max_size=20), st.floats(0, 1e10),
    st.dictionaries(st.sampled_from(["rate", "late", "load"]), st.integers(1, 2**50)),
    st.one_of(st.none(), st.floats(1, 1e10)),
)  # fmt: skip
def test_events_survive_the_message(
    source: StreamState, target: StreamState, text: str, at_s: float, skipped: dict[str, int], retry: float | None
) -> None:
    event = StreamEvent(
        StreamKey("gym", "rack-1", "170"), source, target, "timeout", text, at_s, at_s / 2,
        Counters(7, 5, skipped, 3, 99), retry, retry, 12,
    )  # fmt: skip
    message = pb.StreamEvent.FromString(event_to_proto(event).SerializeToString())
    assert event_from_proto(message) == event


def test_what_is_unspecified_gets_the_default_of_its_mode() -> None:
    live = spec_from_proto(pb.StreamSpec(tenant="t", stream_id="s", uri="rtsp://x/", mode=pb.STREAM_MODE_LIVE))
    file = spec_from_proto(pb.StreamSpec(tenant="t", stream_id="s", uri="a.mp4", mode=pb.STREAM_MODE_FILE))
    assert (live.rate_fps, live.short_side_px, live.transport) == (10.0, 480, Transport.TCP)
    assert live.kept is Retention.KEYPOINTS_ONLY
    assert (file.rate_fps, file.kept) == (None, Retention.PICTURES)


def test_specs_of_no_mode_or_a_newer_version_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"t/s: no mode"):
        spec_from_proto(pb.StreamSpec(tenant="t", stream_id="s"))
    with pytest.raises(ConfigError, match="upgrade"):
        spec_from_proto(pb.StreamSpec(mode=pb.STREAM_MODE_LIVE, transport=99))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tenant": "a/b"}, "tenant"), ({"stream_id": ""}, "stream_id"), ({"uri": "file:///etc/passwd"}, "file"),
        ({"uri": "/etc/passwd"}, "none"), ({"uri": "rtsp://x/\n"}, "control"), ({"analysis_fps": 0.0}, "analysis_fps"),
        ({"analysis_fps": float("nan")}, "analysis_fps"), ({"short_side_px": 8}, "short_side_px"),
        ({"schedule": Schedule(time_zone="Mars/Olympus")}, "Mars/Olympus"),
        ({"schedule": Schedule((Window(0, 1500),))}, "1500"),
        ({"schedule": Schedule((Window(0, 5, frozenset({8})),))}, "8"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused_in_one_sentence(change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refusal:
        check_spec(replace(CAMERA, **change))  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value).replace("\\n", "")
    assert "secret" not in str(refusal.value)


def test_passwords_are_not_shown() -> None:
    assert without_password(CAMERA.uri) == "rtsp://10.0.0.7/stream1"
    assert without_password("clip@home.mp4") == "clip@home.mp4"


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def test_schedules_are_in_local_time_and_go_over_midnight() -> None:
    week = Schedule((Window(6 * 60, 22 * 60, frozenset({1, 2, 3, 4, 5})),), "Europe/Berlin")
    assert is_open(week, at("2026-07-06T06:00"))  # a Monday
    assert not is_open(week, at("2026-07-06T05:59"))
    assert not is_open(week, at("2026-07-06T22:00"))
    assert not is_open(week, at("2026-07-05T12:00"))
    assert is_open(week, datetime(2026, 7, 6, 4, 30, tzinfo=UTC).timestamp())  # 6:30 in summer
    assert not is_open(week, datetime(2026, 12, 7, 4, 30, tzinfo=UTC).timestamp())  # 5:30 in winter
    night = Schedule((Window(22 * 60, 2 * 60, frozenset({5})),), "Europe/Berlin")  # Friday night
    assert is_open(night, at("2026-07-10T23:00"))
    assert is_open(night, at("2026-07-11T01:59"))
    assert not is_open(night, at("2026-07-10T01:00"))
    assert is_open(Schedule(), 0.0)


@settings(deadline=None)
@given(schedules, st.floats(0, 4e9))
def test_a_schedule_always_has_an_answer_and_whole_days_are_open(schedule: Schedule, unix_s: float) -> None:
    assert is_open(schedule, unix_s) in (True, False)
    assert is_open(Schedule((Window(0, 1440),), schedule.time_zone), unix_s)
    assert is_open(Schedule((Window(300, 300),), schedule.time_zone), unix_s)


def test_another_replica_goes_on_with_a_session() -> None:
    first = Session.live("t", "s", 1000.0, monotonic_s=5.0)
    for n in range(600):  # the fastest camera there may be
        assert first.accept(n, (n + 1) / 60, live=True)
    second = Session.live("t", "s", 1012.0, monotonic_s=77.0, session_id=first.key.session_id)
    assert second.key == first.key
    assert second.now_s(80.0) == pytest.approx(15.0)
    assert second.next_sequence >= first.next_sequence
    assert not second.accept(second.next_sequence, 11.9, live=True)
    assert second.accept(second.next_sequence, 12.1, live=True)
    ahead = Session.live("t", "s", 1012.0, 0.0, session_id=first.key.session_id, floor_s=20.0)
    assert ahead.promised_s == 20.0  # the other machine's clock was ahead


def test_frames_that_come_after_a_mark_are_not_accepted() -> None:
    session = Session.live("t", "s", 1000.0, 0.0)
    assert session.accept(0, 1.0, live=True)
    session.promise(3.0)
    assert not session.accept(1, 3.0, live=True)
    assert session.accept(1, 3.1, live=True)
    assert not session.accept(1, 3.2, live=True)


def test_a_file_starts_after_its_position() -> None:
    session = Session.file("t", "s", 3, FilePosition(41, 1.64))
    assert session.key.session_id == "f3"
    assert (session.next_sequence, session.after_s) == (42, 1.64)
    assert not session.accept(41, 1.64, live=False)
    assert session.accept(42, 1.68, live=False)


@given(st.lists(st.tuples(st.dictionaries(st.text(max_size=5), st.integers()), st.binary(max_size=300)), max_size=6),
       st.lists(st.integers(1, 50), min_size=1, max_size=10))  # fmt: skip
def test_messages_arrive_whole_however_they_are_cut(
    messages: list[tuple[dict[str, int], bytes]], cuts: list[int]
) -> None:
    data = b"".join(pack(header, body) for header, body in messages)
    inbox, found, at_byte, i = Inbox(), [], 0, 0
    while at_byte < len(data):
        size = cuts[i % len(cuts)]
        found += list(inbox.feed(data[at_byte : at_byte + size]))
        at_byte, i = at_byte + size, i + 1
    assert found == messages


@pytest.mark.parametrize("data", [b"\xff" * 8, b"\x02\0\0\0\0\0\0\0{{", b"\x02\0\0\0\0\0\0\0[]"])
def test_nonsense_from_a_reader_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        list(Inbox().feed(data))


def test_jobs_survive_json() -> None:
    import json

    job = Job("t", "s", "1", "rtsp://x", True, "tcp", None, 480, 1.5, 0.0, 3, 2, after_s=None)
    assert Job.from_json(json.dumps(job.to_json())) == job
