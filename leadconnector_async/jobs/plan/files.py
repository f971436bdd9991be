"""Plan files: CSV or JSON lines, read and written one row at a time."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from ..._validation.arguments import check_choice, check_text, refuse
from ..._validation.text import shorten
from ...exceptions import InvalidRequestError, PlanError, RowFault
from .csv_files import iterate_csv
from .rows import BadRow, PlanRow, defuse, is_blank, name_cells, read_row
from .sources import PlanRows

PlanFormat: TypeAlias = Literal["csv", "jsonl"]
"""A table with a heading, or JSON: one object a line, or one array of objects."""

_MOST_SHOWN: Final = 20
_CRLF: Final = "\r\n"


def read_plan(
    lines: Iterable[str], *, format: PlanFormat | None = None, timezone: str | None = None
) -> list[PlanRow]:
    """Read a plan and check all of it.

    Columns are `event_id`, any field of `AppointmentUpdate` in snake or camel case, `shift`, `location_id`,
    `timezone` (an IANA name for times without an offset; the argument is for rows that name none), and
    `before_…`. Raises `PlanError` with every bad row.
    """
    rows: list[PlanRow] = []
    faults: list[RowFault] = []
    seen: dict[tuple[str | None, str], int] = {}
    for row in iterate_plan(lines, format=format, timezone=timezone):
        if isinstance(row, RowFault):
            faults.append(row)
            continue
        first = seen.setdefault((row.location_id, row.event_id), row.line)
        if first != row.line:
            faults.append(describe_duplicate(row.line, row.event_id, first))
        rows.append(row)
    if faults:
        raise build_plan_error(faults, len(faults))
    return rows


def iterate_plan(
    lines: Iterable[str], *, format: PlanFormat | None = None, timezone: str | None = None
) -> PlanRows:
    """The rows of a plan as they come, good and bad. Duplicate events are not detected.

    Without a `format`, the first character tells: JSON begins with a brace or a bracket, and no table does.
    """
    if not isinstance(lines, Iterable):
        raise _refuse_lines(lines)
    if format is not None:
        check_choice("format", format, get_args(PlanFormat))
    timezone = None if timezone is None else check_text("timezone", timezone)
    return PlanRows(_iterate(lines, format, timezone))


def describe_duplicate(line: int, event_id: str, first: int) -> RowFault:
    """The fault of a row whose event is already in an earlier line."""
    return RowFault(
        line, "event_id", f"{shorten(event_id)} is a duplicate of line {first}", "keep one of the two rows"
    )


def build_plan_error(faults: Iterable[RowFault], count: int) -> PlanError:
    """The error for a plan with bad rows, of which the first ones are shown."""
    known = tuple(faults)
    shown = [str(fault) for fault in known[:_MOST_SHOWN]]
    more = [f"… and {count - len(shown)} more"] if count > len(shown) else []
    rows = "bad row" if count == 1 else "bad rows"
    return PlanError(
        f"The plan has {count} {rows}, none of which was carried out:\n" + "\n".join(shown + more), known, count
    )


def write_csv(rows: Iterable[Mapping[str, str]], columns: Iterable[str]) -> Iterator[str]:
    """The lines of a CSV file, heading first. A spreadsheet runs none of its cells as a formula."""
    text = io.StringIO()
    # Only characters of its line's end make this writer quote a cell, so it is given both.
    writer = csv.DictWriter(text, tuple(columns), lineterminator=_CRLF, restval="")
    writer.writeheader()
    yield text.getvalue().removesuffix(_CRLF) + "\n"
    for row in rows:
        text.seek(0)
        text.truncate()
        writer.writerow({name: defuse(cell) for name, cell in row.items()})
        yield text.getvalue().removesuffix(_CRLF) + "\n"


def _iterate(lines: Iterable[str], format: PlanFormat | None, timezone: str | None) -> Iterator[PlanRow | RowFault]:
    """Without a format, by the first character: no heading of a table begins as JSON does."""
    source = iter(io.StringIO(lines, newline="") if isinstance(lines, str) else lines)
    seen: list[str] = []
    for line in source:
        if not isinstance(line, str):
            raise _refuse_lines(line)
        seen.append(line)
        if content := line.strip("\ufeff \t\r\n"):
            format = format or ("jsonl" if content.startswith(("{", "[")) else "csv")
            break
    everything = chain(seen, source)
    yield from iterate_json(everything, timezone) if format == "jsonl" else iterate_csv(everything, timezone)


def _refuse_lines(line: object) -> InvalidRequestError:
    hint = "open the file with encoding='utf-8-sig' and newline=''"
    return refuse("lines", line, f"the lines of the plan are {type(line).__name__}, not text", hint)


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
        return RowFault(line, bad.column, bad.reason, bad.hint)


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
