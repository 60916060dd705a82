"""All streams of one ingest service: starts and watches their readers, and hands on what they send.

No thread of its own: the service's loop calls ``poll``, and the sink is called from within. A stream's reader is a
process (see ``zygote``), one per connection; the supervisor never waits for any.
"""

import contextlib
import selectors
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from services.common.codec import EncodedFrame
from services.common.errors import ConfigError
from services.common.processor import Mark
from services.common.types import StreamKey
from services.ingest.adapters.readers import Reader, ReaderFactory
from services.ingest.adapters.stream_status import FrameCost, StreamStatus, Tuning
from services.ingest.adapters.streaming import Stream
from services.ingest.adapters.wire import WireError
from services.ingest.core.resuming import FRESH, Start, session_name
from services.ingest.core.session import FilePosition, Session
from services.ingest.core.streams import StreamEvent, StreamSpec, check_spec

__all__ = [
    "FilePosition",
    "FrameCost",
    "Sink",
    "Start",
    "StreamStatus",
    "Supervisor",
    "Tuning",
    "apply_all",
    "run_until",
]

_TICK_S: Final = 0.1
_GOODBYE_S: Final = 1.0
"""A reader may take so long to say goodbye to its camera; then it is killed."""


DEFAULTS: Final = Tuning()


class Sink(Protocol):
    """Takes what the streams give. Called from ``Supervisor.poll``, one call at a time; must not block for long.

    A frame that was handed over counts as sent: a file goes on after it. Order within a stream is that of the calls.
    """

    def ready(self, spec: StreamSpec) -> bool:
        """Whether a frame of this stream can be taken now. False holds a file back, and costs a camera pictures."""
        ...

    def frame(self, spec: StreamSpec, frame: EncodedFrame) -> None: ...

    def mark(self, spec: StreamSpec, mark: Mark) -> None: ...

    def event(self, spec: StreamSpec, event: StreamEvent) -> None: ...


class Supervisor:
    """See the module.

    Args:
        sink: takes frames, marks and events.
        wall: the wall clock, s since 1970.
        observe: is told what each frame took, for metrics.
        factory: of reader processes; None = one of its own, closed with it.
        check: raises ConfigError for a spec that cannot be served.
    """

    def __init__(
        self, sink: Sink, *, tuning: Tuning = DEFAULTS, wall: Callable[[], float] = time.time,
        observe: Callable[[StreamSpec, FrameCost], None] = lambda spec, cost: None,
        factory: ReaderFactory | None = None, check: Callable[[StreamSpec], object] = check_spec,
    ) -> None:  # fmt: skip
        self._sink = sink
        self._check = check
        self._observe = observe
        self._tuning = tuning
        self._wall = wall
        self._factory = factory or ReaderFactory()
        self._owns_factory = factory is None
        self._streams: dict[str, Stream] = {}
        self._selector = selectors.DefaultSelector()
        self._next_tick_s = 0.0
        self._leaving: list[tuple[Reader, float]] = []  # and until when

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Load the libraries for the readers now, so that the first camera starts as fast as the next."""
        self._factory.open()

    def apply(self, spec: StreamSpec, start: Start = FRESH) -> None:
        """Add a stream, or change it: what differs is done, the rest goes on undisturbed.

        A spec that cannot be served brings the stream into FAILED with a sentence that says why.
        """
        stream = self._streams.get(spec.name)
        if stream is not None and spec.mode is not stream.spec.mode:
            self.remove(spec.name)
            stream = None
        other = stream is not None and not spec.live and spec.source() != stream.spec.source()
        if stream is not None and other and session_name(spec) != stream.key.session_id:
            self.remove(spec.name)  # another file: another session
            stream, other = None, False
        new = stream is None
        if stream is None:
            stream = Stream(spec, self._sink, self._tuning, self._wall, self._session(spec, start), self._observe)
            self._streams[spec.name] = stream
        try:
            if other:
                raise ConfigError(
                    f"stream {spec.name}: its revision {spec.revision} is another file or size already; "
                    "count the revision up to have this one read"
                )
            self._check(spec)
        except ConfigError as error:
            stream.refuse(spec, str(error))
        else:
            if not new:
                stream.change(spec)
        self._tend(stream)

    def _session(self, spec: StreamSpec, start: Start) -> Session:
        if not spec.live:
            return Session.file(spec.tenant, spec.stream_id, spec.revision, start.position)
        now_s = self._wall(), time.monotonic()
        return Session.live(spec.tenant, spec.stream_id, *now_s, start.session_id, start.floor_s)

    def remove(self, name: str) -> None:
        """Stop a stream (``tenant/stream_id``) and forget it; its session ends with an EOF mark."""
        stream = self._streams.pop(name, None)
        if stream is not None:
            reader = stream.remove()
            self._discard(reader)

    def release(self, name: str) -> None:
        """Stop reading a stream that another replica takes over: no EOF, no transition; its session goes on there."""
        stream = self._streams.pop(name, None)
        if stream is not None:
            self._discard(stream.let_go())

    def set_behind(self, name: str, behind: bool) -> None:
        """Those who analyse a camera say whether they lag: its rate is lowered while they do."""
        stream = self._streams.get(name)
        if stream is not None:
            stream.set_behind(behind)

    def undelivered(self, key: StreamKey, frames: int) -> None:
        """So many of a camera's frames that were handed on could not be delivered: they count as skipped."""
        stream = self._streams.get(f"{key.tenant}/{key.stream_id}")
        if stream is not None and stream.key == key:
            stream.undelivered(frames)

    def names(self) -> list[str]:
        return list(self._streams)

    def status(self) -> list[StreamStatus]:
        """Of every stream, for metrics and lists."""
        return [stream.status() for stream in self._streams.values()]

    def poll(self, timeout_s: float = 0.1) -> None:
        """Take what the readers have sent, keep states and marks up to date. Call it at least ten times a second."""
        for each in self._streams.values():
            each.hand_on()
        wait_s = max(0.0, min(timeout_s, self._next_tick_s - time.monotonic()))
        for key, _ in self._selector.select(wait_s):
            stream: Stream = key.data
            if stream.receive() and stream.reader is not None:
                self._unwatch(stream.reader)  # it has closed its end; its exit follows
        if time.monotonic() >= self._next_tick_s:
            self._next_tick_s = time.monotonic() + _TICK_S
            self._factory.poll()
            self._part()
            for each in list(self._streams.values()):
                self._tend(each)

    def close(self) -> None:
        """Stop all readers; sessions are not ended (see ``release``)."""
        for stream in self._streams.values():
            self._discard(stream.let_go())
        self._streams.clear()
        while self._leaving:
            self._factory.poll()
            self._part()
            time.sleep(0.01)
        if self._owns_factory:
            self._factory.close()
        self._selector.close()

    def _tend(self, stream: Stream) -> None:
        """Bring a stream's reader in line with its state."""
        self._discard(stream.tick())
        if stream.needs_reader():
            try:
                reader = self._factory.start(stream.job())
            except OSError as error:
                stream.no_reader(f"no reader process can be started ({error.strerror or error})")
                return
            stream.attach(reader)
            self._selector.register(reader.socket, selectors.EVENT_READ, stream)

    def _discard(self, reader: Reader | None) -> None:
        """Have a reader end; what it still sends is not heard."""
        if reader is None:
            return
        self._unwatch(reader)
        until_s = time.monotonic() + _GOODBYE_S
        try:
            reader.dismiss()
        except WireError:
            until_s = 0.0
        self._leaving.append((reader, until_s))

    def _part(self) -> None:
        """Close those that have ended, kill those that do not."""
        remaining = []
        for reader, until_s in self._leaving:
            if reader.exit_code is None and time.monotonic() < until_s:
                remaining.append((reader, until_s))
                continue
            if reader.exit_code is None:
                self._factory.kill(reader)
            reader.close()
        self._leaving = remaining

    def _unwatch(self, reader: Reader) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(reader.socket)


def run_until(supervisor: Supervisor, done: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until ``done`` says so; False = time is up. For programs without a loop of their own, and tests."""
    end_s = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() >= end_s:
            return False
        supervisor.poll(0.05)
    return True


def apply_all(supervisor: Supervisor, wanted: Iterable[StreamSpec]) -> None:
    """Make the streams exactly those of ``wanted``."""
    specs = {spec.name: spec for spec in wanted}
    for name in supervisor.names():
        if name not in specs:
            supervisor.remove(name)
    for spec in specs.values():
        supervisor.apply(spec)
