"""What a job should do, how far it is, and when it goes on: its row in `jobs`, and those of its locations.

A phase follows from the last by compare-and-set, so any number of workers may look at once.

| phase | what is done | it ends when |
| --- | --- | --- |
| ready | nothing: it was not submitted | it is submitted |
| preparing | locations are read and ordered | each is, or had to stop |
| refused | nothing: some rows cannot be carried out | they are left out, and it is submitted again |
| running | changes are sent | each location has ended, or had to stop |
| stopped | nothing: too many rows have failed | it is resumed |
| done | nothing | |
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import Struct, structs

from ..states import JobOptions
from .columns import clean
from .facts import Count, Text, get_fact, set_fact
from .groups import Hold
from .leases import SKIP_LOCKED
from .preparing import has_sent
from .protocol import Journal
from .tables import UNDER_WAY_LIST, Phase

StructT = TypeVar("StructT", bound=Struct)

_COLUMNS: Final = "id, name, phase, wanted, rate"
_OPEN_JOBS: Final = f"SELECT {_COLUMNS} FROM jobs WHERE phase IN {UNDER_WAY_LIST}"
_JOB: Final = f"SELECT {_COLUMNS} FROM jobs WHERE id = ?"
_IS_PREPARED: Final = """
    NOT EXISTS (
        SELECT 1 FROM locations
        WHERE locations.job = jobs.id AND ended = 0 AND prepared = 0 AND (worker IS NOT NULL OR stop_kind IS NULL)
    )
"""
_HAS_ENDED: Final = """
    NOT EXISTS (
        SELECT 1 FROM locations
        WHERE locations.job = jobs.id AND ended = 0 AND (
            jobs.wanted = 'cancel' OR worker IS NOT NULL OR stop_kind IS NULL
            OR resume_at IS NOT NULL AND prepared = 1
        )
    )
"""
"""A location that could not be prepared is left out of the run; in a cancelled job, its rows are skipped first."""
_TO_MOVE_ON: Final = f"""
    SELECT {_COLUMNS} FROM jobs
    WHERE phase = 'preparing' AND wanted <> 'cancel' AND {_IS_PREPARED}
        OR phase IN {UNDER_WAY_LIST} AND {_HAS_ENDED}
"""
_FREE: Final = f"id IN (SELECT id FROM jobs WHERE id = ? {SKIP_LOCKED})"
"""A row that somebody has locked is left for the next time: no worker waits for it."""
_RUN: Final = f"""
    UPDATE jobs SET phase = 'running', began_at = COALESCE(began_at, ?)
    WHERE {_FREE} AND phase = 'preparing' AND {_IS_PREPARED}
"""
_REFUSE: Final = f"UPDATE jobs SET phase = 'refused' WHERE {_FREE} AND phase = 'preparing' AND {_IS_PREPARED}"
_END: Final = f"""
    UPDATE jobs SET phase = 'done', ended_at = ?
    WHERE {_FREE} AND phase IN {UNDER_WAY_LIST} AND {_HAS_ENDED}
"""
_STOP: Final = f"""
    UPDATE jobs SET phase = 'stopped', stop_kind = ?, stop_reason = ?
    WHERE {_FREE} AND phase IN {UNDER_WAY_LIST}
"""
_UNFINISHED: Final = f"""
    SELECT location FROM locations JOIN jobs ON jobs.id = locations.job
    WHERE jobs.id = ? AND phase IN {UNDER_WAY_LIST} AND ended = 0 AND (
        wanted = 'cancel'
        OR prepared = CASE WHEN phase = 'running' THEN 1 ELSE 0 END
            AND (locations.stop_kind IS NULL OR resume_at IS NOT NULL)
    )
    ORDER BY location
"""
_RESULTS: Final = """
    SELECT COALESCE(SUM(unknown + not_changed), 0), COALESCE(SUM(applied + unchanged), 0)
    FROM locations WHERE job = ?
"""
_COUNTED: Final = "counted"
"""A fact: the results of a job when it was last resumed, as `Results` in JSON."""
_SUBMIT: Final = f"""
    UPDATE jobs SET submitted = 1, phase = 'preparing', wanted = 'run', stop_kind = NULL, stop_reason = NULL,
        ended_at = NULL
    WHERE id = ? AND NOT (submitted = 1 AND phase IN {UNDER_WAY_LIST})
"""
_REOPEN: Final = """
    UPDATE locations SET stop_kind = NULL, stop_reason = NULL, resume_at = NULL, tries = 0, queued = 0,
        ended = CASE WHEN rows > applied + unchanged + not_changed THEN 0 ELSE 1 END
    WHERE job = ? AND worker IS NULL
"""
"""Rows whose outcome is unknown are read back once more; a location whose rows are all finished has ended."""
_END_CANCELLED: Final = """
    UPDATE jobs SET phase = 'done', ended_at = ?, stop_kind = NULL, stop_reason = NULL
    WHERE id = ? AND wanted = 'cancel' AND phase IN ('ready', 'refused', 'stopped')
        AND NOT EXISTS (SELECT 1 FROM locations WHERE locations.job = jobs.id AND ended = 0)
"""
_HAS_FAULTS: Final = "SELECT 1 FROM faults WHERE job = ? LIMIT 1"


class JobState(Struct, frozen=True, array_like=True):
    """The part of a job's row that decides what workers do. Other programs may have written any text into it."""

    job: int
    name: str
    phase: str
    wanted: str
    rate: float | None


class Results(Struct, frozen=True, array_like=True):
    """How many rows of a job have ended in each way, over all its locations."""

    errors: int = 0
    as_planned: int = 0


def list_open(journal: Journal) -> list[JobState]:
    """List the jobs that workers have not finished."""
    return list(journal.read(JobState, _OPEN_JOBS))


def read_state(job: int, journal: Journal) -> JobState | None:
    """Read the state of one job; `None` if it does not exist."""
    return journal.read_one(JobState, _JOB, (job,))


def submit(journal: Journal) -> bool:
    """Hand a job to workers, or reopen it if it has ended with open rows; returns whether anything changed.

    Prepared locations stay prepared: a job whose locations are all prepared runs at once.
    """
    job = journal.hold.job
    with journal.commit():
        if not journal.write(_SUBMIT, (job,)):
            return False
        journal.write(_REOPEN, (job,))
        count_anew(journal)
    return True


def submit_new(journal: Journal) -> None:
    """Submit a job in the transaction that creates it."""
    journal.write(_SUBMIT, (journal.hold.job,))


def end_cancelled(now: float, journal: Journal) -> None:
    """End a cancelled job that no worker ends. `now`: seconds since the epoch."""
    if not journal.write(_END_CANCELLED, (now, journal.hold.job)):
        move_on(now, journal)


def read_options(journal: Journal) -> JobOptions:
    """Read the options of the job. Raises `msgspec.MsgspecError` if they are not valid."""
    return decode_options(get_fact("options", journal))


def decode_options(text: str | None) -> JobOptions:
    """Decode the options of a job. Raises `msgspec.MsgspecError` if they are not valid."""
    return _decode(text or "{}", JobOptions)


def read_results(journal: Journal) -> Results:
    """Count the results of the job since it was last resumed."""
    now = journal.read_one(Results, _RESULTS, (journal.hold.job,)) or Results()
    before = _decode(get_fact(_COUNTED, journal) or "[0, 0]", Results)
    return Results(now.errors - before.errors, now.as_planned - before.as_planned)


def count_anew(journal: Journal) -> None:
    """Count results from here: rows that failed before a resume do not stop the job again. Inside a commit."""
    now = journal.read_one(Results, _RESULTS, (journal.hold.job,)) or Results()
    set_fact(_COUNTED, msgspec.json.encode(now).decode(), journal)


def stop_job(job: int, kind: str, reason: str, journal: Journal) -> bool:
    """Stop a whole job; returns whether it was running."""
    return journal.write(_STOP, (kind, clean(reason), job)) == 1


def move_on(now: float, journal: Journal) -> list[JobState]:
    """Move each job to its next phase if all its locations allow it; returns those moved. `now`: of the epoch.

    Several workers may do this at once: for each job, exactly one of them succeeds.
    """
    moved: list[JobState] = []
    for state in list(journal.read(JobState, _TO_MOVE_ON)):
        try:
            phase = _move(state, now, journal.at(Hold(state.job)))
        except msgspec.MsgspecError:
            phase = "stopped" if stop_job(state.job, "internal", "its options cannot be read", journal) else None
        if phase is not None:
            moved.append(structs.replace(state, phase=phase))
    return moved


def _move(state: JobState, now: float, journal: Journal) -> Phase | None:
    """Move one job; returns its new phase, or `None` if it was not moved by this worker."""
    with journal.commit():
        if journal.write(_END, (now, state.job)):
            return "done"
        if state.phase != "preparing" or state.wanted == "cancel":
            return None
        if _is_refused(journal):
            return "refused" if journal.write(_REFUSE, (state.job,)) else None
        return "running" if journal.write(_RUN, (now, state.job)) else None


def _is_refused(journal: Journal) -> bool:
    """Whether refused rows keep the job from running: they do, unless the job is to run without them."""
    has_faults = journal.read_one(Count, _HAS_FAULTS, (journal.hold.job,)) is not None
    return has_faults and not read_options(journal).skip_refused and not has_sent(journal)


def list_unfinished(now: float, journal: Journal) -> list[str]:
    """List the locations with work left in the current phase of the job, including those that workers hold.

    If there are none, the job is first moved to its next phase. `now`: seconds since the epoch.
    """
    move_on(now, journal)
    return [one.text for one in journal.read(Text, _UNFINISHED, (journal.hold.job,))]


def _decode(content: str, kind: type[StructT]) -> StructT:
    """Decode JSON of a table that other programs may have written to."""
    try:
        return msgspec.json.decode(content, type=kind)
    except RecursionError as error:
        raise msgspec.DecodeError("it is nested too deeply") from error
