"""A registration of a worker: it lasts until a graceful shutdown, or until its lease or the database is lost.

Its state in memory can be discarded at any time: whoever takes over reads everything from the tables.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from .._call.fence import Clock
from ..exceptions import JournalError, StoreUnavailableError
from .journal import leases
from .journal.groups import Hold
from .journal.phases import move_on
from .journal.protocol import DatabaseAwayError, EntryError, Journal
from .journal.writer import JournalWriter
from .run.lease import Beaten, Lease, Missed, Woke, next_step, observe
from .tickets import Ticket, Tickets
from .worker_events import Emit, JobChanged

_LOOK_SECONDS: Final = 0.5
"""Seconds between two searches for work; after a worker has died, there is one at once."""
_MOST_TICKETS: Final = 5_000
"""Maximum per batch."""
_CLEAN_LEASES: Final = 10
"""After this many leases all tickets are written again: the engine may have lost some."""
T = TypeVar("T")


class Registration:
    """What a worker knows of its registration, and how it is kept."""

    def __init__(self, lease: Lease, control: JournalWriter, clock: Clock) -> None:
        """`control`: a journal that only this uses, so that no beat waits for a commit of rows."""
        self.lease = lease
        self.clock = clock
        self.over: Final = asyncio.Event()
        """Set when no more locations are taken; the work on those that are held is being ended."""
        self.lost: str | None = None
        """Why the worker may not write any more; `None` while it may."""
        self.culprit: Hold | None = None
        """The location whose statements failed first, if that is why."""
        self.fault: Exception | None = None
        """The error that must end the worker, if there is one."""
        self._began = clock()
        self._control = control
        self._close: Callable[[], None] | None = None

    @property
    def worker(self) -> int:
        """The id of the worker."""
        return self.lease.worker

    @property
    def lasted(self) -> float:
        """Seconds since the registration began."""
        return self.clock() - self._began

    def closes(self, close: Callable[[], None]) -> None:
        """Set the function to call when the registration is over."""
        self._close = close

    async def ask(self, work: Callable[[Journal], T], about: Hold | None = None) -> T:
        """Run a function on the control journal, about a location or none. A failure loses the registration."""
        try:
            return await self._control.run(work)
        except EntryError:  # only one value or location is affected
            raise
        except JournalError as error:
            self.lose_by(error, about)
            raise

    def end(self, fault: Exception | None = None) -> None:
        """End it in order: take no more locations and close the runs. A fault also ends the worker."""
        if fault is not None and self.fault is None:
            self.fault = fault
        if not self.over.is_set():
            self.over.set()
            if self._close is not None:
                self._close()

    def lose_by(self, error: JournalError, about: Hold | None) -> None:
        """Lose the registration by an error, for which the location is blamed unless the whole database is away."""
        self.lose(str(error), None if isinstance(error, DatabaseAwayError) else about)

    def lose(self, reason: str, culprit: Hold | None = None) -> None:
        """Lose the registration: from now on nothing may be written, whatever is running."""
        self.lease.lost = True
        if self.lost is None:
            self.lost, self.culprit = reason, culprit
        self.end()

    async def beat(self, count_busy: Callable[[], int]) -> None:
        """Send heartbeats until the registration is lost or this is cancelled."""
        sending: asyncio.Task[None] | None = None
        try:
            while not self.lost:
                action = next_step(self.lease, Woke(self.clock()))
                if action == "beat":
                    sending = asyncio.create_task(self._send_beat(count_busy()))
                elif action == "lost":
                    self.lose("its lease has expired")
                delay = max(0.0, self.lease.wakes_at - self.clock())
                if sending is not None and not sending.done():
                    await asyncio.wait([sending], timeout=delay)
                else:
                    await asyncio.sleep(delay)
        finally:
            if sending is not None:
                sending.cancel()

    async def _send_beat(self, busy: int) -> None:
        sent_at = self.lease.sent_at
        state = "ending" if self.over.is_set() else "working"
        try:
            found = await self.ask(partial(leases.beat, self.worker, state, busy))
        except JournalError:
            next_step(self.lease, Missed())
            return
        if next_step(self.lease, Beaten(found, sent_at, self.clock())) == "lost":
            self.lose("other workers declared it dead" if not found else "its lease has expired")


class Sweeper:
    """Removes dead workers, frees their locations, moves jobs to their next phase, and writes tickets.

    Every worker does so. With `tickets=None`, tickets are left to the others.
    """

    def __init__(self, registration: Registration, tickets: Tickets | None, emit: Emit) -> None:
        self._registration = registration
        self._tickets = tickets
        self._emit = emit
        self._looked_at = self._cleaned_at = -math.inf

    async def run(self) -> None:
        """Sweep until the registration is lost or this is cancelled."""
        while not self._registration.lost:
            with suppress(JournalError):  # the registration is lost, unless the error is about one invalid value
                await self._sweep()
            await asyncio.sleep(self._registration.lease.sweep_seconds)

    async def _sweep(self) -> None:
        has_died = await self._bury()
        if has_died:  # it may have held a ticket that it had not used yet
            self._cleaned_at = -math.inf
        if has_died or self._registration.clock() >= self._looked_at + _LOOK_SECONDS:
            await self._look()

    async def _bury(self) -> bool:
        registration = self._registration
        beats = await registration.ask(leases.list_beats)
        dead = observe(registration.lease, beats, registration.clock())
        buried = [await registration.ask(partial(leases.bury, one)) for one in dead]
        return any(buried)

    async def _look(self) -> None:
        registration, self._looked_at = self._registration, self._registration.clock()
        await registration.ask(leases.stop_looping)
        await registration.ask(leases.free_locations)
        for state in await registration.ask(partial(move_on, time.time())):
            self._emit(JobChanged(registration.worker, state.name, state.phase))
        if self._tickets is not None:
            with suppress(StoreUnavailableError):  # the engine's connection only: the next sweep tries again
                await self._write_tickets(self._tickets)

    async def _write_tickets(self, tickets: Tickets) -> None:
        registration = self._registration
        if registration.clock() >= self._cleaned_at + _CLEAN_LEASES * registration.lease.seconds:
            self._cleaned_at = registration.clock()
            await tickets.clean()
            await registration.ask(leases.forget_tickets)
        while True:
            waiting = await registration.ask(partial(leases.list_unticketed, time.time(), _MOST_TICKETS))
            if waiting:
                await tickets.defer([Ticket(one.job, one.location) for one in waiting])
                await registration.ask(partial(leases.mark_ticketed, waiting))
            if len(waiting) < _MOST_TICKETS:
                return
