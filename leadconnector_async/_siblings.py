"""The codec of the update's siblings: create, delete, lists, block slots, free slots, notes, calendars.

Rule: as in `_wire`: a function for each operation turns checked arguments into a request, whose `read`, one of
`_readers`, turns the bytes of a success into a value.

Pure. Must not import anything that awaits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final, Literal, TypeAlias, TypeVar, get_args

from . import _operations as operations
from ._arguments import (
    check_choice,
    check_flag,
    check_id,
    check_location,
    check_range,
    check_text,
    check_zone_name,
    refuse,
)
from ._checks import check_block_slot_create, check_block_slot_update, check_create
from ._operations import Operation
from ._readers import (
    FreeSlots,
    NotePage,
    read_block_slot,
    read_calendar,
    read_calendars,
    read_created,
    read_deleted,
    read_events,
    read_free_slots,
    read_note,
    read_notes,
    read_verdict,
)
from ._wire import Proof, Query, Request, encode_id, encode_payload
from ._wire_models import NoteText
from .models import (
    Appointment,
    AppointmentCreate,
    BlockSlot,
    BlockSlotCreate,
    BlockSlotUpdate,
    Calendar,
    Note,
)

T = TypeVar("T")
UserIdsForm: TypeAlias = Literal["repeated", "brackets", "commas"]
"""How a query lists several users: `userIds=a&userIds=b`, `userIds[]=a&userIds[]=b`, or `userIds=a,b`."""

LONGEST_FREE_SLOTS: Final = timedelta(days=31)
"""The longest range that the server answers free slots for [doc]."""
NOTES_ON_A_PAGE: Final = 20
"""The most notes that one answer holds [doc]."""
LONGEST_NOTE: Final = 5000
"""The most characters of a note [doc]."""
_EMPTY: Final = b"{}"


def build_create_appointment(
    appointment: AppointmentCreate, version: str, location_id: str | None = None
) -> Request[Appointment]:
    """Check and encode a new appointment. Raises `InvalidRequestError`."""
    body = encode_payload(check_create(appointment, version, location_id=location_id))
    return Request(operations.CREATE_APPOINTMENT, operations.CREATE_APPOINTMENT.path, body, read_created)


def build_delete_event(event_id: str) -> Request[bool]:
    """Check the id. That it is gone is proven by reading it as deleted; a refusal of the read proves nothing."""
    path = operations.DELETE_EVENT.path.format(encode_id(event_id))
    return Request(operations.DELETE_EVENT, path, _EMPTY, read_verdict, None, partial(_prove_deletion, event_id))


def build_list_events(
    operation: Operation,
    location_id: str | None,
    start: datetime,
    end: datetime,
    *,
    user_id: str | None,
    calendar_id: str | None,
    group_id: str | None,
) -> Request[list[Appointment]]:
    """Check the range and whose events are wanted; for the blocked slots as well."""
    given = (
        ("userId", "user_id", user_id),
        ("calendarId", "calendar_id", calendar_id),
        ("groupId", "group_id", group_id),
    )
    chosen = {wire_name: check_id(name, value) for wire_name, name, value in given if value is not None}
    if len(chosen) != 1:
        mend = "give exactly one of user_id, calendar_id and group_id"
        raise refuse("user_id", chosen, "it is not clear whose events are wanted", mend)
    location_id = check_location(location_id)
    first, last = check_range(start, end)
    query: Query = {"locationId": location_id, "startTime": first, "endTime": last, **chosen}
    return Request(operation, operation.path, None, read_events, query)


def build_create_block_slot(block_slot: BlockSlotCreate, location_id: str | None) -> Request[BlockSlot]:
    """Check and encode a new block slot."""
    operation = operations.CREATE_BLOCK_SLOT
    body = encode_payload(check_block_slot_create(block_slot, location_id))
    return Request(operation, operation.path, body, read_block_slot)


def build_update_block_slot(
    event_id: str, block_slot: BlockSlotUpdate, location_id: str | None
) -> Request[BlockSlot]:
    """Check and encode the change of a block slot."""
    operation = operations.UPDATE_BLOCK_SLOT
    body = encode_payload(check_block_slot_update(block_slot, location_id))
    return Request(operation, operation.path.format(encode_id(event_id)), body, read_block_slot, asked_id=event_id)


def build_get_free_slots(
    calendar_id: str,
    start: datetime,
    end: datetime,
    *,
    timezone: str | None,
    user_ids: Sequence[str],
    user_ids_form: UserIdsForm = "repeated",
    enable_look_busy: bool | None = None,
) -> Iterator[Request[FreeSlots]]:
    """Check the range, and split it into parts that the server answers."""
    check_range(start, end, ("start", "end"))
    timezone = None if timezone is None else check_text("timezone", timezone)
    operation = operations.GET_FREE_SLOTS
    path = operation.path.format(encode_id(calendar_id, "calendar_id"))
    options = _list_users(user_ids, user_ids_form) | _tell("enableLookBusy", "enable_look_busy", enable_look_busy)
    if timezone is not None:
        options["timezone"] = timezone
    start, end = _floor(start), _floor(end)
    while start < end:
        until = min(start + LONGEST_FREE_SLOTS, end)
        first, last = check_range(start, until)
        if timezone is not None:
            check_zone_name(timezone, start, until)
        yield Request(operation, path, None, read_free_slots, {"startDate": first, "endDate": last, **options})
        start = until


def join_free_slots(parts: list[FreeSlots]) -> FreeSlots:
    """Join the answers of consecutive ranges; a day that two of them share has each slot once."""
    if len(parts) == 1:
        return parts[0]
    joined: dict[date, dict[datetime, None]] = {}
    for part in parts:
        for day, slots in part.items():
            joined.setdefault(day, {}).update(dict.fromkeys(slots))
    return {day: tuple(slots) for day, slots in joined.items()}


def build_list_notes(event_id: str, offset: int) -> Request[NotePage]:
    """One page of the notes of an appointment."""
    path = operations.LIST_NOTES.path.format(encode_id(event_id))
    query: Query = {"limit": NOTES_ON_A_PAGE, "offset": offset}
    return Request(operations.LIST_NOTES, path, None, read_notes, query)


def build_create_note(event_id: str, body: str, user_id: str | None) -> Request[Note]:
    """Check and encode a new note."""
    path = operations.CREATE_NOTE.path.format(encode_id(event_id))
    return Request(operations.CREATE_NOTE, path, _encode_note(body, user_id), read_note)


def build_update_note(event_id: str, note_id: str, body: str, user_id: str | None) -> Request[Note]:
    """Check and encode the change of a note."""
    path = operations.UPDATE_NOTE.path.format(encode_id(event_id), encode_id(note_id, "note_id"))
    return Request(operations.UPDATE_NOTE, path, _encode_note(body, user_id), read_note, asked_id=note_id)


def build_delete_note(event_id: str, note_id: str) -> Request[bool]:
    """Check the ids."""
    path = operations.DELETE_NOTE.path.format(encode_id(event_id), encode_id(note_id, "note_id"))
    return Request(operations.DELETE_NOTE, path, None, read_verdict)


def build_get_calendar(calendar_id: str) -> Request[Calendar]:
    """Check the id."""
    path = operations.GET_CALENDAR.path.format(encode_id(calendar_id, "calendar_id"))
    return Request(operations.GET_CALENDAR, path, None, read_calendar, asked_id=calendar_id)


def build_list_calendars(
    location_id: str | None, *, group_id: str | None = None, show_drafted: bool | None = None
) -> Request[list[Calendar]]:
    """The calendars of a location, or of one of its groups."""
    operation = operations.LIST_CALENDARS
    query: Query = {"locationId": check_location(location_id)} | _tell("showDrafted", "show_drafted", show_drafted)
    if group_id is not None:
        query = {**query, "groupId": check_id("group_id", group_id)}
    return Request(operation, operation.path, None, read_calendars, query)


def _prove_deletion(event_id: str) -> Proof[bool]:
    path = operations.GET_APPOINTMENT.path.format(encode_id(event_id))
    reading = Request(operations.GET_APPOINTMENT, path, None, partial(read_deleted, event_id))
    return Proof(reading, lambda deleted, unread: deleted)


def _floor(moment: datetime) -> datetime:
    """To whole milliseconds, in UTC: a stretch of days on the clock can be an hour longer or shorter."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _list_users(user_ids: Sequence[str], form: UserIdsForm) -> dict[str, str | int | Sequence[str]]:
    """One user has a parameter of its own, whose form nobody doubts [doc]."""
    if isinstance(user_ids, str | bytes | bytearray) or not isinstance(user_ids, Sequence):
        raise refuse("user_ids", user_ids, "it is not a list of ids", "pass a list, even for one user: [user_id]")
    check_choice("user_ids_form", form, get_args(UserIdsForm))
    ids = [check_id("user_ids", user_id) for user_id in user_ids]
    match form if len(ids) > 1 else len(ids):
        case 0:
            return {}
        case 1:
            return {"userId": ids[0]}
        case "repeated":
            return {"userIds": ids}
        case "brackets":
            return {"userIds[]": ids}
        case _:
            return {"userIds": ",".join(ids)}


def _tell(wire_name: str, name: str, value: bool | None) -> dict[str, str | int | Sequence[str]]:
    """A truth value as a query has it; nothing if it is left out."""
    if value is None:
        return {}
    check_flag(name, value)
    return {wire_name: str(value).lower()}


def _encode_note(body: str, user_id: str | None) -> bytes:
    text = check_text("body", body, lines=True)
    if not text.strip():
        raise refuse("body", body, "it says nothing", "give the text of the note")
    if len(text) > LONGEST_NOTE:
        mend = f"shorten it to at most {LONGEST_NOTE}, or write several notes"
        raise refuse("body", body, f"the note has {len(text)} characters", mend)
    return encode_payload(NoteText(body=text, user_id=None if user_id is None else check_id("user_id", user_id)))
