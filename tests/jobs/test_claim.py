"""Locations of a job, held by the process that calls: by one user at a time, whoever the others are."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError
from leadconnector_async._sharing.membership import find_clock
from leadconnector_async.jobs.claim import hold_all, hold_free
from leadconnector_async.jobs.journal import leases
from leadconnector_async.jobs.journal.database import JOURNAL, SQLiteJournal
from leadconnector_async.jobs.journal.folder import fill_journal
from leadconnector_async.jobs.journal.groups import Hold
from leadconnector_async.jobs.journal.leases import WorkerEntry
from leadconnector_async.jobs.journal.load import NewJob
from leadconnector_async.jobs.journal.protocol import FenceLostError
from leadconnector_async.jobs.journal.writer import JournalWriter, make_thread

from .jobbing import rows

LEASE = 1.0
NAME = "postgresql://db.example.com/leads#march"


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[JournalWriter]:
    """The journal of a job with three locations."""
    plan = rows(*({"event_id": f"ev{number}", "title": "x", "location_id": f"loc{number}"} for number in range(3)))
    fill_journal(str(tmp_path), NewJob(location=""), None, plan).close()
    thread = make_thread()
    loop = asyncio.get_running_loop()
    journal = await loop.run_in_executor(thread, SQLiteJournal.open, str(tmp_path / JOURNAL))
    writer = JournalWriter(journal, thread)
    yield writer
    await writer.close()


def enter(host: str = "web-3", pid: int = 4711) -> WorkerEntry:
    return WorkerEntry(lease=LEASE, host=host, pid=pid, version="1", slots=4)


async def test_all_locations_are_held_and_given_back(control: JournalWriter) -> None:
    """Each with an epoch of its own; afterwards nothing of the caller is left."""
    for epoch in (1, 2):
        async with hold_all(NAME, 1, control, LEASE) as held:
            assert {location: one.epoch for location, one in held.items()} == dict.fromkeys(
                ("loc0", "loc1", "loc2"), epoch
            )
            assert all(one.until() > find_clock()() for one in held.values())
            holders = await control.run(lambda journal: leases.list_holders(1, 0, journal))
            assert {(one.host, one.pid) for one in holders} == {(socket.gethostname(), os.getpid())}
        assert await control.run(leases.list_beats) == []
        assert await control.run(lambda journal: leases.list_holders(1, 0, journal)) == []


async def test_the_hold_outlives_many_leases(control: JournalWriter) -> None:
    """The caller beats as a worker does."""
    async with hold_all(NAME, 1, control, LEASE) as held:
        await asyncio.sleep(3 * LEASE)
        assert all(one.until() > find_clock()() for one in held.values())


async def test_a_location_that_somebody_alive_holds_is_named(control: JournalWriter) -> None:
    """With who it is and what to do; nothing is held then, and what was free stays free."""
    worker = await control.run(lambda journal: leases.register(enter(), journal))
    await control.run(
        lambda journal: journal.write("UPDATE locations SET worker = ? WHERE location = 'loc1'", (worker,))
    )

    async def beat() -> None:
        while True:
            await control.run(lambda journal: leases.beat(worker, "working", 1, journal))
            await asyncio.sleep(LEASE / 4)

    beating = asyncio.create_task(beat())
    with pytest.raises(ConfigurationError) as caught:
        async with hold_all(NAME, 1, control, LEASE):
            pass
    assert str(caught.value) == (
        f"location loc1 of {NAME} is being worked on by web-3 (pid 4711); pause the job, or wait until it has ended"
    )
    async with hold_free(1, control, LEASE) as (held, others):
        assert held.keys() == {"loc0", "loc2"}
        assert [one.location for one in others] == ["loc1"]
    beating.cancel()
    await asyncio.wait([beating])


async def test_what_a_dead_worker_holds_is_taken_after_its_lease(control: JournalWriter) -> None:
    """What it would still write is refused."""
    worker = await control.run(lambda journal: leases.register(enter(), journal))
    await control.run(lambda journal: journal.write("UPDATE locations SET worker = ?, epoch = 5", (worker,)))
    async with hold_all(NAME, 1, control, LEASE) as held:
        assert {one.epoch for one in held.values()} == {6}

        def write_late(journal: SQLiteJournal) -> None:
            with journal.at(Hold(1, "loc0", 5)).commit():
                pass

        with pytest.raises(FenceLostError):
            await control.run(write_late)  # type: ignore[arg-type]
