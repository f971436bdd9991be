"""The file of a preview: every change of a job with its warnings, to be read and signed off by people.

| column | contents |
| --- | --- |
| `line`, `event`, `location` | which row it is, and which appointment |
| `title`, `contact` | of the appointment as it is now; the contact's id |
| `name` | of the contact, if it was asked for |
| `from_day`, `from`, `to_day`, `to` | weekday and time, before and after, by the calendar's clock |
| `minutes` | the new length |
| `zone` | offset of both times, or of each if the clocks change |
| `changes` | what else changes |
| `warnings` | what may not be meant |

It is written completely or not at all, for its owner only. No cell contains a formula. The file is not a plan, and
is refused as one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from ..._system.files import replace_file
from ..._validation.settings import check_path
from ..._validation.text import escape
from ...exceptions import ConfigurationError, JournalError
from ..journal.protocol import Journal
from ..plan.files import write_csv
from ..prepare.changes import Known, RowChange, name_zones, read_changes, render_moment, render_title
from ..prepare.plan_warnings import WarningCounter
from ..prepare.preview import Preview
from ..states import ROW_STATES
from .html_report import Sortable, begin_page, build_heading, build_table, build_text, end_page

_COLUMNS: Final = (
    *(
        "line",
        "event",
        "location",
        "title",
        "contact",
        "name",
        "from_day",
        "from",
        "to_day",
        "to",
        "minutes",
        "zone",
    ),
    *("changes", "warnings"),
)
_ON_PAGE: Final = ("line", "event", "title", "contact", "name", "from", "to", "zone", "changes", "warnings")
Row = Mapping[str, str]
"""By column; `from_at` and `to_at` are what the page sorts by."""
Render = Callable[[str, Preview, Iterable[Row]], Iterable[str]]


def check_preview_path(file: object) -> str:
    """The path of a preview. Raises `ConfigurationError` unless it ends in `.csv` or `.html`."""
    path = check_path("file", file)
    if os.path.splitext(path)[1].lower() not in _KINDS:
        raise ConfigurationError(f"{escape(path)}: a preview is a file that ends in .csv or .html")
    return path


def write_preview(path: str, title: str, preview: Preview, known: Known, journal: Journal) -> None:
    """Write or replace the file; `title` is that of the job. Raises `JournalError`."""
    render = _KINDS[os.path.splitext(path)[1].lower()]
    counter = WarningCounter(datetime.now(UTC))
    rows = (_build_row(change, counter.add(change)) for change in read_changes(known, journal))
    try:
        replace_file(path, render(title, preview, rows))
    except OSError as error:
        raise JournalError(f"{escape(path)} could not be written ({error.strerror}).") from error


def _build_row(change: RowChange, warnings: Iterable[str]) -> Row:
    before, after = change.before, change.after
    row = {
        "line": str(change.line),
        "event": change.event_id,
        "location": change.location,
        "title": render_title(change.found),
        "contact": change.found.contact_id or "",
        "name": change.name,
        "changes": "; ".join(f"{field}: {old} -> {new}" for field, old, new in change.differences),
        "warnings": "; ".join(warnings),
    }
    if before is not None:
        row["from_day"], _, row["from"] = render_moment(before.start).partition(" ")
        row["from_at"] = before.start.astimezone(UTC).isoformat()
    if after is not None:
        row["to_day"], _, row["to"] = render_moment(after.start).partition(" ")
        row["to_at"] = after.start.astimezone(UTC).isoformat()
        row["minutes"] = str(int(after.length.total_seconds()) // 60)
    if before is not None and after is not None:
        row["zone"] = name_zones(before, after)
    return row


def _render_csv(title: str, preview: Preview, rows: Iterable[Row]) -> Iterator[str]:
    return write_csv(({name: row[name] for name in _COLUMNS if name in row} for row in rows), _COLUMNS)


def _render_html(title: str, preview: Preview, rows: Iterable[Row]) -> Iterator[str]:
    counts = ", ".join(f"{preview.counts[state]:,} {ROW_STATES[state].words}" for state in preview.counts)
    yield begin_page(f"{title}: preview")
    yield build_heading(f"Preview of {title}", 1)
    yield build_text(f"{counts or 'no rows'}. Times are by the calendar's clock.", soft=True)
    if preview.warnings:
        yield build_heading("Warnings")
        yield from build_table(["warning", "example"], [_list_cells(one) for one in map(str, preview.warnings)])
    if cells := [[_join(row, name) for name in _ON_PAGE] for row in rows]:
        yield build_heading("Changes")
        yield from build_table(_ON_PAGE, cells, "moves")
    if preview.faults:
        yield build_heading("Left out")
        faults = ([fault.line, fault.column, fault.reason, fault.hint] for fault in preview.faults)
        yield from build_table(["line", "column", "reason", "what to do"], faults)
    yield build_heading("Approval")
    yield build_text("Approved by: ______________________________ on: ____________________")
    yield end_page()


def _list_cells(warning: str) -> list[str]:
    text, _, example = warning.partition(". Example: ")
    return [text, example]


def _join(row: Row, name: str) -> str | Sortable:
    """A cell of the page: days and times together, sorted by the moment."""
    text = f"{row.get(f'{name}_day', '')} {row.get(name, '')}".strip()
    return Sortable(text, row[f"{name}_at"]) if f"{name}_at" in row else text


_KINDS: Final[Mapping[str, Render]] = {".csv": _render_csv, ".html": _render_html}
