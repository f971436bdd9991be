"""What every store does, whichever it is: on real servers, with real processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
import redis

from leadconnector_async import Shared, StoreUnavailableError
from leadconnector_async._sharing.store import MISSING, Reading, Store

from ..servers import PostgresServer, StoreServer, ValkeyServer
from .counting import KEEP, KEY, add, get, try_add
from .relay import relay

HANGS = 20.0
"""Seconds after which a test would wait forever."""
SERVERS = {"postgresql": PostgresServer, "redis": ValkeyServer}


@pytest.fixture
async def shared(store_url: str) -> AsyncIterator[Shared]:
    one = Shared(store_url)
    await one.migrate()
    async with one:
        yield one


@pytest.fixture
def store(shared: Shared) -> Store:
    return shared.store


@pytest.fixture(params=["postgresql", "redis"])
def server_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("postgres_url" if request.param == "postgresql" else "redis_url"))


@pytest.fixture(params=["postgresql", "redis"])
def own_server(request: pytest.FixtureRequest) -> AsyncIterator[StoreServer]:
    with SERVERS[request.param]() as server:
        yield server


def start(url: str, count: int, *how: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.sharing.counting", url, str(count), *how]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2])  # noqa: S603


async def migrate(url: str) -> None:
    shared = Shared(url)
    await shared.migrate()
    await shared.aclose()


async def wait_for(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.wait_for(asyncio.to_thread(process.wait), 60)


async def test_a_swap_replaces_only_what_was_read(store: Store) -> None:
    """A state that does not exist has a version too; each swap makes another one."""
    first = await store.read(KEY)
    assert (first.version, first.content) == (MISSING, None)
    assert await store.swap(KEY, first.version, b"one", KEEP)
    assert not await store.swap(KEY, first.version, b"another", KEEP)
    second = await store.read(KEY)
    assert second.content == b"one"
    assert await store.swap(KEY, second.version, b"\x00\xff" * 5000, KEEP)
    assert not await store.swap(KEY, second.version, b"late", KEEP)
    third = await store.read(KEY)
    assert third.content == b"\x00\xff" * 5000
    assert len({MISSING, second.version, third.version}) == 3
    assert (await store.read("other key")).content is None


async def test_its_time_goes_on_and_its_server_has_one_name(store: Store) -> None:
    """Each reading brings both, and for how long the server has existed."""
    readings = [await store.read(KEY) for _ in range(20)]
    assert all(a.now <= b.now and a.uptime <= b.uptime for a, b in pairwise(readings))
    assert len({one.server for one in readings}) == 1
    assert readings[0].uptime >= 0
    await asyncio.sleep(0.05)
    assert (await store.read(KEY)).now - readings[-1].now >= 0.04


async def test_sixteen_tasks_lose_no_update(store: Store) -> None:
    """Each adds to the same number, by reading and swapping until its swap succeeds."""
    lost = await asyncio.gather(*(add(store, 5) for _ in range(16)))
    assert await get(store) == 16 * 5
    assert sum(lost) > 0, "they never met"


async def test_four_processes_lose_no_update(shared: Shared, store_url: str) -> None:
    """Real ones, which connect at the same time."""
    processes = [start(store_url, 25) for _ in range(4)]
    assert [await wait_for(one) for one in processes] == [0] * 4
    assert await get(shared.store) == 4 * 25


async def test_four_processes_can_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Each may be the first."""
    for attempt in range(2):
        url = f"sqlite:///{tmp_path}/{attempt}.db"
        processes = [start(url, 5) for _ in range(4)]
        assert [await wait_for(one) for one in processes] == [0] * 4
        async with Shared(url) as shared:
            assert await get(shared.store) == 4 * 5


async def test_a_frozen_process_blocks_nobody(shared: Shared, store_url: str) -> None:
    """One that was stopped between its reading and its swap; its late swap then changes nothing."""
    process = start(store_url, 1, "stop")
    try:
        await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        await asyncio.wait_for(add(shared.store, 20), HANGS)
        process.send_signal(signal.SIGCONT)
        assert await wait_for(process) == 0
    finally:
        process.kill()
        process.wait()
    assert await get(shared.store) == 20


async def test_a_killed_process_blocks_nobody(shared: Shared, store_url: str) -> None:
    """Whatever it was doing at that moment."""
    for _ in range(2):
        process = start(store_url, 1_000_000)
        before = await get(shared.store)
        while await get(shared.store) == before:
            await asyncio.sleep(0.01)
        process.kill()
        process.wait()
        await asyncio.wait_for(add(shared.store, 5), HANGS)


async def test_a_version_never_recurs(shared: Shared, store_url: str) -> None:
    """A swap that was computed before the store forgot everything does not succeed afterwards."""
    await add(shared.store, 1)
    old = await shared.store.read(KEY)
    assert await shared.store.swap(KEY, old.version, b"1", 0.001)
    await forget(shared, store_url)
    await add(shared.store, 1)
    assert not await shared.store.swap(KEY, old.version, b"stale", KEEP)
    assert await get(shared.store) == 1


async def forget(shared: Shared, url: str) -> None:
    """Until a state that need not be kept is gone: a process that starts later sweeps."""
    await asyncio.sleep(0.02)
    async with Shared(url) as other:
        reading = await other.store.read("another")
        assert await other.store.swap("another", reading.version, b"x", KEEP)
    while (await shared.store.read(KEY)).content is not None:
        await asyncio.sleep(0.01)


async def test_states_that_nobody_uses_disappear(shared: Shared, store_url: str) -> None:
    """After `keep_seconds` without a swap, and not before."""
    assert await shared.store.swap(KEY, MISSING, b"1", 0.001)
    assert await shared.store.swap("kept", MISSING, b"2", KEEP)
    await forget(shared, store_url)
    assert (await shared.store.read(KEY)).version == MISSING
    assert (await shared.store.read("kept")).content == b"2"


def test_one_store_serves_several_event_loops(store_url: str) -> None:
    """One after the other, as in a program that calls `asyncio.run` more than once, and in turn."""
    shared = Shared(store_url)
    asyncio.run(migrate(store_url))

    async def use() -> None:
        await add(shared.store, 3)
        await shared.aclose()

    for _ in range(3):
        asyncio.run(use())
    loops = [asyncio.new_event_loop() for _ in range(2)]
    for loop in [*loops, *loops]:
        loop.run_until_complete(add(shared.store, 3))
    for loop in loops:
        loop.run_until_complete(shared.aclose())
        loop.close()
    assert asyncio.run(finish(shared)) == 21


async def finish(shared: Shared) -> int:
    async with shared:
        return await get(shared.store)


async def test_a_forked_process_does_not_disturb_its_parent(shared: Shared, store_url: str) -> None:
    """Both go on with their own connection: the parent's is neither used nor closed by the child."""
    process = start(store_url, 1, "fork")
    assert await wait_for(process) == 0
    assert await get(shared.store) == 12


async def test_a_server_that_is_killed_and_comes_back(own_server: StoreServer) -> None:
    """Nothing but `StoreUnavailableError` in between; afterwards it has another name."""
    await migrate(own_server.url)
    async with Shared(own_server.url) as shared:
        await add(shared.store, 2)
        before = await shared.store.read(KEY)
        own_server.kill()
        for _ in range(3):
            with pytest.raises(StoreUnavailableError):
                await shared.store.read(KEY)
            with pytest.raises(StoreUnavailableError):
                await shared.store.swap(KEY, before.version, b"9", KEEP)
        own_server.start()
        after = await shared.store.read(KEY)
        assert after.server != before.server
        assert after.uptime < before.uptime + 30
        assert after.content is None, "unlogged, or in memory: a crash has emptied it"
        await add(shared.store, 2)
        assert await get(shared.store) == 2


async def test_a_server_that_was_restarted_is_not_noticed_by_a_reading(own_server: StoreServer) -> None:
    """The old connection is closed, and a new one is tried at once; a swap is never repeated."""
    await migrate(own_server.url)
    async with Shared(own_server.url) as shared:
        await add(shared.store, 1)
        own_server.stop()
        own_server.start()
        reading = await shared.store.read(KEY)
        assert reading.content == (b"1" if isinstance(own_server, PostgresServer) else None)
        await add(shared.store, 1)


async def test_a_program_may_start_while_the_server_is_away(own_server: StoreServer) -> None:
    """Entering `Shared` is not an error then; its first use after the return connects."""
    await migrate(own_server.url)
    own_server.kill()
    async with Shared(own_server.url) as shared:
        with pytest.raises(StoreUnavailableError):
            await shared.check()
        own_server.start()
        assert await try_add(shared.store)


async def test_a_file_that_is_replaced_is_noticed(tmp_path: Path) -> None:
    """Two processes never work on two files of the same name."""
    url = f"sqlite:///{tmp_path}/shared.db"
    async with Shared(url) as shared:
        await add(shared.store, 5)
        for path in tmp_path.iterdir():
            path.unlink()
        assert await get(shared.store) == 0
        async with Shared(url) as other:
            await add(other.store, 1)
        assert await get(shared.store) == 1


async def test_a_server_that_accepts_and_never_responds(server_url: str) -> None:
    """A call ends after a second, whether it connects or has a connection; then the server is well again."""
    await migrate(server_url)
    async with relay(server_url) as between, Shared(between.url) as shared:
        await add(shared.store, 1)
        for _ in range(2):  # on its connection, then on a new one
            between.running.clear()
            for call in (shared.store.read(KEY), shared.store.swap(KEY, MISSING, b"9", KEEP)):
                with pytest.raises(StoreUnavailableError, match="did not respond within 1 s"):
                    await asyncio.wait_for(call, HANGS)
            between.running.set()
        assert await get(shared.store) == 1


async def test_a_server_that_stalls_for_many_callers(server_url: str) -> None:
    """All end within the same second: none waits for the others' seconds first."""
    await migrate(server_url)
    async with relay(server_url) as between, Shared(between.url) as shared:
        await add(shared.store, 1)
        between.running.clear()
        calls = (shared.store.read(f"{KEY} {number}") for number in range(30))
        ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), HANGS)
        assert [type(one) for one in ended] == [StoreUnavailableError] * 30
        between.running.set()
        await add(shared.store, 1)


@pytest.mark.parametrize("times", [1, 5])
async def test_a_call_that_is_cancelled_disturbs_no_other(server_url: str, times: int) -> None:
    """No response reaches the wrong caller, and no cancelled caller waits for the server."""
    await migrate(server_url)
    async with Shared(server_url) as direct:
        assert await direct.store.swap("a", MISSING, b"of a", KEEP)
        assert await direct.store.swap("b", MISSING, b"of b", KEEP)
    async with relay(server_url) as between, Shared(between.url) as shared:
        for _ in range(times):
            assert (await shared.store.read("a")).content == b"of a"
            between.running.clear()
            between.received.clear()
            task = asyncio.create_task(shared.store.read("a"))
            await between.received.wait()
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=HANGS)
            assert done
            assert task.cancelled()
            between.running.set()
            assert (await shared.store.read("b")).content == b"of b"


async def test_cancelled_at_any_moment(store: Store) -> None:
    """From the first step of a call to its last, the store stays usable."""
    assert await store.swap("a", MISSING, b"of a", KEEP)
    for steps in range(40):
        task = asyncio.create_task(store.read("a"))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert (await store.read("b")).content is None
    assert (await store.read("a")).content == b"of a"


async def test_a_session_of_postgres_that_is_killed_empties_the_store() -> None:
    """The server restarts itself then, and empties unlogged tables, but keeps the time of its start."""
    with PostgresServer() as server:
        await migrate(server.url)
        async with Shared(server.url) as shared:
            assert await shared.store.swap(KEY, MISSING, b"one", KEEP)
            await asyncio.sleep(0.5)
            before = await shared.store.read(KEY)
            with psycopg.connect(server.url) as victim:
                os.kill(victim.info.backend_pid, signal.SIGKILL)
                after = await read_again(shared.store)
            assert (before.content, after.content) == (b"one", None)
            assert after.server != before.server
            assert after.uptime < before.uptime
            assert (await shared.store.read(KEY)).server == after.server


async def read_again(store: Store) -> Reading:
    """Once the server has noticed, and answers again."""
    while True:
        with suppress(StoreUnavailableError):
            reading = await store.read(KEY)
            if reading.content is None:
                return reading
        await asyncio.sleep(0.01)


async def test_a_state_that_is_missing_after_flushall_may_have_been_there() -> None:
    """Redis says that it was flushed, but not when: whoever finds nothing waits as after a restart."""
    with ValkeyServer() as server:
        async with Shared(server.url) as shared:
            await asyncio.sleep(1.1)
            assert (await shared.store.read(KEY)).uptime >= 1
            assert await shared.store.swap(KEY, MISSING, b"one", KEEP)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"FLUSHALL\r\n")
            assert await reader.readline() == b"+OK\r\n"
            writer.close()
            after = await shared.store.read(KEY)
            assert (after.content, after.uptime) == (None, 0)
            assert await shared.store.swap(KEY, MISSING, b"two", KEEP)
            assert (await shared.store.read(KEY)).uptime >= 1


async def test_a_state_that_is_missing_after_evictions_may_have_been_there() -> None:
    """Redis says how many keys it has evicted, but not which."""
    with ValkeyServer("--maxmemory-policy", "allkeys-lru") as server, redis.Redis.from_url(server.url) as admin:
        async with Shared(server.url) as shared:
            await asyncio.sleep(1.1)
            assert await shared.store.swap(KEY, MISSING, b"one", KEEP)
            assert (await shared.store.read("other")).uptime >= 1
            admin.config_set("maxmemory", 1)
            with pytest.raises(redis.ResponseError, match="maxmemory"):
                admin.set("more", "memory")
            admin.config_set("maxmemory", 0)
            after = await shared.store.read(KEY)
            assert (after.content, after.uptime) == (None, 0)
