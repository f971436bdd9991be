"""Commands for single calls: get, update, delete, list, free-slots."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from .._api.precondition import Granted
from .._client.methods import begin_reading
from ..client import LeadConnector
from ..exceptions import ConfigurationError, InvalidRequestError, RowFault, explain
from ..jobs import PlanRow
from ..jobs.plan.rows import is_blank, read_row
from ..jobs.plan.shift import find_zone
from ..jobs.plan.wanted_change import WantedChange
from ..jobs.prepare.check import Rules, check_row
from ..models import Appointment
from ..reschedule.apply import carry_out, retry_stale
from ..reschedule.plan import Change
from .arguments import (
    ACCOUNT,
    SINGLE,
    Account,
    CalendarId,
    ContactId,
    EventId,
    From,
    GroupId,
    Json,
    Switch,
    Texts,
    To,
    UserId,
    Yes,
    choose_owner,
    list_all,
    read_changes,
    read_range,
)
from .connect import make_client
from .errors import run_command
from .exit_codes import DONE, FAILED, USAGE
from .output import clean, name_fields, show_event, show_events, show_slots, write_json
from .session import ask
from .terminal import make_consoles

Changes = Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)]


async def get(event_id: EventId, *, json_output: Json = False, account: Account = ACCOUNT) -> int:
    """Show an appointment.

    Example: leadconnector get EWoEjmGE628b0m6zivxZ --json
    """

    async def work() -> int:
        async with make_client(account) as client:
            show_event(await client.get_appointment(event_id), as_json=json_output)
        return DONE

    return await run_command(work, reads=True)


async def update(
    event_id: EventId,
    *,
    changes: Changes,
    plain: Switch = False,
    timezone: str | None = None,
    json_output: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """Change an appointment, and leave its other fields as they are.

    Example: leadconnector update EWoEjmGE628b0m6zivxZ --set title="By phone" --set appointment_status=confirmed

    Parameters
    ----------
    changes
        A field and its new value, such as `title="By phone"`; `shift=+2d` moves the appointment. May be repeated.
    plain
        Send the changes only. The server may then reset `showed` and `noshow` to `confirmed`; without this flag the
        appointment is read first, and what an update would reset is sent along.
    timezone
        IANA name of the time zone of times without an offset.

    """

    async def work() -> int:
        row = read_update(event_id, read_changes(changes, shift=not plain), timezone)
        async with make_client(account, to_write="update") as client:
            if plain:
                changed = await client.update_appointment(event_id, row.update)
            else:
                changed = await change_safely(client, row)
            show_event(changed, as_json=json_output)
        return DONE

    return await run_command(work)


async def delete(
    event_id: EventId, *, yes: Yes = False, json_output: Json = False, account: Account = ACCOUNT
) -> int:
    """Delete an appointment or a block slot.

    Example: leadconnector delete EWoEjmGE628b0m6zivxZ
    """

    async def work() -> int:
        async with make_client(account, to_write="delete") as client:
            if not ask(f"Delete {event_id}?", yes=yes):
                return USAGE
            succeeded = await client.delete_event(event_id)
        out, err = make_consoles()
        if json_output:
            write_json({"succeeded": succeeded})
        else:
            console, words = (
                (out, "was deleted") if succeeded else (err, "was not deleted: the server reports no success")
            )
            console.print(Text(clean(f"{event_id} {words}.")), soft_wrap=True)
        return DONE if succeeded else FAILED

    return await run_command(work)


async def list_events(
    *,
    begin: From,
    end: To,
    calendar: CalendarId = None,
    user: UserId = None,
    group: GroupId = None,
    contact: ContactId = None,
    timezone: str | None = None,
    json_output: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """List the appointments of a calendar, a user, a group or a contact.

    Example: leadconnector list --calendar ID --from 2027-03-10 --to 2027-03-11 --timezone Europe/London

    Parameters
    ----------
    timezone
        IANA name of the time zone of the days. Times are shown in it, too; without it, and with `--json`, they are
        shown as in the response.

    """

    async def work() -> int:
        if sum(one is not None for one in (calendar, user, group, contact)) != 1:
            raise ConfigurationError("specify exactly one of --calendar, --user, --group and --contact")
        first, last = read_range(begin, end, timezone)
        async with make_client(account) as client:
            if contact is None:
                events = await list_all(client, first, last, choose_owner(calendar, user, group))
            else:
                events = await client.find_appointments(first, last, contact_id=contact)
        if json_output:
            write_json([name_fields(event) for event in events])
        else:
            show_events(events, None if timezone is None else find_zone(timezone))
        return DONE

    return await run_command(work, reads=True)


async def free_slots(
    calendar: str,
    *,
    begin: From,
    end: To,
    user: Texts = (),
    timezone: str | None = None,
    json_output: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """List the free slots of a calendar, by day.

    Example: leadconnector free-slots ID --from 2027-03-10 --to 2027-03-11 --timezone Europe/London

    Parameters
    ----------
    calendar
        Id of the calendar.
    user
        Id of a user who must be free; may be repeated.
    timezone
        IANA name of the time zone of the days and slots.

    """

    async def work() -> int:
        first, last = read_range(begin, end, timezone)
        async with make_client(account) as client:
            days = await client.get_free_slots(calendar, first, last, timezone=timezone, user_ids=user)
        if json_output:
            write_json({day.isoformat(): slots for day, slots in days.items()})
        else:
            show_slots(days)
        return DONE

    return await run_command(work, reads=True)


def register(app: App) -> None:
    """Add the commands."""
    app.command(get, group=SINGLE)
    app.command(update, group=SINGLE)
    app.command(delete, group=SINGLE)
    app.command(list_events, name="list", group=SINGLE)
    app.command(free_slots, group=SINGLE)


def read_update(event_id: str, cells: Mapping[str, str], timezone: str | None) -> PlanRow:
    """Check the changes like a row of a plan. Raises `InvalidRequestError`."""
    if is_blank(cells.get("title", "any")):
        raise InvalidRequestError("--set title: title is empty; omit it to keep it", field="title")
    row = read_row(1, {**cells, "event_id": event_id}, timezone)
    if isinstance(row, RowFault):
        raise InvalidRequestError(f"--set {row.column}: {explain(row.reason, row.hint)}", field=row.column)
    return row


async def change_safely(client: LeadConnector, row: PlanRow) -> Appointment:
    """A safe change: read first, and send along what an update would reset."""
    return await retry_stale(partial(_read_and_change, client, row))


async def _read_and_change(client: LeadConnector, row: PlanRow, granted: Granted) -> Appointment:
    begin = partial(begin_reading, client, granted)
    guard = begin()
    found = await client.get_appointment(row.event_id)
    rules = Rules(datetime.now(UTC), allow_past=True, version=client.version, location_id=client.location_id)
    finding = check_row(row.event_id, WantedChange(row.update, row.shift, row.timezone, row.before), found, rules)
    if finding.state == "refused":
        raise InvalidRequestError(explain(finding.reason, finding.hint), field=finding.column)
    change = Change(found, row.event_id, finding.updates, finding.differences)
    return await carry_out(client, change, verify=False, send=guard(change), begin=begin)
