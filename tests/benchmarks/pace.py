"""Rows a second with the limit out of the way: bare calls, a stream, a job, and a job that commits nothing."""

import asyncio
import gc
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from unittest import mock

from leadconnector_async import AppointmentUpdate, LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, JobSummary, PlanRow, iterate_plan, job, update_many
from leadconnector_async.jobs.journal import writer
from leadconnector_async.jobs.journal.database import SQLiteJournal
from leadconnector_async.jobs.report import write_files

from .made import build_location_id, connect, write_plan
from .server import serve

ROWS, ROUNDS, CONCURRENCY = 3000, 11, 50
BARE, STREAM, JOB, HASTY = "update_appointment", "update_many", "BulkJob.run", "the same, nothing committed"
REPORTS: list[float] = []
Candidate = Callable[[LeadConnector, Path], Awaitable[float]]
"""Returns the seconds that it took."""


def build_rows() -> Iterator[tuple[str, AppointmentUpdate]]:
    """The changes that the job sends."""
    for row in iterate_plan(write_plan(ROWS, 1, weeks=52)):
        assert isinstance(row, PlanRow)
        yield row.event_id, row.update


async def call_bare(client: LeadConnector, folder: Path) -> float:
    rows = iter(list(build_rows()))

    async def work() -> None:
        for event_id, update in rows:
            await client.update_appointment(event_id, update)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return time.perf_counter() - began


async def stream(client: LeadConnector, folder: Path) -> float:
    rows = list(build_rows())
    began = time.perf_counter()
    states = [one.state async for one in update_many(client, rows, concurrency=CONCURRENCY, keep=False)]
    assert states == ["applied"] * ROWS
    return time.perf_counter() - began


async def run_job(client: LeadConnector, folder: Path) -> float:
    """Less the report at its end, which is drawn once, whatever the rows: `REPORTS` has its seconds."""
    async with await BulkJob.open(shutil.copytree(folder, folder.with_name("round")), client) as opened:
        opened._prepared_at = opened._open.clock.now()  # the server of the rounds knows nothing to read again
        with mock.patch.object(job, "write_files", time_report):
            began = time.perf_counter()
            summary = await opened.run()
            seconds = time.perf_counter() - began - REPORTS[-1]
        assert summary.total == ROWS
    shutil.rmtree(opened.name)
    return seconds


def time_report(folder: str, title: str, summary: JobSummary, journal: SQLiteJournal) -> None:
    began = time.perf_counter()
    write_files(folder, title, summary, journal)
    REPORTS.append(time.perf_counter() - began)


async def run_hastily(client: LeadConnector, folder: Path) -> float:
    with mock.patch.object(writer, "_commit", return_value={}):
        return await run_job(client, folder)


CANDIDATES: dict[str, Candidate] = {BARE: call_bare, STREAM: stream, JOB: run_job, HASTY: run_hastily}


async def prepare(folder: Path) -> None:
    """Prepare the job of which every round carries out a copy."""
    options = JobOptions(concurrency=CONCURRENCY, max_reading_age=86_400)
    async with await BulkJob.create(
        folder, connect(), iterate_plan(write_plan(ROWS, 1, weeks=52)), options=options
    ) as job:
        await job.prepare()


def run() -> tuple[str, dict[str, list[float]]]:
    """The server, and for each candidate its rows a second, round by round."""
    return asyncio.run(measure())


async def measure() -> tuple[str, dict[str, list[float]]]:
    figures: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    with tempfile.TemporaryDirectory() as place, serve() as (url, server):
        folder = Path(place, "job")
        await prepare(folder)
        names = list(CANDIDATES)
        async with LeadConnector("pit-benchmark", base_url=url, location_id=build_location_id(0)) as client:
            for number in range(-1, ROUNDS):
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    gc.collect()
                    seconds = await CANDIDATES[name](client, folder)
                    if number >= 0:
                        figures[name].append(ROWS / seconds)
    return server, figures
