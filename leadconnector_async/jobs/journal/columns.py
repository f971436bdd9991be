"""What the columns of a row hold: appointments, updates and differences, as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from ..._api.fields import SHOWN
from ..._api.payloads import WireUpdate
from ..._validation.text import show
from ...models import Appointment, AppointmentUpdate
from ...reschedule.plan import Difference

_KEPT: Final = ("id", *SHOWN, "is_recurring", "master_event_id", "deleted")
_NAMES: Final = {field.name: field.encode_name for field in msgspec.structs.fields(Appointment)}
_encode: Final = msgspec.json.Encoder().encode
_decode_found: Final = msgspec.json.Decoder(Appointment).decode
_decode_updates: Final = msgspec.json.Decoder(list[WireUpdate]).decode
_decode_differences: Final = msgspec.json.Decoder(list[tuple[str, str, str]]).decode


def encode_found(event: Appointment) -> bytes:
    """An appointment, without the fields that it does not show."""
    return _encode({_NAMES[name]: value for name in _KEPT if (value := getattr(event, name)) is not None})


def decode_found(content: bytes | None) -> Appointment:
    """An appointment as it was stored; an empty one for `None`."""
    return Appointment() if content is None else _decode_found(content)


def find_offset(moment: datetime | None) -> int | None:
    """The distance of a time's zone from UTC, in seconds: the calendar's zone, as the server shows times."""
    offset = None if moment is None else moment.utcoffset()
    return None if offset is None else int(offset.total_seconds())


def encode_updates(updates: Iterable[AppointmentUpdate]) -> bytes:
    """The updates planned for a row."""
    return _encode(list(updates))


def decode_updates(content: bytes | None) -> tuple[AppointmentUpdate, ...]:
    """The updates planned for a row; none for `None`."""
    if content is None:
        return ()
    return tuple(AppointmentUpdate(**msgspec.structs.asdict(one)) for one in _decode_updates(content))


def encode_differences(differences: Iterable[Difference]) -> bytes:
    """Differences as field, before and after, in words."""
    return _encode([(one.field, render_value(one.before), render_value(one.after)) for one in differences])


def decode_differences(content: bytes | None) -> list[tuple[str, str, str]]:
    """Differences as field, before and after, in words."""
    return [] if content is None else _decode_differences(content)


def render_value(value: object) -> str:
    """A value as people read it."""
    return value.isoformat(timespec="minutes") if isinstance(value, datetime) else show(value)
