"""Safe changes, against the sandbox with all its oddities."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec import structs

from leadconnector_async import (
    Appointment,
    AppointmentUpdate,
    BadRequestError,
    Change,
    InvalidEventError,
    InvalidRequestError,
    LeadConnector,
    SlotUnavailableError,
    UnprocessableError,
    VerificationError,
    with_response,
)
from leadconnector_async._api.appointments import build_update_appointment
from leadconnector_async.reschedule.apply import carry_out, prepare
from leadconnector_async.reschedule.plan import plan_change
from leadconnector_async.reschedule.requested import RequestedChange
from leadconnector_async.sandbox import Sandbox

MOVE = timedelta(days=30, hours=1)
NINE = datetime(2027, 6, 1, 9, tzinfo=UTC)
SHOWN = Appointment(
    id="e",
    appointment_status="confirmed",
    assigned_user_id="a",
    calendar_id="c",
    start_time=NINE,
    end_time=NINE + timedelta(hours=1),
)


def bodies(sandbox: Sandbox) -> list[dict[str, object]]:
    return [msgspec.json.decode(one.body, type=dict) for one in sandbox.requests.of("update_appointment")]


def find(sandbox: Sandbox, status: str) -> str:
    return next(one for one in sandbox.appointment_ids if sandbox.appointment(one).appointment_status == status)


@pytest.mark.parametrize("status", ["noshow", "showed"])
async def test_the_plain_update_loses_a_status_that_the_safe_change_keeps(
    client: LeadConnector, sandbox: Sandbox, status: str
) -> None:
    """Of an appointment marked as no-show, a change of the title alone makes a confirmed one [field]."""
    event_id = find(sandbox, status)
    await client.reschedule_appointment(event_id, title="kept")
    assert (sandbox.appointment(event_id).title, sandbox.appointment(event_id).appointment_status) == (
        "kept",
        status,
    )
    await client.reschedule_appointment(event_id, shift=MOVE, verify=True)
    assert sandbox.appointment(event_id).appointment_status == status
    await client.update_appointment(event_id, AppointmentUpdate(title="lost"))
    assert sandbox.appointment(event_id).appointment_status == "confirmed"


async def test_a_start_alone_keeps_the_length_and_both_times_have_one_offset(
    client: LeadConnector, sandbox: Sandbox
) -> None:
    """The offset of the new start."""
    event_id = sandbox.appointment_ids[0]
    before = sandbox.appointment(event_id)
    start = (before.start_time + MOVE).astimezone(ZoneInfo("Europe/London"))
    moved = await client.reschedule_appointment(event_id, start_time=start)
    (body,) = bodies(sandbox)
    assert (body["startTime"], str(body["endTime"])[-6:]) == (start.isoformat(), start.isoformat()[-6:])
    assert "ignoreFreeSlotValidation" not in body
    assert moved.end_time == before.end_time + MOVE


async def test_the_slot_is_not_checked_when_nothing_moves(client: LeadConnector, sandbox: Sandbox) -> None:
    """So an appointment cannot collide with itself; its assignee is sent along, as a team calendar needs."""
    event_id = sandbox.appointment_ids[0]
    before = sandbox.appointment(event_id)
    with pytest.raises(SlotUnavailableError):
        await client.update_appointment(
            event_id, AppointmentUpdate(start_time=before.start_time, end_time=before.end_time, title="x")
        )
    sandbox.requests.clear()
    await client.reschedule_appointment(event_id, start_time=before.start_time, title="x")
    (body,) = bodies(sandbox)
    assert body["ignoreFreeSlotValidation"] is True
    assert body["assignedUserId"] == before.assigned_user_id
    assert "startTime" not in body


async def test_a_slot_that_is_taken_stays_taken(client: LeadConnector, sandbox: Sandbox) -> None:
    """The check is on when the time moves: nobody is booked twice."""
    first, other = sandbox.appointment_ids[0], sandbox.appointment_ids[16]
    wanted = sandbox.appointment(other)
    sandbox.edit_appointment(first, assigned_user_id=wanted.assigned_user_id, calendar_id=wanted.calendar_id)
    with pytest.raises(SlotUnavailableError):
        await client.reschedule_appointment(first, start_time=wanted.start_time, end_time=wanted.end_time)


async def test_a_new_assignee_and_a_new_time_are_two_steps(client: LeadConnector, sandbox: Sandbox) -> None:
    """The person first and silently, then the time."""
    event_id = sandbox.appointment_ids[0]
    event = sandbox.appointment(event_id)
    other = next(one for one in sandbox.store.calendars[event.calendar_id].team if one != event.assigned_user_id)
    await client.reschedule_appointment(event_id, shift=MOVE, assigned_user_id=other)
    first, second = bodies(sandbox)
    assert (first["assignedUserId"], first["toNotify"], "startTime" in first) == (other, False, False)
    assert (second["assignedUserId"], "toNotify" in second, "startTime" in second) == (other, False, True)
    after = sandbox.appointment(event_id)
    assert (after.assigned_user_id, after.start_time) == (other, event.start_time + MOVE)


async def test_a_stranger_as_assignee_changes_nothing(client: LeadConnector, sandbox: Sandbox) -> None:
    """Refused in the first step: the time was not dropped silently, it was never sent."""
    event_id = sandbox.appointment_ids[0]
    before = sandbox.appointment(event_id)
    with pytest.raises(UnprocessableError, match="not part of calendar team"):
        await client.reschedule_appointment(event_id, shift=MOVE, assigned_user_id="stranger")
    assert len(bodies(sandbox)) == 1
    assert sandbox.appointment(event_id) == before


async def test_an_assignee_is_put_back_when_the_time_is_refused(client: LeadConnector, sandbox: Sandbox) -> None:
    """What was half done is undone, as silently."""
    event_id = sandbox.appointment_ids[0]
    before = sandbox.appointment(event_id)
    other = next(one for one in sandbox.store.calendars[before.calendar_id].team if one != before.assigned_user_id)
    with pytest.raises(SlotUnavailableError):
        await client.reschedule_appointment(event_id, shift=timedelta(hours=12), assigned_user_id=other)
    assert sandbox.appointment(event_id) == before
    assert [body.get("toNotify") for body in bodies(sandbox)] == [False, None, False]


async def test_what_would_change_can_be_asked(client: LeadConnector, sandbox: Sandbox) -> None:
    """A diff, and nothing is sent."""
    event_id = find(sandbox, "noshow")
    change = await client.plan_reschedule(event_id, shift=timedelta(days=1), title="new")
    assert {one.field for one in change.differences} == {"start_time", "end_time", "title"}
    assert "title: " in str(change)
    assert len(change.updates) == 1
    nothing = await client.plan_reschedule(event_id, title=change.before.title or "")
    assert (nothing.updates, str(nothing)) == ((), f"{event_id}\n  nothing changes")
    assert bodies(sandbox) == []
    await client.reschedule_appointment(event_id, shift=timedelta(0))
    assert bodies(sandbox) == []


async def test_a_lost_answer_is_reconciled_on_the_way(client: LeadConnector, sandbox: Sandbox) -> None:
    """The move is applied once."""
    event_id = sandbox.appointment_ids[0]
    sandbox.faults.plan("update_appointment", ["lose-response"])
    answer = await with_response(client.reschedule_appointment(event_id, shift=MOVE))
    assert answer.reconciled
    assert sandbox.requests.count_applied(event_id) == 1


async def test_a_success_that_changed_nothing_is_found_out(client: LeadConnector, sandbox: Sandbox) -> None:
    """`verify=True` reads back and compares instants."""
    event_id = sandbox.appointment_ids[0]
    before = sandbox.appointment(event_id)
    put = sandbox.store.put
    sandbox.store.put = lambda event: None  # type: ignore[method-assign]
    with pytest.raises(VerificationError, match="shows something else") as caught:
        await client.reschedule_appointment(event_id, shift=MOVE, verify=True)
    assert caught.value.outcome == "not_applied"
    sandbox.store.put = put  # type: ignore[method-assign]
    shown = await client.reschedule_appointment(event_id, shift=MOVE, verify=True)
    assert shown.start_time == before.start_time + MOVE


async def test_a_success_of_which_only_a_part_is_shown_is_not_said_to_have_changed_nothing(
    client: LeadConnector, sandbox: Sandbox
) -> None:
    """The appointment has moved, and somebody has edited it since, or the rest was dropped."""
    event_id = sandbox.appointment_ids[0]
    before = sandbox.appointment(event_id)
    put = sandbox.store.put
    drop = partial(structs.replace, title=before.title)
    sandbox.store.put = lambda event: put(drop(event))  # type: ignore[method-assign]
    with pytest.raises(VerificationError, match="shows something else") as caught:
        await client.reschedule_appointment(event_id, shift=MOVE, title="New", verify=True)
    assert caught.value.outcome == "unknown"
    assert sandbox.appointment(event_id).start_time == before.start_time + MOVE


async def test_a_deleted_event_is_said_to_be_deleted(client: LeadConnector, sandbox: Sandbox) -> None:
    """It is still readable, and nothing is sent to it."""
    sandbox.delete_appointment(sandbox.appointment_ids[0])
    with pytest.raises(InvalidEventError, match="is deleted"):
        await client.reschedule_appointment(sandbox.appointment_ids[0], shift=MOVE)
    assert bodies(sandbox) == []


async def test_one_instance_of_a_series_is_moved_alone(client: LeadConnector, sandbox: Sandbox) -> None:
    """The others, and the master, stay."""
    master = sandbox.appointment(sandbox.series_ids[0])
    listed = await client.list_events(
        master.start_time, master.start_time + timedelta(days=15), user_id=master.assigned_user_id
    )
    instance = next(one for one in listed if one.master_event_id == master.id)
    assert instance.id
    assert instance.start_time
    await client.reschedule_appointment(instance.id, shift=timedelta(hours=5))
    assert sandbox.appointment(instance.id).start_time == instance.start_time + timedelta(hours=5)
    assert sandbox.appointment(master.id) == master


@pytest.mark.parametrize("by_instance", [True, False])
async def test_a_whole_series_moves_by_what_was_asked_for_one(
    client: LeadConnector, sandbox: Sandbox, by_instance: bool
) -> None:
    """By the id of the master, or of any instance."""
    master = sandbox.appointment(sandbox.series_ids[0])
    listed = await client.list_events(
        master.start_time, master.start_time + timedelta(days=15), user_id=master.assigned_user_id
    )
    second = [one for one in listed if one.master_event_id == master.id][1]
    event_id = second.id if by_instance else master.id
    assert event_id
    await client.reschedule_appointment(event_id, shift=timedelta(hours=5), scope="series")
    moved = sandbox.appointment(master.id)
    assert moved.start_time == master.start_time + timedelta(hours=5)
    assert moved.rrule == master.rrule


async def test_a_moved_instance_with_a_new_id_is_followed() -> None:
    """Its id is taken from each answer, for the next step and for the look afterwards [guess]."""
    shown = structs.replace(SHOWN, id="old")
    server = Renaming(shown)
    change = plan_change(shown, event_id="old", start_time=NINE + MOVE, changes={"assigned_user_id": "b"})
    await carry_out(server, change, verify=True)
    assert server.asked == ["old", "new 1", "new 2"]


class Renaming:
    """A server that gives an event a new id with each update."""

    def __init__(self, event: Appointment) -> None:
        self.event = event
        self.asked: list[str] = []

    async def get_appointment(self, event_id: str) -> Appointment:
        self.asked.append(event_id)
        return self.event

    async def update_appointment(self, event_id: str, update: AppointmentUpdate) -> Appointment:
        self.asked.append(event_id)
        sent = {name: value for name, value in msgspec.structs.asdict(update).items() if value is not msgspec.UNSET}
        known = {name: value for name, value in sent.items() if name in Appointment.__struct_fields__}
        self.event = msgspec.structs.replace(self.event, **known, id=f"new {len(self.asked)}")
        return self.event


async def test_a_master_that_does_not_show_its_rule_is_not_moved_as_one_event() -> None:
    """`isRecurring` is enough to know it; and no whole series is moved whose rule nobody can see."""
    server = Renaming(structs.replace(SHOWN, is_recurring=True))
    for scope, words in (("instance", "master of a series"), ("series", "would not follow")):
        with pytest.raises(InvalidRequestError, match=words):
            await ask(server, scope)
    assert server.asked == ["e", "e"]


async def test_an_instance_with_a_plain_id_knows_its_series() -> None:
    """A moved instance may have one; its master is what `scope="series"` moves."""
    server = Renaming(structs.replace(SHOWN, master_event_id="m", rrule="RRULE:FREQ=DAILY;COUNT=5"))
    assert (await ask(server, "series")).event_id == "m"
    assert (await ask(server, "instance")).event_id == "e"


@pytest.mark.parametrize(
    ("rule", "shift", "follows"),
    [
        ("RRULE:FREQ=DAILY;COUNT=5", timedelta(days=1, hours=1), True),
        ("RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=5", timedelta(hours=1), True),
        ("RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=5", timedelta(days=1), False),
        ("RRULE:FREQ=DAILY;UNTIL=20270701T000000Z", timedelta(hours=1), False),
        ("RRULE:FREQ=DAILY;COUNT=5\nEXDATE:20270602T090000Z", timedelta(hours=1), False),
    ],
)
async def test_a_series_moves_only_if_its_rule_follows(rule: str, shift: timedelta, follows: bool) -> None:
    """Cancelled instances must not come back, and a Monday stays a Monday: said before anything is sent."""
    server = Renaming(structs.replace(SHOWN, rrule=rule, is_recurring=True))
    if follows:
        assert (await ask(server, "series", shift)).updates
    else:
        with pytest.raises(InvalidRequestError, match="would not follow"):
            await ask(server, "series", shift)


async def ask(server: Renaming, scope: str, shift: timedelta = timedelta(hours=1)) -> Change:
    return await prepare(
        server,
        "e",
        RequestedChange(None, None, shift, {}),
        scope=scope,  # type: ignore[arg-type]
        version="2021-04-15",
    )


def test_lengths_are_kept_across_a_change_of_the_clocks() -> None:
    """Times of one zone are not subtracted by their clock, and both go out in one offset."""
    new_york = ZoneInfo("America/New_York")
    shown = structs.replace(SHOWN, end_time=NINE + timedelta(hours=8))
    change = plan_change(shown, event_id="e", start_time=datetime(2027, 3, 13, 22, tzinfo=new_york))
    (update,) = change.updates
    body = msgspec.json.decode(build_update_appointment("e", update).body or b"", type=dict[str, str])
    assert (body["startTime"], body["endTime"]) == ("2027-03-13T22:00:00-05:00", "2027-03-14T06:00:00-05:00")
    twice = datetime(2027, 11, 7, 1, 45, tzinfo=new_york)
    change = plan_change(SHOWN, event_id="e", start_time=twice, end_time=twice.replace(minute=15, fold=1))
    assert change.updates
    here = structs.replace(
        SHOWN, start_time=twice.astimezone(UTC), end_time=twice.astimezone(UTC) + timedelta(hours=1)
    )
    assert plan_change(here, event_id="e", start_time=twice).updates == ()


@pytest.mark.parametrize("status", [None, "", "No Show", "booked"])
def test_a_status_that_cannot_be_sent_cannot_be_kept(status: str | None) -> None:
    """Rather a clear refusal than a status that is reset; a new one can be given."""
    shown = structs.replace(SHOWN, appointment_status=status)
    with pytest.raises(InvalidRequestError, match="not a status that can be sent"):
        plan_change(shown, event_id="e", start_time=NINE + MOVE)
    assert plan_change(shown, event_id="e", start_time=NINE + MOVE, changes={"appointment_status": "new"}).updates


def test_another_address_keeps_the_kind_of_the_place_where_it_is_shown() -> None:
    """The server would assume `custom` [doc]."""
    shown = structs.replace(SHOWN, meeting_location_type="zoom")
    (update,) = plan_change(shown, event_id="e", changes={"address": "Room 9"}).updates
    assert update.meeting_location_type == "zoom"


def test_another_calendar_and_its_person_go_together() -> None:
    """The person is not in the team of the old one."""
    change = plan_change(
        SHOWN, event_id="e", start_time=NINE + MOVE, changes={"assigned_user_id": "b", "calendar_id": "d"}
    )
    assert len(change.updates) == 1


async def test_all_is_checked_before_the_first_step(client: LeadConnector, sandbox: Sandbox) -> None:
    """A second step that cannot be sent must not leave a first one behind."""
    event_id = sandbox.appointment_ids[0]
    start = sandbox.appointment(event_id).start_time + MOVE
    with pytest.raises(InvalidRequestError, match="fractions"):
        await client.reschedule_appointment(event_id, start_time=start.replace(microsecond=5), assigned_user_id="b")
    assert bodies(sandbox) == []


async def test_what_is_half_done_is_said(client: LeadConnector, sandbox: Sandbox) -> None:
    """A first step that cannot be put back, or that nobody can tell about the second of."""
    event_id = sandbox.appointment_ids[0]
    event = sandbox.appointment(event_id)
    other = next(one for one in sandbox.store.calendars[event.calendar_id].team if one != event.assigned_user_id)
    sandbox.faults.plan("update_appointment", ["ok", "400", "422"])
    with pytest.raises(BadRequestError) as caught:
        await client.reschedule_appointment(event_id, shift=MOVE, assigned_user_id=other)
    assert caught.value.outcome == "unknown"
    assert "could not be restored" in caught.value.__notes__[1]
    sandbox.edit_appointment(event_id, assigned_user_id=event.assigned_user_id)
    sandbox.faults.plan("update_appointment", ["ok", "stall 5"])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.reschedule_appointment(event_id, shift=MOVE, assigned_user_id=other)
    sandbox.faults.clear()


async def test_a_look_that_fails_claims_nothing(client: LeadConnector, sandbox: Sandbox) -> None:
    """The change was answered with a success; what is there now nobody knows."""
    sandbox.faults.plan("get_appointment", ["ok", "400"])
    with pytest.raises(VerificationError, match="reading it failed") as caught:
        await client.reschedule_appointment(sandbox.appointment_ids[0], shift=MOVE, verify=True)
    assert caught.value.outcome == "unknown"


async def test_bad_input_is_refused_before_anything_is_changed(client: LeadConnector, sandbox: Sandbox) -> None:
    """What, where, and how to fix it."""
    event_id, when = sandbox.appointment_ids[0], datetime(2027, 6, 1, 9, tzinfo=UTC)
    for options, words in (
        ({"start_time": when, "shift": MOVE}, "start_time or end_time is given as well"),
        ({"start_time": when.replace(tzinfo=None)}, "it has no offset"),
        ({"start_time": when, "end_time": when}, "it is not after the start"),
        ({"shift": MOVE, "scope": "all"}, "'instance' or 'series'"),
    ):
        with pytest.raises(InvalidRequestError, match=words):
            await client.reschedule_appointment(event_id, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="master of a series"):
        await client.reschedule_appointment(sandbox.series_ids[0], shift=MOVE)
    assert bodies(sandbox) == []


def test_a_time_that_is_not_shown_cannot_be_moved() -> None:
    """There is nothing to move it from."""
    with pytest.raises(InvalidRequestError, match="does not show when"):
        plan_change(Appointment(appointment_status="new"), event_id="e", start_time=NINE + MOVE)


async def test_a_place_keeps_its_address(client: LeadConnector, sandbox: Sandbox) -> None:
    """Another kind of meeting place without an address would lose it [field]."""
    event_id = sandbox.appointment_ids[0]
    before = sandbox.appointment(event_id)
    assert before.address
    await client.reschedule_appointment(event_id, meeting_location_type="phone")
    assert sandbox.appointment(event_id).address == before.address
