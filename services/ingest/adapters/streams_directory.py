"""Which streams this replica has, in which partition: turns what is wanted into calls of the supervisor."""

import time
from typing import Protocol

from services.common.metrics_protocol import RunnerMetrics
from services.common.processor import Mark
from services.ingest.adapters.outbox import Outbox
from services.ingest.adapters.stream_status import StreamStatus
from services.ingest.adapters.supervisor import Supervisor
from services.ingest.adapters.wanted import Assigned, Change
from services.ingest.core.resuming import ending, goes_on, is_read, session_name, start_of
from services.ingest.core.streams import Mode, StreamEvent, StreamSpec


class _Sink(Protocol):
    def mark(self, spec: StreamSpec, mark: Mark) -> None: ...

    def event(self, spec: StreamSpec, event: StreamEvent) -> None: ...


class Directory:
    """Used by the service's loop."""

    def __init__(self, streams: Supervisor, sink: _Sink, outbox: Outbox, metrics: RunnerMetrics) -> None:
        self._streams, self._sink, self._outbox, self._metrics = streams, sink, outbox, metrics
        self._specs: dict[str, tuple[int, StreamSpec]] = {}
        self._read: dict[str, str] = {}  # files that are read: their sessions

    def assigned(self, news: Assigned) -> None:
        """Run what is wanted in a new partition, and end what was removed while nobody looked."""
        self._outbox.consumed[news.partition] = news.next_offset
        self._outbox.dirty.add(news.partition)
        for name, last in news.states.items():
            if name not in news.specs:
                self._outbox.begin(name, news.partition, news.next_offset, last, None)
                self._end(name, last)
                self._outbox.forget(name)
        for name, spec in news.specs.items():
            self._wants(spec, news.partition, news.next_offset, news.states.get(name))

    def changed(self, change: Change) -> None:
        if change.partition not in self._outbox.consumed:
            return  # it has been revoked since
        self._outbox.consumed[change.partition] = change.offset + 1
        self._outbox.dirty.add(change.partition)
        if change.spec is not None:
            self._wants(change.spec, change.partition, change.offset, None)
        elif change.error is None:
            self._remove(change.name)

    def revoked(self, partitions: tuple[int, ...]) -> None:
        """Their streams go on elsewhere."""
        for name in [name for name, (partition, _) in self._specs.items() if partition in partitions]:
            self._streams.release(name)
            del self._specs[name]
            self._read.pop(name, None)

    def live_in(self, partition: int) -> list[str]:
        """Cameras."""
        return [name for name, (p, spec) in self._specs.items() if p == partition and spec.live]

    def refresh(self, status: StreamStatus) -> None:
        """Bring the state of a stream up to now: its counters, and how far its time is."""
        name, time_s = status.spec.name, 0.0
        if status.key.session_id.isdecimal():
            time_s = max(0.0, time.time() - int(status.key.session_id) / 1000)
        self._outbox.refresh(name, status.counters, time_s)

    def finished(self, status: StreamStatus) -> None:
        """A file is read: nothing of it is kept here but that."""
        name = status.spec.name
        self._streams.release(name)
        if name in self._specs:
            self._read[name] = status.key.session_id

    def _wants(self, spec: StreamSpec, partition: int, offset: int, last: StreamEvent | None) -> None:
        name = spec.name
        known = name in self._specs
        self._specs[name] = partition, spec
        if name in self._read:
            if self._read[name] == session_name(spec):
                return
            del self._read[name]
            self._outbox.begin(name, partition, offset, None, None)
        elif not known:
            start = start_of(spec, last)
            self._outbox.begin(name, partition, offset, last, start.position)
            if last is not None and is_read(spec, last):
                self._read[name] = last.stream.session_id
                return
            if last is not None and not goes_on(spec, last):
                self._end(name, last)
            self._streams.apply(spec, start)
            return
        self._streams.apply(spec)

    def _remove(self, name: str) -> None:
        if self._specs.pop(name, None) is None:
            return
        self._streams.remove(name)
        self._read.pop(name, None)
        self._outbox.forget(name)

    def _end(self, name: str, last: StreamEvent) -> None:
        """End a session that nobody runs any more."""
        ended = ending(last, time.time())
        if ended is None:
            return
        event, mark = ended
        mode = Mode.LIVE if last.stream.session_id.isdecimal() else Mode.FILE
        spec = StreamSpec(last.stream.tenant, last.stream.stream_id, "", mode)
        self._sink.event(spec, event)
        self._sink.mark(spec, mark)
