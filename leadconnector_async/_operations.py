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


_APPOINTMENT: Final = "/calendars/events/appointments/{}"

UPDATE_APPOINTMENT: Final = Operation("update_appointment", "PUT", _APPOINTMENT, writes=True, repeatable=True)
GET_APPOINTMENT: Final = Operation("get_appointment", "GET", _APPOINTMENT, writes=False, repeatable=True)

OAUTH_TOKEN: Final = Operation("oauth_token", "POST", "/oauth/token", writes=True, repeatable=True)
"""Repeatable for about 30 seconds: so long the server takes a refresh token a second time."""
OAUTH_LOCATION_TOKEN: Final = Operation(
    "oauth_location_token", "POST", "/oauth/locationToken", writes=True, repeatable=True
)

OPERATIONS: Final = (UPDATE_APPOINTMENT, GET_APPOINTMENT)

_READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_REPEATABLE_METHODS: Final = _READING_METHODS | {"PUT", "DELETE"}


def build_operation(method: str, path: str, *, repeatable: bool | None) -> Operation:
    """Make a row for a path that the table does not know. By default HTTP's own rules say what is repeatable."""
    if repeatable is None:
        repeatable = method in _REPEATABLE_METHODS
    return Operation(f"{method} {path}", method, path, writes=method not in _READING_METHODS, repeatable=repeatable)
