"""Create appointments, block slots and notes; and list the calendar where they would be shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from ..models import Appointment, AppointmentCreate, BlockSlot, BlockSlotCreate, Note
from .appointments import CREATE_APPOINTMENT, read_created
from .block_slots import CREATE_BLOCK_SLOT, read_block_slot
from .created import Candidate, compare_appointment, compare_block_slot, compare_note
from .decode import Read
from .events import LIST_BLOCKED_SLOTS, LIST_EVENTS, build_list_events, read_events
from .lists import list_lost
from .notes import CREATE_NOTE, build_list_notes, check_note, read_note, read_notes
from .operations import Operation
from .payloads import NoteText, WireBlockSlot, WireCreate
from .request import Page, Request, Search, encode_id, encode_payload
from .validate import check_block_slot_create, check_create

T = TypeVar("T")

_MARGIN: Final = timedelta(minutes=1)
"""Listed on both sides of the times that were sent: whether a range includes its limits is not known."""
_LONGEST: Final = timedelta(days=1)
"""How long an appointment can be whose duration is the calendar's."""


def build_create_appointment(
    appointment: AppointmentCreate, version: str, location_id: str | None = None
) -> Request[Appointment]:
    """Check and encode a new appointment. Raises `InvalidRequestError`."""
    wire = check_create(appointment, version, location_id=location_id)
    operation = CREATE_APPOINTMENT
    key = (operation.name, wire.calendar_id, wire.contact_id, _to_utc(wire.start_time))
    search = Search(key, partial(_list_appointments, wire))
    return Request(operation, operation.path, encode_payload(wire), read_created, search=search)


def build_create_block_slot(block_slot: BlockSlotCreate, location_id: str | None) -> Request[BlockSlot]:
    """Check and encode a new block slot. Raises `InvalidRequestError`."""
    wire = check_block_slot_create(block_slot, location_id)
    operation = CREATE_BLOCK_SLOT
    key = (operation.name, str(wire.calendar_id), str(wire.assigned_user_id), _to_utc(str(wire.start_time)))
    search = Search(key, partial(_list_block_slots, wire))
    return Request(operation, operation.path, encode_payload(wire), read_block_slot, search=search)


def build_create_note(event_id: str, body: str, user_id: str | None) -> Request[Note]:
    """Check and encode a new note. Raises `InvalidRequestError`."""
    operation, note = CREATE_NOTE, check_note(body, user_id)
    path = operation.path.format(encode_id(event_id))
    search = Search((operation.name, event_id, note.body.strip()), partial(_list_notes, event_id, note))
    return Request(operation, path, encode_payload(note), read_note, search=search)


def _list_appointments(sent: WireCreate, offset: int) -> Request[Page[Appointment]]:
    start = datetime.fromisoformat(sent.start_time)
    end = datetime.fromisoformat(sent.end_time) if isinstance(sent.end_time, str) else start + _LONGEST
    return _list_around(
        LIST_EVENTS,
        str(sent.location_id),
        (start, end),
        calendar_id=sent.calendar_id,
        user_id=None,
        read=partial(_read_appointments, sent),
    )


def _list_block_slots(sent: WireBlockSlot, offset: int) -> Request[Page[BlockSlot]]:
    return _list_around(
        LIST_BLOCKED_SLOTS,
        str(sent.location_id),
        (datetime.fromisoformat(str(sent.start_time)), datetime.fromisoformat(str(sent.end_time))),
        calendar_id=sent.calendar_id or None,
        user_id=sent.assigned_user_id or None,
        read=partial(_read_block_slots, sent),
    )


def _list_around(
    operation: Operation,
    location_id: str,
    times: tuple[datetime, datetime],
    *,
    calendar_id: str | None,
    user_id: str | None,
    read: Callable[[bytes], Read[Page[T]]],
) -> Request[Page[T]]:
    start, end = (one.astimezone(UTC) for one in times)
    listing = build_list_events(
        operation,
        location_id,
        start - _MARGIN,
        end + _MARGIN,
        user_id=user_id,
        calendar_id=calendar_id,
        group_id=None,
    )
    return Request(operation, listing.path, None, read, listing.query)


def _read_appointments(sent: WireCreate, body: bytes) -> Read[Page[Appointment]]:
    listed = read_events(body)
    candidates = tuple(
        Candidate(one.id, one.date_added, compare_appointment(sent, one), one) for one in listed.value
    )
    return Read(Page(candidates, complete=not list_lost("events", listed.unread)))


def _read_block_slots(sent: WireBlockSlot, body: bytes) -> Read[Page[BlockSlot]]:
    listed = read_events(body)
    candidates = tuple(
        Candidate(one.id, one.date_added, compare_block_slot(sent, one), _to_block_slot(one))
        for one in listed.value
    )
    return Read(Page(candidates, complete=not list_lost("events", listed.unread)))


def _list_notes(event_id: str, sent: NoteText, offset: int) -> Request[Page[Note]]:
    listing = build_list_notes(event_id, offset)
    return Request(listing.operation, listing.path, None, partial(_read_notes, sent, offset), listing.query)


def _read_notes(sent: NoteText, offset: int, body: bytes) -> Read[Page[Note]]:
    listed = read_notes(body)
    page = listed.value
    candidates = tuple(Candidate(one.id, one.date_added, compare_note(sent, one), one) for one in page.notes)
    following = offset + page.count if page.has_more and page.count else None
    return Read(Page(candidates, following, complete=not list_lost("notes", listed.unread)))


def _to_block_slot(shown: Appointment) -> BlockSlot:
    return BlockSlot(
        id=shown.id,
        location_id=shown.location_id,
        title=shown.title,
        calendar_id=shown.calendar_id or None,
        assigned_user_id=shown.assigned_user_id or None,
        start_time=shown.start_time,
        end_time=shown.end_time,
    )


def _to_utc(time: str) -> str:
    """The same text for the same instant, whatever its offset."""
    return datetime.fromisoformat(time).astimezone(UTC).isoformat()
