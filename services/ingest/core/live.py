"""Which pictures of a camera are analysed. Nothing is dropped without a reason that is counted."""

from collections import Counter
from enum import StrEnum
from typing import Final

from services.ingest.core.sampling import RateSampler

AGE_MOST_S: Final = 2.0
"""Pictures older than this are not worth sending: newer ones are waiting."""


class SkipReason(StrEnum):
    """Why a decoded picture was not sent."""

    RATE = "rate"  # the stream's wanted rate is lower than the camera's
    LOAD = "load"  # the rate was lowered further, because the analysis does not keep up
    REPLACED = "replaced"  # a newer picture came before this one could be sent
    LATE = "late"  # it came so late that others have been sent, or the marks have passed it
    SETTLING = "settling"  # the first pictures of a connection, whose time is not yet known
    TIMESTAMP = "timestamp"  # its timestamp repeats or means nothing
    CORRUPT = "corrupt"  # packets were lost; it is damaged
    UNSENT = "unsent"  # the connection ended before it could be sent
    UNDELIVERED = "undelivered"  # it was sent, but Kafka was away until it was too old


class LiveSampler:
    """The wanted rate, lowered by a factor under load. Pictures are chosen by event time, evenly."""

    def __init__(self, rate_fps: float | None) -> None:
        self._rate_fps = rate_fps
        self._factor = 1.0
        self._wanted = RateSampler(rate_fps)
        self._reduced: RateSampler | None = None

    @property
    def factor(self) -> float:
        return self._factor

    def change(self, rate_fps: float | None, factor: float, camera_fps: float = 30.0) -> None:
        """``factor`` in (0, 1]; it lowers the wanted rate, or the camera's own where every picture is wanted."""
        if not 0 < factor <= 1:
            raise ValueError(f"factor must lie in (0, 1], not {factor}")
        if rate_fps != self._rate_fps:
            self._rate_fps, self._wanted = rate_fps, RateSampler(rate_fps)
        self._factor = factor
        base_fps = rate_fps if rate_fps is not None else camera_fps
        self._reduced = RateSampler(base_fps * factor) if factor < 1 else None

    def offer(self, time_s: float) -> SkipReason | None:
        """None = to be analysed. Times must increase."""
        if not self._wanted.keep(time_s):
            return SkipReason.RATE
        if self._reduced is not None and not self._reduced.keep(time_s):
            return SkipReason.LOAD
        return None


_WORSE: Final = 0.8
_BETTER: Final = 0.05
_REPLACED_MOST: Final = 0.1
_CALM: Final = 3


class LoadControl:
    """Lowers a stream's rate until what is sampled is also sent: few even pictures are worth more than many ragged
    ones. Called about once a second; falls quickly, rises slowly (additive increase, multiplicative decrease).
    """

    def __init__(self, least: float = 0.2) -> None:
        self.factor = 1.0
        self._least = least
        self._calm = 0

    def update(self, *, sent: int, replaced: int, behind: bool = False) -> float:
        """``sent`` and ``replaced`` since the last call; ``behind``: those who take the frames say they lag."""
        offered = sent + replaced
        if behind or (offered and replaced > _REPLACED_MOST * offered):
            self.factor = max(self._least, self.factor * _WORSE)
            self._calm = 0
        elif offered:
            self._calm += 1
            if self._calm >= _CALM:
                self.factor = min(1.0, self.factor + _BETTER)
        return self.factor


class Tally:
    """Counts of one connection. Law: ``decoded == sent + sum(skipped)`` once nothing is on its way."""

    def __init__(self) -> None:
        self.decoded = 0
        self.sent = 0
        self.bytes = 0
        self.skipped: Counter[str] = Counter()

    def skip(self, reason: SkipReason) -> None:
        self.skipped[reason.value] += 1
