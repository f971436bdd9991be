"""What the user means by `--from` and `--to`, and whose events.

Rule: a date alone is a day in the zone that was named, and a time has an offset; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, TypedDict

from ..client import LeadConnector
from ..exceptions import ConfigurationError
from ..jobs.clock import place
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


async def list_all(client: LeadConnector, start: datetime, end: datetime, whose: Whose) -> list[Appointment]:
    """The events of a range of any length, each once."""
    found: dict[str, Appointment] = {}
    for begin, finish in _split(start, end):
        for event in await client.list_events(begin, finish, **whose):
            found[event.id or ""] = event
    return list(found.values())


def _split(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    if end <= start:
        raise ConfigurationError(f"--to ({end.isoformat()}) must be after --from ({start.isoformat()})")
    while start < end:
        finish = min(start + _LONGEST, end)
        yield start, finish
        start = finish
