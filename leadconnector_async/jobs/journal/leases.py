"""Workers and the locations that they hold: heartbeats, takeovers, and which worker has which location.

`jobs/run/lease.py` decides; this is its SQL, the same for SQLite and Postgres. Taking a location raises its epoch
(the fencing token), and every commit of rows compares it, so writes of a former owner fail. Statements that would
wait for the lock of a frozen worker skip the location until the next time (`SKIP_LOCKED`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from .columns import clean
from .groups import Hold
from .protocol import Journal
from .tables import UNDER_WAY_LIST

MOST_TRIES: Final = 10
"""A location is stopped after so many workers in a row ended without progress while they held it."""
HOURS: Final = "hours"
"""The `stop_kind` of a location that waits until the hours of its job begin: nobody is told that it has stopped."""
SKIP_LOCKED: Final = "/* skip locked */"
"""In a subquery: Postgres leaves out locked rows (`FOR NO KEY UPDATE SKIP LOCKED`); SQLite ignores it."""

_REGISTER: Final = """
    INSERT INTO workers (lease, host, pid, version, state, slots) VALUES (?, ?, ?, ?, 'working', ?) RETURNING id
"""
_BEAT: Final = """
    UPDATE workers SET beats = beats + 1, state = ?, busy = ?, seen_at = CURRENT_TIMESTAMP WHERE id = ?
"""
_BEATS: Final = "SELECT id, beats, lease FROM workers"
_BURY: Final = "DELETE FROM workers WHERE id = ? AND beats = ?"
_LEAVE: Final = "DELETE FROM workers WHERE id = ?"
_DEAD_OWNERS: Final = """
    SELECT DISTINCT worker FROM locations
    WHERE worker IS NOT NULL AND NOT EXISTS (SELECT 1 FROM workers WHERE workers.id = locations.worker)
"""
_FREE: Final = f"""
    UPDATE locations SET worker = NULL, queued = 0
    WHERE worker = ? AND (job, location) IN (
        SELECT job, location FROM locations WHERE worker = ? {SKIP_LOCKED}
    )
"""
_RETURN_ALL: Final = f"""
    UPDATE locations SET worker = NULL, queued = 0,
        tries = CASE WHEN tries = 0 OR job = ? AND location = ? THEN tries ELSE tries - 1 END
    WHERE worker = ? AND (job, location) IN (SELECT job, location FROM locations WHERE worker = ? {SKIP_LOCKED})
"""
"""What is left out is freed later: its worker is gone."""
_TO_DO: Final = f"""
    ended = 0 AND EXISTS (
        SELECT 1 FROM jobs
        WHERE jobs.id = locations.job AND jobs.submitted = 1 AND jobs.phase IN {UNDER_WAY_LIST} AND (
            jobs.wanted = 'cancel'
            OR jobs.wanted = 'run'
                AND locations.prepared = CASE WHEN jobs.phase = 'running' THEN 1 ELSE 0 END
                AND (locations.stop_kind IS NULL OR locations.resume_at <= ?)
        )
    )
"""
"""Condition: the location has work to do now. Its value is the current time, in seconds since the epoch."""
_TAKE: Final = f"""
    UPDATE locations
    SET worker = ?, epoch = epoch + 1, tries = tries + 1, queued = 0,
        stop_kind = NULL, stop_reason = NULL, resume_at = NULL
    WHERE job = ? AND location = ? AND worker IS NULL AND {_TO_DO}
        AND EXISTS (SELECT 1 FROM workers WHERE workers.id = ?)
        AND (job, location) IN (SELECT job, location FROM locations WHERE job = ? AND location = ? {SKIP_LOCKED})
    RETURNING epoch, tries
"""
_TAKE_ALL: Final = f"""
    UPDATE locations SET worker = ?, epoch = epoch + 1, tries = tries + 1, queued = 0
    WHERE job = ? AND worker IS NULL AND (job, location) IN (
        SELECT job, location FROM locations WHERE job = ? AND worker IS NULL {SKIP_LOCKED}
    )
    RETURNING job, location, epoch
"""
_HOLDERS: Final = """
    SELECT locations.location, workers.id, workers.host, workers.pid
    FROM locations JOIN workers ON workers.id = locations.worker
    WHERE locations.job = ? AND workers.id <> ? ORDER BY locations.location
"""
_STOP_LOOPING: Final = f"""
    UPDATE locations SET stop_kind = 'internal', resume_at = NULL,
        stop_reason = 'it ended {MOST_TRIES} workers in a row without progress'
    WHERE worker IS NULL AND ended = 0 AND tries >= {MOST_TRIES} AND stop_kind IS NULL AND (job, location) IN (
        SELECT job, location FROM locations
        WHERE worker IS NULL AND ended = 0 AND tries >= {MOST_TRIES} {SKIP_LOCKED}
    )
"""
_COUNT_FAILURE: Final = f"""
    UPDATE locations SET queued = 0,
        tries = CASE WHEN tries < {MOST_TRIES} THEN tries + 1 ELSE tries END,
        stop_kind = CASE WHEN tries < {MOST_TRIES - 1} THEN stop_kind ELSE 'internal' END,
        stop_reason = CASE WHEN tries < {MOST_TRIES - 1} THEN stop_reason ELSE ? END,
        resume_at = CASE WHEN tries < {MOST_TRIES - 1} THEN resume_at END
    WHERE worker IS NULL AND ended = 0 AND (job, location) IN (
        SELECT job, location FROM locations WHERE job = ? AND location = ? {SKIP_LOCKED}
    )
"""
_HAND_BACK: Final = """
    UPDATE locations SET worker = NULL, queued = 0, tries = 0 WHERE job = ? AND location = ? AND epoch = ?
"""
_END: Final = """
    UPDATE locations SET worker = NULL, queued = 0, tries = 0, ended = 1
    WHERE job = ? AND location = ? AND epoch = ?
"""
_STOP: Final = """
    UPDATE locations
    SET worker = NULL, queued = 0, tries = 0, stop_kind = ?, stop_reason = ?, resume_at = ?
    WHERE job = ? AND location = ? AND epoch = ?
"""
_UNTICKETED: Final = f"""
    SELECT job, location, epoch FROM locations
    WHERE worker IS NULL AND queued = 0 AND {_TO_DO} ORDER BY job, location LIMIT ?
"""
_TICKETED: Final = f"""
    UPDATE locations SET queued = 1
    WHERE job = ? AND location = ? AND epoch = ? AND worker IS NULL AND queued = 0
        AND (job, location) IN (SELECT job, location FROM locations WHERE job = ? AND location = ? {SKIP_LOCKED})
"""
_USED: Final = f"""
    UPDATE locations SET queued = 0 WHERE job = ? AND location = ? AND worker IS NULL AND queued = 1
        AND (job, location) IN (SELECT job, location FROM locations WHERE job = ? AND location = ? {SKIP_LOCKED})
"""
_FORGET_TICKETS: Final = f"""
    UPDATE locations SET queued = 0
    WHERE worker IS NULL AND ended = 0 AND queued = 1 AND (job, location) IN (
        SELECT job, location FROM locations WHERE worker IS NULL AND ended = 0 AND queued = 1 {SKIP_LOCKED}
    )
"""


class WorkerEntry(Struct, frozen=True):
    """What a worker writes about itself when it registers."""

    lease: float
    """Seconds."""
    host: str
    pid: int
    version: str
    slots: int
    """How many locations it works on at a time."""


class Beat(Struct, frozen=True, array_like=True):
    """The heartbeat counter of a worker."""

    worker: int
    beats: int
    lease: float
    """Seconds."""


class Taken(Struct, frozen=True, array_like=True):
    """A location was taken."""

    epoch: int
    tries: int
    """How many workers in a row have taken it, this one included, without progress so far."""


class Holder(Struct, frozen=True, array_like=True):
    """A process that holds a location."""

    location: str
    worker: int
    host: str
    pid: int


class _Id(Struct, frozen=True, array_like=True):
    id: int


def register(entry: WorkerEntry, journal: Journal) -> int:
    """Insert the row of a worker; returns its id, which is never reused."""
    with journal.commit():
        values = (entry.lease, entry.host, entry.pid, entry.version, entry.slots)
        [added] = journal.read(_Id, _REGISTER, values)
    return added.id


def beat(worker: int, state: str, busy: int, journal: Journal) -> bool:
    """Send a heartbeat; returns whether the row of the worker still existed. `busy`: locations it works on."""
    return journal.write(_BEAT, (state, busy, worker)) == 1


def list_beats(journal: Journal) -> list[Beat]:
    """List the heartbeats of all workers, including dead ones."""
    return list(journal.read(Beat, _BEATS))


def bury(dead: Beat, journal: Journal) -> bool:
    """Remove the row of a worker, unless it has beaten since; returns whether it was removed."""
    return journal.write(_BURY, (dead.worker, dead.beats)) == 1


def free_locations(journal: Journal) -> int:
    """Free the locations of workers whose rows are gone; returns how many.

    The owner is named in the statement that frees: if the location has been taken since it was looked up, the
    database compares it again, but would not look the worker up again.
    """
    owners = [one.id for one in journal.read(_Id, _DEAD_OWNERS)]
    return sum(journal.write(_FREE, (owner, owner)) for owner in owners)


def leave(worker: int, culprit: Hold | None, journal: Journal) -> None:
    """Remove a worker that shuts down, or that was cut off from the database and has ended all its requests.

    Its locations are free at once and do not count as crashes, except for the one whose statements failed first:
    if they always do, it would be taken again and again. If it could not even be taken (epoch 0), that is counted
    here. All tickets are written again, as the worker may hold some.
    """
    job, location = (None, None) if culprit is None else (culprit.job, culprit.location)
    with journal.commit():
        journal.write(_RETURN_ALL, (job, location, worker, worker))
        was_here = journal.write(_LEAVE, (worker,)) == 1
    forget_tickets(journal)
    if culprit is not None and culprit.epoch == 0 and was_here:
        count_failure(culprit, "the database reported an error", journal)


def take(job: int, location: str, worker: int, now: float, journal: Journal) -> Taken | None:
    """Take a location for a worker, if it is free and there is something to do. `now`: seconds since the epoch.

    Its ticket is used up either way.
    """
    with journal.commit():
        taken = list(journal.read(Taken, _TAKE, (worker, job, location, now, worker, job, location)))
        if not taken:
            journal.write(_USED, (job, location, job, location))
    return taken[0] if taken else None


def count_failure(hold: Hold, cause: str, journal: Journal) -> int:
    """Count that a location could not be taken, if nobody holds it; returns how many were counted: 1 or 0.

    After as many failures as crashes would take, it is stopped, and the reason shows the cause of the last one.
    """
    reason = f"{MOST_TRIES} attempts in a row to take it have failed ({clean(cause)})"
    return journal.write(_COUNT_FAILURE, (reason, hold.job, hold.location))


def take_all(job: int, worker: int, journal: Journal) -> list[Hold]:
    """Take all free locations of a job, also those without work to do."""
    with journal.commit():
        return list(journal.read(Hold, _TAKE_ALL, (worker, job, job)))


def list_holders(job: int, worker: int, journal: Journal) -> list[Holder]:
    """List the locations of a job that other workers hold."""
    return list(journal.read(Holder, _HOLDERS, (job, worker)))


def hand_back(hold: Hold, journal: Journal) -> bool:
    """Release a location with open rows; returns whether it was still held."""
    return journal.write(_HAND_BACK, (hold.job, hold.location, hold.epoch)) == 1


def end_location(hold: Hold, journal: Journal) -> bool:
    """Release a location without open rows, as ended; returns whether it was still held."""
    return journal.write(_END, (hold.job, hold.location, hold.epoch)) == 1


def stop_location(hold: Hold, kind: str, reason: str, resume_at: float | None, journal: Journal) -> bool:
    """Release a location as stopped; returns whether it was still held.

    `resume_at`: when it resumes by itself, in seconds since the epoch; `None`: only when the job is resumed.
    """
    return journal.write(_STOP, (kind, clean(reason), resume_at, hold.job, hold.location, hold.epoch)) == 1


def wait_for_hours(hold: Hold, opens_at: float, journal: Journal) -> bool:
    """Release a location until the hours of its job begin; returns whether it was still held."""
    return journal.write(_STOP, (HOURS, "", opens_at, hold.job, hold.location, hold.epoch)) == 1


def stop_looping(journal: Journal) -> int:
    """Stop locations that have crashed one worker after another; returns how many."""
    return journal.write(_STOP_LOOPING)


def list_unticketed(now: float, most: int, journal: Journal) -> list[Hold]:
    """List free locations with work to do and without a ticket. `now`: seconds since the epoch."""
    return list(journal.read(Hold, _UNTICKETED, (now, most)))


def mark_ticketed(holds: Iterable[Hold], journal: Journal) -> None:
    """Record that tickets of these locations are waiting, except those that were taken meanwhile."""
    journal.write_all(_TICKETED, [(one.job, one.location, one.epoch, one.job, one.location) for one in holds])


def forget_tickets(journal: Journal) -> int:
    """Have the tickets of all free locations written again, in case some were lost; returns how many."""
    return journal.write(_FORGET_TICKETS)
