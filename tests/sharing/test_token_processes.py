"""Real processes that share the tokens of an app: one refreshes, whatever happens to it, and the others go on."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from leadconnector_async import OAuthApp, StoredToken, TokenStore
from leadconnector_async.sandbox import Sandbox

from .token_worker import Asked, Work
from .tokens import Place


class Shop:
    """A sandbox whose locations are connected to an app, with tokens that have expired."""

    def __init__(self, sandbox: Sandbox, place: Place, store: TokenStore) -> None:
        self.sandbox, self.place, self.store = sandbox, place, store
        self.refreshes_before = 0

    def make_app(self) -> OAuthApp:
        """Knows nothing but the store."""
        keys = (self.sandbox.client_id, self.sandbox.client_secret)
        return OAuthApp(*keys, store=self.store, base_url=self.sandbox.url)

    async def connect(self) -> None:
        for location_id in self.sandbox.location_ids:
            token = await self.make_app().exchange_code(self.sandbox.issue_code(location_id=location_id))
            await self.store.save(location_id, msgspec.structs.replace(token, expires_at=1.0))
        self.refreshes_before = self.count_requests()

    def count_requests(self) -> int:
        return len(self.sandbox.requests.of("oauth_token"))

    @property
    def refreshes(self) -> int:
        return self.count_requests() - self.refreshes_before

    def describe(self, tasks: int = 1) -> Work:
        sandbox, place = self.sandbox, self.place
        return Work(
            url=place.url,
            key=place.key,
            app=place.app,
            base_url=sandbox.url,
            client_id=sandbox.client_id,
            client_secret=sandbox.client_secret,
            location_ids=[*sandbox.location_ids],
            tasks=tasks,
        )


class Worker:
    """One of the processes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self.input, self.output = process, process.stdin, process.stdout

    def begin(self) -> None:
        self.input.write(b"go\n")

    async def finish(self) -> Asked:
        return msgspec.json.decode(await self.output.readline(), type=Asked)


@asynccontextmanager
async def start_worker(work: Work) -> AsyncIterator[Worker]:
    """Started, and waiting for its `begin`; killed at the end, if it still runs."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.sharing.token_worker", stdin=pipe, stdout=pipe, limit=2**20
    )
    worker = Worker(process)
    try:
        worker.input.write(msgspec.json.encode(work) + b"\n")
        assert await worker.output.readline() == b"ready\n"
        yield worker
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def open_shop(place: Place, locations: int = 1) -> AsyncIterator[Shop]:
    async with Sandbox(appointments=1, locations=locations) as sandbox, place.open() as store:
        shop = Shop(sandbox, place, store)
        await shop.connect()
        yield shop


async def run_workers(work: Work, count: int) -> list[Asked]:
    """All begin at once."""
    async with AsyncExitStack() as stack:
        workers = await asyncio.gather(*(stack.enter_async_context(start_worker(work)) for _ in range(count)))
        for worker in workers:
            worker.begin()
        return await asyncio.gather(*(worker.finish() for worker in workers))


async def until_refreshing(shop: Shop, count: int = 1) -> None:
    async with asyncio.timeout(60):
        while shop.refreshes < count:
            await asyncio.sleep(0.01)


async def load(shop: Shop) -> StoredToken:
    token = await shop.store.load(shop.sandbox.location_id)
    assert token is not None
    return token


async def test_an_expired_token_is_refreshed_once_for_all_processes(place: Place) -> None:
    """4 processes with 25 tasks each: one token request, and all have its token."""
    async with open_shop(place) as shop:
        found = await run_workers(shop.describe(tasks=25), 4)
        stored = await load(shop)
    assert [one.errors for one in found] == [[]] * 4
    assert [one.tokens for one in found] == [{shop.sandbox.location_id: [stored.access_token]}] * 4
    assert shop.refreshes == 1


async def test_each_location_is_refreshed_once_for_all_processes(place: Place) -> None:
    """16 processes, 5 locations: 5 token requests."""
    async with open_shop(place, locations=5) as shop:
        found = await run_workers(shop.describe(), 16)
    assert [one.errors for one in found] == [[]] * 16
    assert all(one.tokens == found[0].tokens for one in found)
    assert all(len(tokens) == 1 for tokens in found[0].tokens.values())
    assert shop.refreshes == 5


async def test_a_holder_that_is_killed_does_not_keep_the_others(place: Place) -> None:
    """In the middle of its token request: the others go on, and get the pair that it would have got."""
    async with open_shop(place) as shop, start_worker(shop.describe()) as first:
        shop.sandbox.faults.plan("oauth_token", ["stall 60"])
        async with start_worker(shop.describe()) as second, start_worker(shop.describe()) as third:
            first.begin()
            await until_refreshing(shop)
            second.begin()
            third.begin()
            await asyncio.sleep(0.5)
            first.process.kill()
            killed_at = time.monotonic()
            async with asyncio.timeout(30):
                found = await asyncio.gather(second.finish(), third.finish())
            took = time.monotonic() - killed_at
        stored = await load(shop)
    print(f"{place.kind}: others went on {took:.2f} s after the holder was killed")  # noqa: T201 - the figure
    assert [one.errors for one in found] == [[], []]
    assert [one.tokens for one in found] == [{shop.sandbox.location_id: [stored.access_token]}] * 2
    assert shop.refreshes == 2


async def test_a_holder_that_is_frozen_keeps_the_others_for_a_moment_and_overwrites_nothing(place: Place) -> None:
    """It continues when the others have long gone on, and replaces no newer token by the one that it got."""
    async with open_shop(place) as shop, start_worker(shop.describe()) as frozen:
        shop.sandbox.faults.plan("oauth_token", ["stall 1"])
        async with start_worker(shop.describe()) as other:
            frozen.begin()
            await until_refreshing(shop)
            frozen.process.send_signal(signal.SIGSTOP)
            stopped_at = time.monotonic()
            other.begin()
            async with asyncio.timeout(30):
                found = await other.finish()
            took = time.monotonic() - stopped_at
        first = (await load(shop)).access_token
        assert found.tokens == {shop.sandbox.location_id: [first]}
        newest = await shop.make_app().provider(shop.sandbox.location_id).refresh(first)
        frozen.process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(30):
            late = await frozen.finish()
        assert (await load(shop)).access_token == newest != first
    print(f"{place.kind}: others went on {took:.2f} s after the holder was frozen")  # noqa: T201 - the figure
    assert ["another one has saved a newer token" in error for error in late.errors] == [True]
    assert shop.refreshes == 3
