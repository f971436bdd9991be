"""The XML of a worksheet: its rows as they come, and first what nobody sees in them.

openpyxl leaves out hidden rows, merged cells and formulas without a saved value when it reads row by row, so the
sheet itself is read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import IO, Final, TypeAlias
from xml.parsers import expat

from msgspec import Struct

from ..._validation.text import clean_line, show
from .text_files import BadFile

MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SAVE_AGAIN: Final = "open it in a spreadsheet program and save it again, or save it as CSV UTF-8"
MOST_COLUMNS: Final = 256
"""A plan has far fewer."""

_STRICT: Final = "http://purl.oclc.org/ooxml/"
_MOST_ROWS: Final = 1_048_576
"""As many as a sheet can have."""
_MOST_ROWS_MERGED: Final = 10_000
_LONGEST_TEXT: Final = 100_000
"""Three times what a cell can hold."""
_CHUNK: Final = 1 << 16
_REFERENCE: Final = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})")
_TRUE: Final = ("1", "true")
_Attributes: TypeAlias = Mapping[str, str]


class Cell(Struct):
    """A cell that holds something."""

    column: int
    """From 1."""
    kind: str
    """Of its text: `n` for a number, `s` for the index of a shared text, and so on."""
    style: int
    text: str = ""
    has_formula: bool = False

    @property
    def has_no_saved_value(self) -> bool:
        """Whether a formula was never calculated. One whose result is an empty text has the kind `str`."""
        return self.has_formula and not self.text and self.kind != "str"


class Row(Struct):
    """A row, with the cells that hold something."""

    number: int
    is_hidden: bool
    cells: list[Cell]


class Layout(Struct, frozen=True):
    """What the cells themselves do not tell."""

    hidden_columns: frozenset[int]
    merged: Mapping[int, str]
    """The first range of merged cells of each row that has one."""


def name_cell(row: int, column: int) -> str:
    """Such as `B3`."""
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{row}"


def find_cell(reference: str) -> tuple[int, int]:
    """Row and column of `B3`. Raises `BadFile`."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise _damaged(f"{show(reference)} is not a cell")
    return int(match[2]), _number(match[1])


def check_no_document_type(source: IO[bytes]) -> None:
    """Raise `BadFile` for a part that defines entities, and for one of a workbook that openpyxl cannot read."""
    parser = _make_parser()
    begun: list[str] = []
    parser.StartElementHandler = lambda tag, attributes: begun.append(tag)
    while not begun and (chunk := source.read(_CHUNK)):
        _parse(parser, chunk)
    if begun and begun[0].startswith(_STRICT):
        raise BadFile('this is a workbook in the form "Strict Open XML"', "save it as an Excel workbook (.xlsx)")


def read_layout(source: IO[bytes]) -> Layout:
    """What is hidden and merged. The merged cells come after all rows."""
    hidden: set[int] = set()
    merged: dict[int, str] = {}

    seen: list[str] = []
    count = 0

    def start(tag: str, attributes: _Attributes) -> None:
        nonlocal count
        if not seen:
            seen.append(tag)
            if tag != _ROOT:
                raise _damaged(f"its sheet is a {clean_line(tag.rpartition(' ')[2], 30)}")
        if tag == _COLUMN and _is_hidden(attributes, "width"):
            first, last = _read_number(attributes, "min", 1), _read_number(attributes, "max", 1)
            hidden.update(range(first, min(last, MOST_COLUMNS) + 1))
        elif tag == _MERGED:
            count += _add_merged(merged, attributes.get("ref", ""))
            if count > _MOST_ROWS:
                raise _damaged("it merges more rows than a sheet has")

    parser = _make_parser()
    parser.StartElementHandler = start
    while chunk := source.read(_CHUNK):
        _parse(parser, chunk)
    _parse(parser, b"", is_last=True)
    return Layout(frozenset(hidden), merged)


def _add_merged(merged: dict[int, str], reference: str) -> int:
    """The number of rows."""
    first, _, last = reference.partition(":")
    rows = range(find_cell(first)[0], find_cell(last or first)[0] + 1)
    if len(rows) > _MOST_ROWS_MERGED:
        raise BadFile(f"the cells {reference} are merged", "split them, and fill each")
    merged.update((row, reference) for row in rows if row not in merged)
    return len(rows)


def iterate_rows(source: IO[bytes]) -> Iterator[Row]:
    """The rows that hold something. Raises `BadFile`."""
    reader = _RowReader()
    while chunk := source.read(_CHUNK):
        _parse(reader.parser, chunk)
        yield from reader.take()
    _parse(reader.parser, b"", is_last=True)
    yield from reader.take()


def _name(local: str) -> str:
    return f"{MAIN} {local}"


_ROOT: Final = _name("worksheet")
_COLUMN, _MERGED, _ROW, _CELL = map(_name, ("col", "mergeCell", "row", "c"))
_FORMULA, _VALUE, _TEXT, _PHONETIC = map(_name, ("f", "v", "t", "rPh"))


class _RowReader:
    """Collects the rows that the parser has passed."""

    def __init__(self) -> None:
        self.parser = _make_parser()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self._starts: Final[dict[str, Callable[[_Attributes], None]]] = {
            _ROW: self._start_row,
            _CELL: self._start_cell,
            _FORMULA: self._start_formula,
            _VALUE: self._start_text,
            _TEXT: self._start_text,
            _PHONETIC: self._start_phonetic,
        }
        self._rows: list[Row] = []
        self._row = Row(0, False, [])
        self._cell: Cell | None = None
        self._column = 0
        self._is_phonetic = False

    def take(self) -> list[Row]:
        """Those that are new."""
        rows, self._rows = self._rows, []
        return rows

    def _start(self, tag: str, attributes: _Attributes) -> None:
        if handle := self._starts.get(tag):
            handle(attributes)

    def _end(self, tag: str) -> None:
        self.parser.CharacterDataHandler = None
        if tag == _CELL and self._cell is not None:
            self._end_cell(self._cell)
            self._cell = None
        elif tag == _ROW and self._row.cells:
            self._rows.append(self._row)
        elif tag == _PHONETIC:
            self._is_phonetic = False

    def _start_row(self, attributes: _Attributes) -> None:
        number = _read_number(attributes, "r", self._row.number + 1)
        if number <= self._row.number:
            raise _damaged(f"row {number} comes after row {self._row.number}")
        if number > _MOST_ROWS:
            raise _damaged(f"there is a row {number}, but a sheet has {_MOST_ROWS:,} rows at most")
        self._row = Row(number, _is_hidden(attributes, "ht"), [])
        self._column = 0

    def _start_cell(self, attributes: _Attributes) -> None:
        reference = attributes.get("r")
        row, column = (self._row.number, self._column + 1) if reference is None else find_cell(reference)
        if row != self._row.number or column <= self._column:
            raise _damaged(f"the cell {name_cell(row, column)} is not in its place in row {self._row.number}")
        self._column = column
        self._cell = Cell(column, attributes.get("t", "n"), _read_number(attributes, "s", 0))

    def _end_cell(self, cell: Cell) -> None:
        if not cell.text and not cell.has_formula:
            return
        if cell.column > MOST_COLUMNS:
            where = name_cell(self._row.number, cell.column)
            raise BadFile(
                f"the cell {where} holds something, but a plan has at most {MOST_COLUMNS} columns",
                "empty the cells beside the table",
            )
        self._row.cells.append(cell)

    def _start_formula(self, attributes: _Attributes) -> None:
        if self._cell is not None:
            self._cell.has_formula = True

    def _start_text(self, attributes: _Attributes) -> None:
        if self._cell is not None and not self._is_phonetic:
            self.parser.CharacterDataHandler = self._add

    def _start_phonetic(self, attributes: _Attributes) -> None:
        self._is_phonetic = True

    def _add(self, text: str) -> None:
        if self._cell is not None:
            self._cell.text += text
            if len(self._cell.text) > _LONGEST_TEXT:
                where = name_cell(self._row.number, self._cell.column)
                raise _damaged(f"the text in {where} is longer than {_LONGEST_TEXT:,} characters")


def _make_parser() -> expat.XMLParserType:
    """One that names an element by its namespace, a space and its name, and refuses a document type."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_document_type
    return parser


def _refuse_document_type(*_: object) -> None:
    raise BadFile("the workbook contains a document type (DTD), which no spreadsheet program writes", SAVE_AGAIN)


def _parse(parser: expat.XMLParserType, chunk: bytes, *, is_last: bool = False) -> None:
    try:
        parser.Parse(chunk, is_last)
    except expat.ExpatError as error:
        raise _damaged(f"invalid XML: {error}") from None


def _damaged(reason: str) -> BadFile:
    return BadFile(f"the workbook is damaged: {reason}", SAVE_AGAIN)


def _read_number(attributes: _Attributes, name: str, default: int) -> int:
    text = attributes.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _damaged(f"{name}={show(text)} is not a number")
    return int(text)


def _is_hidden(attributes: _Attributes, size: str) -> bool:
    """Also a row without a height, or a column without a width."""
    return attributes.get("hidden") in _TRUE or attributes.get(size) in ("0", "0.0")


@cache
def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
