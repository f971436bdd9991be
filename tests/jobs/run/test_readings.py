"""No edit of somebody else that can be seen is overwritten, however a job was stopped, copied or continued."""

import asyncio
import csv
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pytest

from leadconnector_async import Event, LeadConnector, PlanError
from leadconnector_async._api.precondition import ReadingClock
from leadconnector_async.cli.exit_codes import code_of
from leadconnector_async.events import RequestSent, ResponseReceived
from leadconnector_async.exceptions import ConfigurationError
from leadconnector_async.jobs import BulkJob, JobOptions, JobSummary, RowOutcome, update_many
from leadconnector_async.jobs.journal.rows import OpenRow
from leadconnector_async.jobs.run.read_ahead import ReadAhead
from leadconnector_async.sandbox import Limits, Sandbox

from ...api.test_precondition import Wall, once
from ...conftest import MakeClient
from ..jobbing import FAST, at, exchange, of_one_doctor, rows, week_later, writes

UPDATE, GET = "update_appointment", "get_appointment"
pytestmark = pytest.mark.sandbox(appointments=250, limits=FAST)


async def begin(
    place: Path | str, client: LeadConnector, sandbox: Sandbox, most: int, **options: object
) -> BulkJob:
    """A job that moves the first appointments by a week."""
    chosen = JobOptions(**options)  # type: ignore[arg-type]
    return await BulkJob.create(place, client, rows(*week_later(sandbox, most)), options=chosen)


async def resume(place: Path | str, client: LeadConnector) -> tuple[JobSummary, list[RowOutcome]]:
    outcomes: list[RowOutcome] = []
    async with await BulkJob.open(place, client) as job:
        return await job.run(on_outcome=outcomes.append), outcomes


def read_failed(folder: Path) -> dict[str, str]:
    """The rows in `failed.csv`, each with its reason."""
    with open(folder / "failed.csv", encoding="utf-8-sig", newline="") as file:
        return {row["event_id"]: row["outcome_reason"] for row in csv.DictReader(file)}


async def test_what_was_edited_while_the_job_was_stopped_is_left_alone_and_listed(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """One open appointment was cancelled, one moved, one got a description, one is gone."""
    folder, ids = tmp_path / "job", sandbox.appointment_ids
    async with await begin(folder, client, sandbox, 20) as job:
        await job.prepare()
        await job.run(limit=10)
    moved = sandbox.appointment(ids[12])
    sandbox.edit_appointment(ids[11], appointment_status="cancelled")
    sandbox.edit_appointment(
        ids[12], start_time=moved.start_time + timedelta(days=90), end_time=moved.end_time + timedelta(days=90)
    )
    sandbox.edit_appointment(ids[13], description="Bring X-rays")
    sandbox.delete_appointment(ids[14])
    edited = [sandbox.appointment(one) for one in ids[11:14]]
    summary, _ = await resume(folder, client)
    assert summary.counts == {"applied": 16, "skipped": 4}
    assert code_of(summary) == 1
    assert [sandbox.appointment(one) for one in ids[11:14]] == edited
    reasons = read_failed(folder)
    assert reasons.keys() == set(ids[11:15])
    assert reasons[ids[11]].startswith("changed by somebody else: appointment_status was ")
    assert reasons[ids[11]].endswith(", is 'cancelled'")
    assert "start_time was" in reasons[ids[12]]
    assert "description was empty, is 'Bring X-rays'" in reasons[ids[13]]
    assert reasons[ids[14]].startswith("changed by somebody else: ")


async def test_what_was_edited_before_the_first_write_refuses_the_job(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """As any row that cannot be carried out: nothing is sent, unless the job is to go on without."""
    folder, ids = place, sandbox.appointment_ids
    async with await begin(folder, client, sandbox, 3) as job:
        await job.prepare()
    sandbox.edit_appointment(ids[0], title="By hand")
    with pytest.raises(PlanError, match=r"changed by somebody else: title was .*, is 'By hand'") as caught:
        await resume(folder, client)
    assert [fault.line for fault in caught.value.faults] == [1]
    assert not writes(sandbox)
    async with await BulkJob.open(folder, client) as job:
        await job.leave_out_refused()
    summary, _ = await resume(folder, client)
    assert summary.counts == {"applied": 2, "refused": 1}
    assert sandbox.appointment(ids[0]).title == "By hand"


async def test_a_prepared_job_that_waits_too_long_reads_again(
    sandbox: Sandbox, client: LeadConnector, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that runs right after `prepare` reads nothing twice; one that runs an hour later does."""
    wall = Wall(monkeypatch)
    async with await begin(place, client, sandbox, 3) as job:
        await job.prepare()
        count = len(sandbox.requests)
        await job.run()
        assert len(sandbox.requests) == count + 3
    async with await begin(f"{place}.other", client, sandbox, 3) as job:
        await job.prepare()
        wall.advance(3600)
        sandbox.edit_appointment(sandbox.appointment_ids[0], title="By hand")
        with pytest.raises(PlanError, match="changed by somebody else"):
            await job.run()


async def test_a_copied_folder_writes_nothing_that_the_original_has_written(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """It finds the rows in place, and leaves alone what was edited afterwards."""
    folder, copy = tmp_path / "job", tmp_path / "copy"
    async with await begin(folder, client, sandbox, 20) as job:
        await job.prepare()
        await job.run(limit=5)
    shutil.copytree(folder, copy)
    await resume(folder, client)
    sandbox.edit_appointment(sandbox.appointment_ids[9], appointment_status="noshow")
    count = len(writes(sandbox))
    summary, _ = await resume(copy, client)
    assert len(writes(sandbox)) == count
    assert summary.counts == {"applied": 5, "unchanged": 14, "skipped": 1}
    assert sandbox.appointment(sandbox.appointment_ids[9]).appointment_status == "noshow"


@pytest.mark.parametrize("ahead", [86_400.0, -86_400.0])
async def test_it_does_not_matter_what_the_clock_of_another_machine_said(
    sandbox: Sandbox, client: LeadConnector, place: str, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """A journal that was begun by a clock ahead of time, or behind, is no younger or older for it."""
    wall, folder = Wall(monkeypatch), place
    wall.advance(ahead)
    async with await begin(folder, client, sandbox, 6, allow_past=True) as job:
        await job.prepare()
        await job.run(limit=2)
    wall.advance(-ahead)
    sandbox.edit_appointment(sandbox.appointment_ids[4], appointment_status="cancelled")
    summary, _ = await resume(folder, client)
    assert summary.counts == {"applied": 5, "skipped": 1}
    assert sandbox.appointment(sandbox.appointment_ids[4]).appointment_status == "cancelled"


@pytest.mark.parametrize("seconds", [3600.0, 61.0])
async def test_an_edit_in_the_middle_of_a_run_is_seen_once_the_reading_is_old(
    sandbox: Sandbox,
    make_client: MakeClient,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    """After a minute in which others were sent, what is still open is read again, by a list."""
    wall, ids = Wall(monkeypatch), sandbox.appointment_ids

    def let_time_pass() -> None:
        sandbox.edit_appointment(ids[199], title="By hand")
        wall.advance(seconds)

    client = make_client(on_event=once(ResponseReceived, UPDATE, let_time_pass))
    async with await begin(place, client, sandbox, 200, concurrency=4) as job:
        summary = await job.run()
    assert summary.counts == {"applied": 199, "skipped": 1}
    assert sandbox.appointment(ids[199]).title == "By hand"
    assert len(list(sandbox.requests.of(GET))) < 20


async def test_an_age_of_zero_reads_right_before_every_write(
    sandbox: Sandbox, make_client: MakeClient, place: str
) -> None:
    """Each write follows a GET of its own event, and an edit that came before that GET survives."""
    ids, sent = sandbox.appointment_ids, list[str]()

    def edit_next(event: Event) -> None:
        if isinstance(event, RequestSent) and event.operation == UPDATE:
            sent.append(event.operation)
            if len(sent) == 10:
                for event_id in ids[20:]:
                    sandbox.edit_appointment(event_id, description="Bring X-rays")

    client = make_client(on_event=edit_next)
    async with await begin(place, client, sandbox, 40, max_reading_age=0, concurrency=2) as job:
        summary = await job.run()
    assert summary.counts["applied"] + summary.counts["skipped"] == 40
    assert summary.counts["skipped"] >= 16
    for event_id in ids[:40]:
        of_it = [one.operation for one in sandbox.requests if one.event_id == event_id]
        assert of_it[-2:] == [GET, UPDATE] or set(of_it) == {GET}
    for event_id in ids[24:40]:
        assert sandbox.appointment(event_id).description == "Bring X-rays"


@pytest.mark.sandbox(appointments=40, limits=Limits(max_requests=1, interval=0.3))
async def test_an_age_of_zero_ends_where_the_limit_leaves_no_room_for_two_requests(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """One request a window: the reading is as old as that window is long, and no row waits for ever."""
    async with await begin(place, client, sandbox, 2, max_reading_age=0) as job:
        assert (await job.run()).counts == {"applied": 2}


async def test_a_row_whose_turn_always_comes_too_late_fails_and_says_so(
    sandbox: Sandbox, make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not sent on a reading that is older than was asked for."""
    folder = tmp_path / "job"
    wall = Wall(monkeypatch)

    def wait(event: Event) -> None:
        if isinstance(event, ResponseReceived) and event.operation != UPDATE:
            wall.advance(5)

    client = make_client(on_event=wait)
    async with await begin(folder, client, sandbox, 1, max_reading_age=2) as job:
        await job.prepare()
        wall.advance(1)
        summary = await job.run()
    assert summary.counts == {"failed": 1}
    assert "at most 2 s are allowed" in read_failed(folder)[sandbox.appointment_ids[0]]
    assert not writes(sandbox)


async def test_a_cycle_is_held_against_where_the_job_itself_has_put_it(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """An appointment that the job has put out of the way is not somebody else's work, at any age."""
    ring = of_one_doctor(sandbox, 3)
    options = JobOptions(max_reading_age=0)
    async with await BulkJob.create(place, client, rows(*exchange(ring)), options=options) as job:
        assert (await job.run()).counts == {"applied": 3}


async def test_what_somebody_has_edited_while_an_answer_was_lost_is_not_sent_again(
    sandbox: Sandbox, make_client: MakeClient, place: str
) -> None:
    """The job reads back what became of the row, finds the edit, and leaves it."""
    event_id = sandbox.appointment_ids[0]
    sandbox.faults.plan(UPDATE, ["503"])
    handler = once(
        ResponseReceived, UPDATE, lambda: sandbox.edit_appointment(event_id, appointment_status="cancelled")
    )
    async with await begin(place, make_client(on_event=handler), sandbox, 1) as job:
        summary = await job.run()
    assert summary.counts == {"skipped": 1}
    assert sandbox.appointment(event_id).appointment_status == "cancelled"


async def test_rows_that_are_refused_late_do_not_hold_up_a_job_that_has_begun(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """A job that has sent something goes on without the rows that cannot be carried out, and lists them."""
    folder = tmp_path / "job"
    async with await begin(folder, client, sandbox, 4) as job:
        await job.run(limit=2)
        await job._journal.run(
            lambda journal: journal.write("UPDATE rows SET state = 'loaded', read_at = NULL WHERE number = 4")
        )
    sandbox.delete_appointment(sandbox.appointment_ids[3])
    summary, _ = await resume(folder, client)
    assert summary.counts == {"applied": 3, "refused": 1}
    assert sandbox.appointment_ids[3] in read_failed(folder)


async def test_what_is_changed_at_the_prompt_is_shown_by_recheck(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Only what has changed since; the rows that somebody else has moved there already among it."""
    ids = sandbox.appointment_ids
    async with await begin(place, client, sandbox, 5) as job:
        await job.prepare()
        assert await job.recheck() == ()
        sandbox.edit_appointment(ids[1], title="By hand")
        there = sandbox.appointment(ids[2])
        week = timedelta(weeks=1)
        sandbox.edit_appointment(ids[2], start_time=there.start_time + week, end_time=there.end_time + week)
        changed = await job.recheck()
        assert [(one.event_id, one.state) for one in changed] == [(ids[1], "refused"), (ids[2], "unchanged")]
        await job.leave_out_refused()
        assert (await job.run()).counts == {"applied": 3, "unchanged": 1, "refused": 1}


async def test_a_stream_of_changes_overwrites_nobody_either(sandbox: Sandbox, make_client: MakeClient) -> None:
    """`update_many` reads each appointment first; what is edited while an answer is lost comes out as skipped."""
    event_id = sandbox.appointment_ids[0]
    sandbox.faults.plan(UPDATE, ["503"])
    handler = once(
        ResponseReceived, UPDATE, lambda: sandbox.edit_appointment(event_id, appointment_status="cancelled")
    )
    changes = [{"event_id": event_id, "title": "New"}, {"event_id": sandbox.appointment_ids[1], "title": "New"}]
    outcomes = [one async for one in update_many(make_client(on_event=handler), changes, concurrency=1)]
    assert [one.state for one in outcomes] == ["skipped", "applied"]
    assert outcomes[0].reason.startswith("Changed by somebody else: appointment_status was ")
    assert sandbox.appointment(event_id).appointment_status == "cancelled"


@pytest.mark.parametrize("age", [-1.0, float("nan"), float("inf")])
def test_an_age_that_cannot_be_meant_is_refused(age: float) -> None:
    """In words that name the option."""
    with pytest.raises(ConfigurationError, match=r"max_reading_age is .*; it must be 0 or more seconds"):
        JobOptions(max_reading_age=age)


def make_row(number: int, read_at: float) -> OpenRow:
    return OpenRow(number, number, "event", "", "pending", 0, None, (), (), None, read_at, None)


async def test_rows_are_read_ahead_as_far_as_they_get_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Farther while all are used young, and less far when some have grown old; none is asked for twice in a row."""
    wall = Wall(monkeypatch)
    clock = ReadingClock(asyncio.get_running_loop())
    ahead = ReadAhead(clock, 60)
    assert not ahead.is_due(make_row(1, clock.now()))
    wall.advance(46)
    old = make_row(1, time.time() - 46)
    assert ahead.is_due(old)
    first = ahead.plan(old)
    ahead.record((0, 1 + first))
    assert not ahead.is_due(old)
    assert ahead.plan(make_row(2 + first, 0.0)) == 2 * first
    ahead.record((0, 9000))
    assert ahead.plan(make_row(5000, 0.0)) == first
    assert not ReadAhead(clock, 0).is_due(old)


@pytest.mark.parametrize("act", ["run", "prepare"])
async def test_an_own_reading_by_list_and_by_id_are_the_same(
    sandbox: Sandbox, client: LeadConnector, place: str, act: str
) -> None:
    """Nothing that nobody has touched is taken for changed, whichever way it is read: all are sent."""
    moved = [at(sandbox.appointment(one), title=f"New {one}") for one in sandbox.appointment_ids[:30]]
    async with await BulkJob.create(place, client, rows(*moved), options=JobOptions(max_reading_age=0)) as job:
        if act == "prepare":
            await job.prepare()
        assert (await job.run()).counts == {"applied": 30}
