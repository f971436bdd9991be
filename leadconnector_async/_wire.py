"""The codec: operation and payload to a request; bytes of a success to a value.

Rule: bytes in, value or error out. A 2xx is a success whatever its body lacks. Every envelope is accepted on
every call: flat, `{"event": …}` or `{"appointment": …}` [field, September 2026]. A field that cannot be read
becomes `None` and is named in `unread`, so that an oddity in one field never hides that a write was applied.

Pure. Must not import anything that awaits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeAlias, TypeVar, Union
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ._checks import check_id, check_update, refuse, refuse_text
from ._compare import compare_update
from ._errors import UNREADABLE
from ._operations import GET_APPOINTMENT, UPDATE_APPOINTMENT, Operation, build_operation
from ._wire_models import MisspeltStatus, WireUpdate
from .exceptions import DecodeError, LeadConnectorError
from .models import Appointment, AppointmentUpdate

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

JsonValue: TypeAlias = Union[None, bool, int, float, str, "list[JsonValue]", "dict[str, JsonValue]"]
"""Anything that JSON can say."""

Query: TypeAlias = Mapping[str, str | int | Sequence[str]]
"""Parameters of a query; a list repeats its key."""


class Read(Struct, Generic[T], frozen=True):
    """What a body said, and the names of the fields that could not be read."""

    value: T
    unread: tuple[str, ...] = ()


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
_decode_appointment: Final = msgspec.json.Decoder(Appointment, strict=False).decode
_decode_misspelt: Final = msgspec.json.Decoder(MisspeltStatus).decode
_decode_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_APPOINTMENT_FIELDS: Final = msgspec.structs.fields(Appointment)
_SAFE_IN_PATH: Final = "/%:@!$&'()*+,;=-._~"
_BAD_IN_PATH: Final = re.compile(r"[\x00-\x20\x7f?#\\]|//|(?:^|/)\.{1,2}(?:/|\Z)")


def build_update_appointment(event_id: str, update: AppointmentUpdate, version: str = "") -> Request[Appointment]:
    """Check and encode an update. Raises `InvalidRequestError`."""
    path = UPDATE_APPOINTMENT.path.format(encode_id(event_id))
    wire = check_update(update, version)
    body, read = encode_payload(wire), partial(read_appointment, event_id)
    return Request(UPDATE_APPOINTMENT, path, body, read, None, partial(_prove_update, event_id, wire))


def build_get_appointment(event_id: str) -> Request[Appointment]:
    """Check the id. Raises `InvalidRequestError`."""
    path = GET_APPOINTMENT.path.format(encode_id(event_id))
    return Request(GET_APPOINTMENT, path, None, partial(read_appointment, event_id))


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
    if not re.fullmatch(r"[A-Za-z]{1,20}", method):
        raise refuse("method", method, "it is not an HTTP method", "use GET, POST, PUT, PATCH or DELETE")
    if not path.startswith("/") or _BAD_IN_PATH.search(path):
        mend = "give a path such as '/calendars/groups', and parameters as query={…}"
        raise refuse("path", path, "it is not a plain absolute path", mend)
    _check_query(query)
    operation = build_operation(method.upper(), path, repeatable=repeatable)
    content = None if body is UNSET else _encode_body(body)
    return Request(operation, quote(path, safe=_SAFE_IN_PATH), content, partial(_read_as, answer_type), query)


def encode_payload(wire: Struct) -> bytes:
    """Encode a payload that was checked. Raises `InvalidRequestError` for text that no encoding can carry."""
    try:
        return _encode(wire)
    except UnicodeEncodeError:
        raise refuse_text(wire) from None


def encode_id(value: str, name: str = "event_id") -> str:
    """Percent-encode an id, so that it stays one segment of the path whatever it holds."""
    check_id(name, value)
    if value in (".", ".."):
        raise refuse(name, value, "it would change the path", "pass the id as the API shows it")
    try:
        return value if value.isascii() and value.isalnum() else quote(value, safe="")
    except UnicodeEncodeError:
        raise refuse(name, value, "it is not valid text", "pass the id as the API shows it") from None


def read_appointment(event_id: str, body: bytes) -> Read[Appointment]:
    """Read an appointment out of any answer; `event_id` stands in for a missing id."""
    content: bytes | Raw = body or b"{}"
    read = _read_leniently(content)
    if read.value.id is None and (inner := _unwrap(content)) is not None:
        content = inner
        read = _read_leniently(content)
    value = read.value
    if value.id and value.appointment_status:
        return read
    status = value.appointment_status or _read_misspelt(content)
    value = msgspec.structs.replace(value, id=value.id or event_id, appointment_status=status)
    return Read(value, read.unread)


def read_success(request: Request[T], status: int, body: bytes) -> Read[T] | DecodeError:
    """Read a 2xx; where it cannot be read, the error says whether a write was applied."""
    try:
        return request.read(body)
    except UNREADABLE as error:
        reason = "its JSON is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return DecodeError(
        f"The answer (HTTP {status}, {len(body)} bytes) cannot be read: {reason}.",
        status=status,
        outcome="applied" if request.operation.writes else "not_applied",
    )


def read_trace_id(body: bytes) -> str | None:
    """Find the `traceId` of an answer: support asks for it."""
    try:
        trace_id = msgspec.json.decode(_decode_object(body)["traceId"])
    except (KeyError, *UNREADABLE):
        return None
    return trace_id if isinstance(trace_id, str) else None


def _prove_update(event_id: str, sent: WireUpdate) -> Proof[Appointment]:
    return Proof(build_get_appointment(event_id), partial(compare_update, sent))


def _check_query(query: Query | None) -> None:
    for name, value in (query or {}).items():
        texts = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(one, bool) or not isinstance(one, str | int) for one in texts):
            mend = "write it as text, or as a list of texts"
            raise refuse(f"query[{name!r}]", value, "it is neither text nor a whole number", mend)


def _encode_body(body: object) -> bytes:
    try:
        return _encode(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise refuse("body", body, str(error), "pass what JSON can say, or a msgspec Struct") from None


def _read_as(answer_type: type[T], body: bytes) -> Read[T]:
    return Read(msgspec.json.decode(body or b"null", type=answer_type, strict=False))


def _unwrap(content: bytes | Raw) -> Raw | None:
    envelope = _decode_envelope(content)
    for inner in (envelope.event, envelope.appointment):
        if bytes(inner).startswith(b"{"):
            return inner
    return None


def _read_leniently(content: bytes | Raw) -> Read[Appointment]:
    try:
        return Read(_decode_appointment(content))
    except msgspec.ValidationError:
        return _read_field_by_field(_decode_object(content))


def _read_field_by_field(raw: dict[str, Raw]) -> Read[Appointment]:
    values: dict[str, object] = {}
    unread: list[str] = []
    for field in _APPOINTMENT_FIELDS:
        if field.encode_name not in raw:
            continue
        try:
            decoded = msgspec.json.decode(raw[field.encode_name], type=field.type, strict=False)
        except UNREADABLE:
            unread.append(field.name)
        else:
            values[field.encode_name] = decoded
    return Read(msgspec.convert(values, Appointment), tuple(unread))


def _read_misspelt(content: bytes | Raw) -> str | None:
    try:
        return _decode_misspelt(content).appointment_status
    except UNREADABLE:
        return None
