"""Times of day, and the hours to which a job keeps: within them rows are sent, outside of them it is paused.

They are local time in a zone: a time that it skips is not among them, and one that it shows twice is so
twice.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from .._validation.moments import BadMoment, check_name
from .._validation.text import show
from ..exceptions import ConfigurationError

_WINDOW: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)")
_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)
_MOST_MINUTES: Final = 3 * 24 * 60
"""Hours that begin in a time that the clock skips come a day later."""
_MOST_CLOSURES: Final = 1000
"""Of a forecast: years, with hours of every day."""


class TimesOfDay(Struct, frozen=True):
    """From a time of day up to another, which is not included; across midnight if it is earlier."""

    begin: time
    """The first moment."""
    end: time
    """The first moment that is no longer included."""

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def __contains__(self, clock: time) -> bool:
        if self.begin < self.end:
            return self.begin <= clock < self.end
        return clock >= self.begin or clock < self.end


def parse_times_of_day(text: str) -> TimesOfDay:
    """Read times such as `09:00-12:30` or `22:00-06:00`. Raises `ConfigurationError`."""
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f"{text!r} is not a pair of times of day; write it like 09:00-12:30")
    first, second, third, fourth = (int(number) for number in match.groups())
    times = TimesOfDay(time(first, second), time(third, fourth))
    if times.begin == times.end:
        raise ConfigurationError(f"{text!r} begins when it ends; write it like 09:00-12:30, or leave it out")
    return times


class Hours(Struct, frozen=True):
    """Times of day in a zone. Moments are in seconds since the epoch."""

    times: TimesOfDay
    """From when to when."""
    zone: ZoneInfo
    """The zone whose local time they are."""

    def __str__(self) -> str:
        return f"{self.times} {self.zone.key}"

    def is_open(self, now: float) -> bool:
        """Whether local time in the zone is one of the times."""
        return self._contains(datetime.fromtimestamp(now, UTC))

    def find_change(self, now: float) -> float:
        """When they end, or begin, next."""
        moment = datetime.fromtimestamp(now, UTC)
        local = moment.astimezone(self.zone)
        clock = local.replace(tzinfo=None)
        boundaries = (datetime.combine(clock, one) for one in (self.times.begin, self.times.end))
        ahead = min((boundary - clock) % _DAY or _DAY for boundary in boundaries)
        if (moment + ahead).astimezone(self.zone).utcoffset() == local.utcoffset():
            return (moment + ahead).timestamp()
        return self._search(moment).timestamp()

    def find_opening(self, now: float) -> float | None:
        """When they begin next; `None` within them."""
        return None if self.is_open(now) else self.find_change(now)

    def stretch(self, seconds: float, now: float) -> float:
        """Seconds until so many of them have passed within the hours."""
        moment = now
        for _ in range(_MOST_CLOSURES):
            change = self.find_change(moment)
            if self.is_open(moment):
                if moment + seconds <= change:
                    break
                seconds -= change - moment
            moment = change
        return moment + seconds - now

    def _contains(self, moment: datetime) -> bool:
        return moment.astimezone(self.zone).time() in self.times

    def _search(self, moment: datetime) -> datetime:
        """Across a change of the clock, minute by minute: offsets and boundaries are whole minutes."""
        before = self._contains(moment)
        minute = moment.replace(second=0, microsecond=0)
        for _ in range(_MOST_MINUTES):
            minute += _MINUTE
            if self._contains(minute) != before:
                break
        return minute


@lru_cache(maxsize=64)
def read_hours(only: str | None, zone: str | None) -> Hours | None:
    """The hours of `JobOptions.only` and `only_timezone`; `None` without them. Raises `ConfigurationError`."""
    if only is None and zone is None:
        return None
    if only is None:
        raise ConfigurationError(f"only_timezone is {zone!r}, but only names no hours: set it, such as 22:00-06:00")
    times = parse_times_of_day(only)
    if zone is None:
        raise ConfigurationError(f"only is {only!r}, but in no zone: set only_timezone, such as Europe/London")
    try:
        found = ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        raise ConfigurationError(
            f"only_timezone is {show(zone)}, which is not an IANA time zone; name one such as America/New_York"
        ) from None
    try:
        for month in (1, 7):
            check_name(zone, datetime(2026, month, 1, tzinfo=UTC))
    except BadMoment as bad:
        raise ConfigurationError(f"only_timezone is {show(zone)}; {bad.hint}") from None
    return Hours(times, found)
