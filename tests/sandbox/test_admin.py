"""Another process can see and change all that Python can."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import pytest

from leadconnector_async.sandbox import BookedAppointment, Limits, LoggedRequest, Sandbox

from .test_sandbox import PATH, Caller


class Keeper:
    """Asks the admin routes."""

    def __init__(self, session: aiohttp.ClientSession, sandbox: Sandbox) -> None:
        self.session, self.sandbox, self.call = session, sandbox, Caller(session, sandbox)

    async def fetch(self, name: str) -> bytes:
        async with self.session.get(f"{self.sandbox.url}/_sandbox/{name}") as response:
            assert (response.status, response.content_type) == (200, "application/json")
            return await response.read()

    async def post(self, name: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body)
        url, headers = f"{self.sandbox.url}/_sandbox/{name}", {"X-Sandbox-Admin": "1"}
        async with self.session.post(url, data=data, headers=headers) as response:
            return response.status, await response.json()

    async def edit(self, event_id: str, **changes: Any) -> tuple[int, Any]:
        return await self.post("appointments", {"event_id": event_id, "changes": changes})


@pytest.fixture
async def keeper() -> AsyncIterator[Keeper]:
    async with Sandbox(appointments=20, locations=2) as sandbox, aiohttp.ClientSession() as session:
        yield Keeper(session, sandbox)


async def test_the_whole_state_can_be_fetched(keeper: Keeper) -> None:
    """All fields of all locations, sorted by id; what was read is what Python sees, and the same bytes."""
    whole = await keeper.fetch("appointments")
    assert whole == keeper.sandbox.store.encode()
    events = msgspec.json.decode(whole, type=list[BookedAppointment])
    assert sorted(keeper.sandbox.store, key=lambda event: event.id) == events
    assert {frozenset(event) for event in json.loads(whole)} == {frozenset(BookedAppointment.__struct_fields__)}


async def test_equal_states_give_equal_bytes(keeper: Keeper) -> None:
    """However they came about: by an update, by an edit there and back, with a time in another offset."""
    sandbox, before = keeper.sandbox, await keeper.fetch("appointments")
    event = sandbox.appointment(sandbox.appointment_ids[0])
    await keeper.edit(event.id, title="x", start_time="2027-03-10T09:00:00-04:00")
    await keeper.edit(event.id, title=event.title, start_time="2027-03-10T18:30:00+05:30")
    assert event.start_time == datetime(2027, 3, 10, 13, tzinfo=UTC)
    assert await keeper.fetch("appointments") == before
    await keeper.call.put(event.id, title="y")
    changed = await keeper.fetch("appointments")
    sandbox.reset()
    sandbox.edit_appointment(event.id, title="y")
    assert sandbox.store.encode() == changed != before


async def test_an_edit_is_what_somebody_else_would_have_done(keeper: Keeper) -> None:
    """Of an appointment, and of an instance of a series; not in the log, not counted by the limit."""
    sandbox = keeper.sandbox
    event_id = sandbox.find_appointment_ids(sandbox.location_ids[1])[4]
    changes = {"start_time": "2027-04-01T10:00:00Z", "end_time": "2027-04-01T10:30:00Z", "rrule": None}
    assert await keeper.edit(event_id, **changes, appointment_status="noshow", deleted=True) == (
        200,
        {"changed": event_id},
    )
    event = sandbox.appointment(event_id)
    assert event.start_time == datetime(2027, 4, 1, 10, tzinfo=UTC)
    assert (event.appointment_status, event.deleted) == ("noshow", True)
    master = sandbox.appointment(sandbox.series_ids[0])
    length = (master.end_time - master.start_time).seconds
    instance_id = f"{master.id}_{master.start_time.timestamp() * 1000:.0f}_{length}"
    await keeper.edit(instance_id, title="By itself")
    assert (sandbox.appointment(instance_id).title, sandbox.appointment(master.id).title) == (
        "By itself",
        master.title,
    )
    assert len(sandbox.requests) == 0


BAD_EDITS: list[tuple[dict[str, Any], str]] = [
    ({"colour": "red"}, "cannot change colour"),
    ({"id": "x"}, "cannot change id"),
    ({"title": 5}, "Expected `str`, got `int` - at `$.title`"),
    ({"start_time": "2027-04-01T10:00:00"}, "start_time is 2027-04-01T10:00:00; give it an offset"),
    ({"start_time": "soon"}, "Invalid RFC3339 encoded datetime"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_EDITS)
async def test_a_wrong_edit_is_refused_as_a_whole(keeper: Keeper, changes: dict[str, Any], message: str) -> None:
    """With words."""
    before = keeper.sandbox.snapshot()
    status, answer = await keeper.edit(keeper.sandbox.appointment_ids[0], description="x", **changes)
    assert status == 400
    assert message in answer["error"]
    assert keeper.sandbox.snapshot() == before


async def test_what_is_unknown_is_refused(keeper: Keeper) -> None:
    """An appointment, a location, a route, a body."""
    assert await keeper.edit("nobody", title="x") == (400, {"error": "unknown: nobody"})
    assert await keeper.post("limits", {"location_id": "nowhere"}) == (400, {"error": "unknown: nowhere"})
    assert await keeper.post("coffee") == (400, {"error": "unknown: admin route POST coffee"})
    assert (await keeper.post("appointments", {"event_id": "x"}))[0] == 400


async def test_limits_are_set_for_all_or_for_one(keeper: Keeper) -> None:
    """With the location's id beside them, only for that one."""
    sandbox = keeper.sandbox
    other = sandbox.location_ids[1]
    assert (await keeper.post("limits", {"max_requests": 7, "location_id": other}))[0] == 200
    assert sandbox.limits == Limits()
    await keeper.post("limits", {"max_requests": 9})
    assert sandbox.limits == Limits(max_requests=9)
    for location_id, most in ((sandbox.location_id, "9"), (other, "7")):
        token = sandbox.issue_token(location_id=location_id)
        path = PATH + sandbox.find_appointment_ids(location_id)[0]
        headers = (await keeper.call("GET", path, Authorization=f"Bearer {token}"))[2]
        assert headers["x-ratelimit-max"] == most


async def test_tokens_are_given_out(keeper: Keeper) -> None:
    """For a location, or for the first; each works."""
    sandbox = keeper.sandbox
    for location_id in (None, *sandbox.location_ids):
        body = None if location_id is None else {"location_id": location_id}
        status, answer = await keeper.post("tokens", body)
        assert (status, [*answer]) == (200, ["token"])
        path = PATH + sandbox.find_appointment_ids(location_id or sandbox.location_id)[0]
        authorization = f"Bearer {answer['token']}"
        assert (await keeper.call("GET", path, Authorization=authorization))[0] == 200


async def test_a_reset_from_another_process(keeper: Keeper) -> None:
    """State, log and faults; the token still works."""
    before = keeper.sandbox.store.encode()
    await keeper.post("faults", {"operation": "get_appointment", "faults": ["503"]})
    await keeper.call.put(keeper.sandbox.appointment_ids[0], title="x")
    assert await keeper.post("reset") == (200, {"appointments": 48})
    assert await keeper.fetch("appointments") == before
    assert (await keeper.fetch("faults"), await keeper.fetch("requests")) == (b"{}", b"[]")
    assert (await keeper.call.get(keeper.sandbox.appointment_ids[0]))[0] == 200


async def test_the_log_says_what_became_of_each_request(keeper: Keeper) -> None:
    """Location, event, status, whether it was applied, and when; also if the answer was lost or the token bad."""
    sandbox = keeper.sandbox
    first, second = sandbox.appointment_ids[:2]
    sandbox.faults.plan("update_appointment", ["ok", "503", "reset", "reset"])  # aiohttp itself sends once more
    sandbox.faults.plan("delete_event", ["half-body"])
    await keeper.call.put(first, title="x")
    await keeper.call.put(first, title="y")
    with pytest.raises(aiohttp.ClientError):
        await keeper.call.put(second, title="z")
    with pytest.raises(aiohttp.ClientError):
        await keeper.call("DELETE", f"/calendars/events/{second}")
    await keeper.call("GET", PATH + first, Authorization="Bearer pit-x")
    entries = msgspec.json.decode(await keeper.fetch("requests"), type=list[LoggedRequest])
    own = sandbox.location_id
    assert [(entry.location_id, entry.event_id, entry.status, entry.applied) for entry in entries] == [
        (own, first, 200, True),
        (own, first, 503, False),
        *[(own, second, None, False)] * 2,
        (own, second, None, True),
        (None, first, 401, False),
    ]
    times = [entry.at for entry in entries]
    assert times == sorted(times)
    assert times[0] > 0
