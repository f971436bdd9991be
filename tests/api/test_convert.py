"""Payloads as mappings and as pydantic models: what is sent, and what is refused."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec import UNSET
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    computed_field,
    field_serializer,
    model_serializer,
)
from pydantic.alias_generators import to_camel

from leadconnector_async import (
    AppointmentCreate,
    AppointmentUpdate,
    BlockSlotCreate,
    BlockSlotUpdate,
    InvalidRequestError,
    ModelLike,
)
from leadconnector_async._api.convert import list_spellings, to_payload
from leadconnector_async._api.validate import (
    check_block_slot_create,
    check_block_slot_update,
    check_create,
    check_update,
)

START = datetime(2027, 3, 9, 9, tzinfo=UTC)
END = START + timedelta(minutes=30)


class Status(Enum):
    CONFIRMED = "confirmed"


class Move(BaseModel):
    """A model as programs have them: snake case, everything optional."""

    title: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    appointment_status: Status | None = None
    to_notify: bool = True


class CamelMove(Move):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class Renamed(BaseModel):
    begin: datetime = Field(alias="startTime")
    note: str = Field(default="", serialization_alias="description")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    title: str


def send(update: Mapping[str, object] | ModelLike | AppointmentUpdate) -> dict[str, object]:
    """What goes over the wire."""
    return msgspec.json.decode(msgspec.json.encode(check_update(update)), type=dict[str, object])


def refuse(update: object) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        check_update(update)  # type: ignore[arg-type]
    assert str(caught.value).endswith(" Nothing was sent.")
    return caught.value


SAME = {
    "snake case": {"title": "x", "start_time": START, "end_time": END, "appointment_status": "confirmed"},
    "camel case": {"title": "x", "startTime": START, "endTime": END, "appointmentStatus": "confirmed"},
    "both cases": {"title": "x", "start_time": START, "endTime": END, "appointmentStatus": Status.CONFIRMED},
    "a model": Move(title="x", start_time=START, end_time=END, appointment_status=Status.CONFIRMED),
    "a model of JSON": Move.model_validate_json(
        '{"title": "x", "start_time": "2027-03-09T09:00:00Z", "end_time": "2027-03-09T09:30:00+00:00",'
        ' "appointment_status": "confirmed"}'
    ),
    "a model with aliases": CamelMove(title="x", startTime=START, endTime=END, appointmentStatus="confirmed"),  # type: ignore[call-arg]
    "a Struct": AppointmentUpdate(title="x", start_time=START, end_time=END, appointment_status="confirmed"),
}


@pytest.mark.parametrize("given", SAME.values(), ids=SAME.keys())
def test_one_update_in_every_form_is_the_same_request(given: Any) -> None:
    """Byte for byte."""
    assert msgspec.json.encode(check_update(given)) == msgspec.json.encode(check_update(SAME["a Struct"]))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [AppointmentUpdate, AppointmentCreate, BlockSlotUpdate, BlockSlotCreate])
def test_every_field_is_known_in_both_cases(kind: type[msgspec.Struct]) -> None:
    """Those of every payload, by the names of the Struct and of the wire."""
    for field in msgspec.structs.fields(kind):
        assert list_spellings(kind)[field.name] == list_spellings(kind)[to_camel(field.name)] == field.name


def test_none_is_sent_and_what_is_absent_is_not() -> None:
    """`None` clears a field, as it does in the Struct; a default that nobody set is not a wish."""
    assert send({"title": None, "to_notify": False}) == {"title": None, "toNotify": False}
    assert send({"title": "x", "address": UNSET}) == {"title": "x"}
    assert send(Move(title=None)) == {"title": None}
    assert send(Move(title="x")) == {"title": "x"}
    assert send(Move.model_validate_json('{"title": null}')) == {"title": None}
    assert "it has no fields" in str(refuse(Move()))
    assert "it has no fields" in str(refuse({}))


def test_the_offset_of_a_model_is_kept() -> None:
    """Of times with pydantic's own zones, those of `zoneinfo`, and of text; naive ones are refused."""
    shown = "2027-07-09T09:00:00-04:00"
    assert send(Move.model_validate({"start_time": shown})) == {"startTime": shown}
    assert send(Move(start_time=datetime(2027, 7, 9, 9, tzinfo=ZoneInfo("America/New_York")))) == {
        "startTime": shown
    }
    assert send({"startTime": shown}) == {"startTime": shown}
    for naive in (Move(start_time=datetime(2027, 7, 9, 9)), {"start_time": datetime(2027, 7, 9, 9)}):
        error = refuse(naive)
        assert (error.field, error.reason) == ("start_time", "it has no offset")


def test_the_checks_are_those_of_the_struct() -> None:
    """The same error, to the letter; a model that was not validated is checked as well, without a warning."""
    for fields in (
        {"title": 5},
        {"appointment_status": "late"},
        {"start_time": END, "end_time": START},
        {"start_time": START.replace(microsecond=1)},
        {"title": "a\nb"},
        {"to_notify": "yes"},
        {"rrule": "RRULE:FREQ=DAILY"},
    ):
        struct = AppointmentUpdate(**fields)  # type: ignore[arg-type]
        assert str(refuse(fields)) == str(refuse(struct))
        if fields.keys() <= Move.model_fields.keys():
            assert str(refuse(Move.model_construct(**fields))) == str(refuse(struct))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"start_time": START, "startTime": START}, "start_time: start_time and startTime are the same field"),
        ({"tittle": "x"}, "tittle: AppointmentUpdate has no such field; use title."),
        ({"startime": START}, "startime: AppointmentUpdate has no such field; use start_time."),
        ({"StartTime": START}, "StartTime: AppointmentUpdate has no such field; use start_time."),
        ({"status": "new"}, "status: AppointmentUpdate has no such field; use appointment_status."),
        ({"colour": "red"}, "colour: AppointmentUpdate has no such field; use a field of AppointmentUpdate."),
        ({"contact_id": "k"}, "contact_id: AppointmentUpdate has no such field"),
        ({5: "x"}, "5: AppointmentUpdate has no such field"),
        ({"a\u202eb": "x"}, "a\\u202eb: AppointmentUpdate has no such field"),
        (Open(title="x", token="pit-secret"), "token: AppointmentUpdate has no such field"),  # type: ignore[call-arg]
        (
            Move,
            "it is not an instance of AppointmentUpdate; pass AppointmentUpdate(…), a mapping or a pydantic model",
        ),
        ("title", "it is not an instance of AppointmentUpdate"),
        ([("title", "x")], "it is not an instance of AppointmentUpdate"),
        (None, "it is not an instance of AppointmentUpdate"),
        (AppointmentCreate(calendar_id="c", contact_id="k", start_time=START), "it is not an instance of"),
    ],
)
def test_what_is_refused_is_named(given: object, text: str) -> None:
    """A name that is not known, with the nearest that is; a field in both cases; anything else. Without values."""
    error = refuse(given)
    assert text in str(error)
    assert "secret" not in str(error)
    assert "secret" not in repr(error.value)


def test_fields_of_a_model_are_known_by_their_aliases() -> None:
    """And by their names; but not where these name two different fields."""
    assert send(Renamed(startTime=START)) == {"startTime": "2027-03-09T09:00:00+00:00"}
    assert send(Renamed(startTime=START, note="n"))["description"] == "n"

    class Foreign(BaseModel):
        title: str = Field(alias="Überschrift")

    assert send(Foreign(Überschrift="x")) == {"title": "x"}

    class Crossed(BaseModel):
        title: str = Field(alias="description")

    assert "title: the field of Crossed has the alias description; rename one of them" in str(
        refuse(Crossed(description="x"))
    )


def test_what_a_model_dumps_is_what_counts() -> None:
    """Its serializers, computed and excluded fields are its own; the default of another type is not an error."""

    class Long(BaseModel):
        start_time: AwareDatetime
        minutes: int = Field(default=30, exclude=True)
        reason: Annotated[str, Field(exclude=True)] = ""

        @computed_field  # type: ignore[prop-decorator]
        @property
        def end_time(self) -> datetime:
            return self.start_time + timedelta(minutes=self.minutes)

        @field_serializer("start_time")
        def render(self, value: datetime) -> str:
            return value.isoformat()

    assert send(Long(start_time=START, minutes=60, reason="he asked")) == {
        "startTime": "2027-03-09T09:00:00+00:00",
        "endTime": "2027-03-09T10:00:00+00:00",
    }


def test_a_model_or_a_mapping_that_fails_is_an_error_of_ours() -> None:
    """Whatever it raises, and whatever it returns instead of fields."""

    class Broken(BaseModel):
        title: str

        @model_serializer
        def render(self) -> dict[str, str]:
            raise RuntimeError("no")

    class Numbers(RootModel[list[int]]):
        pass

    class Lost(Mapping[str, object]):
        def __getitem__(self, key: str) -> object:
            raise KeyError(key)

        def __iter__(self) -> Iterator[str]:
            return iter(["title"])

        def __len__(self) -> int:
            return 1

    for given in (Broken(title="x"), Numbers([1]), Lost()):
        assert f"{type(given).__name__} cannot be read" in str(refuse(given))


def test_a_secret_in_a_model_is_not_sent_nor_shown() -> None:
    """`SecretStr` is not text."""

    class Hidden(BaseModel):
        title: SecretStr

    error = refuse(Hidden(title=SecretStr("hidden-text")))
    assert error.field == "title"
    assert "hidden-text" not in str(error)


def test_subclasses_of_text_and_enums_are_taken() -> None:
    """As keys and as values."""

    class Name(StrEnum):
        TITLE = "title"

    class Number(IntEnum):
        ONE = 1

    assert send({Name.TITLE: "x", "appointmentStatus": Status.CONFIRMED}) == {
        "title": "x",
        "appointmentStatus": "confirmed",
    }
    assert refuse({"title": Number.ONE}).field == "title"


def test_what_a_creation_needs_is_named() -> None:
    """All that is missing, at once."""
    with pytest.raises(
        InvalidRequestError, match=r"contact_id: AppointmentCreate needs it; add contact_id and start"
    ):
        check_create({"calendarId": "c"}, location_id="l")
    with pytest.raises(
        InvalidRequestError, match="start_time: BlockSlotCreate needs it; add start_time and end_time"
    ):
        check_block_slot_create({"calendar_id": "c"}, location_id="l")


def test_creations_and_block_slots_are_converted_by_the_same_rule() -> None:
    """Each kind, from a mapping in camel case and from a model."""

    class Booking(BaseModel):
        model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
        calendar_id: str
        contact_id: str = "k"
        start_time: AwareDatetime
        end_time: AwareDatetime

    zone = timezone(timedelta(hours=-5))
    wire = {"calendarId": "c", "startTime": START.astimezone(zone), "endTime": END}
    model = Booking.model_validate(wire)
    create = check_create(model.model_copy(update={"contact_id": "k"}), location_id="l")
    assert create == check_create({**wire, "contactId": "k"}, location_id="l")
    slot = BlockSlotCreate(calendar_id="c", start_time=START.astimezone(zone), end_time=END)
    assert check_block_slot_create(wire, "l") == check_block_slot_create(slot, "l")
    update = BlockSlotUpdate(calendar_id="c", start_time=START.astimezone(zone), end_time=END)
    assert check_block_slot_update(wire, "l") == check_block_slot_update(update, "l")
    with pytest.raises(InvalidRequestError, match="location: BlockSlotUpdate has no such field; use location_id"):
        check_block_slot_update({**wire, "location": "l"})


def test_a_struct_is_not_converted() -> None:
    """It stays the same object."""
    update = AppointmentUpdate(title="x")
    assert to_payload(update, AppointmentUpdate) is update


def test_pydantic_is_not_needed() -> None:
    """A mapping is converted, and a wrong type refused, without importing it."""
    code = (
        "import sys; from leadconnector_async._api.validate import check_update;"
        "from leadconnector_async import InvalidRequestError; check_update({'title': 'x'})\n"
        "try: check_update(5)\nexcept InvalidRequestError: print('pydantic' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603
    assert shown.stdout == "False\n"
