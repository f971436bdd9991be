"""What the server says to an update: the new state of the appointment, or a refusal.

The whole update is checked before any of it is applied. Texts and statuses are the real server's
[field, September 2026]; what nobody has shown is marked [guess].
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from .faults import Quirks
from .store import BookedAppointment, Calendar, Store

_STRINGS: Final = {
    "title": "title",
    "meetingLocationType": "meeting_location_type",
    "meetingLocationId": "meeting_location_id",
    "appointmentStatus": "appointment_status",
    "assignedUserId": "assigned_user_id",
    "description": "description",
    "address": "address",
    "rrule": "rrule",
    "calendarId": "calendar_id",
    "startTime": "start_time",
    "endTime": "end_time",
}
_CREATE_STRINGS: Final = _STRINGS | {"locationId": "location_id", "contactId": "contact_id"}
_REQUIRED: Final = ("calendarId", "locationId", "contactId", "startTime")
_BLOCK_REQUIRED: Final = ("locationId", "startTime", "endTime")
_BLOCK_UPDATE_REQUIRED: Final = ("calendarId", "locationId")
_BLOCK_STRINGS: Final = {
    name: field
    for name, field in _CREATE_STRINGS.items()
    if field in ("title", "calendar_id", "assigned_user_id", "location_id", "start_time", "end_time")
}
_BOOLEANS: Final = frozenset({"overrideLocationConfig", "ignoreDateRange", "toNotify", "ignoreFreeSlotValidation"})
_STATUSES: Final = frozenset({"new", "confirmed", "cancelled", "showed", "noshow", "invalid", "completed"})
_PLACES: Final = frozenset({"custom", "zoom", "gmeet", "phone", "address", "ms_teams", "google", "default"})
_KEPT_AS: Final = {"completed": "showed", "active": "confirmed"}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?P<offset>Z|[+-]\d\d:\d\d)", re.ASCII)
_RESET: Final = frozenset({"showed", "noshow"})

SLOT_TAKEN: Final = "The slot you have selected is no longer available."
INVALID_EVENT: Final = "The event id is invalid."
INVALID_CONTACT: Final = "The contact id is invalid."  # the text is a guess
FOREIGN: Final = "The token does not have access to this location."


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """The server says no."""

    def __init__(self, status: int, message: str | list[str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class UpdateFields(Struct, frozen=True):
    """An update whose types are right."""

    fields: dict[str, str]
    """By the names of `BookedAppointment`; times are still text."""
    flags: frozenset[str]
    """The booleans that are true."""


def apply_update(
    store: Store, event_id: str, body: object, *, version: str, quirks: Quirks, strict: bool
) -> BookedAppointment:
    """The new state of an appointment. Raises `Refusal`; the store is not touched."""
    wish = _read_wish(body, version)
    event = store.find(event_id)
    if event is None or event.deleted:
        raise Refusal(400, INVALID_EVENT)
    changed = _change(event, wish, quirks)
    if strict:
        _check_team(store, changed, wish)
        _check_slot(store, event, changed, wish, quirks)
    return changed


def create_appointment(
    store: Store, event_id: str, body: object, *, location_id: str, version: str, strict: bool
) -> BookedAppointment:
    """A new appointment. Raises `Refusal`. Without an assignee, the first who is free has it [guess]."""
    wish = _read_wish(body, version, _CREATE_STRINGS)
    _require(wish.fields, _REQUIRED)
    texts = dict(wish.fields)
    check_location(texts["location_id"], location_id)
    calendar = find_calendar(store, texts["calendar_id"], location_id)
    if strict and store.contacts.get(texts["contact_id"]) != location_id:
        raise Refusal(400, INVALID_CONTACT)
    start = _read_time(texts["start_time"])
    length = timedelta(minutes=calendar.slot_minutes)
    start, end = _read_times(start, start + length, texts.pop("start_time"), texts.pop("end_time", None))
    asked = texts.pop("assigned_user_id", "")
    status = texts.pop("appointment_status", "confirmed")
    rule = texts.pop("rrule", None)
    event = BookedAppointment(
        id=event_id,
        start_time=start,
        end_time=end,
        assigned_user_id=asked,
        appointment_status=_KEPT_AS.get(status, status),
        rrule=rule if "ignoreFreeSlotValidation" in wish.flags else None,
        location_id=texts.pop("location_id"),
        calendar_id=texts.pop("calendar_id"),
        contact_id=texts.pop("contact_id"),
        title=texts.pop("title", ""),
    )
    event = msgspec.structs.replace(event, **texts)
    if not asked:
        event = _assign(store, calendar, event)
    if strict:
        _check_team(store, event, wish)
        _check_place(store, event, wish)
    return event


def find_calendar(store: Store, calendar_id: str, location_id: str) -> Calendar:
    """A calendar of a location. Raises `Refusal`."""
    calendar = store.calendars.get(calendar_id)
    if calendar is None:
        raise Refusal(400, "The calendar is not an event calendar.")
    check_location(calendar.location_id, location_id)
    return calendar


def check_location(location_id: str, own: str) -> None:
    """What belongs to another location than the token's is not shown. Raises `Refusal`."""
    if location_id != own:
        raise Refusal(403, FOREIGN)


def create_block_slot(store: Store, event_id: str, body: object, *, location_id: str) -> BookedAppointment:
    """A new block slot, of a calendar or of a person. Raises `Refusal`."""
    texts = read_texts(body, _BLOCK_STRINGS)
    _require(texts, _BLOCK_REQUIRED)
    if bool(texts.get("calendar_id")) is bool(texts.get("assigned_user_id")):
        raise Refusal(422, "Either calendarId or assignedUserId can be set, not both.")  # the text is a guess
    _check_block_place(store, texts, location_id)
    start, end = texts.pop("start_time"), texts.pop("end_time")
    block = BookedAppointment(
        id=event_id,
        location_id=location_id,
        calendar_id="",
        contact_id="",
        title="",
        appointment_status="confirmed",
        assigned_user_id="",
        start_time=_read_time(start),
        end_time=_read_time(end),
        is_block=True,
    )
    return _move_block(block, texts, start, end)


def update_block_slot(
    store: Store, known: BookedAppointment, body: object, *, location_id: str
) -> BookedAppointment:
    """The new state of a block slot. Raises `Refusal`."""
    texts = read_texts(body, _BLOCK_STRINGS)
    _require(texts, _BLOCK_UPDATE_REQUIRED)
    _check_block_place(store, texts, location_id)
    start, end = texts.pop("start_time", None), texts.pop("end_time", None)
    return _move_block(known, texts, start, end)


def _require(texts: Mapping[str, str], names: Iterable[str]) -> None:
    missing = [name for name in names if not texts.get(_CREATE_STRINGS[name])]
    if missing:
        raise Refusal(422, [f"{name} should not be empty" for name in missing])


def _check_block_place(store: Store, texts: Mapping[str, str], location_id: str) -> None:
    check_location(texts["location_id"], location_id)
    if calendar_id := texts.get("calendar_id"):
        find_calendar(store, calendar_id, location_id)


def _move_block(
    block: BookedAppointment, texts: dict[str, str], start: str | None, end: str | None
) -> BookedAppointment:
    new_start, new_end = _read_times(block.start_time, block.end_time, start, end)
    return msgspec.structs.replace(block, **texts, start_time=new_start, end_time=new_end)


def _assign(store: Store, calendar: Calendar, event: BookedAppointment) -> BookedAppointment:
    options = [msgspec.structs.replace(event, assigned_user_id=user) for user in calendar.team]
    return next((option for option in options if store.is_free(option)), options[0])


def read_texts(body: object, strings: Mapping[str, str]) -> dict[str, str]:
    """The fields of a body that may hold texts only, by their names here. Raises `Refusal`."""
    return _read_wish(body, "", strings, frozenset()).fields


def _read_wish(
    body: object, version: str, strings: Mapping[str, str] = _STRINGS, booleans: frozenset[str] = _BOOLEANS
) -> UpdateFields:
    if not isinstance(body, dict):
        raise Refusal(400, "Bad Request")
    fields: dict[str, str] = {}
    flags: set[str] = set()
    faults: list[str] = []
    for name, value in msgspec.convert(body, dict[str, object]).items():
        if value is None:
            continue  # what null does is unknown; here it changes nothing [guess]
        if name in strings:
            faults += [] if isinstance(value, str) else [f"{name} must be a string"]
            fields[strings[name]] = str(value)
        elif name in booleans:
            faults += [] if isinstance(value, bool) else [f"{name} must be a boolean value"]
            flags |= {name} if value is True else set()
        else:
            faults.append(f"property {name} should not exist")
    faults += _check_words(fields, version)
    if faults:
        raise Refusal(422, faults)
    return UpdateFields(fields, frozenset(flags))


def _check_words(fields: dict[str, str], version: str) -> list[str]:
    statuses = _STATUSES | {"active"} if version == "v3" else _STATUSES
    faults: list[str] = []
    if fields.get("appointment_status", "new") not in statuses:
        faults.append("appointmentStatus must be a valid enum value")
    if fields.get("meeting_location_type", "custom") not in _PLACES:
        faults.append("meetingLocationType must be a valid enum value")
    return faults


def _change(event: BookedAppointment, wish: UpdateFields, quirks: Quirks) -> BookedAppointment:
    texts = dict(wish.fields)
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
        appointment_status=_KEPT_AS.get(status, status),
        start_time=start,
        end_time=end,
        rrule=rule if rule and "ignoreFreeSlotValidation" in wish.flags else event.rrule,
    )


def _read_times(
    known_start: datetime, known_end: datetime, start: str | None, end: str | None
) -> tuple[datetime, datetime]:
    """New times; an end that is not given keeps the length if the start is [guess]."""
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


def _check_team(store: Store, changed: BookedAppointment, wish: UpdateFields) -> None:
    calendar = find_calendar(store, changed.calendar_id, changed.location_id)
    if "ignoreFreeSlotValidation" in wish.flags and "assigned_user_id" not in wish.fields:
        raise Refusal(422, "A team member needs to be selected. assignedUserId is missing")
    if changed.assigned_user_id not in calendar.team:
        raise Refusal(422, "The user id not part of calendar team.")


def _check_slot(
    store: Store, event: BookedAppointment, changed: BookedAppointment, wish: UpdateFields, quirks: Quirks
) -> None:
    if not {"start_time", "end_time"} & wish.fields.keys():
        return
    unmoved = (event.start_time, event.end_time) == (changed.start_time, changed.end_time)
    if unmoved and quirks.self_collision and "ignoreFreeSlotValidation" not in wish.flags:
        raise Refusal(400, SLOT_TAKEN)
    _check_place(store, changed, wish)


def _check_place(store: Store, event: BookedAppointment, wish: UpdateFields) -> None:
    """It lies on the calendar's grid, and its assignee is free."""
    if "ignoreFreeSlotValidation" in wish.flags:
        return
    in_hours = "ignoreDateRange" in wish.flags or _is_on_grid(store.calendars[event.calendar_id], event)
    if not in_hours or not store.is_free(event):
        raise Refusal(400, SLOT_TAKEN)


def _is_on_grid(calendar: Calendar, event: BookedAppointment) -> bool:
    zone = ZoneInfo(calendar.zone)
    start, end = event.start_time.astimezone(zone), event.end_time.astimezone(zone)
    midnight = start.replace(hour=0, minute=0, second=0)
    opens, closes = (midnight.replace(hour=hour) for hour in (calendar.opens, calendar.closes))
    grid = timedelta(minutes=calendar.slot_minutes)
    return opens <= start and end <= closes and (start - opens) % grid == timedelta()
