"""Rows that want each other's time, on a sandbox that checks every slot."""

import random
from datetime import timedelta

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, JobSummary
from leadconnector_async.sandbox import Sandbox

from ..jobbing import FAST, at, exchange, of_one_doctor, picture, rows, run, select, writes

pytestmark = pytest.mark.sandbox(limits=FAST)


def is_double_booked(sandbox: Sandbox) -> bool:
    busy = [event for event in sandbox.store if event.is_busy]
    return any(not sandbox.store.is_free(event) for event in busy)


async def test_a_whole_day_moves_up_by_one_slot(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """Every row wants the time of the next one: in the plan's order all but the last would be refused."""
    events = of_one_doctor(sandbox, 99)
    length = timedelta(minutes=15)
    plan = rows(*(at(event, start=(event.start_time + length).isoformat()) for event in events))
    summary = await run(place, client, plan)
    assert summary.counts == {"applied": len(events)}
    assert len(events) > 10
    assert writes(sandbox) == [event.id for event in reversed(events)]
    assert sandbox.requests.count_statuses().keys() == {200}


@pytest.mark.parametrize("options", [{}, {"concurrency": 1}, {"rate": 100.0}, {"concurrency": 50}])
@pytest.mark.parametrize("number", [2, 3, 5])
async def test_a_cycle_goes_by_way_of_a_free_slot(
    sandbox: Sandbox, client: LeadConnector, place: str, number: int, options: dict[str, object]
) -> None:
    """`park`: one waits elsewhere, silently, until its time is free; nothing is refused, nothing double-booked."""
    events = of_one_doctor(sandbox, number)
    summary = await run(place, client, rows(*exchange(events)), **options)
    assert summary.counts == {"applied": number}
    now = [sandbox.appointment(event.id).start_time for event in events]
    assert now == [*(event.start_time for event in events[1:]), events[0].start_time]
    assert sandbox.requests.count_statuses().keys() == {200}
    assert len(writes(sandbox)) == number + 1
    silent = [one for one in sandbox.requests.of("update_appointment") if '"toNotify":false' in one.body]
    assert len(silent) == 1
    assert not is_double_booked(sandbox)


async def test_a_cycle_is_left_out_if_asked_to(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """`skip`: its rows are named, in the order of the cycle, and stay; others go."""
    events = of_one_doctor(sandbox, 3)
    free = at(sandbox.appointment(sandbox.appointment_ids[1]), title="Goes on")
    before = picture(sandbox)
    async with await BulkJob.create(place, client, rows(*exchange(events), free)) as job:
        job.options = type(job.options)(on_conflict="skip")
        summary = await job.run()
        reasons = [str(reason) for (reason,) in await select(job, "SELECT reason FROM rows ORDER BY number")]
    assert summary.counts == {"skipped": 3, "applied": 1}
    assert reasons[0] == "each of these rows needs the time of the next: line 1 -> line 2 -> line 3 -> line 1"
    assert {event.id: event for event in events} == {event.id: before[event.id] for event in events}


async def test_rows_behind_one_that_cannot_move_are_left_out(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """The head of the chain wants a slot that somebody else has: it is tried last, and the others are named."""
    events = of_one_doctor(sandbox, 12)
    length = timedelta(minutes=15)
    plan = rows(*(at(event, start=(event.start_time + length).isoformat()) for event in events))
    before = picture(sandbox)
    async with await BulkJob.create(place, client, plan) as job:
        summary = await job.run()
        reasons = [str(reason) for (reason,) in await select(job, "SELECT reason FROM rows ORDER BY number")]
    assert summary.counts == {"failed": 1, "skipped": 11}
    assert reasons[10] == "line 12, whose time it needs, has not moved (failed)"
    assert picture(sandbox) == before


async def test_a_cycle_is_forced_if_asked_to(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """`force`: one goes without the slot check; at the end all are where they should be."""
    events = of_one_doctor(sandbox, 2)
    summary = await run(place, client, rows(*exchange(events)), on_conflict="force")
    assert summary.counts == {"applied": 2}
    assert not is_double_booked(sandbox)
    assert len(writes(sandbox)) == 2


async def test_a_slot_that_somebody_else_has_is_tried_again_at_the_end(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """It is refused for good only when all others have gone."""
    first, second, third = of_one_doctor(sandbox, 3)
    plan = rows(
        at(first, start=third.start_time.isoformat()),
        at(second, start=(second.start_time + timedelta(weeks=1)).isoformat()),
    )
    summary = await run(place, client, plan)
    assert summary.counts == {"applied": 1, "failed": 1}
    tried = [one for one in sandbox.requests.of("update_appointment") if one.event_id == first.id]
    assert [one.status for one in tried] == [400, 400]
    assert sandbox.appointment(first.id) == first


async def test_a_taken_slot_can_be_forced(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """`force`: it is sent once more without the slot check."""
    first, _, third = of_one_doctor(sandbox, 3)
    plan = rows(at(first, start=third.start_time.isoformat()))
    summary = await run(place, client, plan, on_conflict="force")
    assert summary.counts == {"applied": 1}
    assert sandbox.appointment(first.id).start_time == third.start_time


async def test_a_parked_appointment_goes_back_if_the_others_cannot_move(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """The cycle breaks on the way: nobody is left in a slot that nobody wanted."""
    first, second = of_one_doctor(sandbox, 2)
    cells = exchange([first, second])
    cells[1] |= {"title": "x", "assigned_user_id": first.assigned_user_id}
    async with await BulkJob.create(place, client, rows(*cells)) as job:
        await job.prepare()
        ((parks,),) = await select(job, "SELECT parks FROM rows WHERE parks IS NOT NULL")
        blocked = second.id if parks == 1 else first.id
        sandbox.delete_appointment(blocked)
        summary: JobSummary = await job.run()
    assert summary.counts == {"failed": 1, "skipped": 1}
    kept = first if blocked == second.id else second
    assert sandbox.appointment(kept.id).start_time == kept.start_time
    assert len(writes(sandbox)) == 2


async def test_a_job_that_ends_while_one_is_parked_goes_on(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Even much later: that it stands elsewhere is the job's own doing."""
    events = of_one_doctor(sandbox, 3)
    async with await BulkJob.create(place, client, rows(*exchange(events))) as job:
        await job.run(limit=1)
        assert len(writes(sandbox)) == 1
        await job._journal.run(lambda journal: journal.write("UPDATE rows SET read_at = 0"))
    async with await BulkJob.open(place, client) as job:
        assert (await job.run()).counts == {"applied": 3}
    now = [sandbox.appointment(event.id).start_time for event in events]
    assert now == [*(event.start_time for event in events[1:]), events[0].start_time]


@pytest.mark.parametrize("on_conflict", ["park", "skip"])
@pytest.mark.parametrize("rival", [0, 1])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)])
async def test_a_ring_with_a_row_that_is_refused_stays_where_it_is(
    sandbox: Sandbox,
    client: LeadConnector,
    place: str,
    on_conflict: str,
    rival: int,
    order: tuple[int, int, int],
) -> None:
    """The refused row never goes, so nobody gets out of its way: it would be left where it was put."""
    events = of_one_doctor(sandbox, 3)
    before = picture(sandbox)
    first, second, third = events
    wanted = [(third, events[rival]), (first, second), (second, first)]
    cells = [at(event, start=other.start_time.isoformat()) for event, other in wanted]
    plan = rows(*(cells[number] for number in order))
    summary = await run(place, client, plan, skip_refused=True, on_conflict=on_conflict)
    assert summary.counts["refused"] == 1
    assert "applied" not in summary.counts
    assert picture(sandbox) == before


@pytest.mark.parametrize("seed", range(20, 44))
async def test_nothing_that_is_refused_is_moved(
    sandbox: Sandbox, client: LeadConnector, place: str, seed: int
) -> None:
    """Whoever wants whose time, and whatever rings come of it."""
    chooser = random.Random(seed)
    events = of_one_doctor(sandbox, 8)
    moves = [(one, other) for one in events if (other := chooser.choice(events)) is not one]
    plan = rows(*(at(one, start=other.start_time.isoformat()) for one, other in moves))
    before = picture(sandbox)
    async with await BulkJob.create(place, client, plan, options=JobOptions(skip_refused=True)) as job:
        await job.run()
        states = dict(await select(job, "SELECT event_id, state FROM rows WHERE parks IS NULL"))  # type: ignore[arg-type]
    for one, other in moves:
        expected = other.start_time if states[one.id] == "applied" else before[one.id].start_time
        assert sandbox.appointment(one.id).start_time == expected
    assert not is_double_booked(sandbox)
