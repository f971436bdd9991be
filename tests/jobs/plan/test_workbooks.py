"""Plans as workbooks (.xlsx): each has one meaning, or is refused with line, column, value and fix."""

import re
import sys
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont

from leadconnector_async import AppointmentUpdate, ConfigurationError
from leadconnector_async.exceptions import RowFault
from leadconnector_async.jobs import PlanRow, iterate_plan, read_plan

from .workbooks import (
    BOTH,
    END,
    FROM,
    HEAD,
    MAIN,
    PLAIN,
    ROW,
    SHARED,
    START,
    TEXTS,
    TO,
    ZONE,
    Make,
    add_chart,
    add_sheet,
    build,
    build_rows,
    by_hand,
    by_openpyxl,
    by_xlsxwriter,
    find_faults,
    hide_column,
    hide_row,
    sample,
    shown,
    titled,
)

MOVED = {"ev1": AppointmentUpdate(start_time="2027-03-17T09:00:00-04:00", end_time="2027-03-17T09:30:00-04:00")}

EXTENDED = (
    '<extLst><ext uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}" xmlns:x14="http://schemas.microsoft.com/office/'
    'spreadsheetml/2009/9/main"><x14:dataValidations count="0"/></ext></extLst>'
)

PREFIXED = re.sub("<(/?)", r"<\1x:", f"<worksheet><sheetData>{PLAIN}</sheetData></worksheet>").replace(
    "worksheet>", f'worksheet xmlns:x="{MAIN}">', 1
)

SAME: dict[str, Make] = {
    "openpyxl": by_openpyxl(HEAD, ROW),
    "openpyxl, from 1904": by_openpyxl(HEAD, ROW, from_1904=True),
    "openpyxl, headings in words": by_openpyxl(("Event ID", "Start Time", "End time\u200b"), ROW),
    "openpyxl, times as text": by_openpyxl(HEAD, ("ev1", "3/17/2027 9:00 AM", "17.03.2027 09:30")),
    "openpyxl, times with an offset": by_openpyxl(
        HEAD, ("ev1", START.isoformat() + "-04:00", END.isoformat() + "-04:00")
    ),
    "openpyxl, blank rows above and below": by_openpyxl((), (" ", None), HEAD, (), ROW, (None, " "), ("\u200b",)),
    "openpyxl, whitespace around": by_openpyxl((" event_id ", *HEAD[1:]), ("\ufeffev1\n", START, END)),
    "openpyxl, a byte order mark in the first heading": by_openpyxl(("\ufeffevent_id", *HEAD[1:]), ROW),
    "openpyxl, a format in German": by_openpyxl(HEAD, ROW, format='dd"."mm"."yyyy\\ hh:mm'),
    "openpyxl, a format with a locale": by_openpyxl(HEAD, ROW, format="[$-409]m/d/yy h:mm AM/PM;@"),
    "openpyxl, an empty second sheet": by_openpyxl(HEAD, ROW, edit=add_sheet("Sheet2")),
    "openpyxl, a hidden second sheet": by_openpyxl(HEAD, ROW, edit=add_sheet("Lists", "hidden", ("confirmed",))),
    "openpyxl, the ids are hidden": by_openpyxl(HEAD, ROW, edit=hide_column("A")),
    "openpyxl, empty rows are hidden": by_openpyxl(HEAD, ROW, (), edit=hide_row(3)),
    "openpyxl, a filter that hides nothing": by_openpyxl(
        HEAD, ROW, edit=lambda sheet: setattr(sheet.auto_filter, "ref", "A1:C2")
    ),
    "openpyxl, a comment": by_openpyxl(
        HEAD, ROW, edit=lambda sheet: setattr(sheet["A2"], "hyperlink", "https://example.com")
    ),
    "XlsxWriter": by_xlsxwriter(HEAD, ROW),
    "XlsxWriter, from 1904": by_xlsxwriter(HEAD, ROW, options={"date_1904": True}),
    "XlsxWriter, row by row": by_xlsxwriter(HEAD, ROW, options={"constant_memory": True}),
    "XlsxWriter, a table": by_xlsxwriter(
        HEAD, ROW, edit=lambda book, sheet: sheet.add_table("A1:C2", {"columns": [{"header": one} for one in HEAD]})
    ),
    "XlsxWriter, conditional formats": by_xlsxwriter(
        HEAD,
        ROW,
        edit=lambda book, sheet: sheet.conditional_format("B2:B9", {"type": "data_bar", "data_bar_2010": True}),
    ),
    "XlsxWriter, a list of choices": by_xlsxwriter(
        HEAD, ROW, edit=lambda book, sheet: sheet.data_validation("A2:A9", {"validate": "list", "source": ["ev1"]})
    ),
    "XlsxWriter, a formula with its value": by_xlsxwriter(
        HEAD, ROW, edit=lambda book, sheet: sheet.write_formula("E1", "=1", None, "")
    ),
    "XlsxWriter, a chart's sheet": by_xlsxwriter(HEAD, ROW, edit=lambda book, sheet: add_chart(book)),
    "pandas with openpyxl": sample("pandas_openpyxl.xlsx"),
    "pandas with XlsxWriter": sample("pandas_xlsxwriter.xlsx"),
    "pandas with an index": sample("pandas_index.xlsx"),
    "pandas, times as text": sample("pandas_strings.xlsx"),
    "pandas, times with an offset": sample("pandas_offsets.xlsx"),
    "pandas, missing values": sample("pandas_missing.xlsx"),
    "LibreOffice": sample("libreoffice_table.xlsx"),
    "LibreOffice, with macros": sample("libreoffice_table.xlsm"),
    "LibreOffice, from 1904": sample("libreoffice_epoch_1904.xlsx"),
    "LibreOffice, a formula": sample("libreoffice_formula.xlsx"),
    "LibreOffice, a formula whose result is an empty text": sample("libreoffice_formula_without_text.xlsx"),
    "LibreOffice, times of fifteen digits": sample("libreoffice_fractions.xlsx"),
    "Excel, shared texts": by_hand(SHARED, texts=(*TEXTS, "<t>ev1</t>")),
    "Excel, an id in two colours": by_hand(
        SHARED, texts=(*TEXTS, "<r><t>e</t></r><r><rPr><b/></rPr><t>v1</t></r>")
    ),
    "Excel, an id with its reading": by_hand(SHARED, texts=(*TEXTS, '<t>ev1</t><rPh sb="0" eb="3"><t>x</t></rPh>')),
    "Excel, an inline text with its reading": by_hand(
        PLAIN.replace(shown("ev1"), '<is><t>ev1</t><rPh sb="0" eb="3"><t>x</t></rPh></is>')
    ),
    "Excel, extensions that openpyxl warns of": by_hand(PLAIN, after=EXTENDED),
    "Excel, cells and rows without an address": by_hand(PLAIN.replace(' r="', ' data="')),
    "Excel, empty cells with a style": by_hand(PLAIN.replace("</row>", '<c r="XFD1" s="1"/></row>', 1)),
    "Excel, a size that is wrong": by_hand(PLAIN, before='<dimension ref="A1"/>'),
    "Excel, a calculated time": by_hand(PLAIN.replace(f"<v>{TO}", f"<f>B2+1/48</f><v>{TO}")),
    "Excel, a text of a formula": by_hand(
        PLAIN.replace(f't="inlineStr">{shown("ev1")}', 't="str"><f>"ev"&amp;1</f><v>ev1</v>')
    ),
    "Excel, a day that nobody named": by_hand(PLAIN, format="dddd, d mmmm hh:mm"),
    "Excel, two empty sheets more": by_hand(
        PLAIN,
        states=("visible",) * 3,
        parts={
            f"xl/worksheets/sheet{one}.xml": f'<worksheet xmlns="{MAIN}"><sheetData/></worksheet>' for one in (2, 3)
        },
    ),
    "Sheets": by_hand(
        PLAIN,
        before='<sheetPr><outlinePr summaryBelow="0"/></sheetPr><sheetFormatPr customHeight="1" '
        'defaultColWidth="12.63" defaultRowHeight="15.75"/>',
        calculation="",
    ),
    "Sheets, a thousand empty rows": by_hand(
        PLAIN + "".join(f'<row r="{one}" ht="15.75" customHeight="1"/>' for one in range(3, 1001))
    ),
    "a report's tool, with prefixes": by_hand("", parts={"xl/worksheets/sheet1.xml": PREFIXED}),
    "a report's tool, dates in ISO 8601": by_hand(
        PLAIN.replace('s="1"><v>46463.375', 't="d"><v>2027-03-17T09:00:00').replace(
            f's="1"><v>{TO}', 's="1" t="d"><v>2027-03-17T09:30:00'
        )
    ),
}
"""Forms of one plan."""

SET: dict[str, tuple[Make, AppointmentUpdate]] = {
    "a truth value": (titled(True, heading="To notify"), AppointmentUpdate(to_notify=True)),
    "a false one": (titled(False, heading="toNotify"), AppointmentUpdate(to_notify=False)),
    "yes": (titled("Yes", heading="toNotify"), AppointmentUpdate(to_notify=True)),
    "a status": (titled("No-show", heading="Status"), AppointmentUpdate(appointment_status="noshow")),
    "an accent": (titled("Café"), AppointmentUpdate(title="Café")),
    "text that begins as a formula": (
        by_openpyxl(
            ("event_id", "title"),
            ("ev1", "x"),
            edit=lambda sheet: (setattr(sheet["B2"], "value", "=1+1"), setattr(sheet["B2"], "data_type", "s")),
        ),
        AppointmentUpdate(title="=1+1"),
    ),
    "a defused formula": (titled("'=1+1"), AppointmentUpdate(title="=1+1")),
    "a whole number as a title": (titled(42), AppointmentUpdate(title="42")),
    "a number as text": (titled("007"), AppointmentUpdate(title="007")),
    "a title in two fonts": (
        titled(CellRichText("Dr ", TextBlock(InlineFont(b=True), "No"))),
        AppointmentUpdate(title="Dr No"),
    ),
    "midnight": (
        titled(datetime(2027, 3, 17), heading="start_time", format=BOTH),
        AppointmentUpdate(start_time="2027-03-17T00:00:00-04:00"),
    ),
    "two lines": (
        by_xlsxwriter(("event_id", "description"), ("ev1", "a\r\nb")),
        AppointmentUpdate(description="a\r\nb"),
    ),
    "a time off by rounding": (
        by_hand(build_rows(("event_id", "start_time"), ("ev1", 46463.37500001))),
        AppointmentUpdate(start_time="2027-03-17T09:00:00-04:00"),
    ),
}
"""Workbooks of one row, and what it sets."""

REFUSED: dict[str, tuple[Make, dict[int, str]]] = {
    "a filtered row": (
        sample("libreoffice_filtered.xlsx"),
        {3: ": the row is hidden, so nobody sees what it changes; show it, by removing"},
    ),
    "a hidden row": (by_openpyxl(HEAD, ROW, edit=hide_row(2)), {2: ": the row is hidden"}),
    "a row without a height": (
        by_hand(PLAIN.replace('<row r="2"', '<row r="2" ht="0" customHeight="1"')),
        {2: ": the row is hidden"},
    ),
    "a hidden heading": (by_openpyxl(HEAD, ROW, edit=hide_row(1)), {1: ": the row is hidden"}),
    "a hidden column": (
        sample("libreoffice_hidden_column.xlsx"),
        {1: "title: the column is hidden, so nobody sees what it sets; show it"},
    ),
    "hidden columns to the last one": (
        by_hand(PLAIN, before='<cols><col min="3" max="16384" width="0"/></cols>'),
        {1: "end_time: the column is hidden"},
    ),
    "merged cells": (
        sample("libreoffice_merged.xlsx"),
        {2: ": the cells B2:B3 are merged; split them, and fill each", 3: ": the cells B2:B3 are merged"},
    ),
    "merged groups of pandas": (
        sample("pandas_groups.xlsx"),
        {2: ": the cells A2:A3 are merged", 3: ": the cells A2:A3 are merged"},
    ),
    "all rows merged": (
        by_hand(PLAIN, after='<mergeCells><mergeCell ref="D1:D1048576"/></mergeCells>'),
        {1: "D1:D1048576 are merged"},
    ),
    "a formula that was never calculated": (
        by_openpyxl(HEAD, (*ROW[:2], "=B2+1/48")),
        {2: "end_time: the formula in C2 has no saved value; open the workbook"},
    ),
    "a formula with the value that XlsxWriter makes up": (
        by_xlsxwriter(HEAD, (*ROW[:2], "=B2+1/48")),
        {2: "end_time: the formula in C2 has no saved value"},
    ),
    "a formula without a value": (
        by_hand(PLAIN.replace(f"<v>{TO}</v>", "<f>B2</f>")),
        {2: "end_time: the formula in C2 has"},
    ),
    "an error of a formula": (
        sample("libreoffice_formula_with_error.xlsx"),
        {2: "title: '#N/A' is what a spreadsheet shows"},
    ),
    "an error in an id": (
        by_hand(PLAIN.replace(f't="inlineStr">{shown("ev1")}', 't="e"><v>#REF!</v>')),
        {2: "event_id: '#REF!' is what a spreadsheet"},
    ),
    "an id that became a number": (
        by_openpyxl(HEAD, (12345678901, START, END)),
        {2: "event_id: '12345678901' is a number that a spreadsheet made of the id; format the column as text"},
    ),
    "an id in scientific notation": (
        by_hand(PLAIN.replace(f't="inlineStr">{shown("ev1")}', "><v>1.2345678901234567E+19</v>")),
        {2: "event_id: '1.2345678901234567E+19' is a number"},
    ),
    "an id in scientific notation, as text": (
        by_openpyxl(HEAD, ("1.23457E+19", START, END)),
        {2: "event_id: '1.23457E+19' is a number"},
    ),
    "ids of pandas with a missing one": (
        sample("pandas_ids_of_numbers.xlsx"),
        {2: "event_id: '1' is a number", 3: "event_id: it is empty"},
    ),
    "another id that became a number": (
        titled(123, heading="assigned_user_id"),
        {2: "assigned_user_id: '123' is a number"},
    ),
    "an id that became a date": (
        by_openpyxl(HEAD, (datetime(2027, 3, 1), START, END)),
        {2: "event_id: '2027-03-01 00:00:00' is a date or a time, and not text"},
    ),
    "a title that became a date": (
        titled(date(2027, 3, 4)),
        {2: "title: '2027-03-04 00:00:00' is a date or a time"},
    ),
    "a title that became a truth value": (titled(True), {2: "title: TRUE is a truth value, and not text"}),
    "a title that became a fraction": (
        titled(1.5),
        {2: "title: '1.5' is a number, which the sheet may show in another form"},
    ),
    "a title in euros": (titled(12, format='0.00" €"'), {2: "title: '12' is a number, which"}),
    "a shift that became a time": (titled(time(2), heading="shift"), {2: "shift: '02:00:00' is a date or a time"}),
    "a day without a time": (
        titled(date(2027, 3, 17), heading="start_time"),
        {2: "start_time: '2027-03-17' has no time of day; write it"},
    ),
    "a day of pandas": (sample("pandas_days.xlsx"), {2: "start_time: '2027-03-17' has no time of day"}),
    "a time of day that is not shown": (
        titled(START, heading="start_time", format="dd.mm.yyyy"),
        {2: "start_time: '2027-03-17 09:00' is shown without its time of day; give the column"},
    ),
    "a day that is not shown": (
        titled(START, heading="start_time", format="hh:mm"),
        {2: "start_time: '2027-03-17 09:00' is shown without its day"},
    ),
    "a time without a day": (
        titled(time(9), heading="start_time"),
        {2: "start_time: '09:00:00' has no day; write it as 2027"},
    ),
    "a duration": (
        titled(timedelta(hours=33), heading="start_time"),
        {2: "start_time: '1 day, 9:00:00' is a duration"},
    ),
    "a duration of pandas": (
        sample("pandas_durations.xlsx"),
        {2: "start_time: '0.375' is a number, and not a time"},
    ),
    "the day and the time in two columns": (
        by_openpyxl(("event_id", "date", "time"), ("ev1", date(2027, 3, 17), time(9))),
        {1: "unknown column; give the day and the time of day together, in start_time"},
    ),
    "start date and start time in two columns": (
        by_openpyxl(("Event ID", "Start Date", "Start Time"), ("ev1", date(2027, 3, 17), time(9))),
        {1: "Start Date: unknown column; give the day and the time"},
    ),
    "the number of a time": (
        titled(FROM, heading="start_time"),
        {2: "start_time: '46463.375' is a spreadsheet's number for a time, probably 2027-03-17 09:00; give"},
    ),
    "the number of a time, from 1904": (
        titled(45001.375, heading="start_time", from_1904=True),
        {2: "probably 2027-03-17 09:00"},
    ),
    "the number of a time, as text": (titled("46463.375", heading="start_time"), {2: "probably 2027-03-17 09:00"}),
    "a date beyond all calendars": (
        by_hand(PLAIN.replace(f"{FROM}", "99999999")),
        {2: "start_time: '99999999' is not a date of a spreadsheet"},
    ),
    "a date before all calendars": (
        by_hand(PLAIN.replace(f"{FROM}", "-5")),
        {2: "start_time: '-5' is not a date of"},
    ),
    "a number that is none": (
        by_hand(PLAIN.replace(f"{FROM}", "nine")),
        {2: "start_time: 'nine' is not a date of"},
    ),
    "text with two meanings": (
        titled("3/9/2027 9:00", heading="start_time"),
        {2: "start_time: '3/9/2027 9:00' is 3 September or 9 March; set the date format"},
    ),
    "a zero-width character inside an id": (
        by_openpyxl(HEAD, ("e\u200bv1", START, END)),
        {2: "event_id: 'e\\u200bv1'"},
    ),
    "an unknown heading": (by_openpyxl((*HEAD, "Colour"), (*ROW, "red")), {1: "Colour: unknown column"}),
    "two headings of one field": (
        by_openpyxl(("event_id", "Event ID"), ("ev1", "ev1")),
        {1: "two columns are the same field"},
    ),
    "a title above the table": (by_openpyxl(("Plan for March",), HEAD, ROW), {1: "Plan for March: unknown column"}),
    "a cell beside the table": (
        by_openpyxl(HEAD, (*ROW, None, "done")),
        {2: ": there are more cells than columns; empty the cell E2"},
    ),
    "a cell far beside the table": (
        by_openpyxl(HEAD, ROW, edit=lambda sheet: sheet.cell(9, 300, "x")),
        {1: ": the cell KN9 holds something, but a plan has at most 256 columns"},
    ),
    "two sheets of pandas": (
        sample("pandas_two_sheets.xlsx"),
        {1: ": there are several sheets: 'Plan', 'Copy'; set the sheet to the one"},
    ),
    "no cells": (by_openpyxl(), {1: "event_id: there is no column event_id"}),
    "no cells in two sheets": (
        by_openpyxl(edit=add_sheet("Sheet2")),
        {1: ": all sheets of the workbook are empty"},
    ),
    "OpenDocument": (
        sample("libreoffice_table.ods"),
        {1: ": this is an OpenDocument file (.ods); save it as an Excel"},
    ),
    "Excel 97": (sample("libreoffice_table.xls"), {1: ": this is a workbook of Excel 97 (.xls)"}),
    "Strict Open XML": (
        by_hand(PLAIN, namespace="http://purl.oclc.org/ooxml/spreadsheetml/main"),
        {1: 'in the form "Strict Open XML"; save it as an Excel workbook'},
    ),
    "a binary workbook": (
        by_hand(PLAIN, parts={"xl/workbook.bin": ""}),
        {1: ": this is a binary workbook (.xlsb)"},
    ),
}
"""What a message of a line contains."""


def read(path: Path, sheet: str | None = None) -> dict[str, AppointmentUpdate]:
    """What a plan sets, by event."""
    return {row.event_id: row.update for row in read_plan(path, timezone=ZONE, sheet=sheet)}


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_a_workbook_moves_the_appointment(tmp_path: Path, make: Make) -> None:
    """Whatever program has saved it, with whatever formats, calendars and empty parts."""
    assert read(build(tmp_path, make)) == MOVED


@pytest.mark.parametrize(("make", "update"), SET.values(), ids=SET)
def test_a_cell_of_a_workbook_has_one_meaning(tmp_path: Path, make: Make, update: AppointmentUpdate) -> None:
    """What is kept as a number, a truth value or text of several parts."""
    assert read(build(tmp_path, make)) == {"ev1": update}


@pytest.mark.parametrize(("make", "faults"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_single_meaning_in_a_workbook_is_refused(
    tmp_path: Path, make: Make, faults: dict[int, str]
) -> None:
    """With line, column, value and fix, in the words of a CSV file."""
    found = find_faults(build(tmp_path, make))
    assert found.keys() == faults.keys()
    assert all(reason in found[line] for line, reason in faults.items()), found
    assert all(fault.rpartition("; ")[2] for fault in found.values()), "each says what to do"


def test_the_table_of_workbooks_is_long() -> None:
    """As many files as are claimed."""
    assert len(SAME) + len(SET) + len(REFUSED) >= 80


def test_a_row_has_its_number_in_the_sheet(tmp_path: Path) -> None:
    """Also below blank rows."""
    (row,) = read_plan(build(tmp_path, by_openpyxl((), HEAD, (), (), ROW)), timezone=ZONE)
    assert row.line == 5


@pytest.mark.parametrize("sheet", ["Plan", " plan ", "Hidden"])
def test_a_sheet_is_chosen_by_its_name(tmp_path: Path, sheet: str) -> None:
    """A hidden one, too, if somebody asks for it."""
    hidden = sheet == "Hidden"
    make = by_openpyxl(
        ("event_id",), ("x",), edit=add_sheet(sheet.strip().title(), "hidden" if hidden else "visible", HEAD, ROW)
    )
    assert read(build(tmp_path, make), sheet) == MOVED


def test_a_sheet_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """With the names of those that do."""
    path = build(tmp_path, by_openpyxl(HEAD, ROW))
    assert find_faults(path, sheet="Plan") == {1: ": there is no sheet 'Plan'; set the sheet to one of 'Sheet'"}


def test_only_a_workbook_has_sheets(tmp_path: Path) -> None:
    """A name that means nothing is not passed over."""
    path = tmp_path / "plan.csv"
    path.write_text("event_id,title\nev1,x\n")
    fault = "the sheet 'Plan' is set, but this is not a workbook; leave it out"
    assert find_faults(path, sheet="Plan") == {1: f": {fault}"}
    assert [str(row) for row in iterate_plan("event_id,title\n", sheet="Plan")] == [f"line 1: {fault}"]


def test_a_workbook_is_neither_csv_nor_json(tmp_path: Path) -> None:
    """Whoever names a format expects another file."""
    fault = ": this is a workbook or another ZIP archive, but the format is csv; leave the format out"
    assert find_faults(build(tmp_path, by_openpyxl(HEAD, ROW)), format="csv") == {1: fault}


def test_a_workbook_that_is_opened_as_text_is_named(tmp_path: Path) -> None:
    """Such as one on stdin."""
    path = build(tmp_path, by_openpyxl(HEAD, ROW))
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        (fault,) = iterate_plan(lines)
    assert str(fault) == "line 1: this is a workbook or another ZIP archive, and not text; give its path"


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is read, and with the line to type."""
    path = build(tmp_path, by_openpyxl(HEAD, ROW))
    monkeypatch.chdir(tmp_path)  # messages cut long paths
    for name in [name for name in sys.modules if name.partition(".")[0] == "openpyxl"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    for name in [name for name in sys.modules if ".plan.workbook" in name]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(
        ConfigurationError, match=r"plan.xlsx' is a workbook.*pip install 'leadconnector-async\[xlsx\]'"
    ):
        iterate_plan(Path(path.name))


def test_the_name_of_a_file_is_not_read_as_text() -> None:
    """It is a text, and so the lines of a plan."""
    (fault,) = iterate_plan("day.xlsx")
    assert (
        str(fault) == "line 1: this is the name of a file, but CSV was expected; pass Path('day.xlsx') to read it"
    )


def test_a_workbook_is_closed_with_its_rows(tmp_path: Path) -> None:
    """Also by somebody who reads only the first one: a file that stays open is a ResourceWarning, which fails."""
    rows = iterate_plan(build(tmp_path, by_openpyxl(HEAD, ROW, ("ev2", START, END))), timezone=ZONE)
    assert isinstance(next(rows), PlanRow)
    del rows


def test_rows_come_one_by_one(tmp_path: Path) -> None:
    """A sheet of any length is not held in memory: its last row is read after the first ones."""
    many = build_rows(("event_id", "title"), *[(f"ev{one}", "x" * 100) for one in range(2000)])
    rows = list(iterate_plan(build(tmp_path, by_hand(many.replace('r="2001"', 'r="7"')))))
    assert sum(isinstance(row, PlanRow) for row in rows) > 1000
    assert isinstance(rows[-1], RowFault)
