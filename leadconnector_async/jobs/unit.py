"""The units of work of a job: one location is prepared, run, or compared with the calendar.

The caller holds the location, and a `Fence` says until when. In a folder, the process with the lock holds all
locations for as long as it runs (`NO_FENCE`).
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol, TypeAlias

from msgspec import Struct, field

from .._api.precondition import ReadingClock
from ..client import LeadConnector
from ..exceptions import LeadConnectorError
from .control import Control
from .eta import ReadingLog
from .journal.groups import Hold
from .journal.instructions import CANCELLED, doubt_sent, has_open, skip_open
from .journal.preparing import Selection, forget_location
from .journal.reviewing import Resolved, begin_review, has_unknown, resolve_unknown
from .journal.rows import fetch_parked, finish
from .journal.writer import JournalWriter
from .prepare.prepare import Preparation
from .run.execute import RowExecutor, build_result
from .run.in_flight import RowMetrics
from .run.runner import Runner
from .states import RowOutcome, Stopped, describe_stop, wait_out
from .verify import read_location

ClientFor: TypeAlias = Callable[[str], LeadConnector | Awaitable[LeadConnector]]
"""Returns the client of a location, or an awaitable of it. An error that it raises stops only this location."""


class Fence(Protocol):
    """The right to work on a location of a job, until another process takes over."""

    @property
    def job(self) -> int:
        """The key of the job."""
        ...

    @property
    def location(self) -> str:
        """The location."""
        ...

    @property
    def epoch(self) -> int:
        """The fencing token: raised by one each time the location is taken."""
        ...

    def until(self) -> float:
        """When the right expires, by `find_clock()`; `-inf` once it is lost."""
        ...


class NoFence(Struct, frozen=True):
    """The right to work on the locations of a folder, which the lock of the folder gives."""

    job: int = 1
    location: str = ""
    epoch: int = 0

    def until(self) -> float:
        """Infinity: it does not expire."""
        return math.inf


NO_FENCE: Final[Fence] = NoFence()


def find_no_fence(location: str) -> Fence:
    """Return the fence of a location of a folder."""
    return NO_FENCE


class OpenJob(Struct):
    """The state of a job that this process works on."""

    key: int
    writer: JournalWriter
    clock: ReadingClock
    readings: ReadingLog
    control: Control
    prepared: dict[str, float] = field(default_factory=dict[str, float])
    """The epoch in which this process prepared each location: readings of other processes are by other clocks."""
    fence_for: Callable[[str], Fence] = find_no_fence
    """Returns the fence of a location, where this process holds all of them."""

    def hold(self, location: str, fence: Fence) -> JournalWriter:
        """Return the journal for work on a location: every commit checks the fence."""
        return self.writer.at(Hold(self.key, location, fence.epoch))


class LocationEnd(Struct, frozen=True):
    """How the run of a location ended."""

    stopped: Stopped | None
    """Why it stopped early; `None` if it did not, or if the whole job stopped."""
    finished: bool
    """Whether no open rows remain."""


async def prepare_location(
    job: OpenJob,
    location: str,
    fence: Fence,
    client_for: ClientFor,
    *,
    on_read: Callable[[int], None] = lambda count: None,
    on_changed: Callable[[RowOutcome], None] | None = None,
) -> Stopped | None:
    """Check every row of a location that was not read yet against the calendar, and decide the order of the rows.

    `on_read` gets the number of rows that were just read; `on_changed` each row that will not be sent after all
    because its appointment has changed. Returns why the location could not be read; its rows stay as they are.
    """
    while True:
        stopped, preparation = None, None
        try:
            client = await find_client(client_for, location)
            preparation = _prepare(job, location, fence, client, on_read)
            await preparation.run()
            job.prepared[location] = fence.epoch
        except LeadConnectorError as error:
            stopped = describe_stop(error, location)
            if stopped is None:
                raise
        if on_changed is not None and preparation is not None:
            for outcome in await preparation.list_changed():
                on_changed(outcome)
        if stopped is None or not await wait_out(stopped):
            return stopped


async def run_location(
    job: OpenJob, location: str, fence: Fence, client_for: ClientFor, runner: Runner
) -> LocationEnd:
    """Run the open rows of a prepared location until all have ended or the location has to stop.

    `runner` is shared by the locations of this job in this process: if it stops, or the job is paused, this returns
    early. If the job is cancelled, the open rows are skipped.
    """
    stopped = None
    try:
        client = await find_client(client_for, location)
    except LeadConnectorError as error:
        stopped = describe_stop(error, location)
        if stopped is None:
            raise
    else:
        stopped = await _run(job, location, fence, client, runner)
    if job.control.wanted == "cancel" and fence is not NO_FENCE:
        cancelled = await runner.read(cancel_location(job, location, fence, client_for), "cancel")
        return LocationEnd(None, cancelled is not None)
    return LocationEnd(stopped, not await job.hold(location, fence).run(has_open))


async def cancel_location(job: OpenJob, location: str, fence: Fence, client_for: ClientFor | None) -> bool:
    """Skip the open rows of a location that is not running; returns `True`.

    Rows that may have been sent are read back, and appointments that were moved out of the way of others are moved
    back. Without a client, the former become `unknown`, and the latter say that they were not moved back.
    """
    journal = job.hold(location, fence)
    await journal.run(doubt_sent)
    client = None
    if client_for is not None:
        with suppress(LeadConnectorError):
            client = await find_client(client_for, location)
    if client is not None:
        await _resolve_unknown(job, location, fence, client)
        await _restore_parked(job, journal, client, fence)
    await journal.run(partial(skip_open, time.time()))
    return True


async def review_location(
    job: OpenJob, location: str, fence: Fence, client_for: ClientFor, selection: Selection
) -> None:
    """Read the appointments of the selected rows again, and record how each differs from the plan."""
    journal = job.hold(location, fence)
    if await journal.run(partial(begin_review, selection)):
        await read_location(journal, location, await find_client(client_for, location), job.clock, selection)


def choose_client(client: LeadConnector, location: str) -> LeadConnector:
    """The client itself for its own location and for rows that name none; for any other, a copy."""
    return client if location in ("", client.location_id) else client.for_location(location)


async def find_client(client_for: ClientFor, location: str) -> LeadConnector:
    """Return the client of a location, awaiting it if needed."""
    found = client_for(location)
    return await found if inspect.isawaitable(found) else found


async def _run(job: OpenJob, location: str, fence: Fence, client: LeadConnector, runner: Runner) -> Stopped | None:
    """Run the rows; those with an unknown outcome are read back before and after."""
    journal = job.hold(location, fence)
    prepared = job.prepared.pop(location, -math.inf)
    if fence is not NO_FENCE and fence.epoch > prepared + 1:  # otherwise this process read them, by its own clock
        await journal.run(forget_location)
    await runner.read(_resolve_unknown(job, location, fence, client))
    refresh = _prepare(job, location, fence, client).refresh
    held = None if fence is NO_FENCE else fence.until
    stopped = await runner.run(location, client, journal, refresh, held)
    if stopped is None and runner.limit is None:
        resolved = await runner.read(_resolve_unknown(job, location, fence, client))
        if resolved is not None and resolved.again:
            runner.reopen(location, resolved.applied, resolved.again)
            stopped = await runner.run(location, client, journal, refresh, held)
    return stopped


def _prepare(
    job: OpenJob,
    location: str,
    fence: Fence,
    client: LeadConnector,
    on_read: Callable[[int], None] = lambda count: None,
) -> Preparation:
    journal = job.hold(location, fence)
    return Preparation(journal, location, client, job.control.options, job.clock, job.readings, on_read)


async def _resolve_unknown(job: OpenJob, location: str, fence: Fence, client: LeadConnector) -> Resolved:
    """Read back the rows whose outcome is unknown. Those that cannot be read now stay as they are."""
    journal = job.hold(location, fence)
    if not await journal.run(has_unknown):
        return Resolved()
    await journal.run(partial(begin_review, "unknown"))
    try:
        await read_location(journal, location, client, job.clock, "unknown")
    except LeadConnectorError as error:
        if describe_stop(error, location) is None:
            raise
    return await journal.run(resolve_unknown)


async def _restore_parked(job: OpenJob, journal: JournalWriter, client: LeadConnector, fence: Fence) -> None:
    """Move back the appointments that were moved out of the way and whose rows are now skipped."""
    held = None if fence is NO_FENCE else fence.until
    executor = RowExecutor(client.with_options(priority="bulk"), journal, job.control.options, job.clock, held)
    for row in await journal.run(fetch_parked):
        metrics = RowMetrics()
        result = await executor.restore(row, metrics, build_result(row, metrics, "skipped", f"{CANCELLED}."))
        await journal.write(finish(row.number, result.outcome, time.time(), 0.0, None))
