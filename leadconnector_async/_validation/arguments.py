"""Arguments of calls: ids, texts, times and ranges. Errors name field, value, reason and hint."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeAlias, cast
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from .._secret import Masked
from ..exceptions import InvalidRequestError, explain
from .moments import BadMoment, check_moment, check_name
from .settings import find_text_fault, to_text
from .text import show

Parameter: TypeAlias = str | int | Sequence[str]
"""A query parameter; a list repeats its key."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NOTHING_SENT: Final = " Nothing was sent."
_LONGEST_ID: Final = 1000
_LONGEST_KEY: Final = 200
_BAD_IN_PATH: Final = partial(re.compile, r"[\s?#]|%(?![0-9A-Fa-f]{2})")
"""Invalid in a path: whitespace, a query, and a percent sign that does not begin an escape."""
_BAD_IN_DECODED_PATH: Final = partial(re.compile, r"[\x00-\x1f\x7f-\x9f\\]|^//|(?:^|/)\s*\.{1,2}\s*(?:[/;]|\Z)")
"""Invalid in a path that a proxy may decode: whatever can lead to another path, above all dot segments."""
_MOST_DECODED: Final = 5
_LONGEST_PATH: Final = 8000
_LARGEST_NUMBER: Final = 10**18
_LONGEST_RANGE: Final = timedelta(days=3660)
"""Ten years: 119 requests for each calendar."""


def refuse(field: str, value: object, reason: str, hint: str, ending: str = NOTHING_SENT) -> InvalidRequestError:
    """Build the error that names field, value, reason and hint."""
    found = describe(value, reason)
    text = f"{field}{': ' if found == reason else ' = '}{explain(found, hint)}.{ending}"
    return InvalidRequestError(text, field=field, value=value, reason=reason, hint=hint)


def describe(value: object, reason: str) -> str:
    """What is wrong with which value. A payload is not shown: it may hold personal data. Nor is a masked value."""
    return reason if isinstance(value, Struct | Masked) else f"{show(value)}: {reason}"


def check_range(
    start: datetime, end: datetime, names: tuple[str, str] = ("start_time", "end_time")
) -> tuple[int, int]:
    """Convert a range of aware times to epoch milliseconds. Raises `InvalidRequestError`."""
    first, last = check_instant(names[0], start), check_instant(names[1], end)
    counts = _count_milliseconds(names[0], first), _count_milliseconds(names[1], last)
    if counts[1] <= counts[0]:
        raise refuse(names[1], end, f"it is not after {names[0]} ({first})", "choose a later time")
    return counts


def check_long_range(start: datetime, end: datetime) -> None:
    """Check a range that is listed in parts. Raises `InvalidRequestError`, also if there would be too many."""
    check_range(start, end, ("start", "end"))
    if end - start > _LONGEST_RANGE:
        reason = f"it is {(end - start).days:,} days after start, which would take too many requests"
        raise refuse("end", end, reason, f"list at most {_LONGEST_RANGE.days:,} days at once")


def check_instant(field: str, value: object, ending: str = NOTHING_SENT) -> datetime:
    """An aware time as a plain `datetime`. Raises `InvalidRequestError`."""
    if not isinstance(value, datetime):
        raise refuse(
            field, value, f"it is a {type(value).__name__}, not an aware datetime", "pass one with a zone", ending
        )
    try:
        return check_moment(value)
    except BadMoment as bad:
        raise refuse(field, value, bad.reason, bad.hint, ending) from None


def check_zone_name(name: str, *moments: datetime) -> None:
    """Refuse a zone that is usually not what is meant at these times. Raises `InvalidRequestError`."""
    for moment in moments:
        try:
            check_name(name, moment)
        except BadMoment as bad:
            raise refuse("timezone", name, bad.reason, bad.hint) from None


def check_id(field: str, value: object) -> str:
    """An id as a plain `str`. Raises `InvalidRequestError`."""
    text = to_text(value)
    hint = "pass the id as the API shows it"
    if text is None or not text.strip():
        raise refuse(field, value, "it is not a valid id", hint)
    if fault := find_text_fault(text):
        raise refuse(field, value, fault, hint)
    if len(text) > _LONGEST_ID:
        raise refuse(field, value, f"it has {len(text)} characters, more than any valid id", hint)
    return text


def check_ids(field: str, value: object) -> list[str]:
    """A list of ids. Raises `InvalidRequestError`."""
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Sequence):
        raise refuse(field, value, "it is not a list of ids", "pass a list, even for a single one")
    return [check_id(field, one) for one in cast("Sequence[object]", value)]


def check_once(once: object) -> str:
    """A key of the caller's for a creation. Raises `InvalidRequestError`."""
    text = check_text("once", once)
    if not text.strip() or len(text) > _LONGEST_KEY:
        hint = f"pass 1 to {_LONGEST_KEY} characters that name what is booked, such as the number of an order"
        raise refuse("once", once, "it is not a valid key", hint)
    return text


def check_location(location_id: str | None) -> str:
    """The location of a call. Raises `InvalidRequestError` if neither the call nor the client has one."""
    if location_id is None:
        hint = "create the client with location_id=…, or pass it to the call"
        raise refuse("location_id", location_id, "the client has no location_id", hint)
    return check_id("location_id", location_id)


def check_text(field: str, value: object, *, lines: bool = False) -> str:
    """A text as a plain `str`. Raises `InvalidRequestError` for one that cannot be sent."""
    text = to_text(value)
    if text is None:
        raise refuse(field, value, f"it is a {type(value).__name__}, not a string", "pass a string")
    if fault := find_text_fault(text, lines=lines):
        raise refuse(field, value, fault, "remove it")
    return text


def check_choice(field: str, value: object, choices: Collection[str]) -> str:
    """One of the choices. Raises `InvalidRequestError`."""
    text = to_text(value)
    if text is None or text not in choices:
        raise refuse(field, value, "it is not an accepted value", f"use {' or '.join(map(repr, choices))}")
    return text


def check_flag(field: str, value: object) -> None:
    """`True` or `False`. Raises `InvalidRequestError`."""
    if not isinstance(value, bool):
        raise refuse(field, value, "it is neither True nor False", "pass one of them")


def check_method(method: object) -> str:
    """An HTTP method, in upper case. Raises `InvalidRequestError`."""
    text = to_text(method)
    if text is None or not re.fullmatch(r"[A-Za-z]{1,20}", text):
        raise refuse("method", method, "it is not a valid HTTP method", "use GET, POST, PUT, PATCH or DELETE")
    return text.upper()


def check_path(path: object) -> str:
    """An absolute path that stays the same, however often it is decoded. Raises `InvalidRequestError`."""
    text = to_text(path)
    if text is None or not text.startswith("/") or _is_bad_path(text):
        hint = "pass a path such as '/calendars/groups', and parameters as query={…}"
        raise refuse("path", path, "it is not a plain absolute path", hint)
    return text


def _is_bad_path(path: str) -> bool:
    """Whether a path can become another one if it is decoded on the way, even repeatedly: `%2e%2e` is `..`."""
    if len(path) > _LONGEST_PATH or "//" in path or _BAD_IN_PATH().search(path):
        return True
    for _ in range(_MOST_DECODED):
        if _BAD_IN_DECODED_PATH().search(path):
            return True
        try:
            decoded = unquote_to_bytes(path).decode()
        except ValueError:  # not UTF-8, or a lone surrogate
            return True
        if decoded == path:
            return False
        path = decoded
    return True


def check_query(query: object) -> dict[str, Parameter] | None:
    """Query parameters as plain strings and numbers. Raises `InvalidRequestError`."""
    if query is None:
        return None
    if not isinstance(query, Mapping):
        raise refuse("query", query, f"it is a {type(query).__name__}", "pass a dict of parameters")
    pairs = cast("Mapping[object, object]", query).items()
    return {check_text("query", name): _check_parameter(f"query[{show(name)}]", value) for name, value in pairs}


def _check_parameter(field: str, value: object) -> Parameter:
    if isinstance(value, list | tuple):
        return [str(_check_single(field, one)) for one in cast("Sequence[object]", value)]
    return _check_single(field, value)


def _check_single(field: str, value: object) -> str | int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_NUMBER:
        return int(value)
    if to_text(value) is None:
        hint = "pass a string, or a list of strings"
        raise refuse(field, value, "it is neither a string nor an integer", hint)
    return check_text(field, value, lines=True)


def _count_milliseconds(field: str, moment: datetime) -> int:
    try:
        return (moment.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
    except OverflowError:
        raise refuse(field, moment, "in UTC it is outside the years 1 to 9999", "choose another time") from None
