"""All locations of a job at once, each by itself.

A location that is slow, exhausted or refused never holds up another. When the job is to stop, nothing more is
started, what was not sent is withdrawn, and what was sent gets a while to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

from ..._api.precondition import ReadingClock
from ...client import LeadConnector
from ..eta import ReadingLog
from ..journal.rows import OpenRow, Position, record_moment
from ..journal.writer import JournalWriter
from ..states import JobOptions, JobProgress, RowOutcome, Stopped
from .execute import RowExecutor
from .in_flight import Moment, listen
from .location import Callbacks, LocationRun
from .progress import Progress
from .read_ahead import ReadAhead
from .schedule import LocationState

GRACE_SECONDS: Final = 10.0
"""How long rows that were sent may take to end after a stop."""
_FETCHED: Final = 200
_LEAST_FETCHED: Final = 16
_MOST_FETCHED: Final = 4000
"""Rows of all locations that are read from the journal ahead of their start."""
_BRISK: Final = 32
"""From this concurrency on, speed matters more than how few rows are in doubt after a crash."""
_MOST_AHEAD: Final = 1000
"""Rows of all locations whose journal entries are being written while others are at the server."""

Refresh = Callable[[str, Position, int], Awaitable[tuple[Position, list[RowOutcome]]]]
"""Reads so many rows of a location after one again; returns the last of them, and those that must be left out."""


class Runner:
    """Runs a job once."""

    def __init__(
        self,
        journal: JournalWriter,
        options: JobOptions,
        find_client: Callable[[str], LeadConnector],
        clock: ReadingClock,
        readings: ReadingLog,
        loads: dict[str, int],
        *,
        refresh: Refresh,
        on_outcome: Callable[[RowOutcome], None],
        limit: int | None = None,
    ) -> None:
        """`loads`: how many open rows each location has."""
        self._journal = journal
        self._options = options
        self._refresh = refresh
        self._on_outcome = on_outcome
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._progress = Progress(loads, options, readings, self._loop.time())
        self._runs = [self._build(location, find_client(location), clock, len(loads)) for location in loads]
        self._stopped: Stopped | None = None

    async def run(self) -> tuple[Stopped, ...]:
        """Carry out the open rows of all locations. Returns why it stopped early."""
        count = max(1, len(self._runs))
        fetched = max(_LEAST_FETCHED, min(_FETCHED, _MOST_FETCHED // count))
        tasks = [asyncio.create_task(run.run(fetched)) for run in self._runs]
        try:
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
        finally:
            await self._end()
        if self._stopped is not None:
            return (self._stopped,)
        return tuple(run.state.stopped for run in self._runs if run.state.stopped is not None)

    def stop(self, stopped: Stopped) -> int:
        """Start no more rows, and end soon; returns how many rows have requests at the server."""
        if self._stopped is None:
            self._stopped = stopped
            self._loop.call_later(GRACE_SECONDS, self._abandon)
            for run in self._runs:
                run.close()
        return sum(run.in_flight.sent for run in self._runs)

    def describe(self) -> JobProgress:
        """What `on_progress` is given."""
        return self._progress.describe(self._loop.time())

    async def _end(self) -> None:
        """In any case: withdraw what was not sent, and wait for what was sent, for a while.

        Nothing is at the server any more when this returns.
        """
        for run in self._runs:
            run.close()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_SECONDS):
                    await self._drain()
        finally:
            self._abandon()
            await self._drain()

    async def _drain(self) -> None:
        for run in self._runs:
            await run.in_flight.drain()

    def _abandon(self) -> None:
        for run in self._runs:
            run.in_flight.abandon()

    def _build(self, location: str, client: LeadConnector, clock: ReadingClock, locations: int) -> LocationRun:
        """With few locations, each starts rows far ahead; many keep the server busy without that."""
        options = self._options
        handler = listen(location, self._record_moment, client.on_event)
        client = client.with_options(priority="bulk", on_event=handler)
        self._progress.clients[location] = client
        ahead = 3 * options.concurrency if options.concurrency >= _BRISK else 0
        state = LocationState(
            location=location,
            options=options,
            most=options.concurrency + min(ahead, _MOST_AHEAD // locations),
            ahead=ReadAhead(clock, options.max_reading_age),
            free=options.concurrency,
        )
        callbacks = Callbacks(self._admit, self._report, partial(self._read_again, location))
        executor = RowExecutor(client, self._journal, options, clock)
        return LocationRun(state, executor, self._journal, callbacks)

    def _admit(self) -> bool:
        if self._limit is None:
            return True
        self._limit -= 1
        return self._limit >= 0

    async def _read_again(self, location: str, after: Position, most: int) -> Position:
        end, changed = await self._refresh(location, after, most)
        for outcome in changed:
            self._count(location, outcome)
        return end

    def _record_moment(self, moment: Moment) -> None:
        if self._journal.failure is None:
            self._journal.add(record_moment(moment.at, moment.location, moment.kind, moment.seconds))

    def _report(self, row: OpenRow, outcome: RowOutcome, seconds: float) -> None:
        self._progress.record_request(self._loop.time(), seconds)
        if row.parks is None:
            self._count(row.location, outcome)

    def _count(self, location: str, outcome: RowOutcome) -> None:
        stopped = self._progress.count(location, outcome)
        self._on_outcome(outcome)
        if stopped is not None:
            self.stop(stopped)
