"""Structs in pydantic: read, written and described as the JSON that they are everywhere."""

import inspect
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import Any, get_args

import msgspec
import pytest
from msgspec import UNSET, Struct
from pydantic import BaseModel, TypeAdapter, ValidationError

from leadconnector_async import (
    Appointment,
    AppointmentCreate,
    AppointmentStatus,
    AppointmentUpdate,
    BlockSlotUpdate,
    Calendar,
    LocationQuota,
    models,
)
from leadconnector_async.models import CreatedBy

MODELS: list[Any] = [
    one for one in vars(models).values() if inspect.isclass(one) and issubclass(one, Struct) and one.__doc__
]
START = datetime(2027, 3, 9, 9, tzinfo=timezone(timedelta(hours=-5)))
APPOINTMENT = Appointment(
    id="ev1", title="Intro", users=("u1",), start_time=START, created_by=CreatedBy(user_id="u1"), deleted=False
)


def describe(struct: Any, **options: Any) -> dict[str, Any]:
    return TypeAdapter(struct).json_schema(**options)


@pytest.mark.parametrize("struct", MODELS)
def test_every_model_is_described_by_its_names_in_json(struct: Any) -> None:
    """In the same way whether it is read or written; what has no default is required."""
    schema = describe(struct)
    assert schema == describe(struct, mode="serialization")
    fields = msgspec.structs.fields(struct)
    assert [*schema["properties"]] == [one.encode_name for one in fields]
    assert schema.get("required", []) == [one.encode_name for one in fields if one.required]
    assert schema["title"] == struct.__name__


def test_absence_is_not_null() -> None:
    """A field of an update may be left out, or be null, and has no default; no other name is accepted."""
    schema = describe(AppointmentUpdate)
    assert "required" not in schema
    assert schema["additionalProperties"] is False
    for field in schema["properties"].values():
        assert {"type": "null"} in field["anyOf"]
        assert "default" not in field
    create = describe(AppointmentCreate)
    assert create["required"] == ["calendarId", "contactId", "startTime"]
    assert "null" not in str(create["properties"]["locationId"])


def test_times_and_enumerations_are_described() -> None:
    """A time is a date-time and no other text; a status that is sent is one of a list, one that is read is open."""
    update, read = describe(AppointmentUpdate)["properties"], describe(Appointment)["properties"]
    time = [{"type": "string", "format": "date-time"}, {"type": "null"}]
    assert update["startTime"]["anyOf"] == read["startTime"]["anyOf"] == time
    (status, _) = update["appointmentStatus"]["anyOf"]
    assert status["enum"] == [*get_args(AppointmentStatus)]
    assert read["appointmentStatus"]["anyOf"][0] == {"type": "string"}
    assert "additionalProperties" not in describe(Appointment)
    assert describe(Appointment)["$defs"]["CreatedBy"]["properties"].keys() == {"userId", "source"}
    assert "appoinmentPerSlot" in describe(Calendar)["properties"]


def test_what_is_written_is_the_json_of_the_struct() -> None:
    """Times with their offset; fields that are unset are left out."""
    written = TypeAdapter(Appointment).dump_json(APPOINTMENT)
    assert msgspec.json.decode(written) == msgspec.json.decode(msgspec.json.encode(APPOINTMENT))
    assert b'"startTime":"2027-03-09T09:00:00-05:00"' in written
    brief = TypeAdapter(Appointment).dump_json(APPOINTMENT, exclude_none=True)
    assert msgspec.json.decode(brief, type=Appointment) == APPOINTMENT
    assert b"null" not in brief
    update = AppointmentUpdate(title=None, start_time=START, end_time="2027-03-09T10:00:00-05:00")
    assert TypeAdapter(AppointmentUpdate).dump_python(update, mode="json") == {
        "title": None,
        "startTime": "2027-03-09T09:00:00-05:00",
        "endTime": "2027-03-09T10:00:00-05:00",
    }


def test_an_update_is_read_as_it_was_sent() -> None:
    """What was left out is unset, and null is `None`."""
    read = TypeAdapter(AppointmentUpdate).validate_python
    update = read({"title": None, "toNotify": False, "startTime": "2027-03-09T09:00:00-05:00"})
    assert (update.title, update.to_notify, update.address) == (None, False, UNSET)
    assert update == TypeAdapter(AppointmentUpdate).validate_json(msgspec.json.encode(update))
    assert read(update) is update


INVALID: list[tuple[Any, object, str]] = [
    (AppointmentUpdate, {"titel": "x"}, "titel"),
    (AppointmentUpdate, ["title"], "AppointmentUpdate"),
    (AppointmentUpdate, {1: "x"}, "1"),
    (AppointmentCreate, {"calendarId": "c", "contactId": "d"}, "start"),
    (BlockSlotUpdate, {"contactId": "c"}, "contactId"),
    (Appointment, {"users": "u1"}, r"\$\.users"),
    (Appointment, "ev1", "object"),
    (Appointment, {"startTime": "2027-03-09T09:00:00"}, r"\$\.startTime"),
]


@pytest.mark.parametrize(("struct", "given", "named"), INVALID)
def test_what_is_invalid_is_named_but_not_shown(struct: Any, given: object, named: str) -> None:
    """As pydantic's own error, so that FastAPI responds with a 422."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(struct).validate_python(given)
    (error,) = caught.value.errors()
    assert re.search(named, error["msg"])


class Visit(BaseModel):
    """A model of a user's."""

    appointment: Appointment
    history: list[Appointment] = []
    change: AppointmentUpdate | None = None


def test_models_of_users_may_hold_them() -> None:
    """Alone, in a list, or as a choice; each Struct is described once."""
    visit = Visit(appointment=APPOINTMENT, history=[APPOINTMENT], change=AppointmentUpdate(title="x"))
    assert Visit.model_validate_json(visit.model_dump_json()) == visit
    schema = Visit.model_json_schema()
    assert schema["properties"]["appointment"] == {"$ref": "#/$defs/Appointment"}
    assert schema["$defs"].keys() == {"Appointment", "AppointmentUpdate", "CreatedBy", "StatusDetails"}


def test_snapshots_are_described_too() -> None:
    """The quota of a location, for example."""
    assert "dailyRemaining" not in describe(LocationQuota)["properties"]
    assert describe(LocationQuota)["properties"]["mode"]["enum"] == ["burst", "paced", "shared"]


def test_pydantic_is_imported_only_by_those_who_use_it() -> None:
    """Not by any name of the package, nor by a call."""
    code = "import sys; from leadconnector_async import *; AppointmentUpdate(title='x'); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout  # noqa: S603
    assert "leadconnector_async._model" in shown.split()
    assert not {"pydantic", "pydantic_core"} & set(shown.split())
