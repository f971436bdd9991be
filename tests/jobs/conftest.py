"""Where the tests here keep jobs: a folder, and a name in a Postgres database."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leadconnector_async import Shared

PLACES = ("folder",)
"""What `place` stands for in each test. `postgres` joins them with the journal that can be opened there."""


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
