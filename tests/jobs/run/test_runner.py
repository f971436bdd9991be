"""What the locations of a job that run in one process have in common: they pause, go on, take over a new rate."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from leadconnector_async import LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, JobSummary, RowOutcome
from leadconnector_async.jobs.control import Control, Wanted
from leadconnector_async.sandbox import Sandbox

from ..jobbing import FAST, rows, select, week_later, writes

pytestmark = pytest.mark.sandbox(limits=FAST)


async def run_until(job: BulkJob, count: int, then: Callable[[], object]) -> JobSummary:
    """Run a job; as soon as so many rows have ended, something happens."""
    ended: list[RowOutcome] = []

    def note(outcome: RowOutcome) -> None:
        ended.append(outcome)
        if len(ended) == count:
            then()

    return await job.run(on_outcome=note)


@pytest.mark.parametrize("wanted", ["pause", "cancel"])
async def test_no_row_starts_once_the_job_is_not_to_run(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, wanted: Wanted
) -> None:
    """What was sent ends, what was not is withdrawn, nothing is in doubt; later the rest is done once."""
    options = JobOptions(concurrency=8)
    sandbox.faults.plan("update_appointment", ["stall 0.02"] * 100)
    async with await BulkJob.create(
        tmp_path / "job", client, rows(*week_later(sandbox, 100)), options=options
    ) as job:
        control = job._control
        summary = await run_until(job, 20, lambda: control.update(wanted, options))
        assert not summary.stopped
        assert 20 <= summary.counts["applied"] <= 20 + options.concurrency
        assert summary.counts == {"applied": len(writes(sandbox)), "pending": 100 - len(writes(sandbox))}
        assert not await select(job, "SELECT number FROM rows WHERE state = 'sent'")
        control.update("run", options)
        assert (await job.run()).counts == {"applied": 100}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:100])


async def test_a_job_that_is_not_to_run_is_not_read_either(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """A pause while the calendar is read ends the reading."""
    async with await BulkJob.create(tmp_path / "job", client, rows(*week_later(sandbox, 100))) as job:
        sandbox.faults.plan("get_appointment", ["stall 20"])
        running = asyncio.create_task(job.run())
        while not sandbox.requests.of("get_appointment"):
            await asyncio.sleep(0.01)
        job._control.update("pause", job.options)
        async with asyncio.timeout(10):
            assert (await running).counts == {"loaded": 100}


async def test_a_run_takes_over_the_rate(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """A job that would take hours ends at once when its rate is lifted."""
    async with await BulkJob.create(
        tmp_path / "job", client, rows(*week_later(sandbox, 50)), options=JobOptions(rate=0.01)
    ) as job:
        lifted = structs.replace(job.options, rate=None)
        async with asyncio.timeout(20):
            summary = await run_until(job, 1, lambda: job._control.update("run", lifted))
    assert summary.counts == {"applied": 50}


def test_a_control_tells_those_who_obey_of_changes_only() -> None:
    """And nobody else."""
    control, seen = Control(JobOptions()), list[str]()
    with control.obeyed_by(lambda: seen.append(control.wanted)):
        assert not control.update("run", JobOptions())
        assert control.update("pause", JobOptions())
        assert control.update("pause", JobOptions(rate=1))
    assert control.update("cancel", JobOptions())
    assert seen == ["pause", "pause"]
