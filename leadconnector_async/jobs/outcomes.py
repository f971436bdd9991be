"""The files that a job leaves beside its journal, for people and for the next plan.

| file | holds |
| --- | --- |
| `failed.csv` | rows that failed, were left out or refused: a plan, the reasons in columns `outcome_…` |
| `unknown.csv` | rows whose outcome is unknown: a plan of the same form |
| `repeated.csv` | rows that were sent again after a lost answer: automations may have run twice |
| `summary.json` | the figures of the job, and of each location |
| `report.html` | all of that to look at, with pictures (see `report`) |

Rule: a file is written beside its place and put there when it is whole, so that a crash leaves the old file or the
new one. What a plan set goes out as it came in; columns that begin `outcome_` are ignored when it comes back.

Knows the journal. Must not import the client.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import UNSET

from ..models import AppointmentUpdate
from .intake import Wanted, read_wanted
from .journal import Journal, Record
from .ledger import decode_updates
from .plan import write_csv
from .rows import BEFORE
from .states import JobSummary
from .status import count_by_location

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
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_WORDS: Final = {True: "true", False: "false"}


def write_outcomes(journal: Journal, folder: str, summary: JobSummary) -> None:
    """Write the files anew, and remove those that would be empty. Raises `OSError`."""
    for name, condition in _FILES.items():
        query = _ROWS.format(condition=condition)
        path = os.path.join(folder, name)
        if journal.read_one(query) is None:
            with suppress(FileNotFoundError):
                os.unlink(path)
        else:
            columns = _list_columns(journal, query)
            replace_file(path, write_csv(_build_rows(journal, query), columns))
    figures = msgspec.json.format(msgspec.json.encode(build_summary(journal, summary)), indent=2)
    replace_file(os.path.join(folder, "summary.json"), [figures.decode() + "\n"])


def build_summary(journal: Journal, summary: JobSummary) -> dict[str, object]:
    """The figures of a job. Times are in UTC, durations in seconds."""
    requests, first, last = journal.read_one(_TOTALS) or (0, None, None)
    return {
        "plan": journal.get_fact("plan"),
        "counts": summary.counts,
        "total": summary.total,
        "left": summary.left,
        "repeated": summary.repeated,
        "requests": requests or 0,
        "began_at": _render_time(first),
        "ended_at": _render_time(last),
        "seconds": round(summary.seconds, 3),
        "stopped": [msgspec.structs.asdict(stopped) for stopped in summary.stopped],
        "by_location": count_by_location(journal),
    }


def replace_file(path: str, lines: Iterable[str]) -> None:
    """Write a file whole, or leave the old one."""
    beside = f"{path}.new"
    with open(beside, "w", encoding="utf-8", newline="") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _list_columns(journal: Journal, query: str) -> list[str]:
    """Those that some row fills, in the order in which they first come."""
    return list(dict.fromkeys(name for row in _build_rows(journal, query) for name in row))


def _build_rows(journal: Journal, query: str) -> Iterator[Mapping[str, str]]:
    default = journal.get_fact("location") or ""
    for record in journal.read(query):
        yield _build_row(record, default)


def _build_row(record: Record, default: str) -> Mapping[str, str]:
    line, event_id, location, wanted, state, reason, attempts, trace_id, updates = record
    row = {"event_id": str(event_id)}
    if location != default:
        row["location_id"] = str(location)
    row |= _render_wanted(read_wanted(wanted if isinstance(wanted, bytes) else b""), decode_updates(updates))
    outcome = {
        "state": state,
        "reason": _defuse(str(reason)),
        "line": line,
        "attempts": attempts,
        "trace_id": trace_id,
    }
    return row | {f"outcome_{name}": "" if value is None else str(value) for name, value in outcome.items()}


def _render_wanted(wanted: Wanted, updates: tuple[AppointmentUpdate, ...]) -> dict[str, str]:
    """As a plan says it. A shift that was counted already is written as the times that it led to."""
    row = {
        name: _WORDS[value] if isinstance(value, bool) else str(value)
        for name in wanted.update.__struct_fields__
        if (value := getattr(wanted.update, name)) is not UNSET
    }
    if wanted.shift is not None and updates:
        row |= {"start_time": str(updates[-1].start_time), "end_time": str(updates[-1].end_time)}
    elif wanted.shift is not None:
        row["shift"] = str(wanted.shift)
        row |= {} if wanted.timezone is None else {"timezone": wanted.timezone}
    for name in BEFORE:
        value = getattr(wanted.before, name, None)
        if value is not None:
            row[f"before_{name}"] = value.isoformat() if isinstance(value, datetime) else str(value)
    return row


def _defuse(text: str) -> str:
    """A server's words must not be a formula to a spreadsheet."""
    return f" {text}" if text.startswith(_FORMULA) else text


def _render_time(seconds: object) -> str | None:
    if not isinstance(seconds, int | float):
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
