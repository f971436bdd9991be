"""What the limiter promises of itself, where no peer promises anything."""

import asyncio
import gc
import statistics
import time
from collections.abc import Callable
from typing import cast

import aiohttp
from msgspec import Struct
from multidict import CIMultiDict

from leadconnector_async import Appointment, LeadConnector, RateLimit, Response, with_response
from leadconnector_async._api.request import Request
from leadconnector_async._call.reply import Progress, RawResponse
from leadconnector_async._limiter.lane import Lane
from leadconnector_async._limiter.limiter import Limiter
from leadconnector_async._limiter.slots import Ticket
from leadconnector_async.sandbox import Limits

from ..simulation.schedules import play
from ..simulation.virtual import run as run_virtually
from ..simulation.world import Unconnected, World, join

REQUESTS, DAY = 1000, 200_000


class Promise(Struct, frozen=True):
    """One row: what is measured, and what it must be."""

    name: str
    promised: str
    measure: Callable[[], str]


def measure_schedules() -> str:
    """Random arrivals, latencies, cancellations, time-outs; half of the schedules with limits that change."""
    fixed = [play(number, "fixed") for number in range(500)]
    changing = [play(number, "changing") for number in range(500)]
    exceeded = sum(one.refused > 0 for one in fixed)
    lost = sum(bool(one.in_flight or one.waiting or one.failed) for one in fixed + changing)
    return f"{exceeded + lost} of {len(fixed) + len(changing)}"


def measure_idle() -> str:
    """A call on a location that nobody used, while a thousand wait on a busy one of the same limiter."""
    return f"{1000 * run_virtually(_find_longest_delay()):.3f} ms"


async def _find_longest_delay() -> float:
    loop, limiter = asyncio.get_running_loop(), Limiter(RateLimit(max_requests=1))
    waiters = [asyncio.create_task(limiter.find_lane("busy", loop).take()) for _ in range(REQUESTS)]
    await asyncio.sleep(0)
    delays: list[float] = []
    for number in range(REQUESTS):
        began = loop.time()
        lane = limiter.find_lane(f"idle {number}", loop)
        assert lane.try_take() or await lane.take()
        delays.append(loop.time() - began)
        await asyncio.sleep(0.01)
    for waiter in waiters:
        waiter.cancel()
    return max(delays)


def measure_cost() -> str:
    """What limiter and retry add to a call that succeeds at once: the same pipeline with a limiter and without."""
    return f"{asyncio.run(_compare_pipelines()):.1f} µs"


async def _compare_pipelines() -> float:
    world = World(Limits(max_requests=10**6, interval=0.05))
    event_id = world.sandbox.appointment_ids[0]
    instant = _Instant(await with_response(world.connect().get_appointment(event_id)))
    limited = join(world.connect(), transport=instant)
    bare = join(world.connect(), transport=instant, limiter=_NoLimiter())
    pairs = [(await _time_calls(limited, event_id), await _time_calls(bare, event_id)) for _ in range(100)]
    return statistics.median(with_limiter - without for with_limiter, without in pairs)


async def _time_calls(client: LeadConnector, event_id: str) -> float:
    """Microseconds for each call."""
    began = time.perf_counter()
    for _ in range(REQUESTS):
        await client.get_appointment(event_id)
    return (time.perf_counter() - began) / REQUESTS * 1e6


class _Instant(Unconnected):
    """Answers at once, always the same."""

    def __init__(self, answer: Response[Appointment]) -> None:
        super().__init__()
        self._answer = answer

    async def send(
        self,
        session: aiohttp.ClientSession,
        request: Request[object],
        headers: CIMultiDict[str],
        bounds: aiohttp.ClientTimeout,
        progress: Progress,
    ) -> RawResponse:
        answered_at = asyncio.get_running_loop().time()
        return RawResponse(200, self._answer.headers, self._answer.body, answered_at)  # type: ignore[arg-type]


class _NoLimiter(Limiter):
    """Everybody may go, and nothing is learnt."""

    def __init__(self) -> None:
        self.lanes = {}

    def find_lane(self, location_id: str | None, loop: asyncio.AbstractEventLoop) -> Lane:
        lane = self.lanes[location_id] = cast("Lane", self)
        return lane

    def try_take(self, *, bulk: bool = False) -> Ticket:
        return Ticket(1, asyncio.get_running_loop().time(), 0)

    def finish(self, ticket: Ticket, answered_at: float, headers: object, *, success: bool = True) -> None: ...


def measure_garbage() -> str:
    """What only the collector can free after calls that succeed."""
    return f"{run_virtually(_collect())} objects"


async def _collect() -> int:
    world = World(Limits(max_requests=10**6, interval=1.0))
    client, event_id = world.connect(), world.sandbox.appointment_ids[0]
    for _ in range(50):
        await client.get_appointment(event_id)
    gc.collect()
    gc.disable()
    for _ in range(REQUESTS):
        await client.get_appointment(event_id)
    found = gc.collect()
    gc.enable()
    return found


def measure_day() -> str:
    """As many requests as a day allows, a batch every few minutes."""
    began = time.perf_counter()
    refused = run_virtually(_live_a_day())
    return f"{time.perf_counter() - began:.0f} s of real time, {refused} refused"


async def _live_a_day() -> int:
    world = World(Limits(), log_size=DAY)
    client, ids = world.connect(), world.sandbox.appointment_ids
    for _ in range(DAY // REQUESTS):
        await asyncio.gather(*(client.get_appointment(ids[n % len(ids)]) for n in range(REQUESTS)))
        await asyncio.sleep(300)
    assert len(world.sandbox.requests) == DAY
    return world.sandbox.requests.count_statuses()[429]


PROMISES = [
    Promise("random schedules that lose a slot, hang or exceed the limit", "0", measure_schedules),
    Promise("an idle location beside a busy one: the longest delay", "1 ms", measure_idle),
    Promise("limiter and retry on a call that succeeds", "5 µs", measure_cost),
    Promise(f"garbage for the collector after {REQUESTS} calls that succeed", "0 objects", measure_garbage),
    Promise(f"a day of traffic: {DAY} requests", "60 s, 0 refused", measure_day),
]
