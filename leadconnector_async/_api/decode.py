"""Lenient decoding of Structs: an invalid field costs that field, never the whole response.

A field that cannot be decoded becomes `None` and is named in `unread`; in a nested value only its invalid field is
lost, in a list only the invalid entry. A list is decoded at once, with its invalid fields apart: decoding its
entries one by one would take ten times as long. Times are also accepted as epoch milliseconds, epoch seconds and
`{"_seconds": …}` [field].
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from operator import attrgetter
from types import NoneType, UnionType
from typing import Annotated, Final, Generic, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Raw, Struct, field

from .errors import UNREADABLE

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_IN_MILLISECONDS: Final = 1e11
"""In milliseconds this is 1973; in seconds it would be the year 5138."""
_FIRST_IN_SECONDS: Final = 1e9
"""In seconds this is 2001; a smaller number is not a time at all."""
_decode_any: Final = msgspec.json.Decoder(object).decode
_decode_entries: Final = msgspec.json.Decoder(list[Raw]).decode
_ODD_FIELD: Final = partial(re.compile, r"`\$\[(?:\d+|\.\.\.)\]\.(\w+)")
"""The path in msgspec's error message. If its wording changes, entries are decoded one by one."""
_SHORT: Final = 16
"""Bytes up to which an undecodable value is remembered: short ones tend to repeat."""


class Read(Struct, Generic[T], frozen=True, gc=False):
    """The value of a body, and the names of the fields that could not be decoded."""

    value: T
    unread: tuple[str, ...] = ()


class _Seconds(Struct, frozen=True, gc=False):
    """A time in Firestore's format."""

    seconds: float = field(name="_seconds")
    nanoseconds: float = field(name="_nanoseconds", default=0.0)


ReadField = Callable[[Raw], Read[object]]


def make_later(kind: type[T]) -> Callable[[], msgspec.json.Decoder[T]]:
    """Return what returns a decoder, made at its first use: it takes up to half a millisecond of an import."""
    return cache(lambda: msgspec.json.Decoder(kind))


class Reader(Generic[S]):
    """Decodes one type of Struct."""

    __slots__ = ("_apart", "_decode_list", "_fields", "_nested", "_odd", "_split", "_type", "decode")

    def __init__(self, struct_type: type[S]) -> None:
        self._type = struct_type
        self.decode: Callable[[bytes | Raw], S] = msgspec.json.Decoder(struct_type, strict=False).decode
        self._fields: list[tuple[str, ReadField]] | None = None
        self._split: Callable[[bytes | Raw], Struct] | None = None
        self._decode_list: Callable[[bytes], list[S]] | None = None
        self._odd: frozenset[str] = frozenset()
        self._nested: dict[str, Reader[Struct]] = {}
        self._apart: Callable[[bytes], list[Struct]] | None = None

    def read(self, content: bytes | Raw) -> Read[S]:
        """Decode a JSON object. Raises one of `UNREADABLE` if it is not one."""
        try:
            return Read(self.decode(content))
        except UNREADABLE:
            return self._read_field_by_field(content)

    def read_list(self, content: bytes) -> Read[list[S]]:
        """Decode a JSON list of objects. Raises one of `UNREADABLE` if it must be decoded entry by entry."""
        if self._decode_list is None:
            decoder: msgspec.json.Decoder[list[S]] = msgspec.json.Decoder(list[self._type], strict=False)  # type: ignore[name-defined]
            self._decode_list = decoder.decode
        if self._odd:
            return self._read_apart(content)
        try:
            return Read(self._decode_list(content))
        except UNREADABLE as error:
            self._find_odd(error)
        return self._read_apart(content)

    def _read_apart(self, content: bytes) -> Read[list[S]]:
        """Decode all but the invalid fields at once, and those one by one."""
        parts = self._decode_apart(content)
        unread: list[str] = []
        for name, read_field in self._list_fields():
            if name in self._odd:
                unread += _read_column(parts, name, read_field, self._nested.get(name))
        values: list[S] = msgspec.convert(parts, list[self._type], from_attributes=True)  # type: ignore[name-defined]
        return Read(values, tuple(unread))

    def _decode_apart(self, content: bytes) -> list[Struct]:
        while True:
            if self._apart is None:
                self._apart = self._build_apart()
            try:
                return self._apart(content)
            except UNREADABLE as error:
                self._find_odd(error)

    def _find_odd(self, error: BaseException) -> None:
        """Remember the invalid field. Reraises an error that names none."""
        found = _ODD_FIELD().search(str(error))
        names = {one.encode_name: one.name for one in msgspec.structs.fields(self._type)}
        name = names.get(found[1]) if found is not None else None
        if name is None or name in self._odd:
            raise error
        self._odd |= {name}
        self._apart = None

    def _build_apart(self) -> Callable[[bytes], list[Struct]]:
        fields = [
            (
                one.name,
                Raw if one.name in self._odd else one.type,
                msgspec.field(name=one.encode_name, default=None),
            )
            for one in msgspec.structs.fields(self._type)
        ]
        apart = msgspec.defstruct(f"{self._type.__name__}Apart", fields, gc=False)
        return msgspec.json.Decoder(list[apart], strict=False).decode  # type: ignore[valid-type]

    def _list_fields(self) -> list[tuple[str, ReadField]]:
        if self._fields is None:
            self._prepare()
        return self._fields or []

    def _read_field_by_field(self, content: bytes | Raw) -> Read[S]:
        if self._fields is None or self._split is None:
            self._prepare()
        split, fields = self._split, self._fields
        if split is None or fields is None:
            raise AssertionError("set by _prepare")
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
        """Built at its first use, because only invalid responses need it."""
        fields = msgspec.structs.fields(self._type)
        parts = [(one.name, Raw, msgspec.field(name=one.encode_name, default=Raw())) for one in fields]
        self._split = msgspec.json.Decoder(msgspec.defstruct(f"{self._type.__name__}Parts", parts)).decode
        members = {one.name: _find_struct(one.type) for one in fields}
        self._nested = {name: Reader(member) for name, member in members.items() if member is not None}
        self._fields = [(one.name, _build_field(one.type, self._nested.get(one.name))) for one in fields]


def _find_struct(field_type: object) -> type[Struct] | None:
    members = _list_members(field_type)
    return next((one for one in members if isinstance(one, type) and issubclass(one, Struct)), None)


def _build_field(field_type: object, nested: Reader[Struct] | None) -> ReadField:
    if nested is not None:
        return _read_nested(nested)
    members = [one for one in _list_members(field_type) if one is not NoneType]
    for member in members:
        entries = get_args(member)
        if get_origin(member) is tuple and isinstance(entries[0], type) and issubclass(entries[0], Struct):
            return _read_entries(Reader(entries[0]))
    if any(member is datetime for member in members):
        return _read_time(cast("UnionType", field_type))
    decode = msgspec.json.Decoder(field_type, strict=False).decode
    return lambda part: Read(decode(part))


def _list_members(field_type: object) -> list[object]:
    """The types of a union, or the single type, without annotations."""
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


def _read_column(parts: list[Struct], name: str, read_field: ReadField, nested: Reader[Struct] | None) -> list[str]:
    """Decode one field of all parts in place; returns the names that could not be decoded."""
    get = attrgetter(name)
    present = [one for one in parts if get(one) is not None]
    if nested is not None:
        try:
            return _read_nested_column(present, name, nested)
        except UNREADABLE:
            pass
    unread: list[str] = []
    hopeless: set[bytes] = set()
    for one in present:
        part = get(one)
        read = None if hopeless and bytes(part) in hopeless else _try_to_read(part, read_field, hopeless)
        setattr(one, name, None if read is None else read.value)
        if read is None:
            unread.append(name)
        elif read.unread:
            unread += [f"{name}{inner}" for inner in read.unread]
    return unread


def _try_to_read(part: Raw, read_field: ReadField, hopeless: set[bytes]) -> Read[object] | None:
    try:
        return read_field(part)
    except UNREADABLE:
        if len(memoryview(part)) <= _SHORT:
            hopeless.add(bytes(part))
        return None


def _read_nested_column(parts: list[Struct], name: str, reader: Reader[Struct]) -> list[str]:
    """Raises one of `UNREADABLE`, and changes nothing, if one of them is not an object."""
    content = b"".join((b"[", b",".join(map(attrgetter(name), parts)), b"]"))
    read = reader.read_list(content)
    for one, value in zip(parts, read.value, strict=True):
        setattr(one, name, value)
    return [f"{name}.{inner}" for inner in read.unread]


def _read_time(field_type: UnionType) -> ReadField:
    decode = msgspec.json.Decoder(field_type | _Seconds, strict=False).decode

    def read(part: Raw) -> Read[object]:
        try:
            found = decode(part)
            if type(found) is _Seconds:
                return Read(_count(found.seconds + found.nanoseconds / 1e9))
            return Read(found)
        except UNREADABLE:
            return Read(read_moment(_decode_any(part)))

    return read


def read_moment(value: object) -> datetime:
    """A time that is not in ISO 8601. Raises `ValueError` if it is not a plausible time."""
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        seconds = _read_number(fields.get("_seconds", fields.get("seconds")))
        nanoseconds = _read_number(fields.get("_nanoseconds", fields.get("nanoseconds", 0)))
        return _count(seconds + nanoseconds / 1e9)
    number = _read_number(value)
    if abs(number) < _FIRST_IN_SECONDS:
        raise ValueError("a number, but not a plausible time")
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
    """Tell the kind of a JSON value by its first byte, without copying it."""
    return bytes(memoryview(content)[:1]) == byte
