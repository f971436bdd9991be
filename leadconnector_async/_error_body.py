"""The body of an error answer: any bytes in, its messages and its trace id out.

Rule: what is looked at, found and shown is bounded, and so is the time that it takes. The server's shapes [field]:
`{"message"}` with a text or a list of texts, `{"error": {"code", "message"}}`, `{"error": "…"}`, `{"msg"}`, plain
text, a page of the edge, nothing. What has another shape is read as `name: text`.

Pure. Must not import anything that awaits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Final, TypeAlias, cast

import msgspec
from msgspec import Struct

from ._texts import clean_line, clean_trace_id, read_page

UNREADABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
"""What msgspec raises on bytes that are not what was hoped for; not all of it is a ValueError in every release."""
LARGEST_READ: Final = 64 * 1024
"""Bytes of an error body that are looked at."""
MOST_MESSAGES: Final = 20
_LONGEST_NUMBER: Final = 40
_DEEPEST: Final = 5
_TEXT_KEYS: Final = (
    "message",
    "msg",
    "error",
    "errors",
    "detail",
    "details",
    "description",
    "error_description",
    "title",
    "reason",
    "name",
    "code",
)
"""Where a text may be, the most telling first; the first that holds one is the one."""
_NO_TEXT: Final = frozenset(
    {"statuscode", "status", "code", "traceid", "timestamp", "path", "success", "resolution"}
)
"""Keys whose values are no message."""
_FIELD: Final = partial(
    re.compile, r'"(?P<name>message|msg|traceId)"\s{0,20}:\s{0,20}"(?P<text>(?:[^"\\]|\\.){0,2000})', re.S
)
_JSON: Final = (b"{", b"[", b'"')

_Json: TypeAlias = "dict[str, object] | list[object] | str | int | float | bool | None"


class ErrorBody(Struct, frozen=True):
    """What an error body says."""

    messages: list[str]
    """The texts alone: each on one line, none of them long, and not many."""
    trace_id: str | None
    is_json: bool
    """It is the API's own answer. Anything else was written by somebody on the way."""


def read_error_body(body: bytes) -> ErrorBody:
    """Read an error body of any shape and size; of a large one, its beginning."""
    content = body[:LARGEST_READ].removeprefix(b"\xef\xbb\xbf").strip()
    if not content.startswith(_JSON):
        text = content.decode("utf-8", "replace")
        shown = read_page(text) if "<" in text else clean_line(text)
        return ErrorBody([shown] if shown else [], None, is_json=False)
    decoded, found = _decode(content)
    if not found:
        return _salvage(content.decode("utf-8", "replace"))
    return ErrorBody(_collect(decoded), clean_trace_id(_find_trace_id(decoded)), is_json=True)


def _decode(content: bytes) -> tuple[_Json, bool]:
    """The JSON value, and whether it could be read: a raw line end inside a text is no reason not to."""
    try:
        return cast("_Json", msgspec.json.decode(content)), True
    except UNREADABLE:
        pass
    try:
        return cast("_Json", json.loads(content, strict=False)), True
    except UNREADABLE:
        return None, False


def _salvage(text: str) -> ErrorBody:
    """The message and the trace id of JSON that was cut off or broken."""
    found: dict[str, str] = {}
    for match in islice(_FIELD().finditer(text), MOST_MESSAGES):
        found.setdefault(match["name"], _unquote(match["text"]))
    message = found.get("message") or found.get("msg") or clean_line(text)
    return ErrorBody([message] if message else [], clean_trace_id(found.get("traceId")), is_json=True)


def _unquote(text: str) -> str:
    try:
        return clean_line(str(json.loads(f'"{text}"', strict=False)))
    except ValueError:
        return clean_line(text)


def _collect(value: _Json) -> list[str]:
    """The messages; of very many, the first ones and how many there are in all."""
    found: list[str] = []
    count = 0
    for text in _iterate_texts(value, _DEEPEST):
        if line := clean_line(text):
            count += 1
            if count <= MOST_MESSAGES:
                found.append(line)
    return found if count <= MOST_MESSAGES else [*found[:-1], f"… and {count - MOST_MESSAGES + 1} more"]


def _iterate_texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)[:_LONGEST_NUMBER]
    elif isinstance(value, list) and depth:
        for part in cast("list[object]", value):
            yield from _iterate_texts(part, depth - 1)
    elif isinstance(value, dict) and depth:
        yield from _iterate_fields(cast("dict[str, object]", value), depth - 1)


def _iterate_fields(fields: dict[str, object], depth: int) -> Iterator[str]:
    for key in _TEXT_KEYS:
        value = fields.get(key)
        texts = _iterate_texts(value if key != "code" or isinstance(value, str) else None, depth)
        first = next((text for text in texts if text.strip()), None)
        if first is not None:
            yield first
            yield from texts
            return
    for key, value in fields.items():
        if key.lower() not in _NO_TEXT:
            yield from (f"{key}: {text}" for text in _iterate_texts(value, depth) if text.strip())


def _find_trace_id(decoded: _Json) -> object:
    """Beside the message, or in the object that holds it."""
    if not isinstance(decoded, dict):
        return None
    inner = decoded.get("error")
    nested = cast("dict[str, object]", inner).get("traceId") if isinstance(inner, dict) else None
    return decoded.get("traceId") or nested
