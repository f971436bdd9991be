"""What a worker does with a location that it has taken, as the phase of the job says."""

from __future__ import annotations

from functools import partial
from typing import Final, Literal, TypeAlias

from .journal import visiting
from .run.runner import Runner
from .states import Stopped
from .unit import ClientFor, Fence, OpenJob, prepare_location, review_location, run_location

CANCELLED: Final = "the job was cancelled"

VisitEnd: TypeAlias = Literal["ended", "open"] | Stopped
"""No row of it is open any more; or somebody is to go on; or why it cannot go on now."""


async def visit_location(
    job: OpenJob, fence: Fence, client_for: ClientFor, runner: Runner, phase: str, *, is_read: bool
) -> VisitEnd:
    """Do what is to be done; returns early when the runner stops, or the job is to do something else.

    `is_read`: this process has prepared it just now. Otherwise its rows are read again: the clocks of two machines
    cannot be compared. Raises `JournalError`, and `FenceLostError` if somebody else has taken the location.
    """
    interrupted = not runner.is_open

    def note() -> None:
        nonlocal interrupted
        interrupted = interrupted or not runner.is_open

    end: VisitEnd = "open"
    with job.control.obeyed_by(note):
        if job.control.wanted == "run":
            if phase == "running" and not is_read:
                await job.writer.run(visiting.forget_readings)
            end = await _visit(job, fence, client_for, runner, phase)
        if job.control.wanted == "cancel" and runner.stopped is None:
            end = await _cancel(job, fence, client_for)
    await job.writer.flush()
    if end == "open" and phase == "running" and not interrupted:
        return Stopped("internal", "it has ended with rows that are still to be sent", fence.location)
    return end


async def _visit(job: OpenJob, fence: Fence, client_for: ClientFor, runner: Runner, phase: str) -> VisitEnd:
    location = fence.location
    stopped = await runner.read(prepare_location(job, location, fence, client_for))
    if stopped is not None or phase != "running" or not runner.is_open:
        return stopped or "open"
    await runner.read(_resolve(job, fence, client_for))
    end = await run_location(job, location, fence, client_for, runner)
    if end.stopped is None and await runner.read(_resolve(job, fence, client_for)):
        end = await run_location(job, location, fence, client_for, runner)
    if end.stopped is not None:
        return end.stopped
    return "open" if await job.writer.run(visiting.has_open) else "ended"


async def _resolve(job: OpenJob, fence: Fence, client_for: ClientFor) -> bool:
    """Read the rows back whose outcome is unknown; returns whether any row is to be sent again."""
    if not await job.writer.run(partial(visiting.begin_review, "unknown")):
        return False
    await review_location(job, fence.location, fence, client_for, "unknown", leave_unread=True)
    return await job.writer.run(visiting.resolve_unknown)


async def _cancel(job: OpenJob, fence: Fence, client_for: ClientFor) -> VisitEnd:
    """Leave out what was not sent; of the rest, the calendar says whether it was applied."""
    await job.writer.run(partial(visiting.cancel_open, CANCELLED))
    if await _resolve(job, fence, client_for):  # what was not applied would be sent again
        await job.writer.run(partial(visiting.cancel_open, CANCELLED))
    return "ended"
