"""The walk of one update that succeeds, counted: by modules, and by calls."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import FrameType

import aiohttp
import pytest

import leadconnector_async
from leadconnector_async import AppointmentUpdate, LeadConnector

from ..benchmarks.server import ID, serve

ROOT = f"{Path(leadconnector_async.__file__).parent}/"
START = datetime(2026, 9, 14, 16, tzinfo=UTC)
END = START + timedelta(minutes=30)
WARM = 450
"""Updates before the one that is looked at: by then the retry budget is full, as it is in most programs."""

Call = tuple[str, str]
"""File and function; of functions in C, no file."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server in a process of its own, whose calls are not counted."""
    with serve() as (address, _):
        yield address


async def record(update: Callable[[], Awaitable[object]], *, times: int) -> list[list[Call]]:
    """The calls of each of several updates, Python's and C's, coroutines that go on included."""
    seen: list[list[Call]] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            seen[-1].append((frame.f_code.co_filename, frame.f_code.co_qualname))
        elif event == "c_call":
            seen[-1].append(("", getattr(argument, "__qualname__", "")))

    for _ in range(WARM):
        await update()
    for _ in range(times):
        seen.append([])
        sys.setprofile(note)
        try:
            await update()
        finally:
            sys.setprofile(None)
    return seen


async def record_ours(url: str, *, times: int) -> list[list[Call]]:
    async with LeadConnector("pit-walk", base_url=url) as client:

        async def update() -> None:
            body = AppointmentUpdate(
                title="Intro call", appointment_status="confirmed", start_time=START, end_time=END
            )
            await client.update_appointment(ID, body)

        return await record(update, times=times)


async def record_by_hand(url: str, *, times: int) -> list[list[Call]]:
    headers = {"Authorization": "Bearer pit-walk", "Version": "2021-04-15"}
    async with aiohttp.ClientSession() as session:

        async def update() -> None:
            body = {
                "title": "Intro call",
                "appointmentStatus": "confirmed",
                "startTime": START.isoformat(),
                "endTime": END.isoformat(),
            }
            address = f"{url}/calendars/events/appointments/{ID}"
            async with session.put(address, json=body, headers=headers) as response:
                response.raise_for_status()
                await response.json()

        return await record(update, times=times)


def test_a_successful_update_changes_module_at_most_twenty_times(url: str) -> None:
    """Whoever follows a call through the code turns few pages; a failure shows the way."""
    [seen] = asyncio.run(record_ours(url, times=1))
    way = [(file.removeprefix(ROOT), name) for file, name in seen if file.startswith(ROOT)]
    changes = sum(before != after for (before, _), (after, _) in pairwise(way))
    assert 10 < changes <= 20, "\n".join(f"{file:<32} {name}" for file, name in way)


def test_a_successful_update_takes_few_calls(url: str) -> None:
    """Checks, limiter and typed response cost a few calls more than aiohttp by hand, Python's and C's together."""
    ours = min(asyncio.run(record_ours(url, times=30)), key=len)
    by_hand = min(asyncio.run(record_by_hand(url, times=30)), key=len)
    assert len(ours) <= len(by_hand) + 25
    assert len(ours) <= 407
