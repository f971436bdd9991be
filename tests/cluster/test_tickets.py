"""Tickets: what each engine promises, and what procrastinate makes of rows that say something else."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.rows import TupleRow

from leadconnector_async import ConfigurationError, Shared, StoreUnavailableError
from leadconnector_async._sharing.url import parse_address
from leadconnector_async.integrations import engine_schema
from leadconnector_async.integrations.procrastinate import ProcrastinateTickets
from leadconnector_async.jobs.tickets import Ticket, Tickets, Work

from ..servers import PostgresServer
from ..sharing.relay import relay
from .memory_tickets import MemoryTickets

LEASE = 2.0
SOME = [Ticket(1, f"loc{n}") for n in range(7)]


async def migrate(url: str) -> None:
    shared = Shared(url)
    await shared.migrate()
    await shared.aclose()


def connect(url: str) -> psycopg.Connection[TupleRow]:
    """A session in the engine's schema."""
    return psycopg.connect(url, autocommit=True, options=f"-c search_path={engine_schema.SCHEMA}")


def count(url: str, table: str = "procrastinate_jobs") -> int:
    with connect(url) as connection:
        return len(connection.execute(f"TABLE {table}".encode()).fetchall())


@asynccontextmanager
async def working(tickets: Tickets, run: Work, slots: int = 3) -> AsyncIterator[asyncio.Event]:
    """Work on tickets; the event ends it."""
    stopping = asyncio.Event()
    task = asyncio.create_task(tickets.work(run, slots, stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        await asyncio.wait_for(task, 30)


class Seen:
    """What was handed out; with `hold`, it runs until `go_on` is set."""

    def __init__(self, *, hold: bool = False) -> None:
        self.tickets: list[Ticket] = []
        self.running = self.most = self.ended = 0
        self.go_on = asyncio.Event()
        self._changed = asyncio.Condition()
        if not hold:
            self.go_on.set()

    async def run(self, ticket: Ticket) -> None:
        self.tickets.append(ticket)
        self.running += 1
        self.most = max(self.most, self.running)
        async with self._changed:
            self._changed.notify_all()
        try:
            await self.go_on.wait()
            self.ended += 1
        finally:
            self.running -= 1

    async def wait(self, wanted: int) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: len(self.tickets) >= wanted)


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[ProcrastinateTickets]:
    await migrate(postgres_url)
    tickets = ProcrastinateTickets(parse_address(postgres_url), LEASE)
    yield tickets
    await tickets.aclose()


@pytest.fixture(params=["memory", "procrastinate"])
async def tickets(request: pytest.FixtureRequest, postgres_url: str) -> AsyncIterator[Tickets]:
    if request.param == "memory":
        yield MemoryTickets()
        return
    await migrate(postgres_url)
    made = ProcrastinateTickets(parse_address(postgres_url), LEASE)
    yield made
    await made.aclose()


async def test_tickets_are_handed_out_in_their_order(tickets: Tickets) -> None:
    """One at a time, to whoever has a single slot; each once."""
    await tickets.defer(SOME)
    seen = Seen()
    async with working(tickets, seen.run, slots=1):
        await seen.wait(len(SOME))
    assert seen.tickets == SOME


async def test_a_ticket_that_waits_is_not_written_again(tickets: Tickets) -> None:
    """Whoever cannot know whether there is one writes it; the others of the same batch are written."""
    await tickets.defer(SOME[:3])
    await tickets.defer(SOME)
    seen = Seen()
    async with working(tickets, seen.run):
        await seen.wait(len(SOME))
        await tickets.defer([Ticket(2, "last")])
        await seen.wait(len(SOME) + 1)
    assert seen.tickets == [*SOME, Ticket(2, "last")]


async def test_no_more_run_than_there_are_slots(tickets: Tickets) -> None:
    """The next one starts when one of them has ended."""
    await tickets.defer(SOME)
    seen = Seen(hold=True)
    async with working(tickets, seen.run, slots=3):
        await seen.wait(3)
        seen.go_on.set()
        await seen.wait(len(SOME))
    assert (seen.most, seen.ended) == (3, len(SOME))


async def test_a_ticket_of_a_location_that_runs_can_be_written(tickets: Tickets) -> None:
    """Whoever hands a location back writes one before the old one has ended; it must not be lost."""
    seen = Seen(hold=True)
    await tickets.defer(SOME[:1])
    async with working(tickets, seen.run):
        await seen.wait(1)
        await tickets.defer(SOME[:1])
        seen.go_on.set()
        await seen.wait(2)
    assert seen.tickets == [SOME[0], SOME[0]]


async def test_stopping_hands_out_nothing_more_and_waits_for_what_runs(tickets: Tickets) -> None:
    """The worker ends those itself; what waits stays for others."""
    await tickets.defer(SOME)
    seen, stopping = Seen(hold=True), asyncio.Event()
    task = asyncio.create_task(tickets.work(seen.run, 2, stopping))
    await seen.wait(2)
    stopping.set()
    await asyncio.wait([task], timeout=0.2)
    assert not task.done()
    seen.go_on.set()
    await asyncio.wait_for(task, 30)
    assert (len(seen.tickets), seen.ended) == (2, 2)
    later = Seen()
    async with working(tickets, later.run):
        await later.wait(len(SOME) - 2)
    assert later.tickets == SOME[2:]


async def test_cancelling_cancels_what_runs(tickets: Tickets) -> None:
    """At once: nobody waits for it any more."""
    await tickets.defer(SOME[:2])
    seen = Seen(hold=True)
    task = asyncio.create_task(tickets.work(seen.run, 2, asyncio.Event()))
    await seen.wait(2)
    task.cancel()
    await asyncio.wait_for(asyncio.wait([task]), 30)
    assert task.cancelled()
    assert (seen.running, seen.ended) == (0, 0)


async def test_nothing_of_a_ticket_is_kept(engine: ProcrastinateTickets, postgres_url: str) -> None:
    """Neither of what ran, nor of the worker that ran it."""
    await engine.defer(SOME)
    seen = Seen()
    async with working(engine, seen.run):
        await seen.wait(len(SOME))
    assert [count(postgres_url, f"procrastinate_{table}") for table in ("jobs", "events", "workers")] == [0, 0, 0]


async def test_thousands_of_tickets_are_written_in_few_statements(
    engine: ProcrastinateTickets, postgres_url: str
) -> None:
    """Those that wait already are left out; the table is analyzed, or fetching gets slow."""
    many = [Ticket(1, f"loc{n}") for n in range(6_000)]
    await engine.defer(many[3_000:4_000])
    await engine.defer(many)
    with connect(postgres_url) as connection:
        row = connection.execute("SELECT reltuples FROM pg_class WHERE relname = 'procrastinate_jobs'").fetchone()
    assert row == (6_000,)


HOSTILE = [
    ("builtin:procrastinate.builtin_tasks.remove_old_jobs", '{"max_hours": 0}'),
    ("procrastinate.builtin_tasks.remove_old_jobs", '{"max_hours": 0}'),
    ("os:system", '{"command": "id"}'),
    ("leadconnector:location", '{"job": 1}'),
    ("leadconnector:location", '{"job": 1, "location": "a", "url": "http://127.0.0.1:9/"}'),
    ("leadconnector:location", '{"job": "1", "location": "a"}'),
    ("leadconnector:location", '{"job": true, "location": "a"}'),
    ("leadconnector:location", '{"job": 0, "location": "a"}'),
    ("leadconnector:location", '{"job": 2147483648, "location": "a"}'),
    ("leadconnector:location", '{"job": 1, "location": {"__reduce__": ["os.system", "id"]}}'),
    ("leadconnector:location", '["1", "a"]'),
    ("leadconnector:location", "\"cos\\nsystem\\n(S'id'\\ntR.\""),
    ("leadconnector:location", "null"),
    ("leadconnector:location", '{"job": ' + "9" * 5_000 + ', "location": "a"}'),
    ("leadconnector:location", '{"job": 1, "location": ' + "[" * 3_000 + "]" * 3_000 + "}"),
    ("leadconnector:location", '{"job": 1, "location": "' + "a" * 1_001 + '"}'),
]


async def test_rows_that_are_no_tickets_run_nothing(engine: ProcrastinateTickets, postgres_url: str) -> None:
    """Whoever can write to the table makes a worker ask the journal for a location, and nothing else."""
    plant = (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args, queueing_lock, lock, scheduled_at)"
        " VALUES ('leadconnector', %s, %s, %s, %s, %s)"
    )
    with connect(postgres_url) as connection:
        for number, (task, args) in enumerate(HOSTILE):
            for time in (None, "-infinity"):
                text = f"os.system('{number} {time}')"
                connection.execute(plant, (task, args, text, text, time))
        connection.execute(
            "INSERT INTO procrastinate_periodic_defers (task_name, defer_timestamp, periodic_id)"
            " VALUES ('builtin:procrastinate.builtin_tasks.remove_old_jobs', 0, 'os.system')"
        )
    await engine.defer(SOME[:1])
    seen = Seen()
    async with working(engine, seen.run):
        await seen.wait(1)
    assert seen.tickets == SOME[:1]
    await engine.clean()
    assert count(postgres_url) == 0


async def test_tickets_of_dead_workers_are_removed(engine: ProcrastinateTickets, postgres_url: str) -> None:
    """Those of one that beats are not."""
    await engine.defer(SOME[:3])
    with connect(postgres_url) as connection:
        for ticket, age in zip(SOME, (0, 1.5 * LEASE, 11 * LEASE), strict=False):
            connection.execute(
                "WITH worker AS (INSERT INTO procrastinate_workers (last_heartbeat)"
                " VALUES (now() - make_interval(secs => %s)) RETURNING id)"
                " UPDATE procrastinate_jobs SET status = 'doing', worker_id = worker.id FROM worker"
                " WHERE queueing_lock = %s",
                (age, f"{ticket.job}/{ticket.location}"),
            )
    await engine.clean()
    with connect(postgres_url) as connection:
        assert connection.execute("SELECT args->>'location' FROM procrastinate_jobs").fetchall() == [("loc0",)]
    assert count(postgres_url, "procrastinate_workers") == 2


async def test_a_worker_that_was_taken_for_dead_registers_again(
    engine: ProcrastinateTickets, postgres_url: str
) -> None:
    """Its row is gone when it asks for the next ticket, which stays for whoever asks next."""
    seen = Seen()
    await engine.defer(SOME[:1])
    async with working(engine, seen.run):
        await seen.wait(1)
        with connect(postgres_url) as connection:
            connection.execute("DELETE FROM procrastinate_workers")
        await engine.defer(SOME[1:2])
        await seen.wait(2)
    assert seen.tickets == SOME[:2]


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


async def test_an_outage_is_waited_out(own_server: PostgresServer) -> None:
    """What ran goes on meanwhile; tickets that were not written are an error, those that wait are handed out."""
    await migrate(own_server.url)
    engine = ProcrastinateTickets(parse_address(own_server.url), LEASE)
    seen = Seen(hold=True)
    await engine.defer(SOME[:1])
    async with working(engine, seen.run):
        await seen.wait(1)
        await asyncio.to_thread(own_server.kill)
        with pytest.raises(StoreUnavailableError):
            await engine.defer(SOME[1:])
        await asyncio.sleep(LEASE)
        assert seen.running == 1
        await asyncio.to_thread(own_server.start)
        await engine.defer(SOME[1:])
        seen.go_on.set()
        await seen.wait(len(SOME))
    assert seen.tickets == SOME
    await engine.aclose()


async def test_a_server_that_does_not_answer_keeps_nobody(engine: ProcrastinateTickets, postgres_url: str) -> None:
    """Stopping takes what one query may take, not that for each that is left."""
    async with relay(postgres_url) as between:
        cut = ProcrastinateTickets(parse_address(between.url), LEASE)
        await engine.defer(SOME)
        seen, stopping = Seen(hold=True), asyncio.Event()
        task = asyncio.create_task(cut.work(seen.run, len(SOME), stopping))
        await seen.wait(len(SOME))
        between.running.clear()
        stopping.set()
        seen.go_on.set()
        async with asyncio.timeout(3 * LEASE):
            await task
        await cut.aclose()
    assert seen.ended == len(SOME)


async def test_nothing_that_is_logged_holds_the_password(
    engine: ProcrastinateTickets, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even when procrastinate logs everything, and nothing can be reached."""
    caplog.set_level(logging.DEBUG)
    parts = urlsplit(postgres_url)
    secret = f"postgresql://postgres:hunter2zzzz@127.0.0.1:{parts.port}{parts.path}"
    known = ProcrastinateTickets(parse_address(secret), LEASE)
    await known.defer(SOME)
    seen = Seen()
    async with working(known, seen.run):
        await seen.wait(len(SOME))
    await known.aclose()
    unknown = ProcrastinateTickets(parse_address(secret.replace(str(parts.port), "1")), LEASE)
    with pytest.raises(StoreUnavailableError) as caught:
        await unknown.defer(SOME)
    assert caplog.records
    assert "hunter2zzzz" not in "".join([caplog.text, str(caught.value), repr(known), repr(unknown)])


class TestSchema:
    """The engine's tables."""

    async def test_a_database_without_them_is_refused(self, postgres_url: str) -> None:
        engine = ProcrastinateTickets(parse_address(postgres_url), LEASE)
        with pytest.raises(ConfigurationError, match="has no tables yet; run: leadconnector shared migrate URL"):
            await engine.check()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ("DELETE FROM applied WHERE name LIKE '03.04%'", "older version of procrastinate; run: leadconnector"),
            ("INSERT INTO applied VALUES ('09.00.00_01_new.sql')", "newer version of procrastinate than the one"),
            ("DELETE FROM applied", "has no tables yet"),
        ],
    )
    async def test_those_of_another_version_are_refused(
        self, engine: ProcrastinateTickets, postgres_url: str, change: str, message: str
    ) -> None:
        with connect(postgres_url) as connection:
            connection.execute(change.encode())
        with pytest.raises(ConfigurationError, match=message):
            await engine.check()

    async def test_migrations_make_the_tables_of_a_new_database(
        self, engine: ProcrastinateTickets, postgres_url: str
    ) -> None:
        """One after the other, from the first version on: each is applied once, and noted."""
        wanted = describe(postgres_url)
        with connect(postgres_url) as connection:
            connection.execute(f"DROP SCHEMA {engine_schema.SCHEMA} CASCADE".encode())
            connection.execute(engine_schema._CREATE)
            first = engine_schema.list_migrations()[0]
            connection.execute(engine_schema._read("migrations", first))
            connection.execute("INSERT INTO applied VALUES (%s)", (first,))
        await migrate(postgres_url)
        assert describe(postgres_url) == wanted
        await engine.check()
        await migrate(postgres_url)
        assert count(postgres_url, "applied") == len(engine_schema.list_migrations())

    async def test_a_migration_that_fails_is_made_again(
        self, engine: ProcrastinateTickets, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It has changed nothing; those before it are kept."""
        names = [*engine_schema.list_migrations(), "90_good.sql", "91_bad.sql"]
        statements = {"90_good.sql": "CREATE TABLE good ()", "91_bad.sql": "CREATE TABLE bad (); SELECT 1 / 0"}
        monkeypatch.setattr(engine_schema, "list_migrations", lambda: names)
        monkeypatch.setattr(engine_schema, "_read", lambda *path: statements[path[-1]])
        with pytest.raises(StoreUnavailableError, match="division by zero"):
            await migrate(postgres_url)
        with connect(postgres_url) as connection:
            found = connection.execute("SELECT to_regclass('good') IS NULL, to_regclass('bad') IS NULL").fetchone()
        assert found == (False, True)
        statements["91_bad.sql"] = "CREATE TABLE bad ()"
        await migrate(postgres_url)
        await engine.check()


DESCRIBE = (
    """SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
       WHERE table_schema = current_schema ORDER BY table_name, column_name""",
    "SELECT proname, pronargs FROM pg_proc WHERE pronamespace = current_schema::regnamespace ORDER BY 1, 2",
    "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema ORDER BY indexname",
    "SELECT typname, enumlabel FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid ORDER BY 1, 2",
)


def describe(url: str) -> list[list[tuple[object, ...]]]:
    """Columns, functions, indexes and enums of the engine's schema."""
    with connect(url) as connection:
        return [connection.execute(query.encode()).fetchall() for query in DESCRIBE]
