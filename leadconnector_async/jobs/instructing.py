"""Pauses, resumes or cancels a job, or changes its rate, from any process.

For the job of a folder, this uses a second connection to its journal: the lock decides who runs the job, not who
may write to its row.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from .._system.files import close_lock
from .._validation.text import escape
from ..exceptions import ConfigurationError
from .claim import Held
from .journal import leases
from .journal.database import JOURNAL, SQLiteJournal
from .journal.folder import FolderInUseError, enter, is_in_use, open_to_write
from .journal.groups import Hold
from .journal.instructions import Wanted, change_wanted, doubt_sent, list_open, set_rate, skip_open, want
from .journal.phases import end_cancelled
from .journal.protocol import Journal

T = TypeVar("T")


def write_wanted(folder: str, wanted: Wanted) -> bool:
    """Tell the process that runs the job of a folder what to do; returns whether that is new. Blocks.

    A job that no process runs can only be cancelled; rows that may have been sent then become `unknown`. Raises
    `ConfigurationError` for anything else, and `JournalError` if there is no job.
    """
    tell = partial(change_wanted, wanted, folder)
    if wanted == "cancel":
        return _write_anyhow(folder, tell, _cancel)
    if is_in_use(folder):
        return write_beside(folder, tell)
    raise describe_idle(folder)


def write_rate(folder: str, rate: float | None) -> None:
    """Change the rate of the job of a folder, for this run and later ones. Blocks."""
    _write_anyhow(folder, partial(set_rate, rate), partial(set_rate, rate))


def write_beside(folder: str, work: Callable[[Journal], T]) -> T:
    """Write to the row of a folder's job, whether or not a process runs it: whoever runs it next obeys."""
    return _write(open_to_write, folder, work)


def describe_idle(name: str) -> ConfigurationError:
    """Explain that no process runs the job, so that it cannot be paused or resumed."""
    shown = escape(name)
    return ConfigurationError(f"Nobody runs {shown}; leadconnector resume {shown} runs it here")


def cancel_held(held: Held, now: float, journal: Journal) -> None:
    """Skip the open rows of the locations that this process holds. `now`: in seconds since the epoch."""
    for location, one in held.items():
        hold = Hold(one.job, location, one.epoch)
        view = journal.at(hold)
        doubt_sent(view)
        skip_open(now, view)
        leases.end_location(hold, journal)
    end_cancelled(now, journal)


def _write(open_journal: Callable[[str], Journal], folder: str, work: Callable[[Journal], T]) -> T:
    journal = open_journal(folder)
    try:
        return work(journal)
    finally:
        journal.close()


def _write_anyhow(folder: str, beside: Callable[[Journal], T], alone: Callable[[Journal], T]) -> T:
    """Write `beside` a process that works on the job, or `alone`, with its lock."""
    while not is_in_use(folder):
        with suppress(FolderInUseError):  # it was taken in the meantime
            return _write_alone(folder, alone)
    return write_beside(folder, beside)


def _write_alone(folder: str, work: Callable[[Journal], T]) -> T:
    lock = enter(folder, new=False)
    try:
        return _write(lambda path: SQLiteJournal.open(os.path.join(path, JOURNAL)), folder, work)
    finally:
        close_lock(lock)


def _cancel(journal: Journal) -> bool:
    """Skip all open rows; returns whether there were any."""
    locations = list_open(journal)
    for location in locations:
        doubt_sent(journal.at(journal.hold.of(location)))
        skip_open(time.time(), journal.at(journal.hold.of(location)))
    want("run", journal)
    return bool(locations)
