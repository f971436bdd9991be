"""What the locations of a job that run in one process have in common: they stop as soon as it should not run."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from leadconnector_async import LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, RowOutcome, control
from leadconnector_async.jobs.control import Control
from leadconnector_async.sandbox import Sandbox

from ..jobbing import FAST, rows, week_later, writes

pytestmark = pytest.mark.sandbox(limits=FAST)


@pytest.fixture(autouse=True)
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the journal says comes too late to matter."""
    monkeypatch.setattr(control, "TICK", 3600.0)


async def test_no_row_starts_once_the_job_is_not_to_run(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """What was sent ends, what was not is withdrawn, and nothing is in doubt; then the rest is done once."""
    options = JobOptions(concurrency=8)
    sandbox.faults.plan("update_appointment", ["stall 0.02"] * 100)
    plan = rows(*week_later(sandbox, 100))
    async with await BulkJob.create(tmp_path / "job", client, plan, options=options) as job:
        ended: list[RowOutcome] = []

        def note(outcome: RowOutcome) -> None:
            ended.append(outcome)
            if len(ended) == 20:
                job._control.update("pause", options)

        running = asyncio.create_task(job.run(on_outcome=note))
        while len(ended) < 20 or (job._runner is not None and job._runner._runs):
            await asyncio.sleep(0.01)
        counts = (await job.summarize()).counts
        assert 20 <= counts["applied"] <= 20 + options.concurrency
        assert counts == {"applied": len(writes(sandbox)), "pending": 100 - len(writes(sandbox))}
        job._control.update("run", options)
        assert (await running).counts == {"applied": 100}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:100])
    assert len(ended) == 100


@pytest.mark.parametrize("then", ["run", "stop"])
async def test_a_pause_ends_the_reading_of_the_calendar(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, then: str
) -> None:
    """It is read when the job goes on; a stop ends a job that is paused."""
    async with await BulkJob.create(tmp_path / "job", client, rows(*week_later(sandbox, 100))) as job:
        sandbox.faults.plan("get_appointment", ["stall 20"])
        running = asyncio.create_task(job.run())
        while not sandbox.requests.of("get_appointment"):
            await asyncio.sleep(0.01)
        job._control.update("pause", job.options)
        await asyncio.sleep(0.05)
        assert not running.done()
        async with asyncio.timeout(10):
            if then == "stop":
                job.stop()
                assert [stopped.kind for stopped in (await running).stopped] == ["interrupted"]
            else:
                job._control.update("run", job.options)
                assert (await running).counts == {"applied": 100}


async def test_a_run_takes_over_the_rate(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """A job that would take hours ends at once when its rate is lifted."""
    options = JobOptions(rate=0.01)
    async with await BulkJob.create(
        tmp_path / "job", client, rows(*week_later(sandbox, 50)), options=options
    ) as job:
        lifted = structs.replace(options, rate=None)
        async with asyncio.timeout(20):
            summary = await job.run(on_outcome=lambda outcome: void(job._control.update("run", lifted)))
    assert summary.counts == {"applied": 50}


def void(value: object) -> None:
    """An outcome's handler returns nothing."""


def test_a_control_tells_those_who_obey_of_changes_only() -> None:
    """And nobody else."""
    one, seen = Control(JobOptions()), list[str]()
    with one.obeyed_by(lambda: seen.append(one.wanted)):
        assert not one.update("run", JobOptions())
        assert one.update("pause", JobOptions())
        assert one.update("pause", JobOptions(rate=1))
    assert one.update("cancel", JobOptions())
    assert seen == ["pause", "pause"]
