"""The locations of a job that run in this process, each by itself.

A location that is slow, exhausted or refused never holds up another. When the job is to stop, nothing more is
started, what was not sent is withdrawn, and what was sent gets a while to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from ..._api.precondition import ReadingClock
from ..._call.fence import Held
from ...client import LeadConnector
from ..control import Control
from ..eta import ReadingLog
from ..journal.instructions import Wanted
from ..journal.rows import OpenRow, Position, record_moment
from ..journal.writer import JournalWriter
from ..states import JobProgress, RowOutcome, Stopped
from .execute import RowExecutor
from .in_flight import Moment, RowListener
from .location import Callbacks, LocationRun
from .progress import Progress
from .read_ahead import ReadAhead
from .schedule import LocationState
from .start_ahead import StartAhead, count_allowed

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

Refresh = Callable[[Position, int], Awaitable[tuple[Position, list[RowOutcome]]]]
"""Reads so many rows of a location after one again; returns the last of them, and those that must be left out."""
T = TypeVar("T")


class Runner:
    """What the locations of a job that run in this process have in common: when to stop, the limit, the progress.

    They end early when the job is stopped, and when its `Control` no longer wants it to run.
    """

    def __init__(
        self,
        control: Control,
        clock: ReadingClock,
        readings: ReadingLog,
        *,
        on_outcome: Callable[[RowOutcome], None],
        limit: int | None = None,
        at_once: int = 1,
    ) -> None:
        """`limit`: of rows, for all locations; `at_once`: how many locations run at the same time."""
        self.stopped: Stopped | None = None
        """Why all locations stop."""
        self._control = control
        self._clock = clock
        self._readings = readings
        self._on_outcome = on_outcome
        self.limit = limit
        """So many more rows may start; `None`: all."""
        self._at_once = at_once
        self._loop = asyncio.get_running_loop()
        self._progress = Progress({}, control, readings, self._loop.time())
        self._runs: set[LocationRun] = set()

    @property
    def is_open(self) -> bool:
        """Whether rows may start."""
        return self.stopped is None and self._control.may_send

    def expect(self, loads: Mapping[str, int]) -> None:
        """All locations, and how many rows of each are open, if that is known before they run."""
        self._at_once = max(1, len(loads))
        self._progress = Progress(loads, self._control, self._readings, self._loop.time())

    def reopen(self, location: str, applied: int, again: int) -> None:
        """Rows whose outcome was unknown have been read back: so many were applied, or are to be sent again."""
        self._progress.reopen(location, applied, again)

    async def run(
        self,
        location: str,
        client: LeadConnector,
        journal: JournalWriter,
        refresh: Refresh,
        held: Held | None = None,
    ) -> Stopped | None:
        """Carry out the open rows of a location. Returns why it stopped early, if that concerns only itself.

        `held`: until when its writes may be sent; `None` where nobody else can take the location. Nothing is at
        the server any more when this returns, or raises.
        """
        if not self.is_open:
            return None
        run = self._build(location, client, journal, refresh, held)
        self._runs.add(run)
        fetched = max(_LEAST_FETCHED, min(_FETCHED, _MOST_FETCHED // self._at_once))
        try:
            with self._control.obeyed_by(partial(self._obey, run)):
                await run.run(fetched)
        finally:
            try:
                await _end(run)
            finally:
                self._runs.remove(run)
        return run.state.stopped

    async def read(self, reading: Coroutine[object, object, T], wanted: Wanted = "run") -> T | None:
        """Await something that sends no rows; `None` if the job is stopped or to do something else meanwhile."""

        def is_open() -> bool:
            return self.stopped is None and self._control.wanted == wanted

        if not is_open():
            reading.close()
            return None
        task = self._loop.create_task(reading)
        try:
            with self._control.obeyed_by(lambda: None if is_open() else _cancel(task)):
                return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return None

    def stop(self, stopped: Stopped, grace: float = GRACE_SECONDS) -> int:
        """Start no more rows, and end within `grace` seconds; returns how many rows have requests at the server."""
        if self.stopped is None:
            self.stopped = stopped
            self._loop.call_later(grace, self._abandon)
            self._control.notify()
        return sum(run.in_flight.sent for run in self._runs)

    def describe(self) -> JobProgress:
        """What `on_progress` is given."""
        return self._progress.describe(self._loop.time())

    def _obey(self, run: LocationRun) -> None:
        """The rows that were sent get the time that they take: only a stop ends after a while."""
        run.state.options = self._control.options
        if not self.is_open:
            run.close()

    def _abandon(self) -> None:
        for run in tuple(self._runs):
            run.in_flight.abandon()

    def _build(
        self,
        location: str,
        client: LeadConnector,
        journal: JournalWriter,
        refresh: Refresh,
        held: Held | None,
    ) -> LocationRun:
        """With few locations, each may start rows far ahead; many keep the server busy without that."""
        options = self._control.options
        handler = RowListener(location, partial(_record_moment, journal), client.on_event)
        client = client.with_options(priority="bulk", on_event=handler)
        self._progress.clients[location] = client
        lead = StartAhead(
            options.concurrency,
            _MOST_AHEAD // self._at_once,
            max_age=options.max_reading_age,
            find_allowed=lambda: count_allowed(client.quota),
        )
        state = LocationState(
            location=location,
            options=options,
            most=options.concurrency,
            ahead=ReadAhead(self._clock, options.max_reading_age),
            lead=lead if options.concurrency >= _BRISK else None,
            free=options.concurrency,
        )
        callbacks = Callbacks(self._admit, self._report, partial(self._read_again, location, refresh))
        executor = RowExecutor(client, journal, options, self._clock, held)
        return LocationRun(state, executor, journal, callbacks)

    def _admit(self) -> bool:
        if self.limit is None:
            return True
        self.limit -= 1
        return self.limit >= 0

    async def _read_again(self, location: str, refresh: Refresh, after: Position, most: int) -> Position:
        end, changed = await refresh(after, most)
        for outcome in changed:
            self._count(location, outcome)
        return end

    def _report(self, row: OpenRow, outcome: RowOutcome, seconds: float) -> None:
        self._progress.record_request(self._loop.time(), seconds)
        if row.parks is None:
            self._count(row.location, outcome)

    def _count(self, location: str, outcome: RowOutcome) -> None:
        stopped = self._progress.count(location, outcome)
        self._on_outcome(outcome)
        if stopped is not None:
            self.stop(stopped)


async def _end(run: LocationRun) -> None:
    """In any case: withdraw what was not sent, and wait for what was sent, for a while."""
    run.close()
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await run.in_flight.drain()
    finally:
        run.in_flight.abandon()
        await run.in_flight.drain()


def _cancel(task: asyncio.Task[object]) -> None:
    task.cancel()


def _record_moment(journal: JournalWriter, moment: Moment) -> None:
    if journal.failure is None:
        journal.add(record_moment(moment.at, moment.kind, moment.seconds))
