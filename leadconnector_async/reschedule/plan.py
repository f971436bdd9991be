"""Safe changes: what an update must include so that nothing else changes.

An update is not a clean patch [field, September 2026]. What it omits can be reset (the status); one rejected field
can make the server drop the others (an assignee who is not in the team); and an update that does not move an
appointment can collide with itself. So a safe change is planned from the current appointment: status, assignee and
calendar are included, the length is kept, both times are sent in one offset, the slot is checked if and only if the
appointment moves, and a new assignee is set in a step of its own, before the new time and without notifications.

A plan shows everything it would do before anything is done.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Final, Literal, TypeAlias, TypedDict, get_args

from msgspec import UNSET, Struct, UnsetType, structs

from .._api.fields import FIELDS, SHOWN
from .._validation.arguments import check_instant, refuse
from .._validation.text import show
from ..exceptions import InvalidRequestError
from ..models import Appointment, AppointmentStatus, AppointmentUpdate, MeetingLocationType

Scope: TypeAlias = Literal["instance", "series"]
"""Which part of a recurring appointment to change."""

NOTHING_CHANGED: Final = " Nothing was changed."
_KEPT_STATUSES: Final = frozenset(get_args(AppointmentStatus)) - {"active"}
"""`active` can be sent in version v3 only, and updates do not reset it."""
_PLACES: Final = frozenset(get_args(MeetingLocationType)) - {"default"}
"""`default` says nothing about the location, so nothing is lost."""
_FIXED_TO_TIMES: Final = partial(re.compile, r"UNTIL=|EXDATE|BYHOUR=|BYMINUTE=|BYSECOND=")
_FIXED_TO_DAYS: Final = partial(re.compile, r"BY[A-Z]+DAY=|BYDAY=|BYMONTH=|BYWEEKNO=|BYSETPOS=")


_COMPARED: Final = frozenset(SHOWN) - {"rrule"}


class Changes(TypedDict, total=False):
    """What can be changed besides the times: fields of `AppointmentUpdate`."""

    title: str
    """As in `AppointmentUpdate`."""
    description: str
    """As in `AppointmentUpdate`."""
    address: str
    """As in `AppointmentUpdate`."""
    meeting_location_type: MeetingLocationType
    """As in `AppointmentUpdate`."""
    meeting_location_id: str
    """As in `AppointmentUpdate`."""
    appointment_status: AppointmentStatus
    """As in `AppointmentUpdate`."""
    assigned_user_id: str
    """As in `AppointmentUpdate`."""
    calendar_id: str
    """As in `AppointmentUpdate`."""
    to_notify: bool
    """As in `AppointmentUpdate`."""
    ignore_date_range: bool
    """As in `AppointmentUpdate`."""
    ignore_free_slot_validation: bool
    """As in `AppointmentUpdate`."""


class Difference(Struct, frozen=True):
    """One field that a change would change."""

    field: str
    """The name of the field."""
    before: object
    """Its value now."""
    after: object
    """Its value after the change."""

    def __str__(self) -> str:
        return f"{self.field}: {_show(self.before)} -> {_show(self.after)}"


class Change(Struct, frozen=True):
    """What a safe change would do. `print(change)` shows it."""

    before: Appointment
    """The appointment as it was read."""
    event_id: str
    """What would be updated: the event, the instance, or the master of a series."""
    updates: tuple[AppointmentUpdate, ...]
    """What would be sent, in order; empty if nothing would change."""
    differences: tuple[Difference, ...]
    """How the appointment would differ afterwards."""

    def __str__(self) -> str:
        lines = [str(difference) for difference in self.differences] or ["nothing changes"]
        return "\n".join([self.event_id, *(f"  {line}" for line in lines)])


def plan_change(
    before: Appointment,
    *,
    event_id: str,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    changes: Changes | None = None,
) -> Change:
    """Plan the change of one appointment. Raises `InvalidRequestError` if there is no safe way."""
    times = decide_times(before, start_time, end_time, None)
    wanted = AppointmentUpdate(**(changes or {}))
    differences = _list_differences(before, wanted, times)
    if not differences:
        return Change(before, event_id, (), ())
    updates = _split(before, _keep(before, wanted, times))
    return Change(before, event_id, updates, differences)


def decide_times(
    before: Appointment, start_time: datetime | None, end_time: datetime | None, shift: timedelta | None
) -> tuple[datetime, datetime] | None:
    """The new start and end; `None` if unchanged. A start alone keeps the length."""
    start_time, end_time, shift = check_times(start_time, end_time, shift)
    if before.start_time is None or before.end_time is None:
        raise refuse_change(
            "start_time", None, "the server does not show when the appointment is", "use update_appointment"
        )
    old_start, old_end = _fix("start_time", before.start_time), _fix("end_time", before.end_time)
    try:
        if shift is not None:
            start, end = old_start + shift, old_end + shift
        else:
            start = old_start if start_time is None else _fix("start_time", start_time)
            kept_end = old_end if start_time is None else start + (old_end - old_start)
            end = kept_end if end_time is None else _fix("end_time", end_time)
        end = end.astimezone(start.tzinfo)
    except OverflowError:
        given = {"shift": shift, "start_time": start_time, "end_time": end_time}
        name = next(name for name, value in given.items() if value is not None)
        reason = "the appointment would be outside the years 1 to 9999"
        raise refuse_change(name, given[name], reason, "choose a time within them") from None
    if end <= start:
        raise refuse_change("end_time", end, f"it is not after the start ({start})", "choose a later time")
    return (start, end) if (start, end) != (old_start, old_end) else None


def check_times(
    start_time: datetime | None, end_time: datetime | None, shift: timedelta | None
) -> tuple[datetime | None, datetime | None, timedelta | None]:
    """Check the arguments before the appointment is known. Raises `InvalidRequestError`."""
    if shift is not None:
        if not isinstance(shift, timedelta):
            raise refuse_change("shift", shift, f"it is a {type(shift).__name__}", "pass a timedelta")
        if start_time is not None or end_time is not None:
            raise refuse_change("shift", shift, "start_time or end_time is given as well", "pass only one of them")
        # Arithmetic with a subclass, such as pandas', would return its own type.
        shift = timedelta(shift.days, shift.seconds, shift.microseconds)
    start, end = (
        None if value is None else check_instant(name, value, NOTHING_CHANGED)
        for name, value in (("start_time", start_time), ("end_time", end_time))
    )
    return start, end, shift


def check_series_move(master: Appointment, times: tuple[datetime, datetime] | None) -> None:
    """Refuse to move a series whose rule would not follow: the rule itself is not changed."""
    if times is None:
        return
    rule = (master.rrule or "").upper()
    days_change = master.start_time is None or times[0].astimezone(master.start_time.tzinfo).date() != (
        master.start_time.date()
    )
    if not rule or _FIXED_TO_TIMES().search(rule) or (days_change and _FIXED_TO_DAYS().search(rule)):
        hint = "send start_time, end_time and the new rrule together by update_appointment"
        raise refuse_change("rrule", master.rrule, "the rule would not follow the new times", hint)


def _fix(name: str, moment: datetime) -> datetime:
    """The same moment with a fixed offset: Python compares and subtracts times of one zone by wall clock."""
    offset = moment.utcoffset()
    if offset is None:
        raise refuse_change(name, moment, "it has no offset", "pass an aware datetime")
    return moment.replace(tzinfo=timezone(offset), fold=0)


def _keep(
    before: Appointment, wanted: AppointmentUpdate, times: tuple[datetime, datetime] | None
) -> AppointmentUpdate:
    """Include what the server would reset, and the right slot check."""
    moves = times is not None or _differs(before.calendar_id, wanted.calendar_id)
    current = structs.asdict(before) | {"appointment_status": _keep_status(before, wanted)}
    kept = {row.name: _choose(getattr(wanted, row.name), current[row.name]) for row in FIELDS if row.kept}
    kept["ignore_free_slot_validation"] = _choose(wanted.ignore_free_slot_validation, UNSET if moves else True)
    if wanted.meeting_location_type is not UNSET:
        kept["address"] = _choose(wanted.address, before.address)
    elif wanted.address is not UNSET and before.meeting_location_type in _PLACES:
        kept["meeting_location_type"] = before.meeting_location_type
    if moves:
        start, end = times or (before.start_time, before.end_time)
        kept |= {"start_time": start, "end_time": end}
    return structs.replace(wanted, **kept)


def _keep_status(before: Appointment, wanted: AppointmentUpdate) -> str | UnsetType:
    status = before.appointment_status
    if status is not None and status in _KEPT_STATUSES:
        return status
    if status != "active" and wanted.appointment_status is UNSET:
        hint = "pass appointment_status=…, or use update_appointment"
        raise refuse_change("appointment_status", status, "it is not a status that can be sent", hint)
    return UNSET


def _split(before: Appointment, update: AppointmentUpdate) -> tuple[AppointmentUpdate, ...]:
    """Set a new assignee first, without notifications, so that rejecting the person does not drop the new time.

    Not together with another calendar, which has another team.
    """
    moves_alone = update.start_time is not UNSET and not _differs(before.calendar_id, update.calendar_id)
    if not moves_alone or not _differs(before.assigned_user_id, update.assigned_user_id):
        return (update,)
    first = AppointmentUpdate(
        assigned_user_id=update.assigned_user_id,
        appointment_status=_keep_status(before, update),  # type: ignore[arg-type] # a status that can be set
        calendar_id=before.calendar_id if before.calendar_id is not None else UNSET,
        ignore_free_slot_validation=True,
        to_notify=False,
    )
    return (first, update)


def _list_differences(
    before: Appointment, wanted: AppointmentUpdate, times: tuple[datetime, datetime] | None
) -> tuple[Difference, ...]:
    start, end = times or (before.start_time, before.end_time)
    after = structs.asdict(wanted) | {"start_time": start, "end_time": end}
    return tuple(
        Difference(name, getattr(before, name), value)
        for name, value in after.items()
        if value is not UNSET and name in _COMPARED and value != getattr(before, name)
    )


def _choose(wanted: object, otherwise: object) -> object:
    return otherwise if wanted is UNSET and otherwise is not None else wanted


def _differs(before: str | None, wanted: object) -> bool:
    return wanted is not UNSET and wanted != before


def _show(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else show(value)


def refuse_change(field: str, value: object, reason: str, hint: str) -> InvalidRequestError:
    """As `refuse`: a reschedule reads before it is refused."""
    return refuse(field, value, reason, hint, NOTHING_CHANGED)
