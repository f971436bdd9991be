"""The whole response to a call: its value with status code, headers, trace id, quota, attempts and body.

Every operation returns its value alone; wrapped in `with_response`, it returns the whole response.
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
    """The value of a call and the HTTP response that it was read from."""

    value: T
    """What the call returns without `with_response`."""
    status: int
    """HTTP status code, 200 to 299."""
    headers: Mapping[str, str]
    """Response headers, with case-insensitive names."""
    attempts: int
    """Requests sent for this call, including those that read back."""
    body: bytes
    """The raw body."""
    unread: tuple[str, ...] = ()
    """Names of fields that could not be read; they are `None` in `value`."""
    reconciled: bool = False
    """The response to the write was lost, and reading it back showed that it was applied. Of a creation, status,
    headers and body are then those of the list in which it was found."""

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({fields})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Without headers and body: the body may hold what the repr of the value hides."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in ("headers", "body")]

    def __reduce__(self) -> tuple[type[Response[T]], tuple[object, ...]]:
        """Support pickling and copying, which aiohttp's own headers do not."""
        fields = msgspec.structs.asdict(self) | {"headers": CIMultiDict(self.headers)}
        return type(self), tuple(fields.values())

    @property
    def quota(self) -> Quota:
        """The rate limit headers."""
        return read_quota(self.headers)

    @property
    def trace_id(self) -> str | None:
        """The server's `traceId`, which HighLevel's support asks for."""
        return read_trace_id(self.body)


collected: Final[ContextVar[list[Response[object]] | None]] = ContextVar("leadconnector_responses", default=None)
"""The responses collected for the surrounding `with_response`; `None` outside one."""


async def with_response(call: Awaitable[T]) -> Response[T]:
    """Await one call and return its whole response.

    `call` is the call itself, not a task: `await with_response(client.get_appointment(event_id))`. Raises what the
    call raises, and `TypeError` if the awaitable is not a call of a client, or one that combines several responses,
    such as `find_appointments`.
    """
    responses: list[Response[object]] = []
    token = collected.set(responses)
    try:
        value = await call
    finally:
        collected.reset(token)
    for response in reversed(responses):
        if response.value is value:
            return cast("Response[T]", response)
    if len(responses) > 1:
        raise TypeError(f"with_response takes a call with one response; this one has combined {len(responses)}")
    raise TypeError("with_response takes a call that has not started, such as client.get_appointment(…)")
