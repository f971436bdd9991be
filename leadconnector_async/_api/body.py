"""The body of a 2xx: whether the API sent it, whether it carries an error, what can be repaired, and its value.

Unreadable JSON came from the API, so a write was applied. An HTML page, and an error inside a 2xx, leave the
outcome unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from operator import attrgetter
from typing import Final, TypeVar, cast

import msgspec
from msgspec import Raw, Struct, field

from .._validation.text import clean_line, clean_trace_id
from ..exceptions import ApiError, DecodeError
from .decode import Read, make_later
from .errors import UNREADABLE, read_error
from .request import Request
from .statuses import is_error

_decode_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_FEWEST_BYTES_A_VALUE: Final = 8
"""A large response has at least this many bytes per comma; one with fewer is crafted to exhaust the parser."""

T = TypeVar("T")


def read_success(request: Request[T], status: int, body: bytes) -> Read[T] | DecodeError | ApiError:
    """Read a 2xx. The `outcome` of an error says what is known of a write."""
    if request.known and body[:1] == b"{" and len(body) <= LARGE:
        try:
            if _get_words_decoder().decode(body) == NO_WORDS and not (read := request.read(body)).unread:
                return read
        except UNREADABLE:
            pass
    return _read_odd(request, status, body)


def _read_odd(request: Request[T], status: int, body: bytes) -> Read[T] | DecodeError | ApiError:
    """Like `read_success`, for a body that is large, may not be a success, or needs repair."""
    writes = request.operation.writes
    content = body
    if body[:1] != b"{":
        if is_foreign(body):
            text = describe_foreign(status, body, {})
            return DecodeError(text, status=status, outcome="unknown" if writes else "not_applied")
        content = trim(body)
    large, signs = len(content) > LARGE, None
    if large:
        if request.known and content.count(b",") * _FEWEST_BYTES_A_VALUE > len(content):
            return _fail_to_read(request, status, body, "it contains implausibly many values for its size")
        content, signs = prepare(content)
    read = _read_or_refuse(request, status, content, signs)
    odd = isinstance(read, str) or (isinstance(read, Read) and read.unread and not content.isascii())
    if odd and not large and (repaired := repair(content)) != content:
        again = _read_or_refuse(request, status, repaired)
        read = read if isinstance(again, str) else again
    if isinstance(read, ApiError):
        read.outcome = "unknown" if writes else "not_applied"
    return _fail_to_read(request, status, body, read) if isinstance(read, str) else read


def _fail_to_read(request: Request[T], status: int, body: bytes, reason: str) -> DecodeError:
    writes = request.operation.writes
    text = f"The response (HTTP {status}, {len(body)} bytes) cannot be read: {reason}."
    return DecodeError(text, status=status, outcome="applied" if writes else "not_applied")


def _read_or_refuse(
    request: Request[T], status: int, content: bytes, signs: Signs | None = None
) -> Read[T] | ApiError | str:
    """The value, the error that the JSON carries, or the reason why neither can be read."""
    deletes = request.operation.method == "DELETE"
    code = find_refusal(status, content, known=request.known, deletes=deletes, signs=signs)
    if code is not None:
        return read_error(code, content)
    try:
        return request.read(content)
    except RecursionError:
        return "its JSON is nested too deeply"
    except UNREADABLE as error:
        return clean_line(str(error))


def read_trace_id(body: bytes) -> str | None:
    """Find the `traceId` of a response: support asks for it."""
    try:
        trace_id = msgspec.json.decode(_decode_object(body)["traceId"])
    except (KeyError, *UNREADABLE):
        return None
    return clean_trace_id(trace_id)


_BOM: Final = b"\xef\xbb\xbf"
LARGE: Final = 64 * 1024
"""Bytes above which a body is checked before it is decoded: a failed attempt would cost too much."""
_BLANKS: Final = partial(re.compile, rb"(?:\xef\xbb\xbf)?[ \t\r\n]{0,65536}")
"""No response of the API begins with more whitespace than that."""
_SCALARS: Final = frozenset(b'"-0123456789tfn')
_CONTROLS: Final = bytes(max(byte, 0x20) for byte in range(256))
"""Replaces control characters by spaces: between values they are whitespace, inside strings they are invalid."""
_NOT_JSON: Final = {b"NaN": [b"NaN"], b"Infinity": [b"-Infinity", b"Infinity"]}
"""A cheap substring to search for, and the words that it can be part of."""
_NOT_JSON_WORD: Final = rb"%s(?:(?<=[:\[,]%s)|(?<=[:\[,] %s))(?=[ ,\]}])"
"""Begins with a literal, so that the search for it is fast."""
_LONE_HALF: Final = partial(
    re.compile,
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2})",
)
_FEWEST_BYTES: Final = 6
"""Bytes per escape; with fewer they are not escapes, but crafted to slow the search down."""
_LONGEST_HEAD: Final = 4096
_TITLE: Final = partial(re.compile, r"<title[^<>]{0,100}>([^<]{1,200})", re.I)
_LONGEST_EXCERPT: Final = 80
_SIGNS: Final = (b'"statusCode"', b'"error"', b'"errors"', b'"message"', b'"msg"', b'"success"', b'"succeeded"')
_decode_raw: Final = msgspec.json.Decoder(Raw).decode


_NOTHING: Final = Raw()


class Words(Struct, frozen=True, rename="camel"):
    """Keys of errors that hardly any success has."""

    status_code: Raw = _NOTHING
    error: Raw = _NOTHING
    errors: Raw = _NOTHING
    status: Raw = _NOTHING
    message: Raw = _NOTHING
    msg: Raw = _NOTHING
    success: Raw = _NOTHING
    succeeded: Raw = _NOTHING


class Signs(Words, frozen=True, rename="camel"):
    """Keys that tell an error from a success."""

    id: Raw = Raw()
    event: Raw = Raw()
    appointment: Raw = Raw()
    note: Raw = Raw()
    calendar: Raw = Raw()
    events: Raw = Raw()
    notes: Raw = Raw()
    calendars: Raw = Raw()
    contact: Raw = Raw()
    dates: Raw = field(name="_dates_", default=Raw())


_get_signs_decoder: Final = make_later(Signs)
_get_words_decoder: Final = make_later(Words)
NO_WORDS: Final = Words()
_decode_any: Final = msgspec.json.Decoder(object).decode
_get_words: Final = attrgetter("status_code", "error", "errors", "status", "message", "msg", "success", "succeeded")


def trim(body: bytes) -> bytes:
    """The body without a byte order mark; empty if it is only whitespace."""
    if body[:1] == b"{":
        return body
    start = _find_start(body)
    if start == len(body):
        return b""
    return body[len(_BOM) :] if body.startswith(_BOM) else body


def is_foreign(body: bytes) -> bool:
    """Tell whether something other than the API sent this: an HTML page, or text that is not JSON.

    The first byte that is not whitespace decides. A truncated object or list is the API's; what begins like a
    number, a literal or a string is the API's only if it is valid as a whole.
    """
    first = body[:1]
    if first in (b"{", b"["):
        return False
    start = _find_start(body)
    first = body[start : start + 1]
    if first in (b"{", b"[", b""):
        return False
    if first[0] not in _SCALARS:
        return True
    try:
        _decode_raw(body[start:])
    except UNREADABLE:
        return True
    return False


def is_empty_reading(request: Request[T], body: bytes) -> bool:
    """Whether a read came back with nothing. The API always sends a body then, so this shows no empty calendar."""
    return request.known and not request.operation.writes and _find_start(body) == len(body)


def is_foreign_so_far(head: bytes, headers: Mapping[str, str]) -> bool:
    """Like `is_foreign`, for a truncated response; if it has no byte at all, its content type decides."""
    first = head[_find_start(head) :][:1]
    if first:
        return first not in b"{[" and first[0] not in _SCALARS
    kind = headers.get("content-type", "").lower()
    return bool(kind) and "json" not in kind


def find_refusal(status: int, body: bytes, *, known: bool, deletes: bool, signs: Signs | None = None) -> int | None:
    """The status code of the error that a 2xx carries in its JSON; `None` if it carries none.

    `known`: it is one of the API's operations, so a response with a message and without any data is an error too.
    `deletes`: `{"succeeded": false}` is a value, not an error. `signs`: what `prepare` found.
    """
    if not known and len(body) <= LARGE and not any(sign in body for sign in _SIGNS):
        return None
    try:
        signs = signs or _get_signs_decoder().decode(body)
    except UNREADABLE:
        return None
    if _get_words(signs) == _get_words(NO_WORDS):
        return None
    code = _read_code(_read(signs.status_code)) or (None if signs.id else _read_code(_read(signs.status)))
    if code is not None:
        return code
    if error := _read(signs.error):
        return _read_code(_get_inner(error)) or status
    is_all = known and not _has_data(signs) and (not deletes or not _has_verdict(signs))
    return (
        status
        if is_all and (_read(signs.message) or _read(signs.msg) or _read(signs.errors) or _is_false(signs))
        else None
    )


def prepare(body: bytes) -> tuple[bytes, Signs | None]:
    """Repair a large body if needed: checking that first is cheaper than a failed attempt to decode it.

    Also returns its signs if it was intact: see `find_refusal`.
    """
    try:
        signs = _get_signs_decoder().decode(body)
    except UNREADABLE:
        return repair(body), None
    return (body if body.isascii() else _repair_encoding(body)), signs


def repair(body: bytes) -> bytes:
    """Turn almost valid JSON into JSON, at the cost of single characters and numbers.

    Control characters inside strings become spaces; bytes that are not UTF-8 and lone surrogates become `\ufffd`;
    `NaN` and `Infinity` become `null`.
    """
    body = body.translate(_CONTROLS)
    if not body.isascii():
        body = _repair_encoding(body)
    for part, words in _NOT_JSON.items():
        if part in body:
            for word in words:
                body = re.sub(_NOT_JSON_WORD % (word, word, word), b"null", body)
    if 0 < body.count(b"\\") * _FEWEST_BYTES <= len(body):
        body = _LONE_HALF().sub(rb"\\ufffd", body)
    return body


def _repair_encoding(body: bytes) -> bytes:
    try:
        body.decode()
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace").encode()
    return body


def describe_foreign(status: int, body: bytes, headers: Mapping[str, str]) -> str:
    """Describe what came instead of a response of the API."""
    if _find_start(body) == len(body):
        return f"The response (HTTP {status}) is empty, so something between here and the API sent it."
    text = body[:_LONGEST_HEAD].decode("utf-8", "replace")
    title = _TITLE().search(text)
    words = "".join(
        one if one.isprintable() else " " for one in (title[1] if title else text[: _LONGEST_HEAD // 4])
    )
    excerpt = " ".join(words.split())
    if len(excerpt) > _LONGEST_EXCERPT:
        excerpt = f"{excerpt[:_LONGEST_EXCERPT]}…"
    kind = re.sub(r"[^\w/+.-].*", "", headers.get("content-type", ""), flags=re.S)[:50]
    what = f"{kind}, " if kind else ""
    return (
        f"The response (HTTP {status}, {what}{len(body)} bytes) did not come from the API but from"
        f" something in between, such as a proxy or a sign-in page: {excerpt!r}."
    )


def _find_start(body: bytes) -> int:
    blanks = _BLANKS().match(body)
    return blanks.end() if blanks is not None else 0


def _read(value: Raw) -> object:
    """The value of a key; `True` if it is too large to decode."""
    size = len(memoryview(value))
    if not size or size > LARGE:
        return size > 0
    try:
        return _decode_any(value)
    except UNREADABLE:
        return True


def _read_code(value: object) -> int | None:
    """A status code of an error."""
    if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value, re.A):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and is_error(value):
        return min(value, 599)
    return None


def _get_inner(error: object) -> object:
    if not isinstance(error, dict):
        return None
    inner = cast("dict[str, object]", error)
    return inner.get("statusCode", inner.get("status", inner.get("code")))


def _has_data(signs: Signs) -> bool:
    data = (signs.id, signs.event, signs.appointment, signs.note, signs.calendar, signs.contact)
    return any(map(memoryview, (*data, signs.events, signs.notes, signs.calendars, signs.dates)))


def _has_verdict(signs: Signs) -> bool:
    return any(bytes(memoryview(value)[:1]) not in (b"", b"n") for value in (signs.success, signs.succeeded))


def _is_false(signs: Signs) -> bool:
    values = (signs.success, signs.succeeded)
    return any(bytes(memoryview(value)[:8]).lower() in (b"false", b'"false"') for value in values)
