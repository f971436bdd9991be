"""Answers as the real server writes them.

Names, order and shapes are the server's [doc, field]; what is odd about them is a quirk with a switch.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from .faults import Quirks
from .store import SEED_DAY, BookedAppointment, BookedNote, Calendar, Store

Fields: TypeAlias = dict[str, object]
_NAMES: Final = ("Ada", "Ben", "Cleo", "Dev", "Eva", "Finn", "Gita", "Hugo")
_SURNAMES: Final = ("Abbott", "Barnes", "Cohen", "Desai", "Ellis", "Flores", "Grant")
encode: Final = msgspec.json.Encoder().encode


def render_update(
    store: Store, event: BookedAppointment, quirks: Quirks, trace_id: str, *, version: str = ""
) -> bytes:
    """The flat answer of an update; when it was added and changed, only version v3 says here."""
    if quirks.empty_response:
        return b"{}"
    fields = _render_head(event)
    fields |= _render_times(store, event, quirks) | _render_status(event, quirks)
    fields |= {"assignedUserId": event.assigned_user_id, "address": event.address}
    fields |= {"meetingLocationType": event.meeting_location_type or "default"}
    fields |= _render_recurrence(event, quirks)
    if version == "v3":
        fields |= _render_stamps(store, event)
    return encode(fields | {"traceId": trace_id})


def render_event(store: Store, event: BookedAppointment, quirks: Quirks, trace_id: str) -> bytes:
    """The enveloped answer of a get."""
    return encode({"event": render_fields(store, event, quirks), "traceId": trace_id})


def render_fields(store: Store, event: BookedAppointment, quirks: Quirks) -> Fields:
    """An event as get and lists show it."""
    fields = _render_head(event) | {"groupId": store.groups.get(event.calendar_id, "")}
    fields |= _render_status(event, quirks)
    fields |= {"assignedUserId": event.assigned_user_id, "users": [], "assignedResources": [], "notes": ""}
    fields |= {"address": event.address, "description": event.description}
    fields |= _render_recurrence(event, quirks)
    fields |= {"createdBy": {"userId": None, "source": "booking_widget"}}
    fields |= _render_times(store, event, quirks)
    fields |= _render_stamps(store, event)
    if event.deleted:
        fields["deleted"] = True
    return fields


def render_block_slot(store: Store, block: BookedAppointment, quirks: Quirks) -> bytes:
    """The flat answer of a block slot."""
    fields: Fields = {"id": block.id, "locationId": block.location_id, "title": block.title}
    owners = {"calendarId": block.calendar_id, "assignedUserId": block.assigned_user_id}
    fields |= {name: owner for name, owner in owners.items() if owner}
    return encode(fields | _render_times(store, block, quirks))


def render_note(store: Store, note: BookedNote) -> Fields:
    """A note as lists show it; its author is left out where nobody was named [guess]."""
    shown: Fields = {
        "id": note.id,
        "body": note.body,
        "userId": note.user_id,
        "contactId": note.contact_id,
        "dateAdded": _render_stamp(note.date_added or SEED_DAY),
    }
    if note.user_id is not None:
        shown["createdBy"] = {"id": note.user_id, "name": _name_person(note.user_id)}
    return shown


def render_calendar(store: Store, calendar: Calendar) -> Fields:
    """A calendar with its team; everybody meets in the first of the places."""
    places = [{"kind": "custom", "location": "Front app", "meetingId": "custom_0"}]
    team = [
        {"userId": user, "priority": 0.5, "isPrimary": not number, "locationConfigurations": places}
        for number, user in enumerate(calendar.team)
    ]
    return {
        "id": calendar.id,
        "locationId": calendar.location_id,
        "groupId": store.groups.get(calendar.id, ""),
        "name": calendar.name,
        "calendarType": "round_robin",
        "isActive": calendar.is_active,
        "slotDuration": calendar.slot_minutes,
        "slotDurationUnit": "mins",
        "slotInterval": calendar.slot_minutes,
        "slotIntervalUnit": "mins",
        "slotBuffer": 0,
        "preBuffer": 0,
        "allowBookingAfter": 0,
        "allowBookingAfterUnit": "hours",
        "allowBookingFor": 24,
        "allowBookingForUnit": "months",
        "appoinmentPerSlot": 1,
        "openHours": [_render_open_hours(calendar)],
        "autoConfirm": True,
        "allowReschedule": True,
        "allowCancellation": True,
        "teamMembers": team,
        "locationConfigurations": places,
    }


def render_refusal(status: int, message: str | list[str], trace_id: str) -> bytes:
    """An error in the server's first shape. A 429 and a 5xx carry neither `error` nor a trace id."""
    fields: Fields = {"statusCode": status, "message": message}
    if status < 500 and status != 429:
        if message != "Bad Request":
            fields["error"] = HTTPStatus(status).phrase
        fields["traceId"] = trace_id
    return encode(fields)


def render_token_refusal(error: str, description: str | list[str], trace_id: str) -> bytes:
    """An error of the token endpoint."""
    return encode({"error": error, "error_description": description, "traceId": trace_id})


def render_page(status: int) -> bytes:
    """A page of the edge."""
    title = f"{status} {HTTPStatus(status).phrase}"
    return f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>".encode()


def _name_person(user_id: str) -> str:
    """A name for anybody, always the same."""
    number = sum(user_id.encode())
    return f"{_NAMES[number % len(_NAMES)]} {_SURNAMES[number % len(_SURNAMES)]}"


def _render_open_hours(calendar: Calendar) -> Fields:
    hours = {"openHour": calendar.opens, "openMinute": 0, "closeHour": calendar.closes, "closeMinute": 0}
    return {"daysOfTheWeek": list(range(7)), "hours": [hours]}


def _render_stamps(store: Store, event: BookedAppointment) -> Fields:
    stamps = store.find_stamps(event)
    return {"dateAdded": _render_stamp(stamps.added), "dateUpdated": _render_stamp(stamps.updated)}


def _render_stamp(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


def _render_head(event: BookedAppointment) -> Fields:
    return {
        "id": event.id,
        "calendarId": event.calendar_id,
        "locationId": event.location_id,
        "contactId": event.contact_id,
        "title": event.title,
    }


def _render_status(event: BookedAppointment, quirks: Quirks) -> Fields:
    right = {"appointmentStatus": event.appointment_status}
    misspelt = {"appoinmentStatus": event.appointment_status}
    return {
        **({} if quirks.misspelt_status == "only" else right),
        **({} if quirks.misspelt_status == "never" else misspelt),
    }


def _render_recurrence(event: BookedAppointment, quirks: Quirks) -> Fields:
    recurring = event.rrule is not None or event.master_event_id is not None
    fields: Fields = {"isRecurring": str(recurring).lower() if quirks.string_booleans else recurring}
    if event.rrule is not None:
        fields["rrule"] = event.rrule
    if event.master_event_id is not None:
        fields["masterEventId"] = event.master_event_id
    return fields


def _render_times(store: Store, event: BookedAppointment, quirks: Quirks) -> Fields:
    user = store.users.get(event.assigned_user_id)
    calendar = store.calendars.get(event.calendar_id)
    name = user.zone if user is not None and quirks.assignee_offset else calendar.zone if calendar else "UTC"
    return {"startTime": _render_time(event.start_time, name), "endTime": _render_time(event.end_time, name)}


def _render_time(instant: datetime, zone: str) -> str:
    return instant.astimezone(ZoneInfo(zone)).isoformat()
