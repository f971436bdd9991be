"""A calendar's free slots, day by day."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from operator import lt
from typing import Final, get_args

import msgspec
from msgspec import Raw, Struct

from .._calendar import FreeSlots, UserIdsForm
from .._validation.arguments import (
    check_choice,
    check_ids,
    check_long_range,
    check_range,
    check_text,
    check_zone_name,
)
from ..models import AwareDatetime
from .decode import Read, begins, read_moment
from .errors import UNREADABLE
from .lists import (
    EMPTY,
    MOST_ONE_BY_ONE,
    TRACE,
    check_count,
    check_unread,
    decode_entries,
    decode_fields,
    read_each,
)
from .operations import reads
from .request import Request, encode_flag, encode_id

GET_FREE_SLOTS: Final = reads("get_free_slots", "/calendars/{}/free-slots")
_DATES: Final = "_dates_"
_MOST_DAYS: Final = 1000
_MOST_SLOTS: Final = 100_000
"""Of all days together: a request covers at most 31 days of 1,440 minutes."""


class _Day(Struct, frozen=True):
    slots: list[AwareDatetime]


class _FullSlot(Struct, frozen=True, rename="camel"):
    start_time: AwareDatetime


class _OddDay(Struct, frozen=True):
    slots: Raw


class _Slot(Struct, frozen=True, rename="camel"):
    start_time: Raw


_decode_any: Final = msgspec.json.Decoder(object).decode
_decode_day: Final = msgspec.json.Decoder(_Day).decode
_decode_odd_day: Final = msgspec.json.Decoder(_OddDay).decode
_decode_slot: Final = msgspec.json.Decoder(_Slot).decode
_decode_full_slots: Final = msgspec.json.Decoder(list[_FullSlot]).decode
_decode_slots: Final = msgspec.json.Decoder(list[AwareDatetime]).decode
_decode_time: Final[Callable[[bytes | Raw], datetime]] = msgspec.json.Decoder(AwareDatetime).decode


def read_free_slots(body: bytes) -> Read[FreeSlots]:
    """The slots of each day, without duplicates.

    Days are keys of the object itself or of `_dates_`; each is a list, or an object with a list under `slots`; a
    slot is a string, or an object with `startTime` [field]. A day that cannot be read is omitted and named in
    `unread`. Raises `ValueError` if there are days and none can be read.
    """
    fields = decode_fields(body or EMPTY)
    days = {**fields, **decode_fields(fields[_DATES])} if _DATES in fields else fields
    check_count(len(days), _MOST_DAYS, "days")
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
            check_count(count, _MOST_SLOTS, "slots")
            slots[day] = _join_slots(slots.get(day, ()), read.value)
            unread += read.unread
        check_unread(unread)
    if not slots and (unread or days.keys() - {TRACE, _DATES}):
        raise ValueError(f"none of its days can be read ({', '.join(sorted(days)[:3])[:100]})")
    return Read(slots, tuple(unread))


def _join_slots(known: tuple[datetime, ...], found: list[datetime]) -> tuple[datetime, ...]:
    """Without duplicates. Checking the order first is several times as fast as removing duplicates."""
    slots = (*known, *found)
    return slots if all(map(lt, slots, slots[1:])) else tuple(dict.fromkeys(slots))


def _read_day(name: str, value: Raw) -> Read[list[datetime]]:
    """Raises one of `UNREADABLE` if nothing of the day can be read."""
    if begins(value, b"n"):
        return Read([])
    bare = begins(value, b"[")
    try:
        return Read(_decode_slots(value) if bare else _decode_day(value).slots)
    except UNREADABLE:
        inner = value if bare else _decode_odd_day(value).slots
    entries = [] if begins(inner, b"n") else decode_entries(inner)
    try:
        return Read([slot.start_time for slot in _decode_full_slots(inner)])
    except UNREADABLE:
        check_count(len(entries), MOST_ONE_BY_ONE, "slots of a day")
    read = read_each(entries, name, _read_slot)
    if entries and not read.value:
        raise ValueError("none of its slots can be read")
    return read


def _read_slot(entry: Raw) -> Read[datetime]:
    moment = _decode_slot(entry).start_time if begins(entry, b"{") else entry
    try:
        return Read(_decode_time(moment))
    except UNREADABLE:
        return Read(read_moment(_decode_any(moment)))


LONGEST_FREE_SLOTS: Final = timedelta(days=31)
"""The longest range that one request can cover [doc]."""


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
    """Check the range, and split it into parts that one request can cover."""
    check_long_range(start, end)
    timezone = None if timezone is None else check_text("timezone", timezone)
    operation = GET_FREE_SLOTS
    path = operation.path.format(encode_id(calendar_id, "calendar_id"))
    options = _list_users(user_ids, user_ids_form) | encode_flag(
        "enableLookBusy", "enable_look_busy", enable_look_busy
    )
    if timezone is not None:
        options["timezone"] = timezone
    start, end = _floor(start), _floor(end)
    while start < end:
        until = end if end - start <= LONGEST_FREE_SLOTS else start + LONGEST_FREE_SLOTS
        first, last = check_range(start, until)
        if timezone is not None:
            check_zone_name(timezone, start, until)
        yield Request(operation, path, None, read_free_slots, {"startDate": first, "endDate": last, **options})
        start = until


def join_free_slots(parts: list[FreeSlots]) -> FreeSlots:
    """Join the slots of consecutive ranges; a day that two of them share has each slot once."""
    if len(parts) == 1:
        return parts[0]
    joined: dict[date, dict[datetime, None]] = {}
    for part in parts:
        for day, slots in part.items():
            joined.setdefault(day, {}).update(dict.fromkeys(slots))
    return {day: tuple(slots) for day, slots in joined.items()}


def _floor(moment: datetime) -> datetime:
    """In UTC and whole milliseconds: in wall-clock time, a number of days can be an hour longer or shorter."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _list_users(user_ids: Sequence[str], form: UserIdsForm) -> dict[str, str | int | Sequence[str]]:
    """A single user has a parameter of its own, whose form is documented [doc]."""
    check_choice("user_ids_form", form, get_args(UserIdsForm))
    ids = check_ids("user_ids", user_ids)
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
