"""One of the processes: people, a job or both, in every location that it is told.

It reads a line with its `Duty` in each location, opens its clients and writes `ready`; the next line is the moment
to begin at, by the machine's monotonic clock. Then it writes what came of each duty. It ends when standard input
does.
"""

import asyncio
import random
import sys
import time
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import msgspec
from msgspec import Struct, field

from leadconnector_async import AppointmentUpdate, LeadConnector, LeadConnectorError, RateLimit
from leadconnector_async.events import Event, SlotAcquired

from ..sharing.counting import Place

CONCURRENCY = 16
"""Of a job."""


class Duty(Struct, frozen=True):
    """What a process does in one location."""

    place: Place
    seconds: float
    rate: float
    """Calls of people in a second; 0 if nobody sits here."""
    job: bool
    reserve: int | None
    shared: str | None
    seed: int


class Seen(Struct):
    """What came of it."""

    waits: list[float] = field(default_factory=list)
    """Seconds that each call of a person waited for its slot."""
    failed: list[str] = field(default_factory=list)
    rows: int = 0
    seconds: float = 0.0
    """Until the last row."""
    reserves: list[int] = field(default_factory=list)


class Desk:
    """One duty."""

    def __init__(self, duty: Duty, shared: object) -> None:
        self._duty, self._seen, self._calls = duty, Seen(), 0
        place = duty.place
        options: dict[str, Any] = {} if shared is None else {"shared": shared}
        self.client = LeadConnector(
            place.token,
            base_url=place.url,
            location_id=place.location_id,
            rate_limit=RateLimit(
                max_requests=place.max_requests, interval=place.interval, interactive_reserve=duty.reserve
            ),
            on_event=self._listen,
            **options,
        )
        self._job = self.client.with_options(priority="bulk", on_event=None)

    async def run(self, begin: float) -> Seen:
        """Until its time is over."""
        await asyncio.sleep(max(0.0, begin - time.monotonic()))
        end, seen = begin + self._duty.seconds, self._seen
        numbers = count()
        workers = [self._work(end, numbers) for _ in range(CONCURRENCY if self._duty.job else 0)]
        await asyncio.gather(self._sit(end), *workers)
        seen.seconds -= begin
        seen.waits += [0.0] * (self._calls - len(seen.waits))  # who finds a free slot has no event
        return seen

    async def _sit(self, end: float) -> None:
        """Calls at random moments, half of them updates."""
        dice, calls = random.Random(self._duty.seed), list[asyncio.Task[None]]()
        while self._duty.rate:
            await asyncio.sleep(dice.expovariate(self._duty.rate))
            if time.monotonic() >= end:
                break
            self._calls += 1
            calls.append(asyncio.create_task(self._call(self.client, self._calls)))
        await asyncio.gather(*calls)

    async def _work(self, end: float, numbers: "count[int]") -> None:
        for number in numbers:
            if time.monotonic() >= end:
                break
            await self._call(self._job, number)
            if (now := time.monotonic()) < end:
                self._seen.rows, self._seen.seconds = self._seen.rows + 1, now
                self._seen.reserves.append(self._job.quota.reserve)

    async def _call(self, client: LeadConnector, number: int) -> None:
        event_id = self._duty.place.event_ids[number % len(self._duty.place.event_ids)]
        try:
            if number % 2:
                await client.update_appointment(event_id, AppointmentUpdate(title=f"Visit {number}"))
            else:
                await client.get_appointment(event_id)
        except LeadConnectorError as error:
            self._seen.failed.append(repr(error))

    def _listen(self, event: Event) -> None:
        if isinstance(event, SlotAcquired):
            self._seen.waits.append(event.seconds)


async def run_duties(duties: list[Duty]) -> None:
    async with AsyncExitStack() as stack:
        opened: dict[str, object] = {}
        for url in {duty.shared for duty in duties} - {None}:
            from leadconnector_async.shared import Shared

            opened[str(url)] = await stack.enter_async_context(Shared(str(url), allow_plaintext=True))
        desks = [Desk(duty, opened.get(str(duty.shared))) for duty in duties]
        for desk in desks:
            await stack.enter_async_context(desk.client)
        write_line("ready")
        begin = float(await read_line())
        write_line(await asyncio.gather(*(desk.run(begin) for desk in desks)))


async def read_line() -> bytes:
    return await asyncio.to_thread(sys.stdin.buffer.readline)


def write_line(content: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(content) + b"\n")
    sys.stdout.buffer.flush()


async def main() -> None:
    while line := await read_line():
        await run_duties(msgspec.json.decode(line, type=list[Duty]))


if __name__ == "__main__":
    asyncio.run(main())
