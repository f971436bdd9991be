"""What the server makes of a body: the new state of an appointment or a block slot, or a refusal.

The whole body is checked before any of it is applied. Texts and statuses are the real server's
[field, September 2026]; what nobody has observed is marked [guess].
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from .faults import Quirks
from .free_slots import is_bookable
from .models import WIRES, BookedAppointment, Calendar, In, find_fields
from .store import Store

_CREATE: Final = find_fields(In.CREATE)
_UPDATE: Final = find_fields(In.UPDATE)
_BLOCK: Final = find_fields(In.BLOCK)
_CREATE_REQUIRED: Final = ("calendarId", "locationId", "contactId", "startTime")
_BLOCK_REQUIRED: Final = ("locationId", "startTime", "endTime")
_BLOCK_UPDATE_REQUIRED: Final = ("calendarId", "locationId")
_FLAGS: Final = frozenset({"overrideLocationConfig", "ignoreDateRange", "toNotify", "ignoreFreeSlotValidation"})
_STORED_AS: Final = {"completed": "showed", "active": "confirmed"}
_V3_STATUSES: Final = frozenset({"active"})
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?P<offset>Z|[+-]\d\d:\d\d)", re.ASCII)
_RESET: Final = frozenset({"showed", "noshow"})

SLOT_TAKEN: Final = "The slot you have selected is no longer available."
INVALID_EVENT: Final = "The event id is invalid."
INVALID_CONTACT: Final = "The contact id is invalid."  # the text is a guess
FOREIGN: Final = "The token does not have access to this location."


class Refusal(Exception):  # noqa: N818 - a response, not an error of ours
    """The server refuses a request."""

    def __init__(self, status: int, message: str | list[str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class UpdateFields(Struct, frozen=True):
    """A body whose types are right."""

    texts: dict[str, str]
    """By the names of `BookedAppointment`; times are still text."""
    flags: frozenset[str] = frozenset()
    """The booleans that are true."""

    @property
    def skips_slot_check(self) -> bool:
        """Whether the slot may be taken, or outside of the calendar's hours."""
        return "ignoreFreeSlotValidation" in self.flags


def apply_update(
    store: Store, event: BookedAppointment, body: object, *, version: str, quirks: Quirks, strict: bool
) -> BookedAppointment:
    """The new state of an appointment. Raises `Refusal`; the store is not touched."""
    fields = _read_fields(body, _UPDATE, _FLAGS, version)
    if event.deleted:
        raise Refusal(400, INVALID_EVENT)
    changed = _change(event, fields, quirks)
    if strict:
        _check_team(store, changed, fields)
        _check_move(store, event, changed, fields, quirks)
    return changed


def create_appointment(
    store: Store, event_id: str, body: object, *, location_id: str, version: str, strict: bool
) -> BookedAppointment:
    """A new appointment. Raises `Refusal`. Without an assignee, the first who is free has it [guess]."""
    fields = _read_fields(body, _CREATE, _FLAGS, version)
    texts = dict(fields.texts)
    _require(texts, _CREATE, _CREATE_REQUIRED)
    check_location(texts["location_id"], location_id)
    calendar = find_calendar(store, texts["calendar_id"], location_id)
    if strict and store.contacts.get(texts["contact_id"]) != location_id:
        raise Refusal(400, INVALID_CONTACT)
    start = _read_time(texts["start_time"])
    length = timedelta(minutes=calendar.slot_minutes)
    start, end = _read_times(start, start + length, texts.pop("start_time"), texts.pop("end_time", None))
    status, rule = texts.pop("appointment_status", "confirmed"), texts.pop("rrule", None)
    defaults = {"title": "", "assigned_user_id": ""}
    event = BookedAppointment(
        id=event_id,
        start_time=start,
        end_time=end,
        appointment_status=_STORED_AS.get(status, status),
        rrule=rule if fields.skips_slot_check else None,
        **{**defaults, **texts},  # type: ignore[arg-type]
    )
    if not event.assigned_user_id:
        event = _assign(store, calendar, event)
    if strict:
        _check_team(store, event, fields)
        _check_slot(store, event, fields)
    return event


def create_block_slot(store: Store, event_id: str, body: object, *, location_id: str) -> BookedAppointment:
    """A new block slot, of a calendar or of a person. Raises `Refusal`."""
    texts = read_texts(body, _BLOCK)
    _require(texts, _BLOCK, _BLOCK_REQUIRED)
    if bool(texts.get("calendar_id")) is bool(texts.get("assigned_user_id")):
        raise Refusal(422, "Either calendarId or assignedUserId can be set, not both.")  # the text is a guess
    _check_block_location(store, texts, location_id)
    block = BookedAppointment(
        id=event_id,
        location_id=location_id,
        calendar_id="",
        contact_id="",
        title="",
        appointment_status="confirmed",
        assigned_user_id="",
        start_time=_read_time(texts["start_time"]),
        end_time=_read_time(texts["end_time"]),
        is_block=True,
    )
    return _change_block(block, texts)


def update_block_slot(
    store: Store, known: BookedAppointment, body: object, *, location_id: str
) -> BookedAppointment:
    """The new state of a block slot. Raises `Refusal`."""
    texts = read_texts(body, _BLOCK)
    _require(texts, _BLOCK, _BLOCK_UPDATE_REQUIRED)
    _check_block_location(store, texts, location_id)
    return _change_block(known, texts)


def find_calendar(store: Store, calendar_id: str, location_id: str) -> Calendar:
    """A calendar of a location. Raises `Refusal`."""
    calendar = store.calendars.get(calendar_id)
    if calendar is None:
        raise Refusal(400, "The calendar is not an event calendar.")
    check_location(calendar.location_id, location_id)
    return calendar


def check_location(location_id: str, own: str) -> None:
    """Refuse what belongs to another location than the token's."""
    if location_id != own:
        raise Refusal(403, FOREIGN)


def read_texts(body: object, names: Mapping[str, str]) -> dict[str, str]:
    """The fields of a body that may hold texts only, by their names here. Raises `Refusal`."""
    return _read_fields(body, names).texts


def _read_fields(
    body: object, names: Mapping[str, str], flag_names: frozenset[str] = frozenset(), version: str = ""
) -> UpdateFields:
    if not isinstance(body, dict):
        raise Refusal(400, "Bad Request")
    texts: dict[str, str] = {}
    flags: set[str] = set()
    errors: list[str] = []
    for name, value in msgspec.convert(body, dict[str, object]).items():
        if value is None:
            continue  # what null does is unknown; here it changes nothing [guess]
        if name in names:
            errors += [] if isinstance(value, str) else [f"{name} must be a string"]
            texts[names[name]] = str(value)
        elif name in flag_names:
            errors += [] if isinstance(value, bool) else [f"{name} must be a boolean value"]
            flags |= {name} if value is True else set()
        else:
            errors.append(f"property {name} should not exist")
    errors += _check_choices(texts, version)
    if errors:
        raise Refusal(422, errors)
    return UpdateFields(texts, frozenset(flags))


def _check_choices(texts: Mapping[str, str], version: str) -> list[str]:
    errors: list[str] = []
    for field, wire in WIRES.items():
        more = _V3_STATUSES if field == "appointment_status" and version == "v3" else frozenset[str]()
        if wire.choices and field in texts and texts[field] not in wire.choices | more:
            errors.append(f"{wire.name} must be a valid enum value")
    return errors


def _require(texts: Mapping[str, str], names: Mapping[str, str], required: Iterable[str]) -> None:
    missing = [name for name in required if not texts.get(names[name])]
    if missing:
        raise Refusal(422, [f"{name} should not be empty" for name in missing])


def _check_block_location(store: Store, texts: Mapping[str, str], location_id: str) -> None:
    check_location(texts["location_id"], location_id)
    if calendar_id := texts.get("calendar_id"):
        find_calendar(store, calendar_id, location_id)


def _change_block(block: BookedAppointment, texts: dict[str, str]) -> BookedAppointment:
    start, end = texts.pop("start_time", None), texts.pop("end_time", None)
    new_start, new_end = _read_times(block.start_time, block.end_time, start, end)
    return msgspec.structs.replace(block, **texts, start_time=new_start, end_time=new_end)


def _assign(store: Store, calendar: Calendar, event: BookedAppointment) -> BookedAppointment:
    """The first who is free; where the whole team is needed, its first member, the primary one."""
    options = [msgspec.structs.replace(event, assigned_user_id=user) for user in calendar.team or ("",)]
    return next((option for option in options if store.is_free(option)), options[0])


def _change(event: BookedAppointment, fields: UpdateFields, quirks: Quirks) -> BookedAppointment:
    texts = dict(fields.texts)
    start, end = _read_times(
        event.start_time, event.end_time, texts.pop("start_time", None), texts.pop("end_time", None)
    )
    rule = texts.pop("rrule", None)
    if quirks.location_lost and "meeting_location_type" in texts:
        texts.setdefault("address", "")
    if "address" in texts:
        texts.setdefault("meeting_location_type", "custom")
    status = texts.pop("appointment_status", None)
    if status is None:
        reset = quirks.status_reset and event.appointment_status in _RESET
        status = "confirmed" if reset else event.appointment_status
    return msgspec.structs.replace(
        event,
        **texts,
        appointment_status=_STORED_AS.get(status, status),
        start_time=start,
        end_time=end,
        rrule=rule if rule and fields.skips_slot_check else event.rrule,
    )


def _read_times(
    known_start: datetime, known_end: datetime, start: str | None, end: str | None
) -> tuple[datetime, datetime]:
    """New times; a start without an end keeps the length [guess]."""
    if start is not None and end is not None and start[19:] != end[19:]:
        raise Refusal(400, "Bad Request")
    new_start = _read_time(start) if start is not None else known_start
    new_end = _read_time(end) if end is not None else new_start + (known_end - known_start) if start else known_end
    if new_end <= new_start:
        raise Refusal(400, "Bad Request")
    return new_start, new_end


def _read_time(text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise Refusal(400, "Bad Request")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refusal(400, "Bad Request") from None


def _check_team(store: Store, changed: BookedAppointment, fields: UpdateFields) -> None:
    calendar = find_calendar(store, changed.calendar_id, changed.location_id)
    if calendar.team and fields.skips_slot_check and "assigned_user_id" not in fields.texts:
        raise Refusal(422, "A team member needs to be selected. assignedUserId is missing")
    if changed.assigned_user_id not in (calendar.team or ("",)):
        raise Refusal(422, "The user id not part of calendar team.")


def _check_move(
    store: Store, event: BookedAppointment, changed: BookedAppointment, fields: UpdateFields, quirks: Quirks
) -> None:
    if not {"start_time", "end_time"} & fields.texts.keys():
        return
    unmoved = (event.start_time, event.end_time) == (changed.start_time, changed.end_time)
    if unmoved and quirks.self_collision and not fields.skips_slot_check:
        raise Refusal(400, SLOT_TAKEN)
    _check_slot(store, changed, fields)


def _check_slot(store: Store, event: BookedAppointment, fields: UpdateFields) -> None:
    """Refuse what is not on the calendar's grid, and what overlaps another appointment of those whom it needs."""
    if fields.skips_slot_check:
        return
    calendar = store.calendars[event.calendar_id]
    in_hours = "ignoreDateRange" in fields.flags or is_bookable(store, calendar, event)
    if not (calendar.is_active and in_hours and store.is_free(event)):
        raise Refusal(400, SLOT_TAKEN)
