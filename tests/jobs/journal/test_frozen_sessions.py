"""A process that is frozen while it sends a commit, at any byte: nobody waits for its locks longer than its lease.

libpq passes on 8 KiB at a time, so a frozen process can leave the server with a part of what it had to say.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import psycopg
import pytest

from leadconnector_async._sharing.url import parse_address
from leadconnector_async.exceptions import RowFault
from leadconnector_async.integrations.postgres_journal import PostgresJournal, fill_journal
from leadconnector_async.jobs.journal import leases, preparing, rows
from leadconnector_async.jobs.journal.groups import Hold
from leadconnector_async.jobs.journal.load import NewJob
from leadconnector_async.models import AppointmentUpdate

from ...freezing import LONGEST, FreezingProxy, frozen_at
from .conftest import make_plan
from .test_both import end, find, prepare, take, write

LEASE = 1.0
ROWS = 600
KIBIBYTE = 1024
LOCK = "SELECT 1 FROM leadconnector_jobs.locations WHERE job = %s AND location = 'loc0' FOR UPDATE NOWAIT"
NUMBERS = range(1, ROWS + 1)


@contextmanager
def open_through_proxy(url: str, name: str) -> Iterator[tuple[FreezingProxy, PostgresJournal]]:
    """The journal of a job, through a proxy of its own."""
    proxy = FreezingProxy(url)
    journal = PostgresJournal.open(parse_address(proxy.url), name, LEASE)
    try:
        yield proxy, journal
    finally:
        proxy.close()
        journal.close()


def commit_entries(mine: PostgresJournal) -> None:
    """Many at once, of three kinds."""
    intended = [rows.intend(number, 1.0) for number in NUMBERS]
    ended = [end(number, "applied", reason="because of this") for number in NUMBERS]
    write(mine, *intended, *(rows.put_behind(number, 1, "later") for number in range(2, 40)), *ended)


def prepare_rows(mine: PostgresJournal) -> None:
    with mine.commit():
        preparing.write_findings([find(number) for number in NUMBERS], mine)


def refuse_rows(mine: PostgresJournal) -> None:
    with mine.commit():
        preparing.write_faults([RowFault(number, "title", "bad", "mend it") for number in NUMBERS], mine)


def mark_tickets(mine: PostgresJournal) -> None:
    """Of the same location over and over, which locks it."""
    with mine.commit():
        leases.mark_ticketed([Hold(mine.hold.job, "loc0", mine.hold.epoch)] * ROWS, mine)


def write_long_update(mine: PostgresJournal) -> None:
    """A value that is longer than what libpq passes on at once."""
    with mine.commit():
        preparing.send_first(1, [AppointmentUpdate(title="long" * 10 * KIBIBYTE)], mine)


@pytest.mark.parametrize("work", [commit_entries, prepare_rows, refuse_rows, mark_tickets, write_long_update])
def test_nobody_waits_for_a_frozen_commit(jobs_database: str, work: Callable[[PostgresJournal], None]) -> None:
    """Wherever its bytes end, the location can soon be taken, and nothing of the commit is there."""
    name = uuid.uuid4().hex
    filled = fill_journal(parse_address(jobs_database), name, NewJob(location="home"), LONGEST, make_plan(ROWS, 1))
    prepare(filled)
    job, epoch = filled.hold.job, take(filled, "loc0").hold.epoch
    mine = Hold(job, "loc0", epoch)
    with open_through_proxy(jobs_database, name) as (proxy, journal):
        before = proxy.passed
        work(journal.at(mine))
        size = proxy.passed - before
    assert size > 24 * KIBIBYTE, "it would be sent in one piece"
    cuts = [*range(8 * KIBIBYTE, size, size // 5), 1, size // 2, size - 1]
    with psycopg.connect(jobs_database, autocommit=True) as look:
        look.execute("UPDATE leadconnector_jobs.rows SET reason = 'old' WHERE job = %s", (job,))
        for cut in cuts:
            with (
                open_through_proxy(jobs_database, name) as (proxy, journal),
                frozen_at(proxy, cut, partial(work, journal.at(mine))),
            ):
                assert is_free(look, job), cut
        changed = look.execute(
            "SELECT count(*) FROM leadconnector_jobs.rows WHERE job = %s AND reason <> 'old'", (job,)
        ).fetchone()
        assert changed == (0,)
    filled.close()


def is_free(look: psycopg.Connection[tuple[object, ...]], job: int) -> bool:
    """Within the time after which a test gives up."""
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        with suppress(psycopg.errors.LockNotAvailable):
            return bool(look.execute(LOCK, (job,)).fetchall())
        time.sleep(0.02)
    return False
