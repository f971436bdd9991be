"""The routes of the API that the sandbox serves: which operation a request is for, and what it needs.

As in the real API, the first pattern that fits counts, and a right path under a wrong method is no route.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from .oauth import CALENDARS, READ, WRITE

_ID: Final = r"(?P<{}>[^/]+)"
_EVENT: Final = _ID.format("event_id")
_CALENDAR: Final = _ID.format("calendar_id")
_NOTES: Final = rf"/calendars/appointments/{_EVENT}/notes"
_TABLE: Final = (
    ("create_appointment", WRITE, "POST", "/calendars/events/appointments"),
    ("get_appointment", READ, "GET", rf"/calendars/events/appointments/{_EVENT}"),
    ("update_appointment", WRITE, "PUT", rf"/calendars/events/appointments/{_EVENT}"),
    ("create_block_slot", WRITE, "POST", "/calendars/events/block-slots"),
    ("update_block_slot", WRITE, "PUT", rf"/calendars/events/block-slots/{_EVENT}"),
    ("list_events", READ, "GET", "/calendars/events"),
    ("delete_event", WRITE, "DELETE", rf"/calendars/events/{_EVENT}"),
    ("list_blocked_slots", READ, "GET", "/calendars/blocked-slots"),
    ("list_notes", READ, "GET", _NOTES),
    ("create_note", WRITE, "POST", _NOTES),
    ("update_note", WRITE, "PUT", rf"{_NOTES}/{_ID.format('note_id')}"),
    ("delete_note", WRITE, "DELETE", rf"{_NOTES}/{_ID.format('note_id')}"),
    ("get_free_slots", CALENDARS, "GET", rf"/calendars/{_CALENDAR}/free-slots"),
    ("list_calendars", CALENDARS, "GET", "/calendars/?"),
    ("get_calendar", CALENDARS, "GET", rf"/calendars/{_CALENDAR}"),
)
_COMPILED: Final = tuple((name, scope, method, re.compile(pattern)) for name, scope, method, pattern in _TABLE)


class Route(Struct, frozen=True):
    """What a request is for."""

    operation: str
    """The vendor's name."""
    scope: str
    """The scope that its token needs."""
    ids: dict[str, str]
    """The ids in its path, by `event_id`, `calendar_id` and `note_id`."""


def find_route(method: str, path: str) -> Route | None:
    """The route of a percent-encoded path; `None` if there is none."""
    for operation, scope, its_method, pattern in _COMPILED:
        if its_method == method and (match := pattern.fullmatch(path)):
            return Route(operation, scope, {name: unquote(value) for name, value in match.groupdict().items()})
    return None
