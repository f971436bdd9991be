"""Workers as processes, on one Postgres: they finish a job together, whichever of them are killed or end."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest

from leadconnector_async import ConfigurationError, LeadConnector, Shared
from leadconnector_async._sharing.url import parse_address
from leadconnector_async.integrations.postgres_journal import fill_journal
from leadconnector_async.jobs import JobOptions, PlanRow, RowFault, iterate_plan
from leadconnector_async.jobs.journal.load import NewJob
from leadconnector_async.jobs.unit import ClientFor
from leadconnector_async.jobs.worker import list_open_locations, run_worker, work_location

from .crew import Crew, Member, gather
from .worker import Tokens
from .world import Calendar, Plan, plan_week, serve

LOCATIONS, ROWS = 4, 16
LEASE = 2.0
SOON = 30.0
pytestmark = [pytest.mark.campaign(180), pytest.mark.timeout(180)]


@pytest.fixture
async def calendar() -> AsyncIterator[Calendar]:
    async with serve(LOCATIONS, ROWS, max_requests=50, interval=1.0) as calendar:
        yield calendar


@pytest.fixture
async def crew(calendar: Calendar, tmp_path: Path) -> AsyncIterator[Crew]:
    async with gather(tmp_path, calendar.environment) as crew:
        yield crew


class Database:
    """The jobs of a database, seen from outside."""

    def __init__(self, url: str) -> None:
        self.url = url

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True, options="-c search_path=leadconnector_jobs") as connection:
            cursor = connection.execute(statement.encode(), values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    async def wait(self, query: str, wanted: object, seconds: float = 2 * SOON) -> None:
        """Until a query has this one value."""
        async with asyncio.timeout(seconds):
            while self.execute(query) != [(wanted,)]:
                await asyncio.sleep(0.05)

    async def wait_for_phase(self, phase: str) -> None:
        await self.wait("SELECT phase FROM jobs", phase)

    def read_states(self) -> dict[str, str]:
        return {str(event): str(state) for event, state in self.execute("SELECT event_id, state FROM rows")}


@pytest.fixture
async def database(postgres_url: str) -> Database:
    shared = Shared(postgres_url)
    await shared.migrate()
    await shared.aclose()
    return Database(postgres_url)


def read_rows(plan: Plan) -> list[PlanRow | RowFault]:
    return list(iterate_plan([json.dumps(row) for row in plan.rows], format="jsonl"))


async def submit(calendar: Calendar, database: Database, rate: float | None = None) -> Plan:
    """A job `march` that workers are to prepare and run."""
    plan = await plan_week(calendar)
    new = NewJob(location="", options=JobOptions(concurrency=4, rate=rate))
    address = parse_address(database.url)
    rows = read_rows(plan)
    fill = asyncio.to_thread(fill_journal, address, "march", new, LEASE, rows)
    (await fill).close()
    database.execute("UPDATE jobs SET submitted = 1, phase = 'preparing'")
    return plan


async def start(crew: Crew, database: Database) -> Member:
    """A worker with fewer slots than there are locations."""
    return await crew.start(database.url, database.url, str(LEASE), str(LOCATIONS // 2))


async def check(calendar: Calendar, database: Database, plan: Plan) -> None:
    """All of it has moved, nothing twice, and nothing is left of the workers."""
    verdict = await plan.judge(calendar, database.read_states())
    assert verdict.holds, verdict
    assert set(database.read_states().values()) == {"applied"}


async def test_two_workers_finish_a_job(calendar: Calendar, database: Database, crew: Crew) -> None:
    """They end in order when they are told to, and leave no row and no ticket."""
    workers = [await start(crew, database) for _ in range(2)]
    await database.wait("SELECT COUNT(*) FROM workers", 2)
    plan = await submit(calendar, database, rate=4)
    await database.wait_for_phase("done")
    owners = [one for one in workers if "location_taken" in one.read_errors()]
    assert len(owners) == 2
    for worker in workers:
        worker.terminate()
    assert [await worker.wait() for worker in workers] == [0, 0]
    await check(calendar, database, plan)
    assert database.execute("SELECT * FROM workers") == []
    assert database.execute("TABLE leadconnector_engine.procrastinate_jobs") == []
    assert database.execute("TABLE leadconnector_engine.procrastinate_workers") == []


async def test_a_worker_that_is_killed_is_replaced_by_the_other(
    calendar: Calendar, database: Database, crew: Crew
) -> None:
    """Its locations are free again once its lease has expired."""
    plan = await submit(calendar, database, rate=4)
    first = await start(crew, database)
    await database.wait("SELECT COUNT(*) > 6 FROM rows WHERE state = 'applied'", True)
    second = await start(crew, database)
    first.kill()
    await database.wait_for_phase("done")
    await check(calendar, database, plan)
    assert "location_taken" in second.read_errors()
    assert database.execute("SELECT COUNT(*) FROM workers") == [(1,)]


async def test_sigterm_hands_all_locations_back(calendar: Calendar, database: Database, crew: Crew) -> None:
    """Within ten seconds, and the next worker need not wait for a lease."""
    plan = await submit(calendar, database, rate=4)
    first = await start(crew, database)
    await database.wait("SELECT COUNT(*) > 6 FROM rows WHERE state = 'applied'", True)
    began = time.monotonic()
    first.terminate()
    assert await first.wait() == 0
    assert time.monotonic() - began < 10
    assert database.execute("SELECT COUNT(*) FROM locations WHERE worker IS NOT NULL") == [(0,)]
    assert database.execute("SELECT * FROM workers") == []
    assert "location_handed_back" in first.read_errors()
    database.execute("UPDATE jobs SET rate = NULL")
    await start(crew, database)
    await database.wait_for_phase("done")
    await check(calendar, database, plan)


async def test_after_a_kill_of_everything_the_workers_go_on_by_themselves(
    calendar: Calendar, database: Database, crew: Crew
) -> None:
    """Whoever starts them again need not say what there is to do."""
    plan = await submit(calendar, database, rate=4)
    workers = [await start(crew, database) for _ in range(2)]
    await database.wait("SELECT COUNT(*) > 6 FROM rows WHERE state = 'applied'", True)
    for worker in workers:
        worker.kill()
    for worker in workers:
        await worker.wait()
    database.execute("UPDATE jobs SET rate = NULL")
    database.execute("TRUNCATE leadconnector_engine.procrastinate_jobs CASCADE")
    for _ in workers:
        await start(crew, database)
    await database.wait_for_phase("done")
    await check(calendar, database, plan)


async def test_a_worker_that_was_frozen_sends_nothing_more(
    calendar: Calendar, database: Database, crew: Crew
) -> None:
    """For longer than its lease, right before the socket write: the other has taken its locations."""
    plan = await submit(calendar, database)
    first = await start(crew, database)
    assert await first.lead_to("before-send", 10, "stop", SOON)
    await start(crew, database)
    await database.wait(
        "SELECT COUNT(DISTINCT worker) FROM locations WHERE worker = (SELECT max(id) FROM workers)", 1
    )
    await asyncio.sleep(2 * LEASE)
    first.thaw()
    await database.wait_for_phase("done")
    await check(calendar, database, plan)
    async with asyncio.timeout(SOON):
        while "database_lost" not in first.read_errors():
            await asyncio.sleep(0.05)


@pytest.fixture
async def client_for(calendar: Calendar, database: Database) -> AsyncIterator[Callable[[str], LeadConnector]]:
    """As the application of a worker brings it."""
    account = calendar.account
    tokens = Tokens(account.tokens, account.location_id)
    where = {"location_id": account.location_id, "base_url": account.url}
    async with Shared(database.url) as shared, LeadConnector(tokens, shared=shared, **where) as client:
        yield client.for_location


class TestInTheProcess:
    """`run_worker` and `work_location`, called by a program of the user's."""

    async def test_it_ends_when_its_event_is_set(
        self, calendar: Calendar, database: Database, client_for: ClientFor
    ) -> None:
        """And leaves the signals alone."""
        plan = await submit(calendar, database)
        before, stop = signal.getsignal(signal.SIGTERM), asyncio.Event()
        worker = asyncio.create_task(run_worker(database.url, client_for=client_for, lease=LEASE, stop=stop))
        await database.wait_for_phase("done")
        assert signal.getsignal(signal.SIGTERM) is before
        stop.set()
        await asyncio.wait_for(worker, 10)
        await check(calendar, database, plan)
        assert database.execute("SELECT * FROM workers") == []

    async def test_another_engine_hands_out_the_locations(
        self, calendar: Calendar, database: Database, client_for: ClientFor
    ) -> None:
        """With nothing but two functions: no ticket is written, and the job is moved on all the same."""
        plan = await submit(calendar, database)
        place = f"{database.url}#march"
        while open_locations := await list_open_locations(place):
            work = (work_location(place, one, client_for=client_for, lease=LEASE) for one in open_locations)
            await asyncio.gather(*work)
        await check(calendar, database, plan)
        assert database.execute("SELECT phase FROM jobs") == [("done",)]
        assert database.execute("SELECT SUM(queued), COUNT(worker) FROM locations") == [(0, 0)]
        assert database.execute("TABLE leadconnector_engine.procrastinate_jobs") == []

    async def test_a_database_without_tables_is_refused(self, postgres_url: str) -> None:
        """With the command that creates them."""
        with pytest.raises(ConfigurationError, match="has no tables yet; run: leadconnector shared migrate URL"):
            await run_worker(postgres_url, client_for=lambda location: None)  # type: ignore[arg-type,return-value]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"slots": 0}, "slots is 0"),
            ({"lease": 0.5}, "lease is 0.5; it must be at least 1 second"),
            ({"client_for": None}, "client_for is None"),
            ({"url": "sqlite:////x.db"}, "jobs of several machines need Postgres"),
            (
                {"url": "postgresql://me:hunter2@127.0.0.1/leads#march"},
                "write postgresql://127.0.0.1/leads without",
            ),
        ],
    )
    async def test_settings_that_cannot_work_are_refused(self, settings: dict[str, object], message: str) -> None:
        """Before anything is connected to."""
        given = {"url": "postgresql://127.0.0.1/leads", "client_for": lambda location: None, **settings}
        with pytest.raises(ConfigurationError, match=message) as caught:
            await run_worker(given.pop("url"), **given)  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)
