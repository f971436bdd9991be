"""The update's siblings, on real sockets against the sandbox."""

from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pytest

from leadconnector_async import (
    AppointmentCreate,
    AppointmentUpdate,
    AuthenticationError,
    BadRequestError,
    BlockSlotCreate,
    BlockSlotUpdate,
    InvalidEventError,
    InvalidRequestError,
    LeadConnector,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RetryPolicy,
    SlotUnavailableError,
    UnprocessableError,
    with_response,
)
from leadconnector_async._api.events import LIST_EVENTS, build_delete_event, build_list_events
from leadconnector_async._api.free_slots import build_get_free_slots
from leadconnector_async._api.notes import build_list_notes
from leadconnector_async._api.request import Request
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from .test_appointments import SAMPLES

T = TypeVar("T")

DAY = datetime(2027, 6, 1, tzinfo=ZoneInfo("America/New_York"))


@pytest.fixture
def booking(sandbox: Sandbox) -> AppointmentCreate:
    """A free morning in the calendar of the first appointment."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    return AppointmentCreate(
        calendar_id=event.calendar_id,
        location_id=sandbox.location_id,
        contact_id=event.contact_id,
        title="First visit",
        start_time=DAY.replace(hour=9),
        appointment_status="new",
    )


async def test_an_appointment_is_created_read_listed_and_deleted(
    client: LeadConnector, sandbox: Sandbox, booking: AppointmentCreate
) -> None:
    """All that was given is there; without an end the calendar's own length counts."""
    made = await client.create_appointment(booking)
    assert made.id
    assert (made.title, made.appointment_status, made.start_time) == ("First visit", "new", booking.start_time)
    read = await client.get_appointment(made.id)
    assert read.end_time == DAY.replace(hour=9, minute=15)
    listed = await client.list_events(DAY, DAY + timedelta(days=1), calendar_id=booking.calendar_id)
    assert [event.id for event in listed] == [made.id]
    assert await client.delete_event(made.id) is True
    assert sandbox.appointment(made.id).deleted
    assert (await client.get_appointment(made.id)).deleted
    assert await client.list_events(DAY, DAY + timedelta(days=1), calendar_id=booking.calendar_id) == []
    with pytest.raises(InvalidEventError):
        await client.delete_event(made.id)
    with pytest.raises(InvalidEventError):
        await client.update_appointment(made.id, AppointmentUpdate(title="x"))


async def test_of_identical_creations_one_wins(
    client: LeadConnector, sandbox: Sandbox, booking: AppointmentCreate
) -> None:
    """A slot of one person is booked once."""
    event = await client.create_appointment(booking)
    again = AppointmentCreate(
        calendar_id=booking.calendar_id,
        location_id=booking.location_id,
        contact_id=sandbox.appointment(sandbox.appointment_ids[1]).contact_id,
        start_time=booking.start_time,
        assigned_user_id=event.assigned_user_id,
    )
    with pytest.raises(SlotUnavailableError):
        await client.create_appointment(again)


async def test_a_creation_in_doubt_is_never_sent_twice_where_the_policy_says_so(
    client: LeadConnector, sandbox: Sandbox, booking: AppointmentCreate
) -> None:
    """The error says what was sent; the one request was applied."""
    sandbox.faults.plan("create_appointment", ["lose-response"])
    client = client.with_options(retry=RetryPolicy(on_ambiguous="raise"))
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.create_appointment(booking)
    assert (caught.value.outcome, caught.value.attempts) == ("unknown", 1)
    assert b"First visit" in (caught.value.sent_body or b"")
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize(
    ("fault", "sends", "reads"),
    [("lose-response", 1, 1), ("503-after-apply", 1, 1), ("503", 2, 1), ("reset", 2, 1)],
)
async def test_a_deletion_in_doubt_is_read_back(
    client: LeadConnector, sandbox: Sandbox, fault: str, sends: int, reads: int
) -> None:
    """Gone is done; still there is sent again."""
    sandbox.faults.plan("delete_event", [fault])
    answer = await with_response(client.delete_event(sandbox.appointment_ids[0]))
    assert (answer.value, answer.reconciled) == (True, sends == 1)
    assert len(sandbox.requests.of("delete_event")) == sends
    assert len(sandbox.requests.of("get_appointment")) == reads
    assert answer.attempts == sends + reads


async def test_a_refused_read_proves_no_deletion(client: LeadConnector, sandbox: Sandbox) -> None:
    """What cannot be read may never have been readable, as a block slot perhaps: nothing is claimed."""
    from leadconnector_async.sandbox import Quirks

    sandbox.quirks = Quirks(deleted_readable=False)
    sandbox.faults.plan("delete_event", ["lose-response"])
    with pytest.raises(OutcomeUnknownError, match="event id is invalid"):
        await client.delete_event(sandbox.appointment_ids[0])


async def test_a_series_is_listed_by_its_instances(client: LeadConnector, sandbox: Sandbox) -> None:
    """Each with its own id, which can be read, and the id of its master."""
    master = sandbox.appointment(sandbox.series_ids[0])
    start = datetime(2027, 3, 1, tzinfo=UTC)
    listed = await client.list_events(start, start + timedelta(days=31), user_id=master.assigned_user_id)
    instances = [event for event in listed if event.master_event_id == master.id]
    assert len(instances) == 4
    for event in instances:
        assert event.id
        assert event.is_recurring
        assert (await client.get_appointment(event.id)).start_time == event.start_time


async def test_an_instance_of_a_series_takes_its_time(client: LeadConnector, sandbox: Sandbox) -> None:
    """It is listed from its very beginning, its slot is not offered, and nobody else is booked into it."""
    master = sandbox.appointment(sandbox.series_ids[0])
    second = master.start_time + timedelta(days=7)
    second += timedelta(hours=-1)  # New York has changed its clocks in between
    user, end = master.assigned_user_id, second + timedelta(minutes=1)
    (instance,) = await client.list_events(second, end, user_id=user)
    assert instance.master_event_id == master.id
    slots = await client.get_free_slots(master.calendar_id, second, second + timedelta(hours=1), user_ids=[user])
    assert second not in [slot for day in slots.values() for slot in day]
    with pytest.raises(SlotUnavailableError):
        await client.create_appointment(
            AppointmentCreate(
                calendar_id=master.calendar_id,
                location_id=sandbox.location_id,
                contact_id=master.contact_id,
                assigned_user_id=user,
                start_time=second,
            )
        )
    assert instance.id
    await client.reschedule_appointment(instance.id, shift=timedelta(hours=3))
    slots = await client.get_free_slots(master.calendar_id, second, second + timedelta(hours=1), user_ids=[user])
    assert second in [slot for day in slots.values() for slot in day]


async def test_whose_events_are_wanted_must_be_clear(client: LeadConnector, make_client: MakeClient) -> None:
    """One of three, aware times in order, and a location: said before anything is sent."""
    start, end = DAY, DAY + timedelta(days=1)
    for bad in (
        client.list_events(start, end),
        client.list_events(start, end, user_id="u", calendar_id="c"),
        client.list_events(end, start, user_id="u"),
        client.list_events(start.replace(tzinfo=None), end, user_id="u"),
        make_client(location_id=None).list_events(start, end, user_id="u"),
        make_client(location_id=None).list_calendars(),
    ):
        with pytest.raises(InvalidRequestError, match="Nothing was sent"):
            await bad


async def test_time_is_blocked_and_the_block_is_moved(
    client: LeadConnector, sandbox: Sandbox, booking: AppointmentCreate
) -> None:
    """A blocked slot is listed, takes its time, and gives it back when it moves."""
    user = sandbox.store.calendars[booking.calendar_id].team[0]
    block = await client.create_block_slot(
        BlockSlotCreate(
            location_id=sandbox.location_id,
            assigned_user_id=user,
            title="Lunch",
            start_time=DAY.replace(hour=9),
            end_time=DAY.replace(hour=10),
        )
    )
    assert block.id
    assert (block.title, block.start_time, block.assigned_user_id) == ("Lunch", DAY.replace(hour=9), user)
    listed = await client.list_blocked_slots(DAY, DAY + timedelta(days=1), user_id=user)
    assert [one.id for one in listed] == [block.id]
    assert await client.list_events(DAY, DAY + timedelta(days=1), user_id=user) == []
    slots = await client.get_free_slots(booking.calendar_id, DAY, DAY + timedelta(days=1), user_ids=[user])
    assert DAY.replace(hour=9, minute=45) not in slots[DAY.date()]
    moved = BlockSlotUpdate(
        calendar_id=booking.calendar_id, start_time=DAY.replace(hour=12), end_time=DAY.replace(hour=13)
    )
    sandbox.faults.plan("update_block_slot", ["lose-response"])
    assert (await client.update_block_slot(block.id, moved)).end_time == DAY.replace(hour=13)
    slots = await client.get_free_slots(booking.calendar_id, DAY, DAY + timedelta(days=1), user_ids=[user])
    assert DAY.replace(hour=9, minute=45) in slots[DAY.date()]


async def test_free_slots_are_booked_as_they_were_offered(
    client: LeadConnector, booking: AppointmentCreate
) -> None:
    """Aware times by day, in the zone that was asked for."""
    slots = await client.get_free_slots(booking.calendar_id, DAY, DAY + timedelta(days=2), timezone="Asia/Kolkata")
    first = slots[date(2027, 6, 1)][0]
    assert first.utcoffset() == timedelta(hours=5, minutes=30)
    made = await client.create_appointment(
        AppointmentCreate(
            calendar_id=booking.calendar_id,
            location_id=booking.location_id,
            contact_id=booking.contact_id,
            start_time=first,
        )
    )
    assert made.start_time == first


async def test_a_long_range_of_free_slots_is_split_and_joined(
    client: LeadConnector, sandbox: Sandbox, booking: AppointmentCreate
) -> None:
    """As if the server answered any range: every slot once, in order."""
    slots = await client.get_free_slots(booking.calendar_id, DAY, DAY + timedelta(days=70))
    assert len(sandbox.requests.of("get_free_slots")) == 3
    assert len(slots) == 70
    flat = [slot for day in slots.values() for slot in day]
    assert flat == sorted(set(flat))
    assert {slot.date() for slot in slots[date(2027, 7, 2)]} == {date(2027, 7, 2)}
    with pytest.raises(BadRequestError, match="31 days"):
        await client.request(
            "GET",
            f"/calendars/{booking.calendar_id}/free-slots",
            query={"startDate": 0, "endDate": int(timedelta(days=32).total_seconds() * 1000)},
        )


async def test_notes_are_written_paged_changed_and_deleted(client: LeadConnector, sandbox: Sandbox) -> None:
    """All of them, page by page, as they are asked for."""
    event_id = sandbox.appointment_ids[0]
    made = [await client.create_note(event_id, f"note {number}", user_id="u") for number in range(45)]
    notes = [note async for note in client.list_notes(event_id)]
    assert [note.body for note in notes] == [f"note {number}" for number in range(45)]
    assert len(sandbox.requests.of("list_notes")) == 3
    assert made[0].id
    changed = await client.update_note(event_id, made[0].id, "changed")
    assert (changed.body, changed.user_id) == ("changed", "u")
    assert await client.delete_note(event_id, made[0].id)
    assert len([note async for note in client.list_notes(event_id)]) == 44
    with pytest.raises(NotFoundError):
        await client.delete_note(event_id, made[0].id)
    with pytest.raises(InvalidRequestError, match="the note is empty"):
        await client.create_note(event_id, " ")


async def test_calendars_show_their_team_and_their_places(client: LeadConnector, sandbox: Sandbox) -> None:
    """What an update needs to name a person or a place."""
    listed = await client.list_calendars()
    assert len(listed) == len(sandbox.store.calendars)
    assert listed[0].id
    calendar = await client.get_calendar(listed[0].id)
    assert calendar == listed[0]
    assert [member.user_id for member in calendar.team_members or ()] == [
        *sandbox.store.calendars[listed[0].id].team
    ]
    assert (calendar.location_configurations or ())[0].meeting_id == "custom_0"


async def test_version_v3_takes_its_own_statuses(make_client: MakeClient, sandbox: Sandbox) -> None:
    """`active` there alone; `completed`, which is kept as `showed`, in both."""
    event_id = sandbox.appointment_ids[0]
    client = make_client(version="v3")
    await client.update_appointment(event_id, AppointmentUpdate(appointment_status="active"))
    sandbox.faults.plan("update_appointment", ["lose-response"])
    call = client.update_appointment(event_id, AppointmentUpdate(appointment_status="completed"))
    assert (await with_response(call)).reconciled
    assert sandbox.appointment(event_id).appointment_status == "showed"
    with pytest.raises(InvalidRequestError, match="only version v3"):
        await make_client().update_appointment(event_id, AppointmentUpdate(appointment_status="active"))


def list_calls(client: LeadConnector, event_id: str, calendar_id: str, location_id: str) -> list[object]:
    end = DAY + timedelta(days=1)
    times = {"location_id": location_id, "start_time": DAY, "end_time": end}
    return [
        client.get_appointment(event_id),
        client.update_appointment(event_id, AppointmentUpdate(title="x")),
        client.create_appointment(
            AppointmentCreate(calendar_id=calendar_id, location_id=location_id, contact_id="c", start_time=DAY)
        ),
        client.delete_event(event_id),
        client.list_events(DAY, end, user_id="u", location_id=location_id),
        client.list_blocked_slots(DAY, end, user_id="u", location_id=location_id),
        client.create_block_slot(BlockSlotCreate(calendar_id=calendar_id, **times)),  # type: ignore[arg-type]
        client.update_block_slot(event_id, BlockSlotUpdate(title="x", calendar_id=calendar_id)),
        client.get_free_slots(calendar_id, DAY, end),
        anext(client.list_notes(event_id)),
        client.create_note(event_id, "x"),
        client.update_note(event_id, "n", "x"),
        client.delete_note(event_id, "n"),
        client.get_calendar(calendar_id),
        client.list_calendars(location_id=location_id),
    ]


async def test_every_operation_names_a_missing_scope_and_a_foreign_location(
    make_client: MakeClient, sandbox: Sandbox
) -> None:
    """401 and 403 come as what they are, with what to fix."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    unscoped = make_client(sandbox.issue_token(scopes=()))
    for call in list_calls(unscoped, event.id, event.calendar_id, sandbox.location_id):
        with pytest.raises(AuthenticationError, match="Grant the scope"):
            await call  # type: ignore[misc]
    foreign = make_client(sandbox.issue_token(location_id="elsewhere"))
    for call in list_calls(foreign, event.id, event.calendar_id, sandbox.location_id):
        with pytest.raises(PermissionDeniedError, match="does not have access"):
            await call  # type: ignore[misc]


async def test_what_the_server_cannot_use_comes_as_a_list_of_faults(client: LeadConnector) -> None:
    """422, with every field that must be mended."""
    with pytest.raises(UnprocessableError) as caught:
        await client.request("POST", "/calendars/events/appointments", body={"title": 5}, repeatable=False)
    assert caught.value.messages
    with pytest.raises(UnprocessableError) as caught:
        await client.request("POST", "/calendars/events/appointments", body={"title": "x"}, repeatable=False)
    assert "calendarId should not be empty" in caught.value.messages
    assert len(caught.value.messages) == 4


async def test_a_wrong_route_for_deleting_is_a_404(client: LeadConnector, sandbox: Sandbox) -> None:
    """DELETE knows events, not appointments [field]."""
    with pytest.raises(NotFoundError, match="Cannot DELETE"):
        await client.request("DELETE", f"/calendars/events/appointments/{sandbox.appointment_ids[0]}", body={})


def read_sample(request: Request[T], name: str) -> T:
    return request.read(msgspec.json.encode(SAMPLES[name]["body"])).value


def test_recorded_answers_are_read() -> None:
    """Lists, free slots beside a trace id, a deletion."""
    start, end = DAY, DAY + timedelta(days=1)
    listing = build_list_events(LIST_EVENTS, "l", start, end, user_id="u", calendar_id=None, group_id=None)
    events = read_sample(listing, "list_events_ok")
    assert [event.appointment_status for event in events] == ["confirmed", "confirmed"]
    (request,) = build_get_free_slots("c", start, end, timezone=None, user_ids=())
    slots = read_sample(request, "free_slots_ok")
    assert {day: len(times) for day, times in slots.items()} == {date(2026, 9, 14): 2, date(2026, 9, 15): 1}
    assert read_sample(build_delete_event("e"), "delete_event_ok") is True


@pytest.mark.parametrize("body", [b"", b"{}", b'{"events": null}', b'{"events": [], "traceId": "t"}', b"[]"])
def test_a_list_without_entries_is_empty(body: bytes) -> None:
    """In whatever way it says so."""
    listing = build_list_events(
        LIST_EVENTS, "l", DAY, DAY + timedelta(1), user_id="u", calendar_id=None, group_id=None
    )
    assert listing.read(body).value == []
    assert listing.read(body).unread == (("events",) if b"events" not in body and body != b"[]" else ())


def test_a_large_body_without_a_list_is_not_an_empty_list() -> None:
    """What is missing is named there, too."""
    listing = build_list_events(
        LIST_EVENTS, "l", DAY, DAY + timedelta(1), user_id="u", calendar_id=None, group_id=None
    )
    read = listing.read(b'{"traceId": "%s"}' % (b"t" * 70_000))
    assert (read.value, read.unread) == ([], ("events",))


def test_one_odd_entry_hides_no_other() -> None:
    """It is named by its place, and the rest is there."""
    listing = build_list_events(
        LIST_EVENTS, "l", DAY, DAY + timedelta(1), user_id="u", calendar_id=None, group_id=None
    )
    read = listing.read(b'{"events": [{"id": "a"}, null, "x", {"id": "b", "startTime": "soon"}]}')
    assert [event.id for event in read.value] == ["a", "b"]
    assert read.unread == ("events[1]", "events[2]", "start_time")
    (request,) = build_get_free_slots("c", DAY, DAY + timedelta(1), timezone=None, user_ids=())
    slots = request.read(
        b'{"2026-09-14": {"slots": ["2026-09-14T09:00:00Z"]}, "2026-09-15": {"slots": ["2026-09-15T09:00:00"]},'
        b' "2026-09-16": null, "2026-09-17": {"slots": null}, "traceId": "t"}'
    )
    assert {day.day: len(times) for day, times in slots.value.items()} == {14: 1, 16: 0, 17: 0}
    assert slots.unread == ("2026-09-15",)
    notes = build_list_notes("e", 0).read(
        b'{"notes": [{"id": "n"}, {"id": "m", "dateAdded": "soon"}], "hasMore": null}'
    )
    assert ([note.id for note in notes.value.notes], notes.value.has_more) == (["n", "m"], False)
    assert notes.unread == ("date_added",)


@pytest.mark.parametrize("days", [31, 60])
def test_a_range_across_a_change_of_the_clocks_is_split_by_elapsed_time(days: int) -> None:
    """No part is longer than the server takes, and none is empty."""
    start = datetime(2027, 10, 20, tzinfo=ZoneInfo("America/New_York"))
    parts = [
        request.query or {}
        for end in (start + timedelta(days=days), start + timedelta(days=days, microseconds=400))
        for request in build_get_free_slots("c", start, end, timezone=None, user_ids=())
    ]
    lengths = [int(part["endDate"]) - int(part["startDate"]) for part in parts]
    assert all(0 < length <= 31 * 86_400_000 for length in lengths)


@pytest.mark.parametrize(
    ("field", "payload"),
    [
        ("location_id", {"location_id": None}),
        ("contact_id", {"contact_id": 5}),
        ("contact_id", {"contact_id": " "}),
        ("calendar_id", {"calendar_id": ""}),
    ],
)
async def test_a_booking_that_cannot_be_sent_is_refused(
    client: LeadConnector, booking: AppointmentCreate, field: str, payload: dict[str, object]
) -> None:
    """Field, value and hint; nothing is sent."""
    with pytest.raises(InvalidRequestError, match="Nothing was sent") as caught:
        await client.create_appointment(msgspec.structs.replace(booking, **payload))
    assert caught.value.field == field
