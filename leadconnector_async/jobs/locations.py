"""All locations of a job in this process, each by itself and many at once: how a folder is worked on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Final, TypeVar

from .journal.preparing import Selection, begin, list_locations
from .journal.reviewing import begin_review, has_unknown, resolve_unknown
from .journal.rows import count_open
from .run.runner import Runner
from .states import RowOutcome, Stopped
from .unit import NO_FENCE, ClientFor, OpenJob, prepare_location, review_location, run_location

_AT_ONCE: Final = 50
"""Locations that are read at once."""
T = TypeVar("T")


async def prepare_all(
    job: OpenJob,
    client_for: ClientFor,
    on_read: Callable[[int], None],
    on_changed: Callable[[RowOutcome], None] | None = None,
) -> tuple[Stopped, ...]:
    """Prepare all locations; returns why some could not be read. `on_read` gets the number of rows read so far."""
    slots, read = asyncio.Semaphore(_AT_ONCE), 0

    def count(rows: int) -> None:
        nonlocal read
        read += rows
        on_read(read)

    async def prepare(location: str) -> Stopped | None:
        async with slots:
            return await prepare_location(job, location, NO_FENCE, client_for, on_read=count, on_changed=on_changed)

    ends = await _gather(prepare(location) for location in await job.writer.run(list_locations))
    return tuple(stopped for stopped in ends if stopped is not None)


async def run_all(job: OpenJob, client_for: ClientFor, runner: Runner) -> tuple[Stopped, ...]:
    """Carry out the open rows of all locations; returns why the job, or some of them, stopped early.

    Rows whose outcome is unknown are read back first, and once more in the end.
    """
    await runner.read(_resolve_unknown(job, client_for))
    stopped = await _run_once(job, client_for, runner)
    if not stopped and not runner.is_limited and await runner.read(_resolve_unknown(job, client_for)):
        stopped = await _run_once(job, client_for, runner)
    return stopped


async def review_all(
    job: OpenJob, client_for: ClientFor, selection: Selection, *, leave_unread: bool = False
) -> None:
    """Compare the selected rows of all locations with the calendar."""
    for location in await job.writer.run(partial(begin_review, selection)):
        await review_location(job, location, NO_FENCE, client_for, selection, leave_unread=leave_unread)


async def _run_once(job: OpenJob, client_for: ClientFor, runner: Runner) -> tuple[Stopped, ...]:
    loads = await job.writer.run(count_open)
    await job.writer.run(partial(begin, time.time()))
    runner.expect(loads)
    ends = await _gather(run_location(job, location, NO_FENCE, client_for, runner) for location in loads)
    if runner.stopped is not None:
        return (runner.stopped,)
    return tuple(end.stopped for end in ends if end.stopped is not None)


async def _resolve_unknown(job: OpenJob, client_for: ClientFor) -> bool:
    """Returns whether some rows are to be sent again."""
    if not await job.writer.run(has_unknown):
        return False
    await review_all(job, client_for, "unknown", leave_unread=True)
    return await job.writer.run(resolve_unknown)


async def _gather(units: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """Work on many locations at once. If one fails, or this is cancelled, the others end before it returns."""
    tasks = [asyncio.ensure_future(unit) for unit in units]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
