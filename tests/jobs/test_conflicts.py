"""Rows that want each other's time, on a sandbox that checks every slot."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, JobSummary
from leadconnector_async.sandbox import BookedAppointment, Sandbox

from .jobbing import FAST, at, picture, rows, run, writes


@pytest.fixture
async def clinic() -> AsyncIterator[Sandbox]:
    async with Sandbox(limits=FAST) as sandbox:
        yield sandbox


@pytest.fixture
async def client(clinic: Sandbox) -> AsyncIterator[LeadConnector]:
    async with LeadConnector(clinic.token, base_url=clinic.url, location_id=clinic.location_id) as made:
        yield made


def of_one_doctor(clinic: Sandbox, most: int, status: str = "confirmed") -> list[BookedAppointment]:
    """Appointments of one person, one after the other, all of which take their time."""
    first = clinic.appointment(clinic.appointment_ids[0])
    events = [event for event in clinic.book if event.assigned_user_id == first.assigned_user_id]
    chosen = sorted(events, key=lambda event: event.start_time)[:most]
    for event in chosen:
        clinic.edit_appointment(event.id, appointment_status=status)
    return [clinic.appointment(event.id) for event in chosen]


def exchange(events: list[BookedAppointment]) -> list[dict[str, object]]:
    """Each wants the time of the next, the last that of the first."""
    targets = [*events[1:], events[0]]
    return [
        at(event, start=target.start_time.isoformat(), end_time=target.end_time.isoformat())
        for event, target in zip(events, targets, strict=True)
    ]


def is_double_booked(clinic: Sandbox) -> bool:
    busy = [event for event in clinic.book if event.is_busy]
    return any(not clinic.book.is_free(event) for event in busy)


async def test_a_whole_day_moves_up_by_one_slot(clinic: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """Every row wants the time of the next one: in the plan's order all but the last would be refused."""
    events = of_one_doctor(clinic, 99)
    length = timedelta(minutes=15)
    plan = rows(*(at(event, start=(event.start_time + length).isoformat()) for event in events))
    summary = await run(tmp_path / "job", client, plan)
    assert summary.counts == {"applied": len(events)}
    assert len(events) > 10
    assert writes(clinic) == [event.id for event in reversed(events)]
    assert clinic.requests.count_statuses().keys() == {200}


@pytest.mark.parametrize("options", [{}, {"concurrency": 1}, {"rate": 100.0}, {"concurrency": 50}])
@pytest.mark.parametrize("number", [2, 3, 5])
async def test_a_cycle_goes_by_way_of_a_free_slot(
    clinic: Sandbox, client: LeadConnector, tmp_path: Path, number: int, options: dict[str, object]
) -> None:
    """`park`: one waits elsewhere, silently, until its time is free; nothing is refused, nothing double-booked."""
    events = of_one_doctor(clinic, number)
    summary = await run(tmp_path / "job", client, rows(*exchange(events)), **options)
    assert summary.counts == {"applied": number}
    now = [clinic.appointment(event.id).start_time for event in events]
    assert now == [*(event.start_time for event in events[1:]), events[0].start_time]
    assert clinic.requests.count_statuses().keys() == {200}
    assert len(writes(clinic)) == number + 1
    silent = [one for one in clinic.requests.of("update_appointment") if '"toNotify":false' in one.body]
    assert len(silent) == 1
    assert not is_double_booked(clinic)


async def test_a_cycle_is_left_out_if_asked_to(clinic: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """`skip`: its rows are named, in the order of the cycle, and stay; others go."""
    events = of_one_doctor(clinic, 3)
    free = at(clinic.appointment(clinic.appointment_ids[1]), title="Goes on")
    before = picture(clinic)
    async with await BulkJob.create(tmp_path / "job", client, rows(*exchange(events), free)) as job:
        job.options = type(job.options)(on_conflict="skip")
        summary = await job.run()
        reasons = [
            str(record[0]) for record in job._scribe._journal.read("SELECT reason FROM rows ORDER BY number")
        ]
    assert summary.counts == {"skipped": 3, "applied": 1}
    assert reasons[0] == "each of these rows wants the time of the next: line 1 -> line 2 -> line 3 -> line 1"
    assert {event.id: event for event in events} == {event.id: before[event.id] for event in events}


async def test_rows_behind_one_that_cannot_move_are_left_out(
    clinic: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """The head of the chain wants a slot that somebody else has: it is tried last, and the others are named."""
    events = of_one_doctor(clinic, 12)
    length = timedelta(minutes=15)
    plan = rows(*(at(event, start=(event.start_time + length).isoformat()) for event in events))
    before = picture(clinic)
    async with await BulkJob.create(tmp_path / "job", client, plan) as job:
        summary = await job.run()
        reasons = [
            str(record[0]) for record in job._scribe._journal.read("SELECT reason FROM rows ORDER BY number")
        ]
    assert summary.counts == {"failed": 1, "skipped": 11}
    assert reasons[10] == "line 12, whose time it wants, has not moved (failed)"
    assert picture(clinic) == before


async def test_a_cycle_is_forced_if_asked_to(clinic: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """`force`: one goes without the slot check; at the end all are where they should be."""
    events = of_one_doctor(clinic, 2)
    summary = await run(tmp_path / "job", client, rows(*exchange(events)), on_conflict="force")
    assert summary.counts == {"applied": 2}
    assert not is_double_booked(clinic)
    assert len(writes(clinic)) == 2


async def test_a_slot_that_somebody_else_has_is_tried_again_at_the_end(
    clinic: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """It is refused for good only when all others have gone."""
    first, second, third = of_one_doctor(clinic, 3)
    plan = rows(
        at(first, start=third.start_time.isoformat()),
        at(second, start=(second.start_time + timedelta(weeks=1)).isoformat()),
    )
    summary = await run(tmp_path / "job", client, plan)
    assert summary.counts == {"applied": 1, "failed": 1}
    tried = [one for one in clinic.requests.of("update_appointment") if one.event_id == first.id]
    assert [one.status for one in tried] == [400, 400]
    assert clinic.appointment(first.id) == first


async def test_a_taken_slot_can_be_forced(clinic: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """`force`: it is sent once more without the slot check."""
    first, _, third = of_one_doctor(clinic, 3)
    plan = rows(at(first, start=third.start_time.isoformat()))
    summary = await run(tmp_path / "job", client, plan, on_conflict="force")
    assert summary.counts == {"applied": 1}
    assert clinic.appointment(first.id).start_time == third.start_time


async def test_a_parked_appointment_goes_back_if_the_others_cannot_move(
    clinic: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """The cycle breaks on the way: nobody is left in a slot that nobody wanted."""
    first, second = of_one_doctor(clinic, 2)
    cells = exchange([first, second])
    cells[1] |= {"title": "x", "assigned_user_id": first.assigned_user_id}
    async with await BulkJob.create(tmp_path / "job", client, rows(*cells)) as job:
        await job.prepare()
        parked = job._scribe._journal.read_one("SELECT parks FROM rows WHERE parks IS NOT NULL")
        assert parked is not None
        blocked = second.id if parked[0] == 1 else first.id
        clinic.delete_appointment(blocked)
        summary: JobSummary = await job.run()
    assert summary.counts == {"failed": 1, "skipped": 1}
    kept = first if blocked == second.id else second
    assert clinic.appointment(kept.id).start_time == kept.start_time
    assert len(writes(clinic)) == 2


async def test_a_job_that_ends_while_one_is_parked_goes_on(
    clinic: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Even much later: that it stands elsewhere is the job's own doing."""
    events = of_one_doctor(clinic, 3)
    async with await BulkJob.create(tmp_path / "job", client, rows(*exchange(events))) as job:
        await job.run(limit=1)
        assert len(writes(clinic)) == 1
        await job._scribe.run(lambda journal: journal.write("UPDATE rows SET read_at = 0"))
    async with await BulkJob.open(tmp_path / "job", client) as job:
        assert (await job.run()).counts == {"applied": 3}
    now = [clinic.appointment(event.id).start_time for event in events]
    assert now == [*(event.start_time for event in events[1:]), events[0].start_time]


@pytest.mark.parametrize("on_conflict", ["park", "skip"])
@pytest.mark.parametrize("rival", [0, 1])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)])
async def test_a_ring_with_a_row_that_is_refused_stays_where_it_is(
    clinic: Sandbox,
    client: LeadConnector,
    tmp_path: Path,
    on_conflict: str,
    rival: int,
    order: tuple[int, int, int],
) -> None:
    """The refused row never goes, so nobody gets out of its way: it would be left where it was put."""
    events = of_one_doctor(clinic, 3)
    before = picture(clinic)
    first, second, third = events
    wanted = [(third, events[rival]), (first, second), (second, first)]
    cells = [at(event, start=other.start_time.isoformat()) for event, other in wanted]
    plan = rows(*(cells[number] for number in order))
    summary = await run(tmp_path / "job", client, plan, skip_refused=True, on_conflict=on_conflict)
    assert summary.counts["refused"] == 1
    assert "applied" not in summary.counts
    assert picture(clinic) == before


@pytest.mark.parametrize("seed", range(20, 44))
async def test_nothing_that_is_refused_is_moved(
    clinic: Sandbox, client: LeadConnector, tmp_path: Path, seed: int
) -> None:
    """Whoever wants whose time, and whatever rings come of it."""
    chooser = random.Random(seed)
    events = of_one_doctor(clinic, 8)
    moves = [(one, other) for one in events if (other := chooser.choice(events)) is not one]
    plan = rows(*(at(one, start=other.start_time.isoformat()) for one, other in moves))
    before = picture(clinic)
    async with await BulkJob.create(tmp_path / "job", client, plan, options=JobOptions(skip_refused=True)) as job:
        await job.run()
        states = await job._scribe.run(
            lambda journal: dict(journal.read("SELECT event_id, state FROM rows WHERE parks IS NULL"))
        )
    for one, other in moves:
        expected = other.start_time if states[one.id] == "applied" else before[one.id].start_time
        assert clinic.appointment(one.id).start_time == expected
    assert not is_double_booked(clinic)
