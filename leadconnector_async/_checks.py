"""What is refused before it is sent: an update's fields, their types and the rules between them.

Rule: whatever leaves here is what the server understands; whatever cannot be is an `InvalidRequestError` that
names the field, the value and how to mend it.

Pure. Knows models, recurrence and exceptions; must not import anything that awaits.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Final, NoReturn, cast, get_args
from uuid import UUID

import msgspec
from msgspec import UNSET

from .exceptions import InvalidRequestError
from .models import AppointmentStatus, AppointmentUpdate, MeetingLocationType, WireUpdate
from .recurrence import find_rule_fault

_NAMES: Final = tuple((field.name, field.encode_name) for field in msgspec.structs.fields(WireUpdate))
_SNAKE: Final = {camel: snake for snake, camel in _NAMES}
_KEPT: Final = (bytes, bytearray, memoryview, datetime, date, time, timedelta, Decimal, UUID)
"""Types that msgspec would turn into text by itself: kept, so that the check of the types sees them."""
_FAULT: Final = re.compile(r"(?P<reason>.*) - at `\$\.(?P<field>\w+)")
_WIRE_LENGTH: Final = len("2021-06-23T03:30:00+05:30")
_TIME_MEND: Final = "give an aware datetime, or ISO 8601 such as '2021-06-23T03:30:00+05:30'"
_MENDS: Final = {
    "appointment_status": f"use one of {', '.join(get_args(AppointmentStatus))}",
    "meeting_location_type": f"use one of {', '.join(get_args(MeetingLocationType))}",
}


def check_update(update: AppointmentUpdate) -> WireUpdate:
    """Turn an update into what goes on the wire, or raise `InvalidRequestError`."""
    if not isinstance(update, AppointmentUpdate):
        raise refuse("update", update, "it is not an AppointmentUpdate", "pass AppointmentUpdate(…)")
    fields = _list_fields(update)
    if not fields:
        raise refuse("update", update, "it has no field at all", "set at least one field")
    _render_times(fields)
    wire = _check_types(fields)
    _check_rule(wire)
    return _derive_override(wire)


def refuse(field: str, value: object, reason: str, mend: str) -> InvalidRequestError:
    """Make the error that names field, value, reason and mend."""
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}…"
    return InvalidRequestError(
        f"{field} = {shown}: {reason}; {mend}. Nothing was sent.", field=field, value=value, mend=mend
    )


def refuse_text(wire: WireUpdate) -> InvalidRequestError:
    """Make the error for the field that holds half a character, which no encoding can carry."""
    for name, _ in _NAMES:
        value = getattr(wire, name)
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            return refuse(name, value, "it holds half of a character (a lone surrogate)", "read the text as UTF-8")
    return refuse("update", wire, "it cannot be encoded", "read its texts as UTF-8")


def _list_fields(update: AppointmentUpdate) -> dict[str, object]:
    """The fields that are set, by their names on the wire, as they are."""
    try:
        return cast("dict[str, object]", msgspec.to_builtins(update, builtin_types=_KEPT))
    except (TypeError, ValueError, RecursionError):
        # Something that no codec knows: whose fault it is, the check of the types will say.
        return {camel: value for snake, camel in _NAMES if (value := getattr(update, snake)) is not UNSET}


def _check_types(fields: dict[str, object]) -> WireUpdate:
    try:
        return msgspec.convert(fields, WireUpdate)
    except msgspec.ValidationError as error:
        match = _FAULT.match(str(error))
        if match is None:
            raise refuse("update", fields, str(error), "check the types of its fields") from None
        camel = match["field"]
        snake = _SNAKE[camel]
        mend = _MENDS.get(snake, f"see AppointmentUpdate.{snake}")
        raise refuse(snake, fields[camel], match["reason"], mend) from None


def _check_rule(wire: WireUpdate) -> None:
    if not isinstance(wire.rrule, str):
        return
    if fault := find_rule_fault(wire.rrule):
        raise refuse("rrule", wire.rrule, fault, "give an RFC 5545 rule such as 'RRULE:FREQ=DAILY;COUNT=5'")
    if wire.ignore_free_slot_validation is not True:
        raise refuse(
            "rrule",
            wire.rrule,
            "the server ignores a rule while it checks the slot",
            "set ignore_free_slot_validation=True as well",
        )


def _derive_override(wire: WireUpdate) -> WireUpdate:
    if wire.override_location_config is not UNSET:
        return wire
    has_id = isinstance(wire.meeting_location_id, str)
    has_type = isinstance(wire.meeting_location_type, str)
    if has_id is has_type:
        return wire
    return msgspec.structs.replace(wire, override_location_config=has_type)


def _render_times(fields: dict[str, object]) -> None:
    start = _render_time(fields, "startTime")
    end = _render_time(fields, "endTime")
    if start is None or end is None:
        return
    if end <= start:
        raise refuse(
            "end_time",
            fields["endTime"],
            f"it is not after start_time ({fields['startTime']})",
            "move it later",
        )
    style = str(fields["startTime"])[19:]
    if style != str(fields["endTime"])[19:]:
        fields["endTime"] = _format(end, start.tzinfo, style)


def _render_time(fields: dict[str, object], camel: str) -> datetime | None:
    """Put the wire's text of a time into `fields`; return the instant, or `None` where there is none."""
    value = fields.get(camel)
    if value is None:
        return None
    instant = _parse(_SNAKE[camel], value)
    text = instant.isoformat()
    if len(text) != _WIRE_LENGTH:
        _refuse_instant(_SNAKE[camel], value, instant)
    # A free slot is sent back exactly as it was offered, so text that the server understands stays as it is.
    if value not in (text, f"{text[:19]}Z"):
        fields[camel] = text
    return instant


def _refuse_instant(field: str, value: object, instant: datetime) -> NoReturn:
    if instant.utcoffset() is None:
        raise refuse(field, value, "it has no offset", _TIME_MEND)
    if instant.microsecond:
        raise refuse(field, value, "the server refuses fractions of a second", "use .replace(microsecond=0)")
    raise refuse(field, value, "its offset is not in whole minutes", _TIME_MEND)


def _parse(field: str, value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise refuse(field, value, f"it is a {type(value).__name__}, not a time", _TIME_MEND)
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise refuse(field, value, "it is not a time in ISO 8601", _TIME_MEND) from None


def _format(instant: datetime, zone: tzinfo | None, style: str) -> str:
    text = instant.astimezone(zone).isoformat()
    return text[:19] + "Z" if style == "Z" else text
