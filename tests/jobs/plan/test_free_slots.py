"""Plans that move each appointment to the next free slot of its own calendar and person."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import Appointment, Calendar, ConfigurationError
from leadconnector_async.jobs import Shift
from leadconnector_async.jobs.plan.build import PlanQuery, build_plan, list_wanted
from leadconnector_async.jobs.plan.free_slots import Offer, SlotPicker, Whose, make_offer
from leadconnector_async.models import TeamMember

EARLY = datetime(2027, 3, 10, 13, tzinfo=UTC)
NINE = datetime(2027, 3, 17, 13, tzinfo=UTC)
HALF_HOURS = Calendar(slot_duration=30, slot_duration_unit="mins")
ANA, BEN = Whose("c1", "ana"), Whose("c1", "ben")
QUERY = PlanQuery(to_free_slot=True)


def event(event_id: str, minute: int = 0, *, length: int = 30, **fields: Any) -> Appointment:
    start = EARLY + timedelta(minutes=minute)
    fields = {"appointment_status": "confirmed", "calendar_id": "c1", "assigned_user_id": "ana", **fields}
    return Appointment(id=event_id, start_time=start, end_time=start + timedelta(minutes=length), **fields)


def offer(whose: Whose, *minutes: int, calendar: Calendar = HALF_HOURS) -> dict[Whose, Offer]:
    """Slots so many minutes after nine o'clock."""
    made = make_offer(calendar, whose, [NINE + timedelta(minutes=one) for one in minutes])
    assert made is not None
    return {whose: made}


def plan(events: list[Appointment], offers: Mapping[Whose, Offer], query: PlanQuery = QUERY) -> dict[str, object]:
    """Minutes after nine o'clock at which each appointment begins, or why it is left out."""
    planned = build_plan(events, query, offers)
    moved: dict[str, object] = {
        row["event_id"]: (datetime.fromisoformat(row["start_time"]) - NINE) / timedelta(minutes=1)
        for row in planned.rows
    }
    return moved | dict(planned.left_out)


def test_the_earliest_appointment_gets_the_earliest_slot() -> None:
    """In whatever order the calendar and its slots were listed."""
    events = [event("late", 90), event("early"), event("middle", 30)]
    assert plan(events, offer(ANA, 60, 0, 120)) == {"early": 0, "middle": 60, "late": 120}


def test_an_appointment_keeps_its_length() -> None:
    """The end moves along."""
    (row,) = build_plan([event("a", length=20)], QUERY, offer(ANA, 0)).rows
    assert (row["start_time"], row["end_time"]) == ("2027-03-17T13:00:00+00:00", "2027-03-17T13:20:00+00:00")


def test_nobody_is_given_the_slot_of_somebody_else() -> None:
    """Two people can be busy at the same time."""
    events = [event("a"), event("b", assigned_user_id="ben"), event("c")]
    assert plan(events, offer(ANA, 0, 30) | offer(BEN, 0)) == {"a": 0, "b": 0, "c": 30}


def test_a_person_is_in_one_place_at_a_time() -> None:
    """Also where two calendars offer the same time of theirs."""
    events = [event("a"), event("b", calendar_id="c2")]
    assert plan(events, offer(ANA, 0) | offer(Whose("c2", "ana"), 0, 15, 30)) == {"a": 0, "b": 30}


def test_a_long_appointment_needs_slots_that_follow_each_other() -> None:
    """What is free for half an hour is not free for a whole one."""
    assert plan([event("a", length=60)], offer(ANA, 0, 45, 120, 150)) == {"a": 120}


def test_slots_that_overlap_are_free_as_one() -> None:
    """A calendar may offer half hours every fifteen minutes."""
    assert plan([event("a", length=60), event("b", 5)], offer(ANA, 0, 15, 30, 45)) == {
        "a": 0,
        "b": "no free slot is long enough within 31 days",
    }
    assert plan([event("a", length=60), event("b", 5)], offer(ANA, 0, 15, 30, 60)) == {"a": 0, "b": 60}


def test_a_calendar_of_a_whole_team_takes_everybody_s_time() -> None:
    """Whoever an appointment is assigned to."""
    team = (TeamMember(user_id="ana"), TeamMember(user_id="ben"))
    together = Calendar(
        slot_duration=0.5, slot_duration_unit="hours", calendar_type="collective", team_members=team
    )
    events = [event("a", calendar_id="all"), event("b", 5, assigned_user_id="ben")]
    offers = offer(Whose("all", "ana"), 0, calendar=together) | offer(BEN, 0, 30)
    assert plan(events, offers) == {"a": 0, "b": 30}


def test_what_has_no_slot_is_left_out_with_the_reason() -> None:
    """And is not lost."""
    events = [event("a"), event("b", 5), event("c", calendar_id=None), event("d", calendar_id="c9")]
    assert plan(events, offer(ANA, 0)) == {
        "a": 0,
        "b": "no free slot is long enough within 31 days",
        "c": "the server does not show its calendar",
        "d": "its calendar does not show how long a slot is",
    }


@pytest.mark.parametrize("shown", [{}, {"slot_duration": 30}, {"slot_duration": 3, "slot_duration_unit": "days"}])
def test_a_slot_of_unknown_length_is_not_offered(shown: dict[str, Any]) -> None:
    """A guess could put two appointments into one."""
    assert make_offer(Calendar(**shown), ANA, [NINE]) is None


def test_the_slots_of_the_new_calendar_and_person_are_wanted() -> None:
    """Where the plan changes them, too; each is listed once, and nothing for what is left out."""
    query = PlanQuery(to_free_slot=True, changes={"assigned_user_id": "ben"})
    events = [event("a"), event("b"), event("c", calendar_id="c2", appointment_status="cancelled")]
    assert list_wanted(events, query) == [BEN]
    assert plan(events[:1], offer(BEN, 30), query) == {"a": 30}
    assert list_wanted(events, PlanQuery(shift=Shift(minutes=60))) == []


def test_slots_are_in_order_of_time_when_the_clocks_go_back() -> None:
    """Half past one comes twice; the second one is an hour later."""
    zone = ZoneInfo("America/New_York")
    first = datetime(2027, 11, 7, 1, 30, tzinfo=zone)
    second = datetime(2027, 11, 7, 1, 0, tzinfo=zone, fold=1)
    made = make_offer(HALF_HOURS, ANA, [second, first])
    assert made is not None
    assert [slot.start for slot in made.slots] == [first, second]
    assert SlotPicker({ANA: made}).take(ANA, timedelta(hours=1)) == first


@given(
    st.lists(st.integers(0, 96).map(lambda one: 5 * one), max_size=30),
    st.lists(st.integers(1, 18).map(lambda one: 5 * one), max_size=12),
)
def test_no_two_appointments_of_a_person_overlap(minutes: list[int], lengths: list[int]) -> None:
    """And every one of them is within what was offered."""
    events = [event(f"e{number}", number, length=length) for number, length in enumerate(lengths)]
    free = {NINE + timedelta(minutes=one + more) for one in minutes for more in range(30)}
    busy: set[datetime] = set()
    for row in build_plan(events, QUERY, offer(ANA, *minutes)).rows:
        start, end = (datetime.fromisoformat(row[name]) for name in ("start_time", "end_time"))
        taken = {start + timedelta(minutes=one) for one in range(int((end - start) / timedelta(minutes=1)))}
        assert taken <= free
        assert not taken & busy
        busy |= taken


def test_only_one_way_to_move_is_accepted() -> None:
    """Two would contradict each other."""
    with pytest.raises(ConfigurationError, match="set only one of shift, shift_to and to_free_slot"):
        PlanQuery(to_free_slot=True, shift=Shift(minutes=60))
