"""What the user means by `--from` and `--to`, and whose events.

Rule: a date alone is a day in the zone that was named, and a time has an offset; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypedDict

from ..client import LeadConnector
from ..exceptions import ConfigurationError
from ..jobs.clock import find_zone, place
from ..models import Appointment

_LONGEST: Final = timedelta(days=31)


class Whose(TypedDict, total=False):
    """Whose events are meant: one of them."""

    calendar_id: str
    user_id: str
    group_id: str


def choose_whose(calendar: str | None, user: str | None, group: str | None) -> Whose:
    """Exactly one of the three. Raises `ConfigurationError`."""
    given: Whose = {}
    if calendar is not None:
        given["calendar_id"] = calendar
    if user is not None:
        given["user_id"] = user
    if group is not None:
        given["group_id"] = group
    if len(given) != 1:
        raise ConfigurationError("give exactly one of --calendar, --user and --group")
    return given


def read_moment(flag: str, text: str, timezone: str | None) -> datetime:
    """A time with an offset, or a date or wall-clock time in the zone that was named."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{flag} {text!r}: write a date such as 2027-03-10, or a time in ISO 8601"
        ) from None
    if moment.tzinfo is not None:
        return moment
    if timezone is None:
        raise ConfigurationError(f"{flag} {text}: name its zone by --timezone, such as Europe/London")
    try:
        return place(moment, timezone)
    except ValueError as error:
        raise ConfigurationError(f"{flag} {text}: {error}") from None


def read_range(begin: str, end: str, timezone: str | None) -> tuple[datetime, datetime]:
    """What `--from` and `--to` mean together."""
    if timezone is not None:
        _check_zone(timezone)
    start, finish = read_moment("--from", begin, timezone), read_moment("--to", end, timezone)
    if finish <= start:
        raise ConfigurationError(f"--to ({finish.isoformat()}) must be after --from ({start.isoformat()})")
    return start, finish


def find_day(moment: datetime, timezone: str | None) -> date | None:
    """The day of a moment in a zone; `None` without one."""
    return None if timezone is None else moment.astimezone(find_zone(timezone)).date()


async def list_all(client: LeadConnector, start: datetime, end: datetime, whose: Whose) -> list[Appointment]:
    """The events of a range of any length, each once."""
    found: dict[str, Appointment] = {}
    nameless: list[Appointment] = []
    for begin, finish in _split(start, end):
        for event in await client.list_events(begin, finish, **whose):
            if event.id:
                found[event.id] = event
            else:
                nameless.append(event)
    return [*found.values(), *nameless]


def _split(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    while start < end:
        finish = min(start + _LONGEST, end)
        yield start, finish
        start = finish


def _check_zone(timezone: str) -> None:
    try:
        find_zone(timezone)
    except ValueError as error:
        raise ConfigurationError(f"--timezone: {error}") from None
