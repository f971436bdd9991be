"""Requests are what the vendor's file says, and what it forbids is refused before anything is sent."""

from datetime import datetime, timedelta
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import msgspec
import pytest

from leadconnector_async import (
    AppointmentCreate,
    BlockSlotCreate,
    BlockSlotUpdate,
    InvalidRequestError,
    LeadConnector,
    PermissionDeniedError,
)
from leadconnector_async._api.calendars import build_get_calendar
from leadconnector_async._api.creations import build_create_note
from leadconnector_async._api.notes import build_list_notes
from leadconnector_async.models import NoteAuthor, OpenHours, OpenInterval
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient

DAY = datetime(2027, 6, 1, tzinfo=ZoneInfo("America/New_York"))
END = DAY + timedelta(days=1)
NINE, TEN = DAY.replace(hour=9), DAY.replace(hour=10)


def get_calendar_id(sandbox: Sandbox) -> str:
    return sandbox.appointment(sandbox.appointment_ids[0]).calendar_id


def read_query(sandbox: Sandbox, operation: str) -> list[tuple[str, str]]:
    """Of the last request of an operation."""
    return parse_qsl(sandbox.requests.of(operation)[-1].query, keep_blank_values=True)


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        ({}, [("userIds", "a"), ("userIds", "b")]),
        ({"user_ids_form": "repeated"}, [("userIds", "a"), ("userIds", "b")]),
        ({"user_ids_form": "brackets"}, [("userIds[]", "a"), ("userIds[]", "b")]),
        ({"user_ids_form": "commas"}, [("userIds", "a,b")]),
    ],
)
async def test_several_users_go_out_as_a_list(
    client: LeadConnector, sandbox: Sandbox, form: dict[str, object], sent: list[tuple[str, str]]
) -> None:
    """By default each under the key of the vendor's file; the other forms can be chosen."""
    await client.get_free_slots(get_calendar_id(sandbox), DAY, END, user_ids=["a", "b"], **form)  # type: ignore[arg-type]
    query = read_query(sandbox, "get_free_slots")
    assert [pair for pair in query if "user" in pair[0]] == sent


@pytest.mark.parametrize(("users", "sent"), [((), []), (["a"], [("userId", "a")]), (("a",), [("userId", "a")])])
async def test_one_user_has_a_parameter_of_its_own(
    client: LeadConnector, sandbox: Sandbox, users: list[str], sent: list[tuple[str, str]]
) -> None:
    """Whose form nobody doubts."""
    await client.get_free_slots(get_calendar_id(sandbox), DAY, END, user_ids=users)
    assert [pair for pair in read_query(sandbox, "get_free_slots") if "user" in pair[0]] == sent


async def test_looking_busy_can_be_asked_for(client: LeadConnector, sandbox: Sandbox) -> None:
    """As a truth value of a query; left out, nothing is sent."""
    for value, sent in ((None, []), (True, ["true"]), (False, ["false"])):
        await client.get_free_slots(get_calendar_id(sandbox), DAY, END, enable_look_busy=value)
        query = read_query(sandbox, "get_free_slots")
        assert [text for name, text in query if name == "enableLookBusy"] == sent


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"user_ids": "abc"}, "user_ids"),
        ({"user_ids": 5}, "user_ids"),
        ({"user_ids": None}, "user_ids"),
        ({"user_ids": ["a", ""]}, "user_ids"),
        ({"user_ids": ["a", 5]}, "user_ids"),
        ({"user_ids": ["a", "b"], "user_ids_form": "pipes"}, "user_ids_form"),
        ({"enable_look_busy": "yes"}, "enable_look_busy"),
    ],
)
async def test_free_slots_that_cannot_be_asked_for_are_refused(
    client: LeadConnector, sandbox: Sandbox, arguments: dict[str, object], field: str
) -> None:
    """A single text as a list of users would ask for its letters."""
    with pytest.raises(InvalidRequestError, match="Nothing was sent") as caught:
        await client.get_free_slots("c", DAY, END, **arguments)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert len(sandbox.requests) == 0


async def test_lists_in_any_query_repeat_their_key(client: LeadConnector, sandbox: Sandbox) -> None:
    """In `request` as well; what is no text in it is refused."""
    path = f"/calendars/{get_calendar_id(sandbox)}/free-slots"
    span = {"startDate": 0, "endDate": 1000}
    await client.request("GET", path, query={**span, "userIds": ["a", "b"]})
    assert ("userIds", "b") in read_query(sandbox, "get_free_slots")
    for bad in (["a", True], [None], {"a"}, [["a"]], 1.5):
        with pytest.raises(InvalidRequestError, match="Nothing was sent"):
            await client.request("GET", path, query={**span, "userIds": bad})  # type: ignore[dict-item]


@pytest.mark.parametrize("owner", ["calendar_id", "assigned_user_id"])
async def test_a_block_slot_has_one_owner(client: LeadConnector, sandbox: Sandbox, owner: str) -> None:
    """The calendar or a person; the location is the client's own."""
    calendar_id = get_calendar_id(sandbox)
    value = calendar_id if owner == "calendar_id" else sandbox.store.calendars[calendar_id].team[0]
    made = await client.create_block_slot(BlockSlotCreate(start_time=NINE, end_time=TEN, **{owner: value}))  # type: ignore[arg-type]
    assert (getattr(made, owner), made.location_id) == (value, sandbox.location_id)
    assert made.id
    changed = await client.update_block_slot(made.id, BlockSlotUpdate(calendar_id=calendar_id, title="x"))
    assert (changed.title, changed.start_time, changed.location_id) == ("x", NINE, sandbox.location_id)


BLOCKS_REFUSED: list[tuple[dict[str, object], str]] = [
    ({}, "calendar_id"),
    ({"calendar_id": None, "assigned_user_id": None}, "calendar_id"),
    ({"calendar_id": "c", "assigned_user_id": "u"}, "calendar_id"),
    ({"calendar_id": "", "assigned_user_id": "u"}, "calendar_id"),
    ({"calendar_id": " "}, "calendar_id"),
    ({"assigned_user_id": ""}, "assigned_user_id"),
    ({"calendar_id": "c", "location_id": None}, "location_id"),
    ({"calendar_id": "c", "location_id": " "}, "location_id"),
    ({"calendar_id": "c", "location_id": 5}, "location_id"),
]


@pytest.mark.parametrize(("fields", "field"), BLOCKS_REFUSED)
async def test_a_block_slot_that_the_file_forbids_is_not_sent(
    client: LeadConnector, sandbox: Sandbox, fields: dict[str, object], field: str
) -> None:
    """Neither of no owner nor of two."""
    with pytest.raises(InvalidRequestError, match="Nothing was sent") as caught:
        await client.create_block_slot(BlockSlotCreate(start_time=NINE, end_time=TEN, **fields))  # type: ignore[arg-type]
    assert caught.value.field == field
    assert len(sandbox.requests) == 0


@pytest.mark.parametrize("fields", [{"title": "x"}, {"calendar_id": None, "title": "x"}, {"calendar_id": ""}])
async def test_every_change_of_a_block_slot_names_its_calendar(
    client: LeadConnector, sandbox: Sandbox, fields: dict[str, object]
) -> None:
    """The vendor's file requires it."""
    with pytest.raises(InvalidRequestError, match="Nothing was sent") as caught:
        await client.update_block_slot("b", BlockSlotUpdate(**fields))  # type: ignore[arg-type]
    assert caught.value.field == "calendar_id"
    assert len(sandbox.requests) == 0


async def test_the_location_is_the_clients_own_unless_it_is_given(
    client: LeadConnector, make_client: MakeClient, sandbox: Sandbox
) -> None:
    """For bookings and block slots; a client without one says so before anything is sent."""
    known = sandbox.appointment(sandbox.appointment_ids[0])
    booking = AppointmentCreate(calendar_id=known.calendar_id, contact_id=known.contact_id, start_time=NINE)
    block = BlockSlotCreate(calendar_id=known.calendar_id, start_time=NINE, end_time=TEN)
    change = BlockSlotUpdate(calendar_id=known.calendar_id)
    assert (await client.create_appointment(booking)).location_id == sandbox.location_id
    elsewhere = "elsewhere"
    for call in (
        client.create_appointment(msgspec.structs.replace(booking, location_id=elsewhere)),
        client.create_block_slot(msgspec.structs.replace(block, location_id=elsewhere)),
        client.update_block_slot(known.id, msgspec.structs.replace(change, location_id=elsewhere)),
    ):
        with pytest.raises(PermissionDeniedError):
            await call
    nowhere = make_client(location_id=None)
    seen = len(sandbox.requests)
    for call in (
        nowhere.create_appointment(booking),
        nowhere.create_block_slot(block),
        nowhere.update_block_slot(known.id, change),
    ):
        with pytest.raises(InvalidRequestError, match="Nothing was sent") as caught:
            await call
        assert caught.value.field == "location_id"
    assert len(sandbox.requests) == seen


async def test_a_note_has_at_most_5000_characters(client: LeadConnector, sandbox: Sandbox) -> None:
    """The longest one arrives whole; a longer one is refused before anything is sent, also as a change."""
    event_id = sandbox.appointment_ids[0]
    made = await client.create_note(event_id, "é" * 5000)
    assert made.body == "é" * 5000
    assert made.id
    for call in (client.create_note(event_id, "x" * 5001), client.update_note(event_id, made.id, "x" * 5001)):
        with pytest.raises(InvalidRequestError, match="5001 characters") as caught:
            await call
        assert caught.value.field == "body"
    assert len(sandbox.requests) == 1


async def test_a_note_says_who_wrote_it(client: LeadConnector, sandbox: Sandbox) -> None:
    """By id and name, when it is written and when it is listed."""
    event_id = sandbox.appointment_ids[0]
    user_id = sandbox.store.calendars[get_calendar_id(sandbox)].team[0]
    made = await client.create_note(event_id, "x", user_id=user_id)
    assert made.created_by is not None
    assert made.created_by.id == user_id
    assert made.created_by.name
    assert [note async for note in client.list_notes(event_id)] == [made]
    page = build_list_notes("e", 0).read(
        b'{"notes": [{"id": "n", "createdBy": {"id": "TUcmRxWr", "name": "John Doe"}}]}'
    )
    assert page.value.notes[0].created_by == NoteAuthor(id="TUcmRxWr", name="John Doe")


async def test_calendars_are_listed_by_group_and_without_drafts(client: LeadConnector, sandbox: Sandbox) -> None:
    """`None` leaves the choice to the server."""
    first = get_calendar_id(sandbox)
    group, known = sandbox.store.groups[first], sandbox.store.calendars[first]
    members = [calendar_id for calendar_id, its in sandbox.store.groups.items() if its == group]
    assert [one.id for one in await client.list_calendars(group_id=group)] == members
    assert {one.group_id for one in await client.list_calendars(group_id=group)} == {group}
    sandbox.store.calendars[first] = msgspec.structs.replace(known, is_active=False)
    (draft,) = [one for one in await client.list_calendars() if not one.is_active]
    assert draft.id == first
    assert first in [one.id for one in await client.list_calendars(show_drafted=True)]
    assert first not in [one.id for one in await client.list_calendars(show_drafted=False)]
    assert ("showDrafted", "false") in read_query(sandbox, "list_calendars")
    await client.list_calendars()
    assert read_query(sandbox, "list_calendars") == [("locationId", sandbox.location_id)]
    with pytest.raises(PermissionDeniedError):
        await client.list_calendars(location_id="elsewhere")


@pytest.mark.parametrize(
    "arguments",
    [{"group_id": ""}, {"group_id": 5}, {"show_drafted": "no"}, {"show_drafted": 1}, {"location_id": ""}],
)
async def test_calendars_that_cannot_be_asked_for_are_refused(
    client: LeadConnector, sandbox: Sandbox, arguments: dict[str, object]
) -> None:
    """Before anything is sent, by the name of the argument."""
    with pytest.raises(InvalidRequestError, match="Nothing was sent") as caught:
        await client.list_calendars(**arguments)  # type: ignore[arg-type]
    assert caught.value.field == next(iter(arguments))
    assert len(sandbox.requests) == 0


def test_a_calendar_says_what_can_be_booked() -> None:
    """Every field that matters for rescheduling, under the file's names, misspelt ones included."""
    body = b"""{"calendar": {"id": "c", "slotDuration": 30, "slotDurationUnit": "mins", "slotInterval": 15,
        "slotIntervalUnit": "mins", "slotBuffer": 5, "slotBufferUnit": "mins", "preBuffer": 10,
        "preBufferUnit": "mins", "allowBookingAfter": 2, "allowBookingAfterUnit": "hours", "allowBookingFor": 3,
        "allowBookingForUnit": "months", "appoinmentPerSlot": 1, "appoinmentPerDay": 8, "autoConfirm": true,
        "allowReschedule": "true", "allowCancellation": false, "openHours": [{"daysOfTheWeek": [1, 2],
        "hours": [{"openHour": 8, "openMinute": 30, "closeHour": 17, "closeMinute": 0}]}]}}"""
    read = build_get_calendar("c").read(body)
    one, hours = read.value, OpenInterval(open_hour=8, open_minute=30, close_hour=17, close_minute=0)
    assert read.unread == ()
    assert (one.slot_duration, one.slot_duration_unit, one.slot_interval, one.slot_interval_unit) == (
        30,
        "mins",
        15,
        "mins",
    )
    assert (one.slot_buffer, one.slot_buffer_unit, one.pre_buffer, one.pre_buffer_unit) == (5, "mins", 10, "mins")
    assert (one.allow_booking_after, one.allow_booking_after_unit) == (2, "hours")
    assert (one.allow_booking_for, one.allow_booking_for_unit) == (3, "months")
    assert (one.appointment_per_slot, one.appointment_per_day) == (1, 8)
    assert (one.auto_confirm, one.allow_reschedule, one.allow_cancellation) == (True, True, False)
    assert one.open_hours == (OpenHours(days_of_the_week=(1, 2), hours=(hours,)),)


async def test_dates_of_an_appointment_move_with_its_changes(
    client: LeadConnector, make_client: MakeClient, sandbox: Sandbox
) -> None:
    """A get shows them under every version, the answer of a change under `v3` alone."""
    from leadconnector_async import AppointmentUpdate

    event_id = sandbox.appointment_ids[0]
    before = await client.get_appointment(event_id)
    changed = await client.update_appointment(event_id, AppointmentUpdate(title="x"))
    assert (changed.date_added, changed.date_updated) == (None, None)
    after = await client.get_appointment(event_id)
    assert before.date_updated is not None
    assert after.date_updated is not None
    assert after.date_updated > before.date_updated
    newest = await make_client(version="v3").update_appointment(event_id, AppointmentUpdate(title="y"))
    assert newest.date_updated is not None
    assert newest.date_updated > after.date_updated
    assert newest.date_added == before.date_added


def test_an_odd_field_of_a_calendar_or_a_note_hides_no_other() -> None:
    """It is named by its path, and everything around it is read."""
    calendar = build_get_calendar("c").read(
        b'{"calendar": {"id": "c", "slotDuration": "30", "autoConfirm": {}, "appoinmentPerDay": [],'
        b' "openHours": [{"daysOfTheWeek": [1], "hours": "always"}], "allowBookingFor": 3}}'
    )
    one = calendar.value
    assert set(calendar.unread) == {"auto_confirm", "appointment_per_day", "open_hours[0].hours"}
    assert (one.slot_duration, one.allow_booking_for, one.open_hours) == (
        30,
        3,
        (OpenHours(days_of_the_week=(1,)),),
    )
    note = build_create_note("e", "x", None).read(b'{"note": {"id": "n", "createdBy": {"id": 5, "name": "J"}}}')
    assert (note.value.id, note.value.created_by, note.unread) == ("n", NoteAuthor(name="J"), ("created_by.id",))
