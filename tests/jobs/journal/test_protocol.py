"""The seam: a job needs nothing of its journal but the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from leadconnector_async import JournalError, LeadConnector
from leadconnector_async.jobs import BulkJob
from leadconnector_async.jobs.journal.database import SQLiteJournal
from leadconnector_async.jobs.journal.facts import Count
from leadconnector_async.jobs.journal.groups import Entry, Group, Hold, Record, Value
from leadconnector_async.jobs.journal.protocol import Journal, RowT
from leadconnector_async.sandbox import Sandbox

from ..jobbing import rows, week_later


class Bare:
    """The protocol, and nothing else: every call is forwarded to SQLite."""

    def __init__(self, journal: Journal) -> None:
        self._forwarded = journal

    @property
    def hold(self) -> Hold:
        return self._forwarded.hold

    def at(self, hold: Hold) -> Bare:
        return Bare(self._forwarded.at(hold))

    def commit(self) -> AbstractContextManager[None]:
        return self._forwarded.commit()

    def commit_entries(self, entries: Sequence[Entry]) -> None:
        self._forwarded.commit_entries(entries)

    def write(self, statement: str, values: Iterable[Value] = ()) -> int:
        return self._forwarded.write(statement, values)

    def write_all(self, statement: str, records: Iterable[Record]) -> None:
        self._forwarded.write_all(statement, records)

    def write_group(self, group: Group, records: Sequence[Record]) -> None:
        self._forwarded.write_group(group, records)

    def read(
        self, row: type[RowT], query: str, values: Iterable[Value] = (), *, at_once: bool = False
    ) -> Iterator[RowT]:
        return self._forwarded.read(row, query, values, at_once=at_once)

    def read_one(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> RowT | None:
        return self._forwarded.read_one(row, query, values)

    def stream(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> Iterator[RowT]:
        return self._forwarded.stream(row, query, values)

    def close(self) -> None:
        self._forwarded.close()

    def break_off(self) -> None:
        self._forwarded.break_off()


async def test_a_job_runs_on_the_protocol_alone(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """Preparing, carrying out, the report, a check, and the way back."""
    plan = rows(*({**cells, "ignore_free_slot_validation": True} for cells in week_later(sandbox, 20)))
    async with await BulkJob.create(tmp_path / "job", client, plan) as job:
        bare: Journal = Bare(job._journal._journal)
        job._journal._journal = bare  # in place of the one that it was made with
        assert (await job.run()).counts == {"applied": 20}
        assert (await job.verify()).differing == ()
        assert len(list((await job.plan_undo()).rows)) == 20
    assert (tmp_path / "job" / "report.html").exists()


def test_a_damaged_column_is_a_journal_error(tmp_path: Path) -> None:
    """What a query returns is checked against the types of its row, not converted."""
    journal = SQLiteJournal.create(str(tmp_path / "journal.sqlite"))
    try:
        with pytest.raises(JournalError, match="could not be read"):
            journal.read_one(Count, "SELECT 'twelve'")
        with pytest.raises(JournalError, match="could not be read"):
            list(journal.read(Count, "SELECT '12'"))
    finally:
        journal.close()
