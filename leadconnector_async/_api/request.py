"""One request, checked and encoded; and how a write proves that it was applied."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeAlias, TypeVar, Union
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Struct, UnsetType

from .._validation.arguments import check_flag, check_id, check_method, check_path, check_query, refuse
from .._validation.text import show_error
from ..exceptions import LeadConnectorError
from ..models import Appointment
from .decode import Read, Reader
from .operations import Operation, build_operation

if TYPE_CHECKING:
    from .created import Candidate

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

JsonValue: TypeAlias = Union[None, bool, int, float, str, "list[JsonValue]", "dict[str, JsonValue]"]
"""Any JSON value."""

Query: TypeAlias = Mapping[str, str | int | Sequence[str]]
"""Query parameters; a list repeats its key."""


class Guard(Protocol[T_contra]):
    """What a write relies on: see `precondition`."""

    @property
    def send_by(self) -> float:
        """The moment from which nothing may be sent, by the clock of `fence`; infinite if time is not the point."""
        ...

    def now(self) -> float: ...

    def check_age(self) -> LeadConnectorError | None: ...

    def check_shown(self, shown: T_contra, read_at: float) -> LeadConnectorError | None: ...


class Request(Struct, Generic[T], frozen=True):
    """One request, ready to be sent, repeatedly if necessary."""

    operation: Operation
    path: str
    """Percent-encoded, relative to the base URL."""
    body: bytes | None
    read: Callable[[bytes], Read[T]]
    """Decodes the body of a 2xx; raises one of `UNREADABLE` if it cannot."""
    query: Query | None = None
    build_proof: Callable[[], Proof[T]] | None = None
    """How to find out whether it was applied; `None` if that is impossible."""
    precondition: Guard[T] | None = None
    """What must hold right before each attempt."""
    known: bool = True
    """It is one of the API's operations, so the shape of its response is known."""
    asked_id: str = ""
    """The id that its response should show; empty if there is none."""
    changed_id: str = ""
    """The event that it changes or deletes and that can be read; empty if there is none."""
    search: Search[T] | None = None
    """How to find what it has made; `None` if it creates nothing, or nothing that can be listed."""
    hidden: tuple[str, ...] = ()
    """Personal data in its query, redacted like a token wherever the server may echo it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.operation.method} {self.path}>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("method", self.operation.method), ("path", self.path)]


class Proof(Struct, Generic[T], frozen=True):
    """How to find out whether a write was applied."""

    request: Request[T]
    """The request that reads it back."""
    compare: Callable[[T, Container[str]], bool | None]
    """Whether what was read shows the write, given the names that could not be decoded; `None` if inconclusive."""


class Page(Struct, Generic[T], frozen=True):
    """A part of the calendar in which a creation may be shown."""

    candidates: tuple[Candidate[T], ...]
    following: int | None = None
    """Where the next page begins; `None` if this is the last one."""
    complete: bool = True
    """Every entry could be decoded."""


class Search(Struct, Generic[T], frozen=True):
    """How to find what a creation has made."""

    key: tuple[str, ...]
    """What must be different in two creations, or their results could be taken for each other."""
    build_page: Callable[[int], Request[Page[T]]]
    """The request that lists where it would be shown, from an offset on."""


encode: Final = msgspec.json.Encoder().encode
get_appointment_reader: Final[Callable[[], Reader[Appointment]]] = cache(lambda: Reader(Appointment))
"""As `make_later`."""
_SAFE_IN_PATH: Final = "/%:@!$&'()*+,;=-._~"
_QUICK_ID: Final = 100


def build_request(
    method: str,
    path: str,
    response_type: type[T],
    *,
    query: Query | None = None,
    body: object | UnsetType = UNSET,
    repeatable: bool | None = None,
) -> Request[T]:
    """Check and encode a request for any path. Raises `InvalidRequestError`."""
    method = check_method(method)
    path = check_path(path)
    query = check_query(query)
    if repeatable is not None:
        check_flag("repeatable", repeatable)
    read = partial(_read_as, _make_decoder(response_type))
    operation = build_operation(method, path, repeatable=repeatable)
    content = None if body is UNSET else _encode_body(body)
    return Request(operation, quote(path, safe=_SAFE_IN_PATH), content, read, query, known=False)


def encode_payload(wire: Struct) -> bytes:
    """Encode a validated payload."""
    return encode(wire)


def encode_id(value: str, name: str = "event_id") -> str:
    """Percent-encode an id, so that it stays one segment of the path."""
    if type(value) is str and value.isascii() and value.isalnum() and len(value) < _QUICK_ID:
        return value
    text = check_id(name, value)
    if text in (".", ".."):
        raise refuse(name, value, "it is not a valid id", "pass the id as the API shows it")
    return quote(text, safe="")


def _encode_body(body: object) -> bytes:
    try:
        return encode(body)
    except Exception as error:
        raise refuse("body", body, show_error(error), "pass a JSON value or a Struct") from None


def _make_decoder(response_type: type[T]) -> msgspec.json.Decoder[T]:
    try:
        return msgspec.json.Decoder(response_type, strict=False)
    except Exception as error:
        hint = "pass a type that msgspec can decode"
        raise refuse("response_type", response_type, show_error(error), hint) from None


def _read_as(decoder: msgspec.json.Decoder[T], body: bytes) -> Read[T]:
    return Read(decoder.decode(body or b"null"))


def encode_flag(wire_name: str, name: str, value: bool | None) -> dict[str, str | int | Sequence[str]]:
    """A boolean query parameter; empty if the value is `None`."""
    if value is None:
        return {}
    check_flag(name, value)
    return {wire_name: str(value).lower()}
