"""The units of work of a job: one location is prepared, run, or compared with the calendar.

Whoever calls them holds the location: a `Fence` says for how long. In a folder that is the process that holds its
lock, and nothing ends that (`NO_FENCE`).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from .._api.precondition import ReadingClock
from ..client import LeadConnector
from ..exceptions import LeadConnectorError
from .control import Control
from .eta import ReadingLog
from .journal.groups import Hold
from .journal.preparing import Selection
from .journal.writer import JournalWriter
from .prepare.prepare import Preparation
from .run.runner import Runner
from .states import RowOutcome, Stopped, describe_stop, wait_out
from .verify import read_location

ClientFor: TypeAlias = Callable[[str], LeadConnector | Awaitable[LeadConnector]]
"""The client of a location. An error that it raises stops this location, and no other."""


class Fence(Protocol):
    """The right to work on a location of a job, until it is lost to somebody else."""

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
        """Raised each time the location is taken."""
        ...

    def until(self) -> float:
        """When it ends, by `find_clock()`; `-inf` once it is lost."""
        ...


class NoFence(Struct, frozen=True):
    """The right to work on the locations of a folder, which its lock gives."""

    job: int = 1
    location: str = ""
    epoch: int = 0

    def until(self) -> float:
        """It does not end."""
        return math.inf


NO_FENCE: Final[Fence] = NoFence()


class OpenJob(Struct):
    """What a process knows of a job that it works on."""

    key: int
    writer: JournalWriter
    clock: ReadingClock
    readings: ReadingLog
    control: Control


class LocationEnd(Struct, frozen=True):
    """How the run of a location ended."""

    stopped: Stopped | None
    """Why it stopped early; `None` as well if the whole job did."""


async def prepare_location(
    job: OpenJob,
    location: str,
    fence: Fence,
    client_for: ClientFor,
    *,
    on_read: Callable[[int], None] = lambda count: None,
    on_changed: Callable[[RowOutcome], None] | None = None,
) -> Stopped | None:
    """Check every row of a location against the calendar that was not read yet, and decide their order.

    `on_read` gets the number of rows that were just read; `on_changed` each row that was to be sent, and is not any
    more because its appointment has changed. Returns why the location could not be read; its rows stay as they are.
    """
    writer = job.writer.at(Hold(job.key, location, fence.epoch))
    while True:
        stopped, preparation = None, None
        try:
            client = await find_client(client_for, location)
            preparation = Preparation(
                writer, location, client, job.control.options, job.clock, job.readings, on_read
            )
            await preparation.run()
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
    """Carry out the open rows of a location that was prepared, until they have ended or the location must stop.

    `runner` is what the locations of this job in this process share: when it stops, this returns early.
    """
    try:
        client = await find_client(client_for, location)
    except LeadConnectorError as error:
        stopped = describe_stop(error, location)
        if stopped is None:
            raise
    else:
        writer = job.writer.at(Hold(job.key, location, fence.epoch))
        refresh = Preparation(writer, location, client, job.control.options, job.clock, job.readings).refresh
        held = None if fence is NO_FENCE else fence.until
        stopped = await runner.run(location, client, writer, refresh, held)
    return LocationEnd(stopped)


async def review_location(
    job: OpenJob,
    location: str,
    fence: Fence,
    client_for: ClientFor,
    selection: Selection,
    *,
    leave_unread: bool = False,
) -> None:
    """Read the selected rows of a location again, and write what the calendar shows of each.

    Raises an error of the client, unless rows that cannot be read now are left as they are.
    """
    try:
        client = await find_client(client_for, location)
        writer = job.writer.at(Hold(job.key, location, fence.epoch))
        await read_location(writer, location, client, job.clock, selection)
    except LeadConnectorError as error:
        if not leave_unread or describe_stop(error, location) is None:
            raise


async def find_client(client_for: ClientFor, location: str) -> LeadConnector:
    """The client of a location, awaited if need be."""
    found = client_for(location)
    return await found if inspect.isawaitable(found) else found
