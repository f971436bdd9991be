"""Apply a safe change: read, plan, send and, on request, verify.

The whole plan is validated before anything is sent, and nothing else is sent. If a later step is rejected, the
change of an earlier one is reverted; if that fails, the error says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias, TypeVar, cast, get_args

from msgspec import structs

from .._api.precondition import MOST_READINGS, Granted, StaleReadingError
from .._api.readback import compare_update, list_changes, name_other_location
from .._api.validate import check_changes, check_update
from .._validation.arguments import check_choice, refuse
from ..exceptions import InvalidEventError, LeadConnectorError, PreconditionFailedError, VerificationError
from ..models import Appointment, AppointmentUpdate
from .plan import NOTHING_CHANGED, Change, Changes, Scope, check_series_move, check_times, decide_times, plan_change
from .requested import RequestedChange

T = TypeVar("T")
Update: TypeAlias = Callable[[str, AppointmentUpdate], Awaitable[Appointment]]
BeginReading: TypeAlias = Callable[[], Callable[[Change], Update]]
"""Called right before a reading. The result turns a change into updates that check against that reading."""


class Operations(Protocol):
    """The methods of a client that are used."""

    async def get_appointment(self, event_id: str) -> Appointment:
        """Read one."""
        ...

    async def update_appointment(self, event_id: str, update: AppointmentUpdate) -> Appointment:
        """Change one."""
        ...


class Planned(Protocol):
    """What is sent: a `Change`, or what the journal stores of one."""

    @property
    def before(self) -> Appointment:
        """As it was read."""
        ...

    @property
    def event_id(self) -> str:
        """The appointment to update."""
        ...

    @property
    def updates(self) -> tuple[AppointmentUpdate, ...]:
        """The updates, in the order in which they are sent."""
        ...


async def prepare(
    client: Operations,
    event_id: str,
    requested: RequestedChange,
    *,
    scope: Scope,
    version: str,
    location_id: str | None = None,
) -> Change:
    """Read the appointment, plan its change, and validate every update."""
    check_choice("scope", scope, get_args(Scope))
    start_time, end_time, shift = check_times(requested.start_time, requested.end_time, requested.shift)
    changes = requested.changes
    if changes:
        check_changes(AppointmentUpdate(**changes), version)
    before = await _read(client, event_id)
    _check_location(before, event_id, location_id)
    master_id = _find_master_id(before, event_id)
    if scope == "instance":
        _check_is_single(before, event_id, master_id)
    times = decide_times(before, start_time, end_time, shift)
    if scope == "series":
        before, event_id, times = await _turn_to_master(client, before, event_id, master_id, times)
    start, end = times or (None, None)
    change = plan_change(before, event_id=event_id, start_time=start, end_time=end, changes=changes)
    for update in change.updates:
        check_update(update, version)
    return change


async def carry_out(
    client: Operations,
    planned: Planned,
    *,
    verify: bool,
    send: Update | None = None,
    begin: BeginReading | None = None,
) -> Appointment:
    """Send the planned updates, with `send` if given. Raises what that raises, and `VerificationError`.

    `begin` is for another reading, if the first of two updates has to be reverted.
    """
    shown, event_id, send = None, planned.event_id, send or client.update_appointment
    for number, update in enumerate(planned.updates):
        try:
            shown = await send(event_id, update)
        except BaseException as error:
            if number:
                await _undo(client, event_id, planned, error, begin)
            raise
        event_id = shown.id or event_id
    if shown is None:
        return planned.before
    return await _verify(client, event_id, planned) if verify else shown


async def retry_stale(attempt: Callable[[Granted], Awaitable[T]]) -> T:
    """Read, then write; both again if the reading was too old by the time the write could be sent.

    `attempt` is given what was approved for earlier ones. Raises what it raises, and `PreconditionFailedError` if
    every reading was too old.
    """
    granted: Granted = {}
    for remaining in reversed(range(MOST_READINGS)):
        try:
            return await attempt(granted)
        except StaleReadingError as error:
            if not remaining or error.outcome != "not_applied":
                raise
    raise AssertionError("the last attempt returns or raises")


def list_expected(before: Appointment, updates: Sequence[AppointmentUpdate]) -> list[Appointment]:
    """The states that an appointment can have between its updates: as it was read, and after the first of two."""
    if len(updates) < 2:
        return [before]
    return [before, structs.replace(before, assigned_user_id=updates[0].assigned_user_id)]


async def _read(client: Operations, event_id: str) -> Appointment:
    before = await client.get_appointment(event_id)
    if before.deleted:
        text = f"The event {event_id} is deleted. Nothing was changed."
        raise InvalidEventError(text, operation="get_appointment", outcome="not_applied")
    return before


def _check_location(before: Appointment, event_id: str, location_id: str | None) -> None:
    """With a token for another location, the calendar of somebody else would change."""
    if other := name_other_location(before, location_id):
        hint = "check the token and the client's location_id"
        raise refuse("event_id", event_id, other, hint, NOTHING_CHANGED)


def _find_master_id(before: Appointment, event_id: str) -> str | None:
    """The master of an instance; `None` if it is not an instance."""
    from ..recurrence import parse_instance_id  # noqa: PLC0415 - as in `_checks`

    instance = parse_instance_id(event_id)
    master_id = before.master_event_id or (instance.master_event_id if instance is not None else None)
    return master_id if master_id != event_id else None


def _check_is_single(before: Appointment, event_id: str, master_id: str | None) -> None:
    if master_id is None and (before.rrule is not None or before.is_recurring):
        hint = "pass the id of an instance, or scope='series'"
        raise refuse("event_id", event_id, "it is the master of a series", hint, NOTHING_CHANGED)


async def _turn_to_master(
    client: Operations,
    before: Appointment,
    event_id: str,
    master_id: str | None,
    times: tuple[datetime, datetime] | None,
) -> tuple[Appointment, str, tuple[datetime, datetime] | None]:
    """The master moves by the same amount as the instance."""
    master = before if master_id is None else await _read(client, master_id)
    if times is not None and master_id is not None:
        old_start, old_end = before.start_time, before.end_time
        if old_start and old_end and master.start_time and master.end_time:
            times = (master.start_time + (times[0] - old_start), master.end_time + (times[1] - old_end))
    if master.is_recurring or master.rrule is not None:
        check_series_move(master, times)
    return master, master_id or event_id, times


async def _undo(
    client: Operations, event_id: str, planned: Planned, error: BaseException, begin: BeginReading | None
) -> None:
    """Restore the assignee that the first step changed, without notifications, if a later step was rejected.

    Changes that somebody else made meanwhile are kept.
    """
    error.add_note(f"The assignee of {event_id} had already been changed.")
    if not isinstance(error, LeadConnectorError) or error.outcome != "not_applied":
        return
    kept = planned.before.assigned_user_id
    try:
        is_restored = await _restore(client, event_id, planned, begin)
    except LeadConnectorError as second:
        error.outcome = "unknown"
        error.add_note(f"It could not be restored to {kept}: {second.args[0]}")
    else:
        text = f"It was restored to {kept}." if is_restored else "Somebody else has changed the assignee since."
        error.add_note(text)


async def _restore(client: Operations, event_id: str, planned: Planned, begin: BeginReading | None) -> bool:
    """Returns `False` if the assignee is not that of the first step any more. Reads again if anything changed."""
    changes = cast("Changes", {"assigned_user_id": planned.before.assigned_user_id, "to_notify": False})
    for remaining in reversed(range(MOST_READINGS)):
        guard = None if begin is None else begin()
        now = await client.get_appointment(event_id)
        if now.deleted or now.assigned_user_id != planned.updates[0].assigned_user_id:
            return False
        back = plan_change(now, event_id=event_id, changes=changes)
        send = client.update_appointment if guard is None else guard(back)
        try:
            for update in back.updates:
                await send(event_id, update)
        except PreconditionFailedError as changed:
            if not remaining or changed.outcome != "not_applied":
                raise
        else:
            return True
    raise AssertionError("the last attempt returns or raises")


async def _verify(client: Operations, event_id: str, planned: Planned) -> Appointment:
    text = f"The server reported success for the change of {event_id}"
    try:
        shown = await client.get_appointment(event_id)
    except LeadConnectorError as error:
        text = f"{text}; reading it failed: {error.args[0]}"
        raise VerificationError(text, operation="reschedule_appointment") from error
    verdict = compare_update(check_update(planned.updates[-1], "v3"), shown)
    if verdict is True:
        return shown
    reason = "shows something else" if verdict is False else "does not show whether it was applied"
    # Some of it may have been applied, or all, and somebody has changed it since.
    is_as_before = verdict is False and not list_changes(planned.before, shown)
    raise VerificationError(
        f"{text}, and the event {reason}.",
        operation="reschedule_appointment",
        outcome="not_applied" if is_as_before else "unknown",
    )
