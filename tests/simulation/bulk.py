"""Jobs in virtual time: their journal is written at once, and the clock on the wall is the loop's."""

import asyncio
import random
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from unittest import mock

from msgspec import Struct

from leadconnector_async import AppointmentUpdate, LeadConnector
from leadconnector_async._limiter.reserve import follow_demand
from leadconnector_async.jobs import BulkJob, JobOptions, JobProgress, JobSummary, PlanRow, RowOutcome
from leadconnector_async.sandbox import BookedAppointment, Limits

from .world import Latency, World, usual

T = TypeVar("T")
ROUND_TRIP = 0.1
"""Seconds, of the usual latency."""
EARLY = 400.0
YEAR = timedelta(weeks=52)


class Inline(Executor):
    """Runs at once, in the thread that asks."""

    def submit(self, fn: Callable[..., T], /, *args: object, **kwargs: object) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class Hasty(sqlite3.Connection):
    """Does not wait for the disk, which takes no virtual time."""

    def executescript(self, script: str) -> sqlite3.Cursor:
        return super().executescript(script.replace("synchronous=FULL", "synchronous=OFF"))


def connect_hastily(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Hasty)


@asynccontextmanager
async def open_job(
    world: World,
    sizes: Mapping[str, int],
    *,
    concurrency: int = 16,
    client: LeadConnector | None = None,
    options: JobOptions | None = None,
    began: float | None = None,
) -> AsyncIterator[BulkJob]:
    """A job that is prepared: so many rows of each location a year later. Windows are empty again.

    `began`: the time on the wall at the loop's zero; now if omitted.
    """
    began = time.time() if began is None else began
    loop = asyncio.get_running_loop()
    folder = tempfile.mkdtemp()
    with mock.patch("time.time", side_effect=lambda: began + loop.time()):
        try:
            async with await BulkJob.create(
                Path(folder, "job"),
                client or world.connect_all(),
                list(build_plan(world, sizes)),
                options=options or JobOptions(concurrency=concurrency),
                connect=connect_hastily,
                thread=Inline(),
            ) as job:
                await job.prepare()
                await asyncio.sleep(2 * world.sandbox.limits.interval)
                yield job
        finally:
            shutil.rmtree(folder)


def build_plan(world: World, sizes: Mapping[str, int]) -> Iterable[PlanRow]:
    """The first appointments of each location, a year later."""
    line = 1
    for location, size in sizes.items():
        for event_id in world.sandbox.find_appointment_ids(location)[:size]:
            line += 1
            start = move(world.sandbox.appointment(event_id)).start_time
            yield PlanRow(line, event_id, AppointmentUpdate(start_time=start.isoformat()), location)


def move(event: BookedAppointment) -> BookedAppointment:
    """As the plan wants it."""
    was = {name: getattr(event, name) for name in event.__struct_fields__}
    return BookedAppointment(**was | {"start_time": event.start_time + YEAR, "end_time": event.end_time + YEAR})


class Neighbours(Struct):
    """What became of many locations, of which one's day is spent, one is slow and one refuses its token."""

    rows: int
    bounds: dict[str, float]
    """Seconds that no client can beat for the requests of a location, with what the reserve leaves to a job:
    windows, and in each the round trips that its requests take turns for."""
    lists: dict[str, int]
    """Requests of each location that read again what was still open."""
    summary: JobSummary
    applied: dict[str, int]
    finished: dict[str, float]
    """When each location's last row was reported."""
    refused: set[str]
    """Locations with a 429."""
    exhausted: str
    slow: str
    revoked: str

    @property
    def others(self) -> list[str]:
        return [one for one in self.finished if one not in (self.exhausted, self.slow, self.revoked)]

    @property
    def least_share(self) -> float:
        """Of its own budget, that the worst of the others has used."""
        return min(self.bounds[one] / self.finished[one] for one in self.others)


async def play_neighbours(locations: int, rows: int, most: int, spent_after: int) -> Neighbours:
    """Run a job of `rows` rows in each location, `most` requests in 10 s."""
    world = World(Limits(max_requests=most), locations=locations, appointments=rows, log_size=1_000_000)
    ids, loop = world.sandbox.location_ids, asyncio.get_running_loop()
    exhausted, slow, revoked = ids[1], ids[2], ids[3]
    world.slow_down(slow, lambda dice: 6.0)
    applied: dict[str, int] = {}
    finished: dict[str, float] = {}
    async with open_job(world, dict.fromkeys(ids, rows)) as job:
        used = sum(one.location_id == exhausted for one in world.sandbox.requests)
        world.sandbox.set_limits(exhausted, Limits(max_requests=most, daily=used + spent_after))
        world.sandbox.expire_token(world.tokens[revoked])
        world.sandbox.requests.clear()
        began = loop.time()

        def note(outcome: RowOutcome) -> None:
            location = str(outcome.location_id)
            applied[location] = applied.get(location, 0) + (outcome.state == "applied")
            finished[location] = loop.time() - began

        summary = await job.run(on_outcome=note)
    refused = {str(one.location_id) for one in world.sandbox.requests if one.status == 429}
    requests = Counter(str(one.location_id) for one in world.sandbox.requests)
    share = most - follow_demand(most, 0)
    turns = -(-share // job.options.concurrency)
    bounds = {
        one: (windows - 1) * world.sandbox.limits.interval + windows * turns * ROUND_TRIP
        for one, windows in ((one, -(-requests[one] // share)) for one in ids)
    }
    lists = {one: requests[one] - rows for one in ids}
    return Neighbours(rows, bounds, lists, summary, applied, finished, refused, exhausted, slow, revoked)


class Forecast(Struct):
    """What a job has said of its end, early on, and what was true."""

    announced: float
    true: float

    @property
    def error(self) -> float:
        return abs(self.announced - self.true) / self.true


async def play_forecast(
    most: int, sizes: Iterable[int], *, latency: Latency = usual, concurrency: int = 16, seed: int = 1
) -> Forecast:
    """The seconds left when 2 % of the rows were done, as announced then, and as they were."""
    chosen = list(sizes)
    world = World(
        Limits(max_requests=most), locations=len(chosen), appointments=max(chosen), latency=latency, seed=seed
    )
    said: list[tuple[float, float]] = []
    loop = asyncio.get_running_loop()

    def listen(progress: JobProgress) -> None:
        if not said and progress.done >= 0.02 * progress.total and progress.remaining_seconds is not None:
            said.append((loop.time(), progress.remaining_seconds))

    sizes_by_id = dict(zip(world.sandbox.location_ids, chosen, strict=True))
    async with open_job(world, sizes_by_id, concurrency=concurrency) as job:
        summary = await job.run(on_progress=listen)
        ended = loop.time()
    assert summary.counts == {"applied": sum(chosen)}
    ((at, announced),) = said
    return Forecast(announced, ended - at)


class Losses(Struct):
    """A job whose answers were lost."""

    lost: int
    summary: JobSummary
    is_as_planned: bool
    written_after_report: int
    """Writes that came after their row was reported as applied."""
    repeated: int
    """Rows whose change was applied more than once."""


async def play_losses(rows: int, share: float, seed: int = 1) -> Losses:
    """Lose the answers of a part of the writes; some as cut connections, some as errors."""
    world = World(Limits(max_requests=100), appointments=rows, log_size=10 * rows + 1000, seed=seed)
    dice, kinds = random.Random(seed), ("lose-response", "503-after-apply")
    faults = [dice.choice(kinds) if dice.random() < share else "ok" for _ in range(rows)]
    location = world.sandbox.location_id
    planned = {event.id: event for event in world.sandbox.store}
    planned |= {one: move(planned[one]) for one in world.sandbox.appointment_ids}
    reported: dict[str, float] = {}
    loop = asyncio.get_running_loop()

    def note(outcome: RowOutcome) -> None:
        if outcome.state == "applied":
            reported[outcome.event_id] = loop.time()

    async with open_job(world, {location: rows}) as job:
        world.sandbox.faults.plan("update_appointment", faults)
        summary = await job.run(on_outcome=note)
    writes = world.sandbox.requests.of("update_appointment")
    applied: dict[str, int] = {}
    for one in writes:
        applied[str(one.event_id)] = applied.get(str(one.event_id), 0) + one.applied
    return Losses(
        lost=sum(one != "ok" for one in faults),
        summary=summary,
        is_as_planned={event.id: event for event in world.sandbox.store} == planned,
        written_after_report=sum(one.at > reported.get(str(one.event_id), loop.time()) for one in writes),
        repeated=sum(times > 1 for times in applied.values()),
    )


class Days(Struct):
    """A job that takes more than the budget of a day."""

    forecast: Forecast
    """Early on the first day, of the end on the second."""
    first: JobSummary
    early: JobSummary
    """It was resumed `EARLY` seconds before the time: a budget that is back sooner is waited for."""
    last: JobSummary
    """It was resumed at the time."""
    refused: int
    """Requests beyond a budget."""


async def play_days(rows: int, budget: int) -> Days:
    """Resume a job whose day is spent after `budget` rows, when it says that it can be."""
    world = World(Limits(max_requests=100), appointments=rows)
    loop, location = asyncio.get_running_loop(), world.sandbox.location_id
    said: list[float] = []

    def listen(progress: JobProgress) -> None:
        if not said and progress.done >= 0.02 * rows and progress.remaining_seconds is not None:
            said.extend((loop.time(), progress.remaining_seconds))

    async with open_job(world, {location: rows}) as job:
        used = len(world.sandbox.requests)
        world.sandbox.set_limits(location, Limits(max_requests=100, daily=used + budget))
        first = await job.run(on_progress=listen)
        await asyncio.sleep((first.stopped[0].resume_seconds or 0.0) - EARLY)
        early = await job.run()
        await asyncio.sleep(early.stopped[0].resume_seconds or 0.0)
        last = await job.run()
        at, announced = said
        forecast = Forecast(announced, loop.time() - at)
    return Days(forecast, first, early, last, world.sandbox.requests.count_statuses()[429])
