"""The whole answer of a call: not only its value, but status, headers, trace id, quota, attempts and body.

There is one set of operations. `with_response` wraps any of them and hands over what the call would
otherwise keep to itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from contextvars import ContextVar
from typing import Final, Generic, TypeVar, cast

import msgspec
from msgspec import Struct
from multidict import CIMultiDict

from ._api.body import read_trace_id
from ._limiter.headers import Quota, read_quota

T = TypeVar("T")


class Response(Struct, Generic[T], frozen=True):
    """A value and everything that came with it."""

    value: T
    status: int
    """HTTP status, 200 to 299."""
    headers: Mapping[str, str]
    """Headers of the answer; names in any case."""
    attempts: int
    """Requests sent for this call, those that read back included."""
    body: bytes
    """The body as it came."""
    unread: tuple[str, ...] = ()
    """Fields whose value could not be read; they are `None` in `value`."""
    reconciled: bool = False
    """The answer to the write itself was lost; reading the event back has shown that it was applied."""

    def __reduce__(self) -> tuple[type[Response[T]], tuple[object, ...]]:
        """Headers as aiohttp keeps them can be neither pickled nor copied."""
        fields = msgspec.structs.asdict(self) | {"headers": CIMultiDict(self.headers)}
        return type(self), tuple(fields.values())

    @property
    def quota(self) -> Quota:
        """What the rate limit headers said."""
        return read_quota(self.headers)

    @property
    def trace_id(self) -> str | None:
        """The server's `traceId`: support asks for it."""
        return read_trace_id(self.body)


answers: Final[ContextVar[list[Response[object]] | None]] = ContextVar("leadconnector_answers", default=None)
"""What the `with_response` around a call waits for; `None` if there is none."""


async def with_response(call: Awaitable[T]) -> Response[T]:
    """Await one call and return its whole answer.

    `await with_response(client.get_appointment(event_id))` takes the call itself, not a task that was already
    started. Raises what the call raises, and `TypeError` if its result is not the value of an answer.
    """
    collected: list[Response[object]] = []
    token = answers.set(collected)
    try:
        value = await call
    finally:
        answers.reset(token)
    for answer in reversed(collected):
        if answer.value is value:
            return cast("Response[T]", answer)
    raise TypeError("with_response takes one call of a client, such as client.get_appointment(…), not yet started")
