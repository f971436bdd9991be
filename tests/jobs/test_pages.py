"""Somebody else's page in place of an answer, with status 200: it applies no row of a job, and loses none."""

from pathlib import Path

import pytest

from leadconnector_async import DecodeError, LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions
from leadconnector_async.sandbox import Sandbox

from .jobbing import FAST, rows, select, week_later, writes

pytestmark = pytest.mark.sandbox(limits=FAST)

PAGE = "html 200"
COUNT = 40


def list_moved(sandbox: Sandbox, plan: list[dict[str, object]]) -> set[str]:
    """The events that the calendar shows where the plan wants them."""
    return {
        str(cells["event_id"])
        for cells in plan
        if sandbox.appointment(str(cells["event_id"])).start_time.isoformat() == cells["start_time"]
    }


async def list_in(job: BulkJob, *states: str) -> set[str]:
    """The events of the rows that the journal has in these states."""
    records = await select(job, "SELECT event_id, state FROM rows")
    return {str(event_id) for event_id, state in records if state in states}


@pytest.mark.parametrize("pages", [1, 30, 40])
async def test_what_a_job_calls_applied_the_calendar_shows(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, pages: int
) -> None:
    """However many of its updates are answered by a page: counted on both sides, row by row."""
    plan = week_later(sandbox, COUNT)
    sandbox.faults.plan("update_appointment", [PAGE] * pages)
    async with await BulkJob.create(tmp_path / "job", client, rows(*plan)) as job:
        await job.run()
        assert await list_in(job, "applied") == set(writes(sandbox)) == list_moved(sandbox, plan)
        assert not await list_in(job, "failed", "refused")
        while len(writes(sandbox)) < COUNT:
            await job.run()
        assert await list_in(job, "applied") == set(writes(sandbox)) == list_moved(sandbox, plan)
    assert len(writes(sandbox)) == len(set(writes(sandbox)))
    assert not sandbox.faults.unused()


@pytest.mark.parametrize("operation", ["get_appointment", "list_events"])
async def test_pages_while_a_job_is_prepared_stop_it_and_cost_no_row(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, operation: str
) -> None:
    """Nothing is written, the rows stay open, and the next run carries them out."""
    plan = week_later(sandbox, COUNT)
    sandbox.faults.plan(operation, [PAGE] * 200)
    async with await BulkJob.create(tmp_path / "job", client, rows(*plan)) as job:
        summary = await job.run()
        assert [stopped.kind for stopped in summary.stopped] == ["unreachable"]
        assert "did not come from the API" in summary.stopped[0].reason
        assert writes(sandbox) == []
        sandbox.faults.clear()
        assert (await job.run()).counts == {"applied": COUNT}
    assert len(list_moved(sandbox, plan)) == COUNT


async def test_pages_on_everything_leave_all_rows_open(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """As behind a network that wants a sign-in from the middle of a job on."""
    plan = week_later(sandbox, COUNT)
    async with await BulkJob.create(
        tmp_path / "job", client, rows(*plan), options=JobOptions(concurrency=2)
    ) as job:
        await job.prepare()
        sandbox.faults.plan("update_appointment", ["ok"] * 10 + [PAGE] * 2000)
        sandbox.faults.plan("get_appointment", [PAGE] * 2000)
        sandbox.faults.plan("list_events", [PAGE] * 2000)
        summary = await job.run()
        assert await list_in(job, "applied") == set(writes(sandbox)) == list_moved(sandbox, plan)
        assert len(writes(sandbox)) == 10
        assert summary.stopped or summary.counts.get("unknown")
        sandbox.faults.clear()
        await job.run()
        assert await list_in(job, "applied") == set(writes(sandbox)) == list_moved(sandbox, plan)
    assert len(writes(sandbox)) == COUNT


async def test_a_page_on_a_read_may_pass_and_an_answer_that_cannot_be_read_may_not(
    sandbox: Sandbox, client: LeadConnector
) -> None:
    """`DecodeError.transient` tells them apart."""
    sandbox.faults.plan("get_appointment", [PAGE] * 20)
    with pytest.raises(DecodeError) as raised:
        await client.get_appointment(sandbox.appointment_ids[0])
    assert raised.value.transient
    assert not DecodeError("x").transient
