"""Response bodies as the real server writes them.

Names and shapes are the server's [doc, field]; what is odd about them is a quirk with a switch.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from .contacts import name_person
from .faults import Quirks
from .models import BookedAppointment, BookedNote, Calendar, In, find_fields
from .store import SEED_DAY, Store

Fields: TypeAlias = dict[str, object]
_WRITTEN: Final = find_fields(In.WRITTEN)
_EVENT: Final = find_fields(In.EVENT)
encode: Final = msgspec.json.Encoder().encode


def render_written(
    store: Store, event: BookedAppointment, quirks: Quirks, trace_id: str, *, version: str = ""
) -> bytes:
    """The flat response to a create or an update; only version v3 has the time of the change in it."""
    if quirks.empty_response:
        return b"{}"
    fields = _render_stored(event, _WRITTEN) | _render_times(store, event, quirks) | _render_status(event, quirks)
    fields["meetingLocationType"] = event.meeting_location_type or "default"
    fields["isRecurring"] = _render_recurring(event, quirks)
    if version == "v3":
        fields |= _render_stamps(store, event)
    return encode(fields | {"traceId": trace_id})


def render_event(store: Store, event: BookedAppointment, quirks: Quirks) -> Fields:
    """An event as a get and lists show it."""
    fields = _render_stored(event, _EVENT) | _render_times(store, event, quirks) | _render_status(event, quirks)
    fields |= {
        "groupId": store.groups.get(event.calendar_id, ""),
        "users": list_others(store, event),
        "assignedResources": [],
        "notes": "",
        "isRecurring": _render_recurring(event, quirks),
        "createdBy": {"userId": None, "source": "booking_widget"},
    }
    fields |= _render_stamps(store, event)
    return fields | {"deleted": True} if event.deleted else fields


def list_others(store: Store, event: BookedAppointment) -> list[str]:
    """The secondary owners of an appointment [doc]: the others of a team that is needed as a whole."""
    calendar = store.calendars.get(event.calendar_id)
    if calendar is None or calendar.kind != "collective":
        return []
    return [user for user in calendar.team if user != event.assigned_user_id]


def render_block_slot(store: Store, block: BookedAppointment, quirks: Quirks) -> bytes:
    """The flat response of a block slot."""
    fields: Fields = {"id": block.id, "locationId": block.location_id, "title": block.title}
    owners = {"calendarId": block.calendar_id, "assignedUserId": block.assigned_user_id}
    fields |= {name: owner for name, owner in owners.items() if owner}
    return encode(fields | _render_times(store, block, quirks))


def render_note(note: BookedNote) -> Fields:
    """A note as lists show it; its author is left out where nobody was named [guess]."""
    shown: Fields = {
        "id": note.id,
        "body": note.body,
        "userId": note.user_id,
        "contactId": note.contact_id,
        "dateAdded": render_stamp(note.date_added or SEED_DAY),
    }
    if note.user_id is not None:
        shown["createdBy"] = {"id": note.user_id, "name": " ".join(name_person(note.user_id))}
    return shown


def render_calendar(store: Store, calendar: Calendar) -> Fields:
    """A calendar with its team; everybody meets in the first of the meeting locations."""
    meetings = [{"kind": "custom", "location": "Front desk", "meetingId": "custom_0"}]
    hours = {"openHour": calendar.opens, "openMinute": 0, "closeHour": calendar.closes, "closeMinute": 0}
    team = [
        {"userId": user, "priority": 0.5, "isPrimary": not number, "locationConfigurations": meetings}
        for number, user in enumerate(calendar.team)
    ]
    return {
        "id": calendar.id,
        "locationId": calendar.location_id,
        "groupId": store.groups.get(calendar.id, ""),
        "name": calendar.name,
        "calendarType": calendar.kind,
        "isActive": calendar.is_active,
        "slotDuration": calendar.slot_minutes,
        "slotDurationUnit": "mins",
        "slotInterval": calendar.slot_minutes,
        "slotIntervalUnit": "mins",
        "slotBuffer": 0,
        "preBuffer": 0,
        "allowBookingAfter": calendar.notice_hours,
        "allowBookingAfterUnit": "hours",
        "allowBookingFor": 24,
        "allowBookingForUnit": "months",
        "appoinmentPerSlot": calendar.seats,
        "openHours": [{"daysOfTheWeek": list(range(7)), "hours": [hours]}],
        "autoConfirm": True,
        "allowReschedule": True,
        "allowCancellation": True,
        "teamMembers": team,
        "locationConfigurations": meetings,
    }


def render_error(status: int, message: str | list[str], trace_id: str) -> bytes:
    """An error in the server's first shape. A 429 and a 5xx carry neither `error` nor a trace id."""
    fields: Fields = {"statusCode": status, "message": message}
    if status < 500 and status != 429:
        if message != "Bad Request":
            fields["error"] = HTTPStatus(status).phrase
        fields["traceId"] = trace_id
    return encode(fields)


def render_token_error(error: str, description: str | list[str], trace_id: str) -> bytes:
    """An error of the token endpoint."""
    return encode({"error": error, "error_description": description, "traceId": trace_id})


def render_argument_error(code: str, message: str | list[str], trace_id: str) -> bytes:
    """An error of version v3's newer routes."""
    return encode({"error": {"code": code, "message": message}, "traceId": trace_id})


def render_page(status: int) -> bytes:
    """An HTML page of a proxy in front of the server."""
    title = f"{status} {HTTPStatus(status).phrase}"
    return f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>".encode()


def _render_stored(event: BookedAppointment, names: dict[str, str]) -> Fields:
    values = {name: getattr(event, field) for name, field in names.items()}
    return {name: value for name, value in values.items() if value is not None}


def _render_stamps(store: Store, event: BookedAppointment) -> Fields:
    stamps = store.find_stamps(event)
    return {"dateAdded": render_stamp(stamps.added), "dateUpdated": render_stamp(stamps.updated)}


def render_stamp(moment: datetime) -> str:
    """A moment in UTC, to the millisecond."""
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


def _render_status(event: BookedAppointment, quirks: Quirks) -> Fields:
    right = {"appointmentStatus": event.appointment_status}
    misspelt = {"appoinmentStatus": event.appointment_status}
    return {
        **({} if quirks.misspelt_status == "only" else right),
        **({} if quirks.misspelt_status == "never" else misspelt),
    }


def _render_recurring(event: BookedAppointment, quirks: Quirks) -> object:
    recurring = event.rrule is not None or event.master_event_id is not None
    return str(recurring).lower() if quirks.string_booleans else recurring


def _render_times(store: Store, event: BookedAppointment, quirks: Quirks) -> Fields:
    user = store.users.get(event.assigned_user_id)
    calendar = store.calendars.get(event.calendar_id)
    name = user.zone if user is not None and quirks.assignee_offset else calendar.zone if calendar else "UTC"
    start, end = (one.astimezone(ZoneInfo(name)).isoformat() for one in (event.start_time, event.end_time))
    return {"startTime": start, "endTime": end}
