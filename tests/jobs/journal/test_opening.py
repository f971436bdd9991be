"""Opening a journal in its thread: nothing stays open for somebody who no longer waits for it."""

import asyncio
import os
import shutil
import threading
from contextlib import closing
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError
from leadconnector_async._system.files import close_lock
from leadconnector_async.jobs.journal import folder
from leadconnector_async.jobs.journal.database import JOURNAL
from leadconnector_async.jobs.journal.facts import Count
from leadconnector_async.jobs.journal.folder import enter, fill_journal, is_in_use
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
