"""The cost of one update, beside its peers, in CPU time of this process."""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import httpx
from highlevel import HighLevel

from leadconnector_async import AppointmentUpdate, LeadConnector

from .server import serve

ROUNDS, CALLS = 15, 600
HAND, OURS = "aiohttp by hand", "this library"
Candidate = Callable[[str], Awaitable[object]]


def build_body() -> dict[str, object]:
    return {
        "title": "Intro call",
        "appointmentStatus": "confirmed",
        "assignedUserId": "Lk2Jh4Gf6Ds8Aq0Wz1Xs",
        "ignoreFreeSlotValidation": True,
        "calendarId": "aB3dE5fG7hJ9kL1mN2pQ",
        "startTime": "2026-09-14T09:00:00-07:00",
        "endTime": "2026-09-14T09:30:00-07:00",
    }


def build_update() -> AppointmentUpdate:
    return AppointmentUpdate(
        title="Intro call",
        appointment_status="confirmed",
        assigned_user_id="Lk2Jh4Gf6Ds8Aq0Wz1Xs",
        ignore_free_slot_validation=True,
        calendar_id="aB3dE5fG7hJ9kL1mN2pQ",
        start_time="2026-09-14T09:00:00-07:00",
        end_time="2026-09-14T09:30:00-07:00",
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


async def run() -> None:
    with serve() as (url, server):
        print(f"CPU of one update, {server} on 127.0.0.1, {ROUNDS} rounds of {CALLS} calls, in turn\n")
        async with AsyncExitStack() as stack:
            candidates = await open_candidates(url, stack)
            for concurrency in (1, 50):
                await run_at(concurrency, candidates)


async def run_at(concurrency: int, candidates: dict[str, Candidate]) -> None:
    figures: dict[str, list[float]] = {name: [] for name in candidates}
    for candidate in candidates.values():
        await measure(candidate, concurrency, 100)
    names = list(candidates)
    for number in range(ROUNDS):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            figures[name].append(await measure(candidates[name], concurrency, CALLS))
    print(f"| concurrency {concurrency} | µs (median) | min - max | of aiohttp by hand |")
    print("| --- | ---: | ---: | ---: |")
    for name, values in figures.items():
        ratio = statistics.median(one / base for one, base in zip(values, figures[HAND], strict=True))
        spread = f"{min(values):.0f} - {max(values):.0f}"
        print(f"| {name} | {statistics.median(values):.0f} | {spread} | {ratio:.2f} |")
    vendors = [theirs / mine for theirs, mine in zip(figures["vendor's SDK"], figures[OURS], strict=True)]
    print(f"\nvendor's SDK to this library: {statistics.median(vendors):.1f}\n")
