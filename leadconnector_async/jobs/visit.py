"""What a worker does with a location that it has taken: prepare it or run it, depending on the phase of the job."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from .control import keep_hours
from .run.runner import Runner
from .states import Stopped
from .unit import ClientFor, Fence, OpenJob, prepare_location, run_location


class Closed(Struct, frozen=True):
    """It is outside of the hours of the job."""

    opens_at: float
    """Seconds since the epoch."""


VisitEnd: TypeAlias = Literal["ended", "open"] | Closed | Stopped
"""No open rows remain; or work remains for the next worker, now or later; or why the location is stopped."""


async def visit_location(job: OpenJob, fence: Fence, client_for: ClientFor, runner: Runner, phase: str) -> VisitEnd:
    """Prepare or run a location; returns early if the runner stops, or if the job is paused or cancelled.

    Raises `JournalError`, and `FenceLostError` if another worker has taken the location. Nothing is sent outside of
    the hours of the job.
    """
    with keep_hours(job.control):
        return await _visit_in_hours(job, fence, client_for, runner, phase)


async def _visit_in_hours(
    job: OpenJob, fence: Fence, client_for: ClientFor, runner: Runner, phase: str
) -> VisitEnd:
    if (closed := _find_closed(job, phase)) is not None:
        return closed
    interrupted = not runner.is_open

    def note() -> None:
        nonlocal interrupted
        interrupted = interrupted or not runner.is_open

    with job.control.obeyed_by(note):
        end = await _visit(job, fence, client_for, runner, phase)
    await job.writer.flush()
    if end == "open" and (closed := _find_closed(job, phase)) is not None:
        return closed
    if end == "open" and phase == "running" and not interrupted:
        return Stopped("internal", "the run ended although rows are still open", fence.location)
    return end


def _find_closed(job: OpenJob, phase: str) -> Closed | None:
    """Whether nothing may be sent, although the job is to run; outside of its hours, it can be prepared."""
    opens_at = job.control.opens_at
    return Closed(opens_at) if opens_at is not None and phase == "running" and job.control.wanted == "run" else None


async def _visit(job: OpenJob, fence: Fence, client_for: ClientFor, runner: Runner, phase: str) -> VisitEnd:
    location = fence.location
    if phase == "preparing":
        stopped = await runner.read(prepare_location(job, location, fence, client_for))
        if job.control.wanted != "cancel":
            return stopped or "open"
    end = await run_location(job, location, fence, client_for, runner)
    return end.stopped or ("ended" if end.finished else "open")
