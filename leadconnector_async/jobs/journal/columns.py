"""What the columns of a row hold: appointments, updates and differences, as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..._api.fields import SHOWN
from ..._validation.text import show
from ...models import Appointment, AppointmentUpdate
from ...reschedule.plan import Difference
from ..states import RowOutcome, RowState


class _StoredUpdate(AppointmentUpdate, frozen=True, kw_only=True, gc=False):
    """An update as it was planned: its times are datetimes, so that each is decoded in one step."""

    start_time: datetime | None | UnsetType = UNSET
    end_time: datetime | None | UnsetType = UNSET


class OutcomeColumns(Struct, frozen=True, array_like=True):
    """What a row says of its outcome: each field is the column of its name, in the order of `OUTCOME_COLUMNS`."""

    line: int
    event_id: str
    location: str
    state: RowState
    reason: str
    attempts: int
    repeated: int
    trace_id: str | None
    new_id: str | None

    def build(self) -> RowOutcome:
        """The outcome, as users see it."""
        return RowOutcome(
            line=self.line,
            event_id=self.event_id,
            location_id=self.location or None,
            state=self.state,
            reason=self.reason,
            attempts=self.attempts,
            repeated=bool(self.repeated),
            trace_id=self.trace_id,
            new_event_id=self.new_id,
        )


OUTCOME_COLUMNS: Final = ", ".join(OutcomeColumns.__struct_fields__)
_REFUSED: Final = re.compile("[\0\ud800-\udfff]")
_KEPT: Final = ("id", *SHOWN, "contact_id", "is_recurring", "master_event_id", "deleted")
_get_kept: Final = attrgetter(*_KEPT)
_Found: Final = msgspec.defstruct(
    "_Found", [(name, object, None) for name in _KEPT], rename="camel", omit_defaults=True, gc=False
)
"""An appointment as it is stored: without the fields that it does not show."""
_encoder: Final = msgspec.json.Encoder()
_encode: Final = _encoder.encode
_decode_found: Final = msgspec.json.Decoder(Appointment).decode
_decode_updates: Final = msgspec.json.Decoder(tuple[_StoredUpdate, ...]).decode
_decode_differences: Final = msgspec.json.Decoder(list[tuple[str, str, str]]).decode


def clean(text: str) -> str:
    """Text that comes from elsewhere, without what a database refuses: NUL and lone surrogates."""
    return _REFUSED.sub("\ufffd", text)


def encode_found(event: Appointment) -> bytearray:
    """An appointment, without the fields that it does not show."""
    content = bytearray()
    _encoder.encode_into(_Found(*_get_kept(event)), content)
    return content


def decode_found(content: bytes | str | None) -> Appointment:
    """An appointment as it was stored; an empty one for `None`."""
    return Appointment() if content is None else _decode_found(content)


def find_offset(moment: datetime | None) -> int | None:
    """The distance of a time's zone from UTC, in seconds: the calendar's zone, as the server shows times."""
    offset = None if moment is None else moment.utcoffset()
    return None if offset is None else int(offset.total_seconds())


def encode_updates(updates: Iterable[AppointmentUpdate]) -> bytes:
    """The updates planned for a row."""
    return _encode(list(updates))


def decode_updates(content: bytes | str | None) -> tuple[AppointmentUpdate, ...]:
    """The updates planned for a row; none for `None`."""
    return () if content is None else _decode_updates(content)


def encode_differences(differences: Iterable[Difference]) -> bytes:
    """Differences as field, before and after, in words."""
    return _encode([(one.field, render_value(one.before), render_value(one.after)) for one in differences])


def decode_differences(content: bytes | None) -> list[tuple[str, str, str]]:
    """Differences as field, before and after, in words."""
    return [] if content is None else _decode_differences(content)


def render_value(value: object) -> str:
    """A value as people read it."""
    return value.isoformat(timespec="minutes") if isinstance(value, datetime) else show(value)
