"""One worker process on one database: it registers, works until it loses its lease, and registers again."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

from msgspec import Struct

from .._call.fence import Clock
from .._version import __version__
from ..exceptions import JournalError, LeadConnectorError
from .clients import Clients
from .journal import leases
from .journal.leases import WorkerEntry
from .journal.writer import JournalWriter
from .registration import Registration, Sweeper
from .run.lease import begin_lease
from .tickets import Tickets
from .worker_events import DatabaseBack, DatabaseLost, Emit, WorkerStarted, WorkerStopped
from .worker_locations import WorkerLocations

Connect: TypeAlias = Callable[[], Awaitable[JournalWriter]]
"""Opens a journal with a thread of its own. Raises `JournalError` if it cannot be reached, `ConfigurationError`."""

_FIRST_WAIT, _LATER_WAIT = 0.25, 0.5
"""Seconds between two attempts to connect. They do not grow, so work resumes soon after an outage ends."""
_FAILING_SECONDS: Final = 2.0
"""Wait after a short registration: with a full disk, the worker can connect, and its first commit fails."""
_OPEN_LEASES: Final = 3
"""Leases within which a worker must be registered: a proxy may stay connected, and never respond."""
_LEAVE_SECONDS: Final = 0.5
"""Timeout for handing back the remaining locations when the worker stops."""
_CLOSE_SECONDS: Final = 0.5
"""Timeout for closing connections at that point."""
_ENGINE_SECONDS: Final = 8.5
"""How long the engine may take to end before it is cancelled."""


class WorkerSettings(Struct, frozen=True, kw_only=True):
    """How a worker works."""

    slots: int
    lease: float
    clock: Clock
    connect_within: float
    """Seconds within which the database must be reached at the start."""


class _Opened(Struct):
    control: JournalWriter
    writer: JournalWriter
    registration: Registration


class Supervisor:
    """The worker of a process. `writes_tickets`: its sweeps also write tickets, for any worker to take."""

    def __init__(
        self,
        settings: WorkerSettings,
        connect: Connect,
        tickets: Tickets,
        clients: Clients,
        emit: Emit,
        *,
        writes_tickets: bool = True,
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._tickets = tickets
        self._clients = clients
        self._emit = emit
        self._writes_tickets = writes_tickets
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set. Raises `JournalError` if the database cannot be reached at the start.

        Raises `ConfigurationError` for tables or clients that cannot be used.
        """
        last: Registration | None = None
        try:
            while not stopping.is_set():
                opened = await self._begin(last, stopping)
                if opened is None:
                    break
                last = opened.registration
                await self._work(opened, stopping)
        finally:
            if last is not None:
                self._emit(WorkerStopped(last.worker))
            if self._closing:
                await asyncio.wait(self._closing, timeout=_CLOSE_SECONDS)

    async def _begin(self, last: Registration | None, stopping: asyncio.Event) -> _Opened | None:
        """Register as soon as the database can be reached; `None` if the worker is stopped before that."""
        began, seconds = self._settings.clock(), _FIRST_WAIT
        is_away = last is not None
        if last is not None:
            await self._note_loss(last, stopping)
        while not stopping.is_set():
            try:
                opened = await self._open_in_time(last)
            except JournalError as error:
                if last is None and self._settings.clock() >= began + self._settings.connect_within:
                    raise
                if not is_away:
                    self._emit(DatabaseLost(0, str(error)))
                is_away = True
            else:
                if is_away:
                    self._emit(DatabaseBack(opened.registration.worker, self._settings.clock() - began))
                return opened
            await _wait(stopping, seconds)
            seconds = _LATER_WAIT
        return None

    async def _note_loss(self, last: Registration, stopping: asyncio.Event) -> None:
        self._emit(DatabaseLost(last.worker, last.lost or ""))
        if last.lasted < self._settings.lease:
            await _wait(stopping, min(_FAILING_SECONDS, self._settings.lease / 2))

    async def _open_in_time(self, last: Registration | None) -> _Opened:
        seconds = _OPEN_LEASES * self._settings.lease
        try:
            async with asyncio.timeout(seconds):
                return await self._open(last)
        except TimeoutError:
            raise JournalError(f"The database has not responded within {seconds:g} s.") from None

    async def _open(self, last: Registration | None) -> _Opened:
        """Connect and register. The requests of the `last` one have ended, so its locations are released first."""
        settings, opened = self._settings, list[JournalWriter]()
        try:
            for _ in range(2):
                opened.append(await self._connect())
            control, writer = opened
            if last is not None:
                await control.run(partial(leases.leave, last.worker, last.culprit))
            sent_at = settings.clock()
            entry = WorkerEntry(
                lease=settings.lease,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=__version__,
                slots=settings.slots,
            )
            worker = await control.run(partial(leases.register, entry))
        except BaseException:
            self._close(*opened)
            raise
        sightings = None if last is None else last.lease.sightings
        lease = begin_lease(worker, settings.lease, sent_at, sightings)
        return _Opened(control, writer, Registration(lease, control, settings.clock))

    async def _work(self, opened: _Opened, stopping: asyncio.Event) -> None:
        registration, slots = opened.registration, self._settings.slots
        locations = WorkerLocations(registration, opened.writer, self._clients, slots, self._emit)
        sweeper = Sweeper(registration, self._tickets if self._writes_tickets else None, self._emit)
        self._emit(WorkerStarted(registration.worker))
        engine = asyncio.create_task(self._tickets.work(locations.work, slots, registration.over))
        loops = [
            asyncio.create_task(one)
            for one in (registration.beat(lambda: locations.busy), locations.watch(), sweeper.run())
        ]
        waiting = [asyncio.create_task(one.wait()) for one in (stopping, registration.over)]
        try:
            await asyncio.wait([engine, *loops, *waiting], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            engine.cancel()
            raise
        finally:
            registration.end()
            await _end_within(_ENGINE_SECONDS, engine)
            for task in (*loops, *waiting):
                task.cancel()
            await asyncio.wait([*loops, *waiting])
            with suppress(JournalError, TimeoutError):
                await asyncio.wait_for(
                    opened.control.run(partial(leases.leave, registration.worker, registration.culprit)),
                    _LEAVE_SECONDS,
                )
            self._close(opened.control, opened.writer)
        _raise_fault(registration.fault, engine, *loops)

    def _close(self, *journals: JournalWriter) -> None:
        """Close them in the background: a server that does not respond must not hold up the worker."""
        for journal in journals:
            task = asyncio.create_task(_close(journal))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


async def _close(journal: JournalWriter) -> None:
    with suppress(LeadConnectorError):
        await journal.close()


async def _end_within(seconds: float, engine: asyncio.Task[None]) -> None:
    """Wait for the engine to end; then cancel it, and wait a little longer."""
    await asyncio.wait([engine], timeout=seconds)
    if not engine.done():
        engine.cancel()
        await asyncio.wait([engine], timeout=_LEAVE_SECONDS)


def _raise_fault(fault: Exception | None, *tasks: asyncio.Task[None]) -> None:
    """Raise the error that ends the worker, if there is one: an unusable setting, or a bug of ours."""
    errors = [one.exception() for one in tasks if one.done() and not one.cancelled()]
    for error in (fault, *errors):
        if error is not None:
            raise error
