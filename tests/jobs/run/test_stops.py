"""Stopping a job, at whatever moment and for whatever reason: what has not left is on its turn again."""

import asyncio
import random
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from leadconnector_async import (
    Appointment,
    BadRequestError,
    LeadConnector,
    RateLimit,
    SlotUnavailableError,
    TransportError,
)
from leadconnector_async.events import Event, RequestSent, ResponseReceived
from leadconnector_async.jobs import BulkJob, JobOptions, RowOutcome
from leadconnector_async.jobs.journal import writer
from leadconnector_async.jobs.journal.database import SQLiteJournal
from leadconnector_async.jobs.journal.groups import Entry, Hold
from leadconnector_async.jobs.journal.protocol import FenceLostError
from leadconnector_async.jobs.run import execute
from leadconnector_async.reschedule.apply import BeginReading, Operations, Planned, Update
from leadconnector_async.sandbox import Limits, Sandbox

from ..jobbing import FAST, at, exchange, of_one_doctor, rows, run, select, week_later, writes

pytestmark = pytest.mark.sandbox(limits=FAST)

CONCURRENCIES = [1, 16, 50]
"""Rows wait for nothing but the server, and, from 32 on, on their way to the disk and back as well."""


async def count_states(job: BulkJob) -> Counter[object]:
    return Counter(state for (state,) in await select(job, "SELECT state FROM rows"))


async def check(job: BulkJob, sandbox: Sandbox) -> Counter[object]:
    """No row is under way, and what the journal calls applied is what the server has applied."""
    states = await count_states(job)
    assert set(states) <= {"applied", "pending"}
    assert states["applied"] == len(writes(sandbox))
    return states


@pytest.mark.parametrize("concurrency", CONCURRENCIES)
async def test_a_stop_calls_back_what_has_not_left(
    sandbox: Sandbox, client: LeadConnector, place: str, concurrency: int
) -> None:
    """Ten times, at random moments; each run goes on where the last one was stopped."""
    chooser = random.Random(concurrency)
    options = JobOptions(concurrency=concurrency)
    async with await BulkJob.create(place, client, rows(*week_later(sandbox)), options=options) as job:
        await job.prepare()
        done = 0
        for _ in range(10):
            outcomes: list[RowOutcome] = []
            known: list[int] = []
            stop = asyncio.get_running_loop().call_later(
                chooser.uniform(0, 0.06),
                lambda known, outcomes: known.extend((job.stop(), len(outcomes))),
                known,
                outcomes,
            )
            await job.run(on_outcome=outcomes.append)
            stop.cancel()
            done += sum(known) if known else len(outcomes)
            assert (await check(job, sandbox))["applied"] == done
        assert (await job.run()).counts == {"applied": 250}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids)


@pytest.mark.parametrize("concurrency", CONCURRENCIES)
async def test_a_program_that_fails_at_an_outcome_ends_the_run(
    sandbox: Sandbox, client: LeadConnector, place: str, concurrency: int
) -> None:
    """It gets its own error back; the journal has the outcome, and the job goes on."""
    options = JobOptions(concurrency=concurrency)
    async with await BulkJob.create(place, client, rows(*week_later(sandbox)), options=options) as job:

        def fail(outcome: RowOutcome) -> None:
            raise ZeroDivisionError(outcome.event_id)

        with pytest.raises(ZeroDivisionError):
            await job.run(on_outcome=fail)
        states = await check(job, sandbox)
        assert states["applied"] > 0
        assert (await job.run()).counts == {"applied": 250}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids)


@pytest.mark.parametrize("concurrency", CONCURRENCIES)
async def test_no_more_rows_are_at_the_server_than_were_asked_for(
    sandbox: Sandbox, client: LeadConnector, place: str, concurrency: int
) -> None:
    """While others are on their way to the disk and back."""
    at_server: list[int] = [0]

    def count(event: Event) -> None:
        if event.operation == "update_appointment" and isinstance(event, RequestSent | ResponseReceived):
            at_server.append(at_server[-1] + (1 if isinstance(event, RequestSent) else -1))

    options = JobOptions(concurrency=concurrency)
    watched = client.with_options(on_event=count)
    sandbox.faults.plan("update_appointment", ["stall 0.05"] * 60)
    async with await BulkJob.create(place, watched, rows(*week_later(sandbox, 60)), options=options) as job:
        await job.run()
    assert 0 < max(at_server) <= concurrency
    assert at_server[-1] == 0


async def test_the_way_back_of_an_appointment_takes_a_place_as_well(
    sandbox: Sandbox, client: LeadConnector, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that was put out of the way for rows that come to nothing, while others go on."""
    carry_out, at_server = execute.carry_out, [0]
    ring, others = of_one_doctor(sandbox, 3), week_later(sandbox)[50:]

    def count(event: Event) -> None:
        if isinstance(event, RequestSent | ResponseReceived):
            at_server.append(at_server[-1] + (1 if isinstance(event, RequestSent) else -1))

    async def fail_last(
        client: Operations, planned: Planned, *, verify: bool, send: Update, begin: BeginReading | None = None
    ) -> Appointment:
        if planned.event_id == ring[2].id:
            raise BadRequestError("No.", operation="update_appointment", outcome="not_applied")
        return await carry_out(client, planned, verify=verify, send=send, begin=begin)

    monkeypatch.setattr(execute, "carry_out", fail_last)
    options = JobOptions(concurrency=32)
    plan = rows(*exchange(ring), *others)
    async with await BulkJob.create(place, client.with_options(on_event=count), plan, options=options) as job:
        await job.prepare()
        at_server.clear()
        at_server.append(0)
        sandbox.faults.plan("update_appointment", ["stall 0.05"] * 250)
        summary = await job.run()
    assert summary.counts == {"applied": 200, "failed": 1, "skipped": 2}
    assert [sandbox.appointment(event.id) for event in ring] == ring
    assert max(at_server) <= 32


@pytest.mark.parametrize("concurrency", CONCURRENCIES)
async def test_a_limit_is_kept_exactly(
    sandbox: Sandbox, client: LeadConnector, place: str, concurrency: int
) -> None:
    """Not a row more, and what was started is finished."""
    options = JobOptions(concurrency=concurrency)
    async with await BulkJob.create(place, client, rows(*week_later(sandbox)), options=options) as job:
        for done in (1, 8, 105):
            await job.run(limit={1: 1, 8: 7, 105: 97}[done])
            assert await check(job, sandbox) == {"applied": done, "pending": 250 - done}


@pytest.mark.parametrize("concurrency", CONCURRENCIES)
async def test_a_row_that_is_put_off_leaves_its_place_to_the_next(
    sandbox: Sandbox, client: LeadConnector, place: str, concurrency: int
) -> None:
    """Those that want a time that is taken are tried again after all others, and have failed then."""
    first, second, *others = of_one_doctor(sandbox, 5)
    plan = rows(
        at(first, start=second.start_time.isoformat()),
        *(at(event, start=(event.start_time + timedelta(weeks=1)).isoformat()) for event in others),
    )
    async with asyncio.timeout(20):
        summary = await run(place, client, plan, concurrency=concurrency)
    assert summary.counts == {"failed": 1, "applied": 3}


@pytest.mark.parametrize("others", range(4))
@pytest.mark.parametrize("concurrency", [2, 4, 50])
async def test_the_last_row_that_is_put_off_is_tried_again_in_the_same_run(
    sandbox: Sandbox,
    client: LeadConnector,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    concurrency: int,
    others: int,
) -> None:
    """However long the disk takes to note that it was put off."""
    commit = writer._commit

    def commit_slowly(journal: SQLiteJournal, entries: list[Entry]) -> dict[Hold, FenceLostError]:
        time.sleep(0.02)
        return commit(journal, entries)

    monkeypatch.setattr(writer, "_commit", commit_slowly)
    first, second, *rest = of_one_doctor(sandbox, 3 + others)
    plan = rows(
        *(at(event, start=(event.start_time + timedelta(weeks=1)).isoformat()) for event in rest),
        at(first, start=second.start_time.isoformat()),
    )
    summary = await run(place, client, plan, concurrency=concurrency)
    assert summary.counts == {"failed": 1, "applied": 1 + others}


@pytest.mark.parametrize("concurrency", CONCURRENCIES)
async def test_rows_that_wait_for_the_limit_are_called_back_at_once(tmp_path: Path, concurrency: int) -> None:
    """The window is an hour long: nobody waits for it, nor for the grace of those that have left."""
    limits = Limits(max_requests=60, interval=3600.0)
    async with Sandbox(limits=limits) as sandbox:
        async with LeadConnector(
            sandbox.token,
            base_url=sandbox.url,
            location_id=sandbox.location_id,
            rate_limit=RateLimit(interactive_reserve=0),
        ) as client:
            plan = rows(*week_later(sandbox))
            options = JobOptions(concurrency=concurrency)
            async with await BulkJob.create(tmp_path / "job", client, plan, options=options) as job:
                running = asyncio.create_task(job.run())
                async with asyncio.timeout(30):
                    while client.quota.remaining != 0:
                        await asyncio.sleep(0.01)
                async with asyncio.timeout(30):
                    job.stop()
                    await running
                assert (await check(job, sandbox))["applied"] > 0


async def test_a_row_that_is_put_off_behind_another_one_is_tried_again(
    sandbox: Sandbox, client: LeadConnector, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its refusal comes while the other one's turn has come already, and it stands before that in the plan."""
    carry_out = execute.carry_out
    refused: set[str] = set()

    async def refuse_once(
        client: Operations, planned: Planned, *, verify: bool, send: Update, begin: BeginReading | None = None
    ) -> Appointment:
        if planned.event_id in refused:
            return await carry_out(client, planned, verify=verify, send=send, begin=begin)
        refused.add(planned.event_id)
        await asyncio.sleep(0.2 if planned.event_id == sandbox.appointment_ids[0] else 0.0)
        raise SlotUnavailableError("The slot is taken.", operation="update_appointment", outcome="not_applied")

    monkeypatch.setattr(execute, "carry_out", refuse_once)
    summary = await run(place, client, rows(*week_later(sandbox, 2)), concurrency=2)
    assert summary.counts == {"applied": 2}


@pytest.mark.parametrize("concurrency", [4, 16, 50])
async def test_a_chain_whose_first_row_meets_a_dead_network_twice_goes_on(
    sandbox: Sandbox, client: LeadConnector, place: str, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    """Every row waits for the next one; all are put off behind each other, and all are sent in this run."""
    carry_out = execute.carry_out
    events = of_one_doctor(sandbox, 60)
    tries: list[str] = []

    async def fail_twice(
        client: Operations, planned: Planned, *, verify: bool, send: Update, begin: BeginReading | None = None
    ) -> Appointment:
        if planned.event_id == events[-1].id and len(tries) < 2:
            tries.append(planned.event_id)
            raise TransportError("No connection.", operation="update_appointment", outcome="not_applied")
        return await carry_out(client, planned, verify=verify, send=send, begin=begin)

    monkeypatch.setattr(execute, "carry_out", fail_twice)
    plan = rows(*(at(one, start=(one.start_time + timedelta(minutes=15)).isoformat()) for one in reversed(events)))
    summary = await run(place, client, plan, concurrency=concurrency)
    assert (len(tries), summary.counts) == (2, {"applied": len(events)})
