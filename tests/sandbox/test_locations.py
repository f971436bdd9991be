"""The sandbox holds many locations that do not see each other."""

import hashlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest

from leadconnector_async.sandbox import Limits, Sandbox
from leadconnector_async.sandbox.seed import build_store
from leadconnector_async.sandbox.store import Store

from .test_sandbox import PATH, Caller

ONE_LOCATION = "3fbea81ac2b85446eebd9fc422da7d73dbf9fe0372797b454ee415d6ad6d519d"
"""SHA-256 of seed 1 with 250 appointments, as it was before there could be more locations."""


@pytest.fixture
async def many() -> AsyncIterator[Sandbox]:
    async with Sandbox(appointments=20, locations=3) as sandbox:
        yield sandbox


@pytest.fixture
async def call(many: Sandbox) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(session, many)


def describe(store: Store) -> dict[str, Any]:
    """All ids of each location, by their kinds."""
    return {
        location.id: {
            "calendars": {one.id for one in store.calendars.values() if one.location_id == location.id},
            "users": {
                user for one in store.calendars.values() if one.location_id == location.id for user in one.team
            },
            "contacts": {one.contact_id for one in store if one.location_id == location.id},
            "appointments": {one.id for one in store if one.location_id == location.id},
        }
        for location in store.locations.values()
    }


async def read_as(
    call: Caller, location_id: str, path: str, method: str = "GET", body: Any = None
) -> tuple[int, Any]:
    token = call.sandbox.issue_token(location_id=location_id)
    return (await call(method, path, body, Authorization=f"Bearer {token}"))[:2]


@pytest.mark.parametrize("locations", [1, 3])
def test_the_first_location_does_not_depend_on_how_many_there_are(locations: int) -> None:
    """Byte for byte the clinic that a seed has always made."""
    store = build_store(1, 250, locations)
    first = store.first_location
    calendars = [one for one in store.calendars.values() if one.location_id == first.id]
    team = {user for calendar in calendars for user in calendar.team}
    whole = msgspec.json.encode(
        [
            [one for one in store if one.location_id == first.id],
            first.id,
            first.appointment_ids,
            first.series_ids,
            [user for user in store.users.values() if user.id in team],
            calendars,
        ]
    )
    assert hashlib.sha256(whole).hexdigest() == ONE_LOCATION


def test_every_location_has_its_own_of_everything() -> None:
    """The same shape, no id twice, the same again from the same seed, other ids from another."""
    store = build_store(1, 20, 3)
    known = describe(store)
    assert len(known) == 3
    for kinds in known.values():
        assert [len(ids) for ids in kinds.values()] == [4, 20, 24, 24]
    every = [one for kinds in known.values() for ids in kinds.values() for one in ids]
    assert len(set(every)) == len(every)
    assert describe(build_store(1, 20, 3)) == known
    assert not describe(build_store(2, 20, 3)).keys() & known.keys()


def test_ids_are_found_by_location(many: Sandbox) -> None:
    """The plain properties are those of the first; an unknown location is a KeyError."""
    assert many.location_ids[0] == many.location_id
    assert many.find_appointment_ids(many.location_id) == many.appointment_ids
    assert many.find_series_ids(many.location_id) == many.series_ids
    for location_id in many.location_ids:
        ids = many.find_appointment_ids(location_id) + many.find_series_ids(location_id)
        assert {many.appointment(event_id).location_id for event_id in ids} == {location_id}
    with pytest.raises(KeyError, match="nowhere"):
        many.find_appointment_ids("nowhere")
    with pytest.raises(ValueError, match="at least 1"):
        Sandbox(locations=0)


async def test_a_token_works_on_its_own_location_only(call: Caller, many: Sandbox) -> None:
    """Neither an appointment nor a calendar of another location can be read, changed or booked."""
    first, second, _ = many.location_ids
    event = many.appointment(many.find_appointment_ids(second)[0])
    assert (await read_as(call, second, PATH + event.id))[0] == 200
    assert (await read_as(call, first, PATH + event.id))[0] == 403
    assert (await read_as(call, first, f"/calendars/{event.calendar_id}"))[0] == 403
    move = {"calendarId": event.calendar_id, "assignedUserId": event.assigned_user_id}
    assert (await read_as(call, first, PATH + many.appointment_ids[0], "PUT", move))[0] == 403
    wish = {**move, "locationId": first, "contactId": "c", "startTime": "2027-03-20T14:00:00Z"}
    assert (await read_as(call, first, PATH.rstrip("/"), "POST", wish))[0] == 403
    assert len(many.store) == 72


async def test_a_list_holds_one_location(call: Caller, many: Sandbox) -> None:
    """Appointments and instances of one calendar, and its calendars."""
    start = datetime(2027, 3, 8, tzinfo=UTC)
    span = f"&startTime={start.timestamp() * 1000:.0f}&endTime={(start + timedelta(9)).timestamp() * 1000:.0f}"
    for location_id in many.location_ids:
        calendar_id = many.appointment(many.find_appointment_ids(location_id)[0]).calendar_id
        _, page = await read_as(
            call, location_id, f"/calendars/events?locationId={location_id}&calendarId={calendar_id}{span}"
        )
        assert {event["locationId"] for event in page["events"]} == {location_id}
        assert len(page["events"]) == 7  # five appointments, two instances
        calendars = (await read_as(call, location_id, f"/calendars/?locationId={location_id}"))[1]["calendars"]
        assert len(calendars) == 4


async def test_a_location_can_have_limits_of_its_own(call: Caller, many: Sandbox) -> None:
    """Also a form of Retry-After; the others keep the default; `None` takes it away; a reset leaves it."""
    first, second, _ = many.location_ids
    paths = {one: PATH + many.find_appointment_ids(one)[0] for one in (first, second)}
    many.set_limits(second, Limits(daily=0, retry_after="seconds"))
    token = many.issue_token(location_id=second)
    status, _, headers = await call("GET", paths[second], Authorization=f"Bearer {token}")
    assert (status, headers["x-ratelimit-daily-remaining"]) == (429, "0")
    assert 86_000 < float(headers["retry-after"]) <= 86_400
    assert (await read_as(call, first, paths[first]))[0] == 200
    many.limits = Limits(max_requests=1, interval=600.0)
    many.reset()
    assert (await read_as(call, second, paths[second]))[0] == 429
    assert [(await read_as(call, first, paths[first]))[0] for _ in range(2)] == [200, 429]
    many.set_limits(second, None)
    assert (await read_as(call, second, paths[second]))[0] == 200
    with pytest.raises(KeyError, match="nowhere"):
        many.set_limits("nowhere", Limits())


def test_many_locations_are_built_fast_and_are_as_fast_as_one() -> None:
    """200 locations of 50 appointments in a moment; lists and checks of slots look at their own location only."""
    began = time.process_time()
    store = build_store(1, 50, 200)
    assert time.process_time() - began < 3.0  # a tenth of it on an idle machine
    assert len(store) == 200 * 54
    events = [store.get(location.appointment_ids[0]) for location in store.locations.values()]
    began = time.process_time()
    assert all(store.is_free(event) for event in events)
    assert all(event in store.list_between(event.location_id, event.start_time, event.end_time) for event in events)
    assert time.process_time() - began < 3.0


async def test_a_reset_brings_all_locations_back(call: Caller, many: Sandbox) -> None:
    """And what is created after it has the same ids again."""
    before, made = many.snapshot(), []
    event = many.appointment(many.appointment_ids[0])
    wish = {"calendarId": event.calendar_id, "locationId": many.location_id, "contactId": event.contact_id}
    for _ in range(2):
        status, answer = await read_as(
            call, many.location_id, PATH.rstrip("/"), "POST", {**wish, "startTime": "2027-03-22T14:00:00Z"}
        )
        assert status in (200, 201)
        made.append(answer["id"])
        many.edit_appointment(many.find_appointment_ids(many.location_ids[2])[3], title="x")
        assert many.snapshot() != before
        many.reset()
        assert many.snapshot() == before
    assert made[0] == made[1]
