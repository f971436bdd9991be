"""Reading a plan in JSON: one object a line, or one array of objects.

A duplicate key, in whatever spelling, is an error and not a guess.

Pure. Must not import the client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from ..exceptions import RowFault
from .rows import BadRow, PlanRow, name_cells, read_row
from .texts import is_blank

_KEY: Final = re.compile(r'"\s*:')
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{},]')
"""What decides where an element of an array ends. A text ends in its line at the latest."""
_OPENING: Final = ("{", "[")
_CLOSING: Final = ("}", "]")
_NOTHING: Final = (None, "")
_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


def iterate_json(lines: Iterable[str], timezone: str | None) -> Iterator[PlanRow | RowFault]:
    """The rows, good and bad."""
    numbered = enumerate(lines, start=1)
    for line, text in numbered:
        content = text.removeprefix("\ufeff").strip() if line == 1 else text.strip()
        if content.startswith("["):
            yield from _iterate_array(line, content[1:], numbered, timezone)
        elif content:
            yield _read(line, content, timezone)


def _read(line: int, content: str, timezone: str | None, prefix: str = "") -> PlanRow | RowFault:
    try:
        return read_row(line, name_cells(_list_cells(content)), timezone)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        return RowFault(
            line, "", f"{prefix}it is not a valid JSON object: {error}", "write one object per line, or one array"
        )
    except BadRow as bad:
        return RowFault(line, bad.column, bad.reason, bad.mend)


def _list_cells(content: str) -> list[tuple[str, object]]:
    """The cells that are not empty; both values of a duplicate key."""
    cells = _decode(content)
    pairs = list(cells.items())
    if len(_KEY.findall(content)) > len(cells):  # a decoder keeps the last of equal keys and says nothing
        pairs = json.loads(content, object_pairs_hook=list)
    return [
        (name, text)
        for name, cell in pairs
        if (text := cell.strip() if isinstance(cell, str) else cell) not in _NOTHING
        and not (isinstance(text, str) and text[0] > "~" and is_blank(text))
    ]


def _iterate_array(
    begun: int, rest: str, lines: Iterator[tuple[int, str]], timezone: str | None
) -> Iterator[PlanRow | RowFault]:
    """The elements of an array that begins in a line; each is read when it ends, so that memory stays flat."""
    number = depth = 0
    parts: list[str] = []
    for at, text in _chain(begun, rest, lines):
        start = 0
        for match in _TOKEN.finditer(text):
            mark = match[0]
            if depth == 0 and mark in (",", "]"):
                content = "".join([*parts, text[start : match.start()]]).strip()
                parts, start = [], match.end()
                if content:
                    number += 1
                    yield _read_element(at, content, timezone, number)
                if mark == "]":
                    yield from _check_end(at, text[start:], lines)
                    return
            depth += (mark in _OPENING) - (mark in _CLOSING)
        parts.append(text[start:])
    yield RowFault(begun, "", "it is not valid JSON: the array that begins here is never closed", "close it with ]")


def _read_element(line: int, content: str, timezone: str | None, number: int) -> PlanRow | RowFault:
    row = _read(line, content, timezone)
    if isinstance(row, RowFault):
        return msgspec.structs.replace(row, reason=f"element {number}: {row.reason}")
    return row


def _check_end(line: int, rest: str, lines: Iterator[tuple[int, str]]) -> Iterator[RowFault]:
    for number, text in _chain(line, rest, lines):
        if text.strip():
            yield RowFault(number, "", "it is not valid JSON: there is more text after the array", "remove it")
            return


def _chain(line: int, rest: str, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield line, rest
    yield from lines
