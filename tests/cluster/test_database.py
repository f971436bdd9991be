"""The database is away, full, restarted, or cut off from one worker: no row is lost or written twice."""

import asyncio
from pathlib import Path

import pytest

from ..sharing.relay import relay
from .disks import NO_LIMIT, SmallDisk
from .field import Field, lay_out

LOCATIONS, ROWS, RATE = 4, 40, 5.0
HALF = LOCATIONS * ROWS // 2
LIMIT = 3 << 20
FILL = """
    WITH filler AS (INSERT INTO jobs (name, phase, rows, made_at) VALUES ('filler', 'done', 3000, 0) RETURNING id),
    added AS (
        INSERT INTO rows (job, location, number, line, event_id, wanted)
        SELECT id, 'full', n, n, n::text, convert_to(repeat(md5(n::text), 40), 'UTF8')
        FROM filler, generate_series(1, 3000) AS n RETURNING 1
    )
    SELECT count(*) FROM added
"""
"""The table grows beyond what is allowed later, so that every row that is changed needs room that is not there."""
pytestmark = [pytest.mark.campaign(180), pytest.mark.timeout(180)]


async def check(field: Field) -> None:
    """Nobody has ended, and nothing is written in the meantime."""
    assert [member.code for member in field.crew.members] == [None] * len(field.crew.members)


async def list_unsaved(field: Field) -> set[str]:
    """Events of whose rows the journal has no intent."""
    states = await field.watcher.read_states("week")
    return {event for event, state in states.items() if state == "pending"}


async def list_sent(field: Field) -> set[str]:
    """Events whose updates have reached the server, whatever its response."""
    return {str(one["event_id"]) for one in await field.calendar.ask("requests") if one["method"] == "PUT"}


@pytest.mark.parametrize("seconds", [0.0, 8.0])
async def test_the_database_is_restarted(tmp_path: Path, seconds: float) -> None:
    """At once, or after 8 s in which nothing is sent: the workers go on by themselves."""
    async with lay_out(tmp_path, LOCATIONS, ROWS) as field:
        for _ in range(2):
            await field.start()
        plan = await field.submit("week", rate=RATE)
        await field.until_written(HALF // 2)
        await asyncio.to_thread(field.server.kill)
        await asyncio.sleep(min(seconds, field.lease))
        before = await field.calendar.count_writes()
        await asyncio.sleep(max(0.0, seconds - field.lease))
        assert await field.calendar.count_writes() == before or not seconds
        await asyncio.to_thread(field.server.start)
        verdict = await field.finish("week", plan)
        assert verdict.holds, verdict
        await check(field)


async def test_one_worker_is_cut_off(tmp_path: Path) -> None:
    """The other takes its locations over; when it is back, it takes part again."""
    async with lay_out(tmp_path, LOCATIONS, ROWS) as field, relay(field.server.url) as cut:
        plan = await field.submit("week", rate=RATE)
        lonely = await field.start(cut.url)
        await field.until_written(5)
        await field.start()
        held = await field.watcher.list_held(lonely.pid)
        cut.running.clear()
        taken = await field.watcher.measure(held, asyncio.get_running_loop().time(), 60)
        assert taken
        cut.running.set()

        async def is_back() -> bool:
            return lonely.pid in await field.watcher.list_pids()

        await field.watcher.until(is_back, 60)
        verdict = await field.finish("week", plan)
        assert verdict.holds, verdict
        await check(field)


async def test_the_disk_of_the_database_is_full(tmp_path: Path) -> None:
    """What cannot be saved is not sent; when there is room again, the job goes on.

    Rows whose intent was saved before may still be sent, by whoever takes their location.
    """
    server = await asyncio.to_thread(SmallDisk, "-c", "max_wal_size=16MB")
    async with lay_out(tmp_path, LOCATIONS, ROWS, server=server) as field:
        await field.watcher.fetch(FILL)
        for _ in range(2):
            await field.start()
        plan = await field.submit("week", rate=RATE)
        await field.until_written(HALF // 2)
        assert await asyncio.to_thread(server.limit_sessions, LIMIT)
        await asyncio.sleep(2 * field.lease)
        unsaved = await list_unsaved(field)
        assert unsaved
        await asyncio.sleep(2 * field.lease)
        assert await list_unsaved(field) == unsaved
        assert not unsaved & await list_sent(field)
        await asyncio.to_thread(server.limit_sessions, NO_LIMIT)
        verdict = await field.finish("week", plan)
        assert verdict.holds, verdict
        await check(field)
