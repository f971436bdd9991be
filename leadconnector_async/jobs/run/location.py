"""The rows of one location, carried out in their order.

Rows start by rank; one that waits for others stays started until they are finished, and they have always
started before it. What stops the location leaves all rows that have not left where they were. A row that needs
nothing but to be sent is a task only while it is at the server: on its way to the disk and back it is an entry.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from ...exceptions import JournalError, LeadConnectorError
from ..journal import rows
from ..journal import rows as journal_rows
from ..journal.rows import OpenRow, Position, Standing
from ..journal.writer import JournalWriter
from ..states import OPEN, JobOptions, OnConflict, RowOutcome, RowState, Stopped, describe_stop, wait_out
from .concurrency import MemoryShare, RowSemaphore
from .execute import LAST, Halt, Passing, Result, RowExecutor, build_result
from .in_flight import FLIGHT, InFlightRow, InFlightRows, RowMetrics
from .read_ahead import ReadAhead

_MOST_TURNS: Final = 5
"""How often in a run a row is tried that meets something passing."""
_MOST_UNREACHABLE: Final = 5
"""Rows in a row that could not reach the server, after which the location stops."""
_GAP: Final = 0.5

Report = Callable[[OpenRow, RowOutcome, float], None]
Admit = Callable[[], bool]
"""Whether one more row may start."""
Refresh = Callable[[Position, int], Awaitable[Position]]
"""Reads so many rows after one again; returns the last of them."""


class LocationRun:
    """One location, on its way."""

    def __init__(
        self,
        location: str,
        carrier: RowExecutor,
        scribe: JournalWriter,
        options: JobOptions,
        *,
        report: Report,
        admit: Admit,
        refresh: Refresh,
        share: MemoryShare,
        ahead: ReadAhead,
    ) -> None:
        self.location = location
        self.stopped: Stopped | None = None
        self.trips = InFlightRows()
        self._carrier = carrier
        self._scribe = scribe
        self._options = options
        self._report = report
        self._admit = admit
        self._refresh = refresh
        self._ahead = ahead
        self._fetched = share.fetched
        self._most = options.concurrency + share.ahead
        self._places = RowSemaphore(options.concurrency)
        self._unreachable = 0
        self._turns: dict[int, int] = {}
        self._next_start = 0.0
        self._cursor = (-1, 0)
        self._closed = self._called_back = False
        self._loop = asyncio.get_running_loop()
        self._starting: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Start rows until there are none, or the location stops; then wait for those that are under way."""
        self._starting = self._loop.create_task(self._start_rows())
        try:
            await asyncio.wait([self._starting])
        finally:
            self._starting.cancel()
        if not self._starting.cancelled() and (error := self._starting.exception()) is not None:
            self._break(error)
        await self.trips.drain()
        if self._failure is not None:
            raise self._failure

    async def _start_rows(self) -> None:
        while not self._closed:
            rows = await self._scribe.run(
                partial(journal_rows.fetch_open, self.location, self._cursor, self._fetched)
            )
            if rows:
                await self._start_all(rows)
            elif self.trips:
                await self.trips.wait_for_some()
            else:
                break

    async def _start_all(self, rows: list[OpenRow]) -> None:
        for row in rows:
            if row.rank >= LAST and row.rank > self._cursor[0] and self.trips:
                await self.trips.drain()  # some of which may be put off to a place before this one
                return
            if self._ahead.is_due(row):
                await self._read_again(row)
                return
            await self.trips.wait_for(row.number)  # it may be being put off at this moment
            self._cursor = (row.rank, row.number)
            while len(self.trips) >= self._most:
                await self.trips.wait_for_some()
            if self._closed or not self._admit():
                self._closed = True
                return
            await self._pace()
            self._start(row)

    def close(self, stopped: Stopped | None = None) -> None:
        """Start nothing more, and call back what has not left."""
        self._closed = self._called_back = True
        self.stopped = self.stopped or stopped
        if self._starting is not None:
            self._starting.cancel()
        self.trips.cancel_unsent()
        self._places.close()

    async def _pace(self) -> None:
        if self._options.rate is None:
            return
        now = self._loop.time()
        self._next_start = max(now, self._next_start + 1 / self._options.rate)
        await asyncio.sleep(self._next_start - now)

    def _start(self, row: OpenRow) -> None:
        trip = InFlightRow(row, RowMetrics())
        if row.state == "sent" or row.parks is not None or row.waits_for:
            self._take_off(trip)
        elif (late := self._carrier.find_late(row, trip.flight)) is not None:
            self._keep(trip, late)
        else:
            self._scribe.note(journal_rows.intend(row.number, time.time()), partial(self._queue, trip))
        self.trips.begin(trip)

    def _queue(self, trip: InFlightRow, failure: JournalError | None) -> None:
        """Its intent is on the disk, so that it may leave."""
        if failure is not None:
            self._break(failure)
            self.trips.land(trip)
        elif self._called_back:
            self._call_back(trip)
        else:
            self._places.ask(partial(self._seat, trip))

    def _seat(self, trip: InFlightRow, granted: bool) -> bool:
        if granted:
            trip.flight.placed = True
            self._take_off(trip)
        else:
            self._call_back(trip)
        return granted

    def _take_off(self, trip: InFlightRow) -> None:
        trip.task = self._loop.create_task(self._fly(trip))
        trip.task.add_done_callback(partial(self._return, trip))

    async def _fly(self, trip: InFlightRow) -> None:
        row, flight = trip.row, trip.flight
        FLIGHT.set(flight)
        try:
            result = await (self._carrier.send(row, flight) if flight.placed else self._carry(trip))
        except Halt as halt:
            flight.left = False  # it was refused, so that a stop need not wait for it
            if not self._closed and await wait_out(halt.stopped):
                await self._put_off(row, reason=str(halt))
            else:
                self.close(halt.stopped)
        except Passing as passing:
            await self._note_unreachable(trip, str(passing))
        else:
            self._unreachable = 0
            if result is not None:
                await self._settle(trip, result)

    async def _settle(self, trip: InFlightRow, result: Result) -> None:
        if trip.row.waits_for and result.outcome.state in ("failed", "skipped"):
            await self._take_place(trip.flight)
            result = await self._carrier.put_back(trip.row, result)
        self._give_place(trip.flight)
        self._keep(trip, result)

    async def _carry(self, trip: InFlightRow) -> Result | None:
        blocker = await find_blocker(trip.row, self.trips, self._scribe, self._options.on_conflict)
        if blocker is None:
            return await self._carrier.carry(trip.row, trip.flight, partial(self._take_place, trip.flight))
        return await self._settle_blocked(trip, blocker)

    def _return(self, trip: InFlightRow, task: asyncio.Task[None]) -> None:
        self._give_place(trip.flight)
        if task.cancelled():
            self._give_back(trip)
        elif (error := task.exception()) is not None:
            self._break(error)
        if not trip.kept:
            self.trips.land(trip)

    def _keep(self, trip: InFlightRow, result: Result) -> None:
        entry = journal_rows.finish(trip.row.number, result.outcome, time.time(), result.seconds, result.shown)
        self._scribe.note(entry, partial(self._tell, trip, result))
        trip.kept = True

    def _tell(self, trip: InFlightRow, result: Result, failure: JournalError | None) -> None:
        """Nobody is told of an outcome before it is on the disk."""
        self.trips.land(trip)
        if failure is not None:
            self._break(failure)
            return
        try:
            self._report(trip.row, result.outcome, result.seconds)
        except BaseException as error:  # whatever it is, `run` raises it, and nobody else is kept from being told
            self._break(error)

    def _break(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self.close()

    def _call_back(self, trip: InFlightRow) -> None:
        self._give_back(trip)
        self.trips.land(trip)

    def _give_back(self, trip: InFlightRow) -> None:
        """The journal may say that it was sent; it has not left."""
        if not trip.flight.left and trip.row.state == "ready" and self._scribe.failure is None:
            self._scribe.note(journal_rows.give_back(trip.row.number))

    async def _take_place(self, flight: RowMetrics) -> None:
        if flight.placed:
            return
        seated = self._loop.create_future()

        def seat(granted: bool) -> bool:
            flight.placed = granted and not seated.done()
            if flight.placed:
                seated.set_result(None)
            return flight.placed

        self._places.ask(seat)
        await seated

    def _give_place(self, flight: RowMetrics) -> None:
        """To the next row, as soon as this one's answer is there."""
        if flight.placed:
            flight.placed = False
            self._places.give_back()

    async def _settle_blocked(self, trip: InFlightRow, blocker: Standing) -> Result | None:
        """A row whose blocker is still to go comes after it; one whose blocker has come to nothing is left out.

        Where the blocker does not come again in this run, the row is left for the next one.
        """
        if blocker.state in OPEN:
            comes = blocker.number in self.trips or (blocker.rank, blocker.number) >= self._cursor
            if comes and not self._closed:
                await self._put_off(trip.row, blocker.rank)
            return None
        reason = f"line {blocker.line}, whose time it wants, has not moved ({blocker.state})"
        return build_result(trip.row, trip.flight, "skipped", reason)

    async def _note_unreachable(self, trip: InFlightRow, reason: str) -> None:
        """The row is tried again after all others, a few times; then it is left as it is, or has failed."""
        row = trip.row
        self._unreachable += 1
        turns = self._turns[row.number] = self._turns.get(row.number, 0) + 1
        if self._unreachable >= _MOST_UNREACHABLE:
            self.close(Stopped("unreachable", reason, self.location or None))
        elif turns < _MOST_TURNS:
            await asyncio.sleep(_GAP)
            await self._put_off(row, reason=reason)
        elif row.state != "sent":
            await self._settle(trip, build_result(row, trip.flight, "failed", reason))

    async def _put_off(self, row: OpenRow, behind: int = 0, reason: str = "") -> None:
        """Behind all that has started, so that it comes again in this run."""
        rank = max(LAST, row.rank + 1, behind + 1, self._cursor[0] + 1)
        await self._scribe.write(journal_rows.put_behind(row.number, rank, reason))

    async def _read_again(self, row: OpenRow) -> None:
        try:
            self._ahead.note(await self._refresh(self._cursor, self._ahead.plan(row)))
        except LeadConnectorError as error:
            stopped = describe_stop(error, self.location)
            if stopped is None:
                raise
            if not await wait_out(stopped):
                self.close(stopped)


_BLOCKING: Final = frozenset({"failed", "skipped", "refused", "unknown"})


async def find_blocker(
    row: OpenRow, trips: InFlightRows, scribe: JournalWriter, on_conflict: OnConflict
) -> Standing | None:
    """Wait for the rows that it waits for; what keeps it from going then, or `None`."""
    if not row.waits_for:
        return None
    for number in row.waits_for:
        await trips.wait_for(number)
    for standing in await scribe.run(partial(rows.find_standings, row.waits_for)):
        if standing.state in OPEN or (
            standing.state in _BLOCKING and not _may_try(row, standing.state, on_conflict)
        ):
            return standing
    return None


def _may_try(row: OpenRow, state: RowState, on_conflict: OnConflict) -> bool:
    if on_conflict == "force":
        return True
    return state == "unknown" and row.updates[-1].ignore_free_slot_validation is not True
