"""Flags that several commands share: `--set`, `--from`, `--to`, and whose events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Final, TypedDict

from cyclopts import Group, Parameter

from .._api.events import merge_events, split_range
from ..client import LeadConnector
from ..exceptions import ConfigurationError
from ..jobs.plan.rows import BadRow, name_column
from ..jobs.plan.shift import find_zone, place
from ..models import Appointment, AppointmentUpdate

JOBS: Final = Group("Jobs", sort_key=1)
SINGLE: Final = Group("Single calls", sort_key=2)
WORKERS: Final = Group("Jobs on several machines", sort_key=1)
SHARED: Final = Group("Shared between processes", sort_key=3)
SANDBOX: Final = Group("Sandbox", sort_key=4)
Switch = Annotated[bool, Parameter(negative="", show_default=False)]
Texts = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]
Json = Annotated[Switch, Parameter(name="--json", help="Print the result as one JSON document on stdout.")]
Yes = Annotated[Switch, Parameter(help="Do not ask for confirmation.")]
DryRun = Annotated[Switch, Parameter(help="Show what would change, and change nothing.")]
Profile = Annotated[str | None, Parameter(help="The account: `clinic` reads LEADCONNECTOR_CLINIC_TOKEN and so on.")]
Reserve = Annotated[
    int | None,
    Parameter(help="Requests of each window left to interactive calls; if omitted, as many as they use."),
]
AllowPlaintext = Annotated[
    Switch, Parameter(help="Permit an unencrypted connection to the shared store, on a private network.")
]


@Parameter(name="*")
@dataclass(frozen=True)
class Account:
    """Whose calendar, what is shared with other processes, and whether anything may be changed."""

    profile: Profile = None
    shared: Annotated[
        str | None,
        Parameter(help="Share limits with other processes through this store, such as sqlite:////srv/leads.db."),
    ] = None
    allow_plaintext: AllowPlaintext = False
    read_only: Annotated[Switch, Parameter(help="Refuse every change, before anything is sent.")] = False


ACCOUNT: Final = Account()
"""That of the environment."""


@Parameter(name="*")
@dataclass(frozen=True)
class Shown:
    """What is shown of a job before the question, besides its first changes."""

    preview: Annotated[
        str | None, Parameter(help="Write every change with its warnings to this file, .csv or .html, to sign off.")
    ] = None
    force: Annotated[Switch, Parameter(help="Overwrite an existing file of `--preview`.")] = False
    check_slots: Annotated[
        Switch,
        Parameter(help="Read the calendar around the new times, and warn of slots held outside of the plan."),
    ] = False

    names: Annotated[Switch, Parameter(help="Show the names of contacts; each is read once.")] = False


SHOWN: Final = Shown()
"""The first changes only."""
OnEnd = Annotated[
    str | None,
    Parameter(
        help="When the job has ended, run this command with the summary as JSON on stdin, or POST it to this URL;"
        " not stored. One with a secret belongs into LEADCONNECTOR_ON_END."
    ),
]
JobPlace = Annotated[str, Parameter(help="Folder of the job, or postgresql://HOST/DATABASE#NAME.")]
EventId = Annotated[
    str, Parameter(allow_leading_hyphen=True, help="Id of an event, or of an instance of a series.")
]
From = Annotated[str, Parameter(name="--from", help="First day, or start time.")]
To = Annotated[str, Parameter(name="--to", help="The day after the last day, or end time.")]
CalendarId = Annotated[str | None, Parameter(help="Id of the calendar. Specify this, `--user` or `--group`.")]
UserId = Annotated[str | None, Parameter(help="Id of the user.")]
ContactId = Annotated[
    str | None, Parameter(help="Id of a contact, instead of `--calendar`, `--user` or `--group`.")
]
GroupId = Annotated[str | None, Parameter(help="Id of the group.")]

_FIELDS: Final = AppointmentUpdate.__struct_fields__


def read_changes(texts: Iterable[str], *, shift: bool = False) -> dict[str, str]:
    """The values of `--set` by field, in snake case; `shift` allows that too. Raises `ConfigurationError`."""
    changes: dict[str, str] = {}
    for text in texts:
        spelling, equals, value = text.partition("=")
        if not equals or not spelling.strip():
            raise ConfigurationError(f"--set {text!r}: write FIELD=VALUE, such as appointment_status=confirmed")
        name = _name(spelling)
        if name not in _FIELDS and not (shift and name == "shift"):
            known = ", ".join(field for field in _FIELDS if field != "rrule")
            raise ConfigurationError(f"--set {spelling}: unknown field; use one of {known}")
        if name in changes:
            raise ConfigurationError(f"--set {name}: specified twice; keep one")
        changes[name] = value
    return changes


def _name(spelling: str) -> str:
    try:
        return name_column(spelling) or spelling
    except BadRow:
        return spelling


class Owner(TypedDict, total=False):
    """Whose events: exactly one of these."""

    calendar_id: str
    user_id: str
    group_id: str


def choose_owner(calendar: str | None, user: str | None, group: str | None) -> Owner:
    """Exactly one of the three. Raises `ConfigurationError`."""
    owner: Owner = {}
    if calendar is not None:
        owner["calendar_id"] = calendar
    if user is not None:
        owner["user_id"] = user
    if group is not None:
        owner["group_id"] = group
    if len(owner) != 1:
        raise ConfigurationError("specify exactly one of --calendar, --user and --group")
    return owner


def read_moment(flag: str, text: str, timezone: str | None) -> datetime:
    """A time with an offset, or a date or wall-clock time in the zone of `--timezone`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{flag} {text!r}: write a date such as 2027-03-10, or a time in ISO 8601"
        ) from None
    if moment.tzinfo is not None:
        return moment
    if timezone is None:
        raise ConfigurationError(f"{flag} {text} has no time zone; add --timezone, such as Europe/London")
    try:
        return place(moment, timezone)
    except ValueError as error:
        raise ConfigurationError(f"{flag} {text}: {error}") from None


def read_range(begin: str, end: str, timezone: str | None) -> tuple[datetime, datetime]:
    """The range from `--from` to `--to`. Raises `ConfigurationError`."""
    check_timezone(timezone)
    start, finish = read_moment("--from", begin, timezone), read_moment("--to", end, timezone)
    if finish <= start:
        raise ConfigurationError(f"--to ({finish.isoformat()}) must be after --from ({start.isoformat()})")
    return start, finish


def check_timezone(timezone: str | None) -> None:
    """Raise `ConfigurationError` for a zone that does not exist."""
    try:
        _ = timezone if timezone is None else find_zone(timezone)
    except ValueError as error:
        raise ConfigurationError(f"--timezone: {error}") from None


def find_day(moment: datetime, timezone: str | None) -> date | None:
    """The day of a moment in a zone; `None` without one."""
    return None if timezone is None else moment.astimezone(find_zone(timezone)).date()


async def list_all(client: LeadConnector, start: datetime, end: datetime, owner: Owner) -> list[Appointment]:
    """The events of a range of any length by start, each once."""
    parts = split_range(start, end)
    return merge_events([await client.list_events(first, last, **owner) for first, last in parts])
