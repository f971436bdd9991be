"""Reading a plan in CSV.

Whatever spreadsheets write is read where it has one meaning: `sep=;`, tabs, trailing empty cells, blank rows. A
fault is reported where it begins: an unclosed quotation mark in the line in which it opens.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from msgspec import Struct

from ..._validation.text import show
from ...exceptions import RowFault
from .heading import MORE_CELLS, Read, read_heading
from .rows import PlanRow, is_blank, restore

_SEPARATOR: Final = re.compile(r'"?sep=(?P<delimiter>[^"\r\n])"?(?P=delimiter)*\s*', re.IGNORECASE)
"""The line in which Excel names the delimiter."""
_DELIMITERS: Final = ",;\t|"
_QUOTED: Final = re.compile(r'"[^"]*(?:""[^"]*)*"')


class _Lines(Iterable[str]):
    """Lines, counted; those of the row that is being read are kept."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.count = 0
        self.of_row: list[str] = []

    def __iter__(self) -> Iterator[str]:
        """Those that are left."""
        for line in self._lines:
            self.count += 1
            self.of_row.append(line)
            yield line


class _Heading(Struct, frozen=True):
    delimiter: str
    names: list[str | None]
    """By column; `None` for one that is ignored."""


def iterate_csv(lines: Iterable[str], read: Read) -> Iterator[PlanRow | RowFault]:
    """The rows of a table, good and bad."""
    source = _Lines(lines)
    first, delimiter = _find_heading(source)
    reader = csv.reader(_put_back(first, source), delimiter=delimiter, strict=True)
    nothing: list[str] = []
    try:
        names, faults = read_heading(next(reader, nothing), source.count)
    except csv.Error as error:
        names, faults = [], [_describe_error(error, source, _Heading(delimiter, []))[0]]
    if faults:
        yield from faults
        return
    yield from _iterate_rows(reader, source, _Heading(delimiter, names), read)


def _iterate_rows(
    reader: Iterator[list[str]], source: _Lines, heading: _Heading, read: Read
) -> Iterator[PlanRow | RowFault]:
    names, width = heading.names, len(heading.names)
    while True:
        source.of_row.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            fault, is_open = _describe_error(error, source, heading)
            yield fault
            if is_open:  # whatever follows belongs to the text that it opens
                return
            continue
        if cells is None:
            return
        filled = {
            name: restore(text) if text[0] == "'" else text
            for name, cell in zip(names, cells, strict=False)
            if name and (text := cell.strip()) and (text.isascii() or not is_blank(text))
        }
        if len(cells) > width and not all(map(is_blank, cells[width:])):
            hint = "put text that contains the delimiter in quotation marks"
            yield RowFault(source.count, "", MORE_CELLS, hint)
        elif filled or not all(map(is_blank, cells)):
            yield read(source.count, filled)


def _find_heading(source: _Lines) -> tuple[str, str]:
    """The first line that holds anything, and the delimiter."""
    named = None
    for line in source:
        text = line.removeprefix("\ufeff") if source.count == 1 else line
        match = _SEPARATOR.fullmatch(text) if named is None else None
        if match is not None:
            named = match["delimiter"]
        elif text.strip(f' \t\r\n"{_DELIMITERS}{named or ""}'):
            return text, named or max(_DELIMITERS, key=text.count)
    return "", named or ","


def _put_back(first: str, source: _Lines) -> Iterator[str]:
    if not first:
        return iter(source)
    source.of_row[:] = [first]
    return chain((first,), source)


def _describe_error(error: csv.Error, source: _Lines, heading: _Heading) -> tuple[RowFault, bool]:
    """Why a row cannot be read, and whether it is a quotation mark that is never closed.

    That is reported in the line in which it opens.
    """
    text, first = "".join(source.of_row), source.count - len(source.of_row) + 1
    found = _find_broken_quote(text, heading.delimiter)
    if found is None:
        reason = f"it is not valid CSV: {error}"
        return RowFault(max(1, source.count), "", reason, "look for a stray quotation mark"), False
    begin, end, column = found
    line = first + text.count("\n", 0, begin)
    name = (heading.names[column] if column < len(heading.names) else None) or ""
    if end is None:
        reason = f"it is not valid CSV: the quotation mark at {show(text[begin : begin + 30])} is never closed"
        return RowFault(line, name, reason, "close it, or remove it"), True
    closed = first + text.count("\n", 0, end)
    where = "" if closed == line else f" in line {closed}"
    reason = f"it is not valid CSV: the text in quotation marks ends{where} before {show(text[end : end + 20])}"
    return RowFault(line, name, reason, "double the quotation marks inside the text, or close it at its end"), False


def _find_broken_quote(text: str, delimiter: str) -> tuple[int, int | None, int] | None:
    """Of the first cell with a broken quotation mark: where it opens, where it closes, and the cell's number."""
    ends = re.compile(f"[{re.escape(delimiter)}\r\n]")
    position = column = 0
    while position < len(text):
        if text[position] == '"':
            match = _QUOTED.match(text, position)
            if match is None:
                return position, None, column
            if match.end() < len(text) and not ends.match(text, match.end()):
                return position, match.end(), column
            position = match.end()
        following = ends.search(text, position)
        if following is None:
            return None
        column = column + 1 if following[0] == delimiter else 0
        position = following.end()
    return None
