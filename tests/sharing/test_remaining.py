"""What responses say remains, and how few exchanges are enough: real clients in virtual time, a store in memory."""

import asyncio
import random
import statistics
import sys
from functools import partial
from types import SimpleNamespace

import pytest

from leadconnector_async._limiter import slots
from leadconnector_async._sharing import exchanger, membership
from leadconnector_async.sandbox import Limits

from ..simulation.virtual import run
from ..simulation.windows import Algorithm
from ..simulation.world import PATIENT, World
from .shared_world import MemoryStore, Process

LIMITS = Limits(max_requests=100, interval=10.0)
CALLS = 1000
DICE = random.Random()


@pytest.fixture(autouse=True)
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is as virtual as the others: members without a grant are believed by it."""
    monkeypatch.setattr(exchanger.time, "time", lambda: asyncio.get_running_loop().time())


@pytest.fixture
def one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, leases and jitter follow from the seed given to `begin`: what fails is repeated by its number."""
    names = SimpleNamespace(token_hex=lambda size: f"{DICE.getrandbits(8 * size):0{2 * size}x}")
    monkeypatch.setattr(membership, "secrets", names)
    monkeypatch.setattr(membership, "random", SimpleNamespace(Random=lambda: random.Random(DICE.getrandbits(64))))
    for module in (exchanger, slots):
        monkeypatch.setattr(module, "random", DICE)


async def begin(algorithm: Algorithm, seed: int, processes: int) -> tuple[World, MemoryStore, list[Process]]:
    """At any moment of the server's window."""
    DICE.seed(seed)
    world = World(LIMITS, algorithm=algorithm, seed=seed)
    await asyncio.sleep(random.Random(seed).uniform(0, LIMITS.interval))
    store = MemoryStore(seed)
    return world, store, [Process(world, store, retry=PATIENT) for _ in range(processes)]


async def read_bulk(world: World, processes: list[Process]) -> float:
    """The time of 1,000 calls, as a part of what they take at least."""
    began, appointment = asyncio.get_running_loop().time(), world.sandbox.appointment_ids[0]
    calls = [
        partial(processes[number % len(processes)].bulk.get_appointment, appointment) for number in range(CALLS)
    ]
    await asyncio.gather(*(call() for call in calls))
    return (asyncio.get_running_loop().time() - began) / 100.0


@pytest.mark.usefixtures("one_seed")
@pytest.mark.parametrize(("processes", "exchanges"), [(1, 0.1), (4, 0.2), (16, 0.6)])
def test_a_weighted_counter_refuses_at_most_ten_in_a_thousand_bulk_calls(processes: int, exchanges: float) -> None:
    """It weighs the last window, so it counts requests that are forgotten here: no more go than it has room for.

    Of three plays together: a burst at the very end of its window looks as if the server forgot at once, and one
    play in 48 with 16 processes then had 24 refusals.
    """
    finishes: list[float] = []
    refused: list[int] = []

    async def play(seed: int) -> None:
        world, store, everybody = await begin("counter", seed, processes)
        finishes.append(await read_bulk(world, everybody))
        refused.append(world.sandbox.requests.count_statuses()[429])
        assert store.reads <= exchanges * CALLS

    for seed in range(1, 4):
        run(play(seed))
    assert statistics.fmean(finishes) <= 1.35
    assert sum(refused) <= 10 * len(refused)


@pytest.mark.usefixtures("one_seed")
@pytest.mark.parametrize("processes", [4, 16])
def test_a_long_job_goes_on_as_it_began(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At an even pace a weighted counter counts as any other does. It is not taken for one that does not weigh."""
    monkeypatch.setattr(sys.modules[__name__], "CALLS", 5000)

    async def play() -> None:
        world, store, everybody = await begin("counter", 1, processes)
        assert await read_bulk(world, everybody) <= 1.35 * CALLS / 1000
        assert world.sandbox.requests.count_statuses()[429] == 0
        assert store.reads <= 0.4 * CALLS

    run(play())


@pytest.mark.usefixtures("one_seed")
@pytest.mark.parametrize("algorithm", ["sliding", "fixed"])
@pytest.mark.parametrize(("processes", "exchanges", "finish"), [(1, 0.1, 1.05), (4, 0.2, 1.05), (16, 0.7, 1.15)])
def test_few_exchanges_are_enough(processes: int, exchanges: float, finish: float, algorithm: Algorithm) -> None:
    """One that reports, and one that asks for all the slots that came free, for each process and interval.

    With 16 processes, a few slots are lost at first, and the last calls may need one interval more.
    """

    async def play(seed: int) -> None:
        world, store, everybody = await begin(algorithm, seed, processes)
        assert await read_bulk(world, everybody) <= finish
        assert world.sandbox.requests.count_statuses()[429] == 0
        assert store.reads <= exchanges * CALLS

    for seed in range(1, 3):
        run(play(seed))


@pytest.mark.usefixtures("one_seed")
@pytest.mark.parametrize("algorithm", ["sliding", "bucket"])
def test_the_last_calls_use_slots_that_others_return(algorithm: Algorithm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten windows are enough for them. One that had waited for its own slots to be free needed an eleventh."""
    monkeypatch.setattr(sys.modules[__name__], "CALLS", 920)

    async def play(seed: int) -> None:
        world, _, everybody = await begin(algorithm, seed, 16)
        assert await read_bulk(world, everybody) <= 0.9 * 1.07
        assert world.sandbox.requests.count_statuses()[429] == 0

    for seed in range(1, 5):
        run(play(seed))


@pytest.mark.parametrize("algorithm", ["sliding", "counter"])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_a_front_desk_beside_jobs_waits_for_a_response_only(processes: int, algorithm: Algorithm) -> None:
    """With one call in a second, p90 < 0.03 T and p99 < 0.1 T, whatever the server counts; nothing is refused."""
    took: list[float] = []

    async def play(seed: int) -> None:
        world, _, [desk, *others] = await begin(algorithm, seed, processes)
        loop, appointment = asyncio.get_running_loop(), world.sandbox.appointment_ids[0]
        end, dice = loop.time() + 120.0, random.Random(seed)

        async def work(job: Process) -> None:
            while loop.time() < end:
                await job.bulk.get_appointment(appointment)

        async def read() -> None:
            began = loop.time()
            await desk.client.get_appointment(appointment)
            took.append(loop.time() - began)

        jobs = [loop.create_task(work(job)) for job in others or [desk] for _ in range(100)]
        reading: list[asyncio.Task[None]] = []
        while loop.time() < end:
            await asyncio.sleep(dice.expovariate(1.0))
            reading.append(loop.create_task(read()))
        await asyncio.gather(*jobs, *reading)
        assert world.sandbox.requests.count_statuses()[429] == 0

    for seed in range(1, 4):
        run(play(seed))
    took.sort()
    assert len(took) > 300
    assert took[int(0.9 * len(took))] < 0.3
    assert took[int(0.99 * len(took))] < 1.0
