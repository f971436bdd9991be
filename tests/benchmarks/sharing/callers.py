"""This library and its peers, each as its users would share a limit between processes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Protocol
from unittest.mock import patch

import aiohttp
from aiolimiter import AsyncLimiter
from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from msgspec import Struct
from pyrate_limiter import Limiter, Rate, RedisBucket
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from tenacity import AsyncRetrying, retry_if_result, wait_random_exponential
from throttled import rate_limiter
from throttled.asyncio import Throttled
from throttled.asyncio.store import RedisStore

from leadconnector_async import LeadConnector, RateLimit, RetryPolicy, Shared
from leadconnector_async._sharing.store import Reading, Store

from .counting import Place

OURS, ALONE = "this library", "this library, nothing shared"
_PATIENT = RetryPolicy(max_attempts=1000)
_TOO_MANY = 429


class Setting(Struct, frozen=True):
    """What a process is told before it begins."""

    caller: str
    place: Place
    store: str | None
    """The address of what is shared."""
    processes: int
    """How many there are."""
    bulk: bool = True


class Caller(Protocol):
    """Reads one appointment, as often as it takes."""

    async def __call__(self, event_id: str) -> object: ...


class Exchanges(Struct):
    """How often this process has asked the store."""

    count: int = 0


Open = Callable[[Setting, Exchanges], AbstractAsyncContextManager[tuple[Caller, LeadConnector | None]]]


@asynccontextmanager
async def open_alone(setting: Setting, exchanges: Exchanges) -> AsyncIterator[tuple[Caller, LeadConnector | None]]:
    """Each process with a limiter of its own."""
    async with _connect(setting, None) as client:
        yield client.get_appointment, client


@asynccontextmanager
async def open_shared(setting: Setting, exchanges: Exchanges) -> AsyncIterator[tuple[Caller, LeadConnector | None]]:
    """All processes with one store."""
    async with Shared(str(setting.store)) as shared, _connect(setting, shared) as client:
        with _count_reads(shared.store, exchanges):
            yield client.get_appointment, client


def _connect(setting: Setting, shared: Shared | None) -> LeadConnector:
    place = setting.place
    return LeadConnector(
        place.token,
        base_url=place.url,
        location_id=place.location_id,
        rate_limit=RateLimit(max_requests=place.max_requests, interval=place.interval),
        retry=_PATIENT,
        priority="bulk" if setting.bulk else "interactive",
        shared=shared,
    )


@contextmanager
def _count_reads(store: Store, exchanges: Exchanges) -> Iterator[None]:
    """Each exchange reads once; one that has lost a swap reads again, and counts twice."""
    read = store.read

    async def read_counted(key: str) -> Reading:
        exchanges.count += 1
        return await read(key)

    with patch.object(store, "read", read_counted):
        yield


class Peer:
    """By hand: aiohttp, and tenacity after a 429."""

    def __init__(self, setting: Setting, session: aiohttp.ClientSession) -> None:
        self.place = setting.place
        self.most, self.interval = setting.place.max_requests, setting.place.interval
        self._session = session
        self._headers = {"Authorization": f"Bearer {setting.place.token}", "Version": "2021-04-15"}
        self._retrying = AsyncRetrying(
            retry=retry_if_result(lambda status: status == _TOO_MANY), wait=wait_random_exponential(0.5, 30)
        )

    async def open(self, setting: Setting) -> None:
        """Connect to the store."""

    async def acquire(self) -> None:
        """Wait until one more may be sent."""
        raise NotImplementedError

    async def __call__(self, event_id: str) -> None:
        await self._retrying.copy()(self._attempt, f"{self.place.url}/calendars/events/appointments/{event_id}")

    async def _attempt(self, url: str) -> int:
        await self.acquire()
        async with self._session.get(url, headers=self._headers) as response:
            await response.read()
            return response.status


class UsePyrateLimiter(Peer):
    """A log in a sorted set."""

    async def open(self, setting: Setting) -> None:
        rates = [Rate(self.most, round(self.interval * 1000))]
        bucket = await RedisBucket.init(rates, Redis.from_url(str(setting.store)), self.place.location_id)
        self._limiter = Limiter(bucket)

    async def acquire(self) -> None:
        await self._limiter.try_acquire_async("location")


class UseLimits(Peer):
    """Its moving window; it says when the window has room again, and the program waits."""

    async def open(self, setting: Setting) -> None:
        self._item = RateLimitItemPerSecond(self.most, round(self.interval))
        pool = BlockingConnectionPool.from_url(str(setting.store))
        storage = RedisStorage(f"async+{setting.store}", implementation="redispy", connection_pool=pool)  # type: ignore[arg-type]
        self._window = MovingWindowRateLimiter(storage)

    async def acquire(self) -> None:
        while not await self._window.hit(self._item, self.place.location_id):
            stats = await self._window.get_window_stats(self._item, self.place.location_id)
            await asyncio.sleep(max(0.01, stats.reset_time - time.time()))


class UseThrottled(Peer):
    """Its sliding window, which waits by itself."""

    async def open(self, setting: Setting) -> None:
        self._throttled = Throttled(
            key=self.place.location_id,
            using="sliding_window",
            quota=rate_limiter.per_duration(timedelta(seconds=self.interval), self.most),
            store=RedisStore(
                f"{setting.store}/0", {"CONNECTION_POOL_CLASS": "redis.asyncio.BlockingConnectionPool"}
            ),
            timeout=1000,
        )

    async def acquire(self) -> None:
        while (await self._throttled.limit()).limited:
            pass


class UseAiolimiter(Peer):
    """Nothing shared; each process has its part of the limit."""

    async def open(self, setting: Setting) -> None:
        self._limiter = AsyncLimiter(self.most / setting.processes, self.interval)

    async def acquire(self) -> None:
        await self._limiter.acquire()


@contextmanager
def _count_commands(exchanges: Exchanges) -> Iterator[None]:
    """Each trip to Redis counts, whatever it asks."""
    send = AbstractConnection.send_packed_command

    async def send_counted(self: AbstractConnection, *arguments: object, **options: object) -> None:
        exchanges.count += 1
        await send(self, *arguments, **options)  # type: ignore[arg-type]

    with patch.object(AbstractConnection, "send_packed_command", send_counted):
        yield


def _open_peer(kind: type[Peer]) -> Open:
    @asynccontextmanager
    async def open_it(setting: Setting, exchanges: Exchanges) -> AsyncIterator[tuple[Caller, LeadConnector | None]]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            peer = kind(setting, session)
            await peer.open(setting)
            with _count_commands(exchanges):
                yield peer, None

    return open_it


PEERS: dict[str, Open] = {
    "pyrate-limiter": _open_peer(UsePyrateLimiter),
    "limits": _open_peer(UseLimits),
    "throttled-py": _open_peer(UseThrottled),
    "aiolimiter, an equal part each": _open_peer(UseAiolimiter),
}
CALLERS: dict[str, Open] = {OURS: open_shared, ALONE: open_alone, **PEERS}
NEED_NO_STORE = (ALONE, "aiolimiter, an equal part each")
