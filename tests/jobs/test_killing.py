"""A process that is killed: at random moments, and at every named point."""

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import pytest

from .crash_child import POINTS
from .killing import Kill, Server, Tally, build_plan, is_settled, judge, read_journal, run_campaign, serve, start

ROWS = 40
OF_ROWS = [point for point in POINTS if point not in ("mid-file", "before-replace")]


@pytest.mark.campaign
@pytest.mark.timeout(180)
async def test_a_job_that_is_killed_again_and_again_loses_no_row_and_repeats_none() -> None:
    """A few kills at random moments; `python -m tests.jobs.killing` makes a thousand."""
    tally = await run_campaign(6, 250, seed=random.randrange(10**6))
    assert tally.kills >= 6
    assert tally.in_flight > 0
    assert tally.holds, tally


async def run_child(server: Server, point: str, count: int, *arguments: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.jobs.crash_child", point, str(count), *arguments),
        env=server.environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


async def kill_at(server: Server, point: str, count: int) -> tuple[Tally, Kill]:
    """A job that dies at a point, and goes on."""
    with tempfile.TemporaryDirectory() as folder:
        plan, job = Path(folder) / "plan.csv", Path(folder) / "plan.job"
        content, wanted = await build_plan(server)
        plan.write_text(content)
        began = time.monotonic()
        code = await run_child(server, point, count, "reschedule", str(plan), "--yes", "--job", str(job))
        assert code == -9, point
        kill = Kill(time.monotonic(), *read_journal(job))
        again = ("resume", str(job)) if is_settled(job) else ("reschedule", str(plan), "--yes", "--job", str(job))
        process = await start(server, *again)
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        tally = Tally()
        await judge(server, tally, wanted, [kill], began)
        return tally, kill


@pytest.mark.campaign(180)
@pytest.mark.timeout(180)
async def test_at_every_point_of_a_row_nothing_is_lost_and_nothing_written_twice() -> None:
    """Before and after intent, send, answer and commit, at an early row and at a later one."""
    async with serve(ROWS) as server:
        for point in OF_ROWS:
            tally, kill = await kill_at(server, point, 2)
            assert tally.holds, (point, tally)
            assert (tally.repeats, tally.lost) == (0, 0), (point, tally)
            assert len(kill.sent) <= 16, point


@pytest.mark.campaign(180)
@pytest.mark.timeout(120)
async def test_a_crash_in_the_middle_of_a_file_leaves_the_old_one_or_the_new_one() -> None:
    """Each file is whole after the next run, and the journal knows that all was done."""
    async with serve(ROWS) as server:
        for point, counts in (("before-replace", (1, 2, 3)), ("mid-file", (2, 3))):
            for count in counts:
                tally, kill = await kill_at(server, point, count)
                assert tally.holds, (point, count, tally)
                assert len(kill.applied) in (0, ROWS), (point, count)
