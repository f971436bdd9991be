"""Whether a reading of an appointment shows an update that was sent.

Only what was seen is claimed. Every field that was sent must be shown as it was sent: a field that is shown
otherwise proves that the update was not applied; one that is not shown, or cannot be compared, leaves that open.
Instructions about the request, such as `to_notify`, leave no trace: beside other fields they are ignored, alone
they leave the outcome open. Times are compared as instants, because the server renders them in the assignee's
offset, and texts without surrounding whitespace. An empty text can be missing from a reading [doc].
What a `null` does to a field is not known [guess], so it proves nothing; nor does a deleted event.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime
from typing import Final

from msgspec import UNSET, Struct

from .._validation.text import show
from ..models import Appointment
from .fields import BY_NAME, SHOWN, WATCHED
from .payloads import WireCreate, WireUpdate

_STORED_AS: Final = {"completed": "showed", "active": "confirmed"}
"""What the server makes of a status [field for the first, guess for the second]."""


class FieldChange(Struct, frozen=True):
    """A field that is not as it was."""

    name: str
    before: object
    now: object

    def __str__(self) -> str:
        return f"{self.name} was {_show(self.before)}, is {_show(self.now)}"


def list_changes(before: object, now: Appointment, *, whole: bool = True) -> list[FieldChange]:
    """What is not as it was.

    `before` has the names of an appointment; what it lacks was empty, unless it is not the `whole` of it: then that
    is not compared. A deletion is a change. A text that is empty and one that is missing are the same.
    """
    if now.deleted and not getattr(before, "deleted", None):
        return [FieldChange("deleted", None, True)]
    return [
        FieldChange(name, old, new)
        for name in WATCHED
        if (old := getattr(before, name, None)) is not None or whole
        if (new := getattr(now, name)) != old and (old or new)
    ]


def _show(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="minutes")
    return show(value) if value or value is False else "empty"


def compare_update(sent: WireUpdate, shown: Appointment, unread: Container[str] = ()) -> bool | None:
    """Tell whether `shown` has every field as it was sent; `None` if that cannot be told.

    `unread` names the fields of `shown` that were there but could not be read.
    """
    if shown.deleted or all(getattr(shown, name) is None for name in SHOWN):
        return None
    verdicts = [compare_field(name, sent, shown, unread) for name in sent.__struct_fields__ if _is_sent(name, sent)]
    if False in verdicts:
        return False
    return None if None in verdicts or not verdicts else True


def name_other_location(shown: Appointment, location_id: str | None) -> str | None:
    """Say that an appointment belongs to another location than the one asked for; `None` where it does not."""
    other = shown.location_id
    if not other or not location_id or other == location_id:
        return None
    return f"the appointment belongs to location {other}, not to {location_id}"


def _is_sent(name: str, sent: WireUpdate) -> bool:
    value = getattr(sent, name)
    row = BY_NAME.get(name)
    return value is not UNSET and value is not None and (row is None or row.kind != "instruction")


def compare_field(
    name: str, sent: WireUpdate | WireCreate, shown: Appointment, unread: Container[str] = ()
) -> bool | None:
    """Whether one field is shown as it was sent; `None` if that cannot be told."""
    row = BY_NAME.get(name)
    if row is None or row.shown == "never" or name in unread:
        return None
    ours, theirs = getattr(sent, name), getattr(shown, name)
    if theirs is None and row.kind not in ("text", "rule"):
        return None
    match row.kind:
        case "time":
            return bool(datetime.fromisoformat(ours) == theirs)
        case "rule":
            return _fold(ours) == _fold(theirs or "")
        case _:
            text = (theirs or "").strip()
            return text == ours.strip() or (name == "appointment_status" and text == _STORED_AS.get(ours))


def _fold(rule: str) -> str:
    return "".join(rule.upper().split())
