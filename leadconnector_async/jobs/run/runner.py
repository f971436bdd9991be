"""All locations of a job at once, each by itself.

A location that is slow, exhausted or refused never holds up another. When the job is to stop, nothing more
is started, what has not left is called back, and what has left gets a while to end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from ..._api.precondition import ReadingClock
from ..._limiter.headers import LocationQuota
from ...client import LeadConnector
from ..eta import ReadingLog, forecast
from ..journal.rows import OpenRow, Position, record_moment
from ..journal.writer import JournalWriter
from ..states import JobOptions, JobProgress, RowOutcome, RowState, Stopped
from .concurrency import MemoryShare, divide
from .execute import RowExecutor
from .in_flight import Moment, listen
from .location import LocationRun
from .read_ahead import ReadAhead

GRACE_SECONDS: Final = 10.0
"""How long rows that have left may take to end after a stop."""
_LEAST_TRIED: Final = 20
_RATE_SECONDS: Final = 30.0

FindClient = Callable[[str], LeadConnector]
Refresh = Callable[[str, Position, int], Awaitable[tuple[Position, list[RowOutcome]]]]
"""Reads so many rows of a location after one again; returns the last of them, and those that are left alone now."""


class Runner:
    """Runs a job once."""

    def __init__(
        self,
        scribe: JournalWriter,
        options: JobOptions,
        find_client: FindClient,
        clock: ReadingClock,
        readings: ReadingLog,
        *,
        refresh: Refresh,
        on_outcome: Callable[[RowOutcome], None],
        limit: int | None = None,
    ) -> None:
        self._scribe = scribe
        self._options = options
        self._find_client = find_client
        self._clock = clock
        self._readings = readings
        self._refresh = refresh
        self._on_outcome = on_outcome
        self._left_to_start = limit
        self._clients: dict[str, LeadConnector] = {}
        self._runs: list[LocationRun] = []
        self._counts: dict[RowState, int] = {}
        self._left: dict[str, int] = {}
        self._recent: deque[float] = deque()
        self._latency = 0.0
        self._pauses: dict[str, float] = {}
        self._stopped: Stopped | None = None
        self._began = 0.0
        self._loop = asyncio.get_running_loop()

    async def run(self, loads: dict[str, int]) -> tuple[Stopped, ...]:
        """Carry out the open rows of all locations; `loads` says how many each has. Returns why it ended early."""
        self._left = dict(loads)
        self._began = self._loop.time()
        share = divide(len(loads), self._options.concurrency)
        self._runs = [self._build(location, share) for location in loads]
        try:
            await self._run_all()
        finally:
            await self._end()
        stopped = [one.stopped for one in self._runs if one.stopped is not None]
        return tuple([self._stopped] if self._stopped is not None else stopped)

    def stop(self, stopped: Stopped) -> int:
        """Start nothing more, and end soon; returns how many rows are under way."""
        if self._stopped is None:
            self._stopped = stopped
            self._loop.call_later(GRACE_SECONDS, self._abandon)
            for run in self._runs:
                run.close()
        return sum(run.trips.left for run in self._runs)

    def describe(self) -> JobProgress:
        """Where the job stands."""
        now = self._loop.time()
        while self._recent and self._recent[0] < now - _RATE_SECONDS:
            self._recent.popleft()
        done = sum(self._counts.values())
        span = min(_RATE_SECONDS, now - self._began)
        return JobProgress(
            done=done,
            total=done + sum(self._left.values()),
            applied=self._counts.get("applied", 0),
            failed=self._counts.get("failed", 0) + self._counts.get("skipped", 0),
            unknown=self._counts.get("unknown", 0),
            rate=len(self._recent) / span if span > 0 else 0.0,
            remaining_seconds=self._forecast(),
            pauses={location: _explain(quota) for location, quota in self._list_paused()},
        )

    async def _run_all(self) -> None:
        tasks = [self._loop.create_task(run.run()) for run in self._runs]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _end(self) -> None:
        """Whatever has happened: what has not left is called back, and what has left is waited for, a while.

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
            await run.trips.drain()

    def _abandon(self) -> None:
        for run in self._runs:
            run.trips.abandon()

    def _build(self, location: str, share: MemoryShare) -> LocationRun:
        client = self._find_client(location)
        handler = listen(location, self._note_moment, client.on_event)
        client = client.with_options(priority="bulk", on_event=handler)
        self._clients[location] = client
        carrier = RowExecutor(client, self._scribe, self._options, self._clock)

        async def refresh(after: Position, most: int) -> Position:
            end, changed = await self._refresh(location, after, most)
            for outcome in changed:
                self._count(location, outcome)
            return end

        return LocationRun(
            location,
            carrier,
            self._scribe,
            self._options,
            report=self._note_outcome,
            admit=self._admit,
            refresh=refresh,
            share=share,
            ahead=ReadAhead(self._clock, self._options.max_reading_age),
        )

    def _admit(self) -> bool:
        if self._left_to_start is None:
            return True
        self._left_to_start -= 1
        return self._left_to_start >= 0

    def _note_moment(self, moment: Moment) -> None:
        if self._scribe.failure is None:
            self._scribe.note(record_moment(moment.at, moment.location, moment.kind, moment.seconds))

    def _note_outcome(self, row: OpenRow, outcome: RowOutcome, seconds: float) -> None:
        if seconds:
            self._latency = seconds if not self._latency else 0.9 * self._latency + 0.1 * seconds
        self._recent.append(self._loop.time())
        if row.parks is None:
            self._count(row.location, outcome)

    def _count(self, location: str, outcome: RowOutcome) -> None:
        self._left[location] = max(0, self._left.get(location, 0) - 1)
        self._counts[outcome.state] = self._counts.get(outcome.state, 0) + 1
        self._on_outcome(outcome)
        if self._options.max_errors is not None or self._options.max_error_percent is not None:
            self._stop_at_errors()

    def _stop_at_errors(self) -> None:
        errors = sum(self._counts.get(state, 0) for state in ("failed", "unknown", "skipped"))
        tried = sum(self._counts.values())
        most, percent = self._options.max_errors, self._options.max_error_percent
        if most is not None and errors >= most:
            self.stop(Stopped("errors", f"{errors} rows have failed, {most} were allowed for"))
        elif percent is not None and tried >= _LEAST_TRIED and errors * 100 > percent * tried:
            self.stop(Stopped("errors", f"{errors} of {tried} rows have failed, {percent:g} % were allowed for"))

    def _forecast(self) -> float | None:
        loads = [
            self._readings.build_load(location, self._left[location], client.quota, self._latency, self._options)
            for location, client in self._clients.items()
            if self._left.get(location)
        ]
        return forecast(loads, self._options.rate)

    def _list_paused(self) -> list[tuple[str, LocationQuota]]:
        quotas = [(location, client.quota) for location, client in self._clients.items()]
        return [(location, quota) for location, quota in quotas if quota.paused_seconds > 0 or _is_used_up(quota)]


def _is_used_up(quota: LocationQuota) -> bool:
    return quota.waiting > 0 and quota.remaining == 0


def _explain(quota: LocationQuota) -> str:
    if quota.paused_seconds > 0:
        return f"{quota.paused_seconds:.0f} s more, {quota.pause_reason}"
    return f"the limit of {quota.limit} requests in {quota.interval:g} s is used up"
