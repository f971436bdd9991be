"""One row of a plan: which appointment changes, and to what.

Rule: a row that cannot be carried out never becomes a `PlanRow`; it becomes a `RowFault` that says where, why,
and how to mend it. An empty cell means "leave as it is".

Pure. Knows models, checks and exceptions; must not import the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from .._checks import check_update
from .._wire import encode_id
from ..exceptions import InvalidRequestError, RowFault
from ..models import AppointmentUpdate
from .clock import BadZone, Shift, parse_shift, place

BEFORE: Final = ("start_time", "end_time", "appointment_status", "assigned_user_id", "calendar_id", "title")
"""What a plan may say of the state before, in columns that begin with `before_`."""
IGNORED: Final = "outcome_"
"""How the columns begin that a job writes for people to read, and ignores when they are fed back."""

_FIELDS: Final = frozenset(AppointmentUpdate.__struct_fields__)
_BOOLEANS: Final = frozenset(
    {"override_location_config", "ignore_date_range", "to_notify", "ignore_free_slot_validation"}
)
_TIMES: Final = frozenset({"start_time", "end_time"})
_TRUTH: Final = {"true": True, "false": False}
_OTHERS: Final = ("event_id", "location_id", "shift", "timezone", *(f"before_{name}" for name in BEFORE))
_KNOWN: Final = {
    spelling: name
    for name in (*AppointmentUpdate.__struct_fields__, *_OTHERS)
    for spelling in (name, name.split("_")[0] + "".join(word.title() for word in name.split("_")[1:]))
}


class Before(Struct, frozen=True, omit_defaults=True):
    """The state that a plan was made from. What is `None` is not compared."""

    start_time: datetime | None = None
    end_time: datetime | None = None
    appointment_status: str | None = None
    assigned_user_id: str | None = None
    calendar_id: str | None = None
    title: str | None = None


class PlanRow(Struct, frozen=True):
    """One row that was checked."""

    line: int
    """Line of the file on which the row ends, the header of a CSV file being line 1."""
    event_id: str
    update: AppointmentUpdate = AppointmentUpdate()
    """What shall be set; the times in it are on the wire's form."""
    location_id: str | None = None
    """`None`: the location of the client."""
    shift: Shift | None = None
    """How far the appointment moves, instead of new times."""
    timezone: str | None = None
    """IANA name of the zone whose clock a shift by days keeps."""
    before: Before | None = None
    """What the appointment must still look like."""


class BadRow(ValueError):  # noqa: N818 - it never leaves the reading of a row
    """What is wrong with a row, until its line is known."""

    def __init__(self, column: str, reason: str, mend: str = "") -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason
        self.mend = mend


def name_column(spelling: str) -> str | None:
    """The field that a column's header means, in snake or camel case; `None` for a column that is ignored.

    Raises `BadRow` for an unknown one.
    """
    spelling = spelling.strip()
    if spelling.startswith(IGNORED) or not spelling:
        return None
    name = _KNOWN.get(spelling)
    if name is None:
        raise BadRow(spelling, "unknown column", "use event_id, shift, or a field of AppointmentUpdate")
    return name


def read_row(line: int, cells: Mapping[str, object], timezone: str | None = None) -> PlanRow | RowFault:
    """Check one row. `cells` holds what is filled in, by field; `timezone` is for rows that name none."""
    try:
        return _read_row(line, cells, timezone)
    except (BadRow, InvalidRequestError) as error:
        return _build_fault(line, error)


def check_row_of_code(row: PlanRow) -> PlanRow | RowFault:
    """Check a row that was made in Python, as one of a file is checked."""
    try:
        values = {
            name: value
            for name in row.update.__struct_fields__
            if (value := getattr(row.update, name)) is not UNSET
        }
        _check_id(row.event_id)
        return msgspec.structs.replace(row, update=_check(values, row.shift))
    except (BadRow, InvalidRequestError) as error:
        return _build_fault(row.line, error)


def _build_fault(line: int, error: BadRow | InvalidRequestError) -> RowFault:
    if isinstance(error, BadRow):
        return RowFault(line, error.column, error.reason, error.mend)
    ending = f"; {error.mend}. Nothing was sent."
    return RowFault(line, error.field or "", str(error.args[0]).removesuffix(ending), error.mend)


def _check_id(event_id: str) -> None:
    if not event_id:
        raise BadRow("event_id", "it is empty", "give the id of an event or of an instance")
    encode_id(event_id)


def _read_row(line: int, cells: Mapping[str, object], timezone: str | None) -> PlanRow:
    values: dict[str, object] = {}
    before: dict[str, object] = {}
    others: dict[str, str] = {}
    zone = _read_text("timezone", cells["timezone"]) if "timezone" in cells else timezone
    for name, cell in cells.items():
        if name in _FIELDS:
            values[name] = _read_cell(name, cell, zone)
        elif name.startswith("before_"):
            before[name.removeprefix("before_")] = _read_before(name, cell)
        else:
            others[name] = _read_text(name, cell)
    if "rrule" in values:
        raise BadRow("rrule", "a plan does not change the rule of a series", "use update_appointment")
    event_id = others.get("event_id", "")
    _check_id(event_id)
    shift = _read_shift(others, values, zone)
    return PlanRow(
        line,
        event_id,
        _check(values, shift),
        others.get("location_id"),
        shift,
        zone if shift is not None else None,
        Before(**before) if before else None,  # type: ignore[arg-type] # each was read as its kind
    )


def _check(values: dict[str, object], shift: Shift | None) -> AppointmentUpdate:
    if not values and shift is not None:
        return AppointmentUpdate()
    update = AppointmentUpdate(**values)  # type: ignore[arg-type] # the check follows
    wire = check_update(update, "v3")
    if wire.start_time is UNSET and wire.end_time is UNSET:
        return update
    return msgspec.structs.replace(update, start_time=wire.start_time, end_time=wire.end_time)


def _read_cell(name: str, cell: object, zone: str | None) -> object:
    if name in _BOOLEANS:
        truth = cell if isinstance(cell, bool) else _TRUTH.get(str(cell).lower())
        if truth is None:
            raise BadRow(name, f"{cell!r} is neither true nor false", "write true or false")
        return truth
    text = _read_text(name, cell)
    return _read_time(name, text, zone) if name in _TIMES else text


def _read_text(name: str, cell: object) -> str:
    if not isinstance(cell, str):
        raise BadRow(name, f"{cell!r} is no text", "write it in quotation marks")
    return cell


def _read_time(name: str, text: str, zone: str | None) -> datetime | str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text  # the check of the update says what is wrong
    if "T" not in text and " " not in text:
        raise BadRow(
            name, f"{text} has no time of day", "write it as 2027-03-17T09:00:00, with an offset or a zone"
        )
    if moment.tzinfo is not None:
        return text
    if zone is None:
        mend = "write it with an offset, or name a zone in a column timezone"
        raise BadRow(name, f"{text} has no offset", mend)
    try:
        return place(moment, zone)
    except BadZone as bad:
        raise BadRow("timezone", bad.reason, bad.mend) from None
    except ValueError as error:
        raise BadRow(name, str(error)) from None


def _read_before(name: str, cell: object) -> object:
    text = _read_text(name, cell)
    if not name.endswith("_time"):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRow(name, f"{text!r} is not a time in ISO 8601", "leave the column as it was planned") from None
    if moment.tzinfo is None:
        raise BadRow(name, f"{text} has no offset", "leave the column as it was planned")
    return moment


def _read_shift(others: Mapping[str, str], values: Mapping[str, object], zone: str | None) -> Shift | None:
    text = others.get("shift")
    if text is None:
        return None
    if _TIMES & values.keys():
        raise BadRow("shift", "the row has new times as well", "give either shift or start_time")
    try:
        shift = parse_shift(text)
        if shift.days and zone is not None:
            place(datetime(2027, 1, 1, 12), zone)
    except BadZone as bad:
        raise BadRow("timezone", bad.reason, bad.mend) from None
    except ValueError as error:
        raise BadRow("shift", str(error)) from None
    if shift.days and zone is None:
        mend = "name it in a column timezone, or give hours"
        raise BadRow("shift", "a shift by days keeps the time of day, and so needs a time zone", mend)
    return shift
