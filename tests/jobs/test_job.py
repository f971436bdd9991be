"""A job from its plan to its end, against the sandbox."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from leadconnector_async import ConfigurationError, JournalError, LeadConnector, PlanError, Shared
from leadconnector_async.jobs import BulkJob, JobProgress, RowOutcome
from leadconnector_async.sandbox import Limits, Sandbox

from .jobbing import FAST, WEEK, at, picture, rows, run, week_later, writes

pytestmark = pytest.mark.sandbox(limits=FAST)


async def test_a_day_moves_and_nothing_else_of_it_changes(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Status, assignee, calendar and length stay, though an update without them would reset the status."""
    before = picture(sandbox)
    summary = await run(place, client, rows(*week_later(sandbox)))
    assert summary.counts == {"applied": 250}
    for event_id in sandbox.appointment_ids:
        was, now = before[event_id], sandbox.appointment(event_id)
        assert (now.start_time, now.end_time) == (was.start_time + WEEK, was.end_time + WEEK)
        assert now == type(now)(
            **{name: getattr(was, name) for name in was.__struct_fields__}
            | {"start_time": now.start_time, "end_time": now.end_time}
        )
    assert "noshow" in {event.appointment_status for event in sandbox.store}


async def test_the_calendar_is_read_by_ranges(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """250 rows in four calendars take a handful of requests, not one each."""
    async with await BulkJob.create(place, client, rows(*week_later(sandbox))) as job:
        await job.prepare()
    assert len(sandbox.requests) < 40
    assert not writes(sandbox)


async def test_a_shift_by_days_keeps_the_time_of_day(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """Across the change to daylight saving time on 14 March 2027 a week has 167 hours."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    plan = rows(at(event, shift="+1w"), timezone="America/New_York")
    assert (await run(place, client, plan)).counts == {"applied": 1}
    assert sandbox.appointment(event.id).start_time - event.start_time == WEEK - timedelta(hours=1)


async def test_an_unchanged_row_sends_nothing(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """The same plan a second time changes nothing, and says so."""
    plan = rows(*week_later(sandbox, 20))
    await run(tmp_path / "one", client, plan)
    sent = len(writes(sandbox))
    assert (await run(tmp_path / "two", client, plan)).counts == {"unchanged": 20}
    assert len(writes(sandbox)) == sent


async def test_every_bad_row_is_named_before_anything_is_sent(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """What the calendar shows counts as well: unknown, deleted, changed since, past, taken by another row."""
    first, second, third, fourth, fifth = (sandbox.appointment(one) for one in sandbox.appointment_ids[:5])
    sandbox.delete_appointment(second.id)
    start = "2027-03-20T09:00:00-04:00"
    bad = rows(
        {"event_id": "unknown", "start_time": start},
        at(second, start=start),
        at(third, start=start, before_title="Another title"),
        at(fourth, start="2020-03-10T09:00:00+00:00"),
        at(fifth, start=start, end_time="2027-03-20T08:00:00-04:00"),
        {"event_id": sandbox.series_ids[0], "start_time": start},
        at(first, start="2027-03-21T09:00:00-04:00", assigned_user_id=first.assigned_user_id),
        at(
            sandbox.appointment(sandbox.appointment_ids[16]),
            start="2027-03-21T09:00:00-04:00",
            assigned_user_id=first.assigned_user_id,
            calendar_id=first.calendar_id,
        ),
    )
    good = [row for number, row in enumerate(bad) if number != 4]
    with pytest.raises(PlanError, match=r"line 5, end_time: .*not after"):
        await BulkJob.create(tmp_path / "offline", client, bad)
    assert not sandbox.requests
    assert not (tmp_path / "offline").exists()
    async with await BulkJob.create(tmp_path / "job", client, good) as job:
        with pytest.raises(PlanError) as caught:
            await job.run()
    assert {fault.line: fault.column for fault in caught.value.faults} == {
        1: "event_id",
        2: "event_id",
        3: "before_title",
        4: "start_time",
        6: "event_id",
        8: "start_time",
    }
    assert not writes(sandbox)


async def test_good_rows_go_on_without_the_refused_ones_if_asked_to(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """`skip_refused`: the others are applied, the refused are counted."""
    plan = rows(*week_later(sandbox, 5), {"event_id": "unknown", "title": "x"})
    summary = await run(place, client, plan, skip_refused=True)
    assert summary.counts == {"applied": 5, "refused": 1}


async def test_a_row_that_the_server_refuses_stops_nobody(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """An assignee who is not in the team: that row fails with the server's words, and keeps its old time."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    bad = at(event, start="2027-03-17T08:00:00-04:00", assigned_user_id="nobody")
    summary = await run(place, client, rows(bad, *week_later(sandbox, 20)[1:]))
    assert summary.counts == {"applied": 19, "failed": 1}
    assert sandbox.appointment(event.id) == event


async def test_lost_answers_and_errors_leave_the_calendar_as_planned(place: str, shared: Shared | None) -> None:
    """Half of the requests go wrong in every way there is; each change is applied once."""
    faults = ["503-after-apply", "ok", "lose-response", "ok", "503", "ok", "reset", "half-body", "ok", "html 502"]
    async with Sandbox(limits=FAST, faults={"update_appointment": faults * 8}) as sandbox:
        async with LeadConnector(
            sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id, shared=shared
        ) as one:
            before = picture(sandbox)
            summary = await run(place, one, rows(*week_later(sandbox)))
        assert summary.counts == {"applied": 250}
        assert all(
            sandbox.appointment(i).start_time == before[i].start_time + WEEK for i in sandbox.appointment_ids
        )
        assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids)


async def test_a_stopped_job_goes_on_where_it_ended(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """What has left is finished, nothing more is started, and the next run does the rest, and nothing twice."""
    plan = rows(*week_later(sandbox))
    async with await BulkJob.create(place, client, plan) as job:
        outcomes: list[RowOutcome] = []

        def note(outcome: RowOutcome) -> None:
            outcomes.append(outcome)
            if len(outcomes) == 40:
                job.stop()

        summary = await job.run(on_outcome=note)
    assert [one.kind for one in summary.stopped] == ["interrupted"]
    assert summary.counts["pending"] == 250 - summary.counts["applied"]
    assert 40 <= summary.counts["applied"] < 80
    async with await BulkJob.open(place, client) as job:
        assert (await job.run()).counts == {"applied": 250}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids)


async def test_a_cancelled_run_leaves_a_job_that_goes_on(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """At whatever moment its task is cancelled, three times in a row."""
    async with await BulkJob.create(place, client, rows(*week_later(sandbox))) as job:
        for seconds in (0.05, 0.15, 0.25):
            task = asyncio.create_task(job.run())
            await asyncio.sleep(seconds)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert (await job.run()).counts == {"applied": 250}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids)


async def test_only_one_process_works_on_a_job(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """A second one is refused, and so is a second job in the same folder."""
    plan = rows(*week_later(sandbox, 3))
    async with await BulkJob.create(tmp_path / "job", client, plan):
        with pytest.raises(JournalError, match="Another process"):
            await BulkJob.open(tmp_path / "job", client)
    with pytest.raises(ConfigurationError, match="already contains a job"):
        await BulkJob.create(tmp_path / "job", client, plan)
    with pytest.raises(JournalError, match="There is no job"):
        await BulkJob.open(tmp_path / "none", client)
    other = client.for_location("other", "pit-x")
    with pytest.raises(ConfigurationError, match="is for location"):
        await BulkJob.open(tmp_path / "job", other)


async def test_it_stops_at_too_many_errors(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """By number and by part; the rest stays as it was, and open."""
    bad = [at(sandbox.appointment(one), title="x", assigned_user_id="nobody") for one in sandbox.appointment_ids]
    for name, options in (("number", {"max_errors": 10}), ("part", {"max_error_percent": 5.0})):
        summary = await run(tmp_path / name, client, rows(*bad), **options)
        assert [one.kind for one in summary.stopped] == ["errors"]
        assert 10 <= summary.counts["failed"] < 60
        assert summary.remaining == 250 - summary.counts["failed"]


async def test_a_refused_token_stops_the_location_and_loses_no_row(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """While reading and while sending; the rows go on with a good token."""
    token = sandbox.issue_token("access")
    async with LeadConnector(token, base_url=sandbox.url, location_id=sandbox.location_id) as other:
        async with await BulkJob.create(tmp_path / "job", other, rows(*week_later(sandbox))) as job:
            await job.prepare()
            sandbox.expire_token(token)
            summary = await job.run()
            assert [one.kind for one in summary.stopped] == ["authentication"]
            assert summary.counts == {"pending": 250}
        summary = await run(tmp_path / "second", other, rows(*week_later(sandbox)))
        assert [one.kind for one in summary.stopped] == ["authentication"]
        assert summary.counts == {"loaded": 250}
    async with await BulkJob.open(tmp_path / "job", client) as job:
        assert (await job.run()).counts == {"applied": 250}


@pytest.mark.parametrize("place", ["folder"], indirect=True)  # a shared store knows that the day is spent
async def test_a_spent_day_stops_the_job_and_says_when_to_go_on(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Nothing is sent in vain, and the rows stay open."""
    async with await BulkJob.create(place, client, rows(*week_later(sandbox))) as job:
        await job.prepare()
        sandbox.limits = Limits(max_requests=100_000, interval=1.0, daily=len(sandbox.requests) + 100)
        summary = await job.run()
        (stopped,) = summary.stopped
        assert stopped.kind == "daily"
        assert 86_000 < (stopped.resume_seconds or 0) <= 86_400
        assert summary.counts == {"applied": 100, "pending": 150}
        sandbox.limits = FAST
    async with LeadConnector(sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id) as fresh:
        async with await BulkJob.open(place, fresh) as job:
            assert (await job.run()).counts == {"applied": 250}


async def test_a_dead_network_fails_no_row(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """The job stops as unreachable, and its rows stay open."""
    async with await BulkJob.create(place, client, rows(*week_later(sandbox, 30))) as job:
        await job.prepare()
        sandbox.faults.plan("update_appointment", ["reset"] * 1000)
        await sandbox.stop()
        summary = await job.run()
    assert [one.kind for one in summary.stopped] == ["unreachable"]
    assert summary.remaining == 30


async def test_what_somebody_has_changed_since_it_was_read_is_left_alone(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """A job that goes on much later reads again; what it finds moved by hand it does not move."""
    async with await BulkJob.create(place, client, rows(*week_later(sandbox, 20))) as job:
        await job.prepare()
        await job._journal.run(lambda journal: journal.write("UPDATE rows SET read_at = read_at - 3600"))
        sandbox.edit_appointment(sandbox.appointment_ids[0], title="By hand")
        sandbox.delete_appointment(sandbox.appointment_ids[1])
        summary = await job.run()
    assert summary.counts == {"applied": 18, "skipped": 2}
    assert sandbox.appointment(sandbox.appointment_ids[0]).title == "By hand"


async def test_a_long_job_reads_again_on_its_way(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """Rows whose reading has grown old while others were sent are read once more before they go."""
    async with await BulkJob.create(place, client, rows(*week_later(sandbox))) as job:
        await job.prepare()
        await job.run(limit=10)
        age = "UPDATE rows SET read_at = read_at - 3600 WHERE number > 100"
        outcomes: list[RowOutcome] = []
        enough = asyncio.Event()

        async def grow_old() -> None:
            await enough.wait()
            await job._journal.run(lambda journal: journal.write(age))
            sandbox.edit_appointment(sandbox.appointment_ids[249], title="By hand")

        def note(outcome: RowOutcome) -> None:
            outcomes.append(outcome)
            if len(outcomes) == 5:
                enough.set()

        ageing = asyncio.create_task(grow_old())
        summary = await job.run(on_outcome=note)
        await ageing
    assert summary.counts == {"applied": 249, "skipped": 1}
    assert sandbox.appointment(sandbox.appointment_ids[249]).title == "By hand"


async def test_a_job_can_be_tried_on_its_first_rows(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """`limit` starts so many rows and no more; the next run does the rest."""
    async with await BulkJob.create(place, client, rows(*week_later(sandbox))) as job:
        assert (await job.run(limit=7)).counts == {"applied": 7, "pending": 243}
        assert (await job.run()).counts == {"applied": 250}


async def test_failed_rows_can_be_tried_again(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """After their reason is gone: here the person joins the team."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    team = sandbox.store.calendars[event.calendar_id].team
    plan = rows(at(event, start="2027-03-17T08:00:00-04:00", assigned_user_id="new"), *week_later(sandbox, 5)[1:])
    async with await BulkJob.create(place, client, plan) as job:
        assert (await job.run()).counts == {"applied": 4, "failed": 1}
        calendar = sandbox.store.calendars[event.calendar_id]
        sandbox.store.calendars[event.calendar_id] = type(calendar)(
            **{name: getattr(calendar, name) for name in calendar.__struct_fields__} | {"team": (*team, "new")}
        )
        sandbox.store.users["new"] = sandbox.store.users[event.assigned_user_id]
        assert await job.retry_failed() == 1
        assert (await job.run()).counts == {"applied": 5}
    assert sandbox.appointment(event.id).assigned_user_id == "new"


async def test_a_rate_is_kept(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """`rate=50`: never more than that in a second, at the server."""
    await run(place, client, rows(*week_later(sandbox, 60)), rate=50.0)
    moments = [one.at for one in sandbox.requests.of("update_appointment")]
    assert all(later - earlier > 0.8 for earlier, later in zip(moments, moments[50:], strict=False))


async def test_progress_tells_where_the_job_stands(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """At the end all rows are done; until then a time is left."""
    sandbox.limits = Limits(max_requests=100, interval=0.5)
    seen: list[JobProgress] = []
    async with await BulkJob.create(place, client, rows(*week_later(sandbox))) as job:
        await job.run(on_progress=seen.append)
    assert seen[-1].done == seen[-1].total == seen[-1].applied == 250
    assert seen[-1].remaining_seconds is None
    assert any(one.remaining_seconds for one in seen[:-1])


async def test_verify_finds_what_the_calendar_shows_otherwise(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Edited, deleted, and put back by hand; everything else is as planned."""
    async with await BulkJob.create(place, client, rows(*week_later(sandbox, 30))) as job:
        was = sandbox.appointment(sandbox.appointment_ids[2])
        await job.run()
        assert (await job.verify()).differing == ()
        sandbox.edit_appointment(sandbox.appointment_ids[0], title="By hand")
        sandbox.delete_appointment(sandbox.appointment_ids[1])
        sandbox.edit_appointment(was.id, start_time=was.start_time, end_time=was.end_time)
        verification = await job.verify()
    assert verification.checked == 30
    assert [one.event_id for one in verification.differing] == list(sandbox.appointment_ids[:3])


async def test_undo_brings_back_all_but_what_was_edited_since(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Byte for byte; what was edited by hand in 100 appointments is kept as it is, and listed."""
    before = picture(sandbox)
    cells = [one | {"title": "Moved", "appointment_status": "showed"} for one in week_later(sandbox)]
    async with await BulkJob.create(tmp_path / "job", client, rows(*cells)) as job:
        await job.run()
        by_hand = sandbox.appointment_ids[:100]
        for number, event_id in enumerate(by_hand):
            sandbox.edit_appointment(event_id, **({"title": "By hand"} if number % 2 else {"address": "Room 99"}))
        undo = await job.plan_undo()
        assert [one.event_id for one in undo.kept] == list(by_hand)
        summary = await run(tmp_path / "undo", client, undo.rows, allow_past=True)
    assert summary.counts == {"applied": 250}
    for number, event_id in enumerate(by_hand):
        edit = {"title": "By hand"} if number % 2 else {"address": "Room 99"}
        before[event_id] = replace(before[event_id], **edit)  # type: ignore[arg-type] # two texts
    assert picture(sandbox) == before


async def test_a_job_of_several_locations_reaches_each_with_its_own_token(
    place: str, shared: Shared | None
) -> None:
    """Rows name their location; each has its own queue and token."""
    async with Sandbox(limits=FAST, locations=3, appointments=20) as sandbox:

        class Tokens:
            def __init__(self, location_id: str) -> None:
                self._token = sandbox.issue_token(location_id=location_id)

            async def __call__(self) -> str:
                return self._token

            async def refresh(self, rejected: str) -> str:
                return self._token

            def for_location(self, location_id: str) -> "Tokens":
                return Tokens(location_id)

        plan = [
            at(sandbox.appointment(one), start=(sandbox.appointment(one).start_time + WEEK).isoformat())
            | {"location_id": location_id}
            for location_id in sandbox.location_ids
            for one in sandbox.find_appointment_ids(location_id)
        ]
        tokens = Tokens(sandbox.location_id)
        async with LeadConnector(
            tokens, base_url=sandbox.url, location_id=sandbox.location_id, shared=shared
        ) as client:
            assert (await run(place, client, rows(*plan))).counts == {"applied": 60}
