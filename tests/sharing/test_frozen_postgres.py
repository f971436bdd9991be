"""A process that is frozen while it uses Postgres, at any byte, holds up no other; nor does one that gave up."""

import asyncio
import time

import psycopg
import pytest

from leadconnector_async import Shared, StoreUnavailableError
from leadconnector_async._sharing.store import MISSING
from leadconnector_async._sharing.url import parse_address
from leadconnector_async.integrations import postgres
from leadconnector_async.integrations.postgres import PostgresStore

from ..freezing import LONGEST, frozen, measure
from .counting import KEEP

KEY = "a state"
CONTENT = b"large" * 2000
"""More than libpq passes on at once."""
LAST = 240
"""Bytes of the statements at the end of `replace`, and a little more."""
COUNT_WAITING = """
    SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def replace(url: str) -> bool:
    """Read a state, and replace it, unless somebody else has."""
    store = PostgresStore(parse_address(url))
    try:
        found = await store.read(KEY)
        return await store.swap(KEY, found.version, CONTENT, KEEP)
    finally:
        await store.aclose()


async def replace_at_last(url: str) -> None:
    until = time.monotonic() + LONGEST
    while True:
        try:
            if await replace(url):
                return
        except StoreUnavailableError:
            if time.monotonic() > until:
                raise


async def migrate(url: str) -> None:
    shared = Shared(url)
    await shared.migrate()
    await shared.aclose()


async def test_a_state_can_be_replaced_while_a_process_is_frozen_in_it(postgres_url: str) -> None:
    """Also if only the last bytes of a statement are missing."""
    await migrate(postgres_url)
    await replace(postgres_url)
    size = await asyncio.to_thread(measure, postgres_url, lambda url: asyncio.run(replace(url)))
    for cut in (size - len(CONTENT), *range(size - LAST, size, 3)):
        with frozen(postgres_url, cut, lambda url: asyncio.run(replace(url))):
            await replace_at_last(postgres_url)


@pytest.mark.parametrize("cut", [4_000, 12_000, 20_000, 28_000])
async def test_a_frozen_migration_is_taken_over(
    postgres_url: str, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next one, which waits for it."""
    monkeypatch.setattr(postgres, "_BOUND_MIGRATION", postgres._BOUND_MIGRATION.replace("'10s'", "'1s'"))
    with frozen(postgres_url, cut, lambda url: asyncio.run(migrate(url))):
        await migrate(postgres_url)
    async with Shared(postgres_url) as shared:
        assert await shared.store.swap(KEY, MISSING, CONTENT, KEEP)


async def test_who_gives_up_waiting_does_not_wait_on_at_the_server(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every attempt would leave a session behind, until the server accepts no more of them."""
    await migrate(postgres_url)
    monkeypatch.setattr(postgres, "_BOUND", postgres._BOUND.replace("'5s'", "'2s'"))
    with psycopg.connect(postgres_url) as other, psycopg.connect(postgres_url, autocommit=True) as look:
        other.execute("LOCK TABLE leadconnector_states")
        store = PostgresStore(parse_address(postgres_url))
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="did not respond within 1 s"):
                await store.read(KEY)
        until = time.monotonic() + LONGEST
        while look.execute(COUNT_WAITING).fetchone() != (0,):
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        await store.aclose()
