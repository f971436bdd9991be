"""Every method that takes a payload takes it as a mapping and as a pydantic model of the user's own."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from leadconnector_async import (
    AppointmentUpdate,
    Booking,
    InvalidRequestError,
    LeadConnector,
    ModelLike,
    Payload,
    PlanError,
)
from leadconnector_async.jobs import BulkJob, PlanRow, update_many
from leadconnector_async.sandbox import Sandbox

from .test_booking import find_contact, list_calendars, list_offers

MONDAY = datetime(2027, 6, 7, 14, tzinfo=UTC)


class Status(Enum):
    CONFIRMED = "confirmed"


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Change(Camel):
    title: str | None = None
    start_time: AwareDatetime | None = None
    appointment_status: Status | None = None


class Row(Change):
    event_id: str


class New(Camel):
    calendar_id: str
    contact_id: str
    start_time: AwareDatetime
    title: str = ""


class Block(Camel):
    calendar_id: str
    start_time: AwareDatetime
    end_time: AwareDatetime
    title: str = ""


TITLES: dict[str, Payload[AppointmentUpdate]] = {
    "a mapping": {"title": "Moved", "appointmentStatus": "confirmed"},
    "a model": Change(title="Moved", appointment_status=Status.CONFIRMED),
}


@pytest.mark.parametrize("update", TITLES.values(), ids=TITLES)
async def test_an_update_is_sent(
    sandbox: Sandbox, client: LeadConnector, update: Payload[AppointmentUpdate]
) -> None:
    """With exactly what was set."""
    event_id = sandbox.appointment_ids[0]
    await client.update_appointment(event_id, update)
    assert sandbox.appointment(event_id).title == "Moved"
    (sent,) = (one.body for one in sandbox.requests)
    assert json.loads(sent) == {"title": "Moved", "appointmentStatus": "confirmed"}


def list_moves(start: datetime) -> list[tuple[str, Payload[AppointmentUpdate]]]:
    return [
        ("a Struct", AppointmentUpdate(title="Moved", start_time=start)),
        ("text", {"title": "Moved", "startTime": start.isoformat()}),
        ("a mapping", {"title": "Moved", "start_time": start, "end_time": None}),
        ("a model", Change(title="Moved", start_time=start)),
    ]


@pytest.mark.parametrize("number", range(4), ids=[name for name, _ in list_moves(MONDAY)])
async def test_a_reschedule_takes_an_update(sandbox: Sandbox, client: LeadConnector, number: int) -> None:
    """Its length is kept, and so is what the update leaves out or sets to `None`."""
    event_id = sandbox.appointment_ids[0]
    before = sandbox.appointment(event_id)
    start = before.start_time + timedelta(days=7)
    _, update = list_moves(start)[number]
    plan = await client.plan_reschedule(event_id, update)
    assert [one.field for one in plan.differences] == ["title", "start_time", "end_time"]
    moved = await client.reschedule_appointment(event_id, update, verify=True)
    assert (moved.title, moved.start_time) == ("Moved", start)
    assert moved.end_time == before.end_time + timedelta(days=7)


async def test_a_series_is_moved_by_an_update(sandbox: Sandbox, client: LeadConnector) -> None:
    """The whole of it, as by an argument."""
    (master_id,) = sandbox.find_series_ids(sandbox.location_id)[:1]
    start = sandbox.appointment(master_id).start_time
    update = Change(start_time=start + timedelta(minutes=30))
    plan = await client.plan_reschedule(master_id, update, scope="series")
    by_argument = await client.plan_reschedule(master_id, start_time=start + timedelta(minutes=30), scope="series")
    assert plan == by_argument
    assert plan.differences


@pytest.mark.parametrize(
    ("update", "arguments", "text"),
    [
        ({"title": "x"}, {"title": "y"}, "title is given twice; keep one of them"),
        ({"startTime": MONDAY}, {"start_time": MONDAY}, "start_time is given twice"),
        ({"startTime": MONDAY}, {"shift": timedelta(1)}, "start_time or end_time is given as well"),
        ({"startTime": "2027-06-07T14:00:00"}, {}, "it has no offset"),
        ({"startTime": "soon"}, {}, "it is not a time in ISO 8601"),
        ({"rrule": "RRULE:FREQ=DAILY"}, {}, "a reschedule does not change the rule of a series"),
        ({"tittle": "x"}, {}, "tittle: AppointmentUpdate has no such field; use title"),
        (None, {"tittle": "x"}, "tittle: AppointmentUpdate has no such field; use title"),
        (5, {}, "it is not an instance of AppointmentUpdate"),
    ],
)
async def test_a_reschedule_that_contradicts_itself_is_refused(
    sandbox: Sandbox, client: LeadConnector, update: object, arguments: dict[str, object], text: str
) -> None:
    """Before anything is sent."""
    sandbox.requests.clear()
    with pytest.raises(InvalidRequestError, match=text):
        await client.reschedule_appointment("ev1", update, **arguments)  # type: ignore[arg-type]
    assert not sandbox.requests


async def test_rows_are_models_and_pairs_of_anything(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """In `update_many` and in a job; a bad one is named by its field."""
    one, two, three, four, five = sandbox.appointment_ids[:5]
    rows = [
        Row(event_id=one, title="Moved"),
        (two, {"title": "Moved"}),
        (three, Change(title="Moved")),
        {"eventId": four, "title": "Moved", "appointmentStatus": Status.CONFIRMED},
        PlanRow(5, five, {"title": "Moved"}),  # type: ignore[arg-type]
    ]
    outcomes = [each async for each in update_many(client, rows)]
    assert [each.state for each in outcomes] == ["applied"] * 5
    assert {sandbox.appointment(each).title for each in (one, two, three, four, five)} == {"Moved"}
    bad = [
        (one, {"tittle": "x"}),
        (two, {"start_time": MONDAY, "startTime": MONDAY}),
        {"eventId": three, "startime": MONDAY},
        Row(event_id=four, title=""),
        (five, 5),
    ]
    with pytest.raises(PlanError) as caught:
        await BulkJob.create(tmp_path / "bad.job", client, bad)  # type: ignore[arg-type]
    assert [str(fault) for fault in caught.value.faults] == [
        "line 1, tittle: AppointmentUpdate has no such field; use title",
        "line 2, start_time: start_time and startTime are the same field; keep one of them",
        "line 3, startime: unknown column; use start_time",
        "line 4, title: title is empty; leave it out to keep it",
        "line 5, update: 5 is not an AppointmentUpdate; pass AppointmentUpdate(…), a mapping or a pydantic model",
    ]
    async with await BulkJob.create(tmp_path / "good.job", client, [Row(event_id=one, title="Again")]) as job:
        await job.run()
    assert sandbox.appointment(one).title == "Again"


async def test_a_creation_takes_a_model_or_a_mapping(sandbox: Sandbox, client: LeadConnector) -> None:
    """And a key with it."""
    (calendar_id, *_), contact_id = list_calendars(sandbox), find_contact(sandbox)
    offers = await list_offers(client, sandbox)
    fields = {
        "calendarId": calendar_id,
        "contact_id": contact_id,
        "startTime": offers[0].start_time,
        "title": "New",
    }
    made = await client.create_appointment(fields, once="order-1")
    again = await client.create_appointment(New.model_validate(fields, by_name=True), once="order-1")
    assert (made.id, made.title) == (again.id, "New")
    with pytest.raises(InvalidRequestError, match="contact_id: AppointmentCreate needs it"):
        await client.create_appointment({"calendarId": calendar_id, "startTime": MONDAY})


async def test_a_block_slot_takes_a_model_or_a_mapping(sandbox: Sandbox, client: LeadConnector) -> None:
    """When it is created and when it is changed."""
    calendar_id = list_calendars(sandbox)[0]
    block = Block(calendar_id=calendar_id, start_time=MONDAY, end_time=MONDAY + timedelta(hours=1))
    made = await client.create_block_slot(block)
    change = {"calendarId": calendar_id, "title": "Lunch"}
    changed = await client.update_block_slot(str(made.id), change)
    assert changed.title == "Lunch"
    changed = await client.update_block_slot(str(made.id), block.model_copy(update={"title": "Tea"}))
    assert changed.title == "Tea"


class Details(Camel):
    title: str
    to_notify: bool = True


@pytest.mark.parametrize(
    "details", [{"title": "First", "toNotify": False}, Details(title="First", to_notify=False)]
)
async def test_a_booking_takes_details_together(
    sandbox: Sandbox, client: LeadConnector, details: Mapping[str, object] | ModelLike
) -> None:
    """As it takes them one by one."""
    offer = (await list_offers(client, sandbox))[0]
    booked = await client.book(offer, find_contact(sandbox), details)
    assert isinstance(booked, Booking)
    assert booked.appointment.title == "First"
    sent = next(one.body for one in sandbox.requests if one.operation == "create_appointment")
    assert json.loads(sent)["toNotify"] is False


@pytest.mark.parametrize(
    ("details", "others", "text"),
    [
        ({"title": "x"}, {"title": "y"}, "title is given twice"),
        ({"colour": "x"}, {}, "colour: AppointmentCreate has no such field"),
        (None, {"tittle": "y"}, "tittle: AppointmentCreate has no such field; use title"),
        ({"calendarId": "c"}, {}, "the slot and the contact are arguments of their own"),
        ({"contact_id": "c"}, {}, "the slot and the contact are arguments of their own"),
        ("title", {}, "it is not a mapping; pass a dict or a pydantic model"),
    ],
)
async def test_details_that_contradict_the_booking_are_refused(
    sandbox: Sandbox, client: LeadConnector, details: object, others: dict[str, object], text: str
) -> None:
    """Before anything is sent."""
    offer = (await list_offers(client, sandbox))[0]
    sandbox.requests.clear()
    with pytest.raises(InvalidRequestError, match=text):
        await client.book(offer, find_contact(sandbox), details, **others)  # type: ignore[arg-type]
    assert not sandbox.requests
