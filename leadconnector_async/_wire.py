"""The codec: operation and payload to a request; bytes of a success to a value.

Rule: bytes in, value or error out. A 2xx is a success whatever its body lacks. Every envelope is accepted on
every call: flat, `{"event": …}` or `{"appointment": …}` [field, September 2026]. A field that cannot be read
becomes `None` and is named in `unread`, so that an oddity in one field never hides that a write was applied.

Pure. Must not import anything that awaits.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeAlias, TypeVar, Union
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from . import _body
from ._arguments import check_flag, check_id, check_method, check_path, check_query, refuse
from ._checks import check_update
from ._compare import compare_update
from ._errors import UNREADABLE, read_error
from ._lenient import Read, Reader, begins
from ._operations import GET_APPOINTMENT, UPDATE_APPOINTMENT, Operation, build_operation
from ._shown import show_error
from ._texts import clean_line, clean_trace_id
from ._wire_models import MisspeltStatus, WireUpdate
from .exceptions import ApiError, DecodeError, LeadConnectorError
from .models import Appointment, AppointmentUpdate

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

JsonValue: TypeAlias = Union[None, bool, int, float, str, "list[JsonValue]", "dict[str, JsonValue]"]
"""Anything that JSON can say."""

Query: TypeAlias = Mapping[str, str | int | Sequence[str]]
"""Parameters of a query; a list repeats its key."""


class Guard(Protocol[T_contra]):
    """What a write relies on: see `_precondition`."""

    def now(self) -> float: ...

    def check_age(self) -> LeadConnectorError | None: ...

    def check_shown(self, shown: T_contra, read_at: float) -> LeadConnectorError | None: ...


class Request(Struct, Generic[T], frozen=True):
    """One request, ready to be sent as often as it takes."""

    operation: Operation
    path: str
    """Percent-encoded, below the base address."""
    body: bytes | None
    read: Callable[[bytes], Read[T]]
    """Reads the body of a 2xx; raises one of `UNREADABLE` where it cannot."""
    query: Query | None = None
    build_proof: Callable[[], Proof[T]] | None = None
    """How to find out whether it was applied; `None` if there is no way."""
    precondition: Guard[T] | None = None
    """What must hold right before each attempt is sent."""
    known: bool = True
    """It is one of the table of operations, so the shape of its answer is known."""
    asked_id: str = ""
    """The id that its answer should show; empty if there is none."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.operation.method} {self.path}>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("method", self.operation.method), ("path", self.path)]


class Proof(Struct, Generic[T], frozen=True):
    """How to find out whether a write was applied."""

    request: Request[T]
    """Reads back what was written."""
    judge: Callable[[T, Container[str]], bool | None]
    """Whether what was read, less the fields that could not be, shows the write; `None` if that cannot be told."""


class _Envelope(Struct, frozen=True):
    event: Raw = Raw()
    appointment: Raw = Raw()


_encode: Final = msgspec.json.Encoder().encode
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_appointment_reader: Final = Reader(Appointment)
_decode_appointment: Final = _appointment_reader.decode
_decode_misspelt: Final = msgspec.json.Decoder(MisspeltStatus).decode
_decode_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_SAFE_IN_PATH: Final = "/%:@!$&'()*+,;=-._~"
_QUICK_ID: Final = 100
_FEWEST_BYTES: Final = 8
"""A large answer holds at least so many bytes for each comma; with fewer it is made to keep a reader busy."""
_APPOINTMENT_PATH: Final = GET_APPOINTMENT.path.format("")
"""Of the update too."""


def build_update_appointment(event_id: str, update: AppointmentUpdate, version: str = "") -> Request[Appointment]:
    """Check and encode an update. Raises `InvalidRequestError`."""
    path = _APPOINTMENT_PATH + encode_id(event_id)
    wire = check_update(update, version)
    read, prove = partial(read_appointment, event_id), partial(_prove_update, event_id, wire)
    return Request(UPDATE_APPOINTMENT, path, _encode(wire), read, None, prove, asked_id=event_id)


def build_get_appointment(event_id: str) -> Request[Appointment]:
    """Check the id. Raises `InvalidRequestError`."""
    path = _APPOINTMENT_PATH + encode_id(event_id)
    return Request(GET_APPOINTMENT, path, None, partial(read_appointment, event_id), asked_id=event_id)


def build_request(
    method: str,
    path: str,
    answer_type: type[T],
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
    read = partial(_read_as, _make_decoder(answer_type))
    operation = build_operation(method, path, repeatable=repeatable)
    content = None if body is UNSET else _encode_body(body)
    return Request(operation, quote(path, safe=_SAFE_IN_PATH), content, read, query, known=False)


def encode_payload(wire: Struct) -> bytes:
    """Encode a payload that was checked."""
    return _encode(wire)


def encode_id(value: str, name: str = "event_id") -> str:
    """Percent-encode an id, so that it stays one segment of the path whatever it holds."""
    if type(value) is str and value.isascii() and value.isalnum() and len(value) < _QUICK_ID:
        return value
    text = check_id(name, value)
    if text in (".", ".."):
        raise refuse(name, value, "it would change the path", "pass the id as the API shows it")
    return quote(text, safe="")


def read_appointment(event_id: str, body: bytes | Raw) -> Read[Appointment]:
    """Read an appointment out of any answer; `event_id` stands in for a missing id."""
    content: bytes | Raw = body or b"{}"
    try:
        read = Read(_decode_appointment(content))
    except UNREADABLE:
        read = _appointment_reader.read(content)
    if read.value.id is None and (inner := _unwrap(content)) is not None:
        content = inner
        read = _appointment_reader.read(content)
    value = read.value
    if value.id and value.appointment_status:
        return read
    status = value.appointment_status or _read_misspelt(content)
    value = msgspec.structs.replace(value, id=value.id or event_id, appointment_status=status)
    return Read(value, read.unread)


def read_success(request: Request[T], status: int, body: bytes) -> Read[T] | DecodeError | ApiError:
    """Read a 2xx; where it cannot be read, or is none, the error says what is known of a write.

    Unreadable JSON was sent by the API, so a write was applied; a page, and an error in disguise, leave it open.
    """
    writes = request.operation.writes
    content = body
    if body[:1] != b"{":
        if _body.is_foreign(body):
            text = _body.describe_foreign(status, body, {})
            return DecodeError(text, status=status, outcome="unknown" if writes else "not_applied")
        content = _body.trim(body)
    large, signs = len(content) > _body.LARGE, None
    if large:
        if request.known and content.count(b",") * _FEWEST_BYTES > len(content):
            return _fail_to_read(request, status, body, "it contains implausibly many values for its size")
        content, signs = _body.prepare(content)
    read = _read_or_refuse(request, status, content, signs)
    odd = isinstance(read, str) or (isinstance(read, Read) and read.unread and not content.isascii())
    if odd and not large and (repaired := _body.repair(content)) != content:
        again = _read_or_refuse(request, status, repaired)
        read = read if isinstance(again, str) else again
    if isinstance(read, ApiError):
        read.outcome = "unknown" if writes else "not_applied"
    return _fail_to_read(request, status, body, read) if isinstance(read, str) else read


def _fail_to_read(request: Request[T], status: int, body: bytes, reason: str) -> DecodeError:
    writes = request.operation.writes
    text = f"The answer (HTTP {status}, {len(body)} bytes) cannot be read: {reason}."
    return DecodeError(text, status=status, outcome="applied" if writes else "not_applied")


def _read_or_refuse(
    request: Request[T], status: int, content: bytes, signs: _body.Signs | None = None
) -> Read[T] | ApiError | str:
    """The value, the error that the JSON carries, or why neither can be read."""
    try:
        silent = request.known and signs is None and _body.decode_words(content) == _body.NO_WORDS
    except UNREADABLE:
        silent = False
    if not silent:
        deletes = request.operation.method == "DELETE"
        code = _body.find_refusal(status, content, known=request.known, deletes=deletes, signs=signs)
        if code is not None:
            return read_error(code, content)
    try:
        return request.read(content)
    except RecursionError:
        return "its JSON is nested too deeply"
    except UNREADABLE as error:
        return clean_line(str(error))


def read_trace_id(body: bytes) -> str | None:
    """Find the `traceId` of an answer: support asks for it."""
    try:
        trace_id = msgspec.json.decode(_decode_object(body)["traceId"])
    except (KeyError, *UNREADABLE):
        return None
    return clean_trace_id(trace_id)


def _prove_update(event_id: str, sent: WireUpdate) -> Proof[Appointment]:
    return Proof(build_get_appointment(event_id), partial(compare_update, sent))


def _encode_body(body: object) -> bytes:
    try:
        return _encode(body)
    except Exception as error:
        raise refuse("body", body, show_error(error), "pass what JSON can represent, or a Struct") from None


def _make_decoder(answer_type: type[T]) -> msgspec.json.Decoder[T]:
    try:
        return msgspec.json.Decoder(answer_type, strict=False)
    except Exception as error:
        mend = "give a type that msgspec can decode"
        raise refuse("answer_type", answer_type, show_error(error), mend) from None


def _read_as(decoder: msgspec.json.Decoder[T], body: bytes) -> Read[T]:
    return Read(decoder.decode(body or b"null"))


def _unwrap(content: bytes | Raw) -> Raw | None:
    envelope = _decode_envelope(content)
    for inner in (envelope.event, envelope.appointment):
        if begins(inner, b"{"):
            return inner
    return None


def _read_misspelt(content: bytes | Raw) -> str | None:
    try:
        return _decode_misspelt(content).appointment_status
    except UNREADABLE:
        return None
