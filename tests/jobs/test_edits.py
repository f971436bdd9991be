"""Edits of somebody else in the middle of what a job does in several requests: cycles, new assignees, undo."""

import asyncio
import csv
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from leadconnector_async import Event, LeadConnector, UnprocessableError
from leadconnector_async.cli.exit_codes import code_of
from leadconnector_async.events import RequestFailed, ResponseReceived
from leadconnector_async.jobs import BulkJob, JobOptions, PlanRow, RowFault, iterate_plan
from leadconnector_async.sandbox import Sandbox

from ..api.test_precondition import once
from ..conftest import MakeClient
from .jobbing import FAST, WEEK, at, exchange, of_one_doctor, picture, rows, run, writes

UPDATE = "update_appointment"
pytestmark = pytest.mark.sandbox(appointments=250, limits=FAST)


def read_failed(folder: Path) -> dict[str, str]:
    """The rows in the `failed.csv` of a report, each with its reason."""
    with open(folder / "failed.csv", encoding="utf-8-sig", newline="") as file:
        return {row["event_id"]: row["outcome_reason"] for row in csv.DictReader(file)}


def read_plan(path: Path) -> list[PlanRow | RowFault]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(iterate_plan(file))


@pytest.mark.parametrize("state", ["sent", "unknown"])
async def test_a_stop_while_an_appointment_gets_out_of_the_way_is_nobodys_change(
    sandbox: Sandbox, client: LeadConnector, place: str, state: str
) -> None:
    """The process ended before the journal knew that it had arrived: it stands there by the job's own doing."""
    async with await BulkJob.create(place, client, rows(*exchange(of_one_doctor(sandbox, 2)))) as job:
        await job.run(limit=1)
        query = "UPDATE rows SET state = ? WHERE parks IS NOT NULL AND job = ?"
        await job._journal.run(lambda journal: journal.write(query, (state, journal.hold.job)))
    async with await BulkJob.open(place, client) as job:
        assert (await job.run()).counts == {"applied": 2}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("title", "By hand"),
        ("description", "Bring X-rays"),
        ("address", "Room 9"),
        ("appointment_status", "noshow"),
    ],
)
async def test_an_edit_of_an_appointment_that_is_out_of_the_way_is_kept(
    sandbox: Sandbox, client: LeadConnector, place: str, tmp_path: Path, field: str, text: str
) -> None:
    """That the job has moved it aside excuses its place, and nothing else of it."""
    plan = rows(*({**cells, "title": "Planned"} for cells in exchange(of_one_doctor(sandbox, 3))))
    async with await BulkJob.create(place, client, plan) as job:
        await job.run(limit=1)
        (parked,) = writes(sandbox)
        sandbox.edit_appointment(parked, **{field: text})
    async with await BulkJob.open(place, client) as job:
        summary = await job.run()
        await job.write_report(tmp_path / "report")
    assert getattr(sandbox.appointment(parked), field) == text
    assert code_of(summary) == 1
    assert "changed by somebody else" in read_failed(tmp_path / "report")[parked]


async def test_what_is_put_back_gets_its_time_back_and_nothing_of_the_plan(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """A row that came to nothing has set no title and no description either."""
    events = of_one_doctor(sandbox, 2)
    before = picture(sandbox)
    plan = rows(*({**one, "title": "Planned", "description": "Planned"} for one in exchange(events)))
    async with await BulkJob.create(place, client, plan) as job:
        await job.prepare()
        sandbox.faults.plan(UPDATE, ["ok", "422"])
        summary = await job.run()
    assert summary.counts == {"failed": 1, "skipped": 1}
    assert {event.id: sandbox.appointment(event.id) for event in events} == {
        event.id: before[event.id] for event in events
    }


async def test_an_assignee_is_put_back_without_what_somebody_has_changed_since(
    sandbox: Sandbox, make_client: MakeClient, place: str, tmp_path: Path
) -> None:
    """The second step is cut off and read back; by then the appointment is cancelled, and stays so."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    team = sandbox.store.calendars[event.calendar_id].team
    other = next(one for one in team if one != event.assigned_user_id)
    moved = (event.start_time + timedelta(weeks=5)).isoformat()
    cells = at(event, start=moved, assigned_user_id=other, ignore_free_slot_validation=True)

    def cancel() -> None:
        sandbox.edit_appointment(event.id, appointment_status="cancelled")

    client = make_client(on_event=once(ResponseReceived, UPDATE, cancel))
    sandbox.faults.plan(UPDATE, ["ok", "503"])
    async with await BulkJob.create(place, client, rows(cells)) as job:
        summary = await job.run()
        await job.write_report(tmp_path / "report")
    after = sandbox.appointment(event.id)
    assert (after.appointment_status, after.assigned_user_id) == ("cancelled", event.assigned_user_id)
    assert summary.counts == {"skipped": 1}
    reason = read_failed(tmp_path / "report")[event.id]
    assert reason.startswith("changed by somebody else: appointment_status was 'confirmed', is 'cancelled'")
    assert "assigned_user_id was" not in reason


@pytest.mark.parametrize("by", ["client", "job"])
async def test_an_assignee_is_put_back_without_what_somebody_changes_meanwhile(
    sandbox: Sandbox, make_client: MakeClient, place: str, by: str
) -> None:
    """Putting it back fails at first, and is read back; by then the appointment is cancelled, and stays so."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    team = sandbox.store.calendars[event.calendar_id].team
    other = next(one for one in team if one != event.assigned_user_id)

    def cancel(happened: Event) -> None:
        if isinstance(happened, ResponseReceived) and happened.operation == UPDATE and happened.status == 503:
            sandbox.edit_appointment(event.id, appointment_status="cancelled")

    client = make_client(on_event=cancel)
    sandbox.faults.plan(UPDATE, ["ok", "422", "503"])
    if by == "client":
        with pytest.raises(UnprocessableError) as caught:
            await client.reschedule_appointment(event.id, shift=5 * WEEK, assigned_user_id=other)
        assert caught.value.outcome == "not_applied"
        assert f"It was restored to {event.assigned_user_id}." in caught.value.__notes__
    else:
        cells = at(event, start=(event.start_time + 5 * WEEK).isoformat(), assigned_user_id=other)
        async with await BulkJob.create(place, client, rows(cells)) as job:
            assert (await job.run()).counts == {"failed": 1}
    after = sandbox.appointment(event.id)
    assert (after.appointment_status, after.assigned_user_id) == ("cancelled", event.assigned_user_id)


async def test_an_assignee_that_somebody_has_changed_since_is_not_put_back(
    sandbox: Sandbox, client: LeadConnector
) -> None:
    """Nothing of the first step is left, so there is nothing to put back."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    team = sandbox.store.calendars[event.calendar_id].team
    first, second = [one for one in team if one != event.assigned_user_id][:2]

    async def edit() -> None:
        while not writes(sandbox):
            await asyncio.sleep(0)
        sandbox.edit_appointment(event.id, assigned_user_id=second)

    sandbox.faults.plan(UPDATE, ["ok", "422"])
    editing = asyncio.create_task(edit())
    with pytest.raises(Exception, match="422") as caught:
        await client.reschedule_appointment(event.id, shift=timedelta(weeks=5), assigned_user_id=first)
    await editing
    assert sandbox.appointment(event.id).assigned_user_id == second
    assert "Somebody else has changed the assignee since." in caught.value.__notes__


@pytest.mark.parametrize("field", ["title", "address", "description"])
@pytest.mark.parametrize("planned", ["Planned", None])
async def test_a_text_that_is_edited_after_the_way_back_was_planned_is_kept(
    sandbox: Sandbox, client: LeadConnector, place: str, tmp_path: Path, field: str, planned: str | None
) -> None:
    """However long the plan of the way back lies about."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    sandbox.edit_appointment(event.id, **{field: "As it was"})
    change = {field: planned} if planned is not None else {"appointment_status": "cancelled"}
    async with await BulkJob.create(place, client, rows(at(event, **change))) as job:
        await job.run()
        back = list((await job.plan_undo()).rows)
    sandbox.edit_appointment(event.id, **{field: "By hand"})
    skipping = JobOptions(skip_refused=True)
    async with await BulkJob.create(f"{place}-back", client, back, options=skipping) as undo:
        summary = await undo.run()
        await undo.write_report(tmp_path / "report")
    assert getattr(sandbox.appointment(event.id), field) == "By hand"
    assert summary.counts == {"refused": 1}
    (row,) = read_plan(tmp_path / "report" / "failed.csv")
    assert isinstance(row, PlanRow)
    assert row.before is not None


async def test_a_new_assignee_who_was_replaced_while_the_slot_was_refused_stays(
    sandbox: Sandbox, make_client: MakeClient, place: str
) -> None:
    """The first step is taken back, which shows the edit; the row is not tried again over it."""
    first, second = of_one_doctor(sandbox, 2)
    team = [one for one in sandbox.store.calendars[first.calendar_id].team if one != first.assigned_user_id]
    taken, length = second.start_time + 20 * WEEK, second.end_time - second.start_time
    sandbox.edit_appointment(second.id, assigned_user_id=team[0], start_time=taken, end_time=taken + length)

    def edit(event: Event) -> None:
        if isinstance(event, ResponseReceived) and event.status == 400:
            sandbox.edit_appointment(first.id, assigned_user_id=team[1])

    plan = rows(at(first, start=taken.isoformat(), assigned_user_id=team[0]))
    summary = await run(place, make_client(on_event=edit), plan)
    assert sandbox.appointment(first.id).assigned_user_id == team[1]
    assert summary.counts == {"skipped": 1}


@pytest.mark.parametrize("is_killed", [True, False])
@pytest.mark.parametrize("edit", [{"appointment_status": "cancelled"}, {"title": "By hand"}, {}])
async def test_a_change_whose_response_was_lost_is_not_taken_for_the_edit_that_followed(
    sandbox: Sandbox, make_client: MakeClient, place: str, edit: dict[str, object], is_killed: bool
) -> None:
    """The job itself has moved the appointment: it says that it may have, and an undo moves it back."""
    before = sandbox.appointment(sandbox.appointment_ids[0])
    plan = rows(at(before, start=(before.start_time + WEEK).isoformat(), title="Planned"))
    handler = once(RequestFailed, UPDATE, lambda: sandbox.edit_appointment(before.id, **edit))
    async with await BulkJob.create(place, make_client(on_event=handler), plan) as job:
        if is_killed:
            await job.run(limit=0)
            mark = "UPDATE rows SET state = 'sent' WHERE job = ?"
            await job._journal.run(lambda journal: journal.write(mark, (journal.hold.job,)))
            arrived = {
                "start_time": before.start_time + WEEK,
                "end_time": before.end_time + WEEK,
                "title": "Planned",
            }
            sandbox.edit_appointment(before.id, **(arrived | edit))
        else:
            sandbox.faults.plan(UPDATE, ["lose-response"])
        assert (await job.run()).counts == ({"unknown": 1} if edit else {"applied": 1})
        undo = await job.plan_undo()
        summary = await run(f"{place}.undo", make_client(), undo.rows)
    assert summary.counts == {"applied": 1}
    assert [one.event_id for one in undo.kept] == [before.id] * bool(edit)
    assert sandbox.appointment(before.id) == replace(before, **edit)
