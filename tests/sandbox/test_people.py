"""What reading names and time zones needs: staff, locations and groups, with the scopes of the vendor's file."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from leadconnector_async.sandbox import Sandbox

from .test_sandbox import Caller

NO_SCOPE = "The token is not authorized for this scope."


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    async with Sandbox(appointments=4, locations=2, varied=True) as sandbox, aiohttp.ClientSession() as session:
        yield Caller(session, sandbox)


async def test_users_have_names_and_are_listed_by_location(call: Caller) -> None:
    """Each as it is read by itself, without an envelope; everybody in a team, nobody of another location."""
    sandbox = call.sandbox
    listed = {}
    for location_id in sandbox.location_ids:
        bearer = f"Bearer {sandbox.issue_token(location_id=location_id)}"
        for path in ("/users/", "/users"):
            status, answer, _ = await call("GET", f"{path}?locationId={location_id}", Authorization=bearer)
            assert status == 200
            listed[location_id] = {one["id"]: one for one in answer["users"]}
        teams = {user for one in sandbox.calendars.find(location_id=location_id) for user in one.team}
        assert listed[location_id].keys() == teams
    first, second = (listed[location_id] for location_id in sandbox.location_ids)
    assert not first.keys() & second.keys()
    for user_id, user in first.items():
        status, alone, _ = await call("GET", f"/users/{user_id}")
        assert (status, alone) == (200, user | {"traceId": alone["traceId"]})
        assert alone["name"] == f"{alone['firstName']} {alone['lastName']}"
        assert alone["email"].endswith("@example.com")
        assert alone["roles"]["locationIds"] == [sandbox.location_id]


async def test_a_note_and_a_user_agree_on_a_name(call: Caller) -> None:
    """Who wrote a note has the same name there as among the users."""
    user_id = call.sandbox.calendars.find()[0].team[0]
    notes = f"/calendars/appointments/{call.sandbox.appointment_ids[0]}/notes"
    made = (await call("POST", notes, {"body": "x", "userId": user_id}))[1]["note"]
    assert made["createdBy"]["name"] == (await call("GET", f"/users/{user_id}"))[1]["name"]


async def test_a_location_has_a_name_and_a_time_zone(call: Caller) -> None:
    """Its own for a location's token; any for the agency's; each another name."""
    sandbox = call.sandbox
    first, second = sandbox.location_ids
    status, own, _ = await call("GET", f"/locations/{first}")
    assert status == 200
    assert own["location"] == {
        "id": first,
        "companyId": sandbox.company_id,
        "name": "Riverside Clinic",
        "address": "12 Mill Lane, Riverside",
        "timezone": "America/New_York",
    }
    agency = f"Bearer {sandbox.issue_token(user_type='Company')}"
    status, other, _ = await call("GET", f"/locations/{second}", Authorization=agency)
    assert (status, other["location"]["name"]) == (200, "Hillcrest Clinic")
    assert (await call("GET", f"/locations/{second}"))[:1] == (403,)
    assert (await call("GET", "/locations/nowhere", Authorization=agency))[0] == 400


async def test_groups_have_names_and_their_calendars(call: Caller) -> None:
    """All of the location and no other; the id is the one that calendars and lists of them take."""
    sandbox = call.sandbox
    query = f"locationId={sandbox.location_id}"
    status, answer, _ = await call("GET", f"/calendars/groups?{query}")
    assert (status, [one["name"] for one in answer["groups"]]) == (
        200,
        ["Consultations", "Treatments", "Courses", "Advice"],
    )
    found: list[str] = []
    for group in answer["groups"]:
        assert group["locationId"] == sandbox.location_id
        _, listed, _ = await call("GET", f"/calendars/?{query}&groupId={group['id']}")
        assert {one["groupId"] for one in listed["calendars"]} == {group["id"]}
        found += [one["id"] for one in listed["calendars"]]
    assert sorted(found) == sorted(one.id for one in sandbox.calendars.find())


async def test_each_needs_its_scope_and_its_own_location(call: Caller) -> None:
    """401 without the scope, 403 for another location, 422 without one, 400 for an unknown user."""
    sandbox = call.sandbox
    own, other = (f"locationId={one}" for one in sandbox.location_ids)
    strangers_id = sandbox.calendars.find(location_id=sandbox.location_ids[1])[0].team[0]
    paths = {
        f"/users/?{own}": "users.readonly",
        f"/users/{sandbox.calendars.find()[0].team[0]}": "users.readonly",
        f"/locations/{sandbox.location_id}": "locations.readonly",
        f"/calendars/groups?{own}": "calendars/groups.readonly",
    }
    for path, scope in paths.items():
        bearer = f"Bearer {sandbox.issue_token(scopes=['calendars.readonly', 'contacts.readonly'])}"
        status, answer, _ = await call("GET", path, Authorization=bearer)
        assert (status, answer["message"]) == (401, NO_SCOPE)
        assert (await call("GET", path, Authorization=f"Bearer {sandbox.issue_token(scopes=[scope])}"))[0] == 200
    for path in (f"/users/?{other}", f"/users/{strangers_id}", f"/calendars/groups?{other}"):
        assert (await call("GET", path))[0] == 403
    assert [(await call("GET", path))[0] for path in ("/users/", "/calendars/groups", "/users/nobody")] == [
        422,
        422,
        400,
    ]
    agency = f"Bearer {sandbox.issue_token(user_type='Company')}"
    assert (await call("GET", f"/users/{strangers_id}", Authorization=agency))[0] == 200
    assert (await call("GET", f"/users/?{own}", Authorization=agency))[0] == 401
    for path in ("/users/search", "/locations/search"):
        assert "x-sandbox-hint" in (await call("GET", path))[2]
