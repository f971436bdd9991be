"""A job followed by its rows: by the process that runs it, or by another."""

import asyncio
from pathlib import Path

import pytest

from leadconnector_async import JournalError, LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, JobProgress
from leadconnector_async.sandbox import Sandbox

from ..shortage import no_descriptors
from .jobbing import at, rows, run, week_later

Phases = list[str]


async def follow(job: BulkJob) -> list[JobProgress]:
    return [progress async for progress in job.watch()]


async def test_another_handle_follows_a_job_to_its_end(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Progress of the whole job, also of rows from before; it ends with the run, and `wait` returns its summary."""
    async with await BulkJob.create(tmp_path / "day.job", client, rows(*week_later(sandbox, 30))) as job:
        await job.run(limit=10)
        job.options = JobOptions(rate=12)
        running = asyncio.create_task(job.run())
        async with await BulkJob.open(tmp_path / "day.job") as other:
            waiting = asyncio.create_task(other.wait())
            seen = await follow(other)
            summary = await waiting
        assert (await running).counts == summary.counts == {"applied": 30}
    assert [one.total for one in seen] == [30] * len(seen)
    assert seen[0].done >= 10
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert {one.workers for one in seen} == {1}
    assert (seen[-1].phase, seen[-1].done, seen[-1].applied) == ("done", 30, 30)
    assert any(one.rate > 0 for one in seen)
    assert summary.stopped == ()


async def test_a_job_can_be_followed_by_the_process_that_runs_it(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Before the run begins, and during it."""
    async with await BulkJob.create(tmp_path / "day.job", client, rows(*week_later(sandbox, 5))) as job:
        following = asyncio.create_task(follow(job))
        await asyncio.sleep(0)
        assert (await job.run()).counts == {"applied": 5}
        assert (await following)[-1].phase == "done"


async def test_following_ends_when_nobody_runs_the_job(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """One that was not begun, one that was stopped, and one that has ended."""
    async with await BulkJob.create(tmp_path / "new.job", client, rows(*week_later(sandbox, 3))):
        pass
    async with await BulkJob.create(tmp_path / "stopped.job", client, rows(*week_later(sandbox, 3))) as job:
        await job.run(limit=1)
    bad = at(sandbox.appointment(sandbox.appointment_ids[9]), assigned_user_id="nobody")
    await run(tmp_path / "done.job", client, rows(bad, *week_later(sandbox, 8)[6:]))
    ends = {}
    for name in ("new", "stopped", "done"):
        async with await BulkJob.open(tmp_path / f"{name}.job") as handle:
            *_, last = await follow(handle)
            ends[name] = (last.phase, last.done, last.failed, last.workers)
    assert ends == {"new": ("ready", 0, 0, 0), "stopped": ("stopped", 1, 0, 0), "done": ("done", 3, 1, 0)}


@pytest.mark.parametrize("count", [1, 2])
async def test_many_can_follow_without_being_in_the_way(
    count: int, sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """A follower looks at the lock of a folder for a moment: whoever opens the job then waits for that moment."""
    async with await BulkJob.create(tmp_path / "day.job", client, rows(*week_later(sandbox, 3))):
        pass
    handles = [await BulkJob.open(tmp_path / "day.job") for _ in range(count)]
    following = [asyncio.create_task(follow(handle)) for handle in handles]
    for _ in range(20):
        async with await BulkJob.open(tmp_path / "day.job", client):
            await asyncio.sleep(0.01)
    await asyncio.gather(*following)
    for handle in handles:
        await handle.aclose()


async def test_without_a_file_descriptor_nobody_is_told_that_a_job_has_ended(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Whether a process runs it cannot be seen then, and says nothing about the job."""
    async with await BulkJob.create(tmp_path / "day.job", client, rows(*week_later(sandbox, 3))) as job:
        async with await BulkJob.open(tmp_path / "day.job") as other:
            with no_descriptors(), pytest.raises(JournalError, match=r"cannot be used \(Too many open files\)"):
                await other.wait()
            with no_descriptors(), pytest.raises(JournalError, match=r"cannot be used \(Too many open files\)"):
                await other.pause()
        assert (await job.run()).counts == {"applied": 3}
