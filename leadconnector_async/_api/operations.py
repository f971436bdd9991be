"""An operation of the API: its method, its path, and whether it can be repeated."""

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
    """It changes something, so a lost response leaves its outcome unknown."""
    repeatable: bool
    """It is idempotent: sending it twice leaves the calendar as sending it once does."""
    harmless: bool = False
    """Repeating it has no other effects either: nobody is notified."""
    version: str | None = None
    """Its own `Version` header; `None` for the client's."""


EVENTS: Final = "/calendars/events"


def reads(name: str, path: str, version: str | None = None) -> Operation:
    return Operation(name, "GET", path, writes=False, repeatable=True, version=version)


def creates(name: str, path: str) -> Operation:
    return Operation(name, "POST", path, writes=True, repeatable=False)


def updates(name: str, path: str, *, harmless: bool = False) -> Operation:
    return Operation(name, "PUT", path, writes=True, repeatable=True, harmless=harmless)


def deletes(name: str, path: str) -> Operation:
    return Operation(name, "DELETE", path, writes=True, repeatable=True)


_READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_REPEATABLE_METHODS: Final = _READING_METHODS | {"PUT", "DELETE"}


def build_operation(method: str, path: str, *, repeatable: bool | None) -> Operation:
    """Make a row for a path that the table does not know. By default HTTP's own rules say what is idempotent."""
    harmless = repeatable is True
    if repeatable is None:
        repeatable = method in _REPEATABLE_METHODS
    writes = method not in _READING_METHODS
    return Operation(f"{method} {path}", method, path, writes=writes, repeatable=repeatable, harmless=harmless)
