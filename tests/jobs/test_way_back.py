"""What an undo does with appointments that somebody has edited since the job: field by field."""

from datetime import timedelta
from pathlib import Path

import pytest

from leadconnector_async import Event, LeadConnector
from leadconnector_async.events import ResponseReceived
from leadconnector_async.jobs import BulkJob, JobOptions, JobSummary
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from .jobbing import FAST, WEEK, at, of_one_doctor, rows, run
from .test_edits import read_failed

HOUR = timedelta(hours=1)
pytestmark = pytest.mark.sandbox(appointments=1, limits=FAST)


async def undo(job: BulkJob, place: str, client: LeadConnector) -> tuple[dict[str, str], JobSummary]:
    """The reasons for what is kept, by event, and what became of the rest."""
    plan = await job.plan_undo()
    back = f"{place}.undo"
    return {one.event_id: one.reason for one in plan.kept}, await run(back, client, plan.rows, skip_refused=True)


@pytest.mark.sandbox(appointments=1100, limits=FAST)
@pytest.mark.parametrize("place", ["folder", "postgres"], indirect=True)
async def test_63_rows_of_which_each_takes_the_slot_that_the_next_frees(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """After hand edits each time goes back where it can, no edit is lost, and all that stays is listed."""
    *events, spare = of_one_doctor(sandbox, 64)
    sandbox.delete_appointment(spare.id)
    targets = [*events[1:], spare]
    plan = [
        at(event, start=target.start_time.isoformat(), title=f"Moved {event.title}")
        for event, target in zip(events, targets, strict=True)
    ]
    edits: dict[int, dict[str, object]] = {
        0: {"title": "By hand"},
        5: {"description": "Bring X-rays"},
        9: {"appointment_status": "cancelled"},
        17: {"start_time": targets[17].start_time + 20 * WEEK, "end_time": targets[17].end_time + 20 * WEEK},
        30: {"deleted": True},
        31: {"address": "Room 9", "title": "Also by hand"},
        62: {"title": "The last"},
    }
    async with await BulkJob.create(place, client, rows(*plan)) as job:
        assert (await job.run()).counts == {"applied": 63}
        for number, edit in edits.items():
            sandbox.edit_appointment(events[number].id, **edit)
        kept, summary = await undo(job, place, client)
    assert summary.counts == {"applied": 62}
    assert kept.keys() == {events[number].id for number in edits}
    for number, event in enumerate(events):
        edit = edits.get(number, {})
        now = sandbox.appointment(event.id)
        if number == 30:
            assert now.deleted
            continue
        for name in ("start_time", "end_time", "title", "description", "address", "appointment_status"):
            assert getattr(now, name) == edit.get(name, getattr(event, name)), (number, name)
        for name in edit:
            assert f"{name} was" in kept[event.id]


EDITS = {
    "longer": ({"end": HOUR}, {"end": HOUR}, "end_time was"),
    "later": ({"start": HOUR, "end": HOUR}, {"start": WEEK + HOUR, "end": WEEK + HOUR}, "start_time was"),
    "put back": ({"start": -WEEK, "end": -WEEK}, {}, None),
    "begins later": ({"start": HOUR / 6}, {"start": WEEK + HOUR / 6, "end": WEEK}, "end_time stays"),
}


@pytest.mark.parametrize("edit", EDITS)
async def test_times_that_were_edited_since(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, edit: str
) -> None:
    """Made longer, it goes back and stays longer; moved, it stays; put back by hand, it is not even listed."""
    given, expected, reason = EDITS[edit]
    event = sandbox.appointment(sandbox.appointment_ids[0])
    plan = rows(at(event, start=(event.start_time + WEEK).isoformat(), title="Moved"))
    async with await BulkJob.create(tmp_path / "job", client, plan) as job:
        await job.run()
        moved = sandbox.appointment(event.id)
        moves = {f"{name}_time": getattr(moved, f"{name}_time") + by for name, by in given.items()}
        sandbox.edit_appointment(event.id, **moves)
        plan_back = await job.plan_undo()
        await run(tmp_path / "undo", client, plan_back.rows)
    now, none = sandbox.appointment(event.id), timedelta()
    assert now.title == event.title
    assert now.start_time == event.start_time + expected.get("start", none)
    assert now.end_time == event.end_time + expected.get("end", none)
    assert [reason in one.reason and "the other changes are undone" in one.reason for one in plan_back.kept] == [
        True for _ in [reason] if reason is not None
    ]


async def test_a_start_that_was_moved_alone_goes_back_without_the_end(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """The job has made it shorter, so it must not keep its length."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    later = at(event, start=(event.start_time + HOUR / 6).isoformat(), end_time=event.end_time.isoformat())
    async with await BulkJob.create(
        tmp_path / "job", client, rows(later | {"ignore_free_slot_validation": True})
    ) as job:
        await job.run()
        assert sandbox.appointment(event.id).start_time == event.start_time + HOUR / 6
        assert (await undo(job, str(tmp_path / "job"), client))[0] == {}
    assert sandbox.appointment(event.id) == event


async def test_what_a_reading_does_not_show_is_listed_and_the_time_goes_back(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Where the meeting takes place is only in responses to updates, so nobody can tell whether it was edited."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    cells = at(event, start=(event.start_time + WEEK).isoformat(), meeting_location_type="phone", address="+1555")
    async with await BulkJob.create(tmp_path / "job", client, rows(cells)) as job:
        assert (await job.run()).counts == {"applied": 1}
        kept, summary = await undo(job, str(tmp_path / "job"), client)
    assert summary.counts == {"applied": 1}
    assert kept == {event.id: "the event does not show meeting_location_type; the other changes are undone"}
    assert sandbox.appointment(event.id).start_time == event.start_time


@pytest.mark.sandbox(appointments=250, limits=FAST)
async def test_rows_whose_slot_somebody_else_has_taken_stay_and_are_listed(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """So do those behind them, whose slots they hold; all before them go back."""
    *events, spare = of_one_doctor(sandbox, 9)
    sandbox.delete_appointment(spare.id)
    plan = [
        at(event, start=target.start_time.isoformat())
        for event, target in zip(events, [*events[1:], spare], strict=True)
    ]
    async with await BulkJob.create(tmp_path / "job", client, rows(*plan)) as job:
        assert (await job.run()).counts == {"applied": 8}
        sandbox.delete_appointment(events[3].id)
        sandbox.edit_appointment(
            spare.id, deleted=False, start_time=events[4].start_time, end_time=events[4].end_time
        )
        kept, summary = await undo(job, str(tmp_path / "job"), client)
    assert kept.keys() == {events[3].id}
    assert summary.counts == {"applied": 3, "failed": 1, "skipped": 3}
    assert read_failed(tmp_path / "job.undo").keys() == {event.id for event in events[4:]}
    assert [sandbox.appointment(event.id).start_time for event in events[:3]] == [
        event.start_time for event in events[:3]
    ]


@pytest.mark.parametrize(
    ("name", "old", "reason"),
    [
        ("title", "First\nvisit", "which cannot be sent: it contains a line break"),
        ("title", "First\x07visit", "which cannot be sent: it contains a control character"),
        ("appointment_status", "active", "which cannot be sent: only version v3 accepts it"),
        ("appointment_status", "pending", "which cannot be sent: it is not"),
    ],
)
async def test_a_value_that_could_not_be_sent_is_listed_and_the_rest_goes_back(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, name: str, old: str, reason: str
) -> None:
    """Whoever set it was not held to what the API accepts: the time of the row goes back all the same."""
    sandbox.edit_appointment(sandbox.appointment_ids[0], **{name: old})
    event = sandbox.appointment(sandbox.appointment_ids[0])
    given = {"title": "Moved", "appointment_status": "confirmed"}[name]
    plan = rows(at(event, start=(event.start_time + WEEK).isoformat(), **{name: given}))
    async with await BulkJob.create(tmp_path / "job", client, plan) as job:
        assert (await job.run()).counts == {"applied": 1}
        kept, summary = await undo(job, str(tmp_path / "job"), client)
    assert summary.counts == {"applied": 1}
    assert sandbox.appointment(event.id).start_time == event.start_time
    assert getattr(sandbox.appointment(event.id), name) == given
    assert kept[event.id].startswith(f"{name} was {old!r}, {reason}")
    assert kept[event.id].endswith("; the other changes are undone")


async def test_what_is_edited_before_it_is_verified_is_undone_all_the_same(
    sandbox: Sandbox, make_client: MakeClient, tmp_path: Path
) -> None:
    """The server has moved it, whatever the reading after that shows: its row has not failed."""
    event = sandbox.appointment(sandbox.appointment_ids[0])

    def edit(event_seen: Event) -> None:
        if isinstance(event_seen, ResponseReceived) and event_seen.operation == "update_appointment":
            sandbox.edit_appointment(event.id, appointment_status="showed")

    plan = rows(at(event, start=(event.start_time + WEEK).isoformat()))
    options = JobOptions(verify=True)
    watched = make_client(on_event=edit)
    async with await BulkJob.create(tmp_path / "job", watched, plan, options=options) as job:
        assert (await job.run()).counts == {"unknown": 1}
    client = make_client()
    async with await BulkJob.open(tmp_path / "job", client) as job:
        kept, summary = await undo(job, str(tmp_path / "job"), client)
    assert summary.counts == {"applied": 1}
    assert "appointment_status was" in kept[event.id]
    now = sandbox.appointment(event.id)
    assert (now.start_time, now.end_time, now.appointment_status) == (event.start_time, event.end_time, "showed")
