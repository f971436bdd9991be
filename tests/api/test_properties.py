"""Laws of the codec, tried on whatever Hypothesis can think of."""

from datetime import datetime, timedelta, timezone
from typing import get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from leadconnector_async import (
    ApiError,
    Appointment,
    AppointmentStatus,
    AppointmentUpdate,
    DecodeError,
    MeetingLocationType,
)
from leadconnector_async._api.appointments import build_update_appointment
from leadconnector_async._api.body import read_success
from leadconnector_async._api.decode import Read
from leadconnector_async._api.errors import read_error
from leadconnector_async._api.payloads import WireUpdate

text = st.text(st.characters(codec="utf-8"))
line = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]))
flag = st.booleans()
offset = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
moment = st.builds(
    lambda naive, zone: naive.replace(microsecond=0, tzinfo=zone),
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)),
    offset,
)
rules = st.sampled_from(["RRULE:FREQ=DAILY;COUNT=5", "RRULE:FREQ=WEEKLY;BYDAY=MO\nEXDATE:20211105T040000Z"])


def optional(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return values | st.none() | st.just(UNSET)


@st.composite
def updates(draw: st.DrawFn) -> AppointmentUpdate:
    fields = {
        name: draw(optional(line)) for name in ("title", "meeting_location_id", "assigned_user_id", "calendar_id")
    }
    fields |= {
        name: draw(optional(text.filter(lambda one: "\0" not in one))) for name in ("description", "address")
    }
    for name in ("override_location_config", "ignore_date_range", "to_notify", "ignore_free_slot_validation"):
        fields[name] = draw(optional(flag))
    fields["appointment_status"] = draw(optional(st.sampled_from(get_args(AppointmentStatus))))
    fields["meeting_location_type"] = draw(optional(st.sampled_from(get_args(MeetingLocationType))))
    if fields["ignore_free_slot_validation"] is True:
        fields["rrule"] = draw(optional(rules))
    start = fields["start_time"] = draw(optional(moment))
    length = timedelta(seconds=draw(st.integers(1, 100_000)))
    ends = offset.map((start + length).astimezone) if isinstance(start, datetime) else moment
    fields["end_time"] = draw(optional(ends))
    update = msgspec.structs.replace(AppointmentUpdate(), **fields)
    return update if update != AppointmentUpdate() else AppointmentUpdate(title="x")


@given(updates())
def test_any_valid_update_survives_the_codec(update: AppointmentUpdate) -> None:
    """What is decoded from the wire is what was set: same fields, same values, same instants."""
    body = build_update_appointment("ev1", update, "v3").body
    assert body is not None
    back = msgspec.json.decode(body, type=WireUpdate)
    for name in AppointmentUpdate.__struct_fields__:
        sent, came = getattr(update, name), getattr(back, name)
        if isinstance(sent, datetime):
            came = datetime.fromisoformat(came)
        if name == "override_location_config" and sent is UNSET:
            continue
        assert came == sent


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    [field.encode_name for field in msgspec.structs.fields(Appointment)]
    + ["event", "appointment", "appoinmentStatus"]
)
answers = st.dictionaries(names | text, json_values, max_size=8)


@given(answers, st.booleans())
def test_any_json_object_is_read_or_is_our_error(answer: dict[str, object], wrapped: bool) -> None:
    """No answer crashes the decoder with anything but our errors, and the id is never lost."""
    request = build_update_appointment("ev1", AppointmentUpdate(title="x"))
    read = read_success(request, 200, msgspec.json.encode({"event": answer} if wrapped else answer))
    assert isinstance(read, Read | DecodeError | ApiError)
    if isinstance(read, Read):
        assert read.value.id


@given(st.binary())
def test_any_bytes_as_a_success_are_read_or_are_our_error(body: bytes) -> None:
    """Not even bytes that are no JSON crash it."""
    request = build_update_appointment("ev1", AppointmentUpdate(title="x"))
    assert isinstance(read_success(request, 200, body), Read | DecodeError | ApiError)


@given(st.integers(300, 599), st.binary() | st.builds(msgspec.json.encode, json_values | answers))
def test_any_bytes_as_an_error_body_give_an_api_error(status: int, body: bytes) -> None:
    """Whatever stands in it, messages is a list of short strings."""
    error = read_error(status, body)
    assert isinstance(error, ApiError)
    assert all(isinstance(message, str) and len(message) <= 301 for message in error.messages)
    assert str(error)
