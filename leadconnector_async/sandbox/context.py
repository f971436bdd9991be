"""A request that was let in, what is read from it, and the result of its handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec
from msgspec import Struct

from . import responses
from .faults import Quirks
from .installs import Installs
from .store import Store
from .updates import Refusal, check_location


class RequestContext(Struct, frozen=True, kw_only=True):
    """A request whose token, version and rate are in order."""

    store: Store
    installs: Installs
    quirks: Quirks
    strict: bool
    location_id: str
    """Of the token; an agency's token has the agency's id here."""
    version: str
    ids: Mapping[str, str]
    """From the path, by `event_id`, `calendar_id`, `note_id`, `contact_id`, `user_id` and `location_id`."""
    pairs: Sequence[tuple[str, str]]
    """Of the query, in order."""
    body: bytes
    new_id: Callable[[], str]
    trace_id: str

    @property
    def query(self) -> Mapping[str, str]:
        """The last value of each parameter."""
        return dict(self.pairs)


class Result(Struct, frozen=True):
    """The response, and what was changed."""

    body: bytes
    status: int = 200
    changed: str | None = None
    """Id of the event that was changed."""


Handler: TypeAlias = Callable[[RequestContext], Result]


def respond(
    context: RequestContext, fields: Mapping[str, object], *, status: int = 200, changed: str | None = None
) -> Result:
    """A response of these fields and the trace id."""
    return Result(responses.encode({**fields, "traceId": context.trace_id}), status, changed)


def decode(body: bytes) -> object:
    """Read a body. Raises `Refusal`."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Refusal(400, "Bad Request") from None


def check_query_location(context: RequestContext) -> None:
    """Refuse a list without the location of its token."""
    check_location(require(context, "locationId"), context.location_id)


def require(context: RequestContext, name: str) -> str:
    """A parameter that the vendor's file requires. Raises `Refusal`."""
    text = context.query.get(name)
    if text is None:
        raise Refusal(422, [f"{name} should not be empty"])
    return text


def read_flag(context: RequestContext, name: str, *, default: bool = False) -> bool:
    """A boolean of the query. Raises `Refusal`."""
    text = context.query.get(name)
    if text not in (None, "true", "false"):
        raise Refusal(422, [f"{name} must be a boolean value"])
    return default if text is None else text == "true"


def read_number(context: RequestContext, name: str, default: int | None = None) -> int:
    """A whole number of the query; required if there is no default. Raises `Refusal`."""
    text = context.query.get(name, None if default is None else str(default))
    if text is None or not text.isdecimal() or len(text) > 14:
        raise Refusal(422, [f"{name} must be a number string"])
    return int(text)
