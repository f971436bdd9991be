"""Ends that are not polite: errors out of the ordinary, tasks cancelled from outside, an event loop that stands."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from leadconnector_async import JournalError, LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, RowOutcome
from leadconnector_async.jobs.journal import rows as journal_rows
from leadconnector_async.jobs.journal.database import SQLiteJournal
from leadconnector_async.jobs.journal.rows import OpenRow
from leadconnector_async.jobs.run import runner, start_ahead
from leadconnector_async.sandbox import Sandbox

from ..jobbing import FAST, exchange, of_one_doctor, rows, select, week_later, writes

pytestmark = pytest.mark.sandbox(limits=FAST)

HANG = 20
"""Seconds after which a job that should have ended counts as one that hangs."""


@pytest.fixture(autouse=True)
def endless_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only ends with the grace does not end."""
    monkeypatch.setattr(runner, "GRACE_SECONDS", 10 * HANG)


async def begin(sandbox: Sandbox, client: LeadConnector, folder: Path, concurrency: int) -> BulkJob:
    """A job that is prepared, whose every change takes a while."""
    options = JobOptions(concurrency=concurrency)
    job = await BulkJob.create(folder, client, rows(*week_later(sandbox)), options=options)
    await job.prepare()
    sandbox.faults.plan("update_appointment", ["stall 0.5"] * 250)
    return job


def count_requests(sandbox: Sandbox) -> int:
    return len(sandbox.requests.of("update_appointment"))


def fail_with(error: BaseException, *, at: int) -> list[RowOutcome]:
    """Outcomes that take no more from some number on."""

    class Outcomes(list[RowOutcome]):
        def append(self, outcome: RowOutcome) -> None:
            super().append(outcome)
            if len(self) == at:
                raise error

    return Outcomes()


@pytest.mark.parametrize("concurrency", [4, 40])
def test_a_job_is_stopped_while_its_loop_stands(tmp_path: Path, concurrency: int) -> None:
    """As a program does that catches `KeyboardInterrupt` around `run_until_complete`."""

    async def enter() -> tuple[Sandbox, LeadConnector, BulkJob]:
        sandbox = await Sandbox(limits=FAST).__aenter__()
        client = LeadConnector(sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id)
        return sandbox, client, await begin(sandbox, client, tmp_path / "job", concurrency)

    with asyncio.Runner() as own:
        sandbox, client, job = own.run(enter())
        outcomes: list[RowOutcome] = []
        task = own.get_loop().create_task(job.run(on_outcome=outcomes.append))
        own.run(asyncio.sleep(0.1))
        left = len(outcomes) + job.stop()
        summary = own.run(asyncio.wait_for(task, HANG))
        assert [one.kind for one in summary.stopped] == ["interrupted"]
        assert summary.counts == {"applied": left, "pending": 250 - left}
        for closing in (job.aclose(), client.aclose(), sandbox.__aexit__(None, None, None)):
            own.run(closing)


@pytest.mark.parametrize("kind", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("concurrency", [4, 40])
def test_an_outcome_that_ends_the_program_ends_the_run(
    tmp_path: Path, kind: type[BaseException], concurrency: int
) -> None:
    """It comes out of `run`, once those that had left have ended; the journal knows them all."""

    async def play() -> None:
        async with Sandbox(limits=FAST) as sandbox:
            async with LeadConnector(
                sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id
            ) as client:
                async with await BulkJob.create(
                    tmp_path / "job",
                    client,
                    rows(*week_later(sandbox)),
                    options=JobOptions(concurrency=concurrency),
                ) as job:
                    async with asyncio.timeout(HANG):
                        await job.run(on_outcome=fail_with(kind(), at=3).append)

    with pytest.raises(kind):
        asyncio.run(play())


@pytest.mark.parametrize("concurrency", [4, 40])
async def test_a_program_that_cancels_all_tasks_waits_for_nothing(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, concurrency: int
) -> None:
    """Those of the journal as well; the next run looks at what was in doubt, and does the rest."""
    before = asyncio.all_tasks()
    async with await begin(sandbox, client, tmp_path / "job", concurrency) as job:
        running = asyncio.create_task(job.run())
        async with asyncio.timeout(HANG):
            while not (count_requests(sandbox) and job._journal._queue.writing):
                await asyncio.sleep(0)
            for task in asyncio.all_tasks() - before:
                if "leadconnector_async/jobs" in repr(task):
                    task.cancel()
            await asyncio.wait([running])
    sandbox.faults.clear()
    async with await BulkJob.open(tmp_path / "job", client) as job:
        assert (await job.run()).counts == {"applied": 250}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids)


async def test_a_run_that_is_cancelled_twice_leaves_nothing_at_the_server(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Two Ctrl-C, or one and a timeout: no request of a job that is closed is still under way."""
    async with await begin(sandbox, client, tmp_path / "job", 4) as job:
        running = asyncio.create_task(job.run())
        await asyncio.sleep(0.1)
        for _ in range(2):
            running.cancel()
            await asyncio.sleep(0.02)
        async with asyncio.timeout(HANG):
            await asyncio.wait([running])
        assert not [task for task in asyncio.all_tasks() if "LocationRun" in repr(task)]
    assert count_requests(sandbox) < 250


async def test_a_journal_that_cannot_be_read_stops_what_has_not_left(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It need not wait until it is written to."""
    sent: list[int] = []
    fetch = journal_rows.fetch_open

    def fail(after: tuple[int, int], most: int, journal: SQLiteJournal) -> list[OpenRow]:
        if after[1] > 0:
            until = time.monotonic() + HANG
            while count_requests(sandbox) < 40 and time.monotonic() < until:
                time.sleep(0.001)  # their intents are on disk, and a busy machine has yet to send some of them
            sent.append(count_requests(sandbox))
            raise JournalError("cannot be read")
        return fetch(after, most, journal)

    monkeypatch.setattr(journal_rows, "fetch_open", fail)
    monkeypatch.setattr(start_ahead, "SECONDS", 15.0)  # as many ahead as at a server that is fast
    async with await begin(sandbox, client, tmp_path / "job", 40) as job:
        async with asyncio.timeout(HANG):
            with pytest.raises(JournalError, match="cannot be read"):
                await job.run()
        states = Counter(state for (state,) in await select(job, "SELECT state FROM rows"))
    assert states == {"applied": count_requests(sandbox), "pending": 250 - count_requests(sandbox)}
    assert 40 <= sent[0] <= count_requests(sandbox) <= sent[0] + 40 < 200


async def test_an_appointment_on_its_way_back_is_under_way(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """It was put out of the way for rows that have come to nothing; a stop waits until it is back."""
    events = of_one_doctor(sandbox, 3)
    async with await BulkJob.create(tmp_path / "job", client, rows(*exchange(events))) as job:
        await job.prepare()
        sandbox.faults.plan("update_appointment", ["ok", "422", "stall 0.3"])
        running = asyncio.create_task(job.run())
        async with asyncio.timeout(HANG):
            while count_requests(sandbox) < 3:
                await asyncio.sleep(0.01)
            assert job.stop() == 1
            summary = await running
    assert summary.counts == {"failed": 1, "skipped": 2}
    assert [sandbox.appointment(event.id) for event in events] == events
