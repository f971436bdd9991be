"""What is refused before it is sent, and what is made right on the way."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import get_args
from uuid import UUID

import msgspec
import pytest
from msgspec import UNSET

from leadconnector_async import AppointmentStatus, AppointmentUpdate, InvalidRequestError, MeetingLocationType
from leadconnector_async._checks import check_update
from leadconnector_async._wire import build_get_appointment, build_request, build_update_appointment

IST = timezone(timedelta(hours=5, minutes=30))
START, END = "2021-06-23T03:30:00+05:30", "2021-06-23T04:30:00+05:30"
FREE = {"ignore_free_slot_validation": True}


def send(**fields: object) -> dict[str, object]:
    update = msgspec.structs.replace(AppointmentUpdate(), **fields)
    body = build_update_appointment("ev1", update).body
    assert body is not None
    return msgspec.json.decode(body, type=dict[str, object])


TEXT_FIELDS = {
    "title": "title",
    "meeting_location_id": "meetingLocationId",
    "assigned_user_id": "assignedUserId",
    "description": "description",
    "address": "address",
    "calendar_id": "calendarId",
}
FLAG_FIELDS = {
    "override_location_config": "overrideLocationConfig",
    "ignore_date_range": "ignoreDateRange",
    "to_notify": "toNotify",
    "ignore_free_slot_validation": "ignoreFreeSlotValidation",
}
OTHER_FIELDS = {
    "meeting_location_type": "meetingLocationType",
    "appointment_status": "appointmentStatus",
    "rrule": "rrule",
    "start_time": "startTime",
    "end_time": "endTime",
}
ALL_FIELDS = TEXT_FIELDS | FLAG_FIELDS | OTHER_FIELDS


def test_there_are_fifteen_fields_all_unset() -> None:
    """The update has the reference's 15 fields, each unset by default."""
    assert sorted(ALL_FIELDS) == sorted(AppointmentUpdate.__struct_fields__)
    assert all(getattr(AppointmentUpdate(), name) is UNSET for name in ALL_FIELDS)


@pytest.mark.parametrize(("name", "camel"), TEXT_FIELDS.items())
def test_a_text_is_sent_under_its_name(name: str, camel: str) -> None:
    """Each text goes out under the vendor's name, and nothing else does."""
    sent = send(**{name: "text"})
    sent.pop("overrideLocationConfig", None)
    assert sent == {camel: "text"}


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize(("name", "camel"), FLAG_FIELDS.items())
def test_a_flag_is_sent_even_if_false(name: str, camel: str, value: bool) -> None:
    """An explicit `False` is sent."""
    assert send(**{name: value}) == {camel: value}


@pytest.mark.parametrize(("name", "camel"), ALL_FIELDS.items())
def test_an_explicit_none_is_sent(name: str, camel: str) -> None:
    """An explicit `None` goes out as null; a field left out does not go out."""
    assert send(**{name: None}) == {camel: None}


@pytest.mark.parametrize("status", get_args(AppointmentStatus))
def test_every_status_is_sent(status: str) -> None:
    """Each status is accepted, `active` by version v3 alone."""
    version = "v3" if status == "active" else "2021-04-15"
    body = build_update_appointment("ev1", AppointmentUpdate(appointment_status=status), version).body  # type: ignore[arg-type]
    assert msgspec.json.decode(body or b"") == {"appointmentStatus": status}


def test_active_is_refused_where_the_version_does_not_know_it() -> None:
    """Before anything is sent, with the mend."""
    with pytest.raises(InvalidRequestError, match='version="v3"'):
        build_update_appointment("ev1", AppointmentUpdate(appointment_status="active"), "2021-04-15")


@pytest.mark.parametrize("place", get_args(MeetingLocationType))
def test_every_meeting_location_type_is_sent(place: str) -> None:
    """Each of the seven types is accepted; alone, it overrides the calendar's configuration."""
    assert send(meeting_location_type=place) == {"meetingLocationType": place, "overrideLocationConfig": True}


def test_override_location_config_is_derived() -> None:
    """`False` with only an id, `True` with only a type, left out with both, never against an explicit one."""
    assert send(meeting_location_id="a")["overrideLocationConfig"] is False
    assert send(meeting_location_type="zoom")["overrideLocationConfig"] is True
    assert "overrideLocationConfig" not in send(meeting_location_id="a", meeting_location_type="zoom")
    assert send(meeting_location_id="a", override_location_config=True)["overrideLocationConfig"] is True


@pytest.mark.parametrize("name", [*TEXT_FIELDS, "meeting_location_type", "appointment_status", "rrule"])
@pytest.mark.parametrize(
    "value", [3, 1.5, b"text", ["text"], {"a": 1}, object(), Decimal(1), UUID(int=1), date(2021, 1, 1), True]
)
def test_a_wrong_type_is_refused_by_field_and_value(name: str, value: object) -> None:
    """Whatever is not text is refused, also what a codec would quietly turn into text."""
    with pytest.raises(InvalidRequestError, match=rf"^{name} = .*Nothing was sent") as caught:
        send(**{name: value})
    assert caught.value.field == name
    assert caught.value.value == value
    assert caught.value.mend
    assert caught.value.outcome == "not_applied"


@pytest.mark.parametrize("name", FLAG_FIELDS)
@pytest.mark.parametrize("value", ["true", 1, 0])
def test_a_flag_must_be_a_boolean(name: str, value: object) -> None:
    """No word and no number stands in for a boolean."""
    with pytest.raises(InvalidRequestError, match=name):
        send(**{name: value})


@pytest.mark.parametrize("status", ["no_show", "no-show", "pending", "rescheduled", "Confirmed", ""])
def test_an_unknown_status_is_refused_with_the_known_ones(status: str) -> None:
    """Statuses that the server refuses with 422 are refused here, and the mend lists the right ones."""
    with pytest.raises(InvalidRequestError, match="use one of new, confirmed, cancelled, showed, noshow, invalid"):
        send(appointment_status=status)


def test_an_unknown_meeting_location_type_is_refused() -> None:
    """Only the vendor's types are sent."""
    with pytest.raises(InvalidRequestError, match="use one of custom, zoom, gmeet"):
        send(meeting_location_type="teams")


@pytest.mark.parametrize("name", TEXT_FIELDS)
def test_half_a_character_is_refused(name: str) -> None:
    """A lone surrogate cannot be sent; the field is named."""
    with pytest.raises(InvalidRequestError, match="surrogate") as caught:
        send(**{name: "a\ud83d"})
    assert caught.value.field == name


def test_an_empty_update_is_refused() -> None:
    """An update without a field would only reset what it leaves out."""
    with pytest.raises(InvalidRequestError, match="no field at all"):
        send()


def test_something_that_is_no_update_is_refused() -> None:
    """A dict in place of the Struct is named as such."""
    with pytest.raises(InvalidRequestError, match="it is no AppointmentUpdate"):
        check_update({"title": "x"})  # type: ignore[arg-type]


def test_the_error_is_a_value_error() -> None:
    """Who catches ValueError catches it."""
    with pytest.raises(ValueError, match="no field"):
        send()


@pytest.mark.parametrize("name", ["start_time", "end_time"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (datetime(2021, 6, 23, 3, 30), "no offset"),
        ("2021-06-23T03:30:00", "no offset"),
        ("2021-06-23", "no offset"),
        (datetime(2021, 6, 23, 3, 30, 0, 5, tzinfo=IST), "fractions"),
        ("2021-06-23T03:30:00.123+05:30", "fractions"),
        (datetime(2021, 6, 23, tzinfo=timezone(timedelta(seconds=61))), "whole minutes"),
        ("tomorrow", "not a time"),
        ("2021-13-23T03:30:00Z", "not a time"),
        ("", "not a time"),
        (1624399200000, "is a int"),
        (date(2021, 6, 23), "is a date"),
        (True, "is a bool"),
    ],
)
def test_a_time_that_the_server_would_not_understand_is_refused(name: str, value: object, reason: str) -> None:
    """Naive times, fractions, odd offsets and what is no time at all, each with its reason."""
    with pytest.raises(InvalidRequestError, match=reason) as caught:
        send(**{name: value})
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (START, START),
        ("2021-06-22T22:00:00Z", "2021-06-22T22:00:00Z"),
        ("2021-06-22T22:00:00+00:00", "2021-06-22T22:00:00+00:00"),
        (datetime(2021, 6, 23, 3, 30, tzinfo=IST), START),
        (datetime(2021, 6, 22, 22, 0, tzinfo=UTC), "2021-06-22T22:00:00+00:00"),
        ("20210623T033000+0530", START),
        ("2021-06-23 03:30+05:30", START),
    ],
)
def test_times_are_sent_as_they_are_or_in_the_servers_form(value: object, sent: str) -> None:
    """A free slot goes back exactly as it was offered; other spellings of ISO 8601 are rendered anew."""
    assert send(start_time=value) == {"startTime": sent}


@pytest.mark.parametrize(
    ("start", "end", "sent"),
    [
        (START, "2021-06-22T23:00:00Z", END),
        ("2021-06-22T22:00:00Z", END, "2021-06-22T23:00:00Z"),
        ("2021-06-22T22:00:00Z", "2021-06-22T23:00:00+00:00", "2021-06-22T23:00:00Z"),
        ("2027-03-14T00:30:00-05:00", "2027-03-14T03:30:00-04:00", "2027-03-14T02:30:00-05:00"),
        (datetime(2021, 6, 23, 3, 30, tzinfo=IST), datetime(2021, 6, 22, 23, 0, tzinfo=UTC), END),
    ],
)
def test_the_end_is_sent_in_the_offset_of_the_start(start: object, end: object, sent: str) -> None:
    """Different offsets are not refused: the end is the same instant in the start's offset."""
    assert send(start_time=start, end_time=end)["endTime"] == sent


@pytest.mark.parametrize("end", [START, "2021-06-23T03:00:00+05:30", "2021-06-22T22:00:00Z"])
def test_the_end_must_be_after_the_start(end: str) -> None:
    """Instants are compared, not text."""
    with pytest.raises(InvalidRequestError, match="not after start_time"):
        send(start_time=START, end_time=end)


@pytest.mark.parametrize("flag", [UNSET, False, None])
def test_a_rule_without_the_slot_check_off_is_refused(flag: object) -> None:
    """The server would ignore the rule."""
    with pytest.raises(InvalidRequestError, match="ignore_free_slot_validation=True"):
        send(rrule="RRULE:FREQ=DAILY", ignore_free_slot_validation=flag)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("FREQ=DAILY", "must begin with"),
        ("RRULE:FREQ=SOMETIMES", "not valid"),
        ("RRULE:INTERVAL=2", "not valid"),
        ("RRULE:FREQ=DAILY;COUNT=x", "not valid"),
        ("RRULE:FREQ=WEEKLY;BYDAY=XX", "not valid"),
        ("DTSTART:20210623T033000Z\nRRULE:FREQ=DAILY", "must begin with"),
        ("RRULE:FREQ=DAILY\nDTSTART:20210623T033000Z", "DTSTART"),
    ],
)
def test_a_rule_that_is_not_rfc_5545_is_refused(rule: str, reason: str) -> None:
    """python-dateutil decides, and DTSTART is never taken."""
    with pytest.raises(InvalidRequestError, match=reason):
        send(rrule=rule, **FREE)


@pytest.mark.parametrize(
    "rule",
    [
        "RRULE:FREQ=DAILY;INTERVAL=1;COUNT=5",
        "RRULE:FREQ=DAILY;INTERVAL=1;UNTIL=20210623T043000Z\nEXDATE:20211105T040000Z,20211105T040000Z",
        "RRULE:FREQ=MONTHLY;BYDAY=-1FR",
    ],
)
def test_a_good_rule_is_sent_as_it_is(rule: str) -> None:
    """Exceptions after a newline are part of the rule."""
    assert send(rrule=rule, **FREE)["rrule"] == rule


@pytest.mark.parametrize(
    ("event_id", "segment"),
    [
        ("0TkCdp9PfvLeWKYRRvIz", "0TkCdp9PfvLeWKYRRvIz"),
        ("ocQHyuzHvysMo5N5VsXc_1729821600000_1800", "ocQHyuzHvysMo5N5VsXc_1729821600000_1800"),
        ("a/b", "a%2Fb"),
        ("../../oauth", "..%2F..%2Foauth"),
        ("a?b#c d", "a%3Fb%23c%20d"),
        ("ä", "%C3%A4"),
        ("%2e%2e", "%252e%252e"),
    ],
)
def test_an_id_stays_one_segment_of_the_path(event_id: str, segment: str) -> None:
    """Whatever an id holds, it never changes the path."""
    assert build_get_appointment(event_id).path == f"/calendars/events/appointments/{segment}"


@pytest.mark.parametrize("event_id", ["", "  ", ".", "..", "\ud800"])
def test_an_id_that_cannot_be_one_is_refused(event_id: str) -> None:
    """Empty ids and dots alone are refused."""
    with pytest.raises(InvalidRequestError, match="event_id"):
        build_update_appointment(event_id, AppointmentUpdate(title="x"))


def test_an_id_must_be_text() -> None:
    """A number is named as such."""
    with pytest.raises(InvalidRequestError, match="event_id = 5"):
        build_get_appointment(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path", ["calendars", "//evil.example", "/a?b=c", "/a#b", "/a/../b", "/a b", "/a\nb", "/..", "/a\\b"]
)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    """`request` takes plain absolute paths only."""
    with pytest.raises(InvalidRequestError, match="path"):
        build_request("GET", path, object)


def test_a_method_that_is_none_is_refused() -> None:
    """A method cannot smuggle a header."""
    with pytest.raises(InvalidRequestError, match="method"):
        build_request("GET / HTTP/1.1\r\nX: y", "/a", object)


def test_a_body_that_json_cannot_say_is_refused() -> None:
    """`request` refuses it before anything is sent."""
    with pytest.raises(InvalidRequestError, match="body"):
        build_request("POST", "/a", object, body={"x": object()})
