"""What a row of a plan asks for, as it is stored in the journal."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from ..._api.payloads import WireUpdate
from ...models import AppointmentUpdate
from .rows import Precondition
from .shift import Shift


class WantedChange(Struct, frozen=True, array_like=True):
    """What a row wants, as the journal keeps it."""

    update: AppointmentUpdate
    shift: Shift | None
    timezone: str | None
    before: Precondition | None


class _WireWanted(Struct, frozen=True, array_like=True):
    update: WireUpdate
    shift: Shift | None
    timezone: str | None
    before: Precondition | None


_decode_wanted: Final = msgspec.json.Decoder(_WireWanted).decode


def read_wanted(content: bytes) -> WantedChange:
    """What was written of a row."""
    kept = _decode_wanted(content)
    update = AppointmentUpdate(**msgspec.structs.asdict(kept.update))
    return WantedChange(update, kept.shift, kept.timezone, kept.before)
