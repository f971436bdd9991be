"""The moment in which a request leaves: what goes over which connection, and whether it has gone.

Kept connections that must not be used again are recognised before a byte of a request is written to them.

A server may close a kept connection, or write an answer to it that nobody has asked for, at any time; the next
request would be lost, or be given that answer. Both make the socket readable although nothing is awaited there, or
have been noticed by aiohttp already. A request that meets such a connection was provably never sent, so it is
made on another one, whatever it is.

What cannot be told is what arrives after the request has left: an answer that was pushed then passes as its own.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import abc
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_writer import StreamWriter
from aiohttp.payload import BytesPayload
from msgspec import Struct

from ._secret import Masked

_watches: Final[WeakKeyDictionary[ResponseHandler, Callable[[], object]]] = WeakKeyDictionary()
"""How to ask whether a connection that was used before is readable."""
_STALE: Final = "the kept connection was closed or written to by the server"


class Progress(Masked, Struct):
    """How far a request got; readable at any moment, even after a cancellation."""

    left: bool = False
    """A byte of it may have reached the server. A body notes when it leaves. Without one, all has left as soon as
    aiohttp is asked, unless a tunnel comes first: see `_transport`."""
    response: aiohttp.ClientResponse | None = None
    """The answer, from the moment that its headers were there."""
    answered_at: float = 0.0
    """That moment, by the loop's clock."""
    head: bytes = b""
    """How its body begins, if it came in parts."""


class TrackedBody(BytesPayload):
    """A body that notes when it, and with it the first byte of the request, is handed to the socket."""

    def __init__(self, content: bytes, progress: Progress) -> None:
        super().__init__(content, content_type="application/json")
        self._progress = progress

    def write_with_length(  # pyright: ignore[reportIncompatibleMethodOverride] - one coroutine fewer
        self, writer: abc.AbstractStreamWriter, content_length: int | None
    ) -> Coroutine[object, object, None]:
        # To a connection that has ended meanwhile aiohttp writes nothing: it raises.
        if isinstance(writer, StreamWriter):
            transport = writer.transport
            self._progress.left = transport is not None and not transport.is_closing()
        else:
            self._progress.left = True
        return super().write_with_length(writer, content_length)


class StaleConnectionError(aiohttp.ClientConnectionError):
    """The connection was closed, or written to, while it was idle; nothing was sent on it."""


class CarefulRequest(aiohttp.ClientRequest):
    """A request that looks at its connection right before it writes to it."""

    def send(  # pyright: ignore[reportIncompatibleMethodOverride] - one coroutine fewer
        self, conn: Connection
    ) -> Coroutine[object, object, aiohttp.ClientResponse]:
        """Send it. Raises `StaleConnectionError`, and aiohttp closes the connection then."""
        if is_stale(conn):
            raise StaleConnectionError(_STALE)
        return super().send(conn)


def make_careful(request_class: type[aiohttp.ClientRequest]) -> type[aiohttp.ClientRequest]:
    """The request class of a borrowed session, made as careful."""
    if request_class is aiohttp.ClientRequest:
        return CarefulRequest

    return type(request_class.__name__, (CarefulRequest, request_class), {})


def is_stale(connection: Connection) -> bool:
    """Tell whether a connection has ended, or holds bytes that belong to no request."""
    protocol = connection.protocol
    transport = None if protocol is None else protocol.transport
    if protocol is None or transport is None or transport.is_closing() or protocol.should_close:
        return True
    watch = _watches.get(protocol)
    if watch is not None:
        return bool(watch())
    # A new connection is not asked: a TLS server may have sent session tickets that are still to be read.
    if (sock := transport.get_extra_info("socket")) is not None:
        _watches[protocol] = _build_watch(sock.fileno())
    return False


def _build_watch(number: int) -> Callable[[], object]:
    if not hasattr(select, "poll"):
        return lambda: select.select([number], [], [], 0)[0]
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return partial(poll.poll, 0)
