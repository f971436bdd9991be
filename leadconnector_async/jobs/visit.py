"""What a worker does with a location that it has taken, as the phase of the job says."""

from __future__ import annotations

from typing import Literal, TypeAlias

from .journal.preparing import forget_location
from .run.runner import Runner
from .states import Stopped
from .unit import ClientFor, Fence, OpenJob, prepare_location, run_location

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

    with job.control.obeyed_by(note):
        end = await _visit(job, fence, client_for, runner, phase, is_read=is_read)
    await job.writer.flush()
    if end == "open" and phase == "running" and not interrupted:
        return Stopped("internal", "it has ended with rows that are still to be sent", fence.location)
    return end


async def _visit(
    job: OpenJob, fence: Fence, client_for: ClientFor, runner: Runner, phase: str, *, is_read: bool
) -> VisitEnd:
    location = fence.location
    if runner.is_open:
        if phase == "running" and not is_read:
            await job.hold(location, fence).run(forget_location)
        stopped = await runner.read(prepare_location(job, location, fence, client_for))
        if stopped is not None:
            return stopped
    if phase != "running" and job.control.wanted != "cancel":
        return "open"
    end = await run_location(job, location, fence, client_for, runner)
    if end.stopped is not None:
        return end.stopped
    return "ended" if end.finished else "open"
