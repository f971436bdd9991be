"""Validation of payloads before they are sent: fields, types and the rules between them.

The result is in the server's format; an invalid payload is an `InvalidRequestError` that names the field, the value
and how to fix it.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from functools import cache, partial
from typing import Final, NoReturn, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct

from .._validation.arguments import check_id, check_location, check_text, refuse
from .._validation.moments import NAME_AN_INSTANT, BadMoment, check_zone, read_offset, refuse_offset, to_datetime
from .._validation.settings import to_text
from ..exceptions import InvalidRequestError
from ..inputs import Payload
from ..models import (
    AppointmentCreate,
    AppointmentFields,
    AppointmentUpdate,
    BlockSlotCreate,
    BlockSlotUpdate,
)
from .convert import to_payload
from .fields import BY_NAME, FIELDS
from .payloads import WireBlockSlot, WireCreate, WireUpdate

W = TypeVar("W", bound=Struct)
A = TypeVar("A", bound=AppointmentFields)
P = TypeVar("P", WireCreate, WireBlockSlot)

_NAMES: Final = tuple(
    {
        snake: camel
        for wire_type in (WireUpdate, WireCreate, WireBlockSlot)
        for snake, camel in zip(wire_type.__struct_fields__, wire_type.__struct_encode_fields__, strict=True)
    }.items()
)
_SNAKE: Final = {camel: snake for snake, camel in _NAMES}
_encode: Final = msgspec.json.Encoder().encode
_KEPT: Final = (bytes, bytearray, memoryview, datetime, date, time, timedelta, Decimal, UUID)
"""Types that msgspec would convert to strings: kept, so that the type check rejects them."""
_FAULT: Final = partial(re.compile, r"(?P<reason>.*) - at `\$\.(?P<field>\w+)", re.DOTALL)
_REASON_LENGTH: Final = 200
_QUARTER: Final = 15 * 60
_AS_SENT: Final = cache(
    partial(
        re.compile,
        r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:Z|\+\d\d:(?:00|15|30|45)|-(?!00:00)\d\d:(?:00|15|30|45))",
        re.ASCII,
    )
)
"""A time in the server's format: it is sent unchanged if it is a valid time."""
_MULTILINE: Final = frozenset(row.name for row in FIELDS if row.multiline)


def check_update(update: Payload[AppointmentUpdate], version: str = "") -> WireUpdate:
    """Convert an update to its wire format. Raises `InvalidRequestError`."""
    wire = _check(update, AppointmentUpdate, WireUpdate)
    if wire.appointment_status == "active":
        _check_version(wire, version)
    if wire.rrule is not UNSET:
        _check_rule(wire)
    if wire.meeting_location_id is UNSET and wire.meeting_location_type is UNSET:
        return wire
    return _derive_override(wire)


def check_changes(changes: AppointmentUpdate, version: str) -> None:
    """Check fields that will be sent together with others that are not known yet. Raises `InvalidRequestError`."""
    _check_version(_check(changes, AppointmentUpdate, WireUpdate), version)


def check_create(
    appointment: Payload[AppointmentCreate], version: str = "", *, location_id: str | None = None
) -> WireCreate:
    """Convert a new appointment to its wire format; `location_id` is the default. Raises `InvalidRequestError`."""
    wire = _fill_location(_check(appointment, AppointmentCreate, WireCreate), location_id)
    for name in ("calendar_id", "contact_id"):
        check_id(name, getattr(wire, name))
    _check_version(wire, version)
    _check_rule(wire)
    return _derive_override(wire)


def check_block_slot_create(block_slot: Payload[BlockSlotCreate], location_id: str | None = None) -> WireBlockSlot:
    """Convert a new block slot to its wire format; `location_id` is the default. Raises `InvalidRequestError`."""
    wire = _fill_location(_check(block_slot, BlockSlotCreate, WireBlockSlot), location_id)
    owners = {"calendar_id": wire.calendar_id, "assigned_user_id": wire.assigned_user_id}
    given = {name: value for name, value in owners.items() if value is not None and value is not UNSET}
    if len(given) != 1:
        hint = "pass either calendar_id or assigned_user_id, not both"
        raise refuse("calendar_id", given or None, "exactly one owner is needed", hint)
    for name, value in given.items():
        check_id(name, value)
    return wire


def check_block_slot_update(block_slot: Payload[BlockSlotUpdate], location_id: str | None = None) -> WireBlockSlot:
    """Convert the change of a block slot to its wire format; `location_id` is the default.

    Raises `InvalidRequestError`.
    """
    wire = _fill_location(_check(block_slot, BlockSlotUpdate, WireBlockSlot), location_id)
    if wire.calendar_id is None or wire.calendar_id is UNSET:
        hint = "pass it even if the calendar stays the same"
        raise refuse("calendar_id", None, "it is required in every update of a block slot", hint)
    check_id("calendar_id", wire.calendar_id)
    return wire


def _check(payload: Payload[Struct], expected: type[Struct], wire_type: type[W]) -> W:
    if not isinstance(payload, expected):
        payload = to_payload(payload, expected)
    fields: dict[str, object]
    try:
        fields = msgspec.to_builtins(payload, builtin_types=_KEPT)
    except Exception:
        # A value that msgspec cannot encode: the type check will name its field.
        fields = _simplify_fields(payload)
    if not fields:
        raise refuse("payload", payload, "it has no fields", "set at least one field")
    _render_times(fields)
    try:
        wire = msgspec.convert(fields, wire_type)
        content = _encode(wire)
    except msgspec.ValidationError as error:
        raise _explain(str(error), fields, expected.__name__) from None
    except UnicodeEncodeError:  # msgspec looks up enum values as UTF-8, which a lone surrogate is not
        _check_texts(fields)
        raise
    # JSON escapes control characters, and shows the rest: one look at it costs less than one at each text.
    if not content.isascii() or b"\\" in content or b"\x7f" in content:
        _check_texts(fields)
    return wire


def _check_texts(fields: dict[str, object]) -> None:
    for camel, value in fields.items():
        if type(value) is str and not value.isprintable():
            check_text(_SNAKE[camel], value, lines=_SNAKE[camel] in _MULTILINE)


def _fill_location(wire: P, location_id: str | None) -> P:
    if wire.location_id is UNSET:
        return msgspec.structs.replace(wire, location_id=check_location(location_id))
    check_id("location_id", wire.location_id)
    return wire


def _simplify_fields(payload: Struct) -> dict[str, object]:
    """The fields that are set, by their wire names."""
    return {
        camel: _simplify(value) for snake, camel in _NAMES if (value := getattr(payload, snake, UNSET)) is not UNSET
    }


def _simplify(value: object) -> object:
    """A string as a plain `str`, whatever its class; an enum member as its value."""
    if isinstance(value, Enum):
        value = value.value
    text = to_text(value)
    return value if text is None else text


def _explain(fault: str, fields: dict[str, object], shown_type: str) -> InvalidRequestError:
    """Convert an error of msgspec."""
    match = _FAULT().match(fault)
    if match is None:
        return refuse("payload", fields, fault, "check the types of its fields")
    camel = match["field"]
    snake = _SNAKE[camel]
    row = BY_NAME.get(snake)
    if row is not None and row.choices:
        return refuse(snake, fields[camel], "it is not an accepted value", f"use one of {', '.join(row.choices)}")
    reason = match["reason"] if len(match["reason"]) < _REASON_LENGTH else "it is not a valid value"
    return refuse(snake, fields[camel], reason, f"see {shown_type}.{snake}")


def _check_version(wire: AppointmentFields, version: str) -> None:
    if wire.appointment_status == "active" and version != "v3":
        hint = 'use LeadConnector(…, version="v3"), or another status'
        raise refuse("appointment_status", "active", "only version v3 accepts it", hint)


def _check_rule(wire: AppointmentFields) -> None:
    if not isinstance(wire.rrule, str):
        return
    from .._validation.rrule import find_rule_fault  # noqa: PLC0415 - only series need dateutil

    if fault := find_rule_fault(wire.rrule):
        raise refuse("rrule", wire.rrule, fault, "pass an RFC 5545 rule such as 'RRULE:FREQ=DAILY;COUNT=5'")
    if wire.ignore_free_slot_validation is not True:
        raise refuse(
            "rrule",
            wire.rrule,
            "the server ignores a rule if it checks the slot",
            "set ignore_free_slot_validation=True as well",
        )


def _derive_override(wire: A) -> A:
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
            "choose a later time",
        )
    style = str(fields["startTime"])[19:]
    if style != str(fields["endTime"])[19:]:
        try:
            fields["endTime"] = _format(end, start.tzinfo, style)
        except OverflowError:
            reason = "in the offset of the start it is outside the years 1 to 9999"
            raise refuse("end_time", fields["endTime"], reason, "choose a time within them") from None


def _render_time(fields: dict[str, object], camel: str) -> datetime | None:
    """Put the wire format of a time into `fields`; return the instant, or `None` if there is none."""
    value = fields.get(camel)
    if value is None:
        return None
    if type(value) is datetime and type(value.tzinfo) is timezone and not value.microsecond:
        offset = value.tzinfo.utcoffset(None)
        if not offset.seconds % _QUARTER and not offset.microseconds:
            text: str = msgspec.to_builtins(value)  # in a fraction of the time that `isoformat` takes
            fields[camel] = text if offset else f"{text[:19]}+00:00"
            return value
    return _read_time(fields, camel, value)


def _read_time(fields: dict[str, object], camel: str, value: object) -> datetime:
    """Like `_render_time`, for anything but a plain datetime with a fixed offset."""
    if type(value) is str and _AS_SENT().fullmatch(value) is not None:
        return parse_time(_SNAKE[camel], value)
    try:
        instant = parse_time(_SNAKE[camel], value)
        text = _render(instant)
        if type(instant.tzinfo) is not timezone:
            check_zone(instant)
    except BadMoment as bad:
        raise refuse(_SNAKE[camel], value, bad.reason, bad.hint) from None
    # A free slot is sent back exactly as it was offered, so a text in the server's format stays as it is.
    if type(value) is not str or value not in (text, f"{text[:19]}Z"):
        fields[camel] = text
    if isinstance(instant.tzinfo, timezone):
        return instant
    # Python compares times of one zone by wall clock, those with fixed offsets as instants.
    offset = timezone(instant.utcoffset() or timedelta())
    return datetime.combine(instant, instant.time(), offset)


def _render(instant: datetime) -> str:
    """The wire format of a time. Raises `BadMoment` if it has none."""
    offset = instant.utcoffset()
    if offset is None or instant.microsecond or offset.seconds % _QUARTER or offset.microseconds:
        _refuse_instant(instant)
    text: str = msgspec.to_builtins(instant)  # in a fraction of the time that `isoformat` takes
    return text if offset else f"{text[:19]}+00:00"


def _refuse_instant(instant: datetime) -> NoReturn:
    offset = instant.utcoffset()
    if offset is None:
        raise BadMoment("it has no offset", NAME_AN_INSTANT)
    if instant.microsecond:
        raise BadMoment("the server rejects fractions of a second", "use .replace(microsecond=0)")
    raise refuse_offset(offset)


def parse_time(field: str, value: object) -> datetime:
    """A time as a `datetime`, naive or aware. Raises `InvalidRequestError`."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise refuse(field, value, "it is not a time in ISO 8601", NAME_AN_INSTANT) from None
    if type(value) is datetime and (value.tzinfo is None or type(value.tzinfo) is timezone):
        return value
    if isinstance(value, datetime):
        moment = to_datetime(value)
        read_offset(moment)
        return moment
    raise refuse(field, value, f"it is a {type(value).__name__}, not a time", NAME_AN_INSTANT)


def _format(instant: datetime, zone: tzinfo | None, style: str) -> str:
    text = instant.astimezone(zone).isoformat()
    return text[:19] + "Z" if style == "Z" else text
