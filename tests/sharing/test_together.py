"""Calls that go together in one round trip: a process may work on hundreds of locations."""

import asyncio
from collections.abc import Sequence

import pytest

from leadconnector_async import Shared, StoredToken, StoreUnavailableError
from leadconnector_async._sharing.crypto import make_key
from leadconnector_async._sharing.store import MISSING
from leadconnector_async._sharing.together import MOST, Together

from .conftest import migrate
from .counting import KEEP
from .relay import relay

MANY = 300
SLOW = 0.01
"""Seconds in each direction: one after the other, `MANY` calls would take many times what each of them may."""


class Server:
    """Doubles numbers; odd ones are refused. It answers when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.cancelled = 0
        self.open = asyncio.Event()

    async def double(self, numbers: list[int]) -> Sequence[int | Exception]:
        self.batches.append(numbers)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if 13 in numbers:
            raise StoreUnavailableError("the server is away")
        return [StoreUnavailableError(f"{one} is odd") if one % 2 else 2 * one for one in numbers]


async def test_calls_that_are_made_meanwhile_go_together() -> None:
    server = Server()
    line = Together("it", server.double, 10.0)
    first = asyncio.gather(*[line.call(one) for one in (0, 2)])
    while not server.batches:
        await asyncio.sleep(0)
    second = asyncio.gather(*[line.call(2 * one) for one in range(MOST + 1)])
    await asyncio.sleep(0)
    server.open.set()
    assert await first == [0, 4]
    assert await second == [4 * one for one in range(MOST + 1)]
    assert [len(one) for one in server.batches] == [2, MOST, 1]


async def test_all_tasks_can_be_cancelled_before_a_round_trip_begins() -> None:
    """As when a program ends, and closes what it has shared afterwards: that went nowhere."""
    server = Server()
    server.open.set()
    line = Together("it", server.double, 10.0)
    caller = asyncio.create_task(line.call(0))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await asyncio.wait_for(line.call(2), 5.0) == 4


async def test_each_call_has_an_error_of_its_own() -> None:
    """And all of them that of a round trip which failed."""
    server = Server()
    server.open.set()
    line = Together("it", server.double, 10.0)
    found = await asyncio.gather(*[line.call(one) for one in (1, 2, 3)], return_exceptions=True)
    assert [str(one) for one in found] == ["1 is odd", "4", "3 is odd"]
    failed = await asyncio.gather(*[line.call(one) for one in (13, 2)], return_exceptions=True)
    assert [str(one) for one in failed] == ["the server is away"] * 2
    assert failed[0] is not failed[1]
    assert await line.call(2) == 4


async def test_what_nobody_waits_for_any_more_is_cancelled() -> None:
    """But not what somebody else waits for; and whoever comes later is served."""
    server = Server()
    line = Together("it", server.double, 10.0)
    calls = [asyncio.create_task(line.call(one)) for one in (0, 2)]
    while not server.batches:
        await asyncio.sleep(0)
    later = asyncio.create_task(line.call(4))
    calls[0].cancel()
    await asyncio.wait(calls[:1])
    assert server.cancelled == 0
    calls[1].cancel()
    await asyncio.wait(calls[1:])
    server.open.set()
    assert await later == 8
    assert (server.cancelled, server.batches) == (1, [[0, 2], [4]])


async def test_a_call_ends_when_its_time_is_up() -> None:
    server = Server()
    line = Together("it", server.double, 10.0)
    with pytest.raises(StoreUnavailableError, match=r"it did not respond within 0\.01 s"):
        await line.call(2, 0.01)
    await asyncio.sleep(0)
    assert server.cancelled == 1


@pytest.fixture(params=["postgresql", "redis"])
async def server_url(request: pytest.FixtureRequest) -> str:
    url = str(request.getfixturevalue("postgres_url" if request.param == "postgresql" else "redis_url"))
    await migrate(url)
    return url


async def test_hundreds_of_locations_share_a_slow_connection(server_url: str) -> None:
    async with relay(server_url) as between, Shared(between.url) as shared:
        between.delay = SLOW
        keys = [f"pit/{number}" for number in range(MANY)]
        for before, content in ((None, b"one"), (b"one", b"two")):
            found = await asyncio.gather(*map(shared.store.read, keys))
            assert [one.content for one in found] == [before] * MANY
            swaps = [
                shared.store.swap(key, one.version, content, KEEP) for key, one in zip(keys, found, strict=True)
            ]
            assert all(await asyncio.gather(*swaps))
        swaps = [shared.store.swap(key, MISSING, b"three", KEEP) for key in keys]
        assert not any(await asyncio.gather(*swaps))
        assert between.connections == 1


async def test_hundreds_of_tokens_and_keys_share_a_slow_connection(server_url: str) -> None:
    """Locks included."""
    async with relay(server_url) as between, Shared(between.url, key=make_key()) as shared:
        store = shared.token_store()
        await asyncio.gather(store.load("0"), shared.keys.read("0"))
        between.delay = SLOW

        async def refresh(number: int) -> StoredToken | None:
            async with store.lock(f"{number}"):
                await store.save(f"{number}", StoredToken(access_token=f"token {number}", expires_at=5.0))
                return await store.load(f"{number}")

        async def claim(number: int) -> bool:
            row = await shared.keys.read(f"{number}")
            return await shared.keys.swap(f"{number}", row.version, b"claimed", KEEP)

        tokens = await asyncio.gather(*map(refresh, range(MANY)))
        assert [one and one.access_token for one in tokens] == [f"token {number}" for number in range(MANY)]
        assert all(await asyncio.gather(*map(claim, range(MANY))))
