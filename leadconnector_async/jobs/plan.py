"""Plan files: rows in CSV or JSON lines, read and written one at a time.

Rule: every bad row is named, with its line, its column and how to mend it; reading goes on behind it, and takes
no more memory for a long plan than for a short one.

Pure. Must not import the client.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from ..exceptions import PlanError, RowFault
from .rows import BadRow, PlanRow, name_column, read_row

PlanFormat: TypeAlias = Literal["csv", "jsonl"]
"""A table with a header, or one JSON object a line."""

_MOST_SHOWN: Final = 20
_CRLF: Final = "\r\n"
_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


def read_plan(lines: Iterable[str], *, format: PlanFormat = "csv", timezone: str | None = None) -> list[PlanRow]:
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


class PlanRows(Iterator[PlanRow | RowFault]):
    """The rows of a plan as they come; each was checked by itself."""

    def __init__(self, rows: Iterator[PlanRow | RowFault]) -> None:
        self._rows = rows

    def __next__(self) -> PlanRow | RowFault:
        return next(self._rows)


def iterate_plan(lines: Iterable[str], *, format: PlanFormat = "csv", timezone: str | None = None) -> PlanRows:
    """The rows of a plan as they come, good and bad. Whether an event stands twice is not looked at."""
    return PlanRows(_iterate_csv(lines, timezone) if format == "csv" else _iterate_jsonl(lines, timezone))


def describe_duplicate(line: int, event_id: str, first: int) -> RowFault:
    """The fault of a row whose event stands in an earlier line already."""
    return RowFault(line, "event_id", f"{event_id} stands in line {first} already", "keep one of the two rows")


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
    """The lines of a CSV file, header first."""
    text = io.StringIO()
    # Only characters of its line's end make this writer quote a cell, so it is given both.
    writer = csv.DictWriter(text, tuple(columns), lineterminator=_CRLF, restval="")
    writer.writeheader()
    yield text.getvalue().removesuffix(_CRLF) + "\n"
    for row in rows:
        text.seek(0)
        text.truncate()
        writer.writerow(row)
        yield text.getvalue().removesuffix(_CRLF) + "\n"


def _iterate_csv(lines: Iterable[str], timezone: str | None) -> Iterator[PlanRow | RowFault]:
    iterator = iter(lines)
    header = next(iterator, "").removeprefix("\ufeff")
    delimiter = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(_chain(header, iterator), delimiter=delimiter, strict=True)
    nothing: list[str] = []
    names, faults = _read_header(next(reader, nothing))
    if faults:
        yield from faults
        return
    width = len(names)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield RowFault(reader.line_num, "", f"it is no CSV: {error}", "look for a quotation mark too many")
            continue
        if cells is None:
            return
        if len(cells) > width:
            yield RowFault(
                reader.line_num, "", "there are more cells than columns", "put texts with commas in quotes"
            )
        elif cells:
            filled = {
                name: text for name, cell in zip(names, cells, strict=False) if name and (text := cell.strip())
            }
            yield read_row(reader.line_num, filled, timezone)


def _chain(header: str, lines: Iterator[str]) -> Iterator[str]:
    if header:
        yield header
    yield from lines


def _read_header(cells: Iterable[str]) -> tuple[list[str | None], list[RowFault]]:
    names: list[str | None] = []
    faults: list[RowFault] = []
    for cell in cells:
        try:
            name = name_column(cell)
        except BadRow as bad:
            faults.append(RowFault(1, bad.column, bad.reason, bad.mend))
            continue
        if name is not None and name in names:
            faults.append(RowFault(1, name, "there are two such columns", "remove one"))
        names.append(name)
    if not faults and "event_id" not in names:
        faults.append(RowFault(1, "event_id", "there is no column event_id", "add it, as the first line's heading"))
    return names, faults


def _iterate_jsonl(lines: Iterable[str], timezone: str | None) -> Iterator[PlanRow | RowFault]:
    for line, text in enumerate(lines, start=1):
        content = text.removeprefix("\ufeff").strip() if line == 1 else text.strip()
        if not content:
            continue
        try:
            cells = {name: cell for name, cell in _name_cells(_decode(content)) if cell is not None}
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
            yield RowFault(line, "", f"it is no JSON object: {error}", "write one object a line")
        except BadRow as bad:
            yield RowFault(line, bad.column, bad.reason, bad.mend)
        else:
            yield read_row(line, cells, timezone)


def _name_cells(cells: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for spelling, cell in cells.items():
        name = name_column(spelling)
        if name is not None:
            yield name, cell.strip() or None if isinstance(cell, str) else cell
