"""Cameras over real RTSP: paced, killed, stalled, garbage, locked; and one never touches another."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import psutil
import pytest

from services.common.errors import ConfigError
from services.common.jpeg import decode_jpeg
from services.common.processor import MarkKind
from services.ingest.adapters.readers import ReaderFactory
from services.ingest.adapters.supervisor import Start, Supervisor, Tuning, run_until
from services.ingest.core.lifecycle import StreamState
from services.ingest.core.schedule import Schedule, Window
from services.ingest.core.streams import StreamSpec, Transport
from services.local.stack import cameras as stack
from services.local.stack.cameras import TestCameras
from tests.ingest_sink import Recorder
from tests.media import ffmpeg, make_video

pytestmark = pytest.mark.slow
QUICK = Tuning(open_timeout_s=6.0, read_timeout_s=3.0, backoff_first_s=0.2, backoff_most_s=1.0)
PATIENCE_S = 60.0  # a busy machine takes its time


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264 with B-frames, 25 frames/s, moving all over."""
    path = tmp_path_factory.mktemp("camera") / "clip.mp4"
    codec = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p")
    return make_video(path, *codec, size="320x240", seconds=4.0)


@pytest.fixture(scope="module")
def cameras(clip: Path) -> Iterator[TestCameras]:
    with TestCameras(2, [clip], hours=0.2) as running:
        yield running


def camera(uri: str, name: str = "one", **more: object) -> StreamSpec:
    return replace(StreamSpec("gym", name, uri, analysis_fps=10.0), **more)  # type: ignore[arg-type]


def wait(supervisor: Supervisor, done: object, timeout_s: float = PATIENCE_S) -> None:
    assert callable(done)
    if not run_until(supervisor, done, timeout_s):
        pytest.fail(f"not reached in {timeout_s:.0f} s: {supervisor.status()}")


def decoded(supervisor: Supervisor, stream_id: str = "good") -> tuple[float, int]:
    """(now, pictures that the camera has sent so far), at the moment when the reader tells so."""

    def count() -> int:
        return next(s.counters.decoded for s in supervisor.status() if s.spec.stream_id == stream_id)

    before = count()
    wait(supervisor, lambda: count() != before)
    return time.monotonic(), count()


def camera_fps(supervisor: Supervisor, since: tuple[float, int]) -> float:
    """What the camera has sent since, a second."""
    now_s, count = decoded(supervisor)
    return (count - since[1]) / (now_s - since[0])


@pytest.mark.parametrize("transport", list(Transport))
def test_frames_arrive_paced_with_increasing_event_times(
    supervisor: Supervisor, sink: Recorder, cameras: TestCameras, transport: Transport
) -> None:
    started_unix_s = time.time()
    supervisor.apply(camera(cameras.uris[0], transport=transport))
    wait(supervisor, lambda: len(sink.frames["gym/one"]) >= 35)
    frames = sink.frames["gym/one"]
    times = np.array([f.time_s for f in frames])
    steps = np.diff(times) * 25  # in pictures of the camera
    assert steps.min() > 0.9
    assert np.abs(steps - steps.round()).max() < 0.3
    session_unix_s = int(frames[0].stream.session_id) / 1000
    assert session_unix_s == pytest.approx(started_unix_s, abs=1.0)
    delays = np.array(sink.arrivals["gym/one"]) - sink.arrivals["gym/one"][0] - (times - times[0])
    assert np.median(np.abs(delays)) < 1.0  # paced
    assert all(abs(f.captured_unix_s - session_unix_s - f.time_s) < 0.2 for f in frames)
    picture = decode_jpeg(frames[-1].jpeg)
    assert picture.shape == (240, 320, 3)
    assert (frames[-1].width_px, frames[-1].height_px) == (320, 240)
    assert picture.std() > 20
    assert sink.states("gym/one") == ["connecting", "live"]
    wait(supervisor, lambda: supervisor.status()[0].counters.decoded > 50)
    (status,) = supervisor.status()
    assert status.source["codec"] == "h264"
    assert status.counters.skipped["rate"] > 0.4 * status.counters.decoded
    if not {"load", "replaced", "late"} & set(status.counters.skipped):  # the machine keeps up
        assert np.median(np.diff(times)) == pytest.approx(0.1, abs=0.025)
    on_its_way = status.counters.decoded - len(sink.frames["gym/one"]) - sum(status.counters.skipped.values())
    assert abs(on_its_way) <= 15  # counts are told once a second


def test_a_killed_camera_is_lost_and_found_again_in_the_same_session(
    supervisor: Supervisor, sink: Recorder, clip: Path
) -> None:
    with TestCameras(1, [clip], hours=0.2) as own:
        supervisor.apply(camera(own.uris[0]))
        wait(supervisor, lambda: len(sink.frames["gym/one"]) >= 5)
        first_pid = supervisor.status()[0].reader_pid
        own.kill()
        wait(supervisor, lambda: "lost" in sink.states("gym/one"))
        wait(supervisor, lambda: sink.kinds("gym/one").count(MarkKind.HEARTBEAT) >= 2)
        before = len(sink.frames["gym/one"])
        own.start()
        wait(supervisor, lambda: len(sink.frames["gym/one"]) >= before + 5)
    assert first_pid is not None
    assert not psutil.pid_exists(first_pid)
    assert len({f.stream for f in sink.frames["gym/one"]}) == 1
    kinds = sink.kinds("gym/one")
    assert kinds.index(MarkKind.LOST) < kinds.index(MarkKind.RESUMED)
    lost = next(e for e in sink.events["gym/one"] if e.target is StreamState.LOST)
    assert lost.reason in ("eof", "reset")
    assert lost.retry_unix_s is not None
    heartbeats = [m.time_s for m in sink.marks["gym/one"] if m.kind is MarkKind.HEARTBEAT]
    assert min(np.diff(heartbeats)) > 0.5  # about one a second
    gap_s = max(np.diff([f.time_s for f in sink.frames["gym/one"]]))
    assert gap_s > 1.5  # the outage is an outage in event time too
    assert supervisor.status()[0].counters.reconnects >= 1


def test_a_stopped_camera_stalls_then_is_lost_and_its_neighbour_goes_on(
    supervisor: Supervisor, sink: Recorder, cameras: TestCameras, clip: Path
) -> None:
    """Beside it: one that sends garbage, one that accepts and says nothing, one that is not there."""
    with TestCameras(1, [clip], hours=0.2) as own, bad_server(garbage) as noise, bad_server(silence) as mute:
        supervisor.apply(camera(cameras.uris[0], "good"))
        wait(supervisor, lambda: len(sink.frames["gym/good"]) >= 5)
        start = decoded(supervisor)
        wait(supervisor, lambda: time.monotonic() > start[0] + 3.5)
        alone_fps = camera_fps(supervisor, start)
        supervisor.apply(camera(own.uris[0], "stopped"))
        wait(supervisor, lambda: len(sink.frames["gym/stopped"]) >= 3)
        since = decoded(supervisor)
        story = len(sink.events["gym/stopped"])
        own.signal(signal.SIGSTOP)
        supervisor.apply(camera(f"rtsp://127.0.0.1:{noise}/x", "garbage"))
        supervisor.apply(camera(f"http://127.0.0.1:{noise}/x.ts", "noise"))
        supervisor.apply(camera(f"rtsp://127.0.0.1:{mute}/x", "mute"))
        supervisor.apply(camera(f"rtsp://127.0.0.1:{free_port()}/x", "absent"))
        wait(supervisor, lambda: "lost" in sink.states("gym/stopped")[story:])
        wait(supervisor, lambda: all("lost" in sink.states(f"gym/{n}") for n in ("garbage", "noise", "mute", "absent")))
        wait(supervisor, lambda: time.monotonic() > since[0] + 6)
        own.signal(signal.SIGCONT)
        assert camera_fps(supervisor, since) > 0.5 * alone_fps
        during_s = [t for t in sink.arrivals["gym/good"] if t >= since[0]]
        # Who waited for the others would have waited for their time-outs (3 s).
        assert np.diff(during_s).max() < 0.7 * QUICK.read_timeout_s
    assert set(sink.states("gym/good")) <= {"connecting", "live", "stalled"}
    assert MarkKind.LOST not in sink.kinds("gym/good")
    lost = next(e for e in sink.events["gym/stopped"][story:] if e.target is StreamState.LOST)
    assert "stalled" in sink.states("gym/stopped")[story : sink.events["gym/stopped"].index(lost)]
    assert lost.reason == "timeout"
    assert lost.detail.endswith("sends nothing any more (3 s)")
    bad = ("garbage", "noise", "mute", "absent")
    reasons = {n: next(e.reason for e in sink.events[f"gym/{n}"] if e.target is StreamState.LOST) for n in bad}
    assert reasons["mute"] == "timeout"
    assert reasons["absent"] == "refused"
    assert {reasons["garbage"], reasons["noise"]} <= {"garbage", "timeout", "eof", "reset", "unreachable", "broken"}


def test_a_reader_that_is_killed_or_hangs_is_replaced_and_touches_nobody(
    supervisor: Supervisor, sink: Recorder, cameras: TestCameras
) -> None:
    """As a decoder that crashes, or never returns, would be."""
    for i, name in enumerate(("one", "two")):
        supervisor.apply(camera(cameras.uris[i], name))
    wait(supervisor, lambda: all(len(sink.frames[f"gym/{n}"]) >= 5 for n in ("one", "two")))
    pids = {s.spec.stream_id: s.reader_pid for s in supervisor.status()}
    assert None not in pids.values()
    os.kill(pids["one"], signal.SIGSEGV)  # type: ignore[arg-type]
    before = len(sink.frames["gym/one"])
    wait(supervisor, lambda: len(sink.frames["gym/one"]) >= before + 10)
    lost = next(e for e in sink.events["gym/one"] if e.target is StreamState.LOST)
    assert (lost.reason, lost.detail) == ("crashed", "The reader was ended by SIGSEGV.")
    assert sink.states("gym/two") == ["connecting", "live"]
    assert {s.spec.stream_id: s.reader_pid for s in supervisor.status()}["two"] == pids["two"]


def test_streams_are_changed_paused_and_removed_while_running(
    supervisor: Supervisor, sink: Recorder, cameras: TestCameras
) -> None:
    spec = camera(cameras.uris[0])
    supervisor.apply(spec)
    wait(supervisor, lambda: len(sink.frames["gym/one"]) >= 5)
    pid = supervisor.status()[0].reader_pid
    supervisor.apply(replace(spec, analysis_fps=2.0))
    wait(supervisor, lambda: time.monotonic() - sink.arrivals["gym/one"][-1] > 0.3)
    since = len(sink.frames["gym/one"])
    wait(supervisor, lambda: len(sink.frames["gym/one"]) >= since + 4)
    steps = np.diff([f.time_s for f in sink.frames["gym/one"][since:]]) / 0.5
    assert steps.min() > 0.8  # a busy machine may leave some out
    assert np.abs(steps - steps.round()).max() < 0.1
    assert supervisor.status()[0].reader_pid == pid

    closed = Schedule((Window(0, 1),)) if time.gmtime().tm_hour == 12 else Schedule((Window(720, 721),))
    supervisor.apply(replace(spec, schedule=closed))
    wait(supervisor, lambda: sink.states("gym/one")[-1] == "paused")
    assert sink.events["gym/one"][-1].reason == "schedule"
    assert sink.kinds("gym/one")[-1] is MarkKind.EOF
    supervisor.apply(spec)
    wait(supervisor, lambda: sink.states("gym/one")[-1] == "live")
    wait(supervisor, lambda: sink.frames["gym/one"][-1].stream != sink.frames["gym/one"][0].stream)  # another session
    supervisor.apply(replace(spec, uri=cameras.uris[1]))
    changed = next(e for e in sink.events["gym/one"] if e.reason == "changed")
    assert changed.target is StreamState.CONNECTING
    since = sink.events["gym/one"].index(changed)
    wait(supervisor, lambda: "live" in sink.states("gym/one")[since:])
    wait(supervisor, lambda: supervisor.status()[0].reader_pid is not None)
    last = supervisor.status()[0]
    supervisor.remove("gym/one")
    assert sink.states("gym/one")[-1] == "ended"
    assert sink.kinds("gym/one")[-1] is MarkKind.EOF
    assert supervisor.status() == []
    assert last.reader_pid is not None
    wait(supervisor, lambda: not psutil.pid_exists(last.reader_pid))


def test_a_slow_taker_costs_pictures_that_are_counted_and_never_delays(
    supervisor: Supervisor, sink: Recorder, cameras: TestCameras
) -> None:
    supervisor.apply(camera(cameras.uris[0], analysis_fps=None))
    wait(supervisor, lambda: len(sink.frames["gym/one"]) >= 5)
    sink.blocked.add("gym/one")
    until_s = time.monotonic() + 4.0
    wait(supervisor, lambda: time.monotonic() > until_s)
    sink.blocked.clear()
    before = len(sink.frames["gym/one"])
    wait(supervisor, lambda: len(sink.frames["gym/one"]) >= before + 5)
    first = sink.frames["gym/one"][before]
    assert time.time() - first.captured_unix_s < 3.5  # not one of four seconds ago
    wait(supervisor, lambda: supervisor.status()[0].counters.skipped.get("replaced", 0) > 5)
    wait(supervisor, lambda: supervisor.status()[0].load_factor < 1)
    assert sink.states("gym/one") == ["connecting", "live"]


def test_a_locked_camera_fails_with_a_clear_reason_and_opens_with_the_password(
    supervisor: Supervisor, sink: Recorder, clip: Path
) -> None:
    with TestCameras(1, [clip], hours=0.2, user="coach", password="right") as own:
        wrong = camera(own.uris[0].replace("right", "wrong"))
        supervisor.apply(wrong)
        wait(supervisor, lambda: sink.states("gym/one")[-1:] == ["failed"])
        failed = sink.events["gym/one"][-1]
        assert failed.reason == "unauthorized"
        assert "refuses the user name or password" in failed.detail
        assert "wrong" not in failed.detail
        supervisor.apply(replace(wrong, uri=own.uris[0]))
        wait(supervisor, lambda: len(sink.frames["gym/one"]) >= 3)


def test_mpeg_ts_over_http_is_read_as_a_camera(
    supervisor: Supervisor, sink: Recorder, clip: Path, tmp_path: Path
) -> None:
    """Four seconds at their own pace, then the server hangs up: a camera that is lost and comes back."""
    ffmpeg("-i", clip, "-c", "copy", "-f", "mpegts", tmp_path / "clip.ts")
    data = (tmp_path / "clip.ts").read_bytes()

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
        for i in range(100):
            connection.sendall(data[len(data) * i // 100 : len(data) * (i + 1) // 100])
            time.sleep(0.04)

    with bad_server(serve) as port:
        supervisor.apply(camera(f"http://127.0.0.1:{port}/live.ts"))
        wait(supervisor, lambda: "lost" in sink.states("gym/one"))
        assert len(sink.frames["gym/one"]) > 10
        before = len(sink.frames["gym/one"])
        wait(supervisor, lambda: len(sink.frames["gym/one"]) > before + 3)
    assert supervisor.status()[0].source["format"] == "mpegts"
    lost = next(e for e in sink.events["gym/one"] if e.target is StreamState.LOST)
    assert lost.reason in ("eof", "broken"), lost.detail  # FFmpeg calls a server that hangs up an input error
    assert len({f.stream for f in sink.frames["gym/one"]}) == 1


def test_hls_is_read_as_a_camera_at_its_own_pace(
    supervisor: Supervisor, sink: Recorder, clip: Path, tmp_path: Path
) -> None:
    """Segments of a second come as they are made; a reader of whole segments is paced by their timestamps."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", clip, "-c", "copy", "-f", "hls",
               "-hls_time", "1", "-hls_list_size", "4", "-hls_flags", "delete_segments",
               tmp_path / "live.m3u8"]  # fmt: skip
    handler = partial(_Quiet, directory=str(tmp_path))
    with subprocess.Popen(command) as maker, ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            wait(supervisor, lambda: len(list(tmp_path.glob("*.ts"))) >= 3)
            supervisor.apply(camera(f"http://127.0.0.1:{server.server_port}/live.m3u8"))
            wait(supervisor, lambda: len(sink.frames["gym/one"]) >= 30)
        finally:
            maker.kill()
            server.shutdown()
    assert supervisor.status()[0].source["format"] == "hls"
    times_s = np.array([f.time_s for f in sink.frames["gym/one"]])
    arrivals_s = np.array(sink.arrivals["gym/one"])
    assert np.median(np.diff(times_s)) == pytest.approx(0.1, abs=0.03)
    assert arrivals_s[-1] - arrivals_s[5] > 0.7 * (times_s[-1] - times_s[5]), "not a segment at a time"
    assert len({f.stream for f in sink.frames["gym/one"]}) == 1


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Not a word."""


def test_another_replica_goes_on_with_the_session(sink: Recorder, cameras: TestCameras, factory: ReaderFactory) -> None:
    spec = camera(cameras.uris[0])
    with Supervisor(sink, tuning=QUICK, factory=factory) as first:
        first.apply(spec)
        wait(first, lambda: len(sink.frames["gym/one"]) >= 5)
        session = sink.frames["gym/one"][-1].stream.session_id
        first.release("gym/one")
    sink._state.clear()
    with Supervisor(sink, tuning=QUICK, factory=factory) as second:
        second.apply(spec, Start(session_id=session))
        wait(second, lambda: len(sink.frames["gym/one"]) >= 10)
    assert {f.stream.session_id for f in sink.frames["gym/one"]} == {session}
    assert MarkKind.EOF not in sink.kinds("gym/one")


def test_nothing_is_left_when_the_service_is_killed(clip: Path, cameras: TestCameras) -> None:
    """Readers and zygote end with the service, however it ends."""
    program = (
        "import sys\n"
        "from tests.ingest_sink import Recorder\n"
        "from services.ingest.adapters.supervisor import Supervisor, run_until\n"
        "from services.ingest.core.streams import StreamSpec\n"
        "sink = Recorder()\n"
        "s = Supervisor(sink)\n"
        f"s.apply(StreamSpec('gym', 'one', '{cameras.uris[0]}'))\n"
        "run_until(s, lambda: len(sink.frames['gym/one']) > 2, 60)\n"
        "print('ready', flush=True)\n"
        "run_until(s, lambda: False, 60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=stack.ROOT, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) == 2  # zygote and reader
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []


def test_what_is_missing_is_said_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clip: Path
) -> None:
    lacking = tmp_path / "server.py"
    lacking.write_text(stack.SERVER.read_text().replace('"GstRtspServer", "1.0"', '"GstNoSuchThing", "1.0"'))
    monkeypatch.setattr(stack, "SERVER", lacking)
    with pytest.raises(ConfigError, match="apt-get install -y .*gir1.2-gst-rtsp-server-1.0"):
        TestCameras(1, [clip], hours=0.01)
    with pytest.raises(ConfigError, match="no such clip"):
        TestCameras(1, [tmp_path / "none.mp4"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def garbage(connection: socket.socket) -> None:
    """What no camera should send, as fast as it is taken."""
    noise = random.Random(1)
    while True:
        connection.sendall(noise.randbytes(4096))


def silence(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


class bad_server:  # noqa: N801 - used as a function
    """A server on 127.0.0.1 that treats every client the same; gives its port."""

    def __init__(self, treat: object) -> None:
        self._treat = treat
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open = True

    def __enter__(self) -> int:
        threading.Thread(target=self._accept, daemon=True).start()
        return int(self._socket.getsockname()[1])

    def _accept(self) -> None:
        while self._open:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        assert callable(self._treat)
        with connection:
            try:
                self._treat(connection)
            except OSError:
                return

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
