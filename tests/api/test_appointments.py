"""Answers, read: every recorded shape, every envelope, every oddity."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from leadconnector_async import Appointment, AppointmentUpdate, DecodeError, exceptions
from leadconnector_async._api import appointments
from leadconnector_async._api.appointments import build_get_appointment, read_appointment
from leadconnector_async._api.body import read_success
from leadconnector_async._api.decode import Read
from leadconnector_async._api.errors import read_error
from leadconnector_async._api.request import build_request
from leadconnector_async._limiter.headers import read_quota

SAMPLES = {
    sample["name"]: sample
    for sample in json.loads((Path(__file__).parents[1] / "samples/answers.json").read_text())
}
TRACE = "5f1c0a3e-7b2d-4c8e-9a61-0d3e5b7f9a12"
EVENT = "Rt5Yu7Io9Pa1Sd3Fg5Hj"

APPOINTMENTS = {
    "put_appointment_ok_flat": ("confirmed", EVENT),
    "post_appointment_minimal_201": ("confirmed", EVENT),
    "put_or_post_2xx_empty_object": (None, "asked"),
    "get_appointment_event_envelope": ("noshow", EVENT),
    "get_appointment_deleted_readback": ("confirmed", EVENT),
    "webhook_appointment_update": ("cancelled", EVENT),
}
PLAIN = {"list_events_ok", "delete_event_ok", "free_slots_ok", "oauth_token_ok", "oauth_location_token_ok"}
ERRORS = {
    "400_slot_taken": exceptions.SlotUnavailableError,
    "400_event_id_invalid": exceptions.InvalidEventError,
    "400_calendar_not_event_calendar": exceptions.BadRequestError,
    "400_bare_bad_request": exceptions.BadRequestError,
    "401_invalid_jwt": exceptions.TokenExpiredError,
    "401_invalid_pit": exceptions.AuthenticationError,
    "401_scope": exceptions.AuthenticationError,
    "401_version_missing": exceptions.AuthenticationError,
    "401_version_invalid": exceptions.AuthenticationError,
    "401_user_type_mismatch": exceptions.AuthenticationError,
    "403_location_access": exceptions.PermissionDeniedError,
    "403_cloudflare_1010": exceptions.PermissionDeniedError,
    "404_route": exceptions.NotFoundError,
    "422_enum_list": exceptions.UnprocessableError,
    "422_user_not_in_team_string": exceptions.UnprocessableError,
    "422_assignee_missing_string": exceptions.UnprocessableError,
    "429_burst": exceptions.RateLimitedError,
    "502_json": exceptions.ServerError,
}


def encode(body: object) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def test_every_sample_has_its_test() -> None:
    """No recorded answer is left out."""
    assert set(SAMPLES) == APPOINTMENTS.keys() | PLAIN | ERRORS.keys()


@pytest.mark.parametrize("name", APPOINTMENTS)
def test_a_recorded_appointment_is_read(name: str) -> None:
    """Flat, enveloped, minimal, empty, deleted: each becomes an appointment with every field that it has."""
    status, event_id = APPOINTMENTS[name]
    body = SAMPLES[name]["body"]
    read = read_appointment("asked", encode(body))
    assert read.unread == ()
    assert (read.value.appointment_status, read.value.id) == (status, event_id)
    inner = body.get("event") or body.get("appointment") or body
    for field, camel in (
        ("title", "title"),
        ("contact_id", "contactId"),
        ("source", "source"),
        ("deleted", "deleted"),
    ):
        assert getattr(read.value, field) == inner.get(camel)
    for field, camel in (("start_time", "startTime"), ("date_added", "dateAdded")):
        text = inner.get(camel)
        assert getattr(read.value, field) == (datetime.fromisoformat(text) if text else None)


def test_a_rich_answer_fills_the_nested_fields() -> None:
    """Who made it, who else takes part, and the server's own words about the status."""
    value = read_appointment("x", encode(SAMPLES["get_appointment_event_envelope"]["body"])).value
    assert value.users == ("Pw9On7Vb5Cx3Zq1Tr8Ey",)
    assert value.created_by is not None
    assert value.created_by.source == "booking_widget"
    assert value.status_details is not None
    assert value.status_details.old_status == "noshow"
    assert value.group_id == "Gd4Rn6Up8Bt2Lc0Mx7Vz"


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_an_answer_of_another_operation_is_read_as_json(name: str) -> None:
    """What has no Struct yet is had as JSON through `request`."""
    body = SAMPLES[name]["body"]
    assert build_request("GET", "/x", object).read(encode(body)) == Read(body)


def test_events_of_a_list_are_appointments_too() -> None:
    """Every event of a list, an instance of a series included, fits `Appointment`."""
    events = SAMPLES["list_events_ok"]["body"]["events"]
    read = [read_appointment("x", encode(event)) for event in events]
    assert [one.unread for one in read] == [(), ()]
    assert read[1].value.master_event_id == EVENT
    assert read[1].value.rrule == "RRULE:FREQ=DAILY;INTERVAL=1;COUNT=5"


@pytest.mark.parametrize("name", ERRORS)
def test_a_recorded_error_is_the_most_specific_one(name: str) -> None:
    """Type, messages as a list of strings, trace id."""
    sample = SAMPLES[name]
    error = read_error(sample["status"], encode(sample["body"]))
    assert type(error) is ERRORS[name]
    body = sample["body"]
    message = body["message"] if isinstance(body, dict) else body
    assert error.messages == (message if isinstance(message, list) else [message])
    assert error.trace_id == (body.get("traceId") if isinstance(body, dict) else None)
    assert error.status == sample["status"]
    assert error.messages[0] in str(error)


def test_each_of_the_look_alike_401s_says_what_to_fix() -> None:
    """Six 401s, six texts."""
    texts = {str(read_error(401, encode(SAMPLES[name]["body"]))) for name in ERRORS if name.startswith("401")}
    assert len(texts) == 6
    assert all(len(text) > len("HTTP 401: Token's user type mismatch!") for text in texts)


def test_headers_of_a_sample_are_the_quota() -> None:
    """All six headers are read, milliseconds as seconds."""
    quota = read_quota(SAMPLES["put_appointment_ok_flat"]["headers"])
    assert (quota.limit, quota.remaining, quota.interval) == (100, 99, 10.0)
    assert (quota.daily_limit, quota.daily_remaining, quota.daily_reset) == (200_000, 199_779, 49_013.0)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "lots", "9" * 16, "١"])
def test_a_header_that_is_no_number_is_none(text: str) -> None:
    """A limit that cannot be read is not guessed."""
    assert read_quota({"x-ratelimit-max": text}).limit is None


@pytest.mark.parametrize(
    "body",
    [
        {"id": "a", "appointmentStatus": "showed"},
        {"event": {"id": "a", "appointmentStatus": "showed"}},
        {"appointment": {"id": "a", "appointmentStatus": "showed"}, "traceId": "t"},
        {"event": {"id": "a", "appoinmentStatus": "showed"}},
        {"id": "a", "appoinmentStatus": "showed", "appointmentStatus": None},
    ],
)
def test_every_envelope_and_the_misspelt_key_are_accepted(body: object) -> None:
    """The same appointment, whatever it is wrapped in."""
    assert read_appointment("x", encode(body)).value == Appointment(id="a", appointment_status="showed")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"id": null}', b'{"id": ""}', b'{"event": null}', b'{"event": {}}'])
def test_a_success_is_a_success_whatever_its_body_lacks(body: bytes) -> None:
    """The result then carries the id of the request, and `None` for the rest."""
    assert read_appointment("asked", body) == Read(Appointment(id="asked"))


@pytest.mark.parametrize(("text", "value"), [("true", True), ('"true"', True), ('"false"', False), ("null", None)])
def test_booleans_come_as_text_too(text: str, value: object) -> None:
    """`"true"` is true."""
    assert read_appointment("x", b'{"id":"a","isRecurring":%s}' % text.encode()).value.is_recurring is value


def test_unknown_keys_and_statuses_never_break() -> None:
    """A word that is new is passed on as it is."""
    read = read_appointment("x", b'{"id":"a","appointmentStatus":"postponed","brandNew":{"deep":[1]}}')
    assert read == Read(Appointment(id="a", appointment_status="postponed"))


@pytest.mark.parametrize(
    ("body", "unread"),
    [
        (b'{"id":"a","title":5}', ("title",)),
        (b'{"id":"a","startTime":""}', ("start_time",)),
        (b'{"id":"a","startTime":"2026-09-14 09:00:00","title":"t"}', ("start_time",)),
        (b'{"id":"a","users":"x","createdBy":7}', ("users", "created_by")),
        (b'{"event":{"id":"a","isRecurring":"maybe"}}', ("is_recurring",)),
    ],
)
def test_a_field_that_cannot_be_read_is_named_and_hides_nothing_else(body: bytes, unread: tuple[str, ...]) -> None:
    """An oddity in one field neither hides the others nor makes a failure of an applied write."""
    read = read_appointment("x", body)
    assert read.unread == unread
    assert read.value.id == "a"
    assert all(getattr(read.value, name) is None for name in unread)


@pytest.mark.parametrize(
    "body", [b"[]", b"5", b'"ok"', b"null", b"[1,", b'{"a"', b' \n{"a"', b'{"event":' + b"[" * 5000]
)
def test_an_unreadable_success_says_that_a_write_was_applied(body: bytes) -> None:
    """A 2xx of JSON that is not an appointment is an error that says so, never a crash and never a repetition."""
    update = appointments.build_update_appointment("ev1", AppointmentUpdate(title="x"))
    read = read_success(update, 200, body)
    assert isinstance(read, DecodeError)
    assert read.outcome == "applied"
    unwritten = read_success(build_get_appointment("ev1"), 200, body)
    assert isinstance(unwritten, DecodeError)
    assert unwritten.outcome == "not_applied"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"OK",
        b"\xff",
        b" \r\n<?xml",
        b"\xef\xbb\xbf<p>",
        b"404 page",
        b"true enough",
        b'"a" b',
        b"\x1f\x8b",
    ],
)
def test_a_success_that_the_api_has_not_sent_leaves_a_write_open(body: bytes) -> None:
    """The first byte that is not blank decides, and a word or a number must be one as a whole."""
    update = appointments.build_update_appointment("ev1", AppointmentUpdate(title="x"))
    read = read_success(update, 200, body)
    assert isinstance(read, DecodeError)
    assert read.outcome == "unknown"
    unwritten = read_success(build_get_appointment("ev1"), 200, body)
    assert isinstance(unwritten, DecodeError)
    assert unwritten.outcome == "not_applied"


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b"", []),
        (b"   ", []),
        (b"error code: 1010", ["error code: 1010"]),
        (b"<html><head><title>502 Bad Gateway</title></head><body>&amp;</body></html>", ["502 Bad Gateway &"]),
        (b'{"status":400,"message":"no","name":"HttpException","traceId":"t"}', ["no"]),
        (b'{"statusCode":422,"message":["a","b"]}', ["a", "b"]),
        (b'{"statusCode":422,"message":[]}', []),
        (b'{"error":"Unauthorized"}', ["Unauthorized"]),
        (b'{"message":{"deep":1}}', ["deep: 1"]),
        (b'["x"]', ["x"]),
        (b'{"message":null,"name":"Oops"}', ["Oops"]),
    ],
)
def test_messages_are_a_list_of_strings_whatever_the_body(body: bytes, messages: list[str]) -> None:
    """JSON of either shape, text, HTML, nothing."""
    assert read_error(500, body).messages == messages


def test_the_trace_id_is_kept() -> None:
    """Support asks for it."""
    assert TRACE in str(read_error(400, encode(SAMPLES["400_slot_taken"]["body"])))


@pytest.mark.parametrize(
    ("status", "error"), [(302, exceptions.ApiError), (418, exceptions.ApiError), (599, exceptions.ServerError)]
)
def test_an_undocumented_status_is_an_api_error(status: int, error: type[Exception]) -> None:
    """Nothing falls through."""
    assert type(read_error(status, b"")) is error


def test_a_429_with_the_day_spent_is_a_daily_limit() -> None:
    """Waiting for the window would be in vain."""
    assert type(read_error(429, b"", daily_spent=True)) is exceptions.DailyLimitError
