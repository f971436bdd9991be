"""What people feed in: plans as spreadsheets and programs write them, and cells as they are written back."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import AppointmentUpdate, ConfigurationError, InvalidRequestError, PlanError
from leadconnector_async.exceptions import RowFault
from leadconnector_async.jobs import PlanRow, Precondition, iterate_plan, read_plan
from leadconnector_async.jobs.plan.csv_files import iterate_csv
from leadconnector_async.jobs.plan.files import write_csv
from leadconnector_async.jobs.plan.rows import defuse, read_row, restore
from leadconnector_async.jobs.plan.sources import check_source
from leadconnector_async.jobs.report.html_report import build_table

PLANS = Path(__file__).parents[2] / "samples" / "plans"
MOVE = AppointmentUpdate(start_time="2027-03-17T08:00:00-05:00", end_time="2027-03-17T08:15:00-05:00")
DANGEROUS = st.text(st.sampled_from("'=+-@\t\r\n＝＋－＠ab;,\"|!"), min_size=1)


def read(name: str) -> list[PlanRow]:
    with (PLANS / name).open(encoding="utf-8-sig", newline="") as file:
        return read_plan(file)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("trailing_commas.csv", 2),
        ("blank_line_of_spaces.csv", 2),
        ("sep_line.csv", 3),
        ("tabs.tsv", 2),
        ("zero_width_space_in_id.csv", 2),
        ("plan_is_one_json_array.json", 1),
    ],
)
def test_what_has_one_meaning_is_read(name: str, line: int) -> None:
    """Rows without a filled cell, `sep=`, tabs, invisible characters around an id, an array: no format is named."""
    assert read(name)[0] == PlanRow(line, "EWoEjmGE628b0m6zivxZ", MOVE)


def test_a_title_with_a_line_break_is_refused_before_anything_is_sent() -> None:
    """The server answers 422 to it."""
    with pytest.raises(PlanError, match=r"line 3, title: .*line break"):
        read("line_break_in_title.csv")


def test_rows_without_a_filled_cell_are_no_rows() -> None:
    """Wherever they are, however wide, and whatever blanks they hold."""
    text = "\n ,\n,,\nevent_id,title,,\n,,,,,\na,x,,,,\n\u200b,\u00a0\n\n  \nb,y\n"
    rows = read_plan(text.splitlines(keepends=True))
    assert [(row.line, row.event_id, row.update.title) for row in rows] == [(6, "a", "x"), (10, "b", "y")]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "sep=;;;", "\ufeffsep=;"])
def test_the_separator_line_is_no_heading(first: str) -> None:
    """However Excel has written it; faults keep the lines of the file."""
    lines = [f"{first}\r\n", "event_id;title\r\n", "a;x, y\r\n", "b;\r\n"]
    good, bad = iterate_plan(lines)
    assert isinstance(good, PlanRow)
    assert isinstance(bad, RowFault)
    assert (good.line, good.update.title, bad.line) == (3, "x, y", 4)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found_in_the_heading(delimiter: str) -> None:
    """Not in the rows, which may hold any of them."""
    (row,) = read_plan(delimiter.join(["event_id", "title"]) + "\n" + delimiter.join(["a", '"x,;\ty"']) + "\n")
    assert row.update.title == "x,;\ty"


@pytest.mark.parametrize("unseen", ["\u200b", "\ufeff", "\u2060", "\u200e", "\u00a0", "\u00ad"])
def test_what_cannot_be_seen_around_an_id_is_removed(unseen: str) -> None:
    """In headings, ids and times; a title stays as it is."""
    text = (
        f"{unseen}event_id,{unseen}calendar_id,start_time,title\n"
        f"a{unseen},{unseen}c,2027-03-17T08:00:00Z{unseen},x{unseen}y\n"
    )
    (row,) = read_plan(text)
    assert row.event_id == "a"
    assert row.update == AppointmentUpdate(calendar_id="c", start_time="2027-03-17T08:00:00Z", title=f"x{unseen}y")


@pytest.mark.parametrize(
    "text",
    [
        '[{"event_id": "a", "title": "x"}, {"event_id": "b", "title": "y"}]',
        '\ufeff[\n  {\n    "event_id": "a",\n    "title": "x"\n  },\n  {"event_id": "b", "title": "y"},\n]\n\n',
        '{"event_id": "a", "title": "x"}\n\n{"event_id": "b", "title": "y"}\n',
        ' [\n{"event_id": "a", "title": "x"}\n,{"event_id": "b", "title": "y"}]',
    ],
)
@pytest.mark.parametrize("as_lines", [True, False])
def test_json_is_read_as_lines_and_as_an_array(text: str, as_lines: bool) -> None:
    """On one line or on many; a whole text is as good as its lines."""
    rows = read_plan(text.splitlines(keepends=True) if as_lines else text)
    assert [(row.event_id, row.update.title) for row in rows] == [("a", "x"), ("b", "y")]


def test_an_array_is_not_held_in_memory() -> None:
    """Its elements come as they end, so that it may be endless."""

    def endless() -> Iterator[str]:
        yield "["
        while True:
            yield '{"event_id": "a", "title": "]} \\" {["},\n'

    rows = iterate_plan(endless())
    for _ in range(1000):
        row = next(rows)
        assert isinstance(row, PlanRow)
        assert row.update.title == ']} " {['


def test_a_key_that_only_looks_like_two_is_read() -> None:
    """Quotation marks and colons inside a text are no keys."""
    (row,) = read_plan('{"event_id": "a", "title": "\\"title\\": x", "address": "y"}\n')
    assert row.update.title == '"title": x'


def test_bytes_are_refused_with_the_way_to_open_the_file() -> None:
    """No `AttributeError` of somewhere below."""
    with pytest.raises(InvalidRequestError, match=r"lines of the plan are bytes.*utf-8-sig"):
        read_plan([b"event_id,title\n"])  # type: ignore[list-item]


def test_a_heading_is_named_in_both_spellings() -> None:
    """So that it is clear which column to remove."""
    with pytest.raises(PlanError, match="two columns are the same field: startTime and start_time"):
        read_plan("event_id,startTime,start_time\na,x,y\n")


def test_a_long_value_is_cut_in_every_message() -> None:
    """Three million characters in a cell make no message of three million."""
    long = "x" * 3_000_000
    cells = [
        {"event_id": "a", "start_time": long},
        {"event_id": "b", "shift": long},
        {"event_id": "c", "to_notify": long},
        {"event_id": "d", "appointment_status": long},
        {"event_id": "e", "title": "x", "before_start_time": long},
        {"event_id": "f", "start_time": "2027-03-17T09:00:00", "timezone": long},
        {"event_id": "g", "title": [long]},
        {"event_id": "h", long: "x"},
        {"event_id": long, "rrule": "x"},
    ]
    faults = list(iterate_plan([json.dumps(one) for one in cells]))
    assert all(isinstance(fault, RowFault) for fault in faults)
    assert max(len(str(fault)) for fault in faults) < 600
    with pytest.raises(PlanError) as caught:
        read_plan([json.dumps({"event_id": long, "title": "x"})] * 2)
    assert len(str(caught.value)) < 500


def test_a_path_is_not_a_source_of_rows() -> None:
    """What reads it is named, since that is where the zone and the sheet are said."""
    with pytest.raises(ConfigurationError, match=r"day.xlsx'\); to read a plan, give iterate_plan\(path\)"):
        check_source(Path("day.xlsx"))


@given(DANGEROUS)
def test_a_cell_that_is_defused_is_restored(text: str) -> None:
    """No text begins as a formula, and every text is got back."""
    assert defuse(text)[0] not in "=+-@\t\r\n＝＋－＠"
    assert restore(defuse(text)) == text


@given(DANGEROUS.map(str.strip).filter(bool))
def test_what_is_written_is_read_again(text: str) -> None:
    """Through a file: ids, texts to set, and the state before."""
    row = {"event_id": f"={text}", "title": text, "description": text, "before_title": text}
    lines = list(write_csv([row], row))
    cells = next(csv.reader([lines[1]]))
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\n＝＋－＠"))]
    (back,) = iterate_csv(lines, read_row)
    if isinstance(back, RowFault):  # a title with a line break is refused, whoever writes it
        assert "\n" in text or "\r" in text
        return
    assert back.event_id == f"={text}"
    assert (back.update.title, back.update.description) == (text, text)
    assert back.before == Precondition(title=text)


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "＝1", "\t=1"])
def test_a_cell_of_the_report_is_no_formula(text: str) -> None:
    """A spreadsheet opens a page, too, and runs what is in its cells."""
    page = "".join(build_table(["line", "reason"], [[1, text]]))
    assert ">&#x27;" in page
    assert f">{text[0]}" not in page
