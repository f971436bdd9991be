"""The sandbox refuses what the vendor's file forbids, and understands every way to write what it leaves open."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from leadconnector_async.sandbox import Sandbox

from .test_sandbox import PATH, Caller, call

__all__ = ["call"]

BLOCKS = "/calendars/events/block-slots"
CREATE = "/calendars/events/appointments"
TIMES = {"startTime": "2027-06-01T13:00:00Z", "endTime": "2027-06-01T14:00:00Z"}
FOREIGN = "The token does not have access to this location."
DAY = datetime(2027, 6, 1, tzinfo=UTC)
Body = dict[str, Any]


def in_milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def get_calendar_id(sandbox: Sandbox) -> str:
    return sandbox.appointment(sandbox.appointment_ids[0]).calendar_id


def read_ids(answer: Body) -> list[str]:
    return [one["id"] for one in answer["calendars"]]


BLOCKS_REFUSED: list[tuple[str, Body, int, Any]] = [
    ("POST", {"locationId": None}, 422, ["locationId should not be empty"]),
    ("POST", {"locationId": "elsewhere"}, 403, FOREIGN),
    (
        "POST",
        {"startTime": None, "endTime": None},
        422,
        ["startTime should not be empty", "endTime should not be empty"],
    ),
    ("POST", {"calendarId": None}, 422, "Either calendarId or assignedUserId can be set, not both."),
    ("POST", {"assignedUserId": "u"}, 422, "Either calendarId or assignedUserId can be set, not both."),
    ("POST", {"calendarId": "nowhere"}, 400, "The calendar is not an event calendar."),
    ("POST", {"contactId": "c"}, 422, ["property contactId should not exist"]),
    ("POST", {"toNotify": False}, 422, ["property toNotify should not exist"]),
    ("POST", {"title": 5}, 422, ["title must be a string"]),
    ("PUT", {"locationId": None}, 422, ["locationId should not be empty"]),
    ("PUT", {"locationId": "elsewhere"}, 403, FOREIGN),
    ("PUT", {"calendarId": None}, 422, ["calendarId should not be empty"]),
    (
        "PUT",
        {"calendarId": None, "locationId": None},
        422,
        ["calendarId should not be empty", "locationId should not be empty"],
    ),
    ("PUT", {"calendarId": "nowhere"}, 400, "The calendar is not an event calendar."),
]


@pytest.mark.parametrize(("method", "changes", "status", "message"), BLOCKS_REFUSED)
async def test_a_block_slot_that_the_file_forbids_is_refused(
    call: Caller, method: str, changes: Body, status: int, message: object
) -> None:
    """Without a location, of no or two owners, of an unknown calendar; the state stays as it was."""
    whole = {"locationId": call.sandbox.location_id, "calendarId": get_calendar_id(call.sandbox), **TIMES}
    made = (await call("POST", BLOCKS, whole))[1]
    before = call.sandbox.snapshot()
    body = {name: value for name, value in {**whole, **changes}.items() if value is not None}
    answer = await call(method, BLOCKS if method == "POST" else f"{BLOCKS}/{made['id']}", body)
    assert (answer[0], answer[1]["message"]) == (status, message)
    assert call.sandbox.snapshot() == before


async def test_a_block_slot_of_another_locations_calendar_is_refused(call: Caller) -> None:
    """Both when it is made and when it is changed."""
    async with Sandbox(appointments=4, locations=2) as two:
        there = Caller(call.session, two)
        foreign = two.appointment(two.find_appointment_ids(two.location_ids[1])[0]).calendar_id
        body = {"locationId": two.location_id, "calendarId": get_calendar_id(two), **TIMES}
        made = (await there("POST", BLOCKS, body))[1]
        for method, path in (("POST", BLOCKS), ("PUT", f"{BLOCKS}/{made['id']}")):
            answer = await there(method, path, {**body, "calendarId": foreign})
            assert (answer[0], answer[1]["message"]) == (403, FOREIGN)


async def test_block_slots_are_answered_with_201_and_the_files_fields(call: Caller) -> None:
    """Created or changed, for a calendar or a person; none of what an appointment has besides."""
    calendar_id = get_calendar_id(call.sandbox)
    user_id = call.sandbox.store.calendars[calendar_id].team[0]
    body = {"locationId": call.sandbox.location_id, **TIMES}
    status, of_calendar, _ = await call("POST", BLOCKS, {**body, "calendarId": calendar_id})
    assert (status, of_calendar["calendarId"]) == (201, calendar_id)
    status, made, _ = await call("POST", BLOCKS, {**body, "assignedUserId": user_id, "title": "Lunch"})
    assert (status, made["assignedUserId"], made["title"]) == (201, user_id, "Lunch")
    status, changed, _ = await call("PUT", f"{BLOCKS}/{made['id']}", {**body, "calendarId": calendar_id})
    assert (status, changed["id"]) == (201, made["id"])
    required = {"id", "locationId", "title", "startTime", "endTime"}
    assert of_calendar.keys() == required | {"calendarId"}
    assert made.keys() == required | {"assignedUserId"}
    assert changed.keys() == required | {"calendarId", "assignedUserId"}


async def test_a_booking_of_an_unknown_contact_is_refused(call: Caller) -> None:
    """A contact of another location is unknown as well; without `strict`, contacts are not checked."""
    async with Sandbox(appointments=4, locations=2) as two, Sandbox(appointments=4, strict=False) as soft:
        there = Caller(call.session, two)
        foreign = two.appointment(two.find_appointment_ids(two.location_ids[1])[0]).contact_id
        known = two.appointment(two.appointment_ids[0])
        body = {"calendarId": known.calendar_id, "locationId": two.location_id, "startTime": "2027-06-01T13:00:00Z"}
        for contact_id in ("nobody", foreign):
            answer = await there("POST", CREATE, {**body, "contactId": contact_id})
            assert (answer[0], answer[1]["message"]) == (400, "The contact id is invalid.")
        assert (await there("POST", CREATE, {**body, "contactId": known.contact_id}))[0] == 200
        assert (await Caller(call.session, soft)("POST", CREATE, {**body, "contactId": "nobody"}))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_note_of_more_than_5000_characters_is_refused(call: Caller, method: str) -> None:
    """5,000 are taken, counted as characters and not as bytes; one more is refused."""
    notes = f"/calendars/appointments/{call.sandbox.appointment_ids[0]}/notes"
    made = (await call("POST", notes, {"body": "x"}))[1]["note"]
    path = notes if method == "POST" else f"{notes}/{made['id']}"
    status, answer, _ = await call(method, path, {"body": "x" * 5001})
    assert (status, answer["message"]) == (422, ["body must be shorter than or equal to 5000 characters"])
    assert (await call(method, path, {"body": "é" * 5000}))[0] == (201 if method == "POST" else 200)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "body should not be empty"),
        ({"body": " "}, "body should not be empty"),
        ({"body": 5}, "body must be a string"),
        ({"body": "x", "userId": 5}, "userId must be a string"),
        ({"body": "x", "colour": "red"}, "property colour should not exist"),
    ],
)
async def test_a_note_that_the_file_forbids_is_refused(call: Caller, body: Body, message: str) -> None:
    """By the field that is at fault."""
    notes = f"/calendars/appointments/{call.sandbox.appointment_ids[0]}/notes"
    status, answer, _ = await call("POST", notes, body)
    assert (status, answer["message"]) == (422, [message])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "offset must be a number string"),
        ("limit=20", "offset must be a number string"),
        ("offset=0", "limit must be a number string"),
        ("limit=21&offset=0", "limit must not be greater than 20"),
        ("limit=20&offset=-1", "offset must be a number string"),
        ("limit=x&offset=0", "limit must be a number string"),
    ],
)
async def test_a_page_of_notes_needs_a_limit_of_at_most_20_and_an_offset(
    call: Caller, query: str, message: str
) -> None:
    """Both are required."""
    notes = f"/calendars/appointments/{call.sandbox.appointment_ids[0]}/notes"
    status, answer, _ = await call("GET", f"{notes}?{query}")
    assert (status, answer["message"]) == (422, [message])
    assert (await call("GET", f"{notes}?limit=20&offset=0"))[0] == 200


@pytest.mark.parametrize("path", ["/calendars/", "/calendars"])
async def test_calendars_are_listed_with_and_without_the_slash(call: Caller, path: str) -> None:
    """Those of the location that is named, and never another's."""
    own = {"locationId": call.sandbox.location_id}
    whole = (await call("GET", f"{path}?{urlencode(own)}"))[1]
    assert read_ids(whole) == [*call.sandbox.store.calendars]
    status, answer, _ = await call("GET", f"{path}?locationId=elsewhere")
    assert (status, answer["message"]) == (403, FOREIGN)
    status, answer, _ = await call("GET", path)
    assert (status, answer["message"]) == (422, ["locationId should not be empty"])


async def test_calendars_are_listed_by_group_and_without_drafts(call: Caller) -> None:
    """Drafts are shown unless `showDrafted=false` [doc: the default is true]."""
    store, first, own = call.sandbox.store, get_calendar_id(call.sandbox), call.sandbox.location_id
    store.calendars[first] = msgspec.structs.replace(store.calendars[first], is_active=False)
    group = store.groups[first]
    members = [calendar_id for calendar_id, its in store.groups.items() if its == group]
    assert 0 < len(members) < len(store.calendars)
    for query, expected in (
        ({}, [*store.calendars]),
        ({"groupId": group}, members),
        ({"groupId": "none"}, []),
        ({"showDrafted": "true"}, [*store.calendars]),
        ({"showDrafted": "false"}, [one for one in store.calendars if one != first]),
        ({"showDrafted": "false", "groupId": group}, [one for one in members if one != first]),
    ):
        answer = (await call("GET", f"/calendars/?{urlencode({'locationId': own, **query})}"))[1]
        assert read_ids(answer) == expected
    status, answer, _ = await call("GET", f"/calendars/?locationId={own}&showDrafted=perhaps")
    assert (status, answer["message"]) == (422, ["showDrafted must be a boolean value"])


async def test_events_are_listed_by_the_group_of_their_calendar(call: Caller) -> None:
    """And show it."""
    store, event = call.sandbox.store, call.sandbox.appointment(call.sandbox.appointment_ids[0])
    span = {"startTime": in_milliseconds(datetime(2027, 3, 8, tzinfo=UTC)), "endTime": in_milliseconds(DAY)}
    query = {"locationId": call.sandbox.location_id, "groupId": store.groups[event.calendar_id], **span}
    listed = (await call("GET", f"/calendars/events?{urlencode(query)}"))[1]["events"]
    assert {store.groups[one["calendarId"]] for one in listed} == {query["groupId"]}
    assert {one["groupId"] for one in listed} == {query["groupId"]}
    assert event.id in [one["id"] for one in listed]


@pytest.mark.parametrize("path", ["/calendars/events", "/calendars/blocked-slots", "/calendars/", "/calendars"])
async def test_every_list_needs_its_location(call: Caller, path: str) -> None:
    """A missing one is a fault of the request; another location's is shown to nobody else."""
    span = f"calendarId=c&startTime=0&endTime={in_milliseconds(DAY)}"
    assert (await call("GET", f"{path}?{span}"))[0] == 422
    assert (await call("GET", f"{path}?locationId=elsewhere&{span}"))[0] == 403
    assert (await call("GET", f"{path}?locationId={call.sandbox.location_id}&{span}"))[0] == 200


@pytest.mark.parametrize(
    "form", ["userIds={0}&userIds={1}", "userIds[]={0}&userIds[]={1}", "userIds%5B%5D={0}&userIds%5B%5D={1}",
             "userIds[0]={0}&userIds[1]={1}", "userIds={0},{1}", "userIds={0}%2C{1}", "userId={0}&userIds={1}"]
)  # fmt: skip
async def test_free_slots_of_several_users_are_understood_in_every_form(call: Caller, form: str) -> None:
    """Both users count: a time is offered if either of them is free, and gone if both are busy."""
    calendar = call.sandbox.store.calendars[get_calendar_id(call.sandbox)]
    first, second = calendar.team[:2]
    times = {"startTime": "2027-06-01T13:00:00Z", "endTime": "2027-06-01T13:15:00Z"}
    span = f"startDate={in_milliseconds(DAY)}&endDate={in_milliseconds(DAY + timedelta(days=1))}"

    async def is_offered() -> bool:
        path = f"/calendars/{calendar.id}/free-slots?{span}&{form.format(first, second)}"
        answer = (await call("GET", path))[1]
        return "2027-06-01T09:00:00-04:00" in answer["2027-06-01"]["slots"]

    body = {"locationId": call.sandbox.location_id, **times}
    assert await is_offered()
    await call("POST", BLOCKS, {**body, "assignedUserId": first})
    assert await is_offered()
    await call("POST", BLOCKS, {**body, "assignedUserId": second})
    assert not await is_offered()


async def test_nobody_outside_the_team_has_free_slots(call: Caller) -> None:
    """A list that is taken for one id asks for somebody whom the calendar does not know."""
    calendar = call.sandbox.store.calendars[get_calendar_id(call.sandbox)]
    span = f"startDate={in_milliseconds(DAY)}&endDate={in_milliseconds(DAY + timedelta(days=1))}"
    path = f"/calendars/{calendar.id}/free-slots?{span}"
    assert (await call("GET", f"{path}&userIds=a;b"))[1].keys() == {"traceId"}
    assert "2027-06-01" in (await call("GET", f"{path}&userIds=stranger,{calendar.team[0]}"))[1]


async def test_notes_say_who_wrote_them(call: Caller) -> None:
    """By id and name, in every answer, with the date of their creation, which a change does not move."""
    notes = f"/calendars/appointments/{call.sandbox.appointment_ids[0]}/notes"
    user_id = call.sandbox.store.calendars[get_calendar_id(call.sandbox)].team[0]
    status, made, _ = await call("POST", notes, {"body": "x", "userId": user_id})
    assert status == 201
    assert made["note"]["createdBy"].keys() == {"id", "name"}
    assert made["note"]["createdBy"]["id"] == user_id
    assert made["note"]["createdBy"]["name"]
    call.sandbox.advance(60)
    status, changed, _ = await call("PUT", f"{notes}/{made['note']['id']}", {"body": "y"})
    assert (status, changed["note"]) == (200, {**made["note"], "body": "y"})
    listed = (await call("GET", f"{notes}?limit=20&offset=0"))[1]
    assert listed["notes"] == [changed["note"]]


async def test_calendars_show_what_can_be_booked(call: Caller) -> None:
    """The fields that matter for rescheduling, under the names of the file, misspelt ones included."""
    shown = (await call("GET", f"/calendars/{get_calendar_id(call.sandbox)}"))[1]["calendar"]
    names = "slotDuration slotDurationUnit slotInterval slotIntervalUnit slotBuffer preBuffer allowBookingAfter "
    names += "allowBookingAfterUnit allowBookingFor allowBookingForUnit appoinmentPerSlot openHours "
    names += "allowReschedule allowCancellation autoConfirm teamMembers locationConfigurations groupId isActive"
    assert set(names.split()) <= shown.keys()
    hours = {"openHour": 8, "openMinute": 0, "closeHour": 18, "closeMinute": 0}
    assert shown["openHours"] == [{"daysOfTheWeek": [0, 1, 2, 3, 4, 5, 6], "hours": [hours]}]


async def read_dates(call: Caller, event_id: str) -> tuple[str, str]:
    """As get shows them, which lists must show too."""
    event = (await call("GET", PATH + event_id))[1]["event"]
    span = {"startTime": in_milliseconds(DAY - timedelta(days=99)), "endTime": in_milliseconds(DAY)}
    query = {"locationId": call.sandbox.location_id, "calendarId": event["calendarId"], **span}
    listed = (await call("GET", f"/calendars/events?{urlencode(query)}"))[1]["events"]
    (same,) = [one for one in listed if one["id"] == event_id]
    assert (same["dateAdded"], same["dateUpdated"]) == (event["dateAdded"], event["dateUpdated"])
    return event["dateAdded"], event["dateUpdated"]


async def test_dates_are_kept_and_move_with_every_change(call: Caller) -> None:
    """Whoever changes it, and however fast one change follows another; nothing else moves them."""
    sandbox, event_id = call.sandbox, call.sandbox.appointment_ids[0]
    added, updated = await read_dates(call, event_id)
    other = await read_dates(call, sandbox.appointment_ids[4])
    seen = [updated]
    for change in range(3):
        await call.put(event_id, title=f"change {change}", appointmentStatus="new")
        seen.append((await read_dates(call, event_id))[1])
    sandbox.edit_appointment(event_id, title="by hand")
    seen.append((await read_dates(call, event_id))[1])
    await call.put(event_id, title=5)
    assert (await read_dates(call, event_id))[1] == seen[-1]
    sandbox.advance(3600)
    await call.put(event_id, title="later")
    seen.append((await read_dates(call, event_id))[1])
    assert seen == sorted(set(seen))
    moved = datetime.fromisoformat(seen[-1]) - datetime.fromisoformat(seen[-2])
    assert timedelta(hours=1) <= moved < timedelta(hours=2)
    assert (await read_dates(call, event_id))[0] == added
    assert await read_dates(call, sandbox.appointment_ids[4]) == other


async def test_dates_do_not_count_as_state(call: Caller) -> None:
    """Two sandboxes with the same appointments give the same bytes, whenever they were changed."""
    event_id = call.sandbox.appointment_ids[0]
    before = call.sandbox.snapshot()
    title = call.sandbox.appointment(event_id).title
    call.sandbox.edit_appointment(event_id, title="x")
    call.sandbox.edit_appointment(event_id, title=title)
    assert call.sandbox.snapshot() == before


@pytest.mark.parametrize("version", ["2021-04-15", "2021-07-28", "2023-02-21", "v3"])
async def test_only_v3_answers_a_write_with_its_dates(call: Caller, version: str) -> None:
    """There both are required, after a creation as after a change [doc]; elsewhere they are missing [field]."""
    known = call.sandbox.appointment(call.sandbox.appointment_ids[0])
    body = {"calendarId": known.calendar_id, "locationId": known.location_id, "contactId": known.contact_id}
    made = (await call("POST", CREATE, {**body, "startTime": "2027-05-28T13:00:00Z"}, Version=version))[1]
    changed = (await call("PUT", PATH + made["id"], {"title": "x"}, Version=version))[1]
    dates = {"dateAdded", "dateUpdated"}
    if version != "v3":
        assert not dates & (made.keys() | changed.keys())
        return
    assert made["dateAdded"] == made["dateUpdated"] == changed["dateAdded"]
    assert await read_dates(call, made["id"]) == (changed["dateAdded"], changed["dateUpdated"])
    assert changed["dateUpdated"] > made["dateUpdated"]


async def test_an_instance_has_the_dates_of_its_series_until_it_is_changed(call: Caller) -> None:
    """It was added with the series, and moves by itself."""
    master = call.sandbox.appointment(call.sandbox.series_ids[0])
    start = in_milliseconds(master.start_time)
    instance_id = f"{master.id}_{start}_{round((master.end_time - master.start_time).total_seconds())}"
    series = (await call("GET", PATH + master.id))[1]["event"]
    one = (await call("GET", PATH + instance_id))[1]["event"]
    assert (one["dateAdded"], one["dateUpdated"]) == (series["dateAdded"], series["dateUpdated"])
    await call.put(instance_id, title="x")
    changed = (await call("GET", PATH + instance_id))[1]["event"]
    assert changed["dateAdded"] == one["dateAdded"]
    assert changed["dateUpdated"] > one["dateUpdated"]
    assert (await call("GET", PATH + master.id))[1]["event"]["dateUpdated"] == series["dateUpdated"]
