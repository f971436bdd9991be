"""Plans as spreadsheets save them: each has one meaning, or is refused with line, column, value and fix."""

from pathlib import Path
from typing import Literal

import pytest

from leadconnector_async import AppointmentUpdate, InvalidRequestError
from leadconnector_async.exceptions import RowFault
from leadconnector_async.jobs import iterate_plan, read_plan

ZONE = "America/New_York"
MOVED = {"ev1": AppointmentUpdate(start_time="2027-03-17T09:00:00-04:00", end_time="2027-03-17T09:30:00-04:00")}
HEAD = "event_id,start_time,end_time"
ROW = "ev1,2027-03-17T09:00:00,2027-03-17T09:30:00"
PLAIN = f"{HEAD}\r\n{ROW}\r\n"


def at(start: str, end: str, delimiter: str = ",") -> str:
    """A plan of one row, whose cells hold no quotation marks."""
    cells = [f'"{cell}"' if delimiter in cell else cell for cell in ("ev1", start, end)]
    return f"{HEAD.replace(',', delimiter)}\r\n{delimiter.join(cells)}\r\n"


def titled(heading: str, cell: str) -> str:
    """A plan of one row with one cell to set."""
    return f"event_id,{heading}\r\nev1,{cell}\r\n"


SAME: dict[str, str | bytes] = {
    "Excel, CSV (Comma delimited)": PLAIN,
    "Excel, CSV UTF-8": PLAIN.encode("utf-8-sig"),
    "Excel, CSV UTF-8, first heading in quotation marks": f'"event_id"{PLAIN[8:]}'.encode("utf-8-sig"),
    "Excel, CSV (Macintosh)": PLAIN.replace("\r\n", "\r"),
    "Excel, CSV (MS-DOS)": PLAIN.encode("cp437"),
    "Excel, Text (Tab delimited)": PLAIN.replace(",", "\t"),
    "Excel, Unicode Text": PLAIN.replace(",", "\t").encode("utf-16"),
    "Excel, Unicode Text, big-endian": b"\xfe\xff" + PLAIN.replace(",", "\t").encode("utf-16-be"),
    "UTF-16 without a byte order mark": PLAIN.encode("utf-16-le"),
    "big-endian UTF-16 without a byte order mark": PLAIN.encode("utf-16-be"),
    "Excel, list separator ;": PLAIN.replace(",", ";"),
    "Excel, sep=;": f"sep=;\r\n{PLAIN.replace(',', ';')}",
    "Excel, sep=; with a byte order mark": f"sep=;\r\n{PLAIN.replace(',', ';')}".encode("utf-8-sig"),
    "Excel, cleared columns and rows": f"{HEAD},,,\r\n{ROW},,,\r\n,,,,,\r\n,,,,,\r\n",
    "Excel, a blank row above the heading": f",,\r\n{PLAIN}",
    "LibreOffice, every text in quotation marks": '"event_id","start_time","end_time"\n"ev1","'
    '2027-03-17 09:00:00","2027-03-17 09:30:00"\n',
    "LibreOffice, delimiter |": PLAIN.replace(",", "|"),
    "Sheets, .csv": PLAIN.removesuffix("\r\n"),
    "Sheets, .tsv": PLAIN.replace(",", "\t").removesuffix("\r\n"),
    "pandas.to_csv": f"{HEAD}\nev1,2027-03-17 09:00:00-04:00,2027-03-17 09:30:00-04:00\n",
    "pandas.to_json(orient='records')": '[{"event_id":"ev1","start_time":"2027-03-17T09:00:00",'
    '"end_time":"2027-03-17T09:30:00"}]',
    "headings in words": PLAIN.replace(HEAD, "Event ID,Start Time,End Time"),
    "headings in capitals": PLAIN.replace(HEAD, "EVENT_ID,START-TIME,ENDTIME"),
    "headings with spaces around": PLAIN.replace(HEAD, " Event Id , Start  time ,\u00a0End time\u200b"),
    "the heading Appointment ID": PLAIN.replace("event_id", "Appointment ID"),
    "zero-width characters around an id": PLAIN.replace("ev1", "\u200bev1\ufeff"),
    "US dates": at("3/17/2027 9:00", "3/17/2027 9:30"),
    "US dates with AM": at("3/17/2027 9:00 AM", "3/17/2027 9:30:00 AM"),
    "US dates with a narrow space before AM": at("3/17/2027 9:00\u202fAM", "3/17/2027 9:30\u202fam"),
    "US dates with leading zeros": at("03/17/2027 09:00", "03/17/2027 09:30"),
    "US dates as toLocaleString writes them": at("3/17/2027, 9:00:00 AM", "3/17/2027, 9:30:00 AM"),
    "British dates": at("17/03/2027 09:00", "17/03/2027 09:30"),
    "German dates": at("17.03.2027 09:00", "17.03.2027 09:30", ";"),
    "Dutch dates": at("17-3-2027 09:00", "17-3-2027 09:30", ";"),
    "Swedish dates": at("2027-03-17 09:00", "2027-03-17 09:30", ";"),
    "Japanese dates": at("2027/3/17 9:00", "2027/3/17 9:30"),
    "Sheets' dates": at("2027-03-17 9:00:00", "2027-03-17 9:30:00"),
    "months by name": at("17-Mar-2027 09:00", "17 March 2027, 9:30 a.m."),
    "months by name, first": at("Mar 17, 2027 9:00 AM", "March 17, 2027 at 9:30 AM"),
    "an offset without a colon": at("2027-03-17 09:00:00 -0400", "2027-03-17 13:30 UTC"),
}
"""Forms of one plan."""

SET: dict[str, tuple[str | bytes, AppointmentUpdate]] = {
    "the heading status": (titled("status", "confirmed"), AppointmentUpdate(appointment_status="confirmed")),
    "a status in capitals": (titled("Status", "CONFIRMED"), AppointmentUpdate(appointment_status="confirmed")),
    "a status of two words": (titled("Status", "No-show"), AppointmentUpdate(appointment_status="noshow")),
    "an American spelling": (
        titled("Status", "Canceled"),
        AppointmentUpdate(appointment_status="cancelled"),
    ),
    "yes": (titled("To notify", "Yes"), AppointmentUpdate(to_notify=True)),
    "no": (titled("To notify", "no"), AppointmentUpdate(to_notify=False)),
    "TRUE of Excel": (titled("toNotify", "TRUE"), AppointmentUpdate(to_notify=True)),
    "WAHR of a German Excel": (titled("toNotify", "WAHR"), AppointmentUpdate(to_notify=True)),
    "FAUX of a French Excel": (titled("toNotify", "FAUX"), AppointmentUpdate(to_notify=False)),
    "an accent in UTF-8": (titled("title", "Café"), AppointmentUpdate(title="Café")),
    "an accent in UTF-16": (titled("title", "Café").encode("utf-16"), AppointmentUpdate(title="Café")),
    "a defused formula": (titled("title", "'=1+1"), AppointmentUpdate(title="=1+1")),
    "a comma in quotation marks": (titled("title", '"Smith, ""Jo"""'), AppointmentUpdate(title='Smith, "Jo"')),
    "a day that is its month": (
        titled("start_time", "3/3/2027 12:05 PM"),
        AppointmentUpdate(start_time="2027-03-03T12:05:00-05:00"),
    ),
    "the hour after midnight": (
        titled("start_time", "17.03.2027 12:05 AM"),
        AppointmentUpdate(start_time="2027-03-17T00:05:00-04:00"),
    ),
}
"""Plans of one row, and what it sets."""

REFUSED: dict[str, tuple[str | bytes, dict[int, str]]] = {
    "a date with two meanings": (
        at("3/9/2027 9:00", "3/9/2027 9:30"),
        {2: "start_time: '3/9/2027 9:00' is 3 September or 9 March; set the date format to dmy or mdy"},
    ),
    "a date with two meanings, with dots": (at("03.09.2027 09:00", ""), {2: "3 September or 9 March"}),
    "two rows of a plan, one of two meanings": (
        "event_id,start_time\nev1,3/17/2027 9:00\nev2,3/9/2027 9:00\n",
        {3: "start_time: '3/9/2027 9:00'"},
    ),
    "a year of two digits": (at("3/17/27 9:00", ""), {2: "start_time: '3/17/27 9:00' has a year of 2 digits"}),
    "a year of two digits by name": (at("17-Mar-27 9:00", ""), {2: "write the year with four digits"}),
    "a day without a time": (at("3/17/2027", ""), {2: "start_time: '3/17/2027' has no time of day"}),
    "no such hour": (at("3/17/2027 13:00 PM", ""), {2: "hour 13 has no PM"}),
    "no such month": (at("17/17/2027 13:00", ""), {2: "'17/17/2027 13:00' is not a time: month"}),
    "a day of zero": (at("0/3/2027 13:00", ""), {2: "start_time: '0/3/2027 13:00' is no day"}),
    "words behind a date": (at("3/17/2027 noon", ""), {2: "'noon' is not a time of day"}),
    "a month in Italian": (at("17 marzo 2027 09:00", ""), {2: "start_time: '17 marzo 2027 09:00'"}),
    "the number of a time": (
        at("46463.375", ""),
        {2: "start_time: '46463.375' is a spreadsheet's number for a time, probably 2027-03-17 09:00; give"},
    ),
    "the number of a time, with a comma": (at("46463,375", "", ";"), {2: "probably 2027-03-17 09:00"}),
    "a column that is too narrow": (at("########", ""), {2: "start_time: '########' is what a spreadsheet shows"}),
    "an error in an id": ("event_id,title\n#N/A,x\n", {2: "event_id: '#N/A' is what a spreadsheet shows"}),
    "an error in a title": (titled("title", "#REF!"), {2: "title: '#REF!' is what a spreadsheet shows"}),
    "an id that became a number": ("event_id,title\n1.23457E+19,x\n", {2: "event_id: '1.23457E+19' is a number"}),
    "an id that became a decimal": ("event_id,title\n12345.0,x\n", {2: "format the column as text"}),
    "an accent in cp1252": (
        titled("title", "Café").encode("cp1252"),
        {2: "title: the byte 0xE9 is not valid UTF-8 (in Windows' cp1252 the cell is 'Café'); save the plan as"},
    ),
    "an accent in cp1252, in two rows": (
        "event_id,title\r\na,Zoë\r\nb,Bo\r\nc,José\r\n".encode("cp1252"),
        {2: "title: the byte 0xEB", 4: "title: the byte 0xE9"},
    ),
    "an accent in a Mac's Roman": (titled("title", "Café").encode("mac_roman"), {2: "title: the byte 0x8E"}),
    "half a character of UTF-16": (PLAIN.encode("utf-16")[:-1], {1: "not valid utf-16"}),
    "two headings of one field": (
        "Event ID,status,appointmentStatus\nev1,new,new\n",
        {1: "status and app"},
    ),
    "a title above the table": (f"Plan for March,,\r\n{PLAIN}", {1: "Plan for March: unknown column"}),
    "a zero-width character inside an id": (
        PLAIN.replace("ev1", "e\u200bv1"),
        {2: "event_id: 'e\\u200bv1'"},
    ),
    "neither yes nor no": (titled("to_notify", "x"), {2: "to_notify: 'x' is neither true nor false; write true"}),
    "a workbook of Excel 97": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
        {1: "a workbook of Excel 97 (.xls)"},
    ),
    "half a workbook": (b"PK\x03\x04\x14\x00" + bytes(30), {1: "the workbook is damaged: File is not a zip"}),
    "a table in HTML, named .xls": ("<table><tr><td>event_id</td></tr></table>", {1: "this is HTML or XML"}),
    "a plan in a PDF": (b"%PDF-1.7\n%\xe2\xe3", {1: "this is a PDF file"}),
    "a compressed plan": (b"\x1f\x8b\x08\x00\x00", {1: "compressed with gzip"}),
}
"""What a message of a line contains."""


def save(folder: Path, content: str | bytes) -> Path:
    """A plan's file."""
    path = folder / "plan.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path) -> dict[str, AppointmentUpdate]:
    """What a plan sets, by event."""
    return {row.event_id: row.update for row in read_plan(path, timezone=ZONE)}


@pytest.mark.parametrize("content", SAME.values(), ids=SAME)
def test_a_plan_that_a_spreadsheet_saved_moves_the_appointment(tmp_path: Path, content: str | bytes) -> None:
    """Whatever the encoding, the delimiter, the headings and the form of the dates."""
    assert read(save(tmp_path, content)) == MOVED


@pytest.mark.parametrize(("content", "update"), SET.values(), ids=SET)
def test_a_cell_that_a_spreadsheet_wrote_has_one_meaning(
    tmp_path: Path, content: str | bytes, update: AppointmentUpdate
) -> None:
    """Words in other spellings, texts in other encodings, times on a clock of twelve hours."""
    assert read(save(tmp_path, content)) == {"ev1": update}


@pytest.mark.parametrize(("content", "faults"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_single_meaning_is_refused(
    tmp_path: Path, content: str | bytes, faults: dict[int, str]
) -> None:
    """With line, column, value and fix."""
    rows = iterate_plan(save(tmp_path, content), timezone=ZONE)
    found = {row.line: f"{row.column}: {row.reason}; {row.hint}" for row in rows if isinstance(row, RowFault)}
    assert found.keys() == faults.keys()
    assert all(reason in found[line] for line, reason in faults.items()), found
    assert all(fault.rpartition("; ")[2] for fault in found.values()), "each says what to do"


def test_the_table_is_long() -> None:
    """As many files as are claimed."""
    assert len(SAME) + len(SET) + len(REFUSED) >= 80


@pytest.mark.parametrize(
    ("order", "time"), [("dmy", "2027-09-03T09:00:00-04:00"), ("mdy", "2027-03-09T09:00:00-05:00")]
)
def test_a_date_format_decides(order: Literal["dmy", "mdy"], time: str) -> None:
    """Where the numbers of a date could be either."""
    (row,) = read_plan(titled("start_time", "3/9/2027 9:00"), timezone=ZONE, date_format=order)
    assert (row.line, row.update) == (2, AppointmentUpdate(start_time=time))


def test_a_date_that_contradicts_the_date_format_is_refused() -> None:
    """A column of mixed dates is not what its reader believes."""
    with pytest.raises(InvalidRequestError, match="has no month 17, but the date format is dmy; write it as"):
        read_plan(titled("start_time", "3/17/2027 9:00"), timezone=ZONE, date_format="dmy")


def test_an_encoding_decides(tmp_path: Path) -> None:
    """A plan that is not UTF-8 is read in the encoding that it is said to have."""
    path = save(tmp_path, titled("title", "Café").encode("mac_roman"))
    (row,) = read_plan(path, encoding="mac_roman")
    assert row.update.title == "Café"


@pytest.mark.parametrize("encoding", ["cp12525", "base64", "é"])
def test_what_is_not_an_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    """Before the file is opened."""
    with pytest.raises(InvalidRequestError, match="is not the name of a text encoding"):
        iterate_plan(tmp_path / "plan.csv", encoding=encoding)
