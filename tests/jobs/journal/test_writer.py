"""When entries of a journal are committed, and what is committed together."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from leadconnector_async import JournalError
from leadconnector_async.jobs.journal.connection import Connect
from leadconnector_async.jobs.journal.database import SQLiteJournal, load_rows
from leadconnector_async.jobs.journal.facts import Count
from leadconnector_async.jobs.journal.groups import Entry
from leadconnector_async.jobs.journal.rows import intend, put_behind
from leadconnector_async.jobs.journal.writer import JournalWriter


class Slow(SQLiteJournal):
    """Each commit waits until it may go on."""

    def __init__(self, path: str, connect: Connect | None = None) -> None:
        super().__init__(path, connect)
        self.commits: list[list[object]] = []
        self.may_go_on = Event()

    def commit_entries(self, entries: Sequence[Entry]) -> None:
        self.commits.append([entry.record[0] for entry in entries])
        assert self.may_go_on.wait(10)
        super().commit_entries(entries)


@pytest.fixture
def journal(tmp_path: Path) -> Slow:
    return Slow.create(str(tmp_path / "journal.sqlite"))


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


async def test_what_follows_from_a_commit_comes_with_the_next(journal: Slow, thread: ThreadPoolExecutor) -> None:
    """A task that a commit has woken adds to the next one, even if entries were waiting for that already."""
    writer = JournalWriter(journal, thread)

    async def write_two() -> None:
        await writer.write(put_behind(1, 1, ""))
        writer.add(put_behind(1, 3, ""))

    writing = asyncio.create_task(write_two())
    while not journal.commits:
        await asyncio.sleep(0)
    writer.add(put_behind(1, 2, ""))
    journal.may_go_on.set()
    await writing
    await writer.close()
    assert journal.commits == [[1], [2, 3]]


async def test_what_two_turns_of_the_loop_add_is_one_commit(journal: Slow, thread: ThreadPoolExecutor) -> None:
    writer = JournalWriter(journal, thread)
    journal.may_go_on.set()
    writer.add(put_behind(1, 1, ""))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    writer.add(put_behind(1, 2, ""))
    await writer.close()
    assert journal.commits == [[1, 2]]


@pytest.mark.parametrize("count", [1, 2, 8, 9, 150, 513, 1100])
def test_any_number_of_rows_is_changed_by_few_statements(tmp_path: Path, count: int) -> None:
    """Each takes up to 512 of them; no other row is changed, and none is added."""
    journal = SQLiteJournal.create(str(tmp_path / "journal.sqlite"))
    load_rows(journal, [(1, "loc", number, number, f"event{number}", b"{}") for number in range(1, 1102)])
    statements: list[str] = []
    journal.sqlite.raw.set_trace_callback(statements.append)
    journal.commit_entries([intend(number, 9.0) for number in range(1, count + 1)])
    assert len(statements) == len(["BEGIN", "COMMIT"]) + -(-count // 512)
    changed = "SELECT COUNT(*) FROM rows WHERE state = 'sent' AND sent_at = 9.0 AND number BETWEEN 1 AND ?"
    others = "SELECT COUNT(*) FROM rows WHERE state = 'loaded' AND sent_at IS NULL AND number BETWEEN 1 AND 1101"
    assert journal.read_one(Count, changed, (count,)) == Count(count)
    assert journal.read_one(Count, others) == Count(1101 - count)
    assert journal.read_one(Count, "SELECT COUNT(*) FROM rows") == Count(1101)
    journal.close()


async def test_what_would_never_end_can_be_broken_off(journal: Slow, thread: ThreadPoolExecutor) -> None:
    """From the event loop, while the thread waits for it; the journal can be closed then."""
    writer = JournalWriter(journal, thread)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
    asking = asyncio.create_task(writer.run(lambda journal: journal.read_one(Count, endless)))
    while not asking.done():
        writer.break_off()
        await asyncio.sleep(0.01)
    with pytest.raises(JournalError, match="interrupted"):
        await asking
    await writer.close()


async def test_a_writer_cancelled_between_commits_tells_everybody_once(
    journal: Slow, thread: ThreadPoolExecutor
) -> None:
    """Entries on disk were told so; those that wait for the next commit get the error."""
    writer = JournalWriter(journal, thread)
    told: list[tuple[int, JournalError | None]] = []

    def cancel(failure: JournalError | None) -> None:
        told.append((1, failure))
        for task in asyncio.all_tasks():
            if task.get_coro().__qualname__ == "JournalWriter._write_groups":  # type: ignore[union-attr]
                task.cancel()

    journal.may_go_on.set()
    writer.add(put_behind(1, 1, ""), cancel)
    while not journal.commits:
        await asyncio.sleep(0)
    writer.add(put_behind(1, 2, ""), lambda failure: told.append((2, failure)))
    while writer.failure is None:
        await asyncio.sleep(0)
    assert [number for number, _ in told] == [1, 2]
    assert told[0][1] is None
    assert isinstance(told[1][1], JournalError)
    assert journal.commits == [[1]]
    await writer.close()
