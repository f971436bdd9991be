"""Whether an appointment, as it was read, shows an update that was sent.

Rule: times are compared as instants, because the server renders them in the assignee's offset; texts without
what surrounds them. What no answer shows, such as the switches of the slot check, is not compared; if nothing
is left to compare, nothing is claimed.

Pure. Knows the models only.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec import UNSET

from .models import Appointment, WireUpdate

_TEXTS: Final = (
    "title",
    "appointment_status",
    "description",
    "address",
    "calendar_id",
    "assigned_user_id",
    "meeting_location_type",
    "meeting_location_id",
)
_TIMES: Final = ("start_time", "end_time")


def compare_update(sent: WireUpdate, shown: Appointment) -> bool | None:
    """Tell whether `shown` has every field as it was sent; `None` if it shows none of them."""
    if shown.deleted:
        return False
    equal = [
        *_compare(_TEXTS, sent, shown, _equal_texts),
        *_compare(_TIMES, sent, shown, _equal_times),
        *(_compare(("rrule",), sent, shown, _equal_rules) if sent.ignore_free_slot_validation is True else ()),
    ]
    return all(equal) if equal else None


def _compare(
    names: tuple[str, ...], sent: WireUpdate, shown: Appointment, equal: Callable[[object, object], bool]
) -> list[bool]:
    pairs = [(getattr(sent, name), getattr(shown, name)) for name in names]
    return [equal(ours, theirs) for ours, theirs in pairs if ours is not UNSET and theirs is not None]


def _equal_texts(sent: object, shown: object) -> bool:
    return str(sent or "").strip() == str(shown).strip()


def _equal_times(sent: object, shown: object) -> bool:
    return isinstance(sent, str) and datetime.fromisoformat(sent) == shown


def _equal_rules(sent: object, shown: object) -> bool:
    return "".join(str(sent or "").upper().split()) == "".join(str(shown).upper().split())
