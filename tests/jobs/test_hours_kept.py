"""A job outside of its hours, whoever runs it: nothing is sent, everybody sees until when, and then it goes on."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.jobs import (
    BulkJob,
    JobEntry,
    JobOptions,
    JobProgress,
    JobStatus,
    control,
    list_jobs,
    list_open_locations,
    read_status,
    work_location,
)
from leadconnector_async.jobs.journal import leases
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from .jobbing import FAST, rows, week_later, writes

pytestmark = pytest.mark.sandbox(appointments=6, limits=FAST)
real_time = time.time


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The hours of `make_options` begin when it is called: somebody puts the clock on the wall forward."""
    monkeypatch.setattr(control, "_LONGEST_SLEEP", 0.05)
    return partial(monkeypatch.setattr, time, "time", lambda: real_time() + 7200)


def make_options() -> tuple[JobOptions, float]:
    """Hours that begin in about two hours, and when that is."""
    begin = (datetime.now(UTC) + timedelta(minutes=119)).replace(second=0, microsecond=0)
    only = f"{begin:%H:%M}-{begin + timedelta(hours=3):%H:%M}"
    return JobOptions(only=only, only_timezone="UTC", concurrency=4), begin.timestamp()


async def wait_until_paused(place: str) -> None:
    async with asyncio.timeout(20):
        while (await asyncio.to_thread(read_status, place)).phase != "paused":
            await asyncio.sleep(0.02)


async def look(place: str) -> tuple[JobProgress, JobStatus, JobEntry]:
    """What another process sees of a job."""
    async with await BulkJob.open(place) as other:
        progress = await anext(other.watch())
    status = await asyncio.to_thread(read_status, place)
    where, _, name = place.partition("#")
    entries = await asyncio.to_thread(list_jobs, where)
    return progress, status, next(one for one in entries if one.name.endswith(name or where))


@pytest.mark.parametrize("place", ["folder"], indirect=True)
async def test_a_folder_waits_for_its_hours(
    sandbox: Sandbox, client: LeadConnector, place: str, later: Callable[[], None]
) -> None:
    """Every other process sees it as paused, and until when; a second one that resumes it keeps to them as well."""
    options, begins = make_options()
    async with await BulkJob.create(place, client, rows(*week_later(sandbox, 6)), options=options) as job:
        await job.prepare()
        task = asyncio.create_task(job.run())
        await wait_until_paused(place)
        for seen in await look(place):
            assert seen.phase == "paused"
            assert getattr(seen, "resume_at", begins) == begins
        job.stop()
        assert (await task).counts == {"pending": 6}
    assert (await look(place))[1].resume_at is None
    async with await BulkJob.open(place, client) as job:
        assert job.options == options
        task = asyncio.create_task(job.run())
        await wait_until_paused(place)
        assert not writes(sandbox)
        later()
        assert (await task).counts == {"applied": 6}


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_workers_leave_a_job_alone_until_its_hours_begin(
    sandbox: Sandbox, make_client: MakeClient, place: str, later: Callable[[], None]
) -> None:
    """They prepare it; then its locations are free, nobody takes them before, and no stop is shown."""
    options, begins = make_options()
    work = partial(work_location, place, client_for=lambda location: make_client())  # a worker closes it
    async with await BulkJob.create(place, make_client(), rows(*week_later(sandbox, 6)), options=options) as job:
        await job.submit()
        for _ in ("prepare", "run", "wait"):
            for location in await list_open_locations(place):
                await work(location)
        assert not writes(sandbox)
        for seen in await look(place):
            assert seen.phase == "paused"
            assert getattr(seen, "resume_at", begins) == begins
        assert (await job.summarize()).counts == {"pending": 6}
        assert (await look(place))[1].summary.stopped == ()
        of_job = partial(leases.list_unticketed, begins - 1, 9_999)
        keys = [one.job for one in await job._journal.run(of_job)]
        assert job._key not in keys
        keys = [one.job for one in await job._journal.run(partial(leases.list_unticketed, begins + 1, 9_999))]
        assert job._key in keys
        later()
        while locations := await list_open_locations(place):
            await work(locations[0])
        summary = await job.wait()
        assert (summary.counts, summary.stopped) == ({"applied": 6}, ())


@pytest.mark.parametrize("place", ["folder"], indirect=True)
async def test_a_cancelled_job_does_not_wait(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """Its rows are skipped at once, outside of its hours as well."""
    options, _ = make_options()
    async with (
        await BulkJob.create(place, client, rows(*week_later(sandbox, 6)), options=options) as job,
        await BulkJob.open(place) as other,
    ):
        task = asyncio.create_task(job.run())
        await wait_until_paused(place)
        await other.cancel()
        async with asyncio.timeout(10):
            assert (await task).counts == {"skipped": 6}


async def test_rows_in_flight_when_the_hours_end_finish_and_no_other_starts(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock on the wall decides, at any moment of a run."""
    options, _ = make_options()
    monkeypatch.setattr(control, "_LONGEST_SLEEP", 0.01)
    monkeypatch.setattr(time, "time", lambda: real_time() + 7200)
    plan = rows(*week_later(sandbox, 6))
    async with await BulkJob.create(tmp_path / "day.job", client, plan, options=options) as job:
        job.options = JobOptions(only=options.only, only_timezone="UTC", concurrency=1, rate=20)

        def end_the_hours(outcome: object) -> None:
            monkeypatch.setattr(time, "time", real_time)

        task = asyncio.create_task(job.run(on_outcome=end_the_hours))
        async with asyncio.timeout(20):
            while not writes(sandbox):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        summary = await job.summarize()
        assert 1 <= summary.counts["applied"] <= 3
        assert summary.counts["applied"] + summary.counts["pending"] == 6
        assert len(writes(sandbox)) == summary.counts["applied"]
        job.stop()
        await task
