"""Calendars of every kind: whose time an appointment takes, how many share a slot, and when one can be booked."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import msgspec
import pytest

from leadconnector_async import AppointmentCreate, AppointmentUpdate, LeadConnector
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.sandbox.models import Calendar

from .test_sandbox import PATH, Caller

ZONE = ZoneInfo("America/New_York")
NINE = datetime(2027, 6, 1, 9, tzinfo=ZONE)
TAKEN = (400, "The slot you have selected is no longer available.")
KINDS = ("round_robin", "event", "class_booking", "collective", "service_booking", "personal")


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    async with Sandbox(appointments=4, varied=True) as sandbox, aiohttp.ClientSession() as session:
        yield Caller(session, sandbox)


def find(sandbox: Sandbox, name: str) -> Calendar:
    [found] = [one for one in sandbox.calendars.find() if one.name.startswith(name)]
    return found


async def book(call: Caller, calendar: Calendar, start: datetime = NINE, **more: Any) -> tuple[int, Any]:
    wish = {
        "calendarId": calendar.id,
        "locationId": call.sandbox.location_id,
        "contactId": call.sandbox.appointment(call.sandbox.appointment_ids[0]).contact_id,
        "startTime": start.isoformat(),
        **more,
    }
    status, answer, _ = await call("POST", PATH.rstrip("/"), wish)
    return status, answer if status in (200, 201) else answer["message"]


async def list_slots(call: Caller, calendar: Calendar, day: datetime = NINE, query: str = "") -> list[str]:
    midnight = day.replace(hour=0)
    start, end = (int(one.timestamp() * 1000) for one in (midnight, midnight + timedelta(days=1)))
    path = f"/calendars/{calendar.id}/free-slots?startDate={start}&endDate={end}{query}"
    status, answer, _ = await call("GET", path)
    assert status == 200
    return [slot for name, one in answer.items() if name != "traceId" for slot in one["slots"]]


async def is_free(call: Caller, calendar: Calendar, start: datetime = NINE) -> bool:
    return start.isoformat() in await list_slots(call, calendar, start)


def test_varied_calendars_stand_beside_those_of_the_seed() -> None:
    """Of every kind, in each location; what a seed made before is as it was, and a reset keeps them."""
    plain, varied = Sandbox(appointments=20, locations=2), Sandbox(appointments=20, locations=2, varied=True)
    assert varied.store.encode() == plain.store.encode()
    assert list(varied.store.calendars.items())[:8] == list(plain.store.calendars.items())
    assert list(varied.store.users.items())[: len(plain.store.users)] == list(plain.store.users.items())
    before = dict(varied.store.calendars)
    for location_id in varied.location_ids:
        found = varied.calendars.find(location_id=location_id)
        assert len(found) == 11
        assert {one.kind for one in found} == set(KINDS)
        assert {one.location_id for one in found} == {location_id}
        assert len(varied.calendars.find("class_booking", location_id)) == 1
    varied.reset()
    assert dict(varied.store.calendars) == before


async def test_a_class_has_several_seats_in_a_slot(call: Caller) -> None:
    """Eight can book it and the ninth cannot; a cancellation frees a seat; the host is busy for everybody else."""
    yoga = find(call.sandbox, "Yoga")
    booked = [await book(call, yoga) for _ in range(7)]
    assert {status for status, _ in booked} == {200}
    assert {answer["assignedUserId"] for _, answer in booked} == {yoga.team[0]}
    assert await is_free(call, yoga)
    assert (await book(call, yoga))[0] == 200
    assert not await is_free(call, yoga)
    assert await book(call, yoga) == TAKEN
    ids = [answer["id"] for _, answer in booked]
    assert (await call.put(ids[0], appointmentStatus="cancelled"))[0] == 200
    assert await is_free(call, yoga)
    moved = NINE + timedelta(hours=1)
    assert (await call.put(ids[1], startTime=moved.isoformat()))[0] == 200
    own = call.sandbox.calendars.add("personal", team=yoga.team)
    assert [await is_free(call, own, NINE + timedelta(hours=hours)) for hours in (0, 1, 2)] == [False, False, True]


async def test_a_move_to_a_full_class_is_refused(call: Caller) -> None:
    """An appointment that has a seat there already can be written again."""
    small = call.sandbox.calendars.add("class_booking", slot_minutes=60, seats=2)
    first, second = [(await book(call, small))[1]["id"] for _ in range(2)]
    later = NINE + timedelta(hours=1)
    third = (await book(call, small, later))[1]["id"]
    status, answer = await call.put(third, startTime=NINE.isoformat(), endTime=later.isoformat())
    assert (status, answer["message"]) == TAKEN
    assert (await call.put(first, startTime=later.isoformat()))[0] == 200
    assert (await call.put(third, startTime=NINE.isoformat()))[0] == 200
    assert not await is_free(call, small)
    assert call.sandbox.appointment(second).start_time == NINE


async def test_only_the_same_slot_shares_seats(call: Caller) -> None:
    """An overlap, a block and an appointment of another calendar take the host's time with all seats."""
    yoga = find(call.sandbox, "Yoga")
    other = call.sandbox.calendars.add("personal", team=yoga.team)
    assert (await book(call, other))[0] == 200
    assert await book(call, yoga) == TAKEN
    longer = {"endTime": (NINE + timedelta(hours=4)).isoformat(), "ignoreFreeSlotValidation": True}
    start = NINE + timedelta(hours=2)
    assert (await book(call, yoga, start, **longer, assignedUserId=yoga.team[0]))[0] == 200
    assert await book(call, yoga, start) == TAKEN
    block = {
        "locationId": call.sandbox.location_id,
        "calendarId": yoga.id,
        "startTime": (NINE + timedelta(hours=6)).isoformat(),
        "endTime": (NINE + timedelta(hours=7)).isoformat(),
    }
    assert (await call("POST", "/calendars/events/block-slots", block))[0] == 201
    assert not await is_free(call, yoga, NINE + timedelta(hours=6))


async def test_a_collective_calendar_needs_all_of_its_team(call: Caller) -> None:
    """One busy member closes the slot; a booking takes the time of all of them, and each sees it in a list."""
    sandbox = call.sandbox
    conference, advice = find(sandbox, "Case"), find(sandbox, "Nutrition")
    assert advice.team[0] in conference.team
    assert (await book(call, advice))[0] == 200
    assert not await is_free(call, conference)
    assert await book(call, conference) == TAKEN
    ten = NINE + timedelta(hours=1)
    status, made = await book(call, conference, ten)
    assert (status, made["assignedUserId"]) == (200, conference.team[0])
    event = (await call.get(made["id"]))[1]["event"]
    assert event["users"] == list(conference.team[1:])
    third = sandbox.calendars.add("personal", team=conference.team[2:])
    assert [await is_free(call, third, start) for start in (NINE, ten)] == [True, False]
    massage = find(sandbox, "Massage")
    assert massage.team == conference.team[1:]
    assert await book(call, massage, NINE.replace(hour=10, minute=15)) == TAKEN
    start, end = (int(one.timestamp() * 1000) for one in (NINE, NINE + timedelta(days=1)))
    for user_id in conference.team:
        query = f"locationId={sandbox.location_id}&userId={user_id}&startTime={start}&endTime={end}"
        _, listed, _ = await call("GET", f"/calendars/events?{query}")
        assert made["id"] in {one["id"] for one in listed["events"]}
    assert (await call.put(made["id"], appointmentStatus="cancelled"))[0] == 200
    assert await is_free(call, third, ten)


async def test_a_series_of_a_collective_calendar_takes_the_time_of_all(call: Caller) -> None:
    """Also that of the members whom it is not assigned to; deleted, it frees it."""
    conference = find(call.sandbox, "Case")
    whole = {"rrule": "RRULE:FREQ=DAILY;COUNT=3", "ignoreFreeSlotValidation": True}
    status, made = await book(call, conference, **whole, assignedUserId=conference.team[0])
    assert status == 200
    own = call.sandbox.calendars.add("personal", team=conference.team[1:2])
    free = [await is_free(call, own, NINE + timedelta(days=days)) for days in range(4)]
    assert free == [False, False, False, True]
    call.sandbox.delete_appointment(made["id"])
    assert await is_free(call, own)


async def test_an_event_calendar_has_no_team(call: Caller) -> None:
    """Nobody is assigned, nor must be for a forced booking; its seats are the calendar's."""
    day = find(call.sandbox, "Open day")
    status, made = await book(call, day)
    assert (status, made["assignedUserId"]) == (200, "")
    status, forced = await book(call, day, ignoreFreeSlotValidation=True)
    assert status == 200
    anybody = find(call.sandbox, "Yoga").team[0]
    refused = (422, "The user id not part of calendar team.")
    assert await book(call, day, assignedUserId=anybody) == refused
    assert await is_free(call, day)
    for _ in range(18):
        assert (await book(call, day))[0] == 200
    assert not await is_free(call, day)
    assert (await call.put(forced["id"], startTime=(NINE + timedelta(hours=1)).isoformat()))[0] == 200
    assert await is_free(call, day)
    shown = (await call("GET", f"/calendars/{day.id}"))[1]["calendar"]
    assert (shown["calendarType"], shown["teamMembers"], shown["appoinmentPerSlot"]) == ("event", [], 20)
    assert await list_slots(call, day, query=f"&userId={anybody}") == []


async def test_a_round_robin_books_whoever_is_free(call: Caller) -> None:
    """One after the other until nobody is left; with seats, each of them so many times in one slot."""
    pair = call.sandbox.calendars.add("round_robin", seats=2)
    assigned = [(await book(call, pair))[1]["assignedUserId"] for _ in range(4)]
    assert sorted(assigned) == sorted([*pair.team, *pair.team])
    assert not await is_free(call, pair)
    assert await book(call, pair) == TAKEN


async def test_notice_is_kept_by_the_clock(call: Caller) -> None:
    """A slot that begins sooner is neither offered nor booked, except with `ignoreDateRange`."""
    visits = find(call.sandbox, "Home visits")
    now = (await call.get(call.sandbox.appointment_ids[0]), call.sandbox.store.now)[1]
    assert now is not None
    call.sandbox.advance((NINE - timedelta(hours=48, minutes=1) - now).total_seconds())
    assert await is_free(call, visits)
    call.sandbox.advance(120)
    assert not await is_free(call, visits)
    assert await is_free(call, visits, NINE + timedelta(hours=1))
    assert await book(call, visits) == TAKEN
    status, made = await book(call, visits, NINE + timedelta(hours=1))
    assert status == 200
    status, answer = await call.put(made["id"], startTime=NINE.isoformat())
    assert (status, answer["message"]) == TAKEN
    assert (await call.put(made["id"], startTime=NINE.isoformat(), ignoreDateRange=True))[0] == 200
    shown = (await call("GET", f"/calendars/{visits.id}"))[1]["calendar"]
    assert (shown["allowBookingAfter"], shown["allowBookingAfterUnit"]) == (48, "hours")


async def test_a_draft_offers_nothing(call: Caller) -> None:
    """No slots and no booking, but by force; lists show it unless they are asked not to."""
    draft = find(call.sandbox, "Sleep clinic")
    assert await list_slots(call, draft) == []
    assert await book(call, draft) == TAKEN
    assert (await book(call, draft, ignoreFreeSlotValidation=True, assignedUserId=draft.team[0]))[0] == 200
    shown = (await call("GET", f"/calendars/{draft.id}"))[1]["calendar"]
    assert (shown["isActive"], shown["calendarType"]) == (False, "personal")


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        ("personal", {"team": ["a", "b"]}, "exactly 1 team members"),
        ("class_booking", {"team": []}, "exactly 1 team members"),
        ("collective", {"team": ["a", "a"]}, "at least 2 team members"),
        ("event", {"team": ["a"]}, "exactly 0 team members"),
        ("round_robin", {"team": []}, "at least 1 team members"),
        ("rental", {}, "kind is 'rental'"),
        ("personal", {"seats": 0}, "seats is 0"),
        ("personal", {"seats": 10_000}, "seats is 10000"),
        ("personal", {"slot_minutes": 0}, "slot_minutes is 0"),
        ("personal", {"notice_hours": -1}, "notice_hours is -1"),
        ("personal", {"is_active": "no"}, "is_active is 'no'"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused(kind: Any, options: dict[str, Any], text: str) -> None:
    """By what is wrong with it; nothing is added."""
    sandbox = Sandbox(appointments=0)
    before = sandbox.calendars.find()
    with pytest.raises(ValueError, match=text):
        sandbox.calendars.add(kind, **options)
    assert sandbox.calendars.find() == before


def test_added_calendars_are_found_and_removed_by_a_reset() -> None:
    """With ids of their own, in their location, with new users as their kind needs them."""
    sandbox = Sandbox(appointments=0, locations=2)
    second = sandbox.location_ids[1]
    made = [sandbox.calendars.add(kind, location_id=second) for kind in KINDS]  # type: ignore[arg-type]
    assert [len(one.team) for one in made] == [2, 0, 1, 2, 2, 1]
    assert len({one.id for one in made} | {user for one in made for user in one.team}) == 6 + 8
    assert sandbox.calendars.find(location_id=second)[4:] == tuple(made)
    assert len(sandbox.calendars.find()) == 4
    with pytest.raises(KeyError, match="nowhere"):
        sandbox.calendars.add(location_id="nowhere")
    sandbox.reset()
    assert len(sandbox.calendars.find(location_id=second)) == 4


async def test_the_client_books_and_moves_a_class(call: Caller) -> None:
    """Two in one slot, through the library; one of them moves to another."""
    sandbox = call.sandbox
    yoga = find(sandbox, "Yoga")
    contact_id = sandbox.appointment(sandbox.appointment_ids[0]).contact_id
    async with LeadConnector(sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id) as client:
        wishes = [AppointmentCreate(calendar_id=yoga.id, contact_id=contact_id, start_time=NINE) for _ in range(2)]
        first, second = [await client.create_appointment(wish) for wish in wishes]
        later = NINE + timedelta(hours=1)
        await client.update_appointment(first.id, AppointmentUpdate(start_time=later))
    assert first.id != second.id
    assert [sandbox.appointment(one.id).start_time for one in (first, second)] == [later, NINE]


def test_a_snapshot_holds_added_calendars_and_their_groups() -> None:
    """Restored, they are there again, whatever has been added since."""
    sandbox = Sandbox(appointments=0)
    kept = sandbox.calendars.add("class_booking", seats=5, group="Courses")
    saved = sandbox.snapshot()
    sandbox.reset()
    sandbox.calendars.add("personal", group="Others")
    sandbox.restore(saved)
    assert sandbox.calendars.find("class_booking") == (kept,)
    assert not sandbox.calendars.find("personal")
    assert {one.name for one in sandbox.store.groups.known.values()} == {"Consultations", "Treatments", "Courses"}
    assert sandbox.snapshot() == saved


async def test_time_is_freed_for_those_whose_it_took(call: Caller) -> None:
    """An appointment frees the time of the team that it was booked with, whatever the team is by then."""
    store, conference = call.sandbox.store, find(call.sandbox, "Case")
    made = (await book(call, conference))[1]["id"]
    store.calendars[conference.id] = msgspec.structs.replace(conference, team=conference.team[:2])
    own = call.sandbox.calendars.add("personal", team=conference.team[2:])
    assert not await is_free(call, own)
    call.sandbox.delete_appointment(made)
    assert await is_free(call, own)
