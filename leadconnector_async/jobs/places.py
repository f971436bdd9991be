"""What names a job: a folder of this machine, or `postgresql://HOST/DATABASE#NAME` for one of many machines."""

from __future__ import annotations

import asyncio
import os
import re
from concurrent.futures import Executor
from functools import partial
from typing import Final, TypeAlias

from msgspec import Struct

from .._files import close_lock
from .._secret import Masked, Secret, conceal
from .._sharing.url import StoreAddress, parse_address
from .._validation.settings import check_path
from .._validation.text import escape
from ..exceptions import ConfigurationError, JournalError
from .journal import progress
from .journal.connection import Connect
from .journal.database import JOURNAL
from .journal.folder import enter, fill_journal, is_in_use, open_to_read, remove_files, reopen_journal
from .journal.phases import read_options
from .journal.protocol import Journal
from .journal.wishes import forget_pause
from .plan.sources import RowSource, hand_over
from .states import JobOptions, JobPhase

UNDO: Final = "undo"
"""The folder of the undo inside a job's folder, and what its name ends with in a database."""
_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_NAME: Final = re.compile(rf"[A-Za-z0-9._-]{{1,64}}?(?:\.{UNDO}){{0,3}}")
"""Whatever its length, a job can be undone; so can its undo."""


class FolderPlace(Struct, frozen=True):
    """A job in a folder: one process at a time runs it."""

    folder: str

    @property
    def name(self) -> str:
        """What messages call the job."""
        return self.folder

    @property
    def title(self) -> str:
        """What reports call the job."""
        return os.path.basename(os.path.abspath(self.folder))

    def find_undo(self) -> FolderPlace:
        """The place of the job that undoes this one."""
        return FolderPlace(os.path.join(self.folder, UNDO))


class DatabasePlace(Masked, Struct, frozen=True):
    """A job in Postgres: any number of workers run it."""

    address: StoreAddress
    job: str

    @property
    def name(self) -> str:
        """What messages call the job: the URL without user, password and options, and the name."""
        return f"{self.address.shown}#{self.job}"

    @property
    def title(self) -> str:
        """What reports call the job."""
        return self.job

    def find_undo(self) -> DatabasePlace:
        """The place of the job that undoes this one."""
        return DatabasePlace(self.address, check_name(f"{self.job}.{UNDO}"))


Place: TypeAlias = FolderPlace | DatabasePlace


def is_url(place: object) -> bool:
    """Whether this names a database, not a folder."""
    return isinstance(place, str) and _URL.match(place) is not None


def parse_place(place: str | os.PathLike[str], *, allow_plaintext: bool = False) -> Place:
    """Read what names a job. Raises `ConfigurationError`, which shows no password."""
    if not is_url(place):
        return FolderPlace(check_path("place", place))
    given = conceal(place)
    del place
    url, has_name, name = _split(given)
    address = _parse_database(url, allow_plaintext=allow_plaintext)
    if not has_name or not name:
        raise ConfigurationError(f"{address.shown} names no job; write {address.shown}#NAME")
    return DatabasePlace(address, check_name(name))


def parse_database(url: str, *, allow_plaintext: bool = False) -> StoreAddress:
    """Read the URL of a database with jobs, without the name of one. Raises `ConfigurationError`."""
    given = conceal(url)
    del url
    found, has_name, _ = _split(given)
    address = _parse_database(found, allow_plaintext=allow_plaintext)
    if has_name:
        raise ConfigurationError(f"this takes all jobs of a database: write {address.shown} without #NAME")
    return address


def check_name(name: str) -> str:
    """The name of a job in a database. Raises `ConfigurationError`."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"'{escape(name)}' is not a valid job name: 1 to 64 letters, digits, '.', '_' and '-'"
        )
    return name


def _parse_database(url: object, *, allow_plaintext: bool) -> StoreAddress:
    address = parse_address(conceal(url), allow_plaintext=allow_plaintext)
    if address.kind != "postgresql":
        raise ConfigurationError("jobs of several machines need Postgres; on one machine, pass a folder")
    return address


def _split(given: object) -> tuple[object, bool, str]:
    """The URL, whether a `#` follows, and the name. A `#` in a password is refused with the URL, and not shown."""
    if not isinstance(given, Secret):
        return given, False, ""
    url, mark, name = given.rpartition("#")
    if not mark or "@" in name:
        return given, False, ""
    return Secret(url), True, name


class OpenedJob(Struct, frozen=True):
    """The journal of a job, and what else this process holds of the job."""

    place: Place
    journal: Journal
    options: JobOptions
    lock: int | None = None
    """That of a folder, which no other process can take meanwhile."""

    def let_go(self, *, discard: bool) -> None:
        """Once the journal is closed: let others open the job, or remove what there is of it."""
        if self.lock is None:
            return
        try:
            if discard:
                remove_files(self.place.name)
        finally:
            close_lock(self.lock)


class JobEntry(Struct, frozen=True, kw_only=True):
    """A job in a list."""

    name: str
    """As commands and `BulkJob.open` take it."""
    phase: JobPhase
    rows: int
    done: int
    failed: int
    """Rows that failed, were skipped or refused."""
    unknown: int
    rate: float | None
    """Maximum rows per second and location, if there is one."""
    workers: int
    """Processes that work on it now."""
    since: float
    """When its first row was sent, or else when it was created, in seconds since the epoch."""


def list_jobs(place: str | os.PathLike[str] = ".") -> list[JobEntry]:
    """List the jobs in a folder and the undo jobs in these, by name; or the one whose folder it is.

    Takes a moment per job, whatever its size, and disturbs none that is running. Raises `JournalError` if a journal
    cannot be read.
    """
    path = check_path("place", place)
    if os.path.exists(os.path.join(path, JOURNAL)):
        return [_read_entry(path)]
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        raise JournalError(f"{escape(path)} cannot be read ({error.strerror}).") from error
    above = "" if path == os.curdir else path
    inside = [os.path.join(above, name) for name in names]
    folders = [folder for one in inside for folder in (one, os.path.join(one, UNDO))]
    return [_read_entry(folder) for folder in folders if os.path.exists(os.path.join(folder, JOURNAL))]


def _read_entry(folder: str) -> JobEntry:
    in_use = is_in_use(folder)
    journal = open_to_read(folder)
    try:
        [job] = progress.list_jobs(journal)
    finally:
        journal.close()
    done = job.as_planned + job.unknown + job.not_changed
    return JobEntry(
        name=folder,
        phase=progress.find_folder_phase(job.phase, job.wanted, job.began, job.rows - done, in_use=in_use),
        rows=job.rows,
        done=done,
        failed=job.not_changed,
        unknown=job.unknown,
        rate=job.rate,
        workers=int(in_use),
        since=job.since,
    )


async def create_job(
    place: Place,
    rows: RowSource,
    location: str,
    *,
    timezone: str | None,
    options: JobOptions,
    connect: Connect | None,
    thread: Executor,
) -> OpenedJob:
    """Load a plan into a new journal. Raises `PlanError`, and leaves nothing behind then."""
    path = _find_folder(place)
    lock = enter(path, new=True)
    try:
        fill = partial(fill_journal, path, timezone, location, options, connect)
        journal = await hand_over(rows, fill, thread)
    except BaseException:
        remove_files(path)
        close_lock(lock)
        raise
    return OpenedJob(place, journal, options, lock)


async def open_job(place: Place, location: str | None, *, connect: Connect | None, thread: Executor) -> OpenedJob:
    """Open the journal of an existing job, for a client of this location; with `None`, only to look at it."""
    path = _find_folder(place)
    if location is None:
        return await asyncio.get_running_loop().run_in_executor(thread, _open_to_read, FolderPlace(path))
    lock = enter(path, new=False)
    try:
        reopen = partial(reopen_journal, path, location, connect)
        journal = await asyncio.get_running_loop().run_in_executor(thread, reopen)
        await asyncio.get_running_loop().run_in_executor(thread, forget_pause, journal)
        return OpenedJob(place, journal, read_options(journal), lock)
    except BaseException:
        close_lock(lock)
        raise


def _find_folder(place: Place) -> str:
    if isinstance(place, DatabasePlace):
        raise ConfigurationError(f"{place.name} cannot be used: this version keeps jobs in folders only")
    return place.folder


def _open_to_read(place: FolderPlace) -> OpenedJob:
    journal = open_to_read(place.folder)
    return OpenedJob(place, journal, read_options(journal))
