"""What somebody wants of a job: a row that any process writes, and that those who work on the job read.

Also what a folder's job shows of itself in that row, and what becomes of the rows of a job that is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct, structs

from ..._validation.text import escape
from ...exceptions import ConfigurationError
from ..states import OPEN, JobOptions, Stopped
from .columns import clean
from .facts import Count, Text, set_fact
from .phases import read_options
from .protocol import Journal
from .rows import recount
from .tables import SENT, TO_READ, TO_SEND, render_states

Wanted: TypeAlias = Literal["run", "pause", "cancel"]

CANCELLED: Final = "cancelled"
"""The reason of rows that were open when their job was cancelled."""
STRANDED: Final = "its appointment was moved out of the way first, and was not moved back"
_READ: Final = "SELECT wanted FROM jobs WHERE id = ?"
_WANT: Final = "UPDATE jobs SET wanted = ? WHERE id = ?"
_SET_RATE: Final = "UPDATE jobs SET rate = ? WHERE id = ?"
_BEGIN: Final = """
    UPDATE jobs SET phase = 'preparing', stop_kind = NULL, stop_reason = NULL, ended_at = NULL WHERE id = ?
"""
_START: Final = "UPDATE jobs SET phase = 'running', began_at = COALESCE(began_at, ?) WHERE id = ?"
_FORGET_PAUSE: Final = "UPDATE jobs SET wanted = 'run' WHERE id = ? AND wanted = 'pause'"
_REFUSE: Final = "UPDATE jobs SET phase = 'refused' WHERE id = ?"
_END: Final = "UPDATE jobs SET phase = ?, stop_kind = ?, stop_reason = ?, ended_at = ? WHERE id = ?"
_STOP: Final = """
    UPDATE locations SET stop_kind = ?, stop_reason = ?, resume_at = ? WHERE job = ? AND location = ?
"""
_FORGET_STOPS: Final = """
    UPDATE locations SET stop_kind = NULL, stop_reason = NULL, resume_at = NULL
    WHERE job = ? AND stop_kind IS NOT NULL
"""
_DOUBT: Final = """
    UPDATE rows SET state = 'unknown', reason = 'it was in flight when the job was cancelled'
    WHERE job = ? AND location = ? AND state = 'sent'
"""
_SKIP: Final = f"""
    UPDATE rows SET state = 'skipped', reason = '{CANCELLED}', done_at = ?
    WHERE job = ? AND location = ? AND state IN {TO_READ}
"""


_STRAND: Final = f"""
    UPDATE rows SET state = 'skipped', done_at = ?, reason = '{CANCELLED}: {STRANDED}'
    WHERE job = ? AND location = ? AND parks IS NULL AND state IN {TO_READ} AND number IN (
        SELECT parks FROM rows WHERE job = ? AND location = ? AND parks IS NOT NULL AND state IN {SENT}
    )
"""


_LIST_OPEN: Final = f"SELECT DISTINCT location FROM rows WHERE job = ? AND state IN {render_states(OPEN)}"
_HAS_OPEN: Final = f"SELECT number FROM rows WHERE job = ? AND location = ? AND state IN {TO_SEND} LIMIT 1"


class Wishes(Struct, frozen=True):
    """What is wanted of a job."""

    wanted: Wanted
    rate: float | None
    """Rows per second and location."""


class _Wanted(Struct, frozen=True, array_like=True):
    wanted: Wanted


def read_wishes(journal: Journal) -> Wishes:
    """What is wanted of the job."""
    found = journal.read_one(_Wanted, _READ, (journal.hold.job,))
    return Wishes("run" if found is None else found.wanted, read_options(journal).rate)


def want(wanted: Wanted, journal: Journal) -> None:
    """Have the job run, pause or be cancelled."""
    journal.write(_WANT, (wanted, journal.hold.job))


def change_wanted(wanted: Wanted, name: str, journal: Journal) -> bool:
    """The same, unless that makes no sense; returns whether it is new. Raises `ConfigurationError`."""
    with journal.commit():
        now = read_wishes(journal).wanted
        if now == "cancel" != wanted:
            raise ConfigurationError(f"{escape(name)} is being cancelled")
        want(wanted, journal)
    return wanted != now


def set_rate(rate: float | None, journal: Journal) -> None:
    """Have the job keep another rate, or none; also when it is continued by another process."""
    with journal.commit():
        _write_options(structs.replace(read_options(journal), rate=rate), journal)
        journal.write(_SET_RATE, (rate, journal.hold.job))


def leave_out_refused(journal: Journal) -> None:
    """Run without the refused rows."""
    with journal.commit():
        _write_options(structs.replace(read_options(journal), skip_refused=True), journal)


def forget_pause(journal: Journal) -> None:
    """The process that was to pause is gone, and the job is opened by another."""
    journal.write(_FORGET_PAUSE, (journal.hold.job,))


def begin_run(journal: Journal) -> Wishes:
    """A folder's job is to run, and is prepared first; returns what is wanted of it."""
    with journal.commit():
        journal.write(_BEGIN, (journal.hold.job,))
        journal.write(_FORGET_STOPS, (journal.hold.job,))
    return read_wishes(journal)


def start_sending(now: float, journal: Journal) -> None:
    """All locations of a folder are prepared, and the first row may be sent. `now`: seconds since the epoch."""
    journal.write(_START, (now, journal.hold.job))


def refuse_run(journal: Journal) -> None:
    """Rows of a folder's job cannot be carried out, so nothing is sent."""
    journal.write(_REFUSE, (journal.hold.job,))


def end_run(stopped: Iterable[Stopped], remaining: int, now: float, journal: Journal) -> None:
    """The run of a folder's job has ended, with so many open rows. `now`: seconds since the epoch."""
    job = journal.hold.job
    whole: tuple[str | None, str | None] = (None, None)
    with journal.commit():
        for one in stopped:
            if one.location_id is None:
                whole = (one.kind, clean(one.reason))
                continue
            resume_at = None if one.resume_seconds is None else now + one.resume_seconds
            journal.write(_STOP, (one.kind, clean(one.reason), resume_at, job, one.location_id))
        journal.write(_END, ("stopped" if remaining else "done", *whole, now, job))


def doubt_sent(journal: Journal) -> None:
    """Rows of the location that may have been sent have no known outcome."""
    with journal.commit():
        journal.write(_DOUBT, _name_location(journal))
        recount(journal)


def list_open(journal: Journal) -> list[str]:
    """The locations with rows that were not sent, or have no outcome."""
    return [one.text for one in journal.read(Text, _LIST_OPEN, (journal.hold.job,))]


def has_open(journal: Journal) -> bool:
    """Whether rows of the location, which was prepared, are to be sent or have no outcome."""
    return journal.read_one(Count, _HAS_OPEN, _name_location(journal)) is not None


def skip_open(now: float, journal: Journal) -> None:
    """Leave out the rows of the location that were not sent. `now`: seconds since the epoch."""
    with journal.commit():
        journal.write(_STRAND, (now, *_name_location(journal), *_name_location(journal)), in_steps=True)
        journal.write(_SKIP, (now, *_name_location(journal)), in_steps=True)
        recount(journal)


def _name_location(journal: Journal) -> tuple[int, str]:
    return journal.hold.job, journal.hold.location


def _write_options(options: JobOptions, journal: Journal) -> None:
    set_fact("options", msgspec.json.encode(options).decode(), journal)
