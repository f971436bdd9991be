"""Lists jobs, reads their status, and purges jobs that have ended, without opening them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import timedelta

from .._model import Model
from .._secret import Secret, conceal
from .._sharing.url import StoreAddress
from .._validation.settings import check_kind, check_path
from .._validation.text import escape
from ..exceptions import JobNotFoundError, JournalError
from .journal import progress, purge
from .journal.database import JOURNAL
from .journal.folder import is_in_use, open_to_read
from .journal.progress import ListedJob, find_folder_phase, find_phase
from .journal.protocol import Journal
from .journal.status import JobStatus, build_status, find_listed
from .opening import load_driver
from .places import UNDO, FolderPlace, conceal_place, parse_database, parse_place
from .states import JobPhase


class JobEntry(Model, frozen=True, kw_only=True):
    """A job in a list."""

    name: str
    """What commands and `BulkJob.open` take: a folder, or a URL with `#NAME`."""
    phase: JobPhase
    """What the job is doing."""
    rows: int
    """All rows."""
    done: int
    """Rows that are finished, whatever their outcome."""
    failed: int
    """Rows that failed, were skipped or refused."""
    unknown: int
    """Rows that may or may not have been changed."""
    rate: float | None
    """The maximum of rows per second and location; `None`: no maximum."""
    workers: int
    """Processes that work on it now."""
    since: float
    """When its first row was sent, or, before that, when it was created; in seconds since the epoch."""


def list_jobs(place: str | os.PathLike[str] = ".", *, allow_plaintext: bool = False) -> list[JobEntry]:
    """List the jobs of a database, in the order in which they were created; or those in a folder, by name.

    `place` is a folder, or `postgresql://HOST/DATABASE`; `allow_plaintext` permits an unencrypted connection. For a
    folder of jobs, undo jobs are listed too; for the folder of a job, only that job. The time it takes does not
    depend on the size of the jobs, and running jobs are not disturbed. Raises `JournalError` if a journal cannot be
    read.
    """
    given = conceal_place(place)
    del place
    if isinstance(given, Secret):
        return _list_database(parse_database(given, allow_plaintext=allow_plaintext))
    path = check_path("place", given)
    if os.path.exists(os.path.join(path, JOURNAL)):
        return [_read_entry(path)]
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        raise JournalError(f"{escape(path)} cannot be read ({error.strerror}).") from error
    above = "" if path == os.curdir else path
    inside = [os.path.join(above, name) for name in names]
    folders = [folder for one in inside for folder in (one, os.path.join(one, UNDO))]
    entries: list[JobEntry] = []
    for folder in folders:
        with suppress(JobNotFoundError):  # or it was removed meanwhile
            entries.append(_read_entry(folder))
    return entries


def read_status(place: str | os.PathLike[str], *, allow_plaintext: bool = False) -> JobStatus:
    """Read the state of a job, also while others run it. Raises `JournalError` if there is none.

    `place` and `allow_plaintext` are those of `BulkJob.open`.
    """
    given = conceal_place(place)
    del place
    found = parse_place(given, allow_plaintext=allow_plaintext)
    if isinstance(found, FolderPlace):
        in_use, journal = is_in_use(found.folder), _open_folder(found.folder)
    else:
        in_use, journal = False, load_driver(found.address).open(found.address, found.job, None)
    try:
        job, now = find_listed(journal), time.time()
        wanted = job.find_wanted(now)
        if isinstance(found, FolderPlace):
            phase = find_folder_phase(job.phase, wanted, job.began, job.rows - job.done, in_use=in_use)
        else:
            phase = find_phase(job.phase, wanted)
        resume_at = job.find_resume(now) if phase == "paused" else None
        return build_status(phase, job.workers or int(in_use), resume_at, now, journal)
    finally:
        journal.close()


def _open_folder(folder: str) -> Journal:
    return open_to_read(folder)


def purge_jobs(url: str, older_than: timedelta, *, allow_plaintext: bool = False) -> list[str]:
    """Delete the jobs of a database that ended at least `older_than` ago, with their rows; returns their names.

    `url` is `postgresql://HOST/DATABASE`; `allow_plaintext` permits an unencrypted connection. Jobs that have not
    ended are kept, whatever their age. Raises `JournalError` if the database fails.
    """
    given = conceal(url)
    del url
    address = parse_database(given, allow_plaintext=allow_plaintext)
    check_kind("older_than", older_than, timedelta)
    journal = load_driver(address).open_all(address, None)
    try:
        ended = purge.list_ended(time.time() - older_than.total_seconds(), journal)
        return [f"{address.shown}#{one.name}" for one in ended if purge.remove_job(one.key, journal)]
    finally:
        journal.close()


def _list_database(address: StoreAddress) -> list[JobEntry]:
    journal = load_driver(address).open_all(address, None)
    try:
        found = progress.list_jobs(journal)
    finally:
        journal.close()
    now = time.time()
    return [
        build_entry(f"{address.shown}#{job.name}", find_phase(job.phase, job.find_wanted(now)), job, job.workers)
        for job in found
    ]


def build_entry(name: str, phase: JobPhase, job: ListedJob, workers: int) -> JobEntry:
    """Build the entry of a job in a list."""
    return JobEntry(
        name=name,
        phase=phase,
        rows=job.rows,
        done=job.done,
        failed=job.not_changed,
        unknown=job.unknown,
        rate=job.rate,
        workers=workers,
        since=job.since,
    )


def _read_entry(folder: str) -> JobEntry:
    in_use = is_in_use(folder)
    journal = open_to_read(folder)
    try:
        [job] = progress.list_jobs(journal)
    finally:
        journal.close()
    wanted = job.find_wanted(time.time())
    phase = find_folder_phase(job.phase, wanted, job.began, job.rows - job.done, in_use=in_use)
    return build_entry(folder, phase, job, int(in_use))
