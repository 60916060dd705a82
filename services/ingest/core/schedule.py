"""When a stream is watched: spans of the day, in the gym's own time zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from services.common.errors import ConfigError

MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """``start_minute <= t < end_minute`` of local time; an end at or before the start lies on the next day.

    ``days``: on which it starts, 1 = Monday .. 7 = Sunday; empty = every day.
    """

    start_minute: int
    end_minute: int
    days: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Schedule:
    """``time_zone``: a name of the IANA data base; empty = UTC. Without windows: always."""

    windows: tuple[Window, ...] = ()
    time_zone: str = ""


ALWAYS = Schedule()


def _zone(name: str) -> tzinfo:
    return ZoneInfo(name) if name else UTC


def check_schedule(schedule: Schedule, name: str) -> None:
    """Raises: ConfigError: a minute, a day or the time zone does not exist; ``name`` is the stream's."""
    try:
        _zone(schedule.time_zone)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"stream {name}: there is no time zone {schedule.time_zone!r}; use an IANA name such as Europe/Berlin"
        ) from error
    for window in schedule.windows:
        if not (0 <= window.start_minute < MINUTES and 0 <= window.end_minute <= MINUTES):
            raise ConfigError(
                f"stream {name}: a schedule's minutes lie between 0 and {MINUTES}, "
                f"not {window.start_minute} to {window.end_minute}"
            )
        if not window.days <= frozenset(range(1, 8)):
            raise ConfigError(f"stream {name}: days are 1 (Monday) to 7 (Sunday), not {sorted(window.days)}")


def is_open(schedule: Schedule, unix_s: float) -> bool:
    """Whether the stream is to be watched at that moment (s since 1970)."""
    if not schedule.windows:
        return True
    now = datetime.fromtimestamp(unix_s, _zone(schedule.time_zone))
    minute = now.hour * 60 + now.minute
    today, yesterday = now.isoweekday(), (now - timedelta(days=1)).isoweekday()
    for window in schedule.windows:
        if window.end_minute > window.start_minute:
            inside = window.start_minute <= minute < window.end_minute
            day = today
        else:  # over midnight
            inside = minute >= window.start_minute or minute < window.end_minute
            day = today if minute >= window.start_minute else yesterday
        if inside and (not window.days or day in window.days):
            return True
    return False
