"""The peers of the limiter, each as its users would put it before their calls, and retried by tenacity on a 429."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from aiolimiter import AsyncLimiter
from botocore.retries.adaptive import ClientRateLimiter, RateClocker
from botocore.retries.bucket import TokenBucket
from botocore.retries.throttling import CubicCalculator
from multidict import CIMultiDict
from pyrate_limiter import Duration, InMemoryBucket, Limiter, Rate, SingleBucketFactory
from tenacity import AsyncRetrying, retry_if_result, wait_random_exponential

from leadconnector_async import LeadConnector

from ..simulation.world import PATIENT, World

MOST, INTERVAL = 100, 10.0
_TOO_MANY = 429


class Caller(Protocol):
    """Reads one appointment, as often as it takes."""

    async def __call__(self, event_id: str) -> None: ...


Build = Callable[[World], Caller]


def use_ours(world: World) -> Caller:
    client: LeadConnector = world.connect(retry=PATIENT)

    async def call(event_id: str) -> None:
        await client.get_appointment(event_id)

    return call


class _Peer:
    def __init__(self, world: World) -> None:
        self._world = world
        self._headers = CIMultiDict({"Authorization": f"Bearer {world.sandbox.token}", "Version": "2021-04-15"})
        self._retrying = AsyncRetrying(
            retry=retry_if_result(lambda status: status == _TOO_MANY), wait=wait_random_exponential(0.5, 30)
        )

    async def __call__(self, event_id: str) -> None:
        await self._retrying.copy()(self._attempt, f"/calendars/events/appointments/{event_id}")

    async def _attempt(self, path: str) -> int:
        raise NotImplementedError

    async def _send(self, path: str) -> int:
        return (await self._world.exchange("GET", path, self._headers, b"")).status


class UseAiolimiter(_Peer):
    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._limiter = AsyncLimiter(MOST, INTERVAL)

    async def _attempt(self, path: str) -> int:
        async with self._limiter:
            return await self._send(path)


class UseSemaphore(_Peer):
    """Ten at once: what most programs begin with."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._semaphore = asyncio.Semaphore(10)

    async def _attempt(self, path: str) -> int:
        async with self._semaphore:
            return await self._send(path)


class _LoopBucket(InMemoryBucket):
    def now(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000)


class UsePyrateLimiter(_Peer):
    def __init__(self, world: World) -> None:
        super().__init__(world)
        bucket = _LoopBucket([Rate(MOST, Duration.SECOND * 10)])
        self._limiter = Limiter(SingleBucketFactory(bucket, schedule_leak=False))

    async def _attempt(self, path: str) -> int:
        await self._limiter.try_acquire_async("location")
        return await self._send(path)


class _LoopClock:
    def current_time(self) -> float:
        return asyncio.get_running_loop().time()


class _Detector:
    def is_throttling_error(self, *, status: int) -> bool:
        return status == _TOO_MANY


class UseBotocore(_Peer):
    """botocore's adaptive mode, ten at once as in its pool: its own parts, in a loop instead of threads."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        clock = _LoopClock()
        self._bucket = TokenBucket(max_rate=1, clock=clock)
        self._rate = ClientRateLimiter(
            rate_adjustor=CubicCalculator(starting_max_rate=0, start_time=clock.current_time()),
            rate_clocker=RateClocker(clock),
            token_bucket=self._bucket,
            throttling_detector=_Detector(),
            clock=clock,
        )

        self._connections = asyncio.Semaphore(10)

    async def _attempt(self, path: str) -> int:
        async with self._connections:
            if self._rate._enabled:
                await self._acquire()
            status = await self._send(path)
            self._rate.on_receiving_response(status=status)
            return status

    async def _acquire(self) -> None:
        self._bucket._refill()
        while (seconds := self._bucket._sleep_amount(1)) > 0:
            await asyncio.sleep(seconds)
            self._bucket._refill()
        self._bucket._current_capacity -= 1


CALLERS: dict[str, Build] = {
    "this library": use_ours,
    "aiolimiter + tenacity": UseAiolimiter,
    "PyrateLimiter + tenacity": UsePyrateLimiter,
    "botocore adaptive": UseBotocore,
    "semaphore + tenacity": UseSemaphore,
}
