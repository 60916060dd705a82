"""One stream in the service: its state, its session, its reader, and what waits to be handed on."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from services.common.codec import EncodedFrame
from services.common.processor import Mark, MarkKind
from services.common.types import StreamKey
from services.ingest.adapters.jobs import Job
from services.ingest.adapters.readers import Reader
from services.ingest.adapters.stream_status import FrameCost, Rate, StreamStatus, Tuning, crash
from services.ingest.adapters.wire import Header, WireError
from services.ingest.core.backoff import Backoff
from services.ingest.core.lifecycle import (
    FLOWING,
    READING,
    End,
    Outcome,
    StreamMachine,
    StreamState,
    Transition,
)
from services.ingest.core.live import AGE_MOST_S, SkipReason
from services.ingest.core.schedule import is_open
from services.ingest.core.session import Session
from services.ingest.core.streams import Counters, StreamEvent, StreamSpec

if TYPE_CHECKING:
    from services.ingest.adapters.supervisor import Sink

_HUNG_S: Final = 60.0
"""A file's reader that is waited for says something in this time, and a reader process has started."""
_EXIT_AWAITED_S: Final = 2.0


class Stream:
    """Driven by the supervisor; calls the sink."""

    def __init__(
        self, spec: StreamSpec, sink: "Sink", tuning: Tuning, wall: Callable[[], float], session: Session,
        observe: Callable[[StreamSpec, FrameCost], None],
    ) -> None:  # fmt: skip
        self.spec = spec
        self.reader: Reader | None = None
        self._sink, self._tuning, self._wall, self._observe = sink, tuning, wall, observe
        self._session = session
        backoff = Backoff(spec.name, tuning.backoff_first_s, tuning.backoff_most_s)
        self._machine = StreamMachine(backoff, live=spec.live, limits=tuning.limits)
        self._waiting: deque[tuple[EncodedFrame | Mark, float]] = deque()
        self._end: End | None = None
        self._closed_s = 0.0
        self._reason = self._detail = ""
        self._sent = self._bytes = self._reconnects = 0
        self._late = self._undelivered = 0
        self._past: Counter[str] = Counter()  # of the connections before this one
        self._stats: Header = {}
        self._source: Header = {}
        self._heard_decoded = 0
        self._frame_s: float | None = None  # (monotonic) when the last frame was decoded
        self._marked_s = -math.inf
        self._progress = self._behind = self._drop_reader = False
        self._camera, self._processed = Rate(), Rate()

    @property
    def state(self) -> StreamState:
        return self._machine.state

    @property
    def key(self) -> StreamKey:
        return self._session.key

    # --- what is wanted

    def refuse(self, spec: StreamSpec, why: str) -> None:
        """The spec cannot be served."""
        self.spec = spec
        self._follow(self._machine.on_invalid(time.monotonic(), why))

    def change(self, spec: StreamSpec) -> None:
        before, self.spec = self.spec, spec
        if spec.source() != before.source() or self.state is StreamState.FAILED:
            self._follow(self._machine.on_changed(time.monotonic()))
            self._end = End(Outcome.LOST, "changed")  # of the old reader: not a loss
            self._drop_reader = self.reader is not None
        elif spec.rate_fps != before.rate_fps and spec.live:
            self._tell({"rate_fps": spec.rate_fps})

    def set_behind(self, behind: bool) -> None:
        if behind != self._behind:
            self._behind = behind
            self._tell({"behind": behind})

    def remove(self) -> Reader | None:
        """End the session at once; the reader is to be discarded."""
        self._waiting.clear()
        self._follow(self._machine.on_removed(time.monotonic()))
        self.hand_on()
        return self.let_go()

    def let_go(self) -> Reader | None:
        reader, self.reader = self.reader, None
        return reader

    # --- the reader

    def needs_reader(self) -> bool:
        return self._machine.wants_reader and self.reader is None

    def job(self) -> Job:
        """For the next reader."""
        tuning, session = self._tuning, self._session
        return Job(
            tenant=self.spec.tenant, stream_id=self.spec.stream_id, session_id=session.key.session_id,
            uri=self.spec.uri, live=self.spec.live, transport=self.spec.transport.value,
            rate_fps=self.spec.rate_fps, short_side_px=self.spec.short_side_px, origin_s=session.origin_s,
            floor_s=session.promised_s, next_sequence=session.next_sequence, after_s=session.after_s,
            credits=tuning.live_credits if self.spec.live else tuning.file_credits,
            jpeg_quality=tuning.jpeg_quality, open_timeout_s=tuning.open_timeout_s,
            read_timeout_s=tuning.read_timeout_s,
        )  # fmt: skip

    def attach(self, reader: Reader) -> None:
        self.reader = reader
        self._end = None
        self._drop_reader = self._progress = False
        self._closed_s = 0.0
        self._heard_decoded = 0
        if self._behind:
            self._tell({"behind": True})

    def no_reader(self, why: str) -> None:
        self._follow(self._machine.on_end(time.monotonic(), End(Outcome.LOST, "no_reader", why)))

    def _tell(self, header: Header) -> None:
        if self.reader is not None:
            try:
                self.reader.tell(header)
            except WireError:
                self._end, self._drop_reader = End(Outcome.LOST, "hung", "The reader does not listen."), True

    def receive(self) -> bool:
        """Take what the reader has sent; True = it has closed its end."""
        if self.reader is None:
            return False
        try:
            for header, body in self.reader.receive():
                self._hear(header, body)
        except (WireError, KeyError, TypeError, ValueError) as error:
            self._end, self._drop_reader = (
                End(Outcome.LOST, "broken", f"The reader's words make no sense: {error}"),
                True,
            )
        if self.reader.closed and not self._closed_s:
            self._closed_s = time.monotonic()
        self.hand_on()
        return self.reader.closed

    def _hear(self, header: Header, body: bytes) -> None:
        now_s, kind = time.monotonic(), header["kind"]
        if kind == "frame":
            frame = EncodedFrame(
                self._session.key, int(header["sequence"]), float(header["time_s"]), body, int(header["width_px"]),
                int(header["height_px"]), bool(header["cut"]), bool(header["frozen"]), float(header["captured_unix_s"]),
            )  # fmt: skip
            self._frame_s = now_s
            self._observe(self.spec, FrameCost(float(header["decode_s"]), float(header["encode_s"]), len(body)))
            self._follow(self._machine.on_frame(now_s, frozen=bool(header["hangs"])))
            self._take(frame, now_s)
        elif kind == "stats":
            self._stats = header
            if header["frame_age_s"] is not None:
                self._frame_s = now_s - header["frame_age_s"]
            if header["decoded"] > self._heard_decoded:
                self._heard_decoded = header["decoded"]
                self._follow(self._machine.on_frame(now_s, frozen=bool(header["hangs"])))
            self._camera.update(self._counters().decoded, now_s)
        elif kind == "opened":
            self._source = {k: v for k, v in header.items() if k != "kind"}
        elif kind == "end":
            self._end = End(Outcome(header["outcome"]), str(header["reason"]), str(header["detail"]))

    def _take(self, frame: EncodedFrame, now_s: float) -> None:
        self._progress = True
        if self._session.accept(frame.sequence, frame.time_s, live=self.spec.live):
            self._waiting.append((frame, now_s))
        else:
            self._late += 1
            self._tell({"credit": 1})

    def hand_on(self) -> None:
        """Give the sink what it takes."""
        while self._waiting:
            item, since_s = self._waiting[0]
            if isinstance(item, Mark):
                self._sink.mark(self.spec, item)
            elif self.spec.live and time.monotonic() - since_s > AGE_MOST_S:
                self._late += 1
                self._tell({"credit": 1})
            elif self._sink.ready(self.spec):
                self._sink.frame(self.spec, item)
                self._sent += 1
                self._bytes += len(item.jpeg)
                self._session.handed(item.sequence, item.time_s)
                self._marked_s = time.monotonic()
                self._tell({"credit": 1})
            else:
                return
            self._waiting.popleft()

    def undelivered(self, frames: int) -> None:
        """They were handed on, and lost on their way."""
        self._sent -= frames
        self._undelivered += frames

    # --- time

    def tick(self) -> Reader | None:
        """What time brings; a reader that is to be discarded."""
        now_s = time.monotonic()
        if self.reader is not None:
            self.reader.flush()
        if self.state not in (StreamState.FAILED, StreamState.ENDED):
            rest = "paused" if self.spec.paused else None if is_open(self.spec.schedule, self._wall()) else "schedule"
            self._follow(self._machine.on_wanted(now_s, rest))
        self._follow(self._machine.on_tick(now_s, 1 / self._camera.fps if self._camera.fps > 0 else 0.0))
        self.hand_on()
        self._processed.update(self._sent, now_s)
        gone = self._reap(now_s)
        self._heartbeat(now_s)
        self.hand_on()
        return gone

    def _reap(self, now_s: float) -> Reader | None:
        reader = self.reader
        if reader is None:
            return None
        if self.state not in READING or self._drop_reader:
            if self._drop_reader and self._end is not None and self._end.reason != "changed":
                self._over(self._end, now_s)
            return self._detach()
        quiet_s = now_s - reader.heard_s
        starved = self.spec.live or not self._waiting
        allowed_s = self._tuning.silent_s if self.spec.live and reader.pid is not None else _HUNG_S
        if not reader.closed and quiet_s > allowed_s and starved:
            self._over(End(Outcome.LOST, "hung", f"The reader has not been heard for {quiet_s:.0f} s."), now_s)
            return self._detach()
        if not reader.closed or (self._waiting and not self.spec.live):
            return None
        if self._end is None and reader.exit_code is None and now_s - self._closed_s < _EXIT_AWAITED_S:
            return None
        self._over(self._end or crash(reader.exit_code), now_s)
        return self._detach()

    def _over(self, end: End, now_s: float) -> None:
        self._follow(self._machine.on_end(now_s, end, progress=self._progress))

    def _detach(self) -> Reader | None:
        """Forget the reader; its counts are kept."""
        self._past.update(self._stats.get("skipped", {}))
        self._past["decoded"] += self._stats.get("decoded", 0)
        self._stats, self._drop_reader = {}, False
        return self.let_go()

    def _heartbeat(self, now_s: float) -> None:
        resting = self.state in (StreamState.ADDED, StreamState.PAUSED, StreamState.ENDED)
        if not self.spec.live or resting or self._waiting or not self._session.begun:
            return
        if now_s - self._marked_s >= self._tuning.mark_every_s:
            connected = self.state in FLOWING or self.state is StreamState.STALLED
            self._mark(MarkKind.HEARTBEAT, self._tuning.mark_lag_s if connected else 0.0)

    def _mark(self, kind: MarkKind, lag_s: float = 0.0) -> None:
        self._marked_s = time.monotonic()
        if self.spec.live:
            self._session.promise(self._session.now_s(self._marked_s) - lag_s)
        self._waiting.append((Mark(self._session.key, kind, self._session.promised_s), self._marked_s))

    # --- transitions

    def _follow(self, transitions: Sequence[Transition]) -> None:
        for transition in transitions:
            self._reason, self._detail = transition.reason, transition.detail
            source, target = transition.source, transition.target
            if source is StreamState.PAUSED and target is StreamState.CONNECTING and self.spec.live:
                self._session = Session.live(self.spec.tenant, self.spec.stream_id, self._wall(), time.monotonic())
                self._sent = self._bytes = self._reconnects = self._late = self._undelivered = 0
                self._past.clear()
            self._reconnects += target is StreamState.CONNECTING and source in (StreamState.LOST, StreamState.FAILED)
            self._sink.event(self.spec, self._event(transition))
            self._mark_transition(source, target)

    def _mark_transition(self, source: StreamState, target: StreamState) -> None:
        ends = target is StreamState.ENDED or (target is StreamState.PAUSED and self.spec.live)
        if (
            ends
            and source not in (StreamState.PAUSED, StreamState.ENDED)
            and (self._session.begun or not self.spec.live)
        ):
            self._mark(MarkKind.EOF)
        elif self.spec.live and self._session.begun:
            was_there = source in FLOWING or source is StreamState.STALLED
            if was_there and target in (StreamState.LOST, StreamState.FAILED, StreamState.CONNECTING):
                self._mark(MarkKind.LOST)
            elif target is StreamState.LIVE and source in (StreamState.CONNECTING, StreamState.STALLED):
                self._mark(MarkKind.RESUMED, math.inf)

    def _event(self, transition: Transition) -> StreamEvent:
        now_s, unix_s = time.monotonic(), self._wall()
        retry_s = transition.retry_s
        return StreamEvent(
            stream=self._session.key, source=transition.source, target=transition.target, reason=transition.reason,
            detail=transition.detail, unix_s=unix_s,
            time_s=self._session.now_s(now_s) if self.spec.live else max(0.0, self._session.promised_s),
            counters=self._counters(), retry_unix_s=None if retry_s is None else unix_s + retry_s - now_s,
            session_started_unix_s=self._session.started_unix_s, next_sequence=self._session.next_sequence,
        )  # fmt: skip

    def _counters(self) -> Counters:
        skipped = Counter(self._past)
        skipped.update(self._stats.get("skipped", {}))
        decoded = skipped.pop("decoded", 0) + int(self._stats.get("decoded", 0))
        skipped[SkipReason.LATE.value] += self._late
        skipped[SkipReason.UNDELIVERED.value] += self._undelivered
        if not self.spec.live:
            decoded = self._sent
        counted = {reason: count for reason, count in sorted(skipped.items()) if count}
        return Counters(decoded, self._sent, counted, self._reconnects, self._bytes)

    def status(self) -> StreamStatus:
        now_s, retry_s = time.monotonic(), self._machine.retry_s
        return StreamStatus(
            spec=self.spec, key=self._session.key, state=self.state, reason=self._reason, detail=self._detail,
            counters=self._counters(), camera_fps=self._camera.fps if self.state in FLOWING else 0.0,
            processed_fps=self._processed.fps,
            last_frame_age_s=None if self._frame_s is None else now_s - self._frame_s,
            decode_s=float(self._stats.get("decode_s", 0.0)), load_factor=float(self._stats.get("factor", 1.0)),
            clock_jumps=int(self._stats.get("jumps", 0)), received_bytes=int(self._stats.get("received_bytes", 0)),
            source=self._source, reader_pid=self.reader.pid if self.reader is not None else None,
            retry_in_s=None if retry_s is None else max(0.0, retry_s - now_s), position=self._session.position,
        )  # fmt: skip
