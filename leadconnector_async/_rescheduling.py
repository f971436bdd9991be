"""Carrying out a safe change: read, plan, send, and look again if asked to.

Rule: what is planned is all that is sent; if a later step is refused, what an earlier one changed is put back.

Knows the plan (`reschedule`) and, as a protocol, the two operations that it needs.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from ._checks import check_update
from ._compare import compare_update
from .exceptions import InvalidEventError, InvalidRequestError, LeadConnectorError, VerificationError
from .models import Appointment, AppointmentUpdate
from .recurrence import parse_instance_id
from .reschedule import Change, Changes, Scope, decide_times, plan_change


class Operations(Protocol):
    """What a client must be able to do."""

    async def get_appointment(self, event_id: str) -> Appointment: ...

    async def update_appointment(self, event_id: str, update: AppointmentUpdate) -> Appointment: ...


async def prepare(
    client: Operations,
    event_id: str,
    *,
    start_time: datetime | None,
    end_time: datetime | None,
    shift: timedelta | None,
    scope: Scope,
    changes: Changes,
) -> Change:
    """Read what is to be changed, and plan it."""
    if scope not in ("instance", "series"):
        raise InvalidRequestError(
            f"scope is {scope!r}; it must be 'instance' or 'series'", field="scope", value=scope
        )
    before = await _read(client, event_id)
    instance = parse_instance_id(event_id)
    if scope == "instance" or instance is None:
        _check_scope(before, event_id, scope)
        return plan_change(
            before, event_id=event_id, start_time=start_time, end_time=end_time, shift=shift, changes=changes
        )
    times = decide_times(before, start_time, end_time, shift)
    master = await _read(client, instance.master_event_id)
    start, end = _carry_over(before, master, times)
    return plan_change(master, event_id=instance.master_event_id, start_time=start, end_time=end, changes=changes)


async def carry_out(client: Operations, change: Change, *, verify: bool) -> Appointment:
    """Send what was planned. Raises what `update_appointment` raises, and `VerificationError`."""
    shown = change.before
    done: list[AppointmentUpdate] = []
    for update in change.updates:
        try:
            shown = await client.update_appointment(change.event_id, update)
        except LeadConnectorError as error:
            if done and error.outcome == "not_applied":
                await _put_back(client, change, error)
            raise
        done.append(update)
    return await _verify(client, change) if verify and change.updates else shown


async def _read(client: Operations, event_id: str) -> Appointment:
    before = await client.get_appointment(event_id)
    if before.deleted:
        raise InvalidEventError(
            f"The event {event_id} is deleted. Nothing was changed.", operation="get_appointment"
        )
    return before


def _check_scope(before: Appointment, event_id: str, scope: Scope) -> None:
    if scope == "instance" and before.rrule is not None and before.master_event_id in (None, event_id):
        mend = "pass the id of an instance, or scope='series'"
        text = f"event_id = {event_id!r}: it is the master of a series; {mend}. Nothing was changed."
        raise InvalidRequestError(text, field="event_id", value=event_id, mend=mend)


def _carry_over(
    instance: Appointment, master: Appointment, times: tuple[datetime, datetime] | None
) -> tuple[datetime | None, datetime | None]:
    """The master moves by as much as the instance would."""
    if times is None or not (instance.start_time and instance.end_time and master.start_time and master.end_time):
        return None, None
    start, end = times
    return master.start_time + (start - instance.start_time), master.end_time + (end - instance.end_time)


async def _put_back(client: Operations, change: Change, error: LeadConnectorError) -> None:
    """The first step has set another assignee: set the old one again, as silently."""
    first = change.updates[0]
    kept = change.before.assigned_user_id
    before = AppointmentUpdate(
        assigned_user_id=kept,
        appointment_status=first.appointment_status,
        calendar_id=first.calendar_id,
        ignore_free_slot_validation=True,
        to_notify=False,
    )
    try:
        await client.update_appointment(change.event_id, before)
    except LeadConnectorError as second:
        error.add_note(f"The assignee was changed before and could not be put back to {kept}: {second.args[0]}")


async def _verify(client: Operations, change: Change) -> Appointment:
    shown = await client.get_appointment(change.event_id)
    verdict = compare_update(check_update(change.updates[-1], "v3"), shown)
    if verdict is True:
        return shown
    reason = "shows something else" if verdict is False else "does not show whether it was applied"
    raise VerificationError(
        f"The server answered the change of {change.event_id} with a success, and the event {reason}.",
        operation="reschedule_appointment",
        outcome="not_applied" if verdict is False else "unknown",
    )
