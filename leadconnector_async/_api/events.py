"""List and delete events of any kind, and list blocked slots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Final

import msgspec
from msgspec import Raw, Struct

from .._validation.arguments import check_id, check_location, check_long_range, check_range, refuse
from ..models import Appointment
from . import appointments
from .appointments import read_created, read_deleted
from .body import LARGE
from .decode import Read, Reader, begins
from .errors import UNREADABLE
from .lists import MOST_ONE_BY_ONE, Envelope, check_count, list_entries, read_each, read_list, read_verdict
from .operations import EVENTS, Operation, deletes, reads
from .payloads import MisspeltStatus
from .request import Proof, Query, Request, encode_id

DELETE_EVENT: Final = deletes("delete_event", f"{EVENTS}/{{}}")
LIST_EVENTS: Final = reads("list_events", EVENTS)
LIST_BLOCKED_SLOTS: Final = reads("list_blocked_slots", "/calendars/blocked-slots")
LONGEST_LIST: Final = timedelta(days=31)
"""The longest range that is listed at once where one call may take several requests. No limit is documented, but a
list is not paged, and one of years can be too large [guess]."""
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_MISSPELT: Final = b'"appoinmentStatus"'
_ENVELOPES: Final = (b'"event"', b'"appointment"')
_BLOCK: Final = 200
"""Events that are decoded at once; larger blocks are slower, because of memory."""


class _Events(Struct, frozen=True):
    events: list[Appointment]


_decode_envelopes: Final = msgspec.json.Decoder(list[Envelope]).decode
_decode_events: Final = msgspec.json.Decoder(_Events, strict=False).decode
_decode_statuses: Final = msgspec.json.Decoder(list[MisspeltStatus]).decode


def read_events(body: bytes) -> Read[list[Appointment]]:
    """A list of events, decoded at once if all are valid, which is several times as fast."""
    if len(body) > LARGE:
        entries = list_entries(body, "events")
        read = _read_blocks(entries.value)
        return Read(read.value, entries.unread + read.unread)
    try:
        values = _decode_events(body).events
    except UNREADABLE:
        values = []
    if values and _MISSPELT not in body and all(value.id for value in values):
        return Read(values)
    return read_list(body, "events", read_created)


def _read_blocks(entries: list[Raw]) -> Read[list[Appointment]]:
    """Decode a large list of events block by block; only blocks that cannot be decoded are read entry by entry."""
    values: list[Appointment] = []
    unread: list[str] = []
    reader, odd, nameless = Reader(Appointment), 0, 0
    most = max(MOST_ONE_BY_ONE, len(entries) // 8)
    for start in range(0, len(entries), _BLOCK):
        block = entries[start : start + _BLOCK]
        read = _read_block(reader, block)
        if read is None:
            odd += len(block)
            check_count(odd, most, "odd entries")
            read = read_each(block, "events", read_created, start)
        nameless += [value.id for value in read.value].count(None)
        check_count(nameless, most, "events without an id")
        values += read.value
        unread += read.unread
    return Read(values, tuple(unread))


def _read_block(reader: Reader[Appointment], block: list[Raw]) -> Read[list[Appointment]] | None:
    """Decode a block at once; `None` if it must be read entry by entry."""
    try:
        content = _join(block)
        read = reader.read_list(content)
        if not all(value.id for value in read.value) and any(name in content for name in _ENVELOPES):
            envelopes = zip(block, _decode_envelopes(content), strict=True)
            content = _join([_find_inner(entry, envelope) for entry, envelope in envelopes])
            read = reader.read_list(content)
        return _correct_statuses(read, content) if _MISSPELT in content else read
    except UNREADABLE:
        return None


def _join(entries: list[Raw]) -> bytes:
    return b"".join((b"[", b",".join(entries), b"]"))


def _find_inner(entry: Raw, envelope: Envelope) -> Raw:
    return next((one for one in (envelope.event, envelope.appointment) if begins(one, b"{")), entry)


def _correct_statuses(read: Read[list[Appointment]], content: bytes) -> Read[list[Appointment]]:
    misspelt = _decode_statuses(content)
    values = [
        value
        if value.appointment_status
        else msgspec.structs.replace(value, appointment_status=other.appointment_status)
        for value, other in zip(read.value, misspelt, strict=True)
    ]
    return Read(values, read.unread)


_EMPTY: Final = b"{}"


def build_delete_event(event_id: str) -> Request[bool]:
    """Check the id. Only a read that shows it as deleted proves the deletion; an error does not."""
    path = DELETE_EVENT.path.format(encode_id(event_id))
    prove = partial(_prove_deletion, event_id)
    return Request(DELETE_EVENT, path, _EMPTY, read_verdict, None, prove, changed_id=event_id)


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
    """Check the range and the owner; also for blocked slots."""
    given = (
        ("userId", "user_id", user_id),
        ("calendarId", "calendar_id", calendar_id),
        ("groupId", "group_id", group_id),
    )
    chosen = {wire_name: check_id(name, value) for wire_name, name, value in given if value is not None}
    if len(chosen) != 1:
        hint = "give exactly one of user_id, calendar_id and group_id"
        raise refuse("user_id", chosen, "it does not identify whose events to list", hint)
    location_id = check_location(location_id)
    first, last = check_range(start, end)
    query: Query = {"locationId": location_id, "startTime": first, "endTime": last, **chosen}
    return Request(operation, operation.path, None, read_events, query)


def is_between(event: Appointment, start: datetime, end: datetime) -> bool:
    """Whether an event overlaps a range; one without an end is a moment, one without a start is not in any."""
    begins_at = event.start_time
    if begins_at is None:
        return False
    return begins_at < end and (event.end_time > start if event.end_time is not None else begins_at >= start)


def split_range(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Parts of a range that one request lists, in UTC. An event that overlaps two of them is in both."""
    check_long_range(start, end)
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    while start < end:
        until = end if end - start <= LONGEST_LIST else start + LONGEST_LIST
        yield start, until
        start = until


def merge_events(lists: Iterable[list[Appointment]]) -> list[Appointment]:
    """The events of all lists by start, each once by its id; of two, the one in the first list."""
    found: dict[str, Appointment] = {}
    nameless: list[Appointment] = []
    for event in chain.from_iterable(lists):
        if event.id:
            found.setdefault(event.id, event)
        else:
            nameless.append(event)
    return sorted([*found.values(), *nameless], key=lambda event: (event.start_time or _LAST, event.id or ""))


def _prove_deletion(event_id: str) -> Proof[bool]:
    path = appointments.GET_APPOINTMENT.path.format(encode_id(event_id))
    reading = Request(appointments.GET_APPOINTMENT, path, None, partial(read_deleted, event_id))
    return Proof(reading, lambda deleted, unread: deleted)
