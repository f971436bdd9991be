"""The stores that the tests here run against: SQLite, and real servers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadconnector_async import Shared

from ..servers import PostgresServer, ValkeyServer
from .tokens import Place, make_place


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """With its tables."""
    with PostgresServer() as server:
        asyncio.run(migrate(server.url))
        yield server


async def migrate(url: str) -> None:
    shared = Shared(url)
    await shared.migrate()
    await shared.aclose()


@pytest.fixture(params=["sqlite", "postgres", "valkey"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Nobody else has tokens in it."""
    if request.param == "sqlite":
        return make_place("sqlite", f"sqlite:///{tmp_path / 'shared.db'}")
    return make_place(request.param, request.getfixturevalue(request.param).url)
