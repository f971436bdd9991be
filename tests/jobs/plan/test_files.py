"""Plans: every bad row is named before anything is sent."""

import pytest

from leadconnector_async import AppointmentUpdate, InvalidRequestError
from leadconnector_async.jobs import PlanRow, read_plan


def plan(text: str) -> list[PlanRow]:
    return read_plan(text.splitlines(keepends=True))


def test_an_empty_cell_leaves_a_field_as_it_is() -> None:
    """Only what is filled in is set."""
    (row,) = plan("event_id,title,appointment_status,to_notify\nev1,,noshow,FALSE\n")
    assert row == PlanRow(2, "ev1", AppointmentUpdate(appointment_status="noshow", to_notify=False))


def test_a_wall_clock_time_gets_the_offset_of_its_zone() -> None:
    """Before and after the change to daylight saving time."""
    rows = plan(
        "event_id,start_time,timezone\n"
        "a,2027-03-13T09:00:00,America/New_York\n"
        "b,2027-03-15T09:00:00,America/New_York\n"
        "c,2027-03-15T09:00:00+05:30,America/New_York\n"
    )
    assert [row.update.start_time for row in rows] == [
        "2027-03-13T09:00:00-05:00",
        "2027-03-15T09:00:00-04:00",
        "2027-03-15T09:00:00+05:30",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("title\nx\n", "no column event_id"),
        ("event_id,colour\na,red\n", "colour: unknown column"),
        ("event_id,title\n,x\n", "line 2, event_id: it is empty"),
        ("event_id,title\na,x\nb,y\na,z\n", "line 4, event_id: a is a duplicate of line 2"),
        ("event_id,title\na,\n", "line 2, payload: .*no fields"),
        ("event_id,title\na,x,y\n", "line 2: there are more cells than columns"),
        ("event_id,to_notify\na,maybe\n", "line 2, to_notify: 'maybe' is neither true nor false"),
        ("event_id,appointment_status\na,missed\n", "line 2, appointment_status"),
        ("event_id,start_time\na,2027-03-13T09:00:00\n", "line 2, start_time: .*no offset"),
        (
            "event_id,start_time,timezone\na,2027-03-14T02:30:00,America/New_York\n",
            "line 2, start_time: .*does not exist",
        ),
        (
            "event_id,start_time,timezone\na,2027-11-07T01:30:00,America/New_York\n",
            "line 2, start_time: .*occurs twice",
        ),
        ("event_id,start_time,timezone\na,2027-03-13T09:00:00,Mars/Base\n", "line 2, timezone: 'Mars/Base'"),
        ("event_id,start_time,timezone\na,tomorrow,Europe/London\n", "line 2, start_time"),
        ("", "no column event_id"),
    ],
)
def test_a_bad_plan_is_refused_with_line_and_reason(text: str, reason: str) -> None:
    """No guess, no silent skipping."""
    with pytest.raises(InvalidRequestError, match=reason):
        plan(text)


def test_all_bad_rows_are_named_at_once() -> None:
    """Not one per run."""
    with pytest.raises(InvalidRequestError, match="3 bad rows") as caught:
        plan("event_id,appointment_status\na,x\nb,new\n,new\nc,y\n")
    assert [f"line {number}," in str(caught.value) for number in (2, 3, 4, 5)] == [True, False, True, True]
    with pytest.raises(InvalidRequestError, match="The plan has 1 bad row, which was not carried out:\nline 2,"):
        plan("event_id,appointment_status\na,x\n")
