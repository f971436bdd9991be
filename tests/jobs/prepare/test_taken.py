"""Slots that appointments outside of a plan hold, in both journals."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.jobs import BulkJob, PlanRow, Preview, RowFault
from leadconnector_async.jobs.prepare import taken
from leadconnector_async.sandbox import Sandbox

from ..jobbing import FAST, WEEK, at, exchange, of_one_doctor, rows

pytestmark = pytest.mark.sandbox(limits=FAST)


async def preview(place: str, client: LeadConnector, plan: Iterable[PlanRow | RowFault]) -> Preview:
    """What a plan would do, with its slots checked."""
    async with await BulkJob.create(place, client, plan) as job:
        await job.prepare()
        return await job.preview(check_slots=True)


async def test_a_slot_of_an_outsider_is_warned_of(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """By id and title; the server would refuse the change."""
    mover, outsider, free = of_one_doctor(sandbox, 3)
    plan = rows(
        at(mover, start=outsider.start_time.isoformat()), at(free, start=(free.start_time + WEEK).isoformat())
    )
    (warning,) = (await preview(place, client, plan)).warnings
    assert (warning.kind, warning.count, warning.event_id) == ("slot", 1, mover.id)
    assert warning.text == "1 row moves to a slot that an appointment outside of the plan holds"
    assert warning.example.endswith(f" is held by {outsider.id} ({outsider.title})")


async def test_slots_within_the_plan_are_not_warned_of(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """Rows that take each other's slots are put in order by the job."""
    plan = rows(*exchange(of_one_doctor(sandbox, 4)))
    assert (await preview(place, client, plan)).warnings == ()


async def test_what_holds_no_slot_is_not_warned_of(
    sandbox: Sandbox, client: LeadConnector, tmp_path: object
) -> None:
    """A cancelled appointment, and a row that asks not to check."""
    mover, cancelled, forced, outsider = of_one_doctor(sandbox, 4)
    sandbox.edit_appointment(cancelled.id, appointment_status="cancelled")
    plan = rows(
        at(mover, start=cancelled.start_time.isoformat()),
        at(forced, start=outsider.start_time.isoformat(), ignore_free_slot_validation="true"),
    )
    assert (await preview(f"{tmp_path}/job", client, plan)).warnings == ()


async def test_slots_that_cannot_be_checked_are_counted(
    sandbox: Sandbox, client: LeadConnector, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists that fail, and those beyond the limit: silence would look like a free slot."""
    first, second = of_one_doctor(sandbox, 2)
    later = first.start_time + timedelta(days=60)
    plan = rows(at(first, start=later.isoformat()), at(second, start=(second.start_time + WEEK).isoformat()))
    monkeypatch.setattr(taken, "MOST_LISTS", 1)
    async with await BulkJob.create(place, client, plan) as job:
        await job.prepare()
        sandbox.requests.clear()
        (warning,) = (await job.preview(check_slots=True)).warnings
        assert (warning.kind, warning.count) == ("unchecked", 2)
        assert len(sandbox.requests.of("list_events")) == 1
        sandbox.faults.plan("list_events", ["401"] * 2)
        (warning,) = (await job.preview(check_slots=True)).warnings
        assert warning.text == "2 rows move to slots that were not checked"
        assert (await job.preview()).warnings == ()


async def test_a_person_is_listed_once_a_month(sandbox: Sandbox, client: LeadConnector, tmp_path: object) -> None:
    """However many of their slots the plan wants."""
    events = of_one_doctor(sandbox, 9)
    plan = rows(*(at(one, start=(one.start_time + WEEK).isoformat()) for one in events))
    async with await BulkJob.create(f"{tmp_path}/job", client, plan) as job:
        await job.prepare()
        sandbox.requests.clear()
        await job.preview(check_slots=True)
    assert len(sandbox.requests.of("list_events")) == 1
