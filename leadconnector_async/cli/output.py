"""Results of commands: tables for people; JSON, JSON lines or CSV for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import date, datetime, tzinfo
from itertools import groupby
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._system.files import write_beside
from ..exceptions import ConfigurationError
from ..models import Appointment
from .terminal import DOCUMENT, drop_output, make_consoles

_JOINERS: Final = "\u200c\u200d"
"""They join letters of some scripts, and emoji."""


def write_lines(lines: Iterable[str]) -> None:
    """To stdout, in UTF-8. A reader that has closed the pipe is not an error."""
    try:
        sys.stdout.flush()
        for line in lines:
            sys.stdout.buffer.write(line.encode())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        drop_output(sys.stdout)


def check_target(path: str | None, *, force: bool) -> None:
    """Check before the work that a file can be written; `None` is stdout. Raises `ConfigurationError`."""
    if path is None:
        return
    if os.path.isdir(path):
        raise ConfigurationError(f"{path} is a folder; specify a file name")
    if os.path.lexists(path) and not force:
        raise ConfigurationError(f"{path} already exists; choose another name, or add --force to overwrite it")
    folder = os.path.dirname(path) or os.curdir
    if not os.path.isdir(folder):
        raise ConfigurationError(f"{path} cannot be written: the folder {folder} does not exist")


def write_file(path: str, lines: Iterable[str], *, force: bool) -> None:
    """To a file that only its owner can read, atomically. Raises `ConfigurationError`."""
    try:
        with write_beside(path, lines) as temporary:
            _rename(temporary, path, force=force)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from None


def clean(text: str) -> str:
    """Without line ends and control characters."""
    return "".join(letter if letter.isprintable() or letter in _JOINERS else " " for letter in text)


def _rename(temporary: str, path: str, *, force: bool) -> None:
    """Give the file its name; without `force`, never overwrite one that was created in the meantime."""
    if force:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # not every file system has links
        os.replace(temporary, path)


_SHOWN: Final = {"start_time": "starts", "appointment_status": "status", "id": "id", "title": "title"}
_WIDE: Final = 10_000


def show_event(event: Appointment, *, as_json: bool) -> None:
    """All fields in the response."""
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


def show_events(events: list[Appointment], zone: tzinfo | None) -> None:
    """One line per event; without a zone, times keep their offsets. Ids are never cut, whatever the width."""
    table = Table(box=None, pad_edge=False)
    rows = [[clean(_render(getattr(event, name), zone)) for name in _SHOWN] for event in events]
    for column, (name, heading) in enumerate(_SHOWN.items()):
        width = max((len(row[column]) for row in rows), default=0) if name != "title" else None
        table.add_column(heading, no_wrap=True, min_width=width, overflow="ellipsis")
    for row in rows:
        table.add_row(*map(Text, row))
    _make_console().print(table)


def _make_console() -> Console:
    """Without a terminal, lines are as long as necessary."""
    out, _ = make_consoles()
    if not out.is_terminal:
        out.width = _WIDE
    return out


def show_slots(days: Mapping[date, Iterable[datetime]]) -> None:
    """One line per day: the times, after the offset that they share."""
    write_lines(f"{day} {_list_times(slots)}\n" for day, slots in sorted(days.items()))


def _list_times(slots: Iterable[datetime]) -> str:
    groups = groupby(slots, key=lambda slot: slot.isoformat()[19:])
    return "  ".join(" ".join([f"({offset})", *(f"{one:%H:%M}" for one in group)]) for offset, group in groups)


def _render(value: object, zone: tzinfo | None) -> str:
    if isinstance(value, datetime):
        return (value if zone is None else value.astimezone(zone)).isoformat(timespec="minutes")
    return str(value or "")


def _describe(value: object) -> str:
    return value if isinstance(value, str) else _encode(value)


def name_fields(event: Appointment) -> dict[str, object]:
    """The fields in the response, by the API's names."""
    return {
        name: value
        for name, value in msgspec.convert(msgspec.to_builtins(event), dict[str, object]).items()
        if value is not None
    }


def write_json(value: object) -> None:
    """One value on one line. Characters that control a terminal are escaped as in JSON."""
    DOCUMENT.promise(due=False)
    write_lines([_escape_unprintable(_encode(value)) + "\n"])


def _escape_unprintable(text: str) -> str:
    """The same JSON with printable characters only."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()
