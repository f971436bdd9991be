"""What a preview warns of before anything is changed, in both journals."""

from collections.abc import Iterable
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.jobs import BulkJob, PlanRow, Preview, RowFault
from leadconnector_async.sandbox import BookedAppointment, Sandbox

from ..jobbing import FAST, WEEK, at, rows

pytestmark = pytest.mark.sandbox(limits=FAST)
HOUR = timedelta(hours=1)


def find_zone(sandbox: Sandbox, event: BookedAppointment) -> ZoneInfo:
    """The zone of the calendar of an appointment."""
    return ZoneInfo(sandbox.store.calendars[event.calendar_id].zone)


def pick(sandbox: Sandbox, count: int, status: str = "confirmed") -> list[BookedAppointment]:
    """The first appointments of the first one's calendar, with a status that has not ended."""
    first = sandbox.appointment(sandbox.appointment_ids[0])
    same = [event for event in sandbox.store if event.calendar_id == first.calendar_id and event.rrule is None]
    chosen = sorted((one for one in same if one.id in sandbox.appointment_ids), key=lambda one: one.start_time)
    for event in chosen[:count]:
        sandbox.edit_appointment(event.id, appointment_status=status)
    return [sandbox.appointment(event.id) for event in chosen[:count]]


async def preview(place: str, client: LeadConnector, plan: Iterable[PlanRow | RowFault]) -> Preview:
    """What a plan would do."""
    async with await BulkJob.create(place, client, plan) as job:
        await job.prepare()
        return await job.preview()


def show_wall(event: BookedAppointment, zone: ZoneInfo, later: timedelta = WEEK) -> str:
    """The time of day that an appointment has, later, as a spreadsheet writes it."""
    return (event.start_time.astimezone(zone).replace(tzinfo=None) + later).isoformat(sep=" ")


async def test_a_plan_in_another_zone_is_warned_of(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """Wall-clock times of the clinic, read by the clock of another town; the example shows both times."""
    events = pick(sandbox, 3)
    own = find_zone(sandbox, events[0])
    plan = rows(*(at(one, start=show_wall(one, own)) for one in events), timezone="Europe/Athens")
    (warning,) = [one for one in (await preview(place, client, plan)).warnings if one.kind == "zone"]
    assert warning.count == 3
    assert warning.text == "3 rows give their times in a zone that is not the calendar's"
    assert (warning.line, warning.event_id) == (1, events[0].id)
    assert "the plan says Europe/Athens, the calendar shows UTC-04:00: Wed 2027-03-10 " in warning.example


async def test_a_plan_in_the_calendars_zone_is_shown_by_its_clock(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Nothing is warned of, and a week later is the same time of day, though the clocks change in between."""
    (event,) = pick(sandbox, 1)
    own = find_zone(sandbox, event)
    found = await preview(place, client, rows(at(event, start=show_wall(event, own)), timezone=own.key))
    assert found.warnings == ()
    clock = f"{event.start_time.astimezone(own):%H:%M}"
    assert found.examples[0].title == event.title
    assert found.examples[0].move == f"Wed 2027-03-10 {clock} (UTC-05:00) -> Wed 2027-03-17 {clock} (UTC-04:00)"


@pytest.mark.parametrize(
    ("offset", "is_odd"), [("+05:30", True), ("-05:00", True), ("-04:00", False), ("Z", False)]
)
async def test_an_offset_that_is_not_the_calendars_is_warned_of(
    sandbox: Sandbox, client: LeadConnector, tmp_path: object, offset: str, is_odd: bool
) -> None:
    """Also that of winter written in summer; but not UTC, which programs write."""
    (event,) = pick(sandbox, 1)
    plan = rows(at(event, start=f"2027-03-17T15:00:00{offset}"))
    found = await preview(f"{tmp_path}/job", client, plan)
    assert ("zone" in {one.kind for one in found.warnings}) is is_odd


@pytest.mark.parametrize("status", ["showed", "noshow"])
async def test_a_status_of_the_past_in_the_future_is_warned_of(
    sandbox: Sandbox, client: LeadConnector, place: str, status: str
) -> None:
    """Unless the row sets a status, or does not move the appointment."""
    kept, reset, stays = pick(sandbox, 3, status)
    plan = rows(
        at(kept, start=(kept.start_time + WEEK).isoformat()),
        at(reset, start=(reset.start_time + WEEK).isoformat(), appointment_status="confirmed"),
        at(stays, title="Another title"),
    )
    found = await preview(place, client, plan)
    (warning,) = found.warnings
    assert (warning.kind, warning.count, warning.event_id) == ("status", 1, kept.id)
    assert str(warning).startswith(
        "1 row keeps the status showed or noshow at a time in the future. Example: line 1"
    )
    assert warning.example.startswith(f"{status} on Wed 2027-03-17 ")


@pytest.mark.parametrize(("hour", "is_odd"), [(5, True), (6, False), (21, False), (22, True)])
async def test_a_move_into_the_night_is_warned_of(
    sandbox: Sandbox, client: LeadConnector, tmp_path: object, hour: int, is_odd: bool
) -> None:
    """From 22:00 to 06:00 by the calendar's clock, whatever offset the plan writes."""
    (event,) = pick(sandbox, 1)
    own = find_zone(sandbox, event)
    start = (event.start_time.astimezone(own) + timedelta(days=1)).replace(hour=hour, minute=0)
    utc = start.astimezone(ZoneInfo("UTC")).isoformat()
    found = await preview(f"{tmp_path}/job", client, rows(at(event, start=utc)))
    assert [one.kind for one in found.warnings] == (["night"] if is_odd else [])


async def test_lengths_that_change_are_warned_of(sandbox: Sandbox, client: LeadConnector, place: str) -> None:
    """And those longer than a day by themselves: somebody typed another month."""
    short, month = pick(sandbox, 2)
    start = short.start_time + timedelta(days=1)
    plan = rows(
        at(short, start=start.isoformat(), end_time=(start + HOUR).isoformat()),
        at(month, end_time=(month.end_time + timedelta(days=31)).isoformat()),
    )
    found = await preview(place, client, plan)
    long, length = found.warnings
    assert (long.kind, long.count, long.event_id) == ("long", 1, month.id)
    assert " to Sat 2027-04-10 " in long.example
    assert (length.kind, length.count, length.line) == ("length", 2, 1)
    assert length.example.endswith(" -> 1 h")
    assert found.examples[0].differences[0][0] == "length"


async def test_without_the_scope_for_calendars_the_appointments_show_the_zone(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """If all of a calendar agree; and a change of the clocks is then no reason to warn."""
    (event,) = [one for one in pick(sandbox, 9) if one.title == "Check-up"][:1]
    sandbox.faults.plan("get_free_slots", ["401"] * 2)
    own = find_zone(sandbox, event)
    start = (event.start_time.astimezone(own) + WEEK).isoformat()
    found = await preview(place, client, rows(at(event, start=start)))
    assert found.warnings == ()
    assert found.examples[0].move.endswith("(UTC-05:00)")


async def test_a_plan_without_mistakes_is_not_warned_of(
    sandbox: Sandbox, client: LeadConnector, place: str
) -> None:
    """Titles and moves by day are as they should be."""
    first, second = pick(sandbox, 2)
    later = second.start_time + timedelta(days=1)
    plan = rows(at(first, title="Another title"), at(second, start=later.isoformat()))
    found = await preview(place, client, plan)
    assert found.warnings == ()
    assert [one.move == "" for one in found.examples] == [True, False]
