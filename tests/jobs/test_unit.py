"""The units of work of a job, each called by itself: what they do to one location, and to no other."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector, TokenStoreError
from leadconnector_async._api.precondition import ReadingClock
from leadconnector_async.jobs import JobOptions, RowOutcome
from leadconnector_async.jobs.control import Control
from leadconnector_async.jobs.eta import ReadingLog
from leadconnector_async.jobs.journal.counts import count_by_location
from leadconnector_async.jobs.journal.folder import fill_journal
from leadconnector_async.jobs.journal.reviewing import count_reviewed
from leadconnector_async.jobs.journal.writer import JournalWriter, make_thread
from leadconnector_async.jobs.run.runner import Runner
from leadconnector_async.jobs.unit import (
    NO_FENCE,
    ClientFor,
    OpenJob,
    prepare_location,
    review_location,
    run_location,
)
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from .jobbing import FAST, rows, writes

pytestmark = pytest.mark.sandbox(appointments=20, locations=2, limits=FAST)


@pytest.fixture
async def job(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[OpenJob]:
    """A job with all rows of two locations, whose titles change."""
    plan = rows(
        *(
            {"event_id": event_id, "title": "moved", "location_id": location}
            for location in sandbox.location_ids
            for event_id in sandbox.find_appointment_ids(location)
        )
    )
    options = JobOptions(concurrency=4)
    writer = JournalWriter(fill_journal(str(tmp_path), None, "", options, None, plan), make_thread())
    clock = ReadingClock(asyncio.get_running_loop())
    yield OpenJob(1, writer, clock, ReadingLog(clock), Control(options))
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


async def test_a_unit_works_on_its_location_alone(sandbox: Sandbox, job: OpenJob, client_for: ClientFor) -> None:
    """Prepared, run and compared with the calendar, while the other location stays as it was loaded."""
    one, other = sandbox.location_ids
    read: list[int] = []
    assert await prepare_location(job, one, NO_FENCE, client_for, on_read=read.append) is None
    assert sum(read) == 20
    assert await job.writer.run(count_by_location) == {one: {"pending": 20}, other: {"loaded": 20}}
    outcomes: list[RowOutcome] = []
    assert (await run_location(job, one, NO_FENCE, client_for, make_runner(job, outcomes))).stopped is None
    assert await job.writer.run(count_by_location) == {one: {"applied": 20}, other: {"loaded": 20}}
    assert {outcome.location_id for outcome in outcomes} == {one}
    assert sorted(writes(sandbox)) == sorted(sandbox.find_appointment_ids(one))
    await review_location(job, one, NO_FENCE, client_for, "sent")
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
    assert end.stopped == stopped
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
