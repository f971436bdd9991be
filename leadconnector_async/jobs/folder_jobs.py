"""A folder with the folders of jobs: what is in their journals, and which of them are due."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias, TypeVar

from .._call.emit import LOGGER
from .._validation.text import escape
from ..exceptions import JobNotFoundError, JournalError
from .journal.database import JOURNAL
from .journal.folder import is_in_use, open_to_read
from .journal.protocol import Journal
from .journal.serving import read_due, read_progress
from .journal.status import find_listed
from .listing import JobEntry, build_entry
from .places import check_name, is_name
from .polling import Polled, find_phase

_SUFFIX: Final = ".job"
_Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]
"""Inode, time and size of a journal and of what was written since the last checkpoint."""
T = TypeVar("T")


class FolderJobs:
    """The jobs of a folder. All methods block."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.failures: dict[str, str] = {}
        """Jobs that this process could not run, where that could not be written down."""
        self._seen: dict[str, tuple[_Stamp, float | None]] = {}
        """What the journals of idle jobs looked like, and when each is due: only those that change are opened."""
        self._unread: dict[str, str] = {}
        """Jobs whose journals could not be read at the last look, and why."""

    def find(self, name: str) -> str:
        """Return the folder of a job. Raises `ConfigurationError` for a name that could be a path."""
        return os.path.join(self.folder, f"{check_name(name)}{_SUFFIX}")

    def list_names(self) -> list[str]:
        """List the names of the jobs, sorted. Raises `JournalError`."""
        try:
            found = [one for one in os.listdir(self.folder) if one.endswith(_SUFFIX)]
        except OSError as error:
            raise JournalError(f"{escape(self.folder)} cannot be read ({error.strerror}).") from error
        jobs = [
            one.removesuffix(_SUFFIX) for one in found if os.path.exists(os.path.join(self.folder, one, JOURNAL))
        ]
        return sorted(name for name in jobs if is_name(name))

    def list_jobs(self, prefix: str) -> list[JobEntry]:
        """List the jobs whose names begin with `prefix`, by name; no other is read. Raises `JournalError`."""
        entries: list[JobEntry] = []
        for name in self.list_names():
            if not name.startswith(prefix):
                continue
            with suppress(JobNotFoundError):  # it was removed meanwhile
                entries.append(self._read_entry(name))
        return entries

    def read(self, name: str, work: Callable[[Journal], T]) -> T:
        """Read the journal of a job, also while it runs. Raises `JournalError`."""
        journal = open_to_read(self.find(name))
        try:
            return work(journal)
        finally:
            journal.close()

    def poll(self, name: str) -> Polled:
        """Read the progress of a job. Raises `JournalError`."""
        in_use = is_in_use(self.find(name))
        reading = self.read(name, partial(read_progress, time.time()))
        return Polled(reading, in_use, None if in_use else self.failures.get(name))

    def list_due(self, running: frozenset[str]) -> list[str]:
        """List the jobs that no process runs, and that one should. Raises `JournalError`."""
        names = self.list_names()
        self._seen = {name: self._seen[name] for name in names if name in self._seen}
        idle = [name for name in names if name not in running and name not in self.failures]
        return [name for name in idle if not is_in_use(self.find(name)) and self._is_due(name)]

    def _is_due(self, name: str) -> bool:
        stamp = _read_stamp(self.find(name))
        known = self._seen.get(name)
        if known is None or known[0] != stamp:
            try:
                due = self.read(name, read_due)
            except JournalError as error:  # perhaps only now: it is tried again
                if self._unread.get(name) != str(error):
                    self._unread[name] = str(error)
                    LOGGER.warning("the job %s is left alone for now: %s", escape(name), error)
                return False
            self._unread.pop(name, None)
            known = self._seen[name] = (stamp, due)
        return known[1] is not None and known[1] <= time.time()

    def _read_entry(self, name: str) -> JobEntry:
        polled = self.poll(name)
        job = self.read(name, find_listed)
        phase = find_phase(polled, job.rows - job.done, time.time())
        return build_entry(name, phase, job, int(bool(polled.in_use)))


def _read_stamp(path: str) -> _Stamp:
    """Return what changes with every write to the journal of a job."""
    stamps: list[tuple[int, int, int] | None] = []
    for name in (JOURNAL, f"{JOURNAL}-wal"):
        stamps.append(None)
        with suppress(OSError):
            found = os.stat(os.path.join(path, name))
            stamps[-1] = (found.st_ino, found.st_mtime_ns, found.st_size)
    return tuple(stamps)
