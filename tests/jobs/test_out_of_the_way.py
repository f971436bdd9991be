"""An appointment that a job has moved out of the way is not left there, whatever comes between."""

from datetime import timedelta

import pytest

from leadconnector_async import LeadConnector, RetryPolicy
from leadconnector_async.jobs import BulkJob
from leadconnector_async.jobs.journal.protocol import Journal
from leadconnector_async.jobs.journal.rows import recount_all
from leadconnector_async.sandbox import BookedAppointment, Sandbox

from ..conftest import MakeClient
from .jobbing import FAST, WEEK, at, do, exchange, of_one_doctor, rows, run, select, writes

pytestmark = pytest.mark.sandbox(limits=FAST)
QUICK = RetryPolicy(max_attempts=2, backoff_base=0.001, backoff_cap=0.002)


@pytest.fixture
def client(make_client: MakeClient) -> LeadConnector:
    return make_client(retry=QUICK)


async def park_one(job: BulkJob, sandbox: Sandbox, ring: list[BookedAppointment]) -> BookedAppointment:
    """Run it until one is out of the way; returns how that was before."""
    await job.run(limit=1)
    (parked,) = writes(sandbox)
    [before] = [event for event in ring if event.id == parked]
    assert sandbox.appointment(parked).start_time != before.start_time
    return before


async def read_reasons(job: BulkJob) -> dict[object, object]:
    return dict(await select(job, "SELECT event_id, reason FROM rows WHERE parks IS NULL"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "text"), [("title", "By hand"), ("appointment_status", "noshow")])
@pytest.mark.parametrize("is_alone", [True, False])
async def test_one_that_somebody_has_edited_meanwhile_is_moved_back(
    sandbox: Sandbox, client: LeadConnector, place: str, is_alone: bool, field: str, text: str
) -> None:
    """Or the reason says why not: the others have its time by then. It does not take the job's move for an edit."""
    ring = of_one_doctor(sandbox, 2)
    async with await BulkJob.create(place, client, rows(*exchange(ring))) as job:
        before = await park_one(job, sandbox, ring)
        sandbox.edit_appointment(before.id, **{field: text})
        if is_alone:
            sandbox.delete_appointment(next(event.id for event in ring if event.id != before.id))
    async with await BulkJob.open(place, client) as job:
        assert (await job.run()).counts == ({"skipped": 2} if is_alone else {"skipped": 1, "applied": 1})
        reason = str((await read_reasons(job))[before.id])
        now = sandbox.appointment(before.id)
        assert getattr(now, field) == text
        assert ((now.start_time, now.end_time) == (before.start_time, before.end_time)) is is_alone
        assert ("and then back." if is_alone else "and could not be moved back: ") in reason
        assert "start_time" not in reason
        back = list((await job.plan_undo()).rows)
        assert len(back) == (0 if is_alone else 2)
        if back:
            assert (await run(f"{place}.undo", client, back)).counts == {"applied": 2}
    assert sandbox.appointment(before.id).start_time == before.start_time


async def test_one_that_could_not_be_moved_back_is_tried_again(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """The other has its old time by now; that it stands elsewhere is still the job's own doing."""
    ring = of_one_doctor(sandbox, 2)
    async with await BulkJob.create(place, client, rows(*exchange(ring))) as job:
        await job.prepare()
        sandbox.faults.plan("update_appointment", ["ok", "ok", "422"])
        assert (await job.run()).counts == {"applied": 1, "failed": 1}
        [reason] = [text for text in (await read_reasons(job)).values() if text]
        assert "could not be moved back" in str(reason)
        assert await job.retry_failed() == 1
        assert (await job.run()).counts == {"applied": 2}
    assert [sandbox.appointment(event.id).start_time for event in ring] == [ring[1].start_time, ring[0].start_time]


async def test_an_undo_of_a_job_that_has_stopped_moves_it_back(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Nothing of its row was sent, and it stands elsewhere all the same; what was edited since stays."""
    ring = of_one_doctor(sandbox, 3)
    async with await BulkJob.create(place, client, rows(*exchange(ring))) as job:
        before = await park_one(job, sandbox, ring)
        sandbox.edit_appointment(before.id, title="By hand")
        plan = await job.plan_undo()
        assert "title was" in {one.event_id: one.reason for one in plan.kept}[before.id]
        assert (await run(f"{place}.undo", client, plan.rows)).counts == {"applied": 1}
    now = sandbox.appointment(before.id)
    assert (now.start_time, now.end_time, now.title) == (before.start_time, before.end_time, "By hand")


async def test_an_undo_moves_back_one_that_could_not_be_moved_back_by_the_job(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Once the other has freed its time again."""
    ring = of_one_doctor(sandbox, 2)
    async with await BulkJob.create(place, client, rows(*exchange(ring))) as job:
        await job.prepare()
        sandbox.faults.plan("update_appointment", ["ok", "ok", "422"])
        await job.run()
        plan = await job.plan_undo()
        assert plan.kept == ()
        assert (await run(f"{place}.undo", client, plan.rows)).counts == {"applied": 2}
    assert [sandbox.appointment(event.id) for event in ring] == ring


async def test_an_undo_does_not_touch_one_that_got_where_it_was_to_go(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Its row says how it goes back; that it was elsewhere in between is of no interest."""
    ring = of_one_doctor(sandbox, 3)
    async with await BulkJob.create(place, client, rows(*exchange(ring))) as job:
        assert (await job.run()).counts == {"applied": 3}
        plan = await job.plan_undo()
        assert plan.kept == ()
        assert (await run(f"{place}.undo", client, plan.rows)).counts == {"applied": 3}
    assert [sandbox.appointment(event.id) for event in ring] == ring


async def test_an_undo_moves_back_what_a_cancellation_has_left(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """A job that was cancelled without a client could not move it back."""
    ring = of_one_doctor(sandbox, 3)
    async with await BulkJob.create(place, client, rows(*exchange(ring))) as job:
        await park_one(job, sandbox, ring)
    async with await BulkJob.open(place) as job:
        await job.cancel()
    async with await BulkJob.open(place, client) as job:
        plan = await job.plan_undo()
        assert (await run(f"{place}.undo", client, plan.rows)).counts == {"applied": 1}
    assert [sandbox.appointment(event.id) for event in ring] == ring


async def test_nobody_is_parked_whose_appointment_somebody_has_moved(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Neither when it is read again, nor at the last moment."""
    for name, old in (("again", True), ("last", False)):
        events = of_one_doctor(sandbox, 2)
        async with await BulkJob.create(f"{place}-{name}", client, rows(*exchange(events))) as job:
            await job.prepare()
            if old:
                await do(job, "UPDATE rows SET read_at = read_at - 3600 WHERE read_at IS NOT NULL")
            ((parked,),) = await select(job, "SELECT event_id FROM rows WHERE parks IS NOT NULL")
            moved = sandbox.appointment(str(parked))
            far = moved.start_time + 9 * WEEK
            sandbox.edit_appointment(moved.id, start_time=far, end_time=far + timedelta(minutes=15))
            await job.run()
        assert sandbox.appointment(moved.id).start_time == far


async def test_a_parked_appointment_that_somebody_moves_is_not_put_back(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """The reason says where it stands."""
    events = of_one_doctor(sandbox, 2)
    async with await BulkJob.create(place, client, rows(*exchange(events))) as job:
        parked = (await park_one(job, sandbox, events)).id
        far = sandbox.appointment(parked).start_time + 9 * WEEK
        sandbox.edit_appointment(parked, start_time=far, end_time=far + timedelta(minutes=15))
        (other,) = [event.id for event in events if event.id != parked]
        sandbox.delete_appointment(other)
        await job.run()
        reason = str((await read_reasons(job))[parked])
    assert sandbox.appointment(parked).start_time == far
    far_there = (await client.get_appointment(parked)).start_time
    first, second = reason.split(". ")
    assert "whose time it needs, has not moved (" in first
    assert second == f"Its appointment was moved out of the way first, and has been moved to {far_there} since."


async def test_a_parked_row_that_was_on_its_way_goes_on(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """That it stands elsewhere is the job's own doing."""
    events = of_one_doctor(sandbox, 2)
    async with await BulkJob.create(place, client, rows(*exchange(events))) as job:
        await job.run(limit=2)
        await do(
            job,
            "UPDATE rows SET state = 'sent' WHERE number IN (SELECT parks FROM rows WHERE parks IS NOT NULL)",
        )
        assert (await job.run()).counts == {"applied": 2}


async def test_a_cycle_that_was_put_back_can_be_tried_again(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Its appointment gets out of the way once more."""
    events = of_one_doctor(sandbox, 2)
    async with await BulkJob.create(place, client, rows(*exchange(events))) as job:
        await job.prepare()
        sandbox.faults.plan("update_appointment", ["ok", "422"])
        await job.run()
        assert await job.retry_failed() == 2
        assert (await job.run()).counts == {"applied": 2}


async def test_a_row_whose_outcome_is_unknown_is_sent_again_if_its_appointment_is_still_out_of_the_way(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """As one whose appointment is as it was: the change was not applied."""
    ring = of_one_doctor(sandbox, 2)
    async with await BulkJob.create(place, client, rows(*exchange(ring))) as job:
        await job.run(limit=2)
        await doubt_open(job)
        summary = await job.run()
    assert summary.counts == {"applied": 2}
    assert summary.repeated == 1
    assert [sandbox.appointment(event.id).start_time for event in ring] == [ring[1].start_time, ring[0].start_time]


async def test_a_row_whose_outcome_is_unknown_is_sent_again_after_its_first_step(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """The assignee is the new one, the time the old one: the second update was not applied."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    team = sandbox.store.calendars[event.calendar_id].team
    other = next(user for user in team if user != event.assigned_user_id)
    moved = event.start_time + timedelta(weeks=20)
    plan = rows(at(event, start=moved.isoformat(), assigned_user_id=other, ignore_free_slot_validation=True))
    async with await BulkJob.create(place, client, plan) as job:
        await job.run(limit=0)
        sandbox.edit_appointment(event.id, assigned_user_id=other)
        await doubt_open(job)
        summary = await job.run()
    assert summary.counts == {"applied": 1}
    now = sandbox.appointment(event.id)
    assert (now.start_time, now.assigned_user_id) == (moved, other)


async def doubt_open(job: BulkJob) -> None:
    """The connection failed, and reading back did too."""

    def write(journal: Journal) -> None:
        doubt = "UPDATE rows SET state = 'unknown' WHERE state = 'pending' AND parks IS NULL AND job = ?"
        with journal.commit():
            journal.write(doubt, (journal.hold.job,))
            recount_all(journal)

    await job._journal.run(write)
