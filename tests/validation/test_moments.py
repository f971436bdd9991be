"""Times that cannot be what is meant."""

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import msgspec
import pytest
from dateutil import tz
from msgspec import UNSET

from leadconnector_async import AppointmentCreate, AppointmentUpdate, BlockSlotCreate, InvalidRequestError
from leadconnector_async._api.events import LIST_EVENTS, build_list_events
from leadconnector_async._api.free_slots import build_get_free_slots
from leadconnector_async._api.validate import check_block_slot_create, check_create, check_update

from ..stand_ins import FineTime, MissingTime, PytzZone

NEW_YORK = ZoneInfo("America/New_York")
GAP, OVERLAP, SUMMER, WINTER = (
    datetime(2027, 3, 14, 2, 30),
    datetime(2027, 11, 7, 1, 30),
    datetime(2027, 7, 9, 9),
    datetime(2027, 1, 9, 9),
)


class Silent(datetime):
    """A time that does not say its offset."""

    def utcoffset(self) -> timedelta | None:
        raise ValueError("missing")


def send(start: object, end: object = UNSET) -> str:
    """What goes out as the start of an update."""
    update = msgspec.structs.replace(AppointmentUpdate(), start_time=start, end_time=end)
    sent = check_update(update).start_time
    assert isinstance(sent, str)
    return sent


def send_everywhere(moment: object) -> None:
    """Each way on which a time can go out; every one of them must refuse what any of them refuses."""
    later = datetime(2099, 1, 1, tzinfo=UTC)
    ids = {"calendar_id": "c", "location_id": "l", "contact_id": "k"}
    range_ = {"user_id": None, "calendar_id": "c", "group_id": None}
    for try_it in (
        lambda: send(moment),
        lambda: check_update(AppointmentUpdate(start_time=UNSET, end_time=moment)),  # type: ignore[arg-type]
        lambda: check_create(AppointmentCreate(**ids, start_time=moment)),  # type: ignore[arg-type]
        lambda: check_block_slot_create(
            BlockSlotCreate(location_id="l", calendar_id="c", start_time=moment, end_time=later)  # type: ignore[arg-type]
        ),
        lambda: build_list_events(LIST_EVENTS, "l", moment, later, **range_),  # type: ignore[arg-type]
        lambda: list(build_get_free_slots("c", moment, later, timezone=None, user_ids=())),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidRequestError):
            try_it()


@pytest.mark.parametrize("minutes", [-296, -301, 53, 1, 14, 16, -719])
def test_an_offset_off_the_quarter_hour_is_refused(minutes: int) -> None:
    """As a datetime and as text, on every way out; the message says where such offsets come from."""
    moment = SUMMER.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    for given in (moment, moment.isoformat()):
        with pytest.raises(InvalidRequestError, match=r"multiples of 15 minutes.*pytz.*zone\.localize"):
            send(given)
    send_everywhere(moment)


@pytest.mark.parametrize("offset", ["+05:45", "+12:45", "-09:30", "+00:00", "Z", "+14:00", "-12:00", "+08:45"])
def test_an_offset_on_the_quarter_hour_is_sent(offset: str) -> None:
    """Kathmandu, the Chatham Islands, the Marquesas and the ends of the day among them."""
    assert send(f"2027-07-09T09:00:00{offset}") == f"2027-07-09T09:00:00{offset}"


def test_a_pytz_zone_given_to_datetime_is_refused_and_a_localized_time_is_sent() -> None:
    """The local mean time of the one, and the offset of the day of the other."""
    zone = PytzZone("America/New_York")
    with pytest.raises(InvalidRequestError, match=r"-04:56.*pytz"):
        send(SUMMER.replace(tzinfo=zone))
    assert send(zone.localize(SUMMER)) == "2027-07-09T09:00:00-04:00"
    assert send(zone.localize(WINTER)) == "2027-01-09T09:00:00-05:00"


def test_a_pytz_time_that_was_moved_into_summer_is_refused() -> None:
    """It keeps the offset of winter until somebody calls `normalize`."""
    moved = PytzZone("America/New_York").localize(WINTER) + timedelta(days=181)
    with pytest.raises(InvalidRequestError, match=r"clock there shows 10:00 .*normalize"):
        send(moved)


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(
    "zone", [NEW_YORK, tz.gettz("America/New_York"), PytzZone("America/New_York", timedelta(hours=-5))]
)
def test_a_time_that_the_clocks_skip_is_refused(zone: tzinfo, fold: int) -> None:
    """Whatever its fold and whoever made its zone; the message has a time that exists."""
    moment = GAP.replace(tzinfo=zone, fold=fold)
    with pytest.raises(InvalidRequestError, match=r"it does not exist in America/New_York: .*such as 2027-03-14T"):
        send(moment)
    send_everywhere(moment)


@pytest.mark.parametrize(("fold", "offset"), [(0, "-04:00"), (1, "-05:00")])
@pytest.mark.parametrize("zone", [NEW_YORK, tz.gettz("America/New_York")])
def test_of_a_time_that_comes_twice_the_fold_decides(zone: tzinfo, fold: int, offset: str) -> None:
    """PEP 495: 0 is the first, 1 the second; both are sent."""
    assert send(OVERLAP.replace(tzinfo=zone, fold=fold)) == f"2027-11-07T01:30:00{offset}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EST", r"America/New_York \(with daylight saving time\) or America/Panama \(without\)"),
        ("MST", r"America/Denver \(with daylight saving time\) or America/Phoenix \(without\)"),
    ],
)
def test_a_zone_without_summer_time_is_refused_in_summer(name: str, meant: str) -> None:
    """On every way out and by every package of zones; both zones that may be meant are named."""
    for zone in (ZoneInfo(name), tz.gettz(name), PytzZone(name, timedelta(hours=-5))):
        with pytest.raises(
            InvalidRequestError, match=f"{name} has no daylight saving time, so on 2027-07-09.*{meant}"
        ):
            send(SUMMER.replace(tzinfo=zone))
        assert send(WINTER.replace(tzinfo=zone)).startswith("2027-01-09T09:00:00-0")
    send_everywhere(SUMMER.replace(tzinfo=ZoneInfo(name)))


@pytest.mark.parametrize(
    "name",
    [
        "HST",
        "America/Panama",
        "America/Phoenix",
        "America/Jamaica",
        "America/Cancun",
        "Asia/Kathmandu",
        "GMT",
        "UTC",
        "Etc/GMT+5",
        "EST5EDT",
        "MST7MDT",
        "CET",
        "MET",
        "EET",
        "WET",
        "US/Eastern",
    ],
)
def test_a_zone_that_is_right_is_not_refused(name: str) -> None:
    """Those without summer time where there is none, and those with it."""
    assert send(SUMMER.replace(tzinfo=ZoneInfo(name))).startswith("2027-07-09T09:00:00")


def test_an_offset_with_a_label_is_an_offset() -> None:
    """`timezone(…, "EST")` says what it means in figures; only names of zones are looked at."""
    assert send(SUMMER.replace(tzinfo=timezone(timedelta(hours=-5), "EST"))) == "2027-07-09T09:00:00-05:00"


@pytest.mark.parametrize(("start", "end"), [(1, 2), (7, 8), (1, 12)])
def test_free_slots_in_a_zone_without_summer_time_are_refused_in_summer(start: int, end: int) -> None:
    """If any part of the range is in summer; in winter, EST is what it says."""
    dates = datetime(2027, start, 1, tzinfo=UTC), datetime(2027, end, 20, tzinfo=UTC)
    build = lambda zone: list(build_get_free_slots("c", *dates, timezone=zone, user_ids=()))  # noqa: E731
    assert build("America/New_York")
    assert build("HST")
    if end == 2:
        assert build("EST")
    else:
        with pytest.raises(InvalidRequestError, match=r"timezone = 'EST': .*America/New_York"):
            build("EST")


@pytest.mark.parametrize(
    "moment",
    [
        MissingTime(),
        Silent(2027, 3, 9, tzinfo=UTC),
        FineTime(2027, 3, 9, 9),
        datetime.min,
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        date(2027, 3, 9),
        None,
        float("nan"),
        "NaT",
        "2027-03-09T09:00:00.0000001+00:00x",
    ],
)
def test_what_is_not_a_time_is_our_error(moment: object) -> None:
    """A missing cell of a data frame, a naive time, and the ends of the calendar as a range."""
    range_ = {"user_id": None, "calendar_id": "c", "group_id": None}
    with pytest.raises(InvalidRequestError) as caught:
        build_list_events(LIST_EVENTS, "l", moment, datetime.max.replace(tzinfo=UTC), **range_)  # type: ignore[arg-type]
    assert caught.value.field == "start_time"


@pytest.mark.parametrize("name", ["start_time", "end_time"])
def test_a_missing_time_of_a_data_frame_is_refused_by_its_field(name: str) -> None:
    """It is a datetime whose every answer is an error."""
    with pytest.raises(InvalidRequestError, match=f"^{name} = NaT: it is a MissingTime without a date") as caught:
        check_update(AppointmentUpdate(**{name: MissingTime()}))  # type: ignore[arg-type]
    assert caught.value.field == name


def test_a_subclass_of_datetime_is_sent_as_the_time_that_it_is() -> None:
    """Whole nanoseconds pass, others are refused as fractions."""
    fine = FineTime(2027, 3, 9, 9, tzinfo=NEW_YORK)
    assert send(fine, FineTime(2027, 3, 9, 10, tzinfo=NEW_YORK)) == "2027-03-09T09:00:00-05:00"
    fine.nanosecond = 1
    with pytest.raises(InvalidRequestError, match="fractions of a second"):
        send(fine)


@pytest.mark.parametrize("failure", [ValueError, ZeroDivisionError, NotImplementedError])
def test_a_zone_that_fails_is_our_error(failure: type[Exception]) -> None:
    """Whatever it raises when it is asked."""

    class Broken(tzinfo):
        def utcoffset(self, moment: datetime | None) -> timedelta:
            raise failure

    with pytest.raises(InvalidRequestError, match="its time zone could not compute the offset"):
        send(SUMMER.replace(tzinfo=Broken()))
    send_everywhere(SUMMER.replace(tzinfo=Broken()))


def test_a_zone_that_knows_only_its_offset_is_enough() -> None:
    """`dst` and `fromutc` are not needed: what cannot be checked by them is sent."""

    class Bare(tzinfo):
        def utcoffset(self, moment: datetime | None) -> timedelta:
            return timedelta(hours=2)

    assert send(SUMMER.replace(tzinfo=Bare())) == "2027-07-09T09:00:00+02:00"


def test_the_ends_of_the_calendar_are_our_error_too() -> None:
    """An end that the offset of the start moves out of the calendar."""
    with pytest.raises(InvalidRequestError, match="years 1 to 9999"):
        send("9999-12-31T10:00:00+14:00", "9999-12-31T23:59:00-12:00")
