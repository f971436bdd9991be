"""A token of another location than the one that the client names: nothing of it is changed."""

from datetime import timedelta
from pathlib import Path

import pytest

from leadconnector_async import AppointmentUpdate, InvalidRequestError, LeadConnector, PlanError
from leadconnector_async.jobs import BulkJob, update_many
from leadconnector_async.sandbox import Sandbox

from ...conftest import MakeClient
from ..jobbing import FAST, picture, rows, writes

pytestmark = pytest.mark.sandbox(appointments=12, locations=2, limits=FAST)


@pytest.fixture
def other(sandbox: Sandbox) -> str:
    """The location that the token is for."""
    return sandbox.location_ids[1]


@pytest.fixture
def lost(sandbox: Sandbox, make_client: MakeClient, other: str) -> LeadConnector:
    """A client that names the first location, with the token of the second."""
    return make_client(sandbox.issue_token(location_id=other), location_id=sandbox.location_id)


async def test_a_job_refuses_the_rows_of_another_location(
    sandbox: Sandbox, lost: LeadConnector, other: str, tmp_path: Path
) -> None:
    """Before the first write, with a sentence that names both."""
    plan = rows(*({"event_id": one, "title": "x"} for one in sandbox.find_appointment_ids(other)))
    async with await BulkJob.create(tmp_path / "job", lost, plan) as job:
        with pytest.raises(PlanError) as caught:
            await job.run()
    assert caught.value.count == 12
    assert {fault.column for fault in caught.value.faults} == {"location_id"}
    assert all(other in fault.reason and sandbox.location_id in fault.reason for fault in caught.value.faults)
    assert not writes(sandbox)


async def test_update_many_refuses_the_rows_of_another_location(
    sandbox: Sandbox, lost: LeadConnector, other: str
) -> None:
    """And a row that was sent without having been read says it afterwards."""
    (event_id,) = sandbox.find_appointment_ids(other)[:1]
    before = picture(sandbox)
    (outcome,) = [one async for one in update_many(lost, [(event_id, AppointmentUpdate(title="x"))])]
    assert outcome.state == "refused"
    assert other in outcome.reason
    assert sandbox.location_id in outcome.reason
    assert picture(sandbox) == before
    (outcome,) = [one async for one in update_many(lost, [(event_id, AppointmentUpdate(title="x"))], keep=False)]
    assert (outcome.state, other in outcome.reason) == ("applied", True)


async def test_a_safe_change_refuses_another_location(sandbox: Sandbox, lost: LeadConnector, other: str) -> None:
    """It reads first, and sends nothing."""
    (event_id,) = sandbox.find_appointment_ids(other)[:1]
    with pytest.raises(InvalidRequestError, match=f"location {other}, not to {sandbox.location_id}"):
        await lost.reschedule_appointment(event_id, shift=timedelta(hours=1))
    assert not writes(sandbox)


async def test_a_single_call_to_another_location_is_told_in_the_log(
    sandbox: Sandbox, lost: LeadConnector, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is answered as ever; one to the own location says nothing."""
    (event_id,) = sandbox.find_appointment_ids(other)[:1]
    assert (await lost.get_appointment(event_id)).location_id == other
    await lost.update_appointment(event_id, AppointmentUpdate(title="x"))
    told = [one.getMessage() for one in caplog.records if one.name == "leadconnector_async"]
    assert len(told) == 2
    assert all(other in one and sandbox.location_id in one for one in told)


async def test_a_call_to_the_own_location_says_nothing(
    sandbox: Sandbox, client: LeadConnector, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning is for what is wrong only."""
    await client.get_appointment(sandbox.appointment_ids[0])
    assert not caplog.records
