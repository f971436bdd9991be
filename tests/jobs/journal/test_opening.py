"""Opening a journal in its thread: nothing stays open for somebody who no longer waits for it."""

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, JobNotFoundError
from leadconnector_async._system.files import close_lock, is_locked
from leadconnector_async.jobs import instructing, list_jobs, listing
from leadconnector_async.jobs.instructing import write_beside, write_rate, write_wanted
from leadconnector_async.jobs.journal import folder
from leadconnector_async.jobs.journal.database import JOURNAL
from leadconnector_async.jobs.journal.facts import Count
from leadconnector_async.jobs.journal.folder import enter, fill_journal, is_in_use, open_to_read
from leadconnector_async.jobs.journal.instructions import Instructions, change_wanted, read_instructions
from leadconnector_async.jobs.journal.load import NewJob
from leadconnector_async.jobs.journal.writer import make_thread, open_in

from .conftest import make_plan


async def test_what_is_opened_too_late_is_closed() -> None:
    """A connection that was asked for by a task that has been cancelled meanwhile."""
    thread, begun, may_end, closed = make_thread(), threading.Event(), threading.Event(), list[str]()

    def open_slowly() -> str:
        begun.set()
        may_end.wait()
        return "a connection"

    opening = asyncio.create_task(open_in(thread, open_slowly, closed.append))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not closed
    may_end.set()
    thread.shutdown(wait=True)
    assert closed == ["a connection"]


async def test_what_is_opened_in_time_stays_open() -> None:
    """It belongs to the caller."""
    thread, closed = make_thread(), list[str]()
    assert await open_in(thread, lambda: "a connection", closed.append) == "a connection"
    thread.shutdown(wait=True)
    assert not closed


def test_whoever_looks_whether_a_folder_is_in_use_does_not_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For others who look at the same moment: they would be told that a process runs the job."""
    job = str(tmp_path / "day.job")
    close_lock(enter(job, new=True))
    others: list[bool] = []

    def look_at_the_same_moment(lock: int) -> None:
        monkeypatch.undo()
        others.append(is_in_use(job))
        close_lock(lock)

    monkeypatch.setattr(folder, "close_lock", look_at_the_same_moment)
    assert not is_in_use(job)
    assert others == [False]
    lock = enter(job, new=True)
    assert is_in_use(job)
    close_lock(lock)


@pytest.mark.parametrize("name", [f"{JOURNAL}-wal", f"{JOURNAL}-journal"])
def test_what_is_left_of_another_journal_does_not_get_into_a_new_one(tmp_path: Path, name: str) -> None:
    """SQLite would write it there: the rows of the old job, in place of the new ones."""
    old, new = tmp_path / "old.job", tmp_path / "new.job"
    old.mkdir()
    new.mkdir()
    with closing(fill_journal(str(old), NewJob(location="home"), None, make_plan(300))) as journal:
        journal.write("UPDATE rows SET reason = 'old'")
        shutil.copy(old / f"{JOURNAL}-wal", new / name)
    with pytest.raises(ConfigurationError, match=f"contains a file {name}, but not the journal that it belongs to"):
        enter(str(new), new=True)
    os.truncate(new / name, 0)  # of a process that only read
    lock = enter(str(new), new=True)
    with closing(fill_journal(str(new), NewJob(location="home"), None, make_plan(20))) as journal:
        assert journal.read_one(Count, "SELECT COUNT(*) FROM rows WHERE reason = ''") == Count(20)
    close_lock(lock)


def test_a_folder_that_others_look_at_for_long_can_be_used(tmp_path: Path) -> None:
    """On a busy machine, whoever looks whether it is in use may not be scheduled again for a while."""
    job = str(tmp_path / "day.job")
    close_lock(enter(job, new=True))
    looking = os.open(f"{job}/lock", os.O_RDWR)
    assert not is_locked(looking)
    ending = threading.Timer(0.3, close_lock, [looking])
    ending.start()
    close_lock(enter(job, new=True))
    ending.join()


def test_a_folder_that_is_removed_while_it_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another process, whose plan for the same folder was refused."""
    job, make = tmp_path / "day.job", os.makedirs

    def make_and_lose(path: str, *given: object, **named: object) -> None:
        monkeypatch.undo()
        make(path)
        os.rmdir(path)

    monkeypatch.setattr(os, "makedirs", make_and_lose)
    lock = enter(str(job), new=True)
    assert is_in_use(str(job))
    close_lock(lock)


def fill(job: Path) -> None:
    """A job, which no process has open."""
    lock = enter(str(job), new=True)
    fill_journal(str(job), NewJob(location="home"), None, make_plan()).close()
    close_lock(lock)


def read_job(job: str) -> None:
    open_to_read(job).close()


def pause(job: str) -> None:
    write_beside(job, partial(change_wanted, "pause", job))


def open_again(job: str) -> None:
    close_lock(enter(job, new=False))


@pytest.mark.parametrize(("use", "checks"), [(read_job, 1), (read_job, 2), (pause, 1), (pause, 2), (open_again, 1)])
def test_a_job_that_is_removed_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[str], None], checks: int
) -> None:
    """It is not found, and nothing is left in its place."""
    job, left, exists = tmp_path / "day.job", [checks], os.path.exists
    fill(job)

    def find_and_lose(path: str) -> bool:
        """It is there for so many checks."""
        found = exists(path)
        left[0] -= path.endswith(JOURNAL)
        if not left[0]:
            folder.remove_files(str(job))
        return found

    monkeypatch.setattr(os.path, "exists", find_and_lose)
    with pytest.raises(JobNotFoundError, match=r"There is no job in .*day\.job"):
        use(str(job))
    assert not exists(job)


def test_a_job_that_is_removed_while_jobs_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are listed."""
    for name in ("a.job", "b.job", "c.job"):
        fill(tmp_path / name)

    def look_and_lose(path: str) -> bool:
        if path.endswith("b.job"):
            folder.remove_files(path)
        return is_in_use(path)

    monkeypatch.setattr(listing, "is_in_use", look_and_lose)
    assert [Path(job.name).name for job in list_jobs(tmp_path)] == ["a.job", "c.job"]


@pytest.mark.parametrize("give", [partial(write_rate, rate=2.0), partial(write_wanted, wanted="cancel")])
def test_an_instruction_for_a_job_that_a_process_has_just_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, give: Callable[[str], object]
) -> None:
    """It is written for that process, which was not there when somebody looked."""
    job, locks = str(tmp_path / "day.job"), list[int]()
    fill(tmp_path / "day.job")

    def look_and_be_overtaken(path: str) -> bool:
        monkeypatch.undo()
        found = is_in_use(path)
        locks.append(enter(path, new=False))
        return found

    monkeypatch.setattr(instructing, "is_in_use", look_and_be_overtaken)
    give(job)
    with closing(open_to_read(job)) as journal:
        assert read_instructions(journal) in (Instructions("run", 2.0), Instructions("cancel", None))
    close_lock(locks[0])
