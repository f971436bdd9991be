"""The folder of a job: its files, and who may work in it.

Rule: one process at a time. What is removed is ours; anything else in the folder stays.

Knows the journal. Must not import the client.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import msgspec

from .._file_lock import close_lock, open_lock, try_lock
from ..exceptions import ConfigurationError, JournalError, RowFault
from .intake import take_in
from .journal import JOURNAL, Connect, Journal
from .rows import PlanRow
from .states import JobOptions

_JOURNAL_FILES: Final = (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm")
_LOCK: Final = "lock"


def remove_files(path: str) -> None:
    """Remove the files of a job, and its folder if nothing else is in it."""
    for name in (*_JOURNAL_FILES, _LOCK):
        with suppress(OSError):
            os.unlink(os.path.join(path, name))
    with suppress(OSError):
        os.rmdir(path)


def enter(path: str, *, new: bool) -> int:
    """Make or enter the folder, and keep other processes out of it."""
    exists = os.path.exists(os.path.join(path, JOURNAL))
    if not new and not exists:
        raise JournalError(f"There is no job in {path}.")
    if new and exists:
        with suppress(JournalError):
            Journal.open(os.path.join(path, JOURNAL)).close()
            raise ConfigurationError(f"{path} holds a job already: resume it, or give another folder.")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        lock = open_lock(os.path.join(path, _LOCK))
    except OSError as error:
        raise JournalError(f"The folder {path} cannot be used ({error.strerror}).") from error
    if not try_lock(lock):
        close_lock(lock)
        raise JournalError(f"Another process works on {path}.")
    if new:
        for name in _JOURNAL_FILES:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(path, name))
    return lock


def reopen_journal(path: str, location: str, connect: Connect | None) -> Journal:
    """Open the journal of a job that was begun. Raises `ConfigurationError` if it is for another location."""
    journal = Journal.open(os.path.join(path, JOURNAL), connect)
    kept = journal.get_fact("location")
    if kept != location:
        journal.close()
        raise ConfigurationError(f"The job in {path} is for location {kept!r}, and the client for {location!r}.")
    return journal


def fill_journal(
    path: str, rows: Iterable[PlanRow | RowFault], location: str, options: JobOptions, connect: Connect | None
) -> Journal:
    """Take a plan into a new journal. Raises `PlanError`."""
    journal = Journal.create(os.path.join(path, JOURNAL), connect)
    try:
        take_in(journal, rows, location)
        journal.set_fact("options", msgspec.json.encode(options).decode())
        journal.set_fact("location", location)
        journal.set_fact("made_at", str(time.time()))
        journal.settle()
    except BaseException:
        journal.close()
        raise
    return journal
