"""Whether an appointment, as it was read, shows an update that was sent.

Nothing is claimed that was not seen. Every field that was sent, and that an event can show, must be shown
as it was sent (switches never are: alone, they leave it open); one that is
shown otherwise says that the update was not applied, one that is not shown at all leaves that open. Times are
compared as instants, because the server renders them in the assignee's offset, and texts without what surrounds
them. Texts that are empty can be missing from what the server shows [doc: Get Appointment]. What a `null` does to
a field is not known [guess], so it proves nothing either way; nor does a deleted event.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime
from typing import Final

from msgspec import UNSET, Struct

from .._validation.text import show
from ..models import Appointment
from .payloads import WireUpdate

_OPTIONAL_TEXTS: Final = frozenset({"title", "description", "address"})
_TEXTS: Final = (
    *sorted(_OPTIONAL_TEXTS),
    "appointment_status",
    "calendar_id",
    "assigned_user_id",
    "meeting_location_type",
    "meeting_location_id",
)
_KEPT_AS: Final = {"completed": "showed", "active": "confirmed"}
"""What the server makes of a status [field for the first, guess for the second]."""
_TIMES: Final = ("start_time", "end_time")
_COMPARED: Final = (*_TEXTS, *_TIMES, "rrule")
WATCHED: Final = (
    "start_time",
    "end_time",
    "appointment_status",
    "assigned_user_id",
    "calendar_id",
    "title",
    "address",
    "description",
    "rrule",
)
"""What somebody else may have changed: all that an update can overwrite and every reading of an event shows.

Answers to updates show the kind of meeting too, events do not [doc]."""


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
    if shown.deleted or all(getattr(shown, name) is None for name in _COMPARED):
        return None
    verdicts = [_compare_field(name, sent, shown, unread) for name in _COMPARED if _is_sent(name, sent)]
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
    return value is not UNSET and value is not None


def _compare_field(name: str, sent: WireUpdate, shown: Appointment, unread: Container[str]) -> bool | None:
    ours, theirs = getattr(sent, name), getattr(shown, name)
    if name in unread:
        return None
    if name in _TIMES:
        return None if theirs is None else datetime.fromisoformat(ours) == theirs
    if name == "rrule":
        return _fold_rule(ours) == _fold_rule(theirs or "")
    if theirs is None and name not in _OPTIONAL_TEXTS:
        return None
    if name == "appointment_status":
        return theirs in (ours, _KEPT_AS.get(ours))
    return str(ours).strip() == str(theirs or "").strip()


def _fold_rule(text: str) -> str:
    return "".join(text.upper().split())
