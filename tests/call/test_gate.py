"""Writes that are refused, or approved first: what is asked, when, and what is sent afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    ConfigurationError,
    LeadConnector,
    NotApprovedError,
    PendingWrite,
    PreconditionFailedError,
    ReadOnlyError,
    with_response,
)
from leadconnector_async.jobs import BulkJob, update_many
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient

UPDATE = AppointmentUpdate(title="Intro call", appointment_status="confirmed")
HOUR = timedelta(hours=1)


class Approver:
    """Records what it is asked, does something first, and gives a fixed response."""

    def __init__(self, response: object = True, before: Callable[[], Awaitable[object]] | None = None) -> None:
        self.asked: list[PendingWrite] = []
        self.response = response
        self.before = before

    async def __call__(self, pending: PendingWrite) -> bool:
        self.asked.append(pending)
        if self.before is not None:
            await self.before()
        return self.response  # type: ignore[return-value]


def list_sent(sandbox: Sandbox) -> list[str]:
    """Methods of the requests."""
    return [request.method for request in sandbox.requests]


async def test_a_client_that_may_only_read_sends_no_write(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Nothing at all is sent; the error names the operation and says how to allow it."""
    client = make_client(access="read")
    with pytest.raises(ReadOnlyError, match=r"update_appointment writes.*access='write'") as caught:
        await client.update_appointment(sandbox.appointment_ids[0], UPDATE)
    assert (caught.value.operation, caught.value.outcome) == ("update_appointment", "not_applied")
    with pytest.raises(ReadOnlyError, match="reschedule_appointment"):
        await client.reschedule_appointment(sandbox.appointment_ids[0], shift=HOUR)
    assert list_sent(sandbox) == []
    assert (await client.get_appointment(sandbox.appointment_ids[0])).id == sandbox.appointment_ids[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_any_method_but_a_reading_one_is_a_write(
    sandbox: Sandbox, make_client: MakeClient, method: str
) -> None:
    """Also if `repeatable` says that it is idempotent: what a POST does is not known."""
    client = make_client(access="read")
    for repeatable in (None, True, False):
        with pytest.raises(ReadOnlyError, match=f"{method} /calendars/events"):
            await client.request(method, "/calendars/events", repeatable=repeatable)
    assert list_sent(sandbox) == []


async def test_copies_may_do_no_more_than_their_original(sandbox: Sandbox, make_client: MakeClient) -> None:
    """For other locations and with other options; what narrows is possible."""
    approve = Approver(response=False)
    for narrow in (make_client(access="read"), make_client().with_options(access="read")):
        for copied in (narrow, narrow.for_location("other", "pit-other"), narrow.with_options(priority="bulk")):
            assert copied.access == "read"
            with pytest.raises(ReadOnlyError):
                await copied.delete_event(sandbox.appointment_ids[0])
            with pytest.raises(ConfigurationError, match="may only read"):
                copied.with_options(access="write")
    asking = make_client(approve=approve)
    for other in (None, Approver()):
        with pytest.raises(ConfigurationError, match="approve"):
            asking.with_options(approve=other)
    for copied in (asking.for_location("other", sandbox.token), asking.with_options(approve=approve)):
        with pytest.raises(NotApprovedError):
            await copied.create_note("ev1", "x")
    assert list_sent(sandbox) == []


@pytest.mark.parametrize("setting", [{"access": "none"}, {"access": None}, {"approve": True}])
def test_settings_that_mean_nothing_are_refused(setting: dict[str, Any]) -> None:
    """When the client is created."""
    with pytest.raises(ConfigurationError, match=next(iter(setting))):
        LeadConnector("t", **setting)


@pytest.mark.parametrize(("value", "access"), [("read", "read"), ("write", "write"), ("", "write")])
def test_the_environment_can_take_writes_away(monkeypatch: pytest.MonkeyPatch, value: str, access: str) -> None:
    """Whatever the program says; it cannot give what the program does not."""
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "pit-x")
    monkeypatch.setenv("LEADCONNECTOR_ACCESS", value)
    assert LeadConnector.from_env(access="write").access == access
    assert LeadConnector.from_env(access="read").access == "read"
    monkeypatch.setenv("LEADCONNECTOR_ACCESS", "reading")
    with pytest.raises(ConfigurationError, match="LEADCONNECTOR_ACCESS is 'reading'"):
        LeadConnector.from_env()


async def test_whoever_approves_sees_before_and_after(sandbox: Sandbox, make_client: MakeClient) -> None:
    """The appointment as it was, and what would be sent; then it is sent."""
    approve = Approver()
    client = make_client(approve=approve)
    event_id = sandbox.appointment_ids[0]
    before = await make_client().get_appointment(event_id)
    sandbox.requests.clear()
    await client.update_appointment(event_id, UPDATE)
    assert list_sent(sandbox) == ["GET", "GET", "PUT"]
    path = f"/calendars/events/appointments/{event_id}"
    after = {"title": "Intro call", "appointmentStatus": "confirmed"}
    assert approve.asked == [
        PendingWrite(
            operation="update_appointment",
            method="PUT",
            path=path,
            location_id=sandbox.location_id,
            event_id=event_id,
            before=before,
            after=after,
        )
    ]
    assert sandbox.token not in repr(approve.asked)


async def test_a_creation_a_note_and_any_other_path_have_no_before(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """There is nothing to read; what is sent is shown as decoded JSON."""
    approve = Approver()
    client = make_client(approve=approve)
    await client.create_note(sandbox.appointment_ids[0], "Called", user_id=None)
    await client.request("PUT", f"/calendars/events/appointments/{sandbox.appointment_ids[0]}", body={"title": "x"})
    assert list_sent(sandbox) == ["POST", "PUT"]
    assert [(one.before, one.after) for one in approve.asked] == [
        (None, {"body": "Called"}),
        (None, {"title": "x"}),
    ]


@pytest.mark.parametrize("response", [False, None, 1, "yes"])
async def test_only_true_approves(sandbox: Sandbox, make_client: MakeClient, response: object) -> None:
    """A function that forgot its `return` approves nothing."""
    client = make_client(approve=Approver(response))
    with pytest.raises(NotApprovedError, match=r"PUT /calendars.* was not approved \(approve returned") as caught:
        await client.update_appointment(sandbox.appointment_ids[0], UPDATE)
    assert (caught.value.operation, caught.value.outcome) == ("update_appointment", "not_applied")
    assert list_sent(sandbox) == ["GET"]


async def test_an_approval_that_fails_is_a_refusal(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Whatever is raised is the cause; so is a function that is not async."""

    async def fail(pending: PendingWrite) -> bool:
        raise OSError("secret detail")

    async def cancelled(pending: PendingWrite) -> bool:
        raise asyncio.CancelledError

    for approve, cause in ((fail, OSError), (cancelled, asyncio.CancelledError), (lambda pending: True, TypeError)):
        with pytest.raises(NotApprovedError) as caught:
            await make_client(approve=approve).delete_event(sandbox.appointment_ids[0])
        assert isinstance(caught.value.__cause__, cause)
        assert "secret" not in str(caught.value)
    assert set(list_sent(sandbox)) == {"GET"}


async def test_a_retry_does_not_ask_again(sandbox: Sandbox, make_client: MakeClient) -> None:
    """It sends the same body, also after reading back."""
    approve = Approver()
    sandbox.faults.plan("update_appointment", ["503", "lose-response"])
    whole = await with_response(make_client(approve=approve).update_appointment(sandbox.appointment_ids[0], UPDATE))
    assert whole.attempts > 1
    assert len(approve.asked) == 1


async def test_an_edit_while_somebody_thinks_is_not_overwritten(sandbox: Sandbox, make_client: MakeClient) -> None:
    """The update is asked about again, with the appointment as it is by then."""
    event_id, other = sandbox.appointment_ids[0], make_client()

    async def edit() -> None:
        if len(approve.asked) == 1:
            await other.update_appointment(event_id, AppointmentUpdate(title="By somebody else"))

    approve = Approver(before=edit)
    await make_client(approve=approve).update_appointment(event_id, UPDATE)
    titles = [one.before.title for one in approve.asked if one.before is not None]
    assert titles[1:] == ["By somebody else"]
    assert titles[0] != "By somebody else"


async def test_an_appointment_that_changes_each_time_is_given_up(sandbox: Sandbox, make_client: MakeClient) -> None:
    """After five questions; nothing was sent."""
    event_id, other = sandbox.appointment_ids[0], make_client()

    async def edit() -> None:
        await other.update_appointment(event_id, AppointmentUpdate(title=f"Edit {len(approve.asked)}"))

    approve = Approver(before=edit)
    for write in (
        lambda client: client.update_appointment(event_id, UPDATE),
        lambda client: client.delete_event(event_id),
        lambda client: client.reschedule_appointment(event_id, title="Intro call"),
    ):
        approve.asked.clear()
        with pytest.raises(PreconditionFailedError, match="Edit") as caught:
            await write(make_client(approve=approve))
        assert caught.value.outcome == "not_applied"
        assert len(approve.asked) == 5
        assert sandbox.appointment(event_id).title == "Edit 5"


async def test_a_safe_change_is_planned_anew_after_an_edit(sandbox: Sandbox, make_client: MakeClient) -> None:
    """The time that is asked about is the one that will be sent; unchanged, it is asked about once."""
    event_id, other = sandbox.appointment_ids[0], make_client()
    start = sandbox.appointment(event_id).start_time

    async def edit() -> None:
        if len(approve.asked) == 1:
            await other.reschedule_appointment(event_id, shift=HOUR, ignore_free_slot_validation=True)

    approve = Approver(before=edit)
    moved = await make_client(approve=approve).reschedule_appointment(
        event_id, shift=HOUR, ignore_free_slot_validation=True
    )
    assert moved.start_time == start + 2 * HOUR
    assert len(approve.asked) == 2
    approve.before = None
    await make_client(approve=approve).reschedule_appointment(
        event_id, shift=HOUR, ignore_free_slot_validation=True
    )
    assert len(approve.asked) == 3


async def test_rows_are_approved_one_by_one(sandbox: Sandbox, make_client: MakeClient, tmp_path: Path) -> None:
    """Those that are refused are skipped with the reason, in jobs and streams; the others are changed."""
    ids = sandbox.appointment_ids[:4]
    rows = [{"event_id": event_id, "title": "New"} for event_id in ids]

    async def approve(pending: PendingWrite) -> bool:
        return pending.event_id not in ids[:2]

    client = make_client(approve=approve)
    outcomes = [one async for one in update_many(client, rows)]
    assert {one.event_id: one.state for one in outcomes} == dict.fromkeys(ids[:2], "skipped") | dict.fromkeys(
        ids[2:], "applied"
    )
    assert all("was not approved" in one.reason for one in outcomes if one.state == "skipped")
    rows = [{"event_id": event_id, "title": "Newer"} for event_id in ids]
    async with await BulkJob.create(tmp_path / "a.job", client, rows) as job:
        summary = await job.run()
    assert summary.counts == {"skipped": 2, "applied": 2}
    assert [sandbox.appointment(event_id).title == "Newer" for event_id in ids] == [False, False, True, True]


async def test_bulk_work_of_a_client_that_may_only_read_is_refused_before_any_row(
    sandbox: Sandbox, make_client: MakeClient, tmp_path: Path
) -> None:
    """Planning, preparing, previewing and verifying stay possible."""
    client = make_client(access="read")
    rows = iter([{"event_id": event_id, "title": "New"} for event_id in sandbox.appointment_ids])
    with pytest.raises(ReadOnlyError, match="update_many"):
        await anext(update_many(client, rows))
    assert len(list(rows)) == len(sandbox.appointment_ids)
    rows = iter([{"event_id": sandbox.appointment_ids[0], "title": "New"}])
    async with await BulkJob.create(tmp_path / "a.job", client, rows) as job:
        assert (await job.prepare()).counts == {"pending": 1}
        assert (await job.preview()).requests
        sandbox.requests.clear()
        with pytest.raises(ReadOnlyError, match=r"BulkJob\.run"):
            await job.run()
        assert list_sent(sandbox) == []
        assert (await job.verify()).checked == 0
        assert list((await job.plan_undo()).rows) == []


async def test_a_cancellation_while_somebody_thinks_sends_nothing(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """It is a cancellation, not a refusal."""
    thinking = asyncio.Event()

    async def think() -> None:
        thinking.set()
        await asyncio.Event().wait()

    client = make_client(approve=Approver(before=think))
    task = asyncio.create_task(client.update_appointment(sandbox.appointment_ids[0], UPDATE))
    await thinking.wait()
    assert client.quota.in_flight == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list_sent(sandbox) == ["GET"]


async def test_a_job_that_is_stopped_while_somebody_thinks_has_sent_nothing(
    sandbox: Sandbox, make_client: MakeClient, tmp_path: Path
) -> None:
    """Its row stays pending, and is asked about again when the job is resumed."""
    event_id = sandbox.appointment_ids[0]
    thinking = asyncio.Event()

    async def think() -> None:
        thinking.set()
        await asyncio.Event().wait()

    rows = [{"event_id": event_id, "title": "New"}]
    async with await BulkJob.create(tmp_path / "a.job", make_client(approve=Approver(before=think)), rows) as job:
        running = asyncio.create_task(job.run())
        await thinking.wait()
        assert job.stop() == 0
        assert (await running).counts == {"pending": 1}
    assert set(list_sent(sandbox)) == {"GET"}
    again = Approver()
    async with await BulkJob.open(tmp_path / "a.job", make_client(approve=again)) as job:
        assert (await job.run()).counts == {"applied": 1}
    assert len(again.asked) == 1
    assert sandbox.appointment(event_id).title == "New"


async def test_a_change_of_assignee_and_time_is_approved_in_two_steps(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """If the second is refused, so can be the reversal of the first: the error says how far it got."""
    event_id = sandbox.appointment_ids[0]
    event = sandbox.appointment(event_id)
    other = next(one for one in sandbox.store.calendars[event.calendar_id].team if one != event.assigned_user_id)
    asked: list[PendingWrite] = []

    async def approve(pending: PendingWrite) -> bool:
        asked.append(pending)
        return len(asked) != 2

    with pytest.raises(NotApprovedError) as caught:
        await make_client(approve=approve).reschedule_appointment(
            event_id, shift=HOUR, assigned_user_id=other, ignore_free_slot_validation=True
        )
    assert sandbox.appointment(event_id) == event
    assert f"It was restored to {event.assigned_user_id}." in caught.value.__notes__
    assert [one.before.assigned_user_id for one in asked if one.before is not None] == [
        event.assigned_user_id,
        other,
        other,
    ]
