"""`leadconnector plan`: the calendar becomes a plan file.

It reads and changes nothing; what is not in the plan is said.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.console import Console
from rich.text import Text

from .._validation.arguments import describe
from ..exceptions import ConfigurationError, InvalidRequestError, explain
from ..jobs import parse_shift
from ..jobs.plan.build import PlanQuery, PlanResult, build_plan, write_plan
from ..jobs.plan.files import PlanFormat
from ..jobs.plan.shift import Shift
from .arguments import JOBS, Profile, Switch, choose_whose, find_day, list_all, read_changes, read_range
from .connect import make_client
from .edge import guard
from .exit_codes import DONE, FAILED
from .output import check_target, clean, write_file, write_lines
from .terminal import make_consoles

_NEEDS_ZONE: Final = "keeps the time of day: name its zone by --timezone, such as Europe/London"
Many = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]


async def plan(
    *,
    begin: Annotated[str, Parameter(name="--from")],
    end: Annotated[str, Parameter(name="--to")],
    calendar: str | None = None,
    user: str | None = None,
    group: str | None = None,
    shift: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    shift_to: str | None = None,
    changes: Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)] = (),
    timezone: str | None = None,
    status: Many = (),
    include_cancelled: Switch = False,
    with_location: Switch = False,
    format: PlanFormat = "csv",
    output: str | None = None,
    force: Switch = False,
    profile: Profile = None,
) -> int:
    """Build a plan from the calendar. Changes nothing.

    Example: leadconnector plan --calendar ID --from 2027-03-10 --to 2027-03-11 --shift +2d --timezone Europe/London

    Parameters
    ----------
    begin
        First day, or first moment.
    end
        The day after the last one, or the moment after.
    calendar
        Id of the calendar whose appointments are meant. Give this, `--user` or `--group`.
    user
        Id of the person whose appointments are meant.
    group
        Id of the group whose appointments are meant.
    shift
        How far each moves: `+2d`, `-90m`, `1w`. Days keep the time of day, minutes and hours count time.
    shift_to
        The day to which the day of `--from` moves, by the same time of day; later days keep their distance.
    changes
        Another field to set, such as `assigned_user_id=ID`; may be repeated.
    timezone
        IANA name of the zone in which days are counted. The server does not tell it: see the calendar's settings.
    status
        Only appointments with this status; may be repeated.
    include_cancelled
        Cancelled and invalid ones as well.
    with_location
        Name the location in each row, for a plan of several locations.
    format
        `csv` or `jsonl`, one object a line.
    output
        File to write; stdout if left out.
    force
        Replace the file if it is there.
    profile
        Which account.

    """

    async def work() -> int:
        check_target(output, force=force)
        whose, (first, last) = choose_whose(calendar, user, group), read_range(begin, end, timezone)
        async with make_client(profile) as client:
            wish = PlanQuery(
                shift=None if shift is None else _read_shift(shift, timezone),
                shift_to=None if shift_to is None else _read_day(shift_to, timezone),
                first_day=find_day(first, timezone),
                timezone=timezone,
                changes=read_changes(changes),
                statuses=frozenset(status),
                include_cancelled=include_cancelled,
                location_id=client.location_id if with_location else None,
            )
            return _finish(build_plan(await list_all(client, first, last, whose), wish), format, output, force)

    return await guard(work, reads=True)


def _finish(planned: PlanResult, format: PlanFormat, output: str | None, force: bool) -> int:
    _, err = make_consoles()
    if output is None:
        write_lines(write_plan(planned, format))
    else:
        write_file(output, write_plan(planned, format), force=force)
    _say(err, planned, output)
    return DONE if planned.rows else FAILED


def register(app: App) -> None:
    """Add the command."""
    app.command(plan, group=JOBS)


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


def _say(err: Console, planned: PlanResult, output: str | None) -> None:
    left_out = planned.left_out
    where = f" in {output}" if output is not None else ""
    text = f"{_count(len(planned.rows), 'appointment')} in {_count(planned.days, 'day')}{where}; "
    err.print(Text(f"{text}{len(left_out)} left out{':' if left_out else '.'}"), soft_wrap=True)
    for reason, count in Counter(reason for _, reason in left_out).most_common():
        ids = ", ".join([event_id for event_id, why in left_out if why == reason and event_id][:3])
        named = f" ({ids}{', …' if count > 3 else ''})" if ids else ""
        err.print(Text(clean(f"  {count}: {reason}{named}")), soft_wrap=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
