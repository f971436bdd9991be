"""Bookings under a key of the caller's."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from leadconnector_async import (
    Booking,
    BookingConflict,
    KeyReusedError,
    LeadConnector,
    OutcomeUnknownError,
    PendingWrite,
    Shared,
    SlotOffer,
    VerificationError,
)
from leadconnector_async.sandbox import Sandbox

from .conftest import QUICK, MakeClient
from .test_booking import DAY, MONDAY, WEEK, fill, find_contact, list_booked, list_calendars, list_offers


async def find_shared_offer(client: LeadConnector, sandbox: Sandbox) -> SlotOffer:
    """A slot that two calendars offer."""
    calendars = list_calendars(sandbox)[:2]
    found = await client.get_free_slots(calendars, MONDAY, MONDAY + WEEK)
    return next(one for one in found if one.calendar_ids == tuple(calendars))


def list_own(sandbox: Sandbox, offer: SlotOffer, contact_id: str) -> list[str]:
    """Ids of what a contact has booked."""
    return [
        one for one in list_booked(sandbox, offer.start_time) if sandbox.appointment(one).contact_id == contact_id
    ]


async def test_the_same_key_returns_the_same_appointment(sandbox: Sandbox, client: LeadConnector) -> None:
    """Also when the slot is taken, by that very appointment, and others offer it still."""
    offer = await find_shared_offer(client, sandbox)
    first = await client.book(offer, find_contact(sandbox), once="turn 5")
    for _ in range(3):
        assert await client.book(offer, find_contact(sandbox), once="turn 5") == first
    assert len(sandbox.requests.of("create_appointment")) == 1
    other = await client.book(offer, find_contact(sandbox), once="turn 6")
    assert isinstance(first, Booking)
    assert isinstance(other, Booking)
    assert other.appointment.id != first.appointment.id


async def test_the_only_one_who_offered_it_has_it_already(sandbox: Sandbox, client: LeadConnector) -> None:
    """Nobody offers the slot any more, and the call that took it is repeated."""
    user_id = sandbox.store.calendars[list_calendars(sandbox)[0]].team[0]
    offer = (await list_offers(client, sandbox, user_ids=[user_id]))[0]
    first = await client.book(offer, find_contact(sandbox), once="turn 5")
    assert isinstance(first, Booking)
    assert await client.book(offer, find_contact(sandbox), once="turn 5") == first
    assert isinstance(await client.book(offer, find_contact(sandbox), once="turn 6"), BookingConflict)


async def test_a_key_whose_first_choice_was_lost_and_taken_books_the_second(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """It is not given to the second before the first is certainly not booked."""
    client = make_client(retry=structs.replace(QUICK, on_ambiguous="raise", apply_timeout=0.1))
    offer, contact = await find_shared_offer(client, sandbox), find_contact(sandbox)
    sandbox.faults.plan("create_appointment", ["503"])
    with pytest.raises(OutcomeUnknownError):
        await client.book(offer, contact, once="turn 5")
    await fill(client, sandbox, offer.owners[0])
    booked = await client.book(offer, contact, once="turn 5")
    assert isinstance(booked, Booking)
    assert booked.appointment.calendar_id == offer.owners[1].calendar_id
    assert list_own(sandbox, offer, contact) == [booked.appointment.id]


async def test_a_key_finds_its_appointment_whoever_was_free_then(sandbox: Sandbox, client: LeadConnector) -> None:
    """Booked with the second, as the first was taken; the first is free again when the call is repeated."""
    offer = await find_shared_offer(client, sandbox)
    await fill(client, sandbox, offer.owners[0])
    taken = list_booked(sandbox, offer.start_time)
    first = await client.book(offer, find_contact(sandbox), once="turn 5")
    assert isinstance(first, Booking)
    assert first.appointment.calendar_id == offer.owners[1].calendar_id
    for event_id in taken:
        await client.delete_event(event_id)
    assert await client.book(offer, find_contact(sandbox), once="turn 5") == first
    assert list_own(sandbox, offer, find_contact(sandbox)) == [first.appointment.id]


async def test_after_a_conflict_the_key_is_free(sandbox: Sandbox, client: LeadConnector) -> None:
    """The same turn may book another slot."""
    offers = await list_offers(client, sandbox)
    await fill(client, sandbox, offers[0].owners[0])
    refused = await client.book(offers[0], find_contact(sandbox), once="turn 5")
    assert isinstance(refused, BookingConflict)
    assert refused.offers[0] == offers[1]
    booked = await client.book(refused.offers[0], find_contact(sandbox), once="turn 5")
    assert isinstance(booked, Booking)


async def test_a_key_with_another_booking_is_refused(sandbox: Sandbox, client: LeadConnector) -> None:
    """Another time, contact or title: nothing is sent."""
    offers = await list_offers(client, sandbox)
    await client.book(offers[0], find_contact(sandbox), once="turn 5")
    others: list[tuple[SlotOffer, int, dict[str, Any]]] = [
        (offers[1], 0, {}),
        (offers[0], 1, {}),
        (offers[0], 0, {"title": "Other"}),
    ]
    for offer, contact, details in others:
        with pytest.raises(KeyReusedError):
            await client.book(offer, find_contact(sandbox, contact), once="turn 5", **details)
    assert len(sandbox.requests.of("create_appointment")) == 1


async def find_offers(client: LeadConnector, sandbox: Sandbox) -> list[SlotOffer]:
    """Slots that two calendars offer, each for one user of its team."""
    calendars = list_calendars(sandbox)[:2]
    users = [sandbox.store.calendars[one].team[0] for one in calendars]
    found = await client.get_free_slots(calendars, MONDAY, MONDAY + WEEK, user_ids=users)
    return [one for one in found if len(one.owners) > 1]


async def test_sixteen_calls_with_one_key_make_one_appointment(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Beside somebody who takes the first choice away, and with responses that are lost."""
    client = make_client(retry=structs.replace(QUICK, apply_timeout=1))
    for number in range(5):
        offers = await find_offers(client, sandbox)
        offer = offers[number]
        sandbox.faults.plan("create_appointment", ["ok", "lose-response", "503"])
        key, contact = f"turn {number}", find_contact(sandbox)
        first = offer.owners[0]
        results, _ = await asyncio.gather(
            asyncio.gather(*(client.book(offer, contact, once=key) for _ in range(16))),
            client.book(first, find_contact(sandbox, 1)),
        )
        ids = {one.appointment.id if isinstance(one, Booking) else None for one in results}
        assert len(ids) == 1
        assert list_own(sandbox, offer, contact) == [one for one in ids if one is not None]


async def test_a_key_is_known_to_all_who_share_a_store(
    sandbox: Sandbox, make_client: MakeClient, tmp_path: Path
) -> None:
    """Side by side and afterwards, although each may choose another calendar."""
    offer, contact = await find_shared_offer(make_client(), sandbox), find_contact(sandbox)
    booked: set[str | None] = set()
    async with AsyncExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'shared.db'}"
        clients = [make_client(shared=await stack.enter_async_context(Shared(url))) for _ in range(4)]
        for _ in range(2):
            results = await asyncio.gather(*(client.book(offer, contact, once="turn 5") for client in clients))
            booked |= {one.appointment.id for one in results if isinstance(one, Booking)}
        for client in clients:
            await client.aclose()
    assert list_own(sandbox, offer, contact) == list(booked)


async def test_what_was_booked_before_is_not_asked_about_again(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Nothing is written by a call that returns it."""
    asked: list[PendingWrite] = []

    async def approve(pending: PendingWrite) -> bool:
        asked.append(pending)
        return True

    client = make_client(approve=approve)
    offer = (await list_offers(client, sandbox))[0]
    for _ in range(3):
        assert isinstance(await client.book(offer, find_contact(sandbox), once="turn 5"), Booking)
    assert len(asked) == 1


@pytest.mark.parametrize("edit", [{"start_time": MONDAY + DAY}, {"appointment_status": "cancelled"}])
async def test_a_key_whose_appointment_has_changed_says_so(
    sandbox: Sandbox, client: LeadConnector, edit: dict[str, Any]
) -> None:
    """It was booked, and is not as it was any more."""
    offer = (await list_offers(client, sandbox))[0]
    booked = await client.book(offer, find_contact(sandbox), once="turn 5")
    assert isinstance(booked, Booking)
    sandbox.edit_appointment(str(booked.appointment.id), **edit)
    with pytest.raises(VerificationError, match="has been moved, cancelled or deleted"):
        await client.book(offer, find_contact(sandbox), once="turn 5")
    assert len(sandbox.requests.of("create_appointment")) == 1
