"""Control of a job: any process writes what it should do to its row, and the processes that run it read that.

Also the phase that the job of a folder shows in that row, and the rows of a cancelled job.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct, structs

from ..._validation.text import escape
from ...exceptions import JobConflictError
from ..states import OPEN, JobOptions, Stopped
from .columns import clean
from .facts import Count, Text, describe_removed, get_fact, set_fact
from .phases import decode_options, read_options
from .protocol import Journal
from .rows import recount
from .tables import SENT, TO_READ, TO_SEND, render_states

Wanted: TypeAlias = Literal["run", "pause", "cancel"]
"""What the row of a job says that it should do."""

CANCELLED: Final = "cancelled"
"""The reason of rows that were open when their job was cancelled."""
STRANDED: Final = "its appointment was moved out of the way first, and was not moved back"
_READ: Final = "SELECT wanted FROM jobs WHERE id = ?"
_WANT: Final = "UPDATE jobs SET wanted = ? WHERE id = ?"
_CHANGE: Final = "UPDATE jobs SET wanted = ? WHERE id = ? AND wanted <> ? AND wanted <> 'cancel'"
_SWAP_OPTIONS: Final = "UPDATE facts SET value = ? WHERE job = ? AND name = 'options' AND value = ?"
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


class Instructions(Struct, frozen=True):
    """What the row of a job says that it should do."""

    wanted: Wanted
    rate: float | None
    """Rows per second and location."""


class _Wanted(Struct, frozen=True, array_like=True):
    wanted: Wanted


def read_instructions(journal: Journal) -> Instructions:
    """Read what the job should do."""
    found = journal.read_one(_Wanted, _READ, (journal.hold.job,))
    return Instructions("run" if found is None else found.wanted, read_options(journal).rate)


def want(wanted: Wanted, journal: Journal) -> None:
    """Set whether the job should run, pause or be cancelled."""
    journal.write(_WANT, (wanted, journal.hold.job))


def change_wanted(wanted: Wanted, name: str, journal: Journal) -> bool:
    """Like `want`, but raises `JobConflictError` if the job is being cancelled; returns whether it changed.

    One statement, so that no other process can cancel the job in the meantime; no lock is held before or after it.
    Raises `JobNotFoundError` if the job was purged.
    """
    while not journal.write(_CHANGE, (wanted, journal.hold.job, wanted)):
        found = journal.read_one(_Wanted, _READ, (journal.hold.job,))
        if found is None:
            raise describe_removed()
        if found.wanted == wanted:
            return False
        if found.wanted == "cancel":
            raise JobConflictError(f"{escape(name)} is being cancelled")
    return True


def set_rate(rate: float | None, journal: Journal) -> None:
    """Set the maximum rate, or none. It is kept when another process resumes the job."""
    while True:
        known = _read_known(journal)
        with journal.commit():
            if _swap_options(known, structs.replace(decode_options(known), rate=rate), journal):
                journal.write(_SET_RATE, (rate, journal.hold.job))
                return


def leave_out_refused(journal: Journal) -> None:
    """Let the job run without its refused rows."""
    is_written = False
    while not is_written:
        known = _read_known(journal)
        options = structs.replace(decode_options(known), skip_refused=True)
        is_written = _swap_options(known, options, journal)


def _read_known(journal: Journal) -> str | None:
    """Read the options, as they are stored. Raises `JobNotFoundError` if the job was purged."""
    known = get_fact("options", journal)
    if known is None and journal.read_one(_Wanted, _READ, (journal.hold.job,)) is None:
        raise describe_removed()
    return known


def _swap_options(known: str | None, options: JobOptions, journal: Journal) -> bool:
    """Write the options, unless another process has changed the known ones; returns whether they were written."""
    text = msgspec.json.encode(options).decode()
    if known is None:
        set_fact("options", text, journal)
        return True
    return journal.write(_SWAP_OPTIONS, (text, journal.hold.job, known)) == 1


def forget_pause(journal: Journal) -> None:
    """Clear a pause when another process opens the job: the one that was paused is gone."""
    journal.write(_FORGET_PAUSE, (journal.hold.job,))


def begin_run(journal: Journal) -> Instructions:
    """Record that the job of a folder is preparing; returns what it should do."""
    with journal.commit():
        journal.write(_BEGIN, (journal.hold.job,))
        forget_stops(journal)
    return read_instructions(journal)


def forget_stops(journal: Journal) -> None:
    """Forget why locations of the job were stopped."""
    journal.write(_FORGET_STOPS, (journal.hold.job,))


def start_sending(now: float, journal: Journal) -> None:
    """Record that the job of a folder is running: rows may be sent now. `now`: seconds since the epoch."""
    journal.write(_START, (now, journal.hold.job))


def refuse_run(journal: Journal) -> None:
    """Record that the job of a folder is refused: some rows cannot be carried out, so nothing is sent."""
    journal.write(_REFUSE, (journal.hold.job,))


def end_run(stopped: Iterable[Stopped], remaining: int, now: float, journal: Journal) -> None:
    """Record that the run of a folder's job has ended, with this many open rows. `now`: seconds since the epoch."""
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
    """Mark the rows of the location that may have been sent as `unknown`."""
    with journal.commit():
        journal.write(_DOUBT, _name_location(journal))
        recount(journal)


def list_open(journal: Journal) -> list[str]:
    """List the locations with rows that were not sent or whose outcome is unknown."""
    return [one.text for one in journal.read(Text, _LIST_OPEN, (journal.hold.job,))]


def has_open(journal: Journal) -> bool:
    """Whether the location, which is prepared, has rows to send or with an unknown outcome."""
    return journal.read_one(Count, _HAS_OPEN, _name_location(journal)) is not None


def skip_open(now: float, journal: Journal) -> None:
    """Skip the rows of the location that were not sent. `now`: seconds since the epoch."""
    with journal.commit():
        journal.write(_STRAND, (now, *_name_location(journal), *_name_location(journal)), in_steps=True)
        journal.write(_SKIP, (now, *_name_location(journal)), in_steps=True)
        recount(journal)


def _name_location(journal: Journal) -> tuple[int, str]:
    return journal.hold.job, journal.hold.location
