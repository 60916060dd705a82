"""A stream's state machine: what may follow what, and when to try again. Pure: the caller brings the time."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.ingest.core.backoff import Backoff


class StreamState(StrEnum):
    ADDED = "added"
    CONNECTING = "connecting"
    LIVE = "live"  # frames flow
    FROZEN = "frozen"  # frames flow, but show one and the same picture
    STALLED = "stalled"  # connected, but no frame comes
    LOST = "lost"  # no connection; tried again after a pause
    PAUSED = "paused"  # by request, or outside its schedule
    FAILED = "failed"  # a person has to act; a camera is still tried now and then
    ENDED = "ended"  # removed, or the file is read


_S = StreamState
READING: Final = frozenset({_S.CONNECTING, _S.LIVE, _S.FROZEN, _S.STALLED})
"""States in which a reader runs."""
FLOWING: Final = frozenset({_S.LIVE, _S.FROZEN})

TRANSITIONS: Final = {
    _S.ADDED: frozenset({_S.CONNECTING, _S.PAUSED, _S.FAILED, _S.ENDED}),
    _S.CONNECTING: frozenset({_S.LIVE, _S.LOST, _S.PAUSED, _S.FAILED, _S.ENDED}),
    _S.LIVE: frozenset({_S.FROZEN, _S.STALLED, _S.LOST, _S.PAUSED, _S.FAILED, _S.ENDED, _S.CONNECTING}),
    _S.FROZEN: frozenset({_S.LIVE, _S.STALLED, _S.LOST, _S.PAUSED, _S.FAILED, _S.ENDED, _S.CONNECTING}),
    _S.STALLED: frozenset({_S.LIVE, _S.LOST, _S.PAUSED, _S.FAILED, _S.ENDED, _S.CONNECTING}),
    _S.LOST: frozenset({_S.CONNECTING, _S.PAUSED, _S.FAILED, _S.ENDED}),
    _S.PAUSED: frozenset({_S.CONNECTING, _S.FAILED, _S.ENDED}),
    _S.FAILED: frozenset({_S.CONNECTING, _S.PAUSED, _S.ENDED}),
    _S.ENDED: frozenset[StreamState](),
}
"""Flowing → connecting: the stream's address or transport has been changed."""


class Outcome(StrEnum):
    """How a reader ended."""

    EOF = "eof"  # of a file: read to its end; of a camera: the connection is closed
    LOST = "lost"  # may be better in a moment
    FATAL = "fatal"  # will not be better by itself


@dataclass(frozen=True, slots=True)
class End:
    """``reason``: short and stable (timeout, refused, unauthorized, garbage, crashed …); ``detail``: one sentence."""

    outcome: Outcome
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """``retry_s``: when the next attempt is due, on the caller's clock; None = none is planned."""

    source: StreamState
    target: StreamState
    reason: str
    detail: str
    at_s: float
    retry_s: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in s. ``stall_s`` is at least; three usual steps between frames if that is longer."""

    stall_s: float = 2.0
    stable_s: float = 10.0  # so long live, and the next loss is a new one: pauses start small again
    failed_retry_s: float = 300.0
    file_attempts: int = 3  # readers that die at one place of a file, until it is given up


class StreamMachine:
    """Says what state a stream is in. Each method takes the time and returns the transitions that it caused.

    Laws: every transition is one of ``TRANSITIONS``; each starts where the one before ended; nothing follows ENDED;
    a reader is wanted exactly in the states of ``READING``.
    """

    def __init__(self, backoff: Backoff, *, live: bool, limits: Limits = Limits()) -> None:
        self.state = _S.ADDED
        self.retry_s: float | None = None
        self._live = live
        self._limits = limits
        self._backoff = backoff
        self._attempts = 0
        self._since_s = 0.0
        self._frame_s = 0.0

    @property
    def wants_reader(self) -> bool:
        return self.state in READING

    def on_wanted(self, now_s: float, reason: str | None) -> list[Transition]:
        """What the spec and the schedule say: ``reason`` names why it should rest (paused, schedule), None = watch."""
        if reason is not None:
            if self.state in (_S.PAUSED, _S.ENDED):
                return []
            return [self._go(_S.PAUSED, now_s, reason)]
        if self.state in (_S.ADDED, _S.PAUSED):
            why = "added" if self.state is _S.ADDED else "resumed"
            return [self._go(_S.CONNECTING, now_s, why)]
        return []

    def on_changed(self, now_s: float) -> list[Transition]:
        """The source was changed: it is opened anew at once, whatever was before."""
        self._attempts = 0
        if self.state in (_S.ADDED, _S.PAUSED, _S.ENDED, _S.CONNECTING):
            return []
        return [self._go(_S.CONNECTING, now_s, "changed")]

    def on_removed(self, now_s: float) -> list[Transition]:
        return [] if self.state is _S.ENDED else [self._go(_S.ENDED, now_s, "removed")]

    def on_invalid(self, now_s: float, detail: str) -> list[Transition]:
        """The spec cannot be served."""
        if self.state in (_S.FAILED, _S.ENDED):
            return []
        return [self._go(_S.FAILED, now_s, "invalid", detail)]

    def on_frame(self, now_s: float, *, frozen: bool = False) -> list[Transition]:
        """A frame was decoded. ``frozen``: the camera shows one picture only."""
        if self.state not in READING:
            return []
        self._frame_s = now_s
        if self.state in FLOWING and now_s - self._since_s >= self._limits.stable_s:
            self._attempts = 0
        if self.state is _S.CONNECTING or self.state is _S.STALLED:
            return [self._go(_S.LIVE, now_s, "frames")]
        if frozen and self.state is _S.LIVE:
            return [self._go(_S.FROZEN, now_s, "frozen", "The camera sends one and the same picture.")]
        if not frozen and self.state is _S.FROZEN:
            return [self._go(_S.LIVE, now_s, "moving")]
        return []

    def on_tick(self, now_s: float, step_s: float = 0.0) -> list[Transition]:
        """Time has passed. ``step_s``: the usual time between frames."""
        if self.state in (_S.LOST, _S.FAILED) and self.retry_s is not None and now_s >= self.retry_s:
            return [self._go(_S.CONNECTING, now_s, "retry")]
        allowed_s = max(self._limits.stall_s, 3 * step_s)
        if self._live and self.state in FLOWING and now_s - self._frame_s > allowed_s:
            return [self._go(_S.STALLED, now_s, "no_frames", f"No frame for {allowed_s:.1f} s.")]
        return []

    def on_end(self, now_s: float, end: End, *, progress: bool = False) -> list[Transition]:
        """The reader is gone. ``progress``: (files) it had got on since the one before."""
        if self.state not in READING:
            return []
        if end.outcome is Outcome.EOF and not self._live:
            return [self._go(_S.ENDED, now_s, end.reason, end.detail)]
        if progress and not self._live:
            self._attempts = 0
        fatal = end.outcome is Outcome.FATAL
        if not self._live and not fatal and self._attempts + 1 >= self._limits.file_attempts:
            fatal = True
        if fatal:
            retry_s = now_s + self._limits.failed_retry_s if self._live else None
            return [self._go(_S.FAILED, now_s, end.reason, end.detail, retry_s)]
        retry_s = now_s + self._backoff.pause_s(self._attempts)
        self._attempts += 1
        return [self._go(_S.LOST, now_s, end.reason, end.detail, retry_s)]

    def _go(
        self, target: StreamState, now_s: float, reason: str, detail: str = "", retry_s: float | None = None
    ) -> Transition:
        if target not in TRANSITIONS[self.state]:
            raise RuntimeError(f"a stream cannot go from {self.state} to {target} ({reason})")
        transition = Transition(self.state, target, reason, detail, now_s, retry_s)
        self.state, self.retry_s = target, retry_s
        if target is _S.LIVE and transition.source is not _S.FROZEN:
            self._since_s = now_s
        if target in FLOWING:
            self._frame_s = now_s
        return transition
