"""Where the tests here keep tokens: SQLite, and real servers."""

import pytest

from leadconnector_async import Shared

from .tokens import Place, make_place

KINDS = {"sqlite": "sqlite", "postgresql": "postgres", "redis": "valkey"}


async def migrate(url: str) -> None:
    shared = Shared(url)
    await shared.migrate()
    await shared.aclose()


@pytest.fixture
async def place(store_url: str) -> Place:
    """With its tables, and nothing in it."""
    await migrate(store_url)
    return make_place(KINDS[store_url.partition(":")[0]], store_url)


@pytest.fixture
async def postgres(postgres_url: str) -> Place:
    """As `place`, for what only Postgres does."""
    await migrate(postgres_url)
    return make_place("postgres", postgres_url)
