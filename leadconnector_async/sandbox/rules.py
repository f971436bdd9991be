"""What the server says to an update: the new state of the appointment, or a refusal.

Rule: the whole update is checked before any of it is applied. Texts and statuses are the real server's
[field, September 2026]; what nobody has shown is marked [guess].

Pure. Knows the book and the quirks.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from .book import Book, BookedAppointment, Calendar
from .quirks import Quirks

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
_BOOLEANS: Final = frozenset({"overrideLocationConfig", "ignoreDateRange", "toNotify", "ignoreFreeSlotValidation"})
_STATUSES: Final = frozenset({"new", "confirmed", "cancelled", "showed", "noshow", "invalid", "completed"})
_PLACES: Final = frozenset({"custom", "zoom", "gmeet", "phone", "address", "ms_teams", "google"})
_KEPT_AS: Final = {"completed": "showed", "active": "confirmed"}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?P<offset>Z|[+-]\d\d:\d\d)", re.ASCII)
_RESET: Final = frozenset({"showed", "noshow"})

SLOT_TAKEN: Final = "The slot you have selected is no longer available."
INVALID_EVENT: Final = "The event id is invalid."


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """The server says no."""

    def __init__(self, status: int, message: str | list[str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Wish(Struct, frozen=True):
    """An update whose types are right."""

    fields: dict[str, str]
    """By the names of `BookedAppointment`; times are still text."""
    flags: frozenset[str]
    """The booleans that are true."""


def apply_update(
    book: Book, event_id: str, body: object, *, version: str, quirks: Quirks, strict: bool
) -> BookedAppointment:
    """The new state of an appointment. Raises `Refusal`; the book is not touched."""
    wish = _read_wish(body, version)
    event = book.find(event_id)
    if event is None or event.deleted:
        raise Refusal(400, INVALID_EVENT)
    changed = _change(event, wish, quirks)
    if strict:
        _check_team(book, changed, wish)
        _check_slot(book, event, changed, wish, quirks)
    return changed


def _read_wish(body: object, version: str) -> Wish:
    if not isinstance(body, dict):
        raise Refusal(400, "Bad Request")
    fields: dict[str, str] = {}
    flags: set[str] = set()
    faults: list[str] = []
    for name, value in msgspec.convert(body, dict[str, object]).items():
        if value is None:
            continue  # what null does is unknown; here it changes nothing [guess]
        if name in _STRINGS:
            faults += [] if isinstance(value, str) else [f"{name} must be a string"]
            fields[_STRINGS[name]] = str(value)
        elif name in _BOOLEANS:
            faults += [] if isinstance(value, bool) else [f"{name} must be a boolean value"]
            flags |= {name} if value is True else set()
        else:
            faults.append(f"property {name} should not exist")
    faults += _check_words(fields, version)
    if faults:
        raise Refusal(422, faults)
    return Wish(fields, frozenset(flags))


def _check_words(fields: dict[str, str], version: str) -> list[str]:
    statuses = _STATUSES | {"active"} if version == "v3" else _STATUSES
    faults: list[str] = []
    if fields.get("appointment_status", "new") not in statuses:
        faults.append("appointmentStatus must be a valid enum value")
    if fields.get("meeting_location_type", "custom") not in _PLACES:
        faults.append("meetingLocationType must be a valid enum value")
    return faults


def _change(event: BookedAppointment, wish: Wish, quirks: Quirks) -> BookedAppointment:
    texts = dict(wish.fields)
    start, end = _read_times(event, texts.pop("start_time", None), texts.pop("end_time", None))
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


def _read_times(event: BookedAppointment, start: str | None, end: str | None) -> tuple[datetime, datetime]:
    if start is not None and end is not None and start.endswith("Z") != end.endswith("Z"):
        raise Refusal(400, "Bad Request")
    length = event.end_time - event.start_time
    new_start = _read_time(start) if start is not None else event.start_time
    new_end = _read_time(end) if end is not None else event.end_time
    if start is not None and end is None:
        new_end = new_start + length
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


def _check_team(book: Book, changed: BookedAppointment, wish: Wish) -> None:
    calendar = book.calendars.get(changed.calendar_id)
    if calendar is None:
        raise Refusal(400, "The calendar is not an event calendar.")
    if "ignoreFreeSlotValidation" in wish.flags and "assigned_user_id" not in wish.fields:
        raise Refusal(422, "A team member needs to be selected. assignedUserId is missing")
    if changed.assigned_user_id not in calendar.team:
        raise Refusal(422, "The user id not part of calendar team.")


def _check_slot(
    book: Book, event: BookedAppointment, changed: BookedAppointment, wish: Wish, quirks: Quirks
) -> None:
    if "ignoreFreeSlotValidation" in wish.flags or not {"start_time", "end_time"} & wish.fields.keys():
        return
    unmoved = (event.start_time, event.end_time) == (changed.start_time, changed.end_time)
    in_hours = "ignoreDateRange" in wish.flags or _is_on_grid(book.calendars[changed.calendar_id], changed)
    if (unmoved and quirks.self_collision) or not in_hours or not book.is_free(changed):
        raise Refusal(400, SLOT_TAKEN)


def _is_on_grid(calendar: Calendar, event: BookedAppointment) -> bool:
    zone = ZoneInfo(calendar.zone)
    start, end = event.start_time.astimezone(zone), event.end_time.astimezone(zone)
    midnight = start.replace(hour=0, minute=0, second=0)
    opens, closes = (midnight.replace(hour=hour) for hour in (calendar.opens, calendar.closes))
    grid = timedelta(minutes=calendar.slot_minutes)
    return opens <= start and end <= closes and (start - opens) % grid == timedelta()
