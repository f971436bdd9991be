"""Plans from the calendar: every event is planned or named, and what is written can be read."""

import io
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leadconnector_async import Appointment, ConfigurationError
from leadconnector_async.jobs import PlanRow, Precondition, Shift, iterate_plan, parse_shift
from leadconnector_async.jobs.hours import parse_times_of_day
from leadconnector_async.jobs.plan.build import PlanQuery, build_plan, write_plan
from leadconnector_async.jobs.plan.files import PlanFormat
from leadconnector_async.jobs.plan.rows import is_blank
from leadconnector_async.jobs.plan.selection import Selection, check_status

NEW_YORK = "America/New_York"
EARLY = datetime(2027, 3, 10, 13, tzinfo=UTC)


def event(event_id: str | None = "ev1", **fields: Any) -> Appointment:
    start = fields.pop("start_time", EARLY)
    end = fields.pop("end_time", start + timedelta(minutes=30) if start else None)
    fields = {"appointment_status": "confirmed", "title": "Check-up", **fields}
    return Appointment(id=event_id, start_time=start, end_time=end, **fields)


def new_york(day: int, hour: int, minute: int = 0, *, month: int = 3) -> datetime:
    """A time as the server shows it: at an offset, without a zone."""
    moment = datetime(2027, month, day, hour, minute, tzinfo=ZoneInfo(NEW_YORK))
    return datetime.fromisoformat(moment.isoformat())


def read(lines: list[str], format: PlanFormat = "csv") -> list[Any]:
    """As a file of these lines is read."""
    return list(iterate_plan(io.StringIO("".join(lines), newline=""), format=format))


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
EVENTS = st.builds(
    event,
    st.text("abcXYZ012-_", min_size=1, max_size=8),
    title=st.none() | TEXTS,
    assigned_user_id=st.none() | st.just("user1"),
    calendar_id=st.none() | st.just("calendar1"),
    appointment_status=st.sampled_from(["new", "confirmed", "showed", "noshow"]),
    start_time=st.datetimes(datetime(2027, 1, 1), datetime(2027, 12, 1)).map(
        lambda wall: wall.replace(second=0, microsecond=0, tzinfo=UTC)
    ),
)


@given(st.lists(EVENTS, max_size=5), st.sampled_from(["csv", "jsonl"]))
@example([event(title='a "quoted", one;\nin two lines\r\nor three')], "csv")
@example([event(title="\ufeff=1+1\ttab\u2028line\x85line")], "csv")
@example([event(title=" blanks around ")], "csv")
@example([event(title="\xad")], "csv")
@example([], "csv")
def test_what_is_written_is_read_back(events: list[Appointment], format: PlanFormat) -> None:
    """The same ids, times, texts and state before, whatever the titles hold."""
    planned = build_plan(events, PlanQuery(shift=Shift(minutes=90), changes={"description": "Moved, by us"}))
    rows = read(list(write_plan(planned, format)), format)
    assert planned.left_out == ()
    assert len(rows) == len(events)
    for row, old in zip(rows, sorted(events, key=lambda one: (one.start_time, one.id)), strict=True):
        assert isinstance(row, PlanRow)
        assert old.start_time is not None
        assert old.end_time is not None
        assert row.event_id == old.id
        assert row.update.description == "Moved, by us"
        assert datetime.fromisoformat(str(row.update.start_time)) == old.start_time + timedelta(minutes=90)
        assert datetime.fromisoformat(str(row.update.end_time)) == old.end_time + timedelta(minutes=90)
        shown = old.title or ""  # a cell in which nothing can be seen is not filled in
        title = shown if shown == shown.strip() and not is_blank(shown) else None
        assert row.before == Precondition(
            start_time=old.start_time,
            end_time=old.end_time,
            appointment_status=old.appointment_status,
            assigned_user_id=old.assigned_user_id,
            calendar_id=old.calendar_id,
            title=title,
        )


def test_the_columns_do_not_depend_on_what_the_calendar_holds() -> None:
    """Even without a row there is a header."""
    wish = PlanQuery(shift=Shift(minutes=5), changes={"title": "x"}, location_id="loc1")
    expected = (
        "event_id,location_id,start_time,end_time,title,before_start_time,before_end_time,"
        "before_appointment_status,before_assigned_user_id,before_calendar_id,before_title\n"
    )
    for events in ([], [event(title=None)], [event(title=None), event("ev2", calendar_id="c")]):
        assert next(write_plan(build_plan(events, wish), "csv")) == expected
    (row,) = read(list(write_plan(build_plan([event()], wish), "csv")))
    assert row.location_id == "loc1"


def test_a_day_in_new_york_keeps_its_hours_across_the_change_of_the_clocks() -> None:
    """Saturday 13 March 2027 to Sunday 14: 2:30 does not exist and is named; all others keep clock and length."""
    events = [event(f"h{hour:02}", start_time=new_york(13, hour, 30)) for hour in range(24)]
    planned = build_plan(events, PlanQuery(shift=parse_shift("+1d"), timezone=NEW_YORK))
    assert [event_id for event_id, _ in planned.left_out] == ["h02"]
    assert "2027-03-14T02:30:00 does not exist in America/New_York" in planned.left_out[0][1]
    moved = {row["event_id"]: row for row in planned.rows}
    assert len(moved) == 23
    for event_id, row in moved.items():
        hour = int(event_id[1:])
        offset = "-05:00" if hour < 2 else "-04:00"
        assert row["start_time"] == f"2027-03-14T{hour:02}:30:00{offset}"
        start, end = (datetime.fromisoformat(row[name]) for name in ("start_time", "end_time"))
        assert end - start == timedelta(minutes=30)
        assert read(list(write_plan(planned, "csv")))


def test_a_time_that_the_clock_shows_twice_is_named() -> None:
    """7 November 2027, 1:30 in New York."""
    events = [event("a", start_time=new_york(6, 1, 30, month=11)), event("b", start_time=new_york(6, 9, month=11))]
    planned = build_plan(events, PlanQuery(shift=parse_shift("+1d"), timezone=NEW_YORK))
    assert [row["start_time"] for row in planned.rows] == ["2027-11-07T09:00:00-05:00"]
    assert [(event_id, "occurs twice" in reason) for event_id, reason in planned.left_out] == [("a", True)]


def test_the_length_is_kept_where_an_appointment_spans_the_change() -> None:
    """From 23:00 on Saturday, three hours and a half: the end is at 3:30 by the new clock."""
    long = event(start_time=new_york(12, 23), end_time=new_york(13, 2, 30))
    (row,) = build_plan([long], PlanQuery(shift=parse_shift("+1d"), timezone=NEW_YORK)).rows
    assert (row["start_time"], row["end_time"]) == ("2027-03-13T23:00:00-05:00", "2027-03-14T03:30:00-04:00")
    zoned = event(
        start_time=datetime(2027, 3, 13, 23, tzinfo=ZoneInfo(NEW_YORK)),
        end_time=datetime(2027, 3, 14, 3, 30, tzinfo=ZoneInfo(NEW_YORK)),
    )
    (row,) = build_plan([zoned], PlanQuery(shift=parse_shift("+2d"), timezone=NEW_YORK)).rows
    assert (row["start_time"], row["end_time"]) == ("2027-03-15T23:00:00-04:00", "2027-03-16T02:30:00-04:00")


@pytest.mark.parametrize(
    ("first_day", "days"),
    [(None, [17, 18, 20]), (date(2027, 3, 9), [18, 19, 21]), (date(2027, 3, 10), [17, 18, 20])],
)
def test_shift_to_moves_the_first_day_and_the_others_keep_their_distance(
    first_day: date | None, days: list[int]
) -> None:
    """The first day is the one that is named, or else the first on which something is planned."""
    events = [event(f"d{day}", start_time=new_york(day, 9)) for day in (10, 11, 13)]
    events.append(event("gone", start_time=new_york(8, 9), appointment_status="cancelled"))
    wish = PlanQuery(shift_to=date(2027, 3, 17), first_day=first_day, timezone=NEW_YORK)
    planned = build_plan(events, wish)
    assert [row["start_time"] for row in planned.rows] == [f"2027-03-{day}T09:00:00-04:00" for day in days]
    assert planned.days == 3


def test_only_fields_can_be_set_and_the_times_stay() -> None:
    """No column of times, even for an event that shows none."""
    planned = build_plan([event(start_time=None)], PlanQuery(changes={"assigned_user_id": "u2"}))
    assert planned.rows == (
        {
            "event_id": "ev1",
            "assigned_user_id": "u2",
            "before_appointment_status": "confirmed",
            "before_title": "Check-up",
        },
    )


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (event(None), "does not show its id"),
        (event(start_time=None), "does not show when it is"),
        (event(deleted=True), "it is deleted"),
        (event(rrule="RRULE:FREQ=DAILY;COUNT=3"), "master of a series"),
        (event(is_recurring=True), "master of a series"),
        (event(rrule="RRULE:FREQ=DAILY;COUNT=3", master_event_id="ev1"), "master of a series"),
        (event(appointment_status="cancelled"), "its status is cancelled"),
        (event(appointment_status="invalid"), "its status is invalid"),
        (event(end_time=EARLY), "not after start_time"),
        (event(start_time=EARLY.replace(microsecond=5)), "fractions of a second"),
    ],
)
def test_what_is_left_out_is_named(odd: Appointment, reason: str) -> None:
    """With its id and the reason; the others are planned."""
    planned = build_plan([odd, event("good")], PlanQuery(shift=Shift(minutes=15)))
    assert [row["event_id"] for row in planned.rows] == ["good"]
    ((event_id, why),) = planned.left_out
    assert event_id == (odd.id or "")
    assert reason in why


def test_instances_are_planned_and_statuses_are_chosen() -> None:
    """An instance shows the rule of its master; a wanted status is wanted even if it is `cancelled`."""
    series = {"rrule": "RRULE:FREQ=DAILY;COUNT=3", "master_event_id": "m1", "is_recurring": True}
    events = [
        event("m1_1804665600000_1800", **series),
        event("x", appointment_status="cancelled"),
        event("y", deleted=True),
    ]

    def plan(**wish: Any) -> list[str]:
        planned = build_plan(events, PlanQuery(shift=Shift(minutes=15), **wish))
        assert len(planned.rows) + len(planned.left_out) == 3
        return [row["event_id"] for row in planned.rows]

    assert plan() == ["m1_1804665600000_1800"]
    assert plan(include_cancelled=True) == ["m1_1804665600000_1800", "x"]
    assert plan(statuses=frozenset({"cancelled"})) == ["x"]


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({}, "would change nothing"),
        ({"shift": Shift(days=1)}, "need a timezone"),
        ({"shift_to": date(2027, 3, 17)}, "need a timezone"),
        ({"shift": Shift(days=1), "timezone": "Mars/Base"}, "IANA"),
        ({"shift": Shift(minutes=1), "shift_to": date(2027, 3, 17), "timezone": NEW_YORK}, "only one"),
        ({"shift": Shift(minutes=1), "changes": {"start_time": "2027-03-10T09:00:00Z"}}, "a shift are both set"),
        ({"changes": {"colour": "red"}}, "not a field of AppointmentUpdate"),
        ({"changes": {"event_id": "other"}}, "not a field of AppointmentUpdate"),
        ({"changes": {"title": " "}}, "leaves the field unchanged"),
        ({"changes": {"appointment_status": "missed"}}, "missed"),
        ({"changes": {"to_notify": "maybe"}}, "neither true nor false"),
        ({"changes": {"rrule": "RRULE:FREQ=DAILY;COUNT=2"}}, "rule of a series"),
    ],
)
def test_a_wish_that_no_row_could_carry_is_refused_at_once(wish: Any, reason: str) -> None:
    """Not once for every appointment."""
    with pytest.raises(ConfigurationError, match=reason):
        PlanQuery(**wish)


@pytest.mark.parametrize(
    ("selection", "selected", "reason"),
    [
        (Selection(title="BOTOX"), {"ev1", "ev2"}, "its title is another one"),
        (Selection(contacts=frozenset({"c1", "c9"})), {"ev1"}, "it is for another contact"),
        (Selection(assignees=frozenset({"u2"})), {"ev2", "ev3"}, "it is assigned to somebody else"),
        (Selection(times=parse_times_of_day("8:00 - 09:00")), {"ev1"}, "it does not begin in 08:00-09:00"),
        (Selection(times=parse_times_of_day("22:00-08:30")), {"ev1", "ev3"}, "it does not begin in 22:00-08:30"),
        (Selection(not_statuses=frozenset({"noshow"})), {"ev1", "ev2"}, "its status is noshow"),
        (Selection(title="botox", assignees=frozenset({"u2"})), {"ev2"}, "its title is another one"),
    ],
)
def test_a_selection_takes_what_it_names_and_lists_the_rest(
    selection: Selection, selected: set[str], reason: str
) -> None:
    """By title, contact, assignee, time of day in the plan's zone, and status."""
    events = [
        event("ev1", title="Botox", contact_id="c1", assigned_user_id="u1", start_time=new_york(10, 8)),
        event("ev2", title="2nd botox", contact_id="c2", assigned_user_id="u2", start_time=new_york(10, 9)),
        event("ev3", title=None, assigned_user_id="u2", start_time=new_york(10, 22), appointment_status="noshow"),
    ]
    planned = build_plan(events, PlanQuery(shift=Shift(days=1), timezone=NEW_YORK, selection=selection))
    assert {row["event_id"] for row in planned.rows} == selected
    assert {event_id for event_id, _ in planned.left_out} == {"ev1", "ev2", "ev3"} - selected
    assert reason in {why for _, why in planned.left_out}


def test_a_title_is_found_however_its_accents_are_written() -> None:
    """One character or two: a Mac and a browser differ."""
    events = [event("ev1", title="Rene\u0301 Botox"), event("ev2", title="Ren\u00e9"), event("ev3", title="Rene")]
    for wanted in ("ren\u00c9", "Rene\u0301"):
        assert [one.id for one in events if Selection(title=wanted).explain(one, None) is None] == ["ev1", "ev2"]


@pytest.mark.parametrize("text", ["", "9-12", "09:00", "24:00-06:00", "09:00-09:00", "09:00-12:60"])
def test_hours_that_select_nothing_or_are_unclear_are_refused(text: str) -> None:
    """With the form to write."""
    with pytest.raises(ConfigurationError, match="write it like 09:00-12:30"):
        parse_times_of_day(text)


def test_a_status_to_leave_out_must_be_one() -> None:
    """A misspelt one would leave nothing out."""
    assert [check_status("No-show"), check_status("canceled")] == ["noshow", "cancelled"]
    with pytest.raises(ConfigurationError, match="'missed' is not a status; use one of new"):
        check_status("missed")


def test_times_of_day_need_a_zone() -> None:
    """Whose clock shows them."""
    with pytest.raises(ConfigurationError, match="times of day need a timezone"):
        PlanQuery(shift=Shift(minutes=30), selection=Selection(times=parse_times_of_day("09:00-12:00")))
