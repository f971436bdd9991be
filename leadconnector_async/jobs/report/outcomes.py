"""The files that a job leaves beside its journal, for people and for the next plan.

| file | holds |
| --- | --- |
| `failed.csv` | rows that failed, were left out or refused: a plan, the reasons in columns `outcome_…` |
| `unknown.csv` | rows whose outcome is unknown: a plan of the same form |
| `repeated.csv` | rows that were sent again after a lost answer: automations may have run twice |
| `summary.json` | the figures of the job, and of each location |
| `report.html` | all of that to look at, with charts |

The keys of `summary.json`, all of them always there:

| key | value |
| --- | --- |
| `plan` | digest of the plan; the same for the same rows in any order |
| `counts` | rows in each state |
| `total`, `remaining` | all rows, and those that a resumed job goes on with |
| `repeated` | rows whose automations may have run twice |
| `requests` | sent for the rows, and to make room for others; reading the calendar first is not counted |
| `began_at`, `ended_at` | the first request of a row and the last outcome, in ISO 8601 and UTC, or null |
| `seconds` | that the last run took |
| `stopped` | why the last run ended early: `kind`, `reason`, `location_id`, `resume_seconds` of each |
| `by_location` | location id to rows in each state |

A file is there whole or not at all, and one that would be empty is removed. What a plan set goes out as it
came in; what a row set that a plan cannot say (null, or text with blanks around it) is named in the column
`left_out`, which is refused when it comes back. Columns that begin `outcome_` are ignored then. No cell holds a
formula.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, get_args

import msgspec

from ..._files import remove_file, replace_file
from ..._validation.text import shorten
from ..journal.database import Journal, Record
from ..journal.rows import decode_updates
from ..journal.status import count_by_location
from ..plan.files import write_csv
from ..plan.render import COLUMNS, render_wanted
from ..plan.wanted import read_wanted
from ..states import JobSummary, RowState

_ROWS: Final = """
    SELECT line, event_id, location, wanted, state, reason, attempts, trace_id, updates FROM rows
    WHERE parks IS NULL AND {condition} ORDER BY number
"""
_FILES: Final = {
    "failed.csv": "state IN ('failed', 'skipped', 'refused')",
    "unknown.csv": "state = 'unknown'",
    "repeated.csv": "repeated = 1",
}
_TOTALS: Final = "SELECT SUM(attempts), MIN(sent_at), MAX(done_at) FROM rows"
_OUTCOME: Final = tuple(f"outcome_{name}" for name in ("state", "reason", "line", "attempts", "trace_id"))
_LONGEST_TEXT: Final = 2000
"""Of a server's words: a cell that is much longer could not be read again."""


def write_outcomes(journal: Journal, folder: str, summary: JobSummary) -> None:
    """Write the files anew, and remove those that would be empty. Raises `OSError`."""
    for name, condition in _FILES.items():
        query = _ROWS.format(condition=condition)
        path = os.path.join(folder, name)
        columns = _list_columns(journal, query)
        if columns:
            replace_file(path, write_csv(_build_rows(journal, query), columns))
        else:
            remove_file(path)
    figures = msgspec.json.format(msgspec.json.encode(build_summary(journal, summary)), indent=2)
    replace_file(os.path.join(folder, "summary.json"), [figures.decode() + "\n"])


def build_summary(journal: Journal, summary: JobSummary) -> dict[str, object]:
    """The figures of a job. Times are in UTC, durations in seconds."""
    requests, began_at, ended_at = read_totals(journal)
    return {
        "plan": journal.get_fact("plan"),
        "counts": _fill(summary.counts),
        "total": summary.total,
        "remaining": summary.remaining,
        "repeated": summary.repeated,
        "requests": requests,
        "began_at": began_at,
        "ended_at": ended_at,
        "seconds": round(summary.seconds, 3),
        "stopped": [msgspec.structs.asdict(stopped) for stopped in summary.stopped],
        "by_location": {location: _fill(counts) for location, counts in count_by_location(journal).items()},
    }


def read_totals(journal: Journal) -> tuple[int, str | None, str | None]:
    """Requests, and the times of the first one and of the last outcome."""
    requests, first, last = journal.read_one(_TOTALS) or (0, None, None)
    return int(str(requests or 0)), _render_time(first), _render_time(last)


def _fill(counts: Mapping[RowState, int]) -> dict[RowState, int]:
    states: tuple[RowState, ...] = get_args(RowState)
    return {state: counts.get(state, 0) for state in states}


def _list_columns(journal: Journal, query: str) -> list[str]:
    """Those that some row fills, and all that tell of the outcome; none if there is no row."""
    filled: set[str] = set()
    for row in _build_rows(journal, query):
        filled |= row.keys()
    return [*(name for name in COLUMNS if name in filled), *_OUTCOME] if filled else []


def _build_rows(journal: Journal, query: str) -> Iterator[Mapping[str, str]]:
    default = journal.get_fact("location") or ""
    for record in journal.read(query):
        yield _build_row(record, default)


def _build_row(record: Record, default: str) -> Mapping[str, str]:
    line, event_id, location, wanted, state, reason, attempts, trace_id, updates = record
    row = {"event_id": str(event_id)}
    if location != default:
        row["location_id"] = str(location)
    row |= render_wanted(read_wanted(wanted if isinstance(wanted, bytes) else b""), decode_updates(updates))
    values = (state, reason, line, attempts, trace_id)
    outcome = {
        name: _shorten(str(value)) for name, value in zip(_OUTCOME, values, strict=True) if value is not None
    }
    return row | outcome


def _shorten(text: str) -> str:
    """A server's words, on one line."""
    return shorten(" ".join(text.split()), _LONGEST_TEXT)


def _render_time(seconds: object) -> str | None:
    if not isinstance(seconds, int | float):
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
