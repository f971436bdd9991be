"""What all tests share: a sandbox, a client for it, and nothing that leaves the machine."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import hypothesis
import pytest

from leadconnector_async import LeadConnector, RetryPolicy
from leadconnector_async.sandbox import Limits, Sandbox

from . import loops
from .servers import PostgresServer, ValkeyServer

MOST_SECONDS_IN_CI = 120
"""What a campaign may take there."""
QUICK = RetryPolicy(backoff_base=0.001, backoff_cap=0.002)
WIDE = Limits(max_requests=10_000, interval=0.5)

MakeClient = Callable[..., LeadConnector]


def pytest_configure(config: pytest.Config) -> None:
    """Tests run on asyncio's own loop, or on the one that `TEST_LOOP` names; no example has a time limit."""
    loops.install()
    too_slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("unhurried", deadline=None, suppress_health_check=too_slow)
    hypothesis.settings.load_profile("unhurried")
    if loops.NAME != "asyncio":
        config.pluginmanager.register(loops.VirtualTime())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI a campaign that does not keep to its time is a failure; elsewhere a slow machine may take longer."""
    for item in items:
        mark = item.get_closest_marker("campaign")
        if os.environ.get("CI") and mark is not None:
            item.add_marker(pytest.mark.timeout(*mark.args or [MOST_SECONDS_IN_CI]), append=False)


@pytest.fixture(scope="session", autouse=True)
def main_loop() -> Iterator[None]:
    """On 3.11, asking for the current loop makes one that nobody closes; this one is closed."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()


@pytest.fixture
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """Small, with the limit out of the way; or as the test's mark `sandbox(…)` says."""
    mark = request.node.get_closest_marker("sandbox")
    options = {"appointments": 40, "limits": WIDE} if mark is None else mark.kwargs
    async with Sandbox(**options) as server:
        yield server


@pytest.fixture
async def make_client(sandbox: Sandbox) -> AsyncIterator[MakeClient]:
    made: list[LeadConnector] = []

    def make(token: object = None, **options: object) -> LeadConnector:
        settings = {"base_url": sandbox.url, "location_id": sandbox.location_id, "retry": QUICK, **options}
        client = LeadConnector(sandbox.token if token is None else token, **settings)  # type: ignore[arg-type]
        made.append(client)
        return client

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def client(make_client: MakeClient) -> LeadConnector:
    return make_client()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a Postgres server: one for all tests of this process, or that of `LEADCONNECTOR_TEST_POSTGRES`."""
    given = os.environ.get("LEADCONNECTOR_TEST_POSTGRES")
    if given:
        yield given
        return
    with PostgresServer() as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a Valkey server: one for all tests of this process, or that of `LEADCONNECTOR_TEST_REDIS`.

    Its database is emptied by tests.
    """
    given = os.environ.get("LEADCONNECTOR_TEST_REDIS")
    if given:
        yield given
        return
    with ValkeyServer() as server:
        yield server.url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty database, without tables."""
    import psycopg  # only these tests need it

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield urlsplit(postgres_server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty database."""
    import redis  # only these tests need it

    with redis.Redis.from_url(redis_server) as client:
        client.flushdb()
    return redis_server


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store of each kind, empty and without tables: call `Shared.migrate` first."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shared.db"
    return str(request.getfixturevalue("postgres_url" if request.param == "postgresql" else "redis_url"))
