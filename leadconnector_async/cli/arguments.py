"""Flags that several commands share: `--set`, `--from`, `--to`, and whose events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, TypedDict

from cyclopts import Group, Parameter

from ..client import LeadConnector
from ..exceptions import ConfigurationError
from ..jobs.plan.rows import BadRow, name_column
from ..jobs.plan.shift import find_zone, place
from ..models import Appointment, AppointmentUpdate

JOBS: Final = Group("Jobs", sort_key=1)
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
Yes = Annotated[bool, Parameter(name="--yes", negative="", show_default=False)]
Switch = Annotated[bool, Parameter(negative="", show_default=False)]
Profile = Annotated[str | None, Parameter(name="--profile")]

_FIELDS: Final = frozenset(AppointmentUpdate.__struct_fields__)


def read_changes(texts: Iterable[str], *, shift: bool = False) -> dict[str, str]:
    """The values by field, in snake case; `shift` is one if it may be. Raises `ConfigurationError`."""
    changes: dict[str, str] = {}
    for text in texts:
        spelling, equals, value = text.partition("=")
        if not equals or not spelling.strip():
            raise ConfigurationError(
                f"--set {text!r}: write it as FIELD=VALUE, such as appointment_status=confirmed"
            )
        name = _name(spelling)
        if name not in _FIELDS and not (shift and name == "shift"):
            raise ConfigurationError(f"--set {spelling}: there is no such field; {_list_fields()}")
        if name in changes:
            raise ConfigurationError(f"--set {name}: it is given twice; keep one")
        changes[name] = value
    return changes


def _name(spelling: str) -> str:
    try:
        return name_column(spelling) or spelling
    except BadRow:
        return spelling


def _list_fields() -> str:
    return f"use one of {', '.join(name for name in AppointmentUpdate.__struct_fields__ if name != 'rrule')}"


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
