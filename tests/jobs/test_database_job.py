"""A job in a Postgres database, from the process that creates it: everything short of workers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta

import pytest

from leadconnector_async import (
    ConfigurationError,
    JournalError,
    LeadConnector,
    PlanError,
    Shared,
    WorkersMissingError,
)
from leadconnector_async.jobs import BulkJob, JobOptions, following, handle, list_jobs, purge_jobs, read_status
from leadconnector_async.jobs.places import parse_place
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from ..leaks import show_all
from ..servers import take_port
from .conftest import make_database
from .jobbing import FAST, QUICK_START, at, picture, rows, week_later, writes

PASSWORD = "pass-w0rd-zzzz"
pytestmark = pytest.mark.sandbox(appointments=20, limits=FAST)


@pytest.fixture
async def client(make_client: MakeClient, jobs_database: str) -> AsyncIterator[LeadConnector]:
    """One that shares its limits, as writes to a job of a database must."""
    async with Shared(jobs_database) as shared:
        yield make_client(shared=shared, rate_limit=QUICK_START)


@pytest.fixture
def name(jobs_database: str, request: pytest.FixtureRequest) -> str:
    return f"{jobs_database}#{request.node.originalname[:60].replace('[', '_')}"


async def test_a_job_runs_in_the_process_that_created_it(
    sandbox: Sandbox, client: LeadConnector, name: str
) -> None:
    """As in a folder: prepared, run, verified and undone; no file is written."""
    before = picture(sandbox)
    async with await BulkJob.create(name, client, rows(*week_later(sandbox, 20))) as job:
        assert job.name == parse_place(name).name
        assert job.folder is None
        assert (await job.prepare()).counts == {"pending": 20}
        summary = await job.run()
        assert summary.counts == {"applied": 20}
    async with await BulkJob.open(name, client) as job:
        verification = await job.verify()
        assert (verification.checked, verification.differing) == (20, ())
        plan = await job.plan_undo()
        options = JobOptions(allow_past=True)
        async with await BulkJob.create(f"{name}.undo", client, plan.rows, options=options) as undo:
            assert (await undo.run()).counts == {"applied": 20}
    assert picture(sandbox) == before
    entries = {one.name: one for one in list_jobs(name.partition("#")[0])}
    entry = entries[parse_place(name).name]
    assert (entry.phase, entry.rows, entry.done, entry.failed, entry.workers) == ("done", 20, 20, 0, 0)


async def test_bad_rows_leave_nothing_in_the_database(client: LeadConnector, name: str) -> None:
    """And the same name can be used for the plan without them."""
    with pytest.raises(PlanError):
        await BulkJob.create(name, client, rows({"event_id": "x", "start_time": "tomorrow"}))
    with pytest.raises(JournalError, match=r"There is no job .* leadconnector jobs postgresql://"):
        await BulkJob.open(name, client)
    async with await BulkJob.create(name, client, rows({"event_id": "x", "title": "x"})):
        pass
    with pytest.raises(ConfigurationError, match="already exists: resume it, or choose another name"):
        await BulkJob.create(name, client, rows({"event_id": "x", "title": "x"}))


async def test_a_discarded_job_is_gone(sandbox: Sandbox, client: LeadConnector, name: str) -> None:
    """With all that was read for it."""
    job = await BulkJob.create(name, client, rows(*week_later(sandbox, 3)))
    await job.prepare()
    await job.discard()
    with pytest.raises(JournalError, match="There is no job"):
        await BulkJob.open(name)


async def test_one_process_at_a_time_works_on_a_location(
    sandbox: Sandbox, client: LeadConnector, name: str
) -> None:
    """Another is told who has it; looking at the job is always possible."""
    sandbox.faults.plan("update_appointment", ["ok", "stall 5"])
    async with await BulkJob.create(name, client, rows(*week_later(sandbox, 4))) as job:
        begun = asyncio.Event()
        running = asyncio.create_task(job.run(on_outcome=lambda outcome: begun.set()))
        await begun.wait()
        async with await BulkJob.open(name, client) as other:
            with pytest.raises(ConfigurationError, match=r"is being worked on by .* \(pid \d+\); pause the job"):
                await other.verify()
            assert 1 <= (await other.summarize()).counts["applied"] < 4
        assert (await running).counts == {"applied": 4}


async def test_a_job_of_a_database_needs_shared_limits_to_be_run(
    sandbox: Sandbox, make_client: MakeClient, name: str
) -> None:
    """Only then can a write be refused to a process that others took for dead. Reading needs nothing."""
    async with await BulkJob.create(name, make_client(), rows(*week_later(sandbox, 2))) as job:
        await job.prepare()
        with pytest.raises(ConfigurationError, match=r"create the client with a shared store, shared=Shared\("):
            await job.run()
    assert not writes(sandbox)


async def test_a_job_that_nobody_runs_is_cancelled_by_the_caller(
    sandbox: Sandbox, client: LeadConnector, name: str
) -> None:
    """Its rows are skipped; it has ended then, and `retry_failed` takes them up again."""
    async with await BulkJob.create(name, client, rows(*week_later(sandbox, 3))) as job:
        await job.prepare()
        assert await job.cancel()
        assert (await job.summarize()).counts == {"skipped": 3}
        with pytest.raises(ConfigurationError, match=r"has ended \(0 applied, 3 failed\)"):
            await job.pause()
        assert await job.retry_failed() == 3
        assert (await job.run()).counts == {"applied": 3}


async def test_a_retry_does_not_end_a_pause(sandbox: Sandbox, client: LeadConnector, name: str) -> None:
    """Whoever has paused the job wants it to wait; what is requeued waits, too."""
    async with await BulkJob.create(name, client, rows(*week_later(sandbox, 3))) as job:
        await job.submit()
        await job.pause()
        await job.retry_failed()
        async for progress in job.watch():
            assert progress.phase == "paused"
            break


async def test_a_submitted_job_is_left_to_the_workers(sandbox: Sandbox, client: LeadConnector, name: str) -> None:
    """It is not run here; pausing and rates are written for them; submitting twice changes nothing."""
    async with await BulkJob.create(name, client, rows(*week_later(sandbox, 3))) as job:
        await job.submit()
        await job.submit()
        with pytest.raises(ConfigurationError, match=r"was submitted to workers: use wait\(\) or watch\(\)"):
            await job.run()
        assert await job.pause()
        assert not await job.pause()
        await job.set_rate(5.0)
        async for progress in job.watch():
            assert (progress.phase, progress.workers, progress.total) == ("paused", 0, 3)
            break
        [entry] = [one for one in list_jobs(name.partition("#")[0]) if one.name == job.name]
        assert (entry.phase, entry.rate) == ("paused", 5.0)
        assert await job.resume()
        assert await job.cancel()
        assert (await job.wait()).counts == {"skipped": 3}
    assert not writes(sandbox)


async def test_a_folder_cannot_be_submitted(sandbox: Sandbox, client: LeadConnector, tmp_path: object) -> None:
    """It is said what to do instead."""
    async with await BulkJob.create(f"{tmp_path}/day.job", client, rows(*week_later(sandbox, 1))) as job:
        with pytest.raises(ConfigurationError, match=r"day\.job is a folder, which one process runs: call run\(\)"):
            await job.submit()


@pytest.fixture
def own_database(postgres_server: str) -> Iterator[str]:
    """A database in which no other test leaves jobs."""
    with make_database(postgres_server) as url:
        yield url


async def test_ended_jobs_are_purged(sandbox: Sandbox, client: LeadConnector, own_database: str) -> None:
    """Those that ended long enough ago; others stay, and so does one that was not run yet."""
    url, name = own_database, f"{own_database}#purged"
    bad = at(sandbox.appointment(sandbox.appointment_ids[0]), assigned_user_id="nobody")
    async with await BulkJob.create(f"{name}.1", client, rows(bad, *week_later(sandbox, 3)[1:])) as job:
        await job.run()
    async with await BulkJob.create(f"{name}.2", client, rows(*week_later(sandbox, 3))):
        pass
    assert purge_jobs(url, timedelta(days=1)) == []
    assert purge_jobs(url, timedelta(0)) == [job.name]
    assert [one.name for one in list_jobs(url)] == [f"{parse_place(name).name}.2"]


async def test_a_job_without_workers_says_so(
    sandbox: Sandbox, client: LeadConnector, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, with the command that starts one; a paused job needs none. It stays submitted."""
    monkeypatch.setattr(following, "PATIENCE", 1.0)
    monkeypatch.setattr(handle, "PATIENCE", 1.0)
    async with await BulkJob.create(name, client, rows(*week_later(sandbox, 3))) as job:
        await job.submit()
        with pytest.raises(WorkersMissingError) as caught:
            await job.wait()
        assert str(caught.value) == (
            "No worker has been seen for 1 s: start one with leadconnector worker "
            f"{job.name.partition('#')[0]}. The job stays submitted."
        )
        await job.pause()
        seen = 0
        async for progress in job.watch():
            seen += 1
            assert progress.phase == "paused"
            if seen == 4:
                break
        assert (await job.summarize()).counts == {"loaded": 3}


async def call(work: Callable[[], object]) -> object:
    return work()


async def test_no_password_is_shown_if_a_database_cannot_be_reached(client: LeadConnector) -> None:
    """Neither in the error nor in any frame, whatever was to be done with the job."""
    url = f"postgresql://me:{PASSWORD}@127.0.0.1:{take_port()}/leads"
    plan = rows({"event_id": "x", "title": "x"})
    for act in (
        lambda: BulkJob.create(f"{url}#march", client, plan),
        lambda: BulkJob.open(f"{url}#march", client),
        lambda: BulkJob.open(f"{url}#march"),
        lambda: call(lambda: list_jobs(url)),
        lambda: call(lambda: read_status(f"{url}#march")),
        lambda: call(lambda: purge_jobs(url, timedelta(days=1))),
    ):
        with pytest.raises(JournalError, match="could not be reached") as caught:
            await act()
        assert PASSWORD not in show_all(caught.value)
