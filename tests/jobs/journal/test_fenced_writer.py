"""The writer of a worker: one for all its locations, of which it may lose some."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import Struct

from leadconnector_async import JournalError
from leadconnector_async.jobs.journal.database import SQLiteJournal
from leadconnector_async.jobs.journal.groups import Entry, Hold
from leadconnector_async.jobs.journal.protocol import FenceLostError, Journal
from leadconnector_async.jobs.journal.tables import DEFINITIONS
from leadconnector_async.jobs.journal.writer import JournalWriter, make_thread

PLACES = ("loc1", "loc2", "loc3")
MARK = Entry("UPDATE locations SET rows = rows + 1 WHERE job = ? AND location = ?", ())


class Row(Struct, array_like=True):
    location: str
    rows: int


@pytest.fixture
async def writer() -> AsyncIterator[JournalWriter]:
    """Of a journal with three locations that this worker has taken."""
    journal = SQLiteJournal(":memory:")
    journal.sqlite.script("; ".join(DEFINITIONS.values()))
    journal.write_all(
        "INSERT INTO locations (job, location, rows, epoch) VALUES (1, ?, 0, 1)", [(one,) for one in PLACES]
    )
    made = JournalWriter(journal, make_thread())
    yield made
    await made.close()


def lose(journal: Journal) -> None:
    """Another worker takes the second location."""
    journal.write("UPDATE locations SET epoch = 2 WHERE location = 'loc2'")


def read(journal: Journal) -> list[int]:
    return [row.rows for row in journal.read(Row, "SELECT location, rows FROM locations ORDER BY location")]


async def test_entries_of_a_lost_location_fail_alone(writer: JournalWriter) -> None:
    """They share a commit with those of others, which are written; whoever waits learns what became of his."""
    views = [writer.at(Hold(1, one, 1)) for one in PLACES]
    await writer.run(lose)
    ends = await asyncio.gather(
        *(view.write(Entry(MARK.statement, ())) for _ in range(2) for view in views), return_exceptions=True
    )
    assert [type(one) for one in ends] == [type(None), FenceLostError, type(None)] * 2
    assert await writer.run(read) == [2, 0, 2]


async def test_a_lost_location_does_not_end_the_writer(writer: JournalWriter) -> None:
    """The other locations go on, those of later commits included, until the database fails."""
    lost, held = writer.at(Hold(1, "loc2", 1)), writer.at(Hold(1, "loc1", 1))
    await writer.run(lose)
    with pytest.raises(FenceLostError, match="The location loc2 was taken by another worker"):
        await lost.write(Entry(MARK.statement, ()))
    assert writer.failure is None
    await held.write(Entry(MARK.statement, ()))
    await held.flush()
    with pytest.raises(FenceLostError):
        await lost.write(Entry(MARK.statement, ()))
    assert await writer.run(read) == [1, 0, 0]


async def test_a_database_that_fails_ends_all_views(writer: JournalWriter) -> None:
    """Then nothing more can be written anywhere: a worker opens another connection."""
    views = [writer.at(Hold(1, one, 1)) for one in PLACES]
    await writer.run(lambda journal: journal.write("DROP TABLE locations"))
    for view in views:
        with pytest.raises(JournalError) as caught:
            await view.write(Entry(MARK.statement, ()))
        assert not isinstance(caught.value, FenceLostError)
    assert writer.failure is views[0].failure is not None
