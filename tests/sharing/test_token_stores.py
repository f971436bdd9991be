"""Tokens in SQLite, Postgres and Redis: one set of promises, whichever store it is."""

import asyncio
import contextlib
import contextvars
import logging
import re
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psycopg
import pytest
import redis.asyncio

from leadconnector_async import (
    ConfigurationError,
    OAuthApp,
    RedisTokenStore,
    SQLTokenStore,
    StoredToken,
    TokenStoreError,
)
from leadconnector_async._sharing.crypto import make_key
from leadconnector_async.sandbox import Sandbox

from ..servers import PostgresServer, StoreServer, ValkeyServer
from ..test_captured_locals import silent_server
from .conftest import migrate
from .tokens import OTHER, TOKEN, Place, locked_until_tomorrow, make_place, read_raw, remove

LOST = "another one has saved a newer token in the meantime"


async def test_what_is_saved_is_loaded(place: Place) -> None:
    """By its key, the newest, by any other process; nothing for a key that nobody has saved."""
    async with place.open() as store, place.open() as other:
        assert await store.load("a") is None
        await store.save("a", OTHER)
        await store.save("a", TOKEN)
        await other.save("b", OTHER)
        assert [await other.load("a"), await store.load("b"), await store.load("c")] == [TOKEN, OTHER, None]


async def test_apps_in_one_database_do_not_see_each_others_tokens(place: Place) -> None:
    """Whatever characters their names and keys have."""
    names = [("a", "b/c"), ("a/b", "c"), ("a%2Fb", "c"), ("", "a/b/c"), ("", "/a/b/c")]
    async with contextlib.AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(place.open(app=place.app + app if app else "")) for app, _ in names
        ]
        for number, (store, (_, key)) in enumerate(zip(stores, names, strict=True)):
            await store.save(key, msgspec.structs.replace(TOKEN, scope=str(number)))
        found = [await store.load(key) for store, (_, key) in zip(stores, names, strict=True)]
    assert [token and token.scope for token in found] == ["0", "1", "2", "3", "4"]


async def test_a_lock_excludes_the_other_tasks_and_stores_of_its_key_only(place: Place) -> None:
    """Two refreshes of one key follow each other; another key does not wait."""
    inside: list[str] = []
    async with place.open() as one, place.open() as other:

        async def work(key: str, number: int) -> None:
            async with (one if number % 2 else other).lock(key):
                assert key not in inside
                inside.append(key)
                await asyncio.sleep(0.01)
                inside.remove(key)

        async with one.lock("held"), asyncio.timeout(60):
            await asyncio.gather(*[work(key, number) for number, key in enumerate("aabbaba")])


async def test_a_lock_is_kept_for_longer_than_its_lease(place: Place) -> None:
    """It is renewed, and the wait for it is bounded and says so."""
    async with place.open() as holder, place.open(lock_seconds=6.0) as waiter, holder.lock("a"):
        with pytest.raises(TokenStoreError, match="the token of a is still locked by another process after 6 s"):
            async with waiter.lock("a"):
                pytest.fail("it is held")


async def test_cancelled_waiters_and_holders_leave_the_lock_to_others(place: Place) -> None:
    """At once, not when a lease has ended: also one that is cancelled while it asks for the lock."""
    async with place.open() as store, place.open() as other:

        async def hold() -> None:
            async with store.lock("a"):
                await asyncio.sleep(60)

        for seconds in (0.0, 0.001, 0.3):
            holder, waiter = asyncio.create_task(hold()), asyncio.create_task(hold())
            await asyncio.sleep(seconds)
            for task in (waiter, holder):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            assert await is_free(other)


async def is_free(store: SQLTokenStore | RedisTokenStore) -> bool:
    """Whether the lock can be had without waiting for the end of a lease."""
    began = time.monotonic()
    async with store.lock("a"):
        return time.monotonic() - began < store._rows.lease_seconds


async def test_a_save_after_the_lock_was_lost_does_not_replace_a_newer_token(place: Place) -> None:
    """Only what was loaded under the lock is replaced; the same pair, from the server's grace, is no conflict."""
    async with place.open() as slow, place.open() as other:
        await slow.save("a", OTHER)
        async with slow.lock("a"):
            assert await slow.load("a") == OTHER
            await other.save("a", TOKEN)  # as a process does that was given the lock in the meantime
            with pytest.raises(TokenStoreError, match=LOST):
                await slow.save("a", msgspec.structs.replace(TOKEN, access_token="late"))
            await slow.save("a", msgspec.structs.replace(TOKEN, issued_at=7.0))
            assert await slow.load("a") == TOKEN
            await slow.save("a", OTHER)  # it has seen the other one now
        assert await other.load("a") == OTHER
        async with slow.lock("b"):
            assert await slow.load("b") is None
            await other.save("b", TOKEN)
            with pytest.raises(TokenStoreError, match=LOST):
                await slow.save("b", OTHER)
        await slow.save("b", OTHER)  # without a lock, the last one wins
        assert await other.load("b") == OTHER


async def test_what_another_task_reads_is_not_what_the_holder_has_seen(place: Place) -> None:
    """A task that reads without the lock learns of the newer token; the holder, whose lock was lost, does not."""
    async with place.open() as slow, place.open() as other:
        await slow.save("a", OTHER)
        async with slow.lock("a"):
            assert await slow.load("a") == OTHER
            await other.save("a", TOKEN)  # as a process does that was given the lock in the meantime
            assert await in_another_task(slow.load("a")) == TOKEN
            with pytest.raises(TokenStoreError, match=LOST):
                await slow.save("a", msgspec.structs.replace(TOKEN, access_token="late"))
        assert await other.load("a") == TOKEN


async def test_a_holder_that_lost_its_lock_takes_nothing_from_the_next_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same process: what the next one has loaded under its lock is still what it replaces."""
    async with place.open() as store, place.open() as other:
        await store.save("a", OTHER)
        is_late, may_end = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with store.lock("a"):
                is_late.set()
                await may_end.wait()

        late = asyncio.create_task(hold())
        await is_late.wait()
        monkeypatch.setattr(store._rows, "take", is_taken)
        async with store.lock("a"):
            assert await store.load("a") == OTHER
            may_end.set()
            await late
            await other.save("a", TOKEN)
            with pytest.raises(TokenStoreError, match=LOST):
                await store.save("a", msgspec.structs.replace(TOKEN, access_token="late"))
        assert await other.load("a") == TOKEN


async def in_another_task(work: Coroutine[Any, Any, StoredToken | None]) -> StoredToken | None:
    """One that was started before any lock was taken: it has nothing from whoever waits for it."""
    return await asyncio.create_task(work, context=contextvars.Context())


async def is_taken(name: str, holder: str) -> bool:
    """As if the lease of whoever had the lock had ended."""
    return True


async def test_a_token_that_the_store_has_lost_is_saved_again(place: Place) -> None:
    """The only copy is not refused because the row that it replaces is gone."""
    async with place.open() as store:
        await store.save("a", OTHER)
        async with store.lock("a"):
            await store.load("a")
            await remove(place, "a")
            await store.save("a", TOKEN)
        assert await store.load("a") == TOKEN


@pytest.mark.parametrize(
    "changes", [{"expires_at": float("inf")}, {"access_token": 5}, {"access_token": "s3cret\ud800"}]
)
async def test_a_token_that_could_not_be_read_again_is_not_written(place: Place, changes: dict[str, Any]) -> None:
    """The one before it stays."""
    async with place.open() as store:
        await store.save("a", TOKEN)
        with pytest.raises(TokenStoreError, match="the token of a cannot be stored: every field"):
            await store.save("a", msgspec.structs.replace(OTHER, **changes))
        assert await store.load("a") == TOKEN


@pytest.mark.parametrize(
    ("kind", "url", "match"),
    [
        (SQLTokenStore, "redis://127.0.0.1", "use RedisTokenStore"),
        (RedisTokenStore, "sqlite:///x.db", "use SQLTokenStore"),
        (SQLTokenStore, "postgresql://db.example/x?sslmode=disable", "unencrypted"),
        (RedisTokenStore, "redis://db.example", "not encrypted"),
        (SQLTokenStore, "mysql://db/x", "postgresql://HOST/DATABASE"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(kind: Any, url: str, match: str) -> None:
    """The other kind of store, plain text to another machine, and what is not a store."""
    with pytest.raises(ConfigurationError, match=match):
        kind(url, key=str(make_key()))


async def test_a_lease_from_the_future_is_void(place: Place) -> None:
    """The clock was set back: whoever waits does not have to wait for hours."""
    async with place.open() as store:
        async with store.lock("a"):
            pass
        async with locked_until_tomorrow(place, "a"):
            assert await is_free(store)


async def test_postgres_notices_that_the_session_of_a_holder_has_ended(postgres: Place) -> None:
    """Its lease has not ended then; while the session lives, it counts."""
    place = postgres
    async with place.open() as store:
        connection = await psycopg.AsyncConnection.connect(postgres.url, autocommit=True)
        await connection.execute(
            "INSERT INTO leadconnector_token_locks"
            " SELECT %s, 'somebody', clock_timestamp() + interval '4.9 s', pid, backend_start"
            " FROM pg_stat_activity WHERE pid = pg_backend_pid()",
            (place.name_row("a"),),
        )
        assert not await store._rows.take(place.name_row("a"), "me")
        await connection.close()
        async with asyncio.timeout(4):  # sooner than the lease ends
            while not await store._rows.take(place.name_row("a"), "me"):
                await asyncio.sleep(0.01)
        assert await store._rows.take(place.name_row("a"), "me")
        assert not await store._rows.take(place.name_row("a"), "you")


async def test_postgres_does_not_take_a_lease_that_was_renewed_while_it_waited(postgres: Place) -> None:
    """It ends later than what the statement would write; the clock was not set back: others were first."""
    async with waiting_for_a_lease(postgres) as (holder, taking):
        await write_lease(holder, postgres)
        await holder.commit()
        assert not await taking


async def test_postgres_does_not_take_a_lease_of_a_session_that_began_while_it_waited(postgres: Place) -> None:
    """A statement sees the sessions as they were when it first looked, unless it looks again."""
    async with (
        waiting_for_a_lease(postgres) as (other, taking),
        await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as holder,
    ):
        await write_lease(other, postgres, holder.info.backend_pid)
        await other.commit()
        assert not await taking


@asynccontextmanager
async def waiting_for_a_lease(
    place: Place,
) -> AsyncIterator[tuple[psycopg.AsyncConnection, asyncio.Task[bool]]]:
    """A lease that is not yet committed, its connection, and somebody who waits to see whether it will be."""
    async with place.open() as store, await psycopg.AsyncConnection.connect(place.url) as connection:
        await write_lease(connection, place)
        taking = asyncio.create_task(store._rows.take(place.name_row("a"), "me"))
        await until_somebody_waits_for(connection)
        yield connection, taking


async def write_lease(connection: psycopg.AsyncConnection, place: Place, pid: int = 0) -> None:
    """A lease of `a` that begins now, of the session with this pid, or else of this one."""
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    await connection.execute(
        "INSERT INTO leadconnector_token_locks AS locks"
        " SELECT %s, 'somebody', clock_timestamp() + interval '5 s', pid, backend_start"
        " FROM pg_stat_activity WHERE pid = %s"
        " ON CONFLICT (name) DO UPDATE SET until = excluded.until, pid = excluded.pid, started = excluded.started",
        (place.name_row("a"), pid or connection.info.backend_pid),
    )


async def until_somebody_waits_for(holder: psycopg.AsyncConnection) -> None:
    """Until a statement waits for the end of this connection's transaction."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
    async with asyncio.timeout(30), await psycopg.AsyncConnection.connect(holder.info.dsn) as observer:
        while (found := await (await observer.execute(waiting, (holder.info.backend_pid,))).fetchone()) == (0,):
            await observer.rollback()
            await asyncio.sleep(0.01)
        assert found is not None


async def test_a_store_that_does_not_answer_is_an_error_in_bounded_time() -> None:
    """Nothing listens, or nothing answers."""
    async with silent_server(b"") as silent:
        ports = [1, int(silent.url.rpartition(":")[2])]
        places = [make_place("postgres", f"postgresql://127.0.0.1:{port}/x") for port in ports]
        places += [make_place("valkey", f"redis://127.0.0.1:{port}") for port in ports]
        async with asyncio.timeout(60):
            errors = await asyncio.gather(*(fail(place) for place in places))
    for error in [text for texts in errors for text in texts]:
        assert re.match(r"the token of a could not be (read|saved|locked): (postgresql|redis)://", error)


async def fail(place: Place) -> list[str]:
    """What a store says that cannot be used."""
    async with place.open() as store:

        async def lock() -> None:
            async with store.lock("a"):
                pytest.fail("there is nothing to lock")

        errors = await asyncio.gather(store.load("a"), store.save("a", TOKEN), lock(), return_exceptions=True)
    assert [type(error) for error in errors] == [TokenStoreError] * 3
    return [str(error) for error in errors]


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer])
async def test_a_token_in_memory_is_used_while_the_store_is_down(kind: type[StoreServer]) -> None:
    """One that has not expired is; one that has is an error, until the store is back."""
    with kind() as server:
        await migrate(server.url)
        place = make_place("valkey" if kind is ValkeyServer else "postgres", server.url)
        async with Sandbox(appointments=1) as sandbox, place.open() as store:
            app = OAuthApp(sandbox.client_id, sandbox.client_secret, store=store, base_url=sandbox.url)
            first = await app.exchange_code(sandbox.issue_code())
            provider = app.provider(sandbox.location_id)
            await asyncio.to_thread(server.kill)
            assert await provider() == first.access_token
            with pytest.raises(TokenStoreError, match=r"could not be (read|locked)"):
                await provider.refresh(first.access_token)
            await asyncio.to_thread(server.start)
            if kind is ValkeyServer:  # it has forgotten everything, but for the one that this process has
                await store.save(sandbox.location_id, first)
            assert await provider.refresh(first.access_token) != first.access_token


async def test_a_database_without_tables_is_said() -> None:
    """With the command that makes them."""
    with PostgresServer() as server:
        async with make_place("postgres", server.url).open() as store:
            with pytest.raises(ConfigurationError, match="leadconnector shared migrate"):
                await store.load("a")


async def test_postgres_waits_for_the_disk_even_if_it_is_told_not_to(postgres: Place) -> None:
    """A refresh token works once: a crash must not lose the next one."""
    async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
        name = postgres.url.rpartition("/")[2]
        await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
        await connection.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " NEW.value = convert_to(current_setting('synchronous_commit'), 'utf8'); RETURN NEW; END $$"
        )
        await connection.execute(
            "CREATE TRIGGER note BEFORE INSERT ON leadconnector_tokens FOR EACH ROW EXECUTE FUNCTION note()"
        )
        try:
            async with postgres.open() as store:
                await store.save("a", TOKEN)
        finally:
            await connection.execute("DROP TRIGGER note ON leadconnector_tokens; DROP FUNCTION note")
    assert await read_raw(postgres, "a") == b"on"


async def test_redis_without_a_disk_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    """Tokens that a restart loses mean that every user has to connect again."""
    with ValkeyServer() as server, caplog.at_level(logging.WARNING, "leadconnector_async"):
        async with make_place("valkey", server.url).open() as store:
            await store.save("a", TOKEN)
            await store.save("a", OTHER)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"redis://127.0.0.1:{server.port}/0 keeps tokens in memory only: after a")


class DurableServer(ValkeyServer):
    def prepare(self) -> list[str]:
        return [*super().prepare(), "--appendonly", "yes", "--appendfsync", "everysec"]


async def test_redis_with_a_disk_has_the_token_on_it_when_a_save_returns(caplog: pytest.LogCaptureFixture) -> None:
    """It is asked to wait for the disk; killed after that, and started again, it still has it."""
    with DurableServer() as server:
        async with make_place("valkey", server.url).open() as store:
            await store.save("a", TOKEN)
            async with redis.asyncio.Redis.from_url(server.url) as client:
                assert (await client.info("commandstats"))["cmdstat_waitaof"]["calls"] == 1
            server.kill()
            server.start()
            assert await store.load("a") == TOKEN
    assert caplog.records == []
