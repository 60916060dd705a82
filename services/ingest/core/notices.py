"""What the reader says about its source beyond the frames: at most one sentence of each kind."""

from dataclasses import dataclass
from enum import StrEnum

from services.ingest.core.timeline import Cadence, TimelineCounts

_MOST_KEPT = 1000
_MOST_SAID = 5
_SAME_CUT_S = 0.3
_LOW_FPS = 12.0
_SHORT_MIN_S = 0.2
_SHORT_WHOLE_FILE_S = 1.0


class WarningCode(StrEnum):
    TRUNCATED = "TRUNCATED"
    CORRUPT = "CORRUPT"
    TIMESTAMPS = "TIMESTAMPS"
    VFR = "VFR"
    LOW_FPS = "LOW_FPS"
    INTERLACED = "INTERLACED"
    HARD_CUT = "HARD_CUT"
    FREEZE = "FREEZE"


@dataclass(frozen=True, slots=True)
class Warning_:  # noqa: N801 (the builtin's name is taken)
    """One remark on a source that is usable all the same. ``code`` is a ``WarningCode`` value."""

    code: str
    text: str


@dataclass(slots=True)
class Health:
    """How well a source reads.

    ``short_s``: how much of the declared length is missing at the end (None = unknown); ``short_is_own``: that
    length is of the video track itself, not of the whole file.
    """

    frames: int = 0
    corrupt_frames: int = 0
    undecodable_packets: int = 0
    damaged_packets: int = 0  # marked so by the container's own checks
    read_errors: int = 0
    stalled: bool = False  # a time-out ended it
    ended: bool = False  # read to its end
    short_s: float | None = None
    short_is_own: bool = True


def say_spans(spans_s: list[tuple[float, float]]) -> str:
    """``[(2.2, 4.3)]`` → ``"2.2-4.3 s"``; the first few are spelt out."""
    said = ", ".join(f"{a:.1f}-{b:.1f} s" if b - a >= 0.05 else f"{a:.1f} s" for a, b in spans_s[:_MOST_SAID])
    more = len(spans_s) - _MOST_SAID
    return said + (f" and {more} more" if more > 0 else "")


class Notices:
    """Collects remarks while frames pass, in bounded memory."""

    def __init__(self) -> None:
        self._cuts_s: list[tuple[float, float]] = []
        self._freezes_s: list[tuple[float, float]] = []
        self._in_freeze = False
        self._interlaced = 0

    def add(self, time_s: float, *, cut: bool, frozen: bool, interlaced: bool) -> None:
        near = bool(self._cuts_s) and time_s - self._cuts_s[-1][0] < _SAME_CUT_S  # a transition of a few frames
        if cut and not near and len(self._cuts_s) < _MOST_KEPT:
            self._cuts_s.append((time_s, time_s))
        if frozen:
            if self._in_freeze:
                self._freezes_s[-1] = (self._freezes_s[-1][0], time_s)
            elif len(self._freezes_s) < _MOST_KEPT:
                self._freezes_s.append((time_s, time_s))
                self._in_freeze = True
        else:
            self._in_freeze = False
        self._interlaced += interlaced

    def of(self, health: Health, clock: TimelineCounts, cadence: Cadence, fps: float) -> list[Warning_]:
        """The remarks so far."""
        found: list[Warning_] = []

        def say(code: WarningCode, text: str) -> None:
            found.append(Warning_(code.value, text))

        lost = max(health.corrupt_frames + health.undecodable_packets, health.damaged_packets)
        short_s = health.short_s if health.short_s is not None else 0.0
        if health.stalled:
            say(WarningCode.TRUNCATED, "The source stopped sending; what came before was analysed.")
        elif short_s > max(_SHORT_MIN_S if health.short_is_own else _SHORT_WHOLE_FILE_S, 2.5 / fps):
            say(WarningCode.TRUNCATED, f"The last {short_s:.1f} s are missing: the file ends before its stated length.")
        if lost or health.read_errors:
            say(
                WarningCode.CORRUPT,
                f"{lost} of {health.frames + health.undecodable_packets} pictures are damaged or could not be decoded.",
            )
        repaired = clock.dropped + clock.jumps
        if repaired:
            say(WarningCode.TIMESTAMPS, f"{repaired} timestamps repeat or jump and were repaired.")
        if cadence.variable:
            say(WarningCode.VFR, f"The frame rate varies (about {fps:.1f} frames/s); times are those of each frame.")
        if fps < _LOW_FPS:
            say(WarningCode.LOW_FPS, f"Only {fps:.1f} frames/s: quick movements may be missed; record at 24 or more.")
        if self._interlaced:
            say(WarningCode.INTERLACED, "The video is interlaced; one field of each picture was used.")
        if self._cuts_s:
            say(WarningCode.HARD_CUT, f"The footage is edited: hard cuts at {say_spans(self._cuts_s)}.")
        if self._freezes_s:
            say(WarningCode.FREEZE, f"The picture is frozen at {say_spans(self._freezes_s)}.")
        return found
