"""What is refused before it is sent, and what is made right on the way."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import get_args
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis.strategies import booleans, datetimes, integers
from msgspec import UNSET

from leadconnector_async import (
    AppointmentStatus,
    AppointmentUpdate,
    BlockSlotCreate,
    BlockSlotUpdate,
    InvalidRequestError,
    MeetingLocationType,
)
from leadconnector_async._api.appointments import build_get_appointment, build_update_appointment
from leadconnector_async._api.request import build_request
from leadconnector_async._api.validate import check_block_slot_create, check_block_slot_update, check_update

from ..stand_ins import NumpyText, OldStatus, PlainStatus, SafeString, Status

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
    """Before anything is sent, with the hint."""
    with pytest.raises(InvalidRequestError, match='version="v3"'):
        build_update_appointment("ev1", AppointmentUpdate(appointment_status="active"), "2021-04-15")


@pytest.mark.parametrize("place", get_args(MeetingLocationType))
def test_every_meeting_location_type_is_sent(place: str) -> None:
    """Each of the seven types, and `default`, is accepted; alone, it overrides the calendar's configuration."""
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
    assert caught.value.hint
    assert caught.value.outcome == "not_applied"


@pytest.mark.parametrize("name", FLAG_FIELDS)
@pytest.mark.parametrize("value", ["true", 1, 0])
def test_a_flag_must_be_a_boolean(name: str, value: object) -> None:
    """No word and no number stands in for a boolean."""
    with pytest.raises(InvalidRequestError, match=name):
        send(**{name: value})


@pytest.mark.parametrize("status", ["no_show", "no-show", "pending", "rescheduled", "Confirmed", ""])
def test_an_unknown_status_is_refused_with_the_known_ones(status: str) -> None:
    """Statuses that the server refuses with 422 are refused here, and the hint lists the right ones."""
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


LINE_BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
ONE_LINE = ["title", "meeting_location_id", "assigned_user_id", "calendar_id"]


@pytest.mark.parametrize("end", LINE_BREAKS)
@pytest.mark.parametrize("name", ONE_LINE)
def test_a_line_break_in_a_single_line_is_refused(name: str, end: str) -> None:
    """The server answers a title with one by 422; the message says where it is."""
    with pytest.raises(
        InvalidRequestError, match=r"it contains a line break \(U\+[0-9A-F]{4} at character 6\)"
    ) as caught:
        send(**{name: f"Botox{end}follow up"})
    assert caught.value.field == name
    with pytest.raises(InvalidRequestError, match="line break"):
        check_block_slot_create(
            BlockSlotCreate(title=f"a{end}b", location_id="l", calendar_id="c", start_time=START, end_time=END)
        )
    with pytest.raises(InvalidRequestError, match="line break"):
        check_block_slot_update(BlockSlotUpdate(title=f"a{end}b", calendar_id="c", location_id="l"))


@pytest.mark.parametrize("character", ["\0", "\x01", "\x1b", "\x7f", "\x9b"])
@pytest.mark.parametrize("name", ONE_LINE)
def test_a_control_character_in_a_single_line_is_refused(name: str, character: str) -> None:
    """NUL and escapes among them, and the message shows none."""
    with pytest.raises(InvalidRequestError, match="it contains a control character") as caught:
        send(**{name: f"a{character}b"})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["description", "address"])
def test_texts_of_several_lines_keep_their_lines(name: str) -> None:
    """An address has several lines; NUL is in no text."""
    text = "12 Main Street\r\nSpringfield\n\tUSA\u2028"
    assert send(**{name: text})[ALL_FIELDS[name]] == text
    with pytest.raises(InvalidRequestError, match=r"U\+0000"):
        send(**{name: "a\0b"})


@pytest.mark.parametrize(
    "title", ["Zoë\u00a0Ünal 診察", "👩\u200d⚕️ check-up", "a\tb", "\u202bעברית\u202c", "soft\u00adhyphen", ""]
)
def test_a_title_in_any_script_is_sent_as_it_is(title: str) -> None:
    """Characters that are not printable by Python's measure but right in a text: joiners, marks, the tab."""
    assert send(title=title) == {"title": title}


@pytest.mark.parametrize("text", [SafeString("x"), NumpyText("x")])
@pytest.mark.parametrize("name", TEXT_FIELDS)
def test_a_subclass_of_text_is_text(name: str, text: str) -> None:
    """What templates and arrays hold: each is sent as the text that it is."""
    assert send(**{name: text})[TEXT_FIELDS[name]] == "x"
    assert send(start_time=type(text)(START)) == {"startTime": START}
    assert send(rrule=type(text)("RRULE:FREQ=DAILY"), **FREE)["rrule"] == "RRULE:FREQ=DAILY"
    with pytest.raises(InvalidRequestError, match="line break"):
        send(title=type(text)("a\nb"))
    assert build_get_appointment(type(text)("ev1")).path.endswith("/ev1")


@pytest.mark.parametrize("status", [Status.CONFIRMED, OldStatus.CONFIRMED, PlainStatus.CONFIRMED])
def test_a_member_of_an_enumeration_is_its_value(status: object) -> None:
    """Also beside a text that no codec knows."""
    assert send(appointment_status=status) == {"appointmentStatus": "confirmed"}
    assert send(appointment_status=status, title=SafeString("x")) == {
        "appointmentStatus": "confirmed",
        "title": "x",
    }


def test_a_value_of_three_megabytes_is_not_shown() -> None:
    """Neither as the value nor as the reason."""
    with pytest.raises(InvalidRequestError) as caught:
        send(appointment_status="x" * 3_000_000)
    assert len(str(caught.value)) < 500
    assert caught.value.field == "appointment_status"


def test_an_empty_update_is_refused() -> None:
    """An update without a field would only reset what it leaves out."""
    with pytest.raises(InvalidRequestError, match="no fields"):
        send()


def test_something_that_is_no_update_is_refused() -> None:
    """A Struct of another kind is named as such."""
    with pytest.raises(InvalidRequestError, match="it is not an instance of AppointmentUpdate"):
        check_update(BlockSlotUpdate(title="x"))  # type: ignore[arg-type]


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


@pytest.mark.parametrize("event_id", ["", "  ", ".", "..", "\ud800", "a\0b", "a\nb", "a" * 2000, None, 5, b"ev"])
def test_an_id_that_cannot_be_one_is_refused(event_id: object) -> None:
    """Empty ids, dots alone, control characters and what is no text."""
    with pytest.raises(InvalidRequestError, match="event_id"):
        build_update_appointment(event_id, AppointmentUpdate(title="x"))  # type: ignore[arg-type]


def test_an_id_must_be_text() -> None:
    """A number is named as such."""
    with pytest.raises(InvalidRequestError, match="event_id = 5"):
        build_get_appointment(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path",
    [
        *[
            "calendars",
            "//evil.example",
            "/a?b=c",
            "/a#b",
            "/a/../b",
            "/a b",
            "/a\nb",
            "/..",
            "/a\\b",
            "/a//b",
            "/./a",
        ],
        *[
            "/x/%2e%2e/y",
            "/x/%2E%2E/y",
            "/x/.%2e/y",
            "/x/%2e/y",
            "/x/%252e%252e/y",
            "/x/%25252e%25252E/y",
            "/x/%2e%2e",
        ],
        *["/x/..%2fy", "/x%2f..%2fy", "/x/%2e%2e%5cy", "/x%5c..%5cy", "/x/..;a/y", "/x/%2e%2e%3b/y", "/x/..%20/y"],
        *[
            "/%2fevil.example",
            "/a%00b",
            "/a%0d%0ab",
            "/a%",
            "/a%zz",
            "/a%c0%ae%c0%ae/b",
            "/a\x7f",
            "/\ud800",
            "/a\u2028b",
        ],
        *["", "a" * 10_000, "/" + "a" * 10_000, None, 5, b"/a", ["/a"], "/%" + "25" * 20 + "2e%2e/"],
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    """`request` takes plain absolute paths only, however often they are decoded on the way."""
    with pytest.raises(InvalidRequestError, match=r"^path = "):
        build_request("GET", path, object)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/calendars/", "/calendars/"),
        ("/a/b%20c", "/a/b%20c"),
        ("/a/b%2Fc", "/a/b%2Fc"),
        ("/a/ä", "/a/%C3%A4"),
        ("/a/...", "/a/..."),
        ("/a/.well-known/b..c", "/a/.well-known/b..c"),
        ("/a/100%25", "/a/100%25"),
        (SafeString("/a"), "/a"),
    ],
)
def test_a_plain_path_is_sent_as_it_is(path: str, sent: str) -> None:
    """With what is encoded in it, and with dots that are no segment of their own."""
    assert build_request("GET", path, object).path == sent


@pytest.mark.parametrize(
    "wrong",
    [
        {"query": "a=b"},
        {"query": {"a": None}},
        {"query": {"a": True}},
        {"query": {"a": 10**5000}},
        {"query": {"a": "\ud800"}},
        {"query": {"\ud800": "a"}},
        {"query": {5: "a"}},
        {"repeatable": "yes"},
        {"body": {"a": "\ud800"}},
        {"body": {"a": 10**5000}},
    ],
)
def test_a_request_that_cannot_be_sent_is_refused(wrong: dict[str, object]) -> None:
    """Whatever is wrong with its query, its body or its flag."""
    with pytest.raises(InvalidRequestError) as caught:
        build_request("POST", "/a", object, **wrong)  # type: ignore[arg-type]
    assert str(caught.value).isascii() or str(caught.value).encode()


def test_an_answer_type_that_cannot_be_decoded_is_refused_before_anything_is_sent() -> None:
    """After the answer it would be too late."""
    for response_type in (5, "int", dict[int, set[object]] | list[int] | set[int], lambda: None):
        with pytest.raises(InvalidRequestError, match="response_type"):
            build_request("PUT", "/a", response_type)  # type: ignore[arg-type]


def test_query_values_that_have_one_meaning_are_taken() -> None:
    """Texts and whole numbers of any class, as plain ones."""
    query = build_request("GET", "/a", object, query={SafeString("a"): NumpyText("b"), "c": Status.CONFIRMED}).query
    assert query == {"a": "b", "c": "confirmed"}
    assert query is not None
    assert {type(one) for pair in query.items() for one in pair} == {str}


def test_a_method_that_is_none_is_refused() -> None:
    """A method cannot smuggle a header."""
    with pytest.raises(InvalidRequestError, match="method"):
        build_request("GET / HTTP/1.1\r\nX: y", "/a", object)


def test_a_body_that_json_cannot_say_is_refused() -> None:
    """`request` refuses it before anything is sent."""
    with pytest.raises(InvalidRequestError, match="body"):
        build_request("POST", "/a", object, body={"x": object()})


@given(
    clock=datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),
    quarters=integers(-95, 95),
    as_text=booleans(),
)
def test_times_are_sent_as_iso_8601_has_them(clock: datetime, quarters: int, as_text: bool) -> None:
    """Whatever renders them: in any year, at any offset that is sent, given as a time or as text."""
    moment = clock.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=15 * quarters)))
    given_time = moment.isoformat() if as_text else moment
    wire = check_update(AppointmentUpdate(start_time=given_time))
    assert wire.start_time == moment.isoformat()


@pytest.mark.parametrize("name", AppointmentUpdate.__struct_fields__)
def test_half_a_character_is_refused_in_every_field(name: str) -> None:
    """Whatever the field is made of: a text, one of a few words, a switch, a time."""
    with pytest.raises(InvalidRequestError) as caught:
        check_update(AppointmentUpdate(**{name: "\ud800"}))  # type: ignore[arg-type]
    assert caught.value.field == name
