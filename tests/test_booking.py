"""From a free slot to an appointment, or to the slots that are free instead."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadconnector_async import (
    AppointmentCreate,
    Booking,
    BookingConflict,
    Event,
    InvalidRequestError,
    LeadConnector,
    NotApprovedError,
    PendingWrite,
    ReadOnlyError,
    SlotOffer,
    SlotOwner,
    VerificationError,
)
from leadconnector_async.events import ResponseReceived
from leadconnector_async.sandbox import Sandbox

from .conftest import MakeClient

MONDAY = datetime(2027, 6, 7, tzinfo=UTC)
DAY, WEEK = timedelta(days=1), timedelta(days=7)


def find_contact(sandbox: Sandbox, number: int = 0) -> str:
    return sandbox.appointment(sandbox.appointment_ids[number]).contact_id


def list_calendars(sandbox: Sandbox) -> list[str]:
    return [one.id for one in sandbox.store.calendars.values() if one.location_id == sandbox.location_id]


def list_booked(sandbox: Sandbox, start: datetime) -> list[str]:
    """Ids of what is in the calendars at a time."""
    return [one.id for one in sandbox.store if one.start_time == start]


async def list_offers(client: LeadConnector, sandbox: Sandbox, **options: Any) -> list[SlotOffer]:
    found = await client.get_free_slots(list_calendars(sandbox)[:1], MONDAY, MONDAY + WEEK, **options)
    assert isinstance(found, list)
    return found


async def fill(client: LeadConnector, sandbox: Sandbox, owner: SlotOwner) -> None:
    """Book a slot for everybody in the team."""
    for user_id in sandbox.store.calendars[owner.calendar_id].team:
        booking = AppointmentCreate(
            calendar_id=owner.calendar_id,
            contact_id=find_contact(sandbox, 1),
            start_time=owner.start_time,
            assigned_user_id=user_id,
        )
        await client.create_appointment(booking)


async def test_an_offer_is_booked_and_read_back(sandbox: Sandbox, client: LeadConnector) -> None:
    """It is checked, created and verified: three requests, and one appointment."""
    offer = (await list_offers(client, sandbox))[0]
    sandbox.requests.clear()
    booked = await client.book(offer, find_contact(sandbox), title="First visit")
    assert isinstance(booked, Booking)
    assert booked.verified
    assert booked.appointment.start_time == offer.start_time
    assert [request.operation for request in sandbox.requests] == [
        "get_free_slots",
        "create_appointment",
        "get_appointment",
    ]
    assert list_booked(sandbox, offer.start_time) == [booked.appointment.id]
    assert sandbox.appointment(str(booked.appointment.id)).title == "First visit"


async def test_a_slot_that_is_taken_leads_to_the_next_offers(sandbox: Sandbox, client: LeadConnector) -> None:
    """Nothing is sent; the offers are the next free ones, no more than were asked for, and can be booked."""
    offers = await list_offers(client, sandbox)
    for offer in (offers[0], offers[2]):
        await fill(client, sandbox, offer.owners[0])
    sandbox.requests.clear()
    refused = await client.book(offers[0], find_contact(sandbox), most_offers=2)
    assert refused == BookingConflict((offers[1], offers[3]))
    assert {request.method for request in sandbox.requests} == {"GET"}
    booked = await client.book(refused.offers[0], find_contact(sandbox))
    assert isinstance(booked, Booking)
    assert booked.appointment.start_time == offers[1].start_time


async def test_of_two_that_race_for_a_slot_one_gets_it_and_the_other_gets_offers(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """Both have seen it free: the server decides, and nobody gets an error."""
    both = asyncio.Barrier(2)

    async def wait_for_the_other(write: PendingWrite) -> bool:
        await both.wait()
        return True

    first, second = (make_client(approve=wait_for_the_other) for _ in range(2))
    calendar_id = list_calendars(sandbox)[0]
    [user_id, *_] = sandbox.store.calendars[calendar_id].team
    for offer in (await list_offers(first, sandbox, user_ids=[user_id]))[:10]:
        sandbox.requests.clear()
        results = await asyncio.gather(
            *(client.book(offer, find_contact(sandbox, n)) for n, client in enumerate((first, second)))
        )
        assert len(sandbox.requests.of("create_appointment")) == 2
        [booked] = [one for one in results if isinstance(one, Booking)]
        [refused] = [one for one in results if isinstance(one, BookingConflict)]
        assert list_booked(sandbox, offer.start_time) == [booked.appointment.id]
        assert len(refused.offers) == 3
        assert all(one.start_time > offer.start_time and one.user_ids == (user_id,) for one in refused.offers)


async def test_the_first_who_is_still_free_gets_the_booking(sandbox: Sandbox, client: LeadConnector) -> None:
    """Of several users, and of several calendars; to book a time it must be said whose."""
    calendar_id = list_calendars(sandbox)[0]
    team = list(sandbox.store.calendars[calendar_id].team)
    offer = (await list_offers(client, sandbox, user_ids=team))[0]
    for user_id in team:
        booked = await client.book(
            offer.start_time, find_contact(sandbox), calendar_ids=[calendar_id], user_ids=team
        )
        assert isinstance(booked, Booking)
        assert booked.appointment.assigned_user_id == user_id
    refused = await client.book(offer, find_contact(sandbox))
    assert isinstance(refused, BookingConflict)


async def test_several_calendars_are_tried_in_order(sandbox: Sandbox, client: LeadConnector) -> None:
    """The second is booked if the first is taken; offers come from others that are named, too."""
    one, other = list_calendars(sandbox)[:2]
    found = await client.get_free_slots([one, other], MONDAY, MONDAY + WEEK)
    assert isinstance(found, list)
    offer = next(each for each in found if each.calendar_ids == (one, other))
    await fill(client, sandbox, offer.owners[0])
    booked = await client.book(offer, find_contact(sandbox))
    assert isinstance(booked, Booking)
    assert booked.appointment.calendar_id == other
    refused = await client.book(offer.owners[0], find_contact(sandbox), calendar_ids=[other], most_offers=100)
    assert isinstance(refused, BookingConflict)
    assert {each for every in refused.offers for each in every.calendar_ids} == {one, other}


async def test_the_same_instant_in_another_zone_is_the_same_slot(sandbox: Sandbox, client: LeadConnector) -> None:
    """What is offered in the calendar's zone can be asked for in UTC."""
    offer = (await list_offers(client, sandbox))[0]
    when = offer.start_time.astimezone(UTC)
    booked = await client.book(when, find_contact(sandbox), calendar_ids=offer.calendar_ids)
    assert isinstance(booked, Booking)
    assert booked.appointment.start_time == when
    refused = await client.book(when, find_contact(sandbox), calendar_ids=offer.calendar_ids, user_ids=["nobody"])
    assert refused == BookingConflict(())


async def test_a_lost_response_books_once(sandbox: Sandbox, client: LeadConnector) -> None:
    """The creation is found in the calendar."""
    offer = (await list_offers(client, sandbox))[0]
    sandbox.faults.plan("create_appointment", ["lose-response"])
    booked = await client.book(offer, find_contact(sandbox))
    assert isinstance(booked, Booking)
    assert booked.verified
    assert list_booked(sandbox, offer.start_time) == [booked.appointment.id]


async def test_a_booking_that_cannot_be_read_back_is_not_lost(sandbox: Sandbox, make_client: MakeClient) -> None:
    """It is returned as the server created it, and is not called verified."""
    client = make_client()
    offer = (await list_offers(client, sandbox))[0]
    sandbox.faults.plan("get_appointment", ["503"] * 10)
    booked = await client.book(offer, find_contact(sandbox))
    assert isinstance(booked, Booking)
    assert (booked.verified, booked.appointment.start_time) == (False, offer.start_time)
    assert sandbox.appointment(str(booked.appointment.id)).start_time == offer.start_time


@pytest.mark.parametrize("edit", [{"start_time": MONDAY + DAY}, {"appointment_status": "cancelled"}])
async def test_a_booking_that_shows_something_else_is_an_error(
    sandbox: Sandbox, make_client: MakeClient, edit: dict[str, Any]
) -> None:
    """An automation has moved or cancelled it: the write was applied all the same."""

    def change(event: Event) -> None:
        if isinstance(event, ResponseReceived) and event.operation == "create_appointment":
            [event_id] = list_booked(sandbox, offer.start_time)
            sandbox.edit_appointment(event_id, **edit)

    offer = (await list_offers(make_client(), sandbox))[0]
    with pytest.raises(VerificationError, match="shows something else") as caught:
        await make_client(on_event=change).book(offer, find_contact(sandbox))
    assert (caught.value.operation, caught.value.outcome) == ("book", "applied")


async def test_a_booking_is_a_write(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Refused at once for a client that may only read; a booking that is not approved is not made."""
    asked: list[PendingWrite] = []

    async def approve(pending: PendingWrite) -> bool:
        asked.append(pending)
        return False

    offer = (await list_offers(make_client(), sandbox))[0]
    sandbox.requests.clear()
    with pytest.raises(ReadOnlyError, match="book writes"):
        await make_client(access="read").book(offer, find_contact(sandbox))
    assert not list(sandbox.requests)
    with pytest.raises(NotApprovedError):
        await make_client(approve=approve).book(offer, find_contact(sandbox))
    assert [one.operation for one in asked] == ["create_appointment"]
    assert list_booked(sandbox, offer.start_time) == []


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"when": MONDAY}, "calendar_id"),
        ({"when": MONDAY, "calendar_ids": "cal1"}, "calendar_ids"),
        ({"when": datetime(2027, 6, 7)}, "when"),
        ({"when": "2027-06-07T09:00:00Z"}, "when"),
        ({"when": SlotOffer(MONDAY, ())}, "when"),
        ({"when": SlotOwner("cal1", None, MONDAY), "user_ids": ["u"]}, "user_ids"),
        ({"when": SlotOwner("cal1", None, MONDAY), "contact_id": ""}, "contact_id"),
        ({"when": SlotOwner("cal1", None, MONDAY), "most_offers": -1}, "most_offers"),
        ({"when": SlotOwner("cal1", None, MONDAY), "within": timedelta(0)}, "within"),
        ({"when": SlotOwner("cal1", None, MONDAY), "title": "a\nb"}, "title"),
    ],
)
async def test_arguments_that_mean_nothing_are_refused(
    sandbox: Sandbox, client: LeadConnector, arguments: dict[str, Any], field: str
) -> None:
    """Before anything is read or sent."""
    with pytest.raises(InvalidRequestError) as caught:
        await client.book(**{"contact_id": "contact1", **arguments})
    assert caught.value.field == field
    assert not list(sandbox.requests)
