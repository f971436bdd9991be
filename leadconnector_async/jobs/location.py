"""The rows of one location, carried out in their order.

Rule: rows start by rank; one that waits for others stays started until they are finished, and they have always
started before it. What stops the location leaves all rows that have not left where they were.

Knows the carrier and the journal. Must not know other locations.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec import Struct

from ..exceptions import LeadConnectorError
from . import ledger
from .carrier import LAST, Carrier, Halt, Passing, Result
from .flight import Flight
from .ledger import OpenRow, Standing
from .scribe import Scribe
from .states import FRESH_SECONDS, OPEN, JobOptions, RowOutcome, RowState, Stopped
from .stops import describe_stop

_MOST_TURNS: Final = 5
"""How often in a run a row is tried that meets something passing."""
_MOST_UNREACHABLE: Final = 5
"""Rows in a row that could not reach the server, after which the location stops."""
_GAP: Final = 0.5
_BLOCKING: Final = frozenset({"failed", "skipped", "refused", "unknown"})

Report = Callable[[OpenRow, RowOutcome, float], None]
Admit = Callable[[], bool]
"""Whether one more row may start."""
Refresh = Callable[[tuple[int, int]], Awaitable[None]]
"""Reads the next rows again, whose reading is no longer fresh."""


class Share(Struct, frozen=True):
    """How much of memory a location may take."""

    fetched: int
    """Rows that are read from the journal at once."""
    ahead: int
    """Rows that are started beyond those at the server: they are on their way to the disk, or back from it."""


class LocationRun:
    """One location, on its way."""

    def __init__(
        self,
        location: str,
        carrier: Carrier,
        scribe: Scribe,
        options: JobOptions,
        *,
        report: Report,
        admit: Admit,
        refresh: Refresh,
        share: Share,
    ) -> None:
        self.location = location
        self.stopped: Stopped | None = None
        self._carrier = carrier
        self._scribe = scribe
        self._options = options
        self._report = report
        self._admit = admit
        self._refresh = refresh
        self._fetched = share.fetched
        self._places = asyncio.Semaphore(options.concurrency)
        self._started = asyncio.Semaphore(options.concurrency + share.ahead)
        self._tasks: dict[asyncio.Task[None], Flight] = {}
        self._finished: dict[int, asyncio.Future[RowState]] = {}
        self._unreachable = 0
        self._turns: dict[int, int] = {}
        self._next_start = 0.0
        self._cursor = (-1, 0)
        self._closed = False
        self._starting: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Start rows until there are none, or the location stops; then wait for those that are under way."""
        self._starting = asyncio.get_running_loop().create_task(self._start_rows())
        try:
            await asyncio.wait([self._starting])
        finally:
            self._starting.cancel()
        await self.drain()
        if not self._starting.cancelled():
            self._failure = self._failure or self._starting.exception()
        if self._failure is not None:
            raise self._failure

    async def _start_rows(self) -> None:
        while not self._closed:
            rows = await self._scribe.run(partial(ledger.fetch_open, self.location, self._cursor, self._fetched))
            if rows:
                await self._start_all(rows)
            elif self._tasks:
                await self._wait_for_some()
            else:
                break

    async def _start_all(self, rows: list[OpenRow]) -> None:
        for row in rows:
            if row.rank >= LAST and self._cursor[0] < LAST:
                await self.drain()
            if row.state == "ready" and row.parks is None and row.read_at < time.time() - FRESH_SECONDS:
                await self._read_again()
                return
            if (finished := self._finished.get(row.number)) is not None:  # it is being put off at this moment
                await asyncio.shield(finished)
            self._cursor = (row.rank, row.number)
            await self._started.acquire()
            if self._closed or not self._admit():
                self._closed = True
                return
            await self._pace()
            self._start(row)

    def close(self, stopped: Stopped | None = None) -> None:
        """Start nothing more, and call back what has not left."""
        self._closed = True
        self.stopped = self.stopped or stopped
        if self._starting is not None:
            self._starting.cancel()
        for task, flight in self._tasks.items():
            if not flight.left:
                task.cancel()

    @property
    def under_way(self) -> int:
        """Rows that have left, and whose answer has not come."""
        return sum(flight.left for flight in self._tasks.values())

    async def drain(self) -> None:
        """Wait for all rows that are under way."""
        while self._tasks:
            await self._wait_for_some()

    def abandon(self) -> None:
        """Wait for nobody any more: what has left is looked at when the job is resumed."""
        for task in self._tasks:
            task.cancel()

    async def _wait_for_some(self) -> None:
        await asyncio.wait(list(self._tasks), return_when=asyncio.FIRST_COMPLETED)

    async def _pace(self) -> None:
        if self._options.rate is None:
            return
        now = asyncio.get_running_loop().time()
        self._next_start = max(now, self._next_start + 1 / self._options.rate)
        await asyncio.sleep(self._next_start - now)

    def _start(self, row: OpenRow) -> None:
        loop = asyncio.get_running_loop()
        flight = Flight()
        self._finished[row.number] = loop.create_future()
        task = loop.create_task(self._fly(row, flight))
        self._tasks[task] = flight
        task.add_done_callback(partial(self._land, row.number))

    def _land(self, number: int, task: asyncio.Task[None]) -> None:
        self._give_place(self._tasks.pop(task))
        self._started.release()
        finished = self._finished.pop(number)
        if not finished.done():
            finished.set_result("ready")
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error
            self.close()

    async def _fly(self, row: OpenRow, flight: Flight) -> None:
        blocked = await self._await_blockers(row)
        if blocked is not None:
            await self._settle_blocked(row, blocked)
            return
        try:
            result = await self._carrier.carry(row, flight, partial(self._take_place, flight))
        except Halt as halt:
            self.close(halt.stopped)
        except Passing as passing:
            await self._note_unreachable(row, str(passing))
        else:
            self._unreachable = 0
            if result is not None:
                self._give_place(flight)
                await self._keep(row, result)

    async def _take_place(self, flight: Flight) -> None:
        if not flight.placed:
            await self._places.acquire()
            flight.placed = True

    def _give_place(self, flight: Flight) -> None:
        """To the next row, as soon as this one's answer is there."""
        if flight.placed:
            flight.placed = False
            self._places.release()

    async def _keep(self, row: OpenRow, result: Result) -> None:
        """Nobody is told of an outcome before it is on the disk."""
        if row.waits_for and result.outcome.state in ("failed", "skipped"):
            result = await self._carrier.put_back(row, result)
        outcome = result.outcome
        await self._scribe.write(ledger.finish(row.number, outcome, time.time(), result.seconds, result.shown))
        self._finished[row.number].set_result(outcome.state)
        self._report(row, outcome, result.seconds)

    async def _await_blockers(self, row: OpenRow) -> Standing | None:
        """The row that keeps this one from going; `None` if it may go."""
        if not row.waits_for:
            return None
        for number in row.waits_for:
            if (finished := self._finished.get(number)) is not None:
                await asyncio.shield(finished)
        for standing in await self._scribe.run(partial(ledger.find_standings, row.waits_for)):
            if standing.state in OPEN or (standing.state in _BLOCKING and not self._may_try(row, standing.state)):
                return standing
        return None

    async def _settle_blocked(self, row: OpenRow, blocker: Standing) -> None:
        """A row whose blocker is still to go comes after it; one whose blocker has come to nothing is left out.

        Where the blocker does not come again in this run, the row is left for the next one.
        """
        if blocker.state in OPEN:
            comes = blocker.number in self._finished or (blocker.rank, blocker.number) > self._cursor
            if comes and not self._closed:
                await self._put_off(row, blocker.rank)
            return
        reason = f"line {blocker.line}, whose time it wants, has not moved ({blocker.state})"
        await self._keep(row, Result(_build_outcome(row, "skipped", reason)))

    def _may_try(self, row: OpenRow, state: RowState) -> bool:
        """The server's own slot check keeps the row from doing harm, or the slot is to be taken anyway."""
        if self._options.on_conflict == "force":
            return True
        return state == "unknown" and row.updates[-1].ignore_free_slot_validation is not True

    async def _note_unreachable(self, row: OpenRow, reason: str) -> None:
        """The row is tried again after all others, a few times; then it is left as it is, or has failed."""
        self._unreachable += 1
        turns = self._turns[row.number] = self._turns.get(row.number, 0) + 1
        if self._unreachable >= _MOST_UNREACHABLE:
            self.close(Stopped("unreachable", reason, self.location or None))
        elif turns < _MOST_TURNS:
            await asyncio.sleep(_GAP)
            await self._put_off(row, reason=reason)
        elif row.state != "sent":
            await self._keep(row, Result(_build_outcome(row, "failed", reason)))

    async def _put_off(self, row: OpenRow, behind: int = 0, reason: str = "") -> None:
        """Behind all that has started, so that it comes again in this run."""
        rank = max(LAST, row.rank + 1, behind + 1, self._cursor[0] + 1)
        await self._scribe.write(ledger.put_behind(row.number, rank, reason))

    async def _read_again(self) -> None:
        try:
            await self._refresh(self._cursor)
        except LeadConnectorError as error:
            stopped = describe_stop(error, self.location)
            if stopped is None:
                raise
            self.close(stopped)


def _build_outcome(row: OpenRow, state: RowState, reason: str) -> RowOutcome:
    return RowOutcome(
        line=row.line, event_id=row.event_id, location_id=row.location or None, state=state, reason=reason
    )
