"""A front desk beside a bulk job, in one process or two, in virtual time."""

import asyncio
import math
import statistics
from collections.abc import Iterator, Sequence

from msgspec import Struct

from leadconnector_async import AppointmentUpdate, Event, LeadConnector, LeadConnectorError, RateLimit
from leadconnector_async.events import SlotAcquired
from leadconnector_async.sandbox import Limits

from .virtual import run
from .windows import Algorithm
from .world import World

N, T = 100, 10.0
CONCURRENCY = 16


class Played(Struct):
    """What the people and the job have seen."""

    waits: list[float]
    """Seconds that each call of the front desk waited for its slot."""
    failed: list[str]
    refused: int
    """429s."""
    seconds: float
    """Until the job was done."""
    rows: int
    reserve: float
    """The mean of what the job was told to leave."""

    @property
    def of_bound(self) -> float:
        """The job's time, as a part of what it takes at least with what the reserve leaves."""
        return self.seconds / ((math.ceil(self.rows / (N - self.reserve)) - 1) * T)

    def find_wait(self, part: float) -> float:
        """The wait that this part of the calls does not exceed."""
        return find_quantile(self.waits, part)


def find_quantile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of them does not exceed."""
    return sorted(values)[math.ceil(part * len(values)) - 1]


def play(
    algorithm: Algorithm,
    *,
    rate: float = 1.0,
    rows: int = 26 * N,
    processes: int = 1,
    reserve: int | None = None,
    writes: bool = False,
    seed: int = 1,
) -> Played:
    """So many calls a second, at random moments, until the job is done."""
    world = World(Limits(max_requests=N, interval=T), algorithm=algorithm, seed=seed, log_size=1_000_000)
    return run(_FrontDesk(world, reserve, processes, writes=writes).play(rate, rows))


class _FrontDesk:
    def __init__(self, world: World, reserve: int | None, processes: int, *, writes: bool) -> None:
        self._world = world
        self._writes = writes
        limit = RateLimit(max_requests=N, interval=T, interactive_reserve=reserve)
        self._people = world.connect(rate_limit=limit, on_event=self._listen)
        other = self._people if processes == 1 else world.connect(rate_limit=limit)
        self._job = other.with_options(priority="bulk", on_event=None)
        self._waits: list[float] = []
        self._failed: list[str] = []
        self._reserves: list[int] = []

    async def play(self, rate: float, rows: int) -> Played:
        loop, numbers = asyncio.get_running_loop(), iter(range(rows))
        await asyncio.sleep(1003.0)
        began = loop.time()
        ends: list[float] = []
        job = asyncio.gather(*(self._work(numbers) for _ in range(CONCURRENCY)))
        job.add_done_callback(lambda _: ends.append(loop.time()))
        calls = list[asyncio.Task[None]]()
        while not job.done():
            await asyncio.sleep(self._world.dice.expovariate(rate))
            self._reserves.append(self._job.quota.reserve)
            calls.append(asyncio.create_task(self._call(self._people, len(calls))))
        await asyncio.gather(job, *calls)
        self._waits += [0.0] * (len(calls) - len(self._waits))  # who finds a free slot has no event
        refused = self._world.sandbox.requests.count_statuses()[429]
        return Played(self._waits, self._failed, refused, ends[0] - began, rows, statistics.mean(self._reserves))

    def _listen(self, event: Event) -> None:
        if isinstance(event, SlotAcquired):
            self._waits.append(event.seconds)

    async def _work(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await self._call(self._job, number)

    async def _call(self, client: LeadConnector, number: int) -> None:
        event_id = self._world.sandbox.appointment_ids[number % 200]
        try:
            if self._writes and (client is self._job or number % 2):
                await client.update_appointment(event_id, AppointmentUpdate(title=f"Visit {number}"))
            else:
                await client.get_appointment(event_id)
        except LeadConnectorError as error:
            self._failed.append(str(error))
