"""Creating and opening jobs: in a folder, whose lock keeps other processes out, or in a database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial

from msgspec import Struct

from .._sharing.url import DRIVERS, StoreAddress, explain_missing_driver
from .._system.files import close_lock
from .journal.connection import Connect
from .journal.database import JOURNAL, SQLiteJournal
from .journal.facts import check_location
from .journal.folder import enter, fill_journal, open_to_read, remove_files, reopen_journal
from .journal.instructions import forget_pause
from .journal.load import NewJob
from .journal.phases import read_options
from .journal.protocol import Journal
from .journal.purge import remove_job
from .journal.writer import JournalWriter, make_thread, open_in
from .places import DatabasePlace, FolderPlace, Place
from .plan.sources import AnyRow, RowSource, hand_over
from .run.lease import LEASE
from .states import JobOptions


class OpenedJob(Struct, frozen=True):
    """The journal of a job, and the lock of its folder."""

    place: Place
    journal: Journal
    options: JobOptions
    lock: int | None = None
    """The lock of the folder, which keeps other processes out; `None` in a database, or if only read."""

    def let_go(self, *, discard: bool) -> None:
        """Release the lock; call it when the journal is closed. `discard`: delete the files of the job first."""
        if self.lock is None:
            return
        try:
            if discard:
                remove_files(self.place.name)
        finally:
            close_lock(self.lock)


async def create_job(
    place: Place,
    rows: RowSource,
    new: NewJob,
    thread: Executor,
    connect: Connect | None = None,
) -> OpenedJob:
    """Load a plan into a new journal. If it raises `PlanError` or is cancelled, it leaves nothing behind.

    If it is cancelled while a database commits a job that is submitted, the job remains: workers may have begun.
    """
    if isinstance(place, DatabasePlace):
        work = partial(load_driver(place.address).fill, place.address, place.job, new, LEASE)
        discard = _close_journal if new.submitted else _remove
        return OpenedJob(place, await hand_over(rows, work, thread, discard), new.options)
    path = place.folder
    lock = enter(path, new=True)
    try:
        journal = await hand_over(rows, partial(fill_journal, path, new, connect), thread, _close_journal)
    except BaseException:
        remove_files(path)
        close_lock(lock)
        raise
    return OpenedJob(place, journal, new.options, lock)


def _close_journal(journal: Journal) -> None:
    journal.close()


def _remove(journal: Journal) -> None:
    try:
        remove_job(journal.hold.job, journal)
    finally:
        journal.close()


async def open_job(place: Place, location: str | None, *, connect: Connect | None, thread: Executor) -> OpenedJob:
    """Open the journal of an existing job, for a client of this location; with `None`, only to read it.

    If this is cancelled, the journal is closed and its folder released as soon as it is open.
    """
    if isinstance(place, DatabasePlace):
        opening = partial(_open_database, place, location)
    elif location is None:
        opening = partial(_open_to_read, place)
    else:
        opening = partial(_open_folder, place, location, connect)
    return await open_in(thread, opening, close_opened)


def close_opened(opened: OpenedJob) -> None:
    """Close the journal, and release the folder. Blocks."""
    opened.journal.close()
    opened.let_go(discard=False)


async def take_folder(place: FolderPlace, thread: Executor) -> OpenedJob:
    """Lock the folder of a job for a process that runs it for somebody else: whatever was wanted stays wanted.

    Raises `JournalError` if another process has it. If this is cancelled, the folder is released.
    """

    def take() -> OpenedJob:
        lock = enter(place.folder, new=False)
        try:
            journal = SQLiteJournal.open(os.path.join(place.folder, JOURNAL))
            try:
                return OpenedJob(place, journal, read_options(journal), lock)
            except BaseException:
                journal.close()
                raise
        except BaseException:
            close_lock(lock)
            raise

    return await open_in(thread, take, close_opened)


async def connect_journal(address: StoreAddress, name: str | None, lease: float = LEASE) -> JournalWriter:
    """Connect to the journal of the job with this name, or of all jobs, with a thread of its own."""
    driver, thread = load_driver(address), make_thread()

    def open_one() -> Journal:
        return driver.open_all(address, lease) if name is None else driver.open(address, name, lease)

    try:
        return JournalWriter(await open_in(thread, open_one, lambda journal: journal.close()), thread)
    except BaseException:
        thread.shutdown(wait=False)
        raise


def _open_database(place: DatabasePlace, location: str | None) -> OpenedJob:
    """Open it, without a lease if it is only read: statements of a report may take longer than a lease allows."""
    lease = None if location is None else LEASE
    journal = load_driver(place.address).open(place.address, place.job, lease)
    try:
        if location is not None:
            check_location(place.name, location, journal)
    except BaseException:
        journal.close()
        raise
    return _describe(place, journal)


class Driver(Struct, frozen=True):
    """The functions that open journals in Postgres."""

    open: Callable[[StoreAddress, str, float | None], Journal]
    open_all: Callable[[StoreAddress, float | None], Journal]
    fill: Callable[[StoreAddress, str, NewJob, float, Iterable[AnyRow]], Journal]


def load_driver(address: StoreAddress) -> Driver:
    """Import the journal of Postgres. Raises `ConfigurationError` if the extra is not installed."""
    try:
        from ..integrations.postgres_journal import PostgresJournal, fill_journal  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        if error.name not in DRIVERS:
            raise
    else:
        return Driver(PostgresJournal.open, PostgresJournal.open_all, fill_journal)
    raise explain_missing_driver(address)


def _open_to_read(place: FolderPlace) -> OpenedJob:
    return _describe(place, open_to_read(place.folder))


def _open_folder(place: FolderPlace, location: str, connect: Connect | None) -> OpenedJob:
    lock = enter(place.folder, new=False)
    try:
        return _describe(place, reopen_journal(place.folder, location, connect), lock)
    except BaseException:
        close_lock(lock)
        raise


def _describe(place: Place, journal: Journal, lock: int | None = None) -> OpenedJob:
    try:
        if lock is not None:
            forget_pause(journal)
        return OpenedJob(place, journal, read_options(journal), lock)
    except BaseException:
        journal.close()
        raise
