"""Odd ends of a job: what is half-way, put off, or somebody else's."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    ConfigurationError,
    InvalidRequestError,
    JournalError,
    LeadConnector,
    PlanError,
    RetryPolicy,
    TransportError,
)
from leadconnector_async.jobs import BulkJob, JobOptions, PlanRow, update_many
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from .jobbing import FAST, WEEK, at, do, exchange, of_one_doctor, rows, run, select, week_later, writes

pytestmark = pytest.mark.sandbox(limits=FAST)

QUICK = RetryPolicy(max_attempts=2, backoff_base=0.001, backoff_cap=0.002)


@pytest.fixture
def client(make_client: MakeClient) -> LeadConnector:
    return make_client(retry=QUICK)


async def list_states(job: BulkJob) -> list[tuple[object, ...]]:
    return await select(job, "SELECT state, reason FROM rows WHERE parks IS NULL ORDER BY number")


async def test_a_row_behind_one_that_cannot_be_looked_at_ends(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """The blocker was on its way when the job ended, and is read again; its row comes after it, in this run."""
    first, second = of_one_doctor(sandbox, 2)
    plan = rows(
        at(first, start=second.start_time.isoformat()), at(second, start=(second.start_time + WEEK).isoformat())
    )
    async with await BulkJob.create(place, client, plan) as job:
        await job.prepare()
        await do(job, "UPDATE rows SET state = 'sent' WHERE number = 2")
        sandbox.faults.plan("get_appointment", ["503"] * 4)
        assert (await job.run()).counts == {"applied": 2}


@pytest.mark.parametrize("operation", ["list_events", "get_free_slots"])
async def test_what_is_prepared_half_way_is_not_sent(
    sandbox: Sandbox, client: LeadConnector, place: str, operation: str
) -> None:
    """Reading or the search for a free slot fails: nothing is sent, and the next run does it all in order."""
    events = of_one_doctor(sandbox, 3)
    async with await BulkJob.create(place, client, rows(*exchange(events))) as job:
        sandbox.faults.plan(operation, ["reset"] * 4)
        summary = await job.run()
        assert [one.kind for one in summary.stopped] == ["unreachable"]
        assert not writes(sandbox)
        sandbox.faults.clear()
        assert (await job.run()).counts == {"applied": 3}
    assert sandbox.requests.count_statuses().keys() <= {200, None}


async def test_a_preparation_that_is_cancelled_is_done_again(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """At whatever moment: the order is settled before anything is sent."""
    events = of_one_doctor(sandbox, 3)
    async with await BulkJob.create(place, client, rows(*exchange(events))) as job:
        for seconds in (0.01, 0.02, 0.04):
            task = asyncio.create_task(job.prepare())
            await asyncio.sleep(seconds)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert (await job.run()).counts == {"applied": 3}
    assert sandbox.requests.count_statuses().keys() <= {200, None}


async def test_rows_made_in_python_are_checked_and_moved(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Datetimes move appointments, in streams and in jobs; naive ones are refused."""
    first, second, third = (sandbox.appointment(one) for one in sandbox.appointment_ids[:3])
    moved = AppointmentUpdate(start_time=first.start_time + WEEK, end_time=first.end_time + WEEK)
    naive = AppointmentUpdate(start_time=datetime(2027, 3, 17, 9))
    stream = [(first.id, moved), (second.id, naive)]
    outcomes = {one.line: one async for one in update_many(client, stream)}
    assert [outcomes[line].state for line in (1, 2)] == ["applied", "refused"]
    assert sandbox.appointment(first.id).start_time == first.start_time + WEEK
    with pytest.raises(PlanError, match="no offset"):
        await BulkJob.create(f"{place}-naive", client, [PlanRow(1, second.id, naive)])
    later = AppointmentUpdate(start_time=third.start_time + WEEK)
    assert (await run(place, client, [PlanRow(1, third.id, later)])).counts == {"applied": 1}
    assert sandbox.appointment(third.id).start_time == third.start_time + WEEK


async def test_a_review_touches_no_row_that_is_still_to_go(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """`verify` on a job that was not read yet, and on one whose rows are to be read again."""
    async with await BulkJob.create(place, client, rows(*week_later(sandbox, 20))) as job:
        assert (await job.verify()).checked == 0
        await job.run(limit=5)
        await do(job, "UPDATE rows SET read_at = NULL WHERE state = 'pending'")
        sandbox.edit_appointment(sandbox.appointment_ids[9], title="By hand")
        assert (await job.verify()).checked == 5
        assert (await job.run()).counts == {"applied": 19, "skipped": 1}
    assert sandbox.appointment(sandbox.appointment_ids[9]).title == "By hand"


async def test_what_nobody_can_see_stays_unknown(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """A field that the event does not show: after a lost answer it is not sent again, and it is said."""
    event = sandbox.appointment(sandbox.series_ids[0])
    assert event.meeting_location_type is None
    single = sandbox.appointment(sandbox.appointment_ids[0])
    sandbox.edit_appointment(single.id, meeting_location_type=None)
    sandbox.faults.plan("update_appointment", ["lose-response"])
    plan = rows(at(single, meeting_location_id="room_7"))
    async with await BulkJob.create(place, client, plan) as job:
        summary = await job.run()
        assert sum(summary.counts.values()) == 1
    assert len(writes(sandbox)) == 1


async def test_nothing_is_replaced_that_is_not_ours(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """A journal that cannot be read, and files that only have our names."""
    plan = rows(*week_later(sandbox, 2))
    for name in ("journal.sqlite", "failed.csv", "report.html"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(ConfigurationError, match="choose another folder"):
            await BulkJob.create(folder, client, plan)
        assert (folder / name).read_text() == "mine"


@pytest.mark.parametrize(
    "name",
    [
        "run",
        "prepare",
        "recheck",
        "leave_out_refused",
        "summarize",
        "retry_failed",
        "verify",
        "plan_undo",
        "preview",
    ],
)
async def test_a_job_that_is_closed_says_so(sandbox: Sandbox, client: LeadConnector, place: str, name: str) -> None:
    """With what to do; closing it again, or stopping it, is no error."""
    plan = rows(at(sandbox.appointment(sandbox.appointment_ids[0]), title="x"))
    job = await BulkJob.create(place, client, plan)
    await job.aclose()
    with pytest.raises(ConfigurationError, match=r"closed: open it again with BulkJob\.open"):
        await getattr(job, name)()
    await job.aclose()
    assert job.stop() == 0


async def test_a_way_back_is_read_while_its_job_is_open(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Afterwards it says so, and not in the words of the database."""
    plan = rows(at(sandbox.appointment(sandbox.appointment_ids[0]), title="x"))
    async with await BulkJob.create(place, client, plan) as job:
        await job.run()
        undo = await job.plan_undo()
    with pytest.raises(ConfigurationError, match="closed"):
        list(undo.rows)


async def test_a_job_runs_once_at_a_time(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """A second `run` of the same job is refused."""
    async with await BulkJob.create(place, client, rows(*week_later(sandbox, 20))) as job:
        first = asyncio.create_task(job.run())
        await asyncio.sleep(0)
        with pytest.raises(ConfigurationError, match="already running"):
            await job.run()
        assert (await first).counts == {"applied": 20}


async def test_a_time_that_passes_before_its_turn_is_not_sent(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """A job that goes on too late moves nobody into the past."""
    async with await BulkJob.create(
        place, client, rows(*week_later(sandbox, 2)), options=JobOptions(allow_past=True)
    ) as job:
        await job.prepare()
        past = "UPDATE rows SET start_after = 1583020800 WHERE number = 1"
        await do(job, past)
        job.options = JobOptions()
        assert (await job.run()).counts == {"applied": 1, "failed": 1}
    assert len(writes(sandbox)) == 1


async def test_an_odd_id_is_refused_at_its_line(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """Before anything is asked of the server."""
    with pytest.raises(PlanError, match="line 2, event_id"):
        await BulkJob.create(place, client, rows({"event_id": "a", "title": "x"}, {"event_id": "..", "title": "x"}))
    assert not sandbox.requests


async def test_a_forced_change_that_was_applied_is_called_so(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Though its answer broke."""
    first, _, third = of_one_doctor(sandbox, 3)
    sandbox.faults.plan("update_appointment", ["ok", "half-body"])
    plan = rows(at(first, start=third.start_time.isoformat()))
    assert (await run(place, client, plan, on_conflict="force")).counts == {"applied": 1}


async def test_an_odd_value_breaks_the_journal_and_keeps_nobody_waiting(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """What a database cannot take is an error like any other."""
    from leadconnector_async.jobs.journal.groups import Entry

    job = await BulkJob.create(place, client, rows(*week_later(sandbox, 2)))
    with pytest.raises(JournalError):
        await job._journal.write(Entry("UPDATE rows SET reason = ? WHERE job = ? AND location = ?", ("\udcff",)))
    await job.aclose()


def test_errors_of_a_job_are_errors_of_the_library() -> None:
    """All under one root."""
    assert issubclass(PlanError, InvalidRequestError)
    assert issubclass(TransportError, Exception)
