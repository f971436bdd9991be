"""Several processes in virtual time: a store in memory, and clients of a world's server that share their limits."""

import asyncio
import random
from functools import partial

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async._limiter.limiter import Limiter
from leadconnector_async._sharing.membership import Membership
from leadconnector_async._sharing.store import MISSING, Reading, make_version
from leadconnector_async.exceptions import StoreUnavailableError

from ..simulation.world import World, join

APP = "pit"
TRIP = 0.002
"""Seconds of a round trip to the store."""


class MemoryStore:
    """States in memory; the loop's clock is the store's. A round trip takes its time."""

    def __init__(self, seed: int = 1) -> None:
        self.states: dict[str, tuple[str, bytes]] = {}
        self.is_down = self.hangs = False
        self.reads = self.swaps = self.lost_swaps = 0
        self.server, self.started_at = "server 1", -1000.0
        self._dice = random.Random(seed)

    async def _travel(self) -> None:
        await asyncio.sleep(TRIP * self._dice.random())
        while self.hangs:
            await asyncio.sleep(3600)
        if self.is_down:
            raise StoreUnavailableError("nobody listens")

    async def read(self, key: str) -> Reading:
        await self._travel()
        self.reads += 1
        version, content = self.states.get(key, (MISSING, None))
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(TRIP * self._dice.random())
        return Reading(version, content, now, self.server, now - self.started_at)

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float) -> bool:
        await self._travel()
        known = self.states.get(key, (MISSING, None))[0]
        if known != version:
            self.lost_swaps += 1
        else:
            self.swaps += 1
            self.states[key] = make_version(), content
        await asyncio.sleep(TRIP * self._dice.random())
        return known == version

    async def check(self) -> None:
        await self._travel()

    async def migrate(self) -> None:
        await self._travel()

    async def aclose(self) -> None:
        pass


class Process:
    """A client in a process of its own, as far as anybody can tell."""

    def __init__(self, world: World, store: MemoryStore, limit: RateLimit | None = None, **options: object) -> None:
        loop = asyncio.get_running_loop()
        self.membership = Membership(store, "memory", loop.time, has_presence=False)
        limit = limit or RateLimit(
            max_requests=world.sandbox.limits.max_requests, interval=world.sandbox.limits.interval
        )
        self.client = share(world.connect(**options), self.membership, limit)
        self.bulk = self.client.with_options(priority="bulk")


def share(client: LeadConnector, membership: Membership, limit: RateLimit) -> LeadConnector:
    return join(client, limiter=Limiter(limit, 0.0, partial(membership.open_lane, APP)))
