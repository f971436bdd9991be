"""Reads the state of a job from its journal, without writing or locking, also while others run it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ..states import JobPhase, JobSummary, RowState
from .counts import count_by_location, find_last_change
from .facts import describe_removed
from .progress import ListedJob, list_jobs, summarize_end
from .protocol import Journal


class JobStatus(Struct, frozen=True, kw_only=True):
    """The state of a job."""

    summary: JobSummary
    """The rows of the whole job."""
    by_location: Mapping[str, Mapping[RowState, int]]
    """The number of rows in each state, by location."""
    last_change: float | None
    """When the last row got its outcome, in seconds since the epoch; `None` if none has.

    Rows in state `sent` have no response yet, and may have been applied.
    """
    phase: JobPhase = "ready"
    """What the job is doing."""
    workers: int = 0
    """How many processes work on it now."""
    resume_at: float | None = None
    """When a job that is `paused` outside of its hours continues by itself, in seconds since the epoch."""


def build_status(phase: JobPhase, workers: int, resume_at: float | None, now: float, journal: Journal) -> JobStatus:
    """Build the status of a job. `now`: seconds since the epoch."""
    return JobStatus(
        summary=summarize_end(now, journal),
        by_location=count_by_location(journal),
        last_change=find_last_change(journal),
        phase=phase,
        workers=workers,
        resume_at=resume_at,
    )


def find_listed(journal: Journal) -> ListedJob:
    """Return the entry of a journal's job in a list. Raises `JobNotFoundError` if it was purged."""
    for one in list_jobs(journal):
        if one.key == journal.hold.job:
            return one
    raise describe_removed()
