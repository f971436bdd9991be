"""A large location beside many small ones, in virtual time: workers with few slots, and tickets in their order."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from unittest import mock

import aiohttp
from multidict import CIMultiDict

from leadconnector_async import LeadConnector
from leadconnector_async._api.precondition import ReadingClock
from leadconnector_async._api.request import Request
from leadconnector_async._call.reply import Progress, RawResponse
from leadconnector_async.jobs import JobOptions, RowOutcome, Stopped, iterate_plan
from leadconnector_async.jobs.control import Control
from leadconnector_async.jobs.eta import ReadingLog
from leadconnector_async.jobs.journal.folder import fill_journal
from leadconnector_async.jobs.journal.load import NewJob
from leadconnector_async.jobs.journal.writer import JournalWriter
from leadconnector_async.jobs.run.runner import Runner
from leadconnector_async.jobs.tickets import Ticket
from leadconnector_async.jobs.unit import NO_FENCE, OpenJob, prepare_location, run_location

from ..benchmarks.made import HEADING, Computed, build_location_id, connect, write_rows
from ..cluster.memory_tickets import MemoryTickets
from .bulk import ROUND_TRIP, Inline, connect_hastily
from .world import join

T = TypeVar("T")
BIG = 0
"""The number of the large location, which is the first to get a ticket."""


class Distant(Computed):
    """It takes a round trip to its calendar."""

    async def send(
        self,
        session: aiohttp.ClientSession,
        request: Request[object],
        headers: CIMultiDict[str],
        bounds: aiohttp.ClientTimeout,
        progress: Progress,
    ) -> RawResponse:
        await asyncio.sleep(ROUND_TRIP)
        return await super().send(session, request, headers, bounds, progress)


def write_plan(big: int, others: int, rows: int) -> Iterator[str]:
    """The large location first; without rows, it is left out."""
    yield HEADING
    yield from write_rows(BIG, big)
    for location in range(1, others + 1):
        yield from write_rows(location, rows)


async def read_here(read: Callable[..., T], *values: object) -> T:
    """Large responses are read in a thread, for which virtual time does not wait."""
    return read(*values)


async def play(big: int, others: int, rows: int, *, workers: int = 2, slots: int = 64) -> float:
    """Seconds from the barrier, when everything was read, until the last of the small locations has ended."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder, mock.patch("asyncio.to_thread", read_here):
        plan = iterate_plan(write_plan(big, others, rows))
        options = JobOptions(max_reading_age=86_400)
        journal = fill_journal(str(Path(folder)), NewJob(location="", options=options), connect_hastily, plan)
        writer, clock = JournalWriter(journal, Inline()), ReadingClock(loop)
        job = OpenJob(1, writer, clock, ReadingLog(clock), Control(options))
        client = join(connect(None), transport=Distant())
        tickets = [Ticket(1, build_location_id(location)) for location in range(0 if big else 1, others + 1)]
        for ticket in tickets:
            assert await prepare_location(job, ticket.location, NO_FENCE, client.for_location) is None
        seconds = await carry_out(job, client, tickets, workers, slots)
        await writer.close()
    return seconds


async def carry_out(job: OpenJob, client: LeadConnector, tickets: list[Ticket], workers: int, slots: int) -> float:
    """Until only the large location is left, which is stopped then."""
    loop = asyncio.get_running_loop()
    engine, stopping = MemoryTickets(), asyncio.Event()
    small = {ticket.location for ticket in tickets} - {build_location_id(BIG)}

    async def work() -> None:
        outcomes: list[RowOutcome] = []
        runner = Runner(job.control, job.clock, job.readings, on_outcome=outcomes.append, at_once=slots)

        async def run(ticket: Ticket) -> None:
            await run_location(job, ticket.location, NO_FENCE, client.for_location, runner)
            small.discard(ticket.location)
            if not small:
                stopping.set()

        stops = asyncio.ensure_future(stopping.wait())
        stops.add_done_callback(lambda _: runner.stop(Stopped("interrupted", "the small ones have ended")))
        await engine.work(run, slots, stopping)

    began = loop.time()
    await engine.defer(tickets)
    working = asyncio.gather(*(work() for _ in range(workers)))
    await stopping.wait()
    ended = loop.time()
    await working
    return ended - began
