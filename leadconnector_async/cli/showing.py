"""How single calls show what they got: tables for people, JSON for scripts.

Rule: JSON has the API's own names. Times are shown as the server shows them, and text of the server steers no
terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from itertools import groupby
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..models import Appointment
from .consoles import DOCUMENT, make_consoles
from .output import clean, write_lines

_SHOWN: Final = {"start_time": "starts", "appointment_status": "status", "id": "id", "title": "title"}
_WIDE: Final = 10_000


def show_event(event: Appointment, *, as_json: bool) -> None:
    """All fields that the server shows."""
    shown = name_fields(event)
    if as_json:
        write_json(shown)
        return
    out = _make_console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in shown.items():
        table.add_row(name, Text(clean(_describe(value))))
    out.print(table)


def show_events(events: list[Appointment]) -> None:
    """A line for each; ids are whole, whatever the width."""
    table = Table(box=None, pad_edge=False)
    rows = [[clean(_render(getattr(event, name))) for name in _SHOWN] for event in events]
    for place, (name, heading) in enumerate(_SHOWN.items()):
        whole = max((len(row[place]) for row in rows), default=0) if name != "title" else None
        table.add_column(heading, no_wrap=True, min_width=whole, overflow="ellipsis")
    for row in rows:
        table.add_row(*map(Text, row))
    _make_console().print(table)


def _make_console() -> Console:
    """Lines are as long as they must be where no terminal shows them."""
    out, _ = make_consoles()
    if not out.is_terminal:
        out.width = _WIDE
    return out


def show_slots(days: Mapping[date, Iterable[datetime]]) -> None:
    """A line for each day: times of day, with the offset that they share in front of them."""
    write_lines(f"{day} {_list_times(slots)}\n" for day, slots in sorted(days.items()))


def _list_times(slots: Iterable[datetime]) -> str:
    groups = groupby(slots, key=lambda slot: slot.isoformat()[19:])
    return "  ".join(" ".join([f"({offset})", *(f"{one:%H:%M}" for one in group)]) for offset, group in groups)


def _render(value: object) -> str:
    return value.isoformat(timespec="minutes") if isinstance(value, datetime) else str(value or "")


def _describe(value: object) -> str:
    return value if isinstance(value, str) else _encode(value)


def name_fields(event: Appointment) -> dict[str, object]:
    """What the server shows of it, by the API's names."""
    return {
        name: value
        for name, value in msgspec.convert(msgspec.to_builtins(event), dict[str, object]).items()
        if value is not None
    }


def write_json(value: object) -> None:
    """One value, in one line. What a terminal could obey is written as JSON's escapes have it."""
    DOCUMENT.promise(due=False)
    write_lines([_escape_unseen(_encode(value)) + "\n"])


def _escape_unseen(text: str) -> str:
    """JSON of the same value, printable throughout."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()
