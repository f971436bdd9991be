"""The cost of one update, beside its peers, in CPU time of this process."""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta, timezone
from operator import truediv
from typing import Any

import aiohttp
import httpx
import uvloop
from highlevel import HighLevel

from leadconnector_async import AppointmentUpdate, LeadConnector

from .server import serve

ROUNDS, PEERS_CALLS, HALVES = 15, 300, 2
CALLS = {1: 1200, 50: 2400}
"""For each concurrency, of each of the two that are compared, in each half of a round: they are close."""
CONCURRENCIES = tuple(CALLS)
HAND, OURS = "aiohttp by hand", "this library"
START = datetime(2026, 9, 14, 9, tzinfo=timezone(timedelta(hours=-7)))
END = START + timedelta(minutes=30)
Candidate = Callable[[str], Awaitable[object]]
Figures = dict[int, dict[str, list[float]]]
"""CPU microseconds for each call: of each concurrency, candidate and round."""


def build_body() -> dict[str, object]:
    return {
        "title": "Intro call",
        "appointmentStatus": "confirmed",
        "assignedUserId": "Lk2Jh4Gf6Ds8Aq0Wz1Xs",
        "ignoreFreeSlotValidation": True,
        "calendarId": "aB3dE5fG7hJ9kL1mN2pQ",
        "startTime": START.isoformat(),
        "endTime": END.isoformat(),
    }


def build_update() -> AppointmentUpdate:
    return AppointmentUpdate(
        title="Intro call",
        appointment_status="confirmed",
        assigned_user_id="Lk2Jh4Gf6Ds8Aq0Wz1Xs",
        ignore_free_slot_validation=True,
        calendar_id="aB3dE5fG7hJ9kL1mN2pQ",
        start_time=START,
        end_time=END,
    )


async def open_candidates(url: str, stack: AsyncExitStack) -> dict[str, Candidate]:
    path = f"{url}/calendars/events/appointments/"
    headers = {"Authorization": "Bearer pit-benchmark", "Version": "2021-04-15"}
    client = await stack.enter_async_context(LeadConnector("pit-benchmark", base_url=url))
    session = await stack.enter_async_context(aiohttp.ClientSession())
    other = await stack.enter_async_context(httpx.AsyncClient(headers=headers))

    async def ours(event_id: str) -> object:
        return await client.update_appointment(event_id, build_update())

    async def by_hand(event_id: str) -> object:
        async with session.put(path + event_id, json=build_body(), headers=headers) as response:
            response.raise_for_status()
            return await response.json()

    async def by_httpx(event_id: str) -> object:
        response = await other.put(path + event_id, json=build_body())
        response.raise_for_status()
        return response.json()

    vendors = open_vendors(url)
    stack.push_async_callback(vendors.http_client.aclose)

    async def by_vendor(event_id: str) -> object:
        return await vendors.calendars.edit_appointment(event_id, build_body())

    return {OURS: ours, HAND: by_hand, "httpx": by_httpx, "vendor's SDK": by_vendor}


def open_vendors(url: str, token: str = "pit-benchmark") -> Any:
    class Local(HighLevel):  # type: ignore[misc]
        BASE_URL = url

    return Local(private_integration_token=token)


async def measure(candidate: Candidate, concurrency: int, calls: int) -> float:
    """CPU microseconds for each call."""
    ids: Iterator[str] = (f"Rt5Yu7Io9Pa1Sd3F{number:04d}" for number in range(calls))

    async def work() -> None:
        for event_id in ids:
            await candidate(event_id)

    gc.collect()
    began = time.process_time()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return (time.process_time() - began) / calls * 1e6


def run() -> None:
    """Print the tables, asyncio's own loop and uvloop side by side."""
    with serve() as (url, server):
        counts = " and ".join(f"{HALVES * calls} (concurrency {one})" for one, calls in CALLS.items())
        print(f"CPU of one update, {server} on 127.0.0.1, {ROUNDS} rounds in turn, each of {counts} calls")
        print(f"of {OURS} and of {HAND}, and {PEERS_CALLS} of each of the others\n")
        own, fast = asyncio.run(collect(url)), uvloop.run(collect(url))
    for concurrency in CONCURRENCIES:
        print(f"| concurrency {concurrency} | µs (median) | of aiohttp by hand | uvloop: µs | of aiohttp by hand |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for name in own[concurrency]:
            print(f"| {name} | {' | '.join(render(one[concurrency], name) for one in (own, fast))} |")
        vendors, ours = own[concurrency]["vendor's SDK"], own[concurrency][OURS]
        print(f"\nvendor's SDK to this library: {compare(vendors, ours)[1]:.1f}\n")


async def collect(url: str) -> Figures:
    """Each candidate beside the others, round by round."""
    figures: Figures = {}
    async with AsyncExitStack() as stack:
        candidates = await open_candidates(url, stack)
        for concurrency in CONCURRENCIES:
            figures[concurrency] = found = {name: list[float]() for name in candidates}
            for candidate in candidates.values():
                await measure(candidate, concurrency, PEERS_CALLS)
            for number in range(ROUNDS):
                await measure_round(candidates, concurrency, number, found)
    return figures


async def measure_round(
    candidates: dict[str, Candidate], concurrency: int, number: int, found: dict[str, list[float]]
) -> None:
    """A, B, B, A for the two that are compared, so that a drift of the machine favours neither; then the others."""
    calls = CALLS[concurrency]
    first, second = (OURS, HAND) if number % 2 else (HAND, OURS)
    halves: dict[str, list[float]] = {first: [], second: []}
    for name in (first, second, second, first):
        halves[name].append(await measure(candidates[name], concurrency, calls))
    for name, times in halves.items():
        found[name].append(sum(times) / HALVES)
    for name in candidates.keys() - halves.keys():
        found[name].append(await measure(candidates[name], concurrency, PEERS_CALLS))


def render(figures: dict[str, list[float]], name: str) -> str:
    low, middle, high = compare(figures[name], figures[HAND])
    spread = "" if name == HAND else f" ({low:.2f} - {high:.2f})"
    return f"{statistics.median(figures[name]):.0f} | {middle:.2f}{spread}"


def compare(some: list[float], others: list[float]) -> tuple[float, float, float]:
    """The quartiles of each round's ratio."""
    low, middle, high = statistics.quantiles(map(truediv, some, others), n=4)
    return low, middle, high
