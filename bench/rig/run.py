"""A stack with streams, watched: what fault runs, chaos and soak do their worst to."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.rig.clips import lasting
from bench.rig.proxy import CuttingProxy
from bench.rig.scraping import Labels, Scraper, scrape, total
from services.common import topics
from services.common.errors import FormcheckError
from services.common.processor import MarkKind
from services.local.stack.cameras import TestCameras
from services.local.stack.invariants import Expected, Outage, Reference, Violation, check
from services.local.stack.kafka import KafkaCluster, free_ports
from services.local.stack.seen import Answer, Kind, Seen
from services.local.stack.streams import new_spec, publish_spec, remove_stream
from services.local.stack.up import Stack
from services.local.stack.watch import TopicWatch, ended

TENANT: Final = "gym"
FPS: Final = 10.0
"""Analysed of files and cameras."""
SERVICES: Final = ("ingest", "pose", "segment", "errors")
POSE_SKIPPED: Final = "formcheck_pose_skipped_frames_total"
GAP_S: Final = 5.0
"""On a machine that cannot keep up a camera's rate falls to a fifth, and what is stale is left out (and counted)."""
LAG_MOST: Final = 64
"""Records: a stage that lags by no more has caught up."""
_COUNTED_LAG_S: Final = 5.0
"""A camera's frame is analysed or counted as skipped within this."""


def say(text: str) -> None:
    """A progress line."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class Streams:
    """Those of one trial: ``files`` stream name → clip; ``cameras`` stream names; ``outages`` as they come.

    ``since``: the place in the watch's log where they begin.
    """

    files: dict[str, Path] = field(default_factory=dict)
    cameras: list[str] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    counted_until_unix_s: float = float("inf")
    since: int = 0

    @property
    def names(self) -> list[str]:
        return [*self.files, *self.cameras]


class Rig:
    """A stack of three brokers behind a proxy, Triton, the four services, two cameras (each a server of its own) and
    clips to upload; everything is read by a ``TopicWatch``. A context manager.

    Args:
        folder: for everything that it writes.
        clips: of the files; each gets its reference answer from an undisturbed run of this very stack.
        camera_clip: what the cameras loop. cameras: how many.
        seconds: the files' clips are repeated up to this length.
        brokers, triton, replicas, env: as of ``Stack``.
    """

    def __init__(
        self, folder: Path, clips: Sequence[Path], camera_clip: Path, *, cameras: int = 2, seconds: float = 60.0,
        brokers: int = 3, triton: bool = True, replicas: Mapping[str, int] | None = None,
        env: Mapping[str, str] | None = None, proxied: bool = True, quick: bool = True, patience: float = 1.0,
    ) -> None:  # fmt: skip
        self.folder, self.patience = folder, patience
        uploads = folder / "clips"
        uploads.mkdir(parents=True, exist_ok=True)
        self.clips = [lasting(clip, seconds, uploads / f"{i}.mp4") for i, clip in enumerate(clips)]
        self.fronts = free_ports(brokers) if proxied else []
        self.kafka = KafkaCluster(folder / "kafka", brokers=brokers, fronts=self.fronts, quick=quick)
        self.stack = Stack(
            folder / "stack", kafka=self.kafka, triton=triton, replicas=replicas, files=[uploads], partitions=4,
            env={"OMP_NUM_THREADS": "1", "FORMCHECK_LOG_LEVEL": "INFO", **(env or {})}, say=say,
        )  # fmt: skip
        self.cameras: list[TestCameras] = []
        self.references: dict[Path, tuple[Answer, ...]] = {}
        self._camera_clip, self._camera_count, self._proxied = camera_clip, cameras, proxied
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            if self._proxied:
                self.proxy = self._open.enter_context(
                    CuttingProxy(dict(zip(self.fronts, self.kafka.behind_fronts, strict=True)))
                )
            self._open.enter_context(self.stack)
            for _ in range(self._camera_count):
                self.cameras.append(self._open.enter_context(TestCameras(1, [self._camera_clip], hours=2.0)))
            self.watch = self._open.enter_context(TopicWatch(self.stack.config("watch")))
            self.scraper = self._open.enter_context(Scraper(self._ports, (POSE_SKIPPED,)))
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for cameras in self.cameras:
            with contextlib.suppress(RuntimeError, OSError):
                cameras.signal(signal.SIGCONT)
        self._open.close()

    def _ports(self) -> dict[str, int]:
        return {name: p.http_port for name, p in self.stack.processes.items() if p.running and p.http_port}

    # -- streams --------------------------------------------------------------------------------------------------

    def submit(self, name: str, clip: Path) -> str:
        """Upload a clip; returns the stream's name."""
        spec = new_spec(str(clip), name=name, tenant=TENANT, analysis_fps=FPS)
        publish_spec(self.stack.config("rig"), spec)
        return f"{TENANT}/{name}"

    def add_camera(self, name: str, uri: str, fps: float = FPS) -> str:
        publish_spec(self.stack.config("rig"), new_spec(uri, name=name, tenant=TENANT, analysis_fps=fps))
        return f"{TENANT}/{name}"

    def remove(self, name: str) -> None:
        remove_stream(self.stack.config("rig"), name)

    def begin(self, label: str, *, files: int | None = None) -> Streams:
        """The streams of one trial: each clip as a file, each camera."""
        streams = Streams(since=len(self.watch))
        for i, cameras in enumerate(self.cameras):
            streams.cameras.append(self.add_camera(f"{label}-camera{i}", cameras.uris[0]))
        for i, clip in enumerate(self.clips[:files]):
            streams.files[self.submit(f"{label}-file{i}", clip)] = clip
        return streams

    def learn(self, timeout_s: float = 300.0) -> None:
        """The reference answers: all clips, undisturbed.

        Raises: FormcheckError: they do not come through, or break a law as it is.
        """
        names = {self.submit(f"reference-{i}", clip): clip for i, clip in enumerate(self.clips)}
        self.watch.wait(
            lambda log: ended(log, topics.ASSESSMENTS, list(names)), timeout_s * self.patience, "the reference answers"
        )
        log = [s for s in self.watch.read_to_end(60 * self.patience) if s.name in names]
        wrong = check(log)
        if wrong:
            raise FormcheckError(f"The undisturbed run is not in order: {wrong[0]} (and {len(wrong) - 1} more).")
        for name, clip in names.items():
            answers = tuple(s.answer for s in log if s.name == name and s.kind is Kind.ASSESSMENT and s.answer)
            if not answers:
                raise FormcheckError(f"{clip} has no repetition that is confirmed: it tests nothing.")
            self.references[clip] = answers

    def wait_mid_set(self, streams: Streams, timeout_s: float = 120.0) -> None:
        """Each file has its first repetitions, each camera its first poses: somebody is in the middle of a set."""

        def under_way(log: list[Seen]) -> bool:
            counted = {s.name for s in log if s.topic == topics.REPETITIONS and s.kind is Kind.REPETITION}
            seen = {s.name for s in log if s.topic == topics.POSES and s.kind is Kind.POSE}
            return counted.issuperset(streams.files) and seen.issuperset(streams.cameras)

        what = "a first repetition of each file, poses of each camera"
        self.watch.wait(under_way, timeout_s * self.patience, what, streams.since)

    def wait_recovered(self, streams: Streams, since_unix_s: float, timeout_s: float = 120.0) -> float:
        """Until each camera gives poses of frames captured after ``since``, each file that is not read to its end gives
        new ones too, and the stages behind have caught up; the wall time at which that was so."""
        deadline_s = time.monotonic() + timeout_s * self.patience
        log = self.watch.wait(
            lambda log: set(_first_after(log, streams, since_unix_s)).issuperset(streams.names),
            timeout_s * self.patience, "poses of all streams again", streams.since,
        )  # fmt: skip
        found = _first_after(log, streams, since_unix_s)
        while (lag := self.lag()) > LAG_MOST:
            if time.monotonic() > deadline_s:
                raise FormcheckError(f"The stages behind pose lag by {lag:.0f} records after {timeout_s:.0f} s.")
            time.sleep(0.1)
        return max(*(found[name] for name in streams.names), time.time())

    def lag(self) -> float:
        """Records that segment and errors have not committed; infinite while one of them does not answer."""
        lags = []
        for name, process in list(self.stack.processes.items()):
            if process.service in ("segment", "errors") and process.running:
                try:
                    samples = scrape(process.http_port)
                except OSError:
                    return float("inf")
                lags.append(total(samples, f"formcheck_{process.service}_lag_records"))
                if not total(samples, f"formcheck_{process.service}_ready_ratio") >= 1:
                    return float("inf")
            elif process.service in ("segment", "errors") and name.endswith(".1"):
                others = [p for p in self.stack.processes.values() if p.service == process.service and p.running]
                if not others:
                    return float("inf")
        return sum(lags)

    def finish(self, streams: Streams, timeout_s: float = 240.0) -> list[Seen]:
        """Files to their end, cameras removed; everything that was seen of these streams."""
        names = streams.names
        self.watch.wait(
            lambda log: ended(log, topics.ASSESSMENTS, list(streams.files)),
            timeout_s * self.patience, "the files' end", streams.since,
        )  # fmt: skip
        self.scraper.sums()
        streams.counted_until_unix_s = time.time() - _COUNTED_LAG_S
        for name in streams.cameras:
            self.remove(name)
        self.watch.wait(
            lambda log: ended(log, topics.ASSESSMENTS, names), 60 * self.patience, "the cameras' end", streams.since
        )
        return [s for s in self.watch.read_to_end(60 * self.patience, streams.since) if s.name in set(names)]

    def judge(self, streams: Streams, log: Sequence[Seen], *, gap_s: float = GAP_S) -> list[Violation]:
        """What the invariants say to it. ``gap_s``: cameras' frames may be so far apart without an outage."""
        references = {
            name: Reference(self.references[clip]) for name, clip in streams.files.items() if clip in self.references
        }
        tail = Outage(streams.counted_until_unix_s, float("inf"), counted=False)
        expected = Expected(
            references=references,
            outages=[*streams.outages, replace(tail, end_unix_s=time.time() + 3600)],
            skipped=self.skipped(),
            gap_s=gap_s,
        )
        return check(log, expected)

    def skipped(self) -> dict[str, int]:
        """Frames that pose says it has left out, by stream name."""
        out: dict[str, int] = {}
        for (name, labels), value in self.scraper.sums(now=False).items():
            if name == POSE_SKIPPED:
                stream = stream_of(labels)
                out[stream] = out.get(stream, 0) + round(value)
        return out


def stream_of(labels: Labels) -> str:
    told = dict(labels)
    return f"{told.get('tenant', '')}/{told.get('stream_id', '')}"


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does: what was started is stopped."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _first_after(log: Sequence[Seen], streams: Streams, since_unix_s: float) -> dict[str, float]:
    """Stream → when its first poses of after ``since`` were read; of files that are read to their end: since."""
    found: dict[str, float] = {}
    done: dict[str, float] = {}
    for s in log:
        if s.topic != topics.POSES:
            continue
        if s.mark is MarkKind.EOF:
            done[s.name] = since_unix_s
            continue
        fresh = s.captured_unix_s >= since_unix_s or s.name in streams.files
        if fresh and s.kind is Kind.POSE and s.read_unix_s >= since_unix_s:
            found.setdefault(s.name, s.read_unix_s)
    return done | found
