"""Random schedules: arrivals, latencies, cancellations, time-outs, changing limits, calls of one class or of both,
each made from a number."""

import asyncio
import random
from typing import Literal

from msgspec import Struct

from leadconnector_async import LeadConnector, LeadConnectorError, RetryPolicy, Timeouts
from leadconnector_async.sandbox import Limits

from ..lanes import budget_of
from .virtual import run
from .windows import Algorithm
from .world import World

INTERVAL = 10.0
_TIMEOUT = 2.0
_LATEST = 3.0
"""A request that timed out after 2 s reaches the server no more than a tenth of the interval later. One whose
caller gave up can come later still; the limiter promises nothing there."""
_CALLS = 60


class Ended(Struct):
    """What became of a schedule."""

    refused: int
    """429s."""
    in_flight: int
    """Slots that nobody gave back, those of bulk calls once more."""
    waiting: int
    """Waiters that nobody served."""
    failed: list[str]


def play(number: int, limits: Literal["fixed", "changing"], *, bulk: float = 0.0) -> Ended:
    """Play one schedule, in virtual time. Raises `RuntimeError` if somebody waits for ever.

    `bulk`: the part of the calls that are bulk calls.
    """
    return run(_Schedule(number, changing=limits == "changing", bulk=bulk).play())


class _Schedule:
    def __init__(self, number: int, *, changing: bool, bulk: float) -> None:
        self.dice = random.Random(number)
        self.changing = changing
        self.bulk = bulk
        self.limit = self.dice.randint(1, 30)
        self.failed: list[str] = []

    async def play(self) -> Ended:
        algorithms: list[Algorithm] = ["sliding", "fixed", "opened", "bucket"]
        algorithm = self.dice.choice(algorithms)
        limits = Limits(max_requests=self.limit, interval=INTERVAL)
        seed = self.dice.randrange(10**6)
        world = World(limits, algorithm=algorithm, latency=self._draw_latency, seed=seed)
        client = world.connect(retry=RetryPolicy(max_attempts=100), timeouts=Timeouts(total=_TIMEOUT))
        job = client.with_options(priority="bulk")
        chosen = [job if n < self.bulk * _CALLS else client for n in range(_CALLS)]
        tasks = [
            asyncio.create_task(self._call(one, world.sandbox.appointment_ids[n % 50]))
            for n, one in enumerate(chosen)
        ]
        changes = asyncio.create_task(self._change(world))
        await asyncio.gather(*tasks, return_exceptions=True)
        changes.cancel()
        await asyncio.sleep(2 * INTERVAL)
        lane = client._shared.limiter.lanes.get(client._location_id)
        assert lane is not None
        seen, budget = world.sandbox.requests, budget_of(lane)
        return Ended(
            refused=seen.count_statuses()[429],
            in_flight=budget.slots.in_flight + budget.reserve.in_flight,
            waiting=lane.waiting,
            failed=self.failed,
        )

    def _draw_latency(self, dice: random.Random) -> float:
        return min(_LATEST, 0.1 * dice.lognormvariate(0, 1.5))

    async def _call(self, client: LeadConnector, event_id: str) -> None:
        await asyncio.sleep(self.dice.choice([0.0, self.dice.uniform(0, 60)]))
        scope = asyncio.timeout(self.dice.uniform(0, 20) if self.dice.random() < 0.3 else None)
        try:
            async with scope:
                await client.get_appointment(event_id)
        except TimeoutError:
            assert scope.expired()
        except LeadConnectorError as error:
            self.failed.append(str(error))

    async def _change(self, world: World) -> None:
        while self.changing:
            await asyncio.sleep(self.dice.uniform(5, 30))
            world.sandbox.limits = Limits(max_requests=self.dice.randint(1, 30), interval=INTERVAL)
