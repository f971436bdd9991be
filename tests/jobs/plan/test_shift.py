"""Wall-clock times and shifts."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leadconnector_async.jobs import Shift, parse_shift
from leadconnector_async.jobs.plan.shift import apply_shift, place

NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("text", "shift"),
    [
        ("+2d", Shift(days=2)),
        ("2d", Shift(days=2)),
        ("-90m", Shift(minutes=-90)),
        ("1w2d", Shift(days=9)),
        ("+1d1h30m", Shift(days=1, minutes=90)),
        ("-1w", Shift(days=-7)),
    ],
)
def test_a_shift_is_read(text: str, shift: Shift) -> None:
    """A sign, then weeks, days, hours and minutes."""
    assert parse_shift(text) == shift
    assert parse_shift(str(shift)) == shift


@pytest.mark.parametrize("text", ["", "+", "d", "2", "2 days", "1h2d", "+-2d", "1.5h", "2D", "99999d"])
def test_what_is_no_shift_is_refused(text: str) -> None:
    """Not guessed at."""
    with pytest.raises(ValueError, match="not a valid shift"):
        parse_shift(text)


def test_days_keep_the_clock_and_minutes_the_time() -> None:
    """Across the change to daylight saving time on 14 March 2027."""
    noon = datetime(2027, 3, 13, 12, tzinfo=ZoneInfo(NEW_YORK))
    day = apply_shift(noon, Shift(days=1), NEW_YORK)
    assert (day.hour, day.timestamp() - noon.timestamp()) == (12, 23 * 3600)
    hours = apply_shift(noon, Shift(minutes=24 * 60), NEW_YORK)
    assert (hours.hour, hours.timestamp() - noon.timestamp()) == (13, 24 * 3600)


def test_a_shift_into_a_gap_is_an_error() -> None:
    """02:30 on 14 March 2027 does not exist in New York."""
    with pytest.raises(ValueError, match="does not exist"):
        apply_shift(datetime(2027, 3, 13, 2, 30, tzinfo=ZoneInfo(NEW_YORK)), Shift(days=1), NEW_YORK)


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(("wall", "fault"), [("2027-03-14T02:30", "does not exist"), ("2027-11-07T01:30", "twice")])
def test_a_clock_does_not_choose(wall: str, fault: str, fold: int) -> None:
    """Whatever `fold` a program's time without an offset happens to have."""
    with pytest.raises(ValueError, match=fault):
        place(datetime.fromisoformat(wall).replace(fold=fold), NEW_YORK)


def test_days_need_a_zone_and_minutes_do_not() -> None:
    """A fixed offset stays as it is."""
    noon = datetime.fromisoformat("2027-03-13T12:00:00-05:00")
    with pytest.raises(ValueError, match="time zone"):
        apply_shift(noon, Shift(days=1), None)
    assert apply_shift(noon, Shift(minutes=30), None).isoformat() == "2027-03-13T12:30:00-05:00"


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.integers(-400, 400))
@example(datetime(2021, 3, 14, 2, fold=1), 0)
def test_there_and_back_is_the_same_time_of_day(moment: datetime, days: int) -> None:
    """For every wall-clock time that exists once on both days."""
    wall = moment.replace(microsecond=0)
    try:
        start = place(wall, NEW_YORK)
        there = apply_shift(start, Shift(days=days), NEW_YORK)
    except ValueError:
        return
    assert there.replace(tzinfo=None) == wall + timedelta(days=days)
    assert apply_shift(there, Shift(days=-days), NEW_YORK) == start
