"""The answers of the update's siblings, read: lists, bookings, deletions, block and free slots, notes, calendars.

What a list holds is read one by one, so that one odd entry hides no other. What cannot be read is named in
`unread`, and is never shown as empty: a list that is not there, or a day that cannot be read, is not an empty one.

Pure. Must not import anything that awaits.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from operator import lt
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct

from ._body import LARGE
from ._errors import UNREADABLE
from ._lenient import Read, Reader, begins, read_moment
from ._wire import read_appointment
from ._wire_models import MisspeltStatus
from .models import Appointment, AwareDatetime, BlockSlot, Calendar, Note

T = TypeVar("T")
S = TypeVar("S", bound=Struct)
FreeSlots = dict[date, tuple[datetime, ...]]

_EMPTY: Final = b"{}"
_TRACE: Final = "traceId"
_DATES: Final = "_dates_"
_MISSPELT: Final = b'"appoinmentStatus"'
_ENVELOPES: Final = (b'"event"', b'"appointment"')
_BLOCK: Final = 200
"""Events that are read at once: with many more of them, memory is slower than reading is."""
_SMALLEST_ENTRY: Final = 100
"""Bytes for each entry of a large list at least; with fewer it is made to keep a reader busy."""
_MOST_ONE_BY_ONE: Final = 1000
"""Entries of a large list that are read one by one, which takes ten times as long; or an eighth of all."""
_MOST_OF_OTHERS: Final = 2000
"""Notes of a page, calendars of a location."""
_MOST_DAYS: Final = 1000
_MOST_SLOTS: Final = 100_000
"""Of all days together: 31 days are the most that can be asked for, and a day has 1,440 minutes."""
_MOST_UNREAD: Final = 1000
"""Odd entries of a list: with more of them it is not the list that was asked for."""


class NotePage(Struct, frozen=True):
    """One page of notes."""

    notes: list[Note]
    has_more: bool
    count: int = 0
    """Entries of the page, those that cannot be read included."""


class _More(Struct, frozen=True, rename="camel"):
    has_more: bool | None = None


class _Envelope(Struct, frozen=True):
    event: Raw = Raw()
    appointment: Raw = Raw()
    note: Raw = Raw()
    calendar: Raw = Raw()


class _Verdict(Struct, frozen=True):
    succeeded: object = UNSET
    success: object = UNSET


class _Events(Struct, frozen=True):
    events: list[Appointment]


class _Day(Struct, frozen=True):
    slots: list[AwareDatetime]


class _FullSlot(Struct, frozen=True, rename="camel"):
    start_time: AwareDatetime


class _OddDay(Struct, frozen=True):
    slots: Raw


class _Slot(Struct, frozen=True, rename="camel"):
    start_time: Raw


_decode_any: Final = msgspec.json.Decoder(object).decode
_decode_entries: Final = msgspec.json.Decoder(list[Raw]).decode
_decode_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_more: Final = msgspec.json.Decoder(_More, strict=False).decode
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_envelopes: Final = msgspec.json.Decoder(list[_Envelope]).decode
_decode_verdict: Final = msgspec.json.Decoder(_Verdict).decode
_decode_events: Final = msgspec.json.Decoder(_Events, strict=False).decode
_decode_day: Final = msgspec.json.Decoder(_Day).decode
_decode_odd_day: Final = msgspec.json.Decoder(_OddDay).decode
_decode_slot: Final = msgspec.json.Decoder(_Slot).decode
_decode_full_slots: Final = msgspec.json.Decoder(list[_FullSlot]).decode
_decode_misspelt: Final = msgspec.json.Decoder(list[MisspeltStatus]).decode
_decode_slots: Final = msgspec.json.Decoder(list[AwareDatetime]).decode
_decode_time: Final[Callable[[bytes | Raw], datetime]] = msgspec.json.Decoder(AwareDatetime).decode


def _build_inner_reader(struct_type: type[S]) -> Callable[[bytes | Raw], Read[S]]:
    """A reader of a value, alone or in its envelope."""
    reader: Reader[S] | None = None

    def read_inner(content: bytes | Raw) -> Read[S]:
        nonlocal reader
        reader = reader or Reader(struct_type)  # at its first use: importing the package does not pay for it
        content = content or _EMPTY
        envelope = _decode_envelope(content)
        inners = (envelope.event, envelope.appointment, envelope.note, envelope.calendar)
        return reader.read(next((one for one in inners if begins(one, b"{")), content))

    return read_inner


read_block_slot: Final = _build_inner_reader(BlockSlot)
read_note: Final = _build_inner_reader(Note)
read_calendar: Final = _build_inner_reader(Calendar)


def read_created(body: bytes | Raw) -> Read[Appointment]:
    """An appointment whose id only the answer knows."""
    read = read_appointment("", body)
    return Read(msgspec.structs.replace(read.value, id=read.value.id or None), read.unread)


def read_deleted(event_id: str, body: bytes) -> Read[bool]:
    """Whether an event is shown as deleted."""
    return Read(read_appointment(event_id, body).value.deleted is True)


def read_verdict(body: bytes) -> Read[bool]:
    """Whether a deletion succeeded: so it did, unless the answer says otherwise."""
    said = _decode_verdict(body or _EMPTY)
    verdict = said.success if said.succeeded is UNSET else said.succeeded
    return Read(verdict is UNSET or str(verdict).lower() == "true")


def read_events(body: bytes) -> Read[list[Appointment]]:
    """A list of events, all at once where nothing is odd: that is several times as fast."""
    if len(body) > LARGE:
        return _read_blocks(_list(body, "events"))
    try:
        values = _decode_events(body).events
    except UNREADABLE:
        values = []
    if values and _MISSPELT not in body and all(value.id for value in values):
        return Read(values)
    return _read_each(_list(body, "events"), "events", read_created)


def read_calendars(body: bytes) -> Read[list[Calendar]]:
    """A list of calendars."""
    return _read_each(_list(body, "calendars"), "calendars", read_calendar)


def read_notes(body: bytes) -> Read[NotePage]:
    """One page of notes."""
    entries = _list(body, "notes")
    read = _read_each(entries, "notes", read_note)
    return Read(NotePage(read.value, _reads_more(body), len(entries)), read.unread)


def read_free_slots(body: bytes) -> Read[FreeSlots]:
    """The slots of each day, every one once.

    Days stand in the object itself or under `_dates_`; each is a list, or an object with one under `slots`; a slot
    is a text, or an object with `startTime` [field]. A day of which nothing can be read is left out and named in
    `unread`. Raises `ValueError` where no day at all can be read though there is something to read.
    """
    fields = _decode_fields(body or _EMPTY)
    days = {**fields, **_decode_fields(fields[_DATES])} if _DATES in fields else fields
    _check_count(len(days), _MOST_DAYS, "days")
    count = 0
    slots: FreeSlots = {}
    unread: list[str] = []
    for name, value in days.items():
        if not name[:1].isdigit():
            continue
        try:
            day, read = date.fromisoformat(name[:10]), _read_day(name, value)
        except UNREADABLE:
            unread.append(name)
        else:
            count += len(read.value)
            _check_count(count, _MOST_SLOTS, "slots")
            slots[day] = _join_slots(slots.get(day, ()), read.value)
            unread += read.unread
        _check_unread(unread)
    if not slots and (unread or days.keys() - {_TRACE, _DATES}):
        raise ValueError(f"none of its days can be read ({', '.join(sorted(days)[:3])[:100]})")
    return Read(slots, tuple(unread))


def _join_slots(known: tuple[datetime, ...], found: list[datetime]) -> tuple[datetime, ...]:
    """Each slot once. Checking that they are in order is several times as fast as removing duplicates."""
    slots = (*known, *found)
    return slots if all(map(lt, slots, slots[1:])) else tuple(dict.fromkeys(slots))


def _read_day(name: str, value: Raw) -> Read[list[datetime]]:
    """Raises one of `UNREADABLE` where nothing of the day can be read."""
    if begins(value, b"n"):
        return Read([])
    bare = begins(value, b"[")
    try:
        return Read(_decode_slots(value) if bare else _decode_day(value).slots)
    except UNREADABLE:
        inner = value if bare else _decode_odd_day(value).slots
    entries = [] if begins(inner, b"n") else _decode_entries(inner)
    try:
        return Read([slot.start_time for slot in _decode_full_slots(inner)])
    except UNREADABLE:
        _check_count(len(entries), _MOST_ONE_BY_ONE, "slots of a day")
    read = _read_each(entries, name, _read_slot)
    if entries and not read.value:
        raise ValueError("none of its slots can be read")
    return read


def _read_slot(entry: Raw) -> Read[datetime]:
    moment = _decode_slot(entry).start_time if begins(entry, b"{") else entry
    try:
        return Read(_decode_time(moment))
    except UNREADABLE:
        return Read(read_moment(_decode_any(moment)))


def _reads_more(body: bytes) -> bool:
    try:
        return _decode_more(body).has_more is True
    except UNREADABLE:
        return False


def _read_blocks(entries: list[Raw]) -> Read[list[Appointment]]:
    """Read a large list of events: block by block, and only those blocks entry by entry that cannot be read so."""
    values: list[Appointment] = []
    unread: list[str] = []
    reader, odd, nameless = Reader(Appointment), 0, 0
    most = max(_MOST_ONE_BY_ONE, len(entries) // 8)
    for start in range(0, len(entries), _BLOCK):
        block = entries[start : start + _BLOCK]
        read = _read_block(reader, block)
        if read is None:
            odd += len(block)
            _check_count(odd, most, "odd entries")
            read = _read_each(block, "events", read_created, start)
        nameless += [value.id for value in read.value].count(None)
        _check_count(nameless, most, "events without an id")
        values += read.value
        unread += read.unread
    return Read(values, tuple(unread))


def _read_block(reader: Reader[Appointment], block: list[Raw]) -> Read[list[Appointment]] | None:
    """Read some events at once; `None` if they must be read one by one."""
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


def _find_inner(entry: Raw, envelope: _Envelope) -> Raw:
    return next((one for one in (envelope.event, envelope.appointment) if begins(one, b"{")), entry)


def _correct_statuses(read: Read[list[Appointment]], content: bytes) -> Read[list[Appointment]]:
    misspelt = _decode_misspelt(content)
    values = [
        value
        if value.appointment_status
        else msgspec.structs.replace(value, appointment_status=other.appointment_status)
        for value, other in zip(read.value, misspelt, strict=True)
    ]
    return Read(values, read.unread)


def _check_count(count: int, most: int, what: str) -> None:
    if count > most:
        raise ValueError(f"it holds more than {most:,} {what}")


def _read_each(entries: list[Raw], name: str, read: Callable[[Raw], Read[T]], first: int = 0) -> Read[list[T]]:
    """Read a list entry by entry; one that cannot be read is named, by its place, and hides no other."""
    values: list[T] = []
    unread: list[str] = []
    for place, entry in enumerate(entries, first):
        try:
            one = read(entry)
        except UNREADABLE:
            unread.append(f"{name}[{place}]")
            _check_unread(unread)
        else:
            values.append(one.value)
            unread += one.unread
    return Read(values, tuple(unread))


def _check_unread(unread: list[str]) -> None:
    if len(unread) > _MOST_UNREAD:
        raise ValueError(f"more than {_MOST_UNREAD} of its entries cannot be read")


def _list(body: bytes, name: str) -> list[Raw]:
    """The entries of a list, in its envelope or alone."""
    if body[:1] == b"[" or body.lstrip()[:1] == b"[":
        inner: bytes | Raw = body
    else:
        fields = _decode_fields(body or _EMPTY)
        if name not in fields and fields.keys() - {_TRACE}:
            raise ValueError(f"it has no {name!r}")
        inner = fields.get(name, Raw(b"null"))
    entries = [] if begins(inner, b"n") else _decode_entries(inner)
    if len(body) > LARGE:
        _check_count(len(entries), len(body) // _SMALLEST_ENTRY, "entries, too many for its size")
        if name != "events":
            _check_count(len(entries), _MOST_OF_OTHERS, name)
    return entries
