"""Turn an error response into the most specific error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from http import HTTPStatus
from itertools import islice
from os.path import commonprefix
from typing import Final, Literal, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Struct

from .._secret import Personal
from .._validation.text import clean_line, clean_trace_id, read_page
from ..exceptions import (
    ApiError,
    AuthenticationError,
    DailyLimitError,
    InvalidEventError,
    LeadConnectorError,
    PermissionDeniedError,
    RateLimitedError,
    SlotUnavailableError,
    TokenExpiredError,
)
from .statuses import StatusTraits, find_traits

__all__ = ["UNREADABLE", "TokenRefusal", "classify_token_refusal", "lacks_scope", "read_error", "redact"]

T = TypeVar("T")

TokenRefusal: TypeAlias = Literal["final", "expired", "stray"]

_SLOT_TAKEN: Final = "the slot you have selected is no longer available"
_OF_THE_REQUEST: Final[dict[str, type[ApiError]]] = {
    _SLOT_TAKEN: SlotUnavailableError,
    "the event id is invalid": InvalidEventError,
}
"""Errors by message, whichever status code about the content it comes with: 400 and 422 were seen [field]."""
_EXPIRED: Final = {
    "invalid jwt": True,
    "invalid token: access token is invalid": True,
    "jwt expired": True,
    "unauthorized": False,
}
"""Messages for an expired token, and whether they can only mean that."""
_NO_SCOPE: Final = "the token is not authorized for this scope"
_NOT_THE_TOKENS_AGE: Final = {
    "invalid private integration token": "Copy the Private Integration token of this Sub-Account again.",
    _NO_SCOPE: ("Grant the scope calendars/events.write (to change) or calendars/events.readonly (to read)."),
    "token's user type mismatch": "Use a token of the Sub-Account, not of the agency.",
    "version header was not found": "A proxy removed the Version header.",
    "version header is invalid": "Pass version='2021-04-15'.",
}
_HINTS: Final = {
    **_NOT_THE_TOKENS_AGE,
    **dict.fromkeys(
        (text for text, certain in _EXPIRED.items() if certain),
        "The access token has expired or is not valid: pass a new one, or a provider that fetches one.",
    ),
    "the token does not have access to this location": "Use the token of the Sub-Account that owns the event.",
    _SLOT_TAKEN: "Choose one of get_free_slots, or set ignore_free_slot_validation=True.",
    "the event id is invalid": "The event was deleted, or never existed in this Sub-Account.",
    "the user id not part of calendar team": "Assign a member of the calendar's team; nothing was changed.",
    "a team member needs to be selected. assigneduserid is missing": "Set assigned_user_id as well.",
    "error code: 1010": "The edge rejected the client's User-Agent.",
}
_STATUS_AT_START: Final = (
    r"(?i)\A(?:(?:[\s:.;,-]|http(?:/[\d.]+)?|error|status|code)*{status}(?![^\W_]))+[\s:.;,-]*"
)
_NOT_THE_API: Final = "This did not come from the API: the edge or a proxy blocked the request."
_OF_A_NETWORK: Final = (
    "This did not come from the API: the network or its proxy asks for a sign-in, or sends requests elsewhere."
)
_LONGEST_TEXT: Final = 2_000
"""Characters of all messages together in the error's text."""
_SHORTEST_SECRET: Final = 8


def read_error(
    status: int,
    body: bytes,
    *,
    daily_spent: bool = False,
    secrets: tuple[str, ...] = (),
    retry_after: float | None = None,
) -> ApiError:
    """Turn an error response into the most specific `ApiError`.

    `daily_spent`: the headers showed an exhausted daily budget. `secrets` are removed from every text. Only the
    first 64 KiB of a large body are read.
    """
    read = _read_redacted(body, secrets)
    error_type = _choose_type(status, read.messages, daily_spent)
    traits = find_traits(status)
    stopped_on_the_way = traits.error_type is PermissionDeniedError and not read.is_json
    return error_type(
        _describe(status, read.messages, _explain_sender(read, traits, stopped_on_the_way=stopped_on_the_way)),
        messages=read.messages,
        status=status,
        trace_id=read.trace_id,
        retry_after=retry_after,
        outcome="not_applied",  # by this response alone; the call knows about earlier attempts
        transient=stopped_on_the_way or (traits.is_transient and error_type is not DailyLimitError),
    )


def classify_token_refusal(error: LeadConnectorError) -> TokenRefusal | None:
    """What a rejected token means, by the message; `None` if the error is not about the token."""
    of_a_token = find_traits(error.status).error_type is AuthenticationError
    if not (isinstance(error, AuthenticationError) and of_a_token):
        return None
    texts = [_plain(message) for message in error.messages]
    if any(text.startswith(tuple(_NOT_THE_TOKENS_AGE)) for text in texts):
        return "final"
    return "expired" if any(_is_expired(text) for text in texts) else "stray"


def lacks_scope(error: LeadConnectorError) -> bool:
    """Whether the token was accepted, and lacks the scope of the request."""
    return isinstance(error, AuthenticationError) and any(
        _plain(message).startswith(_NO_SCOPE) for message in error.messages
    )


def redact(text: str, *secrets: str) -> str:
    """Remove secrets from a text that the server may have influenced, also where the text ends within one.

    A token is recognized by its first eight characters: no real token is shorter. Many tokens begin alike.
    """
    for one in secrets:
        text = one.cut_out(text) if isinstance(one, Personal) else text
    for start in {secret[:_SHORTEST_SECRET] for secret in secrets if len(secret) >= _SHORTEST_SECRET}:
        if start in text:
            text = _cut_out(text, start, [one[_SHORTEST_SECRET:] for one in secrets if one.startswith(start)])
    return text


def _cut_out(text: str, start: str, rests: list[str]) -> str:
    first, *others = text.split(start)
    seen = [max(len(commonprefix((one, rest))) for rest in rests) for one in others]  # noqa: RUF071 - by character
    return first + "".join(f"[redacted]{one[length:]}" for one, length in zip(others, seen, strict=True))


def _read_redacted(body: bytes, secrets: tuple[str, ...]) -> ErrorBody:
    """Redact twice: before and after decoding the escapes. The cut must not fall within a secret."""
    start = body[: LARGEST_READ + sum(map(len, secrets))].decode("latin-1")
    read = read_error_body(redact(start, *secrets).encode("latin-1"))
    messages = [redact(text, *secrets) for text in read.messages]
    trace_id = redact(read.trace_id, *secrets) if read.trace_id else None
    return ErrorBody(messages, trace_id, read.is_json)


def _choose_type(status: int, messages: list[str], daily_spent: bool) -> type[ApiError]:
    traits = find_traits(status)
    if traits.error_type is RateLimitedError and daily_spent:
        return DailyLimitError
    if traits.error_type is AuthenticationError:
        certain = any(_is_expired(_plain(message), certain=True) for message in messages)
        return TokenExpiredError if certain else AuthenticationError
    if traits.is_about_content:
        for message in messages:
            if specific := _look_up(_OF_THE_REQUEST, message):
                return specific
    return traits.error_type


def _explain_sender(read: ErrorBody, traits: StatusTraits, *, stopped_on_the_way: bool) -> str:
    """Who sent it, if it was not the API."""
    if stopped_on_the_way:
        return _NOT_THE_API
    return _OF_A_NETWORK if traits.is_from_network and not read.is_json else ""


def _describe(status: int, messages: list[str], sender: str) -> str:
    """The error's text: the server's messages, and what to do."""
    said = "; ".join(text for message in messages if (text := _strip_status(status, message)))
    hints = dict.fromkeys(hint for message in messages if (hint := _look_up(_HINTS, message)))
    if sender:
        hints[sender] = None
    text = f"HTTP {status}: {clean_line(said, _LONGEST_TEXT) or _name_status(status)}"
    if hints and not text.endswith((".", "!", "?", "…")):
        text += "."
    return " ".join([text, *hints])


def _strip_status(status: int, message: str) -> str:
    """A message without the status code at its start, however often: the text has it already."""
    said = re.sub(_STATUS_AT_START.format(status=status), "", message)
    return message if said == message else said.strip(" .:;,-")


def _is_expired(text: str, *, certain: bool = False) -> bool:
    if not certain and text in _EXPIRED:
        return True
    return any(text.startswith(known) for known, is_certain in _EXPIRED.items() if is_certain)


def _look_up(table: Mapping[str, T], message: str) -> T | None:
    text = _plain(message)
    return next((value for known, value in table.items() if text.startswith(known)), None)


def _plain(message: str) -> str:
    """Normalize a message: case, apostrophes, and punctuation around it."""
    return message.replace("\u2019", "'").casefold().strip(" .,;:!?\"'…")


def _name_status(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no message"


UNREADABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
"""What msgspec raises on unexpected bytes; not all of it is a `ValueError` in every release."""
LARGEST_READ: Final = 64 * 1024
"""Bytes of an error body that are read."""
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
"""Keys that may hold the message, most specific first."""
_NO_TEXT: Final = frozenset(
    {"statuscode", "status", "code", "traceid", "timestamp", "path", "success", "resolution"}
)
"""Keys whose values are not messages."""
_FIELD: Final = partial(
    re.compile, r'"(?P<name>message|msg|traceId)"\s{0,20}:\s{0,20}"(?P<text>(?:[^"\\]|\\.){0,2000})', re.S
)
_JSON: Final = (b"{", b"[", b'"')

_Json: TypeAlias = "dict[str, object] | list[object] | str | int | float | bool | None"


class ErrorBody(Struct, frozen=True):
    """The content of an error body."""

    messages: list[str]
    """Each a short line; not many."""
    trace_id: str | None
    is_json: bool
    """The API sent it. Anything else was written by a proxy or the edge."""


def read_error_body(body: bytes) -> ErrorBody:
    """Read an error body of any shape; of a large one, only the beginning."""
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
    """The JSON value, and whether it could be decoded. Raw line breaks inside strings are tolerated."""
    try:
        return cast("_Json", msgspec.json.decode(content)), True
    except UNREADABLE:
        pass
    try:
        return cast("_Json", json.loads(content, strict=False)), True
    except UNREADABLE:
        return None, False


def _salvage(text: str) -> ErrorBody:
    """The message and the trace id of truncated or invalid JSON."""
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
    """The messages; of very many, the first ones and the number of the others."""
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
    """Next to the message, or in the object that contains it."""
    if not isinstance(decoded, dict):
        return None
    inner = decoded.get("error")
    nested = cast("dict[str, object]", inner).get("traceId") if isinstance(inner, dict) else None
    return decoded.get("traceId") or nested
