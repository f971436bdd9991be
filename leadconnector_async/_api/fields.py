"""The fields of an appointment that can be set: one row each.

Payload checks, comparison, safe changes, plan columns, preconditions, the journal and the report derive from these
rows. To add a field, add its row, then run `python -m tests.declare_fields`: it writes the typed declarations that
type checkers and IDEs need. The sandbox is independent of the client, so it needs the field too.

| kind | value |
| --- | --- |
| `text` | free text: sent and stored as it is written; where it is empty, a reading may lack it [doc] |
| `id` | id of a calendar or a user |
| `word` | one word of the API's vocabulary |
| `time` | aware datetime |
| `rule` | RFC 5545 rule of a series |
| `instruction` | boolean about this one request; the appointment does not keep it |
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from ..models import AppointmentStatus, MeetingLocationType

Kind: TypeAlias = Literal["text", "id", "word", "time", "rule", "instruction"]
Shown: TypeAlias = Literal["always", "in_responses", "never"]
"""Where the server shows a field: in every reading of an event and in responses to updates, only in the latter
[doc], or nowhere."""


class Field(Struct, frozen=True):
    """One row."""

    name: str
    """In snake_case; on the wire it is camelCase."""
    kind: Kind
    shown: Shown = "always"
    choices: tuple[str, ...] = ()
    """The only values that can be sent; empty if there is no such list."""
    multiline: bool = False
    """It may hold line breaks."""
    kept: bool = False
    """An update without it can reset it, so a safe change sends the current value along [field]."""
    in_changes: bool = True
    """A safe change can set it by name; the times are arguments of their own."""
    personal: bool = False
    """Its value is left out of reports."""


FIELDS: Final = (
    Field("start_time", "time", in_changes=False),
    Field("end_time", "time", in_changes=False),
    Field("appointment_status", "word", choices=get_args(AppointmentStatus), kept=True),
    Field("assigned_user_id", "id", kept=True),
    Field("calendar_id", "id", kept=True),
    Field("title", "text", personal=True),
    Field("address", "text", multiline=True, personal=True),
    Field("description", "text", multiline=True, personal=True),
    Field("meeting_location_type", "word", "in_responses", choices=get_args(MeetingLocationType)),
    Field("meeting_location_id", "word", "in_responses"),
    Field("rrule", "rule", multiline=True, in_changes=False),
    Field("override_location_config", "instruction", "never", in_changes=False),
    Field("ignore_date_range", "instruction", "never"),
    Field("to_notify", "instruction", "never"),
    Field("ignore_free_slot_validation", "instruction", "never"),
)
BY_NAME: Final = {row.name: row for row in FIELDS}
TEXTS: Final = frozenset(row.name for row in FIELDS if row.kind == "text")
IDS: Final = frozenset(row.name for row in FIELDS if row.kind == "id")
TIMES: Final = tuple(row.name for row in FIELDS if row.kind == "time")
INSTRUCTIONS: Final = frozenset(row.name for row in FIELDS if row.kind == "instruction")
SHOWN: Final = tuple(row.name for row in FIELDS if row.shown != "never")
"""Fields that some response shows."""
WATCHED: Final = tuple(row.name for row in FIELDS if row.shown == "always")
"""Fields in which every reading shows somebody else's change."""
PLANNED: Final = tuple(name for name in WATCHED if BY_NAME[name].kind != "rule")
"""Fields that a plan can change and every reading shows: a row can state their old value in a column `before_…`."""
PERSONAL: Final = tuple(row.name for row in FIELDS if row.personal)
