"""Commands have no lease; one that is frozen, at any byte, holds up neither other commands nor workers for long."""

import socket
import time
import uuid
from collections.abc import Callable, Iterable

import psycopg
import pytest

from leadconnector_async import JobConflictError, JobNotFoundError, JournalError
from leadconnector_async._sharing.url import parse_address
from leadconnector_async.integrations import postgres_journal, postgres_session
from leadconnector_async.integrations.postgres_journal import PostgresJournal, fill_journal
from leadconnector_async.integrations.postgres_session import PostgresSession
from leadconnector_async.jobs.journal import instructions, progress, purge
from leadconnector_async.jobs.journal.facts import Count, Text
from leadconnector_async.jobs.journal.groups import Value
from leadconnector_async.jobs.journal.load import NewJob

from ...freezing import LONGEST, frozen, measure
from .conftest import LEASE, make_plan

IDLE = 1.0
WAITS = 3.0
MUCH = "SELECT repeat('x', 1000) FROM generate_series(1, 100000) WHERE 0 < ?"
"""More than the buffers between two processes can hold."""
COUNT_READERS = """
    SELECT COUNT(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
"""
CHANGE_JOB = "UPDATE jobs SET rate = rate WHERE id = ?"
CHANGE_LOCATIONS = "UPDATE locations SET tries = tries WHERE job = ?"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds are short, and in the same order."""
    monkeypatch.setattr(postgres_session, "IDLE_SECONDS", IDLE)
    monkeypatch.setattr(postgres_journal, "_NAME_SECONDS", WAITS)


def submit(url: str, name: str) -> None:
    new = NewJob(location="home", submitted=True)
    fill_journal(parse_address(url), name, new, LEASE, make_plan(300)).close()


def submit_patiently(url: str, name: str) -> None:
    """By a process that nobody freezes, although the machine may be busy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_session, "IDLE_SECONDS", LONGEST)
        submit(url, name)


def run_command(name: str, command: Callable[[PostgresJournal], object], url: str) -> None:
    """As the command line does."""
    journal = PostgresJournal.open(parse_address(url), name)
    try:
        command(journal)
    finally:
        journal.close()


def pause(journal: PostgresJournal) -> None:
    instructions.change_wanted("pause", "a job", journal)


def delete(journal: PostgresJournal) -> None:
    purge.remove_job(journal.hold.job, journal)


def list_cuts(size: int, step: int) -> list[int]:
    """From the first bytes of a session to the last ones of its last commit."""
    return [*range(size // 3, size, step), size - 8]


def test_nobody_waits_for_a_frozen_submission(jobs_database: str) -> None:
    """With another name. The table of all rows is locked while it is analyzed, until the end of the transaction."""
    size = measure(jobs_database, lambda url: submit(url, uuid.uuid4().hex))
    for cut in list_cuts(size, size // 30):
        with frozen(jobs_database, cut, lambda url: submit(url, uuid.uuid4().hex)):
            submit(jobs_database, uuid.uuid4().hex)


def test_a_name_is_not_waited_for_endlessly(jobs_database: str) -> None:
    """While its plan is sent, no timeout runs at the server."""
    name = uuid.uuid4().hex
    half = measure(jobs_database, lambda url: submit(url, uuid.uuid4().hex)) // 2
    with (
        frozen(jobs_database, half, lambda url: submit(url, name)),
        pytest.raises(JobConflictError, match="is being created by another process: wait for it to end, or choose"),
    ):
        submit(jobs_database, name)
    submit(jobs_database, name)
    with pytest.raises(JobConflictError, match="already exists"):
        submit(jobs_database, name)


@pytest.mark.parametrize("command", [pause, delete, instructions.leave_out_refused])
def test_nobody_waits_for_a_frozen_command(
    jobs_database: str, command: Callable[[PostgresJournal], object]
) -> None:
    """Workers move the job on, and take its locations."""
    measured = uuid.uuid4().hex
    submit_patiently(jobs_database, measured)
    size = measure(jobs_database, lambda url: run_command(measured, command, url))
    for cut in list_cuts(size, size // 12):
        name = uuid.uuid4().hex
        submit_patiently(jobs_database, name)
        other = PostgresJournal.open(parse_address(jobs_database), name, LEASE)
        with frozen(jobs_database, cut, lambda url, name=name: run_command(name, command, url)):  # type: ignore[misc]
            for statement in (CHANGE_JOB, CHANGE_LOCATIONS):
                change_within(LONGEST, statement, other)
        other.close()


def change_within(seconds: float, statement: str, journal: PostgresJournal) -> None:
    """As a worker, which tries again."""
    until = time.monotonic() + seconds
    while True:
        try:
            journal.write(statement, (journal.hold.job,))
        except JournalError:
            if time.monotonic() > until:
                raise
        else:
            return


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the server's system cannot bound it")
def test_a_frozen_report_lets_old_rows_be_removed(jobs_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it reads, nothing that has changed since it began is removed from any table."""
    monkeypatch.setattr(postgres_session, "READ_SECONDS", 1.0)
    name = uuid.uuid4().hex
    submit(jobs_database, name)
    journal = PostgresJournal.open(parse_address(jobs_database), name)
    reading = journal.stream(Text, MUCH, (1,))
    next(reading)
    with psycopg.connect(jobs_database, autocommit=True) as look:
        until = time.monotonic() + LONGEST
        while look.execute(COUNT_READERS).fetchone() != (0,):
            assert time.monotonic() < until
            time.sleep(0.02)
    with pytest.raises(JournalError, match="could not be read"):
        list(reading)
    journal.close()


class KilledError(Exception):
    """What follows is not done."""


@pytest.mark.parametrize("last", ["DELETE FROM rows", "DELETE FROM verdicts"])
def test_a_job_that_was_deleted_in_part_is_gone(
    jobs_database: str, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """Nobody runs, verifies or undoes the rest of its rows, and the next purge deletes them."""
    name = uuid.uuid4().hex
    submit(jobs_database, name)
    execute = PostgresSession.execute

    def kill(self: PostgresSession, statement: str, values: Iterable[Value] = ()) -> int:
        if last in statement:
            raise KilledError
        return execute(self, statement, values)

    monkeypatch.setattr(PostgresSession, "execute", kill)
    with pytest.raises(KilledError):
        run_command(name, delete, jobs_database)
    monkeypatch.setattr(PostgresSession, "execute", execute)
    with pytest.raises(JobNotFoundError):
        PostgresJournal.open(parse_address(jobs_database), name)
    submit(jobs_database, name)
    journal = PostgresJournal.open(parse_address(jobs_database), name)
    listed = [one for one in progress.list_jobs(journal) if name in one.name]
    assert [(one.key, one.name) for one in listed] == [(journal.hold.job, name)]
    [rest] = [one for one in purge.list_ended(1.0, journal) if one.name == name]
    assert purge.remove_job(rest.key, journal)
    assert journal.read_one(Count, "SELECT COUNT(*) FROM rows WHERE job = ?", (rest.key,)) == Count(0)
    assert journal.read_one(Count, "SELECT COUNT(*) FROM rows WHERE job = ?", (journal.hold.job,)) == Count(300)
    assert not [one for one in purge.list_ended(1.0, journal) if one.name == name]
    journal.close()
