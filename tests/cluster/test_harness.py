"""The harness itself, on a job in a folder: whoever judges many machines must see what happens to one."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from leadconnector_async import AppointmentUpdate, LeadConnector, Shared
from leadconnector_async.jobs import BulkJob, update_many

from .crew import Crew, Member, gather
from .judge import Verdict, judge
from .traps import POINTS
from .worker import Tokens
from .world import Calendar, Plan, plan_week, serve

LOCATIONS, ROWS = 2, 30
SOON = 60.0
LATE_STOP = """
import os, signal, sys, time
sys.stdin.readline()
os.write(1, b"reached point\\n")
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGSTOP)
"""
"""Announces the point, and stops only when another process has had the processor for a while."""
pytestmark = [pytest.mark.campaign(180), pytest.mark.timeout(180)]


@pytest.fixture
async def calendar() -> AsyncIterator[Calendar]:
    async with serve(LOCATIONS, ROWS, max_requests=1000) as calendar:
        yield calendar


@pytest.fixture
async def crew(calendar: Calendar, tmp_path: Path) -> AsyncIterator[Crew]:
    async with gather(tmp_path, calendar.environment) as crew:
        yield crew


def find_shared(folder: Path) -> str:
    return f"sqlite:///{folder}/shared.db"


def make_client(calendar: Calendar, shared: Shared | None = None) -> LeadConnector:
    account = calendar.account
    tokens = Tokens(account.tokens, account.location_id)
    return LeadConnector(tokens, location_id=account.location_id, base_url=account.url, shared=shared)


async def begin(calendar: Calendar, folder: Path) -> Plan:
    """A job that was created; nobody has prepared it."""
    plan = await plan_week(calendar)
    async with make_client(calendar) as client:
        job = await BulkJob.create(folder / "week.job", client, plan.rows)
        await job.aclose()
    return plan


async def start(crew: Crew, folder: Path) -> Member:
    return await crew.start(str(folder / "week.job"), find_shared(folder))


def read_states(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / "week.job/journal.sqlite")) as connection:
        return dict(connection.execute("SELECT event_id, state FROM rows").fetchall())


@pytest.mark.parametrize("act", ["kill", "stop"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_acts_at_each_point_and_nothing_is_lost(
    calendar: Calendar, crew: Crew, tmp_path: Path, point: str, act: str
) -> None:
    """It is announced; a killed one is replaced, a stopped one continues; the judge has no complaint."""
    plan = await begin(calendar, tmp_path)
    member = await start(crew, tmp_path)
    assert await member.lead_to(point, 3, act, SOON), member.read_errors()
    if act == "kill":
        assert await member.wait() == -9
        member = await start(crew, tmp_path)
    else:
        before = await calendar.count_writes()
        await asyncio.sleep(0.3)
        assert member.code is None
        assert await calendar.count_writes() == before
        member.thaw()
    assert await member.wait() == 0, member.read_errors()
    assert await plan.judge(calendar, read_states(tmp_path)) == Verdict(rows=LOCATIONS * ROWS)


async def test_a_worker_that_stops_late_is_continued_after_that(tmp_path: Path) -> None:
    """Continued before it stops, it would stay stopped."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", LATE_STOP, stdin=pipe, stdout=pipe)
    member = Member(process, tmp_path / "errors")
    try:
        assert await member.lead_to("point", 1, "stop", SOON)
        member.freeze()
        member.thaw()
        async with asyncio.timeout(SOON):
            assert await member.wait() == 0
    finally:
        member.kill()
        await member.wait()


async def test_a_worker_may_end_where_it_should_stop(tmp_path: Path) -> None:
    """Its exit code says so; the harness itself does not fail."""
    pipe = asyncio.subprocess.PIPE
    code = "import os, sys; sys.stdin.readline(); os.write(1, b'reached point\\n'); os._exit(3)"
    for _ in range(8):  # either asyncio or the harness is the first to see that it has ended
        process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", code, stdin=pipe, stdout=pipe)
        member = Member(process, tmp_path / "errors")
        assert await member.lead_to("point", 1, "stop", SOON)
        assert await member.wait() == 3


async def test_a_point_that_is_not_reached_in_time_is_left(calendar: Calendar, crew: Crew, tmp_path: Path) -> None:
    """The worker then goes past it, as often as it likes."""
    await begin(calendar, tmp_path)
    member = await start(crew, tmp_path)
    assert not await member.lead_to("before-send", 10_000, "kill", 0.5)
    assert not await member.lead_to("before-send", 1, "kill", 0.0)
    assert await member.wait() == 0, member.read_errors()


async def test_a_write_behind_the_journals_back_is_seen(calendar: Calendar, crew: Crew, tmp_path: Path) -> None:
    """One more write to an applied row: the judge names it, as second and, elsewhere, as lost."""
    plan = await begin(calendar, tmp_path)
    assert await (await start(crew, tmp_path)).wait() == 0
    own = calendar.account.location_id
    moved = next(row for row in plan.rows if row["location_id"] == own)
    async with make_client(calendar) as client:
        update = AppointmentUpdate(start_time="2027-06-01T09:00:00Z", ignore_free_slot_validation=True)
        async for outcome in update_many(client, [(str(moved["event_id"]), update)]):
            assert outcome.state == "applied"
    verdict = await plan.judge(calendar, read_states(tmp_path))
    assert (verdict.second, verdict.lost) == ([moved["event_id"]], [moved["event_id"]])
    assert not verdict.holds


def test_each_complaint_is_raised_by_its_cause() -> None:
    """Lost, left open, claimed, written twice, refused for its rate; two spellings of one moment are the same."""
    wanted = dict.fromkeys("abcde", "2027-03-17T09:00:00-04:00")
    calendar = [{"id": name, "start_time": "2027-03-17T13:00:00+00:00"} for name in "abcd"]
    calendar.append({"id": "e", "start_time": "2027-03-10T13:00:00+00:00"})
    writes = [{"event_id": name, "applied": True, "status": 200} for name in "abbd"]
    log = [*writes, {"event_id": "a", "applied": False, "status": 429}]
    states = {"a": "applied", "b": "applied", "c": "applied", "d": "sent", "e": "failed"}
    assert judge(wanted, states, log, calendar) == Verdict(
        rows=5, lost=["e"], left=["d", "e"], claimed=["c"], second=["b"], refused=1
    )
