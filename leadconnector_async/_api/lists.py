"""Lists in responses, decoded entry by entry: an invalid entry does not hide the others.

An entry that cannot be decoded is named in `unread`, and so is a list that is missing. A body that has other fields
in its place is an error, never an empty list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct

from .body import LARGE
from .decode import Read, Reader, begins
from .errors import UNREADABLE

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

EMPTY: Final = b"{}"
TRACE: Final = "traceId"
_SMALLEST_ENTRY: Final = 100
"""Fewest bytes per entry of a large list; one with fewer is crafted to exhaust the parser."""
MOST_ONE_BY_ONE: Final = 1000
"""Most entries of a large list that are decoded one by one, which takes ten times as long; or an eighth of all."""
_MOST_OF_OTHERS: Final = 2000
"""Notes of a page, calendars of a location."""
_MOST_UNREAD: Final = 1000
"""Most invalid entries of a list; one with more is not the list that was requested."""


class Envelope(Struct, frozen=True):
    event: Raw = Raw()
    appointment: Raw = Raw()
    note: Raw = Raw()
    calendar: Raw = Raw()


class _Verdict(Struct, frozen=True):
    succeeded: object = UNSET
    success: object = UNSET


decode_entries: Final = msgspec.json.Decoder(list[Raw]).decode
decode_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_envelope: Final = msgspec.json.Decoder(Envelope).decode
_decode_verdict: Final = msgspec.json.Decoder(_Verdict).decode


def build_inner_reader(struct_type: type[S]) -> Callable[[bytes | Raw], Read[S]]:
    """A reader of a value, with or without its envelope."""
    reader: Reader[S] | None = None

    def read_inner(content: bytes | Raw) -> Read[S]:
        nonlocal reader
        reader = reader or Reader(struct_type)  # at its first use, to keep the import fast
        content = content or EMPTY
        envelope = _decode_envelope(content)
        inners = (envelope.event, envelope.appointment, envelope.note, envelope.calendar)
        return reader.read(next((one for one in inners if begins(one, b"{")), content))

    return read_inner


def read_verdict(body: bytes) -> Read[bool]:
    """Whether a deletion succeeded: true unless the response says otherwise."""
    said = _decode_verdict(body or EMPTY)
    verdict = said.success if said.succeeded is UNSET else said.succeeded
    return Read(verdict is UNSET or str(verdict).lower() == "true")


def check_count(count: int, most: int, what: str) -> None:
    if count > most:
        raise ValueError(f"it contains more than {most:,} {what}")


def read_each(entries: list[Raw], name: str, read: Callable[[Raw], Read[T]], first: int = 0) -> Read[list[T]]:
    """Decode a list entry by entry; one that cannot be decoded is named by its index."""
    values: list[T] = []
    unread: list[str] = []
    for place, entry in enumerate(entries, first):
        try:
            one = read(entry)
        except UNREADABLE:
            unread.append(f"{name}[{place}]")
            check_unread(unread)
        else:
            values.append(one.value)
            unread += one.unread
    return Read(values, tuple(unread))


def check_unread(unread: list[str]) -> None:
    if len(unread) > _MOST_UNREAD:
        raise ValueError(f"more than {_MOST_UNREAD} of its entries cannot be read")


def read_list(body: bytes, name: str, read: Callable[[Raw], Read[T]]) -> Read[list[T]]:
    """Decode a list entry by entry, with or without its envelope."""
    entries = list_entries(body, name)
    values = read_each(entries.value, name, read)
    return Read(values.value, entries.unread + values.unread)


def list_entries(body: bytes, name: str) -> Read[list[Raw]]:
    """The entries of a list, with or without its envelope; a list that is missing, as in `{}`, is in `unread`."""
    missing: tuple[str, ...] = ()
    if body[:1] == b"[" or body.lstrip()[:1] == b"[":
        inner: bytes | Raw = body
    else:
        fields = decode_fields(body or EMPTY)
        if name not in fields and fields.keys() - {TRACE}:
            raise ValueError(f"it has no {name!r}")
        missing = () if name in fields else (name,)
        inner = fields.get(name, Raw(b"null"))
    entries = [] if begins(inner, b"n") else decode_entries(inner)
    if len(body) > LARGE:
        check_count(len(entries), len(body) // _SMALLEST_ENTRY, "entries, too many for its size")
        if name != "events":
            check_count(len(entries), _MOST_OF_OTHERS, name)
    return Read(entries, missing)


def is_repeated(ids: Iterable[str | None], seen: set[str]) -> bool:
    """Whether a page lists nothing but what earlier ones did: the list would never end. Adds its ids to `seen`."""
    listed = {one for one in ids if one}
    repeats = bool(listed) and listed <= seen
    seen |= listed
    return repeats


def list_lost(name: str, unread: Iterable[str]) -> list[str]:
    """Entries that could not be decoded, or the list itself if it is missing: without them, it looks complete."""
    return [one for one in unread if one == name or (one.startswith(f"{name}[") and one.endswith("]"))]
