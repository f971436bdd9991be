"""`leadconnector plan`: the calendar becomes a plan file.

Rule: it reads and changes nothing; what is not in the plan is said.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.text import Text

from ..exceptions import ConfigurationError
from ..jobs import parse_shift
from ..jobs.clock import Shift
from ..jobs.plan import PlanFormat
from ..jobs.planner import Planned, PlanWish, build_plan, write_plan
from .connect import make_client
from .consoles import make_consoles
from .exit_codes import DONE, FAILED
from .flags import JOBS, Profile, Switch
from .ranges import choose_whose, list_all, read_moment
from .session import guard

Many = Annotated[tuple[str, ...], Parameter(negative="")]


async def plan(
    *,
    begin: Annotated[str, Parameter(name="--from")],
    end: Annotated[str, Parameter(name="--to")],
    calendar: str | None = None,
    user: str | None = None,
    group: str | None = None,
    shift: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    shift_to: str | None = None,
    changes: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    timezone: str | None = None,
    status: Many = (),
    include_cancelled: Switch = False,
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
        Id of the calendar whose appointments are meant; or a user's, or a group's.
    user
        Id of the person whose appointments are meant.
    group
        Id of the group whose appointments are meant.
    shift
        How far each moves: `+2d`, `-90m`, `1w`. Days keep the time of day, minutes and hours count time.
    shift_to
        The day to which all move, by the same time of day; of several days the first.
    changes
        Another field to set, such as `assigned_user_id=ID`; may be repeated.
    timezone
        IANA name of the zone in which days are counted. The server does not tell that of a calendar.
    status
        Only appointments with this status; may be repeated.
    include_cancelled
        Cancelled and invalid ones as well.
    format
        `csv` or `jsonl`.
    output
        File to write; stdout if left out.
    force
        Replace the file if it is there.
    profile
        Which account.

    """

    def build_wish() -> PlanWish:
        return PlanWish(
            shift=None if shift is None else _read_shift(shift),
            shift_to=None if shift_to is None else _read_day(shift_to),
            timezone=timezone,
            changes=read_changes(changes),
            statuses=frozenset(status),
            include_cancelled=include_cancelled,
        )

    async def work() -> int:
        _check_output(output, force=force)
        wish, whose = build_wish(), choose_whose(calendar, user, group)
        first, last = (read_moment(*one, timezone) for one in (("--from", begin), ("--to", end)))
        async with make_client(profile) as client:
            return _finish(build_plan(await list_all(client, first, last, whose), wish), format, output)

    return await guard(work)


def _finish(planned: Planned, format: PlanFormat, output: str | None) -> int:
    _, err = make_consoles()
    _write(write_plan(planned, format), output)
    _say(err, planned, output)
    return DONE if planned.rows else FAILED


def register(app: App) -> None:
    """Add the command."""
    app.command(plan, group=JOBS)


def read_changes(texts: Iterable[str]) -> dict[str, str]:
    """`field=value`, by field. Raises `ConfigurationError`."""
    changes: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(
                f"--set {text!r}: write it as FIELD=VALUE, such as appointment_status=confirmed"
            )
        changes[name] = value
    return changes


def _read_shift(text: str) -> Shift:
    try:
        return parse_shift(text)
    except ValueError as error:
        raise ConfigurationError(f"--shift: {error}") from None


def _read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--shift-to {text!r}: write a date such as 2027-03-17") from None


def _check_output(output: str | None, *, force: bool) -> None:
    if output is not None and os.path.exists(output) and not force:
        raise ConfigurationError(f"{output} is there already: give another name, or --force")


def _write(lines: Iterable[str], output: str | None) -> None:
    if output is None:
        sys.stdout.writelines(lines)
        return
    beside = f"{output}.new"
    try:
        with open(beside, "w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, output)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


def _say(err: Console, planned: Planned, output: str | None) -> None:
    where = f" in {output}" if output is not None else ""
    err.print(Text(f"{len(planned.rows)} appointments planned{where}, {len(planned.left_out)} left out."))
    for reason, count in Counter(reason for _, reason in planned.left_out).most_common():
        ids = ", ".join([event_id for event_id, why in planned.left_out if why == reason][:3])
        err.print(Text(f"  {count}: {reason} ({ids}{', …' if count > 3 else ''})"), soft_wrap=True)
