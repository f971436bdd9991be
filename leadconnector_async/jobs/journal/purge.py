"""Deletes jobs of a database, one after another, in transactions of bounded size, and never one in use.

A job is deleted completely: its plan, its readings, and its outcomes. It loses its name first, so that nobody can
run, verify or undo what a process that is killed leaves behind; the next purge deletes that.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from .facts import Text
from .protocol import Journal
from .tables import DELETED

_MOST_TOGETHER: Final = 10_000
"""How many rows one transaction deletes."""
_ENDED: Final = """
    SELECT id, name FROM jobs
    WHERE phase IN ('refused', 'stopped', 'done') AND COALESCE(ended_at, began_at, made_at) < ?
        AND NOT EXISTS (SELECT 1 FROM locations WHERE locations.job = jobs.id AND worker IS NOT NULL)
    ORDER BY id
"""
_TAKE_NAME: Final = f"""
    UPDATE jobs SET phase = 'stopped', ended_at = 0,
        name = CASE WHEN name LIKE '{DELETED}%' THEN name ELSE '{DELETED}' || id || ' ' || name END
    WHERE id = ? AND NOT EXISTS (SELECT 1 FROM locations WHERE job = ? AND worker IS NOT NULL)
"""
_FENCE: Final = "UPDATE locations SET epoch = epoch + 1, queued = 0 WHERE job = ? AND worker IS NULL"
_LOCATIONS: Final = "SELECT location FROM locations WHERE job = ?"
_ROWS: Final = f"""
    DELETE FROM rows WHERE job = ? AND location = ? AND number IN (
        SELECT number FROM rows WHERE job = ? AND location = ? LIMIT {_MOST_TOGETHER}
    )
"""
_OTHERS: Final = tuple(
    f"DELETE FROM {table} WHERE job = ?" for table in ("verdicts", "faults", "moments", "facts", "locations")
)
_JOB: Final = "DELETE FROM jobs WHERE id = ?"


class EndedJob(Struct, frozen=True, array_like=True):
    """A job that may be deleted."""

    key: int
    name: str


def list_ended(before: float, journal: Journal) -> list[EndedJob]:
    """List the jobs that ended before a time, in seconds since the epoch, and that no process works on."""
    return [EndedJob(one.key, _restore_name(one.name)) for one in journal.read(EndedJob, _ENDED, (before,))]


def remove_job(key: int, journal: Journal) -> bool:
    """Delete a job; `False` if a process works on it. If one takes it meanwhile, its next commit fails."""
    with journal.commit():
        journal.write(_FENCE, (key,))
        if not journal.write(_TAKE_NAME, (key, key)):
            return False
    for location in [one.text for one in journal.read(Text, _LOCATIONS, (key,))]:
        while journal.write(_ROWS, (key, location, key, location)) == _MOST_TOGETHER:
            pass
    with journal.commit():
        for statement in _OTHERS:
            journal.write(statement, (key,))
        journal.write(_JOB, (key,))
    return True


def _restore_name(name: str) -> str:
    """The name that a job had before it was deleted in part."""
    return name.removeprefix(DELETED).partition(" ")[2] if name.startswith(DELETED) else name
