"""A sandbox, a Postgres, and workers between them: what a test of many machines begins with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from leadconnector_async import LeadConnector, Shared
from leadconnector_async.jobs import BulkJob, JobOptions

from ..servers import PostgresServer
from .crew import Crew, Member, gather
from .judge import Verdict
from .watch import Watcher
from .worker import Tokens
from .world import Calendar, Plan, plan_week, serve

LEASE = 2.0
SLOTS = 16
LONGEST = 60.0
"""Seconds that anything may take before a test gives up on it."""


class Field:
    """Jobs are submitted from here; workers carry them out."""

    def __init__(self, calendar: Calendar, server: PostgresServer, crew: Crew, lease: float, slots: int) -> None:
        self.calendar, self.server, self.crew = calendar, server, crew
        self.lease, self.slots = lease, slots
        self.watcher = Watcher(server.url)

    async def start(self, url: str | None = None) -> Member:
        """A worker that reaches the database by a URL."""
        url = url or self.server.url
        return await self.crew.start(url, url, str(self.lease), str(self.slots))

    async def submit(self, name: str, **options: object) -> Plan:
        """A job that moves everybody by a week; workers prepare and run it."""
        plan = await plan_week(self.calendar)
        await self.submit_rows(name, plan.rows, **options)
        return plan

    async def submit_rows(self, name: str, rows: list[dict[str, object]], **options: object) -> None:
        """A job of any rows."""
        chosen = JobOptions(**options)  # type: ignore[arg-type]
        async with (
            make_client(self.calendar) as client,
            await BulkJob.create(self.find_place(name), client, rows, options=chosen) as job,
        ):
            await job.submit()

    def find_place(self, name: str) -> str:
        """As `BulkJob.open` takes it."""
        return f"{self.server.url}#{name}"

    async def finish(self, name: str, plan: Plan) -> Verdict:
        """Wait for the end of a job; what arrives soon after it counts as well."""
        await self.watcher.until(lambda: self.watcher.has_ended(name), LONGEST)
        await asyncio.sleep(0.3)
        return await plan.judge(self.calendar, await self.watcher.read_states(name))

    async def until_written(self, count: int) -> None:
        """Until the server has applied so many changes."""

        async def is_reached() -> bool:
            return await self.calendar.count_writes() >= count

        await self.watcher.until(is_reached, LONGEST)


def make_client(calendar: Calendar, shared: Shared | None = None) -> LeadConnector:
    """A client for all locations of the sandbox, as a program has that submits jobs."""
    account = calendar.account
    tokens = Tokens(account.tokens, account.location_id)
    return LeadConnector(tokens, location_id=account.location_id, base_url=account.url, shared=shared)


@asynccontextmanager
async def lay_out(
    folder: Path,
    locations: int,
    appointments: int,
    *,
    lease: float = LEASE,
    slots: int = SLOTS,
    server: PostgresServer | None = None,
    **limits: float,
) -> AsyncIterator[Field]:
    """`appointments` in each location; `limits` as those of the sandbox. All of it ends with this."""
    async with AsyncExitStack() as stack:
        calendar = await stack.enter_async_context(serve(locations, appointments, **limits))  # type: ignore[arg-type]
        server = await asyncio.to_thread(PostgresServer) if server is None else server
        stack.callback(server.close)
        await asyncio.to_thread(server.start)
        shared = Shared(server.url)
        await shared.migrate()
        await shared.aclose()
        crew = await stack.enter_async_context(gather(folder, calendar.environment))
        field = Field(calendar, server, crew, lease, slots)
        stack.push_async_callback(field.watcher.close)
        yield field
