"""A journal that cannot be read or written: nothing more is sent, no row is called applied that is not, and the job
goes on when the disk does.
"""

import asyncio
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import JournalError, LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, RowOutcome
from leadconnector_async.jobs.journal.connection import Connect
from leadconnector_async.sandbox import Sandbox

from ..jobbing import FAST, WEEK, at, rows, writes

ROWS = 120
pytestmark = pytest.mark.sandbox(limits=FAST, appointments=ROWS)


async def begin(folder: Path, sandbox: Sandbox, client: LeadConnector) -> None:
    """A job that is prepared, and of which nothing was sent yet; a few rows at once make many commits."""
    events = [sandbox.appointment(one) for one in sandbox.appointment_ids]
    plan = rows(*(at(event, start=(event.start_time + WEEK).isoformat()) for event in events))
    async with await BulkJob.create(folder, client, plan, options=JobOptions(concurrency=4)) as job:
        await job.prepare()


def list_states(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
        return dict(connection.execute("SELECT event_id, state FROM rows").fetchall())


async def go_on(folder: Path, sandbox: Sandbox, client: LeadConnector) -> None:
    """The disk is well again: the job ends as planned, and nothing that was applied is written again."""
    async with await BulkJob.open(folder, client) as job:
        summary = await job.run()
    assert summary.counts == {"applied": ROWS}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids)


def failing(at_call: int, statement: str, *, after: bool) -> Connect:
    """Connections that fail the n-th time a statement is executed, and ever after."""
    calls = 0

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            nonlocal calls
            calls += sql.startswith(statement)
            if calls < at_call or not sql.startswith(statement):
                return super().execute(sql, *values)
            if after and calls == at_call:
                super().execute(sql, *values)
            raise sqlite3.OperationalError("disk I/O error")

    return lambda path: sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Failing)


@pytest.mark.parametrize("after", [False, True], ids=["not-written", "written-and-not-confirmed"])
@pytest.mark.parametrize("at_call", range(1, 14, 2))
async def test_a_failed_sync_at_any_commit_ends_the_job_and_loses_nothing(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, at_call: int, after: bool
) -> None:
    """Whoever was told that a row is applied can rely on it; the request of a row never left before its commit."""
    folder = tmp_path / "job"
    await begin(folder, sandbox, client)
    told: list[RowOutcome] = []
    with pytest.raises(JournalError, match="could not be written"):
        async with await BulkJob.open(folder, client, connect=failing(at_call, "COMMIT", after=after)) as job:
            await job.run(on_outcome=told.append)
    states = list_states(folder)
    applied = set(writes(sandbox))
    assert {one.event_id for one in told} <= applied
    assert {event_id for event_id, state in states.items() if state == "applied"} <= applied
    assert applied <= {event_id for event_id, state in states.items() if state in ("sent", "applied")}
    await go_on(folder, sandbox, client)


@pytest.mark.parametrize("pages", [1, 2, 4])
async def test_a_full_disk_ends_the_job_and_loses_nothing(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, pages: int
) -> None:
    """SQLite's own answer to a disk that is full, a few pages further on."""
    folder = tmp_path / "job"
    await begin(folder, sandbox, client)

    def connect(path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        (used,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={used + pages}")
        return connection

    with pytest.raises(JournalError, match="full"):
        async with await BulkJob.open(folder, client, connect=connect) as job:
            await job.run()
    applied = {event_id for event_id, state in list_states(folder).items() if state == "applied"}
    assert applied <= set(writes(sandbox))
    await go_on(folder, sandbox, client)


async def test_a_disk_that_is_full_from_the_start_begins_no_job(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """The folder is gone again, and nothing was asked of the server."""

    def connect(path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA max_page_count=10")
        return connection

    plan = rows(*({"event_id": f"event{number}", "title": "x" * 400} for number in range(500)))
    with pytest.raises(JournalError, match="full"):
        await BulkJob.create(tmp_path / "job", client, plan, connect=connect)
    assert not (tmp_path / "job").exists()
    assert not sandbox.requests


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scramble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for position in range(0, len(content), 7):
        content[position] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [cut, scramble, lambda path: path.write_bytes(b"")], ids=["cut", "garbage", "empty"]
)
async def test_a_torn_journal_is_said_and_nothing_is_sent(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """No guess at what might have been in it."""
    folder = tmp_path / "job"
    await begin(folder, sandbox, client)
    damage(folder / "journal.sqlite")
    before = len(sandbox.requests)
    with pytest.raises(JournalError):
        async with await BulkJob.open(folder, client) as job:
            await job.run()
    assert len(sandbox.requests) == before


@pytest.mark.parametrize("seed", range(6))
async def test_a_torn_end_of_the_log_costs_at_most_a_second_look(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, seed: int
) -> None:
    """A disk that has lied about its last commits: rows that were applied are seen to be, and not sent again."""
    folder = tmp_path / "job"
    await begin(folder, sandbox, client)
    log = folder / "journal.sqlite-wal"
    async with await BulkJob.open(folder, client) as job:
        await job.run(limit=30)
        kept = {name: (folder / name).read_bytes() for name in ("journal.sqlite", "journal.sqlite-wal")}
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    os.truncate(log, random.Random(seed).randrange(log.stat().st_size))
    async with await BulkJob.open(folder, client) as job:
        await job._journal.run(lambda journal: journal.write("UPDATE rows SET read_at = 0"))
        summary = await job.run()
    assert sum(summary.counts.values()) == summary.counts["applied"] + summary.counts.get("unchanged", 0) == ROWS
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids)


async def test_a_restored_journal_that_another_program_is_writing_to(
    tmp_path: Path, client: LeadConnector, sandbox: Sandbox
) -> None:
    """A copy that was restored has no write-ahead log; the job waits until it can have one."""
    await begin(tmp_path / "job", sandbox, client)
    other = sqlite3.connect(tmp_path / "job/journal.sqlite", isolation_level=None)
    assert other.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    other.execute("BEGIN IMMEDIATE")
    job = asyncio.create_task(go_on(tmp_path / "job", sandbox, client))
    await asyncio.sleep(0.2)
    other.execute("COMMIT")
    other.close()
    await job
