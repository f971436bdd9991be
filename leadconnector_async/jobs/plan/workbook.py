"""Reads a plan in a workbook (.xlsx), one row at a time; needs the extra `xlsx`.

What a reader of the sheet cannot see is not done: hidden rows and columns, merged cells, and formulas without a
saved value are refused.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import IO, Final
from zipfile import ZipFile

from msgspec import Struct
from openpyxl.reader.excel import ExcelReader

from ..._validation.text import clean_line, show
from ...exceptions import RowFault
from .heading import MORE_CELLS, Read, read_heading
from .rows import BadRow, PlanRow, build_fault, is_blank
from .sheet_xml import SAVE_AGAIN, Cell, Layout, Row, iterate_rows, name_cell, read_layout
from .text_files import BadFile
from .workbook_cells import CellReader
from .workbook_parts import MOST_OF_A_SHEET, check_parts, check_size, is_calculated, read_formats

_SHEETS_SHOWN: Final = 10
_MAY_BE_HIDDEN: Final = ("event_id", "location_id")
"""They say which appointment changes, and not what."""
_lock: Final = Lock()


class _Sheet(Struct, frozen=True):
    name: str
    part: str
    is_visible: bool


class _Workbook(Struct, frozen=True):
    archive: ZipFile
    sheets: Sequence[_Sheet]
    cells: CellReader
    is_calculated: bool
    """Whether the values of formulas are those that a spreadsheet program has calculated."""


class _Table(Struct, frozen=True):
    workbook: _Workbook
    names: list[str | None]
    """Fields by column; `None` for a column that is ignored."""
    layout: Layout


def iterate_workbook(path: str | os.PathLike[str], sheet: str | None, read: Read) -> Iterator[PlanRow | RowFault]:
    """The rows, good and bad; the line of each is its number in the sheet. Raises `OSError`."""
    with open(path, "rb") as file:
        try:
            workbook, chosen, layout = _open(file, sheet)
            yield from _iterate_table(workbook, _iterate_rows(workbook, chosen), layout, read)
        except BadFile as bad:
            yield RowFault(1, "", bad.reason, bad.hint)


def _open(file: IO[bytes], sheet: str | None) -> tuple[_Workbook, _Sheet, Layout]:
    try:
        workbook = _load(file)
        chosen = _choose_sheet(workbook, sheet)
        with workbook.archive.open(chosen.part) as source:
            return workbook, chosen, read_layout(source)
    except (BadFile, OSError):
        raise
    except Exception as error:
        raise _explain(error) from None


def _iterate_rows(workbook: _Workbook, sheet: _Sheet) -> Iterator[Row]:
    """Those that hold something to be seen."""
    try:
        with workbook.archive.open(sheet.part) as source:
            for row in iterate_rows(source):
                row.cells = [cell for cell in row.cells if not _is_blank(workbook, cell)]
                if row.cells:
                    yield row
    except (BadFile, OSError):
        raise
    except Exception as error:
        raise _explain(error) from None


def _explain(error: Exception) -> BadFile:
    """Whatever zipfile, zlib or openpyxl raises for a damaged file."""
    return BadFile(f"the workbook is damaged: {clean_line(str(error)) or type(error).__name__}", SAVE_AGAIN)


def _is_blank(workbook: _Workbook, cell: Cell) -> bool:
    return not cell.has_formula and is_blank(workbook.cells.read_text(cell))


def _load(file: IO[bytes]) -> _Workbook:
    archive = ZipFile(file)
    check_parts(archive)
    reader = ExcelReader(file, keep_links=False)
    # openpyxl warns of what it would lose if it saved the workbook. What is ignored here is so for all threads.
    with _lock, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="openpyxl")
        reader.read_manifest()
        reader.read_strings()
        reader.read_workbook()
        sheets = [
            _Sheet(
                sheet.name,
                str(link.target),  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
                sheet.state == "visible",
            )
            for sheet, link in reader.parser.find_sheets()
            if link.Type.endswith("/worksheet")
        ]
    for sheet in sheets:
        check_size(archive, sheet.part, MOST_OF_A_SHEET)

    cells = CellReader(reader.shared_strings, reader.wb.epoch, read_formats(archive))
    return _Workbook(archive, sheets, cells, is_calculated(archive, reader.parser.workbook_part_name))


def _choose_sheet(workbook: _Workbook, wanted: str | None) -> _Sheet:
    """The one that is wanted; else the only visible one that is not empty."""
    sheets = workbook.sheets
    if wanted is not None:
        found = [sheet for sheet in sheets if sheet.name.strip().casefold() == wanted.strip().casefold()]
        if not found:
            raise BadFile(f"there is no sheet {show(wanted)}", f"set the sheet to one of {_list_names(sheets)}")
        return found[0]
    visible = [sheet for sheet in sheets if sheet.is_visible]
    filled = [sheet for sheet in visible if len(visible) == 1 or any(_iterate_rows(workbook, sheet))]
    if len(filled) > 1:
        raise BadFile(f"there are several sheets: {_list_names(filled)}", "set the sheet to the one with the plan")
    if not filled:
        raise BadFile("all sheets of the workbook are empty", "give a workbook with a plan")
    return filled[0]


def _list_names(sheets: Sequence[_Sheet]) -> str:
    names = ", ".join(show(sheet.name) for sheet in sheets[:_SHEETS_SHOWN])
    return f"{names} and {len(sheets) - _SHEETS_SHOWN} more" if len(sheets) > _SHEETS_SHOWN else names


def _iterate_table(
    workbook: _Workbook, rows: Iterator[Row], layout: Layout, read: Read
) -> Iterator[PlanRow | RowFault]:
    heading = next(rows, Row(1, False, []))
    titles = {cell.column: workbook.cells.read_text(cell) for cell in heading.cells}
    names, faults = read_heading(
        (titles.get(one, "") for one in range(1, max(titles, default=0) + 1)), heading.number
    )
    table = _Table(workbook, names, layout)
    if faults := faults or _list_unseen(table, heading):
        yield from faults
        return
    for row in rows:
        yield _find_fault(table, row) or _read_row(table, row, read)


def _list_unseen(table: _Table, heading: Row) -> list[RowFault]:
    """What is hidden of the heading, and of the columns that set something."""
    if fault := _find_fault(table, heading):
        return [fault]
    return [
        RowFault(heading.number, name, "the column is hidden, so nobody sees what it sets", "show it, or delete it")
        for column, name in enumerate(table.names, start=1)
        if name and column in table.layout.hidden_columns and not name.startswith("before_")
        if name not in _MAY_BE_HIDDEN
    ]


def _find_fault(table: _Table, row: Row) -> RowFault | None:
    """What a reader of the sheet does not see of a row."""
    if row.is_hidden:
        hint = "show it, by removing the filter if there is one, or delete it"
        return RowFault(row.number, "", "the row is hidden, so nobody sees what it changes", hint)
    if merged := table.layout.merged.get(row.number):
        return RowFault(row.number, "", f"the cells {merged} are merged", "split them, and fill each")
    if row.cells[-1].column > len(table.names):
        where = name_cell(row.number, row.cells[-1].column)
        return RowFault(row.number, "", MORE_CELLS, f"empty the cell {where}, or name its column")
    return None


def _read_row(table: _Table, row: Row, read: Read) -> PlanRow | RowFault:
    filled: dict[str, object] = {}
    try:
        for cell in row.cells:
            name = table.names[cell.column - 1]
            if name is not None and (value := _read_cell(table.workbook, row, cell, name)) is not None:
                filled[name] = value
    except BadRow as bad:
        return build_fault(row.number, bad)
    return read(row.number, filled)


def _read_cell(workbook: _Workbook, row: Row, cell: Cell, name: str) -> object:
    if cell.has_formula and (cell.has_no_saved_value or not workbook.is_calculated):
        reason = f"the formula in {name_cell(row.number, cell.column)} has no saved value"
        raise BadRow(name, reason, "open the workbook in a spreadsheet program and save it, or write the value")
    return workbook.cells.read(name, cell)
