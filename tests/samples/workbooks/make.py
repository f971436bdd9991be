"""Made the workbooks beside it, once, with pandas, openpyxl, XlsxWriter and LibreOffice's `soffice`.

| prefix | maker |
| --- | --- |
| `pandas_` | pandas 3.1, by both of its engines |
| `libreoffice_` | LibreOffice 7.4, which has opened a file and saved it |
"""

import subprocess
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.worksheet import Worksheet

FOLDER = Path(__file__).parent
START, END = datetime(2027, 3, 17, 9), datetime(2027, 3, 17, 9, 30)
PLAN = {"event_id": ["ev1"], "start_time": [START], "end_time": [END]}
TABLE = "event_id,start_time,end_time\nev1,2027-03-17 09:00:00,2027-03-17 09:30:00\n"


def save_by_pandas() -> None:
    """Every column of a plan as pandas keeps it."""
    frame = pd.DataFrame(PLAN)
    frame.to_excel(FOLDER / "pandas_openpyxl.xlsx", index=False, engine="openpyxl")
    frame.to_excel(FOLDER / "pandas_xlsxwriter.xlsx", index=False, engine="xlsxwriter")
    frame.to_excel(FOLDER / "pandas_index.xlsx")
    frame.astype(str).to_excel(FOLDER / "pandas_strings.xlsx", index=False)
    aware = frame.assign(**{name: frame[name].dt.tz_localize("America/New_York") for name in list(frame)[1:]})
    aware.map(lambda cell: getattr(cell, "isoformat", lambda: cell)()).to_excel(
        FOLDER / "pandas_offsets.xlsx", index=False
    )
    missing = pd.DataFrame({**PLAN, "title": [None], "to_notify": [pd.NA], "address": [float("nan")]})
    missing.to_excel(FOLDER / "pandas_missing.xlsx", index=False)
    pd.DataFrame({"event_id": [1.0, None], "title": ["x", "y"]}).to_excel(
        FOLDER / "pandas_ids_of_numbers.xlsx", index=False
    )
    grouped = pd.DataFrame({"event_id": ["ev1", "ev2"], "status": ["new", "new"], "title": ["x", "y"]})
    grouped.set_index(["status", "event_id"]).to_excel(FOLDER / "pandas_groups.xlsx")
    days = pd.DataFrame({"event_id": ["ev1"], "start_time": [START.date()]})
    days.to_excel(FOLDER / "pandas_days.xlsx", index=False)
    spans = pd.DataFrame({"event_id": ["ev1"], "start_time": [timedelta(hours=9)]})
    spans.to_excel(FOLDER / "pandas_durations.xlsx", index=False)
    with pd.ExcelWriter(FOLDER / "pandas_two_sheets.xlsx") as writer:
        frame.to_excel(writer, sheet_name="Plan", index=False)
        frame.to_excel(writer, sheet_name="Copy", index=False)


def build() -> tuple[Workbook, Worksheet]:
    """The plan, by openpyxl."""
    book = Workbook()
    (sheet,) = book.worksheets
    sheet.append(list(PLAN))
    sheet.append(["ev1", START, END])
    return book, sheet


def convert(source: Path, kind: str, name: str) -> None:
    """Opened and saved by LibreOffice."""
    with tempfile.TemporaryDirectory() as folder:
        profile = f"-env:UserInstallation=file://{tempfile.gettempdir()}/workbooks_profile"
        command = ["soffice", profile, "--headless", "--convert-to", kind, "--outdir", folder, str(source)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)  # noqa: S603
        (made,) = Path(folder).iterdir()
        (FOLDER / f"libreoffice_{name}").write_bytes(made.read_bytes())


def save_by_libreoffice(folder: Path) -> None:
    """From CSV, and from workbooks of openpyxl."""
    table = folder / "table.csv"
    table.write_text(TABLE)
    convert(table, "xlsx", "table.xlsx")
    convert(table, "xlsm", "table.xlsm")
    convert(table, "ods", "table.ods")
    convert(table, "xls", "table.xls")
    source = folder / "plan.xlsx"

    book, sheet = build()
    sheet["C2"] = "=B2+1/48"
    sheet["C2"].number_format = "yyyy-mm-dd hh:mm"
    book.save(source)
    convert(source, "xlsx", "formula.xlsx")

    book, sheet = build()
    sheet["D1"], sheet["D2"] = "title", '=IF(B2>0,"","late")'
    book.save(source)
    convert(source, "xlsx", "formula_without_text.xlsx")

    book, sheet = build()
    sheet["D1"], sheet["D2"] = "title", "=NA()"
    book.save(source)
    convert(source, "xlsx", "formula_with_error.xlsx")

    book, sheet = build()
    sheet.append(["ev2", START, END])
    sheet.row_dimensions[3].hidden = True
    sheet.auto_filter.ref = "A1:C3"
    sheet.auto_filter.add_filter_column(0, ["ev1"])
    book.save(source)
    convert(source, "xlsx", "filtered.xlsx")

    book, sheet = build()
    sheet["D1"], sheet["D2"] = "title", "x"
    sheet.column_dimensions["D"].hidden = True
    book.save(source)
    convert(source, "xlsx", "hidden_column.xlsx")

    book, sheet = build()
    sheet.append(["ev2", None, None])
    sheet.merge_cells("B2:B3")
    book.save(source)
    convert(source, "xlsx", "merged.xlsx")

    book, _ = build()
    book.epoch = CALENDAR_MAC_1904
    book.save(source)
    convert(source, "xlsx", "epoch_1904.xlsx")

    book, sheet = build()
    sheet["B2"], sheet["C2"] = 46463.375, 46463.3958333333
    book.save(source)
    convert(source, "xlsx", "fractions.xlsx")


if __name__ == "__main__":
    save_by_pandas()
    with tempfile.TemporaryDirectory() as temporary:
        save_by_libreoffice(Path(temporary))
