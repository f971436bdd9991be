"""An error answer, read: status and bytes in, the most specific error out.

Rule: any bytes at all give an `ApiError`. `message` may be a string or a list, the body JSON of either shape,
text, HTML or nothing [field, September 2026]; `messages` is always a list of strings.

Pure. Must not import anything that awaits.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final, cast

import msgspec

from ._wire_models import ErrorBody
from .exceptions import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    DailyLimitError,
    InvalidEventError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    SlotUnavailableError,
    TokenExpiredError,
    UnprocessableError,
)

UNREADABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
"""What msgspec raises on bytes that are not what was hoped for; not all of it is a ValueError in every release."""
_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: UnprocessableError,
    429: RateLimitedError,
}
_BY_MESSAGE: Final[dict[tuple[int, str], type[ApiError]]] = {
    (400, "the slot you have selected is no longer available"): SlotUnavailableError,
    (400, "the event id is invalid"): InvalidEventError,
    (401, "invalid jwt"): TokenExpiredError,
}
_MENDS: Final = {
    "invalid jwt": "The access token has expired: give a fresh one, or a provider that fetches one.",
    "invalid private integration token": "Copy the Private Integration token of this Sub-Account again.",
    "the token is not authorized for this scope": (
        "Grant the scope calendars/events.write (to change) or calendars/events.readonly (to read)."
    ),
    "token's user type mismatch": "Use a token of the Sub-Account, not of the agency.",
    "version header was not found": "Something on the way removed the Version header.",
    "version header is invalid": "Pass version='2021-04-15'.",
    "the token does not have access to this location": "Use the token of the Sub-Account that owns the event.",
    "the slot you have selected is no longer available": (
        "Choose another slot, or set ignore_free_slot_validation=True."
    ),
    "the event id is invalid": "The event was deleted, or never existed in this Sub-Account.",
    "the user id not part of calendar team": "Assign a member of the calendar's team; nothing was changed.",
    "a team member needs to be selected. assigneduserid is missing": "Set assigned_user_id as well.",
    "error code: 1010": "The edge refused the client's User-Agent.",
}
_TAGS: Final = re.compile(r"(?is)<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^>]*>")
_SPACE: Final = re.compile(r"[\s\x00-\x1f\x7f]+")
_LONGEST_TEXT: Final = 300
_SHORTEST_SECRET: Final = 8
_decode: Final = msgspec.json.Decoder(ErrorBody).decode


def read_error(
    status: int,
    body: bytes,
    *,
    daily_spent: bool = False,
    secret: str = "",
    hint_seconds: float | None = None,
) -> ApiError:
    """Turn an error answer into the most specific `ApiError`.

    `daily_spent` says that the headers showed an empty daily budget. `secret` is cut out of every text.
    """
    body = redact(body.decode("latin-1"), secret).encode("latin-1")
    decoded = _decode_body(body)
    messages = [redact(text, secret) for text in _read_messages(decoded, body)]
    trace_id = decoded.trace_id if decoded is not None and isinstance(decoded.trace_id, str) else None
    error_type = _choose_type(status, messages, daily_spent)
    text = f"HTTP {status}: {'; '.join(messages) or _reason(status)}"
    mends = [mend for message in messages if (mend := _MENDS.get(_plain(message)))]
    return error_type(
        " ".join([text, *mends]),
        messages=messages,
        status=status,
        trace_id=redact(trace_id, secret) if trace_id else None,
        hint_seconds=hint_seconds,
    )


def _decode_body(body: bytes) -> ErrorBody | None:
    try:
        return _decode(body)
    except UNREADABLE:
        return None


def _read_messages(decoded: ErrorBody | None, body: bytes) -> list[str]:
    if decoded is None:
        text = _plain_text(body)
        return [text] if text else []
    for value in (decoded.message, decoded.error, decoded.name):
        if found := [text for part in _list_parts(value) if (text := _one_line(str(part)))]:
            return found
    return []


def _list_parts(value: object) -> list[object]:
    parts = cast("list[object]", value) if isinstance(value, list) else [value]
    return [part for part in parts if part is not None]


def _plain_text(body: bytes) -> str:
    text = body[:20_000].decode("utf-8", "replace")
    if "<" in text:
        from html import unescape  # noqa: PLC0415 - only pages need its large table

        text = unescape(_TAGS.sub(" ", text))
    return _one_line(text)


def _one_line(text: str) -> str:
    line = _SPACE.sub(" ", text).strip()
    return line if len(line) <= _LONGEST_TEXT else f"{line[:_LONGEST_TEXT]}…"


def _choose_type(status: int, messages: list[str], daily_spent: bool) -> type[ApiError]:
    if status == 429 and daily_spent:
        return DailyLimitError
    for message in messages:
        if specific := _BY_MESSAGE.get((status, _plain(message))):
            return specific
    return ServerError if status >= 500 else _BY_STATUS.get(status, ApiError)


def _plain(message: str) -> str:
    return message.casefold().rstrip(" .!")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no message"


def redact(text: str, secret: str) -> str:
    """Cut a token out of a text that the server has had a hand in. No real token is shorter than eight letters."""
    return text.replace(secret, "[redacted]") if len(secret) >= _SHORTEST_SECRET else text
