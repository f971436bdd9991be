"""An error answer, read: status and bytes in, the most specific error out.

Rule: any bytes at all give an `ApiError`, whose text is bounded. What a refusal of access means is decided by its
text, because the status alone does not say it [field]:

| refusal | means | what follows |
| --- | --- | --- |
| 401 with a text of `_NOT_THE_TOKENS_AGE` | token, scope or version is wrong | nothing: it says what to fix |
| 401 with a text of `_EXPIRED` | the token may have expired | a new one, where one can be had |
| any other 401 | stray: about one call in 1,500 is refused once [field] | the same again, once |
| 403 in JSON | the token is not for this location | nothing |
| any other 403 | somebody on the way refused it, and it has not reached the API | the same again, with back-off |

Pure. Must not import anything that awaits.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from os.path import commonprefix
from typing import Final, Literal, TypeAlias, TypeVar

from ._error_body import LARGEST_READ, UNREADABLE, ErrorBody, read_error_body
from ._statuses import find_traits
from ._texts import clean_line
from .exceptions import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    DailyLimitError,
    InvalidEventError,
    LeadConnectorError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    SlotUnavailableError,
    TokenExpiredError,
    UnprocessableError,
)

__all__ = ["UNREADABLE", "TokenRefusal", "judge_token_refusal", "read_error", "redact"]

T = TypeVar("T")

TokenRefusal: TypeAlias = Literal["final", "expired", "stray"]

_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: UnprocessableError,
    429: RateLimitedError,
}
_SLOT_TAKEN: Final = "the slot you have selected is no longer available"
_OF_THE_REQUEST: Final[dict[str, type[ApiError]]] = {
    _SLOT_TAKEN: SlotUnavailableError,
    "the event id is invalid": InvalidEventError,
}
"""What these texts say is so whichever status of a bad request they come with: 400 and 422 were seen [field]."""
_OTHER_MATTERS: Final = frozenset({401, 403, 407, 408, 425, 429})
"""4xx that are not about the request's content."""
_EXPIRED: Final = {
    "invalid jwt": True,
    "invalid token: access token is invalid": True,
    "jwt expired": True,
    "unauthorized": False,
}
"""What an expired token is refused with; whether the text can mean nothing else."""
_NOT_THE_TOKENS_AGE: Final = {
    "invalid private integration token": "Copy the Private Integration token of this Sub-Account again.",
    "the token is not authorized for this scope": (
        "Grant the scope calendars/events.write (to change) or calendars/events.readonly (to read)."
    ),
    "token's user type mismatch": "Use a token of the Sub-Account, not of the agency.",
    "version header was not found": "Something on the way removed the Version header.",
    "version header is invalid": "Pass version='2021-04-15'.",
}
_HINTS: Final = {
    **_NOT_THE_TOKENS_AGE,
    **dict.fromkeys(
        (text for text, certain in _EXPIRED.items() if certain),
        "The access token has expired or is not valid: give a fresh one, or a provider that fetches one.",
    ),
    "the token does not have access to this location": "Use the token of the Sub-Account that owns the event.",
    _SLOT_TAKEN: "Choose another slot, or set ignore_free_slot_validation=True.",
    "the event id is invalid": "The event was deleted, or never existed in this Sub-Account.",
    "the user id not part of calendar team": "Assign a member of the calendar's team; nothing was changed.",
    "a team member needs to be selected. assigneduserid is missing": "Set assigned_user_id as well.",
    "error code: 1010": "The edge refused the client's User-Agent.",
}
_NOT_THE_API: Final = "This did not come from the API: the edge or a proxy stopped the request on the way to it."
_LONGEST_TEXT: Final = 2_000
"""Letters of what all messages together say in the error's text."""
_SHORTEST_SECRET: Final = 8


def read_error(
    status: int,
    body: bytes,
    *,
    daily_spent: bool = False,
    secrets: tuple[str, ...] = (),
    hint_seconds: float | None = None,
) -> ApiError:
    """Turn an error answer into the most specific `ApiError`.

    `daily_spent` says that the headers showed an empty daily budget. `secrets` are cut out of every text. Of a
    large body, the first 64 KiB are looked at.
    """
    read = _read_redacted(body, secrets)
    error_type = _choose_type(status, read.messages, daily_spent)
    stopped_on_the_way = status == 403 and not read.is_json
    return error_type(
        _describe(status, read.messages, stopped_on_the_way=stopped_on_the_way),
        messages=read.messages,
        status=status,
        trace_id=read.trace_id,
        hint_seconds=hint_seconds,
        outcome="not_applied",  # of this answer alone; the call knows what was sent before it
        transient=stopped_on_the_way or (find_traits(status).is_transient and error_type is not DailyLimitError),
    )


def judge_token_refusal(error: LeadConnectorError) -> TokenRefusal | None:
    """What a refusal of the token means, by its text; `None` if the error is none."""
    if not isinstance(error, AuthenticationError) or error.status != 401:
        return None
    texts = [_plain(message) for message in error.messages]
    if any(text.startswith(tuple(_NOT_THE_TOKENS_AGE)) for text in texts):
        return "final"
    return "expired" if any(_is_expired(text) for text in texts) else "stray"


def redact(text: str, *secrets: str) -> str:
    """Cut tokens out of a text that the server has had a hand in, also where the text ends within one.

    No real token is shorter than eight letters; so many of its first ones tell it. Many begin alike.
    """
    for start in {secret[:_SHORTEST_SECRET] for secret in secrets if len(secret) >= _SHORTEST_SECRET}:
        if start in text:
            text = _cut_out(text, start, [one[_SHORTEST_SECRET:] for one in secrets if one.startswith(start)])
    return text


def _cut_out(text: str, start: str, rests: list[str]) -> str:
    first, *others = text.split(start)
    seen = [max(len(commonprefix((one, rest))) for rest in rests) for one in others]  # noqa: RUF071 - letters are meant
    return first + "".join(f"[redacted]{one[length:]}" for one, length in zip(others, seen, strict=True))


def _read_redacted(body: bytes, secrets: tuple[str, ...]) -> ErrorBody:
    """Twice: as it came, and as its escapes have it. What is cut off must not end within a secret."""
    start = body[: LARGEST_READ + sum(map(len, secrets))].decode("latin-1")
    read = read_error_body(redact(start, *secrets).encode("latin-1"))
    messages = [redact(text, *secrets) for text in read.messages]
    trace_id = redact(read.trace_id, *secrets) if read.trace_id else None
    return ErrorBody(messages, trace_id, read.is_json)


def _choose_type(status: int, messages: list[str], daily_spent: bool) -> type[ApiError]:
    if status == 429 and daily_spent:
        return DailyLimitError
    if status == 401:
        certain = any(_is_expired(_plain(message), certain=True) for message in messages)
        return TokenExpiredError if certain else AuthenticationError
    if 400 <= status < 500 and status not in _OTHER_MATTERS:
        for message in messages:
            if specific := _look_up(_OF_THE_REQUEST, message):
                return specific
    return ServerError if status >= 500 else _BY_STATUS.get(status, ApiError)


def _describe(status: int, messages: list[str], *, stopped_on_the_way: bool) -> str:
    """The error's text: what the server said, and what to do."""
    said = "; ".join(text for message in messages if (text := _strip_status(status, message)))
    hints = dict.fromkeys(hint for message in messages if (hint := _look_up(_HINTS, message)))
    if stopped_on_the_way:
        hints[_NOT_THE_API] = None
    text = f"HTTP {status}: {clean_line(said, _LONGEST_TEXT) or _name_status(status)}"
    if hints and not text.endswith((".", "!", "?", "…")):
        text += "."
    return " ".join([text, *hints])


def _strip_status(status: int, message: str) -> str:
    """A message less the status that it begins with, which was said already."""
    for start in (f"http {status}", f"error {status}", str(status)):
        rest = message[len(start) :]
        if message.casefold().startswith(start) and not rest[:1].isalnum():
            return rest.strip(" .:;,-")
    return message


def _is_expired(text: str, *, certain: bool = False) -> bool:
    if not certain and text in _EXPIRED:
        return True
    return any(text.startswith(known) for known, is_certain in _EXPIRED.items() if is_certain)


def _look_up(table: Mapping[str, T], message: str) -> T | None:
    text = _plain(message)
    return next((value for known, value in table.items() if text.startswith(known)), None)


def _plain(message: str) -> str:
    """Without what texts of one meaning differ in: case, the form of an apostrophe, what stands around them."""
    return message.replace("\u2019", "'").casefold().strip(" .,;:!?\"'…")


def _name_status(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no message"
