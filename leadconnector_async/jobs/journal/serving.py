"""When a service runs the job of a folder by itself, and what it writes there for whoever looks next.

| the job | it is run |
| --- | --- |
| was not submitted, has ended, or was refused | never |
| is to be cancelled, or was left by a process that died or was stopped in order | at once |
| stopped because the daily budget was spent, or the server could not be reached | once that may have passed |
| stopped for any other reason | when it is resumed |
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from ..._validation.text import escape
from ...exceptions import JobConflictError, JobNotFoundError, RowFault
from ..states import StopKind, Stopped
from .columns import clean
from .counts import list_faults
from .facts import Count, Text, get_fact, set_fact
from .instructions import Wanted, change_wanted, end_run, forget_stops, leave_out_refused
from .progress import Standing, read_standing, summarize_stops
from .protocol import Journal
from .tables import UNDER_WAY, Phase

RETRY_SECONDS: Final = 60.0
"""After this time a job whose server was unreachable is tried again."""
MOST_DEATHS: Final = 10
_MOST_FAULTS: Final = 10
_AT_ONCE: Final = 0.0
_DUE: Final = "SELECT phase, wanted, submitted, stop_kind, ended_at FROM jobs WHERE id = ?"
_STOPS: Final = "SELECT stop_kind, resume_at FROM locations WHERE job = ? AND stop_kind IS NOT NULL"
_RESUME: Final = """
    UPDATE jobs SET submitted = 1, phase = 'ready', wanted = 'run', stop_kind = NULL, stop_reason = NULL,
        ended_at = NULL
    WHERE id = ?
"""
_LOCATIONS: Final = "SELECT location FROM locations WHERE job = ? ORDER BY location LIMIT 1"
_FIND: Final = "SELECT id FROM jobs WHERE name = ?"
_DEATHS: Final = "deaths"
"""A fact: how many processes in a row have died while they ran the job, and how many rows were done then."""


class DueJob(Struct, frozen=True, array_like=True):
    """The part of a job's row that says whether a service runs it."""

    phase: Phase
    wanted: Wanted
    submitted: int
    stop_kind: StopKind | None
    ended_at: float | None


class LocationStop(Struct, frozen=True, array_like=True):
    """Why a location stopped, and until when at least, in seconds since the epoch."""

    kind: StopKind
    resume_at: float | None


class Reading(Struct, frozen=True):
    """What a journal says about the progress of its job."""

    standing: Standing
    stopped: tuple[Stopped, ...]
    faults: tuple[RowFault, ...]
    due: float | None
    """When a service runs it, in seconds since the epoch; `None`: not by itself."""


class _Deaths(Struct, frozen=True, array_like=True):
    count: int = 0
    done: int = 0


def find_due(job: DueJob, stops: Iterable[LocationStop]) -> float | None:
    """When a service runs a job that no process has, in seconds since the epoch; `None`: not by itself."""
    if not job.submitted or job.phase == "done":
        return None
    if job.wanted == "cancel" or job.phase in ("ready", *UNDER_WAY):
        return _AT_ONCE
    if job.phase == "refused":
        return None
    if job.stop_kind is not None:
        return _AT_ONCE if job.stop_kind == "interrupted" else None
    ended_at = job.ended_at or _AT_ONCE
    moments = [
        ended_at + RETRY_SECONDS if one.kind == "unreachable" else one.resume_at
        for one in stops
        if one.kind in ("unreachable", "daily")
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def read_due(journal: Journal) -> float | None:
    """Read when a service runs the job."""
    key = journal.hold.job
    job = journal.read_one(DueJob, _DUE, (key,))
    return None if job is None else find_due(job, journal.read(LocationStop, _STOPS, (key,)))


def read_progress(now: float, journal: Journal) -> Reading:
    """Read the progress of the job, why it stopped, and why it was refused. `now`: seconds since the epoch."""
    standing = read_standing(now, journal)
    faults = list_faults(_MOST_FAULTS, journal)[0] if standing.job.phase == "refused" else []
    return Reading(standing, summarize_stops(now, journal), tuple(faults), read_due(journal))


def find_first_location(journal: Journal) -> str:
    """Return the location of the rows that name none, or else the first one of the job."""
    given = get_fact("location", journal)
    found = None if given else journal.read_one(Text, _LOCATIONS, (journal.hold.job,))
    return given or ("" if found is None else found.text)


def find_job(name: str, journal: Journal) -> int:
    """Return the key of a job in a database. Raises `JobNotFoundError`."""
    found = journal.read_one(Count, _FIND, (name,))
    if found is None:
        raise JobNotFoundError(f"There is no job {escape(name)}.")
    return found.number


def check_instruction(name: str, wanted: Wanted, reading: Reading, *, skip_refused: bool) -> None:
    """Raise `JobConflictError` for what cannot be wanted of the job any more."""
    job = reading.standing.job
    remaining = sum(one.rows - one.done for one in reading.standing.locations)
    unknown = sum(one.unknown for one in reading.standing.locations)
    if not remaining and not (wanted == "run" and unknown):
        raise JobConflictError(f"The job {escape(name)} has ended.")
    if job.wanted == "cancel" != wanted and job.phase not in ("stopped", "done"):
        raise JobConflictError(f"The job {escape(name)} is being cancelled.")
    if wanted == "run" and job.phase == "refused" and not skip_refused:
        raise JobConflictError(f"Rows of the job {escape(name)} were refused: resume it with skip_refused=True.")
    if wanted == "pause" and job.phase in ("refused", "stopped", "done") and reading.due is None:
        raise JobConflictError(f"The job {escape(name)} is not running.")


def change_instruction(name: str, wanted: Wanted, skip_refused: bool, journal: Journal) -> bool:
    """Change what the job of a folder should do; returns whether that is new. Raises `JobConflictError`."""
    with journal.commit():
        reading = read_progress(time.time(), journal)
        check_instruction(name, wanted, reading, skip_refused=skip_refused)
        if skip_refused:
            leave_out_refused(journal)
        if wanted == "pause" or reading.due == _AT_ONCE:
            return change_wanted(wanted, name, journal)
        _resume_stopped(journal)  # the job stopped, or was never submitted
        return wanted == "run" or change_wanted(wanted, name, journal)


def _resume_stopped(journal: Journal) -> None:
    """Have a job that stopped or was refused run again: its rows are checked anew."""
    journal.write(_RESUME, (journal.hold.job,))
    forget_stops(journal)
    set_fact(_DEATHS, _encode(_Deaths()), journal)


def record_stop(kind: StopKind, reason: str, journal: Journal) -> None:
    """Record why a run ended by an error."""
    end_run([Stopped(kind, clean(reason))], 1, time.time(), journal)


def count_death(journal: Journal) -> bool:
    """Count the process that died while it ran the job, if one did; `False` if it must not be run any more."""
    standing = read_standing(time.time(), journal)
    if standing.job.phase not in UNDER_WAY:
        return True
    done = sum(one.done for one in standing.locations)
    before = msgspec.json.decode(get_fact(_DEATHS, journal) or "[]", type=_Deaths)
    count = before.count + 1 if before.done == done else 1
    set_fact(_DEATHS, _encode(_Deaths(count, done)), journal)
    return count < MOST_DEATHS


def _encode(deaths: _Deaths) -> str:
    return msgspec.json.encode(deaths).decode()
