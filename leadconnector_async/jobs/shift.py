"""A shift of a worker: from one registration until it ends in order, or has lost its lease or the database.

Nothing that is known in it is needed afterwards: whoever comes next reads it from the tables.
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
from .journal.phases import move_on
from .journal.protocol import EntryError, Journal
from .journal.writer import JournalWriter
from .run.lease import Beaten, Lease, Missed, Woke, next_step, observe
from .tickets import Ticket, Tickets
from .worker_events import Emit, JobChanged

_LOOK_SECONDS: Final = 0.5
"""How often is looked for what is to be done, unless somebody has just died."""
_MOST_TICKETS: Final = 5_000
"""Written at once."""
_CLEAN_LEASES: Final = 10
"""Leases after which all tickets are written again: the engine may have lost some."""
T = TypeVar("T")


class Shift:
    """One registration."""

    def __init__(self, lease: Lease, control: JournalWriter, clock: Clock) -> None:
        """`control`: a journal of its own, so that no beat waits for a commit."""
        self.lease = lease
        self.clock = clock
        self.over: Final = asyncio.Event()
        """Nothing more is taken, and what was taken ends soon."""
        self.lost: str | None = None
        """Why it may not write any more, if so."""
        self.fault: Exception | None = None
        """Why the worker must end, if so."""
        self._began = clock()
        self._control = control
        self._close: Callable[[], None] | None = None

    @property
    def worker(self) -> int:
        """The id of its row."""
        return self.lease.worker

    @property
    def lasted(self) -> float:
        """Seconds since it began."""
        return self.clock() - self._began

    def closes(self, close: Callable[[], None]) -> None:
        """Call this when it is over."""
        self._close = close

    async def ask(self, work: Callable[[Journal], T]) -> T:
        """Run a function on the journal of control. If the database fails, the shift is lost."""
        try:
            return await self._control.run(work)
        except EntryError:  # of a single value
            raise
        except JournalError as error:
            self.lose(str(error))
            raise

    def end(self, fault: Exception | None = None) -> None:
        """Take nothing more, and close what runs; with a fault, the worker is to end."""
        if fault is not None and self.fault is None:
            self.fault = fault
        if not self.over.is_set():
            self.over.set()
            if self._close is not None:
                self._close()

    def lose(self, reason: str) -> None:
        """Write nothing more: at once, whatever runs."""
        self.lease.lost = True
        if self.lost is None:
            self.lost = reason
        self.end()

    async def beat(self, count_busy: Callable[[], int]) -> None:
        """Show the others that the worker lives, until the shift is lost, or this is cancelled."""
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
            self.lose("other workers took it for dead" if not found else "its lease has expired")


class Sweeper:
    """Looks after all others: buries the dead, frees what they held, moves jobs on, and writes tickets.

    Every worker does so. Without tickets, others write them.
    """

    def __init__(self, shift: Shift, tickets: Tickets | None, emit: Emit) -> None:
        self._shift = shift
        self._tickets = tickets
        self._emit = emit
        self._looked_at = self._cleaned_at = -math.inf

    async def run(self) -> None:
        """Until the shift is lost, or this is cancelled."""
        while not self._shift.lost:
            with suppress(JournalError):  # it is lost then, unless it is about a value that nobody has written
                await self._sweep()
            await asyncio.sleep(self._shift.lease.sweep_seconds)

    async def _sweep(self) -> None:
        has_died = await self._bury()
        if has_died:  # perhaps with a ticket that it had not used yet
            self._cleaned_at = -math.inf
        if has_died or self._shift.clock() >= self._looked_at + _LOOK_SECONDS:
            await self._look()

    async def _bury(self) -> bool:
        shift = self._shift
        beats = await shift.ask(leases.list_beats)
        dead = observe(shift.lease, beats, shift.clock())
        buried = [await shift.ask(partial(leases.bury, one)) for one in dead]
        return any(buried)

    async def _look(self) -> None:
        shift, self._looked_at = self._shift, self._shift.clock()
        await shift.ask(leases.stop_looping)
        await shift.ask(leases.free_locations)
        for state in await shift.ask(partial(move_on, time.time())):
            self._emit(JobChanged(shift.worker, state.name, state.phase))
        if self._tickets is not None:
            with suppress(StoreUnavailableError):  # the engine's connection only: the next time, then
                await self._write_tickets(self._tickets)

    async def _write_tickets(self, tickets: Tickets) -> None:
        shift = self._shift
        if shift.clock() >= self._cleaned_at + _CLEAN_LEASES * shift.lease.seconds:
            self._cleaned_at = shift.clock()
            await tickets.clean()
            await shift.ask(leases.forget_tickets)
        while True:
            places = await shift.ask(partial(leases.list_unticketed, time.time(), _MOST_TICKETS))
            if places:
                await tickets.defer([Ticket(one.job, one.location) for one in places])
                await shift.ask(partial(leases.mark_ticketed, places))
            if len(places) < _MOST_TICKETS:
                return
