"""Plan files: CSV, JSON lines or a workbook, read one row at a time; CSV is also written."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from ..._validation.arguments import check_choice, check_text, refuse
from ..._validation.text import shorten, show
from ...exceptions import ConfigurationError, InvalidRequestError, PlanError, RowFault
from .csv_files import iterate_csv
from .heading import Read
from .rows import BadRow, PlanRow, defuse, is_blank, name_cells, read_row
from .shown_times import DateFormat
from .sources import PlanRows
from .text_files import BadFile, check_encoding, find_encoding, is_workbook, open_text, read_head

PlanFormat: TypeAlias = Literal["csv", "jsonl"]
"""A table with a heading, or JSON: one object a line, or one array of objects."""
PlanSource: TypeAlias = Iterable[str] | os.PathLike[str]
"""Lines of text, or the path of a file."""

_MOST_SHOWN: Final = 20
_NO_OPENPYXL: Final = "{} is a workbook, which needs the extra xlsx: pip install 'leadconnector-async[xlsx]'"
_ARCHIVE: Final = "this is a workbook or another ZIP archive"
_WORKBOOK_AS_TEXT: Final = "PK\x03\x04"
_CRLF: Final = "\r\n"


def read_plan(
    lines: PlanSource,
    *,
    format: PlanFormat | None = None,
    timezone: str | None = None,
    date_format: DateFormat | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> list[PlanRow]:
    """Read a plan and check all of it.

    `lines`, `format`, `timezone`, `date_format`, `encoding` and `sheet` are those of `iterate_plan`. Columns are
    `event_id`, any field of `AppointmentUpdate`, `shift`, `location_id`, `timezone` (an IANA name for times without
    an offset), and `before_…`. Raises `PlanError` with every bad row.
    """
    rows: list[PlanRow] = []
    faults: list[RowFault] = []
    seen: dict[tuple[str | None, str], int] = {}
    for row in iterate_plan(
        lines, format=format, timezone=timezone, date_format=date_format, encoding=encoding, sheet=sheet
    ):
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
    lines: PlanSource,
    *,
    format: PlanFormat | None = None,
    timezone: str | None = None,
    date_format: DateFormat | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> PlanRows:
    """The rows of a plan as they come, good and bad. Duplicate events are not detected.

    `lines` are those of a file, or its path. Without a `format`, the first character tells: JSON begins
    with a brace or a bracket, and no table does. `timezone` is for rows that name none. `date_format` says which
    number of 3/9/2027 is the day; without it, such a date is refused. `encoding` is that of the file at a path;
    without it, UTF-8 or UTF-16. A path may also be that of a workbook (.xlsx), which needs the extra `xlsx`;
    `sheet` names its sheet if several hold something.

    Raises `OSError` if the file cannot be opened, and `ConfigurationError` without the extra.
    """
    if not isinstance(lines, (Iterable, os.PathLike)):
        raise _refuse_lines(lines)
    if format is not None:
        check_choice("format", format, get_args(PlanFormat))
    if date_format is not None:
        check_choice("date_format", date_format, get_args(DateFormat))
    if encoding is not None:
        check_encoding(check_text("encoding", encoding))
    timezone = None if timezone is None else check_text("timezone", timezone)
    sheet = None if sheet is None else check_text("sheet", sheet)
    read = partial(read_row, timezone=timezone, order=date_format)
    try:
        if not isinstance(lines, os.PathLike):
            _check_no_sheet(sheet)
            return PlanRows(_iterate(lines, format, read))
        head = read_head(lines)
        if is_workbook(head):
            return PlanRows(_open_workbook(lines, format, sheet, read))
        _check_no_sheet(sheet)
        return PlanRows(_iterate_file(lines, find_encoding(head, encoding), format, read))
    except BadFile as bad:
        return PlanRows(iter([RowFault(1, "", bad.reason, bad.hint)]))


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
    bad = "1 bad row, which was" if count == 1 else f"{count} bad rows, which were"
    return PlanError(f"The plan has {bad} not carried out:\n" + "\n".join(shown + more), known, count)


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


def _open_workbook(
    path: os.PathLike[str], format: PlanFormat | None, sheet: str | None, read: Read
) -> Iterator[PlanRow | RowFault]:
    """Its reader needs an extra, and takes a while to load."""
    if format is not None:
        raise BadFile(f"{_ARCHIVE}, but the format is {format}", "leave the format out")
    try:
        from .workbook import iterate_workbook  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("openpyxl"):
            raise
        raise ConfigurationError(_NO_OPENPYXL.format(show(os.fspath(path)))) from None
    return iterate_workbook(path, sheet, read)


def _check_no_sheet(sheet: str | None) -> None:
    if sheet is not None:
        raise BadFile(f"the sheet {show(sheet)} is set, but this is not a workbook", "leave it out")


def _iterate_file(
    path: os.PathLike[str], encoding: str, format: PlanFormat | None, read: Read
) -> Iterator[PlanRow | RowFault]:
    """The file is opened with the first row: rows that nobody reads leave nothing open."""
    with open_text(path, encoding) as file:
        try:
            yield from _iterate(file, format, read)
        except UnicodeDecodeError as error:  # of UTF-16; bytes of other encodings are refused by their cell
            reason = f"the plan is not valid {error.encoding}: {error.reason}"
            yield RowFault(1, "", reason, 'save it as "CSV UTF-8"')


def _iterate(lines: Iterable[str], format: PlanFormat | None, read: Read) -> Iterator[PlanRow | RowFault]:
    """Without a format, by the first character: no heading of a table begins as JSON does."""
    source = iter(io.StringIO(lines, newline="") if isinstance(lines, str) else lines)
    seen: list[str] = []
    for line in source:
        if not isinstance(line, str):
            raise _refuse_lines(line)
        seen.append(line)
        if content := line.strip("\ufeff \t\r\n"):
            if content.startswith(_WORKBOOK_AS_TEXT):
                yield RowFault(1, "", f"{_ARCHIVE}, and not text", "give its path")
                return
            format = format or ("jsonl" if content.startswith(("{", "[")) else "csv")
            break
    everything = chain(seen, source)
    yield from iterate_json(everything, read) if format == "jsonl" else iterate_csv(everything, read)


def _refuse_lines(line: object) -> InvalidRequestError:
    hint = "pass the file's path, or open it with encoding='utf-8-sig' and newline=''"
    return refuse("lines", line, f"the lines of the plan are {type(line).__name__}, not text", hint)


_KEY: Final = re.compile(r'"\s*:')
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{},]')
"""What decides where an element of an array ends. A text ends in its line at the latest."""
_OPENING: Final = ("{", "[")
_CLOSING: Final = ("}", "]")
_NOTHING: Final = (None, "")
_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


def iterate_json(lines: Iterable[str], read: Read) -> Iterator[PlanRow | RowFault]:
    """The rows, good and bad."""
    numbered = enumerate(lines, start=1)
    for line, text in numbered:
        content = text.removeprefix("\ufeff").strip() if line == 1 else text.strip()
        if content.startswith("["):
            yield from _iterate_array(line, content[1:], numbered, read)
        elif content:
            yield _read(line, content, read)


def _read(line: int, content: str, read: Read, prefix: str = "") -> PlanRow | RowFault:
    try:
        return read(line, name_cells(_list_cells(content)))
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
    begun: int, rest: str, lines: Iterator[tuple[int, str]], read: Read
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
                    yield _read_element(at, content, read, number)
                if mark == "]":
                    yield from _check_end(at, text[start:], lines)
                    return
            depth += (mark in _OPENING) - (mark in _CLOSING)
        parts.append(text[start:])
    yield RowFault(begun, "", "it is not valid JSON: the array that begins here is never closed", "close it with ]")


def _read_element(line: int, content: str, read: Read, number: int) -> PlanRow | RowFault:
    row = _read(line, content, read)
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
