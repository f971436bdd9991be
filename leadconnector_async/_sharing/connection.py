"""One connection to a server per event loop: opened by its first use, replaced when it is broken.

Drivers repeat, wait and cancel in their own ways: redis-py for seconds, psycopg by asking a server that hangs. So
their work runs in a task of its own, and a caller that does not want it any more breaks the connection under it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

from ..exceptions import StoreUnavailableError
from .store import STORE_SECONDS

T = TypeVar("T")

_INHERITED: Final[list[object]] = []
"""Connections of the process that this one was forked from: closing one here would end it there."""


class Connection(Protocol):
    """An open connection of a driver. Its errors are `StoreUnavailableError` and `ConfigurationError` only."""

    @property
    def is_broken(self) -> bool:
        """Whether it cannot be used any more."""
        ...

    def abandon(self) -> None:
        """Break it at once: what waits for it ends. Never raises."""
        ...

    async def aclose(self) -> None:
        """Close it while nothing runs. Never raises."""
        ...


C = TypeVar("C", bound=Connection)


class _LoopConnection(Generic[C]):
    """The connection of one event loop, used by one task at a time."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.connection: C | None = None


class ConnectionKeeper(Generic[C]):
    """Runs work on a connection. `name` is what errors call the store.

    `connect` opens a connection, and can be cancelled; `check` is done first on each.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Awaitable[C]],
        check: Callable[[C], Awaitable[object]] | None = None,
    ) -> None:
        self._name = name
        self._connect = connect
        self._check = check
        self._process = os.getpid()
        self._by_loop: dict[asyncio.AbstractEventLoop, _LoopConnection[C]] = {}
        self._ending: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._name}>"

    async def run(
        self, work: Callable[[C], Awaitable[T]], *, seconds: float = STORE_SECONDS, may_repeat: bool = False
    ) -> T:
        """Do some work within `seconds`, connecting included. Raises `StoreUnavailableError`.

        Work that `may_repeat` is done again on a new connection if an old one turns out to be closed.
        """
        own = self._find_own()
        try:
            async with asyncio.timeout(seconds), own.lock:
                was_open = own.connection is not None
                try:
                    return await self._use(own, work)
                except StoreUnavailableError:
                    if not (may_repeat and was_open):
                        raise
                return await self._use(own, work)
        except TimeoutError:
            raise StoreUnavailableError(f"{self._name} did not respond within {seconds:g} s") from None

    async def aclose(self) -> None:
        """Close the connection of this loop, and those of loops that have ended."""
        own = self._find_own()
        async with own.lock:
            await self._close(own)

    def _find_own(self) -> _LoopConnection[C]:
        if self._process != os.getpid():
            _INHERITED.append(self._by_loop)
            self._process, self._by_loop = os.getpid(), {}
        loop = asyncio.get_running_loop()
        own = self._by_loop.get(loop)
        if own is None:
            for ended in [one for one in list(self._by_loop) if one.is_closed()]:  # other threads have loops, too
                gone = self._by_loop.pop(ended, None)
                if gone is not None and gone.connection is not None:
                    gone.connection.abandon()
            own = self._by_loop[loop] = _LoopConnection()
        return own

    async def _close(self, own: _LoopConnection[C]) -> None:
        connection, own.connection = own.connection, None
        if connection is not None:
            await connection.aclose()

    async def _use(self, own: _LoopConnection[C], work: Callable[[C], Awaitable[T]]) -> T:
        """Needs the lock."""
        if own.connection is None:
            own.connection = await self._connect()
            if self._check is not None:
                try:
                    await self._shield(own, own.connection, self._check)
                except Exception:
                    await self._close(own)
                    raise
        return await self._shield(own, own.connection, work)

    async def _shield(self, own: _LoopConnection[C], connection: C, work: Callable[[C], Awaitable[T]]) -> T:
        task = asyncio.ensure_future(work(connection))
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            own.connection = None
            connection.abandon()
            ending = asyncio.ensure_future(_end(task, connection))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            raise
        if connection.is_broken:
            own.connection = None
            await connection.aclose()
        return task.result()


async def _end(task: asyncio.Future[T], connection: Connection) -> None:
    """Close a connection once the work that nobody waits for any more has noticed that it is broken."""
    try:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not report it
    finally:
        await connection.aclose()
