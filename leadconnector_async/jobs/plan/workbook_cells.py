"""What a cell of a workbook means in a plan, by its value and by how the sheet shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final, TypeAlias, cast

from msgspec import Struct
from openpyxl.utils import datetime as sheet_times

from ..._api.fields import IDS, INSTRUCTIONS, TIMES
from ..._validation.text import show
from .rows import BadRow, is_blank, restore
from .sheet_xml import SAVE_AGAIN, Cell
from .shown_times import FORMAT_COLUMN, WRITE, describe_number
from .text_files import BadFile

Moment: TypeAlias = datetime | date | time | timedelta

_AS_TEXT: Final = "format the column as text, and write the cell again"
_PLAIN: Final = ("General", "0", "@")
_DIGITS: Final = 11
"""So many digits of a number a spreadsheet shows without rounding."""
_TIMES: Final = {*TIMES, *(f"before_{name}" for name in TIMES)}
_NOT_SHOWN: Final = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!(?:h+|m+|s+)\])[^\]]*\]', re.IGNORECASE)
"""What in a number format shows no part of a value: text, colours, a locale."""
_from_iso: Final = cast("Callable[[str], Moment]", sheet_times.from_ISO8601)  # pyright: ignore[reportUnknownMemberType]
_ROUNDING: Final = timedelta(milliseconds=5)
"""How far a time of a spreadsheet, which is a fraction of a day, is from the second that it means, at most."""


class Format(Struct, frozen=True):
    """How a number is shown."""

    is_plain: bool
    """As it is, or at least its digits."""
    is_moment: bool
    """As a day, a time of day, or both."""
    is_duration: bool = False
    """As an elapsed time, such as `[h]:mm`."""
    has_day: bool = False
    has_clock: bool = False


def read_format(code: str) -> Format:
    """By the letters of the format for positive numbers."""
    parts = _NOT_SHOWN.sub("", code.partition(";")[0]).lower()
    if code in _PLAIN or not any(letter in parts for letter in "dmyhs"):
        return Format(code in _PLAIN, is_moment=False)
    return Format(False, True, "[" in parts, "d" in parts, "h" in parts)


_GENERAL: Final = read_format("General")
_ISO: Final = read_format("yyyy-mm-dd hh:mm")


class CellReader:
    """Reads the cells of one workbook."""

    def __init__(self, texts: Sequence[str], epoch: datetime, formats: Iterable[str]) -> None:
        self._texts = texts
        self._epoch = epoch
        self._formats = [read_format(code) for code in formats]

    def read_text(self, cell: Cell) -> str:
        """What it holds, as text: for a heading, and to tell whether it is blank."""
        text = self._find_text(cell.text) if cell.kind == "s" and cell.text else cell.text
        return text.replace("_x000D_", "\r").strip()

    def read(self, name: str, cell: Cell) -> object:
        """Its value for a field; `None` for a blank cell. Raises `BadRow`."""
        if cell.kind == "b":
            return _read_truth(name, cell.text == "1")
        if cell.kind == "n" and cell.text:
            return self._read_number(name, cell.text, self._get_format(cell.style))
        if cell.kind == "d":
            return _read_iso(name, cell.text, self._get_format(cell.style))
        text = self.read_text(cell)
        return None if is_blank(text) else restore(text)

    def _find_text(self, index: str) -> str:
        try:
            return self._texts[int(index)]
        except (ValueError, IndexError):
            raise BadFile(f"the workbook is damaged: there is no text {show(index)}", SAVE_AGAIN) from None

    def _get_format(self, style: int) -> Format:
        return self._formats[style] if style < len(self._formats) else _GENERAL

    def _read_number(self, name: str, text: str, shown: Format) -> object:
        if shown.is_moment:
            return _read_moment(name, self._find_moment(name, text, shown), shown)
        if _is_id(name):
            raise BadRow(name, f"{show(text)} is a number that a spreadsheet made of the id", _AS_TEXT)
        if name in TIMES:
            moment = self._find_moment(name, text, shown)
            if not isinstance(moment, datetime):
                raise BadRow(name, f"{show(text)} is a number, and not a time", WRITE)
            raise BadRow(name, describe_number(text, moment), FORMAT_COLUMN)
        if shown.is_plain and text.isascii() and text.isdigit() and len(text) <= _DIGITS:
            return text
        raise BadRow(name, f"{show(text)} is a number, which the sheet may show in another form", _AS_TEXT)

    def _find_moment(self, name: str, text: str, shown: Format) -> Moment:
        """From the days since the workbook's first one: there are two such calendars."""
        try:
            found = cast(
                "Moment",
                sheet_times.from_excel(float(text), self._epoch, shown.is_duration),  # pyright: ignore[reportUnknownMemberType]
            )
        except (OverflowError, ValueError):
            found = date.min
        if isinstance(found, date) and found.year < 1900:
            raise BadRow(name, f"{show(text)} is not a date of a spreadsheet", WRITE)
        return _round(found) if isinstance(found, datetime) else found


def _is_id(name: str) -> bool:
    return name in ("event_id", "location_id") or name.removeprefix("before_") in IDS


def _read_truth(name: str, truth: bool) -> bool:
    if name not in INSTRUCTIONS:
        raise BadRow(name, f"{str(truth).upper()} is a truth value, and not text", _AS_TEXT)
    return truth


def _read_iso(name: str, text: str, shown: Format) -> datetime:
    """A date that the workbook keeps as text in ISO 8601."""
    try:
        found = _from_iso(text)
    except ValueError:
        raise BadRow(name, f"{show(text)} is not a time", WRITE) from None
    return _read_moment(name, found, shown if shown.is_moment else _ISO)


def _read_moment(name: str, moment: Moment, shown: Format) -> datetime:
    """What a reader of the sheet sees must be all of it."""
    if name not in _TIMES:
        raise BadRow(name, f"{show(str(moment))} is a date or a time, and not text", _AS_TEXT)
    if isinstance(moment, timedelta):
        raise BadRow(name, f"{show(str(moment))} is a duration, and not a time", WRITE)
    if isinstance(moment, time):
        raise BadRow(name, f"{show(str(moment))} has no day", WRITE)
    if not isinstance(moment, datetime) or (not shown.has_clock and moment.time() == time.min):
        raise BadRow(name, f"{show(f'{moment:%Y-%m-%d}')} has no time of day", WRITE)
    if not (shown.has_clock and shown.has_day):
        hidden = "day" if shown.has_clock else "time of day"
        raise BadRow(name, f"{show(f'{moment:%Y-%m-%d %H:%M}')} is shown without its {hidden}", FORMAT_COLUMN)
    return moment


def _round(moment: datetime) -> datetime:
    """To the second, unless it is farther off than arithmetic with fractions of a day brings it."""
    second = (moment + timedelta(milliseconds=500)).replace(microsecond=0)
    return second if abs(moment - second) <= _ROUNDING else moment
