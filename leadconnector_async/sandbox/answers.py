"""Answers as the real server writes them.

Rule: names, order and shapes are the server's [doc, field]; what is odd about them is a quirk with a switch.

Pure. Knows the book and the quirks.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from .book import Book, BookedAppointment, BookedNote, Calendar
from .quirks import Quirks

Fields: TypeAlias = dict[str, object]
encode: Final = msgspec.json.Encoder().encode


def render_update(book: Book, event: BookedAppointment, quirks: Quirks, trace_id: str) -> bytes:
    """The flat answer of an update."""
    if quirks.empty_answer:
        return b"{}"
    fields = _render_head(event)
    fields |= _render_times(book, event, quirks) | _render_status(event, quirks)
    fields |= {"assignedUserId": event.assigned_user_id, "address": event.address}
    fields |= _render_recurrence(event, quirks)
    return encode(fields | {"traceId": trace_id})


def render_event(book: Book, event: BookedAppointment, quirks: Quirks, trace_id: str) -> bytes:
    """The enveloped answer of a get."""
    return encode({"event": render_fields(book, event, quirks), "traceId": trace_id})


def render_fields(book: Book, event: BookedAppointment, quirks: Quirks) -> Fields:
    """An event as get and lists show it."""
    fields = _render_head(event) | {"groupId": ""} | _render_status(event, quirks)
    fields |= {"assignedUserId": event.assigned_user_id, "users": [], "notes": ""}
    fields |= {"address": event.address, "description": event.description}
    fields |= _render_recurrence(event, quirks)
    fields |= {"createdBy": {"userId": None, "source": "booking_widget"}}
    fields |= _render_times(book, event, quirks)
    fields |= {"dateAdded": "2027-03-01T16:04:11.201Z", "dateUpdated": "2027-03-02T08:30:02.884Z"}
    if event.deleted:
        fields["deleted"] = True
    return fields


def render_block_slot(book: Book, block: BookedAppointment, quirks: Quirks) -> bytes:
    """The flat answer of a block slot."""
    fields = {name: value for name, value in _render_head(block).items() if name != "contactId"}
    owner: Fields = {"assignedUserId": block.assigned_user_id} if block.assigned_user_id else {}
    return encode(fields | owner | _render_times(book, block, quirks))


def render_note(note: BookedNote) -> Fields:
    """A note as lists show it."""
    return {
        "id": note.id,
        "body": note.body,
        "userId": note.user_id,
        "contactId": note.contact_id,
        "dateAdded": "2027-03-03T09:12:44.120Z",
    }


def render_calendar(calendar: Calendar) -> Fields:
    """A calendar with its team; everybody meets in the first of the places."""
    places = [{"kind": "custom", "location": "Front desk", "meetingId": "custom_0"}]
    team = [
        {"userId": user, "priority": 0.5, "isPrimary": not number, "locationConfigurations": places}
        for number, user in enumerate(calendar.team)
    ]
    return {
        "id": calendar.id,
        "locationId": calendar.location_id,
        "name": calendar.name,
        "calendarType": "round_robin",
        "isActive": True,
        "slotDuration": calendar.slot_minutes,
        "slotDurationUnit": "mins",
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


def _render_times(book: Book, event: BookedAppointment, quirks: Quirks) -> Fields:
    user = book.users.get(event.assigned_user_id)
    calendar = book.calendars.get(event.calendar_id)
    name = user.zone if user is not None and quirks.assignee_offset else calendar.zone if calendar else "UTC"
    return {"startTime": _render_time(event.start_time, name), "endTime": _render_time(event.end_time, name)}


def _render_time(instant: datetime, zone: str) -> str:
    return instant.astimezone(ZoneInfo(zone)).isoformat()
