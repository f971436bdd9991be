"""What a worker does with a location that it has taken, as the phase of the job says."""

from __future__ import annotations

from typing import Literal, TypeAlias

from .run.runner import Runner
from .states import Stopped
from .unit import ClientFor, Fence, OpenJob, prepare_location, run_location

VisitEnd: TypeAlias = Literal["ended", "open"] | Stopped
"""No row of it is open any more; or somebody is to go on; or why it cannot go on now."""


async def visit_location(job: OpenJob, fence: Fence, client_for: ClientFor, runner: Runner, phase: str) -> VisitEnd:
    """Do what is to be done; returns early when the runner stops, or the job is to do something else.

    Raises `JournalError`, and `FenceLostError` if somebody else has taken the location.
    """
    interrupted = not runner.is_open

    def note() -> None:
        nonlocal interrupted
        interrupted = interrupted or not runner.is_open

    with job.control.obeyed_by(note):
        end = await _visit(job, fence, client_for, runner, phase)
    await job.writer.flush()
    if end == "open" and phase == "running" and not interrupted:
        return Stopped("internal", "it has ended with rows that are still to be sent", fence.location)
    return end


async def _visit(job: OpenJob, fence: Fence, client_for: ClientFor, runner: Runner, phase: str) -> VisitEnd:
    location = fence.location
    if phase == "preparing":
        stopped = await runner.read(prepare_location(job, location, fence, client_for))
        if job.control.wanted != "cancel":
            return stopped or "open"
    end = await run_location(job, location, fence, client_for, runner)
    return end.stopped or ("ended" if end.finished else "open")
