"""The hours to which a job keeps: what they are on any day, and that nothing is sent outside of them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import ConfigurationError
from leadconnector_async.jobs import JobOptions
from leadconnector_async.jobs.hours import Hours, read_hours

NIGHT = "22:00-06:00"
NEW_YORK = "America/New_York"


def make(only: str = NIGHT, zone: str = NEW_YORK) -> Hours:
    found = read_hours(only, zone)
    assert found is not None
    return found


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("now", "opens", "changes"),
    [
        ("2027-06-01T21:59:59-04:00", False, "2027-06-01T22:00:00-04:00"),
        ("2027-06-01T22:00:00-04:00", True, "2027-06-02T06:00:00-04:00"),
        ("2027-06-02T00:30:00-04:00", True, "2027-06-02T06:00:00-04:00"),
        ("2027-06-02T06:00:00-04:00", False, "2027-06-02T22:00:00-04:00"),
        ("2027-03-13T23:00:00-05:00", True, "2027-03-14T06:00:00-04:00"),
        ("2027-11-06T23:00:00-04:00", True, "2027-11-07T06:00:00-05:00"),
        ("2027-03-13T23:00:30.5-05:00", True, "2027-03-14T06:00:00-04:00"),
    ],
)
def test_the_night_is_what_the_clock_of_the_zone_shows(now: str, opens: bool, changes: str) -> None:
    """Over midnight; an hour shorter in the night in which the clock is put forward, an hour longer in autumn."""
    hours = make()
    assert hours.is_open(seconds(now)) is opens
    assert hours.find_change(seconds(now)) == seconds(changes)
    assert hours.find_opening(seconds(now)) == (None if opens else seconds(changes))


@pytest.mark.parametrize(
    ("only", "now", "changes"),
    [
        ("02:30-04:00", "2027-03-14T00:00:00-05:00", "2027-03-14T03:00:00-04:00"),
        ("02:10-02:50", "2027-03-14T00:00:00-05:00", "2027-03-15T02:10:00-04:00"),
        ("00:00-01:30", "2027-11-07T00:00:00-04:00", "2027-11-07T01:30:00-04:00"),
        ("00:00-01:30", "2027-11-07T01:30:00-04:00", "2027-11-07T01:00:00-05:00"),
        ("00:00-01:30", "2027-11-07T01:00:00-05:00", "2027-11-07T01:30:00-05:00"),
    ],
)
def test_hours_that_the_clock_skips_or_shows_twice(only: str, now: str, changes: str) -> None:
    """They begin when the clock arrives within them; what it shows twice is open twice."""
    assert make(only).find_change(seconds(now)) == seconds(changes)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1)),
    st.integers(0, 1439),
    st.integers(1, 1439),
    st.sampled_from([NEW_YORK, "Europe/London", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns"]),
)
def test_nothing_changes_before_the_change(now: datetime, begin: int, length: int, zone: str) -> None:
    """Up to the minute before it, and at the minute itself it does, by the clock of the zone."""
    end = (begin + length) % 1440
    hours = make(f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}", zone)
    moment = now.replace(tzinfo=UTC)
    change = hours.find_change(moment.timestamp())

    def shows(at: float) -> bool:
        return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)).time() in hours.times

    assert shows(change) is not shows(moment.timestamp())
    between = [moment.timestamp() + part * (change - 1 - moment.timestamp()) / 40 for part in range(41)]
    assert {shows(at) for at in between if at < change} == {shows(moment.timestamp())}


def test_an_end_counts_only_the_hours() -> None:
    """Eleven hours from 23:00 with eight hours of every night: seven, and four in the next; less in spring."""
    began = seconds("2027-06-01T23:00:00-04:00")
    assert make().stretch(11 * 3600, began) == seconds("2027-06-03T02:00:00-04:00") - began
    assert make().stretch(60, began) == 60
    noon = seconds("2027-03-13T12:00:00-05:00")
    assert make().stretch(7 * 3600 + 1, noon) == seconds("2027-03-14T22:00:01-04:00") - noon
    assert make().stretch(1e12, began) > timedelta(days=365).total_seconds()


@pytest.mark.parametrize(
    ("only", "zone", "words"),
    [
        (NIGHT, None, "set only_timezone"),
        (None, NEW_YORK, "only names no hours"),
        ("22-6", NEW_YORK, "not a pair of times of day"),
        ("06:00-06:00", NEW_YORK, "begins when it ends"),
        ("25:00-06:00", NEW_YORK, "not a pair of times of day"),
        (NIGHT, "Berlin", "not an IANA time zone"),
        (NIGHT, "../etc/passwd", "not an IANA time zone"),
        (NIGHT, "EST", "America/New_York"),
        (7, NEW_YORK, "only"),
        (NIGHT, 5, "only_timezone"),
    ],
)
def test_hours_that_mean_nothing_are_refused(only: object, zone: object, words: str) -> None:
    """When the options are made, with what is wrong."""
    with pytest.raises(ConfigurationError, match=words):
        JobOptions(only=only, only_timezone=zone)  # type: ignore[arg-type]
