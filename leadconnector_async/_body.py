"""The body of a success before it is read: whose it is, what it refuses, and what of it can be repaired.

A 2xx proves that a write was applied only if the API sent it. A sign-in page of a network or a proxy's text is
somebody else's answer, and JSON that carries an error is a refusal, whatever the status line says.

Pure. Costs no more than a few passes over the bytes, none of them in Python. Must not import anything that awaits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from operator import attrgetter
from typing import Final, cast

import msgspec
from msgspec import Raw, Struct, field

from ._errors import UNREADABLE

_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*")
_SCALARS: Final = frozenset(b'"-0123456789tfn')
_CONTROLS: Final = bytes(max(byte, 0x20) for byte in range(256))
"""Turns every control character into a blank: between values it is one already, inside a text it is not allowed."""
_NOT_JSON: Final = partial(re.compile, rb"(?:(?<=[:\[,])|(?<=[:\[,] ))(?:NaN|-?Infinity)(?=[ ,\]}])")
_LONE_HIGH: Final = partial(re.compile, rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})")
_LONE_LOW: Final = partial(re.compile, rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_MOST_REPAIRS: Final = 10_000
_LONGEST_HEAD: Final = 4096
_TITLE: Final = partial(re.compile, r"<title[^<>]{0,100}>([^<]{1,200})", re.I)
_LONGEST_EXCERPT: Final = 80
_SIGNS: Final = (b'"statusCode"', b'"error"', b'"errors"', b'"message"', b'"msg"', b'"success"', b'"succeeded"')
_decode_raw: Final = msgspec.json.Decoder(Raw).decode


class _Signs(Struct, frozen=True, rename="camel"):
    """What tells a refusal from a success."""

    status_code: object = None
    error: object = None
    errors: object = None
    status: object = None
    message: object = None
    msg: object = None
    success: object = None
    succeeded: object = None
    id: Raw = Raw()
    event: Raw = Raw()
    appointment: Raw = Raw()
    note: Raw = Raw()
    calendar: Raw = Raw()
    events: Raw = Raw()
    notes: Raw = Raw()
    calendars: Raw = Raw()
    dates: Raw = field(name="_dates_", default=Raw())


_decode_signs: Final = msgspec.json.Decoder(_Signs).decode
_get_words: Final = attrgetter("status_code", "error", "errors", "status", "message", "msg", "success", "succeeded")
_NO_WORDS: Final = _get_words(_Signs())


def trim(body: bytes) -> bytes:
    """The body without a byte order mark; nothing at all if only blanks are left."""
    if body[:1] == b"{":
        return body
    start = _find_start(body)
    if start == len(body):
        return b""
    return body[len(_BOM) :] if body.startswith(_BOM) else body


def is_foreign(body: bytes) -> bool:
    """Tell whether somebody else than the API has sent this: a page, or text that is not JSON.

    The first byte that is not blank decides. An object or a list that is cut off is the API's; what begins like a
    number, a word or a text in quotation marks is, only if it is one as a whole.
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


def is_foreign_so_far(head: bytes, headers: Mapping[str, str]) -> bool:
    """As `is_foreign`, of an answer that broke off; if it did so before its first byte, its type decides."""
    first = head[_find_start(head) :][:1]
    if first:
        return first not in b"{[" and first[0] not in _SCALARS
    kind = headers.get("content-type", "").lower()
    return bool(kind) and "json" not in kind


def find_refusal(status: int, body: bytes, *, known: bool, deletes: bool) -> int | None:
    """The status of the error that a 2xx carries in its JSON; `None` if it carries none.

    `known`: the operation is one of the table, so an answer that holds a message and no data of any of them is a
    refusal too. `deletes`: `{"succeeded": false}` is its value.
    """
    if not known and not any(sign in body for sign in _SIGNS):
        return None
    try:
        signs = _decode_signs(body)
    except UNREADABLE:
        return None
    if _get_words(signs) == _NO_WORDS:
        return None
    code = _read_code(signs.status_code) or (_read_code(signs.status) if not signs.id else None)
    if code is not None:
        return code
    if signs.error:
        return _read_code(_get_inner(signs.error)) or status
    is_all = known and not _has_data(signs) and (not deletes or not _has_verdict(signs))
    return status if is_all and (signs.message or signs.msg or signs.errors or _is_false(signs)) else None


def repair(body: bytes) -> bytes:
    """Make JSON of what is nearly JSON, at the price of the odd text: it is blank, or `\ufffd`, or `null` there.

    Control characters inside a text, bytes that are not UTF-8, halves of surrogate pairs, `NaN` and `Infinity`.
    """
    body = body.translate(_CONTROLS)
    try:
        body.decode()
    except UnicodeDecodeError:
        body = body.decode("utf-8", "replace").encode()
    if b"NaN" in body or b"Infinity" in body:
        body = _NOT_JSON().sub(b"null", body, _MOST_REPAIRS)
    if b"\\ud" in body or b"\\uD" in body:
        body = _LONE_LOW().sub(rb"\\ufffd", _LONE_HIGH().sub(rb"\\ufffd", body, _MOST_REPAIRS), _MOST_REPAIRS)
    return body


def describe_foreign(status: int, body: bytes, headers: Mapping[str, str]) -> str:
    """Say what came instead of an answer of the API."""
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
        f"The answer (HTTP {status}, {what}{len(body)} bytes) is not the API's but somebody else's, such as a"
        f" proxy's or a sign-in page's: {excerpt!r}."
    )


def _find_start(body: bytes) -> int:
    blanks = _BLANKS.match(body)
    return blanks.end() if blanks is not None else 0


def _read_code(value: object) -> int | None:
    """An HTTP status that is an error."""
    if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value, re.A):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= HTTPStatus.BAD_REQUEST:
        return min(value, 599)
    return None


def _get_inner(error: object) -> object:
    if not isinstance(error, dict):
        return None
    inner = cast("dict[str, object]", error)
    return inner.get("statusCode", inner.get("status", inner.get("code")))


def _has_data(signs: _Signs) -> bool:
    data = (signs.id, signs.event, signs.appointment, signs.note, signs.calendar)
    return any(map(memoryview, (*data, signs.events, signs.notes, signs.calendars, signs.dates)))


def _has_verdict(signs: _Signs) -> bool:
    return signs.success is not None or signs.succeeded is not None


def _is_false(signs: _Signs) -> bool:
    return any(str(value).lower() == "false" for value in (signs.success, signs.succeeded))
