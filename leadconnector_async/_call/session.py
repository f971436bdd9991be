"""The aiohttp sessions to send with: our own, and one of our own on the connections of a borrowed one."""

from __future__ import annotations

import asyncio
import os
from copy import copy
from typing import Final

import aiohttp
from msgspec import Struct

_MOST_CONNECTIONS: Final = 1000
"""Far more than a location's limit allows in flight, far fewer than a process may open."""
_INHERITED: Final[list[object]] = []
"""Connections of the process that this one was forked from: closing one here would end it there."""
_RESPECTED: Final = (
    "trace_configs",
    "middlewares",
    "read_bufsize",
    "max_line_size",
    "max_field_size",
    "max_headers",
    "skip_auto_headers",
    "version",
    "response_class",
)
"""Settings of a borrowed session that concern the transport. Its headers, cookies, credentials and timeouts are not
used: ours bound each attempt."""


class Home(Struct, frozen=True):
    """Where a session was opened."""

    loop: asyncio.AbstractEventLoop
    pid: int

    @classmethod
    def find(cls, loop: asyncio.AbstractEventLoop) -> Home:
        """In this process."""
        return cls(loop, os.getpid())

    def disown(self, session: aiohttp.ClientSession) -> bool:
        """Forget a session of the process that this one was forked from; returns whether it is one.

        Only that process runs its event loop, also where the loop says that it is running.
        """
        if self.pid == os.getpid():
            return False
        _INHERITED.append(session.connector)
        session.detach()
        return True


def make_session(request_class: type[aiohttp.ClientRequest]) -> aiohttp.ClientSession:
    """A session of our own."""
    return _quiet(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_MOST_CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=request_class,
        )
    )


def borrow(session: aiohttp.ClientSession, request_class: type[aiohttp.ClientRequest]) -> aiohttp.ClientSession:
    """A session of our own on the connections of a borrowed one, without its cookies and headers.

    The borrowed session itself is unchanged: what must be switched off here may be needed there.
    """
    return _quiet(
        aiohttp.ClientSession(
            connector=session.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=request_class,
            **{name: copy(getattr(session, f"_{name}")) for name in _RESPECTED},
        )
    )


def _quiet(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    # aiohttp sends a PUT again by itself when a kept connection drops; that must be decided here.
    session._retry_connection = False  # pyright: ignore[reportPrivateUsage] - no public switch
    return session
