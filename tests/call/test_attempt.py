"""The token comes before the slot, in virtual time."""

import asyncio

import pytest

from leadconnector_async import (
    ConfigurationError,
    DeadlineExceededError,
    LeadConnector,
    LeadConnectorError,
    RetryPolicy,
    Timeouts,
    TransportError,
)
from leadconnector_async.sandbox import Limits

from ..simulation.virtual import run
from ..simulation.world import World

ONCE = RetryPolicy(max_attempts=1)


def make_world(max_requests: int = 3, interval: float = 10.0) -> World:
    return World(Limits(max_requests=max_requests, interval=interval), latency=lambda dice: 0.1)


async def read(client: LeadConnector, world: World) -> str | None:
    return (await client.get_appointment(world.sandbox.appointment_ids[0])).id


def find_lane(client: LeadConnector) -> object:
    return client._pipeline._attempts.find_lane(asyncio.get_running_loop())


def is_free(client: LeadConnector) -> bool:
    """No slot is taken and nobody waits for one."""
    quota = client.quota
    return (quota.in_flight, quota.waiting) == (0, 0)


@pytest.mark.parametrize("act", ["first", "refresh"])
def test_calls_that_wait_for_a_hanging_provider_hold_no_slot(act: str) -> None:
    """More of them than the location has slots: the others go on, and these time out, not applied."""

    async def play() -> None:
        world = make_world()
        stale = world.sandbox.issue_token("access")
        world.sandbox._app.tokens.expire(stale)

        class Hanging:
            async def __call__(self) -> str:
                if act == "first":
                    await asyncio.Event().wait()
                return stale

            async def refresh(self, rejected: str) -> str:
                await asyncio.Event().wait()
                return rejected

        good = world.connect(retry=ONCE)
        stuck = good.for_location(world.sandbox.location_id, Hanging()).with_options(timeouts=Timeouts(total=5.0))
        calls = [asyncio.create_task(read(stuck, world)) for _ in range(3)]
        await asyncio.sleep(4)
        assert is_free(good)
        await asyncio.sleep(8)
        assert all(call.done() for call in calls)
        async with asyncio.timeout(1):
            await read(good, world)
        for call in calls:
            with pytest.raises(TransportError, match="no token from the provider within 5 s") as caught:
                await call
            assert caught.value.outcome == "not_applied"

    run(play())


def test_a_token_that_does_not_come_is_asked_for_again() -> None:
    """A timeout of the provider passes like a connection that could not be had: with the next attempt."""

    async def play() -> list[float]:
        world, asked = make_world(), []
        loop = asyncio.get_running_loop()

        async def provide() -> str:
            asked.append(loop.time())
            if len(asked) < 3:
                await asyncio.Event().wait()
            return world.sandbox.token

        client = world.connect(token=provide, timeouts=Timeouts(total=2.0))
        assert await read(client, world)
        assert is_free(client)
        return asked

    asked = run(play())
    assert len(asked) == 3
    assert asked[1] >= 2.0


def test_the_attempt_has_its_whole_time_after_the_token_and_the_wait() -> None:
    """Neither the time of the provider nor that of the queue is taken from the exchange."""

    async def play() -> float:
        world = make_world(max_requests=1)
        world.sandbox.faults.plan("get_appointment", ["ok", "stall 4"])

        async def provide() -> str:
            await asyncio.sleep(4)
            return world.sandbox.token

        client = world.connect(token=provide, timeouts=Timeouts(total=5.0), retry=ONCE)
        await read(client, world)
        await read(client, world)
        return asyncio.get_running_loop().time()

    assert run(play()) > 16.0


def test_the_deadline_bounds_the_wait_for_the_token() -> None:
    """And nothing stays behind."""

    async def play() -> float:
        world = make_world()

        async def provide() -> str:
            await asyncio.Event().wait()
            return ""

        client = world.connect(token=provide, retry=RetryPolicy(deadline=2.0))
        with pytest.raises(DeadlineExceededError) as caught:
            await read(client, world)
        assert caught.value.outcome == "not_applied"
        assert is_free(client)
        return asyncio.get_running_loop().time()

    assert run(play()) == pytest.approx(2.0, abs=0.01)


class Expiring:
    """Remembers its token for `lifetime` seconds; a new one takes `seconds`."""

    def __init__(self, world: World, *, lifetime: float, seconds: float) -> None:
        self.world, self.lifetime, self.seconds = world, lifetime, seconds
        self.token, self.until, self.renewals = "", 0.0, 0
        self.most_taken = 0
        self.client: LeadConnector | None = None

    async def __call__(self) -> str:
        loop = asyncio.get_running_loop()
        if loop.time() >= self.until:
            self.renewals += 1
            for _ in range(10):
                await asyncio.sleep(self.seconds / 10)
                if self.client is not None:
                    self.most_taken = max(self.most_taken, self.client.quota.in_flight)
            self.token = self.world.sandbox.issue_token(location_id=self.world.sandbox.location_id)
            self.until = loop.time() + self.lifetime
        return self.token


@pytest.mark.parametrize("bulk", [False, True])
def test_a_token_that_expires_in_the_queue_is_renewed_while_the_slot_is_returned(bulk: bool) -> None:
    """The request leaves with the new token, nobody holds a slot meanwhile; one renewal serves all who wait."""

    async def play() -> None:
        world = make_world(max_requests=3 if bulk else 2)  # a bulk call leaves one
        provider = Expiring(world, lifetime=5.0, seconds=1.0)
        client = world.connect(token=provider, retry=ONCE, priority="bulk" if bulk else "interactive")
        await asyncio.gather(read(client, world), read(client, world))
        provider.client, used = client, []
        sent = world.exchange

        async def exchange(method: str, path: str, headers: object, body: bytes) -> object:
            used.append(headers["Authorization"] == f"Bearer {provider.token}")  # type: ignore[index]
            return await sent(method, path, headers, body)  # type: ignore[arg-type]

        world.exchange = exchange  # type: ignore[assignment,method-assign]
        provider.until = asyncio.get_running_loop().time() + 5.0
        renewals = provider.renewals
        await asyncio.gather(*(read(client, world) for _ in range(4)))
        assert used == [True] * 4
        assert provider.renewals == renewals + 2  # one for each opening of the window
        assert provider.most_taken == 0
        assert is_free(client)

    run(play())


def test_who_returns_a_slot_for_a_token_keeps_the_turn() -> None:
    """First come, first served, also when each token takes a while and the location is busy all the time."""

    async def play() -> list[int]:
        world, served = make_world(max_requests=2), []

        async def provide() -> str:
            await asyncio.sleep(0.01)
            return world.sandbox.token

        client = world.connect(token=provide)

        async def work(name: int) -> None:
            await read(client, world)
            served.append(name)

        tasks = []
        for name in range(8):
            tasks.append(asyncio.create_task(work(name)))
            await asyncio.sleep(0.001)
        await asyncio.gather(*tasks)
        return served

    assert run(play()) == list(range(8))


@pytest.mark.parametrize("error", [ConfigurationError("no token here"), KeyError("x")])
def test_a_provider_that_fails_after_the_wait_gives_the_slot_back(error: Exception) -> None:
    """Whatever it raises reaches the caller, and the next call finds every slot."""

    async def play() -> None:
        world, asked = make_world(max_requests=1), []

        async def provide() -> str:
            asked.append(1)
            if len(asked) in (3, 4):
                raise error
            return world.sandbox.token

        client = world.connect(token=provide, retry=ONCE)
        await read(client, world)
        with pytest.raises(type(error)):
            await read(client, world)
        assert is_free(client)
        await read(client, world)

    run(play())


@pytest.mark.parametrize("turns", range(12))
def test_a_call_cancelled_while_its_token_is_checked_leaves_nothing(turns: int) -> None:
    """In whichever turn of the loop after the grant: slot, place in the queue and bound are given back."""

    async def play() -> None:
        world = make_world(max_requests=1)
        provider = Expiring(world, lifetime=3.0, seconds=0.0)
        client = world.connect(token=provider, retry=ONCE)
        await read(client, world)
        call = asyncio.create_task(read(client, world))
        other = asyncio.create_task(read(client, world))
        while not client.quota.in_flight:
            await asyncio.sleep(0.01)
            if client.quota.waiting < 2 or call.done():
                break
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        assert await other
        assert is_free(client)

    run(play())


@pytest.mark.parametrize("act", ["first", "again", "refresh"])
def test_what_a_provider_waits_for_may_be_cancelled_and_the_call_is_not(act: str) -> None:
    """A `CancelledError` that nobody has caused by cancelling the call would end a task group without a word."""

    async def play() -> None:
        world = make_world(max_requests=1)
        stale = world.sandbox.issue_token("access")
        if act == "refresh":
            world.sandbox._app.tokens.expire(stale)

        class Broken:
            given = 0

            async def __call__(self) -> str:
                self.given += 1
                if act == "first" or (act == "again" and self.given > 1):
                    await self.refresh(stale)
                return stale

            async def refresh(self, rejected: str) -> str:
                waiting = asyncio.ensure_future(asyncio.sleep(1))
                waiting.cancel()
                await waiting
                return rejected

        client = world.connect(token=Broken(), retry=ONCE)
        if act == "again":
            await read(client, world)
        with pytest.raises(LeadConnectorError) as caught:
            await read(client, world)
        assert caught.value.outcome == "not_applied"
        assert is_free(client)
        await client.aclose()

    run(play())


def test_a_call_that_is_cancelled_while_a_provider_is_asked_ends_cancelled() -> None:
    """Whatever was cancelled first: only a call that nobody has cancelled goes on."""

    async def play() -> None:
        world = make_world()

        async def wait() -> str:
            await asyncio.sleep(3600)
            return ""

        client = world.connect(token=wait, retry=ONCE)
        task = asyncio.ensure_future(read(client, world))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert is_free(client)
        await client.aclose()

    run(play())
