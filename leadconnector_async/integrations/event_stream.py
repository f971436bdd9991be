"""Server-sent events: a response that sends what happens until there is no more, or nobody listens any longer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final

from msgspec import Struct

try:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "this needs Starlette: pip install 'leadconnector-async[fastapi]', or starlette alone", name=error.name
    ) from error

_LINE_BREAK: Final = re.compile("\r\n|\r|\n")
"""Those of the standard: JSON may hold others."""
HEARTBEAT: Final = 15.0
"""Seconds between two signs of life: proxies close connections that are silent for longer."""
LONGEST: Final = 300.0
"""Seconds until a response ends: its client connects again, and whether it may listen is asked again."""
_RETRY_MILLISECONDS: Final = 2_000
"""How long a client waits before it connects again."""


class ServerEvent(Struct, frozen=True):
    """An event. `id` is what the client names when it connects again."""

    event: str
    id: str
    data: str

    def encode(self) -> bytes:
        """Encode it as the standard says; a line break in the data begins another line of data."""
        data = "".join(f"data: {line}\n" for line in _LINE_BREAK.split(self.data))
        return f"event: {self.event}\nid: {self.id}\n{data}\n".encode()


class EventStream(Response):
    """A response of events. Whatever ends it, the generator is closed before the response returns."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[ServerEvent]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(headers=headers)
        self._events = events
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until they end, the client disconnects, or the response has lasted long enough."""
        sending = asyncio.ensure_future(self._send(send))
        listening = asyncio.ensure_future(_wait_for_disconnect(receive))
        try:
            await asyncio.wait([sending, listening], timeout=LONGEST, return_when=asyncio.FIRST_COMPLETED)
            has_left = listening.done()
        finally:
            for task in (sending, listening):
                task.cancel()
            await asyncio.wait([sending, listening])
        error = None if sending.cancelled() else sending.exception()
        if has_left or isinstance(error, OSError):  # the client has disconnected
            return
        if error is not None:
            raise error
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._events):
            await _send_body(send, f"retry: {_RETRY_MILLISECONDS}\n\n".encode())
            while True:
                coming = asyncio.ensure_future(anext(self._events, None))
                try:
                    while not (await asyncio.wait([coming], timeout=HEARTBEAT))[0]:
                        await _send_body(send, b": still here\n\n")
                finally:
                    if not coming.done():
                        coming.cancel()
                        with suppress(asyncio.CancelledError):
                            await coming
                if (event := coming.result()) is None:
                    return
                await _send_body(send, event.encode())


async def _send_body(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
