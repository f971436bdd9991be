"""Processes that share the budget of a location, in virtual time: real clients, a store in memory."""

import asyncio
import logging
import math

import pytest

from leadconnector_async import DailyLimitError, LeadConnector, RateLimit
from leadconnector_async._sharing.state import decode
from leadconnector_async._sharing.store import Reading
from leadconnector_async.exceptions import ConfigurationError
from leadconnector_async.sandbox import Limits

from ..simulation.virtual import run
from ..simulation.world import PATIENT, World
from .shared_world import APP, MemoryStore, Process

GET = "get_appointment"
LIMITS = Limits(max_requests=20, interval=10.0)
LOWER = Limits(max_requests=10, interval=10.0)
HOLD = 2.0


async def read(client: LeadConnector, world: World) -> str | None:
    return (await client.get_appointment(world.sandbox.appointment_ids[0])).id


async def read_all(world: World, *clients: LeadConnector, times: int) -> None:
    await asyncio.gather(*(read(client, world) for client in clients for _ in range(times)))


def start(world: World, store: MemoryStore, many: int = 2, **options: object) -> list[Process]:
    return [Process(world, store, retry=PATIENT, **options) for _ in range(many)]


def count_refused(world: World) -> int:
    return world.sandbox.requests.count_statuses()[429]


def find_members(store: MemoryStore, world: World) -> set[str]:
    _, content = store.states[f"{APP}/{world.sandbox.location_id}"]
    state = decode(content)
    assert state is not None
    return set(state.members)


@pytest.mark.parametrize("algorithm", ["sliding", "fixed", "opened", "bucket", "counting"])
def test_bulk_calls_of_four_processes_are_never_refused(algorithm: str) -> None:
    """They finish within 5 % of the least time that the limit allows."""

    async def play() -> None:
        world = World(Limits(max_requests=100, interval=10.0), algorithm=algorithm)  # type: ignore[arg-type]
        store, loop = MemoryStore(), asyncio.get_running_loop()
        processes = start(world, store, 4)
        await read_all(world, *(one.bulk for one in processes), times=200)
        assert count_refused(world) == 0
        assert loop.time() <= 1.05 * (math.ceil(800 / 95) - 1) * 10.0

    run(play())


def test_a_refusal_pauses_all_processes() -> None:
    """The others hear of it with their next exchange, and send nothing until it ends."""

    async def play() -> None:
        world, store = World(LIMITS), MemoryStore()
        first, second = start(world, store)
        await read_all(world, first.client, second.client, times=1)
        world.sandbox.faults.plan(GET, ["429"])
        refused = asyncio.create_task(read(first.client, world))
        await asyncio.sleep(0.3)
        sent = len(world.sandbox.requests)
        waiting = asyncio.create_task(read(second.client, world))
        await asyncio.sleep(0.2)
        assert second.client.quota.paused_seconds > 0.2
        assert len(world.sandbox.requests) == sent
        await asyncio.gather(refused, waiting)
        assert count_refused(world) == 1

    run(play())


def test_a_limit_that_one_process_was_told_holds_for_all() -> None:
    """The server's headers correct the configured limit, also in a process that has seen no response yet."""

    async def play() -> None:
        world, store = World(LIMITS), MemoryStore()
        limit = RateLimit(max_requests=100, interval=10.0)
        first, second = (Process(world, store, limit, retry=PATIENT) for _ in range(2))
        await read(first.client, world)
        await asyncio.sleep(1.5)
        await read_all(world, second.client, times=40)
        assert count_refused(world) == 0
        assert second.client.quota.limit == first.client.quota.limit == 20

    run(play())


def test_a_limit_that_is_stated_again_holds_again() -> None:
    """The server said 20, 10 to another process, and 20 again: the first process has taken over the 10 by then."""

    async def play() -> None:
        world, store = World(LIMITS), MemoryStore()
        first, second = start(world, store)
        for limits, process in ((LIMITS, first), (LOWER, second), (LIMITS, first)):
            world.sandbox.limits = limits
            await read(process.client, world)
            assert process.client.quota.limit == limits.max_requests
            await asyncio.sleep(LIMITS.interval)

    run(play())


def test_the_day_is_counted_in_common() -> None:
    """A process that has sent nothing knows that the others have used the day up, and sends nothing."""

    async def play() -> None:
        world, store = World(Limits(max_requests=20, interval=10.0, daily=5)), MemoryStore()
        limit = RateLimit(max_requests=20, interval=10.0, daily=5)
        first, second = (Process(world, store, limit, retry=PATIENT) for _ in range(2))
        await read_all(world, first.client, times=5)
        await asyncio.sleep(1.5)
        with pytest.raises(DailyLimitError):
            await read(second.client, world)
        with pytest.raises(DailyLimitError):
            await read(second.client, world)
        assert len(world.sandbox.requests) <= 6

    run(play())


def test_a_cancelled_caller_gives_its_lease_back() -> None:
    """Nothing was sent with it, so another process can send at once, although the limit is one request."""

    async def play() -> None:
        world, store = World(Limits(max_requests=1, interval=10.0)), MemoryStore()
        first, second = start(world, store)
        loop = asyncio.get_running_loop()
        lane = first.client._shared.limiter.find_lane(world.sandbox.location_id, loop)
        ticket = await lane.take()
        waiting = asyncio.create_task(read(second.client, world))
        await asyncio.sleep(1.0)
        assert not waiting.done()
        lane.free(ticket, sent=False)  # type: ignore[arg-type]
        await waiting
        assert loop.time() < 1.0 + HOLD

    run(play())


def test_an_idle_process_makes_no_exchanges() -> None:
    """It says goodbye, and neither the store nor the loop hears of it again."""

    async def play() -> None:
        world, store = World(LIMITS), MemoryStore()
        processes = start(world, store)
        await read_all(world, *(one.client for one in processes), times=3)
        await asyncio.sleep(60.0)
        reads = store.reads
        await asyncio.sleep(3600.0)
        assert store.reads == reads
        assert find_members(store, world) == set()

    run(play())


def test_closing_a_client_says_goodbye() -> None:
    """What it has used is reported, and its leases are free for the others at once."""

    async def play() -> None:
        world, store = World(Limits(max_requests=10, interval=10.0)), MemoryStore()
        first, second = start(world, store)
        first.client._sharing = first  # type: ignore[assignment]
        await read_all(world, first.client, times=4)
        await first.client.aclose()
        assert find_members(store, world) == set()
        began = asyncio.get_running_loop().time()
        await read_all(world, second.client, times=6)
        assert asyncio.get_running_loop().time() - began < 2.0
        assert count_refused(world) == 0

    run(play())


def test_closing_takes_a_second_at_most() -> None:
    """A store that does not respond delays the end of a program no longer."""

    async def play() -> None:
        world, store = World(LIMITS), MemoryStore()
        [process] = start(world, store, 1)
        process.client._sharing = process  # type: ignore[assignment]
        await read(process.client, world)
        store.hangs = True
        began = asyncio.get_running_loop().time()
        await process.client.aclose()
        assert asyncio.get_running_loop().time() - began <= 1.01

    run(play())


class Broken(MemoryStore):
    """Fails as no store should."""

    error: BaseException | None = None

    async def read(self, key: str) -> Reading:
        if self.error is not None:
            raise self.error
        return await super().read(key)


@pytest.mark.parametrize(
    "error",
    [OSError("gone"), ValueError("?"), RecursionError(), ConfigurationError("no table"), asyncio.CancelledError()],
)
def test_callers_never_hear_of_an_exchange_that_fails(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises: they go on with the share of their process; a warning says so, and one that it ended."""

    async def play() -> None:
        world, store = World(LIMITS), Broken()
        [process] = start(world, store, 1)
        await read(process.client, world)
        store.error = error
        await read_all(world, process.client, times=30)
        assert process.client.quota.source == "shared, unreachable"
        store.error = None
        await read_all(world, process.client, times=10)
        assert process.client.quota.source == "shared"
        assert count_refused(world) == 0

    with caplog.at_level(logging.WARNING):
        run(play())
    lost, back = [record.getMessage() for record in caplog.records]
    assert "cannot be used" in lost
    assert "can be used again" in back


def test_a_store_that_hangs_is_away() -> None:
    """Calls go on after `hold` and an interval, also if the exchange does not end when it is cancelled."""

    async def play() -> None:
        world, store = World(LIMITS), MemoryStore()
        processes = start(world, store)
        await read_all(world, *(one.client for one in processes), times=1)
        store.hangs = True
        began = asyncio.get_running_loop().time()
        await read_all(world, *(one.client for one in processes), times=1)
        assert HOLD + 9.0 < asyncio.get_running_loop().time() - began < HOLD + 13.0
        assert count_refused(world) == 0

    run(play())


def test_locations_exchange_beside_each_other() -> None:
    """One whose exchange hangs does not hold up another one."""

    class Selective(MemoryStore):
        async def read(self, key: str) -> Reading:
            if key.endswith(world.sandbox.location_ids[0]):
                await asyncio.sleep(0.4)
            return await super().read(key)

    world = World(LIMITS, locations=2)

    async def play() -> None:
        store = Selective()
        process = Process(world, store, token=_tokens(world))
        first, second = world.sandbox.location_ids
        other = process.client.for_location(second)
        slow = asyncio.create_task(process.client.get_appointment(world.sandbox.find_appointment_ids(first)[0]))
        await other.get_appointment(world.sandbox.find_appointment_ids(second)[0])
        assert asyncio.get_running_loop().time() < 0.3
        assert not slow.done()
        await slow

    run(play())


def _tokens(world: World) -> object:
    return world.connect_all()._shared.tokens._provider


def test_quotas_agree() -> None:
    """Limit, members, source and what remains are those of the location, in every process, within a window."""

    async def play() -> None:
        world, store = World(LIMITS), MemoryStore()
        first, second = start(world, store)
        await read_all(world, first.client, second.client, times=2)
        await asyncio.sleep(1.5)
        for process in (first, second):
            _ = process.client.quota
        await asyncio.sleep(0.5)
        one, other = first.client.quota, second.client.quota
        assert (one.limit, one.members, one.source, one.remaining) == (20, 2, "shared", 16)
        assert (other.limit, other.members, other.source, other.remaining) == (20, 2, "shared", 16)

    run(play())


def test_what_remains_is_divided_among_the_members() -> None:
    """A server that weighs the last window lets fewer pass than the limit: at most 10 of 1,000 are refused."""

    async def play() -> None:
        world = World(Limits(max_requests=100, interval=10.0), algorithm="counter")
        processes = start(world, MemoryStore(), 4)
        await read_all(world, *(one.bulk for one in processes), times=100)
        assert count_refused(world) <= 4

    run(play())


def test_the_share_of_a_process_falls_with_a_limit_that_responses_state_while_the_store_is_away() -> None:
    """Nobody else can tell it; two processes with half of the old limit each would be refused in every window."""

    async def play() -> None:
        world, store = World(LIMITS), MemoryStore()
        processes = start(world, store)
        calls = [asyncio.create_task(read(one.client, world)) for _ in range(300) for one in processes]
        await asyncio.sleep(25)
        store.is_down = True
        world.sandbox.limits = Limits(max_requests=6, interval=10.0)
        await asyncio.sleep(2 * (HOLD + 10.0) + 10.0)
        refused, sent = count_refused(world), len(world.sandbox.requests)
        await asyncio.sleep(60)
        assert count_refused(world) == refused
        assert len(world.sandbox.requests) - sent >= 0.6 * 6 * 6
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    run(play())
