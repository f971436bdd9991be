"""CPU per row of a running job: the same job in a folder and in Postgres, round by round in one process."""

import asyncio
import gc
import tempfile
import time
import uuid
from pathlib import Path
from typing import Final
from unittest import mock

import aiohttp
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from leadconnector_async import LeadConnector, Shared
from leadconnector_async._api.request import Request
from leadconnector_async._call.fence import FencedTransport
from leadconnector_async._call.reply import Progress, RawResponse
from leadconnector_async._sharing.membership import find_clock
from leadconnector_async.jobs import BulkJob, JobOptions, iterate_plan, job

from ...servers import PostgresServer
from ...simulation.world import join
from ..made import Computed, build_location_id, write_plan
from ..server import serve
from .servers import migrate, read_database_cpu
from .worker import WIDE

FOLDER: Final = "SQLite"
DATABASE: Final = "Postgres"
CONCURRENCY = 50


class Round(Struct):
    """Microseconds per row."""

    process: float
    database: float
    """Of the processes of Postgres."""


class Halfway(FencedTransport):
    """Writes are sent to a server; what is read is computed."""

    calendar = Computed()

    async def send(
        self,
        session: aiohttp.ClientSession,
        request: Request[object],
        headers: CIMultiDict[str],
        bounds: aiohttp.ClientTimeout,
        progress: Progress,
    ) -> RawResponse:
        if request.body is None:
            return await self.calendar.send(session, request, headers, bounds, progress)
        return await super().send(session, request, headers, bounds, progress)


async def run_once(place: str, client: LeadConnector, server: PostgresServer, rows: int) -> Round:
    """Only what `run` does is measured; in a folder without the report, which workers do not write."""
    options = JobOptions(concurrency=CONCURRENCY, max_reading_age=86_400)
    plan = iterate_plan(write_plan(rows, 1, weeks=52))
    async with await BulkJob.create(place, client, plan, options=options) as made:
        await made.prepare()
        gc.collect()
        with mock.patch.object(job, "write_files"):
            database, process = read_database_cpu(server), time.process_time()
            summary = await made.run()
            process, database = time.process_time() - process, read_database_cpu(server) - database
    assert summary.counts == {"applied": rows}, summary
    return Round(process / rows * 1e6, database / rows * 1e6)


async def measure(rows: int, rounds: int) -> dict[str, list[Round]]:
    """The first round of each is not counted."""
    found: dict[str, list[Round]] = {FOLDER: [], DATABASE: []}
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as server, serve() as (url, _):
        await migrate(server.url)
        own = build_location_id(0)
        async with (
            Shared(server.url) as shared,
            LeadConnector("pit-benchmark", base_url=url, location_id=own, shared=shared, rate_limit=WIDE) as made,
        ):
            client = join(made, transport=Halfway(URL(url), None, None, find_clock()))
            for number in range(-1, rounds):
                for name, figures in found.items():
                    job_name = uuid.uuid4().hex[:12]
                    place = str(Path(folder, job_name)) if name == FOLDER else f"{server.url}#{job_name}"
                    one = await run_once(place, client, server, rows)
                    if number >= 0:
                        figures.append(one)
    return found


def run(rows: int, rounds: int) -> dict[str, list[Round]]:
    return asyncio.run(measure(rows, rounds))
