"""Which of the listed appointments go into a plan."""

from __future__ import annotations

import re
from datetime import time
from typing import Final, get_args

from msgspec import Struct

from ...exceptions import ConfigurationError
from ...models import Appointment, AppointmentStatus
from .shift import find_zone
from .spelling import find_word

_WINDOW: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)")


class TimesOfDay(Struct, frozen=True):
    """From a time of day up to another, which is not included; across midnight if it is earlier."""

    begin: time
    end: time

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def __contains__(self, clock: time) -> bool:
        if self.begin < self.end:
            return self.begin <= clock < self.end
        return clock >= self.begin or clock < self.end


class Selection(Struct, frozen=True, kw_only=True):
    """What an appointment must be to go into a plan; all of it."""

    title: str | None = None
    """A text that its title contains, in upper or lower case."""
    contacts: frozenset[str] = frozenset()
    """Ids of contacts, one of which it is for; empty: all."""
    assignees: frozenset[str] = frozenset()
    """Ids of users, one of whom it is assigned to; empty: all."""
    times: TimesOfDay | None = None
    """Its wall-clock time at the start, in the plan's zone."""
    not_statuses: frozenset[str] = frozenset()
    """Statuses that it must not have."""

    def explain(self, event: Appointment, timezone: str | None) -> str | None:
        """Why an appointment is not selected; `None` if it is."""
        if event.appointment_status in self.not_statuses:
            return f"its status is {event.appointment_status}"
        if self.title is not None and self.title.casefold() not in (event.title or "").casefold():
            return "its title is another one"
        if self.contacts and event.contact_id not in self.contacts:
            return "it is for another contact"
        if self.assignees and event.assigned_user_id not in self.assignees:
            return "it is assigned to somebody else"
        return None if self.times is None else _explain_time(event, self.times, timezone)


def _explain_time(event: Appointment, times: TimesOfDay, timezone: str | None) -> str | None:
    if event.start_time is None:
        return "the server does not show its start"
    start = event.start_time.astimezone(find_zone(timezone)) if timezone else event.start_time
    return None if start.time() in times else f"it does not begin in {times}"


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


def check_status(text: str) -> str:
    """A status in the spelling of the API. Raises `ConfigurationError` for a word that is not one."""
    known = get_args(AppointmentStatus)
    status = find_word(text, known)
    if status not in known:
        raise ConfigurationError(f"{text!r} is not a status; use one of {', '.join(known)}")
    return status
