"""The units of work of a job, each called by itself: what they do to one location, and to no other."""

import asyncio
import math
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Struct

from leadconnector_async import LeadConnector, TokenStoreError
from leadconnector_async._api.precondition import ReadingClock
from leadconnector_async._sharing.url import parse_address
from leadconnector_async.jobs import JobOptions, RowOutcome
from leadconnector_async.jobs.control import Control
from leadconnector_async.jobs.eta import ReadingLog
from leadconnector_async.jobs.journal.counts import count_by_location
from leadconnector_async.jobs.journal.folder import fill_journal
from leadconnector_async.jobs.journal.load import NewJob
from leadconnector_async.jobs.journal.protocol import FenceLostError, Journal
from leadconnector_async.jobs.journal.reviewing import count_reviewed
from leadconnector_async.jobs.journal.writer import JournalWriter, make_thread
from leadconnector_async.jobs.run.runner import Runner
from leadconnector_async.jobs.unit import (
    NO_FENCE,
    ClientFor,
    Fence,
    OpenJob,
    cancel_location,
    prepare_location,
    review_location,
    run_location,
)
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from .jobbing import FAST, rows, writes

pytestmark = pytest.mark.sandbox(appointments=20, locations=2, limits=FAST)


class Held(Struct, frozen=True):
    """The right to a location, as a worker has it that took it so often."""

    job: int
    location: str
    epoch: int

    def until(self) -> float:
        return math.inf


OPTIONS = JobOptions(concurrency=4)


@pytest.fixture(params=["sqlite", "postgres"])
def journal(sandbox: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Journal:
    """That of a job with all rows of two locations, whose titles change."""
    plan = rows(
        *(
            {"event_id": event_id, "title": "moved", "location_id": location}
            for location in sandbox.location_ids
            for event_id in sandbox.find_appointment_ids(location)
        )
    )
    if request.param == "sqlite":
        return fill_journal(str(tmp_path), NewJob(location="", options=OPTIONS), None, plan)
    from leadconnector_async.integrations import postgres_journal  # only this needs psycopg

    address = parse_address(request.getfixturevalue("jobs_database"))
    return postgres_journal.fill_journal(address, uuid.uuid4().hex, NewJob(location="", options=OPTIONS), 6.0, plan)


@pytest.fixture
async def job(journal: Journal) -> AsyncIterator[OpenJob]:
    """The job."""
    writer, clock = JournalWriter(journal, make_thread()), ReadingClock(asyncio.get_running_loop())
    yield OpenJob(journal.hold.job, writer, clock, ReadingLog(clock), Control(OPTIONS))
    await writer.close()


@pytest.fixture
def client_for(sandbox: Sandbox, make_client: MakeClient) -> ClientFor:
    """As a worker's application brings it: awaited, with a token of the location."""

    async def find(location: str) -> LeadConnector:
        await asyncio.sleep(0)
        return make_client(sandbox.issue_token(location_id=location), location_id=location)

    return find


def make_runner(job: OpenJob, outcomes: list[RowOutcome]) -> Runner:
    return Runner(job.control, job.clock, job.readings, on_outcome=outcomes.append)


async def take(job: OpenJob, location: str) -> Fence:
    """Take a location, as workers do."""
    where = (job.key, location)

    def raise_epoch(journal: Journal) -> int:
        journal.write("UPDATE locations SET epoch = epoch + 1 WHERE job = ? AND location = ?", where)
        found = journal.read_one(Epoch, "SELECT epoch FROM locations WHERE job = ? AND location = ?", where)
        assert found is not None
        return found.epoch

    return Held(job.key, location, await job.writer.run(raise_epoch))


class Epoch(Struct, array_like=True):
    epoch: int


async def count(job: OpenJob) -> dict[str, dict[str, int]]:
    """The states of rows, by location."""
    return dict(await job.writer.run(count_by_location))  # type: ignore[arg-type]


async def test_a_unit_works_on_its_location_alone(sandbox: Sandbox, job: OpenJob, client_for: ClientFor) -> None:
    """Prepared, run and compared with the calendar, while the other location stays as it was loaded."""
    one, other = sandbox.location_ids
    fence = await take(job, one)
    read: list[int] = []
    assert await prepare_location(job, one, fence, client_for, on_read=read.append) is None
    assert sum(read) == 20
    assert await count(job) == {one: {"pending": 20}, other: {"loaded": 20}}
    outcomes: list[RowOutcome] = []
    end = await run_location(job, one, fence, client_for, make_runner(job, outcomes))
    assert (end.stopped, end.finished) == (None, True)
    assert await count(job) == {one: {"applied": 20}, other: {"loaded": 20}}
    assert {outcome.location_id for outcome in outcomes} == {one}
    assert sorted(writes(sandbox)) == sorted(sandbox.find_appointment_ids(one))
    await review_location(job, one, fence, client_for, "sent")
    assert await job.writer.run(count_reviewed) == 20


async def test_a_location_without_a_client_stops_by_itself(
    sandbox: Sandbox, job: OpenJob, client_for: ClientFor
) -> None:
    """Preparing and running it say why; nothing is sent."""
    one, _ = sandbox.location_ids

    def refuse(location: str) -> LeadConnector:
        raise TokenStoreError("there is no token for it")

    stopped = await prepare_location(job, one, NO_FENCE, refuse)
    assert stopped is not None
    assert (stopped.kind, stopped.location_id) == ("authentication", one)
    await prepare_location(job, one, NO_FENCE, client_for)
    end = await run_location(job, one, NO_FENCE, refuse, make_runner(job, []))
    assert (end.stopped, end.finished) == (stopped, False)
    assert not writes(sandbox)


async def test_a_row_that_somebody_has_changed_is_reported_by_its_unit(
    sandbox: Sandbox, job: OpenJob, client_for: ClientFor
) -> None:
    """When the location is read again; the others are still to be sent."""
    one, _ = sandbox.location_ids
    await prepare_location(job, one, NO_FENCE, client_for)
    edited = sandbox.find_appointment_ids(one)[3]
    sandbox.edit_appointment(edited, title="by hand")
    await job.writer.run(lambda journal: journal.write("UPDATE rows SET read_at = NULL"))
    changed: list[RowOutcome] = []
    await prepare_location(job, one, NO_FENCE, client_for, on_changed=changed.append)
    assert [(outcome.event_id, outcome.state) for outcome in changed] == [(edited, "refused")]


@pytest.mark.parametrize(("takes", "is_read"), [(0, False), (1, False), (2, True)])
async def test_what_another_worker_may_have_read_is_read_again(
    sandbox: Sandbox, job: OpenJob, client_for: ClientFor, takes: int, is_read: bool
) -> None:
    """Its clock is another. What this one has read itself counts, if nobody has had the location since."""
    one, _ = sandbox.location_ids
    fence = await take(job, one)
    await prepare_location(job, one, fence, client_for)
    requests = len(sandbox.requests)
    for _ in range(takes):
        fence = await take(job, one)
    await run_location(job, one, fence, client_for, make_runner(job, []))
    reads = [request for request in list(sandbox.requests)[requests:] if request.operation != "update_appointment"]
    assert bool(reads) == is_read


async def test_a_location_that_somebody_else_has_taken_is_left_to_them(
    sandbox: Sandbox, job: OpenJob, client_for: ClientFor
) -> None:
    """Its next commit fails: what was not sent stays so, and nothing is written over what they write."""
    one, _ = sandbox.location_ids
    fence = await take(job, one)
    await prepare_location(job, one, fence, client_for)
    sandbox.faults.plan("update_appointment", ["stall 0.05"] * 20)
    running = asyncio.create_task(run_location(job, one, fence, client_for, make_runner(job, [])))
    while not writes(sandbox):
        await asyncio.sleep(0.01)
    await take(job, one)
    with pytest.raises(FenceLostError):
        await running
    sent = len(writes(sandbox))
    assert sent < 20
    assert (await count(job))[one].keys() <= {"applied", "sent", "pending"}
    await asyncio.sleep(0.2)
    assert len(writes(sandbox)) == sent
    fence = await take(job, one)
    assert (await run_location(job, one, fence, client_for, make_runner(job, []))).finished
    assert sorted(writes(sandbox)) == sorted(sandbox.find_appointment_ids(one))


async def test_a_cancelled_location_has_no_open_rows(sandbox: Sandbox, job: OpenJob, client_for: ClientFor) -> None:
    """One that was not prepared either; the unit that runs does it itself, and nothing is sent."""
    one, other = sandbox.location_ids
    fence = await take(job, one)
    await prepare_location(job, one, fence, client_for)
    job.control.update("cancel", job.control.options)
    end = await run_location(job, one, fence, client_for, make_runner(job, []))
    assert (end.stopped, end.finished) == (None, True)
    await cancel_location(job, other, await take(job, other), None)
    assert await count(job) == {one: {"skipped": 20}, other: {"skipped": 20}}
    assert not writes(sandbox)
