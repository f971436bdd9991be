"""Where the tests here keep jobs: a folder, and a name in a Postgres database."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leadconnector_async import Shared

from ..conftest import MakeClient

PLACES = ("folder", "postgres")
"""What `place` is in each test."""


@pytest.fixture(scope="session")
def jobs_database(postgres_server: str) -> Iterator[str]:
    """The URL of a database with all tables: one for all tests of this process, which use names of their own."""
    with make_database(postgres_server) as url:
        yield url


@contextmanager
def make_database(postgres_server: str) -> Iterator[str]:
    """The URL of a database with all tables."""
    import psycopg  # only these tests need it

    name = f"jobs_{uuid.uuid4().hex}"
    url = urlsplit(postgres_server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            with closing(asyncio.new_event_loop()) as loop:  # `asyncio.run` would leave the thread without one
                loop.run_until_complete(_migrate(url))
            yield url
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def _migrate(url: str) -> None:
    shared = Shared(url)
    await shared.migrate()
    await shared.aclose()


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new job can be created, as `BulkJob.create` takes it; `place(…, indirect=True)` chooses one."""
    if request.param == "folder":
        return str(tmp_path / "day.job")
    return f"{request.getfixturevalue('jobs_database')}#{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shared | None]:
    """What clients share for a job in a database: two processes could work on it one after the other."""
    if getattr(request.node, "callspec", None) is None or request.node.callspec.params.get("place") != "postgres":
        yield None
        return
    async with Shared(f"sqlite:///{tmp_path}/shared.db") as opened:
        yield opened


@pytest.fixture
def make_client(make_client: MakeClient, shared: Shared | None) -> MakeClient:
    return partial(make_client, shared=shared)
