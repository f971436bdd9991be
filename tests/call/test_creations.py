"""Creations whose response is cut off, on real sockets."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from leadconnector_async import (
    AppointmentCreate,
    BlockSlotCreate,
    Event,
    LeadConnector,
    OutcomeUnknownError,
    RetryPolicy,
    with_response,
)
from leadconnector_async._api.created import estimate_began
from leadconnector_async._call import search
from leadconnector_async.events import RequestFailed
from leadconnector_async.sandbox import Limits, Sandbox

from ..conftest import WIDE, MakeClient

START = datetime(2027, 6, 7, 13, tzinfo=UTC)
STEP = int(os.environ.get("TEST_CUT_STEP", "29"))
"""Every so many bytes; with `TEST_CUT_STEP=1`, every byte."""
POLICY = RetryPolicy(backoff_base=0.001, backoff_cap=0.002, apply_timeout=0.05)


async def measure(sandbox: Sandbox) -> int:
    """More than the bytes of a response to a creation, its head included."""
    async with LeadConnector(sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id) as client:
        response = await with_response(client.create_appointment(make_booking(sandbox, 0)))
    return len(response.body) + sum(len(name) + len(value) + 4 for name, value in response.headers.items()) + 20


def make_booking(sandbox: Sandbox, number: int) -> AppointmentCreate:
    event = sandbox.appointment(sandbox.appointment_ids[0])
    start = START + timedelta(hours=number)
    return AppointmentCreate(calendar_id=event.calendar_id, contact_id=event.contact_id, start_time=start)


@pytest.mark.sandbox(appointments=4, limits=WIDE, strict=False)
async def test_a_response_that_is_cut_at_any_byte_books_once(sandbox: Sandbox, make_client: MakeClient) -> None:
    """The caller has the appointment that was booked, wherever its response ended."""
    bytes_ = await measure(sandbox)
    cuts = range(0, bytes_, STEP)
    sandbox.faults.plan("create_appointment", [f"cut {count}" for count in cuts])
    before = {event.id for event in sandbox.store}
    responses = [
        await with_response(make_client(retry=POLICY).create_appointment(make_booking(sandbox, number + 1)))
        for number in range(len(cuts))  # a client each, because one would run out of its retry budget
    ]
    made = {event.id: event for event in sandbox.store if event.id not in before}
    assert sandbox.faults.unused() == {}
    assert {str(one.value.id) for one in responses} == set(made)
    assert len(responses) == len(made)
    assert all(made[str(one.value.id)].start_time == one.value.start_time for one in responses)
    reconciled = [one.reconciled for one in responses]
    assert reconciled[0] > reconciled[-1]  # the last has a whole response
    assert reconciled == sorted(reconciled, reverse=True)


@pytest.mark.parametrize("fault", ["cut 0", "late 0.02", "503-after-apply", "reset", "html 200"])
async def test_block_slots_and_notes_are_found_as_well(
    sandbox: Sandbox, make_client: MakeClient, fault: str
) -> None:
    """Each exists once, and the caller has its id."""
    event_id = sandbox.appointment_ids[0]
    team = sandbox.store.calendars[sandbox.appointment(event_id).calendar_id].team
    client = make_client(retry=POLICY)
    for number in range(25):  # more than a page
        await client.create_note(event_id, f"Called {number} times.")
    sandbox.faults.plan("create_block_slot", [fault])
    sandbox.faults.plan("create_note", [fault])
    block = BlockSlotCreate(
        title="Lunch", assigned_user_id=team[0], start_time=START, end_time=START.replace(hour=14)
    )
    blocked = await client.create_block_slot(block)
    noted = await client.create_note(event_id, "Called back.", user_id=team[0])
    assert [event.id for event in sandbox.store if event.is_block] == [blocked.id]
    assert (blocked.title, blocked.assigned_user_id, blocked.start_time) == ("Lunch", team[0], START)
    assert [note.id for note in sandbox.store.notes[event_id] if note.body == "Called back."] == [noted.id]


@pytest.mark.sandbox(appointments=4, limits=Limits(max_requests=10_000, interval=1.0), strict=False)
async def test_identical_creations_at_once_are_as_many(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Also when the task of one is cancelled while another waits for it."""
    sandbox.faults.plan("create_appointment", ["stall 5", "lose-response", "reset", "ok"])
    client = make_client(retry=POLICY)
    first, *others = (asyncio.create_task(client.create_appointment(make_booking(sandbox, 0))) for _ in range(4))
    while not sandbox.requests.of("create_appointment"):
        await asyncio.sleep(0.01)
    first.cancel()
    made = await asyncio.gather(*others, return_exceptions=True)
    booked = [event.id for event in sandbox.store if event.start_time == START]
    assert first.cancelled()
    ids = [str(getattr(one, "id", None)) for one in made if not isinstance(one, BaseException)]
    assert len(set(ids)) == len(ids)
    assert set(ids) < set(booked)


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("has_date", [True, False])
async def test_what_was_created_before_the_machine_slept_is_not_created_again(
    sandbox: Sandbox, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, checked: bool, has_date: bool
) -> None:
    """The loop's clock stood still meanwhile, so the call seems to have begun after what it has made."""
    ahead, real = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])
    if not has_date:
        monkeypatch.setattr(search, "estimate_began", lambda date, *rest: estimate_began(None, *rest))

    def sleep(event: Event) -> None:
        if isinstance(event, RequestFailed) and not ahead[0]:
            sandbox.advance(100_000)
            ahead[0] = 100_000.0

    sandbox.faults.plan("create_appointment", ["lose-response"])
    booking = structs.replace(make_booking(sandbox, 0), ignore_free_slot_validation=not checked)
    event = sandbox.appointment(sandbox.appointment_ids[0])
    booking = structs.replace(booking, assigned_user_id=event.assigned_user_id)
    with pytest.raises(OutcomeUnknownError) as caught:
        await make_client(retry=POLICY, on_event=sleep).create_appointment(booking)
    (made,) = [one.id for one in sandbox.store if one.start_time == START]
    assert caught.value.candidates == (made,)
