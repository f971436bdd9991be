"""The rows of one location, carried out in order.

Rows start by rank and number; a row that waits for others starts after them, and stays in flight until they have
ended. What stops the location leaves every row that was not sent as it was. A row has a task only while it is
running; while an entry of the journal is being written for it, it has none. `schedule` decides what happens.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Final

from msgspec import Struct

from ...exceptions import JournalError, LeadConnectorError
from ..journal import rows as journal_rows
from ..journal.rows import OpenRow, Position
from ..journal.writer import JournalWriter
from ..states import RowOutcome, Stopped, describe_stop, wait_out
from .execute import Result, RowExecutor
from .in_flight import InFlightRow, InFlightRows, RowMetrics
from .schedule import (
    Action,
    Blocked,
    Close,
    Event,
    Fail,
    LocationState,
    Requeue,
    Restore,
    Save,
    Started,
    choose_rank,
    choose_start,
    find_blocker,
    grant_slots,
    next_step,
)

_LONGEST_NAP: Final = 0.25
"""Seconds after which a row that waits for the rate looks whether that has changed."""


class Callbacks(Struct, frozen=True):
    """What a location needs of its job."""

    admit: Callable[[], bool]
    """Whether one more row may start."""
    report: Callable[[OpenRow, RowOutcome, float], None]
    """Is given an outcome that is on disk, and the seconds of the last request."""
    refresh: Callable[[Position, int], Awaitable[Position]]
    """Reads so many rows after one again; returns the last of them."""


class LocationRun:
    """Carries out the decisions about one location."""

    def __init__(
        self, state: LocationState, executor: RowExecutor, journal: JournalWriter, callbacks: Callbacks
    ) -> None:
        self.state = state
        self.in_flight = InFlightRows()
        self._executor = executor
        self._journal = journal
        self._callbacks = callbacks
        self._loop = asyncio.get_running_loop()
        self._starting: asyncio.Task[None] | None = None
        self._requeued = False
        """Whether a row has moved to a later rank since the last fetch."""
        self._failure: BaseException | None = None

    async def run(self, fetched: int) -> None:
        """Start rows until there are none, or the location stops; then wait for those in flight.

        `fetched` rows are read from the journal at a time.
        """
        self._starting = self._loop.create_task(self._start_rows(fetched))
        try:
            await asyncio.wait([self._starting])
        finally:
            self._starting.cancel()
        if not self._starting.cancelled() and (error := self._starting.exception()) is not None:
            self.close(error)
        await self.in_flight.drain()
        if self._failure is not None:
            raise self._failure

    def close(self, cause: Stopped | BaseException | None = None) -> None:
        """Start nothing more, and withdraw what was not sent; `run` raises an error that is the cause."""
        state = self.state
        state.phase = "closing"
        if isinstance(cause, BaseException):
            self._failure = self._failure or cause
        else:
            state.stopped = state.stopped or cause
        if self._starting is not None:
            self._starting.cancel()
        self.in_flight.cancel_unsent()
        unsent = [one for one in state.queue if one.slot is None]
        state.queue = deque(one for one in state.queue if one.slot is not None)
        for one in unsent:
            self._step(one, "cancelled")

    async def _start_rows(self, fetched: int) -> None:
        state = self.state
        while state.phase == "starting":
            self._requeued = False
            fetch = partial(journal_rows.fetch_open, state.cursor, fetched)
            rows = await self._journal.run(fetch)
            if rows:
                await self._start_batch(rows)
                continue
            if not self.in_flight.by_number and not self._requeued:
                break
            while self.in_flight.by_number and not self._requeued:  # only such a row can follow the last one
                await self.in_flight.wait_for_any()

    async def _start_batch(self, rows: list[OpenRow]) -> None:
        """Until they have started, or must be fetched again."""
        state, in_flight = self.state, self.in_flight
        for row in rows:
            while (step := choose_start(state, row, in_flight.by_number)) != "start":
                if step == "drain":
                    return await in_flight.drain()
                if step == "read_again":
                    return await self._read_again(row)
                await (in_flight.wait_for(row.number) if step == "wait_for_row" else in_flight.wait_for_any())
            if state.phase != "starting" or not self._callbacks.admit():
                state.phase = "finishing" if state.phase == "starting" else state.phase
                return None
            if state.options.rate is not None:
                await _keep_rate(state)
            one = in_flight.by_number[row.number] = InFlightRow(row, RowMetrics())
            self._step(one, Started(time.time()))
        return None

    async def _read_again(self, row: OpenRow) -> None:
        state = self.state
        try:
            state.ahead.record(await self._callbacks.refresh(state.cursor, state.ahead.plan(row)))
        except LeadConnectorError as error:
            stopped = describe_stop(error, state.location)
            if stopped is None:
                raise
            if not await wait_out(stopped):
                self.close(stopped)

    def _step(self, one: InFlightRow, event: Event, idle: asyncio.Task[object] | None = None) -> InFlightRow | None:
        """Carry out what follows; `idle`, a task that has ended this row, is to send the row that is returned."""
        self.state.now = self._loop.time()
        action = next_step(self.state, one, event)
        try:
            if isinstance(action, Save):
                one.phase = "saving_outcome"
                outcome, seconds, shown = action.result.outcome, action.result.seconds, action.result.shown
                entry = journal_rows.finish(one.row.number, outcome, time.time(), seconds, shown)
                self._journal.add(entry, partial(self._on_saved, one, action.result))
            elif action == "save_intent":
                one.phase = "saving_intent"
                entry = journal_rows.intend(one.row.number, time.time())
                self._journal.add(entry, partial(self._step, one))
            elif action != "queue":
                self._act(one, action)
        except LeadConnectorError as error:  # of the journal
            self._act(one, Fail(error))
        following = None
        for granted in grant_slots(self.state) if self.state.free and self.state.queue else ():
            if granted.slot is not None:
                granted.slot.set_result(None)
                continue
            granted.phase = "running"
            if idle is not None and following is None:
                following, granted.task = granted, idle
                continue
            granted.task = self._loop.create_task(self._executor.send_rows(granted, self._end_work))
            granted.task.add_done_callback(self._on_done)
        return following

    def _act(self, one: InFlightRow, action: Action) -> None:
        work: Coroutine[object, object, Event]
        match action:
            case "run":
                one.phase, work = "running", self._run_in_order(one)
            case Restore(result):
                restore = partial(self._executor.restore, one.row, one.metrics, result)
                one.phase, work = "restoring", self._take_slot(one, restore)
            case Requeue():
                one.phase, work = "requeueing", self._requeue(one, action)
            case _:
                if action == "withdraw":
                    self._withdraw_intent(one)
                elif isinstance(action, Close | Fail):
                    self.close(action.cause)
                self.in_flight.remove(one)
                return
        one.task = task = self._loop.create_task(work)
        task.add_done_callback(self._on_done)

    def _withdraw_intent(self, one: InFlightRow) -> None:
        """The journal may record it as sent; it was not."""
        if not one.metrics.sent and one.row.state == "pending" and self._journal.failure is None:
            self._journal.add(journal_rows.give_back(one.row.number))

    def _on_saved(self, one: InFlightRow, result: Result, failure: JournalError | None) -> None:
        """An outcome is reported only when it is on disk."""
        self.in_flight.remove(one)
        if failure is not None:
            self.close(failure)
            return
        try:
            self._callbacks.report(one.row, result.outcome, result.seconds)
        except BaseException as error:  # whatever it is, `run` raises it; the other rows are reported all the same
            self.close(error)

    def _on_done(self, task: asyncio.Task[Event] | asyncio.Task[None]) -> None:
        """What has sent rows is cancelled, perhaps before it began, or failed, or has none left."""
        error = None if task.cancelled() else task.exception()
        event = "cancelled" if task.cancelled() else task.result() if error is None else error
        if event is not None:
            for one in [one for one in self.in_flight.by_number.values() if one.task is task]:
                self._end_work(one, event)

    def _end_work(self, one: InFlightRow, event: Event) -> InFlightRow | None:
        """What its task did for a row has ended; returns the row that the task is to send next, if it can."""
        task, one.task = one.task, None
        if isinstance(event, Stopped):
            one.metrics.sent = False  # it was refused, so that a stop need not wait for it
            try:
                self._withdraw_intent(one)
            except LeadConnectorError as failure:  # of the journal
                event = failure
        return self._step(one, event, None if task is None or task.done() else task)

    async def _run_in_order(self, one: InFlightRow) -> Event:
        """Wait for the rows that must go first."""
        row = one.row
        for number in row.waits_for:
            await self.in_flight.wait_for(number)
        if row.waits_for:
            standings = await self._journal.run(partial(journal_rows.find_standings, row.waits_for))
            if (by := find_blocker(row, standings, self.state.options.on_conflict)) is not None:
                return Blocked(by, by.number in self.in_flight.by_number)
        return await self._take_slot(one, partial(self._executor.run, row, one.metrics))

    async def _take_slot(self, one: InFlightRow, work: Callable[[], Coroutine[object, object, Event]]) -> Event:
        """Do something for a row as soon as it has a slot."""
        if not one.holds_slot:
            one.slot = self._loop.create_future()
            self._step(one, "slot_wanted")
            await one.slot
        return await work()

    async def _requeue(self, one: InFlightRow, action: Requeue) -> Event:
        await asyncio.sleep(action.delay)
        rank = choose_rank(self.state, one.row, action.behind)
        build = journal_rows.postpone if action.refused else journal_rows.put_behind
        await self._journal.write(build(one.row.number, rank, action.reason))
        self._requeued = True
        return "requeued"


async def _keep_rate(state: LocationState) -> None:
    """Wait until the next row may start. The rate may change meanwhile, so waits are short."""
    find_now = asyncio.get_running_loop().time
    begin = now = due = find_now()
    while (rate := state.options.rate) is not None and (due := state.last_start + 1 / rate) > now:
        await asyncio.sleep(min(due - now, _LONGEST_NAP))
        now = find_now()
    state.last_start = max(begin, due)
