"""The folder of a job: its files, and who may work in it.

One process at a time. What is removed is ours; anything else in the folder stays.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from ..._system.files import close_lock, is_at, is_exhausted, is_locked, open_lock, open_own, sync_folder, try_lock
from ..._validation.text import escape
from ...exceptions import ConfigurationError, JobConflictError, JobNotFoundError, JournalError
from ..plan.sources import AnyRow
from .connection import Connect
from .database import JOURNAL, SQLiteJournal, complete, load_rows, open_beside, open_file_to_read
from .facts import check_location
from .load import NewJob, load_job
from .phases import submit_new

_FILLING: Final = f"{JOURNAL}.new"
"""The journal's name until the whole plan is in it."""
_CHANGES: Final = (f"{JOURNAL}-wal", f"{JOURNAL}-journal")
"""What SQLite would apply to a new journal when it is opened, although it belongs to another one."""
_FILES: Final = (JOURNAL, *_CHANGES, f"{JOURNAL}-shm", _FILLING)
_LOCK: Final = "lock"
_PATIENCE: Final = 400
"""What the tries to lock a folder may cost in all."""
_OWNED: Final = 100
"""The cost of a try while another process owns the folder."""
_LOOKED_AT: Final = 1
"""The cost of a try while others look whether it is in use: they have the lock for a moment, or until they are
scheduled again.
"""
_PAUSE: Final = 0.01
SUMMARY: Final = "summary.json"
REPORT: Final = "report.html"
OUTCOMES: Final = ("failed.csv", "unknown.csv", "repeated.csv", SUMMARY, REPORT)
"""All that a job writes for people."""


class FolderInUseError(JournalError):
    """Another process has locked the folder."""


def remove_files(path: str) -> None:
    """Remove the files of a job, and its folder if nothing else is in it. The caller holds the lock."""
    for name in (*_FILES, _LOCK):
        with suppress(OSError):
            os.unlink(os.path.join(path, name))
    with suppress(OSError):
        os.rmdir(path)


def enter(path: str, *, new: bool) -> int:
    """Create or open the folder, and lock it against other processes."""
    check = _check_is_vacant if new else check_is_there
    check(path)
    lock = _take_lock(path)
    try:
        check(path)
        if new:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(path, _FILLING))
    except JobNotFoundError:  # it was removed in the meantime, and its folder has just been created again
        with suppress(OSError):
            os.unlink(os.path.join(path, _LOCK))
            os.rmdir(path)
        close_lock(lock)
        raise
    except BaseException:
        close_lock(lock)
        raise
    return lock


def check_is_there(path: str) -> None:
    """Raise `JobNotFoundError` if the folder has no journal."""
    if not os.path.exists(os.path.join(path, JOURNAL)):
        raise JobNotFoundError(f"There is no job in {escape(path)}.")


def _check_is_vacant(path: str) -> None:
    """No existing file is replaced, whether it belongs to a job or only has the same name."""
    if os.path.exists(os.path.join(path, JOURNAL)):
        try:
            open_file_to_read(os.path.join(path, JOURNAL)).close()
        except JournalError as error:
            hint = "move it away, or choose another folder"
            text = f"{escape(path)} contains a journal that cannot be used ({error}): {hint}."
            raise ConfigurationError(text) from error
        raise JobConflictError(f"{escape(path)} already contains a job: resume it, or choose another folder.")
    for name in _CHANGES:
        if _find_size(os.path.join(path, name)):
            raise ConfigurationError(
                f"{escape(path)} contains a file {name}, but not the journal that it belongs to: move it to that"
                " journal, delete it if that journal no longer exists, or choose another folder."
            )
    for name in OUTCOMES:
        if os.path.exists(os.path.join(path, name)):
            text = f"{escape(path)} contains a file {name}, which the job would overwrite: choose another folder."
            raise ConfigurationError(text)


def _find_size(path: str) -> int:
    """The size of a file; 0 if there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def is_in_use(path: str) -> bool:
    """Whether a process works on the job, perhaps this one. Raises `JournalError` if that cannot be told now."""
    try:
        lock = open_own(os.path.join(path, _LOCK), os.O_RDWR)
    except OSError as error:
        if is_exhausted(error):
            raise _refuse_folder(path, error) from error
        return False
    try:
        return is_locked(lock)
    finally:
        close_lock(lock)


def _take_lock(path: str) -> int:
    patience = _PATIENCE
    while patience > 0:
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
            lock = open_lock(os.path.join(path, _LOCK))
        except FileNotFoundError as error:  # its former owner removes it just now
            patience -= _OWNED
            if patience <= 0:
                raise _refuse_folder(path, error) from error
            continue
        except OSError as error:
            raise _refuse_folder(path, error) from error
        if try_lock(lock):
            if is_still_there(path, lock):
                return lock
            close_lock(lock)  # its former owner has just removed the folder
            continue
        patience -= _OWNED if is_locked(lock) else _LOOKED_AT
        close_lock(lock)
        time.sleep(_PAUSE)
    raise FolderInUseError(f"Another process is working on {escape(path)}.")


def _refuse_folder(path: str, error: OSError) -> JournalError:
    return JournalError(f"The folder {escape(path)} cannot be used ({error.strerror}).")


def is_still_there(path: str, lock: int) -> bool:
    """Whether a lock is still that of the folder: it is not once the folder was removed."""
    return is_at(os.path.join(path, _LOCK), lock)


def reopen_journal(path: str, location: str, connect: Connect | None) -> SQLiteJournal:
    """Open the journal of an existing job. Raises `ConfigurationError` if it is for another location."""
    journal = SQLiteJournal.open(os.path.join(path, JOURNAL), connect)
    try:
        check_location(path, location, journal)
    except BaseException:
        journal.close()
        raise
    return journal


def open_to_read(path: str) -> SQLiteJournal:
    """Open the journal of a job, and write nothing, also while another process runs it."""
    return _open_existing(path, open_file_to_read)


def open_to_write(path: str) -> SQLiteJournal:
    """Open the journal of a job that another process may run, to write a little."""
    return _open_existing(path, open_beside)


def _open_existing(path: str, open_file: Callable[[str], SQLiteJournal]) -> SQLiteJournal:
    check_is_there(path)
    try:
        return open_file(os.path.join(path, JOURNAL))
    except JournalError:
        check_is_there(path)  # it may have been removed in the meantime
        raise


def fill_journal(path: str, new: NewJob, connect: Connect | None, rows: Iterable[AnyRow]) -> SQLiteJournal:
    """Load a plan into a new journal. Raises `PlanError`."""
    filling = os.path.join(path, _FILLING)
    journal = SQLiteJournal.create(filling, connect)
    try:
        load_job(journal, partial(load_rows, journal), rows, new)
        if new.submitted:
            submit_new(journal)
        complete(journal)
    finally:
        journal.close()
    try:
        os.replace(filling, os.path.join(path, JOURNAL))
        sync_folder(os.path.join(path, JOURNAL))
    except OSError as error:
        raise JournalError(f"The journal in {escape(path)} could not be written ({error.strerror}).") from error
    return SQLiteJournal.open(os.path.join(path, JOURNAL), connect)
