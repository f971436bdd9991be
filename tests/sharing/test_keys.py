"""Rows of callers' keys: durable, replaced only by whoever has read them, and forgotten after their time."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from leadconnector_async import ConfigurationError, Shared, StoreUnavailableError
from leadconnector_async._sharing.keys import KeyStore, MemoryKeys
from leadconnector_async._sharing.store import MISSING

from ..servers import PostgresServer, ValkeyServer

KEY, KEEP = "key", 60.0


@pytest.fixture
async def shared(store_url: str) -> AsyncIterator[Shared]:
    one = Shared(store_url)
    await one.migrate()
    async with one:
        yield one


@pytest.fixture(params=["sqlite", "postgresql", "redis", "memory"])
async def any_keys(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KeyStore]:
    if request.param == "memory":
        yield MemoryKeys()
        return
    names = {"postgresql": "postgres_url", "redis": "redis_url"}
    url = request.getfixturevalue(names[request.param]) if request.param in names else f"sqlite:///{tmp_path}/keys"
    shared = Shared(url)
    await shared.migrate()
    yield shared.keys
    await shared.aclose()


async def test_a_row_is_replaced_only_by_whoever_has_read_it(any_keys: KeyStore) -> None:
    """A row that does not exist has a version too; each swap makes another one."""
    first = await any_keys.read(KEY)
    assert (first.version, first.content) == (MISSING, b"")
    assert await any_keys.swap(KEY, first.version, b"one", KEEP)
    assert not await any_keys.swap(KEY, first.version, b"another", KEEP)
    second = await any_keys.read(KEY)
    assert second.content == b"one"
    assert await any_keys.swap(KEY, second.version, b"\x00\xff", KEEP, sync=False)
    assert not await any_keys.swap(KEY, second.version, b"late", KEEP)
    third = await any_keys.read(KEY)
    assert (third.content, len({MISSING, second.version, third.version})) == (b"\x00\xff", 3)
    assert third.now >= second.now >= first.now
    assert third.clock == first.clock
    assert (await any_keys.read("other")).version == MISSING


async def test_of_many_who_add_a_row_one_does(shared: Shared, store_url: str) -> None:
    """From several connections at once."""
    others = [Shared(store_url) for _ in range(8)]
    swaps = [one.keys.swap(KEY, MISSING, b"%d" % number, KEEP) for number, one in enumerate(others)]
    assert (await asyncio.gather(*swaps)).count(True) == 1
    for one in others:
        await one.aclose()


async def test_a_row_is_forgotten_after_its_time(any_keys: KeyStore) -> None:
    """And can be added again."""
    assert await any_keys.swap(KEY, MISSING, b"old", 0.05)
    await asyncio.sleep(0.1)
    assert (await any_keys.read(KEY)).version == MISSING
    assert await any_keys.swap(KEY, MISSING, b"new", KEEP)
    assert (await any_keys.read(KEY)).content == b"new"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_old_rows_are_deleted(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    """By the first swap of a process, and by each thousandth one. Redis lets them expire."""
    url = f"sqlite:///{tmp_path}/shared.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    for number in range(2):
        shared = Shared(url)
        await shared.migrate()
        await shared.keys.swap(f"key {number}", MISSING, b"", 0.0 if number == 0 else KEEP)
        await shared.aclose()
    query = "SELECT key FROM leadconnector_keys"
    if kind == "sqlite":
        connection = sqlite3.connect(tmp_path / "shared.db")
        rows = connection.execute(query).fetchall()
        connection.close()
    else:
        with psycopg.connect(url) as postgres:
            rows = postgres.execute(query).fetchall()
    assert rows == [("key 1",)]


async def test_rows_outlive_a_crash_of_postgres() -> None:
    """Budgets do not, and need not."""
    with PostgresServer() as server:
        shared = Shared(server.url)
        await shared.migrate()
        await shared.keys.swap(KEY, MISSING, b"one", KEEP)
        await shared.store.swap(KEY, MISSING, b"budget", KEEP)
        await shared.aclose()
        server.kill()
        server.start()
        assert (await shared.keys.read(KEY)).content == b"one"
        assert (await shared.store.read(KEY)).content is None
        await shared.aclose()


async def test_rows_outlive_a_crash_of_redis_that_keeps_a_log() -> None:
    """A server that keeps none says so once, in the log of the program."""
    with ValkeyServer("--appendonly", "yes", "--appendfsync", "everysec") as server:
        shared = Shared(server.url)
        await shared.keys.swap(KEY, MISSING, b"one", KEEP)
        await shared.aclose()
        server.kill()
        server.start()
        assert (await shared.keys.read(KEY)).content == b"one"
        await shared.aclose()


async def test_redis_without_a_log_is_warned_of(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once: after a restart of such a server, a key books again."""
    shared = Shared(redis_url)
    with caplog.at_level(logging.WARNING):
        for key in ("one", "two"):
            await shared.keys.swap(key, MISSING, b"", KEEP)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{shared.address.shown} keeps the keys of callers in memory only: ")
    await shared.aclose()


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer])
async def test_a_store_that_is_down_is_an_error(kind: type[PostgresServer | ValkeyServer]) -> None:
    """In bounded time, and it works again once the store does."""
    with kind() as server:
        shared = Shared(server.url)
        await shared.migrate()
        await shared.keys.read(KEY)
        server.kill()
        with pytest.raises(StoreUnavailableError, match="could not be reached"):
            await shared.keys.read(KEY)
        server.start()
        await shared.keys.read(KEY)
        await shared.aclose()


async def test_an_older_file_gets_the_table_by_a_migration(tmp_path: Path) -> None:
    """What it holds stays; until then, it is refused with the command to run."""
    path, url = tmp_path / "shared.db", f"sqlite:///{tmp_path}/shared.db"
    async with Shared(url) as shared:
        await shared.store.swap(KEY, MISSING, b"budget", KEEP)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TABLE leadconnector_keys")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    refusal = "tables of version 1, older than version 2; run: leadconnector shared migrate URL"
    with pytest.raises(ConfigurationError, match=refusal):
        async with Shared(url):
            pass
    shared = Shared(url)
    await shared.migrate()
    assert await shared.keys.swap(KEY, MISSING, b"key", KEEP)
    assert (await shared.store.read(KEY)).content == b"budget"
    await shared.aclose()
