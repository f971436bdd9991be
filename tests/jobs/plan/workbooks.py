"""Makes workbooks as Excel, Sheets, openpyxl and XlsxWriter save them."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.worksheet import Worksheet
from xlsxwriter import Workbook as WriterBook

from leadconnector_async.exceptions import RowFault
from leadconnector_async.jobs import iterate_plan

Make = Callable[[Path], object]
SAMPLES = Path(__file__).parents[2] / "samples" / "workbooks"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
START, END = datetime(2027, 3, 17, 9), datetime(2027, 3, 17, 9, 30)
HEAD = ("event_id", "start_time", "end_time")
ROW = ("ev1", START, END)
BOTH = "yyyy-mm-dd hh:mm"
ZONE = "America/New_York"
FROM, TO = 46463.375, 46463.395833333336


def sample(name: str) -> Make:
    """A file that pandas or LibreOffice has saved; see `make.py` beside it."""
    return lambda path: path.write_bytes((SAMPLES / name).read_bytes())


def by_openpyxl(
    *rows: tuple[object, ...],
    format: str | None = None,
    edit: Callable[[Worksheet], object] = lambda sheet: None,
    from_1904: bool = False,
) -> Make:
    """Rows of one sheet; `format` is that of the cell B2."""

    def make(path: Path) -> None:
        book = Workbook()
        if from_1904:
            book.epoch = CALENDAR_MAC_1904
        (sheet,) = book.worksheets
        for row in rows:
            sheet.append(row)
        if format is not None:
            sheet["B2"].number_format = format
        edit(sheet)
        book.save(path)

    return make


def by_xlsxwriter(
    *rows: tuple[object, ...],
    format: str | None = BOTH,
    options: dict[str, object] | None = None,
    edit: Callable[[WriterBook, Any], object] = lambda book, sheet: None,
) -> Make:
    """Rows of one sheet; `format` is that of times."""

    def make(path: Path) -> None:
        book = WriterBook(str(path), {"default_date_format": format, **(options or {})})
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
        edit(book, sheet)
        book.close()

    return make


def build_rows(*rows: tuple[str | float, ...]) -> str:
    """The rows of a sheet as Excel writes them; numbers have the style 1, which is that of times."""
    lines: list[str] = []
    for number, row in enumerate(rows, start=1):
        cells: list[str] = []
        for column, cell in zip("ABCDEFGH", row, strict=False):
            if isinstance(cell, str):
                cells.append(f'<c r="{column}{number}" t="inlineStr"><is><t>{escape(cell)}</t></is></c>')
            else:
                cells.append(f'<c r="{column}{number}" s="1"><v>{cell}</v></c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    return "".join(lines)


def by_hand(
    rows: str,
    *,
    before: str = "",
    after: str = "",
    texts: tuple[str, ...] = (),
    format: str = BOTH,
    main: str = "",
    calculation: str = '<calcPr calcId="191029"/>',
    states: tuple[str, ...] = ("visible",),
    parts: dict[str, str] | None = None,
    namespace: str = MAIN,
) -> Make:
    """A workbook by its XML: `rows` of each sheet, what comes before and after them, and whole parts."""
    sheet = f'<worksheet xmlns="{namespace}">{before}<sheetData>{rows}</sheetData>{after}</worksheet>'
    numbers = range(1, len(states) + 1)
    kinds = {
        "/xl/workbook.xml": f"{KIND}.sheet.main+xml",
        "/xl/styles.xml": f"{KIND}.styles+xml",
        "/xl/sharedStrings.xml": f"{KIND}.sharedStrings+xml",
        **{f"/xl/worksheets/sheet{number}.xml": f"{KIND}.worksheet+xml" for number in numbers},
    }
    overrides = "".join(f'<Override PartName="{part}" ContentType="{kind}"/>' for part, kind in kinds.items())
    links = "".join(
        f'<Relationship Id="rId{number}" Type="{LINKS}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in numbers
    )
    sheets = "".join(
        f'<sheet name="Sheet{number}" sheetId="{number}" state="{state}" r:id="rId{number}"/>'
        for number, state in enumerate(states, start=1)
    )
    everything = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" ContentType='
        f'"application/vnd.openxmlformats-package.relationships+xml"/>{overrides}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{LINKS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{links}</Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{namespace}" xmlns:r="{LINKS}">{main}<sheets>{sheets}</sheets>'
        f"{calculation}</workbook>",
        "xl/styles.xml": f'<styleSheet xmlns="{namespace}"><numFmts count="1"><numFmt numFmtId="164" formatCode="'
        f'{escape(format, {chr(34): "&quot;"})}"/></numFmts><fonts><font/></fonts><fills><fill/></fills><borders>'
        '<border/></borders><cellStyleXfs><xf/></cellStyleXfs><cellXfs><xf/><xf numFmtId="164"/>'
        "</cellXfs></styleSheet>",
        "xl/sharedStrings.xml": f'<sst xmlns="{namespace}">{"".join(f"<si>{text}</si>" for text in texts)}</sst>',
        **{f"xl/worksheets/sheet{number}.xml": sheet for number in numbers},
        **(parts or {}),
    }

    def make(path: Path) -> None:
        with ZipFile(path, "w", ZIP_DEFLATED) as archive:
            for name, content in everything.items():
                archive.writestr(name, content)

    return make


PLAIN = build_rows(HEAD, ("ev1", FROM, TO))
SHARED = (
    '<row r="1" spans="1:3"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="s"><v>2</v></c>'
    "</row>"
    '<row r="2" spans="1:3" x14ac:dyDescent="0.3" xmlns:x14ac="http://schemas.microsoft.com/office/spreadsheetml/2009/'
    f'9/ac"><c r="A2" t="s"><v>3</v></c><c r="B2" s="1"><v>{FROM}</v></c><c r="C2" s="1"><v>{TO}</v></c></row>'
)
TEXTS = ("<t>event_id</t>", "<t>start_time</t>", '<t xml:space="preserve">end_time </t>')


def shown(text: str) -> str:
    """A text, in the XML of a cell."""
    return f"<is><t>{text}</t></is>"


def titled(cell: object, **settings: Any) -> Make:
    """A plan of one row with one cell to set, by openpyxl."""
    return by_openpyxl(("event_id", settings.pop("heading", "title")), ("ev1", cell), **settings)


def hide_row(number: int) -> Any:
    """Of openpyxl's sheet."""
    return lambda sheet: setattr(sheet.row_dimensions[number], "hidden", True)


def hide_column(letter: str) -> Any:
    """Of openpyxl's sheet."""
    return lambda sheet: setattr(sheet.column_dimensions[letter], "hidden", True)


def add_sheet(title: str, state: str = "visible", *rows: tuple[object, ...]) -> Any:
    """Another one in openpyxl's workbook."""

    def edit(sheet: Worksheet) -> None:
        assert isinstance(sheet.parent, Workbook)
        other = sheet.parent.create_sheet(title)
        other.sheet_state = state
        for row in rows:
            other.append(row)

    return edit


def add_chart(book: Any) -> None:
    """A sheet of XlsxWriter that has no cells."""
    chart = book.add_chart({"type": "line"})
    chart.add_series({"values": "=Sheet1!$B$2:$B$2"})
    book.add_chartsheet("Chart").set_chart(chart)


def build(folder: Path, make: Make) -> Path:
    """The plan's file."""
    path = folder / "plan.xlsx"
    make(path)
    return path


def find_faults(path: Path, **settings: Any) -> dict[int, str]:
    """What is wrong, by line."""
    rows = iterate_plan(path, timezone=ZONE, **settings)
    return {row.line: f"{row.column}: {row.reason}; {row.hint}" for row in rows if isinstance(row, RowFault)}
