"""The ingest service on a real broker: files exactly once through kill -9, cameras shared, what is wanted followed."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from kafka.partitioner import murmur2

from services.common import topics
from services.common.codec import EncodedFrame
from services.common.jpeg import encode_jpeg
from services.common.kafka.clients import KafkaConfig, make_producer
from services.common.kafka.dlq import dead_letters
from services.common.processor import MarkKind
from services.common.topics import TOPICS
from services.ingest.adapters.media import VideoReader
from services.ingest.core.lifecycle import StreamState
from services.ingest.core.streams import Mode, StreamSpec
from services.local.stack.cameras import TestCameras
from services.local.stack.kafka import KafkaCluster
from services.local.stack.streams import (
    list_streams,
    pause_stream,
    publish_spec,
    remove_stream,
    render_streams,
    stream_states,
    wanted_streams,
)
from tests.media import make_video
from tests.support.ingest import FollowingPose, Frames, Replica, commit_as_pose, history, replicas, states
from tests.support.kafka import PARTITIONS, PATIENCE, TopicReader, config_of, wait_for
from tests.support.service_process import get

pytestmark = pytest.mark.slow
AHEAD = 32
Start = Callable[..., Replica]
Reader = Callable[[str], Frames]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 frames."""
    return make_video(tmp_path_factory.mktemp("service") / "clip.mp4", size="160x120", seconds=6.0)


@pytest.fixture(scope="module")
def whole(clip: Path) -> list[tuple[int, float, bool, bool, bytes]]:
    with VideoReader(str(clip), max_short_side_px=480, threads=1) as reader:
        return [(f.sequence, f.time_s, f.cut, f.frozen, encode_jpeg(f.image)) for f in reader]


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCameras]:
    path = make_video(tmp_path_factory.mktemp("cameras") / "clip.mp4", "-c:v", "libx264", "-g", "25", "-pix_fmt",
                      "yuv420p", size="320x240", seconds=4.0)  # fmt: skip
    with TestCameras(4, [path], hours=0.2) as running:
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with replicas(tmp_path) as starter:
        yield starter


@pytest.fixture
def reader(kafka_config: KafkaConfig) -> Iterator[Reader]:
    with ExitStack() as opened:
        yield lambda topic: opened.enter_context(closing(Frames(kafka_config, topic)))


def recording(clip: Path, name: str = "clip", **more: object) -> StreamSpec:
    return replace(StreamSpec("gym", name, str(clip), Mode.FILE), **more)  # type: ignore[arg-type]


def camera(uri: str, name: str, **more: object) -> StreamSpec:
    return replace(StreamSpec("gym", name, uri, analysis_fps=10.0), **more)  # type: ignore[arg-type]


def content(frames: list[EncodedFrame]) -> list[tuple[int, float, bool, bool, bytes]]:
    return [(f.sequence, f.time_s, f.cut, f.frozen, f.jpeg) for f in frames]


def in_order(frames: list[EncodedFrame]) -> bool:
    """Of one session: sequences and times rise."""
    return all(a.sequence < b.sequence and a.time_s < b.time_s for a, b in pairwise(frames))


def test_a_file_is_held_back_killed_and_gone_on_with_and_each_frame_comes_once(
    kafka_config: KafkaConfig, start: Start, reader: Reader, clip: Path, whole: list, request: pytest.FixtureRequest
) -> None:
    settings = {"FORMCHECK_INGEST_FILE_FOLDERS": str(clip.parent), "FORMCHECK_INGEST_FILE_AHEAD_FRAMES": str(AHEAD)}
    seen = reader(topics.FRAMES_FILE)
    first = start(kafka_config, **settings).ready()
    publish_spec(kafka_config, recording(clip, exercise="squat"))
    publish_spec(kafka_config, recording(Path("/etc/hostname"), "secret"))
    wait_for(lambda: seen.count("clip") >= AHEAD // 2, 30)
    wait_for(lambda: states(kafka_config, "secret") == ["failed"], 20)
    assert "outside the folders" in history(kafka_config)["secret"][0].detail
    held = -1
    while seen.count("clip") > held:  # pose does not follow: it comes to rest
        held = seen.count("clip")
        time.sleep(0.7)
    assert 0 < held <= AHEAD + 8, "what waits for pose is bounded"
    assert seen.headers["clip"]["exercise"] == b"squat"
    assert float(seen.headers["clip"]["captured_unix_s"]) == pytest.approx(time.time(), abs=120)
    wait_for(lambda: first.metrics()["formcheck_ingest_paused_partitions"] == 1, 10)
    request.addfinalizer(FollowingPose(kafka_config, fps=60).close)
    wait_for(lambda: seen.count("clip") >= 70, 30, "it goes on")
    first.kill()
    taken = seen.count("clip")
    second = start(kafka_config, **settings).ready()
    wait_for(lambda: seen.ends("clip"), 60, "the file's end")
    assert 70 <= taken < 150, "it was killed in mid-file"
    assert content(seen.read(to_end=True).frames["clip"]) == whole
    assert [mark.time_s for mark in seen.marks["clip"]] == [whole[-1][1]]
    wait_for(lambda: stream_states(kafka_config)["gym/clip"].target is StreamState.ENDED, 10)
    assert stream_states(kafka_config)["gym/clip"].next_sequence == 150

    assert second.stop() < 10
    third = start(kafka_config, **settings).ready()
    publish_spec(kafka_config, recording(clip, revision=1))  # the same file anew, and nothing of the old session
    wait_for(lambda: len(seen.ends("clip")) == 2, 60)
    anew = [f for f in seen.read(to_end=True).frames["clip"] if f.stream.session_id == "f1"]
    assert content(anew) == whole
    assert len(seen.frames["clip"]) == 300
    assert third.stop() < 10
    lines = [line for line in third.lines() if line["level"] in ("error", "critical")]
    assert lines == []


def test_what_is_wanted_is_followed_while_it_runs_and_bad_records_touch_nobody(
    kafka_config: KafkaConfig, start: Start, reader: Reader, cameras: TestCameras
) -> None:
    seen = reader(topics.FRAMES_LIVE)
    service = start(kafka_config).ready()
    one, two = camera(cameras.uris[0], "one"), camera(cameras.uris[1], "two")
    publish_spec(kafka_config, one)
    publish_spec(kafka_config, two)
    wait_for(lambda: seen.count("one") >= 5 and seen.count("two") >= 5, 40)
    _write_bad(kafka_config)
    wait_for(lambda: len(dead_letters(kafka_config, topics.STREAMS)) == 2, 20)
    assert {letter.stage for letter in dead_letters(kafka_config, topics.STREAMS)} == {"ingest"}
    dead = "formcheck_ingest_dead_letter_records_total/InputError/streams.v1"
    wait_for(lambda: service.metrics()[dead] == 2, 10)

    pause_stream(kafka_config, "gym/two")
    wait_for(lambda: states(kafka_config, "two")[-1:] == ["paused"], 20)
    wait_for(lambda: seen.ends("two"), 10)
    paused = seen.count("two")
    publish_spec(kafka_config, replace(one, analysis_fps=2.0))
    wait_for(lambda: wanted_streams(kafka_config)["gym/one"].analysis_fps == 2.0, 5)
    before = seen.count("one")
    wait_for(lambda: seen.count("one") >= before + 8, 30)
    late = seen.frames["one"][-5:]
    assert (late[-1].time_s - late[0].time_s) / 4 > 0.35, "the lower rate is kept"
    assert seen.count("two") == paused
    pause_stream(kafka_config, "gym/two", paused=False)
    wait_for(lambda: seen.count("two") >= paused + 5, 30)
    assert len({f.stream.session_id for f in seen.frames["two"]}) == 2, "after a pause it is another session"

    remove_stream(kafka_config, "gym/two")
    wait_for(lambda: len(seen.ends("two")) == 2, 20)
    wait_for(lambda: "gym/two" not in stream_states(kafka_config), 10)
    assert states(kafka_config, "two")[-1] == "ended"
    rows = list_streams(kafka_config)
    assert [(row.name, row.state) for row in rows] == [("gym/one", "live")]
    assert "gym/one" in render_streams(rows)
    wait_for(lambda: service.metrics()["formcheck_ingest_streams/live"] == 1, 10)  # told once a second
    got = service.metrics()
    assert got["formcheck_ingest_camera_fps/one"] > 10
    assert got["formcheck_ingest_skipped_frames_total/one/rate"] > 0
    assert got["formcheck_ingest_last_frame_age_seconds/one"] < 10
    assert got["formcheck_ingest_latency_seconds_count/frames.live.v1"] > 20
    assert "formcheck_ingest_camera_fps/two" not in got, "its series are gone"
    assert in_order(seen.frames["one"])

    commit_as_pose(
        kafka_config, topics.FRAMES_LIVE, 0
    )  # a pose that lags: the camera's rate is lowered, and that is said
    publish_spec(kafka_config, one)
    wait_for(lambda: service.metrics().get("formcheck_ingest_skipped_frames_total/one/load", 0) > 5, 30)
    assert any(line["event"] == "pose lags, rates are lowered" for line in service.lines())
    assert service.stop() < 10
    assert {line.get("stream_id") for line in service.lines() if line["event"] == "stream"} == {"one", "two"}


def _write_bad(kafka: KafkaConfig) -> None:
    producer = make_producer(kafka)
    topic = kafka.topic(topics.STREAMS)
    producer.send(topic, key=b"gym/one", value=b"\xff\xff\xff")
    producer.send(topic, key=b"gym/other", value=b"\x0a\x03gym\x12\x03cam", headers=[("message", b"a.b.C")])
    producer.close()


def test_two_replicas_share_the_cameras_and_one_takes_over_within_ten_seconds(
    kafka_config: KafkaConfig, start: Start, reader: Reader, cameras: TestCameras, clip: Path, whole: list,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    names, settings = _spread("cam", 4), {"FORMCHECK_INGEST_FILE_FOLDERS": str(clip.parent)}
    a = start(kafka_config, "a", **settings).ready()
    for name, uri in zip(names, cameras.uris, strict=True):
        publish_spec(kafka_config, camera(uri, name))
    seen = reader(topics.FRAMES_LIVE)
    wait_for(lambda: all(seen.count(name) >= 3 for name in names), 60)
    b = start(kafka_config, "b", **settings).ready()

    def shared() -> bool:
        live = [_live(r) for r in (a, b)]
        return bool(live[0] and live[1] and sorted(live[0] + live[1]) == sorted(names))

    wait_for(shared, 30, "both have cameras")
    orphans = _live(a)
    file = next(name for name in _spread("clip", 4) if _partition(name) == _partition(orphans[0]))
    request.addfinalizer(FollowingPose(kafka_config, fps=40).close)
    files = reader(topics.FRAMES_FILE)
    publish_spec(kafka_config, recording(clip, file))
    wait_for(lambda: files.count(file) >= 100, 40)
    seen.read(to_end=True)
    sessions = {name: seen.frames[name][-1].stream.session_id for name in names}
    a.kill()
    killed_s = time.monotonic()
    counts = {name: len(seen.read(to_end=True).frames[name]) for name in names}
    wait_for(lambda: all(seen.count(name) >= counts[name] + 3 for name in orphans), 30)
    took_s = time.monotonic() - killed_s
    assert took_s < 10 * PATIENCE, f"taken over after {took_s:.1f} s"
    print(f"{len(orphans)} cameras taken over {took_s:.1f} s after kill -9")
    for name in names:
        assert in_order(seen.frames[name])
        assert {f.stream.session_id for f in seen.frames[name]} == {sessions[name]}, "the session goes on"
        assert not seen.ends(name)
    gaps = [max(y.time_s - x.time_s for x, y in pairwise(f)) for n in orphans if (f := seen.frames[n])]
    assert max(gaps) < 12 * PATIENCE
    marks = [m for n in orphans for m in seen.marks[n] if m.kind is MarkKind.RESUMED]
    assert len(marks) >= len(orphans)
    wait_for(lambda: files.ends(file), 40)
    assert content(files.read(to_end=True).frames[file]) == whole, "a file that was half read goes on there, too"
    assert states(kafka_config, file).count("connecting") == 2
    assert b.stop() < 10


def _live(replica: Replica) -> list[str]:
    prefix = "formcheck_ingest_camera_fps/"
    return [name.removeprefix(prefix) for name in replica.metrics() if name.startswith(prefix)]


def _spread(stem: str, count: int) -> list[str]:
    """Names whose streams lie in as many partitions as there are."""
    names = {_partition(name): name for name in (f"{stem}{i}" for i in range(100))}
    assert len(names) == PARTITIONS
    return list(names.values())[:count]


def _partition(name: str) -> int:
    """As Kafka's clients choose it."""
    return int(murmur2(f"gym/{name}".encode()) & 0x7FFFFFFF) % PARTITIONS


def test_a_broker_that_is_away_costs_live_frames_that_are_counted_and_a_file_nothing(
    tmp_path: Path, start: Start, cameras: TestCameras, clip: Path, whole: list
) -> None:
    with KafkaCluster(tmp_path / "kafka", quick=True) as cluster:
        kept = {"retention.ms": "3600000"}  # all is counted at the end
        cluster.create_topics([replace(t, config=t.config | kept) for t in TOPICS], partitions=2)
        kafka = config_of(cluster.bootstrap, "")
        settings = {"FORMCHECK_INGEST_FILE_FOLDERS": str(clip.parent), "FORMCHECK_INGEST_FILE_AHEAD_FRAMES": str(AHEAD)}
        service = start(kafka, **settings).ready()
        publish_spec(kafka, camera(cameras.uris[0], "rack"))
        publish_spec(kafka, recording(clip))
        with _frames(kafka) as (live, files):
            wait_for(lambda: live.count("rack") >= 10 and files.count("clip") >= AHEAD // 2, 40)
            newest_s = live.frames["rack"][-1].time_s
        cluster.kill(0)
        away_s = time.monotonic()
        wait_for(lambda: time.monotonic() - away_s > 6, 10)
        assert service.process.poll() is None
        assert get(service.port, "/healthz")[0] == 200
        cluster.restart(0)
        away_s = time.monotonic() - away_s
        back_s = time.monotonic()
        with closing(FollowingPose(kafka)), _frames(kafka) as (live, files):
            since_s = newest_s + away_s
            wait_for(lambda: sum(f.time_s > since_s for f in live.read().frames["rack"]) >= 20, 60, "live frames again")
            wait_for(lambda: files.ends("clip"), 60, "the file is read to its end")
            print(f"away for {away_s:.1f} s, both flow {time.monotonic() - back_s:.1f} s after it is back")
            assert content(files.read(to_end=True).frames["clip"]) == whole
            assert in_order(live.frames["rack"])
            assert service.process.poll() is None
            remove_stream(kafka, "gym/rack")
            wait_for(lambda: live.ends("rack"), 30)
            wait_for(lambda: states(kafka, "rack")[-1] == "ended", 20)
            there = len(live.read(to_end=True).frames["rack"])
        counters = history(kafka)["rack"][-1].counters
        on_their_way = abs(counters.decoded - counters.sent - sum(counters.skipped.values()))
        assert on_their_way <= 50, f"the reader counts once a second: {counters}"
        assert 0 <= there - counters.sent <= 16, "none that is called sent is missing; of some the answer was lost"
        outage = sum(counters.skipped.get(r, 0) for r in ("replaced", "late", "load", "undelivered"))
        assert outage > 5 * away_s, f"10 frames a second are wanted: {counters}"
        assert service.stop() < 10


@contextmanager
def _frames(kafka: KafkaConfig) -> Iterator[tuple[Frames, Frames]]:
    """Live and files. Not while a broker is away: the client's failed connections would warn."""
    with closing(Frames(kafka, topics.FRAMES_LIVE)) as live, closing(Frames(kafka, topics.FRAMES_FILE)) as files:
        yield live, files


def test_it_waits_for_kafka_and_says_so(tmp_path: Path, start: Start) -> None:
    service = start(KafkaConfig("127.0.0.1:9", prefix="x-"))
    port = service.port
    assert get(port, "/readyz")[0] == 503
    assert "127.0.0.1:9" in get(port, "/readyz")[1]
    assert json.loads(get(port, "/healthz")[1])["alive"] is True
    assert service.process.poll() is None
    os.kill(service.process.pid, signal.SIGTERM)
    assert service.process.wait(15) == 0


def test_streams_topics_are_read_once(kafka_config: KafkaConfig) -> None:
    """Nothing was ever wanted: empty lists, no waiting."""
    assert wanted_streams(kafka_config) == {}
    assert list_streams(kafka_config) == []
    reader = TopicReader(kafka_config, topics.STREAM_EVENTS)
    assert reader.read_to_end() == []
    reader.close()
