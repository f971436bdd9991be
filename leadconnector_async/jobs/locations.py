"""Prepares, runs and reviews all locations of a job in this process, many at once: how the job of a folder runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import partial
from typing import Final, TypeVar

from ..client import LeadConnector
from .control import keep_hours, wait_while_paused
from .eta import forecast_location, stretch
from .journal.instructions import list_open, start_sending, want
from .journal.preparing import Selection, list_all_locations, list_locations
from .journal.reviewing import list_unknown
from .journal.rows import count_open
from .run.runner import Runner
from .states import RowOutcome, Stopped
from .unit import (
    ClientFor,
    LocationEnd,
    OpenJob,
    cancel_location,
    prepare_location,
    review_location,
    run_location,
)

_AT_ONCE: Final = 50
"""How many locations are read concurrently."""
T = TypeVar("T")
Prepare = Callable[[], Coroutine[object, object, tuple[Stopped, ...]]]


async def prepare_all(
    job: OpenJob,
    client_for: ClientFor,
    on_read: Callable[[int], None],
    on_changed: Callable[[RowOutcome], None] | None = None,
) -> tuple[Stopped, ...]:
    """Prepare all locations; returns why some could not be read. `on_read` gets the number of rows read so far."""
    read = 0

    def count(rows: int) -> None:
        nonlocal read
        read += rows
        on_read(read)

    def prepare(location: str) -> Coroutine[object, object, Stopped | None]:
        return prepare_location(
            job, location, job.fence_for(location), client_for, on_read=count, on_changed=on_changed
        )

    ends = await _gather(prepare, await job.writer.run(list_locations))
    return tuple(stopped for stopped in ends if stopped is not None)


async def run_all(job: OpenJob, client_for: ClientFor, runner: Runner, prepare: Prepare) -> tuple[Stopped, ...]:
    """Prepare and carry out all open rows; returns why the job, or some of its locations, stopped early.

    While the job is paused, nothing is read or sent; `prepare` is called again when it resumes. If it is cancelled,
    its open rows are skipped. Outside of its hours, it is prepared, and waits like a paused one.
    """
    with keep_hours(job.control):
        return await _run_all(job, client_for, runner, prepare)


async def _run_all(job: OpenJob, client_for: ClientFor, runner: Runner, prepare: Prepare) -> tuple[Stopped, ...]:
    control = job.control
    while True:
        interrupted = not runner.is_open

        def note() -> None:
            nonlocal interrupted
            interrupted = interrupted or not runner.is_open

        with control.obeyed_by(note):
            unread = await runner.read(prepare()) or ()
            stopped = await _run_prepared(job, client_for, runner)
        if runner.stopped is None:
            await wait_while_paused(control, lambda: runner.stopped is not None)
        if control.wanted == "cancel" and await _cancel_run(job, client_for, runner):
            return ()
        if runner.stopped is not None:
            return (*unread, runner.stopped)
        if not interrupted:
            again = {one.location_id for one in stopped}
            return (*(one for one in unread if one.location_id not in again), *stopped)


async def _cancel_run(job: OpenJob, client_for: ClientFor, runner: Runner) -> bool:
    """Cancel the job that is running, unless it is stopped first; returns whether that was done.

    Once it is, the job is to run again: `read` takes that for an interruption.
    """
    await runner.read(cancel_all(job, client_for), "cancel")
    return job.control.wanted == "run"


async def cancel_all(job: OpenJob, client_for: ClientFor | None) -> bool:
    """Skip the open rows of all locations. Without clients, rows that may have been sent are not read back."""

    def cancel(location: str) -> Coroutine[object, object, bool]:
        return cancel_location(job, location, job.fence_for(location), client_for)

    await _gather(cancel, await job.writer.run(list_open))
    await job.writer.run(partial(want, "run"))
    job.control.update("run", job.control.options)
    return True


async def review_all(job: OpenJob, client_for: ClientFor, selection: Selection) -> None:
    """Compare the selected rows of all locations with the calendar."""
    for location in await job.writer.run(list_all_locations):
        await review_location(job, location, job.fence_for(location), client_for, selection)


def forecast_all(
    job: OpenJob, find_client: Callable[[str], LeadConnector], requests: Mapping[str, int]
) -> dict[str, float | None]:
    """Estimate how long each location takes for its number of requests, in seconds."""
    options, build_load = job.control.options, job.readings.build_load
    return {
        location: stretch(
            forecast_location(build_load(location, count, find_client(location).quota, 0.0, options), options.rate),
            options.hours,
            time.time(),
        )
        for location, count in requests.items()
    }


async def _run_prepared(job: OpenJob, client_for: ClientFor, runner: Runner) -> tuple[Stopped, ...]:
    loads = dict.fromkeys(await job.writer.run(list_unknown), 0) | await job.writer.run(count_open)
    runner.expect(loads)
    if loads and runner.is_open:
        await job.writer.run(partial(start_sending, time.time()))

    def run(location: str) -> Coroutine[object, object, LocationEnd]:
        return run_location(job, location, job.fence_for(location), client_for, runner)

    ends = await _gather(run, loads, at_once=max(1, len(loads)))
    return tuple(end.stopped for end in ends if end.stopped is not None)


async def _gather(
    work: Callable[[str], Coroutine[object, object, T]], locations: Collection[str], at_once: int = _AT_ONCE
) -> list[T]:
    """Work on many locations. If one fails, or this is cancelled, the others end before it returns."""
    slots = asyncio.Semaphore(at_once)

    async def take_turn(location: str) -> T:
        async with slots:
            return await work(location)

    tasks = [asyncio.ensure_future(take_turn(location)) for location in locations]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
