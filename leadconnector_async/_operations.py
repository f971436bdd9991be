"""The table of operations, as data: what each is called, where it goes, and what may be done with it.

Rule: no operation has code of its own anywhere else in the pipeline; what tells them apart stands here.

Pure. Must not import anything of the package.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Operation(Struct, frozen=True):
    """One row: an operation of the vendor's API."""

    name: str
    """The vendor's name, in snake_case."""
    method: str
    path: str
    """The path below the base address, with `{}` for each id."""
    writes: bool
    """It changes something, so a lost answer leaves its outcome unknown."""
    repeatable: bool
    """Sending it twice leaves the calendar as sending it once does."""
    harmless: bool = False
    """Sending it twice does no harm of any other kind either: nobody is told of it."""


_EVENTS: Final = "/calendars/events"
_APPOINTMENTS: Final = f"{_EVENTS}/appointments"
_BLOCK_SLOTS: Final = f"{_EVENTS}/block-slots"
_NOTES: Final = "/calendars/appointments/{}/notes"


def _read(name: str, path: str) -> Operation:
    return Operation(name, "GET", path, writes=False, repeatable=True)


def _create(name: str, path: str) -> Operation:
    return Operation(name, "POST", path, writes=True, repeatable=False)


def _update(name: str, path: str, *, harmless: bool = False) -> Operation:
    return Operation(name, "PUT", path, writes=True, repeatable=True, harmless=harmless)


def _delete(name: str, path: str) -> Operation:
    return Operation(name, "DELETE", path, writes=True, repeatable=True)


CREATE_APPOINTMENT: Final = _create("create_appointment", _APPOINTMENTS)
GET_APPOINTMENT: Final = _read("get_appointment", f"{_APPOINTMENTS}/{{}}")
UPDATE_APPOINTMENT: Final = _update("update_appointment", f"{_APPOINTMENTS}/{{}}")
DELETE_EVENT: Final = _delete("delete_event", f"{_EVENTS}/{{}}")
LIST_EVENTS: Final = _read("list_events", _EVENTS)
LIST_BLOCKED_SLOTS: Final = _read("list_blocked_slots", "/calendars/blocked-slots")
CREATE_BLOCK_SLOT: Final = _create("create_block_slot", _BLOCK_SLOTS)
UPDATE_BLOCK_SLOT: Final = _update("update_block_slot", f"{_BLOCK_SLOTS}/{{}}", harmless=True)
GET_FREE_SLOTS: Final = _read("get_free_slots", "/calendars/{}/free-slots")
LIST_NOTES: Final = _read("list_notes", _NOTES)
CREATE_NOTE: Final = _create("create_note", _NOTES)
UPDATE_NOTE: Final = _update("update_note", f"{_NOTES}/{{}}", harmless=True)
DELETE_NOTE: Final = _delete("delete_note", f"{_NOTES}/{{}}")
GET_CALENDAR: Final = _read("get_calendar", "/calendars/{}")
LIST_CALENDARS: Final = _read("list_calendars", "/calendars/")

OPERATIONS: Final = (
    CREATE_APPOINTMENT,
    GET_APPOINTMENT,
    UPDATE_APPOINTMENT,
    DELETE_EVENT,
    LIST_EVENTS,
    LIST_BLOCKED_SLOTS,
    CREATE_BLOCK_SLOT,
    UPDATE_BLOCK_SLOT,
    GET_FREE_SLOTS,
    LIST_NOTES,
    CREATE_NOTE,
    UPDATE_NOTE,
    DELETE_NOTE,
    GET_CALENDAR,
    LIST_CALENDARS,
)

OAUTH_TOKEN: Final = Operation("oauth_token", "POST", "/oauth/token", writes=True, repeatable=True)
"""Repeatable for about 30 seconds: so long the server takes a refresh token a second time."""
OAUTH_LOCATION_TOKEN: Final = Operation(
    "oauth_location_token", "POST", "/oauth/locationToken", writes=True, repeatable=True
)

_READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_REPEATABLE_METHODS: Final = _READING_METHODS | {"PUT", "DELETE"}


def build_operation(method: str, path: str, *, repeatable: bool | None) -> Operation:
    """Make a row for a path that the table does not know. By default HTTP's own rules say what is repeatable."""
    harmless = repeatable is True
    if repeatable is None:
        repeatable = method in _REPEATABLE_METHODS
    writes = method not in _READING_METHODS
    return Operation(f"{method} {path}", method, path, writes=writes, repeatable=repeatable, harmless=harmless)
