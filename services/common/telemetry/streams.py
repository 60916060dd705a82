"""Series of single streams: rates and ages are worked out when Prometheus asks, and go when the stream ends."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.common.telemetry.definitions import Definition, definitions_of
from services.common.types import StreamKey

RATE_WINDOW_S: Final = 5


class RateMeter:
    """Events per second over the last whole ``RATE_WINDOW_S`` seconds (or since the first event, if that is less)."""

    def __init__(self) -> None:
        self._bins: deque[tuple[int, int]] = deque()  # second, events
        self._first_s: float | None = None

    def add(self, now_s: float, events: int = 1) -> None:
        second = int(now_s)
        if self._first_s is None:
            self._first_s = now_s
        if self._bins and self._bins[-1][0] == second:
            self._bins[-1] = (second, self._bins[-1][1] + events)
        else:
            self._bins.append((second, events))
            self._forget(second)

    def rate(self, now_s: float) -> float:
        second = int(now_s)
        self._forget(second)
        if self._first_s is None:
            return 0.0
        if now_s - self._first_s < RATE_WINDOW_S + 1:  # young: count what is there over the time it took
            return sum(n for _, n in self._bins) / max(now_s - self._first_s, 1.0)
        return sum(n for at, n in self._bins if at < second) / RATE_WINDOW_S

    def _forget(self, second: int) -> None:
        while self._bins and self._bins[0][0] < second - RATE_WINDOW_S:
            self._bins.popleft()


@dataclass(slots=True)
class _Stream:
    session_id: str
    since_s: float
    camera: RateMeter = field(default_factory=RateMeter)
    processed: RateMeter = field(default_factory=RateMeter)
    skipped: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    told: dict[str, int] = field(default_factory=dict)
    last_s: float | None = None


class StreamTable:
    """What is known of each stream; a Prometheus collector. Any thread may call it."""

    def __init__(self, service: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._clock = clock
        self._definitions = {d.what: d for d in definitions_of(service) if d.per_stream}
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._lock = threading.Lock()

    def camera_frame(self, stream: StreamKey, frames: int = 1) -> None:
        """The source delivered ``frames``, sampled or not."""
        with self._lock:
            entry, now_s = self._entry(stream), self._clock()
            entry.camera.add(now_s, frames)
            entry.last_s = now_s

    def processed(self, stream: StreamKey, items: int = 1) -> None:
        """This stage finished ``items`` of the stream."""
        with self._lock:
            entry, now_s = self._entry(stream), self._clock()
            entry.processed.add(now_s, items)
            if "camera_fps" not in self._definitions:
                entry.last_s = now_s

    def skipped(self, stream: StreamKey, reason: str, frames: int = 1) -> None:
        with self._lock:
            self._entry(stream).skipped[reason] += frames

    def reconnected(self, stream: StreamKey) -> None:
        with self._lock:
            self._entry(stream).reconnects += 1

    def totals(
        self, stream: StreamKey, *, delivered: int, finished: int, skipped: Mapping[str, int], reconnects: int
    ) -> None:
        """For a stage that counts by itself: everything since the session began, told about once a second.

        A total that is smaller than the last one has begun anew (a new session, a restarted reader).
        """
        with self._lock:
            entry, now_s = self._entry(stream), self._clock()
            news = {"delivered": delivered, "finished": finished, "reconnects": reconnects}
            news |= {f"skipped {reason}": count for reason, count in skipped.items()}
            grown = {name: _growth(entry.told.get(name, 0), count) for name, count in news.items()}
            entry.told.update(news)
            if grown["delivered"]:
                entry.camera.add(now_s, grown["delivered"])
                entry.last_s = now_s
            if grown["finished"]:
                entry.processed.add(now_s, grown["finished"])
            entry.reconnects += grown["reconnects"]
            for reason in skipped:
                entry.skipped[reason] += grown[f"skipped {reason}"]

    def ended(self, stream: StreamKey) -> None:
        """The series go, unless a newer session of the same stream has them now."""
        with self._lock:
            entry = self._streams.get((stream.tenant, stream.stream_id))
            if entry is not None and entry.session_id == stream.session_id:
                del self._streams[stream.tenant, stream.stream_id]

    def describe(self) -> Iterable[Metric]:
        return [_family(d, self._service) for d in self._definitions.values()]

    def collect(self) -> Iterable[Metric]:
        families = {what: _family(d, self._service) for what, d in self._definitions.items()}
        with self._lock:
            now_s = self._clock()
            for key, entry in sorted(self._streams.items()):
                values = {
                    "camera_fps": entry.camera.rate(now_s),
                    "processed_fps": entry.processed.rate(now_s),
                    "last_frame_age_seconds": now_s - (entry.since_s if entry.last_s is None else entry.last_s),
                    "reconnects_total": float(entry.reconnects),
                }
                for what, family in families.items():
                    if what in values:
                        family.add_metric(key, values[what])
                for reason, frames in sorted(entry.skipped.items()):
                    families["skipped_frames_total"].add_metric((*key, reason), frames)
        return families.values()

    def _entry(self, stream: StreamKey) -> _Stream:
        key = (stream.tenant, stream.stream_id)
        entry = self._streams.get(key)
        if entry is None:
            entry = self._streams[key] = _Stream(stream.session_id, self._clock())
        if entry.session_id != stream.session_id:
            entry.session_id = stream.session_id
            entry.told.clear()
        return entry


def _growth(before: int, now: int) -> int:
    return now - before if now >= before else now


def _family(definition: Definition, service: str) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if definition.kind == "counter" else GaugeMetricFamily
    return kind(definition.name(service), definition.help, labels=definition.labels)
