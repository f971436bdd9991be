"""`leadconnector plan`: builds a plan file from the calendar, and changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import chain
from typing import Annotated, Final

from cyclopts import App, Parameter

from .._calendar import Calendar
from .._validation.arguments import describe
from ..client import LeadConnector
from ..exceptions import ConfigurationError, InvalidRequestError, explain
from ..jobs import parse_shift
from ..jobs.hours import parse_times_of_day
from ..jobs.plan.build import PlanQuery, PlanResult, build_plan, list_wanted, write_plan
from ..jobs.plan.files import PlanFormat
from ..jobs.plan.free_slots import SEARCHED, Offer, Whose, make_offer
from ..jobs.plan.selection import Selection, check_status
from ..jobs.plan.shift import Shift
from .arguments import (
    ACCOUNT,
    JOBS,
    Account,
    CalendarId,
    From,
    GroupId,
    Owner,
    Switch,
    Texts,
    To,
    UserId,
    choose_owner,
    find_day,
    list_all,
    read_changes,
    read_range,
)
from .connect import make_client
from .errors import run_command
from .exit_codes import DONE, FAILED
from .output import check_target, write_file, write_lines
from .terminal import make_consoles, print_line

_NEEDS_ZONE: Final = "keeps the wall-clock time, so it needs a time zone; add --timezone, such as Europe/London"


@Parameter(name="*")
@dataclass(frozen=True)
class Filters:
    """Which appointments go into the plan, besides those of the range."""

    status: Annotated[Texts, Parameter(help="Only appointments with this status; may be repeated.")] = ()
    not_status: Annotated[Texts, Parameter(help="Only appointments without this status; may be repeated.")] = ()
    include_cancelled: Annotated[Switch, Parameter(help="Include cancelled and invalid appointments.")] = False
    title: Annotated[
        str | None, Parameter(help="Only appointments whose title contains this, in upper or lower case.")
    ] = None
    contact: Annotated[Texts, Parameter(help="Only appointments for this contact id; may be repeated.")] = ()
    assignee: Annotated[Texts, Parameter(help="Only appointments assigned to this user id; may be repeated.")] = ()
    time_of_day: Annotated[
        str | None,
        Parameter(help="Only appointments that begin in these hours of `--timezone`, such as 09:00-12:30."),
    ] = None


_FILTERS: Final = Filters()


async def plan(
    *,
    begin: From,
    end: To,
    calendar: CalendarId = None,
    user: UserId = None,
    group: GroupId = None,
    shift: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    shift_to: str | None = None,
    shift_to_free_slot: Switch = False,
    changes: Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)] = (),
    timezone: str | None = None,
    filters: Filters = _FILTERS,
    with_location: Switch = False,
    format: PlanFormat = "csv",
    output: str | None = None,
    force: Switch = False,
    account: Account = ACCOUNT,
) -> int:
    """Build a plan from the calendar. Changes nothing, and writes nothing if no appointment can be planned.

    Example: leadconnector plan --calendar ID --from 2027-03-10 --to 2027-03-11 --shift +2d --timezone Europe/London

    Parameters
    ----------
    shift
        How far each appointment moves: `+2d`, `-90m`, `1w`. Days and weeks keep the wall-clock time, hours and
        minutes are elapsed time.
    shift_to
        The day to which the day of `--from` moves, at the same wall-clock time; later days keep their distance.
    shift_to_free_slot
        Each appointment moves to the next free slot of its calendar and person after `--to`, within 31 days. The
        earliest appointment gets the earliest slot, and none is given twice.
    changes
        Another field to set, such as `assigned_user_id=ID`; may be repeated.
    timezone
        IANA name of the time zone of the days. The API does not return it: see the calendar's settings.
    with_location
        Add the location to each row, for a plan of several locations.
    format
        `csv`, or `jsonl` for one JSON object per line.
    output
        File to write; stdout if omitted.
    force
        Overwrite the file if it exists.

    """

    async def work() -> int:
        check_target(output, force=force)
        owner, (first, last) = choose_owner(calendar, user, group), read_range(begin, end, timezone)
        async with make_client(account) as client:
            location = client.location_id if with_location else None
            query = _make_query(shift, shift_to, shift_to_free_slot, first, timezone, changes, filters, location)
            events = await list_all(client, first, last, owner)
            offers = await _read_offers(client, list_wanted(events, query), last, timezone)
        planned = build_plan(events, query, offers)
        if not planned.rows:
            _print_nothing(planned, _describe_selected(owner, begin, end, timezone))
            return FAILED
        _write(planned, format, output, force)
        return DONE

    return await run_command(work, reads=True)


def _make_query(
    shift: str | None,
    shift_to: str | None,
    to_free_slot: bool,
    first: datetime,
    timezone: str | None,
    changes: Iterable[str],
    filters: Filters,
    location_id: str | None,
) -> PlanQuery:
    return PlanQuery(
        shift=None if shift is None else _read_shift(shift, timezone),
        shift_to=None if shift_to is None else _read_day(shift_to, timezone),
        to_free_slot=to_free_slot,
        first_day=find_day(first, timezone),
        timezone=timezone,
        changes=read_changes(changes),
        statuses=frozenset(map(check_status, filters.status)),
        include_cancelled=filters.include_cancelled,
        selection=_read_filters(filters, timezone),
        location_id=location_id,
    )


async def _read_offers(
    client: LeadConnector, wanted: Iterable[Whose], after: datetime, timezone: str | None
) -> dict[Whose, Offer]:
    """The free slots from the end of the range, or from now on if that is over."""
    begin = max(after, datetime.now(UTC))
    calendars: dict[str, Calendar] = {}
    offers: dict[Whose, Offer] = {}
    for whose in wanted:
        calendar = calendars.get(whose.calendar_id)
        if calendar is None:
            calendar = calendars[whose.calendar_id] = await client.get_calendar(whose.calendar_id)
        days = await client.get_free_slots(
            whose.calendar_id,
            begin,
            begin + SEARCHED,
            timezone=timezone,
            user_ids=() if whose.user_id is None else [whose.user_id],
        )
        if offer := make_offer(calendar, whose, chain.from_iterable(days.values())):
            offers[whose] = offer
    return offers


def _write(planned: PlanResult, format: PlanFormat, output: str | None, force: bool) -> None:
    if output is None:
        write_lines(write_plan(planned, format))
    else:
        write_file(output, write_plan(planned, format), force=force)
    _print_written(planned, output)


def register(app: App) -> None:
    """Add the command."""
    app.command(plan, group=JOBS)


def _read_filters(filters: Filters, timezone: str | None) -> Selection:
    """Raises `ConfigurationError` for a filter that could not select what it says."""
    if filters.title is not None and not filters.title.strip():
        raise ConfigurationError("--title is empty; give a part of the title, or leave it out")
    if filters.time_of_day is not None and timezone is None:
        raise ConfigurationError("--time-of-day needs a time zone; add --timezone, such as Europe/London")
    return Selection(
        title=filters.title,
        contacts=frozenset(filters.contact),
        assignees=frozenset(filters.assignee),
        times=None if filters.time_of_day is None else parse_times_of_day(filters.time_of_day),
        not_statuses=frozenset(map(check_status, filters.not_status)),
    )


def _read_shift(text: str, timezone: str | None) -> Shift:
    try:
        shift = parse_shift(text)
    except InvalidRequestError as error:
        found = describe(error.value, error.reason)
        raise ConfigurationError(f"--shift: {explain(found, error.hint)}") from None
    if shift.days and timezone is None:
        raise ConfigurationError(f"--shift {text} {_NEEDS_ZONE}")
    return shift


def _read_day(text: str, timezone: str | None) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--shift-to {text!r}: write a date such as 2027-03-17") from None
    if timezone is None:
        raise ConfigurationError(f"--shift-to {text} {_NEEDS_ZONE}")
    return day


def _describe_selected(owner: Owner, begin: str, end: str, timezone: str | None) -> str:
    """Such as `calendar ID from 2027-03-10 to 2027-03-11 in Europe/London`."""
    [(kind, owner_id)] = owner.items()
    zone = "" if timezone is None else f" in {timezone}"
    return f"{kind.removesuffix('_id')} {owner_id} from {begin} to {end}{zone}"


def _print_written(planned: PlanResult, output: str | None) -> None:
    where = f" in {output}" if output is not None else ""
    text = f"{_count(len(planned.rows), 'appointment')} in {_count(planned.days, 'day')}{where}"
    count = len(planned.left_out)
    _print(f"{text}; {count} left out{':' if count else '.'}")
    _print_left_out(planned)


def _print_nothing(planned: PlanResult, selected: str) -> None:
    count = len(planned.left_out)
    if not count:
        _print(
            f"No plan was written: there are no appointments of {selected}. Check the days, and the id of the "
            "calendar, user or group."
        )
        return
    _print(f"No plan was written: of {selected}, {_count(count, 'appointment')} were found and left out:")
    _print_left_out(planned)
    _print("Choose other days, or change the options that select, such as --status or --include-cancelled.")


def _print_left_out(planned: PlanResult) -> None:
    """Each reason, with some of the ids."""
    left_out = planned.left_out
    for reason, count in Counter(reason for _, reason in left_out).most_common():
        ids = ", ".join([event_id for event_id, why in left_out if why == reason and event_id][:3])
        named = f" ({ids}{', …' if count > 3 else ''})" if ids else ""
        _print(f"{count}: {reason}{named}", indent=2)


def _print(line: str, indent: int = 0) -> None:
    print_line(make_consoles()[1], line, indent)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
