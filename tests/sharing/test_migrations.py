"""Tables of stores: created once, checked by everybody, and never guessed."""

import asyncio
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from leadconnector_async import ConfigurationError, Shared
from leadconnector_async._sharing.store import MISSING

from .counting import KEEP, add, get


async def migrate(url: str) -> None:
    shared = Shared(url)
    await shared.migrate()
    await shared.aclose()


def execute(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


async def test_a_database_without_tables_is_refused_when_it_is_entered(postgres_url: str) -> None:
    """With the command that creates them; nothing is created behind anybody's back."""
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="has no tables yet; run: leadconnector shared migrate URL"):
            async with Shared(postgres_url):
                pass
    shared = Shared(postgres_url)
    with pytest.raises(ConfigurationError, match="has no tables yet"):
        await shared.store.read("key")
    with pytest.raises(ConfigurationError, match="has no tables yet"):
        await shared.store.swap("key", MISSING, b"", KEEP)
    await shared.migrate()
    assert await shared.store.swap("key", MISSING, b"", KEEP)
    await shared.aclose()


async def test_migrating_again_changes_nothing(store_url: str) -> None:
    """Also while others work with the store."""
    await migrate(store_url)
    async with Shared(store_url) as shared:
        await add(shared.store, 1)
        await asyncio.gather(*(migrate(store_url) for _ in range(3)))
        assert await get(shared.store) == 1


async def test_many_migrate_at_once(postgres_url: str) -> None:
    """One of them does it, the others wait for it."""
    await asyncio.gather(*(migrate(postgres_url) for _ in range(8)))
    async with Shared(postgres_url) as shared:
        await add(shared.store, 1)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT version FROM leadconnector_schema").fetchall() == [(1,), (2,), (3,)]


async def test_a_migration_waits_for_another_one(postgres_url: str) -> None:
    """The advisory lock is held until its transaction ends; a migration that is killed leaves nothing behind."""
    from leadconnector_async.integrations.postgres import _LOCK

    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        task = asyncio.create_task(migrate(postgres_url))
        await until_one_waits(postgres_url)
        with psycopg.connect(postgres_url, autocommit=True) as watching:
            assert watching.execute("SELECT to_regclass('leadconnector_states')").fetchone() == (None,)
        assert not task.done()
    await task


async def until_one_waits(url: str) -> None:
    """Until a migration waits for the lock."""
    query = (
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
    )
    with psycopg.connect(url, autocommit=True) as watching:
        while watching.execute(query).fetchone() != (1,):
            await asyncio.sleep(0.01)


async def test_a_migration_that_is_cancelled_leaves_nothing_half_done(postgres_url: str) -> None:
    """It is one transaction."""
    from leadconnector_async.integrations.postgres import _LOCK

    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        shared = Shared(postgres_url)
        task = asyncio.create_task(shared.migrate())
        await until_one_waits(postgres_url)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await shared.aclose()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT to_regclass('leadconnector_schema')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "INSERT INTO leadconnector_schema VALUES (4)",
            "version 4, and this version of the library uses version 3",
        ),
        (
            "DELETE FROM leadconnector_schema WHERE version = 3",
            "version 2, older than version 3; run: leadconnector shared",
        ),
        ("DELETE FROM leadconnector_schema", "has no tables yet; run: leadconnector shared migrate URL"),
        ("DROP TABLE leadconnector_schema", "has no tables yet; run: leadconnector shared migrate URL"),
    ],
)
async def test_tables_of_another_version_are_refused(postgres_url: str, change: str, message: str) -> None:
    """Older ones name the command, newer ones the library."""
    await migrate(postgres_url)
    execute(postgres_url, change)
    with pytest.raises(ConfigurationError, match=message):
        async with Shared(postgres_url):
            pass


@pytest.mark.parametrize(
    "tables",
    [
        "CREATE TABLE leadconnector_schema (version text); INSERT INTO leadconnector_schema VALUES ('v1')",
        "CREATE TABLE leadconnector_schema (name text)",
        "CREATE TABLE leadconnector_states (name text)",
    ],
)
async def test_tables_of_another_program_are_left_alone(postgres_url: str, tables: str) -> None:
    """Migrating is not what helps."""
    execute(postgres_url, tables)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"a table of another program .*: choose another database"):
            await migrate(postgres_url)
    if "leadconnector_schema" in tables:
        shared = Shared(postgres_url)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="a table of another program"):
                await shared.check()
        await shared.aclose()


async def test_a_newer_version_is_not_migrated_back(postgres_url: str) -> None:
    """By a process that was not updated yet."""
    await migrate(postgres_url)
    execute(postgres_url, "INSERT INTO leadconnector_schema VALUES (4)")
    with pytest.raises(ConfigurationError, match="install the version that migrated it, or a newer one"):
        await migrate(postgres_url)


async def test_a_worker_needs_only_a_workers_privileges(postgres_url: str) -> None:
    """Reading and writing rows; what is missing is an error that the user can correct, not an outage."""
    await migrate(postgres_url)
    name = urlsplit(postgres_url).path[1:]
    execute(postgres_url, f"CREATE ROLE worker_{name} LOGIN; CREATE ROLE reader_{name} LOGIN")
    try:
        granted = (
            f"GRANT SELECT ON leadconnector_schema TO worker_{name}, reader_{name};"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON leadconnector_states TO worker_{name}"
        )
        execute(postgres_url, granted)
        async with Shared(postgres_url.replace("postgres@", f"worker_{name}@")) as shared:
            await add(shared.store, 1)
        execute(postgres_url, f"GRANT SELECT ON leadconnector_states TO reader_{name}")
        with pytest.raises(ConfigurationError, match="permission denied for table leadconnector_states"):
            async with Shared(postgres_url.replace("postgres@", f"reader_{name}@")):
                pass
    finally:
        execute(postgres_url, f"DROP OWNED BY worker_{name}, reader_{name}; DROP ROLE worker_{name}, reader_{name}")


async def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    """As for Postgres."""
    url = f"sqlite:///{tmp_path}/shared.db"
    await migrate(url)
    for version, message in [(3, "install the version that migrated it"), (1, "older than version 2")]:
        with sqlite3.connect(tmp_path / "shared.db", isolation_level=None) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        with pytest.raises(ConfigurationError, match=message):
            async with Shared(url):
                pass
