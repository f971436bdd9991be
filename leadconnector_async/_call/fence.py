"""The last check of leases, right before the socket write.

A slot that processes share is leased until a certain moment; after it, another process may get the slot. Waiting
for a connection, or being frozen, may take longer than that, so the moment is checked where nothing waits any more.
It travels in a context variable, past the layers of aiohttp. Without shared slots, nothing here is used.

Workers lease the locations of a job, too. Once such a lease has expired, another worker may be sending the same
rows: a write is then not retried with a new slot, it fails. Reads are harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Final, TypeAlias, TypeVar

import aiohttp
from aiohttp import abc
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from .._api.request import Request
from .proxy import ProxyRoute
from .reply import NoResponse, Progress, RawResponse
from .transport import CarefulRequest, LateError, TrackedBody, Transport

T = TypeVar("T")

Clock: TypeAlias = Callable[[], float]
"""A monotonic clock that is right even after the process was frozen."""

Held: TypeAlias = Callable[[], float]
"""Returns until when a worker may write to a location, by the same clock; each heartbeat extends it."""

HELD: Final[ContextVar[Held | None]] = ContextVar("leadconnector_async held", default=None)
"""Set in tasks that send the rows of a leased location; `None`: the location is not leased."""
_fence: Final[ContextVar[tuple[float, Clock, Held | None] | None]] = ContextVar(
    "leadconnector_async fence", default=None
)


class LostError(Exception):
    """The location belongs to another worker, or soon will. Nothing was sent."""

    def __str__(self) -> str:
        return "the lease of its location expired before it was sent"


class FencedTransport(Transport):
    """A transport that writes nothing once a lease of the request has expired, by this clock."""

    __slots__ = ("_clock",)

    def __init__(
        self, base_url: URL, borrowed: aiohttp.ClientSession | None, route: ProxyRoute | None, clock: Clock
    ) -> None:
        super().__init__(base_url, borrowed, route)
        self.body_type, self.request_type = FencedBody, FencedRequest
        self._clock = clock

    async def send(
        self,
        session: aiohttp.ClientSession,
        request: Request[T],
        headers: CIMultiDict[str],
        bounds: aiohttp.ClientTimeout,
        progress: Progress,
    ) -> RawResponse | NoResponse:
        """Send one request, by the moment in `progress`; a write, while its location is held."""
        _fence.set((progress.send_by, self._clock, None if request.body is None else HELD.get()))
        return await super().send(session, request, headers, bounds, progress)


class FencedRequest(CarefulRequest):
    """A request that checks its lease and its connection."""

    def send(self, conn: Connection) -> Coroutine[object, object, aiohttp.ClientResponse]:
        """Send it. Raises `LateError` or `LostError`, and keeps the connection.

        The next lease may not last for another one.
        """
        try:
            _check()
        except (LateError, LostError):
            conn.release()
            raise
        return super().send(conn)


class FencedBody(TrackedBody):
    """A body that checks the leases again: the loop turns before it is written."""

    def write_with_length(
        self, writer: abc.AbstractStreamWriter, content_length: int | None
    ) -> Coroutine[object, object, None]:
        """Write it. Raises `LateError` or `LostError`, and aiohttp closes the connection."""
        _check()
        return super().write_with_length(writer, content_length)


def _check() -> None:
    fence = _fence.get()
    if fence is None:
        return
    send_by, clock, held = fence
    now = clock()
    if held is not None and now >= held():
        raise LostError
    if now >= send_by:
        raise LateError
