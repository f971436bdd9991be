"""The progress of jobs, from the tables `jobs`, `locations` and `workers`, never from the rows of their plans.

It covers the whole job, whoever works on it, and the time to read it does not depend on the number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct, structs

from ...exceptions import ConfigurationError
from ..hours import Hours
from ..states import JobPhase, JobSummary, StopKind, Stopped
from .counts import summarize
from .facts import describe_removed, get_fact
from .instructions import Wanted
from .leases import HOURS, Beat, list_beats
from .phases import decode_options
from .protocol import Journal
from .tables import DELETED, UNDER_WAY, Phase

_LONGEST_PAUSE: Final = 600.0
"""Seconds. A location that would have to wait longer stops instead."""
_JOB: Final = """
    SELECT phase, wanted, submitted, rows, CASE WHEN began_at IS NULL THEN 0 ELSE 1 END, stop_kind, stop_reason
    FROM jobs WHERE id = ?
"""
_LOCATIONS: Final = """
    SELECT location, rows, applied, unchanged, unknown, not_changed, prepared,
        CASE WHEN worker IS NULL THEN 0 ELSE 1 END
    FROM locations WHERE job = ? ORDER BY location
"""
_PAUSES: Final = """
    SELECT location, MAX(at + seconds) FROM moments
    WHERE job = ? AND kind = 'paused' AND at > ? AND at + seconds > ?
    GROUP BY location
"""
_STOPS: Final = f"""
    SELECT stop_kind, stop_reason, NULL, NULL FROM jobs WHERE id = ? AND stop_kind IS NOT NULL
    UNION ALL
    SELECT stop_kind, stop_reason, location, resume_at FROM locations
    WHERE job = ? AND stop_kind IS NOT NULL AND stop_kind <> '{HOURS}'
"""
_SECONDS: Final = "SELECT ended_at - began_at FROM jobs WHERE id = ?"
_LIST: Final = f"""
    SELECT jobs.id, jobs.name, jobs.phase, jobs.wanted, jobs.rows,
        COALESCE(SUM(locations.applied + locations.unchanged), 0), COALESCE(SUM(locations.unknown), 0),
        COALESCE(SUM(locations.not_changed), 0), jobs.rate, COUNT(DISTINCT locations.worker),
        CASE WHEN jobs.began_at IS NULL THEN 0 ELSE 1 END, COALESCE(jobs.began_at, jobs.made_at),
        (SELECT value FROM facts WHERE facts.job = jobs.id AND facts.name = 'options')
    FROM jobs LEFT JOIN locations ON locations.job = jobs.id
    WHERE jobs.name NOT LIKE '{DELETED}%'
    GROUP BY jobs.id, jobs.name, jobs.phase, jobs.wanted, jobs.rows, jobs.rate, jobs.began_at, jobs.made_at
    ORDER BY jobs.id
"""


class JobRow(Struct, frozen=True, array_like=True):
    """The phase of a job, and what it should do."""

    phase: Phase
    wanted: Wanted
    submitted: int
    rows: int
    began: int
    stop_kind: str | None
    stop_reason: str | None


class LocationRow(Struct, frozen=True, array_like=True):
    """The progress of a location: its rows by result."""

    location: str
    rows: int
    applied: int
    unchanged: int
    unknown: int
    not_changed: int
    prepared: int
    held: int

    @property
    def done(self) -> int:
        """Rows that are finished."""
        return self.applied + self.unchanged + self.unknown + self.not_changed


class ListedJob(Struct, frozen=True, array_like=True):
    """A job in a list."""

    key: int
    name: str
    phase: Phase
    wanted: Wanted
    rows: int
    as_planned: int
    unknown: int
    not_changed: int
    rate: float | None
    workers: int
    began: int
    since: float
    options: str | None

    def find_wanted(self, now: float) -> Wanted:
        """What it should do now: outside of its hours, it is paused. `now`: seconds since the epoch."""
        return self.wanted if self.find_resume(now) is None else "pause"

    def find_resume(self, now: float) -> float | None:
        """When the job, which waits for its hours, continues; `None` if it does not. In seconds since the epoch."""
        return find_resume(self.phase, self.wanted, decode_hours(self.options), now, is_prepared=True)

    @property
    def done(self) -> int:
        """Rows that are finished."""
        return self.as_planned + self.unknown + self.not_changed


class Standing(Struct, frozen=True):
    """The progress of a job at one moment."""

    job: JobRow
    locations: list[LocationRow]
    paused: Mapping[str, float]
    """Until when locations are paused, in seconds since the epoch."""
    beats: list[Beat]
    """The heartbeats of all workers of the database, including dead ones."""
    hours: Hours | None = None
    """The hours to which the job keeps."""

    def find_resume(self, now: float) -> float | None:
        """When the job, which waits for its hours, continues; `None` if it does not. In seconds since the epoch."""
        is_prepared = all(one.prepared for one in self.locations)
        return find_resume(self.job.phase, self.job.wanted, self.hours, now, is_prepared=is_prepared)

    def find_wanted(self, now: float) -> Wanted:
        """What the job should do now: outside of its hours, it is paused."""
        return self.job.wanted if self.find_resume(now) is None else "pause"


class _Stop(Struct, frozen=True, array_like=True):
    kind: StopKind
    reason: str
    location: str | None
    resume_at: float | None


class _Seconds(Struct, frozen=True, array_like=True):
    seconds: float | None


class _Pause(Struct, frozen=True, array_like=True):
    location: str
    until: float


def read_standing(now: float, journal: Journal) -> Standing:
    """Read the progress of the job. `now`: seconds since the epoch. Raises `JobNotFoundError` if it was purged."""
    key = journal.hold.job
    job = journal.read_one(JobRow, _JOB, (key,))
    if job is None:
        raise describe_removed()
    return Standing(
        job,
        list(journal.read(LocationRow, _LOCATIONS, (key,))),
        {one.location: one.until for one in journal.read(_Pause, _PAUSES, (key, now - _LONGEST_PAUSE, now))},
        list_beats(journal),
        decode_hours(get_fact("options", journal)),
    )


def decode_hours(options: str | None) -> Hours | None:
    """The hours in the options of a job; `None` if they cannot be read: whoever runs the job says so."""
    try:
        return decode_options(options).hours
    except (msgspec.MsgspecError, ConfigurationError):
        return None


def find_resume(
    phase: Phase, wanted: Wanted, hours: Hours | None, now: float, *, is_prepared: bool
) -> float | None:
    """When a job that waits for its hours continues; `None` if it does not. In seconds since the epoch."""
    waits = wanted == "run" and (phase == "running" or (phase == "preparing" and is_prepared))
    return hours.find_opening(now) if waits and hours is not None else None


def find_phase(phase: Phase, wanted: Wanted) -> JobPhase:
    """Return the phase of a job in a database."""
    return "paused" if wanted == "pause" and phase in UNDER_WAY else phase


def find_folder_phase(phase: Phase, wanted: Wanted, began: int, remaining: int, *, in_use: bool) -> JobPhase:
    """Return the phase of a job in a folder. `in_use`: a process has it open, so the stored phase is current."""
    if not in_use:
        return "done" if not remaining else "stopped" if began else "ready"
    if phase == "ready" and wanted != "pause":
        return "running" if began else "preparing"
    return find_phase(phase, wanted)


def summarize_stops(now: float, journal: Journal) -> tuple[Stopped, ...]:
    """Read why the job or its locations stopped. `now`: seconds since the epoch."""
    key = journal.hold.job
    return tuple(
        Stopped(one.kind, one.reason, one.location or None, one.resume_at and max(0.0, one.resume_at - now))
        for one in journal.read(_Stop, _STOPS, (key, key))
    )


def summarize_end(now: float, journal: Journal) -> JobSummary:
    """Summarize the job, and why it or its locations stopped. `now`: seconds since the epoch.

    Raises `JobNotFoundError` if it was purged.
    """
    taken = journal.read_one(_Seconds, _SECONDS, (journal.hold.job,))
    if taken is None:
        raise describe_removed()
    stopped = summarize_stops(now, journal)
    return structs.replace(summarize(journal), stopped=stopped, seconds=taken.seconds or 0.0)


def list_jobs(journal: Journal) -> list[ListedJob]:
    """List all jobs of a database, in order of creation."""
    return list(journal.read(ListedJob, _LIST))
