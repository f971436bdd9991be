"""Having a job pause, go on or end, or keep another rate, from whichever process.

The job of a folder takes wishes through a second connection to its journal: its lock says who runs it, not who may
write a wish.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from .._files import close_lock
from .._validation.text import escape
from ..exceptions import ConfigurationError
from .claim import Held
from .journal import leases
from .journal.database import JOURNAL, SQLiteJournal, open_beside
from .journal.folder import enter, is_in_use
from .journal.groups import Hold
from .journal.leases import Place
from .journal.phases import end_cancelled
from .journal.protocol import Journal
from .journal.wishes import Wanted, change_wanted, doubt_sent, list_open, set_rate, skip_open, want

T = TypeVar("T")


def write_wish(folder: str, wanted: Wanted) -> bool:
    """Have the process that runs the job of a folder do something else; returns whether that is new. Blocks.

    A job that nobody runs can only be cancelled: rows that may have been sent are `unknown` then. Raises
    `ConfigurationError` for anything else, and `JournalError` if there is no job.
    """
    if is_in_use(folder):
        return _write(open_beside, folder, lambda journal: change_wanted(wanted, folder, journal))
    if wanted == "cancel":
        return _write_alone(folder, _cancel)
    raise describe_idle(folder)


def write_rate(folder: str, rate: float | None) -> None:
    """Have the job of a folder keep another rate, whoever runs it now or later. Blocks."""
    if is_in_use(folder):
        _write(open_beside, folder, lambda journal: set_rate(rate, journal))
    else:
        _write_alone(folder, lambda journal: set_rate(rate, journal))


def describe_idle(name: str) -> ConfigurationError:
    """Why a job cannot pause or go on."""
    shown = escape(name)
    return ConfigurationError(f"Nobody runs {shown}; leadconnector resume {shown} runs it here")


def cancel_held(held: Held, now: float, journal: Journal) -> None:
    """Leave out the open rows of locations of a database's job that this process holds. `now`: of the epoch."""
    for location, one in held.items():
        view = journal.at(Hold(one.job, location, one.epoch))
        doubt_sent(view)
        skip_open(now, view)
        leases.end_location(Place(one.job, location, one.epoch), journal)
    end_cancelled(now, journal)


def _write(open_journal: Callable[[str], Journal], folder: str, work: Callable[[Journal], T]) -> T:
    journal = open_journal(os.path.join(folder, JOURNAL))
    try:
        return work(journal)
    finally:
        journal.close()


def _write_alone(folder: str, work: Callable[[Journal], T]) -> T:
    lock = enter(folder, new=False)
    try:
        return _write(SQLiteJournal.open, folder, work)
    finally:
        close_lock(lock)


def _cancel(journal: Journal) -> bool:
    """Returns whether rows were open."""
    locations = list_open(journal)
    for location in locations:
        doubt_sent(journal.at(journal.hold.of(location)))
        skip_open(time.time(), journal.at(journal.hold.of(location)))
    want("run", journal)
    return bool(locations)
