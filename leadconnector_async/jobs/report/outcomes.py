"""The files that a job writes next to its journal, for people and for the next plan.

| file | contents |
| --- | --- |
| `failed.csv` | rows that failed, were skipped or were refused: a plan, with the reasons in columns `outcome_…` |
| `unknown.csv` | rows whose outcome is unknown: a plan of the same form |
| `repeated.csv` | rows that were sent again after a lost response: automations may have run twice |
| `summary.json` | the figures of the job and of each location |
| `report.html` | a web page: who moves from when to when, what failed, figures with charts |

The keys of `summary.json`, which are always present:

| key | value |
| --- | --- |
| `plan` | digest of the plan, independent of the order of its rows |
| `counts` | rows in each state |
| `total`, `remaining` | all rows, and those that a resumed job continues with |
| `repeated` | rows whose automations may have run twice |
| `requests` | requests sent for rows and for parked appointments, without those that read the calendar first |
| `began_at`, `ended_at` | the first request of a row and the last outcome, in ISO 8601 and UTC, or null |
| `seconds` | duration of the last run |
| `stopped` | why the last run stopped early: a list of `kind`, `reason`, `location_id`, `resume_seconds` |
| `by_location` | rows in each state, by location id |

A file is written completely or not at all; one that would be empty is removed. The cells of a plan are written
unchanged. Values of a row that a plan cannot express (null, or text with surrounding whitespace) are named in the
column `left_out`; a plan with that column is refused. Columns that begin with `outcome_` are ignored in a plan. No
cell contains a formula.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, get_args

import msgspec

from ..._system.files import remove_file, replace_file
from ..._validation.text import shorten
from ..journal.counts import ListedRow, Listing, count_by_location, list_rows, read_totals
from ..journal.facts import get_fact
from ..journal.folder import SUMMARY
from ..journal.protocol import Journal
from ..plan.files import write_csv
from ..plan.render import COLUMNS, render_wanted
from ..states import JobSummary, RowState

_FILES: Final[Mapping[str, Listing]] = {
    "failed.csv": "not changed",
    "unknown.csv": "unknown",
    "repeated.csv": "repeated",
}
_OUTCOME: Final = tuple(f"outcome_{name}" for name in ("state", "reason", "line", "attempts", "trace_id"))
_LONGEST_TEXT: Final = 2000
"""Of a server's words: a cell that is much longer could not be read again."""


def write_outcomes(journal: Journal, folder: str, summary: JobSummary) -> None:
    """Write the files anew, and remove those that would be empty. Raises `OSError`."""
    for name, listing in _FILES.items():
        path = os.path.join(folder, name)
        columns = _list_columns(journal, listing)
        if columns:
            replace_file(path, write_csv(_build_rows(journal, listing), columns))
        else:
            remove_file(path)
    figures = msgspec.json.format(msgspec.json.encode(build_summary(journal, summary)), indent=2)
    replace_file(os.path.join(folder, SUMMARY), [figures.decode() + "\n"])


def build_summary(journal: Journal, summary: JobSummary) -> dict[str, object]:
    """The figures of a job. Times are in UTC, durations in seconds."""
    totals = read_totals(journal)
    return {
        "plan": get_fact("plan", journal),
        "counts": _fill(summary.counts),
        "total": summary.total,
        "remaining": summary.remaining,
        "repeated": summary.repeated,
        "requests": totals.requests or 0,
        "began_at": render_time(totals.first_sent),
        "ended_at": render_time(totals.last_done),
        "seconds": round(summary.seconds, 3),
        "stopped": [msgspec.structs.asdict(stopped) for stopped in summary.stopped],
        "by_location": {location: _fill(counts) for location, counts in count_by_location(journal).items()},
    }


def _fill(counts: Mapping[RowState, int]) -> dict[RowState, int]:
    states: tuple[RowState, ...] = get_args(RowState)
    return {state: counts.get(state, 0) for state in states}


def _list_columns(journal: Journal, listing: Listing) -> list[str]:
    """The columns that some row fills, and those of the outcome; empty if there are no rows."""
    filled: set[str] = set()
    for row in _build_rows(journal, listing):
        filled |= row.keys()
    return [*(name for name in COLUMNS if name in filled), *_OUTCOME] if filled else []


def _build_rows(journal: Journal, listing: Listing) -> Iterator[Mapping[str, str]]:
    default = get_fact("location", journal) or ""
    for row in list_rows(listing, journal):
        yield _build_row(row, default)


def _build_row(row: ListedRow, default: str) -> Mapping[str, str]:
    cells = {"event_id": row.event_id}
    if row.location != default:
        cells["location_id"] = row.location
    cells |= render_wanted(row.wanted, row.planned)
    values = (row.state, row.reason, row.line, row.attempts, row.trace_id)
    outcome = {
        name: _shorten(str(value)) for name, value in zip(_OUTCOME, values, strict=True) if value is not None
    }
    return cells | outcome


def _shorten(text: str) -> str:
    """A server's text, on one line."""
    return shorten(" ".join(text.split()), _LONGEST_TEXT)


def render_time(seconds: float | None) -> str | None:
    """Seconds since the epoch in ISO 8601 and UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
