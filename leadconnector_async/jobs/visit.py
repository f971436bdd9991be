"""What a worker does with a location that it has taken: prepare it or run it, depending on the phase of the job."""

from __future__ import annotations

from typing import Literal, TypeAlias

from .run.runner import Runner
from .states import Stopped
from .unit import ClientFor, Fence, OpenJob, prepare_location, run_location

VisitEnd: TypeAlias = Literal["ended", "open"] | Stopped
"""No open rows remain; or work remains for the next worker; or why the location is stopped."""


async def visit_location(job: OpenJob, fence: Fence, client_for: ClientFor, runner: Runner, phase: str) -> VisitEnd:
    """Prepare or run a location; returns early if the runner stops, or if the job is paused or cancelled.

    Raises `JournalError`, and `FenceLostError` if another worker has taken the location.
    """
    interrupted = not runner.is_open

    def note() -> None:
        nonlocal interrupted
        interrupted = interrupted or not runner.is_open

    with job.control.obeyed_by(note):
        end = await _visit(job, fence, client_for, runner, phase)
    await job.writer.flush()
    if end == "open" and phase == "running" and not interrupted:
        return Stopped("internal", "the run ended although rows are still open", fence.location)
    return end


async def _visit(job: OpenJob, fence: Fence, client_for: ClientFor, runner: Runner, phase: str) -> VisitEnd:
    location = fence.location
    if phase == "preparing":
        stopped = await runner.read(prepare_location(job, location, fence, client_for))
        if job.control.wanted != "cancel":
            return stopped or "open"
    end = await run_location(job, location, fence, client_for, runner)
    return end.stopped or ("ended" if end.finished else "open")
