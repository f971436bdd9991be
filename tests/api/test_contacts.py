"""Contacts and their appointments, on real sockets against the sandbox, and as the vendor's file has them."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import (
    Appointment,
    AuthenticationError,
    BadRequestError,
    Contact,
    ContactAppointment,
    ContactNotFoundError,
    DecodeError,
    Event,
    InvalidRequestError,
    LeadConnector,
    LeadConnectorError,
    RateLimit,
    RetryPolicy,
    Timeouts,
    TransportError,
    with_response,
)
from leadconnector_async._api.contacts import (
    FIND_CONTACTS,
    GET_CONTACT,
    LIST_CONTACT_APPOINTMENTS,
    build_find_contacts,
    build_get_contact,
    build_list_contact_appointments,
    read_contacts,
)
from leadconnector_async._api.events import merge_events, split_range
from leadconnector_async._secret import Secret
from leadconnector_async.sandbox import Limits, Sandbox
from leadconnector_async.sandbox.models import BookedAppointment
from leadconnector_async.sandbox.routes import ROUTES

from ..conftest import QUICK, MakeClient
from ..leaks import show_all
from ..raw_server import answer, raw_server
from ..test_captured_locals import silent_server

START, END = datetime(2027, 3, 8, tzinfo=UTC), datetime(2027, 3, 22, tzinfo=UTC)
VENDORS_EVENT = {
    "id": "YS3jaqqeehkR2Is80miy",
    "calendarId": "YlWd2wuCAZQzh2cH1fVZ",
    "status": "booked",
    "title": "Test",
    "assignedUserId": "YlWd2wuCAZQzh2cH1fVZ",
    "notes": "test",
    "startTime": "2021-07-16 11:00:00",
    "endTime": "2021-07-16 11:30:00",
    "address": "Address",
    "locationId": "YlWd2wuCAZQzh2cH1fVZ",
    "contactId": "YlWd2wuCAZQzh2cH1fVZ",
    "groupId": "YlWd2wuCAZQzh2cH1fVZ",
    "appointmentStatus": "booked",
    "users": ["YlWd2wuCAZQzh2cH1fVZ", "YlWd2wuCAZQzh2cH1fVZ"],
    "dateAdded": "2021-07-16 11:00:00",
    "dateUpdated": "2021-07-16 11:30:00",
    "assignedResources": ["YlWd2wuCAZQzh2cH1fVZ", "YlWd2wuCAZQzh2cH1fVZ"],
}
"""`GetEventSchema` of the vendor's `apps/contacts.json`: every property, with its example."""
VENDORS_CONTACT = {
    "id": "seD4PfOuKoVMLkEZqohJ",
    "name": "rubika deo",
    "locationId": "ve9EPM428h8vShlRW1KT",
    "firstName": "rubika",
    "lastName": "Deo",
    "email": "rubika@deos.com",
    "emailLowerCase": "rubika@deos.com",
    "timezone": "Asia/Calcutta",
    "companyName": "DGS VolMAX",
    "phone": "+18832327657",
    "dnd": True,
    "dndSettings": {"Call": {"status": "active"}},
    "type": "read",
    "source": "public api",
    "assignedTo": "ve9EPM428h8vShlRW1KT",
    "address1": "3535 1st St N",
    "city": "ruDolomitebika",
    "state": "AL",
    "country": "US",
    "postalCode": "35061",
    "website": "https://www.tesla.com",
    "tags": ["nisi sint commodo amet", "consequat"],
    "dateOfBirth": "Date format YYYY-MM-DD",
    "dateAdded": "2021-07-02T05:18:26.704Z",
    "dateUpdated": "2021-07-02T05:18:26.704Z",
    "attachments": "a",
    "ssn": "s",
    "keyword": "test",
    "firstNameLowerCase": "rubika",
    "fullNameLowerCase": "rubika deo",
    "lastNameLowerCase": "deo",
    "lastActivity": "2021-07-16T11:39:30.564Z",
    "customFields": [{"id": "MgobCB14YMVKuE4Ka8p1", "value": "name"}],
    "businessId": "641c094001436dbc2081e642",
    "attributionSource": {"url": "Trigger Link"},
    "lastAttributionSource": {"url": "Trigger Link"},
    "visitorId": "ve9EPM428h8vShlRW1KT",
}
"""`GetContectByIdSchema` (spelt so) of the same file: every property."""


def to_python(struct: msgspec.Struct) -> dict[str, object]:
    """All fields by their names on the wire."""
    return {
        field.encode_name: list(value) if isinstance(value := getattr(struct, field.name), tuple) else value
        for field in msgspec.structs.fields(struct)
    }


def test_an_appointment_of_a_contact_has_every_field_of_the_vendors_file() -> None:
    """Each with its value, and no other; the times are text."""
    read = build_list_contact_appointments("c").read(msgspec.json.encode({"events": [VENDORS_EVENT]}))
    assert read.unread == ()
    assert to_python(read.value[0]) == VENDORS_EVENT


def test_a_contact_is_read_from_the_vendors_example() -> None:
    """What is needed of it, under the file's names."""
    for body in ({"contact": VENDORS_CONTACT, "traceId": "t"}, VENDORS_CONTACT):
        read = build_get_contact("c").read(msgspec.json.encode(body))
        known = to_python(read.value)
        assert read.unread == ()
        assert known == {name: VENDORS_CONTACT[name] for name in known}
    assert {"firstName", "lastName", "name", "email", "phone", "timezone"} < known.keys()


async def test_the_sandbox_has_the_vendors_fields_and_no_others(client: LeadConnector, sandbox: Sandbox) -> None:
    """All of an appointment's; of a contact's, a part. The scope of each route is the file's."""
    contact_id = sandbox.appointment(sandbox.appointment_ids[0]).contact_id
    path = f"/contacts/{contact_id}"
    listed = await client.request("GET", f"{path}/appointments", response_type=dict[str, object])
    got = await client.request("GET", path, response_type=dict[str, object])
    (event,) = msgspec.convert(listed["events"], list[dict[str, object]])
    assert event.keys() == VENDORS_EVENT.keys()
    assert msgspec.convert(got["contact"], dict[str, object]).keys() <= VENDORS_CONTACT.keys()
    scopes = {route.operation: route.scope for route in ROUTES}
    for operation in (GET_CONTACT, LIST_CONTACT_APPOINTMENTS, FIND_CONTACTS):
        assert scopes[operation.name] == "contacts.readonly"


async def test_each_operation_sends_its_own_version() -> None:
    """The one of the file, whatever the client's; the calls before and after keep the client's, with any token."""
    tokens = iter(["t1", "t1", "t2", "t2", "t2"])

    async def provide() -> str:
        return next(tokens)

    bodies = [
        b'{"events": []}',
        b'{"contact": {"id": "k"}}',
        b'{"events": []}',
        b'{"contact": null}',
        b'{"contacts": []}',
    ]
    async with raw_server(*(answer(200, body) for body in bodies)) as server:
        async with LeadConnector(provide, base_url=server.url, location_id="loc", version="v3") as client:
            await client.list_events(START, END, user_id="u")
            await client.get_contact("k")
            await client.list_contact_appointments("k")
            await client.find_contacts(phone="+12125550123")
            await client.with_options(version="2023-02-21").find_contacts(email="a@example.com")
    versions = [head.split(b"Version: ")[1].split(b"\r\n")[0] for head in server.requests]
    assert versions == [b"v3", *[b"2021-07-28"] * 4]
    assert [head.split(b"Bearer ")[1][:2] for head in server.requests] == [b"t1", b"t1", b"t2", b"t2", b"t2"]


async def test_what_is_searched_for_arrives_as_it_is_meant(client: LeadConnector, sandbox: Sandbox) -> None:
    """A plus sign as `%2B`, or the server would see a blank; separators of a number are not sent."""
    await client.find_contacts(phone="+1 (212) 555-0123")
    await client.find_contacts(email=" Ada+news&x=1@Example.com ")
    first, second = (request.query for request in sandbox.requests.of("get_duplicate_contact"))
    assert "number=%2B12125550123" in first
    assert "email=Ada%2Bnews%26x%3D1@Example.com" in second


async def test_a_zero_that_is_not_dialled_abroad_is_not_searched_for(
    client: LeadConnector, sandbox: Sandbox
) -> None:
    """Or the contact would not be found; without a country code, it belongs to the number."""
    for phone in ("+44 (0)20 7946 0123", "+44(0) 20 7946-0123", "(020) 7946 0123", "(0)20 7946 0123"):
        await client.find_contacts(phone=phone)
    queries = [request.query for request in sandbox.requests.of("get_duplicate_contact")]
    numbers = [query.partition("number=")[2].partition("&")[0] for query in queries]
    assert numbers == ["%2B442079460123"] * 2 + ["02079460123"] * 2


async def test_a_contact_is_found_by_number_or_address(client: LeadConnector, sandbox: Sandbox) -> None:
    """One who is known, in any case of the address; nobody is an empty list."""
    known = sandbox.contact(sandbox.appointment(sandbox.appointment_ids[3]).contact_id)
    assert await client.find_contacts(phone=known.phone) == [await client.get_contact(known.id)]
    (found,) = await client.find_contacts(email=known.email.upper())
    assert (found.id, found.first_name, found.timezone) == (known.id, known.first_name, known.timezone)
    assert await client.find_contacts(phone="+999123") == []
    with pytest.raises(BadRequestError, match="Contact not found"):
        await client.get_contact("nobody")


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'{"contact": {"id": "a"}}', ["a"]),
        (b'{"contact": null, "traceId": "t"}', []),
        (b'{"contact": {}}', []),
        (b'{"contact": []}', []),
        (b'{"contact": null, "contacts": [{"id": "a"}]}', ["a"]),
        (b'{"id": "a", "email": "x@y.z"}', ["a"]),
        (b'{"contacts": [{"id": "a"}, {"id": "b", "phone": 5}]}', ["a", "b"]),
        (b'{"contact": [{"id": "a"}]}', ["a"]),
    ],
)
def test_every_way_to_say_who_matches_is_understood(body: bytes, ids: list[str]) -> None:
    """None, one, and several."""
    read = build_find_contacts("loc", "phone", Secret("+12125550123")).read(body)
    assert [contact.id for contact in read.value] == ids


@pytest.mark.parametrize(
    "body",
    [
        b'{"contact": {"email": "x@y.z"}}',
        b'{"contacts": [{"id": "a"}, 5]}',
        b'{"contact": "a"}',
        b'{"found": 1}',
        b"{}",
        b'{"traceId": "t"}',
        b"",
    ],
)
def test_a_contact_that_cannot_be_read_is_not_nobody(body: bytes) -> None:
    """It would be booked again under another name."""
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        build_find_contacts("loc", "phone", Secret("+12125550123")).read(body)


def test_no_contact_is_made_of_nothing() -> None:
    """A response without one is an error."""
    for body in (b"{}", b'{"contact": null}', b'{"contact": {"name": "Ada"}}'):
        with pytest.raises((ValueError, msgspec.MsgspecError)):
            build_get_contact("c").read(body)


async def test_times_of_a_contacts_list_cannot_pass_for_instants(client: LeadConnector, sandbox: Sandbox) -> None:
    """They are text: an order with an instant is an error, and no field of them is a datetime."""
    contact_id = sandbox.appointment(sandbox.appointment_ids[2]).contact_id
    (listed,) = await client.list_contact_appointments(contact_id)
    assert listed.start_time == "2027-03-10 08:00:00"
    with pytest.raises(TypeError):
        listed.start_time < START  # type: ignore[operator] # noqa: B015
    types = msgspec.structs.fields(ContactAppointment)
    assert not [field.name for field in types if "datetime" in repr(field.type)]


async def test_the_events_of_a_location_are_those_of_all_its_calendars(
    client: LeadConnector, sandbox: Sandbox
) -> None:
    """Each once, by start, drafts included."""
    first = next(iter(sandbox.store.calendars))
    sandbox.store.calendars[first] = msgspec.structs.replace(sandbox.store.calendars[first], is_active=False)
    wanted = {
        event.id
        for one in sandbox.store.calendars
        for event in await client.list_events(START, END, calendar_id=one)
    }
    sandbox.requests.clear()
    events = await client.list_location_events(START, END)
    assert {event.id for event in events} == wanted
    assert len(events) == len(wanted) > 40
    starts = [event.start_time for event in events]
    assert starts == sorted(starts)  # type: ignore[type-var]
    assert len(sandbox.requests) == 1 + len(sandbox.store.calendars)


async def test_a_long_range_is_listed_in_parts(client: LeadConnector, sandbox: Sandbox) -> None:
    """Of at most 31 days, each event once, also one that lies in two parts."""
    first = sandbox.appointment(sandbox.appointment_ids[0])
    border = START + timedelta(days=31)
    hour = timedelta(hours=1)
    sandbox.edit_appointment(first.id, start_time=border - hour, end_time=border + hour)
    found = await client.find_appointments(START, START + timedelta(days=70), contact_id=first.contact_id)
    assert [event.id for event in found] == [first.id]
    assert len(sandbox.requests.of("list_events")) == 3
    events = await client.list_location_events(START, START + timedelta(days=70))
    assert len({event.id for event in events}) == len(events)
    assert len(sandbox.requests.of("list_events")) == 3 + 3 * 4
    last = datetime(9999, 12, 31, tzinfo=UTC)
    assert [*split_range(last - timedelta(days=5), last)] == [(last - timedelta(days=5), last)]


MOMENTS = st.none() | st.integers(0, 3).map(lambda hour: START.astimezone(timezone(timedelta(hours=hour))))
EVENTS = st.builds(
    lambda event_id, start, title: Appointment(id=event_id, start_time=start, title=title),
    st.sampled_from(["a", "b", "c", None]),
    MOMENTS,
    st.sampled_from("xy"),
)


@given(lists=st.lists(st.lists(EVENTS, max_size=5), max_size=4))
def test_events_are_merged_by_their_ids(lists: list[list[Appointment]]) -> None:
    """Each id once, from the first list that has it; none without an id is lost; by start, unknown starts last."""
    merged = merge_events(lists)
    flat = [event for one in lists for event in one]
    for event_id in {event.id for event in flat} - {None}:
        assert [one for one in merged if one.id == event_id] == [next(one for one in flat if one.id == event_id)]
    assert sum(event.id is None for event in merged) == sum(event.id is None for event in flat)
    starts = [event.start_time for event in merged if event.start_time is not None]
    assert starts == sorted(starts)
    assert [event.start_time for event in merged[: len(starts)]] == starts


@pytest.mark.sandbox(appointments=40, limits=Limits(max_requests=3, interval=0.3))
async def test_finding_keeps_to_the_rate_limit(make_client: MakeClient, sandbox: Sandbox) -> None:
    """However many requests it takes: the client waits before it sends, and none is refused."""
    client = make_client(rate_limit=RateLimit(max_requests=3, interval=0.3))
    contact_id = sandbox.appointment(sandbox.appointment_ids[0]).contact_id
    await client.list_location_events(START, END)
    await client.get_free_slots(list(sandbox.store.calendars), START, END)
    await client.find_appointments(START, END, contact_id=contact_id)
    assert sandbox.requests.count_statuses() == {200: 1 + 4 + 4 + 2}


async def test_a_calendar_that_cannot_be_listed_fails_the_whole(client: LeadConnector, sandbox: Sandbox) -> None:
    """The error says which; part of the events would look like all of them."""
    sandbox.faults.plan("list_events", ["ok", "422"])
    with pytest.raises(LeadConnectorError) as caught:
        await client.list_location_events(START, END)
    assert any(f"(calendar {one})" in str(caught.value) for one in sandbox.store.calendars)
    assert caught.value.operation == "list_events"


@pytest.mark.parametrize(
    ("calendars", "events", "text"),
    [
        (b'{"calendars": [{"id": "c"}, 5]}', b"", r"calendars\[1\] of the response cannot be read"),
        (b'{"calendars": [{"name": "c"}]}', b"", "A calendar of the location has no id"),
        (b'{"calendars": [{"id": "c"}]}', b'{"events": [5]}', r"events\[0\] .* cannot be read.*calendar c"),
    ],
)
async def test_what_cannot_be_read_is_not_left_out(calendars: bytes, events: bytes, text: str) -> None:
    """A list without it would look complete. An odd field of an event is no reason to fail."""
    async with raw_server(answer(200, calendars), answer(200, events)) as server:
        async with LeadConnector("t", base_url=server.url, location_id="loc", retry=QUICK) as client:
            with pytest.raises(DecodeError, match=text):
                await client.list_location_events(START, END)
    odd = answer(200, b'{"events": [{"id": "e", "users": [5], "startTime": "soon"}]}')
    async with raw_server(answer(200, b'{"calendars": [{"id": "c"}]}'), odd) as server:
        async with LeadConnector("t", base_url=server.url, location_id="loc", retry=QUICK) as client:
            assert [event.id for event in await client.list_location_events(START, END)] == ["e"]


def book(sandbox: Sandbox, number: int, **changes: object) -> BookedAppointment:
    """Give an appointment of the seed to the contact of the first."""
    contact_id = sandbox.appointment(sandbox.appointment_ids[0]).contact_id
    sandbox.edit_appointment(sandbox.appointment_ids[number], contact_id=contact_id, **changes)
    return sandbox.appointment(sandbox.appointment_ids[number])


@pytest.mark.parametrize("selector", ["contact_id", "phone", "email"])
async def test_appointments_of_a_contact_are_found_by_instant(
    client: LeadConnector, sandbox: Sandbox, selector: str
) -> None:
    """In calendars of three zones, where the order of the naive times is another than that of the instants."""
    first = sandbox.appointment(sandbox.appointment_ids[0])
    noon = datetime(2027, 3, 11, 12, tzinfo=UTC)
    places = [
        (1, noon),
        (2, noon + timedelta(hours=1)),
        (3, noon + timedelta(hours=2)),
        (5, noon + timedelta(hours=3)),
    ]
    for number, start in places:
        book(sandbox, number, start_time=start, end_time=start + timedelta(minutes=30))
    listed = await client.list_contact_appointments(first.contact_id)
    naive = [event.id for event in sorted(listed, key=lambda event: event.start_time or "")]
    sandbox.requests.clear()
    contact = sandbox.contact(first.contact_id)
    by = {"contact_id": contact.id, "phone": contact.phone, "email": contact.email}[selector]
    found = await client.find_appointments(noon, noon + timedelta(hours=3), **{selector: by})  # type: ignore[arg-type]
    assert [event.id for event in found] == [sandbox.appointment_ids[number] for number in (1, 2, 3)]
    assert [event.start_time for event in found] == [start for _, start in places[:3]]
    assert [event_id for event_id in naive if event_id in {event.id for event in found}] != [
        event.id for event in found
    ]
    assert len(sandbox.requests) == (4 if selector == "contact_id" else 5) + 1
    assert {event.contact_id for event in found} == {contact.id}


async def test_instances_of_a_series_are_found_by_its_contact(client: LeadConnector, sandbox: Sandbox) -> None:
    """Those in the range, also when the series itself began before it."""
    master = sandbox.appointment(sandbox.series_ids[0])
    start = master.start_time + timedelta(days=10)
    found = await client.find_appointments(start, start + timedelta(days=7), contact_id=master.contact_id)
    assert [event.master_event_id for event in found] == [master.id]
    assert found[0].start_time == datetime(2027, 3, 22, 9, tzinfo=ZoneInfo("America/New_York"))


async def test_nobody_and_nothing_are_not_the_same(client: LeadConnector, sandbox: Sandbox) -> None:
    """Nobody with that number is an error; somebody without appointments is an empty list."""
    for by in ({"phone": "+999123"}, {"email": "nobody@example.com"}):
        with pytest.raises(ContactNotFoundError, match="No contact of the location has this") as caught:
            await client.find_appointments(START, END, **by)  # type: ignore[arg-type]
        assert not [value for value in by.values() if value in show_all(caught.value)]
    sandbox.store.contacts["idle"] = sandbox.location_id
    phone = sandbox.contact("idle").phone
    assert await client.find_appointments(START, END, phone=phone) == []


async def test_several_contacts_with_one_number_are_all_looked_at() -> None:
    """Each event says whose it is; without a contact it is known by its id; a stranger's is left out."""
    events = (
        b'{"id": "1", "contactId": "a", "startTime": "2027-03-10T09:00:00Z"},'
        b'{"id": "2", "contactId": "b", "startTime": "2027-03-10T08:00:00Z"},'
        b'{"id": "3", "contactId": "z", "startTime": "2027-03-10T08:00:00Z"},'
        b'{"id": "4", "startTime": "2027-03-10T07:00:00Z"}, {"id": "5", "startTime": "2027-03-10T07:00:00Z"}'
    )
    bodies = [
        b'{"contacts": [{"id": "a"}, {"id": "b"}]}',
        b'{"events": [{"id": "1", "calendarId": "c"}]}',
        b'{"events": [%s]}' % b",".join(b'{"id": "%s", "calendarId": "c"}' % one for one in (b"2", b"3", b"4")),
        b'{"events": [' + events + b"]}",
    ]
    async with raw_server(*(answer(200, body) for body in bodies)) as server:
        async with LeadConnector("t", base_url=server.url, location_id="loc", retry=QUICK) as client:
            found = await client.find_appointments(START, END, phone="+12125550123")
    assert [event.id for event in found] == ["4", "2", "1"]
    assert len(server.requests) == len(bodies)


async def test_what_no_calendar_lists_is_read_by_itself() -> None:
    """A calendar that was deleted, an event without one; what is out of the range or deleted is left out."""
    listed = (
        b'{"events": [{"id": "1", "calendarId": "gone"}, {"id": "2", "calendarId": "gone"},'
        b' {"id": "3", "calendarId": "gone"}, {"id": "4"}]}'
    )
    one = b'{"event": {"id": "%s", "contactId": "a", "startTime": "2027-03-%sT09:00:00Z", "deleted": %s}}'
    answers = {
        b"/contacts/a/appointments": answer(200, listed),
        b"/calendars/events?": answer(404, b'{"message": "Calendar not found"}'),
        b"/appointments/1 ": answer(200, one % (b"1", b"10", b"false")),
        b"/appointments/2 ": answer(400, b'{"message": "The event id is invalid."}'),
        b"/appointments/3 ": answer(200, one % (b"3", b"25", b"false")),
        b"/appointments/4 ": answer(200, one % (b"4", b"11", b"true")),
    }
    async with raw_server() as server:
        server.answers = _ByPath(answers, server.requests)  # type: ignore[assignment]
        async with LeadConnector("t", base_url=server.url, location_id="loc", retry=QUICK) as client:
            found = await client.find_appointments(START, END, contact_id="a")
            answers[b"/appointments/1 "] = answer(403, b'{"message": "no"}')
            with pytest.raises(LeadConnectorError, match=r"\(calendar gone\)"):
                await client.find_appointments(START, END, contact_id="a")
    assert [event.id for event in found] == ["1"]


async def test_an_appointment_that_cannot_be_found_is_not_left_out() -> None:
    """One with neither an id nor a calendar: the rest would look like all of them."""
    async with raw_server(answer(200, b'{"events": [{"title": "x"}]}')) as server:
        async with LeadConnector("t", base_url=server.url, location_id="loc", retry=QUICK) as client:
            with pytest.raises(DecodeError, match="neither an id nor a calendar"):
                await client.find_appointments(START, END, contact_id="a")


class _ByPath(list[bytes]):
    """Answers by what the request asks for."""

    def __init__(self, answers: dict[bytes, bytes], requests: list[bytes]) -> None:
        super().__init__([b""])
        self.by_path, self.requests = answers, requests

    def pop(self, index: object = -1) -> bytes:
        return next(body for path, body in self.by_path.items() if path in self.requests[-1])


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "contact_id"),
        ({"contact_id": "c", "phone": "+12125550123"}, "contact_id"),
        ({"phone": "+12125550123", "email": "ada@example.com"}, "contact_id"),
        ({"contact_id": ""}, "contact_id"),
        ({"contact_id": 5}, "contact_id"),
        ({"phone": ""}, "phone"),
        ({"phone": "call me"}, "phone"),
        ({"phone": 12125550123}, "phone"),
        ({"phone": "+1212555\u0660\u0661\u0662\u0663"}, "phone"),
        ({"email": "lovelace"}, "email"),
        ({"email": "a@b@c"}, "email"),
        ({"email": "a\0@b.c"}, "email"),
        ({"contact_id": "c", "start": END, "end": START}, "end"),
        ({"contact_id": "c", "start": START.replace(tzinfo=None)}, "start"),
        ({"contact_id": "c", "location_id": ""}, "location_id"),
    ],
)
async def test_whom_to_look_for_must_be_clear(
    client: LeadConnector, sandbox: Sandbox, arguments: dict[str, object], field: str
) -> None:
    """Exactly one of three, and valid: said before anything is sent, and without the number or the address."""
    with pytest.raises(InvalidRequestError, match="Nothing was sent") as caught:
        await client.find_appointments(**{"start": START, "end": END, **arguments})  # type: ignore[arg-type]
    assert caught.value.field == field
    for name in ("phone", "email"):
        assert not (value := str(arguments.get(name, ""))) or value not in show_all(caught.value)
    assert len(sandbox.requests) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "no contact is named"),
        ({"phone": "+12125550123", "contact_id": "c"}, "phone and contact_id are given"),
    ],
)
async def test_none_and_several_contacts_are_told_apart(
    client: LeadConnector, arguments: dict[str, str], text: str
) -> None:
    """The error says which were given."""
    with pytest.raises(InvalidRequestError) as caught:
        await client.find_appointments(START, END, **arguments)  # type: ignore[arg-type]
    advice = "pass exactly one of contact_id, phone and email. Nothing was sent."
    assert str(caught.value) == f"contact_id: {text}; {advice}"


@pytest.mark.parametrize(
    ("phone", "is_advised"),
    [("(999) 123-4567", True), ("0099912345", True), ("+999123", False), ("(+999) 123", False)],
)
async def test_nobody_with_a_local_number_may_lack_the_country_code(
    client: LeadConnector, phone: str, is_advised: bool
) -> None:
    """What a caller says on the phone has none, and it looks as if there were no such contact."""
    with pytest.raises(ContactNotFoundError) as caught:
        await client.find_appointments(START, END, phone=phone)
    advice = " It does not begin with +: pass it with its country code, such as '+442079460123'."
    known = "No contact of the location has this phone number."
    assert str(caught.value).startswith(f"{known}{advice * is_advised} [")


def test_an_unknown_response_to_a_search_is_named() -> None:
    """By the first few fields that it has."""
    with pytest.raises(ValueError, match=r"^it has no 'contact', but 'page', 'people'$"):
        read_contacts(b'{"people": [], "page": 1}')


async def test_a_contact_is_searched_by_one_thing_in_one_location(
    client: LeadConnector, make_client: MakeClient, sandbox: Sandbox
) -> None:
    """As above; and a client without a location says so."""
    nowhere = make_client(location_id=None)
    calls: list[tuple[Callable[[], Awaitable[object]], str]] = [
        (client.find_contacts, "phone"),
        (lambda: client.find_contacts(phone="+12125550123", email="ada@example.com"), "phone"),
        (lambda: nowhere.find_contacts(phone="+12125550123"), "location_id"),
        (lambda: nowhere.find_appointments(START, END, contact_id="c"), "location_id"),
        (lambda: nowhere.list_location_events(START, END), "location_id"),
        (lambda: client.list_location_events(END, START), "end"),
        (lambda: client.get_contact(""), "contact_id"),
        (lambda: client.list_contact_appointments(".."), "contact_id"),
    ]
    for call, field in calls:
        with pytest.raises(InvalidRequestError, match="Nothing was sent") as caught:
            await call()
        assert caught.value.field == field
    assert len(sandbox.requests) == 0


async def test_requests_about_contacts_need_their_scope_and_count(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """A token without it is refused, and each counts against the limit of the location."""
    contact_id = sandbox.appointment(sandbox.appointment_ids[0]).contact_id
    blind = make_client(sandbox.issue_token(scopes=["calendars/events.readonly"]))
    with pytest.raises(AuthenticationError, match="not authorized for this scope"):
        await blind.get_contact(contact_id)
    client = make_client()
    before = (await with_response(client.get_contact(contact_id))).quota.remaining
    after = (await with_response(client.list_contact_appointments(contact_id))).quota.remaining
    assert before is not None
    assert after == before - 1


PHONE, EMAIL = "+12125550123", "ada.lovelace+news@example.com"
FORMS = ("2125550123", "lovelace")
ECHO = b"%2B12125550123 +12125550123 12125550123 ada.lovelace+news@example.com Ada.Lovelace%2Bnews%40example.com "
ECHOES = [
    answer(
        400, b'{"message": ["number ' + ECHO + b' is odd"], "traceId": "' + ECHO + b'"}', "x-echo: " + ECHO.decode()
    ),
    answer(422, b'{"message": "\\u002b12125550123 ' + ECHO + b'"}'),
    answer(503, ECHO),
    answer(200, b"<html>" + ECHO),
    answer(200, b'{"message": "' + ECHO + b'"}'),
    answer(200, b'{"' + ECHO + b'": 1}'),
    b"HTTP/1.1 " + ECHO + b"\r\n\r\n",
    f"HTTP/1.1 200 OK\r\nx-echo: {PHONE}\r\ncontent-length: 900\r\n\r\n".encode() + ECHO,
    b"",
]


@pytest.mark.parametrize("by", [{"phone": PHONE}, {"email": EMAIL}, {"email": EMAIL.upper()}])
@pytest.mark.parametrize("echo", ECHOES)
async def test_whom_one_looks_for_is_nowhere_to_be_read(
    echo: bytes, by: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Not in an error, its frames, an event or a log line, even if the server echoes it."""
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    policy = RetryPolicy(max_attempts=2, backoff_base=0.001)
    async with raw_server(*[echo] * 4) as server:
        options = {"base_url": server.url, "location_id": "loc", "retry": policy, "on_event": events.append}
        async with LeadConnector("t", timeouts=Timeouts(total=1.0), **options) as client:  # type: ignore[arg-type]
            with pytest.raises(LeadConnectorError) as caught:
                await client.find_appointments(START, END, **by)  # type: ignore[arg-type]
    shown = show_all(caught.value) + repr(events) + caplog.text + "".join(traceback.format_exception(caught.value))
    needle = FORMS["email" in by]
    assert needle not in shown.lower()
    assert events


async def test_no_text_shows_the_query_of_any_request(caplog: pytest.LogCaptureFixture) -> None:
    """Not even of one that the client does not know: aiohttp's own error would show its URL."""
    caplog.set_level(logging.DEBUG)
    async with raw_server(b"HTTP/1.1 oops\r\n\r\n") as server:
        async with LeadConnector("t", base_url=server.url, retry=RetryPolicy(max_attempts=1)) as client:
            with pytest.raises(TransportError, match="Bad status line") as caught:
                await client.request("GET", "/contacts/", query={"query": PHONE})
    assert FORMS[0] not in str(caught.value) + caplog.text
    assert "request_failed" in caplog.text


async def test_a_call_of_several_responses_has_no_single_one(client: LeadConnector, sandbox: Sandbox) -> None:
    """`with_response` says so, and not that the call was made wrongly."""
    with pytest.raises(TypeError, match=f"has combined {1 + len(sandbox.store.calendars)}"):
        await with_response(client.list_location_events(START, END))


@pytest.mark.parametrize("end", ["deadline", "timeout", "cancelled"])
async def test_a_search_that_is_cut_short_shows_nobody(end: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever ended it, no frame holds the address with the number in its query."""
    caplog.set_level(logging.DEBUG)
    policy = RetryPolicy(max_attempts=1, deadline=0.05 if end == "deadline" else None)
    options = {"retry": policy, "timeouts": Timeouts(total=0.05 if end == "timeout" else 5.0), "location_id": "loc"}
    async with silent_server(b"") as server, LeadConnector("t", base_url=server.url, **options) as client:  # type: ignore[arg-type]
        with pytest.raises((LeadConnectorError, TimeoutError)) as caught:
            async with asyncio.timeout(0.05 if end == "cancelled" else None):
                await client.find_contacts(phone=PHONE)
    assert FORMS[0] not in show_all(caught.value) + caplog.text


async def test_a_contact_shows_only_its_id(client: LeadConnector, sandbox: Sandbox) -> None:
    """In its own repr, in that of a list, and in that of the whole response."""
    from rich.pretty import pretty_repr

    known = sandbox.contact(sandbox.appointment(sandbox.appointment_ids[0]).contact_id)
    response = await with_response(client.get_contact(known.id))
    found = await client.find_contacts(phone=known.phone)
    for thing in (response, response.value, found):
        for text in (repr(thing), pretty_repr(thing)):
            assert known.id in text
            assert not [one for one in (known.phone, known.email, known.last_name) if one in text]
    assert isinstance(found[0], Contact)
    assert found[0].phone == known.phone


@pytest.mark.parametrize("end", [datetime.max.replace(tzinfo=UTC), START + timedelta(days=3661)], ids=str)
@pytest.mark.parametrize(
    "call",
    [
        lambda client, end: client.list_location_events(START, end),
        lambda client, end: client.find_appointments(START, end, contact_id="a"),
        lambda client, end: client.get_free_slots("a", START, end),
        lambda client, end: client.get_free_slots(["a"], START, end),
    ],
    ids=["list_location_events", "find_appointments", "get_free_slots", "merged"],
)
async def test_a_range_without_an_end_is_refused(
    client: LeadConnector,
    sandbox: Sandbox,
    call: Callable[[LeadConnector, datetime], Awaitable[object]],
    end: datetime,
) -> None:
    """As a request for each 31 days, it would take 96,000 for each calendar."""
    with pytest.raises(InvalidRequestError, match="list at most 3,660 days at once") as caught:
        await call(client, end)
    assert caught.value.field == "end"
    assert len(sandbox.requests) == 0
