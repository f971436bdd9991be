"""Checking a row against its appointment: what it sends, or why it must not be carried out.

The result depends on the row's cells, on the appointment as it was read and on the rules, and on nothing else.
What a row sends is a safe change (`reschedule`): it includes the status, assignee, calendar and length that an
update would otherwise reset.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, cast

from msgspec import UNSET, Struct, structs

from ..._api.fields import PERSONAL, TIMES
from ..._api.readback import FieldChange, list_changes, name_other_location
from ..._api.validate import check_update
from ..._validation.arguments import describe
from ...exceptions import InvalidRequestError
from ...models import Appointment, AppointmentUpdate
from ...recurrence import parse_instance_id
from ...reschedule.apply import list_expected
from ...reschedule.plan import Change, Changes, Difference, plan_change
from ..journal.preparing import BusyTime, CheckResult
from ..plan.rows import BadRow
from ..plan.shift import apply_shift
from ..plan.wanted_change import WantedChange

_FREES_ITS_TIME: Final = frozenset({"cancelled", "invalid"})
_OTHER_LOCATION: Final = "check the token, LEADCONNECTOR_LOCATION_ID and the row's location_id"


class Rules(Struct, frozen=True):
    """What rows are checked against, besides their appointments."""

    now: datetime
    allow_past: bool
    version: str
    """Of the API, as the client sends it."""
    location_id: str | None = None
    """Of the rows; `None` if it is not known."""


def check_row(event_id: str, wanted: WantedChange, found: Appointment, rules: Rules) -> CheckResult:
    """Check a row against its appointment."""
    try:
        change = _plan(event_id, wanted, found, rules)
        for update in change.updates:
            check_update(update, rules.version)
    except BadRow as bad:
        return CheckResult("refused", column=bad.column, reason=bad.reason, hint=bad.hint)
    except InvalidRequestError as error:
        reason = error.reason if error.field in PERSONAL else describe(error.value, error.reason)
        return CheckResult("refused", column=error.field or "", reason=reason, hint=error.hint)
    before = build_busy_time(found)
    if not change.updates:
        return CheckResult("unchanged", before=before, after=before)
    after = build_busy_time(show_after(found, change.differences))
    return CheckResult("pending", change.updates, change.differences, before, after)


def show_sent(before: Appointment, update: AppointmentUpdate) -> Appointment:
    """The appointment as one of our updates leaves it."""
    sent = {name: getattr(update, name) for name in update.__struct_fields__ if hasattr(before, name)}
    values = {name: value for name, value in sent.items() if value is not UNSET}
    values |= {name: _read_time(values[name]) for name in TIMES if name in values}
    return structs.replace(before, **values)


def list_looks(
    before: Appointment, updates: Sequence[AppointmentUpdate], parking: Sequence[AppointmentUpdate]
) -> list[Appointment]:
    """How an appointment can look if its row was not applied, and nobody else has changed it.

    `parking`: what has moved it out of the way.
    """
    parked = [show_sent(before, parking[-1])] if parking else []
    return [look for one in (before, *parked) for look in list_expected(one, updates)]


def describe_changes(changes: Iterable[FieldChange]) -> str:
    """Why a row must be left out."""
    return f"changed by somebody else: {', '.join(map(str, changes))}"


def show_after(found: Appointment, differences: tuple[Difference, ...]) -> Appointment:
    """The appointment as a change leaves it."""
    return structs.replace(found, **{difference.field: difference.after for difference in differences})


def takes_time(status: str | None) -> bool:
    """Whether an appointment with this status takes its slot."""
    return status not in _FREES_ITS_TIME


def build_busy_time(event: Appointment) -> BusyTime | None:
    """Whose time an appointment takes; `None` if its times are not shown."""
    if event.start_time is None or event.end_time is None:
        return None
    owner = event.assigned_user_id or event.calendar_id
    busy = takes_time(event.appointment_status)
    return BusyTime(owner if busy else None, int(event.start_time.timestamp()), int(event.end_time.timestamp()))


def _plan(event_id: str, wanted: WantedChange, found: Appointment, rules: Rules) -> Change:
    if found.deleted:
        raise BadRow("event_id", "the appointment is deleted", "remove the row")
    if other := name_other_location(found, rules.location_id):
        raise BadRow("location_id", other, _OTHER_LOCATION)
    _check_is_single(event_id, found)
    if wanted.before is not None and (changes := list_changes(wanted.before, found, whole=False)):
        reason = f"the appointment has changed since the plan was made: {', '.join(map(str, changes))}"
        raise BadRow(f"before_{changes[0].name}", reason, "make a new plan")
    start, end = _decide_times(wanted, found)
    change = plan_change(
        found, event_id=event_id, start_time=start, end_time=end, changes=_list_set_fields(wanted.update)
    )
    _check_is_ahead(change, rules)
    return change


def _check_is_single(event_id: str, found: Appointment) -> None:
    is_instance = found.master_event_id not in (None, event_id) or parse_instance_id(event_id) is not None
    if not is_instance and (found.rrule is not None or found.is_recurring):
        raise BadRow("event_id", "it is the master of a series", "give the id of an instance")


def _decide_times(wanted: WantedChange, found: Appointment) -> tuple[datetime | None, datetime | None]:
    if wanted.shift is None:
        return _read_time(wanted.update.start_time), _read_time(wanted.update.end_time)
    if found.start_time is None:
        raise BadRow("shift", "the response does not show the appointment's time", "give start_time and end_time")
    try:
        return apply_shift(found.start_time, wanted.shift, wanted.timezone), None
    except (ValueError, OverflowError) as error:
        raise BadRow("shift", str(error), "give start_time") from None


def _read_time(value: object) -> datetime | None:
    return (
        datetime.fromisoformat(value) if isinstance(value, str) else value if isinstance(value, datetime) else None
    )


def _list_set_fields(update: AppointmentUpdate) -> Changes:
    fields = {
        name: value
        for name in update.__struct_fields__
        if name not in TIMES and (value := getattr(update, name)) is not UNSET
    }
    return cast("Changes", fields)


def _check_is_ahead(change: Change, rules: Rules) -> None:
    starts = [one.after for one in change.differences if one.field == "start_time"]
    for start in starts:
        if isinstance(start, datetime) and start <= rules.now and not rules.allow_past:
            shown = start.astimezone(UTC).isoformat(timespec="minutes")
            raise BadRow(
                "start_time", f"{shown} is in the past", "give a later time, or set allow_past (--allow-past)"
            )
