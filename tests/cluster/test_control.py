"""Instructions reach every worker within a second, by the server's log: pause, resume, cancel, rate."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadconnector_async.jobs import BulkJob

from .field import Field, lay_out
from .world import Plan

LOCATIONS, ROWS, WORKERS = 6, 40, 3
SLOTS = 2
"""Of each worker: each of them has locations."""
SEEN_WITHIN = 1.0
pytestmark = [pytest.mark.campaign(180), pytest.mark.timeout(180)]


@pytest.fixture
async def field(tmp_path: Path) -> AsyncIterator[Field]:
    async with lay_out(tmp_path, LOCATIONS, ROWS, slots=SLOTS) as field:
        for _ in range(WORKERS):
            await field.start()
        yield field


async def begin(field: Field, rate: float = 5.0) -> Plan:
    """A job in which every worker has sent something."""
    plan = await field.submit("week", rate=rate)
    await field.until_written(3 * LOCATIONS)
    return plan


async def rest(field: Field) -> int:
    """What was written when an instruction has reached everybody; a busy machine gets twice the second."""
    await asyncio.sleep(2 * SEEN_WITHIN)
    return await field.calendar.count_writes()


async def test_a_job_pauses_and_continues_in_every_worker(field: Field) -> None:
    """Nothing is sent while it is paused; nothing is lost, and the rest follows when it is resumed."""
    plan = await begin(field)
    async with await BulkJob.open(field.find_place("week")) as job:
        await job.pause()
        before = await rest(field)
        await asyncio.sleep(2.0)
        assert await field.calendar.count_writes() == before < LOCATIONS * ROWS
        await job.resume()
    assert (await field.finish("week", plan)).holds


async def test_a_job_is_cancelled_in_every_worker(field: Field) -> None:
    """What was sent is known to be applied; the rest is skipped, and was not sent."""
    plan = await begin(field)
    async with await BulkJob.open(field.find_place("week")) as job:
        await job.cancel()
        await job.wait()
    verdict = await field.finish("week", plan)
    states = await field.watcher.read_states("week")
    assert set(states.values()) == {"applied", "skipped"}
    assert (verdict.second, verdict.claimed) == ([], [])
    assert sorted(verdict.lost) == sorted(one for one, state in states.items() if state == "skipped")


async def test_a_rate_holds_in_every_worker(field: Field) -> None:
    """A lower one, and none, while the job runs; the log of the server shows it."""
    plan = await begin(field, rate=2.0)
    async with await BulkJob.open(field.find_place("week")) as job:
        await job.set_rate(0.2)
        before = await rest(field)
        await asyncio.sleep(4.0)
        assert await field.calendar.count_writes() - before <= 2 * LOCATIONS
        await job.set_rate(None)
    assert (await field.finish("week", plan)).holds
