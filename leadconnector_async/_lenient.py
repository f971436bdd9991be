"""Reading Structs leniently: one odd field costs that field, never the answer that it came in.

A field that cannot be read becomes `None` and is named in `unread`; of a nested value only its odd field is lost,
and of a list of them only the odd entry. Times are also understood as epoch milliseconds, as epoch seconds and as
`{"_seconds": …}` [field].

Pure. Knows no operation and no model: it works for any Struct whose fields have defaults.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Annotated, Final, Generic, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

from ._errors import UNREADABLE

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_IN_MILLISECONDS: Final = 1e11
"""Epoch milliseconds from 1973 on; in seconds this would be the year 5138."""
_FIRST_IN_SECONDS: Final = 1e9
"""Epoch seconds of 2001; a smaller number is not a time at all."""
_decode_any: Final = msgspec.json.Decoder(object).decode
_decode_entries: Final = msgspec.json.Decoder(list[Raw]).decode


class Read(Struct, Generic[T], frozen=True):
    """What a body said, and the names of the fields that could not be read."""

    value: T
    unread: tuple[str, ...] = ()


ReadField = Callable[[Raw], Read[object]]


class Reader(Generic[S]):
    """Reads one type of Struct."""

    __slots__ = ("_decode", "_fields", "_split", "_type")

    def __init__(self, struct_type: type[S]) -> None:
        self._type = struct_type
        self._decode = msgspec.json.Decoder(struct_type, strict=False).decode
        self._fields: list[tuple[str, ReadField]] | None = None
        self._split: Callable[[bytes | Raw], Struct] | None = None

    def read(self, content: bytes | Raw) -> Read[S]:
        """Read a JSON object. Raises one of `UNREADABLE` where it is not one."""
        try:
            return Read(self._decode(content))
        except UNREADABLE:
            return self._read_field_by_field(content)

    def _read_field_by_field(self, content: bytes | Raw) -> Read[S]:
        if self._fields is None or self._split is None:
            self._prepare()
        split, fields = self._split, self._fields
        if split is None or fields is None:
            raise AssertionError("made a line above")
        parts = split(content)
        values: dict[str, object] = {}
        unread: list[str] = []
        for name, read_field in fields:
            part: Raw = getattr(parts, name)
            if not part:
                continue
            try:
                read = read_field(part)
            except UNREADABLE:
                unread.append(name)
            else:
                values[name] = read.value
                unread.extend(f"{name}{inner}" for inner in read.unread)
        return Read(self._type(**values), tuple(unread))

    def _prepare(self) -> None:
        """Only odd answers need it, so importing the package does not pay for it."""
        fields = msgspec.structs.fields(self._type)
        parts = [(one.name, Raw, msgspec.field(name=one.encode_name, default=Raw())) for one in fields]
        self._split = msgspec.json.Decoder(msgspec.defstruct(f"{self._type.__name__}Parts", parts)).decode
        self._fields = [(one.name, _build_field(one.type)) for one in fields]


def _build_field(field_type: object) -> ReadField:
    members = [one for one in _list_members(field_type) if one is not NoneType]
    for member in members:
        if isinstance(member, type) and issubclass(member, Struct):
            return _read_nested(Reader(member))
        entries = get_args(member)
        if get_origin(member) is tuple and isinstance(entries[0], type) and issubclass(entries[0], Struct):
            return _read_entries(Reader(entries[0]))
    decode = msgspec.json.Decoder(field_type, strict=False).decode
    if any(member is datetime for member in members):
        return _read_time(decode)
    return lambda part: Read(decode(part))


def _list_members(field_type: object) -> list[object]:
    """The types of a union, or the one type, without what annotates them."""
    if get_origin(field_type) is Annotated:
        return _list_members(get_args(field_type)[0])
    members = get_args(field_type)
    if get_origin(field_type) is tuple or not members:
        return [field_type]
    return [found for member in members for found in _list_members(member)]


def _read_nested(reader: Reader[Struct]) -> ReadField:
    def read(part: Raw) -> Read[object]:
        if begins(part, b"n"):
            return Read(None)
        found = reader.read(part)
        return Read(found.value, tuple(f".{name}" for name in found.unread))

    return read


def _read_entries(reader: Reader[Struct]) -> ReadField:
    def read(part: Raw) -> Read[object]:
        if begins(part, b"n"):
            return Read(None)
        values: list[object] = []
        unread: list[str] = []
        for place, entry in enumerate(_decode_entries(part)):
            try:
                found = reader.read(entry)
            except UNREADABLE:
                unread.append(f"[{place}]")
            else:
                values.append(found.value)
                unread.extend(f"[{place}].{name}" for name in found.unread)
        return Read(tuple(values), tuple(unread))

    return read


def _read_time(decode: Callable[[Raw], object]) -> ReadField:
    def read(part: Raw) -> Read[object]:
        try:
            return Read(decode(part))
        except UNREADABLE:
            return Read(read_moment(_decode_any(part)))

    return read


def read_moment(value: object) -> datetime:
    """A time that is not written in ISO 8601. Raises `ValueError` where it names no moment."""
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        seconds = _read_number(fields.get("_seconds", fields.get("seconds")))
        nanoseconds = _read_number(fields.get("_nanoseconds", fields.get("nanoseconds", 0)))
        return _count(seconds + nanoseconds / 1e9)
    number = _read_number(value)
    if abs(number) < _FIRST_IN_SECONDS:
        raise ValueError("a number, but not a time of our days")
    return _count(number / 1000 if abs(number) >= _FIRST_IN_MILLISECONDS else number)


def _read_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        raise ValueError("not a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _count(seconds: float) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError("out of range") from None


def begins(content: bytes | Raw, byte: bytes) -> bool:
    """Tell what kind of JSON value it is by its first byte, without a copy of it."""
    return bytes(memoryview(content)[:1]) == byte
