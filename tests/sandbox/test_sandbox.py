"""The sandbox behaves like the real server, and can be asked what it saw."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from leadconnector_async import ConfigurationError
from leadconnector_async.sandbox import Fault, Limits, Quirks, Sandbox
from leadconnector_async.sandbox.rate_limits import RateLimiter
from leadconnector_async.sandbox.seed import build_id, build_store

from ..simulation.windows import WINDOWS, Algorithm, count_by

HEADERS = ("max", "remaining", "interval-milliseconds", "limit-daily", "daily-remaining", "daily-reset")
PATH = "/calendars/events/appointments/"


class Caller:
    def __init__(self, session: aiohttp.ClientSession, sandbox: Sandbox) -> None:
        self.session, self.sandbox = session, sandbox

    async def __call__(
        self, method: str, path: str, body: Any = None, raw: str | None = None, **headers: str | None
    ) -> tuple[int, Any, dict[str, str]]:
        sent = {"Authorization": f"Bearer {self.sandbox.token}", "Version": "2021-04-15", "User-Agent": "test/1"}
        sent |= {name.replace("_", "-"): value or "" for name, value in headers.items()}
        kept = {name: value for name, value in sent.items() if value}
        url = self.sandbox.url + path
        data = raw if raw is not None else None if body is None else json.dumps(body)
        async with self.session.request(method, url, data=data, headers=kept) as response:
            text = await response.text()
            is_json = "json" in response.headers.get("content-type", "")
            return response.status, json.loads(text) if is_json else text, read_headers(response.raw_headers)

    async def put(self, event_id: str, **body: Any) -> tuple[int, Any]:
        return (await self("PUT", PATH + event_id, body))[:2]

    async def get(self, event_id: str) -> tuple[int, Any]:
        return (await self("GET", PATH + event_id))[:2]


def read_headers(headers: tuple[tuple[bytes, bytes], ...]) -> dict[str, str]:
    """Headers by their names on the wire; those of the limiter are in lower case there."""
    return {name.decode(): value.decode() for name, value in headers}


@pytest.fixture
async def call(sandbox: Sandbox) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(session, sandbox)


REFUSALS: list[tuple[dict[str, Any], int, str]] = [
    ({"Authorization": None}, 401, "Invalid JWT"),
    ({"Authorization": "Bearer eyJ.x"}, 401, "Invalid JWT"),
    ({"Authorization": "Bearer pit-x"}, 401, "Invalid Private Integration token"),
    ({"Version": None}, 401, "version header was not found."),
    ({"Version": "2020-01-01"}, 401, "version header is invalid"),
]


@pytest.mark.parametrize(("headers", "status", "message"), REFUSALS)
async def test_headers_are_checked(call: Caller, headers: dict[str, Any], status: int, message: str) -> None:
    """Token and Version, with the real texts and shape."""
    answer = await call("GET", PATH + call.sandbox.appointment_ids[0], **headers)
    assert answer[0] == status
    assert answer[1]["message"] == message
    assert answer[1].keys() == {"statusCode", "message", "error", "traceId"}


@pytest.mark.parametrize("version", ["2021-04-15", "2021-07-28", "2023-02-21", "v3"])
async def test_all_versions_of_today_are_accepted(call: Caller, version: str) -> None:
    """Four of them."""
    assert (await call("GET", PATH + call.sandbox.appointment_ids[0], Version=version))[0] == 200


async def test_the_edge_refuses_aiohttps_own_user_agent(call: Caller) -> None:
    """In plain text, before anything else."""
    status, text, _ = await call("GET", "/", User_Agent="Python/3.11 aiohttp/3.14.0")
    assert (status, text) == (403, "error code: 1010")


async def test_unknown_routes_are_404(call: Caller) -> None:
    """With the method and the path, as the real server has it; a header says that the sandbox does without it."""
    status, body, headers = await call("DELETE", PATH + "x")
    assert (status, body["message"]) == (404, f"Cannot DELETE {PATH}x")
    assert headers["x-sandbox-hint"] == "this route is not part of the sandbox"


START = "2027-03-17T08:00:00-04:00"
BODIES: list[tuple[dict[str, Any], int, Any]] = [
    ({"appointmentStatus": "no_show"}, 422, ["appointmentStatus must be a valid enum value"]),
    ({"title": 5, "toNotify": "x"}, 422, ["title must be a string", "toNotify must be a boolean value"]),
    ({"colour": "red"}, 422, ["property colour should not exist"]),
    ({"assignedUserId": "stranger"}, 422, "The user id not part of calendar team."),
    (
        {"ignoreFreeSlotValidation": True},
        422,
        "A team member needs to be selected. assignedUserId is missing",
    ),
    ({"startTime": "2027-03-17T08:00:00"}, 400, "Bad Request"),
    ({"startTime": "2027-03-17T08:00:00.5-04:00"}, 400, "Bad Request"),
    ({"startTime": START, "endTime": "2027-03-17T12:15:00Z"}, 400, "Bad Request"),
    ({"startTime": START, "endTime": START}, 400, "Bad Request"),
    ({"startTime": "2027-03-17T08:07:00-04:00"}, 400, "The slot you have selected is no longer available."),
    ({"startTime": "2027-03-17T22:00:00-04:00"}, 400, "The slot you have selected is no longer available."),
]


@pytest.mark.parametrize(("body", "status", "message"), BODIES)
async def test_a_body_is_checked_and_dropped_as_a_whole(
    call: Caller, body: dict[str, Any], status: int, message: Any
) -> None:
    """Types, words, team, times, grid and hours; nothing of a refused update is applied."""
    event_id = call.sandbox.appointment_ids[0]
    before = call.sandbox.appointment(event_id)
    answer = await call.put(event_id, **{"description": "changed", **body})
    assert (answer[0], answer[1]["message"]) == (status, message)
    assert call.sandbox.appointment(event_id) == before
    assert call.sandbox.requests.count_applied(event_id) == 0


@pytest.mark.parametrize("raw", ["", "{", "[]", "5", "[" * 3000])
async def test_a_body_that_is_no_object_is_a_bad_request(call: Caller, raw: str) -> None:
    """Bare, as the real one."""
    answer = await call("PUT", PATH + call.sandbox.appointment_ids[0], raw=raw)
    assert (answer[0], answer[1]["message"]) == (400, "Bad Request")


async def test_slots_conflict_and_cancelled_ones_are_free(call: Caller) -> None:
    """Of two appointments of one user only one fits; a cancelled one makes room; the check can be switched off."""
    sandbox = call.sandbox
    first, second = (sandbox.appointment(sandbox.appointment_ids[n]) for n in (0, 16))
    assert first.assigned_user_id == second.assigned_user_id
    wish = {"startTime": first.start_time.isoformat(), "endTime": first.end_time.isoformat()}
    wish = {name: time.replace("+00:00", "Z") for name, time in wish.items()}
    assert (await call.put(second.id, **wish))[0] == 400
    forced = {"ignoreFreeSlotValidation": True, "assignedUserId": second.assigned_user_id}
    assert (await call.put(second.id, **wish, **forced))[0] == 200
    sandbox.reset()
    sandbox.edit_appointment(first.id, appointment_status="cancelled")
    assert (await call.put(second.id, **wish))[0] == 200


async def test_only_a_start_keeps_the_length(call: Caller) -> None:
    """A guess, like the real server's answer to it."""
    event_id = call.sandbox.appointment_ids[0]
    assert (await call.put(event_id, startTime=START))[0] == 200
    event = call.sandbox.appointment(event_id)
    assert event.end_time - event.start_time == timedelta(minutes=15)


async def test_quirks_have_their_switches(call: Caller) -> None:
    """Each oddity is shown by default, and can be switched."""
    sandbox = call.sandbox
    event_id = sandbox.appointment_ids[7]
    assert sandbox.appointment(event_id).appointment_status == "showed"
    on = (await call.put(event_id, title="x"))[1]
    assert (on["appointmentStatus"], on["appoinmentStatus"]) == ("confirmed", "confirmed")
    sandbox.edit_appointment(event_id, appointment_status="noshow")
    sandbox.quirks = Quirks(status_reset=False, misspelt_status="only", string_booleans=True, location_lost=False)
    off = (await call.put(event_id, title="x", meetingLocationType="phone"))[1]
    assert ("appointmentStatus" in off, off["appoinmentStatus"], off["isRecurring"]) == (False, "noshow", "false")
    assert off["address"] == "Room 8"
    sandbox.quirks = Quirks(misspelt_status="never", empty_response=True)
    assert (await call.put(event_id, meetingLocationType="phone"))[1] == {}
    assert sandbox.appointment(event_id).address == ""
    assert "appoinmentStatus" not in (await call.get(event_id))[1]["event"]


async def test_times_come_in_the_assignees_offset_or_the_calendars(call: Caller) -> None:
    """The same instant either way."""
    event_id = call.sandbox.appointment_ids[5]
    theirs = (await call.get(event_id))[1]["event"]["startTime"]
    call.sandbox.quirks = Quirks(assignee_offset=False)
    ours = (await call.get(event_id))[1]["event"]["startTime"]
    assert theirs != ours
    assert ours == "2027-03-10T08:00:00-08:00"


async def test_an_unmoved_update_collides_with_itself(call: Caller) -> None:
    """Unless the slot check or the quirk is off."""
    event = call.sandbox.appointment(call.sandbox.appointment_ids[0])
    times = {"startTime": "2027-03-10T13:00:00Z", "endTime": "2027-03-10T13:15:00Z"}
    assert (await call.put(event.id, **times))[0] == 400
    call.sandbox.quirks = Quirks(self_collision=False)
    assert (await call.put(event.id, **times))[0] == 200


async def test_a_deleted_event_can_be_read_and_not_changed(call: Caller) -> None:
    """`"deleted": true`; or, without the quirk, it is gone."""
    event_id = call.sandbox.appointment_ids[0]
    call.sandbox.delete_appointment(event_id)
    assert (await call.get(event_id))[1]["event"]["deleted"] is True
    assert (await call.put(event_id, title="x"))[1]["message"] == "The event id is invalid."
    call.sandbox.quirks = Quirks(deleted_readable=False)
    assert (await call.get(event_id))[0] == 400


async def test_a_rule_is_applied_only_with_the_slot_check_off(call: Caller) -> None:
    """Otherwise it is ignored without a word."""
    event = call.sandbox.appointment(call.sandbox.appointment_ids[0])
    rule = {"rrule": "RRULE:FREQ=DAILY;COUNT=3"}
    assert "rrule" not in (await call.put(event.id, **rule))[1]
    forced = {"ignoreFreeSlotValidation": True, "assignedUserId": event.assigned_user_id}
    answer = (await call.put(event.id, **rule, **forced))[1]
    assert (answer["rrule"], answer["isRecurring"]) == (rule["rrule"], True)


async def test_instances_exist_where_the_rule_says(call: Caller) -> None:
    """And nowhere else; an exception date is none."""
    master = call.sandbox.appointment(call.sandbox.series_ids[0])
    start, length = (
        int(master.start_time.timestamp() * 1000),
        int((master.end_time - master.start_time).total_seconds()),
    )
    assert (await call.get(f"{master.id}_{start}_{length}"))[1]["event"]["masterEventId"] == master.id
    for wrong in (f"{master.id}_{start + 60_000}_{length}", f"{master.id}_{start}_60", f"nobody_{start}_{length}"):
        assert (await call.get(wrong))[0] == 400


@pytest.mark.parametrize("algorithm", WINDOWS)
async def test_the_limit_is_announced_and_kept(call: Caller, algorithm: Algorithm) -> None:
    """Six headers, in lower case on the wire; then 429; the limit can change while it runs."""
    count_by(call.sandbox, algorithm)
    call.sandbox.limits = Limits(max_requests=2, interval=600.0, daily=10, retry_after="seconds")
    path = PATH + call.sandbox.appointment_ids[0]
    answers = [await call("GET", path) for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert [headers["x-ratelimit-remaining"] for _, _, headers in answers] == ["1", "0", "0"]
    assert all(f"x-ratelimit-{name}" in answers[2][2] for name in HEADERS)
    assert answers[2][1] == {"statusCode": 429, "message": "Too Many Requests"}
    assert 0 < float(answers[2][2]["retry-after"]) < 1200
    call.sandbox.limits = Limits(max_requests=9, interval=600.0, headers=False)
    status, _, headers = await call("GET", path)
    assert (status, "x-ratelimit-max" in headers) == (200, False)


async def test_the_clock_can_be_set_forward(call: Caller) -> None:
    """From Python, and from another process: a window passes without waiting, and so does a day."""
    call.sandbox.limits = Limits(max_requests=1, interval=600.0, daily=3)
    path = PATH + call.sandbox.appointment_ids[0]
    assert [(await call("GET", path))[0] for _ in range(2)] == [200, 429]
    call.sandbox.advance(600)
    assert (await call("GET", path))[0] == 200
    assert (await call("POST", "/_sandbox/clock", {"seconds": 600}, X_Sandbox_Admin="1"))[1] == {"advanced": 600.0}
    assert [(await call("GET", path))[0] for _ in range(2)] == [200, 429]
    call.sandbox.advance(86_400)
    assert (await call("GET", path))[0] == 200


async def test_limits_can_be_set_by_another_process(call: Caller) -> None:
    """While it runs."""
    await call("POST", "/_sandbox/limits", {"max_requests": 7, "retry_after": "date"}, X_Sandbox_Admin="1")
    assert call.sandbox.limits == Limits(max_requests=7, retry_after="date")


async def test_an_excepted_instance_does_not_exist(call: Caller) -> None:
    """EXDATE names instances that the rule alone would have made."""
    master = call.sandbox.appointment(call.sandbox.series_ids[2])
    length = int((master.end_time - master.start_time).total_seconds())
    found = []
    for day in range(10):
        start = int((master.start_time + timedelta(days=day)).timestamp() * 1000)
        found.append((await call.get(f"{master.id}_{start}_{length}"))[0])
    assert found == [200] * 8 + [400] * 2


def test_the_daily_budget_comes_back_after_a_day() -> None:
    """And a request that was refused is not counted."""
    limiter, limits = RateLimiter(0.0), Limits(daily=2)
    assert [limiter.check(limits, now).allowed for now in (0.0, 1.0, 2.0, 86_399.0, 86_400.0)] == [
        True,
        True,
        False,
        False,
        True,
    ]


TEXTS = [
    "ok",
    "503",
    "503 retry-after=2",
    "503-after-apply",
    "reset",
    "lose-response",
    "late 2",
    "stall 0.2",
    "half-body",
    "cut 120",
    "html 502",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_fault_is_written_as_it_is_read(text: str) -> None:
    """The text form round-trips."""
    assert str(Fault.parse(text)) == text


@pytest.mark.parametrize("text", ["", "200", "5033", "stall", "html", "drop", "503-after"])
def test_an_unknown_fault_says_which_there_are(text: str) -> None:
    """In a ValueError."""
    with pytest.raises(ValueError, match="use ok, 503"):
        Fault.parse(text)


@pytest.mark.parametrize(
    ("operation", "hint"),
    [
        ("update_apointment", r"; did you mean 'update_appointment'\?$"),
        ("updateAppointment", r"; did you mean 'update_appointment'\?$"),
        ("", "; use one of create_appointment, get_appointment, .*, oauth_location_token$"),
        (None, "; use one of create_appointment, "),
    ],
)
def test_an_operation_that_no_request_can_have_is_refused(operation: Any, hint: str) -> None:
    """With a fault for it, or a question about its requests, a test would prove nothing and pass."""
    with pytest.raises(ValueError, match=hint):
        Sandbox().faults.plan(operation, ["503"])
    with pytest.raises(ValueError, match=hint):
        Sandbox().requests.of(operation)
    if operation is not None:
        with pytest.raises(ValueError, match=hint):
            Sandbox(faults={operation: ["503"]})


async def test_faults_are_used_in_order_and_asked_for_after(call: Caller) -> None:
    """Also over the admin route; what is left can be asked for; a refused token uses none up."""
    event_id = call.sandbox.appointment_ids[0]
    keeper = {"X-Sandbox-Admin": "1"}
    async with call.session.post(
        f"{call.sandbox.url}/_sandbox/faults",
        json={"operation": "get_appointment", "faults": ["500", "html 502", "503"]},
        headers=keeper,
    ) as response:
        assert await response.json() == {"planned": 3}
    await call("GET", PATH + event_id, Authorization="Bearer pit-x")
    assert [(await call.get(event_id))[0] for _ in range(2)] == [500, 502]
    async with call.session.get(f"{call.sandbox.url}/_sandbox/faults") as response:
        assert await response.json() == {"get_appointment": ["503"]}
    async with call.session.get(f"{call.sandbox.url}/_sandbox/requests") as response:
        assert [entry["status"] for entry in await response.json()] == [401, 500, 502]
    async with call.session.post(f"{call.sandbox.url}/_sandbox/faults", json={}, headers=keeper) as response:
        assert response.status == 400


async def test_a_reset_goes_back_to_the_beginning(call: Caller) -> None:
    """State, log, faults and counters."""
    sandbox = call.sandbox
    before = list(sandbox.store)
    sandbox.faults.plan("get_appointment", ["503"])
    await call.put(sandbox.appointment_ids[0], title="x")
    sandbox.reset()
    assert (list(sandbox.store), len(sandbox.requests), sandbox.faults.unused()) == (before, 0, {})


def test_the_same_seed_makes_the_same_clinic() -> None:
    """Ids do not depend on the machine or the Python; another seed makes another."""
    assert build_id(1, "location", 0) == "lDoM42EAHvvAVikP1zmC"
    one, same, other = build_store(1, 50), build_store(1, 50), build_store(2, 50)
    assert list(one) == list(same)
    assert not set(one.first_location.appointment_ids) & set(other.first_location.appointment_ids)


def test_no_two_seeded_appointments_overlap() -> None:
    """Each doctor sees one patient at a time."""
    store = build_store(1, 3000)
    assert all(store.is_free(event) for event in store if event.rrule is None)


async def test_the_log_is_bounded_and_measures_windows(call: Caller) -> None:
    """The most requests in any window, refused ones aside."""
    for _ in range(5):
        await call.get(call.sandbox.appointment_ids[0])
    await asyncio.sleep(0)
    assert call.sandbox.requests.count_most_in(60.0) == 5
    assert Sandbox(log_size=2).requests.count_most_in(1.0) == 0


async def test_a_port_that_is_taken_is_an_error_that_leaves_nothing_open(sandbox: Sandbox) -> None:
    """Of ours, with the port; a session that stayed open would fail this test by its warning."""
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(
        ConfigurationError, match=rf"cannot listen on port {port} of 127.0.0.1 \(Address already in use\)"
    ):
        await Sandbox(port=port).start()
    gc.collect()
