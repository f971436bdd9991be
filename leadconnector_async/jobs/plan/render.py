"""One row of a plan, written as the cells that it was read from.

Reading the cells gives the row again. What no cell can say is named in the column `left_out`, so that nobody
sends the rest without having looked.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import UNSET

from ..._api.fields import PLANNED
from ...models import AppointmentUpdate
from .shift import Shift, parse_shift
from .wanted_change import WantedChange

LEFT_OUT: Final = "left_out"
"""A column that no plan knows."""
COLUMNS: Final = (
    "event_id",
    "location_id",
    *AppointmentUpdate.__struct_fields__,
    "shift",
    "timezone",
    *(f"before_{name}" for name in PLANNED),
    LEFT_OUT,
)
"""All columns of a plan, in their order, and the one for what it cannot say."""
_WORDS: Final = {True: "true", False: "false"}


def render_wanted(wanted: WantedChange, updates: tuple[AppointmentUpdate, ...]) -> dict[str, str]:
    """What a row wants. A shift that was counted already is written as the times that it led to."""
    values: dict[str, object] = {
        name: value
        for name in wanted.update.__struct_fields__
        if (value := getattr(wanted.update, name)) is not UNSET
    }
    values |= _render_shift(wanted, updates)
    cells = {name: _render(value) for name, value in values.items()}
    left_out = [name for name, text in cells.items() if not text or text != text.strip()]
    row = {name: text for name, text in cells.items() if name not in left_out} | _render_before(wanted)
    return row | {LEFT_OUT: " ".join(left_out)} if left_out else row


def _render_before(wanted: WantedChange) -> dict[str, str]:
    """What a cell cannot say is not compared when it comes back."""
    texts = {f"before_{name}": _render(getattr(wanted.before, name, None)) for name in PLANNED}
    return {name: text for name, text in texts.items() if text and text == text.strip()}


def _render_shift(wanted: WantedChange, updates: tuple[AppointmentUpdate, ...]) -> dict[str, object]:
    if wanted.shift is None:
        return {}
    for update in reversed(updates):
        if isinstance(update.start_time, datetime) and isinstance(update.end_time, datetime):
            return {"start_time": update.start_time, "end_time": update.end_time}
    values: dict[str, object] = {"shift": str(wanted.shift) if _can_be_said(wanted.shift) else ""}
    return values if wanted.timezone is None else values | {"timezone": wanted.timezone}


def _can_be_said(shift: Shift) -> bool:
    try:
        return parse_shift(str(shift)) == shift
    except ValueError:
        return False


def _render(value: object) -> str:
    if isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)
