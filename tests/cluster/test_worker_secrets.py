"""Nothing secret in what a worker logs, emits, raises or writes: neither passwords of URLs nor tokens."""

import asyncio
import gc
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from unittest.mock import ANY
from urllib.parse import urlsplit

import psycopg
import pytest

from leadconnector_async import ConfigurationError, LeadConnector, LeadConnectorError, RateLimit, Shared
from leadconnector_async.cli.control import cancel, pause, report
from leadconnector_async.cli.jobs import status
from leadconnector_async.cli.listing import list_all
from leadconnector_async.cli.worker import worker as run_command
from leadconnector_async.jobs import BulkJob, list_jobs, purge_jobs, worker
from leadconnector_async.jobs.clients import UnsharedClientError
from leadconnector_async.jobs.unit import ClientFor
from leadconnector_async.jobs.worker import list_open_locations, run_worker, work_location
from leadconnector_async.jobs.worker_events import WorkerEvent, WorkerStarted
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from ..jobs.jobbing import rows, week_later
from ..leaks import show_all
from ..raw_server import answer, raw_server
from ..servers import take_port

PASSWORD = "pass-w0rd-zzzz"
TOKEN = "pit-0123456789-very-secret"
SECRETS = (PASSWORD, TOKEN[4:20])
LEASE = 2.0
LIMIT = RateLimit(max_requests=1000, interval=0.5)
"""A store that has just been started is waited for during an interval and two seconds."""
pytestmark = [pytest.mark.sandbox(appointments=8), pytest.mark.timeout(180)]


@pytest.fixture
async def url(postgres_url: str) -> str:
    """A database with tables. Its server trusts everybody, so any password will do."""
    parts = urlsplit(postgres_url)
    with_password = parts._replace(netloc=parts.netloc.replace("@", f":{PASSWORD}@")).geturl()
    shared = Shared(with_password)
    await shared.migrate()
    await shared.aclose()
    return with_password


@pytest.fixture
async def shared(url: str) -> AsyncIterator[Shared]:
    async with Shared(url) as opened:
        yield opened


def check(seen: str, *more: str) -> None:
    found = [secret for secret in (*SECRETS, *more) if secret in seen]
    assert not found, [line[:300] for line in seen.splitlines() if any(one in line for one in found)]


def dump(url: str) -> str:
    """All rows of all tables, those of the engine included."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema LIKE 'leadconnector%' OR table_schema = 'public'"
        ).fetchall()
        assert tables
        queries = [f'SELECT one::text FROM "{schema}"."{name}" AS one' for schema, name in tables]  # noqa: S608
        written = "\n".join(str(row) for query in queries for (row,) in connection.execute(query.encode()))
    encoded = re.findall(r"\\x((?:[0-9a-f]{2})+)", written)
    return "\n".join([written, *(bytes.fromhex(one).decode(errors="replace") for one in encoded)])


def show_logged(caplog: pytest.LogCaptureFixture) -> str:
    """Lines, and what an error tool would print of the errors in them."""
    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    return "\n".join([caplog.text, *map(show_all, errors)])


def show_objects() -> str:
    """The reprs of all that the package holds in memory."""
    ours = (one for one in gc.get_objects() if str(type(one).__module__).startswith("leadconnector_async."))
    return "\n".join(repr(one) for one in ours)


async def submit(url: str, sandbox: Sandbox, shared: Shared) -> str:
    """A job of one location; returns its place."""
    place = f"{url}#march"
    async with (
        LeadConnector(
            sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id, shared=shared
        ) as client,
        await BulkJob.create(place, client, rows(*week_later(sandbox))) as job,
    ):
        await job.submit()
    return place


@asynccontextmanager
async def working(url: str, client_for: ClientFor, events: list[WorkerEvent]) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.create_task(
        run_worker(url, client_for=client_for, lease=LEASE, stop=stop, on_event=events.append)
    )
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait([task])


async def wait_for(url: str, query: str) -> None:
    """Until a query finds something."""
    with psycopg.connect(url, autocommit=True, options="-c search_path=leadconnector_jobs") as connection:
        async with asyncio.timeout(60):
            while connection.execute(query.encode()).fetchone() is None:
                await asyncio.sleep(0.05)


async def test_a_job_gives_nothing_away(
    url: str, shared: Shared, sandbox: Sandbox, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG of everything, in a job whose connections are ended on the way; nor do objects, while it runs."""
    caplog.set_level(logging.DEBUG)
    events: list[WorkerEvent] = []
    client = make_client(shared=shared, rate_limit=LIMIT)
    place = await submit(url, sandbox, shared)
    async with working(url, lambda location: client, events):
        await wait_for(url, "SELECT 1 FROM locations WHERE worker IS NOT NULL")
        seen = show_objects()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        await wait_for(url, "SELECT 1 FROM jobs WHERE phase = 'done'")
        seen += show_objects()
    async with await BulkJob.open(place) as job:
        seen += f"{job!r} {await job.summarize()!r} {list_jobs(url)!r}"
    assert len([one for one in events if isinstance(one, WorkerStarted)]) > 1
    check(f"{seen} {events!r} {show_logged(caplog)} {dump(url)}", sandbox.token)


FAILURES: dict[str, Callable[[], Exception]] = {
    "its own": lambda: ValueError(f"no token {TOKEN} in postgresql://me:{PASSWORD}@db"),
    "chained": lambda: KeyError(TOKEN).with_traceback(None),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_no_error_of_client_for_is_shown(
    url: str, shared: Shared, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """It is the user's, and its text may hold anything: only its type is recorded."""
    caplog.set_level(logging.DEBUG)
    events: list[WorkerEvent] = []
    await submit(url, sandbox, shared)

    def fail(location: str) -> LeadConnector:
        raise FAILURES[name]() from OSError(PASSWORD)

    async with working(url, fail, events):
        await wait_for(url, "SELECT 1 FROM locations WHERE stop_kind = 'authentication'")
    written = dump(url)
    assert f"client_for raised {type(FAILURES[name]()).__name__}" in written
    check(f"{events!r} {show_logged(caplog)} {written}")


async def test_no_response_that_echoes_a_token_is_recorded(
    url: str, shared: Shared, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """In the reason why a location is stopped, which everybody who may read the job sees."""
    caplog.set_level(logging.DEBUG)
    events: list[WorkerEvent] = []
    await submit(url, sandbox, shared)
    refusal = answer(401, b'{"message":"Invalid Private Integration token %s"}' % TOKEN.encode())
    async with (
        raw_server(*[refusal] * 100) as server,
        LeadConnector(
            TOKEN, base_url=server.url, location_id=sandbox.location_id, shared=shared, rate_limit=LIMIT
        ) as client,
        working(url, lambda location: client, events),
    ):
        await wait_for(url, "SELECT 1 FROM locations WHERE stop_kind IS NOT NULL")
        assert any(TOKEN.encode() in one for one in server.requests)
    check(f"{events!r} {show_logged(caplog)} {dump(url)}")


def find_nobody(location: str) -> LeadConnector:
    raise AssertionError("nothing is to be done")


async def list_all_jobs(url: str) -> object:
    return list_jobs(url)


async def purge(url: str) -> object:
    return purge_jobs(url, timedelta(days=1))


USES: dict[str, Callable[[str], Awaitable[object]]] = {
    "run_worker": lambda url: run_worker(url, client_for=find_nobody),
    "work_location": lambda url: work_location(f"{url}#march", "loc", client_for=find_nobody),
    "list_open_locations": lambda url: list_open_locations(f"{url}#march"),
    "list_jobs": list_all_jobs,
    "purge_jobs": purge,
}
"""What a worker's program calls with a URL."""
WRONG = (
    f"mysql://me:{PASSWORD}@db.example.com/leads",
    f"postgresql://me:{PASSWORD}@db.example.com",
    f"postgresql://me:{PASSWORD}@db.example.com/leads?sslmode=disable",
    f"postgresql://me:x#{PASSWORD}@db.example.com/leads",
)


@pytest.mark.parametrize("name", USES)
async def test_no_password_is_in_an_error_or_its_frames(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a URL that cannot be used, and of a database that cannot be reached."""
    monkeypatch.setattr(worker, "_START_SECONDS", 0.0)
    for url in (*WRONG, f"postgresql://me:{PASSWORD}@127.0.0.1:{take_port()}/leads"):
        with pytest.raises(LeadConnectorError) as caught:
            await USES[name](url)
        check(show_all(caught.value))


@pytest.mark.parametrize(
    "options", [{"slots": 0}, {"lease": 0.1}, {"client_for": None}, {"stop": 1}, {"on_event": 1}]
)
async def test_no_password_is_in_the_frames_beside_another_setting(options: dict[str, object]) -> None:
    """That cannot be used."""
    given = {"client_for": find_nobody, **options}
    with pytest.raises(ConfigurationError) as caught:
        await run_worker(f"postgresql://me:{PASSWORD}@127.0.0.1/leads", **given)  # type: ignore[arg-type]
    check(show_all(caught.value))


async def test_a_worker_that_ends_by_an_error_shows_nothing(
    url: str, shared: Shared, sandbox: Sandbox, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that shares nothing, a cancellation, tables that are gone: text, attributes, and all locals."""
    caplog.set_level(logging.DEBUG)
    errors: list[BaseException | None] = []
    await submit(url, sandbox, shared)
    alone = make_client(location_id=sandbox.location_id)
    async with working(url, lambda location: alone, []) as task:
        await asyncio.wait([task], timeout=60)
    errors.append(task.exception())
    assert isinstance(errors[0], UnsharedClientError)
    reached = asyncio.Event()

    async def wait(location: str) -> LeadConnector:
        reached.set()
        return await asyncio.Future[LeadConnector]()

    async with working(url, wait, []) as task:
        await asyncio.wait_for(reached.wait(), 60)
        task.cancel()
        await asyncio.wait([task])
        try:
            await task
        except asyncio.CancelledError as error:
            errors.append(error)
    with psycopg.connect(url) as connection:
        connection.execute("DROP SCHEMA leadconnector_jobs CASCADE; DELETE FROM leadconnector_schema")
    for use in USES.values():
        with pytest.raises(LeadConnectorError) as caught:
            await use(url)
        errors.append(caught.value)
    assert len(errors) == 2 + len(USES)
    check("\n".join([*map(show_all, errors), show_logged(caplog)]), sandbox.token)


async def test_no_command_prints_the_password(
    url: str,
    shared: Shared,
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: object,
) -> None:
    """It comes from the environment, as one in an argument is refused: not even then is it repeated."""
    await submit(url, sandbox, shared)
    bare = url.replace(f":{PASSWORD}", "")
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    for given in (url, bare):
        place = f"{given}#march"
        for command in (
            lambda: list_all(given),  # noqa: B023 - it is called here
            lambda: list_all(given, json_output=True),  # noqa: B023
            lambda: status(place),  # noqa: B023
            lambda: status(place, json_output=True),  # noqa: B023
            lambda: pause(place),  # noqa: B023
            lambda: cancel(place),  # noqa: B023
            lambda: report(place),  # noqa: B023
        ):
            assert await command() == (2 if given == url else ANY)
        if given == url:
            assert await run_command(given) == 2
    said = capsys.readouterr()
    assert "#march" in said.out
    check(said.out + said.err)
