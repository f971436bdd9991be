"""A job that pauses, goes on, ends or keeps another rate because somebody wants it to, from whichever process."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, JournalError, LeadConnector, Shared
from leadconnector_async.jobs import BulkJob, JobOptions, JobProgress, JobSummary
from leadconnector_async.jobs.journal.counts import ListedRow, list_rows
from leadconnector_async.jobs.journal.instructions import CANCELLED
from leadconnector_async.jobs.journal.protocol import Journal
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from .jobbing import FAST, QUICK_START, exchange, of_one_doctor, rows, select, week_later, writes

pytestmark = pytest.mark.sandbox(limits=FAST)

SECONDS = 1.0
"""Within which an instruction is followed."""


BOTH = pytest.mark.parametrize("place", ["folder", "postgres"], indirect=True)


@pytest.fixture
async def sharing(make_client: MakeClient, jobs_database: str) -> AsyncIterator[LeadConnector]:
    """A client that may run the jobs of a database."""
    async with Shared(jobs_database) as shared:
        yield make_client(shared=shared, rate_limit=QUICK_START)


def list_skipped(journal: Journal) -> list[ListedRow]:
    return list(list_rows("not changed", journal))


async def wait_until(is_true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.01)


def count_requests(sandbox: Sandbox) -> int:
    return len(sandbox.requests)


@asynccontextmanager
async def run_beside(
    sandbox: Sandbox,
    client: LeadConnector,
    place: str | Path,
    on_progress: Callable[[JobProgress], None] = lambda progress: None,
    count: int = 100,
) -> AsyncIterator[tuple[BulkJob, "asyncio.Task[JobSummary]"]]:
    """A job that runs, and a second opening of it that can only look and instruct, as another process has it."""
    chosen = JobOptions(concurrency=4, rate=100)
    plan = rows(*week_later(sandbox, count))
    async with (
        await BulkJob.create(place, client, plan, options=chosen) as job,
        await BulkJob.open(place) as other,
    ):
        running = asyncio.create_task(job.run(on_progress=on_progress))
        await wait_until(lambda: len(writes(sandbox)) >= 10)
        yield other, running
        if not running.done():
            job.stop()
            await running


@BOTH
async def test_a_job_pauses_and_goes_on(sandbox: Sandbox, sharing: LeadConnector, place: str) -> None:
    """Within a second, from another opening; what was sent has ended, and nothing is done twice."""
    phases: list[str] = []

    def note(progress: JobProgress) -> None:
        if [progress.phase] != phases[-1:]:
            phases.append(progress.phase)

    async with run_beside(sandbox, sharing, place, note) as (other, running):
        assert await other.pause()
        await asyncio.sleep(SECONDS)
        requests = count_requests(sandbox)
        assert set((await other.summarize()).counts) == {"applied", "pending"}
        assert phases == ["running", "paused"]
        assert not await other.pause()
        await asyncio.sleep(SECONDS)
        assert count_requests(sandbox) == requests
        assert not running.done()
        assert await other.resume()
        assert not await other.resume()
        assert (await running).counts == {"applied": 100}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:100])


@BOTH
async def test_a_job_is_cancelled(sandbox: Sandbox, sharing: LeadConnector, place: str) -> None:
    """What was sent has ended, the rest is skipped with that reason; it can be re-queued, and is done once then."""
    async with run_beside(sandbox, sharing, place) as (other, running):
        assert await other.cancel()
        async with asyncio.timeout(2 * SECONDS):
            summary = await running
        assert not summary.stopped
        assert summary.counts == {"applied": len(writes(sandbox)), "skipped": 100 - len(writes(sandbox))}
    async with await BulkJob.open(place, sharing) as job:
        assert {row.reason for row in await job._journal.run(list_skipped)} == {CANCELLED}
        assert await job.retry_failed() == summary.counts["skipped"]
        assert (await job.run()).counts == {"applied": 100}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:100])


@BOTH
async def test_a_paused_job_is_cancelled(sandbox: Sandbox, sharing: LeadConnector, place: str) -> None:
    """It need not go on for that."""
    async with run_beside(sandbox, sharing, place) as (other, running):
        await other.pause()
        await asyncio.sleep(SECONDS)
        assert await other.cancel()
        async with asyncio.timeout(2 * SECONDS):
            assert set((await running).counts) == {"applied", "skipped"}


@BOTH
async def test_the_rate_of_a_running_job_changes(sandbox: Sandbox, sharing: LeadConnector, place: str) -> None:
    """Down and up, within a second; and the job keeps it when it is opened again."""
    async with run_beside(sandbox, sharing, place, count=250) as (other, running):
        await other.set_rate(2.0)
        await asyncio.sleep(SECONDS)
        before = len(writes(sandbox))
        await asyncio.sleep(2)
        assert len(writes(sandbox)) - before <= 8
        await other.set_rate(None)
        async with asyncio.timeout(60):  # at the old rate it would take two minutes
            assert (await running).counts == {"applied": 250}
        await other.set_rate(3.0)
    async with await BulkJob.open(place, sharing) as job:
        assert job.options == JobOptions(concurrency=4, rate=3.0)


async def test_an_appointment_that_was_moved_out_of_the_way_is_moved_back(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """When the rows that it was moved for are cancelled."""
    ring = of_one_doctor(sandbox, 3)
    async with await BulkJob.create(tmp_path / "job", client, rows(*exchange(ring))) as job:
        assert (await job.run(limit=1)).counts == {"pending": 3}
        moved = [event for event in ring if sandbox.appointment(event.id) != event]
        assert len(moved) == 1
        assert await job.cancel()
        assert (await job.summarize()).counts == {"skipped": 3}
        reasons = dict(await select(job, "SELECT event_id, reason FROM rows WHERE parks IS NULL"))
    assert reasons[moved[0].id] == f"{CANCELLED}. Its appointment was moved out of the way first, and then back."
    assert [sandbox.appointment(event.id) for event in ring] == ring


async def test_a_job_that_nobody_runs_is_cancelled_without_a_client(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """What may have been sent is unknown, what was only moved out of the way says so; nothing is sent."""
    ring, (first, *others) = of_one_doctor(sandbox, 3), week_later(sandbox)[100:110]
    async with await BulkJob.create(tmp_path / "job", client, rows(*exchange(ring), first, *others)) as job:
        await job.run(limit=1)
        send = "UPDATE rows SET state = 'sent' WHERE number = (SELECT MAX(number) FROM rows)"
        await job._journal.run(lambda journal: journal.write(send))
    requests = count_requests(sandbox)
    async with await BulkJob.open(tmp_path / "job") as job:
        assert await job.cancel()
        with pytest.raises(ConfigurationError, match=r"has ended \(0 applied, 13 failed\)"):
            await job.cancel()
        assert (await job.summarize()).counts == {"unknown": 1, "skipped": 12}
        reasons = await select(job, "SELECT DISTINCT reason FROM rows WHERE state = 'skipped' AND parks IS NULL")
    assert {reason for (reason,) in reasons} == {
        CANCELLED,
        f"{CANCELLED}: its appointment was moved out of the way first, and was not moved back",
    }
    assert count_requests(sandbox) == requests


async def test_a_row_in_flight_is_read_back_when_its_job_is_cancelled(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """It was applied, or it was not: either is said, and nothing is sent again."""
    plan = week_later(sandbox, 2)
    async with await BulkJob.create(tmp_path / "job", client, rows(*plan)) as job:
        await job.run(limit=1)
        await job._journal.run(lambda journal: journal.write("UPDATE rows SET state = 'sent'"))
        assert await job.cancel()
        assert (await job.summarize()).counts == {"applied": 1, "skipped": 1}
    assert len(writes(sandbox)) == 1


async def test_what_makes_no_sense_is_refused(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """With a sentence that says what to do."""
    folder = tmp_path / "job"
    idle = f"Nobody runs {folder}; leadconnector resume {folder} runs it here"
    async with await BulkJob.create(folder, client, rows(*week_later(sandbox, 2))) as job:
        for instruct in (job.pause, job.resume):
            with pytest.raises(ConfigurationError) as caught:
                await instruct()
            assert str(caught.value) == idle
    async with await BulkJob.open(folder) as other:
        for instruct in (other.pause, other.resume):
            with pytest.raises(ConfigurationError) as caught:
                await instruct()
            assert str(caught.value) == idle
        with pytest.raises(ConfigurationError, match="rate is 0; it must be greater than 0"):
            await other.set_rate(0)
    async with run_beside(sandbox, client, tmp_path / "other") as (other, _):
        await other._journal.run(lambda journal: None)
        await other.pause()
        await asyncio.sleep(SECONDS)
        sandbox.faults.plan("get_appointment", ["stall 5"] * 20)
        await other.cancel()
        with pytest.raises(ConfigurationError, match="is being cancelled"):
            await other.resume()


async def test_a_pause_ends_with_the_process_that_was_to_pause(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Whoever opens the job then runs it."""
    async with run_beside(sandbox, client, tmp_path / "job") as (other, _):
        await other.pause()
    async with await BulkJob.open(tmp_path / "job", client) as job:
        assert (await job.run()).counts == {"applied": 100}


async def test_a_cancellation_survives_its_process(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """A job that was to be cancelled when its process ended sends nothing more."""
    async with run_beside(sandbox, client, tmp_path / "job") as (other, running):
        await other.cancel()
        running.cancel()
        await asyncio.wait([running])
    sent = len(writes(sandbox))
    async with await BulkJob.open(tmp_path / "job", client) as job:
        assert (await job.run()).counts == {"applied": sent, "skipped": 100 - sent}
    assert len(writes(sandbox)) == sent


async def test_another_process_pauses_resumes_slows_and_cancels(sandbox: Sandbox, tmp_path: Path) -> None:
    """As a person does beside a running job: each takes effect within a second, by the server's log."""
    plan, folder = tmp_path / "plan.jsonl", tmp_path / "job"
    plan.write_text("".join(json.dumps(cells) + "\n" for cells in week_later(sandbox)))
    arguments = (sandbox.url, sandbox.token, sandbox.location_id, str(folder), str(plan))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.jobs.job_child", *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        await wait_until(lambda: len(writes(sandbox)) >= 20)
        async with await BulkJob.open(folder) as job:
            with pytest.raises(JournalError, match="Another process is working on"):
                await BulkJob.open(folder, LeadConnector(sandbox.token, location_id=sandbox.location_id))
            assert await job.pause()
            await asyncio.sleep(SECONDS)
            paused = count_requests(sandbox)
            await asyncio.sleep(SECONDS)
            assert count_requests(sandbox) == paused
            assert await job.resume()
            await wait_until(lambda: len(writes(sandbox)) >= 60)
            await job.set_rate(1.0)
            await asyncio.sleep(SECONDS)
            slow = len(writes(sandbox))
            await asyncio.sleep(2)
            assert len(writes(sandbox)) - slow <= 4
            assert await job.cancel()
        async with asyncio.timeout(10):
            output, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    counts, stopped = json.loads(output)
    assert counts == {"applied": len(writes(sandbox)), "skipped": 250 - len(writes(sandbox))}
    assert not stopped
